/* CDS Hooks 2.0: who may call this server's CDS services, and the tokens for services that it calls. Nobody's by default (90_duties.sql). */

CREATE FUNCTION smart.add_cds_client(iss text, jwks jsonb, jku text DEFAULT NULL, tenants text[] DEFAULT NULL) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
  IF coalesce(iss, '') = '' THEN
    PERFORM smart_internal.oauth_refuse('iss', 'It must be a text that is not empty.');
  ELSIF jwks IS NULL OR smart_internal.oauth_jwks_fault(jwks) IS NOT NULL THEN
    PERFORM smart_internal.oauth_refuse('jwks', coalesce(smart_internal.oauth_jwks_fault(jwks), 'It must not be null.'));
  ELSIF jku IS NOT NULL AND smart_internal.oauth_uri_fault(jku, 'https') IS NOT NULL THEN
    PERFORM smart_internal.oauth_refuse('jku', smart_internal.oauth_uri_fault(jku, 'https'));
  ELSIF cardinality(tenants) = 0 OR array_position(tenants, NULL) IS NOT NULL OR '' = ANY (tenants) THEN
    PERFORM smart_internal.oauth_refuse('tenants', 'It must be a list of texts that are not empty, or NULL: any tenant, or none.');
  END IF;
  INSERT INTO smart_internal.oauth_cds_client AS c VALUES (iss, jwks, jku, tenants)
  ON CONFLICT ON CONSTRAINT oauth_cds_client_pkey DO UPDATE SET jwks = EXCLUDED.jwks, jku = EXCLUDED.jku, tenants = EXCLUDED.tenants;
END
$$;
COMMENT ON FUNCTION smart.add_cds_client(text, jsonb, text, text[]) IS
  'Trusts a CDS client (CDS Hooks 2.0, "Trusting CDS clients"), or replaces what is known of it: its iss, its public keys, the jku that its JWTs may name (nothing is fetched), the tenants of which one must be named then. Errors: 22023.';

CREATE FUNCTION smart.drop_cds_client(iss text) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  DELETE FROM smart_internal.oauth_cds_client c WHERE c.iss = $1;
  IF NOT FOUND THEN
    PERFORM smart_internal.oauth_refuse('iss', 'There is no CDS client of this name.', 'unknown_cds_client');
  END IF;
END
$$;
COMMENT ON FUNCTION smart.drop_cds_client(text) IS 'Ends the trust in a CDS client. Errors: 22023.';

CREATE PROCEDURE smart.verify_cds_request(IN jwt text, IN audience text, INOUT claims jsonb DEFAULT NULL)
  LANGUAGE c AS 'MODULE_PATHNAME', 'smart_oauth_verify_cds_request';
COMMENT ON PROCEDURE smart.verify_cds_request(text, text, jsonb) IS
  'The claims of the JWT with which a CDS client calls (CDS Hooks 2.0): of a known iss, for this audience (the URL that was called), at most five minutes long, its jti not used before, which is burnt and committed. Errors: 28000 when it is refused, 25001 in a transaction block, 22004 audience is NULL.';

CREATE FUNCTION smart.check_cds_authorization(hook_request jsonb) RETURNS jsonb
  LANGUAGE c VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_oauth_check_cds_authorization';
COMMENT ON FUNCTION smart.check_cds_authorization(jsonb) IS
  'The fhirAuthorization of a hook''s request, checked against its fhirServer and context (CDS Hooks 2.0), or NULL when there is none. Errors: 28000 when it contradicts them or asks for system/; 22004 NULL, 22023 no JSON object.';

CREATE FUNCTION smart.cds_authorization(client_id text, hook_request jsonb, scope text, lifetime int DEFAULT 60) RETURNS jsonb
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_oauth_cds_authorization';
COMMENT ON FUNCTION smart.cds_authorization(text, jsonb, text, int) IS
  'The fhirAuthorization for a CDS service that is called, registered as client_id: a token for the patient and the user of the hook''s context, with hookInstance, good for lifetime seconds (1 to 300). scope within the client''s; no system/, openid, offline_access. Errors: 22023, 55000 not configured.';
