/* The server's configuration and its signing keys (smart.configure_server() and what follows). */

-- Parts in C; those that run as the owner of the extension call them.
CREATE FUNCTION smart_internal.oauth_uri_fault(uri text, kind text) RETURNS text
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_oauth_uri_fault';
CREATE FUNCTION smart_internal.oauth_scope_fault(scope text) RETURNS text
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_oauth_scope_fault';
CREATE FUNCTION smart_internal.oauth_scope_meet(scope text, most text) RETURNS text
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_oauth_scope_meet';
CREATE FUNCTION smart_internal.oauth_jwks_fault(jwks jsonb) RETURNS text
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_oauth_jwks_fault';
CREATE FUNCTION smart_internal.oauth_make_secret() RETURNS text
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_oauth_make_secret';
CREATE FUNCTION smart_internal.oauth_make_id() RETURNS text
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_oauth_make_id';
CREATE FUNCTION smart_internal.oauth_answer(status int, body jsonb) RETURNS jsonb
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_oauth_answer';
CREATE FUNCTION smart_internal.oauth_error_answer(status int, error text, description text,
  header text DEFAULT NULL, value text DEFAULT NULL) RETURNS jsonb
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_oauth_error_answer';
CREATE FUNCTION smart_internal.oauth_end_client(client_id text, event text) RETURNS boolean
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_oauth_end_client';
CREATE FUNCTION smart_internal.oauth_end_grant(grant_id text) RETURNS void
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_oauth_end_grant';
CREATE FUNCTION smart_internal.oauth_tell(event text, client_id text, sub text, fhir_user text, patient text, encounter text, scope text) RETURNS void
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_oauth_tell';
CREATE FUNCTION smart_internal.oauth_redirects_to(client_id text, uri text) RETURNS boolean
  LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_oauth_redirects_to';
CREATE FUNCTION smart_internal.oauth_make_signing_key(algorithm text, signs_from timestamptz) RETURNS text
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_oauth_make_signing_key';
CREATE FUNCTION smart_internal.oauth_seal_signing_keys() RETURNS void
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_oauth_seal_signing_keys';

CREATE FUNCTION smart.server_jwks() RETURNS jsonb
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_oauth_server_jwks';
COMMENT ON FUNCTION smart.server_jwks() IS
  'The JWK Set of jwks_uri (RFC 7517 5): the public keys with kid, use and alg, from their making, retired ones until the last token that they may have signed has ended. Errors: 55000 not configured.';

CREATE FUNCTION smart_internal.oauth_refuse(what text, detail text, code text DEFAULT 'invalid_parameter') RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
    MESSAGE = format('invalid value for "%s"', what), DETAIL = detail,
    HINT = 'doc/authorization-server.md describes each member.',
    SCHEMA = 'smart', CONSTRAINT = code;
END
$$;

-- Keeps the own row of smart.issuer, so that smart.login() of this database takes the own tokens.
CREATE FUNCTION smart_internal.oauth_keep_issuer() RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  o jsonb;
BEGIN
  SELECT c.options INTO o FROM smart_internal.oauth_configuration c;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  INSERT INTO smart.issuer AS i (issuer, jwks, audience, token_types, user_patients, user_sees_all)
  VALUES (o->>'issuer', smart.server_jwks(), ARRAY(SELECT jsonb_array_elements_text(o->'fhir_base_urls')),
    '{at+jwt}', o->>'user_patients', (o->>'user_sees_all')::boolean)
  ON CONFLICT ON CONSTRAINT issuer_pkey DO UPDATE SET jwks = EXCLUDED.jwks, audience = EXCLUDED.audience,
    token_types = EXCLUDED.token_types, user_patients = EXCLUDED.user_patients, user_sees_all = EXCLUDED.user_sees_all;
END
$$;

