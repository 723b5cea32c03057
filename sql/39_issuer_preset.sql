/* Token shapes of well-known servers: what add_issuer(preset => ...) fills in. */

CREATE TYPE smart.issuer_preset AS (
  name text, algorithms text[], leeway interval, max_token_age interval, token_types text[],
  required_claims text[], claim_map jsonb, max_patients int, patient_from_fhir_user boolean,
  user_sees_all boolean, levels text[]);
COMMENT ON TYPE smart.issuer_preset IS 'Defaults of one preset of smart.add_issuer(); NULL: the general default.';

CREATE FUNCTION smart.issuer_presets() RETURNS SETOF smart.issuer_preset
  LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp ROWS 11 AS $$
  SELECT name, NULL::text[], NULL::interval, NULL::interval, token_types, required_claims, claim_map::jsonb,
         NULL::int, from_user, NULL::boolean, NULL::text[]
  FROM (VALUES
    ('smart-launcher', NULL::text[], '{client_id,iat}'::text[], NULL, NULL::boolean),
    -- azp is the client; the SMART extension writes patient_id from a user attribute
    ('keycloak', '{JWT,at+jwt}', '{sub,client_id,iat,jti}',
      '{"client_id": [["client_id"], ["azp"]], "patient": [["patient"], ["patient_id"]]}', NULL),
    ('linuxforhealth', '{JWT,at+jwt}', '{sub,iat,jti}',
      '{"client_id": [["client_id"], ["azp"]], "patient": [["patient_id"]]}', NULL),
    -- delegated tokens carry scp, app-only ones roles; raw_scope wins where it is
    ('entra', '{JWT,at+jwt}', '{sub,client_id,iat}',
      '{"scope": [["raw_scope"], ["scp"], ["roles"]], "client_id": [["azp"], ["appid"]], "fhirUser": [["fhirUser"], ["extension_fhirUser"]]}', true),
    ('okta', '{JWT,at+jwt,application/okta-internal-at+jwt}', '{sub,client_id,iat,jti}',
      '{"scope": [["scp"]], "client_id": [["cid"]], "patient": [["patient"], ["launch_response_patient"]]}', NULL),
    ('auth0', '{JWT,at+jwt}', '{sub,client_id,iat}',
      '{"client_id": [["client_id"], ["azp"]], "patient": [["patient"], ["launch_response_patient"]]}', NULL),
    -- no aud: client_ids must be given; no typ in the header
    ('cognito', '{"",JWT}', '{sub,client_id,iat,jti,token_use}', NULL, NULL),
    ('oracle', '{JWT,at+jwt,""}', '{sub,iat}',
      '{"scope": [["urn:com:cerner:authorization:claims", "azs"], ["urn:com:cerner:authorization.claims", "azs"]], "patient": [["urn:com:cerner:authorization:claims", "patient"], ["urn:com:cerner:authorization.claims", "patient"]], "encounter": [["urn:com:cerner:authorization:claims", "encounter"], ["urn:com:cerner:authorization.claims", "encounter"]]}', NULL),
    ('medplum', '{JWT,at+jwt,""}', '{sub,client_id,iat}', '{"fhirUser": [["profile"]]}', NULL),
    ('aidbox', '{JWT,at+jwt,""}', '{sub,iat}', '{"patient": [["context", "patient"]]}', NULL),
    ('epic', '{JWT,at+jwt}', '{sub,client_id,iat,jti,epic.tokentype}', NULL, NULL)
  ) p (name, token_types, required_claims, claim_map, from_user)
$$;
COMMENT ON FUNCTION smart.issuer_presets() IS 'All presets that smart.add_issuer() knows.';

CREATE FUNCTION smart.issuer_preset(name text) RETURNS smart.issuer_preset
  LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS
  $$ SELECT p FROM smart.issuer_presets() p WHERE p.name = $1 $$;
COMMENT ON FUNCTION smart.issuer_preset(text) IS 'One preset of smart.add_issuer(), NULL when there is none of this name.';

CREATE FUNCTION smart.issuer_preset_names() RETURNS text
  LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS
  $$ SELECT string_agg(p.name, ', ' ORDER BY p.name) FROM smart.issuer_presets() p $$;
COMMENT ON FUNCTION smart.issuer_preset_names() IS 'Names of the presets, for error hints.';

REVOKE ALL ON FUNCTION smart.issuer_presets(), smart.issuer_preset(text), smart.issuer_preset_names() FROM PUBLIC;
