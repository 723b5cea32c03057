-- N. What state does not see. Each way round a table's policies, and each change to them, stands in its
-- state; protect() says at once what it can see.
\set VERBOSITY terse
\pset format unaligned
SET client_min_messages = warning;
CREATE ROLE regress_smart_owner;
CREATE ROLE regress_smart_other;
CREATE SCHEMA st AUTHORIZATION regress_smart_owner;
CREATE FUNCTION st.state(relation regclass) RETURNS text LANGUAGE sql AS $$ SELECT state FROM smart.protected_table t WHERE t.relation = $1 $$;
SET ROLE regress_smart_owner;
CREATE TABLE st.o (id text PRIMARY KEY, resource jsonb);
SELECT smart.protect('st.o', 'Observation');
SELECT st.state('st.o');

-- rights granted later, on a column too
GRANT TRUNCATE, TRIGGER, SELECT ON st.o TO regress_smart_other;
GRANT REFERENCES (id) ON st.o TO PUBLIC;
SELECT st.state('st.o');
REVOKE ALL ON st.o FROM regress_smart_other;
REVOKE REFERENCES (id) ON st.o FROM PUBLIC;
SELECT st.state('st.o');

-- policies: dropped, changed, for another role, for another command's letters, another one beside them
DROP POLICY smart_select ON st.o;
SELECT st.state('st.o');
SELECT smart.protect('st.o', 'Observation');
ALTER POLICY smart_select ON st.o TO regress_smart_other;
SELECT st.state('st.o');
SELECT smart.protect('st.o', 'Observation');
ALTER POLICY smart_delete ON st.o USING (true);
SELECT st.state('st.o');
SELECT smart.protect('st.o', 'Observation');
DO $$ BEGIN EXECUTE (SELECT 'ALTER POLICY smart_insert ON st.o WITH CHECK (' || pg_get_expr(polqual, polrelid) || ')' FROM pg_policy WHERE polrelid = 'st.o'::regclass AND polname = 'smart_select'); END $$;
SELECT st.state('st.o');
SELECT smart.protect('st.o', 'Observation');
SELECT st.state('st.o');
-- an array of keys or a computed key waits for another policy; a column does not
CREATE POLICY narrow ON st.o AS RESTRICTIVE USING (id <> 'x');
SELECT st.state('st.o');
DROP POLICY narrow ON st.o;
CREATE TABLE st.k (id text, resource jsonb, patient text);
CREATE POLICY narrow ON st.k AS RESTRICTIVE USING (id <> 'x');
SELECT smart.protect('st.k', 'Observation', patients => 'patient');
SELECT st.state('st.k');

-- the trigger: disabled, replaced by one of the same name
ALTER TABLE st.o DISABLE TRIGGER smart_refuse_truncate;
SELECT st.state('st.o');
DROP TRIGGER smart_refuse_truncate ON st.o;
CREATE FUNCTION st.lets_pass() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER smart_refuse_truncate BEFORE TRUNCATE ON st.o FOR EACH STATEMENT EXECUTE FUNCTION st.lets_pass();
SELECT st.state('st.o');
SELECT smart.protect('st.o', 'Observation');
SELECT st.state('st.o');

-- children by INHERITS that others may read
CREATE TABLE st.child () INHERITS (st.o);
SELECT st.state('st.o');
GRANT SELECT (resource) ON st.child TO regress_smart_other;
SELECT st.state('st.o');
SELECT smart.protect('st.child', 'Observation');
SELECT st.state('st.o'), st.state('st.child');
DROP TABLE st.child;

-- views: with the rights of a role that policies do not bind, by way of another view too; materialized ones
CREATE VIEW st.own_view AS SELECT * FROM st.o;
GRANT SELECT ON st.own_view TO regress_smart_other;
SELECT st.state('st.o');
RESET ROLE;
GRANT SELECT ON st.o TO regress_smart_other;
CREATE VIEW st.invoker WITH (security_invoker) AS SELECT * FROM st.o;
CREATE VIEW st.of_super AS SELECT * FROM st.o;
SELECT st.state('st.o') AS not_granted;
GRANT SELECT ON st.invoker TO regress_smart_other;
SELECT st.state('st.o') AS asks_with_the_readers_rights;
GRANT SELECT ON st.of_super TO regress_smart_other;
SELECT st.state('st.o');
CREATE VIEW st.above AS SELECT id FROM st.invoker;
CREATE MATERIALIZED VIEW st.kept AS SELECT id FROM st.of_super;
GRANT SELECT ON st.above, st.kept TO PUBLIC;
REVOKE ALL ON st.of_super FROM regress_smart_other;
SELECT st.state('st.o');
SELECT smart.protect('st.o', 'Observation');
DROP VIEW st.above, st.invoker;
DROP VIEW st.of_super CASCADE;
SELECT st.state('st.o');

-- rows of another type, or under another spelling of the key
INSERT INTO st.o VALUES ('1', '{"resourceType": "Condition", "id": "1"}');
SELECT st.state('st.o');
DELETE FROM st.o;
REINDEX TABLE st.o;
SELECT st.state('st.o');
INSERT INTO st.k VALUES ('1', '{"resourceType": "Observation", "id": "1"}', 'Patient/1');
SELECT st.state('st.k');

-- partitions: one that lost its policies, a foreign table
SET ROLE regress_smart_owner;
CREATE TABLE st.parted (id text, resource jsonb, patient text) PARTITION BY LIST (id);
CREATE TABLE st.part_1 PARTITION OF st.parted FOR VALUES IN ('1');
CREATE TABLE st.part_2 PARTITION OF st.parted FOR VALUES IN ('2');
SELECT smart.protect('st.parted', 'Observation');
DO $$ BEGIN FOR i IN 1 .. 4 LOOP EXECUTE format('DROP POLICY %I ON st.part_1', (ARRAY['smart_select', 'smart_insert', 'smart_update', 'smart_delete'])[i]); END LOOP; END $$;
SELECT st.state('st.parted');
SELECT smart.protect('st.parted', 'Observation');
SELECT st.state('st.parted');
-- P. A detached partition: unprotect() takes its indexes, whatever their names
ALTER TABLE st.parted DETACH PARTITION st.part_2;
SELECT smart.unprotect('st.part_2');
SELECT count(*) AS left FROM pg_index WHERE indrelid = 'st.part_2'::regclass;
SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = 'st.part_2'::regclass;

-- protect() says at once when a type shows no patient a row
SET client_min_messages = notice;
CREATE TABLE st.device_metric (id text, resource jsonb);
SELECT smart.protect('st.device_metric', 'DeviceMetric');
SET client_min_messages = warning;
-- and does not take a sub-select, which no index can hold
SELECT smart.protect('st.k', 'Observation', patients => '(SELECT patient)');
SELECT smart.protect('st.k', 'Observation', patients => 'patient FROM st.o');
SELECT smart.protect('st.k', 'Observation', patients => 'patient, id');
RESET ROLE;
DROP SCHEMA st CASCADE;
DROP ROLE regress_smart_owner, regress_smart_other;
