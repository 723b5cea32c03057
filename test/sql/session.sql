-- smart.login(), assume(), logout(), set_interaction(), what the session shows, the issuer's rules.
\getenv srcdir PG_ABS_SRCDIR
\set prelude :srcdir '/data/session/prelude.sql'
\set cleanup :srcdir '/data/session/cleanup.sql'
\set ECHO none
\i :prelude
\set ECHO all
\set VERBOSITY terse

-- A login shows what the token says; the accessors agree with the view.
BEGIN;
SELECT st.login('{"scope":"openid launch/patient patient/*.rs","encounter":"e1","fhirUser":"Practitioner/p","aud":["https://other.example","https://fhir.example/r4"]}');
\x on
SELECT issuer, subject, client_id, patient, patients, encounter, fhir_user, scope, expires_at AT TIME ZONE 'UTC' AS expires_at,
	jti, audience, interaction, claims ->> 'jti' AS claims_jti, ignored_scopes FROM smart.session;
SELECT smart.patient(), smart.encounter(), smart.fhir_user(), smart.client_id(), smart.scope(), smart.claims() = s.claims AS claims FROM smart.session s;
\x off
COMMIT;

-- LF-3: A local session ends with its transaction, one for the connection does not, and logout() ends it.
SELECT count(*) FROM smart.session;
SELECT smart.login(st.token(), local => false);
SELECT smart.patient();
SELECT smart.logout();
SELECT smart.patient(), smart.encounter(), smart.fhir_user(), smart.client_id(), smart.scope(), smart.claims();
SELECT count(*) FROM smart.session;
-- logout() without a session is no error.
SELECT smart.logout();

-- A local login inside a connection's session gives way to it again.
SELECT smart.login(st.token('{"patient":"1"}'), false);
BEGIN;
SELECT smart.login(st.token('{"patient":"2"}'));
SELECT smart.patient();
COMMIT;
SELECT smart.patient();
SELECT smart.logout();

-- A local login outside a transaction block warns as SET LOCAL does; it is gone at once.
SELECT smart.login(st.token());
SELECT count(*) FROM smart.session;
SELECT smart.assume(st.claims(), 'https://as.example');
-- In a DO block the transaction goes on: no warning.
DO $$ BEGIN PERFORM smart.login(st.token()); RAISE NOTICE 'patient %', smart.patient(); END $$;
SELECT count(*) FROM smart.session;

-- local NULL is local.
BEGIN;
SELECT smart.login(st.token(), NULL);
COMMIT;
SELECT count(*) FROM smart.session;

-- interaction: the names of FHIR, and no other; set_interaction() lasts for the transaction.
BEGIN;
CREATE FUNCTION st.shown() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT interaction FROM smart.session); END';
SELECT i, st.why(format('SELECT smart.login(%L, interaction => %L)', st.token(), i)) AS login, st.shown() IS NOT DISTINCT FROM i AS shown
FROM unnest('{read,vread,history,search,create,update,patch,delete,NULL}'::text[]) i;
SELECT i, st.why(format('SELECT smart.login(%L, interaction => %L)', st.token(), i)) AS login
FROM unnest('{"",READ,"read ",vread2,batch}'::text[]) i;
ROLLBACK;
SELECT smart.login(st.token(), false, 'search');
BEGIN;
SELECT smart.set_interaction('read');
SELECT interaction FROM smart.session;
SELECT st.why($$SELECT smart.set_interaction('nonsense')$$);
SELECT interaction FROM smart.session;
SELECT smart.set_interaction(NULL);
SELECT interaction IS NULL AS none FROM smart.session;
COMMIT;
SELECT interaction FROM smart.session;
-- Outside a transaction block it warns, and what was declared stays.
SELECT smart.set_interaction(NULL);
SELECT interaction FROM smart.session;
SELECT smart.logout();
SELECT st.why($$SELECT smart.set_interaction('read')$$);

