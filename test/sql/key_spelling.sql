-- Q. A patient's own irregular row: a key in another spelling must not have every session's queries asked row by row.
LOAD 'smart_fhir';
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE regress_spelling;
CREATE SCHEMA spelling;
GRANT USAGE ON SCHEMA spelling TO regress_spelling;
GRANT EXECUTE ON FUNCTION smart.assume TO regress_spelling;
SELECT smart.add_issuer('https://spelling.example', '{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}',
  '{https://fhir.example/r4}') \g /dev/null
CREATE FUNCTION spelling.resource(id text, patient text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
  $$ SELECT jsonb_build_object('resourceType', 'Observation', 'id', id, 'subject', jsonb_build_object('reference', 'Patient/' || patient)) $$;
CREATE FUNCTION spelling.who(scope text, patient text DEFAULT NULL) RETURNS void LANGUAGE sql AS
  $$ SELECT smart.assume(jsonb_strip_nulls(jsonb_build_object('scope', scope, 'patient', patient, 'exp', 4000000000)), 'https://spelling.example', false) $$;
-- is the policy of the statement folded whole: no row_check() in the plan?
CREATE FUNCTION spelling.is_folded(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE line text; plan text := '';
BEGIN
  FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP plan := plan || line; END LOOP;
  RETURN plan !~ 'row_check';
END $$;
-- rows that are gone are dead to everybody once no snapshot is left that may see them: others' may last a moment
CREATE PROCEDURE spelling.wait_until_regular(relation regclass) LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1..600 LOOP
    COMMIT;
    EXIT WHEN smart.rows_are_regular(relation);
    PERFORM pg_sleep(0.1);
  END LOOP;
END $$;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA spelling TO regress_spelling;

CREATE TABLE spelling.ids (id text PRIMARY KEY, patient text, resource jsonb);
INSERT INTO spelling.ids SELECT i, 'p' || i % 4, spelling.resource(i::text, 'p' || i % 4) FROM generate_series(1, 40) i;
CREATE TABLE spelling.refs (id text PRIMARY KEY, resource jsonb, subject varchar(12));
INSERT INTO spelling.refs SELECT id, resource, 'Patient/' || patient FROM spelling.ids;
SELECT smart.protect('spelling.ids', 'Observation', patients => 'patient') \g /dev/null
SELECT smart.protect('spelling.refs', 'Observation', patients => 'subject') \g /dev/null
GRANT SELECT, INSERT, UPDATE, DELETE ON spelling.ids, spelling.refs TO regress_spelling;
SELECT tgrelid::regclass, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = 'smart_spell_key' AND tgrelid IN ('spelling.ids'::regclass, 'spelling.refs'::regclass) ORDER BY 1;

-- what a session writes is stored as the table spells its keys, whichever statement wrote it
SET ROLE regress_spelling;
SELECT spelling.who('patient/*.cruds', 'p1');
INSERT INTO spelling.ids VALUES ('a', 'Patient/p1', spelling.resource('a', 'p1')), ('b', 'p1', spelling.resource('b', 'p1')) RETURNING id, patient;
INSERT INTO spelling.refs VALUES ('a', spelling.resource('a', 'p1'), 'p1'), ('b', spelling.resource('b', 'p1'), 'Patient/p1') RETURNING id, subject;
UPDATE spelling.ids SET patient = 'Patient/p1' WHERE id = 'a' RETURNING id, patient;
INSERT INTO spelling.ids VALUES ('a', 'Patient/p1', spelling.resource('a', 'p1')) ON CONFLICT (id) DO UPDATE SET patient = 'Patient/' || excluded.patient RETURNING id, patient;
MERGE INTO spelling.ids USING (VALUES ('a'), ('c')) AS v (id) ON ids.id = v.id
  WHEN MATCHED THEN UPDATE SET patient = 'Patient/p1' WHEN NOT MATCHED THEN INSERT VALUES (v.id, 'Patient/p1', spelling.resource(v.id, 'p1'));
SELECT id, patient FROM spelling.ids WHERE id IN ('a', 'b', 'c') ORDER BY id;
SELECT smart.rows_are_regular('spelling.ids'), smart.rows_are_regular('spelling.refs'), spelling.is_folded('SELECT * FROM spelling.ids'), spelling.is_folded('SELECT * FROM spelling.refs');
-- another patient's key stays another patient's, and what is no key is refused as ever
INSERT INTO spelling.ids VALUES ('d', 'Patient/p2', spelling.resource('d', 'p1'));
INSERT INTO spelling.ids VALUES ('d', 'Patient/p1/_history/2', spelling.resource('d', 'p1'));
INSERT INTO spelling.refs VALUES ('d', spelling.resource('d', 'p1'), 'p2');
UPDATE spelling.ids SET patient = 'Patient/p2' WHERE id = 'a';
-- a longer spelling that the column does not hold is PostgreSQL's own error
SELECT spelling.who('system/*.cruds');
INSERT INTO spelling.refs VALUES ('e', spelling.resource('e', 'p12345'), 'p12345');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.logout();
RESET ROLE;
SELECT relation, state FROM smart.protected_table WHERE relation IN ('spelling.ids'::regclass, 'spelling.refs'::regclass) ORDER BY 1;

-- roles that the policies do not bind write what they write; state tells, and when such a row has gone, policies are folded again without REINDEX
INSERT INTO spelling.ids VALUES ('x', 'Patient/p1', spelling.resource('x', 'p1')), ('y', 'p1', '{"resourceType": "Condition", "id": "y"}');
SELECT id, patient FROM spelling.ids WHERE id IN ('x', 'y') ORDER BY id;
SELECT state FROM smart.protected_table WHERE relation = 'spelling.ids'::regclass;
SET plan_cache_mode = force_generic_plan;
SET ROLE regress_spelling;
SELECT spelling.who('system/*.rs');
PREPARE kept AS SELECT count(*) FROM spelling.ids;
EXECUTE kept;
SELECT spelling.is_folded('EXECUTE kept');
RESET ROLE;
UPDATE spelling.ids SET patient = 'p1' WHERE id = 'x';
DELETE FROM spelling.ids WHERE id = 'y';
CALL spelling.wait_until_regular('spelling.ids');
SELECT smart.rows_are_regular('spelling.ids'), pg_relation_size('spelling.ids_smart_irregular') > current_setting('block_size')::int AS never_rebuilt;
SELECT state FROM smart.protected_table WHERE relation = 'spelling.ids'::regclass;
SET ROLE regress_spelling;
SELECT spelling.is_folded('SELECT * FROM spelling.ids'), spelling.is_folded('EXECUTE kept');
SELECT count(*) FROM spelling.ids;
SELECT spelling.who('patient/*.rs', 'p1');
SELECT count(*), spelling.is_folded('SELECT * FROM spelling.ids') FROM spelling.ids;
RESET ROLE;

-- an empty table is taken for bare ids without proof: who stores references there finds them as they were written
CREATE TABLE spelling.fresh (id text PRIMARY KEY, patient text, resource jsonb);
SELECT smart.protect('spelling.fresh', 'Observation', patients => 'patient') \g /dev/null
GRANT SELECT, INSERT, UPDATE, DELETE ON spelling.fresh TO regress_spelling;
SET ROLE regress_spelling;
SELECT spelling.who('patient/*.cruds', 'p1');
INSERT INTO spelling.fresh SELECT i, 'Patient/p1', spelling.resource(i::text, 'p1') FROM generate_series(1, 3) i;
INSERT INTO spelling.fresh VALUES ('4', 'Patient/p1', spelling.resource('4', 'p1')) RETURNING patient;
RESET ROLE;
SELECT smart.protect('spelling.fresh', 'Observation', patients => 'patient') \g /dev/null
SELECT options ->> 'patients_form' AS form, state FROM smart.protected_table WHERE relation = 'spelling.fresh'::regclass;
SET ROLE regress_spelling;
INSERT INTO spelling.fresh VALUES ('5', 'p1', spelling.resource('5', 'p1')) RETURNING patient;
RESET ROLE;

-- partitions: those made later too, whose first row follows the others; where the column is the partition key, the spelling is asked for
CREATE TABLE spelling.parts (id int, patient text, resource jsonb) PARTITION BY RANGE (id);
CREATE TABLE spelling.parts_1 PARTITION OF spelling.parts FOR VALUES FROM (0) TO (100);
CREATE TABLE spelling.parts_2 (resource jsonb, id int, patient text);
ALTER TABLE spelling.parts ATTACH PARTITION spelling.parts_2 FOR VALUES FROM (100) TO (200);
INSERT INTO spelling.parts VALUES (1, 'p1', spelling.resource('1', 'p1'));
SELECT smart.protect('spelling.parts', 'Observation', patients => 'patient') \g /dev/null
CREATE TABLE spelling.parts_3 PARTITION OF spelling.parts FOR VALUES FROM (200) TO (300);
CREATE TABLE spelling.by_patient (id text, patient text, resource jsonb) PARTITION BY LIST (patient);
CREATE TABLE spelling.by_patient_1 PARTITION OF spelling.by_patient FOR VALUES IN ('p1', 'Patient/p1');
INSERT INTO spelling.by_patient VALUES ('1', 'p1', spelling.resource('1', 'p1'));
SELECT smart.protect('spelling.by_patient', 'Observation', patients => 'patient') \g /dev/null
GRANT SELECT, INSERT, UPDATE, DELETE ON spelling.parts, spelling.by_patient TO regress_spelling;
SET ROLE regress_spelling;
INSERT INTO spelling.parts SELECT i, 'Patient/p1', spelling.resource(i::text, 'p1') FROM (VALUES (2), (102), (202)) AS v (i) RETURNING id, patient;
\set VERBOSITY default
INSERT INTO spelling.by_patient VALUES ('2', 'Patient/p1', spelling.resource('2', 'p1'));
\set VERBOSITY terse
\echo :LAST_ERROR_SQLSTATE
INSERT INTO spelling.by_patient VALUES ('2', 'p1', spelling.resource('2', 'p1')) RETURNING id;
SELECT smart.rows_are_regular('spelling.parts'), smart.rows_are_regular('spelling.by_patient');
RESET ROLE;

-- no trigger where there is nothing to keep: computed keys, uuids, arrays, expressions, columns that PostgreSQL fills, and no protection
CREATE TABLE spelling.none (id text PRIMARY KEY, u uuid, a text[], t text, g text GENERATED ALWAYS AS (resource #>> '{subject,reference}') STORED, resource jsonb);
CREATE FUNCTION spelling.has_trigger(patients text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM smart.protect('spelling.none', 'Observation', patients => patients);
  RETURN EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'spelling.none'::regclass AND tgname = 'smart_spell_key');
END $$;
SELECT p, spelling.has_trigger(p) FROM unnest('{t,NULL,u,a,t,lower(t),g,t}'::text[]) WITH ORDINALITY AS v (p, n) ORDER BY n;
SELECT smart.unprotect('spelling.none');
SELECT tgname FROM pg_trigger WHERE tgrelid = 'spelling.none'::regclass;
-- a domain has its say
CREATE DOMAIN spelling.key AS text CHECK (value ~ '^p');
CREATE TABLE spelling.of_domain (id text PRIMARY KEY, patient spelling.key, resource jsonb);
INSERT INTO spelling.of_domain VALUES ('1', 'p1', spelling.resource('1', 'p1'));
SELECT smart.protect('spelling.of_domain', 'Observation', patients => 'patient') \g /dev/null
ALTER DOMAIN spelling.key DROP CONSTRAINT key_check;
ALTER DOMAIN spelling.key ADD CHECK (value ~ '^P') NOT VALID;
GRANT SELECT, INSERT ON spelling.of_domain TO regress_spelling;
SET ROLE regress_spelling;
INSERT INTO spelling.of_domain VALUES ('2', 'Patient/p1', spelling.resource('2', 'p1'));
\echo :LAST_ERROR_SQLSTATE
-- nobody makes the trigger himself, or calls its function
CREATE TEMP TABLE mine (id text);
CREATE TRIGGER mine BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION smart_internal.spell_key();
SELECT smart_internal.put_key_trigger('spelling.ids');
RESET ROLE;
CREATE TRIGGER mine BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION smart_internal.spell_key('id');
INSERT INTO mine VALUES ('1');
\echo :LAST_ERROR_SQLSTATE
CREATE TRIGGER mine_2 BEFORE INSERT OR UPDATE OF resource ON spelling.ids FOR EACH ROW EXECUTE FUNCTION smart_internal.spell_key('id');
INSERT INTO spelling.ids VALUES ('z', 'p1', spelling.resource('z', 'p1'));
\echo :LAST_ERROR_SQLSTATE

SELECT smart.logout();
SELECT smart.drop_issuer('https://spelling.example');
RESET plan_cache_mode;
DEALLOCATE kept;
REVOKE EXECUTE ON FUNCTION smart.assume FROM regress_spelling;
DROP TABLE mine;
DROP SCHEMA spelling CASCADE;
DROP ROLE regress_spelling;
