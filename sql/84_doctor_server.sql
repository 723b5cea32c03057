/* smart.doctor(): the server's settings and release, issuers and keys, and other extensions. */

CREATE FUNCTION smart_internal.doctor_setting(name text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  -- what a new session of this database starts with
  SELECT coalesce(
    (SELECT substr(c, length($1) + 2) FROM pg_db_role_setting s, unnest(s.setconfig) c
     WHERE lower(split_part(c, '=', 1)) = lower($1) AND s.setrole = 0 AND s.setdatabase IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
     ORDER BY s.setdatabase DESC LIMIT 1),
    (SELECT f.setting FROM pg_file_settings f WHERE lower(f.name) = lower($1) AND f.error IS NULL ORDER BY f.seqno DESC LIMIT 1),
    (SELECT p.boot_val FROM pg_settings p WHERE lower(p.name) = lower($1)))
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_setting(text) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_setting(text) IS 'The value that a setting has at the start of a session in this database, roles'' own values apart.';

CREATE FUNCTION smart_internal.doctor_loads(list text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM string_to_table(list, ',') x WHERE btrim(x, ' "') IN ('smart_fhir', '$libdir/smart_fhir', 'smart_fhir.so', '$libdir/smart_fhir.so'))
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_loads(text) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_loads(text) IS 'Does a list of libraries name this one?';

CREATE FUNCTION smart_internal.doctor_server(app oid[]) RETURNS TABLE (severity text, code text, object text, problem text, remedy text)
LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
  WITH database AS (SELECT d.oid, d.datname::text AS name, smart_internal.doctor_ident(d.datname) AS shown FROM pg_database d WHERE d.datname = current_database()),
  preload AS MATERIALIZED (
    SELECT smart_internal.doctor_setting('shared_preload_libraries') AS shared, smart_internal.doctor_setting('session_preload_libraries') AS session),
  logged AS MATERIALIZED (
    SELECT smart_internal.doctor_setting('log_statement') <> 'none' OR smart_internal.doctor_setting('log_min_duration_statement')::text !~ '^-1' OR smart_internal.doctor_setting('log_min_duration_sample')::text !~ '^-1'
           OR smart_internal.doctor_setting('log_duration') = 'on' AS statements)
  SELECT 'warning', 'preload_missing', d.shown, 'The library is not loaded before the first statement of each session: a token in it can stand in the log, and plans made before are not guarded.',
    smart_internal.doctor_remedy(format('ALTER DATABASE %s SET session_preload_libraries = %s', d.shown,
      coalesce((SELECT string_agg(quote_literal(btrim(x, ' "')), ', ') FROM string_to_table(nullif(p.session, ''), ',') x) || ', ', '') || '''smart_fhir'''), d.name)
  FROM database d, preload p WHERE NOT smart_internal.doctor_loads(p.shared) AND NOT smart_internal.doctor_loads(p.session)
  UNION ALL
  SELECT 'warning', 'preload_missing', smart_internal.doctor_ident(r.rolname), 'The role''s own session_preload_libraries leaves the library out.',
    smart_internal.doctor_remedy(format(CASE WHEN s.setdatabase = 0 THEN 'ALTER ROLE %s RESET session_preload_libraries' ELSE 'ALTER ROLE %s IN DATABASE %s RESET session_preload_libraries' END,
      smart_internal.doctor_ident(r.rolname), d.shown), r.rolname, d.name)
  FROM database d, preload p, pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) c
  WHERE s.setdatabase IN (0, d.oid) AND lower(c) LIKE 'session\_preload\_libraries=%' AND NOT smart_internal.doctor_loads(substr(c, 27)) AND NOT smart_internal.doctor_loads(p.shared)
  UNION ALL
  SELECT 'warning', 'tokens_logged', v.name, format('Statements are logged with their parameters, tokens and secrets among them (%s = %s).', v.name, v.value),
    smart_internal.doctor_remedy(format('ALTER DATABASE %s SET %s = 0', d.shown, v.name), d.name)
  FROM database d, logged l, (SELECT n AS name, smart_internal.doctor_setting(n) AS value FROM unnest(ARRAY['log_parameter_max_length', 'log_parameter_max_length_on_error']) n) v
  WHERE v.value !~ '^0' AND (l.statements OR v.name = 'log_parameter_max_length_on_error')
  UNION ALL
  SELECT 'warning', 'statements_keep_tokens', 'pg_stat_statements.track_utility', 'pg_stat_statements keeps CALL, SET and EXECUTE with their literals: tokens and secrets among them.',
    smart_internal.doctor_remedy(format('ALTER DATABASE %s SET pg_stat_statements.track_utility = off', d.shown), d.name)
  FROM database d
  WHERE EXISTS (SELECT FROM preload p, string_to_table(p.shared, ',') x WHERE btrim(x, ' "') LIKE '%pg_stat_statements%')
    AND coalesce(smart_internal.doctor_setting('pg_stat_statements.track_utility'), 'on') NOT IN ('off', 'false', 'no', '0')
  UNION ALL
  SELECT 'warning', 'statements_keep_tokens', m.shown, 'Through pg_read_all_stats application roles read the statements of other roles.',
    smart_internal.doctor_remedy(format('REVOKE %s FROM %s CASCADE', m.granted, m.shown), m.name)
  FROM (SELECT g.rolname::text AS granted, w.rolname::text AS name, smart_internal.doctor_ident(w.rolname) AS shown, x.member
        FROM pg_auth_members x JOIN pg_roles g ON g.oid = x.roleid JOIN pg_roles w ON w.oid = x.member
        WHERE g.rolname IN ('pg_read_all_stats', 'pg_monitor') AND smart_internal.doctor_app_reaches(app, x.member) AND w.rolname <> 'pg_monitor') m
  UNION ALL
  SELECT 'warning', 'neighbour', e.extname::text, n.problem, n.remedy
  FROM pg_extension e JOIN smart_internal.doctor_neighbours() n ON n.name = e.extname
  UNION ALL
  SELECT 'warning', 'minor_release', format('PostgreSQL %s', split_part(current_setting('server_version'), ' ', 1)),
    format('Before %s.%s faults of row-level security were open that this extension can cover in part only (doc/postgresql-fixes.md).', r.major, r.minor),
    format('Install the newest minor release of PostgreSQL %s, and restart the server.', r.major)
  FROM smart_internal.doctor_minor_releases() r
  WHERE r.major = current_setting('server_version_num')::int / 10000 AND current_setting('server_version_num')::int % 10000 < r.minor
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_server(oid[]) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_server(oid[]) IS 'Findings of smart.doctor() about settings, other extensions and the release of PostgreSQL.';

