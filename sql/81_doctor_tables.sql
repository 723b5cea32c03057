/* smart.doctor(): the protected tables themselves, their partitions, keys and rights, and tables that look like FHIR. */

CREATE FUNCTION smart_internal.doctor_tables(app oid[]) RETURNS TABLE (severity text, code text, object text, problem text, remedy text)
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  WITH t AS MATERIALIZED (
    SELECT p.relid, p.owner, p.kind, p.policies, smart_internal.doctor_relation(p.relid) AS shown, n.nspname::text AS nsp, c.relname::text AS rel,
           c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced, c.relispartition AS is_partition,
           r.rolsuper, r.rolbypassrls, r.rolcanlogin, r.rolname::text AS owner_name
    FROM smart_internal.doctor_protected() p JOIN pg_class c ON c.oid = p.relid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_roles r ON r.oid = p.owner)
  SELECT CASE WHEN t.enabled THEN 'warning' ELSE 'critical' END, 'force_missing', t.shown,
    CASE WHEN t.enabled THEN 'Row-level security is not forced on the owner.' ELSE 'Row-level security is disabled: the policies are not asked.' END,
    smart_internal.doctor_remedy(format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', t.shown), t.nsp, t.rel)
  FROM t WHERE NOT (t.enabled AND t.forced)
  UNION ALL
  SELECT 'warning', 'owner_without_bypassrls', t.shown,
    format('Its owner %s is bound by FORCE ROW LEVEL SECURITY: migrations, dumps and maintenance tools that run as the owner see no rows, and say nothing.', smart_internal.doctor_role(t.owner)),
    smart_internal.doctor_remedy(format('ALTER ROLE %s BYPASSRLS', smart_internal.doctor_role(t.owner)), t.owner_name)
  FROM t WHERE t.forced AND NOT t.rolsuper AND NOT t.rolbypassrls AND NOT t.rolcanlogin
  UNION ALL
  SELECT 'warning', 'policy_missing', t.shown, format('It lacks the policy %s.', string_agg(w.name, ', ' ORDER BY w.name)),
    CASE WHEN bool_or(w.name = 'smart_select') THEN 'The SELECT policy, which says how the table is protected, is gone: call smart.protect() with its arguments again.'
         ELSE smart_internal.doctor_again(t.relid) END
  FROM t, unnest(ARRAY['smart_select', 'smart_insert', 'smart_update', 'smart_delete']) w (name)
  WHERE w.name <> ALL (t.policies)
  GROUP BY t.relid, t.shown
  UNION ALL
  SELECT 'critical', 'policy_foreign', t.shown, format('The permissive policy %s is OR-ed with those of smart.protect().', smart_internal.doctor_ident(p.polname)),
    smart_internal.doctor_remedy(format('DROP POLICY %s ON %s', smart_internal.doctor_ident(p.polname), t.shown), t.nsp, t.rel, p.polname)
  FROM t JOIN pg_policy p ON p.polrelid = t.relid
  WHERE p.polpermissive AND p.polname <> ALL (t.policies)
  UNION ALL
  SELECT 'warning', 'index_invalid', smart_internal.doctor_relation(i.indexrelid), 'A build of this index was broken off: no plan uses it.',
    smart_internal.doctor_remedy(format('REINDEX INDEX %s', smart_internal.doctor_relation(i.indexrelid)), c.relname, t.nsp)
  FROM t JOIN pg_index i ON i.indrelid = t.relid JOIN pg_class c ON c.oid = i.indexrelid
  WHERE NOT i.indisvalid AND c.relkind = 'i' AND c.relname ~ '_smart_(patients|irregular|followed)[0-9]*$'
  UNION ALL
  SELECT 'warning', 'index_missing', t.shown, format('The index that policies need is missing: %s.', string_agg(m.suffix, ', ' ORDER BY m.suffix)),
    smart_internal.doctor_again(t.relid)
  FROM t, LATERAL smart_internal.missing_indexes(t.relid) m
  WHERE NOT t.is_partition AND m.suffix IN ('patients', 'followed')
    AND NOT EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                    WHERE i.indrelid = t.relid AND NOT i.indisvalid AND c.relname ~ ('_smart_' || m.suffix || '[0-9]*$'))
  GROUP BY t.relid, t.shown
  UNION ALL
  SELECT 'warning', 'index_revision', t.shown, 'Policies and indexes were made for another revision of the FHIR definitions.', smart_internal.doctor_again(t.relid)
  FROM t, LATERAL smart_internal.policy_info(t.relid::regclass) i
  WHERE i.options IS NOT NULL AND i.options -> 'revision' IS DISTINCT FROM to_jsonb(smart.fhir_revision())
  UNION ALL
  SELECT 'critical', lower(g.privilege) || '_granted', t.shown,
    format('Application roles hold %s, which row-level security does not cover, through %s.', g.privilege, string_agg(smart_internal.doctor_role(g.grantee), ', ' ORDER BY g.grantee)),
    smart_internal.doctor_revoke(t.relid, g.privilege, app)
  FROM t, LATERAL smart_internal.doctor_grants(t.relid) g
  WHERE g.privilege IN ('TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN') AND smart_internal.doctor_app_reaches(app, g.grantee)
  GROUP BY t.relid, t.shown, g.privilege
  UNION ALL
  SELECT CASE WHEN i.inhdetachpending THEN 'warning' ELSE 'critical' END,
    CASE WHEN c.relispartition THEN 'partition_unprotected' ELSE 'child_unprotected' END, smart_internal.doctor_relation(c.oid),
    format('It is a %s of the protected table %s, has no policies, and application roles can read it.', CASE WHEN c.relispartition THEN 'partition' ELSE 'child by inheritance' END, t.shown),
    smart_internal.doctor_revoke(c.oid, 'ALL', app)
  FROM t JOIN pg_inherits i ON i.inhparent = t.relid JOIN pg_class c ON c.oid = i.inhrelid
  WHERE c.relkind IN ('r', 'p', 'f') AND c.oid NOT IN (SELECT x.relid FROM t x)
    AND EXISTS (SELECT FROM smart_internal.doctor_grants(c.oid) g WHERE smart_internal.doctor_app_reaches(app, g.grantee))
  UNION ALL
  SELECT 'warning', 'cascade_across', smart_internal.doctor_relation(f.conrelid),
    format('The foreign key %s changes rows of this table when rows of %s go or change: such actions pass the policies.', smart_internal.doctor_ident(f.conname), smart_internal.doctor_relation(f.confrelid)),
    smart_internal.doctor_remedy(format('ALTER TABLE %s DROP CONSTRAINT %s, ADD CONSTRAINT %s FOREIGN KEY (%s) REFERENCES %s (%s)',
      t.shown, smart_internal.doctor_ident(f.conname), smart_internal.doctor_ident(f.conname),
      (SELECT string_agg(smart_internal.doctor_ident(a.attname), ', ' ORDER BY k.n) FROM unnest(f.conkey) WITH ORDINALITY k (num, n) JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.num),
      smart_internal.doctor_relation(f.confrelid),
      (SELECT string_agg(smart_internal.doctor_ident(a.attname), ', ' ORDER BY k.n) FROM unnest(f.confkey) WITH ORDINALITY k (num, n) JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.num)),
      VARIADIC ARRAY[t.nsp, t.rel, f.conname::text, (SELECT c.relname || n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = f.confrelid)]
        || (SELECT array_agg(a.attname::text) FROM pg_attribute a WHERE (a.attrelid = f.conrelid AND a.attnum = ANY (f.conkey)) OR (a.attrelid = f.confrelid AND a.attnum = ANY (f.confkey))))
  FROM t JOIN pg_constraint f ON f.conrelid = t.relid
  WHERE f.contype = 'f' AND f.conparentid = 0 AND (f.confdeltype IN ('c', 'n', 'd') OR f.confupdtype IN ('c', 'n', 'd'))
  UNION ALL
  SELECT 'warning', 'function_path', smart_internal.doctor_routine(f.oid),
    format('Policies call it for %s. It sets a search_path that does not end with pg_temp, which PostgreSQL then searches first: what a session puts there stands in front of the tables that it names.',
           string_agg(DISTINCT f.shown, ', ')),
    -- a value may hold any text: only plain names are pasted
    CASE WHEN f.path ~ '^("?[A-Za-z_$][A-Za-z0-9_$]*"?)(, "?[A-Za-z_$][A-Za-z0-9_$]*"?)*$' THEN
      smart_internal.doctor_remedy(format('ALTER ROUTINE %s SET search_path = %s', smart_internal.doctor_routine(f.oid),
        array_to_string(array_remove(array_remove(string_to_array(f.path, ', '), 'pg_temp'), '"pg_temp"') || 'pg_temp'::text, ', ')), f.nspname, f.proname)
    ELSE 'Put pg_temp at the end of the search_path that it sets, by hand.' END
  FROM (SELECT r.oid, r.proname::text, n.nspname::text, t.shown, substr(g.setting, length('search_path=') + 1) AS path
        FROM t JOIN pg_policy p ON p.polrelid = t.relid AND p.polname = ANY (t.policies)
        JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid AND d.refclassid = 'pg_proc'::regclass
        JOIN pg_proc r ON r.oid = d.refobjid JOIN pg_namespace n ON n.oid = r.pronamespace, unnest(r.proconfig) g (setting)
        WHERE n.nspname NOT IN ('smart', 'smart_internal') AND g.setting LIKE 'search\_path=%') f
  WHERE f.path !~ '(^|, )"?pg_temp"?$'
  GROUP BY f.oid, f.proname, f.nspname, f.path
  UNION ALL
  SELECT 'warning', 'unique_tells', smart_internal.doctor_relation(i.indexrelid),
    format('A unique key of %s over other columns than the id: that a value is refused tells that a hidden row has it.', t.shown),
    smart_internal.doctor_remedy(coalesce((SELECT format('ALTER TABLE %s DROP CONSTRAINT %s', t.shown, smart_internal.doctor_ident(k.conname)) FROM pg_constraint k
                                           WHERE k.conindid = i.indexrelid AND k.conrelid = t.relid AND k.contype IN ('p', 'u', 'x')),
                                          format('DROP INDEX %s', smart_internal.doctor_relation(i.indexrelid))), c.relname, t.nsp, t.rel)
  FROM t JOIN pg_index i ON i.indrelid = t.relid JOIN pg_class c ON c.oid = i.indexrelid
  WHERE (i.indisunique OR i.indisexclusion) AND NOT c.relispartition
    -- a key with the id in it tells no more than the id does
    AND NOT smart_internal.doctor_key_has_id(t.relid, i.indkey::int2[], i.indnkeyatts)
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_tables(oid[]) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_tables(oid[]) IS 'Findings of smart.doctor() about protected tables.';

