-- The compiled constraints of granular scopes, each by itself. The probe answers "match",
-- "no match", or why a scope with this constraint grants nothing.
CREATE FUNCTION probe(resource jsonb, parameter text, value text, fhir_version text DEFAULT 'R4',
	base_url text DEFAULT NULL) RETURNS text AS '$libdir/smart_fhir', 'smart_fhir_probe' LANGUAGE c;
CREATE FUNCTION probes(resource jsonb, parameter text, VARIADIC vals text[])
	RETURNS TABLE (val text, answer text) LANGUAGE sql
	AS $$ SELECT v, probe(resource, parameter, v) FROM unnest(vals) WITH ORDINALITY AS t(v, n) ORDER BY n $$;

-- Token over CodeableConcept: code and system are exact; any coding of any repetition counts.
SELECT * FROM probes('{"resourceType":"Observation","category":[{"text":"z"},{"coding":[{"system":"s","code":"a"},{"code":"b"},{"system":"s2"},{"system":7,"code":"n"}]}]}', 'category',
	'a', 's|a', '|a', 's|', 's2|', 'x|', 'x|a', 'b', '|b', 's|b', 'A', 'S|a', 'z', 'n', '|n', 'x,a', 's|x,|b', 'a ', '*',
	'', ',', 'a,', ',a', 'a,,b', '|', 's|a|b', 'a\', 'a\b', 's\|a');

-- Escapes are undone after the split.
SELECT * FROM probes('{"resourceType":"Observation","category":{"coding":[{"system":"a|b","code":"c,d"},{"system":"s$","code":"e\\f"}]}}', 'category',
	'a\|b|c\,d', 'a|b', 'c,d', 'c\,d', 's$|e\\f', 's\$|e\\f', 'e\f');

-- Token over Coding, Identifier, ContactPoint, boolean, code and string.
SELECT * FROM probes('{"resourceType":"Encounter","class":{"system":"s","code":"AMB"}}', 'class', 'AMB', 's|AMB', '|AMB', 's|');
SELECT * FROM probes('{"resourceType":"Patient","identifier":[{"system":"m","value":"7"},{"value":"8"}]}', 'identifier', '7', 'm|7', 'm|', '|8', '|7', 'm|8');
SELECT * FROM probes('{"resourceType":"Patient","active":true}', 'active', 'true', 'false', 'TRUE', '|true', 'x|true');
SELECT * FROM probes('{"resourceType":"Patient","active":"true"}', 'active', 'true');
SELECT * FROM probes('{"resourceType":"Patient","gender":"female"}', 'gender', 'female', '|female', 'http://hl7.org/fhir/administrative-gender|female', 'male,female');

-- where(): only the items that meet the condition; both may stand in one telecom list.
SELECT * FROM probes('{"resourceType":"Patient","telecom":[{"system":"phone","value":"a@b"},{"system":"email","value":"c@d"},{"value":"e@f"}]}', 'email', 'a@b', 'c@d', 'e@f', 'email|c@d');
SELECT * FROM probes('{"resourceType":"Patient","telecom":[{"system":"phone","value":"a@b"},{"system":"email","value":"c@d"},{"value":"e@f"}]}', 'telecom', 'a@b', 'e@f');

-- String: whole and exact; every part of a name or an address.
SELECT * FROM probes('{"resourceType":"Patient","name":[{"text":"T","family":"Smith","given":["Ann","Eva"],"prefix":["Dr"],"suffix":["II"],"use":"usual"}]}', 'name', 'T', 'Smith', 'Ann', 'Eva', 'Dr', 'II', 'usual', 'smith', 'Smi', 'Ann Eva', 'x,Eva');
SELECT * FROM probes('{"resourceType":"Patient","address":[{"line":["L1","L2"],"city":"C","district":"D","state":"S","postalCode":"P","country":"Y","text":"T","use":"home"}]}', 'address', 'L2', 'C', 'D', 'S', 'P', 'Y', 'T', 'home');
SELECT * FROM probes('{"resourceType":"Patient","name":[{"family":"a,b"}]}', 'family', 'a,b', 'a\,b');

-- M. Canonical references: a URL without version meets every version of it, one with a version that version only; no
-- fragment, no prefix, nothing but a version. For each kind of parameter that may stand over a canonical, in each FHIR version.
SELECT * FROM probes('{"resourceType":"QuestionnaireResponse","questionnaire":"https://e.org/Questionnaire/1|1.0"}', 'questionnaire',
	'https://e.org/Questionnaire/1', 'https://e.org/Questionnaire/1|1.0', 'https://e.org/Questionnaire/1\|1.0', 'https://e.org/Questionnaire/1|2.0', 'https://e.org/Questionnaire/1|1',
	'https://e.org/Questionnaire/1|', 'https://e.org/Questionnaire/', 'https://e.org/Questionnaire/11', 'x,https://e.org/Questionnaire/1');
SELECT * FROM probes('{"resourceType":"QuestionnaireResponse","questionnaire":"https://e.org/Questionnaire/1"}', 'questionnaire',
	'https://e.org/Questionnaire/1', 'https://e.org/Questionnaire/1|1.0', 'https://e.org/Questionnaire/1|', 'https://e.org/Questionnaire');
SELECT q AS stored, probe(jsonb_build_object('resourceType', 'QuestionnaireResponse', 'questionnaire', q), 'questionnaire', 'https://e.org/q') AS without_version,
	probe(jsonb_build_object('resourceType', 'QuestionnaireResponse', 'questionnaire', q), 'questionnaire', 'https://e.org/q|1') AS with_version
	FROM unnest('{https://e.org/q,https://e.org/q|1,https://e.org/q|1|2,https://e.org/q|,https://e.org/q#a,https://e.org/q|1#a,https://e.org/q1|1,Questionnaire/q|1}'::text[]) WITH ORDINALITY AS t (q, n) ORDER BY n;
SELECT version, what, string_agg(probe(resource::jsonb, parameter, asked, version), ', ' ORDER BY n) AS "URL, its version, another"
	FROM (VALUES ('several in a list', '{"resourceType":"PlanDefinition","relatedArtifact":[{"type":"depends-on","resource":"http://l/1"},{"type":"depends-on","resource":"http://c|1"}]}', 'depends-on'),
		('beside a Reference', '{"resourceType":"CarePlan","instantiatesCanonical":["http://c|1"]}', 'instantiates-canonical'),
		('uri parameter', '{"resourceType":"Observation","meta":{"profile":["http://c|1"]}}', '_profile'),
		('uri element', '{"resourceType":"CarePlan","instantiatesUri":["http://c|1"]}', 'instantiates-uri'),
		('url', '{"resourceType":"ValueSet","url":"http://c|1"}', 'url'),
		('a choice, the uri', '{"resourceType":"ConceptMap","sourceUri":"http://c|1"}', 'source-uri'),
		('a choice, the canonical', '{"resourceType":"ConceptMap","sourceCanonical":"http://c|1"}', 'source-uri'),
		('R5 choice', '{"resourceType":"ConceptMap","sourceScopeCanonical":"http://c|1"}', 'source-scope-uri'),
		('R5 uri parameter', '{"resourceType":"Subscription","topic":"http://c|1"}', 'topic'),
		('R5 token', '{"resourceType":"MessageHeader","eventCanonical":"http://c|1"}', 'event'),
		('token over a uri', '{"resourceType":"MessageHeader","eventUri":"http://c|1"}', 'event')) r (what, resource, parameter),
	unnest('{http://c,http://c|1,http://c|2}'::text[]) WITH ORDINALITY AS a (asked, n), unnest('{R4,R4B,R5}'::text[]) AS version GROUP BY version, what ORDER BY what COLLATE "C", version COLLATE "C";

-- Uri and profile: whole and exact, of a profile the version may be left out.
SELECT * FROM probes('{"resourceType":"Observation","meta":{"profile":["http://p/a","http://p/b|1.0"]}}', '_profile', 'http://p/a', 'http://p/b', 'http://p/b|1.0', 'http://p/a|1.0', 'http://p', 'http://p/a/');
SELECT probe('{"resourceType":"Observation","meta":{"profile":["http://p/a"]}}', '_profile', 'http://p/a', 'R5'),
	probe('{"resourceType":"Observation","meta":{"profile":["a"]}}', '_profile', 'a', 'R5'),
	probe('{"resourceType":"Observation","language":"en"}', '_language', 'en', 'R5'),
	probe('{"resourceType":"Observation","language":"en"}', '_language', 'en', 'R4');

-- Common parameters; _id is exact.
SELECT * FROM probes('{"resourceType":"Observation","id":"o1"}', '_id', 'o1', 'o', 'O1', 'o2,o1', 'x|o1', '|o1');
SELECT * FROM probes('{"resourceType":"Observation","meta":{"tag":[{"system":"t","code":"x"}],"security":[{"code":"R"}]}}', '_tag', 'x', 't|x', 'R');
SELECT * FROM probes('{"resourceType":"Observation","meta":{"source":"urn:s","lastUpdated":"2024-05-06T07:08:09.123Z"}}', '_lastUpdated', '2024-05-06', 'ge2024-05', 'lt2024', '2024-05-06T07:08:09.123Z', '2024-05-06T07:08:09.12Z');

-- Reference: as it stands, version cut off on both sides; a bare id where one type is possible.
SELECT * FROM probes('{"resourceType":"Observation","subject":{"reference":"Patient/1/_history/3"},"encounter":{"reference":"Encounter/5"},"performer":[{"reference":"Organization/3"},{"reference":"http://a.org/Practitioner/7"},{"reference":"urn:uuid:9"},{"reference":"#c"},{"resourceType":"Practitioner","id":"8"}]}', 'subject',
	'Patient/1', 'Patient/1/_history/9', '1', 'Patient/12', 'patient/1', 'http://a.org/Patient/1', 'Patient/2,Patient/1');
SELECT * FROM probes('{"resourceType":"Observation","encounter":{"reference":"Encounter/5"}}', 'encounter', '5', 'Encounter/5', 'EpisodeOfCare/5', '50');
SELECT * FROM probes('{"resourceType":"Observation","performer":[{"reference":"Organization/3"},{"reference":"http://a.org/Practitioner/7"},{"reference":"urn:uuid:9"},{"reference":"#c"},{"resourceType":"Practitioner","id":"8"},{"display":"Practitioner/10"},{"id":"11"},{"resourceType":"Practitioner","id":"12","reference":"#d"}]}', 'performer',
	'Organization/3', 'http://a.org/Practitioner/7', 'http://a.org/Practitioner/7/_history/1', 'Practitioner/7', 'urn:uuid:9', '#c', 'Practitioner/8', 'Practitioner/10', 'Practitioner/11', 'Practitioner/12');
SELECT probe('{"resourceType":"Observation","subject":{"reference":"https://a.org/fhir/Patient/1"}}', 'subject', 'Patient/1', 'R4', 'https://a.org/fhir/') AS own,
	probe('{"resourceType":"Observation","subject":{"reference":"Patient/1"}}', 'subject', 'https://a.org/fhir/Patient/1', 'R4', 'https://a.org/fhir/') AS own_value,
	probe('{"resourceType":"Observation","subject":{"reference":"Patient/1"}}', 'subject', 'https://a.org/fhir/Patient/1', 'R4') AS no_base,
	probe('{"resourceType":"Observation","subject":{"reference":"https://b.org/fhir/Patient/1"}}', 'subject', 'Patient/1', 'R4', 'https://a.org/fhir') AS other;

-- resolve() is Patient: a reference of another type does not count, the id alone does.
SELECT * FROM probes('{"resourceType":"Observation","subject":{"reference":"Patient/1"}}', 'patient', '1', 'Patient/1', 'Group/1');
SELECT * FROM probes('{"resourceType":"Observation","subject":{"reference":"Group/1"}}', 'patient', '1', 'Group/1');
SELECT * FROM probes('{"resourceType":"Observation","subject":{"resourceType":"Patient","id":"1"}}', 'patient', '1', '2');

-- Date: the interval of the value contains that of the element.
SELECT * FROM probes('{"resourceType":"Observation","effectiveDateTime":"2020-01-15"}', 'date',
	'2020-01-15', '2020-01', '2020', '2020-01-15T10:00', '2020-01-16', 'eq2020-01-15', 'ne2020-01-15', 'ne2020-01-14',
	'gt2020-01-14', 'gt2020-01-15', 'gt2020-01-15T12:00', 'lt2020-01-16', 'lt2020-01-15', 'lt2020-01-15T12:00Z', 'ge2020-01-15', 'ge2020-01-16', 'le2020-01-15', 'le2020-01-14',
	'sa2020-01-14', 'sa2020-01-15', 'eb2020-01-16', 'eb2020-01-15', '2019,2020');
SELECT * FROM probes('{"resourceType":"Observation","effectiveDateTime":"2020-01-15T23:30:00-05:00"}', 'date',
	'2020-01-15', '2020-01-16', '2020-01-16T04:30', '2020-01-16T04:30:00Z', '2020-01-16T05:30:00+01:00', '2020-01-16T04:30:00.0Z');
SELECT * FROM probes('{"resourceType":"Observation","effectiveDateTime":"2020-01-15T10:00:00.1234567Z"}', 'date',
	'2020-01-15T10:00:00.123456Z', '2020-01-15T10:00:00.1Z', '2020-01-15T10:00:00.2Z');

-- Only real dates are values; nothing is read leniently.
SELECT * FROM probes('{"resourceType":"Observation","effectiveDateTime":"2020-02-29"}', 'date',
	'2020-02-29', '2019-02-29', '2020-13', '2020-00', '2020-02-30', '2020-2-29', '0000', '0001', '9999', '10000', '20', '2020-', '2020-02-', '2020-02-29T', '2020-02-29T10', '2020-02-29T24:00', '2020-02-29T10:60',
	'2020-02-29T10:00:61', '2020-02-29T23:59:60Z', '2020-02-29T10:00:00.', '2020-02-29T10:00+14:00', '2020-02-29T10:00+14:01', '2020-02-29T10:00z', '2020-02-29 10:00', '2020-02-29Z', 'ap2020', 'xx2020', 'EQ2020', 'ge', 'eqge2020', ' 2020', 'now', 'infinity');

-- The answer does not follow the session's TimeZone.
SET TimeZone = 'Pacific/Auckland';
SELECT * FROM probes('{"resourceType":"Observation","effectiveDateTime":"2020-01-15T00:30:00Z"}', 'date', '2020-01-15', '2020-01-14');
RESET TimeZone;

-- Periods: an absent end is open, a malformed one spoils the element, "ne" included.
SELECT p, v, probe(jsonb_build_object('resourceType', 'Observation', 'effectivePeriod', p::jsonb), 'date', v)
FROM unnest(ARRAY['{"start":"2020-01-01","end":"2020-01-31"}', '{"start":"2020-01-01"}', '{"end":"2020-01-31"}', '{}', '{"start":"x","end":"2020-01-31"}', '{"start":"2020-02-01","end":"2020-01-31"}']) WITH ORDINALITY p(p, n),
	unnest(ARRAY['2020-01', '2020-01-15', 'ge2020-01-31', 'sa2019', 'eb2021', 'gt2030', 'lt2000', 'ne2020-01']) WITH ORDINALITY v(v, m)
ORDER BY n, m;

-- Timing: its outer limits.
SELECT t, v, probe(jsonb_build_object('resourceType', 'Observation', 'effectiveTiming', t::jsonb), 'date', v)
FROM unnest(ARRAY['{"event":["2020-01-01","2020-03-01"]}', '{"repeat":{"boundsPeriod":{"start":"2020-01-01","end":"2020-12-31"}}}', '{"event":["2020-01-01","x"]}', '{"repeat":{"count":3}}']) WITH ORDINALITY t(t, n),
	unnest(ARRAY['2020', '2020-01', 'sa2019', 'ne2019']) WITH ORDINALITY v(v, m)
ORDER BY n, m;

-- What is unknown, unsupported or no constraint grants nothing, and says why.
SELECT p, probe('{"resourceType":"Observation","category":[{"coding":[{"code":"x"}]}],"valueQuantity":{"value":5}}', p, 'x')
FROM unnest(ARRAY['foo', '', 'Category', 'category ', 'clinical-status', 'category:not', 'category:in', 'subject.name', 'subject:Patient.name', '_count', '_sort', '_include', '_revinclude', '_summary',
	'_has', '_has:Provenance:target:agent', '_list', '_filter', '_text', '_content', '_query', '_type', '_in', 'value-quantity', 'code-value-quantity']) WITH ORDINALITY AS t(p, n) ORDER BY n;
SELECT probe('{"resourceType":"Patient","deceasedBoolean":true}', 'deceased', 'true'),
	probe('{"resourceType":"RiskAssessment","prediction":[{"probabilityDecimal":1}]}', 'probability', '1'),
	probe('{"resourceType":"Location"}', 'near', '1|2'),
	probe('{"resourceType":"Nothing"}', '_id', '1'),
	probe('{"resourceType":"Parameters","id":"1"}', '_id', '1');

-- On "*" a constraint is valid when it is for at least one type.
SELECT p, v, probe(NULL, p, v) FROM (VALUES
	(1, 'category', 'x'), (2, 'category', 'x,'), (3, 'subject', 'Patient/1'), (4, 'patient', '1'), (5, 'subject', '1'), (6, 'value-quantity', '5'),
	(7, 'foo', 'x'), (8, 'category:in', 'x'), (9, '_tag', 'x'), (10, '_lastUpdated', 'x'), (11, '_has', 'x'), (12, 'date', '2020'), (13, 'date', 'ap2020'),
	(14, 'deceased', 'true')) t(n, p, v) ORDER BY n;

-- A fraction finer than what is compared is no value.
SELECT * FROM probes('{"resourceType":"Observation","effectiveDateTime":"2020-01-15T10:00:00.1234567Z"}', 'date', '2020-01-15T10:00:00.123456Z', '2020-01-15T10:00:00.1234567Z');

DROP FUNCTION probes, probe;
