-- Folded plans never show too much: the numbered sentences at the head of src/policy/fold.c, and
-- the ways in which a plan may meet another session than it was made under.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE guard_app;
CREATE SCHEMA guard_test;
GRANT USAGE ON SCHEMA guard_test TO guard_app;
CREATE TABLE guard_test.observation (id text PRIMARY KEY, resource jsonb NOT NULL);
INSERT INTO guard_test.observation
SELECT i::text, jsonb_build_object('resourceType', 'Observation', 'id', i::text, 'status', CASE WHEN i % 100 < 50 THEN 'final' ELSE 'amended' END,
  'subject', jsonb_build_object('reference', 'Patient/p' || i % 50))
FROM generate_series(1, 5000) i;
-- stored keys: a scalar, and one in a collation that takes p1 and P1 for the same
CREATE COLLATION guard_test.any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE guard_test.by_text (id text PRIMARY KEY, resource jsonb NOT NULL, patient text);
INSERT INTO guard_test.by_text SELECT id, resource, substr(resource #>> '{subject,reference}', 9) FROM guard_test.observation;
CREATE TABLE guard_test.by_case (id text PRIMARY KEY, resource jsonb NOT NULL, patient text COLLATE guard_test.any_case);
INSERT INTO guard_test.by_case VALUES
  ('1', '{"resourceType": "Observation", "id": "1", "subject": {"reference": "Patient/p1"}}', 'p1'),
  ('2', '{"resourceType": "Observation", "id": "2", "subject": {"reference": "Patient/P1"}}', 'P1');
SELECT smart.protect('guard_test.observation', 'Observation'), smart.protect('guard_test.by_text', 'Observation', patients => 'patient'),
  smart.protect('guard_test.by_case', 'Observation', patients => 'patient');
GRANT SELECT, UPDATE, DELETE ON ALL TABLES IN SCHEMA guard_test TO guard_app;
VACUUM ANALYZE guard_test.observation, guard_test.by_text;
SELECT smart.add_issuer('https://guard.example.org',
  '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}',
  '{https://guard.example.org/fhir}', max_patients => 1000);
-- logging in without a change of role: PostgreSQL itself replans when the role changes
GRANT EXECUTE ON FUNCTION smart.assume TO guard_app;

-- who(scope, patient): log in for the connection, or until the transaction ends
CREATE FUNCTION guard_test.who(scope text, patient text DEFAULT NULL, local boolean DEFAULT false, exp float8 DEFAULT 4000000000) RETURNS void
LANGUAGE sql AS $$ SELECT smart.assume(jsonb_strip_nulls(jsonb_build_object('scope', scope, 'exp', exp,
  'patient', CASE WHEN patient LIKE '%,%' THEN to_jsonb(string_to_array(patient, ',')) ELSE to_jsonb(patient) END)), 'https://guard.example.org', local) $$;
-- form(query): the nodes, conditions and filters of a plan, in short
CREATE FUNCTION guard_test.form(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
    IF line ~ 'Scan|Cond|Filter' THEN
      line := regexp_replace(replace(btrim(line), 'smart_internal.', 'smart.'), 'smart\.row_patients?\(.*?, 1\)', 'keys', 'g');
      line := regexp_replace(line, 'smart\.(patient_\w+|among_patients|row_check|row_is_regular)\((\w+, )?.*?::jsonb\)', '\1(\2..)', 'g');
      RETURN NEXT regexp_replace(replace(line, 'smart.', ''), '::text', '', 'g');
    END IF;
  END LOOP;
END $$;
CREATE FUNCTION guard_test.error(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE code text; constraint_name text;
BEGIN
  EXECUTE query;
  RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, constraint_name = CONSTRAINT_NAME;
  RETURN code || ' ' || constraint_name;
END $$;
SET ROLE guard_app;
SET plan_cache_mode = force_generic_plan;

-- The forms.
SELECT guard_test.who('patient/*.rs', 'p1');
SELECT guard_test.form('SELECT * FROM guard_test.observation');
SELECT guard_test.form('SELECT * FROM guard_test.by_text');
SELECT guard_test.who('patient/*.rs', 'p1,p2,p3');
SELECT guard_test.form('SELECT * FROM guard_test.observation');
SELECT guard_test.form('SELECT * FROM guard_test.by_text');
SELECT guard_test.who('patient/*.rs', string_agg('p' || i, ',')) FROM generate_series(2, 600) i;
SELECT guard_test.form('SELECT * FROM guard_test.observation');
SELECT guard_test.form('SELECT * FROM guard_test.by_text');
SELECT count(*) FROM guard_test.by_text;
SET enable_seqscan = off;
SELECT guard_test.form('SELECT * FROM guard_test.by_text');
SELECT count(*) FROM guard_test.by_text;
RESET enable_seqscan;
SELECT guard_test.who('patient/Observation.rs?status=final', 'p1');
SELECT guard_test.form('SELECT * FROM guard_test.observation');
SELECT guard_test.form('SELECT * FROM guard_test.by_text');
SELECT guard_test.form('DELETE FROM guard_test.by_text');
SELECT guard_test.who('system/*.rs');
SELECT guard_test.form('SELECT * FROM guard_test.observation WHERE id = ''1''');
SELECT guard_test.who('system/*.rs?status=final');
SELECT guard_test.form('SELECT * FROM guard_test.observation WHERE id = ''1''');
SELECT guard_test.who('system/Condition.rs');
SELECT guard_test.form('SELECT * FROM guard_test.by_text');
SELECT smart.logout();
SELECT guard_test.form('SELECT * FROM guard_test.by_text');

-- LF-19: Prepared statements, through every form and back; nobody sees a row under any plan.
PREPARE seen AS SELECT count(*) AS seen, count(DISTINCT resource #>> '{subject,reference}') AS patients,
  (SELECT count(*) FROM guard_test.by_text) AS by_text FROM guard_test.observation;
EXECUTE seen;
SELECT guard_test.who('patient/*.rs', 'p1');
EXECUTE seen;
SELECT guard_test.who('patient/*.rs', 'p1,p2,p3');
EXECUTE seen;
SELECT guard_test.who('patient/*.rs', string_agg('p' || i, ',')) FROM generate_series(2, 600) i;
EXECUTE seen;
SELECT guard_test.who('patient/Observation.rs?status=final', 'p1');
EXECUTE seen;
SELECT guard_test.who('patient/Observation.rs?status=final', 'p1,p99');
EXECUTE seen;
SELECT guard_test.who('system/*.rs');
EXECUTE seen;
SELECT smart.logout();
EXECUTE seen;
SELECT guard_test.who('system/*.rs');
EXECUTE seen;
SELECT guard_test.who('system/Observation.rs?status=final');
EXECUTE seen;
SELECT guard_test.who('patient/*.rs', 'p2');
EXECUTE seen;
SELECT guard_test.who('patient/Condition.rs', 'p2');
EXECUTE seen;

-- Sessions of one form share a plan; nothing is planned again at a login.
SELECT guard_test.who('patient/*.rs', 'p1');
PREPARE shared_plan AS SELECT min(id::int) FROM guard_test.observation;
EXECUTE shared_plan;
SELECT guard_test.who('patient/*.rs', 'p2');
EXECUTE shared_plan;
SELECT guard_test.who('patient/Observation.crs patient/Patient.rs', 'p3');
EXECUTE shared_plan;
SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE name = 'shared_plan';

-- PL/pgSQL keeps plans.
RESET ROLE;
CREATE FUNCTION guard_test.counted() RETURNS bigint LANGUAGE plpgsql AS
$$ DECLARE n bigint; BEGIN SELECT count(*) INTO n FROM guard_test.observation; RETURN n; END $$;
SET ROLE guard_app;
SELECT guard_test.who('system/*.rs');
SELECT guard_test.counted();
SELECT guard_test.who('patient/*.rs', 'p1');
SELECT guard_test.counted();
SELECT smart.logout();
SELECT guard_test.counted();
SELECT guard_test.who('system/*.rs');
SELECT guard_test.counted();
-- ... and one function call may span sessions
DO $$
DECLARE result text := '';
BEGIN
  FOR i IN 1..2 LOOP
    PERFORM guard_test.who('system/*.rs');
    result := result || ' ' || guard_test.counted();
    PERFORM guard_test.who('patient/*.rs', 'p1');
    result := result || ' ' || guard_test.counted();
    PERFORM smart.logout();
    result := result || ' ' || guard_test.counted();
  END LOOP;
  RAISE WARNING 'all, one, nobody:%', result;
END $$;

-- An SQL function that is called again in one statement: PostgreSQL 15 to 17 keep its plan. All rows
-- become one patient's, or an error, but never stay.
RESET ROLE;
CREATE FUNCTION guard_test.count_sql() RETURNS bigint LANGUAGE sql VOLATILE AS $$ SELECT count(*) FROM guard_test.observation $$;
CREATE FUNCTION guard_test.count_as(scope text, patient text) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM guard_test.who(scope, patient);
  RETURN 0;
END $$;
CREATE FUNCTION guard_test.count_in_one_statement(first text, second text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE counts bigint[];
BEGIN
  SELECT array_agg(n ORDER BY i) INTO counts FROM (
    SELECT i, CASE WHEN i % 2 = 1 THEN guard_test.count_as(CASE i WHEN 1 THEN first ELSE second END, 'p1') ELSE guard_test.count_sql() END AS n
    FROM generate_series(1, 4) i OFFSET 0) s;
  RETURN CASE WHEN counts[4] <= 100 THEN 'narrow' ELSE counts::text END;
EXCEPTION WHEN invalid_authorization_specification THEN
  RETURN 'narrow';
END $$;
SET ROLE guard_app;
SELECT guard_test.count_in_one_statement('system/*.rs', 'patient/*.rs');
SELECT guard_test.count_in_one_statement('patient/*.rs', 'patient/Condition.rs');

-- A login inside a running statement shows no further rows: the statement fails.
SELECT guard_test.who('patient/*.rs', 'p1');
SELECT guard_test.error($$SELECT count(*) FROM guard_test.by_text o
  WHERE CASE WHEN o.id = '1' THEN guard_test.count_as('patient/*.rs', 'p2') = 0 ELSE true END$$);
SELECT guard_test.who('system/*.rs');
SELECT guard_test.error($$SELECT count(*) FROM guard_test.by_text o
  WHERE CASE WHEN o.id = '1' THEN guard_test.count_as('patient/*.rs', 'p2') = 0 ELSE true END$$);
-- ... and one that began when nobody was logged in shows none
SELECT smart.logout();
SELECT count(*) FROM (SELECT guard_test.count_as('patient/*.rs', 'p2') AS n OFFSET 0) login, LATERAL (SELECT id FROM guard_test.by_text WHERE login.n = 0 OFFSET 0) o;
-- ... nor does a scan that begins anew for each outer row, after the login
SELECT guard_test.who('patient/Observation.rs?status=final', 'p1');
SELECT count(o.id) AS of_other FROM (SELECT i, guard_test.count_as('patient/*.rs', 'p' || i) AS n FROM generate_series(2, 4) i OFFSET 0) login
LEFT JOIN LATERAL (SELECT id FROM guard_test.by_text WHERE login.n = 0 OFFSET 0) o ON true;

-- Cursors end with their session, also where the plan has no policy left to ask.
BEGIN;
SELECT guard_test.who('system/*.rs', local => true);
DECLARE all_rows CURSOR FOR SELECT id FROM guard_test.observation;
FETCH 1 FROM all_rows;
SELECT guard_test.who('patient/*.rs', 'p1', local => true);
SAVEPOINT before_fetch;
FETCH 1 FROM all_rows;
ROLLBACK TO before_fetch;
COMMIT;
-- the same session with another interaction: a cursor goes on only with the rights that it has now
BEGIN;
SELECT guard_test.who('system/Observation.rds', local => true);
SELECT smart.set_interaction('search');
DECLARE searched CURSOR FOR SELECT id FROM guard_test.observation;
FETCH 1 FROM searched;
SELECT smart.set_interaction('delete');
FETCH 1 FROM searched;
ROLLBACK;
BEGIN;
SELECT guard_test.who('system/Observation.ds', local => true);
SELECT smart.set_interaction('search');
DECLARE searched CURSOR FOR SELECT id FROM guard_test.observation;
FETCH 1 FROM searched;
SELECT smart.set_interaction('delete');
FETCH 1 FROM searched;
ROLLBACK;

-- Savepoints: a narrow login inside a broad session, and back.
BEGIN;
SELECT guard_test.who('system/*.rs', local => true);
EXECUTE seen;
SAVEPOINT narrow;
SELECT guard_test.who('patient/*.rs', 'p3', local => true);
EXECUTE seen;
SAVEPOINT logged_out;
SELECT smart.logout();
EXECUTE seen;
ROLLBACK TO logged_out;
EXECUTE seen;
ROLLBACK TO narrow;
EXECUTE seen;
COMMIT;
-- The end of SET LOCAL.
EXECUTE seen;
BEGIN;
SELECT guard_test.who('system/*.rs', local => true);
EXECUTE seen;
COMMIT;
EXECUTE seen;
-- A refused login ends the session; no assignment tells of it.
SELECT guard_test.who('system/*.rs');
EXECUTE seen;
SELECT smart.login('no.token.at_all');
EXECUTE seen;
SELECT guard_test.who('system/*.rs');
EXECUTE seen;
DO $$ BEGIN PERFORM smart.login('no.token.at_all'); EXCEPTION WHEN OTHERS THEN NULL; END $$;
EXECUTE seen;
-- ... nor does a statement that could tell: plans kept in a function
DO $$
DECLARE before bigint;
BEGIN
  PERFORM guard_test.who('system/*.rs');
  before := guard_test.counted();
  BEGIN
    PERFORM smart.login('no.token.at_all');
  EXCEPTION WHEN OTHERS THEN NULL;
  END;
  RAISE WARNING '% before, % after', before, guard_test.counted();
END $$;
SELECT guard_test.who('system/*.rs');
SELECT guard_test.counted();
SELECT smart.login('no.token.at_all');
SELECT guard_test.counted();

-- Parallel plans, in every form.
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET enable_indexscan = off;
SET enable_bitmapscan = off;
PREPARE in_parallel AS SELECT count(*) AS observations, (SELECT count(*) FROM guard_test.by_text) AS by_text FROM guard_test.observation;
SELECT guard_test.who('system/*.rs');
SELECT count(*) > 0 AS parallel FROM guard_test.form('EXECUTE in_parallel') f WHERE f ~ 'Parallel';
EXECUTE in_parallel;
SELECT guard_test.who('patient/*.rs', 'p1');
SELECT count(*) > 0 AS parallel FROM guard_test.form('EXECUTE in_parallel') f WHERE f ~ 'Parallel';
EXECUTE in_parallel;
SELECT guard_test.who('patient/*.rs', 'p1,p2');
EXECUTE in_parallel;
SELECT guard_test.who('patient/Observation.rs?status=final', 'p1');
EXECUTE in_parallel;
SELECT smart.logout();
EXECUTE in_parallel;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET enable_indexscan;
RESET enable_bitmapscan;

-- Expiry between planning and execution: an error, in plans without any condition too.
SELECT guard_test.who('system/*.rs', exp => extract(epoch FROM clock_timestamp()) - 55);
EXECUTE seen;
SELECT pg_sleep(5.2);
SELECT guard_test.error('EXECUTE seen');

-- ... and between the opening of a cursor and its first row
BEGIN;
SELECT guard_test.who('system/*.rs', local => true, exp => extract(epoch FROM clock_timestamp()) - 58);
DECLARE expiring CURSOR FOR SELECT id FROM guard_test.observation;
SELECT pg_sleep(2.2);
FETCH 1 FROM expiring;
ROLLBACK;

-- A key is compared as the decision compares it: a collation that finds P1 for p1 shows nothing more.
SELECT guard_test.who('patient/*.rs', 'p1');
SELECT guard_test.form('SELECT * FROM guard_test.by_case');
SELECT id FROM guard_test.by_case;
SELECT guard_test.who('patient/*.rs', 'P1');
SELECT id FROM guard_test.by_case;

-- Irregular rows: a table that has one is asked row by row, one that has one no more is not.
SELECT guard_test.who('system/*.rs');
EXECUTE seen;
RESET ROLE;
INSERT INTO guard_test.observation VALUES ('x1', '{"resourceType": "Patient", "id": "x1"}');
SET ROLE guard_app;
-- the plan was made before: another takes its place, and shows no row that it may not
EXECUTE seen;
EXECUTE seen;
SELECT guard_test.form('SELECT * FROM guard_test.observation');
SELECT guard_test.who('patient/*.rs', 'p1');
EXECUTE seen;
RESET ROLE;
DELETE FROM guard_test.observation WHERE id = 'x1';
REINDEX TABLE guard_test.observation;
SET ROLE guard_app;
SELECT guard_test.who('system/*.rs');
SELECT guard_test.form('SELECT * FROM guard_test.observation');
-- an irregular row that a session may write is no surprise to kept plans
RESET ROLE;
GRANT INSERT ON guard_test.observation TO guard_app;
SET ROLE guard_app;
SELECT guard_test.who('system/*.cruds');
EXECUTE seen;
INSERT INTO guard_test.observation VALUES ('x2', '{"resourceType": "Observation", "id": "x2", "subject": [{"reference": "Patient/p1"}, {"reference": "Patient/p2"}]}');
EXECUTE seen;
SELECT guard_test.who('patient/*.rs', 'p2');
SELECT count(*), count(*) FILTER (WHERE id = 'x2') AS of_two FROM guard_test.observation;
RESET ROLE;
DELETE FROM guard_test.observation WHERE id = 'x2';
REINDEX TABLE guard_test.observation;
SET ROLE guard_app;
-- keys that are spelled in another way are found, and are not taken for another patient's
SELECT guard_test.who('patient/*.rs', 'p1');
SELECT count(*) FROM guard_test.by_text;
RESET ROLE;
INSERT INTO guard_test.by_text VALUES ('y1', '{"resourceType": "Observation", "id": "y1", "subject": {"reference": "Patient/p1"}}', 'Patient/p1'),
  ('y2', '{"resourceType": "Condition", "id": "y2", "subject": {"reference": "Patient/p1"}}', 'p1');
SET ROLE guard_app;
SELECT count(*), count(*) FILTER (WHERE id ~ 'y') AS other FROM guard_test.by_text;
SELECT guard_test.form('SELECT * FROM guard_test.by_text');
SELECT guard_test.who('system/*.rs');
SELECT count(*), count(*) FILTER (WHERE id = 'y2') AS of_other_type FROM guard_test.by_text;

-- The SELECT policy is asked about new rows as well (RETURNING): these are judged by row, irregular or not.
RESET ROLE;
DELETE FROM guard_test.by_text WHERE id ~ 'y';
REINDEX TABLE guard_test.by_text;
ALTER TABLE guard_test.by_text DISABLE TRIGGER smart_spell_key;
GRANT INSERT ON guard_test.by_text TO guard_app;
SET ROLE guard_app;
SELECT guard_test.who('patient/*.cruds', 'p1');
SELECT guard_test.form('SELECT * FROM guard_test.by_text');
BEGIN;
INSERT INTO guard_test.by_text VALUES ('y3', '{"resourceType": "Observation", "id": "y3", "subject": {"reference": "Patient/p1"}}', 'Patient/p1') RETURNING id;
UPDATE guard_test.by_text SET patient = 'Patient/p1' WHERE id = '1' RETURNING id, patient;
WITH more AS (INSERT INTO guard_test.by_text VALUES ('y4', '{"resourceType": "Observation", "id": "y4", "subject": {"reference": "Patient/p1"}}', 'Patient/p1') RETURNING id)
SELECT * FROM more;
SELECT count(*) FROM guard_test.by_text;
ROLLBACK;
SELECT guard_test.who('patient/*.cruds', 'p1,p2');
BEGIN;
INSERT INTO guard_test.observation VALUES ('y5', '{"resourceType": "Observation", "id": "y5", "subject": [{"reference": "Patient/p1"}, {"reference": "Patient/p2"}]}') RETURNING id;
ROLLBACK;

-- What is called by hand gives nothing away: a value only inside a statement that was planned as protected.
SELECT guard_test.who('patient/*.rs', 'p1');
SELECT smart.patient_key('SELECT', 'Observation', options) IS NULL AS no_key,
  cardinality(smart_internal.patient_keys('SELECT', 'Observation', options)) AS keys, smart_internal.among_patients('p1', 'SELECT', 'Observation', options) AS among
FROM smart.protected_table WHERE relation = 'guard_test.by_text'::regclass;

-- Anybody may call the functions with options of his own: what is remembered of them is bounded, and plans of before stay right.
SELECT guard_test.who('system/*.rs');
EXECUTE shared_plan;
DO $$
BEGIN
  FOR i IN 1..6100 LOOP
    EXECUTE format('SELECT smart.patient_key(''SELECT'', ''Observation'', %L)', jsonb_build_object('compartment', 'subject', 'fhir_version', 'R4', 'patients', false,
      'shared', false, 'revision', smart.fhir_revision(), 'base_url', 'https://guard.example.org/' || i));
  END LOOP;
  PERFORM smart.patient_key('SELECT', 'Observation', jsonb_build_object('compartment', 'subject', 'fhir_version', 'R4', 'patients', false, 'shared', false,
    'revision', smart.fhir_revision(), 'base_url', repeat('x', 10000000)));
END $$;
RESET ROLE;
SELECT sum(total_bytes) < 6000000 AS bounded, count(*) <= 1025 AS few FROM pg_backend_memory_contexts WHERE name LIKE 'smart_fhir call' OR name = 'smart_fhir forms';
SET ROLE guard_app;
EXECUTE seen;
SELECT guard_test.who('patient/*.rs', 'p2');
EXECUTE seen;
EXECUTE shared_plan;

-- U. Plans that show nothing: what compares keys is asked before the first row as well, and SQL
-- functions plan before they log in.
RESET ROLE;
CREATE TABLE guard_test.by_patient (id text, patient text, resource jsonb NOT NULL, PRIMARY KEY (id, patient)) PARTITION BY HASH (patient);
CREATE TABLE guard_test.by_patient_0 PARTITION OF guard_test.by_patient FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE guard_test.by_patient_1 PARTITION OF guard_test.by_patient FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO guard_test.by_patient SELECT id, substr(resource #>> '{subject,reference}', 9), resource FROM guard_test.by_text WHERE id::int <= 500;
SELECT smart.protect('guard_test.by_patient', 'Observation', patients => 'patient');
CREATE FUNCTION guard_test.seen_as(scope text, patient text) RETURNS bigint LANGUAGE sql VOLATILE AS
$$ SELECT guard_test.who(scope, patient); SELECT count(*) FROM guard_test.by_text $$;
CREATE FUNCTION guard_test.rows_as(scope text, patient text) RETURNS SETOF guard_test.by_text LANGUAGE sql VOLATILE AS
$$ SELECT guard_test.who(scope, patient); SELECT * FROM guard_test.by_text $$;
CREATE PROCEDURE guard_test.seen_after_commit(scope text, patient text, INOUT seen text DEFAULT '') LANGUAGE plpgsql AS $$
DECLARE n bigint; r record;
BEGIN
  PERFORM guard_test.who(scope, patient);
  COMMIT;
  SELECT count(*) INTO n FROM guard_test.by_text;
  seen := n::text;
  n := 0;
  FOR r IN SELECT id FROM guard_test.by_text LOOP
    n := n + 1;
    IF n = 3 THEN COMMIT; END IF;
  END LOOP;
  seen := seen || ' ' || n;
END $$;
CREATE FUNCTION guard_test.opened(scope text, patient text) RETURNS refcursor LANGUAGE plpgsql AS $$
DECLARE c refcursor := 'opened';
BEGIN
  PERFORM guard_test.who(scope, patient);
  OPEN c SCROLL FOR SELECT count(*) OVER () AS all_of_them, id FROM guard_test.by_text ORDER BY id;
  RETURN c;
END $$;
GRANT SELECT ON ALL TABLES IN SCHEMA guard_test TO guard_app;
SET ROLE guard_app;
SELECT guard_test.who('patient/*.rs', 'p1');
SELECT count(*), min(patient), max(patient) FROM guard_test.by_patient;
PREPARE by_patient AS SELECT count(*) FROM guard_test.by_patient;
EXECUTE by_patient;
SELECT guard_test.who('patient/*.rs', 'p1,p2,p3');
EXECUTE by_patient;
SELECT guard_test.who('system/*.rs');
EXECUTE by_patient;
SELECT smart.logout();
EXECUTE by_patient;
-- inside a statement of its own, beside a pruned join, and in an initplan
SELECT guard_test.who('patient/*.rs', 'p2');
SELECT (SELECT count(*) FROM guard_test.by_patient) AS initplan, count(*) AS joined
FROM guard_test.by_text t JOIN guard_test.by_patient p USING (id) WHERE p.patient = t.patient;
SELECT guard_test.seen_as('patient/*.rs', 'p1'), guard_test.seen_as('patient/*.rs', 'p1,p2'), guard_test.seen_as('system/*.rs', NULL),
  guard_test.seen_as('patient/Observation.rs?status=final', 'p60,p1'), guard_test.seen_as('patient/Condition.rs', 'p1');
SELECT smart.logout();
SELECT count(*) FROM guard_test.rows_as('patient/*.rs', 'p1,p2');
SELECT smart.logout();
SELECT count(*) FROM guard_test.rows_as('system/*.rs', NULL);
SELECT smart.logout();
CALL guard_test.seen_after_commit('patient/*.rs', 'p1,p2');
SELECT smart.logout();
CALL guard_test.seen_after_commit('system/*.rs', NULL);
SELECT smart.logout();
DO $$ BEGIN PERFORM guard_test.who('patient/*.rs', 'p1,p2'); RAISE WARNING 'DO: %', (SELECT count(*) FROM guard_test.by_text); END $$;
-- a cursor that a function opened; and one that is rewound asks for its keys again
BEGIN;
SELECT guard_test.opened('patient/*.rs', 'p1,p2');
FETCH 1 FROM opened;
MOVE BACKWARD ALL FROM opened;
FETCH 1 FROM opened;
COMMIT;
BEGIN;
SELECT guard_test.who('patient/*.rs', 'p1', local => true);
SET LOCAL enable_seqscan = off;
DECLARE rewound SCROLL CURSOR FOR SELECT patient FROM guard_test.by_text;
MOVE FORWARD ALL FROM rewound;
MOVE BACKWARD ALL FROM rewound;
MOVE FORWARD ALL FROM rewound;
FETCH ABSOLUTE 1 FROM rewound;
COMMIT;

-- Plans that are kept for other forms: nothing changes under them unseen.
RESET ROLE;
SELECT smart.unprotect('guard_test.by_patient');
CREATE TABLE guard_test.kept (id text PRIMARY KEY, resource jsonb NOT NULL, n int);
INSERT INTO guard_test.kept SELECT id, resource, id::int FROM guard_test.observation WHERE id::int <= 500;
SELECT smart.protect('guard_test.kept', 'Observation');
GRANT SELECT ON guard_test.kept TO guard_app;
ANALYZE guard_test.kept;
SET ROLE guard_app;
SELECT guard_test.who('patient/*.rs', 'p1');
PREPARE kept AS SELECT count(*) AS seen, max(n)::bigint AS n FROM guard_test.kept;
-- in_turn(): what a patient, a backend and nobody see, by turns; the second round runs plans that were kept
CREATE FUNCTION pg_temp.in_turn() RETURNS text LANGUAGE plpgsql AS $$
DECLARE r record; result text := '';
BEGIN
  FOR i IN 1..3 LOOP
    PERFORM guard_test.who('patient/*.rs', 'p1');
    EXECUTE 'EXECUTE kept' INTO r;
    result := result || concat_ws('/', r.seen, r.n) || ' ';
    PERFORM guard_test.who('system/*.rs');
    EXECUTE 'EXECUTE kept' INTO r;
    result := result || concat_ws('/', r.seen, r.n) || ' ';
    PERFORM smart.logout();
    EXECUTE 'EXECUTE kept' INTO r;
    result := result || concat_ws('/', r.seen, r.n) || '; ';
  END LOOP;
  RETURN result;
END $$;
SELECT pg_temp.in_turn();
SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE name = 'kept';
-- a new index, one that goes, new statistics
RESET ROLE;
CREATE INDEX kept_n ON guard_test.kept (n);
SET ROLE guard_app;
SELECT pg_temp.in_turn();
RESET ROLE;
DROP INDEX guard_test.kept_n;
ANALYZE guard_test.kept;
SET ROLE guard_app;
SELECT pg_temp.in_turn();
-- a column of another type, a column more, a row that is irregular, and none any more
RESET ROLE;
ALTER TABLE guard_test.kept ALTER n TYPE bigint USING n + 1000, ADD more text;
SET ROLE guard_app;
SELECT pg_temp.in_turn();
RESET ROLE;
ALTER TABLE guard_test.kept ALTER n TYPE int USING n - 1000;
INSERT INTO guard_test.kept VALUES ('x', '{"resourceType": "Patient", "id": "x"}', 9999);
SET ROLE guard_app;
SELECT pg_temp.in_turn();
RESET ROLE;
DELETE FROM guard_test.kept WHERE id = 'x';
REINDEX TABLE guard_test.kept;
SET ROLE guard_app;
SELECT pg_temp.in_turn();
-- another policy beside ours, protect() again, no row-level security at all
RESET ROLE;
CREATE POLICY half ON guard_test.kept AS RESTRICTIVE FOR SELECT USING (n <= 250);
SET ROLE guard_app;
SELECT pg_temp.in_turn();
RESET ROLE;
DROP POLICY half ON guard_test.kept;
SELECT smart.protect('guard_test.kept', 'Observation', base_url => 'https://guard.example.org/fhir');
SET ROLE guard_app;
SELECT pg_temp.in_turn();
RESET ROLE;
SELECT smart.protect('guard_test.kept', 'Observation', base_url => 'https://elsewhere.example.org');
SET ROLE guard_app;
SELECT pg_temp.in_turn();
RESET ROLE;
SELECT smart.protect('guard_test.kept', 'Observation');
SET ROLE guard_app;
SELECT pg_temp.in_turn();
-- settings that planning reads; the role; row_security
SET enable_seqscan = off;
SELECT pg_temp.in_turn();
SET enable_indexscan = off;
SET enable_bitmapscan = off;
RESET enable_seqscan;
SELECT pg_temp.in_turn();
RESET enable_indexscan;
RESET enable_bitmapscan;
RESET ROLE;
EXECUTE kept;
SET ROLE guard_app;
SELECT pg_temp.in_turn();
SET row_security = off;
EXECUTE kept;
RESET row_security;
SELECT pg_temp.in_turn();
-- search_path; and a temporary table of the name, for which PostgreSQL does not look again
DEALLOCATE kept;
SET search_path = guard_test;
PREPARE kept AS SELECT count(*) AS seen, max(n)::bigint AS n FROM kept;
SELECT pg_temp.in_turn();
RESET ROLE;
CREATE SCHEMA guard_test_2;
CREATE TABLE guard_test_2.kept (n int);
GRANT USAGE ON SCHEMA guard_test_2 TO guard_app;
GRANT SELECT ON guard_test_2.kept TO guard_app;
SET ROLE guard_app;
SET search_path = guard_test_2, guard_test;
SELECT pg_temp.in_turn();
SET search_path = guard_test;
SELECT pg_temp.in_turn();
CREATE TEMPORARY TABLE kept (n int);
SELECT pg_temp.in_turn();
DROP TABLE pg_temp.kept;
SELECT pg_temp.in_turn();
RESET search_path;
-- a function in the query
RESET ROLE;
CREATE FUNCTION guard_test.limit_of() RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT 250 $$;
SET ROLE guard_app;
DEALLOCATE kept;
PREPARE kept AS SELECT count(*) AS seen, max(n)::bigint AS n FROM guard_test.kept WHERE n <= guard_test.limit_of();
SELECT pg_temp.in_turn();
RESET ROLE;
CREATE OR REPLACE FUNCTION guard_test.limit_of() RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT 300 $$;
SET ROLE guard_app;
SELECT pg_temp.in_turn();
DROP FUNCTION pg_temp.in_turn();
-- a cursor over a kept plan while the plan is thrown away
RESET ROLE;
CREATE FUNCTION guard_test.walk(scope text, patient text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint := 0; r record;
BEGIN
  PERFORM guard_test.who(scope, patient);
  FOR r IN SELECT id FROM guard_test.kept LOOP
    n := n + 1;
    IF n = 5 THEN DISCARD PLANS; END IF;
  END LOOP;
  RETURN n;
END $$;
SET ROLE guard_app;
SELECT guard_test.walk('patient/*.rs', 'p1'), guard_test.walk('system/*.rs', NULL), guard_test.walk('system/*.rs', NULL), guard_test.walk('system/*.rs', NULL);
SELECT guard_test.walk('patient/*.rs', 'p1,p2'), guard_test.walk('patient/*.rs', 'p1');

-- V. Partitions: of those that a plan reads each is asked whether its rows are regular, whenever it came.
RESET ROLE;
CREATE TABLE guard_test.parts (id int, resource jsonb NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE guard_test.parts_1 PARTITION OF guard_test.parts FOR VALUES FROM (0) TO (100);
CREATE TABLE guard_test.parts_2 PARTITION OF guard_test.parts FOR VALUES FROM (100) TO (200);
INSERT INTO guard_test.parts SELECT i, jsonb_build_object('resourceType', 'Observation', 'id', i::text, 'subject', jsonb_build_object('reference', 'Patient/p' || i % 4))
FROM generate_series(0, 199) i;
SELECT smart.protect('guard_test.parts', 'Observation', id => 'id');
GRANT SELECT ON guard_test.parts TO guard_app;
SET ROLE guard_app;
SELECT guard_test.who('system/*.rs');
PREPARE parts AS SELECT count(*) FROM guard_test.parts;
PREPARE part(int) AS SELECT count(*) FROM guard_test.parts WHERE id >= $1;
EXECUTE parts;
EXECUTE part(50);
SELECT guard_test.form('SELECT * FROM guard_test.parts WHERE id >= 150');
-- an irregular row in a partition: statements on the others do not see it
RESET ROLE;
INSERT INTO guard_test.parts VALUES (7, '{"resourceType": "Patient", "id": "7"}');
SET ROLE guard_app;
EXECUTE part(150);
SELECT guard_test.form('SELECT * FROM guard_test.parts WHERE id >= 150');
-- a kept plan that reads it fails at most once
SELECT guard_test.error('EXECUTE part(50)') IN ('no error', '40001 plan_changed') AS once;
EXECUTE part(50);
SELECT count(*) FROM guard_test.parts;
EXECUTE parts;
RESET ROLE;
DELETE FROM guard_test.parts WHERE id = 7;
REINDEX TABLE guard_test.parts;
SET ROLE guard_app;
EXECUTE parts;
SELECT guard_test.form('SELECT * FROM guard_test.parts');
-- a partition that is attached later, with a row of another type in it
RESET ROLE;
CREATE TABLE guard_test.parts_3 (id int, resource jsonb NOT NULL);
INSERT INTO guard_test.parts_3 VALUES (200, '{"resourceType": "Patient", "id": "200"}'), (201, '{"resourceType": "Observation", "id": "201"}');
ALTER TABLE guard_test.parts ATTACH PARTITION guard_test.parts_3 FOR VALUES FROM (200) TO (300);
SET ROLE guard_app;
EXECUTE parts;
EXECUTE part(200);
SELECT count(*) FROM guard_test.parts;

-- W. Bounds met by honest users: more different calls in one backend than are remembered.
SELECT guard_test.who('system/*.rs');
BEGIN;
DECLARE healthy CURSOR FOR SELECT id FROM guard_test.by_text;
FETCH 1 FROM healthy;
DO $$
BEGIN
  FOR i IN 1..1100 LOOP
    EXECUTE format('SELECT smart.patient_key(''SELECT'', ''Observation'', %L) FROM guard_test.by_text LIMIT 1', jsonb_build_object('compartment', 'subject',
      'fhir_version', 'R4', 'patients', false, 'shared', false, 'revision', smart.fhir_revision(), 'base_url', 'https://guard.example.org/' || i));
  END LOOP;
END $$;
FETCH 1 FROM healthy;
SELECT smart.set_interaction('search');
FETCH 1 FROM healthy;
COMMIT;
SELECT guard_test.who('patient/*.rs', 'p1');
SELECT count(*) FROM guard_test.by_text;
EXECUTE seen;

-- Queries of many kept plans: as trees, as compressed text, and gone with their plans. Each statement has its own answer, by turns.
-- nor is a call that comes after them left unfolded
RESET ROLE;
CREATE TABLE guard_test.late (id text PRIMARY KEY, resource jsonb NOT NULL);
SELECT smart.protect('guard_test.late', 'Observation', base_url => 'https://guard.example.org/fhir') \g /dev/null
GRANT SELECT ON guard_test.late TO guard_app;
SET ROLE guard_app;
SELECT guard_test.who('patient/*.rs', 'p1');
SELECT guard_test.form('SELECT * FROM guard_test.late');

RESET ROLE;
SET ROLE guard_app;
SELECT smart.logout();
DEALLOCATE ALL;
SET plan_cache_mode = force_generic_plan;
CREATE FUNCTION pg_temp.seen_of_many(OUT patient bigint, OUT backend bigint, OUT nobody bigint, OUT wrong bigint) LANGUAGE plpgsql AS $$
DECLARE n bigint; own bigint; seen bigint[] := '{0,0,0}';
BEGIN
  wrong := 0;
  FOR round IN 1..2 LOOP
    seen := '{0,0,0}';
    FOR who IN 1..3 LOOP
      CASE who WHEN 1 THEN PERFORM guard_test.who('patient/*.rs', 'p1'); WHEN 2 THEN PERFORM guard_test.who('system/*.rs'); ELSE PERFORM smart.logout(); END CASE;
      FOR i IN 1..150 LOOP
        EXECUTE format('EXECUTE many_%s', i) INTO n, own;
        seen[who] := seen[who] + n;
        wrong := wrong + (own <> i)::int;
      END LOOP;
    END LOOP;
  END LOOP;
  patient := seen[1]; backend := seen[2]; nobody := seen[3];
END $$;
DO $$
BEGIN
  FOR i IN 1..150 LOOP
    EXECUTE format('PREPARE many_%s AS SELECT count(*), %s::bigint FROM guard_test.kept WHERE n <= 250', i, i);
  END LOOP;
END $$;
SELECT * FROM pg_temp.seen_of_many();
RESET ROLE;
SELECT bool_or(name = 'smart_fhir query') AS trees, max(total_bytes) FILTER (WHERE name = 'smart_fhir queries') > 50000 AS texts,
  sum(total_bytes) FILTER (WHERE name ~ '^smart_fhir (plan|quer)') < 3000000 AS bounded
FROM pg_backend_memory_contexts;
-- made anew when what they rest on changes
ANALYZE guard_test.kept;
ALTER TABLE guard_test.kept ADD again text;
SET ROLE guard_app;
SELECT * FROM pg_temp.seen_of_many();
DEALLOCATE ALL;
RESET ROLE;
SELECT coalesce(sum(total_bytes) FILTER (WHERE name = 'smart_fhir query'), 0) < 100000 AS trees_gone,
  sum(used_bytes) FILTER (WHERE name = 'smart_fhir queries') < 20000 AS texts_gone
FROM pg_backend_memory_contexts;
SET ROLE guard_app;
-- a plan that is explained before it first runs
PREPARE apart AS SELECT count(*) FROM guard_test.kept WHERE n <= 250;
SELECT guard_test.who('system/*.rs');
EXPLAIN (COSTS off) EXECUTE apart;
EXECUTE apart;
SELECT guard_test.who('patient/*.rs', 'p1');
EXECUTE apart;
SELECT smart.logout();
EXECUTE apart;
-- by turns on partitions, before and after one more
SELECT guard_test.who('patient/*.rs', 'p1');
PREPARE parts_in_turn AS SELECT count(*) FROM guard_test.parts WHERE id < 200 OR id >= 300;
EXECUTE parts_in_turn;
SELECT guard_test.who('system/*.rs');
EXECUTE parts_in_turn;
SELECT guard_test.who('patient/*.rs', 'p1');
EXECUTE parts_in_turn;
RESET ROLE;
CREATE TABLE guard_test.parts_4 PARTITION OF guard_test.parts FOR VALUES FROM (300) TO (400);
INSERT INTO guard_test.parts SELECT i, jsonb_build_object('resourceType', 'Observation', 'id', i::text, 'subject', jsonb_build_object('reference', 'Patient/p' || i % 4))
FROM generate_series(300, 399) i;
SET ROLE guard_app;
SELECT guard_test.who('system/*.rs');
EXECUTE parts_in_turn;
SELECT guard_test.who('patient/*.rs', 'p1');
EXECUTE parts_in_turn;
SELECT guard_test.who('system/*.rs');
EXECUTE parts_in_turn;
RESET plan_cache_mode;
DROP FUNCTION pg_temp.seen_of_many();

RESET ROLE;
SELECT smart.logout();
SELECT smart.drop_issuer('https://guard.example.org');
DEALLOCATE ALL;
REVOKE EXECUTE ON FUNCTION smart.assume FROM guard_app;
DROP SCHEMA guard_test, guard_test_2 CASCADE;
DROP ROLE guard_app;
