/* smart.doctor(): what application roles are and may do beside the protected tables. */

CREATE FUNCTION smart_internal.doctor_duties() RETURNS TABLE (duty text, grantee oid, routine oid)
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT w.duty, a.grantee, p.oid
  FROM (VALUES ('protocol', 'token'), ('people', 'approve'), ('people', 'create_launch'), ('administration', 'configure_server'), ('administration', 'register_client'),
               ('assume()', 'assume'), ('add_issuer()', 'add_issuer')) w (duty, name)
  JOIN pg_proc p ON p.proname = w.name AND p.pronamespace = 'smart'::regnamespace,
    aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
  WHERE a.privilege_type = 'EXECUTE' AND a.grantee <> p.proowner
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_duties() FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_duties() IS 'Who was granted which duty of the authorization server, assume() or add_issuer().';

CREATE FUNCTION smart_internal.doctor_search_path(role oid) RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT DISTINCT CASE WHEN s.name = '$user' THEN (SELECT r.rolname::text FROM pg_roles r WHERE r.oid = $1) ELSE s.name END
  FROM (SELECT coalesce(
      (SELECT substr(c, 13) FROM pg_db_role_setting s, unnest(s.setconfig) c
       WHERE lower(c) LIKE 'search\_path=%' AND s.setrole IN ($1, 0) AND s.setdatabase IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
       ORDER BY s.setrole DESC, s.setdatabase DESC LIMIT 1),
      (SELECT p.reset_val FROM pg_settings p WHERE p.name = 'search_path' AND p.source IN ('configuration file', 'command line')), '"$user", public') AS path) p,
    LATERAL (SELECT CASE WHEN x ~ '^".*"$' THEN replace(substr(x, 2, length(x) - 2), '""', '"') ELSE lower(x) END AS name
             FROM (SELECT btrim(y) AS x FROM string_to_table(p.path, ',') y) z) s
  WHERE s.name <> ''
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_search_path(oid) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_search_path(oid) IS 'Names of the schemas that a role looks in after it connects to this database.';

