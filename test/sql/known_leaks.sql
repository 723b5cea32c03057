-- Leaks that other SMART servers have had, one block each: none of them here.
SET client_min_messages = warning;
CREATE ROLE regress_leaks_app;
CREATE SCHEMA leaks;
GRANT USAGE ON SCHEMA leaks TO regress_leaks_app;
CREATE TABLE leaks.patient (id text PRIMARY KEY, note text, resource jsonb NOT NULL);
CREATE TABLE leaks.observation (LIKE leaks.patient INCLUDING ALL);
CREATE TABLE leaks.encounter (LIKE leaks.patient INCLUDING ALL);
CREATE TABLE leaks.organization (LIKE leaks.patient INCLUDING ALL);
CREATE TABLE leaks.practitioner (LIKE leaks.patient INCLUDING ALL);
CREATE TABLE leaks.observation_history (id text, version int, resource jsonb NOT NULL, PRIMARY KEY (id, version));
SELECT smart.protect(t::regclass, y) FROM (VALUES ('leaks.patient', 'Patient'), ('leaks.observation', 'Observation'),
	('leaks.encounter', 'Encounter'), ('leaks.organization', 'Organization'), ('leaks.practitioner', 'Practitioner'),
	('leaks.observation_history', 'Observation')) AS v(t, y);
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA leaks TO regress_leaks_app;

-- Two patients. The ids of the practitioners and organizations are those of the patients.
INSERT INTO leaks.patient SELECT p, NULL, jsonb_build_object('resourceType', 'Patient', 'id', p) FROM unnest('{1,2}'::text[]) AS p;
INSERT INTO leaks.practitioner SELECT p, NULL, jsonb_build_object('resourceType', 'Practitioner', 'id', p) FROM unnest('{1,2}'::text[]) AS p;
INSERT INTO leaks.organization SELECT p, NULL, jsonb_build_object('resourceType', 'Organization', 'id', p) FROM unnest('{1,2}'::text[]) AS p;
INSERT INTO leaks.encounter SELECT 'e' || p, NULL, jsonb_build_object('resourceType', 'Encounter', 'id', 'e' || p,
	'subject', jsonb_build_object('reference', 'Patient/' || p)) FROM unnest('{1,2}'::text[]) AS p;
