/* Issuers: who may vouch. The rows are dumped; C reads them through a cache. */

-- An address from which keys may be fetched: https, or http on this machine itself; no user, no fragment, no white space.
CREATE FUNCTION smart_internal.is_key_uri(uri text) RETURNS boolean
  LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS
  $$ SELECT octet_length(uri) <= 2048 AND uri ~ '^(https://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)|http://(localhost|127\.0\.0\.1|\[::1\]))(:[0-9]{1,5})?([/?][!-"$-;=?-\[\]_a-z~%]*)?$' $$;
REVOKE ALL ON FUNCTION smart_internal.is_key_uri(text) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.is_key_uri(text) IS 'May keys be fetched from this address?';

CREATE TABLE smart.issuer (
  issuer text COLLATE "C" NOT NULL,
  jwks jsonb,
  audience text[],
  preset text,
  algorithms text[],
  leeway interval,
  max_token_age interval,
  token_types text[],
  required_claims text[],
  client_ids text[],
  base_urls text[],
  claim_map jsonb,
  max_patients int,
  patient_from_fhir_user boolean,
  patient_aliases text,
  user_patients text,
  user_sees_all boolean,
  staff_types text[],
  patient_references boolean,
  levels text[],
  jwks_uri text,
  discover boolean,
  refuse_after timestamptz,
  CONSTRAINT issuer_pkey PRIMARY KEY (issuer),
  CONSTRAINT issuer_name CHECK (pg_catalog.octet_length(issuer) OPERATOR(pg_catalog.>) 0
    AND pg_catalog.octet_length(issuer) OPERATOR(pg_catalog.<) 512),
  CONSTRAINT issuer_jwks CHECK (jwks IS NOT NULL OR jwks_uri IS NOT NULL OR discover IS TRUE),
  CONSTRAINT issuer_jwks_uri CHECK (smart_internal.is_key_uri(jwks_uri)),
  -- without either, a token that was made for another server would be accepted
  CONSTRAINT issuer_audience CHECK (audience IS NOT NULL OR client_ids IS NOT NULL),
  CONSTRAINT issuer_audience_names CHECK (pg_catalog.cardinality(audience) OPERATOR(pg_catalog.>) 0
    AND pg_catalog.array_position(audience, NULL) IS NULL),
  CONSTRAINT issuer_client_ids_names CHECK (pg_catalog.cardinality(client_ids) OPERATOR(pg_catalog.>) 0
    AND pg_catalog.array_position(client_ids, NULL) IS NULL),
  CONSTRAINT issuer_leeway CHECK (leeway OPERATOR(pg_catalog.>=) interval '0'
    AND leeway OPERATOR(pg_catalog.<=) interval '300 s'),
  CONSTRAINT issuer_max_token_age CHECK (max_token_age OPERATOR(pg_catalog.>) interval '0'
    AND EXTRACT(year FROM max_token_age) OPERATOR(pg_catalog.=) 0
    AND EXTRACT(month FROM max_token_age) OPERATOR(pg_catalog.=) 0),
  CONSTRAINT issuer_max_patients CHECK (max_patients OPERATOR(pg_catalog.>=) 1),
  CONSTRAINT issuer_staff_types CHECK (pg_catalog.array_position(staff_types, NULL) IS NULL AND staff_types
    OPERATOR(pg_catalog.<@) ARRAY['Practitioner', 'PractitionerRole', 'RelatedPerson', 'Person']),
  CONSTRAINT issuer_levels CHECK (levels OPERATOR(pg_catalog.<@) ARRAY['patient', 'user', 'system'])
);
REVOKE ALL ON smart.issuer FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('smart.issuer', '');
COMMENT ON TABLE smart.issuer IS
  'Token issuers that this database trusts; written by smart.add_issuer(), smart.set_jwks() and smart.drop_issuer(). NULL means the default. Plain DML works too: every backend sees a change at its next statement.';

CREATE FUNCTION smart_internal.issuer_changed() RETURNS trigger
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_issuer_changed';
REVOKE ALL ON FUNCTION smart_internal.issuer_changed() FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.issuer_changed() IS
  'Trigger of smart.issuer: makes every backend, on replicas too, read the table again.';

