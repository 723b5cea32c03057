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

SELECT smart.logout();
SELECT smart.drop_issuer('https://fp.example.org');
DROP FUNCTION public.fp_be(text);
DROP SCHEMA fp CASCADE;
DROP OWNED BY fp_owner;
DROP ROLE fp_app, fp_owner;
