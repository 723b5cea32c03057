/* Keys that are fetched: what the program smart_fhir_keys, which runs beside the server, reads and writes. The server itself speaks no HTTP. */

-- How the fetching goes, one row an issuer. Not dumped: it is about this cluster, and the keys are in smart.issuer.
CREATE TABLE smart_internal.issuer_fetch (
  issuer text COLLATE "C" PRIMARY KEY,
  jwks_uri text,  -- where the keys came from; found by discovery where the issuer has discover
  fetched_at timestamptz,
  expires_at timestamptz,
  next_try timestamptz,
  failures int NOT NULL DEFAULT 0,
  last_error text
);
REVOKE ALL ON smart_internal.issuer_fetch FROM PUBLIC;
COMMENT ON TABLE smart_internal.issuer_fetch IS 'How the fetching of each issuer''s keys goes; shown by smart.issuer_key_state.';

CREATE VIEW smart.issuer_key_state AS
  SELECT i.issuer, coalesce(i.jwks_uri, f.jwks_uri) AS jwks_uri, f.fetched_at, f.expires_at, f.next_try,
         coalesce(f.failures, 0) AS failures, f.last_error
  FROM smart.issuer i LEFT JOIN smart_internal.issuer_fetch f ON f.issuer OPERATOR(pg_catalog.=) i.issuer
  WHERE i.jwks_uri IS NOT NULL OR i.discover;
REVOKE ALL ON smart.issuer_key_state FROM PUBLIC;
COMMENT ON VIEW smart.issuer_key_state IS
  'How the fetching of keys goes, for each issuer with jwks_uri or discover: when its keys came, until when they are fresh, when the program tries next, failures in a row, and the last error, one of a fixed list.';

CREATE FUNCTION smart.request_keys(issuer text) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  IF NOT pg_is_in_recovery() AND EXISTS (SELECT FROM smart.issuer i WHERE i.issuer = $1 AND (i.jwks_uri IS NOT NULL OR i.discover)) THEN
    PERFORM pg_notify('smart_fhir_keys', $1);
  END IF;
END
$$;
COMMENT ON FUNCTION smart.request_keys(text) IS
  'Asks the program smart_fhir_keys for an early fetch of an issuer''s keys (NOTIFY smart_fhir_keys); it grants one an issuer in 30 s. For anyone, after a token with an unknown kid. Says nothing about unknown issuers, and does nothing on a standby.';

/*
 * For the program, which may no more than this. key_sources(): what to fetch. store_keys(): a good answer, the
 * address it came from, and the times that follow. fetch_failed(): one that was none, by a word of a fixed list.
 */
CREATE FUNCTION smart_internal.key_sources(OUT issuer text, OUT jwks_uri text, OUT discover boolean, OUT metadata_base text,
  OUT expires_at timestamptz, OUT next_try timestamptz, OUT failures int) RETURNS SETOF record
  LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT i.issuer, i.jwks_uri, coalesce(i.discover, false), coalesce(i.audience[1], i.base_urls[1]),
         f.expires_at, f.next_try, coalesce(f.failures, 0)
  FROM smart.issuer i LEFT JOIN smart_internal.issuer_fetch f ON f.issuer = i.issuer
  WHERE i.jwks_uri IS NOT NULL OR i.discover
$$;
COMMENT ON FUNCTION smart_internal.key_sources() IS
  'For smart_fhir_keys: the issuers whose keys it fetches. metadata_base: whose .well-known/smart-configuration is asked after the issuer''s own openid-configuration.';

CREATE FUNCTION smart_internal.store_keys(issuer text, jwks_uri text, jwks jsonb, expires_at timestamptz, refuse_after timestamptz) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  row smart.issuer;
BEGIN
  SELECT i.* INTO row FROM smart.issuer i WHERE i.issuer = $1 FOR UPDATE;
  -- dropped, or sent elsewhere, while the program fetched: its answer is to another question
  IF NOT FOUND OR NOT (row.jwks_uri = $2 OR (row.jwks_uri IS NULL AND row.discover)) THEN
    RETURN;
  END IF;
  IF NOT (row.jwks_uri IS NOT DISTINCT FROM $2 OR smart_internal.is_key_uri($2)) OR $4 IS NULL OR $5 IS NULL OR $5 < $4 THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'invalid answer of smart_fhir_keys',
      SCHEMA = 'smart', CONSTRAINT = 'invalid_parameter';
  END IF;
  PERFORM smart_internal.check_issuer($3, row.algorithms, NULL);
  UPDATE smart.issuer i SET jwks = $3, refuse_after = $5 WHERE i.issuer = $1;
  INSERT INTO smart_internal.issuer_fetch AS f (issuer, jwks_uri, fetched_at, expires_at, next_try)
  VALUES ($1, $2, clock_timestamp(), $4, $4)
  ON CONFLICT (issuer) DO UPDATE SET jwks_uri = EXCLUDED.jwks_uri, fetched_at = EXCLUDED.fetched_at, expires_at = EXCLUDED.expires_at,
    next_try = EXCLUDED.next_try, failures = 0, last_error = NULL;
