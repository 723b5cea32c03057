-- doc/layouts/aidbox.sql
-- Aidbox and Fhirbase: a table a type, id and resourceType outside the jsonb. Run as superuser, in Aidbox's
-- database, after Aidbox has made its tables as fhir_migrate. Tried on tables made as Aidbox's
-- documentation describes them, not with Aidbox, which is closed source.

-- Aidbox connects as the owner of its tables by default, and makes tables whenever it likes.
-- fhir_run is for whatever serves SMART requests in SQL; it owns nothing.
CREATE ROLE fhir_run LOGIN NOBYPASSRLS;
GRANT USAGE ON SCHEMA public TO fhir_run;
REVOKE TEMPORARY ON DATABASE fhir FROM PUBLIC;
GRANT USAGE ON SEQUENCE transaction_id_seq TO fhir_run;

-- Every table and its history, by the type that the table's default of resource_type names.
-- A marker of a deletion may lack resource_type: so the type is told, not read from the column.
-- Run it again after Aidbox has added types.
DO $$
DECLARE t record;
BEGIN
  FOR t IN
    SELECT c.oid::regclass AS main, to_regclass(format('%I.%I', n.nspname, c.relname || '_history')) AS history,
           substring(pg_get_expr(d.adbin, d.adrelid) FROM '''([A-Za-z]+)''::text') AS type
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'resource_type'
    JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')
  LOOP
    CONTINUE WHEN t.type IS NULL OR NOT smart_internal.is_fhir_type(t.type, 'R4');
    PERFORM smart.protect(t.main, t.type);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO fhir_run', t.main);
    IF t.history IS NOT NULL THEN
      PERFORM smart.protect(t.history, t.type);
      EXECUTE format('GRANT SELECT, INSERT ON %s TO fhir_run', t.history);
    END IF;
  END LOOP;
END $$;
-- Caveats:
-- * Fhirbase's tables go with the same script. The references of its older versions,
--   {reference: {type, id}}, name nobody: no patient sees such a row until it is rewritten.
-- * Scopes with search parameters over value[x] or extensions read FHIR's paths; Aidbox's format
--   has others (value.Quantity, first-class extensions), so such a scope meets nothing.
-- * Types that are Aidbox's own (AccessPolicy, User, ...) are no FHIR types: fhir_run gets no rights.
-- * INSERT .. ON CONFLICT DO UPDATE asks for c, r, s and u; within smart.set_interaction('update') for u alone.
