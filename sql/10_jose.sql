/* JSON Web Signatures, Tokens and Keys (RFC 7515, 7517, 7518, 7519, 7638, 8037). */

CREATE FUNCTION smart.jws_verify(token text, jwks jsonb, algorithms text[] DEFAULT NULL)
RETURNS bytea
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'smart_jws_verify';

COMMENT ON FUNCTION smart.jws_verify(text, jsonb, text[]) IS
'Payload of a compact JWS whose signature fits the one key of jwks that its header names (RFC 7515 5.2); any bytes. jwks: a JWK Set, a key or an array of keys. algorithms NULL: RS*, PS*, ES*, EdDSA, and HS* with oct keys. Errors: 28000 when the token is not accepted, NULL too, the constraint name tells why; 22004 jwks is NULL; 22023 algorithms.';

-- Volatile: with "at" NULL the answer depends on the clock.
CREATE FUNCTION smart.jwt_verify(token text, jwks jsonb, issuer text DEFAULT NULL,
								 audience text[] DEFAULT NULL, algorithms text[] DEFAULT NULL,
								 leeway interval DEFAULT '0', at timestamptz DEFAULT NULL)
RETURNS jsonb
LANGUAGE c VOLATILE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'smart_jwt_verify';

COMMENT ON FUNCTION smart.jwt_verify(text, jsonb, text, text[], text[], interval, timestamptz) IS
'Claims of a JWT (RFC 7519 7.2) whose signature fits, as in jws_verify, whose iss is issuer, whose aud is or has one of audience, with exp later than at minus leeway and nbf not later than at plus leeway. exp is required; exp, nbf and iat must be numbers; issuer and audience NULL: not checked. at NULL: the clock, not the start of the transaction. Errors: 28000 when the token is not accepted, NULL too, the constraint name tells why; 22004 jwks is NULL; 22023 another argument.';

CREATE FUNCTION smart.jwt_header(token text)
RETURNS jsonb
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'smart_jwt_header';

COMMENT ON FUNCTION smart.jwt_header(text) IS
'Header of a compact JWS, NOT verified: anyone can have written it (RFC 7515 4). Error: 28000 when the token is malformed.';

CREATE FUNCTION smart.jwt_payload(token text)
RETURNS jsonb
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'smart_jwt_payload';

COMMENT ON FUNCTION smart.jwt_payload(text) IS
'Claims of a JWT, NOT verified: anyone can have written them (RFC 7519 4). Error: 28000 when the token is malformed.';

-- Volatile: ECDSA and PSS signatures differ each time.
CREATE FUNCTION smart.jwt_sign(payload jsonb, jwk jsonb, header jsonb DEFAULT NULL)
RETURNS text
LANGUAGE c VOLATILE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'smart_jwt_sign';

COMMENT ON FUNCTION smart.jwt_sign(jsonb, jsonb, jsonb) IS
'Compact JWT signed with a private or oct key (RFC 7515 5.1). header: {"alg": from the key, "typ": "JWT", "kid": from the key} where it does not say otherwise; alg must fit the key and is never none. Errors: 22P02 the key is malformed or weak; 22023 payload, header or the use of the key; 22004 NULL; 54000 larger than 64 KiB.';

CREATE FUNCTION smart.jwk_thumbprint(jwk jsonb)
RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'smart_jwk_thumbprint';

COMMENT ON FUNCTION smart.jwk_thumbprint(jsonb) IS
'RFC 7638 thumbprint of a key, base64url of SHA-256; RSA (2048 to 8192 bits), P-256, P-384, P-521, Ed25519 or oct. Private members do not count. Error: 22P02 the key is malformed or weak.';

-- All of these are for PUBLIC: they read nothing but their arguments.
