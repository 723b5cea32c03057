-- CDS Hooks 2.0: requests of CDS clients, the authorization that comes with them, and the one that a service gets (smart-rules 10).
\getenv srcdir PG_ABS_SRCDIR
\set prelude :srcdir '/data/oauth/tokens_prelude.sql'
\set cleanup :srcdir '/data/oauth/tokens_cleanup.sql'
\set ECHO none
\i :prelude
\set ECHO all
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on

-- CD-6, CD-7: who may call; keys as for clients.
SELECT smart.add_cds_client('https://ehr.test', jsonb_build_object('keys', jsonb_build_array(ot.key('a') - 'd')), 'https://ehr.test/jwks');
SELECT smart.add_cds_client('https://ten.test', jsonb_build_object('keys', jsonb_build_array(ot.key('b') - 'd')), NULL, '{t1,t2}');
SELECT smart.add_cds_client('', jsonb_build_object('keys', jsonb_build_array(ot.key('a') - 'd')));
SELECT smart.add_cds_client('https://x.test', jsonb_build_object('keys', jsonb_build_array(ot.key('a'))));
SELECT smart.add_cds_client('https://x.test', jsonb_build_object('keys', jsonb_build_array(ot.key('a') - 'd', ot.key('a') - 'd')));
SELECT smart.add_cds_client('https://x.test', '{"keys": []}');
SELECT smart.add_cds_client('https://x.test', jsonb_build_object('keys', jsonb_build_array(ot.key('a') - 'd')), 'http://x.test/jwks');
SELECT smart.add_cds_client('https://x.test', jsonb_build_object('keys', jsonb_build_array(ot.key('a') - 'd')), NULL, '{}');
SELECT smart.drop_cds_client('https://x.test');

-- OC-46, OC-90, OC-91. What a request has: a header with kid and typ (CD-2), iss, aud, exp, iat, jti (CD-3), an aud that is the address called (CD-4), a jti that was not
-- seen (CD-8). No JWT is refused as a bad one is (CD-1), all with one SQLSTATE and message, for a 401 without detail (CD-9).
CREATE FUNCTION ot.cds(change jsonb DEFAULT '{}', header jsonb DEFAULT '{}', key text DEFAULT 'a', iss text DEFAULT 'https://ehr.test') RETURNS text LANGUAGE sql AS $$
	SELECT ot.assertion(iss, jsonb_build_object('sub', null, 'aud', 'https://cds.test/cds-services/x', 'iat', floor(extract(epoch FROM clock_timestamp()))) || change, header, key)
$$;
CREATE FUNCTION ot.clock(seconds int) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb(floor(extract(epoch FROM clock_timestamp())) + seconds) $$;
\set VERBOSITY default
\set SHOW_CONTEXT never
DO $$
DECLARE
	c jsonb;
BEGIN
	CALL smart.verify_cds_request(ot.cds('{"jti": "once"}'), 'https://cds.test/cds-services/x', c);
	RAISE INFO '%', c - '{iat,exp}'::text[];
	CALL smart.verify_cds_request(ot.cds('{"aud": ["https://cds.test/cds-services", "https://cds.test/cds-services/x"]}', '{"jku": "https://ehr.test/jwks"}'), 'https://cds.test/cds-services', c);
	RAISE INFO '%', c->'aud';