CREATE FUNCTION smart_internal.doctor_minor_releases() RETURNS TABLE (major int, minor int)
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$ VALUES (15, 20), (16, 16), (17, 12), (18, 7) $$;
REVOKE ALL ON FUNCTION smart_internal.doctor_minor_releases() FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_minor_releases() IS 'The minor release of each major version that fixes the newest known fault of row-level security; doc/postgresql-fixes.md.';

CREATE FUNCTION smart_internal.doctor_neighbours() RETURNS TABLE (name text, problem text, remedy text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  VALUES
    ('pg_qualstats', 'pg_qualstats_example_queries() shows everybody other roles'' statements, literal tokens too, and its counters tell of hidden rows.', 'DROP EXTENSION pg_qualstats'),
    ('pg_repack', 'Run by an owner whom FORCE binds, pg_repack copies only the rows that the owner sees: run it as a superuser.', 'DROP EXTENSION pg_repack'),
    ('mimeo', 'Copies made by an owner whom FORCE binds are empty, without an error.', 'DROP EXTENSION mimeo'),
    ('pg_partman', 'Run by an owner whom FORCE binds, undo_partition() loses rows and run_maintenance() makes nothing; as a superuser, the partitions belong to him.', 'DROP EXTENSION pg_partman'),
    ('periods', 'Its history tables and views have no policies and inherit the grants of the table.', 'DROP EXTENSION periods'),
    ('table_log', 'Its log tables have no policies and inherit the grants of the table.', 'DROP EXTENSION table_log'),
    ('pg_cron', 'Statements with literal tokens are kept in cron.job, in its run details and in the log; its workers ignore session_preload_libraries.', 'DROP EXTENSION pg_cron'),
    ('pglogical', 'table_data_filtered() ignores policies for whoever may use the schema pglogical; what it replicates has no issuers.', 'DROP EXTENSION pglogical'),
    ('powa', 'It copies what pg_stat_statements and pg_qualstats keep, literals too.', 'DROP EXTENSION powa'),
    ('pgextwlist', 'Application roles may drop an extension on its list.', 'DROP EXTENSION pgextwlist')
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_neighbours() FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_neighbours() IS 'Extensions that were seen to break or leak beside protected tables, with what was seen; doc/operations.md has the versions.';
