-- What test/upgrade.sh carries over: both extensions, an issuer, an authorization server with a client and a grant, protected
-- tables of every kind. Prints the refresh token last.
SET client_min_messages = warning;
CREATE EXTENSION smart_fhir_oauth CASCADE;
\o /dev/null
-- The public key of RFC 7515 A.3.
SELECT smart.add_issuer('https://upgrade.example', '{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}', '{https://fhir.example/r4}');
SELECT smart.revoke_tokens('https://upgrade.example', jti => 'revoked');
CREATE SCHEMA a AUTHORIZATION fhir_owner;
CREATE SCHEMA b AUTHORIZATION fhir_owner;
GRANT USAGE ON SCHEMA a, b TO fhir_app;
SET ROLE fhir_owner;
CREATE TABLE a.plain (id text PRIMARY KEY, resource jsonb);
CREATE TABLE a.keyed (id text PRIMARY KEY, resource jsonb, patient text);
CREATE TABLE a.observation (id text, year int, resource jsonb, PRIMARY KEY (id, year)) PARTITION BY LIST (year);
CREATE TABLE b.observation_1 PARTITION OF a.observation FOR VALUES IN (1);
CREATE TABLE b.observation_2 PARTITION OF a.observation FOR VALUES IN (2);
CREATE TABLE a.provenance (id text PRIMARY KEY, resource jsonb NOT NULL);
INSERT INTO a.plain SELECT i, jsonb_build_object('resourceType', 'Condition', 'id', i::text, 'subject', jsonb_build_object('reference', 'Patient/' || i % 3)) FROM generate_series(1, 9) i;
INSERT INTO a.observation SELECT i, 1 + i % 2, jsonb_build_object('resourceType', 'Observation', 'id', i::text, 'subject', jsonb_build_object('reference', 'Patient/' || i % 3)) FROM generate_series(1, 9) i;
INSERT INTO a.keyed SELECT id, resource || '{"resourceType": "Procedure"}', resource #>> '{subject,reference}' FROM a.plain;
SELECT smart.protect('a.plain', 'Condition'), smart.protect('a.keyed', 'Procedure', patients => 'patient'), smart.protect('a.observation', 'Observation');
INSERT INTO a.provenance SELECT i, jsonb_build_object('resourceType', 'Provenance', 'id', i::text, 'target', jsonb_build_array(jsonb_build_object('reference', 'Condition/' || i))) FROM generate_series(1, 9) i;
SELECT smart.protect('a.provenance', 'Provenance', follow => 'target');
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA a, b TO fhir_app;
RESET ROLE;
SELECT smart.configure_server('{"issuer":"https://as.example","fhir_base_urls":["https://fhir.example/r4"],"public_offline_access":true}');
SELECT smart.register_client('{"client_id":"public","token_endpoint_auth_method":"none","redirect_uris":["https://public.example/cb"],"scope":"openid launch/patient patient/*.rs offline_access"}');
SELECT smart.approve('{"response_type":"code","client_id":"public","redirect_uri":"https://public.example/cb","state":"s1","aud":"https://fhir.example/r4","scope":"openid launch/patient patient/*.rs offline_access",
  "code_challenge":"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM","code_challenge_method":"S256"}',
  '{"sub":"alice","fhirUser":"Patient/1","patient":"1","scope":"launch/patient patient/*.rs offline_access"}') -> 'headers' ->> 'location' AS location \gset
SELECT (regexp_match(:'location', '[?&]code=([^&]+)'))[1] AS code \gset
CALL smart.token(jsonb_build_object('client_id', 'public', 'grant_type', 'authorization_code', 'redirect_uri', 'https://public.example/cb', 'code', :'code', 'code_verifier', 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk'), '{}') \gset
\o
SELECT (:'response'::jsonb -> 'body' ->> 'refresh_token');
