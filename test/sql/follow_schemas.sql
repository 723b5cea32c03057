-- C. follow is too clever: two schemas of one owner, and a move in steps.
\set VERBOSITY terse
SET client_min_messages = notice;
CREATE ROLE regress_fs_owner;
CREATE SCHEMA fs_a AUTHORIZATION regress_fs_owner;
CREATE SCHEMA fs_b AUTHORIZATION regress_fs_owner;
SET ROLE regress_fs_owner;
CREATE FUNCTION fs_b.resource(type text, id text, patient text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT jsonb_build_object('resourceType', type, 'id', id, 'subject', jsonb_build_object('reference', 'Patient/' || patient)) $$;
CREATE FUNCTION fs_b.provenance(id text, target text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT jsonb_build_object('resourceType', 'Provenance', 'id', id, 'target', jsonb_build_array(jsonb_build_object('reference', target))) $$;
CREATE TABLE fs_a.encounter (id text PRIMARY KEY, resource jsonb);
CREATE TABLE fs_b.encounter (id text PRIMARY KEY, resource jsonb);
CREATE TABLE fs_b.provenance (id text PRIMARY KEY, resource jsonb);
RESET ROLE;
INSERT INTO fs_a.encounter VALUES ('e1', fs_b.resource('Encounter', 'e1', 'alice'));
INSERT INTO fs_b.encounter SELECT 'e' || i, fs_b.resource('Encounter', 'e' || i, 'bob') FROM generate_series(1, 4) i;
SET ROLE regress_fs_owner;
-- the follower's own schema comes first, whichever table is older; the other one is named
SELECT smart.protect('fs_a.encounter', 'Encounter'), smart.protect('fs_b.encounter', 'Encounter'), smart.protect('fs_b.provenance', 'Provenance', follow => 'target');
RESET ROLE;
INSERT INTO fs_b.provenance SELECT 'v' || i, fs_b.provenance('v' || i, 'Encounter/e' || i) FROM generate_series(1, 4) i;
SELECT id, smart_patient FROM fs_b.provenance ORDER BY id;
-- moved at once, by way of no resource, and by way of another id: to nobody each; a change of something else keeps
UPDATE fs_b.encounter SET resource = fs_b.resource('Encounter', 'e1', 'carol') WHERE id = 'e1';
UPDATE fs_b.encounter SET resource = NULL WHERE id = 'e2';
UPDATE fs_b.encounter SET resource = fs_b.resource('Encounter', 'e2', 'carol') WHERE id = 'e2';
UPDATE fs_b.encounter SET id = 'tmp', resource = fs_b.resource('Encounter', 'tmp', 'bob') WHERE id = 'e3';
UPDATE fs_b.encounter SET resource = fs_b.resource('Encounter', 'tmp', 'carol') WHERE id = 'tmp';
UPDATE fs_b.encounter SET id = 'e3', resource = fs_b.resource('Encounter', 'e3', 'carol') WHERE id = 'tmp';
UPDATE fs_b.encounter SET resource = resource || '{"status": "finished"}' WHERE id = 'e4';
SELECT id, smart_patient FROM fs_b.provenance ORDER BY id;
-- and found again by who may
SELECT smart.refresh_followed('fs_b.provenance');
SELECT id, smart_patient FROM fs_b.provenance ORDER BY id;

-- Without followed => true a follower is bound to tables of its own schema alone, whatever is protected first; what was passed over is named.
CREATE SCHEMA fs_c AUTHORIZATION regress_fs_owner;
CREATE SCHEMA fs_d AUTHORIZATION regress_fs_owner;
SET ROLE regress_fs_owner;
CREATE TABLE fs_c.encounter (id text PRIMARY KEY, resource jsonb);
CREATE TABLE fs_d.encounter_history (id text, version int, resource jsonb, PRIMARY KEY (id, version));
CREATE TABLE fs_d.encounter (id text PRIMARY KEY, resource jsonb);
CREATE TABLE fs_d.encounter_copy (id text PRIMARY KEY, resource jsonb);
CREATE TABLE fs_d.provenance (id text PRIMARY KEY, resource jsonb);
CREATE VIEW fs_d.links AS SELECT DISTINCT followed, follower, type FROM smart_internal.follow_links('fs_d.provenance') WHERE follower = 'fs_d.provenance'::regclass;
SET client_min_messages = warning;
SELECT smart.protect('fs_d.provenance', 'Provenance', follow => 'target');
SET client_min_messages = notice;
SELECT smart.protect('fs_c.encounter', 'Encounter');
SELECT * FROM fs_d.links ORDER BY 1;
-- a table of versions is followed until the records' own comes; a second one of those is passed over, also when it is protected again
SELECT smart.protect('fs_d.encounter_history', 'Encounter');
SELECT * FROM fs_d.links ORDER BY 1;
SELECT smart.protect('fs_d.encounter', 'Encounter');
SELECT smart.protect('fs_d.encounter_copy', 'Encounter');
SELECT * FROM fs_d.links ORDER BY 1;
SELECT smart.protect('fs_d.encounter_history', 'Encounter'), smart.protect('fs_d.provenance', 'Provenance', follow => 'target');
SELECT * FROM fs_d.links ORDER BY 1;
-- told so, they are bound; told otherwise, they are not named; and all can be taken back
SELECT smart.protect('fs_c.encounter', 'Encounter', followed => true), smart.protect('fs_d.encounter_history', 'Encounter', followed => true),
  smart.protect('fs_d.encounter_copy', 'Encounter', followed => false);
SELECT * FROM fs_d.links ORDER BY 1;
RESET ROLE;
INSERT INTO fs_c.encounter VALUES ('e1', fs_b.resource('Encounter', 'e1', 'dave')), ('e2', fs_b.resource('Encounter', 'e2', 'dave'));
INSERT INTO fs_d.encounter VALUES ('e1', fs_b.resource('Encounter', 'e1', 'erin'));
INSERT INTO fs_d.provenance VALUES ('v1', fs_b.provenance('v1', 'Encounter/e1')), ('v2', fs_b.provenance('v2', 'Encounter/e2'));
SELECT id, smart_patient FROM fs_d.provenance ORDER BY id;
SET ROLE regress_fs_owner;
SELECT smart.protect('fs_c.encounter', 'Encounter'), smart.protect('fs_d.encounter_history', 'Encounter', followed => false), smart.protect('fs_d.provenance', 'Provenance', follow => 'target');
SELECT * FROM fs_d.links ORDER BY 1;
RESET ROLE;
INSERT INTO fs_d.provenance VALUES ('v3', fs_b.provenance('v3', 'Encounter/e1')), ('v4', fs_b.provenance('v4', 'Encounter/e2'));
SELECT id, smart_patient FROM fs_d.provenance ORDER BY id;
-- a table that moves to another schema stays bound until protect() is called again
ALTER TABLE fs_d.encounter SET SCHEMA public;
SELECT * FROM fs_d.links ORDER BY 1;
SET client_min_messages = warning;
SELECT smart.protect('fs_d.provenance', 'Provenance', follow => 'target');
SELECT * FROM fs_d.links ORDER BY 1;
DROP TABLE public.encounter;
DROP SCHEMA fs_a, fs_b, fs_c, fs_d CASCADE;
DROP OWNED BY regress_fs_owner;
DROP ROLE regress_fs_owner;
