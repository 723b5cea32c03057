-- O. allows() and require() answer for the tables as they are protected: a type that shared => true opened is allowed, and
-- so is one with patients; what a table says of itself is data, whoever wrote it.
\set VERBOSITY default
SET client_min_messages = warning;
CREATE ROLE allows_app;
CREATE ROLE allows_other;
CREATE SCHEMA allows_test;
CREATE SCHEMA allows_evil AUTHORIZATION allows_other;
GRANT USAGE ON SCHEMA allows_test TO allows_app;
SELECT smart.add_issuer('https://allows.example.org',
  '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}', '{https://allows.example.org/fhir}');
CREATE FUNCTION allows_test.be(scope text, more jsonb DEFAULT '{"patient": "1"}') RETURNS void LANGUAGE sql SECURITY DEFINER AS
$$ SELECT smart.assume(jsonb_build_object('scope', scope, 'exp', 4000000000) || more, 'https://allows.example.org', false) $$;
GRANT EXECUTE ON FUNCTION allows_test.be(text, jsonb) TO PUBLIC;
CREATE FUNCTION allows_test.answers(VARIADIC types text[]) RETURNS TABLE (resource_type text, letters text) LANGUAGE sql AS $$
  SELECT t, string_agg(l, '' ORDER BY m) FILTER (WHERE smart.allows(t, l)) FROM unnest(types) WITH ORDINALITY AS u (t, n), unnest('{c,r,u,d,s}'::text[]) WITH ORDINALITY AS v (l, m) GROUP BY t, n ORDER BY n $$;

