/* smart.doctor(): what stands over or beside protected tables and shows their rows to others: views, functions, triggers, copies, exports. */

CREATE FUNCTION smart_internal.doctor_over() RETURNS TABLE (relid oid, kind "char", owner oid, base oid, invoker boolean)
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  WITH RECURSIVE over (relid, base) AS (
    SELECT p.relid, p.relid FROM smart_internal.doctor_protected() p
    UNION
    SELECT r.ev_class, o.base
    FROM over o JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = o.relid AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite r ON r.oid = d.objid WHERE r.ev_class <> o.relid)
  SELECT c.oid, c.relkind, c.relowner, o.base,
    EXISTS (SELECT FROM pg_options_to_table(c.reloptions) x WHERE x.option_name = 'security_invoker' AND lower(x.option_value) IN ('true', 'on', 'yes', '1', 't', 'y', 'tr', 'tru', 'ye'))
  FROM over o JOIN pg_class c ON c.oid = o.relid WHERE c.relkind IN ('v', 'm')
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_over() FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_over() IS 'Views and materialized views that read a protected table, through other views too.';

CREATE FUNCTION smart_internal.doctor_body_words(routine oid) RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT DISTINCT lower(w) FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang, regexp_split_to_table(p.prosrc, '[^[:alnum:]_$]+') w
  WHERE p.oid = $1 AND l.lanname NOT IN ('c', 'internal') AND w <> '' AND length(p.prosrc) <= 1000000
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_body_words(oid) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_body_words(oid) IS 'The words in the text of a function body: what a guess at the tables that it reads goes by.';

