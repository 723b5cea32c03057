-- Records about records, attacked: who can get another's Provenance, or take it from him? C. follow is too clever; X. follow, once more.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE fm_app;
CREATE ROLE fm_owner;
CREATE ROLE fm_other;
CREATE SCHEMA fm AUTHORIZATION fm_owner;
GRANT USAGE ON SCHEMA fm TO fm_app;
GRANT USAGE, CREATE ON SCHEMA fm TO fm_other;
SELECT smart.add_issuer('https://fm.example.org',
  '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}', '{https://fm.example.org/fhir}', user_sees_all => true);
CREATE FUNCTION public.fm_be(patient text, scope text DEFAULT 'patient/*.cruds') RETURNS void LANGUAGE sql SECURITY DEFINER AS
$$ SELECT smart.assume(jsonb_strip_nulls(jsonb_build_object('scope', scope, 'patient', patient, 'exp', 4000000000)), 'https://fm.example.org', false) $$;
SET ROLE fm_owner;
CREATE TABLE fm.obs (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE fm.obs_history (id text, version int, resource jsonb NOT NULL, PRIMARY KEY (id, version));
CREATE TABLE fm.location (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE fm.prov (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE FUNCTION fm.obs(id text, patient text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT jsonb_build_object('resourceType', 'Observation', 'id', id, 'subject', jsonb_build_object('reference', 'Patient/' || patient)) $$;
CREATE FUNCTION fm.prov(id text, VARIADIC targets text[]) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT jsonb_build_object('resourceType', 'Provenance', 'id', id, 'target', (SELECT jsonb_agg(jsonb_build_object('reference', t)) FROM unnest(targets) t)) $$;
SELECT smart.protect('fm.obs', 'Observation'), smart.protect('fm.obs_history', 'Observation'), smart.protect('fm.location', 'Location');
SET client_min_messages = notice;
SELECT smart.protect('fm.prov', 'Provenance', follow => 'target');
SET client_min_messages = warning;
GRANT SELECT, INSERT, UPDATE, DELETE ON fm.obs, fm.obs_history, fm.location, fm.prov TO fm_app;
RESET ROLE;
INSERT INTO fm.obs SELECT 'o' || p, fm.obs('o' || p, p::text) FROM generate_series(1, 3) p;
INSERT INTO fm.obs VALUES ('gone', fm.obs('gone', '1'));
INSERT INTO fm.location VALUES ('l', '{"resourceType": "Location", "id": "l"}');
INSERT INTO fm.prov VALUES ('p1', fm.prov('p1', 'Observation/o1')), ('gone', fm.prov('gone', 'Observation/gone')), ('unknown', fm.prov('unknown', 'Observation/new'));
SELECT id, smart_patient FROM fm.prov ORDER BY id;

-- C1. A record of one's own under another's id in a table of the same type, under an id that a delete freed, or that something names already: nothing
-- changes, not even when the Provenance is written again or followers are refreshed.
SET ROLE fm_app;
SELECT public.fm_be('1');
DELETE FROM fm.obs WHERE id = 'gone';
SELECT public.fm_be('2');
INSERT INTO fm.obs_history VALUES ('o1', 1, fm.obs('o1', '2')), ('gone', 1, fm.obs('gone', '2'));
INSERT INTO fm.obs VALUES ('gone', fm.obs('gone', '2')), ('new', fm.obs('new', '2'));
UPDATE fm.obs SET resource = resource || '{"status": "final"}';
SELECT array_agg(id ORDER BY id) AS seen_by_2 FROM fm.prov;
SELECT public.fm_be(NULL, 'system/*.cruds');
UPDATE fm.prov SET resource = resource || '{"recorded": "2026-01-01T00:00:00Z"}' WHERE id <> 'unknown';
RESET ROLE;
SELECT smart.refresh_followed('fm.prov') AS the_one_that_nobody_had;
SELECT id, smart_patient FROM fm.prov ORDER BY id;
-- ... but a Provenance that is written now is about the record that has the id now, where there is one alone
INSERT INTO fm.prov VALUES ('p2', fm.prov('p2', 'Observation/gone'));
SELECT id, smart_patient FROM fm.prov WHERE id = 'p2';
DELETE FROM fm.prov WHERE id IN ('p2', 'unknown');
-- a table of versions is asked when protect() was told so: then two patients have the id
SET ROLE fm_owner;
SELECT smart.protect('fm.obs_history', 'Observation', followed => true);
RESET ROLE;
INSERT INTO fm.prov VALUES ('p2', fm.prov('p2', 'Observation/o1')), ('p3', fm.prov('p3', 'Observation/o3'));
SELECT id, smart_patient FROM fm.prov ORDER BY id;
SET ROLE fm_owner;
SELECT smart.protect('fm.obs_history', 'Observation');
SELECT tgrelid::regclass, tgconstrrelid::regclass FROM pg_trigger WHERE tgconstrrelid <> 0 AND tgrelid IN ('fm.obs'::regclass, 'fm.obs_history'::regclass);
SELECT smart.protect('fm.obs_history', 'Observation', followed => false);
SELECT tgrelid::regclass, tgconstrrelid::regclass FROM pg_trigger WHERE tgconstrrelid <> 0 AND tgrelid IN ('fm.obs'::regclass, 'fm.obs_history'::regclass);
RESET ROLE;
DELETE FROM fm.prov WHERE id IN ('p2', 'p3');

-- C2. Tables are bound by OID: a namesake of a renamed one is never asked, and runs nothing.
CREATE TABLE public.fm_ran (who text);
GRANT INSERT ON public.fm_ran TO PUBLIC;
ALTER TABLE fm.obs RENAME TO obs_renamed;
SET ROLE fm_other;
CREATE FUNCTION fm.spy(r jsonb) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN INSERT INTO public.fm_ran VALUES (current_user); RETURN '2'; END $$;
CREATE TABLE fm.obs (id text PRIMARY KEY, resource jsonb NOT NULL);
SELECT smart.protect('fm.obs', 'Observation', patients => 'fm.spy(resource)', index => false);
ALTER TABLE fm.obs NO FORCE ROW LEVEL SECURITY;
INSERT INTO fm.obs VALUES ('o1', fm.obs('o1', '2')), ('o3', fm.obs('o3', '2'));
RESET ROLE;
TRUNCATE public.fm_ran;
INSERT INTO fm.prov VALUES ('p2', fm.prov('p2', 'Observation/o1')), ('p3', fm.prov('p3', 'Observation/o3'));
UPDATE fm.obs_renamed SET resource = fm.obs('o3', '1') WHERE id = 'o3';
SELECT smart.refresh_followed('fm.prov');
SELECT id, smart_patient FROM fm.prov ORDER BY id;
SELECT count(*) AS ran FROM public.fm_ran;
-- given away, it is another owner's table, and not asked
ALTER TABLE fm.obs_renamed OWNER TO fm_other;
INSERT INTO fm.prov VALUES ('p4', fm.prov('p4', 'Observation/o1'));
SELECT smart_patient IS NULL AS of_another_owner FROM fm.prov WHERE id = 'p4';
ALTER TABLE fm.obs_renamed OWNER TO fm_owner;
DROP TABLE fm.obs;
ALTER TABLE fm.obs_renamed RENAME TO obs;
UPDATE fm.obs SET resource = fm.obs('o3', '3') WHERE id = 'o3';
DELETE FROM fm.prov WHERE id <> 'p1' AND id <> 'gone';
-- the search_path, temporary namesakes and operators of the writer do not count
SET ROLE fm_app;
SELECT public.fm_be('1');
CREATE TEMPORARY TABLE obs (id text, resource jsonb);
CREATE FUNCTION pg_temp.followed_references(jsonb, text, text) RETURNS text[] LANGUAGE sql AS 'SELECT ''{Patient/1}''::text[]';
SET search_path = pg_temp, fm;
INSERT INTO fm.prov VALUES ('p5', fm.prov('p5', 'Observation/o3'));
INSERT INTO fm.prov VALUES ('p5', fm.prov('p5', 'Observation/o1'));
RESET search_path;
SELECT id, smart_patient FROM fm.prov ORDER BY id;
RESET ROLE;
DROP TABLE pg_temp.obs;
DROP FUNCTION pg_temp.followed_references(jsonb, text, text);
DELETE FROM fm.prov WHERE id = 'p5';

-- C3. What the owner's triggers call meanwhile keeps no plan without policies: none of them is called, and no policy is left out.
SET ROLE fm_owner;
CREATE FUNCTION fm.ids() RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS
$$ BEGIN RETURN (SELECT string_agg(id, ' ' ORDER BY id) FROM fm.obs); END $$;
CREATE FUNCTION fm.audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM fm.ids(); RETURN NULL; END $$;
CREATE TRIGGER audit AFTER INSERT OR UPDATE ON fm.prov FOR EACH ROW EXECUTE FUNCTION fm.audit();
CREATE FUNCTION fm.own_id(r jsonb) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM fm.ids(); RETURN r ->> 'id'; END $$;
CREATE TABLE fm.condition (resource jsonb NOT NULL);
SELECT smart.protect('fm.condition', 'Condition', id => 'fm.own_id(resource)');
GRANT SELECT, INSERT, UPDATE, DELETE ON fm.condition TO fm_app;
RESET ROLE;
INSERT INTO fm.condition VALUES (fm.obs('c1', '1') || '{"resourceType": "Condition"}');
SET ROLE fm_app;
SELECT public.fm_be('1');
DISCARD PLANS;
INSERT INTO fm.prov VALUES ('c1', fm.prov('c1', 'Condition/c1', 'Observation/o1'));
SELECT public.fm_be(NULL, 'system/*.cruds');
DISCARD PLANS;
UPDATE fm.obs SET resource = fm.obs('o1', '3') WHERE id = 'o1';
UPDATE fm.obs SET resource = fm.obs('o1', '1') WHERE id = 'o1';
SELECT public.fm_be('1');
SELECT fm.ids() AS own;
RESET ROLE;
SELECT smart.logout();
SET ROLE fm_app;
SELECT fm.ids() AS nobody;
RESET ROLE;
SELECT id, smart_patient FROM fm.prov ORDER BY id;
SELECT smart.refresh_followed('fm.prov') AS found_again;
DROP TRIGGER audit ON fm.prov;

-- C4 and C6 (isolation levels, locks) are in test/specs/follow_race.spec.

-- C5. A long chain of records, each naming the one before: the first can be moved, and all belong to nobody, then to whom it belongs now.
INSERT INTO fm.obs VALUES ('root', fm.obs('root', '1'));
INSERT INTO fm.prov VALUES ('k0', fm.prov('k0', 'Observation/root'));
DO $$ BEGIN FOR i IN 1 .. 2000 LOOP INSERT INTO fm.prov VALUES ('k' || i, fm.prov('k' || i, 'Provenance/k' || i - 1)); END LOOP; END $$;
UPDATE fm.obs SET resource = fm.obs('root', '2') WHERE id = 'root';
SELECT smart_patient, count(*) FROM fm.prov WHERE id LIKE 'k%' GROUP BY 1;
SELECT smart.refresh_followed('fm.prov');
SELECT smart_patient, count(*) FROM fm.prov WHERE id LIKE 'k%' GROUP BY 1;
-- also when they lie in the other order, and in a circle
UPDATE fm.prov SET resource = fm.prov('k0', 'Observation/root', 'Provenance/k2000') WHERE id = 'k0';
UPDATE fm.obs SET resource = fm.obs('root', '3') WHERE id = 'root';
SELECT smart_patient, count(*) FROM fm.prov WHERE id LIKE 'k%' GROUP BY 1;
DELETE FROM fm.obs WHERE id = 'root';
DELETE FROM fm.prov WHERE id LIKE 'k%';

-- C7. Many rows in one statement take no memory each.
CREATE FUNCTION public.fm_memory() RETURNS bigint LANGUAGE sql AS $$ SELECT sum(total_bytes) FROM pg_backend_memory_contexts $$;
CREATE FUNCTION public.fm_spy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF NEW.id IN ('m100', 'm20000') THEN PERFORM set_config('fm.' || NEW.id, public.fm_memory()::text, false); END IF; RETURN NEW; END $$;
INSERT INTO fm.obs SELECT 'm' || i, fm.obs('m' || i, '1') FROM generate_series(1, 20000) i;
CREATE TRIGGER zz BEFORE INSERT OR UPDATE ON fm.prov FOR EACH ROW EXECUTE FUNCTION public.fm_spy();
INSERT INTO fm.prov SELECT 'm' || i, fm.prov('m' || i, 'Observation/m' || i, 'Observation/o1', 'Location/l') FROM generate_series(1, 20000) i;
SELECT current_setting('fm.m20000')::bigint - current_setting('fm.m100')::bigint < 4000000 AS bounded_when_inserted;
UPDATE fm.prov SET resource = resource || '{"recorded": "2026-01-02T00:00:00Z"}' WHERE id LIKE 'm%';
SELECT current_setting('fm.m20000')::bigint - current_setting('fm.m100')::bigint < 4000000 AS bounded_when_updated;
DROP TRIGGER zz ON fm.prov;
-- AFTER triggers: the named records, moved
CREATE TRIGGER zz AFTER UPDATE ON fm.obs FOR EACH ROW EXECUTE FUNCTION public.fm_spy();
UPDATE fm.obs SET resource = fm.obs(id, '2') WHERE id LIKE 'm%';
SELECT current_setting('fm.m20000')::bigint - current_setting('fm.m100')::bigint < 4000000 AS bounded_when_moved;
SELECT smart_patient, count(*) FROM fm.prov WHERE id LIKE 'm%' GROUP BY 1;
DROP TRIGGER zz ON fm.obs;
DELETE FROM fm.prov WHERE id LIKE 'm%';
DELETE FROM fm.obs WHERE id LIKE 'm%';

-- X. What cannot name a patient does not veto, found or not, here or on another server; two patients do, and so does a record that may have one.
SET ROLE fm_owner;
CREATE TABLE fm.device (id text PRIMARY KEY, patients text[], resource jsonb NOT NULL);
CREATE TABLE fm.practitioner (id text PRIMARY KEY, resource jsonb NOT NULL);
SELECT smart.protect('fm.device', 'Device', patients => 'patients'), smart.protect('fm.practitioner', 'Practitioner', shared => false);
RESET ROLE;
INSERT INTO fm.device VALUES ('of1', '{1}', '{"resourceType": "Device", "id": "of1"}'), ('of12', '{1,2}', '{"resourceType": "Device", "id": "of12"}'),
  ('stock', NULL, '{"resourceType": "Device", "id": "stock"}'), ('of2', '{Patient/2}', '{"resourceType": "Device", "id": "of2"}');
INSERT INTO fm.practitioner VALUES ('x', '{"resourceType": "Practitioner", "id": "x"}');
INSERT INTO fm.obs VALUES ('nobody', '{"resourceType": "Observation", "id": "nobody"}');
INSERT INTO fm.prov SELECT 'x' || lpad(n::text, 2, '0'), fm.prov('x' || lpad(n::text, 2, '0'), VARIADIC string_to_array(t, ' ')) FROM (VALUES
  (1, 'Patient/1 Location/l'), (2, 'Patient/1 Location/unknown'), (3, 'Patient/1 Organization/o Practitioner/x PractitionerRole/r'),
  (4, 'Patient/1 https://elsewhere.example/fhir/Location/1'), (5, 'Location/l'), (6, 'Patient/1 Patient/2'), (7, 'Patient/1 Observation/o1'),
  (8, 'Patient/1 Observation/o2'), (9, 'Patient/1 Observation/unknown'), (10, 'Patient/1 Observation/nobody'), (11, 'Patient/1 Device/of1'), (12, 'Patient/1 Device/of2'),
  (13, 'Patient/1 Device/of12'), (14, 'Patient/1 Device/stock'), (15, 'Patient/1 Device/unknown'), (16, 'Patient/1 Nonsense/1'), (17, 'Patient/1 https://elsewhere.example/fhir/Patient/1'),
  (18, 'Patient/1 #contained'), (19, 'Patient/1 Patient/1/_history/7'), (20, 'Device/of1'), (21, 'Medication/m Patient/1')) v (n, t);
INSERT INTO fm.prov SELECT 'x30', fm.prov('x30', VARIADIC array_agg(t)) FROM (SELECT 'Observation/o1' UNION ALL SELECT 'Patient/1' UNION ALL SELECT 'Location/l' || i FROM generate_series(1, 469) i) v (t);
INSERT INTO fm.prov SELECT 'x31', fm.prov('x31', VARIADIC array_agg(t)) FROM (SELECT 'Patient/1' UNION ALL SELECT 'Location/l' || i FROM generate_series(1, 1001) i) v (t);
SELECT id, CASE WHEN id < 'x30' THEN (SELECT string_agg(t ->> 'reference', ' ') FROM jsonb_array_elements(resource -> 'target') t) END AS targets, smart_patient FROM fm.prov WHERE id LIKE 'x%' ORDER BY id;
-- a Device of another patient in a table that does not store patients; and a record that gets a patient beside the one that the others have
SET ROLE fm_owner;
SELECT smart.unprotect('fm.device'), smart.protect('fm.device', 'Device');
RESET ROLE;
INSERT INTO fm.device VALUES ('his', NULL, '{"resourceType": "Device", "id": "his", "patient": {"reference": "Patient/2"}}'), ('free', NULL, '{"resourceType": "Device", "id": "free"}');
INSERT INTO fm.prov VALUES ('x40', fm.prov('x40', 'Patient/1', 'Device/his')), ('x41', fm.prov('x41', 'Patient/1', 'Device/free'));
SELECT id, smart_patient FROM fm.prov WHERE id IN ('x40', 'x41') ORDER BY id;
UPDATE fm.device SET resource = resource || '{"patient": {"reference": "Patient/2"}}' WHERE id = 'free';
SELECT id, smart_patient FROM fm.prov WHERE id = 'x41';
DELETE FROM fm.prov;

-- All commands, and session_replication_role.
SET session_replication_role = replica;
INSERT INTO fm.prov (id, smart_patient, resource) VALUES ('r1', '9', fm.prov('r1', 'Observation/o1')), ('r2', NULL, fm.prov('r2', 'Observation/o2'));
COPY fm.prov (id, smart_patient, resource) FROM stdin;
r3	9	{"resourceType": "Provenance", "id": "r3", "target": [{"reference": "Observation/o3"}]}
\.
MERGE INTO fm.prov p USING (VALUES ('r3', 'Observation/o2'), ('r4', 'Observation/o1')) v (id, t) ON p.id = v.id
  WHEN MATCHED THEN UPDATE SET resource = fm.prov(v.id, v.t), smart_patient = '9' WHEN NOT MATCHED THEN INSERT (id, smart_patient, resource) VALUES (v.id, '9', fm.prov(v.id, v.t));
INSERT INTO fm.prov (id, resource) VALUES ('r1', fm.prov('r1', 'Observation/o1')) ON CONFLICT (id) DO UPDATE SET resource = EXCLUDED.resource, smart_patient = '9';
INSERT INTO fm.prov (id, resource) VALUES ('r2', fm.prov('r2', 'Observation/o3')) ON CONFLICT (id) DO UPDATE SET resource = EXCLUDED.resource, smart_patient = '9';
SELECT id, smart_patient FROM fm.prov ORDER BY id;
MERGE INTO fm.obs o USING (VALUES ('o1')) v (id) ON o.id = v.id WHEN MATCHED THEN UPDATE SET resource = fm.obs('o1', '3');
INSERT INTO fm.obs VALUES ('o2', fm.obs('o2', '1')) ON CONFLICT (id) DO UPDATE SET resource = EXCLUDED.resource;
SELECT id, smart_patient FROM fm.prov ORDER BY id;
RESET session_replication_role;
-- in one statement, a record and what names it
WITH moved AS (UPDATE fm.obs SET resource = fm.obs('o3', '1') WHERE id = 'o3' RETURNING id)
INSERT INTO fm.prov SELECT 'r5', fm.prov('r5', 'Observation/' || id) FROM moved;
SELECT id, smart_patient FROM fm.prov WHERE id IN ('r2', 'r5') ORDER BY id;
DELETE FROM fm.prov;
-- TRUNCATE frees ids, and takes nothing
INSERT INTO fm.prov VALUES ('t', fm.prov('t', 'Observation/o1'));
TRUNCATE fm.obs;
INSERT INTO fm.obs VALUES ('o1', fm.obs('o1', '2'));
SELECT id, smart_patient FROM fm.prov;
-- a followed table may be dropped
INSERT INTO fm.condition VALUES (fm.obs('c2', '1') || '{"resourceType": "Condition"}');
DROP TABLE fm.condition;
INSERT INTO fm.prov VALUES ('c2', fm.prov('c2', 'Condition/c1'));
SELECT id, smart_patient FROM fm.prov ORDER BY id;

-- Partitioned tables, on both sides, also where a row moves to another partition; ids as uuid and bigint.
SET ROLE fm_owner;
CREATE TABLE fm.procedure (id uuid, patient text, resource jsonb NOT NULL) PARTITION BY LIST (patient);
CREATE TABLE fm.procedure_1 PARTITION OF fm.procedure FOR VALUES IN ('1');
CREATE TABLE fm.procedure_2 PARTITION OF fm.procedure FOR VALUES IN ('2');
CREATE TABLE fm.goal (id bigint PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE fm.binary (id text, part int, resource jsonb NOT NULL) PARTITION BY LIST (part);
CREATE TABLE fm.binary_1 PARTITION OF fm.binary FOR VALUES IN (1);
SELECT smart.protect('fm.procedure', 'Procedure'), smart.protect('fm.goal', 'Goal'), smart.protect('fm.binary', 'Binary', follow => 'securityContext');
CREATE TABLE fm.binary_2 PARTITION OF fm.binary FOR VALUES IN (2);
CREATE TABLE fm.procedure_3 PARTITION OF fm.procedure FOR VALUES IN ('3');
RESET ROLE;
CREATE FUNCTION fm.of(type text, id text, patient text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$ SELECT fm.obs(id, patient) || jsonb_build_object('resourceType', type) $$;
INSERT INTO fm.procedure SELECT ('00000000-0000-4000-8000-00000000000' || p)::uuid, p::text, fm.of('Procedure', '00000000-0000-4000-8000-00000000000' || p, p::text) FROM generate_series(1, 3) p;
INSERT INTO fm.goal VALUES (17, fm.of('Goal', '17', '2'));
INSERT INTO fm.binary SELECT 'b' || n, 1 + n % 2, jsonb_build_object('resourceType', 'Binary', 'id', 'b' || n, 'securityContext', jsonb_build_object('reference', r)) FROM (VALUES
  (1, 'Procedure/00000000-0000-4000-8000-000000000001'), (2, 'Procedure/00000000-0000-4000-8000-000000000002'), (3, 'Goal/17'), (4, 'Goal/017'), (5, 'Goal/99999999999999999999'), (6, 'Goal/+17'),
  (7, 'Procedure/00000000-0000-4000-8000-00000000000'), (8, 'Procedure/00000000-0000-4000-8000-000000000003'), (9, 'Procedure/{00000000-0000-4000-8000-000000000003}')) v (n, r);
SELECT id, part, smart_patient FROM fm.binary ORDER BY id;
-- moved to another partition, with and without becoming another patient's
UPDATE fm.procedure SET patient = '2', resource = fm.of('Procedure', id::text, '2') WHERE patient = '1';
UPDATE fm.procedure SET patient = '1' WHERE patient = '3';
SELECT id, part, smart_patient FROM fm.binary WHERE id IN ('b1', 'b2', 'b8') ORDER BY id;
SELECT smart.refresh_followed('fm.binary');
SELECT id, part, smart_patient FROM fm.binary WHERE id = 'b1';
-- what names a freed id keeps its patient in another partition too, and no newcomer gets it
DELETE FROM fm.goal;
UPDATE fm.binary SET part = 3 - part, resource = resource || '{"contentType": "text/plain"}' WHERE id = 'b3';
SELECT part, smart_patient FROM fm.binary WHERE id = 'b3';
INSERT INTO fm.goal VALUES (17, fm.of('Goal', '17', '1'));
-- ... nor does a client who writes that it is another's
UPDATE fm.binary SET part = 3 - part, smart_patient = '1' WHERE id = 'b3';
SELECT part, smart_patient FROM fm.binary WHERE id = 'b3';
-- a detached partition, and unprotect(), leave nothing behind
ALTER TABLE fm.binary DETACH PARTITION fm.binary_2;
INSERT INTO fm.binary VALUES ('b10', 1, '{"resourceType": "Binary", "id": "b10", "securityContext": {"reference": "Goal/17"}}');
SELECT smart_patient FROM fm.binary WHERE id = 'b10';
SET ROLE fm_owner;
SELECT smart.unprotect('fm.binary'), smart.unprotect('fm.procedure'), smart.unprotect('fm.prov');
RESET ROLE;
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'fm'::regnamespace) AND tgname ~ 'follow' AND tgrelid <> 'fm.binary_2'::regclass;

SELECT smart.drop_issuer('https://fm.example.org');
DROP FUNCTION public.fm_be(text, text), public.fm_memory(), public.fm_spy();
DROP TABLE public.fm_ran;
DROP SCHEMA fm CASCADE;
DROP ROLE fm_app, fm_owner, fm_other;
