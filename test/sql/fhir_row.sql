-- A stored row may hold type and id beside the JSON; what the JSON says comes first.
CREATE VIEW args AS SELECT * FROM (VALUES
	(1, '{"link":[]}', 'Patient', '1'),
	(2, '{"resourceType":"Patient"}', 'Patient', '1'),
	(3, '{"resourceType":"Patient","id":"2"}', 'Patient', '1'),
	(4, '{"resourceType":"Patient","id":null}', 'Patient', '1'),
	(5, '{"resourceType":"Patient"}', 'Patient', NULL),
	(6, '{"resourceType":"Patient"}', NULL, '1'),
	(7, '{"id":"1"}', NULL, '1'),
	-- another type than the row's: never
	(8, '{"resourceType":"Patient","id":"1"}', 'Observation', '1'),
	(9, '{"resourceType":"Observation","subject":{"reference":"Patient/1"}}', 'Observation', 'o'),
	(10, '{"subject":{"resourceType":"Patient","id":"1"}}', 'Observation', 'o'),
	(11, '{"subject":[{"reference":"Patient/1"},{"reference":"Patient/2"}]}', 'Observation', 'o'),
	(12, '{}', 'Nothing', '1'),
	(13, NULL, 'Patient', '1'),
	(14, '[]', 'Patient', '1'),
	(15, '"x"', 'Patient', '1')) t(n, resource, type, id);
SELECT n, smart_internal.row_patients(resource::jsonb, type, id, 'subject', 'R4', NULL, smart.fhir_revision()),
	smart_internal.row_patient(resource::jsonb, type, id, 'subject', 'R4', NULL, smart.fhir_revision())
FROM args ORDER BY n;
DROP VIEW args;

-- The readings, versions and base are those of smart.patients().
SELECT smart_internal.row_patients('{"subject":{"reference":"http://a.org/Patient/1"},"performer":[{"reference":"Patient/2"}]}', 'Observation', 'o', 'full', 'R5', 'http://a.org/', smart.fhir_revision());
SELECT smart_internal.row_patient('{"for":{"reference":"Patient/1"}}', 'Task', 't', NULL, 'R5', NULL, smart.fhir_revision());

-- Another revision is an error, and so is none, whatever the row.
\set VERBOSITY terse
SELECT smart_internal.row_patients('{}', 'Patient', '1', 'subject', 'R4', NULL, smart.fhir_revision() + 1);
\echo :LAST_ERROR_SQLSTATE
SELECT smart_internal.row_patient(NULL, 'Patient', '1', 'subject', 'R4', NULL, NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT smart_internal.row_patients('{}', 'Patient', '1', 'x', 'R4', NULL, smart.fhir_revision());
\echo :LAST_ERROR_SQLSTATE
SELECT smart_internal.row_patients('{}', 'Patient', '1', 'full', 'x', NULL, smart.fhir_revision());
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY default

-- An index on the keys is used and agrees with a scan.
CREATE TABLE row_test (id text PRIMARY KEY, resource jsonb);
INSERT INTO row_test SELECT i, jsonb_build_object('subject', jsonb_build_object('reference', 'Patient/' || i % 100)) FROM generate_series(1, 1000) i;
CREATE INDEX ON row_test (smart_internal.row_patient(resource, 'Observation', id, 'subject', 'R4', NULL, 1));
ANALYZE row_test;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM row_test WHERE smart_internal.row_patient(resource, 'Observation', id, 'subject', 'R4', NULL, 1) = '7';
SELECT count(*) FROM row_test WHERE smart_internal.row_patient(resource, 'Observation', id, 'subject', 'R4', NULL, 1) = '7';
RESET enable_seqscan;
DROP TABLE row_test;

-- Text that is no JSON is no resource, and no error.
SELECT t, smart.resource_json(t) FROM unnest(ARRAY[
	'{"resourceType":"Patient","id":"1"}', '', ' ', 'null', '1', '"x"', '[1, 2]', '{"a":1,"a":2}', '{', '{"a":}', 'deleted', '{"a":1}x',
	'"\u0000"', '"\ud800"', '"\u00e9"', '"' || chr(9) || '"', '1e9', '1e999999999', '-', '01', 'NaN', 'true', 'tru'
	]) WITH ORDINALITY AS u(t, n) ORDER BY n;
SELECT smart.resource_json(NULL), smart.resource_json(repeat('[', 256) || repeat(']', 256)) IS NOT NULL AS at_limit,
	smart.resource_json(repeat('[', 257) || repeat(']', 257)) IS NULL AS over,
	smart.resource_json(repeat('[', 100000)) IS NULL AS deep;
