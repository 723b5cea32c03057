-- doc/layouts/medplum.sql
-- Medplum: the resource as text ('' once it is deleted), compartments as uuid[], look-up tables.
-- Run as superuser, in Medplum's database, after its migrations have run as fhir_migrate. Tried on
-- tables made as Medplum's migrations make them, not with Medplum.

-- Medplum connects as the owner of its tables by default. Let its migrations do so, and serve with
-- fhir_run, which owns nothing.
CREATE ROLE fhir_run LOGIN NOBYPASSRLS;
GRANT USAGE ON SCHEMA public TO fhir_run;
REVOKE TEMPORARY ON DATABASE fhir FROM PUBLIC;

-- Medplum's own column decides reads: the full compartment, a performer counts. It also holds the
-- project, which is nobody's patient, and a write asks for all of a row's patients: so without it. A
-- write asks for the subject, too. One statement a type.
--
-- '' is no resource, and could never be written: a delete would fail for everybody. Read as {} it
-- has no subject: system/ scopes delete, patient/ scopes cannot.
--
-- Where compartments holds accounts as well, take them out in the same way, or patients cannot write.
SELECT smart.protect(format('%I', t)::regclass, t, patients => 'array_remove(compartments, "projectId")',
         resource => $$CASE content WHEN '' THEN '{}'::jsonb ELSE smart.resource_json(content) END$$)
FROM unnest(ARRAY['Patient', 'Observation', 'Practitioner']) t;
-- The history has no compartments: its keys come from the text, by subject.
SELECT smart.protect(format('%I', t || '_History')::regclass, t,
         resource => $$CASE content WHEN '' THEN '{}'::jsonb ELSE smart.resource_json(content) END$$)
FROM unnest(ARRAY['Patient', 'Observation', 'Practitioner', 'Binary']) t;
-- Binary has no compartments either, and is in nobody's compartment: system/ scopes only. What it
-- describes lies outside the database.
SELECT smart.protect('"Binary"', 'Binary',
         resource => $$CASE content WHEN '' THEN '{}'::jsonb ELSE smart.resource_json(content) END$$);
GRANT SELECT, INSERT, UPDATE, DELETE ON "Patient", "Observation", "Practitioner", "Binary" TO fhir_run;
GRANT SELECT, INSERT ON "Patient_History", "Observation_History", "Practitioner_History", "Binary_History" TO fhir_run;

-- Look-up tables hold names, addresses, telephone numbers and identifiers in clear, and no
-- resource. A row of one is as visible as the resource that it was taken from: the sub-selects are
-- under row-level security themselves. Name every type that has such elements. Medplum must write
-- the resource first. A table that is left out here stays closed to fhir_run: it has no rights.
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['HumanName', 'Address', 'ContactPoint', 'Identifier'] LOOP
    EXECUTE format('CREATE POLICY of_resource ON %I USING (EXISTS (SELECT FROM "Patient" r WHERE r.id = "resourceId")
      OR EXISTS (SELECT FROM "Practitioner" r WHERE r.id = "resourceId"))', t);
  END LOOP;
  CREATE POLICY of_resource ON "Observation_References" USING (EXISTS (SELECT FROM "Observation" r WHERE r.id = "resourceId"));
  FOREACH t IN ARRAY ARRAY['HumanName', 'Address', 'ContactPoint', 'Identifier', 'Observation_References'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE INDEX ON %I ("resourceId")', t);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO fhir_run', t);
  END LOOP;
END $$;
-- Stays open: primary keys tell that an id exists (a conflict on insert is seen). Queues and caches
-- (Redis) of Medplum see everything that it reads.