END $$;
CALL smart.verify_cds_request(ot.cds('{"jti": "once"}'), 'https://cds.test/cds-services/x');
CALL smart.verify_cds_request(ot.cds(), 'https://cds.test/cds-services/y');
CALL smart.verify_cds_request(ot.cds('{}', '{}', 'a', 'https://other.test'), 'https://cds.test/cds-services/x');
CALL smart.verify_cds_request(ot.cds('{}', '{"kid": "a"}', 'b'), 'https://cds.test/cds-services/x');
CALL smart.verify_cds_request(ot.cds('{}', '{"jku": "https://ehr.test/other"}'), 'https://cds.test/cds-services/x');
CALL smart.verify_cds_request(ot.cds('{}', '{"typ": "at+jwt"}'), 'https://cds.test/cds-services/x');
CALL smart.verify_cds_request(ot.cds(jsonb_build_object('exp', ot.clock(-1))), 'https://cds.test/cds-services/x');
CALL smart.verify_cds_request(ot.cds(jsonb_build_object('exp', ot.clock(400))), 'https://cds.test/cds-services/x');
CALL smart.verify_cds_request(ot.cds('{"iat": null}'), 'https://cds.test/cds-services/x');
CALL smart.verify_cds_request(ot.cds('{"jti": null}'), 'https://cds.test/cds-services/x');
-- CD-5: no algorithm, or a symmetric one, with the public key as its secret too
CALL smart.verify_cds_request('eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.' || split_part(ot.cds(), '.', 2) || '.', 'https://cds.test/cds-services/x');
CALL smart.verify_cds_request(smart.jwt_sign(smart.jwt_payload(ot.cds()), '{"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}', '{"alg": "HS256", "kid": "a", "typ": "JWT"}'), 'https://cds.test/cds-services/x');
CALL smart.verify_cds_request(smart.jwt_sign(smart.jwt_payload(ot.cds()), jsonb_build_object('kty', 'oct', 'k', translate(encode(convert_to((ot.key('a') - 'd')::text, 'UTF8'), 'base64'), E'+/=\n', '-_')), '{"alg": "HS256", "kid": "a", "typ": "JWT"}'), 'https://cds.test/cds-services/x');
CALL smart.verify_cds_request('x', 'https://cds.test/cds-services/x');
CALL smart.verify_cds_request(NULL, 'https://cds.test/cds-services/x');
CALL smart.verify_cds_request(ot.cds(), NULL);
CALL smart.verify_cds_request(ot.cds('{}', '{}', 'b', 'https://ten.test'), 'https://cds.test/cds-services/x');
CALL smart.verify_cds_request(ot.cds('{"tenant": "t3"}', '{}', 'b', 'https://ten.test'), 'https://cds.test/cds-services/x');
\set VERBOSITY terse
DO $$
DECLARE
	c jsonb;
BEGIN
	CALL smart.verify_cds_request(ot.cds('{"tenant": "t2"}', '{}', 'b', 'https://ten.test'), 'https://cds.test/cds-services/x', c);
	RAISE INFO '%', c - '{iat,exp,jti}'::text[];
	-- the same jti of an assertion is another
	CALL smart.verify_cds_request(ot.cds('{"jti": "shared"}'), 'https://cds.test/cds-services/x', c);
	RAISE INFO '%', c->>'jti';
END $$;
BEGIN;
CALL smart.verify_cds_request(ot.cds(), 'https://cds.test/cds-services/x');
ROLLBACK;
SELECT smart.drop_cds_client('https://ten.test');
CALL smart.verify_cds_request(ot.cds('{"tenant": "t2"}', '{}', 'b', 'https://ten.test'), 'https://cds.test/cds-services/x');

