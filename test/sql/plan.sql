-- Folding of policies at plan time (src/policy/fold.c): each sentence of its comment.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE plan_app;
CREATE SCHEMA plan_test;
GRANT USAGE ON SCHEMA plan_test TO plan_app;
CREATE TABLE plan_test.observation (id text PRIMARY KEY, resource jsonb NOT NULL);
INSERT INTO plan_test.observation
SELECT i::text, jsonb_build_object('resourceType', 'Observation', 'id', i::text,
  'subject', jsonb_build_object('reference', 'Patient/p' || i % 50))
FROM generate_series(1, 5000) i;
CREATE TABLE plan_test.location (id text PRIMARY KEY, resource jsonb NOT NULL);
INSERT INTO plan_test.location VALUES ('l1', '{"resourceType": "Location", "id": "l1"}');
CREATE TABLE plan_test.by_text (id text PRIMARY KEY, resource jsonb NOT NULL, patient text);
INSERT INTO plan_test.by_text SELECT id, resource, resource #>> '{subject,reference}' FROM plan_test.observation;
CREATE TABLE plan_test.by_uuid (id text PRIMARY KEY, resource jsonb NOT NULL, patients uuid[]);
INSERT INTO plan_test.by_uuid
SELECT i::text, jsonb_build_object('resourceType', 'Observation', 'id', i::text),
  ARRAY[('00000000-0000-0000-0000-' || lpad(to_hex(i % 50), 12, '0'))::uuid]
FROM generate_series(1, 5000) i;
SELECT smart.protect('plan_test.observation', 'Observation'), smart.protect('plan_test.location', 'Location'),
  smart.protect('plan_test.by_text', 'Observation', patients => 'patient'),
  smart.protect('plan_test.by_uuid', 'Observation', patients => 'patients');
-- logging in without a change of role: PostgreSQL itself replans when the role changes
GRANT EXECUTE ON FUNCTION smart.assume TO plan_app;
GRANT SELECT, UPDATE, DELETE ON ALL TABLES IN SCHEMA plan_test TO plan_app;
ANALYZE plan_test.observation, plan_test.by_text, plan_test.by_uuid;
SELECT smart.add_issuer('https://plan.example.org',
  '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}',
  '{https://plan.example.org/fhir}');

-- who(scope, patient): log in for the connection and become the app role
CREATE FUNCTION plan_test.who(scope text, patient text DEFAULT NULL) RETURNS void LANGUAGE sql
AS $$ SELECT smart.assume(jsonb_strip_nulls(jsonb_build_object('scope', scope, 'patient', patient, 'exp', 4000000000)),
  'https://plan.example.org', false) $$;
