-- L. Patient contexts as they come: references of one's own base, two spellings of one patient, claims that cannot be used.
\getenv srcdir PG_ABS_SRCDIR
\set prelude :srcdir '/data/session/prelude.sql'
\set cleanup :srcdir '/data/session/cleanup.sql'
\set ECHO none
\i :prelude
\set ECHO all
\pset null -
SET client_min_messages = warning;
-- A claim set: the patient in context, or the error with its sentence; and what is said of claims of no use.
CREATE FUNCTION st.tells(change jsonb, OUT patient text, OUT ignored text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM smart.login(st.token(change));
	SELECT s.patients::text, array_to_string(s.ignored_claims, E'\n') INTO patient, ignored FROM smart.session s;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS ignored = PG_EXCEPTION_DETAIL;
	patient := sqlstate;
END $$;
CREATE TEMP TABLE claims (n serial, change jsonb);
INSERT INTO claims (change) VALUES
	('{"patient":"Patient/1"}'), ('{"patient":"https://fhir.example/r4/Patient/1"}'), ('{"patient":"https://other.example/Patient/1"}'), ('{"patient":"Patient/1/_history/2"}'),
	('{"patient":"Observation/1"}'), ('{"patient":"a_b"}'), ('{"patient":["1"]}'), ('{"patient":{"id":"1"}}'), ('{"patient":1}'),
	('{"launch_response_patient":"Patient/1"}'), ('{"launch_response_patient":"https://fhir.example/r4/Patient/1"}'), ('{"launch_response_patient":"Patient/2"}'),
	('{"patient":"Patient/1","launch_response_patient":"https://fhir.example/r4/Patient/1"}');
SELECT smart.add_issuer('https://as.example', st.jwks('a'), '{https://fhir.example/r4}', max_token_age => '40000 days', claim_map => '{"patient":[["patient"],["launch_response_patient"]]}');
SELECT change, t.* FROM claims, st.tells(change) t ORDER BY n;
SELECT smart.add_issuer('https://as.example', st.jwks('a'), '{https://fhir.example/r4}', max_token_age => '40000 days', claim_map => '{"patient":[["patient"],["launch_response_patient"]]}', patient_references => true);
SELECT change, t.* FROM claims, st.tells(change) t ORDER BY n;
SELECT smart.add_issuer('https://as.example', st.jwks('a'), '{https://fhir.example/r4}', max_token_age => '40000 days', max_patients => 3, patient_references => true);
SELECT change, t.* FROM unnest(ARRAY['{"patient":["1","Patient/1","https://fhir.example/r4/Patient/2"]}','{"patient":"1 Patient/1"}','{"patient":["1","x y"]}','{"patient":["1","2","3","4"]}']::jsonb[]) change, st.tells(change) t;
-- base_urls are one's own too; another audience of the issuer, which the token does not name, is not.
SELECT smart.add_issuer('https://as.example', st.jwks('a'), '{https://fhir.example/r4,https://second.example/}', base_urls => '{https://alias.example/}', max_token_age => '40000 days', patient_references => true);
SELECT change, t.* FROM unnest(ARRAY['{"patient":"https://alias.example/Patient/1"}','{"patient":"https://second.example/Patient/1"}','{"patient":"https://second.example/Patient/1","aud":"https://second.example/"}']::jsonb[]) change, st.tells(change) t;
-- The presets whose servers send references.
SELECT name FROM smart_internal.issuer_presets() WHERE patient_references ORDER BY name;

-- Scopes in a claim or a spelling that the options do not read, users and patients elsewhere.
SELECT smart.add_issuer('https://as.example', st.jwks('a'), '{https://fhir.example/r4}', max_token_age => '40000 days');
SELECT change, t.* FROM unnest(ARRAY['{"scp":"patient/*.rs"}','{"scp":["openid","patient/*.rs"]}','{"scp":"openid"}','{"roles":["admin"]}','{"scope":"patient.Observation.read"}','{"scope":"patient%2FObservation.read openid"}',
	'{"scope":"user$all.all"}','{"scope":["patient/*.rs openid"]}','{"scope":7}','{"patient":null,"patient_id":"1"}','{"patient":null,"context":{"patient":"1"}}','{"fhirUser":"Device/1"}','{"fhirUser":"https://other.example/Practitioner/1"}',
	'{"fhirUser":7}','{"profile":"Practitioner/1"}','{"profile":"https://example.org/me"}','{"encounter":"e 1"}','{"scope":"openid profile email"}']::jsonb[]) change, st.tells(change) t;
SELECT smart.add_issuer('https://as.example', st.jwks('a'), '{https://fhir.example/r4}', preset => 'entra', required_claims => '{}', max_token_age => '40000 days');
SELECT change, t.* FROM unnest(ARRAY['{"scope":"patient/*.rs"}','{"scp":"patient.Observation.read"}']::jsonb[]) change, st.tells(change) t;
-- explain() repeats it.
SELECT smart.add_issuer('https://as.example', st.jwks('a'), '{https://fhir.example/r4}', max_token_age => '40000 days');
SET ROLE regress_st_app;
BEGIN;
SELECT smart.login(st.token('{"patient":"Patient/1"}'));
SELECT * FROM smart.explain(st.obs('o1', '1'), 'r');
ROLLBACK;
RESET ROLE;
\set ECHO none
\i :cleanup
