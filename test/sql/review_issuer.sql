-- A row of smart.issuer that names neither audience nor clients would take tokens that were
-- made for other servers.
\set VERBOSITY terse
SET client_min_messages = warning;
\getenv srcdir PG_ABS_SRCDIR
\set keys `cat :srcdir/data/jose/keys.json`
SELECT value AS key FROM jsonb_each(:'keys'::jsonb) WHERE key = 'ed25519' \gset
SELECT jsonb_build_object('keys', jsonb_build_array(:'key'::jsonb - 'd')) AS jwks \gset
INSERT INTO smart.issuer (issuer, jwks) VALUES ('https://review', :'jwks');
INSERT INTO smart.issuer (issuer, jwks, audience) VALUES ('https://review', :'jwks', '{}');
INSERT INTO smart.issuer (issuer, jwks, audience) VALUES ('https://review', :'jwks', '{NULL}');
INSERT INTO smart.issuer (issuer, jwks, client_ids) VALUES ('https://review', :'jwks', '{}');
INSERT INTO smart.issuer (issuer, jwks, audience) VALUES ('https://review', :'jwks', '{https://fhir}');

-- The C code does not lean on the constraints.
SELECT smart.jwt_sign(jsonb_build_object('iss', 'https://review', 'sub', 'u', 'client_id', 'c', 'jti', 'j',
	'aud', 'https://other', 'iat', extract(epoch FROM now())::int, 'exp', extract(epoch FROM now())::int + 300), :'key') AS token \gset
CREATE FUNCTION pg_temp.why(token text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	rule text;
BEGIN
	PERFORM smart.login(token);
	RETURN 'accepted';
EXCEPTION WHEN invalid_authorization_specification THEN
	GET STACKED DIAGNOSTICS rule = CONSTRAINT_NAME;
	RETURN rule;
END
$$;
BEGIN;
ALTER TABLE smart.issuer DROP CONSTRAINT issuer_audience, DROP CONSTRAINT issuer_audience_names;
SELECT pg_temp.why(:'token');
UPDATE smart.issuer SET audience = NULL;
SELECT pg_temp.why(:'token');
UPDATE smart.issuer SET audience = '{}';
SELECT pg_temp.why(:'token');
UPDATE smart.issuer SET audience = '{NULL}';
SELECT pg_temp.why(:'token');
ROLLBACK;

-- Logical replication fires no statement triggers for rows.
SELECT tgname, tgtype & 1 AS row, tgenabled FROM pg_trigger
WHERE tgrelid = 'smart.issuer'::regclass AND NOT tgisinternal ORDER BY tgname;

-- Context functions may compare and fold text.
CREATE FUNCTION review_aliases(patient text) RETURNS text[] LANGUAGE plpgsql AS
	'BEGIN RETURN ARRAY[upper(patient)]; END';
SELECT smart.add_issuer('https://review', :'jwks', '{https://fhir}', patient_aliases => 'review_aliases(text)');
BEGIN;
SELECT smart.assume('{"scope":"patient/*.rs","patient":"a"}', 'https://review');
SELECT patients FROM smart.session;
ROLLBACK;

-- One that logs out ends the session that was there, also after a rollback.
CREATE FUNCTION review_logout(patient text) RETURNS text[] LANGUAGE plpgsql AS
	'BEGIN PERFORM smart.logout(); RETURN NULL; END';
BEGIN;
SELECT smart.assume('{"scope":"patient/*.rs","patient":"a"}', 'https://review');
SELECT smart.add_issuer('https://review', :'jwks', '{https://fhir}', patient_aliases => 'review_logout(text)');
SAVEPOINT a;
SELECT smart.assume('{"scope":"patient/*.rs","patient":"b"}', 'https://review');
SELECT patient FROM smart.session;
ROLLBACK TO a;
SELECT patient FROM smart.session;
ROLLBACK;

-- fhirUser stands in for a claim that is absent, not for one that names no patient.
SELECT smart.add_issuer('https://review', :'jwks', '{https://fhir}', patient_from_fhir_user => true);
BEGIN;
SELECT smart.assume('{"scope":"patient/*.rs","fhirUser":"Patient/a"}', 'https://review');
SELECT patient FROM smart.session;
SELECT smart.assume('{"scope":"patient/*.rs","fhirUser":"Patient/a","patient":["b"]}', 'https://review');
SELECT patient FROM smart.session;
ROLLBACK;

SELECT smart.drop_issuer('https://review');
DROP FUNCTION review_aliases, review_logout;
