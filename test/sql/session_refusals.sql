-- What a refused login says: the claim, the option or the limit that is to blame, and what mends it; never a value. diagnose() says it
-- all at once, by the same checks.
\getenv srcdir PG_ABS_SRCDIR
\set prelude :srcdir '/data/session/prelude.sql'
\set cleanup :srcdir '/data/session/cleanup.sql'
\set ECHO none
\i :prelude
\set ECHO all
SET client_min_messages = warning;

CREATE FUNCTION st.says(token text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE d text; h text; c text;
BEGIN
	PERFORM smart.login(token);
	RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT, c = CONSTRAINT_NAME;
	RETURN concat_ws(E'\n  ', sqlstate || ' ' || c, regexp_replace(d, '[0-9]+ h[^,]* (ago|ahead)', 'N h \1'), 'HINT ' || nullif(h, ''));
END $$;
SELECT smart.add_issuer('https://as.example', st.jwks('a', 'b', 'ed'), '{https://fhir.example/r4}', client_ids => '{app1}');
CREATE TEMP TABLE tokens (n int, what text, token text);
INSERT INTO tokens
SELECT row_number() OVER (), * FROM (VALUES
	('good', st.token(jsonb_build_object('iat', st.clock(0), 'exp', st.clock(300)))),
	('Bearer', 'Bearer ' || st.token()),
	('quotes', '"' || st.token() || '"'),
	('opaque', '2YotnFZFEjr1zCsicMWpAA'),
	('encrypted', 'a.b.c.d.e'),
	('crit', 'eyJhbGciOiJFUzI1NiIsImNyaXQiOlsieCJdLCJ4IjoxfQ.e30.YQ'),
	('issuer with a slash', st.token('{"iss":"https://as.example/"}')),
	('typ', st.token('{}', '{"typ":"x"}')),
	('kid of no key', smart.jwt_sign(st.claims(), st.key('a') || '{"kid":"elsewhere"}')),
	('no kid, two keys fit', smart.jwt_sign(st.claims(), st.key('a') - 'kid')),
	('aud', st.token('{"aud":"https://fhir.example/r4/"}')),
	('no aud', st.token('{"aud":null}')),
	('expired', st.token('{"exp":1700000100}')),
	('26 hours', st.token(jsonb_build_object('iat', floor((st.clock(0))::float8), 'exp', floor((st.clock(0))::float8) + 26 * 3600))),
	('no jti', st.token(jsonb_build_object('iat', st.clock(0), 'exp', st.clock(300), 'jti', NULL))),
	('no jti, no sub', st.token(jsonb_build_object('iat', st.clock(0), 'exp', st.clock(300), 'jti', NULL, 'sub', NULL))),
	('client', st.token(jsonb_build_object('iat', st.clock(0), 'exp', st.clock(300), 'client_id', 'app2'))),
	('ID token', st.token(jsonb_build_object('iat', st.clock(0), 'exp', st.clock(300), 'nonce', 'n'))),
	('cnf', st.token(jsonb_build_object('iat', st.clock(0), 'exp', st.clock(300), 'cnf', '{}'::jsonb)))) v (what, token);
\pset format unaligned
SELECT what, st.says(token) FROM tokens ORDER BY n;
\pset format aligned

-- No line of DETAIL or HINT is empty, and none has a value of the token.
SELECT what FROM tokens WHERE st.says(token) ~ '(u1|app2|elsewhere|other\.example|j1)' OR st.says(token) ~ E'HINT *(\n|$)' ORDER BY n;

-- diagnose() asks the checks of login(): a token is accepted exactly when none fails, and every failing one is told.
SELECT what, st.says(token) = 'accepted' AS accepted,
	(SELECT coalesce(string_agg(step, ', '), '-') FROM smart.diagnose(token) WHERE NOT ok) AS failing,
	(SELECT count(*) FROM smart.diagnose(token) WHERE ok IS NULL) AS not_asked
FROM tokens ORDER BY n;
-- What the session would see, type by type, and what of the claims was of no use.
SELECT smart.add_issuer('https://as.example', st.jwks('a'), '{https://fhir.example/r4}', max_token_age => '40000 days');
SELECT step, ok, expected, found FROM smart.diagnose(st.token('{"scope":"patient/Observation.rs user/Condition.cruds patient/Condition.rs?nonsense=1 patient.Patient.read","scp":"system/*.rs"}'))
WHERE step ~ 'sees|ignored|/' ORDER BY step COLLATE "C", found COLLATE "C";
-- By the rules of another issuer.
SELECT step, ok, found FROM smart.diagnose(st.token('{"iss":"https://as.example/"}'), 'https://as.example') WHERE NOT ok;
-- Nobody is logged in by it, nor out.
SELECT smart.login(st.token(), false);
SELECT count(*) > 20 AS asked FROM smart.diagnose(st.token('{"patient":"2"}'));
SELECT smart.patient();
SELECT count(*) FROM smart.diagnose('x');
SELECT smart.patient();
SELECT smart.logout();
SELECT step, ok, found FROM smart.diagnose(NULL);
SELECT step, ok, found FROM smart.diagnose(repeat('x', 1000000));
SELECT has_function_privilege('regress_st_app', 'smart.diagnose(text, text)', 'EXECUTE');
-- Context functions run for a good signature only, and one that fails is told.
CREATE FUNCTION st.of_user(claims jsonb) RETURNS text[] LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'asked'; RETURN ARRAY[1 / (claims ->> 'by')::int]; END $$;
SELECT smart.add_issuer('https://as.example', st.jwks('a'), '{https://fhir.example/r4}', max_token_age => '40000 days', user_patients => 'st.of_user(jsonb)');
SELECT step, ok, found FROM smart.diagnose(st.token('{"fhirUser":"Practitioner/p","by":1}')) WHERE step IN ('context functions', 'session');
SELECT step, ok, found FROM smart.diagnose(st.token('{"fhirUser":"Practitioner/p","by":0}')) WHERE step IN ('context functions', 'session');
SELECT step, ok, found FROM smart.diagnose(smart.jwt_sign(st.claims('{"fhirUser":"Practitioner/p","by":1}'), st.key('b') || '{"kid":"a"}')) WHERE step IN ('signature', 'session');
\set ECHO none
\i :cleanup
