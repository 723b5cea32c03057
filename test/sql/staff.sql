-- J. Staff: user_sees_all opens all rows to Practitioner and PractitionerRole, or to staff_types, and to nobody else;
-- user_patients is asked first and wins for whom it answers.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE staff_app;
CREATE SCHEMA staff;
GRANT USAGE ON SCHEMA staff TO staff_app;
CREATE TABLE staff.o (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE FUNCTION staff.observation(id text, patient int) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT jsonb_build_object('resourceType', 'Observation', 'id', id, 'subject', jsonb_build_object('reference', 'Patient/' || patient)) $$;
INSERT INTO staff.o SELECT 'o' || p, staff.observation('o' || p, p) FROM generate_series(1, 2) p;
CREATE TABLE staff.organization (id text PRIMARY KEY, resource jsonb NOT NULL);
INSERT INTO staff.organization VALUES ('g', '{"resourceType": "Organization", "id": "g"}');
DO $$ BEGIN PERFORM smart.protect('staff.o', 'Observation'), smart.protect('staff.organization', 'Organization'); END $$;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA staff TO staff_app;
-- the guardian has patient 1, the student none yet; of all others it says nothing
CREATE FUNCTION staff.patients_of(claims jsonb) RETURNS text[] LANGUAGE sql STABLE AS $$
  SELECT CASE claims ->> 'fhirUser' WHEN 'RelatedPerson/guardian' THEN '{1}'::text[] WHEN 'Practitioner/student' THEN '{}' END $$;
CREATE FUNCTION staff.issuer(user_sees_all boolean, user_patients regprocedure, staff_types text[]) RETURNS void LANGUAGE sql AS $$
  SELECT smart.add_issuer('https://staff.example.org',
    '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}', '{https://staff.example.org/fhir}',
    user_sees_all => user_sees_all, user_patients => user_patients, staff_types => staff_types) $$;

-- What a user may do with the observations, all and one of patient 2, and whether it reads a shared type.
CREATE FUNCTION staff.may(fhir_user text, OUT sees text, OUT writes text, OUT changes int, OUT shared int) LANGUAGE plpgsql SET client_min_messages = error AS $$
BEGIN
  PERFORM smart.assume(jsonb_build_object('scope', 'user/*.cruds', 'fhirUser', fhir_user), 'https://staff.example.org');
  PERFORM set_config('role', 'staff_app', true);
  SELECT coalesce(string_agg(id, ' ' ORDER BY id), '-') INTO sees FROM staff.o;
  SELECT count(*) INTO shared FROM staff.organization;
  BEGIN
    UPDATE staff.o SET resource = resource || '{"status": "final"}';
    GET DIAGNOSTICS changes = ROW_COUNT;
    INSERT INTO staff.o VALUES ('new', staff.observation('new', 2));
    RAISE SQLSTATE 'P0999' USING MESSAGE = 'yes';
  EXCEPTION WHEN OTHERS THEN
    writes := CASE SQLSTATE WHEN 'P0999' THEN SQLERRM ELSE SQLSTATE END;
  END;
  PERFORM set_config('role', 'none', true);
  PERFORM smart.logout();
END $$;
CREATE FUNCTION staff.everybody() RETURNS TABLE (fhir_user text, sees text, writes text, changes int, shared int) LANGUAGE sql AS $$
  SELECT u, m.* FROM unnest('{Practitioner/1,PractitionerRole/1,RelatedPerson/1,Person/1,Patient/1,Device/1,Practitioner/student,RelatedPerson/guardian,practitioner/1,Practitioner}'::text[])
    WITH ORDINALITY AS f (u, n), staff.may(u) m ORDER BY n $$;
SELECT staff.issuer(true, NULL, NULL);
SELECT * FROM staff.everybody();
-- user_patients: the guardian's one patient, the student's none, the staff all
SELECT staff.issuer(true, 'staff.patients_of(jsonb)', NULL);
SELECT * FROM staff.everybody();
-- alone, it is all that there is
SELECT staff.issuer(false, 'staff.patients_of(jsonb)', NULL);
SELECT * FROM staff.everybody();
-- whom else the server counts as its staff is said by type; no type, nobody
SELECT staff.issuer(true, NULL, '{Practitioner,Person}');
SELECT * FROM staff.everybody();
SELECT staff.issuer(true, NULL, '{}');
SELECT * FROM staff.everybody();
DROP SCHEMA staff CASCADE;
SELECT smart.drop_issuer('https://staff.example.org');
DROP ROLE staff_app;
