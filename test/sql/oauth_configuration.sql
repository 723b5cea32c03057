-- smart.configure_server() and the signing keys.
\getenv srcdir PG_ABS_SRCDIR
\set prelude :srcdir '/data/oauth/prelude.sql'
\set cleanup :srcdir '/data/oauth/cleanup.sql'
\set ECHO none
\i :prelude
\set ECHO all
\set VERBOSITY terse

-- before it there is nothing to answer with
SELECT call, oa.why('SELECT ' || call) FROM unnest(ARRAY['smart.server_configuration()', 'smart.server_jwks()', 'smart.smart_configuration()',
	'smart.authorize(''{}'')', 'smart.approve(''{}'', ''{"denied":true}'')', 'smart.register(''{}'', ''{}'')', 'smart.userinfo(''{}'')',
	'smart.burn(''token'', ''[]'', ''{}'')', 'smart.burn(''introspect'', ''{}'', ''{}'')', 'smart.burn(''revoke'', ''{}'', ''{}'')']) call;
CALL smart.token('[]', '{}');
CALL smart.introspect('{}', '{}');
CALL smart.revoke('{}', '{}');

-- unknown members and senseless values; LF-17: no access token lives longer than an hour
SELECT change, oa.why(format('SELECT oa.configure(%L)', change)) FROM unnest(ARRAY[
	'{"issuer":null}', '{"issuer":"http://as.example"}', '{"issuer":"https://as.example/?a"}', '{"issuer":"https://as.example/#a"}', '{"issuer":7}',
	'{"fhir_base_urls":[]}', '{"fhir_base_urls":"https://fhir.example"}', '{"fhir_base_urls":["fhir"]}', '{"fhir_base_urls":[1]}', '{"fhir_base_urls":null}',
	'{"nonsense":1}', '{"token_endpoint":"http://as.example/token"}', '{"name":""}', '{"name":"a\u0007"}',
	'{"code_lifetime":0}', '{"code_lifetime":601}', '{"code_lifetime":1.5}', '{"code_lifetime":"60"}', '{"launch_lifetime":601}',
	'{"access_token_lifetime":3601}', '{"id_token_lifetime":3601}', '{"offline_lifetime":-1}', '{"online_lifetime":0}',
	'{"scopes_supported":"patient/*.x"}', '{"registration":"maybe"}', '{"encounter_picker":"yes"}', '{"user_sees_all":1}',
	'{"user_patients":"nobody_has_this"}', '{"user_patients":"pg_catalog.jsonb_typeof"}', '{"brand_bundle":"x"}']) change;
SELECT oa.why('SELECT smart.configure_server(NULL)'), oa.why($$SELECT smart.configure_server('[]')$$);
SELECT issuer, oa.why(format('SELECT oa.configure(%L)', jsonb_build_object('issuer', issuer))) FROM unnest(ARRAY[
	'http://localhost:8080/auth', 'http://127.0.0.1/auth', 'http://[::1]:1/auth', 'https://as.example/auth']) issuer;

-- defaults
SELECT jsonb_pretty(smart.server_configuration());
SELECT smart.server_configuration() ? 'user_patients' AS no_function, jsonb_array_length(smart.server_jwks()->'keys') AS keys;

-- user_patients: the caller's name for it, kept as a qualified one
CREATE FUNCTION oa.patients_of(claims jsonb) RETURNS text[] LANGUAGE sql AS 'SELECT ARRAY[''1'', ''2'']';
SET search_path = oa, public;
SELECT smart.configure_server('{"issuer":"https://as.example/auth","fhir_base_urls":["https://fhir.example/fhir"],"user_patients":"patients_of"}');
RESET search_path;
SELECT smart.server_configuration()->>'user_patients', user_patients FROM smart.issuer WHERE issuer = 'https://as.example/auth';
-- a function in the temporary schema of a session is no one's to name: another session has that schema tomorrow
CREATE FUNCTION pg_temp.all_patients(jsonb) RETURNS text[] LANGUAGE sql AS $$ SELECT '{1}'::text[] $$;
SELECT oa.why($$SELECT oa.configure('{"user_patients":"pg_temp.all_patients"}')$$), oa.why($$SELECT smart.add_issuer('https://ehr.example', NULL, '{https://fhir.example/fhir}', jwks_uri => 'https://ehr.example/jwks', user_patients => 'pg_temp.all_patients(jsonb)'::regprocedure)$$);