CREATE FUNCTION smart_internal.doctor_key_has_id(relation oid, key int2[], n int) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (
    SELECT FROM unnest(key[0:n - 1]) k (num) JOIN pg_attribute a ON a.attrelid = relation AND a.attnum = k.num
    JOIN smart_internal.policy_columns(relation) p ON p.argument = 'id' AND p.num = a.attnum)
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_key_has_id(oid, int2[], int) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_key_has_id(oid, int2[], int) IS 'Is a column that the policies take the id from among those of a key?';

CREATE FUNCTION smart_internal.policy_columns(relation oid, OUT argument text, OUT num int2) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE ROWS 4 AS 'MODULE_PATHNAME', 'smart_policy_columns';
REVOKE ALL ON FUNCTION smart_internal.policy_columns(oid) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.policy_columns(oid) IS
  'The columns that the SELECT policy of smart.protect() reads, by argument: patients, resource, type, id. Read from the stored tree; locks nothing.';

CREATE FUNCTION smart_internal.sample_resource(relation oid, OUT looked boolean, OUT num int2, OUT resource_type text, OUT has_id boolean)
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_sample_resource';
REVOKE ALL ON FUNCTION smart_internal.sample_resource(oid) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.sample_resource(oid) IS
  'Does a plain table hold FHIR resources? Looks at the json, jsonb and text columns of the first rows, under a lock that it does not wait for (looked: false when it could not be had). num: the column; resource_type: of its first resource that is a known type. Runs no expression, policy or rule of the table.';

