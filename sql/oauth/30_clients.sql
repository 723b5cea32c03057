/* Clients: registration by an administrator and by themselves (RFC 7591). */

-- The registration with its defaults, checked; constraint name invalid_redirect_uri or invalid_client_metadata.
CREATE FUNCTION smart_internal.oauth_client_metadata(given jsonb) RETURNS jsonb
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  -- RFC 7591 2 and this server's own; what is not here is ignored (RG-3)
  known CONSTANT jsonb := '{
    "client_id":"text", "client_name":"name", "client_uri":"url", "logo_uri":"url", "policy_uri":"url", "tos_uri":"url",
    "contacts":"texts", "redirect_uris":"texts", "launch_uris":"texts", "token_endpoint_auth_method":"text",
    "grant_types":"texts", "response_types":"texts", "scope":"text", "jwks":"object", "jwks_uri":"url",
    "application_type":"text", "offline_access":"boolean", "introspection":"text",
    "token_endpoint_auth_signing_alg":"text", "id_token_signed_response_alg":"text", "assertion_audience":"text",
    "assertion_typ_optional":"boolean", "software_id":"text", "software_version":"text"}';
  choices CONSTANT jsonb := '{
    "token_endpoint_auth_method":["none","client_secret_basic","client_secret_post","private_key_jwt"],
    "application_type":["web","native"], "introspection":["own","any"], "assertion_audience":["token","issuer"],
    "token_endpoint_auth_signing_alg":["RS256","RS384","ES256","ES384","EdDSA"],
    "id_token_signed_response_alg":["RS256","RS384","ES256","ES384","EdDSA"]}';
  m jsonb;
  name text;
  kind text;
  uri text;
  fault text;
  native boolean;
  method text;