END
$$;
COMMENT ON FUNCTION smart_internal.store_keys(text, text, jsonb, timestamptz, timestamptz) IS
  'For smart_fhir_keys: a good answer replaces the issuer''s keys. After refuse_after without another its tokens are refused (stale_keys). Nothing when the issuer is gone, or its address another one. Errors 22023: no key that can be used.';

CREATE FUNCTION smart_internal.fetch_failed(issuer text, error text, next_try timestamptz) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  IF NOT coalesce($2 = ANY ('{address,certificate,connection,content_type,discovery,http_status,json,keys,redirect,size,timeout}'), false) OR $3 IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'invalid value for parameter "error"',
      HINT = 'Valid values are address, certificate, connection, content_type, discovery, http_status, json, keys, redirect, size and timeout.',
      SCHEMA = 'smart', CONSTRAINT = 'invalid_parameter';
  END IF;
  INSERT INTO smart_internal.issuer_fetch AS f (issuer, next_try, failures, last_error)
  SELECT i.issuer, $3, 1, $2 FROM smart.issuer i WHERE i.issuer = $1 AND (i.jwks_uri IS NOT NULL OR i.discover)
  ON CONFLICT (issuer) DO UPDATE SET next_try = EXCLUDED.next_try, failures = f.failures + 1, last_error = EXCLUDED.last_error;
END
$$;
COMMENT ON FUNCTION smart_internal.fetch_failed(text, text, timestamptz) IS
  'For smart_fhir_keys: a fetch failed; the keys that are there stay. error: one word of a fixed list, never the peer''s bytes. Errors 22023.';
REVOKE ALL ON FUNCTION smart_internal.key_sources(), smart_internal.store_keys(text, text, jsonb, timestamptz, timestamptz),
  smart_internal.fetch_failed(text, text, timestamptz) FROM PUBLIC;

CREATE FUNCTION smart.grant_keys(role regrole) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF role IS NULL OR role::oid = 0 THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'invalid value for parameter "role"',
      HINT = 'Name the role that smart_fhir_keys connects as.', SCHEMA = 'smart', CONSTRAINT = 'invalid_parameter';
  END IF;
  EXECUTE format('GRANT EXECUTE ON FUNCTION smart_internal.key_sources(), smart_internal.store_keys(text, text, jsonb, timestamptz, timestamptz), '
    'smart_internal.fetch_failed(text, text, timestamptz) TO %s', role);
  EXECUTE format('GRANT USAGE ON SCHEMA smart_internal TO %s', role);
  EXECUTE format('GRANT SELECT ON smart.issuer_key_state TO %s', role);
END
$$;
REVOKE ALL ON FUNCTION smart.grant_keys(regrole) FROM PUBLIC;
COMMENT ON FUNCTION smart.grant_keys(regrole) IS
  'Grants a role what smart_fhir_keys needs, and no more: to list the issuers with jwks_uri or discover, to replace their keys, to note failures, and to read smart.issuer_key_state. It reads no secret. Errors 22023.';

-- What is known of the fetching goes with the issuer and its address; keys that are given by hand count as a good answer, fresh for an hour.
CREATE FUNCTION smart_internal.keep_issuer_fetch() RETURNS trigger
  LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  moved boolean := TG_OP = 'DELETE';
BEGIN
  IF TG_OP = 'UPDATE' THEN
    moved := OLD.issuer <> NEW.issuer OR OLD.jwks_uri IS DISTINCT FROM NEW.jwks_uri OR OLD.discover IS DISTINCT FROM NEW.discover;
  END IF;
  IF moved THEN
    DELETE FROM smart_internal.issuer_fetch f WHERE f.issuer = OLD.issuer;
  END IF;
  IF TG_OP = 'DELETE' OR NEW.jwks IS NULL OR NOT (NEW.jwks_uri IS NOT NULL OR coalesce(NEW.discover, false)) THEN
    RETURN NULL;
  END IF;
  IF TG_OP = 'UPDATE' AND NOT moved AND OLD.refuse_after IS NOT DISTINCT FROM NEW.refuse_after THEN
    RETURN NULL;
  END IF;
  INSERT INTO smart_internal.issuer_fetch AS f (issuer, fetched_at, expires_at, next_try)
  VALUES (NEW.issuer, clock_timestamp(), clock_timestamp() + interval '1 hour', clock_timestamp() + interval '1 hour')
  ON CONFLICT (issuer) DO UPDATE SET fetched_at = EXCLUDED.fetched_at, expires_at = EXCLUDED.expires_at, next_try = EXCLUDED.next_try,
    failures = 0, last_error = NULL;
  RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION smart_internal.keep_issuer_fetch() FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.keep_issuer_fetch() IS 'Trigger of smart.issuer: keeps smart_internal.issuer_fetch in step with it.';
CREATE TRIGGER issuer_fetch AFTER INSERT OR UPDATE OR DELETE ON smart.issuer FOR EACH ROW EXECUTE FUNCTION smart_internal.keep_issuer_fetch();
