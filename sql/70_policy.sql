/* Row-level security: what policies call. smart.protect() is in 72_protect.sql. */

CREATE FUNCTION smart_internal.row_policy_support(internal) RETURNS internal
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_row_policy_support';
REVOKE ALL ON FUNCTION smart_internal.row_policy_support(internal) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.row_policy_support(internal) IS 'Planner support of smart_internal.row_policy().';

CREATE FUNCTION smart_internal.row_policy(
  command text, patients "any", resource jsonb, resource_type text, id text, options jsonb) RETURNS boolean
  LANGUAGE c STABLE PARALLEL SAFE COST 100 SUPPORT smart_internal.row_policy_support
  AS 'MODULE_PATHNAME', 'smart_row_policy';
COMMENT ON FUNCTION smart_internal.row_policy(text, "any", jsonb, text, text, jsonb) IS
  'The policies that smart.protect() writes: may the session do this (SELECT, INSERT CHECK, UPDATE, UPDATE CHECK, DELETE) to the row? patients: keys of the row''s patients. The CHECK forms raise 42501 insufficient scope; an expired or revoked session 28000.';

CREATE FUNCTION smart_internal.row_policy(
  command text, patients "any", resource jsonb, resource_type text, id text, options jsonb, order_by "any") RETURNS boolean
  LANGUAGE c STABLE PARALLEL SAFE COST 100 SUPPORT smart_internal.row_policy_support
  AS 'MODULE_PATHNAME', 'smart_row_policy';
COMMENT ON FUNCTION smart_internal.row_policy(text, "any", jsonb, text, text, jsonb, "any") IS
  'The same for a table with an order_by, which only its index uses; the policy keeps the expression.';

CREATE FUNCTION smart_internal.row_check_support(internal) RETURNS internal
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_row_check_support';
REVOKE ALL ON FUNCTION smart_internal.row_check_support(internal) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.row_check_support(internal) IS 'Planner support of smart_internal.row_check(): estimates.';

CREATE FUNCTION smart_internal.row_check(
  command text, patients "any", resource jsonb, resource_type text, id text, options jsonb) RETURNS boolean
  LANGUAGE c STABLE PARALLEL SAFE COST 100 SUPPORT smart_internal.row_check_support AS 'MODULE_PATHNAME', 'smart_row_policy';
COMMENT ON FUNCTION smart_internal.row_check(text, "any", jsonb, text, text, jsonb) IS
  'smart_internal.row_policy() without planner support: what stays of it in a folded plan.';

CREATE FUNCTION smart_internal.row_is_regular(
  patients "any", resource jsonb, resource_type text, id text, options jsonb) RETURNS boolean
  LANGUAGE c IMMUTABLE PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME', 'smart_row_is_regular';
COMMENT ON FUNCTION smart_internal.row_is_regular("any", jsonb, text, text, jsonb) IS
  'Is the row a resource of its table''s type with, where the table has one key a row, at most one patient, spelled as the others are? Arguments as of smart_internal.row_policy(), patients only when a column stores them. Predicate of the index of irregular rows; never NULL, no errors.';

CREATE FUNCTION smart_internal.session_patients() RETURNS text[]
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_session_patients';
COMMENT ON FUNCTION smart_internal.session_patients() IS
  'Ids of all patients that the session''s patient/ and user/ scopes reach; {} without a session. Index condition of folded plans.';
CREATE FUNCTION smart_internal.session_patient_references() RETURNS text[]
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_session_patient_references';
COMMENT ON FUNCTION smart_internal.session_patient_references() IS
  'smart_internal.session_patients(), each also as Patient/<id>: for tables that store references.';
CREATE FUNCTION smart_internal.session_patient_uuids() RETURNS uuid[]
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_session_patient_uuids';
COMMENT ON FUNCTION smart_internal.session_patient_uuids() IS
  'Those of smart_internal.session_patients() that are uuids: for tables that store uuids.';
CREATE FUNCTION smart_internal.session_patient_marks() RETURNS text[]
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_session_patient_marks';
COMMENT ON FUNCTION smart_internal.session_patient_marks() IS
  'smart_internal.session_patients(), and * for the rows that smart_internal.row_patient() gives it to: records about several patients.';

