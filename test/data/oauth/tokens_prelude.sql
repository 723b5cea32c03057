-- What the tests of the token endpoints share: a configured server, five clients, codes as approve() makes them, helpers.
-- Keys are those of RFC 7517 A.2 (P-256) and RFC 7515 A.3.
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE EXTENSION IF NOT EXISTS smart_fhir_oauth;
DROP SCHEMA IF EXISTS ot CASCADE;
DROP ROLE IF EXISTS regress_ot_protocol, regress_ot_other;
CREATE ROLE regress_ot_protocol;
CREATE ROLE regress_ot_other;
CREATE SCHEMA ot;
GRANT USAGE ON SCHEMA ot TO PUBLIC;
DO $$ BEGIN
	PERFORM smart.configure_server('{"issuer": "https://as.test", "fhir_base_urls": ["https://fhir.test/r4"], "userinfo_endpoint": "https://as.test/userinfo"}');
	PERFORM smart.grant_oauth('regress_ot_protocol', 'protocol');
END $$;
CREATE FUNCTION ot.key(name text) RETURNS jsonb IMMUTABLE LANGUAGE sql AS $$
	SELECT CASE name
		WHEN 'a' THEN '{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}'
		WHEN 'b' THEN '{"kty":"EC","crv":"P-256","kid":"b","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}'
	END::jsonb
$$;
CREATE TABLE ot.client (client_id text PRIMARY KEY, secret text);
INSERT INTO ot.client SELECT r->>'client_id', r->>'client_secret' FROM (VALUES
	('{"client_id": "pub", "client_name": "Public", "token_endpoint_auth_method": "none", "offline_access": true, "redirect_uris": ["https://app.test/cb", "https://app.test/cb2"],
	  "scope": "openid fhirUser launch launch/patient offline_access online_access patient/*.rs user/*.rs"}'::jsonb),
	('{"client_id": "basic", "token_endpoint_auth_method": "client_secret_basic", "redirect_uris": ["https://app.test/cb"],
	  "scope": "openid fhirUser launch/patient offline_access online_access patient/*.rs user/*.rs"}'),
	('{"client_id": "post", "token_endpoint_auth_method": "client_secret_post", "redirect_uris": ["https://app.test/cb"], "introspection": "any",
	  "scope": "openid fhirUser launch/patient offline_access patient/*.rs"}'),
	(jsonb_build_object('client_id', 'jwt', 'token_endpoint_auth_method', 'private_key_jwt', 'token_endpoint_auth_signing_alg', 'ES256', 'redirect_uris', jsonb_build_array('https://app.test/cb'),
	  'grant_types', jsonb_build_array('authorization_code', 'refresh_token', 'client_credentials'),
	  'scope', 'openid offline_access patient/*.rs system/Observation.rs system/Patient.read', 'jwks', jsonb_build_object('keys', jsonb_build_array(ot.key('a') - 'd')))),
	(jsonb_build_object('client_id', 'uri', 'token_endpoint_auth_method', 'private_key_jwt', 'token_endpoint_auth_signing_alg', 'ES256', 'jwks_uri', 'https://uri.test/jwks',
	  'assertion_audience', 'issuer', 'assertion_typ_optional', true, 'grant_types', jsonb_build_array('client_credentials'), 'scope', 'system/*.rs'))) AS made (metadata),
	LATERAL (SELECT smart.register_client(metadata)) AS registered (r);
DO $$ BEGIN
	PERFORM smart.set_client_jwks('uri', jsonb_build_object('keys', jsonb_build_array(ot.key('b') - 'd')));
END $$;

CREATE FUNCTION ot.secret(id text) RETURNS text LANGUAGE sql AS 'SELECT secret FROM ot.client WHERE client_id = id';

