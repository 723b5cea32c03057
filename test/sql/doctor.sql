-- smart.doctor(): each fault is planted, found, its remedy run as it stands, and gone.
LOAD 'smart_fhir';
\set VERBOSITY terse
SET client_min_messages = error;
CREATE SCHEMA dt;
CREATE ROLE regress_doctor_owner NOLOGIN BYPASSRLS;
CREATE ROLE regress_doctor_app LOGIN;
CREATE ROLE regress_doctor_group NOLOGIN;
SELECT format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()) \gexec
GRANT USAGE, CREATE ON SCHEMA dt TO regress_doctor_owner;
GRANT USAGE ON SCHEMA dt TO regress_doctor_app;
SET ROLE regress_doctor_owner;
CREATE TABLE dt.observation (id text PRIMARY KEY, resource jsonb NOT NULL);
INSERT INTO dt.observation SELECT 'o' || p, jsonb_build_object('resourceType', 'Observation', 'id', 'o' || p, 'subject', jsonb_build_object('reference', 'Patient/' || p)) FROM generate_series(1, 3) p;
CREATE TABLE dt.condition (id text PRIMARY KEY, resource jsonb NOT NULL);
SELECT smart.protect('dt.observation', 'Observation');
SELECT smart.protect('dt.condition', 'Condition');
GRANT SELECT, INSERT, UPDATE, DELETE ON dt.observation, dt.condition TO regress_doctor_app;
RESET ROLE;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

-- What the machine's own set-up adds (the release, its settings) is not this test's business.
CREATE FUNCTION dt.findings(worst_of text DEFAULT 'warning') RETURNS TABLE (severity text, code text, object text, remedy text) LANGUAGE sql AS $$
  SELECT d.severity, d.code, d.object, d.remedy FROM smart.doctor($1) d
  WHERE d.code NOT IN ('operator_granted', 'minor_release', 'preload_missing', 'tokens_logged', 'statements_keep_tokens', 'keys_unsealed', 'audit_key_missing', 'audit_lost', 'audit_weakened')
    AND d.object !~ 'regress_(?!doctor)' $$;
-- A sound set-up has nothing at warning.
SELECT * FROM dt.findings();