BEGIN
  IF given IS NULL OR jsonb_typeof(given) <> 'object' THEN
    PERFORM smart_internal.oauth_refuse('metadata', 'The registration is a JSON object.', 'invalid_client_metadata');
  END IF;
  IF pg_column_size(given) > 65536 THEN
    PERFORM smart_internal.oauth_refuse('metadata', 'The registration is longer than 64 KiB.', 'invalid_client_metadata');
  END IF;
  IF given ? 'client_secret' THEN
    PERFORM smart_internal.oauth_refuse('client_secret', 'Secrets are made by the server, never chosen.', 'invalid_client_metadata');
  END IF;
  SELECT coalesce(jsonb_object_agg(g.key, g.value), '{}') INTO m
    FROM jsonb_each(given) g WHERE known ? g.key AND g.value <> 'null';
  FOR name, kind IN SELECT k.key, k.value FROM jsonb_each_text(known) k WHERE m ? k.key LOOP
    fault := CASE
      WHEN kind IN ('text', 'name', 'url') AND jsonb_typeof(m->name) <> 'string' THEN 'It must be a string.'
      WHEN kind = 'boolean' AND jsonb_typeof(m->name) <> 'boolean' THEN 'It must be true or false.'
      WHEN kind = 'object' AND jsonb_typeof(m->name) <> 'object' THEN 'It must be an object.'
      WHEN kind = 'texts' AND (jsonb_typeof(m->name) <> 'array' OR jsonb_array_length(m->name) > 100)
        THEN 'It must be an array of at most 100 strings.'
      WHEN kind = 'texts' AND EXISTS (SELECT FROM jsonb_array_elements(m->name) e WHERE jsonb_typeof(e) <> 'string')
        THEN 'It must be an array of at most 100 strings.'
      WHEN kind = 'name' AND (length(m->>name) NOT BETWEEN 1 AND 200 OR m->>name ~ '[[:cntrl:]]')
        THEN 'It must have 1 to 200 characters, none of them a control character.'
      WHEN kind = 'url' THEN smart_internal.oauth_uri_fault(m->>name, kind)
      WHEN choices ? name AND NOT choices->name ? (m->>name) THEN 'There is no such choice.'
    END;
    IF fault IS NOT NULL THEN
      PERFORM smart_internal.oauth_refuse(name, fault,
        CASE name WHEN 'redirect_uris' THEN 'invalid_redirect_uri' ELSE 'invalid_client_metadata' END);
    END IF;
  END LOOP;

  m := jsonb_build_object('token_endpoint_auth_method', 'client_secret_basic', 'application_type', 'web',
    'id_token_signed_response_alg', 'RS256', 'introspection', 'own', 'assertion_audience', 'token',
    'assertion_typ_optional', false, 'scope', '', 'redirect_uris', '[]'::jsonb) || m;
  method := m->>'token_endpoint_auth_method';
  native := m->>'application_type' = 'native';
  IF NOT m ? 'grant_types' THEN
    m := m || jsonb_build_object('grant_types',
      CASE WHEN string_to_array(m->>'scope', ' ') && ARRAY['offline_access', 'online_access']
        THEN '["authorization_code", "refresh_token"]'::jsonb ELSE '["authorization_code"]' END);
  END IF;
  IF NOT m ? 'response_types' THEN
    m := m || jsonb_build_object('response_types',
      CASE WHEN m->'grant_types' ? 'authorization_code' THEN '["code"]'::jsonb ELSE '[]' END);
  END IF;

  fault := smart_internal.oauth_scope_fault(m->>'scope');
  IF fault IS NOT NULL THEN
    PERFORM smart_internal.oauth_refuse('scope', fault, 'invalid_client_metadata');
  END IF;
  IF m ? 'client_id' AND m->>'client_id' !~ '^[A-Za-z0-9._~-]{1,128}$' THEN
    PERFORM smart_internal.oauth_refuse('client_id', 'It must have 1 to 128 of A-Z a-z 0-9 . _ ~ -.', 'invalid_client_metadata');
  END IF;
  IF jsonb_array_length(m->'grant_types') = 0
      OR NOT m->'grant_types' <@ '["authorization_code", "refresh_token", "client_credentials", "urn:ietf:params:oauth:grant-type:device_code"]' THEN
    PERFORM smart_internal.oauth_refuse('grant_types', 'It must name authorization_code, refresh_token, client_credentials or urn:ietf:params:oauth:grant-type:device_code.', 'invalid_client_metadata');
  END IF;
  IF m->'grant_types' ? 'client_credentials' AND method <> 'private_key_jwt' THEN
    PERFORM smart_internal.oauth_refuse('grant_types', 'client_credentials is for private_key_jwt alone.', 'invalid_client_metadata');
  END IF;
  IF NOT m->'response_types' <@ '["code"]'
      OR (m->'grant_types' ? 'authorization_code') <> (m->'response_types' ? 'code') THEN
    PERFORM smart_internal.oauth_refuse('response_types', 'It must be code with authorization_code, else empty.', 'invalid_client_metadata');
  END IF;
  IF m->'grant_types' ? 'authorization_code' AND jsonb_array_length(m->'redirect_uris') = 0 THEN
    PERFORM smart_internal.oauth_refuse('redirect_uris', 'authorization_code needs at least one.', 'invalid_redirect_uri');
  END IF;
  FOR uri IN SELECT jsonb_array_elements_text(m->'redirect_uris') LOOP
    fault := smart_internal.oauth_uri_fault(uri, CASE WHEN native THEN 'native redirect' ELSE 'redirect' END);
    IF fault IS NOT NULL THEN
      PERFORM smart_internal.oauth_refuse('redirect_uris', fault, 'invalid_redirect_uri');
    END IF;
  END LOOP;
  FOR uri IN SELECT jsonb_array_elements_text(m->'launch_uris') WHERE m ? 'launch_uris' LOOP
    fault := smart_internal.oauth_uri_fault(uri, 'url');
    IF fault IS NOT NULL THEN
      PERFORM smart_internal.oauth_refuse('launch_uris', fault, 'invalid_client_metadata');
    END IF;
  END LOOP;
  IF m ? 'jwks' AND m ? 'jwks_uri' THEN
    PERFORM smart_internal.oauth_refuse('jwks', 'A client has either jwks or jwks_uri.', 'invalid_client_metadata');
  END IF;
  IF m ? 'jwks' THEN
    fault := smart_internal.oauth_jwks_fault(m->'jwks');
    IF fault IS NOT NULL THEN
      PERFORM smart_internal.oauth_refuse('jwks', fault, 'invalid_client_metadata');
    END IF;
  END IF;
  IF method = 'private_key_jwt' AND NOT m ?| '{jwks,jwks_uri}' THEN
    PERFORM smart_internal.oauth_refuse('jwks', 'private_key_jwt needs jwks or jwks_uri.', 'invalid_client_metadata');
  END IF;
  RETURN m;