CREATE FUNCTION smart_internal.oauth_configure(options jsonb, user_patients regprocedure) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  -- name, kind, default, least, most
  known CONSTANT jsonb := '[
    ["issuer","issuer"], ["fhir_base_urls","bases"], ["name","name"],
    ["authorization_endpoint","url"], ["token_endpoint","url"], ["introspection_endpoint","url"],
    ["revocation_endpoint","url"], ["jwks_uri","url"], ["registration_endpoint","url"],
    ["management_endpoint","url"], ["userinfo_endpoint","url"],
    ["device_authorization_endpoint","url"], ["device_verification_uri","url"], ["device_lifetime","seconds",600,3600],
    ["scopes_supported","scope"], ["registration_scopes","scope"],
    ["user_patients","text"], ["user_sees_all","boolean",false],
    ["code_lifetime","seconds",60,600], ["launch_lifetime","seconds",300,600],
    ["access_token_lifetime","seconds",300,3600], ["id_token_lifetime","seconds",300,3600],
    ["offline_lifetime","seconds",8035200,315576000], ["offline_max_lifetime","seconds",null,315576000],
    ["online_lifetime","seconds",28800,315576000],
    ["public_offline_access","boolean",false], ["registration","registration","closed"],
    ["encounter_picker","boolean",false], ["authorize_post","boolean",true],
    ["brand_bundle","url"], ["brand_identifier","identifier"]]';
  o jsonb;
  rule jsonb;
  name text;
  kind text;
  fault text;
  old text;
BEGIN
  IF options IS NULL OR jsonb_typeof(options) <> 'object' THEN
    PERFORM smart_internal.oauth_refuse('options', 'The configuration is a JSON object.');
  END IF;
  o := jsonb_strip_nulls(options);
  FOR name IN SELECT jsonb_object_keys(o) LOOP
    IF NOT EXISTS (SELECT FROM jsonb_array_elements(known) k WHERE k->>0 = name) THEN
      PERFORM smart_internal.oauth_refuse(left(name, 100), 'There is no such member.');
    END IF;
  END LOOP;
  FOR rule IN SELECT jsonb_array_elements(known) LOOP
    name := rule->>0;
    kind := rule->>1;
    IF NOT o ? name THEN
      IF rule->2 IS NOT NULL AND rule->2 <> 'null' THEN
        o := o || jsonb_build_object(name, rule->2);
      END IF;
      CONTINUE;
    END IF;
    fault := CASE
      WHEN kind IN ('issuer', 'url', 'scope', 'name', 'text', 'registration') AND jsonb_typeof(o->name) <> 'string'
        THEN 'It must be a string.'
      WHEN kind IN ('issuer', 'url') THEN smart_internal.oauth_uri_fault(o->>name, kind)
      WHEN kind = 'scope' THEN smart_internal.oauth_scope_fault(o->>name)
      WHEN kind = 'name' THEN CASE WHEN length(o->>name) NOT BETWEEN 1 AND 200 OR o->>name ~ '[[:cntrl:]]'
        THEN 'It must have 1 to 200 characters, none of them a control character.' END
      WHEN kind = 'boolean' THEN CASE WHEN jsonb_typeof(o->name) <> 'boolean' THEN 'It must be true or false.' END
      WHEN kind = 'registration' THEN CASE WHEN o->>name NOT IN ('closed', 'token', 'open')
        THEN 'It must be closed, token or open.' END
      WHEN kind = 'identifier' THEN CASE WHEN jsonb_typeof(o->name) NOT IN ('string', 'object')
        THEN 'It must be a FHIR Identifier, or a string.' END
      WHEN kind = 'seconds' THEN CASE
        WHEN jsonb_typeof(o->name) <> 'number' THEN 'It must be a number of seconds.'
        WHEN (o->name)::numeric <> trunc((o->name)::numeric) OR (o->name)::numeric NOT BETWEEN 1 AND (rule->>3)::numeric
          THEN format('It must be a whole number of seconds, 1 to %s.', rule->>3) END
      WHEN kind = 'bases' THEN CASE
        WHEN jsonb_typeof(o->name) <> 'array' OR jsonb_array_length(o->name) NOT BETWEEN 1 AND 1000
          OR EXISTS (SELECT FROM jsonb_array_elements(o->name) e WHERE jsonb_typeof(e) <> 'string')
          THEN 'It must be an array of at least one URL.'
        ELSE (SELECT smart_internal.oauth_uri_fault(e, 'base') FROM jsonb_array_elements_text(o->name) e
              WHERE smart_internal.oauth_uri_fault(e, 'base') IS NOT NULL LIMIT 1) END
    END;
    IF fault IS NOT NULL THEN
      PERFORM smart_internal.oauth_refuse(name, fault);
    END IF;
  END LOOP;
  IF NOT o ? 'issuer' OR NOT o ? 'fhir_base_urls' THEN
    PERFORM smart_internal.oauth_refuse(CASE WHEN o ? 'issuer' THEN 'fhir_base_urls' ELSE 'issuer' END, 'It is required.');
  END IF;
  IF octet_length(o->>'issuer') > 511 THEN
    PERFORM smart_internal.oauth_refuse('issuer', 'It must be shorter than 512 bytes.');
  END IF;
  IF o ? 'user_patients' THEN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_proc p WHERE p.oid = user_patients
        AND p.prorettype = 'text[]'::regtype AND NOT p.proretset AND p.pronargs = 1 AND p.proargtypes[0] = 'jsonb'::regtype) THEN
      PERFORM smart_internal.oauth_refuse('user_patients', 'It must name a function that takes one jsonb and returns text[].');
    ELSIF smart_internal.is_temporary(user_patients) THEN
      PERFORM smart_internal.oauth_refuse('user_patients', 'The function is in a temporary schema, which others use after this session.');
    END IF;
    o := o || jsonb_build_object('user_patients', smart_internal.regprocedure_text(user_patients));
  END IF;
  -- endpoints below the issuer; a slash at its end is not doubled
  o := jsonb_build_object(
    'authorization_endpoint', rtrim(o->>'issuer', '/') || '/authorize',
    'token_endpoint', rtrim(o->>'issuer', '/') || '/token',
    'introspection_endpoint', rtrim(o->>'issuer', '/') || '/introspect',
    'revocation_endpoint', rtrim(o->>'issuer', '/') || '/revoke',
    'jwks_uri', rtrim(o->>'issuer', '/') || '/jwks',
    'scopes_supported', 'openid fhirUser profile launch launch/patient launch/encounter offline_access online_access patient/*.cruds user/*.cruds system/*.cruds'
  ) || o;
  IF NOT o ? 'device_verification_uri' THEN
    o := o - 'device_authorization_endpoint';
  ELSIF NOT o ? 'device_authorization_endpoint' THEN
    o := o || jsonb_build_object('device_authorization_endpoint', rtrim(o->>'issuer', '/') || '/device_authorization');
  END IF;
  IF NOT o ? 'registration_scopes' THEN
    o := o || jsonb_build_object('registration_scopes', (
      SELECT coalesce(string_agg(t.token, ' ' ORDER BY t.n), '')
      FROM regexp_split_to_table(o->>'scopes_supported', ' +') WITH ORDINALITY t (token, n)
      WHERE t.token <> 'offline_access' AND t.token !~ '^(system|user)/'));
  END IF;

  LOCK TABLE smart_internal.oauth_configuration IN SHARE ROW EXCLUSIVE MODE;
  SELECT c.options->>'issuer' INTO old FROM smart_internal.oauth_configuration c;
  INSERT INTO smart_internal.oauth_configuration AS c (options) VALUES (o)
    ON CONFLICT ON CONSTRAINT oauth_configuration_pkey DO UPDATE SET options = EXCLUDED.options;
  IF old <> o->>'issuer' THEN
    -- keys that are dropped later must not live on under a name that nobody uses any more
    DELETE FROM smart.issuer i WHERE i.issuer = old;
  END IF;
  IF NOT EXISTS (SELECT FROM smart_internal.oauth_signing_key k
      WHERE k.retired_at IS NULL OR k.retired_at > clock_timestamp()) THEN
    PERFORM smart_internal.oauth_make_signing_key('RS256', now() - interval '2 s');
    PERFORM smart_internal.oauth_make_signing_key('ES384', now() - interval '1 s');
  END IF;
  PERFORM smart_internal.oauth_seal_signing_keys();
  PERFORM smart_internal.oauth_keep_issuer();
