/* Discovery: the documents that tell clients what there is, true to the configuration. */

-- Is there anything that a person can grant?
CREATE FUNCTION smart_internal.oauth_has_apps(scopes text[]) RETURNS boolean
  LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM unnest(scopes) s WHERE s = 'openid' OR s ~ '^(patient|user)/')
$$;

-- What both documents say, and what is true of this configuration.
CREATE FUNCTION smart_internal.oauth_metadata() RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  o jsonb := smart.server_configuration();
  scopes text[] := array_remove(string_to_array(o->>'scopes_supported', ' '), '');
  methods CONSTANT jsonb := '["client_secret_basic", "client_secret_post", "private_key_jwt"]';
  algorithms CONSTANT jsonb := '["RS384", "ES384", "RS256", "ES256", "EdDSA"]';
BEGIN
  RETURN jsonb_strip_nulls(jsonb_build_object(
    'issuer', o->'issuer',
    'authorization_endpoint', o->'authorization_endpoint',
    'token_endpoint', o->'token_endpoint',
    'introspection_endpoint', o->'introspection_endpoint',
    'revocation_endpoint', o->'revocation_endpoint',
    'jwks_uri', o->'jwks_uri',
    'registration_endpoint', o->'registration_endpoint',
    'management_endpoint', o->'management_endpoint',
    'device_authorization_endpoint', o->'device_authorization_endpoint',
    'scopes_supported', scopes,
    'response_types_supported', '["code"]'::jsonb,
    'response_modes_supported', '["query"]'::jsonb,
    'grant_types_supported', (SELECT jsonb_agg(g) FROM unnest(ARRAY[
      CASE WHEN smart_internal.oauth_has_apps(scopes) THEN 'authorization_code' END,
      CASE WHEN scopes && '{offline_access,online_access}' THEN 'refresh_token' END,
      CASE WHEN EXISTS (SELECT FROM unnest(scopes) s WHERE s LIKE 'system/%') THEN 'client_credentials' END,
      CASE WHEN o ? 'device_verification_uri' THEN 'urn:ietf:params:oauth:grant-type:device_code' END]) g WHERE g IS NOT NULL),
    'token_endpoint_auth_methods_supported', methods,
    'token_endpoint_auth_signing_alg_values_supported', algorithms,
    'introspection_endpoint_auth_methods_supported', methods,
    'introspection_endpoint_auth_signing_alg_values_supported', algorithms,
    'revocation_endpoint_auth_methods_supported', methods,
    'revocation_endpoint_auth_signing_alg_values_supported', algorithms,
    'code_challenge_methods_supported', '["S256"]'::jsonb,
    'authorization_response_iss_parameter_supported', true));
END
$$;

-- Can ID tokens be given: openid, and a key of the algorithm that every client can check?
CREATE FUNCTION smart_internal.oauth_has_openid() RETURNS boolean
  LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'openid' = ANY (string_to_array(smart.server_configuration()->>'scopes_supported', ' '))
    AND EXISTS (SELECT FROM smart_internal.oauth_signing_key k WHERE k.algorithm = 'RS256'
      AND k.signs_from <= clock_timestamp() AND (k.retired_at IS NULL OR k.retired_at > clock_timestamp()))
$$;

CREATE FUNCTION smart.smart_configuration(base_url text DEFAULT NULL) RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  o jsonb := smart.server_configuration();
  scopes text[] := string_to_array(o->>'scopes_supported', ' ');
  has_openid boolean := smart_internal.oauth_has_openid();
  has_patient boolean := EXISTS (SELECT FROM unnest(scopes) s WHERE s LIKE 'patient/%');
  has_user boolean := EXISTS (SELECT FROM unnest(scopes) s WHERE s LIKE 'user/%');
  has_resource boolean := EXISTS (SELECT FROM unnest(scopes) s WHERE s ~ '^(patient|user|system)/');
  has_apps boolean := smart_internal.oauth_has_apps(scopes);
  launch boolean := has_apps AND 'launch' = ANY (scopes);
  capabilities text[];
