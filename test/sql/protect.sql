-- smart.protect(): every option and layout. What row-level security shows is compared with smart.permits_row() each time.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE regress_smart_app;
CREATE ROLE regress_smart_owner;
CREATE SCHEMA pt AUTHORIZATION regress_smart_owner;
GRANT USAGE ON SCHEMA pt TO regress_smart_app;
SELECT smart.add_issuer('https://protect.example',
	'{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}',
	'{https://fhir.example/r4,https://other.example/r4}');

-- What a session with these claims sees of a table, by its key; "differs" where permits_row() does not agree.
CREATE FUNCTION pt.sees(relation regclass, patient text, scope text DEFAULT 'patient/*.cruds', key text DEFAULT 'id',
	aud text DEFAULT 'https://fhir.example/r4') RETURNS text LANGUAGE plpgsql SET client_min_messages = error AS $$
DECLARE
	by_policy text;
	by_permits text;
BEGIN
	PERFORM smart.assume(jsonb_strip_nulls(jsonb_build_object('scope', scope, 'patient', patient, 'aud', aud)), 'https://protect.example');
	EXECUTE format('SELECT coalesce(string_agg((%s)::text, '' '' ORDER BY (%1$s)::text COLLATE "C"), ''-'') FROM %s AS t
		WHERE smart.permits_row(t, ''r'') AND smart.permits_row(t, ''s'')', key, relation) INTO by_permits;
	PERFORM set_config('role', 'regress_smart_app', true);
	EXECUTE format('SELECT coalesce(string_agg((%s)::text, '' '' ORDER BY (%1$s)::text COLLATE "C"), ''-'') FROM %s', key, relation) INTO by_policy;
	PERFORM set_config('role', 'none', true);
	PERFORM smart.logout();
	RETURN by_policy || CASE WHEN by_policy IS DISTINCT FROM by_permits THEN ' differs from permits_row(): ' || by_permits ELSE '' END;
END $$;

-- What a statement does under such a session; nothing of it stays.
CREATE FUNCTION pt.tries(statement text, patient text, scope text DEFAULT 'patient/*.cruds', interaction text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql SET client_min_messages = error AS $$
DECLARE
	n bigint;
BEGIN
	PERFORM smart.assume(jsonb_build_object('scope', scope, 'patient', patient, 'aud', 'https://fhir.example/r4'), 'https://protect.example',
		interaction => interaction);
	PERFORM set_config('role', 'regress_smart_app', true);
	EXECUTE statement;
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE SQLSTATE 'P0999' USING MESSAGE = n || ' row';
EXCEPTION WHEN SQLSTATE 'P0999' THEN
	RETURN sqlerrm;
WHEN OTHERS THEN
	RETURN sqlstate || ' ' || sqlerrm;
END $$;

-- Policies, triggers, flags and indexes of the tables of schema pt, as text.
CREATE VIEW pt.catalog AS
	SELECT c.oid::regclass::text AS relation, c.relrowsecurity::text || c.relforcerowsecurity AS what FROM pg_class AS c WHERE c.relnamespace = 'pt'::regnamespace AND c.relkind IN ('r', 'p')
	UNION ALL SELECT p.polrelid::regclass::text, concat_ws('|', p.polname, p.polcmd, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)) FROM pg_policy AS p
	UNION ALL SELECT t.tgrelid::regclass::text, pg_get_triggerdef(t.oid) || t.tgenabled::text FROM pg_trigger AS t WHERE NOT t.tgisinternal AND t.tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'pt'::regnamespace)
	UNION ALL SELECT i.indrelid::regclass::text, pg_get_indexdef(i.indexrelid) || i.indisvalid FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid WHERE c.relnamespace = 'pt'::regnamespace;
ALTER VIEW pt.catalog OWNER TO regress_smart_owner;

