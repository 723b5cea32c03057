-- The granular scopes that US Core and HTI-1 require (smart-rules G-13, G-14, G-16 to G-18),
-- through row-level security.
SET client_min_messages = warning;
CREATE ROLE regress_granular_app;
CREATE SCHEMA granular;
GRANT USAGE ON SCHEMA granular TO regress_granular_app;
CREATE TABLE granular.patient (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE granular.condition (LIKE granular.patient INCLUDING ALL);
CREATE TABLE granular.observation (LIKE granular.patient INCLUDING ALL);
CREATE TABLE granular.document_reference (LIKE granular.patient INCLUDING ALL);
SELECT smart.protect(t::regclass, y) FROM (VALUES ('granular.patient', 'Patient'), ('granular.condition', 'Condition'),
	('granular.observation', 'Observation'), ('granular.document_reference', 'DocumentReference')) AS v(t, y);
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA granular TO regress_granular_app;
-- the key is that of RFC 7517 appendix A.1; nothing is signed here
SELECT smart.add_issuer('https://granular.test',
	'{"kty": "EC", "crv": "P-256", "kid": "1", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}',
	'{https://fhir.test}', user_sees_all => true);
CREATE TABLE granular.required (n serial, type text, system text, code text);
INSERT INTO granular.required (type, system, code) VALUES
	('Condition', 'http://terminology.hl7.org/CodeSystem/condition-category', 'encounter-diagnosis'),
	('Condition', 'http://terminology.hl7.org/CodeSystem/condition-category', 'problem-list-item'),
	('Condition', 'http://hl7.org/fhir/us/core/CodeSystem/condition-category', 'health-concern'),
	('Observation', 'http://terminology.hl7.org/CodeSystem/observation-category', 'laboratory'),
	('Observation', 'http://terminology.hl7.org/CodeSystem/observation-category', 'social-history'),
	('Observation', 'http://terminology.hl7.org/CodeSystem/observation-category', 'survey'),
	('Observation', 'http://terminology.hl7.org/CodeSystem/observation-category', 'vital-signs'),
	('Observation', 'http://hl7.org/fhir/us/core/CodeSystem/us-core-category', 'sdoh'),
	('DocumentReference', 'http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category', 'clinical-note');

CREATE FUNCTION granular.resource(type text, id text, patient text, category jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_strip_nulls(jsonb_build_object('resourceType', type, 'id', id, 'status', 'final',
		'subject', jsonb_build_object('reference', 'Patient/' || patient), 'category', category))
$$;
CREATE FUNCTION granular.concept(VARIADIC codings jsonb[]) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('coding', to_jsonb(codings))
$$;
-- For each code, rows that it finds: bare, beside another category, as the second coding; and
-- rows that it does not: the code of another system or of none, the text alone, the code in
-- capitals. In the name after @: the patient when it is not 1.
CREATE TABLE granular.row AS
	SELECT r.type, r.code || v.suffix AS id, granular.resource(r.type, r.code || v.suffix, v.patient, v.category) AS resource
	FROM granular.required AS r, LATERAL (SELECT jsonb_build_object('system', r.system, 'code', r.code) AS coding) AS s,
		LATERAL (VALUES ('', '1', jsonb_build_array(granular.concept(coding))),
			('+', '1', jsonb_build_array(granular.concept('{"system": "urn:x", "code": "x"}'), granular.concept(coding))),
			('++', '1', jsonb_build_array(granular.concept('{"system": "urn:x", "code": "x"}', coding))),
			('@2', '2', jsonb_build_array(granular.concept(coding))),
			('-system', '1', jsonb_build_array(granular.concept(coding || '{"system": "urn:x"}'))),
			('-no-system', '1', jsonb_build_array(granular.concept(coding - 'system'))),
			('-text', '1', jsonb_build_array(jsonb_build_object('text', r.code))),
			('-capitals', '1', jsonb_build_array(granular.concept(coding || jsonb_build_object('code', upper(r.code)))))
		) AS v(suffix, patient, category)
	UNION ALL
	SELECT t, 'uncategorized', granular.resource(t, 'uncategorized', '1', NULL)
	FROM unnest('{Condition,Observation,DocumentReference}'::text[]) AS t;
INSERT INTO granular.patient SELECT p, jsonb_build_object('resourceType', 'Patient', 'id', p) FROM unnest('{1,2}'::text[]) AS p;
INSERT INTO granular.condition SELECT id, resource FROM granular.row WHERE type = 'Condition';
INSERT INTO granular.observation SELECT id, resource FROM granular.row WHERE type = 'Observation';
INSERT INTO granular.document_reference SELECT id, resource FROM granular.row WHERE type = 'DocumentReference';

-- What a scope of patient 1, whose user is a practitioner, shows: the rows of all tables.
CREATE FUNCTION granular.seen(scope text, interaction text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	ids text;
BEGIN
	PERFORM smart.assume(jsonb_build_object('scope', scope, 'patient', '1', 'fhirUser', 'Practitioner/1', 'aud', 'https://fhir.test'),
		'https://granular.test', interaction => interaction);
	SET LOCAL ROLE regress_granular_app;
	SELECT string_agg(type || '/' || id, ' ' ORDER BY type, id COLLATE "C") INTO ids
	FROM (SELECT 'Patient' AS type, id FROM granular.patient UNION ALL SELECT 'Condition', id FROM granular.condition
		UNION ALL SELECT 'Observation', id FROM granular.observation
		UNION ALL SELECT 'DocumentReference', id FROM granular.document_reference) AS r;
	RESET ROLE;
	PERFORM smart.logout();
	RETURN ids;
END $$;

-- What a statement does under a scope: the number of rows or the SQLSTATE; undone again.
CREATE FUNCTION granular.tried(scope text, statement text, interaction text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	PERFORM smart.assume(jsonb_build_object('scope', scope, 'patient', '1', 'aud', 'https://fhir.test'),
		'https://granular.test', interaction => interaction);
	SET LOCAL ROLE regress_granular_app;
	EXECUTE statement;
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE SQLSTATE 'ZZ000';
EXCEPTION
	WHEN SQLSTATE 'ZZ000' THEN RETURN n;
	WHEN OTHERS THEN RETURN SQLSTATE || ' ' || SQLERRM;
END $$;

-- A session lasts as long as the transaction.
BEGIN;
-- Each required scope of patient/ shows the patient's three rows of the code, and no others.
SELECT type, code, granular.seen(format('patient/%s.rs?category=%s|%s', type, system, code))
FROM granular.required ORDER BY n;

-- The percent-encoded form is the same scope; v1's .read takes no constraint and grants nothing.
SELECT type, code,
	granular.seen(format('patient/%s.rs?category=%s', type, replace(replace(replace(system, ':', '%3A'), '/', '%2F') || '%7C', '|', '%7C') || code))
		= granular.seen(format('patient/%s.rs?category=%s|%s', type, system, code)) AS same,
	granular.seen(format('patient/%s.read?category=%s|%s', type, system, code)) AS v1
FROM granular.required ORDER BY n;

-- user/ (this user sees all) and system/ show those of the other patient too.
SELECT level, type, code, granular.seen(format('%s/%s.rs?category=%s|%s', level, type, system, code))
FROM granular.required, unnest('{user,system}'::text[]) AS level ORDER BY level, n;

-- The code without a system: any system, none too; still not the text nor another case.
SELECT granular.seen('patient/Observation.rs?category=laboratory') AS code,
	granular.seen('patient/Observation.rs?category=|laboratory') AS no_system;
-- A system without a code: all of its codes.
SELECT granular.seen('patient/Condition.rs?category=http://terminology.hl7.org/CodeSystem/condition-category|') AS system;
-- US Core's table once misspelt the system of social-history: taken literally, it finds nothing (G-18).
SELECT granular.seen('patient/Observation.rs?category=http://terminology.hl7.org//CodeSystem-observation-category|social-history') AS misspelt;
-- health-concern and sdoh are codes of US Core, not of terminology.hl7.org (G-18).
SELECT granular.seen('patient/Condition.rs?category=http://terminology.hl7.org/CodeSystem/condition-category|health-concern'
	' patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|sdoh') AS other_system;

-- Several scopes: the union. Pairs in one scope: all of them. Commas: any of them (G-2, G-3).
SELECT granular.seen('patient/Condition.rs?category=http://terminology.hl7.org/CodeSystem/condition-category|encounter-diagnosis'
	' patient/Observation.rs?category=http://hl7.org/fhir/us/core/CodeSystem/us-core-category|sdoh') AS "union";
SELECT granular.seen('patient/Observation.rs?category=urn:x|x&category=http://hl7.org/fhir/us/core/CodeSystem/us-core-category|sdoh') AS both,
	granular.seen('patient/Observation.rs?category=sdoh&status=final') = granular.seen('patient/Observation.rs?category=sdoh') AS status,
	granular.seen('patient/Observation.rs?category=sdoh&status=amended') AS other_status;
SELECT granular.seen('patient/Observation.rs?category=http://hl7.org/fhir/us/core/CodeSystem/us-core-category|sdoh,'
	'http://terminology.hl7.org/CodeSystem/observation-category|survey') AS "either";
-- r and s by different constraints: a bare SELECT needs both, a declared interaction its own.
SELECT granular.seen('patient/Condition.r?category=urn:x| patient/Condition.s?category=encounter-diagnosis') AS both_letters;
SELECT granular.seen('patient/Condition.r?category=urn:x| patient/Condition.s?category=encounter-diagnosis', 'read') AS read;
SELECT granular.seen('patient/Condition.r?category=urn:x| patient/Condition.s?category=encounter-diagnosis', 'search') AS search;
-- The scope of the whole type beside a granular one: the whole type, for this patient (SC-22, G-16).
SELECT granular.seen('patient/Condition.rs patient/Condition.rs?category=x') = granular.seen('patient/Condition.rs') AS whole;
-- A constraint that this server cannot decide grants nothing (G-6, G-7, G-9, G-10).
SELECT s, granular.seen('patient/Observation.rs?' || s) FROM unnest('{category:not=laboratory,category:in=http://x,category:missing=true,subject.name=x,_count=1,_include=Observation:subject,unknown=x,category=laboratory&unknown=x}'::text[]) AS s;

-- On * a constraint holds for the types that have the parameter, and opens no others (G-13).
SELECT granular.seen('patient/*.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory') AS one_type;
SELECT granular.seen('patient/*.rs?category=urn:x|x') AS types;
SELECT granular.seen('patient/*.rs?_id=1') AS common;
SELECT granular.seen('patient/*.rs?clinical-status=active') AS no_row_has_it;

-- Writing: the new row must match on create, the old and the new row on update, the old row on
-- delete (G-14).
\set lab 'patient/Observation.cruds?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory'
SELECT what, granular.tried(:'lab', statement) FROM (VALUES
	(1, 'create, matching', $$INSERT INTO granular.observation VALUES ('new', granular.resource('Observation', 'new', '1',
		'[{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}]'))$$),
	(2, 'create, of another category', $$INSERT INTO granular.observation VALUES ('new', granular.resource('Observation', 'new', '1',
		'[{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "survey"}]}]'))$$),
	(3, 'create, without category', $$INSERT INTO granular.observation VALUES ('new', granular.resource('Observation', 'new', '1', NULL))$$),
	(4, 'create, matching, of patient 2', $$INSERT INTO granular.observation VALUES ('new', granular.resource('Observation', 'new', '2',
		'[{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}]'))$$),
	(5, 'update that keeps the category', $$UPDATE granular.observation SET resource = resource || '{"status": "amended"}' WHERE id = 'laboratory'$$),
	(6, 'update that takes the category away', $$UPDATE granular.observation SET resource = resource - 'category' WHERE id = 'laboratory'$$),
	(7, 'update that adds a category', $$UPDATE granular.observation SET resource = jsonb_set(resource, '{category,1}', '{"text": "x"}') WHERE id = 'laboratory'$$),
	(8, 'update of another category', $$UPDATE granular.observation SET resource = resource || '{"status": "amended"}' WHERE id = 'survey'$$),
	(9, 'update that gives another one the category', $$UPDATE granular.observation SET resource = jsonb_set(resource, '{category,0,coding,0,code}', '"laboratory"') WHERE id = 'survey'$$),
	(10, 'update of all', $$UPDATE granular.observation SET resource = resource || '{"status": "amended"}'$$),
	(11, 'delete, matching', $$DELETE FROM granular.observation WHERE id = 'laboratory'$$),
	(12, 'delete of another category', $$DELETE FROM granular.observation WHERE id = 'survey'$$),
	(13, 'delete of all', $$DELETE FROM granular.observation$$)) AS v(n, what, statement)
ORDER BY n;
-- Reading widely does not widen writing.
SELECT granular.tried('patient/Observation.rs ' || replace(:'lab', 'cruds', 'cud'), $$UPDATE granular.observation SET resource = resource WHERE id = 'survey'$$) AS "update",
	granular.tried('patient/Observation.rs ' || replace(:'lab', 'cruds', 'cud'), $$DELETE FROM granular.observation$$) AS "delete";

COMMIT;
DROP SCHEMA granular CASCADE;
DROP ROLE regress_granular_app;
SELECT smart.drop_issuer('https://granular.test');
