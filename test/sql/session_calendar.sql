-- T. Context functions: neither the caller's time zone nor an old snapshot of his steers what they answer.
SET client_min_messages = warning;
CREATE SCHEMA sc;
CREATE TABLE sc.care (patient text, until timestamptz);
INSERT INTO sc.care VALUES ('1', 'infinity'), ('2', date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - interval '1 second');
CREATE FUNCTION sc.patients(claims jsonb) RETURNS text[] LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$ SELECT array_agg(patient ORDER BY patient) FROM sc.care WHERE until >= current_date $$;
SELECT smart.add_issuer('https://sc.example', '{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}', '{https://sc.example/fhir}',
  max_patients => 10, user_patients => 'sc.patients(jsonb)');
-- whose records may be read?
CREATE VIEW sc.reads AS
  SELECT p, smart.permits(jsonb_build_object('resourceType', 'Observation', 'id', 'o', 'subject', jsonb_build_object('reference', 'Patient/' || p)), 'r')
  FROM unnest('{1,2,3}'::text[]) p;
BEGIN;
SELECT smart.assume('{"scope": "user/*.rs", "fhirUser": "Practitioner/1", "exp": 4000000000}', 'https://sc.example');
SELECT * FROM sc.reads;
COMMIT;
BEGIN;
SET LOCAL TIME ZONE INTERVAL '-167:00' HOUR TO MINUTE;
SELECT smart.assume('{"scope": "user/*.rs", "fhirUser": "Practitioner/1", "exp": 4000000000}', 'https://sc.example');
SELECT * FROM sc.reads;
SHOW TimeZone;
COMMIT;
SELECT smart.drop_issuer('https://sc.example');
DROP SCHEMA sc CASCADE;