CREATE FUNCTION leaks.observation(id text, subject text, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_strip_nulls(jsonb_build_object('resourceType', 'Observation', 'id', id, 'status', 'final',
		'subject', jsonb_build_object('reference', subject)) || more)
$$;
-- Each patient's in two categories; one that names patient 1 everywhere but as subject (its
-- encounter is that of patient 1, too); those about a practitioner, an organization, a group.
INSERT INTO leaks.observation VALUES
	('a1', NULL, leaks.observation('a1', 'Patient/1', '{"category": [{"coding": [{"code": "a"}]}], "encounter": {"reference": "Encounter/e1"}}')),
	('b1', NULL, leaks.observation('b1', 'Patient/1', '{"category": [{"coding": [{"code": "b"}]}], "encounter": {"reference": "Encounter/e2"}}')),
	('a2', NULL, leaks.observation('a2', 'Patient/2', '{"category": [{"coding": [{"code": "a"}]}], "encounter": {"reference": "Encounter/e2"}}')),
	('b2', NULL, leaks.observation('b2', 'Patient/2', '{"category": [{"coding": [{"code": "b"}]}],
		"encounter": {"reference": "Encounter/e1"}, "performer": [{"reference": "Patient/1"}], "focus": [{"reference": "Patient/1"}],
		"contained": [{"resourceType": "Patient", "id": "1"}]}')),
	('practitioner', NULL, leaks.observation('practitioner', 'Practitioner/1')),
	('organization', NULL, leaks.observation('organization', 'Organization/1')),
	('group', NULL, leaks.observation('group', 'Group/1')),
	('nobody', NULL, leaks.observation('nobody', NULL));
-- Version 1 of o was about patient 2: somebody had mixed them up.
INSERT INTO leaks.observation_history VALUES
	('o', 1, leaks.observation('o', 'Patient/2')), ('o', 2, leaks.observation('o', 'Patient/1')),
	('p', 1, leaks.observation('p', 'Patient/1')), ('p', 2, leaks.observation('p', 'Patient/2'));

-- Three issuers (RFC 7517 appendix A.1 has the key; nothing is signed here): of the others,
-- one's users see all, and one takes the patient from fhirUser.
SELECT smart.add_issuer(i, '{"kty": "EC", "crv": "P-256", "kid": "1", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}',
	'{https://fhir.test}', user_sees_all => i = 'https://all.leaks.test', patient_from_fhir_user => i = 'https://user.leaks.test')
FROM unnest('{https://leaks.test,https://all.leaks.test,https://user.leaks.test}'::text[]) AS i;

CREATE FUNCTION leaks.log_in(claims jsonb, interaction text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
	SELECT smart.assume(('{"aud": "https://fhir.test"}' || claims) - CASE claims -> 'aud' WHEN 'null' THEN 'aud' ELSE '' END, coalesce(claims ->> 'iss', 'https://leaks.test'), interaction => interaction)
$$;
-- What is there for the app role.
CREATE VIEW leaks.everything WITH (security_invoker = true) AS
	SELECT 'Patient' AS type, id FROM leaks.patient UNION ALL SELECT 'Observation', id FROM leaks.observation
	UNION ALL SELECT 'Encounter', id FROM leaks.encounter UNION ALL SELECT 'Organization', id FROM leaks.organization
	UNION ALL SELECT 'Practitioner', id FROM leaks.practitioner;
GRANT SELECT ON leaks.everything TO regress_leaks_app;
CREATE FUNCTION leaks.all_ids() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(type || '/' || id, ' ' ORDER BY type, id COLLATE "C") FROM leaks.everything
$$;
CREATE FUNCTION leaks.seen(claims jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	ids text;
BEGIN
	PERFORM leaks.log_in(claims);
	SET LOCAL ROLE regress_leaks_app;
	ids := leaks.all_ids();
	RESET ROLE;
	PERFORM smart.logout();
	RETURN ids;
EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
-- What a statement of a session does: the number of rows, or the error; undone again.
CREATE FUNCTION leaks.tried(claims jsonb, statement text, interaction text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	PERFORM leaks.log_in(claims, interaction);
	SET LOCAL ROLE regress_leaks_app;
	EXECUTE statement;
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE SQLSTATE 'ZZ000';
EXCEPTION
	WHEN SQLSTATE 'ZZ000' THEN RETURN n;
	WHEN OTHERS THEN RETURN SQLSTATE || ' ' || SQLERRM;
END $$;

BEGIN;
-- The control: with a patient in context there is something to see.
SELECT leaks.seen('{"scope": "patient/*.rs", "patient": "1"}');

-- A patient scope without a patient in context opens nothing, whatever stands in its place.
SELECT what, leaks.seen('{"scope": "openid fhirUser launch/patient patient/*.cruds"}' || claims) FROM (VALUES
	(1, 'neither patient nor fhirUser', '{}'::jsonb),
	(2, 'patient null', '{"patient": null}'),
	(3, 'patient empty', '{"patient": ""}'),
	(4, 'patient a wildcard', '{"patient": "*"}'),
	(5, 'patient a pattern', '{"patient": "%"}'),
	(6, 'patient a number', '{"patient": 1}'),
	(7, 'patient a list', '{"patient": ["1", "2"]}'),
	(8, 'patients by spaces', '{"patient": "1 2"}'),
	(9, 'patients by commas', '{"patient": "1,2"}'),
	(10, 'patient a reference', '{"patient": "Patient/1"}'),
	(11, 'sub is a patient', '{"sub": "1"}'),
	(12, 'fhirUser is a patient', '{"fhirUser": "Patient/1"}'),
	(13, 'an encounter only', '{"encounter": "e1"}'),
	(14, 'fhirContext only', '{"fhirContext": [{"reference": "Patient/1"}]}')) AS v(n, what, claims)
ORDER BY n;
-- So does a user scope without a user, also where users see all. A user without a rule has the
-- shared types.
SELECT leaks.seen('{"iss": "https://all.leaks.test", "scope": "user/*.cruds"}') AS no_user,
	leaks.seen('{"iss": "https://all.leaks.test", "scope": "user/*.cruds", "patient": "1"}') AS patient_but_no_user,
	leaks.seen('{"iss": "https://all.leaks.test", "scope": "user/*.cruds", "fhirUser": "https://elsewhere.test/Practitioner/1"}') AS user_of_another_server,
	leaks.seen('{"scope": "user/*.cruds", "fhirUser": "Practitioner/1"}') AS user_without_rule;

-- A server looked at the first scope of a type only: all count, in any order, each for itself.
SELECT scope, leaks.seen(jsonb_build_object('iss', 'https://all.leaks.test', 'patient', '1', 'fhirUser', 'Practitioner/1', 'scope', scope)) FROM (VALUES
	(1, 'patient/Observation.rs?category=a patient/Observation.rs?category=b'),
	(2, 'patient/Observation.rs?category=b patient/Observation.rs?category=a'),
	(3, 'patient/Observation.r patient/Observation.s'),
	(4, 'patient/Observation.r user/Observation.cud'),
	(5, 'patient/Observation.rs user/Observation.rs?category=a'),
	(6, 'user/Observation.rs?category=a patient/Observation.rs'),
	(7, 'user/Patient.c patient/Patient.rs')) AS v(n, scope)
ORDER BY n;
-- ... and the first one's constraint or level does not speak for the second's letters.
SELECT leaks.tried('{"iss": "https://all.leaks.test", "patient": "1", "fhirUser": "Practitioner/1", "scope": "user/Observation.rs patient/Observation.u"}',
		'UPDATE leaks.observation SET resource = resource') AS update_own,
	leaks.tried('{"iss": "https://all.leaks.test", "patient": "1", "fhirUser": "Practitioner/1", "scope": "user/Observation.rs patient/Observation.d?category=a"}',
		'DELETE FROM leaks.observation') AS delete_own_a;

-- A user scope of one type opened the others: user/Organization.read is no way to a patient.
SELECT scope, leaks.seen(jsonb_build_object('iss', 'https://all.leaks.test', 'patient', '1', 'fhirUser', 'Practitioner/1', 'scope', scope)) FROM (VALUES
	(1, 'user/Organization.read'),
	(2, 'user/Organization.read patient/Patient.read'),
	(3, 'user/Organization.read patient/Observation.read'),
	(4, 'system/Organization.read patient/Encounter.read')) AS v(n, scope)
ORDER BY n;
SELECT leaks.log_in('{"iss": "https://all.leaks.test", "patient": "1", "fhirUser": "Practitioner/1", "scope": "user/Organization.read"}');
SELECT t, smart.allows(t, 'r') FROM unnest('{Organization,Patient,Observation,*}'::text[]) AS t;
SELECT smart.logout();

-- A token whose scope nobody can parse left the access of before: it has none, and neither has
-- one that is refused.
SELECT smart.assume('{"aud": "https://fhir.test", "exp": 4102444800, "scope": "system/*.cruds"}', 'https://leaks.test', local => false);
SELECT count(*) FROM leaks.everything;
SET ROLE regress_leaks_app;
SELECT count(*) FROM leaks.everything;
RESET ROLE;
SELECT leaks.log_in('{"patient": "1", "scope": "patient/Patient. system/*.everything /*.read"}');
SELECT scope, smart.allows('Patient', 'r'), ignored_scopes FROM smart.session;
SET ROLE regress_leaks_app;
SELECT leaks.all_ids();
RESET ROLE;
SELECT smart.logout();
SELECT smart.assume('{"aud": "https://fhir.test", "exp": 4102444800, "scope": "system/*.cruds"}', 'https://leaks.test', local => false);
SAVEPOINT s;
\set VERBOSITY terse
SELECT leaks.log_in('{"aud": "https://elsewhere.test", "scope": "system/*.cruds"}');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK TO s;
SET ROLE regress_leaks_app;
SELECT leaks.all_ids();
RESET ROLE;
SELECT what, leaks.seen('{"patient": "1", "iss": "https://all.leaks.test", "fhirUser": "Practitioner/1"}' || claims) FROM (VALUES
	(1, 'none', '{}'::jsonb),
	(2, 'null', '{"scope": null}'),
	(3, 'empty', '{"scope": ""}'),
	(4, 'malformed', '{"scope": "patient/*.everything user/.rs system/*.sr"}'),
	(5, 'unknown', '{"scope": "fhir all * */*.* patient.*.read"}'),
	(6, 'commas', '{"scope": "patient/*.rs,user/*.rs"}'),
	(7, 'tabs', '{"scope": "patient/*.rs\tuser/*.rs"}'),
	(8, 'array of one text', '{"scope": ["patient/*.rs user/*.rs"]}'),
	(9, 'object', '{"scope": {"patient/*.rs": true}}'),
	(10, 'true', '{"scope": true}')) AS v(n, what, claims)
ORDER BY n;

-- Included rows left the compartment: a join shows the rows that a query of their own would show.
SELECT leaks.log_in('{"scope": "patient/Observation.rs patient/Encounter.rs", "patient": "1"}');
SET ROLE regress_leaks_app;
-- _include: the encounter of patient 2 is missing; the patient, whose type has no scope, too
SELECT o.id, e.id AS encounter, p.id AS patient FROM leaks.observation AS o
LEFT JOIN leaks.encounter AS e ON 'Encounter/' || e.id = o.resource #>> '{encounter,reference}'
LEFT JOIN leaks.patient AS p ON 'Patient/' || p.id = o.resource #>> '{subject,reference}'
ORDER BY o.id;
-- _revinclude: the observation of patient 2 at the encounter of patient 1 is missing
SELECT e.id, o.id AS observation FROM leaks.encounter AS e
LEFT JOIN leaks.observation AS o ON o.resource #>> '{encounter,reference}' = 'Encounter/' || e.id ORDER BY e.id, o.id;
-- chained parameters, totals and existence see no more
SELECT count(*), count(*) FILTER (WHERE EXISTS (SELECT FROM leaks.encounter AS e WHERE 'Encounter/' || e.id = o.resource #>> '{encounter,reference}')) AS with_encounter,
	(SELECT count(*) FROM leaks.observation WHERE id = 'a2') AS a2, (SELECT max(id COLLATE "C") FROM leaks.observation) AS last FROM leaks.observation AS o;
-- History: each version by its own content.
SELECT id, version FROM leaks.observation_history ORDER BY id, version;
RESET ROLE;
SELECT smart.logout();

-- A create passed because some reference is the own patient: the subject decides, and it alone.
SELECT what, leaks.tried('{"scope": "patient/*.cruds", "patient": "1"}', format('INSERT INTO leaks.%I VALUES (''new'', NULL, %L)', relation, resource)) FROM (VALUES
	(1, 'observation', 'subject own', leaks.observation('new', 'Patient/1')),
	(2, 'observation', 'performer own', leaks.observation('new', 'Patient/2', '{"performer": [{"reference": "Patient/1"}]}')),
	(3, 'observation', 'performer own, no subject', leaks.observation('new', NULL, '{"performer": [{"reference": "Patient/1"}]}')),
	(4, 'observation', 'focus own', leaks.observation('new', 'Patient/2', '{"focus": [{"reference": "Patient/1"}]}')),
	(5, 'observation', 'encounter own', leaks.observation('new', 'Patient/2', '{"encounter": {"reference": "Encounter/e1"}}')),
	(6, 'observation', 'contained own', leaks.observation('new', '#p', '{"contained": [{"resourceType": "Patient", "id": "1"}, {"resourceType": "Observation", "id": "p", "subject": {"reference": "Patient/1"}}]}')),
	(7, 'observation', 'extension own', leaks.observation('new', 'Patient/2', '{"extension": [{"url": "urn:x", "valueReference": {"reference": "Patient/1"}}]}')),
	(8, 'observation', 'two subjects', leaks.observation('new', NULL, '{"subject": [{"reference": "Patient/1"}, {"reference": "Patient/2"}]}')),
	(9, 'observation', 'identifier own', leaks.observation('new', NULL, '{"subject": {"type": "Patient", "identifier": {"value": "1"}}}')),
	(10, 'observation', 'own id on another server', leaks.observation('new', 'https://elsewhere.test/Patient/1')),
	(11, 'observation', 'type of another table', '{"resourceType": "Patient", "id": "1"}'),
	(12, 'patient', 'the own patient again', '{"resourceType": "Patient", "id": "1"}'),
	(13, 'patient', 'another, linked to the own', '{"resourceType": "Patient", "id": "new", "link": [{"other": {"reference": "Patient/1"}, "type": "seealso"}]}'),
	(14, 'encounter', 'participant own', '{"resourceType": "Encounter", "id": "new", "subject": {"reference": "Patient/2"}, "participant": [{"individual": {"reference": "Patient/1"}}]}'),
	(15, 'organization', 'shared type', '{"resourceType": "Organization", "id": "new"}')) AS v(n, relation, what, resource)
ORDER BY n;

-- A patch that touches no element of the compartment passed: the row as it stands is asked too.
SELECT what, leaks.tried('{"scope": "patient/*.cruds", "patient": "1"}', statement, interaction) FROM (VALUES
	(1, 'status of the own', NULL, $$UPDATE leaks.observation SET resource = jsonb_set(resource, '{status}', '"amended"') WHERE id = 'a1'$$),
	(2, 'status of another''s', NULL, $$UPDATE leaks.observation SET resource = jsonb_set(resource, '{status}', '"amended"') WHERE id = 'a2'$$),
	(3, 'the same as patch', 'patch', $$UPDATE leaks.observation SET resource = jsonb_set(resource, '{status}', '"amended"') WHERE id = 'a2'$$),
	(4, 'of one whose performer is own', 'patch', $$UPDATE leaks.observation SET resource = jsonb_set(resource, '{status}', '"amended"') WHERE id = 'b2'$$),
	(5, 'another column', 'patch', $$UPDATE leaks.observation SET note = 'x' WHERE id = 'a2'$$),
	(6, 'without a condition', 'patch', $$UPDATE leaks.observation SET note = 'x'$$),
	(7, 'by the row of the own', 'patch', $$UPDATE leaks.observation AS o SET note = 'x' FROM leaks.observation AS own WHERE own.id = 'a1' AND o.id <> own.id$$),
	(8, 'own row to another patient', 'patch', $$UPDATE leaks.observation SET resource = jsonb_set(resource, '{subject,reference}', '"Patient/2"') WHERE id = 'a1'$$),
	(9, 'own row to nobody', 'patch', $$UPDATE leaks.observation SET resource = resource - 'subject' WHERE id = 'a1'$$),
	(10, 'another''s row to the own patient', 'patch', $$UPDATE leaks.observation SET resource = jsonb_set(resource, '{subject,reference}', '"Patient/1"') WHERE id = 'a2'$$),
	(11, 'own row to another type', 'patch', $$UPDATE leaks.observation SET resource = jsonb_set(resource, '{resourceType}', '"Patient"') WHERE id = 'a1'$$),
	(12, 'own patient to another id', 'patch', $$UPDATE leaks.patient SET resource = jsonb_set(resource, '{id}', '"2"') WHERE id = '1'$$),
	(13, 'update as create over another''s row', 'update', $$INSERT INTO leaks.observation VALUES ('a2', NULL, leaks.observation('a2', 'Patient/1'))
		ON CONFLICT (id) DO UPDATE SET resource = excluded.resource$$),
	(14, 'update as create over the own', 'update', $$INSERT INTO leaks.observation VALUES ('a1', NULL, leaks.observation('a1', 'Patient/1'))
		ON CONFLICT (id) DO UPDATE SET resource = excluded.resource$$),
	(15, 'merge over all', NULL, $$MERGE INTO leaks.observation AS o USING (VALUES ('a1'), ('a2')) AS v(id) ON o.id = v.id WHEN MATCHED THEN UPDATE SET note = 'x'$$)) AS v(n, what, interaction, statement)
ORDER BY n;

-- Deletes and conditional deletes went outside the compartment.
SELECT what, leaks.tried('{"scope": "patient/*.cruds", "patient": "1"}', statement, interaction) FROM (VALUES
	(1, 'own', NULL, $$DELETE FROM leaks.observation WHERE id = 'a1'$$),
	(2, 'another''s', NULL, $$DELETE FROM leaks.observation WHERE id = 'a2'$$),
	(3, 'another''s, declared', 'delete', $$DELETE FROM leaks.observation WHERE id = 'a2'$$),
	(4, 'one whose performer is own', 'delete', $$DELETE FROM leaks.observation WHERE id = 'b2'$$),
	(5, 'conditional: by category', 'delete', $$DELETE FROM leaks.observation WHERE resource @> '{"category": [{"coding": [{"code": "a"}]}]}'$$),
	(6, 'conditional: by patient 2', 'delete', $$DELETE FROM leaks.observation WHERE resource @> '{"subject": {"reference": "Patient/2"}}'$$),
	(7, 'conditional: without a condition', 'delete', $$DELETE FROM leaks.observation$$),
	(8, 'by a join', 'delete', $$DELETE FROM leaks.observation AS o USING leaks.encounter AS e WHERE 'Encounter/' || e.id = o.resource #>> '{encounter,reference}'$$),
	(9, 'history', 'delete', $$DELETE FROM leaks.observation_history$$),
	(10, 'shared types', 'delete', $$DELETE FROM leaks.organization$$),
	(11, 'patients', 'delete', $$DELETE FROM leaks.patient$$)) AS v(n, what, interaction, statement)
ORDER BY n;
-- s, r and u are no d.
SELECT leaks.tried('{"scope": "patient/*.crus", "patient": "1"}', 'DELETE FROM leaks.observation') AS without_d,
	leaks.tried('{"scope": "patient/*.crus", "patient": "1"}', 'DELETE FROM leaks.observation', 'delete') AS declared;

-- The id of a practitioner was taken for that of a patient: there is a patient and a
-- practitioner 2.
SELECT fhir_user, leaks.seen(jsonb_build_object('iss', 'https://user.leaks.test', 'scope', 'patient/Patient.rs patient/Observation.rs', 'fhirUser', fhir_user)) AS patient,
	leaks.seen(jsonb_build_object('iss', 'https://user.leaks.test', 'scope', 'user/Patient.rs user/Observation.rs', 'fhirUser', fhir_user)) AS "user" FROM (VALUES
	(1, 'Patient/2'),
	(2, 'https://fhir.test/Patient/2'),
	(3, 'Practitioner/2'),
	(4, 'https://fhir.test/Practitioner/2'),
	(5, 'PractitionerRole/2'),
	(6, 'RelatedPerson/2'),
	(7, 'Person/2'),
	(8, 'https://elsewhere.test/Patient/2'),
	(9, '2'),
	(10, 'Patient/2/_history/1'),
	(11, 'xPatient/2'),
	(12, 'https://fhir.test/Practitioner/1/Patient/2')) AS v(n, fhir_user)
ORDER BY n;
-- The context of a session that has both stays what the claim patient says; rows about the
-- practitioner, the organization or the group 1 are not about patient 1.
SELECT leaks.seen('{"iss": "https://user.leaks.test", "scope": "patient/Observation.rs", "patient": "1", "fhirUser": "Practitioner/2"}');
-- A token for one FHIR base opened another that is served from the same database: a table of a
-- base is open to tokens whose aud (or, without one, whose issuer's base_urls) names it. In each
-- table, row 1 names patient 1 relatively, row 2 and 3 under the one base and the other.
SAVEPOINT bases;
SELECT smart.add_issuer(i, '{"kty": "EC", "crv": "P-256", "kid": "1", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}',
	'{https://one.test,https://two.test/fhir}', base_urls => CASE i WHEN 'https://default.leaks.test' THEN '{https://two.test/fhir}'::text[] END)
FROM unnest('{https://leaks.test,https://default.leaks.test}'::text[]) AS i;
CREATE TABLE leaks.one (LIKE leaks.observation INCLUDING ALL);
CREATE TABLE leaks.two (LIKE leaks.observation INCLUDING ALL);
CREATE TABLE leaks.any (LIKE leaks.observation INCLUDING ALL);
INSERT INTO leaks.any VALUES ('1', NULL, leaks.observation('1', 'Patient/1')), ('2', NULL, leaks.observation('2', 'https://one.test/Patient/1')),
	('3', NULL, leaks.observation('3', 'https://two.test/fhir/Patient/1'));
INSERT INTO leaks.one SELECT * FROM leaks.any;
INSERT INTO leaks.two SELECT * FROM leaks.any;
SELECT smart.protect('leaks.one', 'Observation', base_url => 'https://one.test'),
	smart.protect('leaks.two', 'Observation', base_url => 'https://two.test/fhir/'), smart.protect('leaks.any', 'Observation');
GRANT SELECT, INSERT, UPDATE, DELETE ON leaks.one, leaks.two, leaks.any TO regress_leaks_app;
CREATE FUNCTION leaks.seen_of_bases(claims jsonb) RETURNS TABLE (one text, two text, "any" text, functions_agree boolean) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM leaks.log_in(claims);
	SET LOCAL ROLE regress_leaks_app;
	one := (SELECT string_agg(id, ' ' ORDER BY id) FROM leaks.one);
	two := (SELECT string_agg(id, ' ' ORDER BY id) FROM leaks.two);
	"any" := (SELECT string_agg(id, ' ' ORDER BY id) FROM leaks.any);
	RESET ROLE;
	functions_agree := one IS NOT DISTINCT FROM (SELECT string_agg(id, ' ' ORDER BY id) FROM leaks.one AS o WHERE smart.permits_row(o, 'r'))
		AND one IS NOT DISTINCT FROM (SELECT string_agg(id, ' ' ORDER BY id) FROM leaks.one WHERE smart.permits(resource, 'r', 'leaks.one'))
		AND two IS NOT DISTINCT FROM (SELECT string_agg(id, ' ' ORDER BY id) FROM leaks.two AS o WHERE smart.permits_row(o, 'r'))
		AND two IS NOT DISTINCT FROM (SELECT string_agg(id, ' ' ORDER BY id) FROM leaks.two WHERE smart.permits(resource, 'r', 'leaks.two'));
	PERFORM smart.logout();
	RETURN NEXT;
END $$;
SELECT what, s.* FROM (VALUES
	(1, 'one', '{"aud": "https://one.test"}'::jsonb),
	(2, 'two', '{"aud": "https://two.test/fhir"}'),
	(3, 'both', '{"aud": ["https://one.test", "https://two.test/fhir"]}'),
	(4, 'one and a stranger', '{"aud": ["https://elsewhere.test", "https://one.test"]}'),
	(5, 'none', '{"aud": null}'),
	(6, 'none, by the issuer two', '{"aud": null, "iss": "https://default.leaks.test"}'),
	(7, 'one, by the issuer two', '{"aud": "https://one.test", "iss": "https://default.leaks.test"}'),
	(8, 'one, system', '{"aud": "https://one.test", "scope": "system/*.rs"}')) AS v(n, what, claims),
	LATERAL leaks.seen_of_bases('{"scope": "patient/*.cruds", "patient": "1"}' || claims) AS s
ORDER BY n;
SELECT statement, leaks.tried('{"aud": "https://one.test", "scope": "patient/*.cruds", "patient": "1"}', format(statement, 'one')) AS one,
	leaks.tried('{"aud": "https://one.test", "scope": "patient/*.cruds", "patient": "1"}', format(statement, 'two')) AS two,
	leaks.tried('{"aud": "https://one.test", "scope": "system/*.cruds"}', format(statement, 'two')) AS two_system FROM (VALUES
	(1, 'INSERT INTO leaks.%s SELECT ''4'', NULL, leaks.observation(''4'', ''Patient/1'')'),
	(2, 'UPDATE leaks.%s SET resource = resource'),
	(3, 'DELETE FROM leaks.%s')) AS v(n, statement)
ORDER BY n;
ROLLBACK TO bases;
COMMIT;

DROP SCHEMA leaks CASCADE;
DROP ROLE regress_leaks_app;
SELECT count(smart.drop_issuer(i)) FROM unnest('{https://leaks.test,https://all.leaks.test,https://user.leaks.test}'::text[]) AS i;
