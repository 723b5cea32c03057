/* Keys that are fetched: what the program smart_fhir_keys, which runs beside the server, reads and writes. The server itself speaks no HTTP. */

-- How the fetching goes, one row an issuer. Not dumped: it is about this cluster, and the keys are in smart.issuer.
CREATE TABLE smart_internal.issuer_fetch (
  issuer text COLLATE "C" PRIMARY KEY,
  jwks_uri text,  -- where the keys came from; found by discovery where the issuer has discover
  fetched_at timestamptz,
  expires_at timestamptz,
  tried_at timestamptz,  -- the last fetch began, or keys came by hand; names the claim of begin_fetch()
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
 * For the program, which may no more than this. key_sources(): what to fetch. begin_fetch(): may it be fetched now, by this
 * program? discovered_uri(): what a discovery document says. take_keys(): an answer, of whatever bytes; a good one is stored by
 * store_keys(), with the address it came from and the times that follow. fetch_failed(): there was none, by a word of a fixed list.
 */
CREATE FUNCTION smart_internal.key_sources(OUT issuer text, OUT jwks_uri text, OUT discover boolean, OUT metadata_base text,
  OUT expires_at timestamptz, OUT next_try timestamptz, OUT failures int, OUT tried_at timestamptz) RETURNS SETOF record
  LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT i.issuer, i.jwks_uri, coalesce(i.discover, false), coalesce(i.audience[1], i.base_urls[1]),
         f.expires_at, f.next_try, coalesce(f.failures, 0), f.tried_at
  FROM smart.issuer i LEFT JOIN smart_internal.issuer_fetch f ON f.issuer = i.issuer
  WHERE i.jwks_uri IS NOT NULL OR i.discover
$$;
COMMENT ON FUNCTION smart_internal.key_sources() IS
  'For smart_fhir_keys: the issuers whose keys it fetches. metadata_base: whose .well-known/smart-configuration is asked after the issuer''s own openid-configuration.';

-- Of programs that run at once the first has the claim; the lease lets another try when it died. No source twice in 30 s, but for "once".
CREATE FUNCTION smart_internal.may_fetch(reason text, tried_at timestamptz, next_try timestamptz) RETURNS boolean
  LANGUAGE sql VOLATILE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE reason
    WHEN 'due' THEN coalesce(next_try <= clock_timestamp(), true)
    WHEN 'request' THEN coalesce(tried_at <= clock_timestamp() - interval '30 s', true)
    ELSE reason = 'once' END
$$;
REVOKE ALL ON FUNCTION smart_internal.may_fetch(text, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.may_fetch(text, timestamptz, timestamptz) IS
  'May a fetch begin? reason: due (next_try has come), request (30 s after the last), once (always).';

CREATE FUNCTION smart_internal.begin_fetch(issuer text, reason text, lease interval) RETURNS timestamptz
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  claim timestamptz;
BEGIN
  INSERT INTO smart_internal.issuer_fetch AS f (issuer)
  SELECT i.issuer FROM smart.issuer i WHERE i.issuer = $1 AND (i.jwks_uri IS NOT NULL OR i.discover)
  ON CONFLICT (issuer) DO NOTHING;
  UPDATE smart_internal.issuer_fetch f SET tried_at = clock_timestamp(), next_try = clock_timestamp() + $3
  WHERE f.issuer = $1 AND smart_internal.may_fetch($2, f.tried_at, f.next_try) RETURNING f.tried_at INTO claim;
  RETURN claim;
END
$$;
COMMENT ON FUNCTION smart_internal.begin_fetch(text, text, interval) IS
  'For smart_fhir_keys: claims the fetch of an issuer''s keys until the lease is over, and returns the claim; NULL: another program has it, or it is too early. reason: due, request or once.';

CREATE FUNCTION smart_internal.key_answer(answer bytea) RETURNS jsonb
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN convert_from(answer, 'UTF8')::jsonb;
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
  RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION smart_internal.key_answer(bytea) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.key_answer(bytea) IS 'What a peer sent as JSON; NULL when it is none. Its bytes come into no error, and so into no log.';

CREATE FUNCTION smart_internal.discovered_uri(issuer text, answer bytea) RETURNS text
  LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT d.document ->> 'jwks_uri' FROM smart_internal.key_answer($2) d (document)
  WHERE d.document -> 'issuer' = to_jsonb($1) AND jsonb_typeof(d.document -> 'jwks_uri') = 'string' AND smart_internal.is_key_uri(d.document ->> 'jwks_uri')
$$;
COMMENT ON FUNCTION smart_internal.discovered_uri(text, bytea) IS
  'For smart_fhir_keys: the jwks_uri of a discovery document (OpenID Connect Discovery 4.2, SMART App Launch 2.2), when it is JSON and its issuer is this one to the letter; else NULL.';

CREATE FUNCTION smart_internal.store_keys(issuer text, jwks_uri text, jwks jsonb, expires_at timestamptz, refuse_after timestamptz) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  row smart.issuer;
BEGIN
  SELECT i.* INTO row FROM smart.issuer i WHERE i.issuer = $1 FOR UPDATE;
  -- dropped, or sent elsewhere, while the program fetched: its answer is to another question
  IF NOT FOUND OR NOT coalesce(row.jwks_uri = $2 OR (row.jwks_uri IS NULL AND row.discover), false) THEN
    RETURN;
  END IF;
  IF NOT (row.jwks_uri IS NOT DISTINCT FROM $2 OR smart_internal.is_key_uri($2)) OR $3 IS NULL OR $4 IS NULL OR $5 IS NULL OR $5 < $4 THEN
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

CREATE FUNCTION smart_internal.take_keys(issuer text, jwks_uri text, answer bytea, fresh interval, stale interval, claim timestamptz) RETURNS text
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  -- notices of keys that are of no use name them: a peer's bytes
  SET client_min_messages = warning SET log_min_messages = error AS $$
#variable_conflict use_column
DECLARE
  jwks jsonb := smart_internal.key_answer($3);
  expires_at CONSTANT timestamptz := clock_timestamp() + $4;
BEGIN
  IF jwks IS NULL THEN
    RETURN 'json';
  -- a set (RFC 7517 5) of public keys: a secret that anybody can fetch is none, whatever the issuer's algorithms
  ELSIF jsonb_typeof(jwks -> 'keys') IS DISTINCT FROM 'array' OR jwks @? '$.keys[*] ? (@.kty == "oct")' THEN
    RETURN 'keys';
  END IF;
  -- the order of smart.set_jwks(), whose trigger locks the second
  PERFORM FROM smart.issuer i WHERE i.issuer = $1 FOR UPDATE;
  IF NOT EXISTS (SELECT FROM smart_internal.issuer_fetch f WHERE f.issuer = $1 AND f.tried_at = $6) THEN
    RETURN 'superseded';
  END IF;
  BEGIN
    PERFORM smart_internal.store_keys($1, $2, jwks, expires_at, expires_at + $5);
  EXCEPTION WHEN invalid_parameter_value THEN
    RETURN 'keys';
  END;
  -- the trigger took it for keys given by hand: a request that came meanwhile is still to be answered
  UPDATE smart_internal.issuer_fetch f SET tried_at = $6 WHERE f.issuer = $1;
  RETURN 'stored';
END
$$;
COMMENT ON FUNCTION smart_internal.take_keys(text, text, bytea, interval, interval, timestamptz) IS
  'For smart_fhir_keys: judges what a peer sent, and stores it when it is a key set (RFC 7517 5) of use: stored; else json or keys, and nothing changes. superseded: other keys came, or the issuer changed, after this fetch was begun.';

CREATE FUNCTION smart_internal.is_fetch_error(error text) RETURNS boolean
  LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(error = ANY ('{address,certificate,connection,content_type,discovery,http_status,json,keys,redirect,size,timeout}'), false)
$$;
REVOKE ALL ON FUNCTION smart_internal.is_fetch_error(text) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.is_fetch_error(text) IS 'One of the words that last_error may be?';

CREATE FUNCTION smart_internal.fetch_failed(issuer text, error text, next_try timestamptz, claim timestamptz DEFAULT NULL) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  IF NOT smart_internal.is_fetch_error($2) OR $3 IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'invalid value for parameter "error"',
      HINT = 'Valid values are address, certificate, connection, content_type, discovery, http_status, json, keys, redirect, size and timeout.',
      SCHEMA = 'smart', CONSTRAINT = 'invalid_parameter';
  END IF;
  INSERT INTO smart_internal.issuer_fetch AS f (issuer, next_try, failures, last_error)
  SELECT i.issuer, $3, 1, $2 FROM smart.issuer i WHERE i.issuer = $1 AND (i.jwks_uri IS NOT NULL OR i.discover)
  ON CONFLICT (issuer) DO UPDATE SET next_try = EXCLUDED.next_try, failures = f.failures + 1, last_error = EXCLUDED.last_error
    WHERE $4 IS NULL OR f.tried_at = $4;
END
$$;
COMMENT ON FUNCTION smart_internal.fetch_failed(text, text, timestamptz, timestamptz) IS
  'For smart_fhir_keys: a fetch failed; the keys that are there stay. error: one word of a fixed list, never the peer''s bytes. Nothing when the claim is no longer the last. Errors 22023.';

-- Of a set, a key or an array of keys: what verifying needs, as plain texts. What else an issuer put there may be large, deep or private.
CREATE FUNCTION smart_internal.public_keys(jwks jsonb) RETURNS jsonb
  LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_build_object('keys', coalesce(jsonb_agg((SELECT coalesce(jsonb_object_agg(m.key, m.value), '{}') FROM jsonb_each(k.key) m
      WHERE m.key = ANY ('{kty,kid,use,key_ops,alg,crv,x,y,n,e}') AND m.value <> 'null') ORDER BY k.n), '[]'))
  FROM jsonb_array_elements(CASE WHEN jsonb_typeof(jwks -> 'keys') = 'array' THEN jwks -> 'keys' WHEN jsonb_typeof(jwks) = 'array' THEN jwks
      ELSE jsonb_build_array(jwks) END) WITH ORDINALITY k (key, n)
  -- a member of another type makes a key of no use: without it, it could be of use
  WHERE jsonb_typeof(k.key) = 'object' AND NOT EXISTS (SELECT FROM jsonb_each(k.key) m WHERE CASE
    WHEN m.key = 'key_ops' THEN jsonb_typeof(m.value) NOT IN ('array', 'null') OR m.value @? 'strict $[*] ? (@.type() != "string")'
    WHEN m.key = ANY ('{kty,kid,use,alg,crv,x,y,n,e}') THEN jsonb_typeof(m.value) NOT IN ('string', 'null') END)
$$;
REVOKE ALL ON FUNCTION smart_internal.public_keys(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.public_keys(jsonb) IS 'A key set (RFC 7517 5) with the public members of each key that verifying needs, and no others.';

-- What a file beside the server needs of each issuer: the rows without what is about patients, and public keys alone.
CREATE FUNCTION smart_internal.keys_file_rows(until timestamptz) RETURNS SETOF text
  LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT (SELECT jsonb_object_agg(m.key, m.value) FROM jsonb_each(r.row) m WHERE m.value <> 'null')::text
  FROM smart.issuer i, LATERAL (SELECT jsonb_build_object('database', current_database(), 'issuer', i.issuer, 'jwks', smart_internal.public_keys(i.jwks),
      'refuse_after', to_char(least(i.refuse_after, $1) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
      'audience', i.audience, 'base_urls', i.base_urls, 'algorithms', i.algorithms, 'token_types', i.token_types,
      'required_claims', i.required_claims, 'client_ids', i.client_ids, 'levels', i.levels, 'preset', i.preset, 'claim_map', i.claim_map,
      'leeway', floor(extract(epoch FROM i.leeway)), 'max_token_age', floor(extract(epoch FROM i.max_token_age))) AS row) r
  WHERE i.jwks IS NOT NULL
    AND NOT i.jwks @? '$.** ? (@.kty == "oct" || exists (@.d) || exists (@.k))'
  ORDER BY i.issuer
$$;
COMMENT ON FUNCTION smart_internal.keys_file_rows(timestamptz) IS
  'For smart_fhir_keys --keys-file: each issuer whose keys are public ones as one JSON object, good until refuse_after, or until this time where that comes first.';
REVOKE ALL ON FUNCTION smart_internal.key_sources(), smart_internal.begin_fetch(text, text, interval), smart_internal.discovered_uri(text, bytea),
  smart_internal.store_keys(text, text, jsonb, timestamptz, timestamptz), smart_internal.take_keys(text, text, bytea, interval, interval, timestamptz),
  smart_internal.fetch_failed(text, text, timestamptz, timestamptz), smart_internal.keys_file_rows(timestamptz) FROM PUBLIC;

CREATE FUNCTION smart.grant_keys(role regrole) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  needed CONSTANT name[] := '{key_sources,begin_fetch,discovered_uri,store_keys,take_keys,fetch_failed,keys_file_rows,
    oauth_key_sources,oauth_begin_fetch,oauth_take_keys,oauth_fetch_failed}';
  function regprocedure;
BEGIN
  IF role IS NULL OR role::oid = 0 THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'invalid value for parameter "role"',
      HINT = 'Name the role that smart_fhir_keys connects as.', SCHEMA = 'smart', CONSTRAINT = 'invalid_parameter';
  END IF;
  FOR function IN SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'smart_internal'::regnamespace AND p.proname = ANY (needed) LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', function, role);
  END LOOP;
  EXECUTE format('GRANT USAGE ON SCHEMA smart_internal TO %s', role);
  EXECUTE format('GRANT SELECT ON smart.issuer_key_state TO %s', role);
END
$$;
REVOKE ALL ON FUNCTION smart.grant_keys(regrole) FROM PUBLIC;
COMMENT ON FUNCTION smart.grant_keys(regrole) IS
  'Grants a role what smart_fhir_keys needs, and no more: to list issuers and clients that have an address, to replace their keys, to note failures, and to read public keys and smart.issuer_key_state. It reads no secret. Errors 22023.';

-- What is known of the fetching goes with the issuer and its address; keys that are given by hand count as a good answer, fresh for an hour.
CREATE FUNCTION smart_internal.keep_issuer_fetch() RETURNS trigger
  LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  moved boolean := TG_OP = 'DELETE';
BEGIN
  IF TG_OP = 'UPDATE' THEN
    moved := OLD.issuer <> NEW.issuer OR OLD.jwks_uri IS DISTINCT FROM NEW.jwks_uri OR OLD.discover IS DISTINCT FROM NEW.discover;
  END IF;
  -- with an INSERT what a TRUNCATE left goes
  IF moved OR TG_OP = 'INSERT' THEN
    DELETE FROM smart_internal.issuer_fetch f WHERE f.issuer = coalesce(OLD.issuer, NEW.issuer);
  END IF;
  IF TG_OP = 'DELETE' OR NEW.jwks IS NULL OR NOT (NEW.jwks_uri IS NOT NULL OR coalesce(NEW.discover, false)) THEN
    RETURN NULL;
  END IF;
  IF TG_OP = 'UPDATE' AND NOT moved AND OLD.refuse_after IS NOT DISTINCT FROM NEW.refuse_after AND OLD.jwks IS NOT DISTINCT FROM NEW.jwks THEN
    RETURN NULL;
  END IF;
  INSERT INTO smart_internal.issuer_fetch AS f (issuer, fetched_at, expires_at, tried_at, next_try)
  VALUES (NEW.issuer, clock_timestamp(), clock_timestamp() + interval '1 hour', clock_timestamp(), clock_timestamp() + interval '1 hour')
  ON CONFLICT (issuer) DO UPDATE SET fetched_at = EXCLUDED.fetched_at, expires_at = EXCLUDED.expires_at, tried_at = EXCLUDED.tried_at,
    next_try = EXCLUDED.next_try, failures = 0, last_error = NULL;
  RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION smart_internal.keep_issuer_fetch() FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.keep_issuer_fetch() IS 'Trigger of smart.issuer: keeps smart_internal.issuer_fetch in step with it.';
CREATE TRIGGER issuer_fetch AFTER INSERT OR UPDATE OR DELETE ON smart.issuer FOR EACH ROW EXECUTE FUNCTION smart_internal.keep_issuer_fetch();
