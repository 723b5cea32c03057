/* Token shapes of well-known servers: what add_issuer(preset => ...) fills in. Made by tools/generate_presets.pl. */

CREATE TYPE smart_internal.issuer_preset AS (
  name text, algorithms text[], leeway interval, max_token_age interval, token_types text[],
  required_claims text[], claim_map jsonb, max_patients int, patient_from_fhir_user boolean,
  user_sees_all boolean, staff_types text[], patient_references boolean, levels text[]);
COMMENT ON TYPE smart_internal.issuer_preset IS 'Defaults of one preset of smart.add_issuer(); NULL: the general default.';

CREATE FUNCTION smart_internal.issuer_presets() RETURNS SETOF smart_internal.issuer_preset
  LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp ROWS 11 AS $$
  SELECT name, NULL::text[], NULL::interval, NULL::interval, token_types, required_claims, claim_map,
         NULL::int, from_user, NULL::boolean, NULL::text[], patient_references, NULL::text[]
  FROM (VALUES
    -- SMART App Launcher (launch.smarthealthit.org): SMART App Launcher v2 2.0.1, source of its authorization server
    -- it signs HS256 with a secret of its own, without iss, aud, sub and jti, so login() cannot take its tokens: use introspection and assume()
    ('smart-launcher', NULL, '{client_id}'::text[], '{"encounter": [["encounter"],["context","encounter"]],"patient": [["patient"],["context","patient"]]}'::jsonb, NULL::boolean, NULL::boolean),
    -- Keycloak, with or without the SMART extension: Keycloak Server Administration Guide, token claims; Keycloak extensions for FHIR, patient_id attribute mapper
    -- azp is the client; the SMART extension writes patient_id from a user attribute. From Keycloak 25 on sub comes with the client scope "basic": keep it assigned, or leave sub out of required_claims
    ('keycloak', '{JWT,at+jwt}'::text[], '{sub,client_id,iat,jti}'::text[], '{"client_id": [["client_id"],["azp"]],"patient": [["patient"],["patient_id"]]}'::jsonb, NULL::boolean, NULL::boolean),
    -- LinuxForHealth FHIR (IBM FHIR Server): LinuxForHealth FHIR Server User's Guide, SMART on FHIR authorization
    ('linuxforhealth', '{JWT,at+jwt}'::text[], '{sub,iat,jti}'::text[], '{"client_id": [["client_id"],["azp"]],"patient": [["patient_id"]]}'::jsonb, NULL::boolean, NULL::boolean),
    -- Microsoft Entra ID and Azure Health Data Services: Azure Health Data Services, SMART on FHIR; Microsoft identity platform, access token claims reference
    -- delegated tokens carry scp, app-only ones roles; raw_scope wins where it is. src/session/preset.c reads the spelling of their scopes
    ('entra', '{JWT,at+jwt}'::text[], '{sub,client_id,iat}'::text[], '{"client_id": [["azp"],["appid"]],"fhirUser": [["fhirUser"],["extension_fhirUser"]],"scope": [["raw_scope"],["scp"],["roles"]]}'::jsonb, true, NULL::boolean),
    -- Okta: Okta OAuth 2.0 API, access token payload; Okta SMART on FHIR sample (launch_response_patient)
    ('okta', '{JWT,at+jwt,application/okta-internal-at+jwt}'::text[], '{sub,client_id,iat,jti}'::text[], '{"client_id": [["cid"]],"patient": [["patient"],["launch_response_patient"]],"scope": [["scp"]]}'::jsonb, NULL::boolean, true),
    -- Auth0: Auth0, access token profiles
    ('auth0', '{JWT,at+jwt}'::text[], '{sub,client_id,iat}'::text[], '{"client_id": [["client_id"],["azp"]],"patient": [["patient"],["launch_response_patient"]]}'::jsonb, NULL::boolean, true),
    -- Amazon Cognito: Amazon Cognito Developer Guide, using the access token
    -- no aud: client_ids must be given; no typ in the header; token_use must be access
    ('cognito', '{"",JWT}'::text[], '{sub,client_id,iat,jti,token_use}'::text[], NULL::jsonb, NULL::boolean, NULL::boolean),
    -- Oracle Health (Cerner): Oracle Health Millennium Platform, FHIR authorization framework
    ('oracle', '{JWT,at+jwt,""}'::text[], '{sub,iat}'::text[], '{"encounter": [["urn:com:cerner:authorization:claims","encounter"],["urn:com:cerner:authorization.claims","encounter"]],"fhirUser": [["fhirUser"],["urn:cerner:authorization:claims:version:1","profiles","smart-v1","fhirUser"]],"patient": [["urn:com:cerner:authorization:claims","patient"],["urn:com:cerner:authorization.claims","patient"]],"scope": [["urn:com:cerner:authorization:claims","azs"],["urn:com:cerner:authorization.claims","azs"],["urn:cerner:authorization:claims:version:1","profiles","smart-v1","azs"]]}'::jsonb, NULL::boolean, NULL::boolean),
    -- Medplum: Medplum, access token claims of its server
    ('medplum', '{JWT,at+jwt,""}'::text[], '{sub,client_id,iat}'::text[], '{"fhirUser": [["profile"]]}'::jsonb, NULL::boolean, NULL::boolean),
    -- Aidbox: Aidbox, SMART on FHIR authorization (context.patient, atv)
    ('aidbox', '{JWT,at+jwt,""}'::text[], '{sub,iat}'::text[], '{"patient": [["context","patient"]]}'::jsonb, NULL::boolean, NULL::boolean),
    -- Epic: Epic on FHIR, OAuth 2.0: JWT access tokens
    -- neither scope nor patient is in the token: use introspection and assume(). Launch handles are JWTs too: epic.tokentype must be access
    ('epic', '{JWT,at+jwt}'::text[], '{sub,client_id,iat,jti,epic.tokentype}'::text[], NULL::jsonb, NULL::boolean, NULL::boolean)
  ) p (name, token_types, required_claims, claim_map, from_user, patient_references)
$$;
COMMENT ON FUNCTION smart_internal.issuer_presets() IS 'All presets that smart.add_issuer() knows; revision 2.';

CREATE FUNCTION smart_internal.issuer_preset(name text) RETURNS smart_internal.issuer_preset
  LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS
  $$ SELECT p FROM smart_internal.issuer_presets() p WHERE p.name = $1 $$;
COMMENT ON FUNCTION smart_internal.issuer_preset(text) IS 'One preset of smart.add_issuer(), NULL when there is none of this name.';

CREATE FUNCTION smart_internal.issuer_preset_names() RETURNS text
  LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS
  $$ SELECT string_agg(p.name, ', ' ORDER BY p.name) FROM smart_internal.issuer_presets() p $$;
COMMENT ON FUNCTION smart_internal.issuer_preset_names() IS 'Names of the presets, for error hints.';

REVOKE ALL ON FUNCTION smart_internal.issuer_presets(), smart_internal.issuer_preset(text), smart_internal.issuer_preset_names() FROM PUBLIC;
