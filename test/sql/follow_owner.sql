-- follow runs the owner's expressions, and writes others' rows, in the statement of whoever writes: nothing of his is resolved as the owner, and no word of a row
-- that he may not see reaches him. C. follow is too clever; A. Trust in what another role wrote.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE ROLE fo_app;
CREATE ROLE fo_owner BYPASSRLS;
CREATE SCHEMA fo AUTHORIZATION fo_owner;
CREATE SCHEMA fo_app AUTHORIZATION fo_app;
GRANT USAGE ON SCHEMA fo TO fo_app;
GRANT USAGE ON SCHEMA fo_app TO fo_owner;
SELECT smart.add_issuer('https://fo.example.org',
  '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}', '{https://fo.example.org/fhir}');
CREATE FUNCTION public.fo_be(patient text, scope text DEFAULT 'patient/*.cruds') RETURNS void LANGUAGE sql SECURITY DEFINER AS
$$ SELECT smart.assume(jsonb_strip_nulls(jsonb_build_object('scope', scope, 'patient', patient, 'exp', 4000000000)), 'https://fo.example.org', false) $$;
SET ROLE fo_owner;
CREATE FUNCTION fo.res(type text, id text, patient text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT jsonb_build_object('resourceType', type, 'id', id, 'subject', jsonb_build_object('reference', 'Patient/' || patient)) $$;
CREATE FUNCTION fo.prov(id text, target text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT jsonb_build_object('resourceType', 'Provenance', 'id', id, 'target', jsonb_build_array(jsonb_build_object('reference', target))) $$;
-- patients in another table: by a function that qualifies, by one that sets a search_path without pg_temp, which is then searched first, and by one that leaves it to the session
CREATE TABLE fo.mapping (id text PRIMARY KEY, patient text);
INSERT INTO fo.mapping SELECT t || p, p FROM unnest('{q,s,u}'::text[]) t, unnest('{1,2}'::text[]) p;
GRANT SELECT ON fo.mapping TO fo_app;
CREATE FUNCTION fo.qualified(key text) RETURNS text LANGUAGE sql STABLE AS $$ SELECT m.patient FROM fo.mapping m WHERE m.id = key $$;
CREATE FUNCTION fo.sets(key text) RETURNS text LANGUAGE plpgsql STABLE SET search_path = fo AS $$ BEGIN RAISE WARNING 'asked for %', key; RETURN (SELECT m.patient FROM mapping m WHERE m.id = key); END $$;
CREATE FUNCTION fo.unqualified(key text) RETURNS text LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN (SELECT m.patient FROM mapping m WHERE m.id = key); END $$;
CREATE TABLE fo.device (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE fo.task (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE fo.contract (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE fo.observation (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE fo.goal (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE fo.prov (id text PRIMARY KEY, resource jsonb NOT NULL);
SELECT smart.protect('fo.device', 'Device', patients => 'fo.qualified(id)', index => false);
SELECT smart.protect('fo.task', 'Task', patients => 'fo.sets(id)', index => false);
SELECT smart.protect('fo.contract', 'Contract', patients => 'fo.unqualified(id)', index => false);
SELECT smart.protect('fo.goal', 'Goal', patients => $$(resource ->> 'of')::uuid$$, index => false);
SELECT smart.protect('fo.observation', 'Observation');
SELECT smart.protect('fo.prov', 'Provenance', follow => 'target');
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA fo TO fo_app;
REVOKE INSERT, UPDATE, DELETE ON fo.mapping FROM fo_app;
RESET ROLE;
INSERT INTO fo.device SELECT 'q' || p, jsonb_build_object('resourceType', 'Device', 'id', 'q' || p) FROM generate_series(1, 2) p;
INSERT INTO fo.task SELECT 's' || p, jsonb_build_object('resourceType', 'Task', 'id', 's' || p) FROM generate_series(1, 2) p;
INSERT INTO fo.contract SELECT 'u' || p, jsonb_build_object('resourceType', 'Contract', 'id', 'u' || p) FROM generate_series(1, 2) p;
INSERT INTO fo.observation SELECT 'o' || p, fo.res('Observation', 'o' || p, p::text) FROM generate_series(1, 3) p;

-- The session's search_path and pg_temp: what stands there does not run as the owner, and decides nothing.
SET ROLE fo_app;
CREATE TABLE fo_app.ran (who text);
GRANT INSERT ON fo_app.ran TO PUBLIC;
CREATE FUNCTION fo_app.evil() RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO fo_app.ran VALUES (current_user); RETURN '1'; END $$;
CREATE VIEW pg_temp.mapping AS SELECT v.id, fo_app.evil() AS patient FROM (VALUES ('q2'), ('s2'), ('u2')) v (id);
GRANT SELECT ON pg_temp.mapping TO PUBLIC;
SET search_path = pg_temp, fo_app;
SELECT public.fo_be('1');
-- primed: plans of the functions that read the view are kept by the session
SELECT fo.qualified('q2'), fo.sets('s2'), fo.unqualified('u2');
INSERT INTO fo.prov (id, resource) VALUES ('q1', fo.prov('q1', 'Device/q1'));
INSERT INTO fo.prov (id, resource) VALUES ('q2', fo.prov('q2', 'Device/q2'));
INSERT INTO fo.prov (id, resource) VALUES ('s1', fo.prov('s1', 'Task/s1'));
INSERT INTO fo.prov (id, resource) VALUES ('s2', fo.prov('s2', 'Task/s2'));
INSERT INTO fo.prov (id, resource) VALUES ('u2', fo.prov('u2', 'Contract/u2'));
-- also when a trigger is called in a subtransaction that ends so: afterwards all is as before
DO $$ BEGIN INSERT INTO fo.prov (id, resource) VALUES ('s2', fo.prov('s2', 'Task/s2'));
EXCEPTION WHEN object_not_in_prerequisite_state THEN RAISE WARNING '% % %', current_user, current_setting('search_path'), current_setting('row_security'); END $$;
-- ... and a superuser who asks for the owner's rights with permits_row()
RESET ROLE;
SELECT smart.permits_row(t, 'r') FROM fo.task t WHERE id = 's2';
SELECT current_user, current_setting('search_path') AS search_path;
SELECT who, count(*) > 0 FROM fo_app.ran GROUP BY 1 ORDER BY 1;
RESET search_path;
DROP VIEW pg_temp.mapping;
-- without the namesake: what qualifies or sets a path works, whatever the session's
SET ROLE fo_app;
SET search_path = fo_app;
INSERT INTO fo.prov (id, resource) VALUES ('s1', fo.prov('s1', 'Task/s1'));
INSERT INTO fo.prov (id, resource) VALUES ('u1', fo.prov('u1', 'Contract/u1'));
RESET search_path;
RESET ROLE;
SELECT id, smart_patient FROM fo.prov ORDER BY id;

-- Settings that change what an index returns, or what a query of the owner's sees, are not the session's: a thousand rows are moved, not some of them.
INSERT INTO fo.prov SELECT 'm' || i, fo.prov('m' || i, 'Observation/o3') FROM generate_series(1, 1000) i;
VACUUM fo.prov;
SET gin_fuzzy_search_limit = 1;
UPDATE fo.observation SET resource = fo.res('Observation', 'o3', '2') WHERE id = 'o3';
SELECT smart_patient, count(*) FROM fo.prov WHERE id LIKE 'm%' GROUP BY 1;
SHOW gin_fuzzy_search_limit;
RESET gin_fuzzy_search_limit;
DELETE FROM fo.prov;

-- Reading: a row of another patient that makes an expression fail.
INSERT INTO fo.goal VALUES ('g1', '{"resourceType": "Goal", "id": "g1", "of": "the secret of g1"}');
SET ROLE fo_app;
INSERT INTO fo.prov (id, resource) VALUES ('g1', fo.prov('g1', 'Goal/g1'));
RESET ROLE;

-- What is looked at does not depend on whose the records are: the statistics of one's own transaction do not tell whether a guess was right, nor do messages of the
-- owner's functions reach who has the statement (above).
CREATE FUNCTION fo_app.scans_of(guess text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  before bigint := pg_stat_get_xact_numscans('fo.task_pkey'::regclass);
BEGIN
  INSERT INTO fo.prov (id, resource) SELECT 'guess', jsonb_build_object('resourceType', 'Provenance', 'id', 'guess', 'target', jsonb_agg(jsonb_build_object('reference', r)))
  FROM unnest(ARRAY['Observation/o2', 'Patient/' || guess, 'Task/s2']) r;
  RETURN NULL;
EXCEPTION WHEN insufficient_privilege THEN
  RETURN pg_stat_get_xact_numscans('fo.task_pkey'::regclass) - before;
END $$;
GRANT USAGE ON SCHEMA fo_app TO PUBLIC;
SET ROLE fo_app;
SELECT fo_app.scans_of('2') AS right, fo_app.scans_of('3') AS wrong;
RESET ROLE;

-- Writing: constraints, indexes and generated columns of the follower, when a named record moves.
CREATE FUNCTION public.fo_move(patient text) RETURNS void LANGUAGE sql AS
$$ UPDATE fo.observation SET resource = fo.res('Observation', id, patient) WHERE id = 'o1' $$;
INSERT INTO fo.prov SELECT 'x', fo.prov('x', 'Observation/o1') || '{"secret": "the secret of x"}';
SET ROLE fo_owner;
ALTER TABLE fo.prov ADD CONSTRAINT has_patient CHECK (smart_patient IS NOT NULL);
RESET ROLE;
SET ROLE fo_app;
SELECT public.fo_be(NULL, 'system/*.cruds');
SELECT public.fo_move('2');
RESET ROLE;
ALTER TABLE fo.prov DROP CONSTRAINT has_patient, ALTER smart_patient SET NOT NULL;
SET ROLE fo_app;
SELECT public.fo_move('2');
RESET ROLE;
ALTER TABLE fo.prov ALTER smart_patient DROP NOT NULL;
CREATE UNIQUE INDEX prov_secret ON fo.prov (coalesce(smart_patient, ''), (resource ->> 'secret'));
INSERT INTO fo.prov SELECT 'y', fo.prov('y', 'Observation/unknown') || '{"secret": "the secret of x"}';
SET ROLE fo_app;
SELECT public.fo_move('2');
RESET ROLE;
DROP INDEX fo.prov_secret;
ALTER TABLE fo.prov ADD CONSTRAINT prov_secret EXCLUDE USING btree (coalesce(smart_patient, '') WITH =, (resource ->> 'secret') WITH =);
SET ROLE fo_app;
SELECT public.fo_move('2');
RESET ROLE;
ALTER TABLE fo.prov DROP CONSTRAINT prov_secret;
CREATE FUNCTION fo.raise(patient text, resource jsonb) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
$$ BEGIN IF patient IS NULL AND resource ? 'secret' THEN RAISE 'what about %', resource ->> 'secret'; END IF; RETURN ''; END $$;
DELETE FROM fo.prov WHERE id = 'y';
CREATE INDEX prov_raise ON fo.prov (fo.raise(smart_patient, resource));
SET ROLE fo_app;
SELECT public.fo_move('2');
RESET ROLE;
DROP INDEX fo.prov_raise;
ALTER TABLE fo.prov ADD said text GENERATED ALWAYS AS (fo.raise(smart_patient, resource)) STORED;
SET ROLE fo_app;
SELECT public.fo_move('2');
RESET ROLE;
-- ... and nothing of it has happened; without such a thing it does
SELECT id, smart_patient FROM fo.prov;
ALTER TABLE fo.prov DROP said;
SET ROLE fo_app;
SELECT public.fo_move('2');
RESET ROLE;
SELECT id, smart_patient FROM fo.prov;
SELECT smart.logout();
SELECT smart.drop_issuer('https://fo.example.org');
DROP FUNCTION public.fo_be(text, text), public.fo_move(text);
DROP SCHEMA fo, fo_app CASCADE;
DROP OWNED BY fo_owner, fo_app;
DROP ROLE fo_app, fo_owner;