-- What comes with a hook: nothing without fhirAuthorization (CF-6), not without fhirServer in https (CF-1), nor for another patient or user, nor with system/ (CF-5).
CREATE FUNCTION ot.hook(authorization_change jsonb DEFAULT '{}', change jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_strip_nulls('{"hook": "patient-view", "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea", "fhirServer": "https://fhir.test/r4", "context": {"userId": "Practitioner/7", "patientId": "p1"}}'::jsonb
		|| jsonb_build_object('fhirAuthorization', '{"access_token": "x", "token_type": "Bearer", "expires_in": 300, "scope": "patient/*.read user/Observation.rs", "subject": "cds1", "patient": "p1"}'::jsonb || authorization_change) || change)
$$;
SELECT smart.check_cds_authorization(ot.hook());
SELECT smart.check_cds_authorization(ot.hook() - 'fhirAuthorization') IS NULL AS none;
\set VERBOSITY default
SELECT smart.check_cds_authorization(ot.hook() - 'fhirServer');
SELECT smart.check_cds_authorization(ot.hook('{}', '{"fhirServer": "http://fhir.test/r4"}'));
SELECT smart.check_cds_authorization(ot.hook('{"patient": "p2"}'));
SELECT smart.check_cds_authorization(ot.hook('{"patient": null}'));
SELECT smart.check_cds_authorization(ot.hook('{"scope": "user/Observation.rs"}', '{"context": {"patientId": "p1"}}'));
SELECT smart.check_cds_authorization(ot.hook('{"scope": "system/Observation.rs"}'));
SELECT smart.check_cds_authorization(ot.hook('{"scope": "patient/Observation.sr"}'));
SELECT smart.check_cds_authorization(ot.hook('{"token_type": "mac"}'));
SELECT smart.check_cds_authorization(ot.hook('{"expires_in": "300"}'));
SELECT smart.check_cds_authorization(ot.hook('{"subject": null}'));
SELECT smart.check_cds_authorization(ot.hook('{}', '{"fhirAuthorization": "x"}'));
\set VERBOSITY terse
SELECT smart.check_cds_authorization('[]');
SELECT smart.check_cds_authorization(NULL);

-- OC-92: the authorization for a service that is called, by its name, for patient and user of the call (CF-2), for a minute (CF-3), of a client that is registered
-- and enabled (CF-4), bound to the call (CF-7); it is a token of this server.
SELECT smart.register_client('{"client_id": "cds1", "token_endpoint_auth_method": "none", "redirect_uris": ["https://cds.test/"], "scope": "patient/*.rs user/Observation.rs openid offline_access"}') IS NOT NULL;
SELECT smart.cds_authorization('cds1', ot.hook(), 'patient/Observation.rs user/Observation.read') AS a \gset
SELECT :'a'::jsonb - 'access_token', ot.claims(:'a'::jsonb->>'access_token');
SELECT smart.login(:'a'::jsonb->>'access_token', false);
SELECT patient, fhir_user, scope, client_id FROM smart.session;
SELECT smart.disable_client('cds1');
SELECT count(*) FROM smart.session;
SELECT smart.cds_authorization('cds1', ot.hook(), 'patient/Observation.rs');
SELECT smart.enable_client('cds1');
SELECT (smart.cds_authorization('cds1', ot.hook('{}', '{"context": {"patientId": "p1"}}'), 'patient/Observation.rs', 300) ->> 'expires_in');
CREATE FUNCTION ot.why(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	d text;
BEGIN
	EXECUTE command;
	RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL;
	RETURN sqlstate || ' ' || d;
END $$;
SELECT ot.why('SELECT smart.cds_authorization(' || arguments || ')') FROM (VALUES
	($$'cds1', ot.hook(), 'system/Observation.rs'$$), ($$'cds1', ot.hook(), 'openid patient/Observation.rs'$$), ($$'cds1', ot.hook(), 'offline_access patient/Observation.rs'$$),
	($$'cds1', ot.hook(), 'patient/Observation.cruds'$$), ($$'cds1', ot.hook(), 'patient/Observation.sr'$$), ($$'cds1', ot.hook(), ''$$), ($$'cds1', ot.hook(), NULL$$),
	($$'cds2', ot.hook(), 'patient/Observation.rs'$$), ($$NULL, ot.hook(), 'patient/Observation.rs'$$), ($$'cds1', ot.hook(), 'patient/Observation.rs', 0$$), ($$'cds1', ot.hook(), 'patient/Observation.rs', 301$$),
	($$'cds1', ot.hook('{}', '{"hookInstance": "x"}'), 'patient/Observation.rs'$$), ($$'cds1', ot.hook('{}', '{"context": {"userId": "Practitioner/7"}}'), 'patient/Observation.rs'$$),
	($$'cds1', ot.hook('{}', '{"context": {"patientId": "p1"}}'), 'user/Observation.rs'$$), ($$'cds1', ot.hook('{}', '{"context": {"patientId": "p1", "userId": "Device/1"}}'), 'user/Observation.rs'$$),
	($$'cds1', ot.hook('{}', '{"fhirServer": "https://other.test"}'), 'patient/Observation.rs'$$), ($$'cds1', NULL, 'patient/Observation.rs'$$)) AS listed (arguments);

\set ECHO none
\i :cleanup