CREATE TRIGGER issuer_changed AFTER INSERT OR UPDATE OR DELETE ON smart.issuer
  FOR EACH ROW EXECUTE FUNCTION smart_internal.issuer_changed();
CREATE TRIGGER issuer_truncated AFTER TRUNCATE ON smart.issuer
  FOR EACH STATEMENT EXECUTE FUNCTION smart_internal.issuer_changed();
-- also for changes that logical replication applies; it fires row triggers only
ALTER TABLE smart.issuer ENABLE ALWAYS TRIGGER issuer_changed;
ALTER TABLE smart.issuer ENABLE ALWAYS TRIGGER issuer_truncated;

CREATE FUNCTION smart_internal.check_issuer(jwks jsonb, algorithms text[], claim_map jsonb) RETURNS void
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_check_issuer';
REVOKE ALL ON FUNCTION smart_internal.check_issuer(jsonb, text[], jsonb) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.check_issuer(jsonb, text[], jsonb) IS
  'Refuses (22023) a key set without a usable public key (RFC 7517; private and symmetric keys are refused), an unknown algorithm (RFC 7518, RFC 8037), a claim_map of another shape.';

CREATE FUNCTION smart.add_issuer(
  issuer text, jwks jsonb, audience text[] DEFAULT NULL, preset text DEFAULT NULL,
  algorithms text[] DEFAULT NULL, leeway interval DEFAULT NULL, max_token_age interval DEFAULT NULL,
  token_types text[] DEFAULT NULL, required_claims text[] DEFAULT NULL, client_ids text[] DEFAULT NULL,
  base_urls text[] DEFAULT NULL, claim_map jsonb DEFAULT NULL, max_patients int DEFAULT NULL,
  patient_from_fhir_user boolean DEFAULT NULL, patient_aliases regprocedure DEFAULT NULL,
  user_patients regprocedure DEFAULT NULL, user_sees_all boolean DEFAULT NULL, staff_types text[] DEFAULT NULL,
  patient_references boolean DEFAULT NULL, levels text[] DEFAULT NULL, jwks_uri text DEFAULT NULL, discover boolean DEFAULT NULL)
RETURNS void LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  chosen smart_internal.issuer_preset;
  issuer_name CONSTANT text := issuer;
  uri CONSTANT text := jwks_uri;
  searched CONSTANT boolean := discover;
  refuse_after timestamptz;
  bad text;
  fn record;
