-- smart.approve(), consents and how they end (smart-rules 8.2, 8.3, 11).
\getenv srcdir PG_ABS_SRCDIR
\set prelude :srcdir '/data/oauth/prelude.sql'
\set cleanup :srcdir '/data/oauth/cleanup.sql'
\set ECHO none
\i :prelude
\set ECHO all
\set VERBOSITY terse
SELECT oa.configure(), oa.clients();

-- What is wrong in an approval is the front end's mistake.
SELECT approval, oa.why(format('SELECT smart.approve(oa.request(), %L)', approval)) FROM unnest(ARRAY[NULL, '[]', '{}', '{"sub":"alice"}', '{"scope":"openid"}', '{"sub":"","scope":""}', '{"sub":7,"scope":""}',
	'{"sub":"web","scope":""}', '{"sub":"é","scope":""}', '{"sub":"alice","scope":"patient/*.x"}', '{"sub":"alice","scope":7}', '{"sub":"alice","scope":"","fhirUser":"x"}', '{"sub":"alice","scope":"","fhirUser":"https://other.example/Patient/1"}',
	'{"sub":"alice","scope":"","patient":"Patient/1"}', '{"sub":"alice","scope":"","encounter":7}', '{"sub":"alice","scope":"","auth_time":"x"}', '{"denied":"yes"}']) approval;
SELECT oa.why('SELECT smart.approve(NULL, ''{"denied":true}'')');
-- max_age and prompt=login need a login that is fresh
CREATE FUNCTION oa.fresh(change jsonb, seconds numeric) RETURNS text LANGUAGE sql AS $$
	SELECT oa.why(format('SELECT smart.approve(oa.request(%L), %L)', change, jsonb_strip_nulls(jsonb_build_object('sub', 'alice', 'scope', '', 'auth_time', floor(extract(epoch FROM now()) - seconds)))))
$$;
SELECT change, seconds, oa.fresh(change, seconds) FROM (VALUES ('{"max_age":"100"}'::jsonb, NULL::numeric), ('{"max_age":"100"}', 690), ('{"max_age":"100"}', 800), ('{"prompt":"login"}', NULL), ('{"prompt":"login"}', 590), ('{"prompt":"login"}', 610), ('{}', 10000), ('{}', -1000)) t (change, seconds);

-- The answers: code, state and iss (AR-7, AR-8, OC-99), or an error; a bad request is answered as authorize() does.
SELECT change, approval, oa.brief(answer), oa.parameter(answer, 'state') AS state, oa.parameter(answer, 'iss') AS iss FROM (VALUES
	('{}'::jsonb, '{"sub":"alice","fhirUser":"Patient/1","scope":"patient/*.rs"}'::jsonb), ('{}', '{"denied":true}'), ('{}', '{"sub":"alice","scope":""}'),
	('{"redirect_uri":"https://evil.example"}', '{"denied":true}'), ('{"client_id":"nobody"}', '{"denied":true}'), ('{"aud":null}', '{"denied":true}'), ('{"state":"\u00e4 &"}', '{"denied":true}'), ('{"state":null}', '{"denied":true}')) t (change, approval),
	LATERAL smart.approve(oa.request(change), approval) answer;

