-- The session under rollbacks, prepared statements, cursors, parallel workers, and every kind of statement.
\getenv srcdir PG_ABS_SRCDIR
\set prelude :srcdir '/data/session/prelude.sql'
\set cleanup :srcdir '/data/session/cleanup.sql'
\set ECHO none
\i :prelude
\set ECHO all
\set VERBOSITY terse
CREATE FUNCTION st.state() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN concat_ws(' ', 'patient', coalesce(smart.patient(), '-'), 'rows', (SELECT count(*) FROM st.observation));
END $$;
SET ROLE regress_st_app;

-- ROLLBACK TO brings back the session that the savepoint knew.
BEGIN;
SELECT st.login('{"patient":"1"}');
SAVEPOINT a;
SELECT st.login('{"patient":"2","scope":"patient/Patient.rs"}');
SELECT st.state();
ROLLBACK TO a;
SELECT st.state();
SELECT st.login('{"patient":"2"}');
RELEASE a;
SELECT st.state();
ROLLBACK;
SELECT st.state();

-- LF-7: A login inside a transaction that rolls back: the connection's session of before is there again.
SELECT smart.login(st.token('{"patient":"2"}'), false);
BEGIN;
SELECT smart.login(st.token('{"patient":"1"}'), false);
SELECT st.state();
ROLLBACK;
SELECT st.state();
SELECT smart.logout();

-- A refused login ends the session, and neither ROLLBACK TO nor ROLLBACK brings it back.
SELECT smart.login(st.token('{"patient":"1"}'), false);
BEGIN;
SELECT st.state();
SAVEPOINT a;
SELECT smart.login('nonsense');
ROLLBACK TO a;
SELECT st.state();
SELECT smart.allows('Observation', 'r'), smart.permits(st.obs('x', '1'), 'r'), (SELECT count(*) FROM smart.session) AS session;
ROLLBACK;
SELECT st.state();

-- The same by the error of an exception block, by a wrong interaction, and by assume().
BEGIN;
SELECT st.login('{"patient":"1"}');
DO $$ BEGIN PERFORM smart.login('nonsense'); EXCEPTION WHEN invalid_authorization_specification THEN RAISE NOTICE '%', st.state(); END $$;
SELECT st.state();
SELECT st.login('{"patient":"1"}'), st.state();
SELECT st.why($$SELECT smart.login(st.token(), interaction => 'x')$$), st.state();
ROLLBACK;
RESET ROLE;
BEGIN;
SELECT st.login('{"patient":"1"}');
SELECT st.assume('{"exp":1}');
SELECT smart.patient();
ROLLBACK;
SET ROLE regress_st_app;

-- After it a login works again, in the same transaction and in the same savepoint; the old one stays dead when that rolls back.
BEGIN;
SELECT st.login('{"patient":"1"}');
SAVEPOINT a;
SELECT st.login('{"exp":1}');
SELECT st.login('{"patient":"2"}');
SELECT st.state();
ROLLBACK TO a;
SELECT st.state();
SELECT st.login('{"patient":"1"}');
SELECT st.state();
COMMIT;

-- logout() rolled back stays a logout.
SELECT smart.login(st.token('{"patient":"1"}'), false);
BEGIN;
SELECT smart.logout();
ROLLBACK;
SELECT st.state();
BEGIN;
SELECT st.login('{"patient":"1"}');
SAVEPOINT a;
SELECT smart.logout();
ROLLBACK TO a;
SELECT st.state();
DO $$ BEGIN PERFORM st.login('{"patient":"1"}'); BEGIN PERFORM smart.logout(); RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN RAISE NOTICE '%', st.state(); END; END $$;
COMMIT;

-- A function that logs in: its caller is logged in from the next statement; a function's SET clause ends nothing.
BEGIN;
CREATE FUNCTION pg_temp.logs_in(patient text) RETURNS text LANGUAGE plpgsql SET work_mem = '1MB' AS $$ BEGIN PERFORM st.login(jsonb_build_object('patient', patient)); RETURN st.state(); END $$;
SELECT pg_temp.logs_in('2');
SELECT st.state();
CREATE FUNCTION pg_temp.logs_in_sql(patient text) RETURNS bigint LANGUAGE sql AS $$ SELECT st.login(jsonb_build_object('patient', patient)); SELECT count(*) FROM st.patient $$;
SELECT pg_temp.logs_in_sql('1');
SELECT st.state();
ROLLBACK;

