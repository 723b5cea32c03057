-- doc/layouts/many_types.sql
-- Many types in one table: resources(fhir_id, type, data), as miracum's fhir-gateway makes it, and
-- the same partitioned by list(type). Run as superuser, after the tables were made as fhir_migrate.
-- Tried on tables made as its schema.sql makes them, not with the gateway.

CREATE ROLE fhir_run LOGIN NOBYPASSRLS;
GRANT USAGE ON SCHEMA public TO fhir_run;
REVOKE TEMPORARY ON DATABASE fhir FROM PUBLIC;

-- shared => false: patient/ scopes use the index, and see no Practitioner, Organization, ...
-- Leave it out and they see those; the policies then read the table row by row.
SELECT smart.protect('resources', resource => 'data', type => 'type', id => 'fhir_id', shared => false);
-- Here a column has the patient's bare id. It decides reads: so it must be kept right by the writer.
SELECT smart.protect('resources_by_type', resource => 'data', type => 'type', id => 'fhir_id',
         patients => 'patient_id', shared => false);
GRANT SELECT, INSERT, UPDATE, DELETE ON resources, resources_by_type TO fhir_run;
GRANT USAGE ON SEQUENCE resources_id_seq, resources_by_type_id_seq TO fhir_run;
-- Caveats:
-- * The FHIR id is fhir_id, not id; leave that out, and a Patient row without id in its JSON would be
--   looked for under the row's number.
-- * is_deleted rows keep their content, and stay visible: filter them as before.