-- A grant and its code, as smart.approve() makes them; the verifier's challenge is that of RFC 7636 B. changes are columns of either.
CREATE FUNCTION ot.code(client text, scope text, changes jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	made text := 'smart_' || rtrim(translate(encode(sha256(gen_random_uuid()::text::bytea), 'base64'), '+/', '-_'), '=');
	g text := coalesce(changes->>'grant_id', gen_random_uuid()::text);
	at timestamptz := clock_timestamp();
BEGIN
	INSERT INTO smart_internal.oauth_grant SELECT (jsonb_populate_record(NULL::smart_internal.oauth_grant, jsonb_build_object('grant_id', g, 'client_id', client, 'sub', 'alice',
		'patient', 'p1', 'fhir_user', 'https://fhir.test/r4/Patient/p1', 'audience', 'https://fhir.test/r4', 'scope', scope, 'context', jsonb_build_object(),
		'refresh', CASE WHEN scope ~ 'offline_access' THEN 'offline' WHEN scope ~ 'online_access' THEN 'online' END,
		'granted_at', at, 'expires_at', at + interval '1 day') || changes)).*;
	INSERT INTO smart_internal.oauth_code SELECT (jsonb_populate_record(NULL::smart_internal.oauth_code, jsonb_build_object('grant_id', g, 'client_id', client,
		'redirect_uri', 'https://app.test/cb', 'code_challenge', 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM', 'made_at', at,
		'expires_at', at + interval '1 minute', 'kept_until', at + interval '1 day') || (changes - '{client_id,grant_id,scope,expires_at,kept_until}'::text[])
		|| CASE WHEN changes ? 'code_expires_at' THEN jsonb_build_object('expires_at', changes->'code_expires_at') ELSE '{}' END || jsonb_build_object('hash', sha256(made::bytea)))).*;
	RETURN made;
END $$;
-- An assertion of RFC 7523, changed; a JSON null takes a member away.
CREATE FUNCTION ot.assertion(client text DEFAULT 'jwt', change jsonb DEFAULT '{}', header jsonb DEFAULT '{}', key text DEFAULT 'a') RETURNS text LANGUAGE sql AS $$
	SELECT smart.jwt_sign((SELECT jsonb_object_agg(k, v) FROM jsonb_each(jsonb_build_object('iss', client, 'sub', client, 'aud', 'https://as.test/token', 'jti', gen_random_uuid(),
		'exp', floor(extract(epoch FROM clock_timestamp())) + 240) || change) AS e (k, v) WHERE v <> 'null'), ot.key(key), '{"typ": "JWT"}'::jsonb || header)
$$;
CREATE FUNCTION ot.asserted(assertion text) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer', 'client_assertion', assertion)
$$;
CREATE FUNCTION ot.basic(id text, secret text DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('authorization', 'Basic ' || translate(encode(convert_to(id || ':' || coalesce(secret, (SELECT c.secret FROM ot.client c WHERE c.client_id = id)), 'UTF8'), 'base64'), E'\n', ''))
$$;
CREATE FUNCTION ot.exchange(code text) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('grant_type', 'authorization_code', 'code', code, 'redirect_uri', 'https://app.test/cb', 'code_verifier', 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk')
$$;
-- The endpoints; last is the answer of the call before.
CREATE TABLE ot.answer (response jsonb);
CREATE PROCEDURE ot.call(endpoint text, request jsonb, headers jsonb DEFAULT '{}') LANGUAGE plpgsql AS $$
DECLARE
	r jsonb;
BEGIN
	IF endpoint = 'token' THEN CALL smart.token(request, headers, r);
	ELSIF endpoint = 'introspect' THEN CALL smart.introspect(request, headers, r);
	ELSE CALL smart.revoke(request, headers, r);
	END IF;
	DELETE FROM ot.answer;
	INSERT INTO ot.answer VALUES (r);
END $$;
CREATE FUNCTION ot.last() RETURNS jsonb LANGUAGE sql AS 'SELECT response FROM ot.answer';
-- status and error, or status and the names of the body's members
CREATE FUNCTION ot.short(answer jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', answer->>'status', coalesce(answer->'body'->>'error', (SELECT string_agg(k, ',' ORDER BY k) FROM jsonb_object_keys(CASE WHEN answer->'body' = 'null' THEN '{}' ELSE answer->'body' END) k)),
		answer->'headers'->>'www-authenticate')
$$;
CREATE FUNCTION ot.short() RETURNS text LANGUAGE sql AS 'SELECT ot.short(ot.last())';
CREATE FUNCTION ot.access() RETURNS text LANGUAGE sql AS $$ SELECT ot.last() #>> '{body,access_token}' $$;
CREATE FUNCTION ot.claims(token text) RETURNS jsonb LANGUAGE sql AS $$ SELECT smart.jwt_payload(token) - '{iat,exp,jti,grant_id}'::text[] $$;
GRANT ALL ON ALL TABLES IN SCHEMA ot TO PUBLIC;