-- What is granted: request, client, server and approval in common; never more than was ticked.
CREATE FUNCTION oa.granted(change jsonb, approval jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer jsonb := smart.approve(oa.request(change), '{"sub":"alice"}' || approval);
	g record;
BEGIN
	IF oa.parameter(answer, 'code') IS NULL THEN
		RETURN oa.brief(answer);
	END IF;
	SELECT * INTO g FROM smart_internal.oauth_grant ORDER BY granted_at DESC LIMIT 1;
	RETURN concat_ws('; ', g.scope, 'patient ' || g.patient, 'encounter ' || g.encounter, g.fhir_user, g.refresh, nullif(g.context, '{}')::text);
END $$;
SELECT approval, oa.granted('{"scope":"openid fhirUser launch/patient patient/Observation.read patient/Condition.rs user/Patient.rs offline_access"}', approval) FROM unnest(ARRAY[
	'{"fhirUser":"Patient/1","scope":"patient/*.cruds user/*.cruds offline_access"}', '{"fhirUser":"Patient/1","scope":"patient/Observation.r"}',
	'{"fhirUser":"Patient/1","scope":"patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory"}',
	'{"fhirUser":"Patient/1","scope":"patient/Observation.rs?category=laboratory patient/Observation.rs?category=vital-signs"}',
	'{"fhirUser":"Patient/1","scope":"offline_access"}', '{"fhirUser":"Patient/1","scope":"system/*.cruds patient/Device.rs"}', '{"fhirUser":"Practitioner/1","scope":"user/Patient.rs patient/Condition.rs"}',
	'{"scope":"user/Patient.rs patient/Condition.rs"}', '{"fhirUser":"Device/1","scope":"user/Patient.rs"}', '{"scope":"patient/Condition.rs","fhirUser":"https://fhir.example/fhir/RelatedPerson/r1"}']::jsonb[]) approval;
-- neither a resource scope nor openid is left (OC-73)
SELECT oa.granted('{"scope":"launch/patient patient/*.rs"}', '{"scope":"patient/*.rs"}'), oa.granted('{"scope":"launch/patient"}', '{"scope":"launch/patient"}'), oa.granted('{"scope":"launch/patient offline_access patient/*.rs"}', '{"fhirUser":"Patient/1","scope":"offline_access"}');
-- the patient: oneself, one of user_patients, any with user_sees_all (CX-4)
SELECT approval, oa.granted('{}', approval) FROM unnest(ARRAY['{"fhirUser":"Patient/1","patient":"1","scope":"patient/*.rs"}', '{"fhirUser":"Patient/1","patient":"2","scope":"patient/*.rs"}',
	'{"fhirUser":"Practitioner/1","patient":"1","scope":"patient/*.rs"}', '{"patient":"1","scope":"patient/*.rs"}']::jsonb[]) approval;
CREATE FUNCTION oa.patients_of(claims jsonb) RETURNS text[] LANGUAGE plpgsql AS $$
BEGIN
	IF claims->>'sub' = 'broken' THEN
		RAISE EXCEPTION 'no patients of %', current_user;
	END IF;
	RETURN CASE WHEN claims @> '{"iss":"https://as.example/auth","sub":"alice","client_id":"web","fhirUser":"https://fhir.example/fhir/RelatedPerson/1"}' THEN ARRAY['5', '6'] WHEN claims->>'fhirUser' LIKE '%/Practitioner/none' THEN '{}'::text[] END;
END $$;
SELECT oa.configure('{"user_patients":"oa.patients_of(jsonb)","user_sees_all":true}');
SELECT approval, oa.granted('{}', approval) FROM unnest(ARRAY['{"fhirUser":"RelatedPerson/1","patient":"6","scope":"patient/*.rs"}', '{"fhirUser":"RelatedPerson/1","patient":"7","scope":"patient/*.rs"}', '{"fhirUser":"RelatedPerson/2","patient":"7","scope":"patient/*.rs"}',
	'{"fhirUser":"Practitioner/1","patient":"7","scope":"patient/*.rs"}', '{"fhirUser":"Practitioner/none","patient":"7","scope":"patient/*.rs"}', '{"fhirUser":"Patient/1","patient":"1","scope":"patient/*.rs"}', '{"fhirUser":"Patient/1","patient":"2","scope":"patient/*.rs"}']::jsonb[]) approval;
SELECT oa.why($$SELECT smart.approve(oa.request(), '{"sub":"broken","patient":"7","scope":"patient/*.rs"}')$$) AS error_of_user_patients;
-- not one of a temporary schema either, by whomever it was written
CREATE FUNCTION pg_temp.all_patients(jsonb) RETURNS text[] LANGUAGE sql AS $$ SELECT '{7}'::text[] $$;
UPDATE smart_internal.oauth_configuration SET options = options || jsonb_build_object('user_patients', pg_my_temp_schema()::regnamespace || '.all_patients(jsonb)');
SELECT oa.why($$SELECT smart.approve(oa.request(), '{"sub":"alice","patient":"7","scope":"patient/*.rs"}')$$) AS temporary_user_patients;
SELECT oa.configure();
-- the encounter
SELECT oa.granted('{"scope":"openid launch/encounter"}', '{"scope":"openid","encounter":"e1"}') AS dropped;
SELECT oa.configure('{"encounter_picker":true}');
SELECT oa.granted('{"scope":"openid launch/encounter"}', '{"scope":"openid","encounter":"e1"}') AS as_given, oa.granted('{"scope":"openid launch/encounter"}', '{"scope":"openid"}') AS none_given;
SELECT oa.configure();

-- An EHR launch: its patient and encounter, its person; the handle is spent by every redirect to its client.
CREATE FUNCTION oa.launched(approval jsonb, context jsonb DEFAULT '{"patient":"7","encounter":"e7","intent":"order","need_patient_banner":false}', scope text DEFAULT 'launch openid patient/*.rs user/*.rs') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	handle text := smart.create_launch('web', context, 'Practitioner/b', 'bob');
	said text := oa.granted(jsonb_build_object('launch', handle, 'scope', scope), approval);
BEGIN
	RETURN said || CASE WHEN EXISTS (SELECT FROM smart_internal.oauth_launch WHERE hash = sha256(convert_to(handle, 'UTF8'))) THEN ' (handle kept)' ELSE '' END;
END $$;
SELECT approval, oa.launched(approval) FROM unnest(ARRAY['{"sub":"bob","fhirUser":"Practitioner/b","scope":"patient/*.rs user/*.rs"}', '{"sub":"bob","fhirUser":"https://fhir.example/fhir/Practitioner/b","patient":"7","encounter":"e7","scope":"patient/*.rs"}',
	'{"sub":"bob","fhirUser":"Practitioner/b","patient":"8","scope":"patient/*.rs"}', '{"sub":"bob","fhirUser":"Practitioner/b","encounter":"e8","scope":"patient/*.rs"}', '{"sub":"eve","fhirUser":"Practitioner/b","scope":"patient/*.rs"}',
	'{"sub":"bob","fhirUser":"Practitioner/c","scope":"patient/*.rs"}', '{"sub":"bob","scope":"patient/*.rs"}', '{"denied":true}', '{"sub":"bob","fhirUser":"Practitioner/b","scope":""}']::jsonb[]) approval;
SELECT oa.launched('{"sub":"bob","fhirUser":"Practitioner/b","scope":"patient/*.rs"}', '{}') AS without_patient, oa.launched('{"sub":"bob","fhirUser":"Practitioner/b","scope":"patient/*.rs"}', '{}', 'launch patient/*.rs') AS nothing_left;
-- once (LA-2, OC-43)
SELECT smart.create_launch('web', '{"patient":"7"}', NULL, 'bob') AS handle \gset
SELECT n, oa.brief(smart.approve(oa.request(jsonb_build_object('launch', :'handle', 'scope', 'launch patient/*.rs', 'n', n::text)), '{"sub":"bob","scope":"patient/*.rs"}')) FROM generate_series(1, 2) n;
-- a ROLLBACK takes code and burn together
SELECT smart.create_launch('web', '{"patient":"7"}', NULL, 'bob') AS handle \gset
SELECT count(*) AS codes FROM smart_internal.oauth_code \gset
BEGIN;
SELECT oa.brief(smart.approve(oa.request(jsonb_build_object('launch', :'handle', 'scope', 'launch patient/*.rs')), '{"sub":"bob","scope":"patient/*.rs"}'));
ROLLBACK;
SELECT count(*) - :codes AS codes, oa.brief(smart.authorize(oa.request(jsonb_build_object('launch', :'handle', 'scope', 'launch patient/*.rs')))) AS handle FROM smart_internal.oauth_code;
-- a client that was disabled meanwhile: its handles are void, also when it is enabled again
SELECT smart.disable_client('web');
SELECT smart.enable_client('web');
SELECT oa.brief(smart.authorize(oa.request(jsonb_build_object('launch', :'handle', 'scope', 'launch patient/*.rs')))) AS after_disabling;

-- CE-4, CE-7, LF-18: codes are random, short-lived, and stored as hashes alone.
SELECT oa.parameter(smart.approve(oa.request(), '{"sub":"alice","fhirUser":"Patient/1","scope":"patient/*.rs"}'), 'code') AS code \gset
SELECT length(:'code') AS length, expires_at - made_at AS lifetime, client_id, redirect_uri FROM smart_internal.oauth_code WHERE hash = sha256(convert_to(:'code', 'UTF8'));

-- The context of the launch comes out of the token endpoint, appContext of a CDS Hooks link too (LC-1, RF-13, CF-8); introspection is
-- offered, says "active", and asks for a bearer at least (TI-2, TI-9, TI-10, TI-12).
SELECT smart.create_launch('public', '{"patient":"7","appContext":"{\"a\":1}","intent":"order","need_patient_banner":true,"https://ns.example/x":[1]}', NULL, 'bob') AS handle \gset
SELECT oa.parameter(smart.approve(oa.request(jsonb_build_object('client_id', 'public', 'redirect_uri', 'https://public.example/cb', 'launch', :'handle', 'scope', 'launch patient/*.rs')), '{"sub":"bob","scope":"patient/*.rs"}'), 'code') AS code \gset
SELECT jsonb_build_object('grant_type', 'authorization_code', 'client_id', 'public', 'redirect_uri', 'https://public.example/cb', 'code_verifier', 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk', 'code', :'code') AS exchange \gset
-- ER-3: another client with a good code
CALL smart.token(:'exchange'::jsonb || '{"client_id":"native"}', '{}') \gset
SELECT :'response'::jsonb->'status' AS another_client, :'response'::jsonb->'body'->'error' AS error;
CALL smart.token(:'exchange'::jsonb, '{}') \gset
SELECT :'response'::jsonb->'status' AS status, (:'response'::jsonb->'body') - 'access_token' AS body;
SELECT :'response'::jsonb->'body'->>'access_token' AS token \gset
CALL smart.introspect(jsonb_build_object('token', :'token'), '{}') \gset
SELECT :'response'::jsonb->'status' AS nobody;
CALL smart.introspect(jsonb_build_object('token', :'token'), jsonb_build_object('authorization', 'Bearer ' || :'token')) \gset
SELECT :'response'::jsonb->'status' AS status, (:'response'::jsonb->'body') - '{exp,iat,jti,grant_id}'::text[] AS body;
-- what the token opens is withdrawn with the consent
SELECT smart.withdraw_grant('bob', 'public');
CALL smart.introspect(jsonb_build_object('token', :'token'), jsonb_build_object('authorization', 'Bearer ' || :'token')) \gset
SELECT :'response'::jsonb->'status' AS withdrawn;

-- Consents: a person, client and patient a row; withdrawn at once, its tokens with it (LF-12, LF-13).
SELECT smart.disable_client('web'), smart.enable_client('web');
SELECT count(*) AS after_disabling FROM smart.grants;
SELECT oa.granted('{"scope":"openid launch/patient patient/Observation.rs"}', '{"fhirUser":"Patient/1","scope":"patient/*.rs"}'), oa.granted('{"scope":"openid launch/patient patient/Condition.rs offline_access"}', '{"fhirUser":"Patient/1","scope":"patient/*.rs offline_access"}'),
	oa.granted('{"client_id":"public","redirect_uri":"https://public.example/cb","scope":"openid launch/patient patient/*.rs online_access"}', '{"fhirUser":"Patient/1","scope":"patient/*.rs online_access"}');
SELECT sub, client_id, client_name, patient, fhir_user, scope, granted_at <= now() AS granted, used_at, expires_at - granted_at > '90 days' AS quarter FROM smart.grants ORDER BY 2 DESC;
SELECT smart.withdraw_grant('alice', 'web', '2'), smart.withdraw_grant('eve', 'web'), smart.withdraw_grant('alice', 'nothing');
SELECT client_id FROM smart.grants ORDER BY 1;
DELETE FROM smart.revocation;
SELECT smart.withdraw_grant('alice', 'web', '1');
SELECT client_id FROM smart.grants ORDER BY 1;
SELECT count(*) AS revoked, bool_and(grant_id IS NOT NULL AND jti IS NULL AND client_id IS NULL AND subject IS NULL AND issued_before IS NULL) AS by_grant_id FROM smart.revocation;
SELECT oa.why('SELECT smart.withdraw_grant(NULL, ''web'')'), oa.why('SELECT smart.end_user_session(NULL)');
-- a new consent in the same second counts
SELECT oa.granted('{"scope":"openid launch/patient patient/Observation.rs"}', '{"fhirUser":"Patient/1","scope":"patient/*.rs"}');
SELECT client_id, scope FROM smart.grants ORDER BY 1;
-- RF-9: the end of the session ends what has online_access and open codes, not offline_access
SELECT oa.granted('{"scope":"openid launch/patient patient/*.rs offline_access"}', '{"sub":"dora","fhirUser":"Patient/1","session":"s1","scope":"patient/*.rs offline_access"}'), oa.granted('{"scope":"openid launch/patient patient/*.rs online_access"}', '{"sub":"dora","fhirUser":"Patient/2","session":"s2","scope":"patient/*.rs online_access"}');
UPDATE smart_internal.oauth_code SET used_at = clock_timestamp() WHERE grant_id IN (SELECT grant_id FROM smart_internal.oauth_grant WHERE sub = 'dora');
SELECT smart.end_user_session('dora', 's1');
SELECT patient FROM smart.grants WHERE sub = 'dora' ORDER BY 1;
SELECT smart.end_user_session('dora');
SELECT patient FROM smart.grants WHERE sub = 'dora' ORDER BY 1;

-- After a restore: open codes and handles are void, what was given or used since is over.
SELECT smart.create_launch('web', '{"patient":"7"}', NULL, 'bob') IS NOT NULL;
SELECT smart.after_restore(now() + interval '1 hour');
SELECT (SELECT count(*) FROM smart_internal.oauth_launch) AS handles, (SELECT count(*) FROM smart_internal.oauth_code WHERE used_at IS NULL) AS codes;
SELECT sub, patient FROM smart.grants;
SELECT smart.after_restore('2000-01-01');
SELECT count(*) FROM smart.grants;
SELECT oa.why('SELECT smart.after_restore(NULL)');
\set ECHO none
\i :cleanup