CREATE FUNCTION smart_internal.session_patient() RETURNS text
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_session_patient';
COMMENT ON FUNCTION smart_internal.session_patient() IS
  'The patient that the session''s patient/ and user/ scopes reach, when it is one; else NULL. Index condition of folded plans.';
CREATE FUNCTION smart_internal.session_patient_reference() RETURNS text
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_session_patient_reference';
COMMENT ON FUNCTION smart_internal.session_patient_reference() IS 'smart_internal.session_patient() as Patient/<id>: for tables that store references.';
CREATE FUNCTION smart_internal.session_patient_uuid() RETURNS uuid
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_session_patient_uuid';
COMMENT ON FUNCTION smart_internal.session_patient_uuid() IS 'smart_internal.session_patient() when it is a uuid: for tables that store uuids.';

CREATE FUNCTION smart.patient_key(command text, resource_type text, options jsonb) RETURNS text
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_patient_key';
COMMENT ON FUNCTION smart.patient_key(text, text, jsonb) IS
  'Id of the one patient whose rows, all of them and nothing else, the session may use under a policy with this command, type and options; else NULL, and NULL once the session is another one than the statement started with. Stands alone in folded plans.';
CREATE FUNCTION smart_internal.patient_reference(command text, resource_type text, options jsonb) RETURNS text
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_patient_reference';
COMMENT ON FUNCTION smart_internal.patient_reference(text, text, jsonb) IS 'smart.patient_key() as Patient/<id>: for tables that store references.';
CREATE FUNCTION smart_internal.patient_uuid(command text, resource_type text, options jsonb) RETURNS uuid
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_patient_uuid';
COMMENT ON FUNCTION smart_internal.patient_uuid(text, text, jsonb) IS 'smart.patient_key() when it is a uuid: for tables that store uuids.';
CREATE FUNCTION smart_internal.patient_keys(command text, resource_type text, options jsonb) RETURNS text[]
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_patient_keys';
COMMENT ON FUNCTION smart_internal.patient_keys(text, text, jsonb) IS 'smart.patient_key() for any number of patients.';
CREATE FUNCTION smart_internal.patient_references(command text, resource_type text, options jsonb) RETURNS text[]
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_patient_references';
COMMENT ON FUNCTION smart_internal.patient_references(text, text, jsonb) IS
  'smart_internal.patient_keys(), each also as Patient/<id>: for tables that store references.';
CREATE FUNCTION smart_internal.patient_uuids(command text, resource_type text, options jsonb) RETURNS uuid[]
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_patient_uuids';
COMMENT ON FUNCTION smart_internal.patient_uuids(text, text, jsonb) IS 'Those of smart_internal.patient_keys() that are uuids: for tables that store uuids.';

CREATE FUNCTION smart_internal.among_patients_support(internal) RETURNS internal
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_among_patients_support';
REVOKE ALL ON FUNCTION smart_internal.among_patients_support(internal) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.among_patients_support(internal) IS 'Planner support of smart_internal.among_patients(): the index condition in it.';
CREATE FUNCTION smart_internal.among_patients(key text, command text, resource_type text, options jsonb) RETURNS boolean
  LANGUAGE c STABLE PARALLEL SAFE COST 2 SUPPORT smart_internal.among_patients_support AS 'MODULE_PATHNAME', 'smart_among_patients';
COMMENT ON FUNCTION smart_internal.among_patients(text, text, text, jsonb) IS
  'Is the key among smart_internal.patient_keys()? Stands alone in folded plans of sessions with several patients.';
CREATE FUNCTION smart_internal.among_patients(key uuid, command text, resource_type text, options jsonb) RETURNS boolean
  LANGUAGE c STABLE PARALLEL SAFE COST 2 SUPPORT smart_internal.among_patients_support AS 'MODULE_PATHNAME', 'smart_among_patients';
COMMENT ON FUNCTION smart_internal.among_patients(uuid, text, text, jsonb) IS 'Is the key among smart_internal.patient_uuids()?';

