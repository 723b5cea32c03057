-- A. Trust in what another role wrote: an expression of a table's owner that runs for somebody else's question leaves that
-- one's session as it is. It fails, as SET ROLE does there.
LOAD 'smart_fhir';
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE restricted_owner;
CREATE ROLE restricted_app;
CREATE SCHEMA restricted AUTHORIZATION restricted_owner;
GRANT USAGE ON SCHEMA restricted TO restricted_app;
GRANT EXECUTE ON FUNCTION smart.assume TO restricted_owner, restricted_app;
SELECT smart.add_issuer('https://restricted.example', '{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}',
  '{https://fhir.example/r4}') \g /dev/null
SET ROLE restricted_owner;
-- what the owner's function does is told by a table, so that the same expression stands everywhere
CREATE TABLE restricted.does (what text);
INSERT INTO restricted.does VALUES ('nothing');
GRANT SELECT ON restricted.does TO PUBLIC;
CREATE FUNCTION restricted.act(id text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE what text := (SELECT d.what FROM restricted.does d);
BEGIN
  CASE what
    WHEN 'nothing' THEN NULL;
    WHEN 'logout' THEN PERFORM smart.logout();
    WHEN 'login' THEN PERFORM smart.login('eyJhbGciOiJub25lIn0.e30.');
    WHEN 'assume' THEN PERFORM smart.assume('{"scope": "system/*.cruds"}', 'https://restricted.example');
    WHEN 'interaction' THEN PERFORM smart.set_interaction('read');
    WHEN 'reset' THEN RESET smart_fhir.session;
    WHEN 'reset all' THEN RESET ALL;
    WHEN 'set_config' THEN PERFORM set_config('smart_fhir.session', '', false);
    WHEN 'pre_request' THEN PERFORM set_config('request.headers', '{"authorization": "Bearer x"}', true), smart.pre_request();
    WHEN 'caught' THEN BEGIN PERFORM smart.logout(); EXCEPTION WHEN object_not_in_prerequisite_state THEN NULL; END;
    WHEN 'settings' THEN PERFORM set_config('DateStyle', 'German', false), set_config('application_name', 'theirs', false);
  END CASE;
  RETURN id;
END $$;
CREATE FUNCTION restricted.id(id text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN restricted.act(id); END $$;
CREATE TABLE restricted.observation (id text PRIMARY KEY, resource jsonb);
INSERT INTO restricted.observation VALUES ('1', '{"resourceType": "Observation", "id": "1", "subject": {"reference": "Patient/p1"}}');
SELECT smart.protect('restricted.observation', 'Observation', id => 'restricted.id(id)') \g /dev/null
CREATE TABLE restricted.provenance (id text PRIMARY KEY, resource jsonb);
SELECT smart.protect('restricted.provenance', 'Provenance', follow => 'target') \g /dev/null
CREATE TABLE restricted.stored (id text, resource jsonb);
INSERT INTO restricted.stored VALUES ('1', '{"resourceType": "Observation", "id": "1"}');
GRANT SELECT, INSERT, UPDATE, DELETE ON restricted.observation, restricted.provenance TO restricted_app;
RESET ROLE;

-- who is logged in before and after each statement, and what it said
CREATE FUNCTION restricted_try(does text, statement text, role name DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  before record;
  after record;
  said text := 'no error';
BEGIN
  UPDATE restricted.does SET what = $1;
  PERFORM smart.assume('{"scope": "patient/*.cruds", "patient": "p1", "exp": 4000000000}', 'https://restricted.example', false);
  SELECT s.patient, s.interaction, s.scope, current_setting('DateStyle'), current_setting('application_name') = 'theirs' INTO before FROM smart.session s;
  IF role IS NOT NULL THEN EXECUTE format('SET LOCAL ROLE %I', role); END IF;
  BEGIN
    EXECUTE statement;
  EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS said = CONSTRAINT_NAME; said := SQLSTATE || ' ' || said;
  END;
  RESET ROLE;
  SELECT s.patient, s.interaction, s.scope, current_setting('DateStyle'), current_setting('application_name') = 'theirs' INTO after FROM smart.session s;
  UPDATE restricted.does SET what = 'nothing';
  RETURN said || CASE WHEN before IS NOT DISTINCT FROM after THEN ', session as it was' ELSE format(', %s', after) END;
END $$;
SELECT d.does, restricted_try(d.does, $$SELECT smart.permits_row(o, 'r') FROM (SELECT ROW('1', '{"resourceType": "Observation", "id": "1", "subject": {"reference": "Patient/p1"}}')::restricted.observation) v (o)$$) AS for_superuser,
  restricted_try(d.does, $$SELECT smart.permits_row(o, 'r') FROM (SELECT ROW('1', '{"resourceType": "Observation", "id": "1", "subject": {"reference": "Patient/p1"}}')::restricted.observation) v (o)$$, 'restricted_app') AS for_the_app
FROM unnest('{nothing,logout,login,assume,interaction,reset,reset all,set_config,pre_request,caught,settings}'::text[]) WITH ORDINALITY AS d (does, n) ORDER BY n;
-- the answer is that of the session
SELECT smart.assume('{"scope": "patient/*.cruds", "patient": "p1", "exp": 4000000000}', 'https://restricted.example', false) \g /dev/null
UPDATE restricted.does SET what = 'caught';
SELECT smart.permits_row(o, 'r') FROM restricted.observation o;
UPDATE restricted.does SET what = 'nothing';
-- what else evaluates it: the look-up of follow, protect()'s look at a key, building an index, ANALYZE
CREATE INDEX by_id ON restricted.stored (restricted.id(id));
SELECT s.name, restricted_try('logout', s.statement, s.role) AS logout, restricted_try('reset all', s.statement, s.role) AS reset_all
FROM (VALUES
  (1, 'follow', $$INSERT INTO restricted.provenance VALUES (md5(random()::text), '{"resourceType": "Provenance", "target": [{"reference": "Observation/1"}]}')$$, 'restricted_app'),
  (2, 'protect', $$SELECT smart.protect('restricted.stored', 'Observation', patients => 'restricted.id(id)')$$, NULL),
  (3, 'index', $$CREATE INDEX ON restricted.observation (restricted.id(id))$$, NULL),
  (4, 'reindex', $$REINDEX TABLE restricted.stored$$, NULL),
  (5, 'analyze', $$ANALYZE restricted.stored$$, NULL)) s (n, name, statement, role) ORDER BY n;
-- a refused login elsewhere still ends the session
SELECT smart.login('x');
SELECT count(*) FROM smart.session;

SELECT smart.drop_issuer('https://restricted.example');
REVOKE EXECUTE ON FUNCTION smart.assume FROM restricted_owner, restricted_app;
DROP FUNCTION restricted_try;
DROP SCHEMA restricted CASCADE;
DROP ROLE restricted_owner, restricted_app;
