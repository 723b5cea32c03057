/* Tokens: the token, introspection, revocation and userinfo endpoints. Nobody's by default (90_duties.sql). */

CREATE PROCEDURE smart.token(IN request jsonb, IN headers jsonb, INOUT response jsonb DEFAULT NULL)
  LANGUAGE c AS 'MODULE_PATHNAME', 'smart_oauth_token';
COMMENT ON PROCEDURE smart.token(jsonb, jsonb, jsonb) IS
  'The token endpoint (RFC 6749 3.2, SMART App Launch 2.2): authorization_code, refresh_token, client_credentials, urn:ietf:params:oauth:grant-type:device_code. request: the form body {"grant_type": "..."}; headers: names in lower case. response: {"status", "headers", "body"}. What is good once is burnt and committed before it answers. Errors: 25001 in a transaction block (then smart.burn() and redeem()), 22004 NULL, 55000 not configured.';

CREATE PROCEDURE smart.introspect(IN request jsonb, IN headers jsonb, INOUT response jsonb DEFAULT NULL)
  LANGUAGE c AS 'MODULE_PATHNAME', 'smart_oauth_introspect';
COMMENT ON PROCEDURE smart.introspect(jsonb, jsonb, jsonb) IS
  'Token introspection (RFC 7662, SMART App Launch 2.2): request {"token": "..."} of an authenticated client, or with a bearer token of this issuer. What the client may not see, and all that is not valid, is {"active": false}. Errors: 25001 in a transaction block, 22004 NULL, 55000 not configured.';

CREATE PROCEDURE smart.revoke(IN request jsonb, IN headers jsonb, INOUT response jsonb DEFAULT NULL)
  LANGUAGE c AS 'MODULE_PATHNAME', 'smart_oauth_revoke';
COMMENT ON PROCEDURE smart.revoke(jsonb, jsonb, jsonb) IS
  'Token revocation (RFC 7009): request {"token": "..."} of the client that it belongs to. A refresh token ends its grant with all its access tokens, an access token ends alone; of anything else: 200, nothing done. Errors: 25001 in a transaction block, 22004 NULL, 55000 not configured.';

CREATE FUNCTION smart.burn(endpoint text, request jsonb, headers jsonb) RETURNS text
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_oauth_burn';
COMMENT ON FUNCTION smart.burn(text, jsonb, jsonb) IS
  'For callers that are always in a transaction: what the endpoint (token, introspect, revoke) answers is fixed and kept sealed under the receipt that this returns; commit, then call smart.redeem(). Errors: 22023 endpoint, 22004 NULL, 55000 not configured.';

CREATE FUNCTION smart.redeem(receipt text) RETURNS jsonb
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_oauth_redeem';
COMMENT ON FUNCTION smart.redeem(text) IS
  'The answer that smart.burn() fixed in an earlier, committed transaction of the same session_user: once within 60 seconds, again after a ROLLBACK. Of anything else, and where client or grant were ended meanwhile: 400 invalid_grant.';

CREATE FUNCTION smart.userinfo(headers jsonb) RETURNS jsonb
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_oauth_userinfo';
COMMENT ON FUNCTION smart.userinfo(jsonb) IS
  'The userinfo endpoint (OpenID Connect Core 5.3): sub, and fhirUser where it was granted, for a bearer token of this issuer with the scope openid. 401 invalid_token, 403 insufficient_scope. Errors: 22004 NULL, 55000 not configured.';