CREATE FUNCTION smart_internal.doctor_objects(app oid[]) RETURNS TABLE (severity text, code text, object text, problem text, remedy text)
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  WITH protected AS MATERIALIZED (SELECT * FROM smart_internal.doctor_protected()),
  word AS MATERIALIZED (SELECT p.relid, lower(c.relname) AS word FROM protected p JOIN pg_class c ON c.oid = p.relid),
  over AS MATERIALIZED (
    SELECT o.relid, o.kind, o.owner, bool_or(o.invoker) AS invoker, min(o.base) AS base, n.nspname::text AS nsp, c.relname::text AS rel
    FROM smart_internal.doctor_over() o JOIN pg_class c ON c.oid = o.relid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE o.owner = ANY (app) OR EXISTS (SELECT FROM smart_internal.doctor_grants(o.relid) g WHERE smart_internal.doctor_app_reaches(app, g.grantee))
    GROUP BY o.relid, o.kind, o.owner, n.nspname, c.relname),
  definer AS MATERIALIZED (
    SELECT f.oid, f.proowner AS owner, n.nspname::text AS nsp, f.proname::text AS name
    FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace
    WHERE f.prosecdef AND f.oid >= 16384 AND n.nspname NOT IN ('smart', 'smart_internal', 'pg_catalog', 'information_schema')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = f.oid AND d.deptype = 'e')
      AND EXISTS (SELECT FROM aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) a
                  WHERE a.privilege_type = 'EXECUTE' AND a.grantee <> f.proowner AND smart_internal.doctor_app_reaches(app, a.grantee))),
  writer AS MATERIALIZED (
    SELECT g.oid, g.tgrelid, g.tgname::text AS name, g.tgfoid FROM pg_trigger g JOIN protected p ON p.relid = g.tgrelid
    JOIN pg_proc f ON f.oid = g.tgfoid JOIN pg_namespace n ON n.oid = f.pronamespace
    WHERE NOT g.tgisinternal AND g.tgenabled <> 'D' AND g.tgparentid = 0 AND n.nspname NOT IN ('smart', 'smart_internal', 'pg_catalog'))
  SELECT CASE WHEN smart_internal.doctor_unbound(o.owner) THEN 'critical' ELSE 'warning' END, 'view_definer', smart_internal.doctor_relation(o.relid),
    format('It reads the protected table %s with the rights of its owner %s%s, and application roles can read it.', smart_internal.doctor_relation(o.base), smart_internal.doctor_role(o.owner),
           CASE WHEN smart_internal.doctor_unbound(o.owner) THEN ', whom policies do not bind' ELSE '' END),
    smart_internal.doctor_remedy(format('ALTER VIEW %s SET (security_invoker = true)', smart_internal.doctor_relation(o.relid)), o.nsp, o.rel)
  FROM over o WHERE o.kind = 'v' AND NOT o.invoker
  UNION ALL
  SELECT 'critical', 'materialized_view', smart_internal.doctor_relation(o.relid),
    format('It keeps rows of the protected table %s outside the policies, and application roles can read it.', smart_internal.doctor_relation(o.base)),
    coalesce(smart_internal.doctor_revoke(o.relid, 'ALL', app),
             smart_internal.doctor_remedy(format('DROP MATERIALIZED VIEW %s', smart_internal.doctor_relation(o.relid)), o.nsp, o.rel))
  FROM over o WHERE o.kind = 'm'
  UNION ALL
  SELECT CASE WHEN smart_internal.doctor_unbound(d.owner) THEN 'critical' ELSE 'warning' END, 'function_definer', smart_internal.doctor_routine(d.oid),
    format('It runs with the rights of %s, application roles may call it, and its text names the protected table %s (a guess by words).', smart_internal.doctor_role(d.owner),
           (SELECT smart_internal.doctor_relation(min(w.relid)) FROM word w WHERE w.word IN (SELECT smart_internal.doctor_body_words(d.oid)))),
    smart_internal.doctor_remedy(format('ALTER ROUTINE %s SECURITY INVOKER', smart_internal.doctor_routine(d.oid)), d.nsp, d.name)
  FROM definer d WHERE EXISTS (SELECT FROM word w WHERE w.word IN (SELECT smart_internal.doctor_body_words(d.oid)))
  UNION ALL
  SELECT CASE WHEN smart_internal.doctor_unbound(d.owner) THEN 'critical' ELSE 'warning' END, 'function_definer', smart_internal.doctor_routine(d.oid),
    format('It runs with the rights of %s, application roles may call it, and it reads the protected table %s.', smart_internal.doctor_role(d.owner), smart_internal.doctor_relation(min(p.relid))),
    smart_internal.doctor_remedy(format('ALTER ROUTINE %s SECURITY INVOKER', smart_internal.doctor_routine(d.oid)), d.nsp, d.name)
  FROM definer d JOIN pg_depend e ON e.classid = 'pg_proc'::regclass AND e.objid = d.oid AND e.refclassid = 'pg_class'::regclass
  JOIN protected p ON p.relid = e.refobjid
  WHERE NOT EXISTS (SELECT FROM word w WHERE w.word IN (SELECT smart_internal.doctor_body_words(d.oid)))
  GROUP BY d.oid, d.owner, d.nsp, d.name
  UNION ALL
  SELECT 'critical', 'trigger_copies', smart_internal.doctor_relation(c.oid),
    format('The trigger %s of the protected table %s names this table in its function %s (a guess by words), it has no policies, and application roles can read it.',
           smart_internal.doctor_ident(w.name), smart_internal.doctor_relation(w.tgrelid), smart_internal.doctor_routine(w.tgfoid)),
    coalesce(smart_internal.doctor_revoke(c.oid, 'ALL', app),
             smart_internal.doctor_remedy(format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', smart_internal.doctor_relation(c.oid)), c.relname, n.nspname))
  FROM writer w JOIN LATERAL (SELECT smart_internal.doctor_body_words(w.tgfoid) AS word) b ON true
  JOIN pg_class c ON lower(c.relname) = b.word AND c.relkind IN ('r', 'p', 'f', 'm') AND NOT c.relrowsecurity AND c.oid >= 16384
  JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'smart', 'smart_internal')
  WHERE c.oid NOT IN (SELECT p.relid FROM protected p)
    AND (c.relowner = ANY (app) OR EXISTS (SELECT FROM smart_internal.doctor_grants(c.oid) g WHERE g.privilege = 'SELECT' AND smart_internal.doctor_app_reaches(app, g.grantee)))
  UNION ALL
  SELECT 'info', 'publication', smart_internal.doctor_ident(b.pubname),
    format('It sends rows of protected tables to subscribers, without policies: %s.', coalesce(string_agg(smart_internal.doctor_relation(p.relid), ', ' ORDER BY p.relid), 'all tables')),
    smart_internal.doctor_remedy(CASE WHEN b.puballtables OR EXISTS (SELECT FROM pg_publication_namespace x WHERE x.pnpubid = b.oid)
      THEN format('DROP PUBLICATION %s', smart_internal.doctor_ident(b.pubname))
      ELSE format('ALTER PUBLICATION %s DROP TABLE %s', smart_internal.doctor_ident(b.pubname), string_agg(smart_internal.doctor_relation(p.relid), ', ' ORDER BY p.relid)) END,
      VARIADIC array_agg(n.nspname || c.relname) || b.pubname::text)
  FROM pg_publication b JOIN protected p
    ON b.puballtables OR EXISTS (SELECT FROM pg_publication_rel x WHERE x.prpubid = b.oid AND x.prrelid = p.relid)
    OR EXISTS (SELECT FROM pg_publication_namespace x JOIN pg_class y ON y.relnamespace = x.pnnspid WHERE x.pnpubid = b.oid AND y.oid = p.relid)
  JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace
  GROUP BY b.oid, b.pubname, b.puballtables
  UNION ALL
  SELECT 'info', 'replication_slot', smart_internal.doctor_ident(s.slot_name), format('Whoever reads this logical slot (plugin %s) reads all changes of this database, without policies.', smart_internal.doctor_ident(s.plugin)),
    smart_internal.doctor_remedy(format('SELECT pg_catalog.pg_drop_replication_slot(%L)', s.slot_name), s.slot_name)
  FROM pg_replication_slots s WHERE s.slot_type = 'logical' AND s.database = current_database() AND EXISTS (SELECT FROM protected)
  UNION ALL
  SELECT 'warning', 'event_trigger_off', smart_internal.doctor_ident(e.evtname), 'Partitions that are made or attached meanwhile get no policies.',
    format('ALTER EVENT TRIGGER %s ENABLE', quote_ident(e.evtname))
  FROM pg_event_trigger e WHERE e.evtname = 'smart_fhir_partitions' AND e.evtenabled NOT IN ('O', 'A')
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_objects(oid[]) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_objects(oid[]) IS 'Findings of smart.doctor() about views, functions, triggers and what takes rows out of the database.';