END
$$;

-- What a registration is answered with.
CREATE FUNCTION smart_internal.oauth_registration(c smart_internal.oauth_client, secret text) RETURNS jsonb
  LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT c.metadata || jsonb_build_object('client_id', c.client_id, 'client_id_issued_at', floor(extract(epoch FROM c.made_at))::bigint)
    || CASE WHEN secret IS NOT NULL THEN jsonb_build_object('client_secret', secret, 'client_secret_expires_at', 0) ELSE '{}' END
$$;

CREATE FUNCTION smart_internal.oauth_new_secret(client_id text) RETURNS text
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  secret text := smart_internal.oauth_make_secret();
BEGIN
  INSERT INTO smart_internal.oauth_client_secret VALUES (client_id, sha256(convert_to(secret, 'UTF8')), clock_timestamp(), NULL);
  RETURN secret;
END
$$;

CREATE FUNCTION smart_internal.oauth_new_client(given jsonb, id text, dynamic boolean) RETURNS jsonb
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  m jsonb := smart_internal.oauth_client_metadata(given) - 'client_id';
  c smart_internal.oauth_client;
  secret text;
BEGIN
  INSERT INTO smart_internal.oauth_client (client_id, metadata, given, dynamic, grant_id, made_at, changed_at, expires_at)
    VALUES (id, m, given - 'client_id', dynamic, smart_internal.oauth_make_id(), clock_timestamp(), clock_timestamp(),
      CASE WHEN dynamic THEN clock_timestamp() + interval '1 day' END)
    ON CONFLICT DO NOTHING RETURNING * INTO c;
  IF NOT FOUND THEN
    PERFORM smart_internal.oauth_refuse('client_id', 'There is a client of this id, or there was one.', 'invalid_client_metadata');
  END IF;
  IF m->>'token_endpoint_auth_method' IN ('client_secret_basic', 'client_secret_post') THEN
    secret := smart_internal.oauth_new_secret(id);
  END IF;
  PERFORM smart_internal.oauth_tell('register', id, NULL, NULL, NULL, NULL, m->>'scope');
  RETURN smart_internal.oauth_registration(c, secret);
END
$$;

CREATE FUNCTION smart.register_client(metadata jsonb) RETURNS jsonb
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
  -- a client_id that is no string is refused with the rest
  RETURN smart_internal.oauth_new_client(metadata,
    coalesce(CASE WHEN jsonb_typeof(metadata) = 'object' THEN metadata->>'client_id' END, smart_internal.oauth_make_id()), false);
END
$$;
COMMENT ON FUNCTION smart.register_client(jsonb) IS
  'Registers a client and answers its registration, with client_secret this once (RFC 7591 names, and launch_uris, application_type, offline_access, introspection, assertion_audience, assertion_typ_optional; what is unknown is ignored). Errors: 22023, constraint name invalid_redirect_uri or invalid_client_metadata. doc/authorization-server.md.';

CREATE FUNCTION smart_internal.oauth_locked_client(client_id text) RETURNS smart_internal.oauth_client
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  c smart_internal.oauth_client;
BEGIN
  SELECT x.* INTO c FROM smart_internal.oauth_client x WHERE x.client_id = client_id FOR UPDATE;
  IF NOT FOUND THEN
    PERFORM smart_internal.oauth_refuse('client_id', 'There is no such client.', 'unknown_client');
  END IF;
  RETURN c;
