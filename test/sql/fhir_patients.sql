-- The subject reading takes the element that says whom the record is about; full takes all.
SELECT smart.patients('{"resourceType":"Observation","subject":{"reference":"Patient/1"},"performer":[{"reference":"Patient/2"}]}');
SELECT smart.patients('{"resourceType":"Observation","subject":{"reference":"Patient/1"},"performer":[{"reference":"Patient/2"}]}', 'full');

-- A Patient is its own; Coverage is about the beneficiary, though policy-holder is listed first.
SELECT smart.patients('{"resourceType":"Patient","id":"1","link":[{"other":{"reference":"Patient/2"}}]}');
SELECT smart.patients('{"resourceType":"Patient","id":"1","link":[{"other":{"reference":"Patient/2"}}]}', 'full');
SELECT smart.patients('{"resourceType":"Coverage","policyHolder":{"reference":"Patient/2"},"beneficiary":{"reference":"Patient/1"}}');

-- Types outside the compartment have no patient; R5 took Task in.
SELECT smart.patients('{"resourceType":"Task","for":{"reference":"Patient/1"}}') AS r4,
	smart.patients('{"resourceType":"Task","for":{"reference":"Patient/1"}}', fhir_version => 'R4B') AS r4b,
	smart.patients('{"resourceType":"Task","for":{"reference":"Patient/1"}}', fhir_version => 'R5') AS r5;

-- What is no resource, or of no known type, has no patient; the answer is never NULL.
SELECT r, smart.patients(r::jsonb) FROM unnest(ARRAY[
	NULL, 'null', '[]', '1', '"Patient/1"', '{}', '{"resourceType":null,"id":"1"}',
	'{"resourceType":["Patient"],"id":"1"}', '{"resourceType":"patient","id":"1"}',
	'{"resourceType":"Patient"}', '{"resourceType":"Patient","id":1}', '{"resourceType":"Patient","id":"a_b"}',
	'[{"resourceType":"Patient","id":"1"}]', '{"resourceType":"Parameters"}',
	'{"resourceType":"Observation","subject":null}', '{"resourceType":"Observation","subject":"Patient/1"}'
	]) WITH ORDINALITY AS t(r, n) ORDER BY n;

-- {resourceType, id} is a reference (Aidbox), unless a reference member decides; only to a Patient.
SELECT s, smart.patients(jsonb_build_object('resourceType', 'Observation', 'subject', s::jsonb)) FROM unnest(ARRAY[
	'{"resourceType":"Patient","id":"1"}', '{"resourceType":"Group","id":"1"}', '{"id":"1"}',
	'{"resourceType":"Patient","id":"1","reference":"Patient/2"}', '{"resourceType":"Patient","id":"1","reference":"#p"}',
	'{"resourceType":"Patient","id":"1","reference":null}', '{"resourceType":"Patient","id":"http://x/Patient/1"}',
	'{"type":"Patient","identifier":{"value":"1"}}'
	]) WITH ORDINALITY AS t(s, n) ORDER BY n;

-- Each patient once, many of them too.
SELECT smart.patients('{"resourceType":"Group","member":[{"entity":{"reference":"Patient/1"}},{"entity":{"reference":"Patient/1/_history/2"}},{"entity":{"reference":"Patient/2"}}]}');
SELECT cardinality(smart.patients(jsonb_build_object('resourceType', 'Group', 'member',
	(SELECT jsonb_agg(jsonb_build_object('entity', jsonb_build_object('reference', 'Patient/' || i % 1000)))
	 FROM generate_series(1, 20000) i))));

-- The answer is an ordinary array.
SELECT k = ARRAY['1', '2']::text[], k || 'x'::text, k @> ARRAY['2'], array_length(k, 1)
FROM smart.patients('{"resourceType":"Observation","subject":[{"reference":"Patient/1"},{"reference":"Patient/2"}]}') k;

-- Keys of references: the plain forms only.
SELECT r, smart.reference_key(r) FROM unnest(ARRAY[
	'Patient/1', 'Patient/1/_history/2', 'Patient/A-b.9', 'Patient/' || repeat('x', 64), 'Patient/' || repeat('x', 65),
	'https://a.org/Patient/1', 'https://a.org/fhir/Patient/1/_history/7', 'http://a.org:80/Patient/1',
	'ftp://a.org/Patient/1', 'HTTPS://a.org/Patient/1', 'https://Patient/1', 'https:///Patient/1', '//a.org/Patient/1',
	'https://a.org/fhir?x=/Patient/1', 'https://a.org/#/Patient/1', 'https://a b/Patient/1', E'https://a\n/Patient/1',
	'Patient/', 'Patient', '/Patient/1', 'Patient//1', 'patient/1', 'Patient/1/', 'Patient/1/_history/', 'Patient/1/_history',
	'Patient/_history/1', 'Patient/1/_history/2/_history/3', 'Patient/1#x', 'Patient/1?x', 'Patient/1|2', 'Patient/1 ', E'Patient/1\n',
	'Patient/../1', 'x/Patient/1', 'xPatient/1', '#1', 'urn:uuid:1', '', '/', '/_history/1', '1',
	'Patient?identifier=1', 'Practitioner/1', 'https://a.org/Practitioner/1'
	]) WITH ORDINALITY AS t(r, n) ORDER BY n;
