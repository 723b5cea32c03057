-- How many rows the planner expects under a policy: within a factor of two of the truth, for one patient, for several and for all, in
-- generic plans too, and where irregular rows keep row_check() in the plan.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE estimate_app;
CREATE SCHEMA estimate_test;
GRANT USAGE ON SCHEMA estimate_test TO estimate_app;
CREATE TABLE estimate_test.observation (id text PRIMARY KEY, patient text, patients text[], resource jsonb NOT NULL);
INSERT INTO estimate_test.observation
SELECT i::text, 'p' || i % 50, ARRAY['p' || i % 50], jsonb_build_object('resourceType', 'Observation', 'id', i::text, 'status', 'final',
  'subject', jsonb_build_object('reference', 'Patient/p' || i % 50))
FROM generate_series(1, 10000) i;
CREATE TABLE estimate_test.by_text AS SELECT * FROM estimate_test.observation;
CREATE TABLE estimate_test.by_array AS SELECT * FROM estimate_test.observation;
CREATE TABLE estimate_test.appointment AS SELECT id, jsonb_build_object('resourceType', 'Appointment', 'id', id,
  'participant', jsonb_build_array(jsonb_build_object('actor', resource -> 'subject'))) AS resource FROM estimate_test.observation;
SELECT smart.protect('estimate_test.observation', 'Observation'), smart.protect('estimate_test.by_text', 'Observation', patients => 'patient'),
  smart.protect('estimate_test.by_array', 'Observation', patients => 'patients'), smart.protect('estimate_test.appointment', 'Appointment');
GRANT SELECT ON ALL TABLES IN SCHEMA estimate_test TO estimate_app;
GRANT EXECUTE ON FUNCTION smart.assume TO estimate_app;
ANALYZE estimate_test.observation, estimate_test.by_text, estimate_test.by_array, estimate_test.appointment;
SELECT smart.add_issuer('https://estimate.example.org',
  '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}',
  '{https://estimate.example.org/fhir}', max_patients => 1000);
CREATE FUNCTION estimate_test.who(scope text, patients text[] DEFAULT NULL) RETURNS void LANGUAGE sql AS
$$ SELECT smart.assume(jsonb_strip_nulls(jsonb_build_object('scope', scope, 'exp', 4000000000,
  'patient', CASE WHEN cardinality(patients) > 1 THEN to_jsonb(patients) ELSE to_jsonb(patients[1]) END)), 'https://estimate.example.org', false) $$;
-- right(query): is the estimate of the scan between half and twice what it gives?
CREATE FUNCTION estimate_test.right(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  plan json;
  expected float8;
  actual float8;
BEGIN
  EXECUTE 'EXPLAIN (ANALYZE, FORMAT JSON) ' || query INTO plan;
  expected := (plan #>> '{0,Plan,Plan Rows}')::float8;
  actual := (plan #>> '{0,Plan,Actual Rows}')::float8;
  RETURN CASE WHEN expected BETWEEN actual / 2 AND actual * 2 THEN 'right' ELSE format('expected %s, got %s', expected, actual) END;
END $$;
CREATE FUNCTION estimate_test.all_right() RETURNS TABLE (relation text, custom text, generic text) LANGUAGE plpgsql AS $$
BEGIN
  FOREACH relation IN ARRAY '{observation,by_text,by_array,appointment}'::text[] LOOP
    custom := estimate_test.right('SELECT * FROM estimate_test.' || relation);
    SET LOCAL plan_cache_mode = force_generic_plan;
    generic := estimate_test.right('EXECUTE ' || relation || '_rows(''none'')');
    RETURN NEXT;
  END LOOP;
END $$;
SET ROLE estimate_app;
PREPARE observation_rows(text) AS SELECT * FROM estimate_test.observation WHERE id <> $1;
PREPARE by_text_rows(text) AS SELECT * FROM estimate_test.by_text WHERE id <> $1;
PREPARE by_array_rows(text) AS SELECT * FROM estimate_test.by_array WHERE id <> $1;
PREPARE appointment_rows(text) AS SELECT * FROM estimate_test.appointment WHERE id <> $1;

-- one patient
SELECT estimate_test.who('patient/*.rs', '{p1}');
SELECT * FROM estimate_test.all_right();
-- twenty
SELECT estimate_test.who('patient/*.rs', array_agg('p' || i)) FROM generate_series(1, 20) i;
SELECT * FROM estimate_test.all_right();
-- all
SELECT estimate_test.who('system/*.rs');
SELECT * FROM estimate_test.all_right();
-- some of one patient's rows: here all of them
SELECT estimate_test.who('patient/*.rs?_id:missing=false patient/Observation.rs?status=final patient/Appointment.rs', '{p1}');
SELECT * FROM estimate_test.all_right();
-- with irregular rows in the tables
RESET ROLE;
INSERT INTO estimate_test.observation VALUES ('x', NULL, NULL, '{}'), ('y', NULL, NULL, '{"resourceType": "Patient"}');
INSERT INTO estimate_test.by_text SELECT * FROM estimate_test.observation WHERE id IN ('x', 'y');
INSERT INTO estimate_test.by_array SELECT * FROM estimate_test.observation WHERE id IN ('x', 'y');
SET ROLE estimate_app;
SELECT estimate_test.who('patient/*.rs', '{p1}');
SELECT * FROM estimate_test.all_right();
SELECT estimate_test.who('system/*.rs');
SELECT * FROM estimate_test.all_right();

RESET ROLE;
SELECT smart.logout();
SELECT smart.drop_issuer('https://estimate.example.org');
DEALLOCATE ALL;
REVOKE EXECUTE ON FUNCTION smart.assume FROM estimate_app;
DROP SCHEMA estimate_test CASCADE;
DROP ROLE estimate_app;