END
$$;

CREATE FUNCTION smart.update_client(client_id text, metadata jsonb) RETURNS jsonb
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  c smart_internal.oauth_client := smart_internal.oauth_locked_client(client_id);
  old text := c.metadata->>'token_endpoint_auth_method';
  new text;
  has_secret boolean;
  secret text;
  code record;
  grants jsonb;
BEGIN
  IF metadata IS NULL OR jsonb_typeof(metadata) <> 'object' THEN
    PERFORM smart_internal.oauth_refuse('metadata', 'The registration is a JSON object.', 'invalid_client_metadata');
  END IF;
  IF metadata ? 'client_id' AND metadata->'client_id' <> to_jsonb(client_id) THEN
    PERFORM smart_internal.oauth_refuse('client_id', 'An id is for good.', 'invalid_client_metadata');
  END IF;
  -- null takes a member out; of jwks and jwks_uri the one that is given replaces the other
  c.given := CASE WHEN metadata ? 'jwks' AND NOT metadata ? 'jwks_uri' THEN c.given - 'jwks_uri'
                  WHEN metadata ? 'jwks_uri' AND NOT metadata ? 'jwks' THEN c.given - 'jwks' ELSE c.given END
    || (metadata - 'client_id');
  IF (c.metadata->'jwks_uri') IS DISTINCT FROM (c.given->'jwks_uri') THEN
    c.fetched_jwks := NULL;
  END IF;
  grants := c.metadata->'grant_types';
  c.metadata := smart_internal.oauth_client_metadata(c.given);
  -- refresh_token by default stays with a scope without offline_access: a refresh says that nothing is left of it
  IF grants ? 'refresh_token' AND NOT c.given ? 'grant_types' THEN
    c.metadata := jsonb_set(c.metadata, '{grant_types}', grants);
  END IF;
  c.changed_at := clock_timestamp();
  UPDATE smart_internal.oauth_client x SET metadata = c.metadata, given = c.given, fetched_jwks = c.fetched_jwks, changed_at = c.changed_at
    WHERE x.client_id = client_id;

  new := c.metadata->>'token_endpoint_auth_method';
  IF new <> old THEN
    PERFORM smart_internal.oauth_end_client(client_id, 'ended');
    has_secret := EXISTS (SELECT FROM smart_internal.oauth_client_secret s WHERE s.client_id = client_id);
    IF new IN ('client_secret_basic', 'client_secret_post') AND NOT has_secret THEN
      secret := smart_internal.oauth_new_secret(client_id);
    ELSIF new NOT IN ('client_secret_basic', 'client_secret_post') THEN
      DELETE FROM smart_internal.oauth_client_secret s WHERE s.client_id = client_id;
    END IF;
  END IF;
  -- open codes whose redirect_uri went
  FOR code IN SELECT k.grant_id FROM smart_internal.oauth_code k
    WHERE k.kept_until > clock_timestamp() AND k.client_id = client_id AND k.used_at IS NULL
      AND k.expires_at > clock_timestamp() AND NOT smart_internal.oauth_redirects_to(client_id, k.redirect_uri)
  LOOP
    PERFORM smart_internal.oauth_end_grant(code.grant_id);
  END LOOP;
  RETURN smart_internal.oauth_registration(c, secret);
END
$$;
COMMENT ON FUNCTION smart.update_client(text, jsonb) IS
  'Replaces the members of a registration that are given (null: takes one out) and answers the registration; counts for live grants at once. Another token_endpoint_auth_method ends all that the client holds; a redirect_uri that went ends its open codes. Errors: 22023, as register_client(), and unknown_client.';

