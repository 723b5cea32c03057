-- doc/layouts/hapi.sql
-- HAPI FHIR JPA: the versions in hfj_res_ver under row-level security; its index tables stay open.
-- Run as superuser, in HAPI's database, after HAPI has made its tables as fhir_migrate. Tried on
-- tables made as its entities describe them, not with HAPI.

-- HAPI connects as the owner of its tables by default. Let its migrations do so, and serve with
-- fhir_run (spring.datasource.username; hibernate.hbm2ddl.auto=none), which owns nothing.
CREATE ROLE fhir_run LOGIN NOBYPASSRLS;
GRANT USAGE ON SCHEMA public TO fhir_run;
REVOKE TEMPORARY ON DATABASE fhir FROM PUBLIC;

-- Neither the FHIR id nor the patient stands in hfj_res_ver: a trigger keeps both in columns.
ALTER TABLE hfj_res_ver ADD COLUMN smart_id text, ADD COLUMN smart_patients text[];
CREATE FUNCTION smart_hfj_res_ver() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  SELECT coalesce(r.fhir_id, r.res_id::text) INTO NEW.smart_id FROM public.hfj_resource r WHERE r.res_id = NEW.res_id;
  -- the resource's own type and id go first: neither can be overruled by the text
  NEW.smart_patients := smart.patients(smart.resource_json(CASE NEW.res_encoding WHEN 'JSON' THEN NEW.res_text_vc END)
    || jsonb_build_object('resourceType', NEW.res_type, 'id', NEW.smart_id));
  -- A new version is a new row: the policies see its content only. So that nobody puts a version on
  -- top of a record that it may not change, the version before must allow it.
  IF TG_OP = 'INSERT' AND NEW.res_ver > 1 AND row_security_active(TG_RELID) AND NOT EXISTS (
       SELECT FROM public.hfj_res_ver v WHERE v.res_id = NEW.res_id AND v.res_ver = NEW.res_ver - 1
         AND smart.permits_row(v, CASE NEW.res_encoding WHEN 'DEL' THEN 'd' ELSE 'u' END)) THEN
    RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege', MESSAGE = 'insufficient scope',
      DETAIL = 'The session may not change the version before.';
  END IF;
  RETURN NEW;
END
$$;
-- named to run after HAPI's own, should there be any
CREATE TRIGGER zz_smart_patients BEFORE INSERT OR UPDATE ON hfj_res_ver FOR EACH ROW EXECUTE FUNCTION smart_hfj_res_ver();
UPDATE hfj_res_ver SET res_id = res_id;

-- Only JSON can be read in SQL: JSONC (compressed) and ESR (stored elsewhere) are seen by nobody.
-- DEL marks a deletion: read as {}, so that system/ scopes can delete; patient/ scopes cannot.
-- HAPI reads versions by (res_id, res_ver), so no index on the patients is needed.
SELECT smart.protect('hfj_res_ver', type => 'res_type', id => 'smart_id', patients => 'smart_patients', index => false,
         resource => $$CASE res_encoding WHEN 'JSON' THEN smart.resource_json(res_text_vc) WHEN 'DEL' THEN '{}'::jsonb END$$);
GRANT SELECT, INSERT, UPDATE, DELETE ON hfj_res_ver TO fhir_run;

-- These stay open to fhir_run, and say:
--   hfj_resource        that a resource exists: type, id, versions, times
--   hfj_res_link        who is whose patient, performer, ...
--   hfj_spidx_string    names, addresses, ... in clear; so all other hfj_spidx_*
--   hfj_res_tag, hfj_res_ver_prov, hfj_search*, hfj_history_tag, ... likewise
-- A search therefore finds and counts what the token may not read (Bundle.total); only the
-- contents are withheld. This stops a leak of resources, not one of search values.
-- fhir_run must write them, so SQL run as fhir_run can change them: make hfj_resource.res_ver name
-- another version, or give a resource another fhir_id, and then add versions to it.
GRANT SELECT, INSERT, UPDATE, DELETE ON hfj_resource, hfj_res_link, hfj_spidx_string TO fhir_run;
GRANT USAGE ON SEQUENCE seq_resource_id TO fhir_run;
