-- smart.@>>: what @> finds, and by an index also under a policy.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE search_app;
CREATE SCHEMA search_test;
GRANT USAGE ON SCHEMA search_test TO search_app;
CREATE TABLE search_test.observation (id text PRIMARY KEY, resource jsonb NOT NULL);
INSERT INTO search_test.observation
SELECT i::text, jsonb_build_object('resourceType', 'Observation', 'id', i::text, 'status', CASE WHEN i % 2 = 0 THEN 'final' ELSE 'amended' END,
  'subject', jsonb_build_object('reference', 'Patient/p' || i % 50),
  'code', jsonb_build_object('coding', jsonb_build_array(jsonb_build_object('system', 'http://loinc.org', 'code', (i % 500)::text))))
FROM generate_series(1, 5000) i;
SELECT smart.protect('search_test.observation', 'Observation');
CREATE INDEX by_code ON search_test.observation USING gin ((resource -> 'code') jsonb_path_ops);
CREATE INDEX by_anything ON search_test.observation USING gin (resource smart.jsonb_contains_ops);
CREATE INDEX by_anything_at_all ON search_test.observation USING gin (resource jsonb_path_ops);
GRANT SELECT ON search_test.observation TO search_app;
VACUUM ANALYZE search_test.observation;
SELECT smart.add_issuer('https://search.example.org',
  '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}',
  '{https://search.example.org/fhir}');
CREATE FUNCTION search_test.who(scope text, patient text DEFAULT NULL) RETURNS void LANGUAGE sql AS
$$ SELECT smart.assume(jsonb_strip_nulls(jsonb_build_object('scope', scope, 'patient', patient, 'exp', 4000000000)), 'https://search.example.org', false) $$;
GRANT EXECUTE ON FUNCTION smart.assume TO search_app;
-- E. The leakproof operator: nobody may use it by default, nor make one of his own over its function.
SET ROLE search_app;
SELECT '{}'::jsonb OPERATOR(smart.@>>) '{}'::jsonb;
SELECT smart_internal.jsonb_contains('{}', '{}');
CREATE OPERATOR pg_temp.@>> (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = smart_internal.jsonb_contains, RESTRICT = matchingsel);
RESET ROLE;
GRANT EXECUTE ON FUNCTION smart_internal.jsonb_contains TO search_app;
CREATE FUNCTION search_test.indexes(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; found text := '';
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
    found := found || coalesce(' ' || substring(line FROM 'Index Scan (?:on|using) (\w+)'), CASE WHEN line ~ 'Seq Scan' THEN ' none' END, '');
  END LOOP;
  RETURN btrim(found);
END $$;

-- The same answers as @>, over values of every kind.
WITH value (v) AS (VALUES ('1'::jsonb), ('"a"'), ('null'), ('true'), ('[]'), ('{}'), ('[1,2]'), ('[[1],2]'), ('{"a":1}'), ('{"a":{"b":[1,{"c":2}]}}'),
  ('{"a":{"b":[{"c":2}]}}'), ('[{"a":1},{"a":1,"b":2}]'), ('["a"]'))
SELECT count(*) AS pairs, count(*) FILTER (WHERE l.v OPERATOR(smart.@>>) r.v) AS contained, count(*) FILTER (WHERE (l.v OPERATOR(smart.@>>) r.v) <> (l.v @> r.v)) AS different
FROM value l, value r;
SELECT proleakproof, provolatile FROM pg_proc WHERE oid = 'smart_internal.jsonb_contains(jsonb,jsonb)'::regprocedure;

SET ROLE search_app;
-- Every row is asked about a search parameter, over all patients: only the leakproof operator may go first.
SELECT search_test.who('system/Observation.rs?status=final');
SELECT search_test.indexes($$SELECT * FROM search_test.observation WHERE resource OPERATOR(smart.@>>) '{"code":{"coding":[{"code":"18"}]}}'$$) AS leakproof,
  search_test.indexes($$SELECT * FROM search_test.observation WHERE resource @> '{"code":{"coding":[{"code":"18"}]}}'$$) AS not_leakproof;
SELECT count(*) FROM search_test.observation WHERE resource OPERATOR(smart.@>>) '{"code":{"coding":[{"code":"18"}]}}';
SELECT count(*) FROM search_test.observation WHERE resource @> '{"code":{"coding":[{"code":"18"}]}}';
SELECT count(*) FROM search_test.observation WHERE resource OPERATOR(smart.@>>) '{"code":{"coding":[{"code":"17"}]}}';
-- No policy is left of an all-rows session: both use their index.
SELECT search_test.who('system/*.rs');
SELECT search_test.indexes($$SELECT * FROM search_test.observation WHERE resource OPERATOR(smart.@>>) '{"code":{"coding":[{"code":"17"}]}}'$$) AS leakproof,
  search_test.indexes($$SELECT * FROM search_test.observation WHERE resource @> '{"code":{"coding":[{"code":"17"}]}}'$$) AS not_leakproof,
  search_test.indexes($$SELECT * FROM search_test.observation WHERE resource -> 'code' @> '{"coding":[{"code":"17"}]}'$$) AS expression;
-- One patient: the same rows either way.
SELECT search_test.who('patient/*.rs', 'p17');
SELECT array_agg(id ORDER BY id) FROM search_test.observation WHERE resource OPERATOR(smart.@>>) '{"code":{"coding":[{"code":"17"}]}}';
SELECT array_agg(id ORDER BY id) FROM search_test.observation WHERE resource @> '{"code":{"coding":[{"code":"17"}]}}';
-- E. The leakproof operator: estimates know nothing of what hidden rows hold.
CREATE FUNCTION pg_temp.estimate(condition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
  EXECUTE format('EXPLAIN (FORMAT JSON) SELECT FROM search_test.observation o WHERE %s', condition) INTO plan;
  RETURN plan -> 0 -> 'Plan' ->> 'Plan Rows';
END $$;
SELECT count(DISTINCT pg_temp.estimate(format((SELECT string_agg('NOT (resource OPERATOR(smart.@>>) %1$L)', ' AND ') FROM generate_series(1, 60)), v))) AS estimates
FROM unnest(ARRAY['{"subject": {"reference": "Patient/p7"}, "status": "final"}', '{"subject": {"reference": "Patient/p7"}, "status": "unknown"}', '{"status": "final"}', '{}']) v;
SELECT count(DISTINCT pg_temp.estimate(format('o.resource OPERATOR(smart.@>>) %L', v))) AS estimates,
  count(DISTINCT pg_temp.estimate(format('EXISTS (SELECT FROM search_test.observation p WHERE p.resource OPERATOR(smart.@>>) (o.resource || %L))', v))) AS of_joins
FROM unnest(ARRAY['{"status": "final"}', '{"status": "unknown"}']) v;
-- ... and no estimator of the extension's operators looks at samples with what the user gives it
RESET ROLE;
SELECT o.oprname, o.oprrest, o.oprjoin FROM pg_operator o JOIN pg_proc p ON p.oid = o.oprcode
WHERE o.oprnamespace = 'smart'::regnamespace AND (o.oprrest::oid IN ('matchingsel'::regproc, 'arraycontsel'::regproc) OR o.oprleft = 'jsonb'::regtype);

SELECT smart.logout();
SELECT smart.drop_issuer('https://search.example.org');
REVOKE EXECUTE ON FUNCTION smart.assume, smart_internal.jsonb_contains FROM search_app;
DROP FUNCTION pg_temp.estimate;
DROP SCHEMA search_test CASCADE;
DROP ROLE search_app;
