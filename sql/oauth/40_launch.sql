/* Launch and consent: what the front end asks, what people answered, how they take it back. */

CREATE FUNCTION smart.authorize(request jsonb, person jsonb DEFAULT NULL) RETURNS jsonb
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_oauth_authorize';
COMMENT ON FUNCTION smart.authorize(jsonb, jsonb) IS
  'Checks an authorization request (RFC 6749 4.1.1, SMART App Launch 2.2) and answers what to ask: 200 {client, scopes, launch, fhirUser, prompt, max_age, needs}, 302 with an error for the client, or 400 {error, error_description} to be shown. person: {sub, fhirUser, patient} as far as known, from a role with the duty people (42501). Errors: 22004 request is NULL; 22023 person; 55000 not configured.';

CREATE FUNCTION smart.approve(request jsonb, approval jsonb) RETURNS jsonb
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_oauth_approve';
COMMENT ON FUNCTION smart.approve(jsonb, jsonb) IS
  'What the person answered: {sub, fhirUser, patient, encounter, scope, auth_time, session} or {denied: true}. Answers 303 to the redirect_uri with code, state and iss (RFC 9207), or with an error; 400 to be shown. Spends the handle of a launch. Errors: 22023 a member of approval; 22004 NULL; 55000 not configured, or user_patients failed.';

CREATE FUNCTION smart_internal.oauth_check_context(context jsonb) RETURNS void
  LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  name text;
  value jsonb;
  item jsonb;
  good boolean;
