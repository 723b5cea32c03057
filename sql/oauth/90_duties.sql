/* The three duties: who may call what. The last part: it sees all functions of the extension. */

-- Names in schema smart by duty, functions and views.
CREATE FUNCTION smart_internal.oauth_duty(duty text) RETURNS text[]
  LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE duty
    WHEN 'protocol' THEN '{authorize,token,introspect,revoke,burn,redeem,userinfo,register,device_authorization,smart_configuration,
      openid_configuration,capability_security,server_jwks,verify_cds_request,check_cds_authorization}'::text[]
    WHEN 'people' THEN '{authorize,approve,device_request,approve_device,create_launch,cds_authorization,withdraw_grant,end_user_session,grants}'
    WHEN 'administration' THEN '{configure_server,oauth_configure,server_configuration,create_signing_key,retire_signing_key,
      drop_signing_key,server_jwks,register_client,update_client,rotate_client_secret,set_client_jwks,disable_client,enable_client,
      create_registration_token,client,after_restore,add_cds_client,drop_cds_client,revoke_tokens,unrevoke,revocation}'
  END
$$;

-- What a duty is, as GRANT and REVOKE want it.
CREATE FUNCTION smart_internal.oauth_duty_objects(duty text) RETURNS SETOF text
  LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('EXECUTE ON ROUTINE %s', p.oid::regprocedure) FROM pg_proc p
    WHERE p.proname = ANY (smart_internal.oauth_duty(duty)) AND p.pronamespace IN ('smart'::regnamespace, 'smart_internal'::regnamespace)
      AND EXISTS (SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
        AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname IN ('smart_fhir', 'smart_fhir_oauth'))
  UNION ALL
  SELECT format('SELECT ON %s', c.oid::regclass) FROM pg_class c
    WHERE c.relname = ANY (smart_internal.oauth_duty(duty)) AND c.relnamespace = 'smart'::regnamespace AND c.relkind IN ('v', 'r')
$$;

CREATE FUNCTION smart_internal.oauth_change_duty(role regrole, duty text, statement text) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  object text;
BEGIN
  -- regrole takes any number, and '-'
  IF role IS NULL OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.oid = role) THEN
    PERFORM smart_internal.oauth_refuse('role', 'There is no such role.');
  ELSIF smart_internal.oauth_duty(duty) IS NULL THEN
    PERFORM smart_internal.oauth_refuse('duty', 'It must be protocol, people or administration.');
  END IF;
  IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = current_user AND r.rolsuper)
      AND NOT EXISTS (SELECT FROM pg_extension e JOIN pg_roles r ON r.oid = e.extowner
                      WHERE e.extname = 'smart_fhir_oauth' AND r.rolname = current_user) THEN
    RAISE EXCEPTION USING ERRCODE = 'insufficient_privilege',
      MESSAGE = 'permission denied to give out duties', HINT = 'Only a superuser or the owner of the extension smart_fhir_oauth may.';
  END IF;
  FOR object IN SELECT smart_internal.oauth_duty_objects(duty) LOOP
    EXECUTE format(statement, object, role);
  END LOOP;
END
$$;

CREATE FUNCTION smart.grant_oauth(role regrole, duty text) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM smart_internal.oauth_change_duty(role, duty, 'GRANT %s TO %s');
  EXECUTE format('GRANT USAGE ON SCHEMA smart, smart_internal TO %s', role);
END
$$;
COMMENT ON FUNCTION smart.grant_oauth(regrole, text) IS
  'Gives a role a duty: protocol, people or administration, with USAGE on schema smart. For the extension''s owner and superusers. Errors: 22023, 42501. doc/authorization-server.md says what each may do.';

CREATE FUNCTION smart.revoke_oauth(role regrole, duty text) RETURNS void
  LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  other text;
  others text[] := '{}';
BEGIN
  -- what another duty of the role needs too, it keeps
  FOREACH other IN ARRAY array_remove('{protocol,people,administration}'::text[], duty) LOOP
    -- what was granted to the role itself, not what it has as a member of another
    IF NOT EXISTS (SELECT FROM pg_proc p
        WHERE p.pronamespace = 'smart'::regnamespace AND p.proname = ANY (smart_internal.oauth_duty(other))
          AND NOT EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = role AND a.privilege_type = 'EXECUTE')) THEN
      others := others || other;
    END IF;
  END LOOP;
  PERFORM smart_internal.oauth_change_duty(role, duty, 'REVOKE %s FROM %s');
  FOREACH other IN ARRAY others LOOP
    PERFORM smart_internal.oauth_change_duty(role, other, 'GRANT %s TO %s');
  END LOOP;
END
$$;
COMMENT ON FUNCTION smart.revoke_oauth(regrole, text) IS
  'Takes a duty from a role; what another duty of the role needs too stays. Errors: 22023, 42501.';

-- Nobody has anything by default.
DO $$
DECLARE
  f pg_catalog.regprocedure;
BEGIN
  FOR f IN SELECT p.oid FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_depend d
      ON d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid OPERATOR(pg_catalog.=) p.oid
      JOIN pg_catalog.pg_extension e ON e.oid OPERATOR(pg_catalog.=) d.refobjid
        AND d.refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass
    WHERE e.extname OPERATOR(pg_catalog.=) 'smart_fhir_oauth' AND d.deptype OPERATOR(pg_catalog.=) 'e'
  LOOP
    EXECUTE pg_catalog.format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', f);
  END LOOP;
END
$$;