BEGIN
  IF base_url IS NOT NULL AND NOT o->'fhir_base_urls' ? base_url THEN
    PERFORM smart_internal.oauth_refuse('base_url', 'It must be one of fhir_base_urls.');
  END IF;
  capabilities := array_remove(ARRAY[
    CASE WHEN launch THEN 'launch-ehr' END,
    CASE WHEN has_apps THEN 'launch-standalone' END,
    CASE WHEN has_apps AND (o->>'authorize_post')::boolean THEN 'authorize-post' END,
    CASE WHEN has_apps THEN 'client-public' END,
    CASE WHEN has_apps THEN 'client-confidential-symmetric' END,
    'client-confidential-asymmetric',
    CASE WHEN has_openid THEN 'sso-openid-connect' END,
    CASE WHEN launch THEN 'context-banner' END,
    CASE WHEN launch THEN 'context-style' END,
    CASE WHEN launch THEN 'context-ehr-patient' END,
    CASE WHEN launch THEN 'context-ehr-encounter' END,
    CASE WHEN 'launch/patient' = ANY (scopes) THEN 'context-standalone-patient' END,
    CASE WHEN 'launch/encounter' = ANY (scopes) AND (o->>'encounter_picker')::boolean THEN 'context-standalone-encounter' END,
    CASE WHEN 'offline_access' = ANY (scopes) THEN 'permission-offline' END,
    CASE WHEN 'online_access' = ANY (scopes) THEN 'permission-online' END,
    CASE WHEN has_patient THEN 'permission-patient' END,
    CASE WHEN has_user THEN 'permission-user' END,
    CASE WHEN has_resource THEN 'permission-v1' END,
    CASE WHEN has_resource THEN 'permission-v2' END], NULL);
  RETURN jsonb_strip_nulls((smart_internal.oauth_metadata()
      - CASE WHEN has_openid THEN '{}'::text[] ELSE '{issuer,jwks_uri}' END)
    || jsonb_build_object('capabilities', capabilities,
      'user_access_brand_bundle', o->'brand_bundle', 'user_access_brand_identifier', o->'brand_identifier'));
END
$$;
COMMENT ON FUNCTION smart.smart_configuration(text) IS
  'The document of <FHIR base>/.well-known/smart-configuration (SMART App Launch 2.2, "Conformance"); base_url is one of fhir_base_urls. Every capability listed is true. Errors: 22023 another base; 55000 not configured.';

CREATE FUNCTION smart.openid_configuration() RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  o jsonb := smart.server_configuration();
BEGIN
  RETURN jsonb_strip_nulls(smart_internal.oauth_metadata() || jsonb_build_object(
    'userinfo_endpoint', o->'userinfo_endpoint',
    'subject_types_supported', '["public"]'::jsonb,
    'id_token_signing_alg_values_supported', (SELECT coalesce(jsonb_agg(DISTINCT k.algorithm), '[]') FROM smart_internal.oauth_signing_key k
      WHERE k.signs_from <= clock_timestamp() AND (k.retired_at IS NULL OR k.retired_at > clock_timestamp())),
    'claims_supported', '["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "fhirUser"]'::jsonb,
    'prompt_values_supported', '["none", "login", "consent", "select_account"]'::jsonb,
    'claims_parameter_supported', false,
    'request_parameter_supported', false,
    'request_uri_parameter_supported', false));
END
$$;
COMMENT ON FUNCTION smart.openid_configuration() IS
  'The document of <issuer>/.well-known/openid-configuration (OpenID Connect Discovery 1.0 3). Errors: 55000 not configured.';

CREATE FUNCTION smart.capability_security() RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  m jsonb := smart_internal.oauth_metadata();
BEGIN
  RETURN jsonb_build_object(
    'cors', true,
    'service', jsonb_build_array(jsonb_build_object('coding', jsonb_build_array(jsonb_build_object(
      'system', 'http://terminology.hl7.org/CodeSystem/restful-security-service', 'code', 'SMART-on-FHIR')), 'text', 'OAuth2 using SMART-on-FHIR profile')),
    'extension', jsonb_build_array(jsonb_build_object(
      'url', 'http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris',
      'extension', (SELECT jsonb_agg(jsonb_build_object('url', e.url, 'valueUri', m->e.member) ORDER BY e.n)
        FROM (VALUES (1, 'authorize', 'authorization_endpoint'), (2, 'token', 'token_endpoint'), (3, 'register', 'registration_endpoint'),
          (4, 'manage', 'management_endpoint'), (5, 'introspect', 'introspection_endpoint'), (6, 'revoke', 'revocation_endpoint')) e (n, url, member)
        WHERE m ? e.member))));
END
$$;
COMMENT ON FUNCTION smart.capability_security() IS
  'CapabilityStatement.rest.security with the oauth-uris extension of SMART App Launch 1.0. Errors: 55000 not configured.';