CREATE FUNCTION smart.rotate_client_secret(client_id text, overlap interval DEFAULT '0') RETURNS jsonb
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  c smart_internal.oauth_client := smart_internal.oauth_locked_client(client_id);
BEGIN
  IF c.metadata->>'token_endpoint_auth_method' NOT IN ('client_secret_basic', 'client_secret_post') THEN
    PERFORM smart_internal.oauth_refuse('client_id', 'This client has no secret.', 'invalid_client_metadata');
  ELSIF overlap IS NULL OR overlap < '0' OR overlap > '1 year' THEN
    PERFORM smart_internal.oauth_refuse('overlap', 'It must be 0 to 1 year.');
  END IF;
  UPDATE smart_internal.oauth_client_secret s SET expires_at = least(s.expires_at, clock_timestamp() + overlap)
    WHERE s.client_id = client_id;
  DELETE FROM smart_internal.oauth_client_secret s WHERE s.client_id = client_id AND s.expires_at <= clock_timestamp();
  RETURN jsonb_build_object('client_id', client_id, 'client_secret', smart_internal.oauth_new_secret(client_id), 'client_secret_expires_at', 0);
END
$$;
COMMENT ON FUNCTION smart.rotate_client_secret(text, interval) IS
  'Makes a new secret and returns {client_id, client_secret, client_secret_expires_at} this once; the old one counts for overlap longer. Errors: 22023.';

CREATE FUNCTION smart.set_client_jwks(client_id text, jwks jsonb) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  c smart_internal.oauth_client := smart_internal.oauth_locked_client(client_id);
  fault text := CASE WHEN jwks IS NULL THEN 'It is required.' ELSE smart_internal.oauth_jwks_fault(jwks) END;
BEGIN
  IF fault IS NOT NULL THEN
    PERFORM smart_internal.oauth_refuse('jwks', fault, 'invalid_client_metadata');
  ELSIF NOT c.metadata ? 'jwks_uri' THEN
    PERFORM smart_internal.oauth_refuse('client_id', 'This client has no jwks_uri; use smart.update_client().', 'invalid_client_metadata');
  END IF;
  UPDATE smart_internal.oauth_client x SET fetched_jwks = jwks WHERE x.client_id = client_id;
  -- as a good answer; one that is under way counts no more
  UPDATE smart_internal.oauth_client_fetch f SET fetched_at = clock_timestamp(), tried_at = clock_timestamp(),
      next_try = clock_timestamp() + interval '1 hour', failures = 0, last_error = NULL
    WHERE f.client_id = client_id AND f.jwks_uri = c.metadata->>'jwks_uri';
END
$$;
COMMENT ON FUNCTION smart.set_client_jwks(text, jsonb) IS
  'The key set that was read from the jwks_uri of a client (RFC 7517). Errors: 22023: oct keys, private members, a kid missing or twice, a client without jwks_uri.';

CREATE FUNCTION smart.disable_client(client_id text) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
  -- no lock: it waits for nobody
  IF NOT coalesce(smart_internal.oauth_end_client(client_id, 'disabled'), false) THEN
    PERFORM smart_internal.oauth_refuse('client_id', 'There is no such client.', 'unknown_client');
  END IF;
END
$$;
COMMENT ON FUNCTION smart.disable_client(text) IS
  'Ends all that the client holds, at once, and refuses it from now on. Errors: 22023 there is no such client.';

CREATE FUNCTION smart.enable_client(client_id text) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
  IF NOT EXISTS (SELECT FROM smart_internal.oauth_client c WHERE c.client_id = client_id) THEN
    PERFORM smart_internal.oauth_refuse('client_id', 'There is no such client.', 'unknown_client');
  END IF;
  INSERT INTO smart_internal.oauth_client_event VALUES (client_id, 'enabled', clock_timestamp(), NULL);
END
$$;
COMMENT ON FUNCTION smart.enable_client(text) IS
  'A client that was disabled may ask again; what it held stays ended. Errors: 22023 there is no such client.';