END
$$;

-- With the caller's rights and search_path: the name of user_patients is the caller's.
CREATE FUNCTION smart.configure_server(options jsonb) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE AS $$
DECLARE
  name pg_catalog.text := CASE WHEN pg_catalog.jsonb_typeof(options) OPERATOR(pg_catalog.=) 'object'
    THEN options OPERATOR(pg_catalog.->>) 'user_patients' END;
  found pg_catalog.regprocedure;
BEGIN
  IF name IS NOT NULL THEN
    BEGIN
      found := pg_catalog.to_regprocedure(CASE WHEN pg_catalog.strpos(name, '(') OPERATOR(pg_catalog.>) 0 THEN name
        ELSE name OPERATOR(pg_catalog.||) '(jsonb)' END);
    EXCEPTION WHEN OTHERS THEN
      found := NULL;  -- no name of a function at all: refused below
    END;
  END IF;
  PERFORM smart_internal.oauth_configure(options, found);
END
$$;
COMMENT ON FUNCTION smart.configure_server(jsonb) IS
  'Replaces the configuration of the authorization server. options: issuer and fhir_base_urls (required), name, endpoints, scopes_supported, registration_scopes, user_patients, user_sees_all, lifetimes in seconds, public_offline_access, registration, encounter_picker, authorize_post, brand_bundle, brand_identifier, device_verification_uri, device_authorization_endpoint, device_lifetime; null counts as absent. Makes the first two keys, keeps the own row of smart.issuer. Errors: 22023 an unknown member or a senseless value. doc/authorization-server.md.';