-- A prepared statement, with a custom and with a generic plan, follows each login, also to a broader or another kind of session and to none.
BEGIN;
PREPARE q AS SELECT count(*), min(id) FROM st.observation;
PREPARE p(text) AS SELECT count(*) FROM st.observation WHERE id > $1;
CREATE FUNCTION pg_temp.planned(OUT n bigint, OUT m text) LANGUAGE plpgsql AS $$ BEGIN SELECT count(*), min(id) INTO n, m FROM st.observation; END $$;
CREATE FUNCTION pg_temp.run(change jsonb) RETURNS TABLE (login text, n bigint, m text) LANGUAGE plpgsql AS $$
BEGIN
	login := CASE WHEN change IS NULL THEN smart.logout()::text ELSE st.login(change) END;
	SELECT * INTO n, m FROM pg_temp.planned();
	RETURN NEXT;
END $$;
SET LOCAL plan_cache_mode = force_generic_plan;
EXECUTE q;
SELECT st.login('{"patient":"1"}');
EXECUTE q; EXECUTE p('o1');
SELECT st.login('{"patient":"2"}');
EXECUTE q; EXECUTE p('o1');
SELECT st.login('{"scope":"system/*.rs"}');
EXECUTE q; EXECUTE p('o1');
SELECT st.login('{"patient":"2"}');
EXECUTE q; EXECUTE p('o1');
SELECT st.login('{"scope":"patient/Observation.rs?status=final"}');
EXECUTE q; EXECUTE p('o1');
SELECT smart.logout();
EXECUTE q; EXECUTE p('o1');
SELECT r.* FROM unnest(ARRAY[NULL, '{"patient":"1"}', '{"scope":"system/*.rs"}', '{"patient":"2"}', '{"scope":"system/Patient.rs"}', NULL, '{"scope":"system/*.rs"}', '{"scope":"patient/*.c"}']::jsonb[]) WITH ORDINALITY c (c, i), LATERAL pg_temp.run(c) r ORDER BY i;
ROLLBACK;
DEALLOCATE ALL;

-- A cursor belongs to its session: after another login, also of the same patient, or a logout the next FETCH fails. It goes on after set_interaction(), under the rights of the new interaction.
BEGIN;
SELECT st.login('{"patient":"1"}');
DECLARE cur CURSOR FOR SELECT id FROM st.observation ORDER BY id;
DECLARE lazy CURSOR FOR SELECT id FROM st.observation;
DECLARE backward SCROLL CURSOR FOR SELECT id FROM st.observation ORDER BY id;
DECLARE moved CURSOR FOR SELECT id FROM st.observation;
FETCH 1 FROM cur;
FETCH 2 FROM backward;
SELECT smart.set_interaction('read');
FETCH 1 FROM cur;
SAVEPOINT a;
SELECT st.login('{"patient":"1"}');
FETCH 1 FROM cur;
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO a;
-- back in its own session it would go on, had the error not ended it
FETCH 1 FROM cur;
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO a;
SELECT st.login('{"patient":"2"}');
SELECT st.why('FETCH 1 FROM lazy'), st.why('FETCH BACKWARD 1 FROM backward'), st.why('MOVE 1 IN moved');
ROLLBACK;
BEGIN;
SELECT st.login('{"patient":"1"}');
DECLARE cur CURSOR FOR SELECT id FROM st.observation;
SELECT smart.logout();
FETCH 1 FROM cur;
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
DECLARE cur CURSOR FOR SELECT id FROM st.observation;
SELECT st.login('{"patient":"1"}');
FETCH 1 FROM cur;
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT smart.login(st.token('{"scope":"patient/Observation.s"}'), interaction => 'search');
DECLARE cur CURSOR FOR SELECT id FROM st.observation;
FETCH 1 FROM cur;
SELECT smart.set_interaction('read');
FETCH ALL FROM cur;
ROLLBACK;
-- The constraint name says why.
BEGIN;
SELECT st.login('{"patient":"1"}');
DECLARE cur CURSOR FOR SELECT id FROM st.observation;
SELECT st.login('{"patient":"2"}');
SELECT st.why('FETCH 1 FROM cur');
-- A cursor of nothing protected is nobody's business.
DECLARE other CURSOR FOR SELECT 1 AS one;
SELECT st.login('{"patient":"1"}');
FETCH 1 FROM other;
ROLLBACK;