-- The own row of smart.issuer: its jwks, audience, token_types and user_* are kept, other columns stay; LF-14, CS-4.
UPDATE smart.issuer SET leeway = '5 s' WHERE issuer = 'https://as.example/auth';
SELECT oa.configure();
SELECT issuer, audience, token_types, leeway, user_patients, user_sees_all, jwks = smart.server_jwks() AS own_keys FROM smart.issuer WHERE issuer LIKE '%as.example%';
-- another name takes the old row away
SELECT oa.configure('{"issuer":"https://as.example/new"}');
SELECT issuer FROM smart.issuer WHERE issuer LIKE '%as.example%' OR issuer LIKE 'http://%auth';
SELECT oa.configure();

-- Keys: public members alone (JK-7, ID-2), the kid is the thumbprint, a new one signs from its time on.
SELECT k->>'kty' AS kty, k->>'alg' AS alg, k->>'use' AS use, k->>'kid' = smart.jwk_thumbprint(k) AS thumbprint,
	ARRAY(SELECT jsonb_object_keys(k) ORDER BY 1) AS members
FROM jsonb_array_elements(smart.server_jwks()->'keys') k ORDER BY 2;
SELECT alg, smart.create_signing_key(alg, now() + interval '1 day') IS NOT NULL FROM unnest(ARRAY['RS256', 'RS384', 'ES256', 'ES384', 'EdDSA']) alg;
SELECT jsonb_array_length(smart.server_jwks()->'keys'), (SELECT jsonb_array_length(jwks->'keys') FROM smart.issuer WHERE issuer = 'https://as.example/auth');
SELECT call, oa.why('SELECT ' || call) FROM unnest(ARRAY['smart.create_signing_key(''HS256'')', 'smart.create_signing_key(NULL)', 'smart.create_signing_key(''ES256'', ''infinity'')',
	'smart.retire_signing_key(''x'')', 'smart.drop_signing_key(''x'')', 'smart.drop_signing_key(NULL)', 'smart.retire_signing_key(''x'', NULL)']) call;
SELECT smart.create_signing_key('ES256') AS leaked \gset
SELECT smart.retire_signing_key(:'leaked', now() - interval '1 year');
SELECT smart.server_jwks() @> jsonb_build_object('keys', jsonb_build_array(jsonb_build_object('kid', :'leaked'))) AS published_until_its_last_token_ended;
SELECT smart.drop_signing_key(:'leaked');
SELECT smart.server_jwks() @> jsonb_build_object('keys', jsonb_build_array(jsonb_build_object('kid', :'leaked'))) AS published,
	jwks @> jsonb_build_object('keys', jsonb_build_array(jsonb_build_object('kid', :'leaked'))) AS trusted FROM smart.issuer WHERE issuer = 'https://as.example/auth';

-- a retired key whose last token has ended is gone, from smart.issuer too
SELECT oa.configure('{"access_token_lifetime":1,"id_token_lifetime":1}');
SELECT smart.create_signing_key('ES256') AS old \gset
SELECT smart.retire_signing_key(:'old');
SELECT pg_sleep(1.1);
SELECT smart.server_jwks() @> jsonb_build_object('keys', jsonb_build_array(jsonb_build_object('kid', :'old'))) AS published;
SELECT jwks @> jsonb_build_object('keys', jsonb_build_array(jsonb_build_object('kid', :'old'))) AS trusted, (SELECT count(*) FROM smart_internal.oauth_signing_key WHERE kid = :'old') AS kept FROM smart.issuer WHERE issuer = 'https://as.example/auth';

-- Dropping the extension leaves the resource server's half and its own issuer row as they are.
DROP EXTENSION smart_fhir_oauth;
SELECT issuer, audience FROM smart.issuer WHERE issuer LIKE 'https://as.example/%';
CREATE EXTENSION smart_fhir_oauth;
\set ECHO none
\i :cleanup