CREATE FUNCTION smart.server_configuration() RETURNS jsonb
  LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  o jsonb;
BEGIN
  SELECT c.options INTO o FROM smart_internal.oauth_configuration c;
  IF NOT FOUND THEN
    RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
      MESSAGE = 'the authorization server is not configured', HINT = 'Run smart.configure_server().';
  END IF;
  RETURN o;
END
$$;
COMMENT ON FUNCTION smart.server_configuration() IS
  'The configuration in force, defaults filled in; no secrets. Errors: 55000 not configured.';

CREATE FUNCTION smart.create_signing_key(algorithm text DEFAULT 'ES384', signs_from timestamptz DEFAULT pg_catalog.now()) RETURNS text
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  kid text;
BEGIN
  IF algorithm IS NULL OR algorithm NOT IN ('RS256', 'RS384', 'ES256', 'ES384', 'EdDSA') THEN
    PERFORM smart_internal.oauth_refuse('algorithm', 'Keys are made for RS256, RS384, ES256, ES384 and EdDSA.');
  ELSIF signs_from IS NULL OR NOT isfinite(signs_from) THEN
    PERFORM smart_internal.oauth_refuse('signs_from', 'It must be a time.');
  END IF;
  -- of two keys of one moment the one that is made later is the later one
  LOCK TABLE smart_internal.oauth_signing_key IN SHARE ROW EXCLUSIVE MODE;
  WHILE EXISTS (SELECT FROM smart_internal.oauth_signing_key k WHERE k.signs_from = signs_from) LOOP
    signs_from := signs_from + interval '1 microsecond';
  END LOOP;
  kid := smart_internal.oauth_make_signing_key(algorithm, signs_from);
  PERFORM smart_internal.oauth_seal_signing_keys();
  PERFORM smart_internal.oauth_keep_issuer();
  RETURN kid;
END
$$;
COMMENT ON FUNCTION smart.create_signing_key(text, timestamptz) IS
  'Makes a key pair and returns its kid, the RFC 7638 thumbprint. algorithm: RS256, RS384 (2048 bits), ES256, ES384, EdDSA. Published at once, signs from signs_from on; access tokens are signed by the latest that signs. Errors: 22023; 55000 smart_fhir.key_file cannot be used.';

CREATE FUNCTION smart.retire_signing_key(kid text, at timestamptz DEFAULT pg_catalog.now()) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
  IF at IS NULL OR NOT isfinite(at) THEN
    PERFORM smart_internal.oauth_refuse('at', 'It must be a time.');
  END IF;
  -- it has signed until now, whatever is said of the past
  UPDATE smart_internal.oauth_signing_key k SET retired_at = greatest(at, clock_timestamp()) WHERE k.kid = kid;
  IF NOT FOUND THEN
    PERFORM smart_internal.oauth_refuse('kid', 'There is no such key.', 'unknown_key');
  END IF;
  PERFORM smart_internal.oauth_keep_issuer();
END
$$;
COMMENT ON FUNCTION smart.retire_signing_key(text, timestamptz) IS
  'The key signs no more from then on; it stays published until its last token has ended. Errors: 22023 there is no such key.';

CREATE FUNCTION smart.drop_signing_key(kid text) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
  DELETE FROM smart_internal.oauth_signing_key k WHERE k.kid = kid;
  IF NOT FOUND THEN
    PERFORM smart_internal.oauth_refuse('kid', 'There is no such key.', 'unknown_key');
  END IF;
  PERFORM smart_internal.oauth_keep_issuer();
END
$$;
COMMENT ON FUNCTION smart.drop_signing_key(text) IS
  'Removes a key at once, for one that leaked: its tokens end here at the next statement. Make another before. Errors: 22023 there is no such key.';
