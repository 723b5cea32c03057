-- smart.explain(): one row a scope, and what holds before any scope is asked.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE explain_app;
CREATE SCHEMA explain_test;
GRANT USAGE ON SCHEMA explain_test TO explain_app;
CREATE TABLE explain_test.observation (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE explain_test.open_table (id text PRIMARY KEY, resource jsonb NOT NULL);
SELECT smart.protect('explain_test.observation', 'Observation', base_url => 'https://explain.example.org/fhir');
SELECT smart.add_issuer('https://explain.example.org',
  '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}',
  '{https://explain.example.org/fhir}');

-- Roles that row-level security does not bind are named first.
SELECT * FROM smart.explain('{"resourceType": "Observation"}', 'r');
SET ROLE explain_app;
SELECT * FROM smart.explain('{"resourceType": "Observation"}', 'r');
RESET ROLE;

-- Each scope says why it allows or not; ignored ones are listed with their reason.
SELECT smart.assume('{"scope": "patient/Observation.rs?category=laboratory patient/*.c user/*.r system/Patient.r patient/Observation.rs?nonsense=1",
  "patient": "p1", "aud": "https://explain.example.org/fhir", "exp": 4000000000}', 'https://explain.example.org', false);
SET ROLE explain_app;
SELECT * FROM smart.explain('{"resourceType": "Observation", "subject": {"reference": "Patient/p1"}}', 'r');
SELECT * FROM smart.explain('{"resourceType": "Observation", "subject": {"reference": "Patient/p2"}}', 'c', 'explain_test.observation');
SELECT * FROM smart.explain('{"resourceType": "Task"}', 'c');
SELECT * FROM smart.explain('{"resourceType": "Organization"}', 'c');
SELECT * FROM smart.explain('{"resourceType": "Condition"}', 'r', 'explain_test.observation');
SELECT * FROM smart.explain('[]', 'r');
SELECT * FROM smart.explain(NULL, 'r');
RESET ROLE;

-- A token for another base.
SELECT smart.assume('{"scope": "system/*.cruds", "exp": 4000000000}', 'https://explain.example.org', false);
SET ROLE explain_app;
SELECT * FROM smart.explain('{"resourceType": "Observation"}', 'r', 'explain_test.observation');

-- Errors.
SELECT * FROM smart.explain('{"resourceType": "Observation"}', 'rs');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM smart.explain('{"resourceType": "Observation"}', 'r', 'explain_test.open_table');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT smart.logout();
SELECT smart.drop_issuer('https://explain.example.org');
DROP SCHEMA explain_test CASCADE;
DROP ROLE explain_app;