-- the nodes and index conditions of a plan
CREATE FUNCTION plan_test.shape(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
    IF line ~ 'Scan|Index Cond' THEN
      RETURN NEXT regexp_replace(regexp_replace(regexp_replace(replace(btrim(line), 'smart_internal.', 'smart.'), 'smart.(row_patients?)\(.*?, 1\)', '\1(..)'),
        '(smart.patient_\w+)\(''.*?::jsonb\)', '\1(..)'), '::text', '', 'g');
    END IF;
  END LOOP;
END $$;

SET ROLE plan_app;

-- One patient: the policy is an index condition, in each key layout.
SELECT plan_test.who('patient/*.cruds', 'p7');
SELECT plan_test.shape('SELECT * FROM plan_test.observation');
SELECT plan_test.shape('SELECT * FROM plan_test.by_text');
SELECT plan_test.shape('UPDATE plan_test.observation SET id = id');
SELECT count(*) FROM plan_test.observation;
SELECT count(*) FROM plan_test.by_text;
SELECT plan_test.who('patient/*.cruds', '00000000-0000-0000-0000-00000000000a');
SELECT plan_test.shape('SELECT * FROM plan_test.by_uuid');
SELECT count(*) FROM plan_test.by_uuid;
-- A shared table has no patient to compare with: no index condition, all rows.
SELECT plan_test.shape('SELECT * FROM plan_test.location');
SELECT count(*) FROM plan_test.location;

-- Narrow sessions share a generic plan, and each sees its own rows.
SET plan_cache_mode = force_generic_plan;
SELECT plan_test.who('patient/*.rs', 'p7');
PREPARE observations AS SELECT count(*), min(resource #>> '{subject,reference}'), max(resource #>> '{subject,reference}') FROM plan_test.observation;
EXECUTE observations;
SELECT plan_test.who('patient/*.rs', 'p8');
EXECUTE observations;
SELECT generic_plans + custom_plans AS plans FROM pg_prepared_statements WHERE name = 'observations';

-- A broad session does not run the folded plan: it sees all rows; then narrow ones only theirs.
SELECT plan_test.who('system/*.rs');
EXECUTE observations;
SELECT plan_test.who('patient/*.rs', 'p9');
EXECUTE observations;

-- Nobody logged in: no rows; a plan made then does not hide rows from a broad session.
SELECT smart.logout();
EXECUTE observations;
PREPARE made_by_nobody AS SELECT count(*) FROM plan_test.observation;
EXECUTE made_by_nobody;
SELECT plan_test.who('system/*.rs');
EXECUTE made_by_nobody;

-- Kinds that change by savepoints: a narrow login inside a broad session and back.
BEGIN;
SELECT plan_test.who('system/*.rs');
EXECUTE observations;
SAVEPOINT narrow;
SELECT plan_test.who('patient/*.rs', 'p3');
EXECUTE observations;
ROLLBACK TO narrow;
EXECUTE observations;
COMMIT;

-- PL/pgSQL keeps plans too.
RESET ROLE;
CREATE FUNCTION plan_test.counted() RETURNS bigint LANGUAGE plpgsql AS
$$ DECLARE n bigint; BEGIN SELECT count(*) INTO n FROM plan_test.observation; RETURN n; END $$;
SET ROLE plan_app;
SELECT plan_test.who('patient/*.rs', 'p3');
SELECT plan_test.counted();
SELECT plan_test.who('system/*.rs');
SELECT plan_test.counted();
SELECT plan_test.who('patient/*.rs', 'p4');
SELECT plan_test.counted();

RESET ROLE;

-- user_sees_all is broad, a user with listed patients is narrow: both see what they may.
SELECT smart.add_issuer('https://plan.example.org',
  '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}',
  '{https://plan.example.org/fhir}', user_sees_all => true);
SELECT smart.assume('{"scope": "user/*.rs patient/*.rs", "patient": "p1", "fhirUser": "Practitioner/1", "exp": 4000000000}', 'https://plan.example.org', false);
SET ROLE plan_app;
EXECUTE observations;
RESET ROLE;
CREATE FUNCTION plan_test.my_patients(claims jsonb) RETURNS text[] LANGUAGE sql AS $$ SELECT '{p1,p2}'::text[] $$;
SELECT smart.add_issuer('https://plan.example.org',
  '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}',
  '{https://plan.example.org/fhir}', user_patients => 'plan_test.my_patients(jsonb)');
SELECT smart.assume('{"scope": "user/*.rs patient/*.rs", "patient": "p5", "fhirUser": "Practitioner/1", "exp": 4000000000}', 'https://plan.example.org', false);
SET ROLE plan_app;
SELECT plan_test.shape('SELECT * FROM plan_test.observation');
EXECUTE observations;
RESET ROLE;

-- What a policy's function is given by hand changes nothing: it asks the session.
SELECT smart.logout();
SELECT smart_internal.row_policy('SELECT', '{p1}'::text[], '{"resourceType": "Observation", "subject": {"reference": "Patient/p1"}}', 'Observation', '1',
  '{"compartment": "subject", "fhir_version": "R4", "patients": false, "shared": false, "revision": 1}');

SELECT smart.drop_issuer('https://plan.example.org');
DEALLOCATE ALL;
REVOKE EXECUTE ON FUNCTION smart.assume FROM plan_app;
DROP SCHEMA plan_test CASCADE;
DROP ROLE plan_app;