CREATE VIEW smart.client AS
SELECT c.client_id,
  c.metadata OPERATOR(pg_catalog.->>) 'client_name' AS client_name,
  c.metadata OPERATOR(pg_catalog.->>) 'token_endpoint_auth_method' AS token_endpoint_auth_method,
  c.metadata OPERATOR(pg_catalog.->>) 'scope' AS scope,
  ARRAY(SELECT pg_catalog.jsonb_array_elements_text(c.metadata OPERATOR(pg_catalog.->) 'grant_types')) AS grant_types,
  ARRAY(SELECT pg_catalog.jsonb_array_elements_text(c.metadata OPERATOR(pg_catalog.->) 'redirect_uris')) AS redirect_uris,
  ARRAY(SELECT pg_catalog.jsonb_array_elements_text(coalesce(c.metadata OPERATOR(pg_catalog.->) 'launch_uris', '[]'))) AS launch_uris,
  coalesce((SELECT e.event OPERATOR(pg_catalog.=) 'enabled' FROM smart_internal.oauth_client_event e
            WHERE e.client_id OPERATOR(pg_catalog.=) c.client_id AND e.event OPERATOR(pg_catalog.=) ANY (ARRAY['enabled', 'disabled'])
            ORDER BY e.at DESC LIMIT 1), true) AS enabled,
  c.dynamic, c.made_at, c.changed_at, c.metadata
FROM smart_internal.oauth_client c;
REVOKE ALL ON smart.client FROM PUBLIC;
COMMENT ON VIEW smart.client IS 'Registered clients, without secrets; metadata is the registration with its defaults.';

CREATE FUNCTION smart.create_registration_token(lifetime interval) RETURNS text
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  secret text := smart_internal.oauth_make_secret();
BEGIN
  IF lifetime IS NULL OR lifetime <= '0' OR lifetime > '1 year' THEN
    PERFORM smart_internal.oauth_refuse('lifetime', 'It must be more than 0 and at most 1 year.');
  END IF;
  INSERT INTO smart_internal.oauth_registration_token VALUES (sha256(convert_to(secret, 'UTF8')), clock_timestamp() + lifetime);
  RETURN secret;
END
$$;
COMMENT ON FUNCTION smart.create_registration_token(interval) IS
  'A bearer token for one registration by smart.register() while registration is "token" (RFC 7591 3). Errors: 22023.';

CREATE FUNCTION smart.register(request jsonb, headers jsonb) RETURNS jsonb
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  per_minute CONSTANT int := 60;
  members CONSTANT text[] := '{redirect_uris,token_endpoint_auth_method,grant_types,response_types,client_name,client_uri,
    logo_uri,scope,contacts,tos_uri,policy_uri,jwks_uri,jwks,software_id,software_version}';
  o jsonb := smart.server_configuration();
  authorization_header text;
  token text;
  m jsonb;
  name text;
  gone record;
  detail text;
  code text;
