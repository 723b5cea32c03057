-- Records about records: smart.protect(follow => ...).
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE follow_app;
CREATE ROLE follow_owner;
CREATE SCHEMA follow_test AUTHORIZATION follow_owner;
GRANT USAGE ON SCHEMA follow_test TO follow_app;
SELECT smart.add_issuer('https://follow.example.org',
  '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}',
  '{https://follow.example.org/fhir}', user_sees_all => true);
CREATE FUNCTION public.follow_who(scope text, patient text DEFAULT NULL) RETURNS void LANGUAGE sql AS
$$ SELECT smart.assume(jsonb_strip_nulls(jsonb_build_object('scope', scope, 'patient', patient, 'exp', 4000000000)), 'https://follow.example.org', false) $$;
GRANT EXECUTE ON FUNCTION smart.assume TO follow_app;

SET ROLE follow_owner;
CREATE TABLE follow_test.observation (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE follow_test.organization (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE follow_test.document (id text PRIMARY KEY, patients text[], resource jsonb NOT NULL);
CREATE TABLE follow_test.provenance (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE follow_test.binary (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE follow_test.audit_event (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE follow_test.task (id text PRIMARY KEY, patient text, resource jsonb NOT NULL);
CREATE TABLE follow_test.device (id text PRIMARY KEY, patients text[], resource jsonb NOT NULL);
CREATE FUNCTION follow_test.observation(id text, patient text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT jsonb_build_object('resourceType', 'Observation', 'id', id, 'subject', jsonb_build_object('reference', 'Patient/' || patient)) $$;
CREATE FUNCTION follow_test.provenance(id text, VARIADIC targets text[]) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT jsonb_build_object('resourceType', 'Provenance', 'id', id, 'target', (SELECT jsonb_agg(jsonb_build_object('reference', t)) FROM unnest(targets) t)) $$;
INSERT INTO follow_test.observation SELECT 'o' || i, follow_test.observation('o' || i, 'p' || (i + 1) / 2) FROM generate_series(1, 4) i;
INSERT INTO follow_test.organization VALUES ('org', '{"resourceType": "Organization", "id": "org"}');
INSERT INTO follow_test.document VALUES ('d1', '{p1}', '{"resourceType": "DocumentReference", "id": "d1", "subject": {"reference": "Patient/p1"}}'),
  ('d12', '{p1,p2}', '{"resourceType": "DocumentReference", "id": "d12"}');
-- some rows are there before the table is protected
INSERT INTO follow_test.provenance VALUES ('one', follow_test.provenance('one', 'Observation/o1')),
  ('both_of_p1', follow_test.provenance('both_of_p1', 'Observation/o1', 'Observation/o2/_history/3', 'Patient/p1')),
  ('of_p1_and_p2', follow_test.provenance('of_p1_and_p2', 'Observation/o1', 'Observation/o3')),
  ('with_organization', follow_test.provenance('with_organization', 'Observation/o1', 'Organization/org')),
  ('missing', follow_test.provenance('missing', 'Observation/o99')),
  ('other_server', follow_test.provenance('other_server', 'https://elsewhere.example/fhir/Observation/o1')),
  ('contained', follow_test.provenance('contained', '#o1')), ('urn', follow_test.provenance('urn', 'urn:uuid:6f1b7a0e-0000-4000-8000-000000000000')),
  ('not_protected', follow_test.provenance('not_protected', 'Condition/c1')), ('no_target', '{"resourceType": "Provenance", "id": "no_target"}'),
  ('null_target', '{"resourceType": "Provenance", "id": "null_target", "target": [null, {"reference": "Observation/o1"}]}'),
  ('aidbox', '{"resourceType": "Provenance", "id": "aidbox", "target": [{"resourceType": "Observation", "id": "o1"}]}'),
  ('of_p2', follow_test.provenance('of_p2', 'Observation/o3')), ('patient', follow_test.provenance('patient', 'Patient/p2')),
  ('document', follow_test.provenance('document', 'DocumentReference/d1')), ('document_of_two', follow_test.provenance('document_of_two', 'DocumentReference/d12'));

-- What follow may not be.
SELECT smart.protect('follow_test.provenance', 'Provenance', follow => 'target; DROP TABLE x');
SELECT smart.protect('follow_test.provenance', 'Provenance', follow => 'target', patients => 'id');

SELECT smart.protect('follow_test.observation', 'Observation'), smart.protect('follow_test.organization', 'Organization'),
  smart.protect('follow_test.document', 'DocumentReference', patients => 'patients');
SET client_min_messages = notice;
SELECT smart.protect('follow_test.provenance', 'Provenance', follow => 'target');
SET client_min_messages = warning;
SELECT smart.protect('follow_test.binary', 'Binary', follow => 'securityContext'),
  smart.protect('follow_test.audit_event', 'AuditEvent', follow => 'entity.what'),
  smart.protect('follow_test.task', 'Task', patients => 'patient'), smart.protect('follow_test.device', 'Device', patients => 'patients');
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA follow_test TO follow_app;
RESET ROLE;
SELECT id, smart_patient FROM follow_test.provenance ORDER BY id;
-- what protect() made stands in the policy
SELECT relation, options ->> 'follow' AS follow, columns ->> 'patients' AS patients, index, state FROM smart.protected_table
WHERE options ? 'follow' ORDER BY relation::text;

-- US Core: the Provenance of what one may see, and no other.
SET ROLE follow_app;
SELECT public.follow_who('patient/Observation.rs patient/Provenance.rs', 'p1');
SELECT array_agg(id ORDER BY id) AS observations FROM follow_test.observation;
SELECT array_agg(id ORDER BY id) AS provenances FROM follow_test.provenance;
SELECT bool_and(smart.permits_row(p, 'r')) AS permits_row_agrees FROM follow_test.provenance p;
SELECT public.follow_who('patient/Observation.rs patient/Provenance.rs', 'p2');
SELECT array_agg(id ORDER BY id) AS provenances FROM follow_test.provenance;
SELECT public.follow_who('patient/Observation.rs', 'p1');
SELECT count(*) AS without_scope FROM follow_test.provenance;
SELECT public.follow_who('system/Provenance.rs');
SELECT count(*) AS all_of_them FROM follow_test.provenance;
RESET ROLE;
SELECT smart.logout();
SELECT smart.permits_row(p, 'r') AS nobody FROM follow_test.provenance p WHERE id = 'one';

-- Writes: the followed patient decides, whatever the client says it is, and whether or not the writer may see the target.
SET ROLE follow_app;
SELECT public.follow_who('patient/Provenance.cruds', 'p1');
INSERT INTO follow_test.provenance (id, resource) VALUES ('new', follow_test.provenance('new', 'Observation/o2'));
INSERT INTO follow_test.provenance (id, smart_patient, resource) VALUES ('claimed', 'p1', follow_test.provenance('claimed', 'Observation/o3'));
INSERT INTO follow_test.provenance (id, resource) VALUES ('of_two', follow_test.provenance('of_two', 'Observation/o1', 'Observation/o3'));
UPDATE follow_test.provenance SET resource = follow_test.provenance('new', 'Observation/o3') WHERE id = 'new';
UPDATE follow_test.provenance SET smart_patient = 'p1' WHERE id = 'of_p2';
UPDATE follow_test.provenance SET smart_patient = 'p2' WHERE id = 'new';
SELECT id, smart_patient FROM follow_test.provenance WHERE id IN ('new', 'of_p2') ORDER BY id;
DELETE FROM follow_test.provenance WHERE id IN ('new', 'of_p2') RETURNING id;

-- A target that comes later gives nobody anything, one that goes takes nothing. One that moves to another patient sends what names it to nobody
-- in the same statement, also when its writer may not see what follows it.
SELECT public.follow_who('system/Observation.cruds');
INSERT INTO follow_test.observation VALUES ('o99', follow_test.observation('o99', 'p1'));
SELECT public.follow_who('patient/Provenance.rs', 'p1');
SELECT array_agg(id ORDER BY id) FROM follow_test.provenance;
SELECT public.follow_who('system/Observation.cruds');
UPDATE follow_test.observation SET resource = follow_test.observation('o1', 'p2') WHERE id = 'o1';
DELETE FROM follow_test.observation WHERE id = 'o99';
SELECT public.follow_who('patient/Provenance.rs', 'p1');
SELECT array_agg(id ORDER BY id) FROM follow_test.provenance;
SELECT public.follow_who('patient/Provenance.rs', 'p2');
SELECT array_agg(id ORDER BY id) FROM follow_test.provenance;
RESET ROLE;
UPDATE follow_test.observation SET id = 'o11', resource = follow_test.observation('o11', 'p2') WHERE id = 'o1';
SELECT id, smart_patient FROM follow_test.provenance WHERE id IN ('one', 'both_of_p1') ORDER BY id;
UPDATE follow_test.observation SET id = 'o1', resource = follow_test.observation('o1', 'p1') WHERE id = 'o11';
SELECT id, smart_patient FROM follow_test.provenance WHERE id IN ('one', 'both_of_p1') ORDER BY id;
SELECT smart.refresh_followed('follow_test.provenance') > 0 AS found_again;
-- nobody's rows are locked
BEGIN;
INSERT INTO follow_test.provenance VALUES ('locking', follow_test.provenance('locking', 'Observation/o1'));
SELECT count(*) > 0 AS locked FROM follow_test.observation o WHERE id = 'o1' AND xmax <> 0;
ROLLBACK;

-- names of tables may change: the triggers know them by OID
ALTER TABLE follow_test.provenance RENAME TO provenance_renamed;
ALTER TABLE follow_test.observation RENAME TO observation_renamed;
UPDATE follow_test.observation_renamed SET resource = follow_test.observation('o1', 'p2') WHERE id = 'o1';
SELECT id, smart_patient FROM follow_test.provenance_renamed WHERE id = 'one';
UPDATE follow_test.observation_renamed SET resource = follow_test.observation('o1', 'p1') WHERE id = 'o1';
SELECT smart.refresh_followed('follow_test.provenance_renamed') > 0 AS found_again;
INSERT INTO follow_test.provenance_renamed VALUES ('after_renaming', follow_test.provenance('after_renaming', 'Observation/o1'));
SELECT id, smart_patient FROM follow_test.provenance_renamed WHERE id IN ('one', 'after_renaming') ORDER BY id;
DELETE FROM follow_test.provenance_renamed WHERE id = 'after_renaming';
ALTER TABLE follow_test.provenance_renamed RENAME TO provenance;
ALTER TABLE follow_test.observation_renamed RENAME TO observation;

-- Binary by securityContext, AuditEvent by entity.what, Task and Device by a column.
INSERT INTO follow_test.binary VALUES ('b1', '{"resourceType": "Binary", "id": "b1", "contentType": "text/plain", "securityContext": {"reference": "Observation/o2"}}'),
  ('b2', '{"resourceType": "Binary", "id": "b2", "contentType": "text/plain", "securityContext": {"reference": "Patient/p2"}}'),
  ('b3', '{"resourceType": "Binary", "id": "b3", "contentType": "text/plain"}'),
  ('b4', '{"resourceType": "Binary", "id": "b4", "contentType": "text/plain", "securityContext": {"reference": "DocumentReference/d1"}}');
INSERT INTO follow_test.audit_event VALUES
  ('a1', '{"resourceType": "AuditEvent", "id": "a1", "entity": [{"what": {"reference": "Observation/o2"}}, {"what": {"reference": "Patient/p1"}}]}'),
  ('a2', '{"resourceType": "AuditEvent", "id": "a2", "agent": [{"who": {"reference": "Patient/p1"}}], "entity": [{"what": {"reference": "Observation/o3"}}]}');
INSERT INTO follow_test.task VALUES ('t1', 'p1', '{"resourceType": "Task", "id": "t1"}'), ('t2', 'Patient/p2', '{"resourceType": "Task", "id": "t2"}');
INSERT INTO follow_test.device VALUES ('v1', '{p1,p2}', '{"resourceType": "Device", "id": "v1"}'), ('v2', '{Patient/p2}', '{"resourceType": "Device", "id": "v2"}'),
  ('v3', NULL, '{"resourceType": "Device", "id": "v3"}');
SET ROLE follow_app;
SELECT public.follow_who('patient/*.cruds', 'p1');
SELECT (SELECT array_agg(id ORDER BY id) FROM follow_test.binary) AS binaries, (SELECT array_agg(id ORDER BY id) FROM follow_test.audit_event) AS audit_events,
  (SELECT array_agg(id ORDER BY id) FROM follow_test.task) AS tasks, (SELECT array_agg(id ORDER BY id) FROM follow_test.device) AS devices;
INSERT INTO follow_test.task VALUES ('t3', 'p1', '{"resourceType": "Task", "id": "t3"}');
INSERT INTO follow_test.task VALUES ('t4', 'p2', '{"resourceType": "Task", "id": "t4"}');
UPDATE follow_test.device SET resource = resource || '{"status": "active"}' RETURNING id;
SELECT public.follow_who('patient/AuditEvent.rs?entity=Observation/o2', 'p1');
SELECT array_agg(id ORDER BY id) AS with_a_parameter FROM follow_test.audit_event;
SELECT public.follow_who('patient/*.cruds', 'p2');
SELECT (SELECT array_agg(id ORDER BY id) FROM follow_test.binary) AS binaries, (SELECT array_agg(id ORDER BY id) FROM follow_test.audit_event) AS audit_events,
  (SELECT array_agg(id ORDER BY id) FROM follow_test.task) AS tasks, (SELECT array_agg(id ORDER BY id) FROM follow_test.device) AS devices;

-- B. C functions that believe their arguments. The trigger functions are nobody's, as CREATE TRIGGER finds, and what makes the triggers asks for the owner.
SELECT public.follow_who('patient/*.rs', 'p1');
SELECT smart_internal.keep_followed();
SELECT smart.refresh_followed('follow_test.provenance');
CREATE TEMPORARY TABLE mine (id text, resource jsonb, smart_patient bigint);
CREATE TRIGGER look BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION smart_internal.keep_followed();
CREATE TRIGGER look AFTER UPDATE ON mine FOR EACH ROW EXECUTE FUNCTION smart_internal.touch_followers('Observation');
SELECT smart_internal.link_follower('follow_test.observation', 'mine', 'Observation');
SELECT smart_internal.keep_followed_by('follow_test.provenance');
SELECT smart_internal.keep_followed_by('pg_class');
SELECT smart_internal.follow_rows('pg_class', true), smart_internal.follow_rows(0, true);
-- ... and the column must be text, when protect() is called and later
SELECT smart.protect('mine', 'Provenance', follow => 'target');
ALTER TABLE mine ALTER smart_patient TYPE polygon USING NULL;
SELECT smart.protect('mine', 'Provenance', follow => 'target');
ALTER TABLE mine ALTER smart_patient TYPE jsonb USING NULL;
SELECT smart.protect('mine', 'Provenance', follow => 'target');
ALTER TABLE mine DROP smart_patient;
SELECT smart.protect('mine', 'Provenance', follow => 'target');
SELECT public.follow_who('system/Provenance.cruds');
-- a table of one's own follows one's own tables only
INSERT INTO mine VALUES ('x', follow_test.provenance('x', 'Observation/o3'));
SELECT smart_patient IS NULL AS not_found FROM mine;
-- views, indexes, sequences, partitioned indexes
CREATE TEMPORARY VIEW mine_view AS SELECT * FROM mine;
CREATE INDEX mine_index ON mine (id);
CREATE TEMPORARY SEQUENCE mine_sequence;
SELECT smart_internal.keep_followed_by('mine_view');
SELECT smart_internal.keep_followed_by('mine_sequence');
SELECT smart.refresh_followed('mine_view');
SELECT smart.refresh_followed('mine_index');
SELECT smart_internal.link_follower('mine', 'mine', repeat('x', 100));
SELECT smart_internal.spells_references('mine', '(SELECT id)'), smart_internal.spells_references('mine', 'id, id'), smart_internal.spells_references('mine_view', 'id'), smart_internal.spells_references('mine', 'id');
RESET ROLE;

-- Rows that were there without the index: they belong to nobody until they are refreshed.
SET ROLE follow_owner;
CREATE TABLE follow_test.later (id text PRIMARY KEY, resource jsonb NOT NULL);
INSERT INTO follow_test.later SELECT i, follow_test.provenance(i::text, 'Observation/o' || i) FROM generate_series(1, 4) i;
SET client_min_messages = notice;
SELECT smart.protect('follow_test.later', 'Provenance', follow => 'target', index => false);
SET client_min_messages = warning;
SELECT count(*) AS statements FROM smart.index_statements('follow_test.later');
SELECT smart.refresh_followed('follow_test.later'), smart.refresh_followed('follow_test.later') AS again;
SELECT smart.refresh_followed('follow_test.task');
-- a table that is protected later is looked up as well
CREATE TABLE follow_test.condition (id text PRIMARY KEY, resource jsonb NOT NULL);
INSERT INTO follow_test.condition VALUES ('c1', '{"resourceType": "Condition", "id": "c1", "subject": {"reference": "Patient/p1"}}');
SELECT smart.protect('follow_test.condition', 'Condition');
SELECT smart.refresh_followed('follow_test.provenance');
SELECT smart.unprotect('follow_test.later');
-- a table that follows may be dropped
DROP TABLE follow_test.audit_event;
UPDATE follow_test.observation SET resource = follow_test.observation('o1', 'p1') WHERE id = 'o1';
RESET ROLE;
UPDATE follow_test.observation SET resource = follow_test.observation('o2', 'p2') WHERE id = 'o2';
SELECT smart_patient FROM follow_test.provenance WHERE id = 'both_of_p1';
SELECT id, smart_patient FROM follow_test.provenance WHERE id = 'not_protected';
SELECT count(*) AS columns_left FROM pg_attribute WHERE attrelid = 'follow_test.later'::regclass AND attname = 'smart_patient';
SELECT tgname FROM pg_trigger WHERE tgrelid = 'follow_test.later'::regclass;

SELECT smart.logout();
SELECT smart.drop_issuer('https://follow.example.org');
DROP FUNCTION public.follow_who(text, text);
REVOKE EXECUTE ON FUNCTION smart.assume FROM follow_app;
DROP TABLE pg_temp.mine CASCADE;
DROP SEQUENCE pg_temp.mine_sequence;
DROP SCHEMA follow_test CASCADE;
DROP ROLE follow_app;
DROP ROLE follow_owner;
