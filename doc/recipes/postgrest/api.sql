-- PostgREST before smart_fhir_oauth: what the schema that it serves (db-schemas = "api") shows of the protocol. web is the role of
-- requests without a token (db-anon-role); the role that PostgREST logs in with is the same for both calls, as redeem() asks.
CREATE SCHEMA api;
CREATE FUNCTION api.burn(endpoint text, request jsonb, headers jsonb) RETURNS text LANGUAGE sql
BEGIN ATOMIC
  SELECT smart.burn(endpoint, request, headers);
END;
CREATE FUNCTION api.redeem(receipt text) RETURNS jsonb LANGUAGE sql
BEGIN ATOMIC
  SELECT smart.redeem(receipt);
END;
CREATE FUNCTION api.smart_configuration(base text) RETURNS jsonb LANGUAGE sql
BEGIN ATOMIC
  SELECT smart.smart_configuration(base);
END;
CREATE FUNCTION api.server_jwks() RETURNS jsonb LANGUAGE sql
BEGIN ATOMIC
  SELECT smart.server_jwks();
END;
CREATE FUNCTION api.openid_configuration() RETURNS jsonb LANGUAGE sql
BEGIN ATOMIC
  SELECT smart.openid_configuration();
END;
GRANT USAGE ON SCHEMA api TO web;
SELECT smart.grant_oauth('web', 'protocol');