-- Each error: SQLSTATE, schema name, constraint name. A refused token has one message; DETAIL names the rule.
BEGIN;
CREATE FUNCTION st.message(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	d text;
BEGIN
	EXECUTE command;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL;
	-- how long ago, how far ahead: another one each time
	RETURN sqlerrm || ' / ' || regexp_replace(d, '[0-9]+ h[^,]* (ago|ahead)', 'N h \1');
END $$;
CREATE TEMP TABLE refused (n int, what text, token text);
INSERT INTO refused VALUES
	(1, 'NULL', NULL),
	(2, 'empty', ''),
	(3, 'too large', repeat('x', 65537)),
	(4, 'too large, compressible to nothing', repeat('x', 20000000)),
	(5, 'no JWS', 'a.b.c'),
	(6, 'alg none', 'eyJhbGciOiJub25lIn0.e30.YQ'),
	(7, 'unknown issuer', st.token('{"iss":"https://elsewhere.example"}')),
	(8, 'no issuer', st.token('{"iss":null}')),
	(9, 'issuer a number', st.token('{"iss":5}')),
	(10, 'another issuer''s key', st.token('{}', NULL, 'b')),
	(11, 'signed by another key under this kid', smart.jwt_sign(st.claims(), st.key('b') || '{"kid":"a"}')),
	(12, 'signature cut', left(st.token(), -2)),
	(13, 'expired', st.token('{"exp":1700000100}')),
	(14, 'no exp', st.token('{"exp":null}')),
	(15, 'exp a string', st.token('{"exp":"4102444800"}')),
	(16, 'nbf in the future', st.token('{"nbf":4102444700}')),
	(17, 'iat in the future', st.token('{"iat":4102444700}')),
	(18, 'other audience', st.token('{"aud":"https://other.example"}')),
	(19, 'audience with a slash', st.token('{"aud":"https://fhir.example/r4/"}')),
	(20, 'no audience', st.token('{"aud":null}')),
	(21, 'empty audience', st.token('{"aud":[]}')),
	(22, 'typ', st.token('{}', '{"typ":"dpop+jwt"}')),
	(23, 'logout token', st.token('{}', '{"typ":"logout+jwt"}')),
	(24, 'no sub', st.token('{"sub":null}')),
	(25, 'empty jti', st.token('{"jti":""}')),
	(26, 'client_id a number', st.token('{"client_id":7}')),
	(27, 'no iat', st.token('{"iat":null}')),
	(28, 'iat after exp', st.token(jsonb_build_object('iat', st.clock(50), 'exp', st.clock(40)))),
	(29, 'nbf after exp', st.token(jsonb_build_object('nbf', st.clock(50), 'exp', st.clock(40)))),
	(30, 'lifetime', st.token('{"iat":500000000}')),
	(31, 'cnf', st.token('{"cnf":{"jkt":"x"}}')),
	(32, 'cnf in an at+jwt', st.token('{"cnf":{"x5t#S256":"x"}}', '{"typ":"at+jwt"}')),
	(33, 'nonce', st.token('{"nonce":"n"}')),
	(34, 'at_hash', st.token('{"at_hash":"n"}')),
	(35, 'c_hash', st.token('{"c_hash":"n"}')),
	(36, 'aud has the client', st.token('{"aud":["https://fhir.example/r4","app1"]}'));
SELECT n, what, st.why(format('SELECT smart.login(%L)', token)) AS error, st.message(format('SELECT smart.login(%L)', token)) FROM refused ORDER BY n;
ROLLBACK;

-- LF-6: A refused login ends the session that was there.
SELECT smart.login(st.token(), false);
SELECT st.login('{"exp":1700000100}');
SELECT count(*) FROM smart.session;
SELECT smart.login(st.token(), false);
SELECT st.why($$SELECT smart.login(st.token(), interaction => 'nonsense')$$);
SELECT count(*) FROM smart.session;

-- at+jwt, with or without application/, in any case, is no ID token whatever else it has.
BEGIN;
SELECT t, st.login('{"nonce":"n"}', jsonb_build_object('typ', t)) FROM unnest('{at+jwt,AT+JWT,application/at+jwt,Application/At+Jwt,JWT,jwt,application/JWT}'::text[]) t;
ROLLBACK;

-- insufficient scope: require(), and a new row that the session may not write, without and with a session.
SET ROLE regress_st_app;
SELECT st.why($$SELECT smart.require('Observation', 'r')$$);
SELECT st.why($$INSERT INTO st.observation VALUES ('n', st.obs('n', '1'))$$);
SELECT smart.allows('Observation', 'r'), (SELECT count(*) FROM st.observation) AS rows;
BEGIN;
SELECT st.login('{"scope":"patient/Observation.rs"}');
SELECT st.why($$SELECT smart.require('Observation', 'rs')$$), st.why($$SELECT smart.require('Observation', 'crs')$$),
	st.why($$SELECT smart.require('Condition', 'r')$$), st.why($$SELECT smart.require('Observation', 'sr')$$), st.why($$SELECT smart.require('Observation', NULL)$$);
SELECT st.why($$INSERT INTO st.observation VALUES ('n', st.obs('n', '1'))$$);
SELECT st.login('{"scope":"patient/Observation.cruds"}');
SELECT st.why($$INSERT INTO st.observation VALUES ('n', st.obs('n', '2'))$$) AS other_patient,
	st.why($$UPDATE st.observation SET resource = st.obs(id, '2') WHERE id = 'o1'$$) AS moved_away;
ROLLBACK;
-- LF-4: Without a session UPDATE and DELETE touch no row.
WITH u AS (UPDATE st.observation SET note = 'x' RETURNING 1) SELECT count(*) FROM u;
WITH d AS (DELETE FROM st.observation RETURNING 1) SELECT count(*) FROM d;
RESET ROLE;
SELECT count(*) AS left, count(note) AS changed FROM st.observation;

-- What an interaction asks, letter by letter, with one letter granted (or a pair): rows seen, INSERT, rows updated and deleted.
CREATE FUNCTION st.probe(interaction text, letters text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	n int;
	result text;
BEGIN
	PERFORM smart.login(st.token(jsonb_build_object('scope', 'patient/Observation.' || letters)), interaction => probe.interaction);
	SELECT count(*) INTO n FROM st.observation;
	result := n;
	result := concat_ws(' ', result, CASE st.why($q$INSERT INTO st.observation VALUES ('n', st.obs('n', '1')); DELETE FROM st.observation WHERE false$q$) WHEN 'ok' THEN 'ins' ELSE '-' END);
	BEGIN
		UPDATE st.observation SET note = 'x';
		GET DIAGNOSTICS n = ROW_COUNT;
		RAISE EXCEPTION USING ERRCODE = 'P0099', MESSAGE = n;
	EXCEPTION WHEN SQLSTATE 'P0099' THEN
		result := concat_ws(' ', result, sqlerrm);
	END;
	BEGIN
		DELETE FROM st.observation;
		GET DIAGNOSTICS n = ROW_COUNT;
		RAISE EXCEPTION USING ERRCODE = 'P0099', MESSAGE = n;
	EXCEPTION WHEN SQLSTATE 'P0099' THEN
		result := concat_ws(' ', result, sqlerrm);
	END;
	RETURN result;
END $$;
SET ROLE regress_st_app;
BEGIN;
CREATE FUNCTION pg_temp.undone(interaction text, letters text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION USING ERRCODE = 'P0098', MESSAGE = st.probe(interaction, letters);
EXCEPTION WHEN SQLSTATE 'P0098' THEN
	RETURN sqlerrm;
END $$;
SELECT coalesce(i, 'NULL') AS interaction, pg_temp.undone(i, 'c') AS c, pg_temp.undone(i, 'r') AS r, pg_temp.undone(i, 'u') AS u,
	pg_temp.undone(i, 'd') AS d, pg_temp.undone(i, 's') AS s, pg_temp.undone(i, 'rs') AS rs, pg_temp.undone(i, 'cud') AS cud
FROM unnest('{NULL,read,vread,history,search,create,update,patch,delete}'::text[]) WITH ORDINALITY x (i, n) ORDER BY n;
ROLLBACK;

-- create: RETURNING and ON CONFLICT work with c alone. update: with u alone, also as create.
BEGIN;
SELECT smart.login(st.token('{"scope":"patient/Observation.c"}'), interaction => 'create');
INSERT INTO st.observation VALUES ('n1', st.obs('n1', '1')) RETURNING id;
INSERT INTO st.observation VALUES ('n1', st.obs('n1', '1')) ON CONFLICT DO NOTHING RETURNING id;
SELECT smart.login(st.token('{"scope":"patient/Observation.u"}'), interaction => 'update');
INSERT INTO st.observation VALUES ('n2', st.obs('n2', '1')) ON CONFLICT (id) DO UPDATE SET resource = EXCLUDED.resource RETURNING id;
UPDATE st.observation SET note = 'y' WHERE id = 'n1' RETURNING id, note;
ROLLBACK;
RESET ROLE;

-- leeway: 0 is exact, the default is 60 s, more than 300 s is refused.
BEGIN;
SELECT st.login(jsonb_build_object('exp', st.clock(-50))), st.login(jsonb_build_object('exp', st.clock(-65))),
	st.login(jsonb_build_object('iat', st.clock(50))), st.login(jsonb_build_object('iat', st.clock(65))),
	st.login(jsonb_build_object('nbf', st.clock(50))), st.login(jsonb_build_object('nbf', st.clock(65)));
SELECT smart.add_issuer('https://as.example', st.jwks('a'), '{https://fhir.example/r4}', max_token_age => '40000 days', leeway => '0');
SELECT st.login(jsonb_build_object('exp', st.clock(-1))), st.login(jsonb_build_object('iat', st.clock(30))), st.login(jsonb_build_object('exp', st.clock(20)));
SELECT st.why($$SELECT smart.add_issuer('https://as.example', st.jwks('a'), '{https://fhir.example/r4}', leeway => '301 s')$$),
	st.why($$UPDATE smart.issuer SET leeway = '301 s'$$);
ROLLBACK;

-- Lifetime: 24 h unless the issuer says otherwise; without iat what is left counts.
BEGIN;
SELECT smart.add_issuer('https://as.example', st.jwks('a'), '{https://fhir.example/r4}', required_claims => '{}');
SELECT st.login(jsonb_build_object('iat', floor((st.clock(-100))::float8), 'exp', floor((st.clock(-100))::float8) + 86400)),
	st.login(jsonb_build_object('iat', floor((st.clock(-100))::float8), 'exp', floor((st.clock(-100))::float8) + 86401)),
	st.login(jsonb_build_object('iat', NULL, 'exp', st.clock(86390))), st.login(jsonb_build_object('iat', NULL, 'exp', st.clock(86500)));
ROLLBACK;

-- token_types: '' accepts a token without typ; required_claims and claims of the issuer's own; {} requires none.
BEGIN;
SELECT smart.add_issuer('https://as.example', st.jwks('a'), '{https://fhir.example/r4}', max_token_age => '40000 days', token_types => '{at+jwt}');
SELECT st.login(), st.login('{}', '{"typ":"at+jwt"}');
SELECT smart.add_issuer('https://as.example', st.jwks('a'), '{https://fhir.example/r4}', max_token_age => '40000 days', required_claims => '{tenant,patient,fhirUser}');
SELECT st.login(), st.login('{"tenant":1,"fhirUser":"Patient/1"}'), st.login('{"tenant":1,"fhirUser":"Patient/1","patient":["1"]}'), st.login('{"tenant":1,"fhirUser":"Patient/1","sub":null,"jti":null,"iat":null,"exp":4102444800}') AS no_iat;
SELECT smart.add_issuer('https://as.example', st.jwks('a'), '{https://fhir.example/r4}', max_token_age => '40000 days', required_claims => '{}');
SELECT st.login('{"sub":null,"client_id":null,"jti":null}'), st.login('{"aud":null}'), st.login('{"exp":null}');
ROLLBACK;

-- algorithms: only the listed ones; HS* only where listed, with an oct key.
BEGIN;
SELECT smart.add_issuer('https://as.example', st.jwks('a', 'ed'), '{https://fhir.example/r4}', max_token_age => '40000 days', algorithms => '{EdDSA}');
SELECT st.login(), st.login('{}', NULL, 'ed');
SELECT st.why($$SELECT smart.add_issuer('https://as.example', '{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}', '{https://fhir.example/r4}')$$) AS oct_by_default;
SELECT smart.add_issuer('https://as.example', '{"keys":[{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}]}',
	'{https://fhir.example/r4}', max_token_age => '40000 days', algorithms => '{HS256}');
SELECT st.why(format('SELECT smart.login(%L)', smart.jwt_sign(st.claims(), '{"kty":"oct","alg":"HS256","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}'))) AS hs256;
SELECT st.why($$SELECT smart.add_issuer('https://as.example', st.jwks('a'), '{https://fhir.example/r4}', algorithms => '{none}')$$),
	st.why($$SELECT smart.add_issuer('https://as.example', st.key('a'), '{https://fhir.example/r4}')$$) AS private_key;
ROLLBACK;

-- I. Audience: without one an issuer needs client_ids; a token then has no aud, or one of base_urls (RFC 7519 4.1.3).
BEGIN;
SELECT st.why($$SELECT smart.add_issuer('https://as.example', st.jwks('a'))$$);
SELECT smart.add_issuer('https://as.example', st.jwks('a'), client_ids => '{app1,app2}', base_urls => '{https://fhir.example/r4}', max_token_age => '40000 days');
\x on
SELECT st.login('{"aud":null}'), st.login('{"aud":"https://any.example"}'), st.login('{"aud":["https://any.example","https://fhir.example/r4"]}'), st.login('{"aud":"https://fhir.example/r4/"}'),
	st.login('{"aud":[]}'), st.assume('{"aud":"https://any.example"}'), st.assume('{"aud":"https://fhir.example/r4"}'), st.login('{"client_id":"app3"}'), st.login('{"client_id":null}');
\x off
SELECT smart.add_issuer('https://as.example', st.jwks('a'), client_ids => '{app1,app2}', max_token_age => '40000 days');
SELECT st.login('{"aud":null}') AS no_base_urls, st.login('{"aud":"https://any.example"}') AS an_aud;
ROLLBACK;

-- LF-20: base_urls: the bases that a token without aud opens, for fhirUser and for tables with a base_url.
BEGIN;
CREATE TABLE st.based (id text PRIMARY KEY, resource jsonb NOT NULL);
INSERT INTO st.based VALUES ('b1', st.obs('b1', '1')), ('b2', '{"resourceType":"Observation","id":"b2","subject":{"reference":"https://fhir.example/r4/Patient/1"}}');
SELECT smart.protect('st.based', 'Observation', base_url => 'https://fhir.example/r4/');
GRANT SELECT ON st.based TO regress_st_app;
CREATE FUNCTION st.seen(change jsonb) RETURNS text LANGUAGE plpgsql SET ROLE = regress_st_app AS $$
DECLARE
	refused text := nullif(st.login(change), 'ok');
BEGIN
	RETURN concat_ws(' ', refused, 'observation', (SELECT count(*) FROM st.observation), 'based', (SELECT count(*) FROM st.based));
END $$;
SELECT st.seen('{}') AS aud;
SELECT smart.add_issuer('https://as.example', st.jwks('a'), client_ids => '{app1}', base_urls => '{https://fhir.example/r4}', max_token_age => '40000 days', user_sees_all => true);
SELECT st.seen('{"aud":null}') AS no_aud, st.seen('{"aud":"https://other.example"}') AS other_aud,
	st.seen('{"aud":null,"scope":"user/*.rs","fhirUser":"https://fhir.example/r4/Practitioner/p"}') AS own_user,
	st.seen('{"aud":null,"scope":"user/*.rs","fhirUser":"https://other.example/Practitioner/p"}') AS foreign_user,
	st.seen('{"aud":null,"scope":"user/*.rs","fhirUser":"Device/p"}') AS no_user_type;
ROLLBACK;

-- levels: what an issuer may grant at all; the rest is listed.
BEGIN;
SELECT smart.add_issuer('https://as.example', st.jwks('a'), '{https://fhir.example/r4}', max_token_age => '40000 days', levels => '{patient}');
SELECT st.login('{"scope":"patient/Observation.rs user/*.rs system/*.cruds","fhirUser":"Practitioner/p"}');
SELECT scope, ignored_scopes FROM smart.session;
SELECT smart.allows('Observation', 'rs'), smart.allows('Observation', 'c'), smart.allows('Condition', 'r');
ROLLBACK;

-- A malformed scope in a claim grants nothing and is listed with its reason; the rest of the claim counts.
BEGIN;
SELECT st.login('{"scope":"patient/Observation.rs patient/Condition.sr Patient/Condition.rs patient/Foo.rs patient/Condition.rs?nonsense=1 patient/Condition.rs?code=a=b launch/patient custom"}');
SELECT i AS ignored FROM smart.session, unnest(ignored_scopes) i ORDER BY i COLLATE "C";
SELECT smart.scope();
SELECT smart.allows('Observation', 'rs') AS good, smart.allows('Condition', 'r') AS bad, smart.scope_has(smart.scope(), 'custom') AS other;
-- Other white space spoils the whole claim, so does a space inside an array's element; a wrong type is no scope.
SELECT s, st.login(jsonb_build_object('scope', s)), smart.allows('Observation', 'rs')
FROM (VALUES ('"patient/*.rs\tpatient/*.rs"'::jsonb), ('" patient/*.rs  patient/*.c "'), ('["patient/*.rs","openid"]'), ('["patient/*.rs openid"]'), ('{"a":"patient/*.rs"}'), ('5'), ('""'), ('[]'), ('["patient/*.rs",5]')) v (s);
ROLLBACK;

-- patient: one id as a string; anything else is no patient, unless max_patients allows several.
CREATE FUNCTION st.patients_of(change jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	refused text := nullif(st.login(change), 'ok');
BEGIN
	RETURN coalesce(refused, (SELECT concat_ws(' ', coalesce(patient, '-'), patients::text) FROM smart.session));
END $$;
BEGIN;
SELECT v AS claim, st.patients_of(jsonb_build_object('patient', v))
FROM (VALUES ('"1"'::jsonb), ('["1"]'), ('"1 2"'), ('1'), ('""'), ('"Patient/1"'), ('" 1"'), ('{"id":"1"}'), ('"a_b"'), (to_jsonb(repeat('a', 64))), (to_jsonb(repeat('a', 65)))) x (v);
SELECT smart.add_issuer('https://as.example', st.jwks('a'), '{https://fhir.example/r4}', max_token_age => '40000 days', max_patients => 2);
SELECT v AS claim, st.patients_of(jsonb_build_object('patient', v))
FROM (VALUES ('"1"'::jsonb), ('["1"]'), ('["1","2"]'), ('["1","1"]'), ('["1","2","3"]'), ('"1 2"'), ('["1",2]'), ('[["1"]]'), ('[]')) x (v);
ROLLBACK;

-- claim_map: a path is member names, the first that is present wins; patients that differ refuse the token.
BEGIN;
SELECT smart.add_issuer('https://as.example', st.jwks('a'), '{https://fhir.example/r4}', max_token_age => '40000 days',
	claim_map => '{"patient":[["patient"],["https://x.example/ctx","patient.id"]],"scope":[["scp"],["scope"]],"client_id":[["azp"]],"fhirUser":[["profile"]],"encounter":[["ctx","encounter"]]}');
SELECT st.login('{"azp":"app9","client_id":"app1","profile":"Patient/7","scp":["patient/*.r"],"patient":null,"https://x.example/ctx":{"patient.id":"5"},"ctx":{"encounter":"e"}}');
SELECT patient, client_id, fhir_user, scope, encounter FROM smart.session;
SELECT st.login('{"azp":"a","https://x.example/ctx":{"patient.id":"1"}}') AS same, st.login('{"azp":"a","https://x.example/ctx":{"patient.id":"2"}}') AS differ,
	st.login('{"azp":"a","https://x.example/ctx":{"patient.id":["1"]}}') AS differ_in_kind, st.login('{"azp":"a","https://x.example/ctx":"1"}') AS no_path, st.login() AS client_elsewhere;
SELECT m, st.why(format($$SELECT smart.add_issuer('https://as.example', st.jwks('a'), '{https://fhir.example/r4}', claim_map => %L)$$, m))
FROM unnest(ARRAY['[]', '{"patient":["patient"]}', '{"patient":"patient"}', '{"patient":[["a",1]]}', '{"patient":[[["a"]]]}', '{"subject":[["a"]]}', '{"patient":{"a":[["b"]]}}', '{"patient":[]}']) m;
ROLLBACK;

-- patient_from_fhir_user: only where it is set, only a Patient, only when no patient claim is there.
BEGIN;
SELECT st.patients_of('{"patient":null,"fhirUser":"Patient/2"}') AS off;
SELECT smart.add_issuer('https://as.example', st.jwks('a'), '{https://fhir.example/r4}', max_token_age => '40000 days', patient_from_fhir_user => true);
SELECT st.patients_of('{"patient":null,"fhirUser":"Patient/2"}') AS bare, st.patients_of('{"patient":null,"fhirUser":"https://fhir.example/r4/Patient/2"}') AS own,
	st.patients_of('{"patient":null,"fhirUser":"https://other.example/Patient/2"}') AS foreign_user, st.patients_of('{"patient":null,"fhirUser":"RelatedPerson/2"}') AS no_patient,
	st.patients_of('{"patient":"1","fhirUser":"Patient/2"}') AS claim_wins, st.patients_of('{"patient":null,"fhirUser":"Patient/2/_history/1"}') AS versioned;
ROLLBACK;

-- patient_aliases and user_patients run once, with the caller's rights, while nobody is logged in; their answer is part of the
-- session; an error in one, or one that the caller may not execute, is a fault of the set-up and leaves nobody logged in.
CREATE TABLE st.link (patient text, other text);
INSERT INTO st.link VALUES ('1', '2'), ('1', '2'), ('1', 'not an id'), ('1', NULL);
CREATE FUNCTION st.aliases(patient text) RETURNS text[] LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' AS 'SELECT array_agg(l.other ORDER BY l.other) FROM st.link l WHERE l.patient = $1';
CREATE FUNCTION st.aliases_invoker(patient text) RETURNS text[] LANGUAGE sql STABLE AS 'SELECT array_agg(l.other) FROM st.link l WHERE l.patient = $1';
CREATE FUNCTION st.forbidden(patient text) RETURNS text[] LANGUAGE sql STABLE AS 'SELECT ARRAY[$1]';
REVOKE ALL ON FUNCTION st.forbidden(text) FROM PUBLIC;
CREATE FUNCTION st.raising(patient text) RETURNS text[] LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'secret %', patient; END $$;
CREATE FUNCTION st.curious(claims jsonb) RETURNS text[] LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN smart.claims() IS NULL AND (SELECT count(*) FROM st.observation) = 0 THEN ARRAY[claims ->> 'sees'] END; END $$;
CREATE FUNCTION st.recursive(claims jsonb) RETURNS text[] LANGUAGE plpgsql AS $$ BEGIN PERFORM smart.login(st.token()); RETURN '{1}'; END $$;
CREATE FUNCTION st.wrong_type(claims jsonb) RETURNS text LANGUAGE sql AS $$ SELECT '1' $$;
CREATE FUNCTION st.visible(change jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text := st.login(change);
BEGIN
	RETURN concat_ws(' ', answer, (SELECT concat_ws(' ', patient, patients::text) FROM smart.session), 'rows', (SELECT count(*) FROM st.observation));
END $$;
CREATE FUNCTION st.trust(aliases regprocedure, users regprocedure) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
	SELECT smart.add_issuer('https://as.example', st.jwks('a'), '{https://fhir.example/r4}', max_token_age => '40000 days', patient_aliases => aliases, user_patients => users)
$$;
SET ROLE regress_st_app;
BEGIN;
SELECT st.trust('st.aliases(text)', NULL);
SELECT st.visible() AS definer, st.visible('{"patient":"2"}') AS no_alias;
SELECT st.trust('st.aliases_invoker(text)', NULL);
SELECT st.visible() AS callers_rights;
SELECT st.trust('st.forbidden(text)', NULL);
SELECT st.visible() AS may_not_execute;
SELECT st.trust('st.raising(text)', NULL);
SELECT st.visible() AS raising;
SELECT st.trust(NULL, 'st.curious(jsonb)');
SELECT st.visible() AS not_a_user, st.visible('{"scope":"user/*.rs","fhirUser":"Practitioner/p","sees":"2"}') AS one,
	st.visible('{"scope":"user/*.rs","fhirUser":"Practitioner/p"}') AS none, st.visible('{"scope":"user/*.rs","sees":"2"}') AS no_user,
	st.visible('{"scope":"user/*.rs","fhirUser":"Patient/1","sees":"2"}') AS a_patient;
SELECT st.trust(NULL, 'st.recursive(jsonb)');
SELECT st.visible('{"scope":"user/*.rs","fhirUser":"Practitioner/p"}') AS logs_in;
SELECT st.why($$SELECT st.trust(NULL, 'st.wrong_type(jsonb)')$$), st.why($$SELECT st.trust(NULL, 'st.aliases(text)')$$), st.why($$SELECT st.trust('st.curious(jsonb)', NULL)$$);
ROLLBACK;
RESET ROLE;
-- A function that is dropped later refuses the login.
BEGIN;
SELECT st.trust('st.aliases(text)', NULL);
DROP FUNCTION st.aliases(text);
SELECT st.login();
ROLLBACK;

-- assume(): iss, exp, nbf and aud must fit where they are there, required claims need not be; without exp it is always local.
SELECT st.assume(v), v FROM (VALUES (1, '{}'::jsonb), (2, '{"iss":null,"aud":null,"exp":null,"iat":null,"sub":null,"client_id":null,"jti":null}'), (3, '{"iss":"https://other.example"}'),
	(4, '{"exp":1700000100}'), (5, '{"nbf":4102444700}'), (6, '{"aud":"https://other.example"}'), (7, '{"exp":"x"}'), (8, '{"active":false}'), (9, '{"active":true}'), (10, '{"active":"true"}'), (11, '{"iss":5}')) x (n, v) ORDER BY n;
SELECT st.why($$SELECT smart.assume(NULL, 'https://as.example')$$), st.why($$SELECT smart.assume('{}', NULL)$$), st.why($$SELECT smart.assume('[]', 'https://as.example')$$),
	st.why($$SELECT smart.assume('{}', 'https://elsewhere.example')$$), st.why($$SELECT smart.assume('{}', 'https://as.example', interaction => 'x')$$);
BEGIN;
SELECT smart.assume(st.claims('{"exp":null}'), 'https://as.example', local => false);
SELECT patient, expires_at FROM smart.session;
COMMIT;
SELECT count(*) FROM smart.session;
SELECT smart.assume(st.claims(), 'https://as.example', local => false);
SELECT patient FROM smart.session;
SELECT smart.logout();

-- Who may do what: assume and the issuer functions are nobody's; login and the rest are everybody's.
SELECT p.proname, has_function_privilege('regress_st_app', p.oid, 'EXECUTE') FROM pg_proc p
WHERE p.pronamespace IN ('smart'::regnamespace, 'smart_internal'::regnamespace)
	AND p.proname = ANY ('{assume,set_jwks,drop_issuer,login,logout,set_interaction,patient,encounter,fhir_user,client_id,scope,claims,allows,require,permits,permits_row,session_row}')
ORDER BY p.proname;
SELECT has_table_privilege('regress_st_app', 'smart.issuer', 'SELECT') AS issuer, has_table_privilege('regress_st_app', 'smart.session', 'SELECT') AS session;

-- LF-1, LF-2: The session expires while a transaction runs: each further statement on a protected table fails, an empty one's too, and
-- the next FETCH; what does not touch one goes on, and the session shows nothing.
SELECT smart.add_issuer('https://as.example', st.jwks('a'), '{https://fhir.example/r4}', max_token_age => '40000 days', leeway => '0');
SET ROLE regress_st_app;
PREPARE prepared AS SELECT count(*) FROM st.condition;
BEGIN;
SELECT st.login(jsonb_build_object('exp', st.clock(6)));
DECLARE cur CURSOR FOR SELECT id FROM st.observation ORDER BY id;
FETCH 1 FROM cur;
EXECUTE prepared;
SELECT count(*) FROM st.observation;
SELECT pg_sleep(6.1);
SELECT count(*) FROM smart.session;
SELECT smart.patient(), smart.claims();
SELECT st.why('SELECT count(*) FROM st.observation') AS "select", st.why('SELECT count(*) FROM st.condition') AS empty_table, st.why('EXECUTE prepared') AS prepared,
	st.why('FETCH 1 FROM cur') AS fetch, st.why('EXPLAIN ANALYZE SELECT FROM st.condition') AS analyze, st.why($$INSERT INTO st.condition SELECT id, resource FROM st.condition$$) AS no_new_row,
	st.why($$UPDATE st.condition SET id = id$$) AS "update", st.why($$DELETE FROM st.condition$$) AS "delete", st.why($$INSERT INTO st.observation VALUES ('n', st.obs('n', '1'))$$) AS "insert",
	st.why('SELECT 1') AS other_statement, st.why($$SELECT smart.require('Observation', 'r')$$) AS require, st.why($$SELECT smart.allows('Observation', 'r')$$) AS allows,
	st.why($$SELECT smart.permits(st.obs('n', '1'), 'r')$$) AS permits, st.why($$SELECT smart.set_interaction('read')$$) AS set_interaction;
-- a cursor is not even opened; EXPLAIN alone reads nothing
SELECT st.why('EXPLAIN SELECT FROM st.condition') AS explain;
DECLARE late CURSOR FOR SELECT id FROM st.observation;
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
-- A fresh login in the same transaction ends the trouble.
BEGIN;
SELECT st.login(jsonb_build_object('exp', st.clock(2)));
SELECT pg_sleep(2.1);
SELECT st.why('SELECT count(*) FROM st.observation');
SELECT st.login();
SELECT count(*) FROM st.observation;
COMMIT;
RESET ROLE;

\set ECHO none
\i :cleanup
