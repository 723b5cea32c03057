-- doc/layouts/plain.sql
-- Tables `id, resource jsonb`, one a type. Run as superuser, in the server's database, after its
-- migrations have run as the owner fhir_migrate.

-- The server connects as fhir_run from now on: it owns nothing, and sees what a token allows.
-- Migrations stay with fhir_migrate; bulk loads need a role with BYPASSRLS.
CREATE ROLE fhir_run LOGIN NOBYPASSRLS;
GRANT USAGE ON SCHEMA public TO fhir_run;
REVOKE TEMPORARY ON DATABASE fhir FROM PUBLIC;
GRANT SELECT, INSERT, UPDATE, DELETE ON patient, organization, observation, encounter TO fhir_run;
-- a history is read and added to
GRANT SELECT, INSERT ON observation_history TO fhir_run;
-- a table that a later migration makes has no rights for fhir_run: protect it, then grant

SELECT smart.protect('patient', 'Patient');
SELECT smart.protect('organization', 'Organization');
SELECT smart.protect('observation', 'Observation');
-- Old versions are resources too. Adding one asks for c; for u suffices within
-- smart.set_interaction('update'). A token with d but not c cannot keep the version that it deletes.
-- Each row is judged by itself: SQL run as fhir_run can file a version of an own record under
-- another's id. Let a trigger of a role with BYPASSRLS write the history, and revoke INSERT, if
-- that matters.
SELECT smart.protect('observation_history', 'Observation');
-- The partitions too, and by an event trigger those made or attached later.
SELECT smart.protect('encounter', 'Encounter');