-- A plpgsql loop reads through a cursor too: a login inside it stops it.
BEGIN;
SELECT st.login('{"patient":"1"}');
CREATE FUNCTION pg_temp.loop() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	r record;
	n int := 0;
BEGIN
	FOR r IN SELECT o.id FROM st.observation o, generate_series(1, 100) LOOP
		n := n + 1;
		IF n = 5 THEN PERFORM st.login('{"patient":"2"}'); END IF;
	END LOOP;
	RAISE NOTICE 'came to the end';
END $$;
SELECT st.why('SELECT pg_temp.loop()');
ROLLBACK;

-- A cursor WITH HOLD is a stored result: login() refuses while one is open, and the session that was there ends.
BEGIN;
SELECT st.login('{"patient":"1"}');
DECLARE held CURSOR WITH HOLD FOR SELECT id FROM st.observation ORDER BY id;
COMMIT;
FETCH 1 FROM held;
BEGIN;
SELECT st.login('{"patient":"2"}');
SELECT smart.login(st.token('{"patient":"2"}'));
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
CLOSE held;
SELECT smart.login(st.token('{"patient":"1"}'), false);
BEGIN;
DECLARE held CURSOR WITH HOLD FOR SELECT id FROM st.observation ORDER BY id;
SELECT st.login('{"patient":"2"}');
SELECT st.state();
COMMIT;
SELECT st.state();
SELECT st.login('{"patient":"2"}');
CLOSE ALL;
BEGIN;
SELECT st.login('{"patient":"2"}');
SELECT st.state();
COMMIT;

-- A procedure's COMMIT and COMMIT AND CHAIN end a local session, and keep one of the connection.
BEGIN;
SELECT st.login('{"patient":"1"}');
COMMIT AND CHAIN;
SELECT st.state();
SELECT smart.login(st.token('{"patient":"2"}'), false);
ROLLBACK AND CHAIN;
SELECT st.state();
COMMIT;
DO $$ BEGIN PERFORM st.login('{"patient":"1"}'); RAISE NOTICE '%', st.state(); COMMIT; RAISE NOTICE '%', st.state();
	PERFORM smart.login(st.token('{"patient":"2"}'), false); COMMIT; RAISE NOTICE '%', st.state(); ROLLBACK; RAISE NOTICE '%', st.state(); PERFORM smart.logout(); END $$;