BEGIN
  IF request IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'null_value_not_allowed', MESSAGE = 'request must not be null';
  END IF;
  authorization_header := CASE WHEN jsonb_typeof(headers) = 'object' AND jsonb_typeof(headers->'authorization') = 'string' THEN headers->>'authorization' END;
  IF o->>'registration' = 'closed' THEN
    RETURN smart_internal.oauth_error_answer(403, 'access_denied', 'clients are registered by an administrator');
  END IF;
  IF o->>'registration' = 'token' THEN
    token := substring(left(authorization_header, 1000) FROM '(?i)^bearer +([^ ]+)$');
    PERFORM FROM smart_internal.oauth_registration_token t
      WHERE t.hash = sha256(convert_to(token, 'UTF8')) AND t.expires_at > clock_timestamp() FOR UPDATE;
    IF NOT FOUND THEN
      RETURN CASE WHEN authorization_header IS NULL
        THEN smart_internal.oauth_error_answer(401, 'invalid_token', 'a registration token is required')
        ELSE smart_internal.oauth_error_answer(401, 'invalid_token', 'the registration token is not valid',
          'www-authenticate', 'Bearer error="invalid_token"') END;
    END IF;
  END IF;
  IF (SELECT count(*) FROM smart_internal.oauth_client c WHERE c.dynamic AND c.made_at > clock_timestamp() - interval '1 minute') >= per_minute THEN
    RETURN smart_internal.oauth_error_answer(429, 'temporarily_unavailable', 'too many registrations', 'retry-after', '60');
  END IF;

  -- a few that nobody approved within a day
  FOR gone IN SELECT c.client_id, EXISTS (SELECT FROM smart_internal.oauth_client_event e
        WHERE e.client_id = c.client_id AND e.event = 'approved') AS approved
      FROM smart_internal.oauth_client c WHERE c.expires_at < clock_timestamp() ORDER BY c.expires_at LIMIT 20 FOR UPDATE SKIP LOCKED
  LOOP
    IF gone.approved THEN
      UPDATE smart_internal.oauth_client c SET expires_at = NULL WHERE c.client_id = gone.client_id;
    ELSE
      DELETE FROM smart_internal.oauth_client_secret s WHERE s.client_id = gone.client_id;
      DELETE FROM smart_internal.oauth_client_event e WHERE e.client_id = gone.client_id;
      DELETE FROM smart_internal.oauth_client c WHERE c.client_id = gone.client_id;
    END IF;
  END LOOP;

  IF jsonb_typeof(request) <> 'object' THEN
    RETURN smart_internal.oauth_error_answer(400, 'invalid_client_metadata', 'the registration is a JSON object');
  END IF;
  SELECT coalesce(jsonb_object_agg(r.key, r.value), '{}') INTO m FROM jsonb_each(request) r
    WHERE r.key = ANY (members) AND r.value <> 'null';
  BEGIN
    FOREACH name IN ARRAY '{client_uri,logo_uri,tos_uri,policy_uri,jwks_uri}'::text[] LOOP
      IF jsonb_typeof(m->name) = 'string' AND smart_internal.oauth_uri_fault(m->>name, 'https') IS NOT NULL THEN
        PERFORM smart_internal.oauth_refuse(name, smart_internal.oauth_uri_fault(m->>name, 'https'), 'invalid_client_metadata');
      END IF;
    END LOOP;
    -- control and bidirectional characters can make a name look like another
    IF length(m->>'client_name') > 100
        OR m->>'client_name' ~ '[\u0001-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]' THEN
      PERFORM smart_internal.oauth_refuse('client_name', 'It must have at most 100 characters, no control or bidirectional ones.', 'invalid_client_metadata');
    END IF;
    -- first as it was asked, so that what is malformed is refused and not cut away
    PERFORM smart_internal.oauth_client_metadata(m - 'grant_types');
    IF jsonb_typeof(m->'grant_types') = 'array' THEN
      m := m || jsonb_build_object('grant_types', (SELECT coalesce(jsonb_agg(g), '[]') FROM jsonb_array_elements(m->'grant_types') g
        WHERE g IN ('"authorization_code"', '"refresh_token"')));
    END IF;
    IF m ? 'scope' THEN
      m := m || jsonb_build_object('scope', smart_internal.oauth_scope_meet(m->>'scope', o->>'registration_scopes'));
    END IF;
    IF token IS NOT NULL THEN
      DELETE FROM smart_internal.oauth_registration_token t WHERE t.hash = sha256(convert_to(token, 'UTF8'));
    END IF;
    RETURN smart_internal.oauth_answer(201, smart_internal.oauth_new_client(m, smart_internal.oauth_make_id(), true));
  EXCEPTION WHEN invalid_parameter_value THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, code = CONSTRAINT_NAME, name = MESSAGE_TEXT;
    IF code NOT IN ('invalid_redirect_uri', 'invalid_client_metadata') THEN
      RAISE;
    END IF;
    RETURN smart_internal.oauth_error_answer(400, code, translate(name, '"', '') || '. ' || detail);
  END;
END
$$;
COMMENT ON FUNCTION smart.register(jsonb, jsonb) IS
  'Dynamic client registration (RFC 7591 3) as an answer: request is the JSON body. 201 with the registration; 400 invalid_redirect_uri or invalid_client_metadata; 401 invalid_token; 403 access_denied while registration is closed; 429. Errors: 22004 request is NULL; 55000 not configured.';
