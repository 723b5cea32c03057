/* The keys of an issuer: which of them can be used, and why not the others. */

CREATE FUNCTION smart_internal.issuer_keys(jwks jsonb, algorithms text[],
  OUT kid text, OUT kty text, OUT alg text, OUT use text, OUT usable boolean, OUT reason text) RETURNS SETOF record
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_issuer_keys';
REVOKE ALL ON FUNCTION smart_internal.issuer_keys(jsonb, text[]) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.issuer_keys(jsonb, text[]) IS
  'The rows of smart.issuer_keys(issuer) for a key set and the algorithms that the issuer may use.';

CREATE FUNCTION smart.issuer_keys(issuer text)
  RETURNS TABLE (kid text, kty text, alg text, use text, usable boolean, reason text)
  LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  row smart.issuer;
BEGIN
  SELECT i.* INTO row FROM smart.issuer i WHERE i.issuer = $1;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
      MESSAGE = 'issuer is not known', HINT = 'SELECT issuer FROM smart.issuer lists those that are.',
      SCHEMA = 'smart', CONSTRAINT = 'unknown_issuer';
  END IF;
  RETURN QUERY SELECT k.kid, k.kty, k.alg, k.use, k.usable, k.reason FROM smart_internal.issuer_keys(row.jwks, row.algorithms) k;
END
$$;
REVOKE ALL ON FUNCTION smart.issuer_keys(text) FROM PUBLIC;
COMMENT ON FUNCTION smart.issuer_keys(text) IS
  'The keys of an issuer as they were given to smart.add_issuer() or smart.set_jwks() (RFC 7517), equal ones once: usable says whether tokens can be verified with it under the issuer''s algorithms, reason why not. Errors 22023: the issuer is not known.';
