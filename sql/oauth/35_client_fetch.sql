/* The keys of clients with jwks_uri, for the program smart_fhir_keys; as sql/43_issuer_fetch.sql for issuers. */

CREATE FUNCTION smart_internal.oauth_key_sources(OUT client_id text, OUT jwks_uri text, OUT public_only boolean,
  OUT next_try timestamptz, OUT failures int, OUT tried_at timestamptz) RETURNS SETOF record
  LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT c.client_id, c.metadata->>'jwks_uri', c.dynamic, f.next_try, coalesce(f.failures, 0), f.tried_at
  FROM smart.client c LEFT JOIN smart_internal.oauth_client_fetch f ON f.client_id = c.client_id AND f.jwks_uri = c.metadata->>'jwks_uri'
  WHERE c.enabled AND smart_internal.is_key_uri(c.metadata->>'jwks_uri')
    AND (NOT c.dynamic OR EXISTS (SELECT FROM smart_internal.oauth_client_event e WHERE e.client_id = c.client_id AND e.event = 'approved'))
$$;
COMMENT ON FUNCTION smart_internal.oauth_key_sources() IS
  'For smart_fhir_keys: the enabled clients whose keys it fetches; those that registered themselves once somebody approved them. public_only: their addresses are not ours to trust.';

CREATE FUNCTION smart_internal.oauth_begin_fetch(client_id text, jwks_uri text, reason text, lease interval) RETURNS timestamptz
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  claim timestamptz;
BEGIN
  INSERT INTO smart_internal.oauth_client_fetch AS f (client_id, jwks_uri)
  SELECT s.client_id, s.jwks_uri FROM smart_internal.oauth_key_sources() s WHERE s.client_id = $1 AND s.jwks_uri = $2
  ON CONFLICT ON CONSTRAINT oauth_client_fetch_pkey DO UPDATE
    SET jwks_uri = EXCLUDED.jwks_uri, fetched_at = NULL, tried_at = NULL, next_try = NULL, failures = 0, last_error = NULL
    WHERE f.jwks_uri <> EXCLUDED.jwks_uri;
  UPDATE smart_internal.oauth_client_fetch f SET tried_at = clock_timestamp(), next_try = clock_timestamp() + $4
  WHERE f.client_id = $1 AND f.jwks_uri = $2 AND smart_internal.may_fetch($3, f.tried_at, f.next_try) RETURNING f.tried_at INTO claim;
  RETURN claim;
END
$$;
COMMENT ON FUNCTION smart_internal.oauth_begin_fetch(text, text, text, interval) IS
  'For smart_fhir_keys: claims the fetch of a client''s keys until the lease is over, and returns the claim; NULL: another program has it, or it is too early. reason: due, request or once.';

CREATE FUNCTION smart_internal.oauth_take_keys(client_id text, jwks_uri text, answer bytea, fresh interval, claim timestamptz) RETURNS text
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  jwks jsonb := smart_internal.key_answer($3);
BEGIN
  IF jwks IS NULL THEN
    RETURN 'json';
  ELSIF jsonb_typeof(jwks) <> 'object' OR smart_internal.oauth_jwks_fault(jwks) IS NOT NULL THEN
    RETURN 'keys';
  END IF;
  PERFORM FROM smart_internal.oauth_client c WHERE c.client_id = $1 AND c.metadata->>'jwks_uri' = $2 FOR UPDATE;
  UPDATE smart_internal.oauth_client_fetch f SET fetched_at = clock_timestamp(), next_try = clock_timestamp() + $4, failures = 0, last_error = NULL
  WHERE FOUND AND f.client_id = $1 AND f.jwks_uri = $2 AND f.tried_at = $5;
  IF NOT FOUND THEN
    RETURN 'superseded';
  END IF;
  UPDATE smart_internal.oauth_client c SET fetched_jwks = jwks WHERE c.client_id = $1 AND c.fetched_jwks IS DISTINCT FROM jwks;
  RETURN 'stored';
END
$$;
COMMENT ON FUNCTION smart_internal.oauth_take_keys(text, text, bytea, interval, timestamptz) IS
  'For smart_fhir_keys: judges what a client''s jwks_uri answered as smart.set_client_jwks() does, and stores it: stored; else json or keys, and nothing changes. superseded: the client or its address changed, or other keys came, after this fetch was begun.';

CREATE FUNCTION smart_internal.oauth_fetch_failed(client_id text, error text, next_try timestamptz, claim timestamptz) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  IF NOT smart_internal.is_fetch_error($2) OR $3 IS NULL THEN
    PERFORM smart_internal.oauth_refuse('error', 'It must be one of the words of smart_internal.fetch_failed().');
  END IF;
  UPDATE smart_internal.oauth_client_fetch f SET next_try = $3, failures = f.failures + 1, last_error = $2
  WHERE f.client_id = $1 AND f.tried_at = $4;
END
$$;
COMMENT ON FUNCTION smart_internal.oauth_fetch_failed(text, text, timestamptz, timestamptz) IS
  'For smart_fhir_keys: a fetch of a client''s keys failed; the keys that are there stay. Nothing when the claim is no longer the last. Errors 22023.';

REVOKE ALL ON FUNCTION smart_internal.oauth_key_sources(), smart_internal.oauth_begin_fetch(text, text, text, interval),
  smart_internal.oauth_take_keys(text, text, bytea, interval, timestamptz), smart_internal.oauth_fetch_failed(text, text, timestamptz, timestamptz) FROM PUBLIC;

-- Roles that fetch the keys of issuers already, fetch these too.
DO $$
DECLARE
  fetcher pg_catalog.oid;
BEGIN
  FOR fetcher IN SELECT a.grantee FROM pg_catalog.pg_proc p, pg_catalog.aclexplode(p.proacl) a
    WHERE p.oid OPERATOR(pg_catalog.=) 'smart_internal.key_sources()'::pg_catalog.regprocedure AND a.grantee OPERATOR(pg_catalog.<>) p.proowner
      AND a.grantee OPERATOR(pg_catalog.<>) 0
  LOOP
    PERFORM smart.grant_keys(fetcher::pg_catalog.regrole);
  END LOOP;
END
$$;
