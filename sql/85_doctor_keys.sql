/* smart.doctor(): issuers, signing keys, audit. */

CREATE FUNCTION smart_internal.doctor_audit_level(setting text) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(array_position(ARRAY['off', 'logins', 'writes', 'all'], lower(btrim($1, ' ''"'))), 1)
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_audit_level(text) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_audit_level(text) IS 'A value of smart_fhir.audit as a number that grows with what is recorded; 1: off.';

CREATE FUNCTION smart_internal.doctor_keys() RETURNS TABLE (severity text, code text, object text, problem text, remedy text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  key_file boolean := coalesce(smart_internal.doctor_setting('smart_fhir.key_file'), '') <> '';
  in_file int := (SELECT max(smart_internal.doctor_audit_level(f.setting)) FROM pg_file_settings f WHERE f.name = 'smart_fhir.audit' AND f.error IS NULL AND f.applied);
  audited boolean;
BEGIN
  RETURN QUERY
    SELECT 'critical', 'key_weak', smart_internal.doctor_url(i.issuer),
      format('A key of the issuer is too short: %s.', CASE WHEN k.key ->> 'kty' = 'RSA' THEN 'RSA below 2048 bits' ELSE 'a shared secret below 32 bytes' END),
      'Let the issuer make a longer key, and replace its key set with smart.set_jwks().'
    FROM smart.issuer i, LATERAL jsonb_array_elements(CASE WHEN jsonb_typeof(i.jwks -> 'keys') = 'array' THEN i.jwks -> 'keys' ELSE jsonb_build_array(i.jwks) END) k (key)
    -- base64url: 342 characters are 2048 bits, 43 are 32 bytes
    WHERE (k.key ->> 'kty' = 'RSA' AND length(k.key ->> 'n') < 342) OR (k.key ->> 'kty' = 'oct' AND coalesce(length(k.key ->> 'k'), 0) < 43);
  RETURN QUERY
    SELECT 'warning', 'audience_shared', smart_internal.doctor_url(a.issuer),
      format('It and the issuer %s accept the same audience and may both grant %s: either can vouch for the other''s patients.', smart_internal.doctor_url(b.issuer),
             (SELECT string_agg(l, ', ' ORDER BY l) FROM unnest(ARRAY['patient', 'user', 'system']) l
              WHERE (a.levels IS NULL OR l = ANY (a.levels)) AND (b.levels IS NULL OR l = ANY (b.levels)))),
      'Give each issuer an audience of its own, or levels that do not overlap, with smart.add_issuer().'
    FROM smart.issuer a JOIN smart.issuer b ON a.issuer < b.issuer
      AND (coalesce(a.audience, '{}') || coalesce(a.base_urls, '{}')) && (coalesce(b.audience, '{}') || coalesce(b.base_urls, '{}'))
    WHERE EXISTS (SELECT FROM unnest(ARRAY['patient', 'user', 'system']) l
                  WHERE (a.levels IS NULL OR l = ANY (a.levels)) AND (b.levels IS NULL OR l = ANY (b.levels)));
  IF to_regclass('smart.issuer_key_state') IS NOT NULL THEN
    RETURN QUERY EXECUTE $q$
      SELECT 'warning', 'keys_stale', smart_internal.doctor_url(s.issuer),
        CASE WHEN s.fetched_at IS NULL THEN 'No key set was fetched from its jwks_uri yet.' ELSE 'The key set is past its time, and no good answer came since.' END,
        'See that smart_fhir_keys runs and reaches the issuer; smart.issuer_key_state has the last error.'
      FROM smart.issuer_key_state s
      -- a fetch begins when the time is over
      WHERE s.fetched_at IS NULL OR s.expires_at < clock_timestamp() - CASE WHEN s.failures = 0 THEN interval '5 min' ELSE '0' END $q$;
  END IF;
  IF to_regclass('smart_internal.oauth_client_fetch') IS NOT NULL THEN
    RETURN QUERY EXECUTE $q$
      SELECT 'info', 'keys_stale', smart_internal.doctor_ident(f.client_id), format('The jwks_uri of this client had no good answer for a day: %s.', f.last_error),
        'Ask who runs the client, or give its keys with smart.set_client_jwks() or smart.update_client().'
      FROM smart_internal.oauth_client_fetch f JOIN smart.client c USING (client_id)
      WHERE c.enabled AND c.metadata ->> 'jwks_uri' = f.jwks_uri AND f.failures > 0 AND coalesce(f.fetched_at, c.changed_at) < clock_timestamp() - interval '1 day' $q$;
  END IF;
  IF to_regclass('smart_internal.oauth_signing_key') IS NOT NULL THEN
    RETURN QUERY EXECUTE $q$
      SELECT 'warning', 'key_expiring', smart_internal.doctor_ident(k.kid), format('This signing key (%s) retires at %s, and no other of its algorithm takes over.', k.algorithm, k.retired_at),
        format('SELECT smart.create_signing_key(%L)', k.algorithm)
      FROM smart_internal.oauth_signing_key k
      WHERE k.retired_at > clock_timestamp() AND k.retired_at <= clock_timestamp() + interval '7 days'
        AND NOT EXISTS (SELECT FROM smart_internal.oauth_signing_key o WHERE o.kid <> k.kid AND o.algorithm = k.algorithm
                        AND o.signs_from <= k.retired_at AND (o.retired_at IS NULL OR o.retired_at > k.retired_at)) $q$;
    RETURN QUERY EXECUTE $q$
      SELECT 'warning', 'keys_unsealed', smart_internal.doctor_ident(k.kid),
        'The private signing key stands in the database in clear: dumps, backups and standbys have it.',
        'Set smart_fhir.key_file in postgresql.conf, make a new key with smart.create_signing_key(), and drop this one with smart.drop_signing_key().'
      FROM smart_internal.oauth_signing_key k WHERE NOT k.sealed $q$;
  END IF;
  audited := coalesce(in_file, 1) > 1
    OR EXISTS (SELECT FROM pg_db_role_setting s, unnest(s.setconfig) c WHERE lower(c) LIKE 'smart\_fhir.audit=%' AND smart_internal.doctor_audit_level(split_part(c, '=', 2)) > 1);
  RETURN QUERY
    SELECT 'warning', 'audit_key_missing', 'smart_fhir.key_file', 'Audit is on without a key: records have neither hashed identities nor a mac.',
      'Set smart_fhir.key_file in postgresql.conf to a file with 32 random bytes in base64, and reload.'
    WHERE audited AND NOT key_file AND lower(coalesce(smart_internal.doctor_setting('smart_fhir.audit_identities'), 'hashed')) <> 'clear';
  RETURN QUERY
    SELECT 'warning', 'audit_weakened', coalesce(smart_internal.doctor_ident(r.rolname), smart_internal.doctor_ident(d.datname)), 'smart_fhir.audit is set to less here than in the configuration file.',
      smart_internal.doctor_remedy(CASE WHEN s.setrole = 0 THEN format('ALTER DATABASE %s RESET smart_fhir.audit', smart_internal.doctor_ident(d.datname))
        WHEN s.setdatabase = 0 THEN format('ALTER ROLE %s RESET smart_fhir.audit', smart_internal.doctor_ident(r.rolname))
        ELSE format('ALTER ROLE %s IN DATABASE %s RESET smart_fhir.audit', smart_internal.doctor_ident(r.rolname), smart_internal.doctor_ident(d.datname)) END,
        coalesce(r.rolname, ''), coalesce(d.datname, ''))
    FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) c
    WHERE lower(c) LIKE 'smart\_fhir.audit=%' AND (s.setdatabase = 0 OR d.datname = current_database())
      AND (smart_internal.doctor_audit_level(split_part(c, '=', 2)) < coalesce(in_file, 1) OR smart_internal.doctor_audit_level(split_part(c, '=', 2)) = 1);
  RETURN QUERY
    SELECT 'warning', 'audit_weakened', smart_internal.doctor_routine(p.oid), 'The function sets smart_fhir.audit to less than the configuration file.',
      smart_internal.doctor_remedy(format('ALTER ROUTINE %s RESET smart_fhir.audit', smart_internal.doctor_routine(p.oid)), p.proname, n.nspname)
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace, unnest(p.proconfig) c
    WHERE lower(c) LIKE 'smart\_fhir.audit=%'
      AND (smart_internal.doctor_audit_level(split_part(c, '=', 2)) < coalesce(in_file, 1) OR smart_internal.doctor_audit_level(split_part(c, '=', 2)) = 1);
  RETURN QUERY
    SELECT 'warning', 'audit_lost', 'log_min_messages', format('Messages at LOG are not written to the server''s log (log_min_messages = %s): audit records are lost.', smart_internal.doctor_setting('log_min_messages')),
      smart_internal.doctor_remedy(format('ALTER DATABASE %s SET log_min_messages = warning', smart_internal.doctor_ident(current_database())), current_database())
    -- from PostgreSQL 19 on it may name kinds of processes, each with its level
    WHERE audited AND smart_internal.doctor_setting('log_min_messages') ~* '\m(fatal|panic)\M';
  RETURN QUERY
    SELECT 'warning', 'audit_lost', coalesce(smart_internal.doctor_ident(r.rolname), smart_internal.doctor_ident(d.datname)), format('%s is set here: messages at LOG are not written to the server''s log, and audit records are lost.', replace(lower(c), '=', ' = ')),
      smart_internal.doctor_remedy(CASE WHEN s.setrole = 0 THEN format('ALTER DATABASE %s RESET log_min_messages', smart_internal.doctor_ident(d.datname))
        WHEN s.setdatabase = 0 THEN format('ALTER ROLE %s RESET log_min_messages', smart_internal.doctor_ident(r.rolname))
        ELSE format('ALTER ROLE %s IN DATABASE %s RESET log_min_messages', smart_internal.doctor_ident(r.rolname), smart_internal.doctor_ident(d.datname)) END,
        coalesce(r.rolname, ''), coalesce(d.datname, ''))
    FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) c
    WHERE audited AND lower(c) ~ '^log_min_messages=.*\m(fatal|panic)\M' AND (s.setdatabase = 0 OR d.datname = current_database());
  RETURN QUERY
    SELECT 'warning', 'audit_lost', smart_internal.doctor_routine(p.oid), 'The function sets log_min_messages above LOG: audit records of what it does are lost.',
      smart_internal.doctor_remedy(format('ALTER ROUTINE %s RESET log_min_messages', smart_internal.doctor_routine(p.oid)), p.proname, n.nspname)
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace, unnest(p.proconfig) c
    WHERE audited AND lower(c) ~ '^log_min_messages=.*\m(fatal|panic)\M';
END
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_keys() FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_keys() IS 'Findings of smart.doctor() about issuers, signing keys and the audit trail.';