CREATE FUNCTION smart_internal.policy_info(
  relation regclass, OUT resource_type text, OUT resource text, OUT patients text, OUT type text, OUT id text, OUT order_by text,
  OUT options jsonb)
  LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_policy_info';
COMMENT ON FUNCTION smart_internal.policy_info(regclass) IS
  'What the policies of a protected table say: its type, expressions and options; NULL what they do not say, or what cannot be read without locks. NULLs for another table.';

CREATE FUNCTION smart_internal.own_policies(relation oid) RETURNS text[]
  LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_own_policies';
COMMENT ON FUNCTION smart_internal.own_policies(oid) IS
  'Names of those policies of a table that are as smart.protect() writes them, and say the same.';

CREATE FUNCTION smart_internal.is_fhir_type(name text, fhir_version text) RETURNS boolean
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_is_fhir_type';
COMMENT ON FUNCTION smart_internal.is_fhir_type(text, text) IS 'Is this a concrete resource type of R4, R4B or R5? Errors: 22023 for another version.';

CREATE FUNCTION smart_internal.in_compartment(name text, fhir_version text) RETURNS boolean
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_in_compartment';
COMMENT ON FUNCTION smart_internal.in_compartment(text, text) IS 'Is the type in the patient compartment of R4, R4B or R5? Errors: 22023 for another version.';

CREATE FUNCTION smart_internal.default_compartment() RETURNS text
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_default_compartment';
COMMENT ON FUNCTION smart_internal.default_compartment() IS 'The setting smart_fhir.compartment: subject or full.';

CREATE FUNCTION smart_internal.shared_types() RETURNS text[]
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_shared_types';
COMMENT ON FUNCTION smart_internal.shared_types() IS 'The setting smart_fhir.shared_types, as an array.';

CREATE FUNCTION smart_internal.type_is_shared(name text) RETURNS boolean
  LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_type_is_shared';
COMMENT ON FUNCTION smart_internal.type_is_shared(text) IS 'Is the type listed in smart_fhir.shared_types?';

CREATE FUNCTION smart_internal.refuse_truncate() RETURNS trigger
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- roles that row-level security does not bind (superuser, BYPASSRLS) may
  IF row_security_active(TG_RELID) THEN
    RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
      MESSAGE = format('cannot truncate protected table "%s"', TG_TABLE_NAME),
      HINT = 'Use a role with BYPASSRLS, or DELETE.',
      SCHEMA = 'smart', CONSTRAINT = 'truncate';
  END IF;
  RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION smart_internal.refuse_truncate() FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.refuse_truncate() IS 'Trigger of protected tables: no policy covers TRUNCATE, so it is refused (42501).';

CREATE FUNCTION smart_internal.spell_key() RETURNS trigger
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_spell_key';
REVOKE ALL ON FUNCTION smart_internal.spell_key() FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.spell_key() IS
  'Trigger smart_spell_key of tables that store the patient in a text column: what is written under the policies is stored in the spelling of the table''s other keys. Argument: id or reference. Errors: 22023 where the column is part of a partition key.';

CREATE FUNCTION smart_internal.followed_references(resource jsonb, path text, base_url text) RETURNS text[]
  LANGUAGE c IMMUTABLE PARALLEL SAFE COST 50 AS 'MODULE_PATHNAME', 'smart_followed_references';
COMMENT ON FUNCTION smart_internal.followed_references(jsonb, text, text) IS
  'What the References at a path (target, entity.what) name: Type/id each, and an empty text for what is not of this server (another base, a contained resource, a URN).';

CREATE FUNCTION smart_internal.followed_expression(relation regclass) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('smart_internal.followed_references(%s, %L::pg_catalog.text, %L::pg_catalog.text)', p.resource, p.options ->> 'follow', p.options ->> 'base_url')
  FROM smart_internal.policy_info(relation) p WHERE p.options ? 'follow'
$$;
COMMENT ON FUNCTION smart_internal.followed_expression(regclass) IS 'What a row of a table that follows names: the expression of its index <table>_smart_followed.';