-- plant(what, expected code): the fault, what is found, the remedy, what is left of it.
CREATE FUNCTION dt.plant(code text, plant text[]) RETURNS TABLE (severity text, object text, remedy text, left_over bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE s text; f record;
BEGIN
  FOREACH s IN ARRAY plant LOOP EXECUTE s; END LOOP;
  FOR f IN SELECT d.severity, d.object, d.remedy FROM smart.doctor() d WHERE d.code = plant.code AND d.object !~ 'regress_(?!doctor)' LOOP
    EXECUTE f.remedy;
    severity := f.severity; object := replace(f.object, current_database(), 'DATABASE'); remedy := replace(replace(f.remedy, current_database(), 'DATABASE'), quote_ident(session_user), 'SUPERUSER');
    left_over := (SELECT count(*) FROM smart.doctor() d WHERE d.code = plant.code AND d.object = f.object);
    RETURN NEXT;
  END LOOP;
  IF NOT FOUND THEN object := 'NOT FOUND: ' || code; RETURN NEXT; END IF;
END $$;
SELECT p.* FROM dt.plant('owner_role', '{ALTER TABLE dt.condition OWNER TO regress_doctor_app}') p;
ALTER TABLE dt.condition OWNER TO regress_doctor_owner;
SELECT p.* FROM dt.plant('owner_role', '{GRANT regress_doctor_owner TO regress_doctor_app}') p;
SELECT p.* FROM dt.plant('owner_role', '{GRANT regress_doctor_group TO regress_doctor_app,GRANT regress_doctor_owner TO regress_doctor_group}') p;
SELECT p.* FROM dt.plant('bypassrls_role', '{ALTER ROLE regress_doctor_app BYPASSRLS}') p;
SELECT p.* FROM dt.plant('bypassrls_role', '{GRANT regress_doctor_group TO regress_doctor_app,ALTER ROLE regress_doctor_group BYPASSRLS}') p;
ALTER ROLE regress_doctor_group NOBYPASSRLS;
GRANT regress_doctor_group TO regress_doctor_app;
SELECT p.* FROM dt.plant('predefined_role', '{GRANT pg_read_all_data TO regress_doctor_group,GRANT pg_execute_server_program TO regress_doctor_app}') p;
SELECT p.* FROM dt.plant('owner_without_bypassrls', '{ALTER ROLE regress_doctor_owner NOBYPASSRLS}') p;
SELECT p.* FROM dt.plant('force_missing', '{ALTER TABLE dt.observation NO FORCE ROW LEVEL SECURITY}') p;
SELECT p.* FROM dt.plant('force_missing', '{ALTER TABLE dt.observation DISABLE ROW LEVEL SECURITY}') p;
SELECT p.* FROM dt.plant('policy_missing', '{DROP POLICY smart_delete ON dt.observation}') p;
SELECT p.* FROM dt.plant('policy_foreign', ARRAY['CREATE POLICY "all; of "" it" ON dt.observation USING (true)']) p;
SELECT p.* FROM dt.plant('index_missing', '{DROP INDEX dt.observation_smart_patients}') p;
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'dt.observation_smart_patients'::regclass;
SELECT p.severity, p.object, p.remedy FROM smart.doctor() p WHERE code = 'index_invalid';
REINDEX INDEX dt.observation_smart_patients;
SELECT count(*) FROM smart.doctor() p WHERE code = 'index_invalid';
SELECT p.* FROM dt.plant('fhir_table_unprotected', ARRAY['CREATE TABLE dt.raw (id text, resource jsonb)', $$INSERT INTO dt.raw VALUES ('1', '{"resourceType": "Condition", "id": "1"}')$$, 'GRANT SELECT ON dt.raw TO regress_doctor_app']) p;
SELECT p.* FROM dt.plant('fhir_table_unprotected', ARRAY['CREATE TABLE dt.observation_history (n int, body text)', $$INSERT INTO dt.observation_history VALUES (1, 'no JSON'), (2, '{"resourceType": "Observation"}')$$, 'GRANT SELECT (body) ON dt.observation_history TO PUBLIC']) p;
DROP TABLE dt.raw, dt.observation_history;
SELECT p.* FROM dt.plant('child_unprotected', '{CREATE TABLE dt.child () INHERITS (dt.observation),GRANT SELECT ON dt.child TO regress_doctor_group}') p;
DROP TABLE dt.child;
SELECT p.* FROM dt.plant('view_definer', '{CREATE VIEW dt.inner_view AS SELECT * FROM dt.observation,CREATE VIEW dt.shown AS SELECT id FROM dt.inner_view,GRANT SELECT ON dt.shown TO regress_doctor_app}') p;
SELECT p.* FROM dt.plant('materialized_view', '{CREATE MATERIALIZED VIEW dt.kept AS SELECT * FROM dt.observation,GRANT SELECT ON dt.kept TO regress_doctor_app}') p;
DROP MATERIALIZED VIEW dt.kept; DROP VIEW dt.shown, dt.inner_view;
SELECT p.* FROM dt.plant('function_definer', ARRAY['CREATE FUNCTION dt.reads(int[], text) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS ''SELECT count(*) FROM dt.observation''']) p;
SELECT p.* FROM dt.plant('function_definer', ARRAY['CREATE FUNCTION dt.reads2() RETURNS bigint SECURITY DEFINER RETURN (SELECT count(*) FROM dt.observation)']) p;
DROP FUNCTION dt.reads, dt.reads2;
SELECT p.* FROM dt.plant('trigger_copies', ARRAY['CREATE TABLE dt.copy_of (id text)', 'GRANT SELECT ON dt.copy_of TO regress_doctor_app',
  'CREATE FUNCTION dt.copies() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN INSERT INTO dt.copy_of VALUES (NEW.id); RETURN NEW; END''',
  'CREATE TRIGGER copies BEFORE INSERT ON dt.observation FOR EACH ROW EXECUTE FUNCTION dt.copies()']) p;
DROP TRIGGER copies ON dt.observation; DROP TABLE dt.copy_of;
SELECT p.* FROM dt.plant('truncate_granted', '{GRANT TRUNCATE ON dt.observation TO regress_doctor_app}') p;
SELECT p.* FROM dt.plant('references_granted', '{GRANT REFERENCES (id) ON dt.observation TO PUBLIC}') p;
SELECT p.* FROM dt.plant('trigger_granted', '{GRANT TRIGGER ON dt.observation TO regress_doctor_group}') p;
SELECT p.* FROM dt.plant('cascade_across', '{ALTER TABLE dt.condition ADD COLUMN about text,ALTER TABLE dt.condition ADD CONSTRAINT about_fk FOREIGN KEY (about) REFERENCES dt.observation (id) ON DELETE CASCADE}') p;
SELECT p.* FROM dt.plant('unique_tells', ARRAY['CREATE UNIQUE INDEX tells ON dt.observation ((resource ->> ''identifier''))']) p;
SELECT p.* FROM dt.plant('unique_tells', ARRAY['ALTER TABLE dt.condition ADD CONSTRAINT one_about UNIQUE (about)']) p;
CREATE TABLE dt.mapping (id text, patient text);
CREATE TABLE dt.task (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE FUNCTION dt.patient_of(key text) RETURNS text LANGUAGE sql STABLE AS $$ SELECT patient FROM dt.mapping WHERE id = key $$;
SELECT smart.protect('dt.task', 'Task', patients => 'dt.patient_of(id)', index => false) IS NOT NULL AS statements;
SELECT p.* FROM dt.plant('function_path', ARRAY['ALTER FUNCTION dt.patient_of(text) SET search_path = dt, "$user"']) p;
SELECT p.* FROM dt.plant('function_path', ARRAY['ALTER FUNCTION dt.patient_of(text) SET search_path = pg_temp, dt']) p;
ALTER FUNCTION dt.patient_of(text) SET search_path = 'dt; DROP TABLE dt.mapping';
SELECT d.object, d.remedy FROM smart.doctor() d WHERE code = 'function_path' AND object ~ '^dt';
DROP TABLE dt.task, dt.mapping;
DROP FUNCTION dt.patient_of;
SELECT p.* FROM dt.plant('temp_granted', ARRAY[format('GRANT TEMPORARY ON DATABASE %I TO regress_doctor_group', current_database())]) p;
SELECT p.* FROM dt.plant('schema_create', '{GRANT CREATE ON SCHEMA public TO regress_doctor_app}') p;
SELECT p.* FROM dt.plant('schema_create', ARRAY[format('ALTER ROLE regress_doctor_app IN DATABASE %I SET search_path = "dt", pg_catalog', current_database()), 'GRANT CREATE ON SCHEMA dt TO regress_doctor_group']) p;
SELECT p.* FROM dt.plant('duty_mixed', '{GRANT EXECUTE ON FUNCTION smart.assume TO regress_doctor_app}') p;
BEGIN;
REVOKE ALL ON FUNCTION smart_internal.jsonb_contains FROM PUBLIC;
SELECT p.* FROM dt.plant('operator_granted', '{GRANT EXECUTE ON FUNCTION smart_internal.jsonb_contains TO regress_doctor_app}') p;
ROLLBACK;
SELECT p.* FROM dt.plant('parameter_granted', '{GRANT SET ON PARAMETER smart_fhir.compartment TO regress_doctor_app}') p;
SELECT p.* FROM dt.plant('publication', '{CREATE PUBLICATION regress_doctor_pub FOR TABLE dt.observation}') p;
SELECT p.* FROM dt.plant('publication', '{DROP PUBLICATION regress_doctor_pub,CREATE PUBLICATION regress_doctor_pub FOR ALL TABLES}') p;
SELECT p.* FROM dt.plant('event_trigger_off', '{ALTER EVENT TRIGGER smart_fhir_partitions DISABLE}') p;

-- Two issuers for one server; weak keys, put there by plain DML.
SELECT smart.add_issuer('https://a.example', '{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}', '{https://fhir.example}');
SELECT smart.add_issuer('https://b.example', '{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}', '{https://fhir.example}', levels => '{user,patient}');
UPDATE smart.issuer SET jwks = '{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}' WHERE issuer = 'https://b.example';
SELECT severity, code, object, problem FROM smart.doctor() WHERE code IN ('audience_shared', 'key_weak');
SELECT smart.add_issuer('https://b.example', '{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}', '{https://fhir.example}', levels => '{user}');
SELECT smart.add_issuer('https://a.example', '{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}', '{https://fhir.example}', levels => '{patient}');
SELECT count(*) FROM smart.doctor() WHERE code IN ('audience_shared', 'key_weak');
SELECT smart.drop_issuer('https://a.example'), smart.drop_issuer('https://b.example');

-- Hostile names: shown so that a terminal shows what is there, quoted in a remedy that runs, or a sentence.
CREATE TABLE dt."x""; DROP TABLE dt.observation; --" (id text, resource jsonb);
INSERT INTO dt."x""; DROP TABLE dt.observation; --" VALUES ('1', '{"resourceType": "Observation", "id": "1"}');
GRANT SELECT ON dt."x""; DROP TABLE dt.observation; --" TO regress_doctor_app;
SELECT p.* FROM dt.plant('fhir_table_unprotected', '{}') p;
DROP TABLE dt."x""; DROP TABLE dt.observation; --";
CREATE TABLE dt.U&"a\202Eb\000Ac\+01F600" (id text, resource jsonb);
INSERT INTO dt.U&"a\202Eb\000Ac\+01F600" VALUES ('1', '{"resourceType": "Observation", "id": "1"}');
GRANT SELECT ON dt.U&"a\202Eb\000Ac\+01F600" TO regress_doctor_app;
SELECT object, remedy FROM smart.doctor() WHERE code = 'fhir_table_unprotected';
DROP TABLE dt.U&"a\202Eb\000Ac\+01F600";

-- What an ordinary role wrote is not run: a sentence where protect() would.
CREATE ROLE regress_doctor_maker LOGIN;
GRANT CREATE, USAGE ON SCHEMA dt TO regress_doctor_maker;
SET ROLE regress_doctor_maker;
CREATE FUNCTION dt.boom(jsonb) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'run as %', current_user; END $$;
CREATE TABLE dt.trap (id text, resource jsonb);
CREATE INDEX ON dt.trap (dt.boom(resource));
ALTER TABLE dt.trap ENABLE ROW LEVEL SECURITY;
CREATE POLICY smart_select ON dt.trap FOR SELECT USING (smart_internal.row_policy('SELECT', dt.boom('{}'), resource, dt.boom('{}'), id, dt.boom('{}')::jsonb));
GRANT SELECT ON dt.trap TO regress_doctor_app;
RESET ROLE;
SELECT code, object, remedy FROM smart.doctor() WHERE object = 'dt.trap' ORDER BY code COLLATE "C";
-- nor does anybody's lock hold it up
SELECT severity FROM smart.doctor('nonsense');
\echo :LAST_ERROR_SQLSTATE
SELECT severity FROM smart.doctor(NULL);
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_doctor_app;
SELECT * FROM smart.doctor();
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SELECT * FROM dt.findings() WHERE object <> 'dt.trap';

SET client_min_messages = error;
DROP SCHEMA dt CASCADE;
SELECT format('GRANT TEMPORARY ON DATABASE %I TO PUBLIC', current_database()) \gexec
DROP OWNED BY regress_doctor_app, regress_doctor_owner, regress_doctor_maker, regress_doctor_group;
DROP ROLE regress_doctor_app, regress_doctor_owner, regress_doctor_maker, regress_doctor_group;