BEGIN
  bad := CASE
    WHEN issuer IS NULL OR octet_length(issuer) NOT BETWEEN 1 AND 511 THEN 'issuer'
    WHEN jwks IS NULL AND jwks_uri IS NULL AND discover IS NOT TRUE THEN 'jwks'
    WHEN NOT smart_internal.is_key_uri(jwks_uri) THEN 'jwks_uri'
    WHEN discover AND jwks_uri IS NULL AND NOT smart_internal.is_key_uri(issuer) THEN 'discover'
    WHEN array_position(audience, NULL) IS NOT NULL OR cardinality(audience) = 0 THEN 'audience'
    WHEN leeway NOT BETWEEN interval '0' AND interval '300 s' THEN 'leeway'
    WHEN max_token_age <= interval '0' OR extract(year FROM max_token_age) <> 0
      OR extract(month FROM max_token_age) <> 0 THEN 'max_token_age'
    WHEN array_position(token_types, NULL) IS NOT NULL OR cardinality(token_types) = 0 THEN 'token_types'
    WHEN array_position(required_claims, NULL) IS NOT NULL THEN 'required_claims'
    WHEN array_position(client_ids, NULL) IS NOT NULL OR cardinality(client_ids) = 0 THEN 'client_ids'
    WHEN array_position(base_urls, NULL) IS NOT NULL THEN 'base_urls'
    WHEN max_patients < 1 THEN 'max_patients'
    WHEN array_position(staff_types, NULL) IS NOT NULL
      OR NOT staff_types <@ ARRAY['Practitioner', 'PractitionerRole', 'RelatedPerson', 'Person'] THEN 'staff_types'
    WHEN array_position(levels, NULL) IS NOT NULL
      OR NOT levels <@ ARRAY['patient', 'user', 'system'] THEN 'levels'
    WHEN cardinality(algorithms) = 0 THEN 'algorithms'
  END;
  IF bad IS NOT NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
      MESSAGE = format('invalid value for parameter "%s"', bad),
      HINT = 'COMMENT ON FUNCTION smart.add_issuer() and doc/reference.md describe each parameter.',
      SCHEMA = 'smart', CONSTRAINT = 'invalid_parameter';
  END IF;
  IF preset IS NOT NULL THEN
    chosen := smart_internal.issuer_preset(preset);
    IF chosen.name IS NULL THEN
      RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
        MESSAGE = 'invalid value for parameter "preset"',
        DETAIL = 'There is no preset of this name.',
        HINT = 'Known presets: ' || smart_internal.issuer_preset_names() || '.',
        SCHEMA = 'smart', CONSTRAINT = 'invalid_parameter';
    END IF;
    algorithms := coalesce(algorithms, chosen.algorithms);
    leeway := coalesce(leeway, chosen.leeway);
    max_token_age := coalesce(max_token_age, chosen.max_token_age);
    token_types := coalesce(token_types, chosen.token_types);
    required_claims := coalesce(required_claims, chosen.required_claims);
    claim_map := coalesce(claim_map, chosen.claim_map);
    max_patients := coalesce(max_patients, chosen.max_patients);
    patient_from_fhir_user := coalesce(patient_from_fhir_user, chosen.patient_from_fhir_user);
    user_sees_all := coalesce(user_sees_all, chosen.user_sees_all);
    staff_types := coalesce(staff_types, chosen.staff_types);
    patient_references := coalesce(patient_references, chosen.patient_references);
    levels := coalesce(levels, chosen.levels);
  END IF;
  IF audience IS NULL AND client_ids IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
      MESSAGE = 'an issuer needs an audience or client_ids',
      DETAIL = 'Without either, a token that was made for another server would be accepted.',
      HINT = 'Pass the FHIR base URL as audience.',
      SCHEMA = 'smart', CONSTRAINT = 'invalid_parameter';
  END IF;
  IF jwks IS NULL THEN
    -- the same source again keeps what was fetched
    SELECT i.jwks, i.refuse_after INTO jwks, refuse_after FROM smart.issuer i
    WHERE i.issuer = issuer_name AND i.jwks_uri IS NOT DISTINCT FROM uri AND i.discover IS NOT DISTINCT FROM searched;
  ELSIF jwks_uri IS NOT NULL OR discover THEN
    refuse_after := clock_timestamp() + interval '25 hours';
  END IF;
  PERFORM smart_internal.check_issuer(jwks, algorithms, claim_map);
  FOR fn IN
    SELECT f.proc, f.what, x.prorettype, x.proargtypes[0] AS argtype, x.pronargs, x.proretset, f.argtype AS wanted
    FROM (VALUES (patient_aliases, 'patient_aliases', 'text'::regtype),
                 (user_patients, 'user_patients', 'jsonb'::regtype)) f (proc, what, argtype)
    JOIN pg_catalog.pg_proc x ON x.oid = f.proc
  LOOP
    IF fn.prorettype <> 'text[]'::regtype OR fn.pronargs <> 1 OR fn.argtype <> fn.wanted OR fn.proretset THEN
      RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
        MESSAGE = format('invalid value for parameter "%s"', fn.what),
        DETAIL = format('The function must take one %s and return text[].', fn.wanted),
        SCHEMA = 'smart', CONSTRAINT = 'invalid_parameter';
    ELSIF smart_internal.is_temporary(fn.proc) THEN
      RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
        MESSAGE = format('invalid value for parameter "%s"', fn.what),
        DETAIL = 'The function is in a temporary schema, which others use after this session.',
        SCHEMA = 'smart', CONSTRAINT = 'invalid_parameter';
    END IF;
  END LOOP;
  -- functions are kept as qualified text: regprocedure columns stop pg_upgrade
  INSERT INTO smart.issuer AS i VALUES (
    issuer, jwks, audience, preset, algorithms, leeway, max_token_age, token_types, required_claims,
    client_ids, base_urls, claim_map, max_patients, patient_from_fhir_user,
    smart_internal.regprocedure_text(patient_aliases), smart_internal.regprocedure_text(user_patients), user_sees_all,
    staff_types, patient_references, levels, jwks_uri, discover, refuse_after)
  ON CONFLICT ON CONSTRAINT issuer_pkey DO UPDATE SET
    jwks = EXCLUDED.jwks, audience = EXCLUDED.audience, preset = EXCLUDED.preset,
    algorithms = EXCLUDED.algorithms, leeway = EXCLUDED.leeway, max_token_age = EXCLUDED.max_token_age,
    token_types = EXCLUDED.token_types, required_claims = EXCLUDED.required_claims,
    client_ids = EXCLUDED.client_ids, base_urls = EXCLUDED.base_urls, claim_map = EXCLUDED.claim_map,
    max_patients = EXCLUDED.max_patients, patient_from_fhir_user = EXCLUDED.patient_from_fhir_user,
    patient_aliases = EXCLUDED.patient_aliases, user_patients = EXCLUDED.user_patients,
    user_sees_all = EXCLUDED.user_sees_all, staff_types = EXCLUDED.staff_types,
    patient_references = EXCLUDED.patient_references, levels = EXCLUDED.levels,
    jwks_uri = EXCLUDED.jwks_uri, discover = EXCLUDED.discover, refuse_after = EXCLUDED.refuse_after;
