/* sql/30_fhir.sql: what a FHIR resource says. Tables behind it: data/fhir. */

CREATE FUNCTION smart.patients(resource jsonb, compartment text DEFAULT 'subject',
	fhir_version text DEFAULT 'R4', base_url text DEFAULT NULL) RETURNS text[]
	AS 'MODULE_PATHNAME', 'smart_patients'
	LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION smart.patients(jsonb, text, text, text) IS
'keys of the patients whose compartment the resource is in: the bare id of a local patient, the whole versionless URL of another server''s; {} when there is none, when the value is no resource, and for NULL. compartment: subject (whom the record is about) or full (every element of CompartmentDefinition/patient). fhir_version: R4, R4B, R5. base_url: <base_url>/Patient/1 counts as Patient/1. NULL options are the defaults; other values raise 22023. FHIR R4 CompartmentDefinition';

CREATE FUNCTION smart.reference_key(reference text, base_url text DEFAULT NULL) RETURNS text
	AS 'MODULE_PATHNAME', 'smart_reference_key'
	LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 2;
COMMENT ON FUNCTION smart.reference_key(text, text) IS
'key of a reference to a patient: Patient/1 and Patient/1/_history/2 -> 1, <base_url>/Patient/1 -> 1, another http(s) URL that ends in Patient/<id> -> the URL without its version; NULL for anything else. FHIR R4 references 2.3.0.1';

CREATE FUNCTION smart_internal.row_patients(resource jsonb, resource_type text, id text, compartment text,
	fhir_version text, base_url text, revision integer) RETURNS text[]
	AS 'MODULE_PATHNAME', 'smart_row_patients'
	LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION smart_internal.row_patients(jsonb, text, text, text, text, text, integer) IS
'what protect() writes into policies and indexes: smart.patients() of a stored row, whose type and id stand in when the JSON lacks them; {} when the resource is NULL, no object, or of another type. 22023 for unknown options; 55000 when revision is not smart.fhir_revision(): run smart.protect() again';

CREATE FUNCTION smart_internal.row_patient(resource jsonb, resource_type text, id text, compartment text,
	fhir_version text, base_url text, revision integer) RETURNS text
	AS 'MODULE_PATHNAME', 'smart_row_patient'
	LANGUAGE c IMMUTABLE CALLED ON NULL INPUT PARALLEL SAFE COST 50;
COMMENT ON FUNCTION smart_internal.row_patient(jsonb, text, text, text, text, text, integer) IS
'what protect() writes into policies and indexes: the key of smart_internal.row_patients() when there is exactly one, * when there are several, else NULL. Errors as there';

CREATE FUNCTION smart.resource_json(resource text) RETURNS jsonb
	AS 'MODULE_PATHNAME', 'smart_resource_json'
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION smart.resource_json(text) IS
'what protect() writes into policies and indexes for text columns: the text as jsonb, NULL when it is empty, not JSON, has a member twice in one object (parsers differ on which counts), or is more than jsonb holds; never an error. RFC 8259';

CREATE FUNCTION smart.fhir_revision() RETURNS integer
	AS 'MODULE_PATHNAME', 'smart_fhir_revision'
	LANGUAGE c STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION smart.fhir_revision() IS
'revision of the FHIR tables in the installed library; it stands in the policies and indexes that protect() makes';
