-- smart.protect_schema(): tables that look like FHIR, by name and by their rows; nothing is done unless asked for.
\set VERBOSITY terse
\pset format unaligned
SET client_min_messages = warning;
CREATE ROLE regress_smart_owner;
CREATE ROLE regress_smart_other;
CREATE SCHEMA ps AUTHORIZATION regress_smart_owner;
GRANT ALL ON SCHEMA ps TO regress_smart_other;
SET ROLE regress_smart_other;
CREATE TABLE ps.encounter (id text, resource jsonb);
CREATE TABLE ps.others_rows (id text, resource jsonb);
INSERT INTO ps.others_rows VALUES ('1', '{"resourceType": "Observation"}');
SET ROLE regress_smart_owner;
-- by name, empty; by name and rows; in other spellings; a history
CREATE TABLE ps.observation (id text, resource jsonb);
CREATE TABLE ps.patients (id text, resource jsonb);
INSERT INTO ps.patients VALUES ('1', '{"resourceType": "Patient", "id": "1"}');
CREATE TABLE ps."MedicationRequest" (id text, content text);
INSERT INTO ps."MedicationRequest" VALUES ('0', ''), ('1', '{"resourceType": "MedicationRequest"}');
CREATE TABLE ps.medication_request_history (fhir_id text, body json);
INSERT INTO ps.medication_request_history VALUES ('1', '{"resourceType": "MedicationRequest"}');
-- by rows alone: one type, many types
CREATE TABLE ps.stuff (key int, note text, doc jsonb);
INSERT INTO ps.stuff VALUES (1, 'x', '{"resourceType": "Condition", "id": "1"}');
CREATE TABLE ps.resources (id text, type text, resource jsonb);
INSERT INTO ps.resources VALUES ('1', 'a', '{"resourceType": "Condition"}'), ('2', 'b', '{"resourceType": "Observation"}'), ('3', 'c', '{"resourceType": 1}'), ('4', 'd', NULL);
-- partitions are their table's
CREATE TABLE ps.procedure (id text, resource jsonb) PARTITION BY HASH (id);
CREATE TABLE ps.procedure_0 PARTITION OF ps.procedure FOR VALUES WITH (MODULUS 1, REMAINDER 0);
-- not without a decision: name and rows differ, no resource in it, a view, rights of others
CREATE TABLE ps.goal (id text, resource jsonb);
INSERT INTO ps.goal VALUES ('1', '{"resourceType": "CarePlan"}');
CREATE TABLE ps.claim (id text, amount int);
CREATE VIEW ps.immunization AS SELECT * FROM ps.observation;
CREATE TABLE ps.coverage (id text, resource jsonb);
GRANT TRUNCATE ON ps.coverage TO regress_smart_other;
-- no FHIR
CREATE TABLE ps.plain (id text, data jsonb);
INSERT INTO ps.plain VALUES ('1', '{"resourceType": "Elephant"}');
CREATE TABLE ps.numbers (n int);
SELECT * FROM smart.protect_schema('ps');
SELECT count(*) AS nothing_done FROM smart.protected_table WHERE relation::text LIKE 'ps.%';
SELECT relation, resource_type, result, problem FROM smart.protect_schema('ps', dry_run => false);
SELECT relation, resource_type, state, index IS NOT NULL AS index FROM smart.protected_table WHERE relation::text LIKE 'ps.%' ORDER BY relation::text COLLATE "C";
-- once more: what is protected stays so; what was refused can be forced
SELECT relation, result, problem FROM smart.protect_schema('ps', false, index => false, force => true) WHERE relation::text ~ 'coverage|stuff|goal|observation';
SELECT result FROM smart.protect_schema('ps', fhir_version => 'R5', base_url => 'https://fhir.example/r5', compartment => 'full') WHERE relation::text ~ 'goal';
SELECT * FROM smart.protect_schema('nowhere');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM smart.protect_schema('ps', fhir_version => 'R9');
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
-- what the dry run says can be run
CREATE SCHEMA ps_again;
CREATE TABLE ps_again."Odd ' ""name"" observation" (id text, "re'source" jsonb);
INSERT INTO ps_again."Odd ' ""name"" observation" VALUES ('1', '{"resourceType": "Observation", "id": "1"}');
SELECT result FROM smart.protect_schema('ps_again') \gexec
SELECT relation, resource_type, state FROM smart.protected_table WHERE relation::text LIKE 'ps_again.%';
DROP SCHEMA ps, ps_again CASCADE;
DROP ROLE regress_smart_owner, regress_smart_other;