END
$$;

CREATE FUNCTION smart_internal.is_temporary(procedure regprocedure) RETURNS boolean
  LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = '' AS
  $$SELECT n.nspname ~ '^pg_temp_' FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = procedure$$;
REVOKE ALL ON FUNCTION smart_internal.is_temporary(regprocedure) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.is_temporary(regprocedure) IS
  'Is the function in the temporary schema of a session?';

CREATE FUNCTION smart_internal.regprocedure_text(procedure regprocedure) RETURNS text
  LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = '' AS 'SELECT procedure::pg_catalog.text';
REVOKE ALL ON FUNCTION smart_internal.regprocedure_text(regprocedure) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.regprocedure_text(regprocedure) IS
  'The function with its schema and argument types, whatever the search_path of the caller.';

CREATE FUNCTION smart.set_jwks(issuer text, jwks jsonb) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  IF $2 IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
      MESSAGE = 'invalid value for parameter "jwks"', SCHEMA = 'smart', CONSTRAINT = 'invalid_parameter';
  END IF;
  PERFORM smart_internal.check_issuer($2, i.algorithms, NULL) FROM smart.issuer i WHERE i.issuer = $1;
  -- by hand counts as a good answer: fresh for an hour, good for a day more, as the program's defaults
  UPDATE smart.issuer i SET jwks = $2,
    refuse_after = CASE WHEN i.jwks_uri IS NOT NULL OR i.discover THEN clock_timestamp() + interval '25 hours' END
  WHERE i.issuer = $1;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
      MESSAGE = 'issuer is not known', HINT = 'Register it with smart.add_issuer().',
      SCHEMA = 'smart', CONSTRAINT = 'unknown_issuer';
  END IF;
END
$$;

CREATE FUNCTION smart.drop_issuer(issuer text) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  DELETE FROM smart.issuer i WHERE i.issuer = $1;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
      MESSAGE = 'issuer is not known', SCHEMA = 'smart', CONSTRAINT = 'unknown_issuer';
  END IF;
END
$$;

REVOKE ALL ON FUNCTION smart.add_issuer(text, jsonb, text[], text, text[], interval, interval, text[], text[],
  text[], text[], jsonb, int, boolean, regprocedure, regprocedure, boolean, text[], boolean, text[], text, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION smart.set_jwks(text, jsonb) FROM PUBLIC;
REVOKE ALL ON FUNCTION smart.drop_issuer(text) FROM PUBLIC;
COMMENT ON FUNCTION smart.add_issuer IS
  'Trusts an issuer of access tokens (RFC 9068), or replaces its row. jwks: its public keys (RFC 7517), or jwks_uri or discover for the program smart_fhir_keys to fetch them; audience: the FHIR base URLs that its tokens may name; leeway up to 300 s; max_token_age: exp - iat; errors 22023. doc/reference.md lists every option.';
COMMENT ON FUNCTION smart.set_jwks(text, jsonb) IS
  'Replaces the keys of an issuer; sessions whose key is gone end at their next statement (28000). Errors 22023.';
COMMENT ON FUNCTION smart.drop_issuer(text) IS
  'Stops trusting an issuer; its sessions end at their next statement (28000). Errors 22023.';
