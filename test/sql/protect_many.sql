-- Y. protect() and the number of tables: one call does as much where sixty tables are protected as where twenty are, and looks at no more policies.
LOAD 'smart_fhir';
\set VERBOSITY terse
SET client_min_messages = warning;
SET track_functions = 'all';
CREATE SCHEMA many;
CREATE FUNCTION many.protect_to(n int, OUT calls bigint, OUT busiest text) LANGUAGE plpgsql AS $$
DECLARE
  names text[] := '{Observation,Condition,Procedure,Encounter,Immunization,MedicationRequest,DiagnosticReport,AllergyIntolerance,CarePlan,Goal}';
BEGIN
  FOR i IN (SELECT count(*) + 1 FROM smart.protected_table p JOIN pg_class c ON c.oid = p.relation WHERE c.relnamespace = 'many'::regnamespace AND c.relname ~ '^t')..n LOOP
    EXECUTE format('CREATE TABLE many.t%s (id text PRIMARY KEY, resource jsonb NOT NULL)', i);
    CREATE TEMP TABLE before ON COMMIT DROP AS
      SELECT p.oid, coalesce(pg_stat_get_xact_function_calls(p.oid), 0) AS calls FROM pg_proc p WHERE p.pronamespace = 'smart_internal'::regnamespace;
    PERFORM smart.protect(format('many.t%s', i)::regclass, names[1 + i % 10]);
    SELECT sum(coalesce(pg_stat_get_xact_function_calls(b.oid), 0) - b.calls),
      string_agg(b.oid::regproc || ' ' || coalesce(pg_stat_get_xact_function_calls(b.oid), 0) - b.calls, ', ' ORDER BY b.oid::regproc::text)
        FILTER (WHERE b.oid::regproc::text ~ 'policy_info|own_policies')
    INTO calls, busiest FROM before b;
    DROP TABLE before;
  END LOOP;
END $$;
-- somebody follows them, so that each table has to be compared with it
CREATE TABLE many.provenance (id text PRIMARY KEY, resource jsonb NOT NULL);
SELECT smart.protect('many.provenance', 'Provenance', follow => 'target') \g /dev/null
SELECT twenty.calls > 0 AS counted, twenty.calls = sixty.calls AS as_many, twenty.busiest = sixty.busiest AS as_many_policies
FROM many.protect_to(20) twenty, LATERAL (SELECT * FROM many.protect_to(60) WHERE twenty.calls IS NOT NULL) sixty;
DROP SCHEMA many CASCADE;