CREATE FUNCTION smart_internal.doctor_unprotected(app oid[]) RETURNS TABLE (severity text, code text, object text, problem text, remedy text)
LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
  WITH protected AS MATERIALIZED (SELECT p.relid FROM smart_internal.doctor_protected() p),
  candidate AS MATERIALIZED (
    SELECT c.oid AS relid, n.nspname::text AS nsp, c.relname::text AS rel
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND c.oid >= 16384 AND n.nspname !~ '^pg_'
      AND n.nspname NOT IN ('information_schema', 'smart', 'smart_internal') AND NOT c.relrowsecurity
      AND (c.relacl IS NOT NULL OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL) OR c.relowner = ANY (app))
      AND (c.relowner = ANY (app) OR EXISTS (SELECT FROM smart_internal.doctor_grants(c.oid) g
                                             WHERE g.privilege = 'SELECT' AND smart_internal.doctor_app_reaches(app, g.grantee)))
      AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                  AND a.atttypid IN ('json'::regtype, 'jsonb'::regtype, 'text'::regtype))
      AND c.oid NOT IN (SELECT p.relid FROM protected p)),
  sampled AS MATERIALIZED (SELECT c.*, s.* FROM candidate c, LATERAL smart_internal.sample_resource(c.relid) s)
  SELECT 'critical', 'fhir_table_unprotected', smart_internal.doctor_relation(s.relid),
    format('Its rows look like FHIR resources (%s in column %s); it has no policies, and application roles can read it.', s.resource_type, smart_internal.doctor_ident(a.attname)),
    CASE WHEN s.has_id AND smart_internal.doctor_trusts(s.relid) AND EXISTS (SELECT FROM pg_attribute i WHERE i.attrelid = s.relid AND i.attname = 'id' AND NOT i.attisdropped)
         THEN smart_internal.doctor_remedy(format('SELECT smart.protect(%L, %L, resource => %L)', smart_internal.doctor_relation(s.relid), s.resource_type, a.attname), s.nsp, s.rel, a.attname)
         ELSE coalesce(smart_internal.doctor_revoke(s.relid, 'ALL', app),
                       smart_internal.doctor_remedy(format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', smart_internal.doctor_relation(s.relid)), s.nsp, s.rel)) END
  FROM sampled s JOIN pg_attribute a ON a.attrelid = s.relid AND a.attnum = s.num
  WHERE s.looked AND s.resource_type IS NOT NULL
  UNION ALL
  SELECT 'info', 'not_looked_at', smart_internal.doctor_relation(s.relid), 'Somebody holds a lock on it: whether its rows are FHIR resources was not looked at.',
    'Call smart.doctor() again later.'
  FROM sampled s WHERE NOT s.looked
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_unprotected(oid[]) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_unprotected(oid[]) IS 'Findings of smart.doctor() about tables that hold FHIR resources and are not protected.';
