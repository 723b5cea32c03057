#!/bin/bash
# bench/rows.sh: what smart.patients() and the decision cost a row, beside what SQL itself would do.
#
# ROWS (default 100000) observations of about 1.2 kB, more than a processor's cache holds, are
# read RUNS times (5) by each expression, in turns; medians, less the time of the scan alone. The
# baseline is resource->'subject'->>'reference'. The connection comes from the environment
# (PGHOST, ...): a superuser, in a database with the extension; all is rolled back.
# HOT=1 reads 1,000 rows again and again, so that they stay in the cache.
set -euo pipefail

runs=${RUNS:-5} rows=${ROWS:-100000} repeat=1
if [ -n "${HOT:-}" ]; then rows=1000 repeat=100; fi

psql -X -q -A -t -v ON_ERROR_STOP=1 -v rows="$rows" -v runs="$runs" -v repeat="$repeat" <<'SQL'
SET client_min_messages = error;
SET max_parallel_workers_per_gather = 0;
SET jit = off;
SET plan_cache_mode = force_custom_plan;
BEGIN;
SELECT smart.add_issuer('https://bench.example', '{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "b", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}',
  '{https://bench.example/fhir}', max_patients => 10000) \g /dev/null
CREATE UNLOGGED TABLE bench_row AS
SELECT n::text AS id, jsonb_build_object('resourceType', 'Observation', 'id', n::text, 'status', 'final',
  'meta', jsonb_build_object('versionId', '1', 'lastUpdated', '2024-05-01T08:00:00Z', 'profile', jsonb_build_array('http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-lab')),
  'category', jsonb_build_array(jsonb_build_object('text', 'Laboratory', 'coding', jsonb_build_array(jsonb_build_object('system', 'http://terminology.hl7.org/CodeSystem/observation-category',
    'code', CASE WHEN n % 2 = 0 THEN 'laboratory' ELSE 'vital-signs' END, 'display', 'Laboratory')))),
  'code', jsonb_build_object('text', 'Carbon Dioxide', 'coding', jsonb_build_array(jsonb_build_object('system', 'http://loinc.org', 'code', (20000 + n % 500)::text, 'display', 'Carbon Dioxide'))),
  'subject', jsonb_build_object('reference', 'Patient/' || md5((n % 2000)::text)::uuid, 'display', 'Somebody'),
  'encounter', jsonb_build_object('reference', 'Encounter/' || md5('e' || n)::uuid),
  'performer', jsonb_build_array(jsonb_build_object('reference', 'Practitioner/' || md5('d' || n % 100)::uuid)),
  'effectiveDateTime', '2024-05-01T08:00:00+02:00', 'issued', '2024-05-01T09:00:00.000+02:00',
  'valueQuantity', jsonb_build_object('value', n % 100, 'unit', 'mmol/L', 'system', 'http://unitsofmeasure.org', 'code', 'mmol/L'),
  'note', jsonb_build_array(jsonb_build_object('text', repeat('no remark ', 12)))) AS resource
FROM generate_series(1, :rows) n;
ANALYZE bench_row;
SELECT set_config('bench.runs', :'runs', true), set_config('bench.repeat', :'repeat', true) \g /dev/null
CREATE TEMP TABLE bench_case (n int, name text, scope text, patients int, expression text) ON COMMIT DROP;
CREATE TEMP TABLE bench_time (n int, ns float8) ON COMMIT DROP;
\set options '{"shared": false, "patients": false, "compartment": "subject", "fhir_version": "R4"}'
INSERT INTO bench_case
SELECT n, name, scope, patients, replace(replace(expression, 'CALL', $$, NULL::text[], resource, 'Observation', id, OPTIONS)$$),
  'OPTIONS', format('%L::jsonb', :'options'::jsonb || jsonb_build_object('revision', smart.fhir_revision())))
