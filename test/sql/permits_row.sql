-- A. Trust in what another role wrote: permits_row() evaluates the expressions of a table's owner. Asked by a superuser, or
-- by whoever may become the owner, they run with the owner's rights, and change no setting of the caller.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE permits_row_owner;
CREATE ROLE permits_row_app;
CREATE SCHEMA permits_row_test AUTHORIZATION permits_row_owner;
GRANT USAGE ON SCHEMA permits_row_test TO PUBLIC;
SELECT smart.add_issuer('https://permits-row.example.org',
  '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}', '{https://permits-row.example.org/fhir}');
SELECT smart.assume('{"scope": "system/*.cruds", "exp": 4000000000}', 'https://permits-row.example.org', false);
SET ROLE permits_row_owner;
CREATE TABLE permits_row_test.ran (as_user name);
GRANT SELECT, INSERT ON permits_row_test.ran TO PUBLIC;
CREATE FUNCTION permits_row_test.look(resource jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO permits_row_test.ran VALUES (current_user);
  PERFORM set_config('search_path', 'permits_row_test', false);
  RETURN resource;
END $$;
CREATE TABLE permits_row_test.o (id text, resource jsonb);
INSERT INTO permits_row_test.o VALUES ('1', '{"resourceType": "Observation", "id": "1"}'), ('2', '{"resourceType": "Condition", "id": "2"}');
DO $$ BEGIN PERFORM smart.protect('permits_row_test.o', 'Observation', resource => 'permits_row_test.look(resource)', index => false); END $$;
GRANT SELECT ON permits_row_test.o TO permits_row_app;
RESET ROLE;
SELECT current_user <> 'permits_row_owner' AS another, current_setting('search_path') AS before;
SELECT id, smart.permits_row(o, 'r') FROM permits_row_test.o AS o;
SELECT DISTINCT as_user FROM permits_row_test.ran;
SELECT current_setting('search_path') AS after;
-- a function that tries for more is stopped as owner, and the caller is himself again
TRUNCATE permits_row_test.ran;
SET ROLE permits_row_owner;
CREATE OR REPLACE FUNCTION permits_row_test.look(resource jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  ALTER ROLE permits_row_owner SUPERUSER;
  RETURN resource;
END $$;
RESET ROLE;
\set VERBOSITY sqlstate
SELECT smart.permits_row(o, 'r') FROM permits_row_test.o AS o;
\set VERBOSITY terse
SELECT current_user = session_user AS oneself, rolsuper FROM pg_roles WHERE rolname = 'permits_row_owner';
SELECT smart.logout();
DROP SCHEMA permits_row_test CASCADE;
SELECT smart.drop_issuer('https://permits-row.example.org');
DROP ROLE permits_row_owner, permits_row_app;