CREATE FUNCTION pt.observation(id text, patient text, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT jsonb_build_object('resourceType', 'Observation', 'id', id, 'subject', jsonb_build_object('reference', 'Patient/' || patient)) || more $$;

-- ---------------------------------------------------------------------------
-- resource: jsonb, json, text, expression
-- ---------------------------------------------------------------------------
SET ROLE regress_smart_owner;
CREATE TABLE pt.plain (id text PRIMARY KEY, resource jsonb);
INSERT INTO pt.plain SELECT i::text, pt.observation(i::text, (i % 3)::text) FROM generate_series(1, 6) AS i;
INSERT INTO pt.plain VALUES ('null', NULL), ('scalar', '5'), ('array', '[]'), ('empty', '{}'), ('other', '{"resourceType": "Condition", "id": "other", "subject": {"reference": "Patient/1"}}');
SELECT smart.protect('pt.plain', 'Observation');
CREATE TABLE pt.as_json (id text PRIMARY KEY, resource json);
RESET ROLE;
INSERT INTO pt.as_json SELECT id, resource::json FROM pt.plain;
SET ROLE regress_smart_owner;
SELECT smart.protect('pt.as_json', 'Observation');
-- a text column: empty and what is no JSON is no resource, and no error
CREATE TABLE pt.as_text (id text PRIMARY KEY, content text NOT NULL);
INSERT INTO pt.as_text SELECT i::text, pt.observation(i::text, (i % 3)::text)::text FROM generate_series(1, 6) AS i;
INSERT INTO pt.as_text VALUES ('7', ''), ('8', 'deleted'), ('9', '{"resourceType": "Observation"'), ('91', 'null');
SELECT smart.protect('pt.as_text', 'Observation', resource => 'content');
-- an expression
CREATE TABLE pt.inner_resource (id text PRIMARY KEY, data jsonb);
INSERT INTO pt.inner_resource SELECT i::text, jsonb_build_object('v', jsonb_build_object('r', pt.observation(i::text, (i % 3)::text))) FROM generate_series(1, 6) AS i;
SELECT smart.protect('pt.inner_resource', 'Observation', resource => $$data -> 'v' -> 'r'$$);
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pt TO regress_smart_app;
RESET ROLE;
SELECT pt.sees('pt.plain', '1'), pt.sees('pt.plain', '2'), pt.sees('pt.plain', NULL), pt.sees('pt.plain', NULL, 'system/*.rs') AS all;
SELECT pt.sees('pt.as_json', '1'), pt.sees('pt.as_json', NULL, 'system/*.rs') AS all;
SELECT pt.sees('pt.as_text', '1'), pt.sees('pt.as_text', NULL, 'system/*.rs') AS all;
SELECT pt.sees('pt.inner_resource', '1'), pt.sees('pt.inner_resource', NULL, 'system/*.rs') AS all;
-- what is no resource is never written, not under system/ either
SELECT pt.tries($$INSERT INTO pt.as_text VALUES ('x', '')$$, '1', 'system/*.cruds'),
	pt.tries($$UPDATE pt.as_text SET content = '' WHERE id = '1'$$, '1', 'system/*.cruds'),
	pt.tries($$INSERT INTO pt.as_text SELECT 'x', pt.observation('x', '1')::text$$, '1');
-- permits() with the relation knows the table's type
BEGIN;
SELECT smart.assume('{"scope": "patient/*.rs", "patient": "1"}', 'https://protect.example') \g /dev/null
SELECT smart.permits(pt.observation('1', '1'), 'r', 'pt.plain') AS own, smart.permits(pt.observation('1', '2'), 'r', 'pt.plain') AS another,
	smart.permits('{"resourceType": "Condition", "subject": {"reference": "Patient/1"}}', 'r', 'pt.plain') AS type_of_another_table,
	smart.permits('{"resourceType": "Condition", "subject": {"reference": "Patient/1"}}', 'r') AS no_table,
	smart.permits('{"subject": {"reference": "Patient/1"}}', 'r', 'pt.plain') AS no_type;
ROLLBACK;

-- ---------------------------------------------------------------------------
-- Resources stored without resourceType and id, as Aidbox does
-- ---------------------------------------------------------------------------
SET ROLE regress_smart_owner;
CREATE TABLE pt.aidbox_patient (id text PRIMARY KEY, resource_type text DEFAULT 'Patient', resource jsonb NOT NULL);
INSERT INTO pt.aidbox_patient VALUES ('1', 'Patient', '{"gender": "female"}'), ('2', 'Patient', '{}'), ('3', NULL, '{}');
SELECT smart.protect('pt.aidbox_patient', 'Patient');
CREATE TABLE pt.aidbox_observation (id text PRIMARY KEY, resource_type text DEFAULT 'Observation', resource jsonb NOT NULL);
INSERT INTO pt.aidbox_observation VALUES ('a', 'Observation', '{"subject": {"id": "1", "resourceType": "Patient"}}'),
	('b', 'Observation', '{"subject": {"id": "2", "resourceType": "Patient"}}'), ('c', 'Condition', '{"subject": {"id": "1", "resourceType": "Patient"}}'), ('d', NULL, '{"subject": {"id": "1", "resourceType": "Patient"}}');
SELECT smart.protect('pt.aidbox_observation', type => 'resource_type', shared => false);
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pt TO regress_smart_app;
RESET ROLE;
SELECT pt.sees('pt.aidbox_patient', '1'), pt.sees('pt.aidbox_patient', '2'), pt.sees('pt.aidbox_patient', NULL, 'system/Patient.rs') AS all;
SELECT pt.sees('pt.aidbox_observation', '1'), pt.sees('pt.aidbox_observation', '1', 'patient/Observation.rs') AS observations, pt.sees('pt.aidbox_observation', NULL, 'system/*.rs') AS all;
SELECT pt.tries($$UPDATE pt.aidbox_observation SET resource = resource || '{"status": "final"}' WHERE id IN ('a', 'b')$$, '1') AS own,
	pt.tries($$UPDATE pt.aidbox_observation SET resource = '{"subject": {"id": "2", "resourceType": "Patient"}}' WHERE id = 'a'$$, '1') AS moved;

-- ---------------------------------------------------------------------------
-- patients: text, text[], uuid, uuid[]
-- ---------------------------------------------------------------------------
SET ROLE regress_smart_owner;
CREATE TABLE pt.key_text (id text PRIMARY KEY, resource jsonb, patient text);
INSERT INTO pt.key_text VALUES ('1', pt.observation('1', '1'), 'Patient/1'), ('2', pt.observation('2', '1'), '1'), ('3', pt.observation('3', '1'), 'Patient/2'),
	('4', pt.observation('4', '1'), NULL), ('5', pt.observation('5', '1'), 'Group/1'), ('6', pt.observation('6', '1'), 'https://x.example/Patient/1'), ('7', pt.observation('7', '2'), 'Patient/1');
SELECT smart.protect('pt.key_text', 'Observation', patients => 'patient');
CREATE TABLE pt.key_texts (id text PRIMARY KEY, resource jsonb, patients text[]);
INSERT INTO pt.key_texts VALUES ('1', pt.observation('1', '1'), '{Patient/1}'), ('2', pt.observation('2', '1'), '{2,1}'), ('3', pt.observation('3', '1'), '{}'), ('4', pt.observation('4', '1'), NULL), ('5', pt.observation('5', '1'), '{NULL,Patient/2}');
SELECT smart.protect('pt.key_texts', 'Observation', patients => 'patients');
CREATE TABLE pt.key_uuid (id text PRIMARY KEY, resource jsonb, patient uuid);
INSERT INTO pt.key_uuid VALUES ('1', pt.observation('1', 'aaaaaaaa-0000-4000-8000-000000000001'), 'AAAAAAAA-0000-4000-8000-000000000001'), ('2', pt.observation('2', 'aaaaaaaa-0000-4000-8000-000000000002'), 'AAAAAAAA-0000-4000-8000-000000000002'), ('3', pt.observation('3', '1'), NULL);
SELECT smart.protect('pt.key_uuid', 'Observation', patients => 'patient');
-- Medplum's layout: text content, compartments with the project in them, deleted rows stay with empty content
CREATE TABLE pt."Observation" (id uuid PRIMARY KEY, content text NOT NULL, deleted boolean NOT NULL DEFAULT false, "projectId" uuid NOT NULL, compartments uuid[] NOT NULL);
INSERT INTO pt."Observation" SELECT ('00000000-0000-4000-8000-00000000000' || i)::uuid, pt.observation('00000000-0000-4000-8000-00000000000' || i, 'aaaaaaaa-0000-4000-8000-00000000000' || i)::text, false, 'cccccccc-0000-4000-8000-000000000000',
	ARRAY['cccccccc-0000-4000-8000-000000000000', 'aaaaaaaa-0000-4000-8000-00000000000' || i]::uuid[] FROM generate_series(1, 3) AS i;
UPDATE pt."Observation" SET content = '', deleted = true WHERE id = '00000000-0000-4000-8000-000000000003';
SELECT smart.protect('pt."Observation"', 'Observation', resource => 'content', patients => 'array_remove(compartments, "projectId")');
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pt TO regress_smart_app;
RESET ROLE;
SELECT pt.sees('pt.key_text', '1'), pt.sees('pt.key_text', '2'), pt.sees('pt.key_text', NULL, 'system/*.rs') AS all;
SELECT pt.sees('pt.key_texts', '1'), pt.sees('pt.key_texts', '2'), pt.sees('pt.key_texts', NULL, 'system/*.rs') AS all;
SELECT pt.sees('pt.key_uuid', 'aaaaaaaa-0000-4000-8000-000000000001') AS lower, pt.sees('pt.key_uuid', 'AAAAAAAA-0000-4000-8000-000000000001') AS upper,
	pt.sees('pt.key_uuid', '1') AS no_uuid, pt.sees('pt.key_uuid', 'aaaaaaaa00004000800000000000001') AS without_hyphens;
SELECT pt.sees('pt."Observation"', 'aaaaaaaa-0000-4000-8000-000000000001', key => 'right(id::text, 1)'), pt.sees('pt."Observation"', 'aaaaaaaa-0000-4000-8000-000000000003', key => 'right(id::text, 1)') AS deleted,
	pt.sees('pt."Observation"', 'cccccccc-0000-4000-8000-000000000000', key => 'right(id::text, 1)') AS project;
-- a write needs the subject and the column: 7 has another subject, 3 another column
SELECT pt.tries($$UPDATE pt.key_text SET resource = resource || '{"status": "final"}' WHERE id = '1'$$, '1') AS both,
	pt.tries($$UPDATE pt.key_text SET resource = resource || '{"status": "final"}' WHERE id = '7'$$, '1') AS other_subject,
	pt.tries($$DELETE FROM pt.key_text WHERE id = '7'$$, '1') AS deletes_other_subject,
	pt.tries($$UPDATE pt.key_text SET patient = '2' WHERE id = '1'$$, '1') AS moves_column;
SELECT pt.tries($$INSERT INTO pt.key_text VALUES ('x', pt.observation('x', '1'), '1')$$, '1') AS both,
	pt.tries($$INSERT INTO pt.key_text VALUES ('x', pt.observation('x', '2'), '1')$$, '1') AS other_subject,
	pt.tries($$INSERT INTO pt.key_text VALUES ('x', pt.observation('x', '1'), NULL)$$, '1') AS no_column,
	pt.tries($$INSERT INTO pt.key_texts VALUES ('x', pt.observation('x', '1'), '{1,2}')$$, '1') AS one_of_the_column;
SELECT pt.tries($$INSERT INTO pt."Observation" SELECT gen_random_uuid(), pt.observation('x', 'aaaaaaaa-0000-4000-8000-000000000001')::text, false, 'cccccccc-0000-4000-8000-000000000000', '{cccccccc-0000-4000-8000-000000000000,aaaaaaaa-0000-4000-8000-000000000001}'$$, 'aaaaaaaa-0000-4000-8000-000000000001') AS both,
	pt.tries($$INSERT INTO pt."Observation" SELECT gen_random_uuid(), pt.observation('x', 'aaaaaaaa-0000-4000-8000-000000000001')::text, false, 'cccccccc-0000-4000-8000-000000000000', '{cccccccc-0000-4000-8000-000000000000}'$$, 'aaaaaaaa-0000-4000-8000-000000000001') AS no_column;
-- varchar and domains use the index as text does
SET ROLE regress_smart_owner;
CREATE DOMAIN pt.patient_id AS varchar(64);
CREATE TABLE pt.key_varchar (id text PRIMARY KEY, resource jsonb, patient varchar(64), by_domain pt.patient_id, patients varchar[]);
INSERT INTO pt.key_varchar SELECT i::text, pt.observation(i::text, (i % 3)::text), (i % 3)::text, 'Patient/' || i % 3, ARRAY['x', (i % 3)::text] FROM generate_series(1, 6) AS i;
GRANT SELECT ON pt.key_varchar TO regress_smart_app;
CREATE FUNCTION pt.index_used() RETURNS text LANGUAGE plpgsql SET client_min_messages = error AS $$
DECLARE
	line text;
BEGIN
	SET LOCAL enable_seqscan = off;
	PERFORM smart.assume('{"scope": "patient/*.rs", "patient": "1"}', 'https://protect.example');
	PERFORM set_config('role', 'regress_smart_app', true);
	FOR line IN EXPLAIN (COSTS OFF) SELECT * FROM pt.key_varchar LOOP
		EXIT WHEN line ~ 'Index Cond';
	END LOOP;
	PERFORM set_config('role', 'none', true);
	RETURN regexp_replace(line, '\(''SELECT''.*\)\)', '(..))');
END $$;
SELECT smart.protect('pt.key_varchar', 'Observation', patients => 'patient');
RESET ROLE;
SELECT pt.sees('pt.key_varchar', '1'), pt.index_used();
SET ROLE regress_smart_owner;
SELECT smart.protect('pt.key_varchar', 'Observation', patients => 'by_domain');
RESET ROLE;
SELECT pt.sees('pt.key_varchar', '1'), pt.index_used();
SET ROLE regress_smart_owner;
SELECT smart.protect('pt.key_varchar', 'Observation', patients => 'patients');
RESET ROLE;
SELECT pt.sees('pt.key_varchar', '1'), pt.index_used();
SELECT columns ->> 'patients' AS patients, index, state FROM smart.protected_table WHERE relation = 'pt.key_varchar'::regclass;
-- a type outside the compartment, by its column
SET ROLE regress_smart_owner;
CREATE TABLE pt.device (id text PRIMARY KEY, resource jsonb, patient text);
INSERT INTO pt.device VALUES ('1', '{"resourceType": "Device", "id": "1"}', '1'), ('2', '{"resourceType": "Device", "id": "2"}', '2');
SELECT smart.protect('pt.device', 'Device', patients => 'patient');
GRANT SELECT, INSERT, UPDATE, DELETE ON pt.device TO regress_smart_app;
RESET ROLE;
SELECT pt.sees('pt.device', '1'), pt.tries($$DELETE FROM pt.device$$, '1');

-- ---------------------------------------------------------------------------
-- shared, compartment, fhir_version, base_url
-- ---------------------------------------------------------------------------
SET ROLE regress_smart_owner;
CREATE TABLE pt.organization (id text PRIMARY KEY, resource jsonb);
INSERT INTO pt.organization VALUES ('1', '{"resourceType": "Organization", "id": "1"}');
CREATE TABLE pt.questionnaire (id text PRIMARY KEY, resource jsonb);
INSERT INTO pt.questionnaire VALUES ('1', '{"resourceType": "Questionnaire", "id": "1"}');
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pt TO regress_smart_app;
SELECT smart.protect('pt.organization', 'Organization'), smart.protect('pt.questionnaire', 'Questionnaire');
RESET ROLE;
SELECT pt.sees('pt.organization', '1') AS shared, pt.sees('pt.organization', NULL) AS nobody, pt.sees('pt.questionnaire', '1') AS not_shared, pt.tries('DELETE FROM pt.organization', '1') AS writes;
SET ROLE regress_smart_owner;
SELECT smart.protect('pt.organization', 'Organization', shared => false), smart.protect('pt.questionnaire', 'Questionnaire', shared => true);
RESET ROLE;
SELECT pt.sees('pt.organization', '1') AS not_shared, pt.sees('pt.questionnaire', '1') AS shared;
-- full: the performer too, for reads; writes go by the subject
SET ROLE regress_smart_owner;
CREATE TABLE pt.performed (id text PRIMARY KEY, resource jsonb);
INSERT INTO pt.performed VALUES ('1', pt.observation('1', '1')), ('2', pt.observation('2', '2', '{"performer": [{"reference": "Patient/1"}]}')), ('3', pt.observation('3', '2'));
GRANT SELECT, INSERT, UPDATE, DELETE ON pt.performed TO regress_smart_app;
SELECT smart.protect('pt.performed', 'Observation');
RESET ROLE;
SELECT pt.sees('pt.performed', '1') AS subject;
SET ROLE regress_smart_owner;
SELECT smart.protect('pt.performed', 'Observation', compartment => 'full');
RESET ROLE;
SELECT pt.sees('pt.performed', '1') AS "full", pt.tries($$UPDATE pt.performed SET resource = resource$$, '1') AS updates, pt.tries($$DELETE FROM pt.performed$$, '1') AS deletes;
SELECT relation, index, state FROM smart.protected_table WHERE relation = 'pt.performed'::regclass;
-- a type that R5 has and R4 has not
SET ROLE regress_smart_owner;
CREATE TABLE pt.intake (id text PRIMARY KEY, resource jsonb);
INSERT INTO pt.intake VALUES ('1', '{"resourceType": "NutritionIntake", "id": "1", "subject": {"reference": "Patient/1"}}'), ('2', '{"resourceType": "NutritionIntake", "id": "2", "subject": {"reference": "Patient/2"}}');
GRANT SELECT ON pt.intake TO regress_smart_app;
SELECT smart.protect('pt.intake', 'NutritionIntake');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.protect('pt.intake', 'NutritionIntake', fhir_version => 'R5');
SELECT smart.protect('pt.performed', 'Observation', fhir_version => 'R4B');
RESET ROLE;
SELECT pt.sees('pt.intake', '1'), pt.sees('pt.intake', '2', 'patient/NutritionIntake.rs'), pt.sees('pt.performed', '1') AS r4b;
-- base_url: only tokens for it, and its absolute references are local
SET ROLE regress_smart_owner;
CREATE TABLE pt.based (id text PRIMARY KEY, resource jsonb);
INSERT INTO pt.based VALUES ('1', pt.observation('1', '1')), ('2', pt.observation('2', '1', '{"subject": {"reference": "https://fhir.example/r4/Patient/1"}}')),
	('3', pt.observation('3', '1', '{"subject": {"reference": "https://other.example/r4/Patient/1"}}'));
GRANT SELECT, INSERT, UPDATE, DELETE ON pt.based TO regress_smart_app;
SELECT smart.protect('pt.based', 'Observation', base_url => 'https://fhir.example/r4/');
RESET ROLE;
SELECT pt.sees('pt.based', '1'), pt.sees('pt.based', '1', aud => 'https://other.example/r4') AS other_base, pt.sees('pt.based', NULL, 'system/*.rs', aud => 'https://other.example/r4') AS other_system;

-- ---------------------------------------------------------------------------
-- Names and expressions with quotes, percent signs, backslashes, blanks
-- ---------------------------------------------------------------------------
SET ROLE regress_smart_owner;
CREATE TABLE pt."Odd ""%s"" \table" ("Id %L" text PRIMARY KEY, "re""source %I\" jsonb, "pa't%ient" text);
INSERT INTO pt."Odd ""%s"" \table" VALUES ('1', pt.observation('1', '1'), '1'), ('2', pt.observation('2', '2'), '2');
GRANT SELECT, INSERT, UPDATE, DELETE ON pt."Odd ""%s"" \table" TO regress_smart_app;
SELECT smart.protect('pt."Odd ""%s"" \table"', 'Observation', resource => 're"source %I\', id => 'Id %L');
RESET ROLE;
SELECT pt.sees('pt."Odd ""%s"" \table"', '1', key => '"Id %L"');
SET ROLE regress_smart_owner;
SELECT smart.protect('pt."Odd ""%s"" \table"', 'Observation', resource => 're"source %I\', patients => 'pa''t%ient', id => 'Id %L');
RESET ROLE;
SELECT pt.sees('pt."Odd ""%s"" \table"', '2', key => '"Id %L"');
SET ROLE regress_smart_owner;
SELECT smart.protect('pt."Odd ""%s"" \table"', 'Observation', resource => $$"re""source %I\" || jsonb_build_object('%s', E'\\%L''')$$, patients => $$replace("pa't%ient", '%\', '')$$, id => 'Id %L');
RESET ROLE;
SELECT pt.sees('pt."Odd ""%s"" \table"', '2', key => '"Id %L"');
SELECT resource_type, columns, index, state FROM smart.protected_table WHERE relation = 'pt."Odd ""%s"" \table"'::regclass;
-- long names: the index gets a name of its own
SET ROLE regress_smart_owner;
CREATE TABLE pt.a_table_whose_name_is_so_long_that_nothing_fits_behind_it_one (id text PRIMARY KEY, resource jsonb);
CREATE TABLE pt.a_table_whose_name_is_so_long_that_nothing_fits_behind_it_two (id text PRIMARY KEY, resource jsonb);
CREATE TABLE pt."ééééééééééééééééééééééééééééééé" (id text PRIMARY KEY, resource jsonb);
SELECT smart.protect('pt.a_table_whose_name_is_so_long_that_nothing_fits_behind_it_one', 'Observation'), smart.protect('pt.a_table_whose_name_is_so_long_that_nothing_fits_behind_it_two', 'Observation'),
	smart.protect('pt."ééééééééééééééééééééééééééééééé"', 'Observation');
SELECT index, state FROM smart.protected_table WHERE relation::text ~ 'a_table_whose|é' ORDER BY index::text COLLATE "C";
RESET ROLE;

-- ---------------------------------------------------------------------------
-- The same again changes nothing; unprotect() takes everything away
-- ---------------------------------------------------------------------------
CREATE TEMP TABLE before AS SELECT * FROM pt.catalog;
SET ROLE regress_smart_owner;
SELECT smart.protect('pt.plain', 'Observation'), smart.protect('pt.as_text', 'Observation', resource => 'content'), smart.protect('pt.inner_resource', 'Observation', resource => $$data -> 'v' -> 'r'$$),
	smart.protect('pt.key_text', 'Observation', patients => 'patient'), smart.protect('pt."Observation"', 'Observation', resource => 'content', patients => 'array_remove(compartments, "projectId")'),
	smart.protect('pt."Odd ""%s"" \table"', 'Observation', resource => $$"re""source %I\" || jsonb_build_object('%s', E'\\%L''')$$, patients => $$replace("pa't%ient", '%\', '')$$, id => 'Id %L'),
	smart.protect('pt.a_table_whose_name_is_so_long_that_nothing_fits_behind_it_two', 'Observation');
RESET ROLE;
(TABLE before EXCEPT TABLE pt.catalog) UNION ALL (TABLE pt.catalog EXCEPT TABLE before);
SET ROLE regress_smart_owner;
CREATE TABLE pt.come_and_go (id text PRIMARY KEY, resource jsonb);
RESET ROLE;
CREATE TEMP TABLE before_come AS SELECT * FROM pt.catalog;
SET ROLE regress_smart_owner;
SELECT smart.protect('pt.come_and_go', 'Observation');
SELECT smart.unprotect('pt.come_and_go');
RESET ROLE;
(TABLE before_come EXCEPT TABLE pt.catalog) UNION ALL (TABLE pt.catalog EXCEPT TABLE before_come);
-- a policy of somebody else keeps row-level security on
SET ROLE regress_smart_owner;
CREATE POLICY mine ON pt.come_and_go AS RESTRICTIVE USING (true);
SELECT smart.protect('pt.come_and_go', 'Observation');
SELECT smart.unprotect('pt.come_and_go');
SELECT relrowsecurity FROM pg_class WHERE oid = 'pt.come_and_go'::regclass;
SELECT smart.unprotect('pt.come_and_go');
\echo :LAST_ERROR_SQLSTATE

-- index => false returns the statement; an index of one's own counts
SELECT smart.protect('pt.come_and_go', 'Observation', index => false);
SELECT index FROM smart.protected_table WHERE relation = 'pt.come_and_go'::regclass;
CREATE INDEX own_index ON pt.key_text (patient, id);
DROP INDEX pt.key_text_smart_patients;
SELECT smart.protect('pt.key_text', 'Observation', patients => 'patient', index => false) IS NULL AS nothing_to_do;
SELECT index FROM smart.protected_table WHERE relation = 'pt.key_text'::regclass;

-- ---------------------------------------------------------------------------
-- Refusals
-- ---------------------------------------------------------------------------
CREATE VIEW pt.a_view AS SELECT id, resource FROM pt.plain;
RESET ROLE;
SET ROLE regress_smart_app;
SELECT smart.protect('pt.plain', 'Observation');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.unprotect('pt.plain');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
SET ROLE regress_smart_owner;
SELECT smart.protect(NULL, 'Observation');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.protect('pt.a_view', 'Observation');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.protect('pt.plain');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.protect('pt.plain', 'observation');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.protect('pt.plain', 'Observation', fhir_version => 'R6');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.protect('pt.plain', 'Observation', compartment => 'all');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.protect('pt.plain', 'Observation', base_url => 'fhir.example');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.protect('pt.plain', 'Observation', resource => 'nothing_here');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.protect('pt.plain', 'Observation', resource => '5');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.protect('pt.plain', 'Observation', patients => 'resource');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.protect('pt.plain', 'Observation', follow => 'target[0]');
\echo :LAST_ERROR_SQLSTATE
-- a second column for the usual order: a column, a quoted one, an expression, a function call; then another one, and none
CREATE TABLE pt.ordered (id text PRIMARY KEY, resource jsonb, effective timestamptz, "Issued at" timestamptz, seconds int);
INSERT INTO pt.ordered SELECT i, jsonb_build_object('resourceType', 'Observation', 'id', i::text, 'subject', jsonb_build_object('reference', 'Patient/' || i % 5),
  'effectiveDateTime', '2026-01-' || lpad((1 + i % 28)::text, 2, '0')), timestamptz '2026-01-01' + i * interval '1 hour', now(), i
FROM generate_series(1, 2000) i;
GRANT SELECT ON pt.ordered TO regress_smart_app;
CREATE FUNCTION pt.orders(order_by text) RETURNS text LANGUAGE plpgsql SET client_min_messages = error AS $$
DECLARE
	index regclass;
	filenode oid;
BEGIN
	PERFORM smart.protect('pt.ordered', 'Observation', order_by => orders.order_by);
	index := (SELECT t.index FROM smart.protected_table t WHERE t.relation = 'pt.ordered'::regclass);
	filenode := pg_relation_filenode(index);
	-- the same again changes nothing
	PERFORM smart.protect('pt.ordered', 'Observation', order_by => orders.order_by);
	RETURN concat_ws(' ', pg_get_indexdef(index, 2, false), CASE WHEN pg_relation_filenode(index) <> filenode THEN 'made again' END,
		CASE WHEN EXISTS (SELECT FROM smart.index_statements('pt.ordered')) THEN 'missing' END);
END $$;
SELECT pt.orders('effective') AS a_column, pt.orders('Issued at') AS quoted, pt.orders($e$resource->>'effectiveDateTime'$e$) AS expression,
	pt.orders('abs(seconds)') AS function_call, pt.orders('(seconds + 1) * 2') AS parentheses, pt.orders(NULL) = '' AS none;
SELECT pt.orders('effective');
SELECT smart.protect('pt.ordered', 'Observation', order_by => 'effective', index => false) IS NULL AS nothing_to_do;
SELECT smart.protect('pt.ordered', 'Observation', order_by => 'seconds', index => false);
SELECT smart.protect('pt.ordered', 'Observation', order_by => 'seconds');
SELECT smart.protect('pt.ordered', 'Observation', order_by => 'nothing_here');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.protect('pt.ordered', 'Observation', order_by => 'effective', compartment => 'full');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
ANALYZE pt.ordered;
-- the latest of one patient are read off the index: no sort
DO $$
DECLARE line text;
BEGIN
	PERFORM smart.assume('{"scope": "patient/*.rs", "patient": "1"}', 'https://protect.example');
	SET LOCAL ROLE regress_smart_app;
	FOR line IN EXPLAIN (COSTS OFF) SELECT * FROM pt.ordered ORDER BY seconds DESC LIMIT 5 LOOP
		IF line ~ 'Sort|Scan' THEN RAISE WARNING '%', btrim(line); END IF;
	END LOOP;
END $$;
SET ROLE regress_smart_owner;
-- how stored keys are spelled is seen by one of them: an empty table is taken for ids, and looked at again later; nothing rewrites the table
CREATE TABLE pt.spelled (id text PRIMARY KEY, patient text, resource jsonb);
GRANT SELECT ON pt.spelled TO regress_smart_app;
SELECT smart.protect('pt.spelled', 'Observation', patients => 'patient');
SELECT options ->> 'patients_form' AS empty, smart.rows_are_regular(relation) FROM smart.protected_table WHERE relation = 'pt.spelled'::regclass;
RESET ROLE;
INSERT INTO pt.spelled SELECT i, 'Patient/' || i % 5, jsonb_build_object('resourceType', 'Observation', 'id', i::text, 'subject', jsonb_build_object('reference', 'Patient/' || i % 5))
FROM generate_series(1, 50) i;
SELECT pt.sees('pt.spelled', '1'), smart.rows_are_regular('pt.spelled');
SELECT pg_relation_filenode('pt.spelled') AS filenode \gset
SET ROLE regress_smart_owner;
SELECT smart.protect('pt.spelled', 'Observation', patients => 'patient');
SELECT options ->> 'patients_form' AS filled, smart.rows_are_regular(relation) FROM smart.protected_table WHERE relation = 'pt.spelled'::regclass;
RESET ROLE;
SELECT pt.sees('pt.spelled', '1'), pg_relation_filenode('pt.spelled') = :filenode AS not_rewritten;
SET ROLE regress_smart_app;
SELECT smart_internal.spells_references('pt.spelled', 'patient');
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_smart_owner;
-- what row-level security does not cover, and what would be OR-ed in
CREATE TABLE pt.hazard (id text PRIMARY KEY, resource jsonb);
GRANT TRUNCATE, TRIGGER ON pt.hazard TO regress_smart_app;
GRANT REFERENCES (id) ON pt.hazard TO PUBLIC;
CREATE POLICY theirs ON pt.hazard USING (true);
\set VERBOSITY default
SELECT smart.protect('pt.hazard', 'Observation');
\set VERBOSITY terse
\echo :LAST_ERROR_SQLSTATE
SELECT smart.protect('pt.hazard', 'Observation', force => true);
SELECT state FROM smart.protected_table WHERE relation = 'pt.hazard'::regclass;
-- states
DROP POLICY theirs ON pt.hazard;
DROP POLICY smart_delete ON pt.hazard;
ALTER TABLE pt.hazard DISABLE TRIGGER smart_refuse_truncate;
ALTER TABLE pt.hazard NO FORCE ROW LEVEL SECURITY;
SELECT state FROM smart.protected_table WHERE relation = 'pt.hazard'::regclass;
SELECT smart.protect('pt.hazard', 'Observation', force => true);
SELECT state FROM smart.protected_table WHERE relation = 'pt.hazard'::regclass;
ALTER TABLE pt.hazard DISABLE ROW LEVEL SECURITY;
SELECT state FROM smart.protected_table WHERE relation = 'pt.hazard'::regclass;
-- TRUNCATE is refused to its owner and to whoever holds it
TRUNCATE pt.plain;
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;

-- ---------------------------------------------------------------------------
-- Partitions: existing, made later, attached later, sub-partitioned, made by CREATE SCHEMA
-- ---------------------------------------------------------------------------
SET ROLE regress_smart_owner;
CREATE TABLE pt.parted (id text, year int, resource jsonb) PARTITION BY LIST (year);
CREATE TABLE pt.parted_1 PARTITION OF pt.parted FOR VALUES IN (1);
CREATE TABLE pt.parted_2 PARTITION OF pt.parted FOR VALUES IN (2) PARTITION BY HASH (id);
CREATE TABLE pt.parted_2_0 PARTITION OF pt.parted_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
INSERT INTO pt.parted SELECT i::text, 1, pt.observation(i::text, (i % 3)::text) FROM generate_series(1, 6) AS i;
SELECT smart.protect('pt.parted', 'Observation');
CREATE TABLE pt.parted_2_1 PARTITION OF pt.parted_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE pt.parted_3 PARTITION OF pt.parted FOR VALUES IN (3);
-- attached, with its columns in another order, and with a tree of its own
CREATE TABLE pt.parted_4 (resource jsonb, gone int, year int, id text) PARTITION BY LIST (id);
ALTER TABLE pt.parted_4 DROP COLUMN gone;
CREATE TABLE pt.parted_4_a PARTITION OF pt.parted_4 DEFAULT;
INSERT INTO pt.parted_4 SELECT pt.observation(i::text, (i % 3)::text), 4, i::text FROM generate_series(11, 16) AS i;
ALTER TABLE pt.parted ATTACH PARTITION pt.parted_4 FOR VALUES IN (4);
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pt TO regress_smart_app;
RESET ROLE;
GRANT CREATE ON DATABASE :DBNAME TO regress_smart_owner;
SET ROLE regress_smart_owner;
CREATE SCHEMA pt_more CREATE TABLE parted_5 PARTITION OF pt.parted FOR VALUES IN (5);
RESET ROLE;
REVOKE CREATE ON DATABASE :DBNAME FROM regress_smart_owner;
SELECT relation, resource_type, state FROM smart.protected_table WHERE relation::text ~ 'parted' ORDER BY relation::text COLLATE "C";
SELECT pt.sees('pt.parted', '1'), pt.sees('pt.parted_1', '1') AS one, pt.sees('pt.parted_4_a', '1') AS attached, pt.sees('pt.parted', NULL, 'system/*.rs') AS all;
SELECT pt.tries($$INSERT INTO pt.parted_3 VALUES ('x', 3, pt.observation('x', '2'))$$, '1') AS other, pt.tries($$INSERT INTO pt.parted_3 VALUES ('x', 3, pt.observation('x', '1'))$$, '1') AS own,
	pt.tries($$TRUNCATE pt.parted_1$$, '1') AS truncate;
-- a new definition reaches all of them, and the same again changes nothing
SET ROLE regress_smart_owner;
SELECT smart.protect('pt.parted', 'Observation', compartment => 'full');
RESET ROLE;
SELECT DISTINCT options ->> 'compartment' AS compartment FROM smart.protected_table WHERE relation::text ~ 'parted';
CREATE TEMP TABLE before_parted AS SELECT * FROM pt.catalog;
SET ROLE regress_smart_owner;
SELECT smart.protect('pt.parted', 'Observation', compartment => 'full');
RESET ROLE;
(TABLE before_parted EXCEPT TABLE pt.catalog) UNION ALL (TABLE pt.catalog EXCEPT TABLE before_parted);
-- rights on a partition are hazards too; a partition is not unprotected alone; a detached one stays protected
SET ROLE regress_smart_owner;
GRANT TRUNCATE ON pt.parted_1 TO regress_smart_app;
SELECT smart.protect('pt.parted', 'Observation');
\echo :LAST_ERROR_SQLSTATE
REVOKE TRUNCATE ON pt.parted_1 FROM regress_smart_app;
SELECT smart.unprotect('pt.parted_1');
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE pt.parted DETACH PARTITION pt.parted_3;
SELECT state FROM smart.protected_table WHERE relation = 'pt.parted_3'::regclass;
SELECT smart.unprotect('pt.parted');
SELECT relation FROM smart.protected_table WHERE relation::text ~ 'parted';
SELECT count(*) AS policies_left FROM pg_policy WHERE polrelid IN (SELECT relid FROM pg_partition_tree('pt.parted'));
SELECT count(*) AS indexes_left FROM pg_index WHERE indrelid IN (SELECT relid FROM pg_partition_tree('pt.parted'));
-- a table that is attached with rights or policies of its own: a warning says so
SELECT smart.protect('pt.parted', 'Observation');
CREATE TABLE pt.parted_7 (LIKE pt.parted);
CREATE POLICY theirs ON pt.parted_7 USING (true);
GRANT TRUNCATE ON pt.parted_7 TO regress_smart_app;
ALTER TABLE pt.parted ATTACH PARTITION pt.parted_7 FOR VALUES IN (7);
SELECT state FROM smart.protected_table WHERE relation = 'pt.parted_7'::regclass;
SELECT smart.unprotect('pt.parted');
DROP TABLE pt.parted_7;
-- after that new partitions are plain tables
CREATE TABLE pt.parted_6 PARTITION OF pt.parted FOR VALUES IN (6);
SELECT relrowsecurity FROM pg_class WHERE oid = 'pt.parted_6'::regclass;
-- index => false on a partitioned table: one build and one ATTACH for each
SELECT smart.protect('pt.parted', 'Observation', index => false);
RESET ROLE;

SELECT smart.drop_issuer('https://protect.example');
DROP SCHEMA pt, pt_more CASCADE;
DROP ROLE regress_smart_app, regress_smart_owner;