SELECT smart.reference_key(NULL), smart.reference_key(NULL, 'https://a.org');

-- A URL of 1024 bytes before the type is a key, a longer one is not.
SELECT length(smart.reference_key('http://' || repeat('a', 1017) || '/Patient/1')) AS at_limit,
	smart.reference_key('http://' || repeat('a', 1018) || '/Patient/1') AS over;

-- base_url makes its own references local and no others; one trailing slash is dropped.
SELECT b, r, smart.reference_key(r, b) FROM unnest(ARRAY['https://a.org/fhir', 'https://a.org/fhir/', 'https://a.org/fhir//', '', '/']) WITH ORDINALITY b(b, n),
	unnest(ARRAY['https://a.org/fhir/Patient/1', 'https://a.org/fhir/Patient/1/_history/2', 'http://a.org/fhir/Patient/1',
	'https://a.org/fhir2/Patient/1', 'https://a.org/fhir/x/Patient/1', 'Patient/1']) WITH ORDINALITY r(r, m)
ORDER BY n, m;
SELECT smart.patients('{"resourceType":"Observation","subject":{"reference":"https://a.org/fhir/Patient/1"}}', base_url => 'https://a.org/fhir/') AS own,
	smart.patients('{"resourceType":"Observation","subject":{"reference":"https://a.org/fhir/Patient/1"}}') AS foreign;

-- NULL options are the defaults; other values are errors.
SELECT smart.patients('{"resourceType":"Patient","id":"1"}', NULL, NULL, NULL);
\set VERBOSITY terse
SELECT smart.patients('{}', 'all');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.patients('{}', 'Subject');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.patients('{}', 'full', 'r4');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.patients('{}', 'full', 'R6');
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY default

-- Immutable and safe in parallel: an index can hold the keys.
SELECT p.proname, p.provolatile, p.proparallel, p.proisstrict FROM pg_proc p
WHERE pronamespace IN ('smart'::regnamespace, 'smart_internal'::regnamespace) AND proname IN ('patients', 'reference_key', 'row_patients', 'row_patient', 'resource_json')
ORDER BY proname;

-- Members are found whatever else is in the object: up to 80 others, whose names are shorter, as
-- long, or longer, before or behind, and wherever it stands.
SELECT count(*) AS objects,
	count(*) FILTER (WHERE smart.patients(others || '{"resourceType":"Observation"}' || jsonb_build_object('subject', others || '{"reference":"Patient/1"}')) = '{1}') AS found,
	count(*) FILTER (WHERE smart.patients(others || '{"resourceType":"Observation"}' || jsonb_build_object('subject', others)) = '{}') AS no_reference,
	count(*) FILTER (WHERE smart.patients(others || '{"resourceType":"Observation"}') = '{}') AS no_subject,
	count(*) FILTER (WHERE smart.patients(others || '{"subject":{"reference":"Patient/1"}}') = '{}') AS no_type,
	count(*) FILTER (WHERE smart.patients(others || '{"resourceType":"Patient","id":"2"}') = '{2}') AS id
FROM (SELECT (SELECT coalesce(jsonb_object_agg(CASE mode
		WHEN 0 THEN 'x' || i WHEN 1 THEN 'subj' || lpad(i::text, 3, '0') WHEN 2 THEN 'zubj' || lpad(i::text, 3, '0') WHEN 3 THEN 'resourceTy' || lpad(i::text, 2, '0')
		WHEN 4 THEN 'ref' || lpad(i::text, 6, '0') WHEN 5 THEN 'subjects and more ' || i ELSE repeat(chr(97 + i % 26), 1 + i % 20) || i END,
		CASE i % 4 WHEN 0 THEN to_jsonb(i) WHEN 1 THEN to_jsonb(repeat('v', i)) WHEN 2 THEN '{"reference":"Patient/9"}' ELSE '[null,true]' END), '{}')
	FROM generate_series(1, n) i) AS others
	FROM generate_series(0, 80) n, generate_series(0, 6) mode) o;
