-- Records about records in partitioned tables. C. follow is too clever.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE fp_app;
CREATE ROLE fp_owner;
CREATE SCHEMA fp AUTHORIZATION fp_owner;
GRANT USAGE ON SCHEMA fp TO fp_app;
SELECT smart.add_issuer('https://fp.example.org',
  '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}', '{https://fp.example.org/fhir}');
CREATE FUNCTION public.fp_be(patient text) RETURNS void LANGUAGE sql SECURITY DEFINER AS
$$ SELECT smart.assume(jsonb_build_object('scope', 'patient/*.cruds', 'patient', patient, 'exp', 4000000000), 'https://fp.example.org', false) $$;
SET ROLE fp_owner;
CREATE FUNCTION fp.obs(id text, patient text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT jsonb_build_object('resourceType', 'Observation', 'id', id, 'subject', jsonb_build_object('reference', 'Patient/' || patient)) $$;
CREATE FUNCTION fp.prov(id text, target text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT jsonb_build_object('resourceType', 'Provenance', 'id', id, 'target', jsonb_build_array(jsonb_build_object('reference', target))) $$;
CREATE TABLE fp.obs (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE fp.prov (id text, part int, resource jsonb NOT NULL) PARTITION BY LIST (part);
CREATE TABLE fp.prov_1 PARTITION OF fp.prov FOR VALUES IN (1);
CREATE TABLE fp.prov_2 PARTITION OF fp.prov FOR VALUES IN (2);
SELECT smart.protect('fp.obs', 'Observation'), smart.protect('fp.prov', 'Provenance', follow => 'target');
GRANT SELECT, INSERT, UPDATE, DELETE ON fp.obs, fp.prov TO fp_app;
RESET ROLE;

-- A row that moves to another partition keeps its patient though the id is free, or another's now. What decides that it is this row are its values: two ids
-- whose 32-bit hashes (hashtext) are equal on little-endian machines are no way to plant a record in one's own chart that names another's.
INSERT INTO fp.obs VALUES ('o57360', fp.obs('o57360', '1')), ('o262013', fp.obs('o262013', '2'));
INSERT INTO fp.prov VALUES ('mine', 1, fp.prov('mine', 'Observation/o57360'));
SET ROLE fp_app;
SELECT public.fp_be('1');
WITH u AS (UPDATE fp.prov SET resource = resource || '{"recorded": "2026-01-01T00:00:00Z"}' WHERE id = 'mine' RETURNING id)
INSERT INTO fp.prov (id, part, smart_patient, resource) SELECT 'planted', 1, '1', fp.prov('planted', 'Observation/o262013') FROM u;
DELETE FROM fp.obs WHERE id = 'o57360';
UPDATE fp.prov SET part = 2 WHERE id = 'mine';
-- ... nor can it be said of a row that stayed where it is, nor twice
SELECT public.fp_be('2');
INSERT INTO fp.obs VALUES ('o57360', fp.obs('o57360', '2'));
SELECT public.fp_be('1');
BEGIN;
UPDATE fp.prov SET resource = resource || '{"recorded": "2026-01-02T00:00:00Z"}' WHERE id = 'mine';
INSERT INTO fp.prov (id, part, smart_patient, resource) VALUES ('again', 1, '1', fp.prov('again', 'Observation/o57360'));
ROLLBACK;
BEGIN;
UPDATE fp.prov SET part = 1 WHERE id = 'mine';
INSERT INTO fp.prov (id, part, smart_patient, resource) VALUES ('again', 1, '1', fp.prov('again', 'Observation/o57360'));
ROLLBACK;
-- a trigger of the owner's that writes meanwhile changes nothing of that
RESET ROLE;
CREATE TABLE fp.log (id text);
CREATE FUNCTION fp.log() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN INSERT INTO fp.log VALUES (NEW.id); RETURN NEW; END $$;
CREATE TRIGGER zz BEFORE INSERT OR UPDATE ON fp.prov FOR EACH ROW EXECUTE FUNCTION fp.log();
SET ROLE fp_app;
UPDATE fp.prov SET part = 1 WHERE id = 'mine' RETURNING id, part;
RESET ROLE;
SELECT id, part, smart_patient FROM fp.prov ORDER BY id;
DROP TRIGGER zz ON fp.prov;

-- Partitions that a plain owner makes, attaches and detaches: they follow and are followed like the others, and nobody may execute the triggers' functions.
SET ROLE fp_owner;
CREATE TABLE fp.enc (id text, year int, resource jsonb NOT NULL) PARTITION BY LIST (year);
SELECT smart.protect('fp.enc', 'Encounter'), smart.protect('fp.prov', 'Provenance', follow => 'target');
CREATE TABLE fp.enc_1 PARTITION OF fp.enc FOR VALUES IN (1);
CREATE TABLE fp.enc_2 PARTITION OF fp.enc FOR VALUES IN (2) PARTITION BY LIST (id);
CREATE TABLE fp.enc_2_rest PARTITION OF fp.enc_2 DEFAULT;
CREATE TABLE fp.enc_3 (id text, year int, resource jsonb NOT NULL);
ALTER TABLE fp.enc ATTACH PARTITION fp.enc_3 FOR VALUES IN (3);
-- a partition of another role, a member of the owner's: its triggers take no client's word; given to the owner it is like the others
RESET ROLE;
CREATE ROLE fp_dev IN ROLE fp_owner;
GRANT CREATE ON SCHEMA fp TO fp_dev;
SET ROLE fp_dev;
CREATE TABLE fp.prov_5 PARTITION OF fp.prov FOR VALUES IN (5);
CREATE TABLE fp.enc_5 PARTITION OF fp.enc FOR VALUES IN (5);
RESET ROLE;
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgrelid IN ('fp.prov_5'::regclass, 'fp.enc_5'::regclass) AND tgname LIKE 'smart_follow%' ORDER BY 1, 2;
INSERT INTO fp.prov (id, part, smart_patient, resource) VALUES ('dev', 5, '1', fp.prov('dev', 'Observation/o262013'));
SELECT id, smart_patient FROM fp.prov WHERE id = 'dev';
ALTER TABLE fp.prov_5 OWNER TO fp_owner;
ALTER TABLE fp.enc_5 OWNER TO fp_owner;
REVOKE CREATE ON SCHEMA fp FROM fp_dev;
DROP ROLE fp_dev;
SET ROLE fp_owner;
SELECT smart.protect('fp.prov', 'Provenance', follow => 'target'), smart.protect('fp.enc', 'Encounter'), smart.refresh_followed('fp.prov');
-- one that was protected by itself
CREATE TABLE fp.enc_4 (id text, year int, resource jsonb NOT NULL);
SELECT smart.protect('fp.enc_4', 'Encounter', followed => true);
ALTER TABLE fp.enc ATTACH PARTITION fp.enc_4 FOR VALUES IN (4);
CREATE TABLE fp.prov_3 PARTITION OF fp.prov FOR VALUES IN (3);
CREATE TABLE fp.prov_4 (id text, part int, resource jsonb NOT NULL);
SELECT smart.protect('fp.prov_4', 'Provenance', follow => 'target');
ALTER TABLE fp.prov ATTACH PARTITION fp.prov_4 FOR VALUES IN (4);
RESET ROLE;
SELECT has_function_privilege('fp_owner', 'smart_internal.keep_followed()', 'EXECUTE') OR has_function_privilege('fp_owner', 'smart_internal.touch_followers()', 'EXECUTE') AS may_execute;
SELECT tgrelid::regclass, tgname, encode(tgargs, 'escape') AS args, tgconstrrelid::regclass AS follower, tgenabled FROM pg_trigger
WHERE tgfoid IN ('smart_internal.keep_followed()'::regprocedure, 'smart_internal.touch_followers()'::regprocedure) ORDER BY tgrelid::regclass::text COLLATE "C", tgname;
SELECT relation, state FROM smart.protected_table WHERE relation IN ('fp.enc'::regclass, 'fp.prov'::regclass) ORDER BY relation::text COLLATE "C";
CREATE FUNCTION fp.enc(id text, patient text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$ SELECT fp.obs(id, patient) || '{"resourceType": "Encounter"}' $$;
INSERT INTO fp.enc SELECT 'e' || y, y, fp.enc('e' || y, '1') FROM generate_series(1, 4) y;
INSERT INTO fp.prov (id, part, smart_patient, resource) SELECT 'v' || e || '_' || p, p, 'claimed', fp.prov('v' || e || '_' || p, 'Encounter/e' || e) FROM generate_series(1, 4) e, generate_series(1, 4) p;
SELECT smart_patient, count(*) FROM fp.prov WHERE id LIKE 'v%' GROUP BY 1;
UPDATE fp.enc SET resource = fp.enc(id, '2');
SELECT smart_patient, count(*) FROM fp.prov WHERE id LIKE 'v%' GROUP BY 1;
SELECT smart.refresh_followed('fp.prov') > 0 AS found_again;
-- moved to a partition that is new, as the same patient's and as another's
UPDATE fp.enc SET year = 3 WHERE id = 'e1';
UPDATE fp.enc SET year = 3, resource = fp.enc(id, '1') WHERE id = 'e2';
SELECT id, smart_patient FROM fp.prov WHERE id IN ('v1_1', 'v2_1', 'v3_4') ORDER BY id;
-- a detached partition is a table of its own: it is not looked at any more, nor sends anything away; one that followed takes no client's word
ALTER TABLE fp.enc DETACH PARTITION fp.enc_4;
ALTER TABLE fp.prov DETACH PARTITION fp.prov_3;
INSERT INTO fp.prov VALUES ('d4', 1, fp.prov('d4', 'Encounter/e4'));
UPDATE fp.enc_4 SET resource = fp.enc(id, '1');
INSERT INTO fp.prov_3 (id, part, smart_patient, resource) VALUES ('d3', 3, '1', fp.prov('d3', 'Encounter/e3'));
SELECT id, smart_patient FROM fp.prov WHERE id IN ('d4', 'v4_1') UNION ALL SELECT id, smart_patient FROM fp.prov_3 WHERE id = 'd3' ORDER BY id;
-- protected again it is one
SET ROLE fp_owner;
SELECT smart.protect('fp.prov_3', 'Provenance', follow => 'target');
SELECT DISTINCT followed, follower FROM smart_internal.follow_links('fp.prov_3') ORDER BY 1, 2;
-- what one owner's partitions follow, another's does not; and nothing is left behind
RESET ROLE;
SELECT smart.unprotect('fp.prov'), smart.unprotect('fp.prov_3'), smart.unprotect('fp.enc'), smart.unprotect('fp.enc_4'), smart.unprotect('fp.obs');
SELECT tgrelid::regclass, tgname FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid WHERE relnamespace = 'fp'::regnamespace AND tgfoid::regproc::text LIKE 'smart%';

SELECT smart.logout();
SELECT smart.drop_issuer('https://fp.example.org');
DROP FUNCTION public.fp_be(text);
DROP SCHEMA fp CASCADE;
DROP ROLE fp_app, fp_owner;
