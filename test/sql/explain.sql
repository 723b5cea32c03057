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

RESET ROLE;
-- The parameter that fails, of several.
SELECT smart.assume('{"scope": "patient/Observation.rs?category=laboratory&status=final&code=1", "patient": "p1", "aud": "https://explain.example.org/fhir", "exp": 4000000000}',
  'https://explain.example.org', false);
SET ROLE explain_app;
SELECT reason FROM smart.explain('{"resourceType": "Observation", "status": "final", "subject": {"reference": "Patient/p1"}}', 'r') WHERE scope IS NOT NULL;
SELECT reason FROM smart.explain('{"resourceType": "Observation", "status": "amended", "category": [{"coding": [{"code": "laboratory"}]}], "subject": {"reference": "Patient/p1"}}', 'r') WHERE scope IS NOT NULL;
SELECT reason FROM smart.explain('{"resourceType": "Observation", "status": "final", "category": [{"coding": [{"code": "laboratory"}]}], "subject": {"reference": "Patient/p1"}}', 'r') WHERE scope IS NOT NULL;

-- What PostgreSQL does on its own: privileges, tables without row-level security, the owner, no policy, other policies.
RESET ROLE;
SELECT smart.assume('{"scope": "patient/*.cruds", "patient": "p1", "exp": 4000000000}', 'https://explain.example.org', false);
CREATE ROLE explain_owner;
GRANT USAGE, CREATE ON SCHEMA explain_test TO explain_owner;
CREATE TABLE explain_test.cases (id text PRIMARY KEY, patient text, resource jsonb NOT NULL);
ALTER TABLE explain_test.cases OWNER TO explain_owner;
CREATE FUNCTION explain_test.why(role text, letter text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('role', role, true);
  RETURN QUERY SELECT concat_ws(': ', e.scope, e.verdict, e.reason) FROM smart.explain('{"resourceType": "Observation", "subject": {"reference": "Patient/p1"}}', letter, 'explain_test.cases') e;
  PERFORM set_config('role', 'none', true);
END $$;
SELECT explain_test.why('explain_app', 'r');
GRANT SELECT (id) ON explain_test.cases TO explain_app;
SELECT explain_test.why('explain_app', 'r');
SELECT explain_test.why('explain_app', 'd');
GRANT SELECT, INSERT, UPDATE, DELETE ON explain_test.cases TO explain_app;
ALTER TABLE explain_test.cases ENABLE ROW LEVEL SECURITY;
SELECT explain_test.why('explain_app', 'u');
CREATE POLICY theirs ON explain_test.cases FOR SELECT USING (true);
SELECT explain_test.why('explain_app', 's');
SELECT smart.protect('explain_test.cases', 'Observation', force => true);
SELECT explain_test.why('explain_app', 's');
DROP POLICY theirs ON explain_test.cases;
CREATE POLICY stricter ON explain_test.cases AS RESTRICTIVE USING (id <> 'x');
SELECT explain_test.why('explain_app', 's');
DROP POLICY stricter ON explain_test.cases;
SELECT explain_test.why('explain_owner', 'c');
ALTER TABLE explain_test.cases NO FORCE ROW LEVEL SECURITY;
SELECT explain_test.why('explain_owner', 'c');
DROP POLICY smart_insert ON explain_test.cases;
SELECT explain_test.why('explain_app', 'c');
SELECT smart.protect('explain_test.cases', 'Observation', patients => 'patient');
SELECT explain_test.why('explain_app', 'c');
CREATE ROLE explain_bypass BYPASSRLS;
GRANT USAGE ON SCHEMA explain_test TO explain_bypass;
GRANT INSERT ON explain_test.cases TO explain_bypass;
SELECT explain_test.why('explain_bypass', 'c');

-- An expired session, and errors.
SELECT smart.assume(jsonb_build_object('scope', 'patient/*.cruds', 'patient', 'p1', 'exp', extract(epoch FROM clock_timestamp()) - 58), 'https://explain.example.org', false);
SELECT pg_sleep(2.2);
SELECT explain_test.why('explain_app', 'r');
SET ROLE explain_app;
SELECT * FROM smart.explain('{"resourceType": "Observation"}', 'rs');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM smart.explain('{"resourceType": "Observation"}', 'r', 'explain_test.open_table');
RESET ROLE;
SELECT smart.logout();
SELECT smart.drop_issuer('https://explain.example.org');
DROP SCHEMA explain_test CASCADE;
DROP ROLE explain_app, explain_owner, explain_bypass;