FROM (VALUES
  (0, 'scan', NULL, 1, $$resource IS NULL$$),
  (1, $$resource->'subject'->>'reference' (baseline)$$, NULL, 1, $$resource->'subject'->>'reference' = 'x'$$),
  (2, 'jsonb_path_exists, subject', NULL, 1, $$jsonb_path_exists(resource, '$.subject.reference ? (@ == "x")')$$),
  (3, 'jsonb_path_exists, category', NULL, 1, $$jsonb_path_exists(resource, '$.category[*].coding[*] ? (@.code == "x" && @.system == "y")')$$),
  (4, 'smart.patients()', NULL, 1, $$smart.patients(resource) IS NULL$$),
  (5, 'smart.patients(), full', NULL, 1, $$smart.patients(resource, 'full') IS NULL$$),
  (6, 'smart_internal.row_patients()', NULL, 1, $$smart_internal.row_patients(resource, 'Observation', id, 'subject', 'R4', NULL, smart.fhir_revision()) IS NULL$$),
  (7, 'smart_internal.row_patient()', NULL, 1, $$smart_internal.row_patient(resource, 'Observation', id, 'subject', 'R4', NULL, smart.fhir_revision()) IS NULL$$),
  (8, 'smart_internal.row_is_regular()', NULL, 1, $$NOT smart_internal.row_is_regular(NULL::text[], resource, 'Observation', id, OPTIONS)$$),
  (9, 'smart_internal.row_check(), one patient', 'patient/*.rs', 1, $$smart_internal.row_check('SELECT'CALL$$),
  (10, 'smart_internal.row_check(), laboratory', 'patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory', 1, $$smart_internal.row_check('SELECT'CALL$$),
  (11, 'smart_internal.row_check(), backend', 'system/*.rs', 1, $$smart_internal.row_check('SELECT'CALL$$),
  (12, 'smart_internal.row_check(), 2,000 patients', 'patient/*.rs', 2000, $$smart_internal.row_check('SELECT'CALL$$),
  (13, 'smart_internal.row_check() of an INSERT, 2,000 patients', 'patient/*.c', 2000, $$smart_internal.row_check('INSERT CHECK'CALL$$)) c (n, name, scope, patients, expression);
DO $do$
DECLARE
  c record;
  started timestamptz;
  repeat int := current_setting('bench.repeat');
BEGIN
  FOR run IN 0..current_setting('bench.runs')::int LOOP
    FOR c IN SELECT * FROM bench_case ORDER BY n LOOP
      IF c.scope IS NOT NULL THEN
        PERFORM smart.assume(jsonb_build_object('sub', 'bench', 'scope', c.scope, 'patient',
          (SELECT jsonb_agg(md5(n::text)::uuid) FROM generate_series(0, c.patients - 1) n)), 'https://bench.example');
      END IF;
      started := clock_timestamp();
      FOR i IN 1..repeat LOOP
        EXECUTE 'SELECT count(*) FROM bench_row WHERE ' || c.expression;
      END LOOP;
      -- the first run warms up
      IF run > 0 THEN
        INSERT INTO bench_time VALUES (c.n, extract(epoch FROM clock_timestamp() - started) * 1e9 / repeat);
      END IF;
    END LOOP;
  END LOOP;
END
$do$;
WITH size AS (SELECT count(*) AS rows, avg(pg_column_size(resource)) / 1024 AS kb FROM bench_row),
median AS (SELECT t.n, percentile_cont(0.5) WITHIN GROUP (ORDER BY ns) / rows AS ns FROM bench_time t, size GROUP BY t.n, rows),
net AS (SELECT n, ns - (SELECT ns FROM median WHERE n = 0) AS ns FROM median)
SELECT format('%s rows of %s kB; the scan alone takes %s ns a row', rows, round(kb::numeric, 2), round(ns)) FROM size, median WHERE n = 0
UNION ALL
SELECT format('%s %s ns a row %s ns a kB   ratio %s', rpad(name, 48), lpad(round(ns)::text, 6), lpad(round(ns / kb)::text, 6), round((ns / base)::numeric, 2))
FROM (SELECT n, name, ns, kb, (SELECT ns FROM net WHERE n = 1) AS base FROM bench_case JOIN net USING (n), size WHERE n > 0 ORDER BY n) r;
ROLLBACK;
SQL