SELECT allows_test.be('patient/*.cruds');
SELECT * FROM allows_test.answers('Observation', 'Organization', 'Questionnaire', 'Library', 'Device', 'Task', 'Binary', 'Nonsense', '*');
-- one shared table, one with keys, one of R5, one of another base, one of many types
CREATE TABLE allows_test.questionnaire (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE allows_test.device (id text PRIMARY KEY, patient text, resource jsonb NOT NULL);
CREATE TABLE allows_test.task (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE allows_test.library (id text PRIMARY KEY, resource jsonb NOT NULL);
DO $$ BEGIN
  PERFORM smart.protect('allows_test.questionnaire', 'Questionnaire', shared => true), smart.protect('allows_test.device', 'Device', patients => 'patient'),
    smart.protect('allows_test.task', 'Task', fhir_version => 'R5'), smart.protect('allows_test.library', 'Library', shared => true, base_url => 'https://other.example.org/fhir');
END $$;
INSERT INTO allows_test.questionnaire VALUES ('q', '{"resourceType": "Questionnaire", "id": "q"}');
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA allows_test TO allows_app;
SELECT * FROM allows_test.answers('Observation', 'Organization', 'Questionnaire', 'Library', 'Device', 'Task', 'Binary', 'Nonsense', '*');
SET ROLE allows_app;
SELECT id FROM allows_test.questionnaire;
SELECT smart.require('Questionnaire', 'rs');
SELECT smart.require('Questionnaire', 'cr');
RESET ROLE;
CREATE TABLE allows_test.any_type (id text PRIMARY KEY, type text, patients text[], resource jsonb NOT NULL);
DO $$ BEGIN PERFORM smart.protect('allows_test.any_type', type => 'type', patients => 'patients'); END $$;
SELECT * FROM allows_test.answers('Questionnaire', 'Library', 'Binary', 'Nonsense');
DROP TABLE allows_test.any_type;
-- nothing of this for a session that has no person, or no scope for the type
SELECT allows_test.be('patient/*.cruds', '{}');
SELECT * FROM allows_test.answers('Questionnaire', 'Device', 'Task');
SELECT allows_test.be('patient/Observation.cruds patient/Device.r');
SELECT * FROM allows_test.answers('Questionnaire', 'Device', 'Task');
-- not while the table's row-level security is off, and not after unprotect()
SELECT allows_test.be('patient/*.cruds');
ALTER TABLE allows_test.device DISABLE ROW LEVEL SECURITY;
DO $$ BEGIN PERFORM smart.unprotect('allows_test.task'); END $$;
SELECT * FROM allows_test.answers('Device', 'Task');

-- What another role puts on its tables is read, never run; what cannot be read says nothing; a temporary table of a client neither.
SET ROLE allows_other;
CREATE FUNCTION allows_evil.boom() RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE EXCEPTION 'run by %', current_user; END $$;
CREATE FUNCTION allows_evil.dress(name text, options text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TABLE IF NOT EXISTS %s (id text, resource jsonb)', name);
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', name);
  EXECUTE format('CREATE POLICY smart_select ON %s FOR SELECT USING (smart_internal.row_policy(''SELECT'', NULL::text, allows_evil.boom(), ''Binary'', allows_evil.boom()::text, %s))', name, options);
END $$;
SELECT allows_evil.dress('allows_evil.o1', 'allows_evil.boom()'), allows_evil.dress('allows_evil.o2', $$'[]'$$), allows_evil.dress('allows_evil.o3', $$'{"shared": true}'$$),
  allows_evil.dress('allows_evil.o4', $$'{"shared": true, "compartment": "subject", "fhir_version": "R9"}'$$), allows_evil.dress('allows_evil.o5', $$'{"shared": "true", "compartment": "subject", "fhir_version": "R4", "revision": 1e300}'$$),
  allows_evil.dress('allows_evil.o6', $$NULL$$);
RESET ROLE;
GRANT USAGE ON SCHEMA allows_evil TO allows_app;
SELECT * FROM allows_test.answers('Binary');
CREATE TEMP TABLE client (id text, resource jsonb);
GRANT ALL ON client TO allows_other;
SELECT allows_evil.dress('pg_temp.client', $$'{"shared": true, "compartment": "subject", "fhir_version": "R4", "revision": 1}'$$);
SELECT * FROM allows_test.answers('Binary');
-- the most that it can do is what the owner of a table may say of it: a yes that lets no row pass
SELECT allows_evil.dress('allows_evil.o7', $$'{"shared": true, "compartment": "subject", "fhir_version": "R4", "revision": 1}'$$);
SELECT * FROM allows_test.answers('Binary', 'Device');
SELECT smart.permits('{"resourceType": "Binary", "id": "1"}', 'r');

-- require() names the type and the cause; an error in DETAIL and HINT has text, and no value of a claim.
CREATE FUNCTION allows_test.cause(resource_type text, permissions text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  d text; h text; c text; s text;
BEGIN
  PERFORM smart.require(resource_type, permissions);
  RETURN 'allowed';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT, c = CONSTRAINT_NAME, s = SCHEMA_NAME;
  RETURN concat_ws(' | ', SQLSTATE || ' ' || s || '.' || c, d, h);
END $$;
SELECT allows_test.cause(t, p) FROM (VALUES ('Observation', 'rs'), ('Library', 'r'), ('Organization', 'c'), ('secret', 'r'), (NULL, 'r'), ('*', 'cr')) v (t, p);
SELECT allows_test.be('patient/Observation.r user/Observation.r', '{}');
SELECT allows_test.cause(t, p) FROM (VALUES ('Observation', 'r'), ('Observation', 's'), ('Condition', 'r'), ('*', 'r')) v (t, p);
SELECT allows_test.be('patient/Observation.r', '{"patient": ["1", "2"]}');
SELECT allows_test.cause('Observation', 'r');
SELECT allows_test.be('user/Observation.r', '{"fhirUser": "https://elsewhere.example.org/Practitioner/secret"}');
SELECT allows_test.cause('Observation', 'r');
SELECT allows_test.be('user/Observation.r', '{"fhirUser": "Practitioner/secret"}');
SELECT allows_test.cause('Observation', 'r');
SELECT smart.logout();
SELECT allows_test.cause('Observation', 'r');
SELECT smart.allows('Observation', 'r');

-- explain() says which of the issuer's options decides for a user.
CREATE FUNCTION allows_test.of_user(claims jsonb) RETURNS text[] LANGUAGE sql STABLE AS
$$ SELECT CASE claims ->> 'fhirUser' WHEN 'Practitioner/student' THEN '{}' WHEN 'RelatedPerson/guardian' THEN '{1}'::text[] END $$;
CREATE FUNCTION allows_test.why(fhir_user text, user_sees_all boolean, user_patients regprocedure, OUT verdict text, OUT reason text) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
  PERFORM smart.add_issuer('https://allows.example.org', '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}',
    '{https://allows.example.org/fhir}', user_sees_all => user_sees_all, user_patients => user_patients);
  PERFORM allows_test.be('user/Observation.r', jsonb_strip_nulls(jsonb_build_object('fhirUser', fhir_user)));
  RETURN QUERY SELECT e.verdict, e.reason FROM smart.explain('{"resourceType": "Observation", "subject": {"reference": "Patient/2"}}', 'r') e WHERE e.scope IS NOT NULL;
END $$;
SELECT v.*, w.* FROM (VALUES (1, NULL, false, NULL), (2, 'Device/1', false, NULL), (3, 'Practitioner/1', false, NULL), (4, 'Practitioner/1', true, NULL), (5, 'RelatedPerson/1', true, NULL),
    (6, 'Patient/1', true, NULL), (7, 'Practitioner/student', true, 'allows_test.of_user(jsonb)'), (8, 'Practitioner/student', false, 'allows_test.of_user(jsonb)'),
    (9, 'RelatedPerson/1', true, 'allows_test.of_user(jsonb)'), (10, 'RelatedPerson/guardian', true, 'allows_test.of_user(jsonb)')) v (n, fhir_user, user_sees_all, user_patients),
  allows_test.why(v.fhir_user, v.user_sees_all, v.user_patients::regprocedure) w ORDER BY n;
-- ... and that a patient claim cannot be used
SELECT allows_test.be('patient/Observation.r', '{"patient": ["1", "2"]}');
SELECT verdict, reason FROM smart.explain('{"resourceType": "Observation"}', 'r') WHERE verdict <> 'allows';

SELECT smart.logout();
DROP TABLE client;
DROP SCHEMA allows_test, allows_evil CASCADE;
SELECT smart.drop_issuer('https://allows.example.org');
DROP ROLE allows_app, allows_other;