-- A login inside a running statement that shows rows makes it fail; where each row is asked it shows no further ones, and the next
-- statement sees the new session.
BEGIN;
SELECT st.login('{"patient":"1"}');
CREATE FUNCTION pg_temp.switch(id text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$ BEGIN RETURN st.login('{"scope":"system/*.rs"}'); END $$;
SAVEPOINT before;
SELECT id, pg_temp.switch(id) FROM st.observation;
ROLLBACK TO before;
SELECT st.login('{"patient":"1", "scope":"patient/*.rs?_id=o1,o2,o3,o4"}');
SELECT id, pg_temp.switch(id) FROM st.observation;
SELECT count(*) FROM st.observation;
ROLLBACK;
-- Nor does one that nobody was logged in at the start of.
BEGIN;
SELECT x.login, o.id FROM (SELECT st.login('{"scope":"system/*.rs"}') OFFSET 0) x LEFT JOIN LATERAL (SELECT id FROM st.observation OFFSET 0) o ON true;
SELECT count(*) FROM st.observation;
ROLLBACK;

-- LF-19: Parallel workers know the session, and know none of one that is dead.
RESET ROLE;
INSERT INTO st.observation SELECT 'p' || i, st.obs('p' || i, (2 - i % 2)::text) FROM generate_series(1, 4000) i;
ANALYZE st.observation;
DROP INDEX st.observation_smart_patients;
SET ROLE regress_st_app;
BEGIN;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL max_parallel_workers_per_gather = 2;
SET LOCAL parallel_leader_participation = off;
SELECT count(set_config(name, CASE name WHEN 'debug_parallel_query' THEN 'on' ELSE 'on' END, true)) AS forced FROM pg_settings WHERE name IN ('debug_parallel_query', 'force_parallel_mode');
CREATE FUNCTION pg_temp.is_parallel() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	FOR line IN EXPLAIN SELECT count(*) FROM st.observation LOOP
		IF line LIKE '%Gather%' THEN RETURN true; END IF;
	END LOOP;
	RETURN false;
END $$;
SELECT count(*) FROM st.observation;
SELECT st.login('{"patient":"1"}');
SELECT pg_temp.is_parallel();
SELECT count(*), count(*) FILTER (WHERE resource #>> '{subject,reference}' <> 'Patient/1') AS others FROM st.observation;
SELECT smart.patient(), (SELECT patient FROM smart.session) AS view;
SAVEPOINT a;
SELECT smart.logout();
ROLLBACK TO a;
SELECT pg_temp.is_parallel();
SELECT count(*) FROM st.observation;
SELECT smart.patient();
SELECT st.login('{"patient":"1"}');
SELECT count(*) FROM st.observation;
SAVEPOINT b;
SELECT st.login('{"exp":1}');
ROLLBACK TO b;
SELECT count(*) FROM st.observation;
SELECT st.login('{"patient":"2","scope":"patient/Observation.rs?status=final"}');
SELECT count(*) FROM st.observation;
SELECT st.login('{"scope":"system/*.rs"}');
SELECT count(*) FROM st.observation;
SELECT st.login('{"scope":"system/*.s"}');
SELECT smart.set_interaction('search');
SELECT count(*) FROM st.observation;
SELECT smart.set_interaction('create');
SELECT count(*) FROM st.observation;
-- Workers get the session byte by byte, whatever its length.
DO $$
DECLARE
	change jsonb;
	same int := 0;
BEGIN
	FOR n IN 1 .. 520 BY 7 LOOP
		change := jsonb_build_object('sub', repeat('x', n), 'jti', repeat('y', n % 7 + 1));
		PERFORM st.login(change);
		EXECUTE 'SELECT $1 + 1 FROM smart.session s WHERE s.claims = $2 AND s.subject = $3' INTO STRICT same USING same, st.claims(change), repeat('x', n);
	END LOOP;
	RAISE NOTICE '% sessions', same;
END $$;
ROLLBACK;
-- The session of a connection that logged out inside a transaction that then failed.
SELECT smart.login(st.token('{"patient":"1"}'), false);
BEGIN;
SELECT smart.logout();
ROLLBACK;
BEGIN;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL parallel_leader_participation = off;
SELECT count(*) FROM st.observation;
ROLLBACK;
RESET ROLE;
DELETE FROM st.observation WHERE id LIKE 'p%';

-- Views: the owner's rights count, and its session is the caller's; FORCE keeps the owner itself under the policies.
SET ROLE regress_st_own;
CREATE VIEW st.definer_view AS SELECT * FROM st.observation;
CREATE VIEW st.invoker_view WITH (security_invoker = true) AS SELECT * FROM st.observation;
CREATE MATERIALIZED VIEW st.matview AS SELECT id FROM st.observation;
CREATE FUNCTION st.definer_count() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = '' AS 'SELECT count(*) FROM st.observation';
CREATE FUNCTION st.copy_row() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN INSERT INTO st.seen SELECT id FROM st.observation; RETURN NEW; END $$;
CREATE TABLE st.seen (id text);
CREATE TABLE st.action (id int);
CREATE TRIGGER copy_row AFTER INSERT ON st.action FOR EACH ROW EXECUTE FUNCTION st.copy_row();
GRANT SELECT, INSERT, UPDATE ON st.definer_view, st.invoker_view, st.seen, st.action TO regress_st_app;
GRANT SELECT ON st.matview TO regress_st_app;
SELECT count(*) AS owner_without_session FROM st.observation;
SET ROLE regress_st_app;
BEGIN;
SELECT (SELECT count(*) FROM st.definer_view) AS definer, (SELECT count(*) FROM st.invoker_view) AS invoker, st.definer_count();
SELECT st.login('{"patient":"1"}');
SELECT (SELECT count(*) FROM st.definer_view) AS definer, (SELECT count(*) FROM st.invoker_view) AS invoker, st.definer_count(), (SELECT count(*) FROM st.matview) AS matview;
UPDATE st.definer_view SET note = 'v' RETURNING id;
SELECT st.why($$INSERT INTO st.definer_view VALUES ('v', st.obs('v', '2'))$$);
-- LF-8: A SECURITY DEFINER trigger sees what the session sees.
INSERT INTO st.action VALUES (1);
SELECT string_agg(id, ' ' ORDER BY id) FROM st.seen;
ROLLBACK;
-- A materialized view is a stored result: it has what its owner saw when it was refreshed (here: nobody logged in, no rows), and no policy.
SET ROLE regress_st_own;
BEGIN;
SELECT st.login('{"patient":"1"}');
REFRESH MATERIALIZED VIEW st.matview;
COMMIT;
SET ROLE regress_st_app;
SELECT count(*) AS stored_and_unprotected FROM st.matview;
RESET ROLE;

-- Foreign keys: a check sees rows that the session does not, and ON DELETE CASCADE reaches them; both are what PostgreSQL does under row-level security.
SET ROLE regress_st_own;
CREATE TABLE st.child (id text PRIMARY KEY, parent text REFERENCES st.patient ON DELETE CASCADE, resource jsonb NOT NULL);
INSERT INTO st.child VALUES ('c1', '1', st.obs('c1', '2'));
DO $$ BEGIN PERFORM smart.protect('st.child', 'Observation'); END $$;
GRANT SELECT, INSERT, UPDATE, DELETE ON st.child TO regress_st_app;
SET ROLE regress_st_app;
BEGIN;
SELECT st.login('{"patient":"1"}');
SELECT count(*) FROM st.child;
SELECT st.why($$INSERT INTO st.child VALUES ('c2', '2', st.obs('c2', '1'))$$) AS parent_not_visible;
DELETE FROM st.patient WHERE id = '1' RETURNING id;
RESET ROLE;
SELECT count(*) AS cascaded FROM st.child WHERE id = 'c1';
ROLLBACK;

-- COPY TO shows what SELECT shows; COPY FROM is refused.
SET ROLE regress_st_app;
BEGIN;
COPY (SELECT id FROM st.observation) TO STDOUT;
SELECT st.login('{"patient":"1"}');
COPY st.observation (id) TO STDOUT;
COPY (SELECT id FROM st.observation ORDER BY id DESC) TO STDOUT;
RESET ROLE;
GRANT pg_read_server_files TO regress_st_app;
SET ROLE regress_st_app;
SELECT st.why($$COPY st.observation FROM '/dev/null'$$);
ROLLBACK;
SET ROLE regress_st_app;

-- MERGE needs the letter of each action on each row, and raises for a row that it may see and not change.
BEGIN;
SELECT st.login('{"patient":"1","scope":"patient/Observation.rus"}');
MERGE INTO st.observation o USING (VALUES ('o1'), ('o2')) v (id) ON o.id = v.id WHEN MATCHED THEN UPDATE SET note = 'm';
SELECT id, note FROM st.observation WHERE note IS NOT NULL;
SELECT st.why($$MERGE INTO st.observation o USING (VALUES ('o1')) v (id) ON o.id = v.id WHEN MATCHED THEN DELETE$$) AS "delete",
	st.why($$MERGE INTO st.observation o USING (VALUES ('o9')) v (id) ON o.id = v.id WHEN NOT MATCHED THEN INSERT VALUES (v.id, st.obs(v.id, '1'))$$) AS "insert";
SELECT st.login('{"patient":"1"}');
SELECT st.why($$MERGE INTO st.observation o USING (VALUES ('o2')) v (id) ON o.id = v.id WHEN MATCHED THEN UPDATE SET note = 'm' WHEN NOT MATCHED THEN INSERT VALUES (v.id, st.obs(v.id, '1'))$$) AS hidden_row;
ROLLBACK;

-- ON CONFLICT: DO NOTHING passes over a row of another patient, DO UPDATE of one is refused; RETURNING needs the rights to read.
BEGIN;
SELECT st.login('{"patient":"1"}');
INSERT INTO st.observation VALUES ('o2', st.obs('o2', '1')) ON CONFLICT DO NOTHING RETURNING id;
SELECT st.why($$INSERT INTO st.observation VALUES ('o2', st.obs('o2', '1')) ON CONFLICT (id) DO UPDATE SET resource = EXCLUDED.resource$$) AS other_patients_row;
INSERT INTO st.observation VALUES ('o1', st.obs('o1', '1')) ON CONFLICT (id) DO UPDATE SET note = 'again' RETURNING id, note;
SELECT st.why($$INSERT INTO st.observation VALUES ('o1', st.obs('o1', '1')) ON CONFLICT (id) DO UPDATE SET resource = st.obs('o1', '2')$$) AS moved;
SELECT st.login('{"patient":"1","scope":"patient/Observation.c"}');
SELECT st.why($$INSERT INTO st.observation VALUES ('r1', st.obs('r1', '1')) RETURNING id$$) AS returning_without_read, st.why($$INSERT INTO st.observation VALUES ('r1', st.obs('r1', '1'))$$) AS plain;
ROLLBACK;

-- SELECT FOR UPDATE needs u on the rows, and passes over those without.
BEGIN;
SELECT st.login('{"patient":"1","scope":"patient/Observation.rs"}');
SELECT count(*) FROM (SELECT id FROM st.observation FOR UPDATE) x;
SELECT st.login('{"patient":"1","scope":"patient/Observation.rus"}');
SELECT count(*) FROM (SELECT id FROM st.observation FOR UPDATE) x;
ROLLBACK;

-- TRUNCATE is no policy's business: refused for who has the right, by the trigger; also for the owner, logged in or not.
SELECT st.why('TRUNCATE st.observation') AS no_privilege;
SET ROLE regress_st_own;
SELECT st.why('TRUNCATE st.observation') AS owner;
BEGIN;
SELECT st.login('{"scope":"system/*.cruds"}');
SELECT st.why('TRUNCATE st.observation') AS owner_in_session, st.why('SET LOCAL session_replication_role = replica') AS no_trigger;
ROLLBACK;
RESET ROLE;
BEGIN;
SET LOCAL session_replication_role = replica;
SET LOCAL ROLE regress_st_own;
SELECT st.why('TRUNCATE st.observation') AS owner_as_replica;
ROLLBACK;

-- A subquery, a CTE, EXISTS, a lateral and a set operation see no more.
SET ROLE regress_st_app;
BEGIN;
SELECT st.login('{"patient":"1"}');
SELECT EXISTS (SELECT FROM st.observation WHERE id = 'o2') AS exists, (SELECT count(*) FROM (SELECT id FROM st.observation UNION ALL SELECT id FROM st.patient) x) AS union,
	(WITH c AS MATERIALIZED (SELECT * FROM st.observation) SELECT count(*) FROM c) AS cte, (SELECT count(*) FROM st.patient p, LATERAL (SELECT FROM st.observation o WHERE o.resource #>> '{subject,reference}' = 'Patient/' || p.id) l) AS lateral;
-- A function that is cheap and leaks is not run on rows of others.
CREATE FUNCTION pg_temp.leak(id text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN RAISE NOTICE 'saw %', id; RETURN true; END $$;
SELECT count(*) FROM st.observation WHERE pg_temp.leak(id);
ROLLBACK;
RESET ROLE;

\set ECHO none
\i :cleanup
