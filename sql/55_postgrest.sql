/* PostgREST: the function for db-pre-request. */

CREATE FUNCTION smart.pre_request() RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  given text := nullif(current_setting('request.headers', true), '')::jsonb ->> 'authorization';
  reason text;
  advice text;
  challenge text;
BEGIN
  IF given IS NULL THEN
    -- nobody; also on a connection where somebody logged in for longer than a transaction
    PERFORM smart.logout();
    RETURN;
  END IF;
  PERFORM smart.login(CASE WHEN given ~* '^bearer +' THEN regexp_replace(given, '^[^ ]+ +', '') END);
  -- the issuer's leeway is left for the request itself: an expiry in the middle of it would come out as 403
  IF (SELECT s.expires_at <= clock_timestamp() FROM smart.session s) THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_authorization_specification', MESSAGE = 'access token is not accepted', DETAIL = 'The token has expired.';
  END IF;
EXCEPTION
  WHEN invalid_authorization_specification THEN
    GET STACKED DIAGNOSTICS reason = PG_EXCEPTION_DETAIL, advice = PG_EXCEPTION_HINT;
    challenge := 'Bearer error="invalid_token"';
    PERFORM set_config('response.headers', jsonb_build_array(jsonb_build_object('WWW-Authenticate', challenge))::text, true);
    RAISE SQLSTATE 'PT401' USING MESSAGE = 'access token is not accepted',
      DETAIL = CASE WHEN given ~* '^bearer +' THEN coalesce(nullif(reason, ''), 'The token is not accepted.') ELSE 'The Authorization header holds no bearer token.' END,
      HINT = 'WWW-Authenticate: ' || challenge, SCHEMA = 'smart', CONSTRAINT = 'invalid_token';
  WHEN insufficient_privilege THEN
    challenge := 'Bearer error="insufficient_scope"';
    PERFORM set_config('response.headers', jsonb_build_array(jsonb_build_object('WWW-Authenticate', challenge))::text, true);
    RAISE SQLSTATE 'PT403' USING MESSAGE = 'insufficient scope', DETAIL = 'The token does not open this.',
      HINT = 'WWW-Authenticate: ' || challenge, SCHEMA = 'smart', CONSTRAINT = 'insufficient_scope';
END
$$;
COMMENT ON FUNCTION smart.pre_request() IS
  'For PostgREST''s db-pre-request: logs in, for the transaction, with the bearer token of the setting request.headers; without an Authorization header nobody is logged in. Raises PT401 (invalid_token) or PT403 (insufficient_scope), which PostgREST answers as 401 and 403; the challenge (RFC 6750) stands in the HINT and in response.headers.';