CREATE FUNCTION smart_internal.doctor_roles(app oid[]) RETURNS TABLE (severity text, code text, object text, problem text, remedy text)
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  WITH protected AS MATERIALIZED (
    SELECT p.*, n.nspname::text AS nsp, c.relname::text AS rel
    FROM smart_internal.doctor_protected() p JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace),
  role AS MATERIALIZED (SELECT r.oid, r.rolname::text AS name, r.rolbypassrls, smart_internal.doctor_ident(r.rolname) AS shown FROM pg_roles r WHERE r.oid = ANY (app)),
  database AS (SELECT d.oid, d.datname::text AS name, d.datdba, d.datacl FROM pg_database d WHERE d.datname = current_database()),
  -- memberships granted to somebody whom an application role is, or is a member of
  membership AS MATERIALIZED (
    SELECT m.roleid, m.member, g.rolname::text AS granted, g.rolbypassrls, g.rolsuper, w.rolname::text AS member_name,
           smart_internal.doctor_ident(g.rolname) AS granted_shown, smart_internal.doctor_ident(w.rolname) AS member_shown, smart_internal.doctor_ident(b.rolname) AS grantor_shown
    FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles w ON w.oid = m.member LEFT JOIN pg_roles b ON b.oid = m.grantor
    WHERE smart_internal.doctor_app_reaches(app, m.member)),
  duty AS MATERIALIZED (
    SELECT r.oid AS role, r.name, r.shown, d.duty, d.grantee, d.routine FROM smart_internal.doctor_duties() d JOIN pg_roles x ON true
    JOIN LATERAL (SELECT x.oid, x.rolname::text AS name, smart_internal.doctor_ident(x.rolname) AS shown) r ON true
    WHERE x.rolcanlogin AND NOT x.rolsuper AND (d.grantee = 0 OR smart_internal.doctor_reaches(x.oid, d.grantee))),
  duties AS (
    SELECT d.role, d.name, d.shown, array_agg(DISTINCT d.duty ORDER BY d.duty) || CASE WHEN d.role = ANY (app) THEN '{FHIR tables}'::text[] ELSE '{}' END AS held
    FROM duty d GROUP BY d.role, d.name, d.shown)
  -- an owner that has BYPASSRLS and logs in is a role for migrations and backups
  SELECT CASE WHEN r.rolbypassrls THEN 'info' ELSE 'critical' END, 'owner_role', smart_internal.doctor_relation(p.relid),
    format('The application role %s owns it, and can take its policies away.', r.shown),
    smart_internal.doctor_remedy(format('ALTER TABLE %s OWNER TO %s', smart_internal.doctor_relation(p.relid), smart_internal.doctor_ident(e.rolname)), p.nsp, p.rel, e.rolname)
  FROM role r JOIN protected p ON p.owner = r.oid
  JOIN pg_extension x ON x.extname = 'smart_fhir' JOIN pg_roles e ON e.oid = x.extowner
  UNION ALL
  SELECT 'critical', 'owner_role', m.member_shown, format('It is a member of %s, which owns protected tables: application roles reach it.', m.granted_shown),
    smart_internal.doctor_remedy(format('REVOKE %s FROM %s GRANTED BY %s CASCADE', m.granted_shown, m.member_shown, m.grantor_shown), m.granted, m.member_name)
  FROM membership m WHERE m.roleid IN (SELECT p.owner FROM protected p) AND NOT m.rolsuper
  UNION ALL
  SELECT 'critical', 'bypassrls_role', r.shown, 'The application role has BYPASSRLS: no policy binds it.',
    smart_internal.doctor_remedy(format('ALTER ROLE %s NOBYPASSRLS', r.shown), r.name)
  FROM role r WHERE r.rolbypassrls AND r.oid NOT IN (SELECT p.owner FROM protected p)
  UNION ALL
  SELECT 'critical', 'bypassrls_role', m.member_shown, format('It is a member of %s, which no policy binds: application roles can SET ROLE to it.', m.granted_shown),
    smart_internal.doctor_remedy(format('REVOKE %s FROM %s GRANTED BY %s CASCADE', m.granted_shown, m.member_shown, m.grantor_shown), m.granted, m.member_name)
  FROM membership m WHERE (m.rolbypassrls OR m.rolsuper) AND m.roleid NOT IN (SELECT p.owner FROM protected p WHERE NOT m.rolsuper)
  UNION ALL
  SELECT 'critical', 'predefined_role', m.member_shown, format('It is in %s: application roles read or change more than their grants and policies say.', m.granted),
    smart_internal.doctor_remedy(format('REVOKE %s FROM %s GRANTED BY %s CASCADE', m.granted_shown, m.member_shown, m.grantor_shown), m.granted, m.member_name)
  FROM membership m
  WHERE m.granted IN ('pg_read_all_data', 'pg_write_all_data', 'pg_maintain', 'pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')
  UNION ALL
  SELECT 'warning', 'temp_granted', smart_internal.doctor_ident(d.name),
    format('Application roles may create temporary tables, which shadow FHIR tables for the next client of a pooled connection, through %s.', string_agg(smart_internal.doctor_role(a.grantee), ', ' ORDER BY a.grantee)),
    smart_internal.doctor_remedy(format('REVOKE TEMPORARY ON DATABASE %s FROM %s CASCADE', smart_internal.doctor_ident(d.name), string_agg(smart_internal.doctor_role(a.grantee), ', ' ORDER BY a.grantee)),
      VARIADIC array_agg(coalesce(r.rolname, '')::text) || d.name)
  FROM database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a LEFT JOIN pg_roles r ON r.oid = a.grantee
  WHERE a.privilege_type = 'TEMPORARY' AND a.grantee <> d.datdba AND smart_internal.doctor_app_reaches(app, a.grantee)
  GROUP BY d.name
  UNION ALL
  SELECT 'warning', 'schema_create', smart_internal.doctor_ident(n.nspname),
    format('It is in the search_path of an application role, which may create in it through %s.', string_agg(DISTINCT smart_internal.doctor_role(a.grantee), ', ')),
    smart_internal.doctor_remedy(format('REVOKE CREATE ON SCHEMA %s FROM %s CASCADE', smart_internal.doctor_ident(n.nspname), string_agg(DISTINCT smart_internal.doctor_role(a.grantee), ', ')),
      VARIADIC array_agg(coalesce(r.rolname, '')::text) || n.nspname::text)
  FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a LEFT JOIN pg_roles r ON r.oid = a.grantee
  WHERE a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner AND smart_internal.doctor_app_reaches(app, a.grantee)
    AND n.nspname IN (SELECT smart_internal.doctor_search_path(x.oid) FROM role x WHERE a.grantee = 0 OR smart_internal.doctor_reaches(x.oid, a.grantee))
  GROUP BY n.oid, n.nspname
  UNION ALL
  SELECT 'warning', 'schema_create', smart_internal.doctor_ident(n.nspname), format('It is in the search_path of the application role %s, which owns it.', min(x.shown)),
    smart_internal.doctor_remedy(format('ALTER SCHEMA %s OWNER TO %s', smart_internal.doctor_ident(n.nspname), smart_internal.doctor_ident(e.rolname)), n.nspname, e.rolname)
  FROM pg_namespace n JOIN role x ON x.oid = n.nspowner AND NOT x.rolbypassrls JOIN pg_extension g ON g.extname = 'smart_fhir' JOIN pg_roles e ON e.oid = g.extowner
  WHERE n.nspname IN (SELECT smart_internal.doctor_search_path(x.oid))
  GROUP BY n.oid, n.nspname, e.rolname
  UNION ALL
  SELECT 'critical', 'fdw_trusting', smart_internal.doctor_routine(p.oid), 'Application roles may open connections from the server without a password of their own.',
    smart_internal.doctor_remedy(format('REVOKE EXECUTE ON FUNCTION %s FROM %s CASCADE', smart_internal.doctor_routine(p.oid), string_agg(smart_internal.doctor_role(a.grantee), ', ' ORDER BY a.grantee)),
      VARIADIC array_agg(coalesce(r.rolname, '')::text) || p.proname::text)
  FROM pg_extension x JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = x.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
  JOIN pg_proc p ON p.oid = d.objid, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a LEFT JOIN pg_roles r ON r.oid = a.grantee
  WHERE x.extname = 'dblink' AND p.proname = 'dblink_connect_u' AND a.privilege_type = 'EXECUTE' AND a.grantee <> p.proowner AND smart_internal.doctor_app_reaches(app, a.grantee)
  GROUP BY p.oid, p.proname
  UNION ALL
  SELECT 'critical', 'fdw_trusting', smart_internal.doctor_ident(s.srvname),
    format('The user mapping of %s asks no password (password_required), and application roles may use the server.', smart_internal.doctor_role(u.umuser)),
    smart_internal.doctor_remedy(format('ALTER USER MAPPING FOR %s SERVER %s OPTIONS (SET password_required %L)', smart_internal.doctor_role(u.umuser), smart_internal.doctor_ident(s.srvname), 'true'),
      s.srvname, coalesce((SELECT r.rolname FROM pg_roles r WHERE r.oid = u.umuser), ''))
  FROM pg_user_mapping u JOIN pg_foreign_server s ON s.oid = u.umserver
  WHERE EXISTS (SELECT FROM pg_options_to_table(u.umoptions) o WHERE o.option_name = 'password_required' AND lower(o.option_value) IN ('false', 'off', 'no', '0', 'f', 'n'))
    AND smart_internal.doctor_app_reaches(app, u.umuser)
    AND EXISTS (SELECT FROM aclexplode(coalesce(s.srvacl, acldefault('S', s.srvowner))) a WHERE a.privilege_type = 'USAGE' AND smart_internal.doctor_app_reaches(app, a.grantee)
                UNION ALL SELECT FROM pg_foreign_table f, smart_internal.doctor_grants(f.ftrelid) g WHERE f.ftserver = s.oid AND smart_internal.doctor_app_reaches(app, g.grantee))
  UNION ALL
  SELECT 'critical', 'duty_mixed', d.shown, format('One role has several of what should be apart: %s. It can be anyone.', array_to_string(d.held, ', ')),
    (SELECT CASE WHEN x.duty IN ('protocol', 'people', 'administration')
                 THEN smart_internal.doctor_remedy(format('SELECT smart.revoke_oauth(%L, %L)', smart_internal.doctor_role(x.grantee), x.duty), coalesce(w.rolname, ''))
                 ELSE smart_internal.doctor_remedy(format('REVOKE EXECUTE ON FUNCTION %s FROM %s CASCADE', smart_internal.doctor_routine(x.routine), smart_internal.doctor_role(x.grantee)), coalesce(w.rolname, '')) END
     FROM duty x LEFT JOIN pg_roles w ON w.oid = x.grantee WHERE x.role = d.role
     ORDER BY x.duty IN ('assume()', 'add_issuer()') DESC, x.duty LIMIT 1)
  FROM duties d WHERE cardinality(d.held) > 1
  UNION ALL
  SELECT 'warning', 'operator_granted', 'OPERATOR(smart.@>>)', format('Application roles may use the leakproof search operator, which runs on hidden rows, through %s.', string_agg(smart_internal.doctor_role(a.grantee), ', ' ORDER BY a.grantee)),
    smart_internal.doctor_remedy(format('REVOKE EXECUTE ON FUNCTION %s FROM %s CASCADE', smart_internal.doctor_routine(p.oid), string_agg(smart_internal.doctor_role(a.grantee), ', ' ORDER BY a.grantee)),
      VARIADIC array_agg(coalesce(r.rolname, '')::text))
  FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a LEFT JOIN pg_roles r ON r.oid = a.grantee
  WHERE p.pronamespace = 'smart_internal'::regnamespace AND p.proname = 'jsonb_contains' AND a.privilege_type = 'EXECUTE' AND a.grantee <> p.proowner
    AND smart_internal.doctor_app_reaches(app, a.grantee)
  GROUP BY p.oid
  UNION ALL
  SELECT 'critical', 'parameter_granted', q.parname, format('Others than superusers may change it: %s.', string_agg(DISTINCT smart_internal.doctor_role(a.grantee), ', ')),
    smart_internal.doctor_remedy(format('REVOKE ALL ON PARAMETER %s FROM %s CASCADE', q.parname, string_agg(DISTINCT smart_internal.doctor_role(a.grantee), ', ')),
      VARIADIC array_agg(coalesce(r.rolname, '')::text) || q.parname)
  FROM pg_parameter_acl q, aclexplode(q.paracl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
  WHERE q.parname LIKE 'smart\_fhir.%' AND a.grantee <> 10
  GROUP BY q.parname
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_roles(oid[]) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_roles(oid[]) IS 'Findings of smart.doctor() about roles and their rights.';