BEGIN
  IF jsonb_typeof(context) <> 'object' OR pg_column_size(context) > 65536 THEN
    PERFORM smart_internal.oauth_refuse('context', 'It must be a JSON object of at most 64 KiB.');
  END IF;
  FOR name, value IN SELECT c.key, c.value FROM jsonb_each(context) c LOOP
    good := CASE
      WHEN name IN ('patient', 'encounter') THEN jsonb_typeof(value) = 'string' AND value #>> '{}' ~ '^[A-Za-z0-9.-]{1,64}$'
      WHEN name IN ('intent', 'tenant', 'appContext') THEN jsonb_typeof(value) = 'string' AND value <> '""'
      WHEN name = 'need_patient_banner' THEN jsonb_typeof(value) = 'boolean'
      WHEN name = 'smart_style_url' THEN jsonb_typeof(value) = 'string' AND smart_internal.oauth_uri_fault(value #>> '{}', 'url') IS NULL
      WHEN name = 'fhirContext' THEN jsonb_typeof(value) = 'array' AND jsonb_array_length(value) <= 100
      -- extensions: a URI, or a name that begins with two underscores
      ELSE name ~ '^__.' OR name ~ '^[A-Za-z][A-Za-z0-9+.-]*:[^ ]+$'
    END;
    IF NOT good THEN
      PERFORM smart_internal.oauth_refuse(left(name, 100), 'The launch context has no such member, or not with this value.');
    END IF;
  END LOOP;
  -- smart-rules FC-1 to FC-5
  FOR item IN SELECT jsonb_array_elements(context->'fhirContext') LOOP
    good := jsonb_typeof(item) = 'object' AND item ?| '{reference,canonical,identifier}'
      AND coalesce(jsonb_typeof(item->'reference') = 'string' AND item->>'reference' ~ '^[A-Z][A-Za-z]*/[A-Za-z0-9.-]{1,64}(/_history/[A-Za-z0-9.-]{1,64})?$', true)
      AND coalesce(jsonb_typeof(item->'canonical') = 'string' AND item->>'canonical' <> '', true)
      AND coalesce(jsonb_typeof(item->'identifier') = 'object', true)
      AND coalesce(jsonb_typeof(item->'type') = 'string' AND item->>'type' ~ '^[A-Z][A-Za-z]*$', true)
      AND coalesce(jsonb_typeof(item->'role') = 'string' AND (item->>'role' = 'launch' OR item->>'role' ~ '^[A-Za-z][A-Za-z0-9+.-]*:[^ ]+$'), true)
      -- the patient and the encounter of the launch have members of their own
      AND NOT (coalesce(item->>'role', 'launch') = 'launch'
        AND (coalesce(item->>'reference' ~ '^(Patient|Encounter)/', false) OR coalesce(item->>'type' IN ('Patient', 'Encounter'), false)));
    IF NOT good THEN
      PERFORM smart_internal.oauth_refuse('fhirContext', 'An item is not as SMART App Launch 2.2 wants it.');
    END IF;
  END LOOP;
END
$$;

CREATE FUNCTION smart.create_launch(client_id text, context jsonb, fhir_user text DEFAULT NULL, sub text DEFAULT NULL) RETURNS text
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  o jsonb := smart.server_configuration();
  m jsonb;
  live boolean;
  handle text := smart_internal.oauth_make_secret();
BEGIN
  SELECT c.metadata, c.enabled INTO m, live FROM smart.client c WHERE c.client_id = client_id;
  IF m IS NULL OR NOT live THEN
    PERFORM smart_internal.oauth_refuse('client_id', 'There is no such client, or it is disabled.', 'unknown_client');
  ELSIF NOT 'launch' = ANY (string_to_array(m->>'scope', ' ')) THEN
    PERFORM smart_internal.oauth_refuse('client_id', 'The scope of this client does not hold launch.', 'invalid_client_metadata');
  END IF;
  IF sub IS NULL AND fhir_user IS NULL THEN
    PERFORM smart_internal.oauth_refuse('sub', 'sub or fhir_user must be given: the person whose session it is.');
  ELSIF sub !~ '^[ -~]{1,255}$' THEN
    PERFORM smart_internal.oauth_refuse('sub', 'It must have 1 to 255 printable ASCII characters.');
  ELSIF fhir_user IS NOT NULL AND fhir_user !~ '^[A-Z][A-Za-z]*/[A-Za-z0-9.-]{1,64}$'
      AND NOT EXISTS (SELECT FROM jsonb_array_elements_text(o->'fhir_base_urls') b
        WHERE starts_with(fhir_user, rtrim(b, '/') || '/')
          AND substr(fhir_user, length(rtrim(b, '/')) + 2) ~ '^[A-Z][A-Za-z]*/[A-Za-z0-9.-]{1,64}$') THEN
    PERFORM smart_internal.oauth_refuse('fhir_user', 'It must be Type/id, or absolute under one of fhir_base_urls.');
  END IF;
  context := coalesce(context, '{}');
  PERFORM smart_internal.oauth_check_context(context);
  INSERT INTO smart_internal.oauth_launch (hash, client_id, sub, fhir_user, context, made_at, expires_at)
  VALUES (sha256(convert_to(handle, 'UTF8')), client_id, sub, fhir_user, context, clock_timestamp(),
    clock_timestamp() + (o->>'launch_lifetime')::int * interval '1 s');
  PERFORM smart_internal.oauth_tell('launch', client_id, sub, fhir_user, context->>'patient', context->>'encounter', NULL);
  RETURN handle;
END
$$;
COMMENT ON FUNCTION smart.create_launch(text, jsonb, text, text) IS
  'The handle of an EHR launch (SMART App Launch 2.2), good once and for launch_lifetime seconds, for this client and this person. context: patient, encounter, fhirContext, intent, need_patient_banner, smart_style_url, tenant, appContext, extensions. Errors: 22023; 55000 not configured.';

CREATE FUNCTION smart.device_authorization(request jsonb, headers jsonb) RETURNS jsonb
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_oauth_device_authorization';
COMMENT ON FUNCTION smart.device_authorization(jsonb, jsonb) IS
  'The device authorization endpoint (RFC 8628 3.1) as an answer: 200 {device_code, user_code, verification_uri, expires_in, interval} for a client whose grant_types name urn:ietf:params:oauth:grant-type:device_code, authenticated as at the token endpoint; 400, 401 with an RFC error. request: scope, and aud or resource where there are several FHIR bases. Errors: 22004 NULL; 55000 not configured.';

CREATE FUNCTION smart.device_request(user_code text, person jsonb DEFAULT NULL) RETURNS jsonb
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_oauth_device_request';
COMMENT ON FUNCTION smart.device_request(text, jsonb) IS
  'What to ask the person who typed a user code (RFC 8628 3.3), case, hyphens and blanks ignored: 200 as smart.authorize(), consent always needed; 404 of a code that is unknown, used or expired; 429 after 30 such codes of a person (or of nobody) in a minute, which no ROLLBACK takes back. person: {sub, fhirUser, patient} as far as known. Errors: 22004 user_code is NULL; 22023 person; 25006 in a read-only transaction; 55000 not configured.';

CREATE FUNCTION smart.approve_device(user_code text, approval jsonb) RETURNS jsonb
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_oauth_approve_device';
COMMENT ON FUNCTION smart.approve_device(text, jsonb) IS
  'What the person answered, as smart.approve(). 200 {"approved": true}, and the device gets its tokens at its next request; 200 {"approved": false}, with error and error_description where it was not the person who denied it, and the device gets access_denied. 404, 429 as smart.device_request(). Errors: 22023 a member of approval; 22004 NULL; 25006 in a read-only transaction; 55000 not configured, or user_patients failed.';

CREATE FUNCTION smart.withdraw_grant(sub text, client_id text, patient text DEFAULT NULL) RETURNS void
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_oauth_withdraw_grant';
COMMENT ON FUNCTION smart.withdraw_grant(text, text, text) IS
  'Ends what a person has allowed a client, for one patient or (NULL) for all: codes, refresh tokens, access tokens, at once. Waits for no other transaction. Errors: 22004.';

CREATE FUNCTION smart.end_user_session(sub text, session text DEFAULT NULL) RETURNS void
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_oauth_end_user_session';
COMMENT ON FUNCTION smart.end_user_session(text, text) IS
  'Ends what goes with the session of a person, or (NULL) with all of them: grants with online_access, and codes that nobody has exchanged. offline_access stays. Errors: 22004.';

CREATE VIEW smart.grants AS
SELECT g.sub, g.client_id,
  pg_catalog.min(c.metadata OPERATOR(pg_catalog.->>) 'client_name') AS client_name,
  g.patient,
  (pg_catalog.array_agg(g.fhir_user ORDER BY g.granted_at DESC))[1] AS fhir_user,
  pg_catalog.string_agg(g.scope, ' ')::smart.smart_scope::text AS scope,
  pg_catalog.min(g.granted_at) AS granted_at,
  pg_catalog.max(l.used_at) AS used_at,
  pg_catalog.max(l.expires_at) AS expires_at
FROM smart_internal.oauth_grant g
JOIN smart_internal.oauth_client c ON c.client_id OPERATOR(pg_catalog.=) g.client_id
LEFT JOIN LATERAL (SELECT r.made_at, r.expires_at FROM smart_internal.oauth_refresh_token r
  WHERE r.grant_id OPERATOR(pg_catalog.=) g.grant_id ORDER BY r.made_at DESC LIMIT 1) r ON true
CROSS JOIN LATERAL (SELECT
  coalesce(r.made_at, (SELECT pg_catalog.max(k.used_at) FROM smart_internal.oauth_code k
                       WHERE k.grant_id OPERATOR(pg_catalog.=) g.grant_id)) AS used_at,
  coalesce(r.expires_at, g.expires_at) AS expires_at) l
WHERE l.expires_at OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()
  AND NOT EXISTS (SELECT FROM smart_internal.oauth_grant_end e WHERE e.grant_id OPERATOR(pg_catalog.=) g.grant_id)
  AND NOT EXISTS (SELECT FROM smart_internal.oauth_client_event e WHERE e.client_id OPERATOR(pg_catalog.=) g.client_id
    AND e.event OPERATOR(pg_catalog.=) ANY (ARRAY['disabled', 'ended']) AND e.at OPERATOR(pg_catalog.>=) g.granted_at)
  -- withdrawn, or its session ended, before its transaction was committed
  AND NOT EXISTS (SELECT FROM smart_internal.oauth_ending e WHERE e.sub OPERATOR(pg_catalog.=) g.sub AND e.ended_at OPERATOR(pg_catalog.>=) g.granted_at
    AND CASE WHEN e.client_id IS NULL THEN g.refresh OPERATOR(pg_catalog.=) 'online' ELSE e.client_id OPERATOR(pg_catalog.=) g.client_id END
    AND (e.patient IS NULL OR e.patient OPERATOR(pg_catalog.=) g.patient) AND (e.session IS NULL OR e.session OPERATOR(pg_catalog.=) g.session))
GROUP BY g.sub, g.client_id, g.patient;
REVOKE ALL ON smart.grants FROM PUBLIC;
COMMENT ON VIEW smart.grants IS
  'What people have allowed, a consent (person, client, patient) a row: scope of its live grants, when it was given, last used, and when it ends by itself.';

CREATE FUNCTION smart.after_restore(since timestamptz) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  gone text;
BEGIN
  IF since IS NULL THEN
    PERFORM smart_internal.oauth_refuse('since', 'It must be a time.');
  END IF;
  DELETE FROM smart_internal.oauth_launch;
  DELETE FROM smart_internal.oauth_device_code;
  DELETE FROM smart_internal.oauth_receipt;
  DELETE FROM smart_internal.oauth_registration_token;
  FOR gone IN
    SELECT k.grant_id FROM smart_internal.oauth_code k WHERE k.used_at IS NULL OR k.used_at >= since
    UNION SELECT g.grant_id FROM smart_internal.oauth_grant g WHERE g.granted_at >= since
    UNION SELECT r.grant_id FROM smart_internal.oauth_refresh_token r WHERE r.made_at >= since OR r.used_at >= since
  LOOP
    PERFORM smart_internal.oauth_end_grant(gone);
  END LOOP;
  DELETE FROM smart_internal.oauth_code k WHERE k.used_at IS NULL;
END
$$;
COMMENT ON FUNCTION smart.after_restore(timestamptz) IS
  'After a restore or a promotion that may have lost commits: voids open codes, device codes, handles, receipts and registration tokens, and ends every grant that was given, or whose refresh token was made or used, at since or later. Errors: 22023.';
