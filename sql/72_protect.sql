/* smart.protect(): real policies on a user's table. SECURITY INVOKER throughout: the caller must own it. */

CREATE FUNCTION smart_internal.protect_error(state text, message text, detail text DEFAULT NULL, hint text DEFAULT NULL)
RETURNS void LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = state, MESSAGE = message, DETAIL = coalesce(detail, ''), HINT = coalesce(hint, ''),
    SCHEMA = 'smart', CONSTRAINT = 'protect';
END
$$;
COMMENT ON FUNCTION smart_internal.protect_error(text, text, text, text) IS 'Raises an error of smart.protect().';

CREATE FUNCTION smart_internal.column_or_expression(relation regclass, given text) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM pg_attribute a
             WHERE a.attrelid = relation AND a.attname = given AND a.attnum > 0 AND NOT a.attisdropped) THEN
    RETURN quote_ident(given);
  END IF;
  RETURN '(' || given || ')';
END
$$;
COMMENT ON FUNCTION smart_internal.column_or_expression(regclass, text) IS
  'The quoted column of this name, else the text as an SQL expression in parentheses.';

CREATE FUNCTION smart_internal.expression_type(relation regclass, expression text, base boolean DEFAULT true) RETURNS regtype
LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE result regtype;
BEGIN
  EXECUTE format('SELECT pg_catalog.pg_typeof(s.x) FROM (VALUES (1)) v LEFT JOIN (SELECT %s AS x FROM %s LIMIT 0) s ON true',
                 expression, relation) INTO result;
  RETURN (SELECT CASE WHEN base AND t.typtype = 'd' THEN t.typbasetype::regtype ELSE result END FROM pg_type t WHERE t.oid = result);
END
$$;
COMMENT ON FUNCTION smart_internal.expression_type(regclass, text, boolean) IS 'The type of an expression over a table, of a domain the base type; no row is read.';

CREATE FUNCTION smart_internal.protect_hazards(relation regclass) RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  WITH part AS (
    SELECT c.oid, c.relowner, c.relacl, c.relkind, CASE WHEN c.oid <> relation THEN ' on partition ' || c.oid::regclass END AS place
    FROM pg_class c WHERE c.oid = relation OR c.oid IN (SELECT t.relid FROM pg_partition_tree(relation) t))
  SELECT format('role %s holds %s%s', CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END,
                string_agg(DISTINCT acl.privilege_type, ', ' ORDER BY acl.privilege_type), c.place)
  FROM part c,
       LATERAL (SELECT a.grantee, a.privilege_type FROM aclexplode(c.relacl) a
                UNION ALL
                SELECT a.grantee, a.privilege_type FROM pg_attribute t, aclexplode(t.attacl) a
                WHERE t.attrelid = c.oid AND NOT t.attisdropped) acl
  WHERE acl.grantee <> c.relowner
    AND acl.privilege_type IN ('TRUNCATE', 'TRIGGER', 'REFERENCES')
  GROUP BY acl.grantee, c.place
  UNION ALL
  SELECT format('permissive policy "%s"%s would be OR-ed in', p.polname, c.place)
  FROM pg_policy p JOIN part c ON c.oid = p.polrelid
  WHERE p.polpermissive AND NOT smart_internal.is_own_policy(p.oid)
  UNION ALL
  SELECT format('partition %s is a foreign table, which row-level security cannot cover', c.oid::regclass)
  FROM part c WHERE c.relkind = 'f'
  ORDER BY 1
$$;
COMMENT ON FUNCTION smart_internal.protect_hazards(regclass) IS
  'Why smart.protect() would refuse a table unless forced: rights that row-level security does not cover, other permissive policies.';

CREATE FUNCTION smart_internal.is_own_policy(policy oid) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM pg_policy p WHERE p.oid = $1
                 AND p.polname IN ('smart_select', 'smart_insert', 'smart_update', 'smart_delete')
                 AND (p.polqual IS NOT NULL OR p.polwithcheck IS NOT NULL)
                 AND coalesce(smart_internal.is_policy_call(p.polqual), true) AND coalesce(smart_internal.is_policy_call(p.polwithcheck), true))
$$;
COMMENT ON FUNCTION smart_internal.is_own_policy(oid) IS 'Is this a policy that smart.protect() wrote?';

CREATE FUNCTION smart_internal.write_policies(relation regclass, call text) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  policy text;
  min_messages text := current_setting('client_min_messages');
BEGIN
  PERFORM set_config('client_min_messages', 'warning', true);
  FOREACH policy IN ARRAY ARRAY['smart_select', 'smart_insert', 'smart_update', 'smart_delete'] LOOP
    EXECUTE format('DROP POLICY IF EXISTS %I ON %s', policy, relation);
  END LOOP;
  EXECUTE format('CREATE POLICY smart_select ON %s FOR SELECT USING (%s)', relation, format(call, 'SELECT'));
  EXECUTE format('CREATE POLICY smart_insert ON %s FOR INSERT WITH CHECK (%s)', relation, format(call, 'INSERT CHECK'));
  EXECUTE format('CREATE POLICY smart_update ON %s FOR UPDATE USING (%s) WITH CHECK (%s)', relation,
                 format(call, 'UPDATE'), format(call, 'UPDATE CHECK'));
  EXECUTE format('CREATE POLICY smart_delete ON %s FOR DELETE USING (%s)', relation, format(call, 'DELETE'));
  EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', relation);
  EXECUTE format('DROP TRIGGER IF EXISTS smart_refuse_truncate ON %s', relation);
  EXECUTE format('CREATE TRIGGER smart_refuse_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION smart_internal.refuse_truncate()', relation);
  EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER smart_refuse_truncate', relation);
  PERFORM set_config('client_min_messages', min_messages, true);
END
$$;
COMMENT ON FUNCTION smart_internal.write_policies(regclass, text) IS
  'Writes the four policies and the TRUNCATE trigger of a table; call is a format() pattern whose %L is the command.';

CREATE FUNCTION smart.protect(
  relation regclass, resource_type text DEFAULT NULL, resource text DEFAULT 'resource', patients text DEFAULT NULL,
  type text DEFAULT NULL, id text DEFAULT 'id', shared boolean DEFAULT NULL, compartment text DEFAULT NULL,
  fhir_version text DEFAULT 'R4', base_url text DEFAULT NULL, follow text DEFAULT NULL, index boolean DEFAULT true,
  force boolean DEFAULT false, order_by text DEFAULT NULL) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  kind "char";
  owner oid;
  hazards text;
  resource_sql text;
  resource_regtype regtype;
  patients_sql text;
  patients_regtype regtype;
  type_sql text;
  id_sql text := 'NULL::pg_catalog.text';
  keys_sql text;
  options jsonb;
  call text;
  part regclass;
  one_key boolean;
  key_function text;
  order_sql text;
  wanted record;
  result text;
  done text[] := '{}';
BEGIN
  SELECT c.relkind, c.relowner INTO kind, owner FROM pg_class c WHERE c.oid = relation;
  IF relation IS NULL OR kind IS NULL THEN
    PERFORM smart_internal.protect_error('22023', 'invalid value for parameter "relation"');
  ELSIF kind NOT IN ('r', 'p') THEN
    PERFORM smart_internal.protect_error('42809', format('"%s" is not a table', relation), NULL,
      'Row-level security exists on tables; give a view security_invoker = true instead.');
  ELSIF NOT pg_has_role(owner, 'USAGE') THEN
    PERFORM smart_internal.protect_error('42501', format('must be owner of table %s', relation));
  END IF;
  fhir_version := coalesce(fhir_version, 'R4');
  compartment := coalesce(compartment, smart_internal.default_compartment());
  IF compartment NOT IN ('subject', 'full') THEN
    PERFORM smart_internal.protect_error('22023', 'invalid value for parameter "compartment"', NULL, 'Valid values are subject and full.');
  ELSIF resource_type IS NULL AND type IS NULL THEN
    PERFORM smart_internal.protect_error('22023', 'a table needs a resource type', NULL,
      'Pass resource_type for a table of one type, or type, the column that tells which.');
  ELSIF resource_type IS NOT NULL AND NOT smart_internal.is_fhir_type(resource_type, fhir_version) THEN
    PERFORM smart_internal.protect_error('22023', 'invalid value for parameter "resource_type"',
      format('"%s" is not a resource type of FHIR %s.', resource_type, fhir_version));
  ELSIF follow IS NOT NULL AND (patients IS NOT NULL OR follow !~ '^[a-z][A-Za-z0-9]{0,63}(\.[a-z][A-Za-z0-9]{0,63}){0,3}$') THEN
    PERFORM smart_internal.protect_error('22023', 'invalid value for parameter "follow"', NULL,
      'Give the path of an element with References, such as target or entity.what, and no patients beside it.');
  ELSIF base_url IS NOT NULL AND base_url !~ '^https?://[^/]' THEN
    PERFORM smart_internal.protect_error('22023', 'invalid value for parameter "base_url"', NULL, 'Give an absolute http or https URL.');
  END IF;

  SELECT string_agg(h, '; ') INTO hazards FROM smart_internal.protect_hazards(relation) h;
  IF hazards IS NOT NULL AND NOT coalesce(force, false) THEN
    PERFORM smart_internal.protect_error('55000', format('cannot protect table %s', relation), initcap(left(hazards, 1)) || substr(hazards, 2) || '.',
      'Revoke these rights and drop these policies, or pass force => true.');
  END IF;

  resource_sql := smart_internal.column_or_expression(relation, coalesce(resource, 'resource'));
  resource_regtype := smart_internal.expression_type(relation, resource_sql);
  IF resource_regtype IN ('json'::regtype, 'text'::regtype, 'varchar'::regtype) THEN
    resource_sql := format('smart.resource_json((%s)::pg_catalog.text)', resource_sql);
  ELSIF resource_regtype <> 'jsonb'::regtype THEN
    PERFORM smart_internal.protect_error('22023', 'invalid value for parameter "resource"',
      format('It is of type %s.', resource_regtype), 'It must be jsonb, json or text.');
  END IF;
  type_sql := CASE WHEN type IS NULL THEN format('%L::pg_catalog.text', resource_type)
              ELSE format('(%s)::pg_catalog.text', smart_internal.column_or_expression(relation, type)) END;
  -- the default id may be missing: then the JSON's own id counts
  IF id IS NOT NULL AND (id <> 'id' OR smart_internal.column_or_expression(relation, id) = 'id') THEN
    id_sql := format('(%s)::pg_catalog.text', smart_internal.column_or_expression(relation, id));
  END IF;
  base_url := regexp_replace(base_url, '/$', '');
  IF follow IS NOT NULL THEN
    IF NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = 'smart_patient' AND NOT a.attisdropped) THEN
      EXECUTE format('ALTER TABLE %s ADD COLUMN smart_patient pg_catalog.text', relation);
    END IF;
    patients := 'smart_patient';
  END IF;
  IF patients IS NULL THEN
    -- one key a row where the standard allows one patient: an index on it keeps an order, and is small
    one_key := compartment = 'subject' AND resource_type IS NOT NULL AND smart_internal.has_one_subject(resource_type, fhir_version);
    key_function := CASE WHEN one_key THEN 'row_patient' ELSE 'row_patients' END;
    keys_sql := format('smart_internal.%s(%s, %s, %s, %L::pg_catalog.text, %L::pg_catalog.text, %L::pg_catalog.text, %s)',
      key_function, resource_sql, type_sql, id_sql, compartment, fhir_version, base_url, smart.fhir_revision());
  ELSE
    keys_sql := smart_internal.column_or_expression(relation, patients);
    patients_regtype := smart_internal.expression_type(relation, keys_sql);
    IF patients_regtype NOT IN ('text'::regtype, 'varchar'::regtype, 'uuid'::regtype,
                                'text[]'::regtype, 'varchar[]'::regtype, 'uuid[]'::regtype) THEN
      PERFORM smart_internal.protect_error('22023', 'invalid value for parameter "patients"',
        format('It is of type %s.', patients_regtype), 'It must be text or uuid, or an array of them.');
    END IF;
    one_key := patients_regtype::text NOT LIKE '%[]';
    -- varchar and domains: only text and uuid can be compared in the index
    IF smart_internal.expression_type(relation, keys_sql, false) NOT IN ('text'::regtype, 'uuid'::regtype, 'text[]'::regtype, 'uuid[]'::regtype) THEN
      keys_sql := format('(%s)::pg_catalog.%s', keys_sql, replace(patients_regtype::text, 'character varying', 'text'));
    END IF;
  END IF;
  IF order_by IS NOT NULL THEN
    order_sql := smart_internal.column_or_expression(relation, order_by);
    PERFORM smart_internal.expression_type(relation, order_sql);
    IF NOT one_key THEN
      PERFORM smart_internal.protect_error('22023', 'invalid value for parameter "order_by"', 'The rows of this table have several patients.',
        'An order can stand beside one key a row only.');
    END IF;
  END IF;
  options := jsonb_strip_nulls(jsonb_build_object(
    'compartment', compartment, 'fhir_version', fhir_version, 'base_url', base_url,
    'patients', patients IS NOT NULL, 'revision', smart.fhir_revision(),
    'shared', coalesce(shared, smart_internal.type_is_shared(resource_type)),
    'shared_types', CASE WHEN resource_type IS NULL AND shared IS NULL THEN to_jsonb(smart_internal.shared_types()) END,
    'follow', follow, 'key', CASE WHEN one_key THEN 'one' ELSE 'many' END, 'order_by', order_sql,
    'patients_form', CASE WHEN patients_regtype IN ('text'::regtype, 'varchar'::regtype) THEN smart_internal.patients_form(relation, keys_sql) END));
  call := format('smart_internal.row_policy(%%L::pg_catalog.text, %s, %s, %s, %s, %L::pg_catalog.jsonb)',
                         replace(keys_sql, '%', '%%'), replace(resource_sql, '%', '%%'), replace(type_sql, '%', '%%'),
                         replace(id_sql, '%', '%%'), replace(options::text, '%', '%%'));

  FOR part IN SELECT x.relid FROM smart_internal.table_and_partitions(relation) x LOOP
    PERFORM smart_internal.write_policies(part, call);
    done := done || part::text;
  END LOOP;

  PERFORM smart_internal.watch_followed(owner);
  FOR wanted IN SELECT * FROM smart_internal.missing_indexes(relation) LOOP
    IF coalesce(index, true) THEN
      done := done || format('index %s', smart_internal.make_index(relation, wanted.suffix, wanted.definition));
    ELSIF wanted.suffix = 'patients' THEN
      SELECT string_agg(x, E'\n') INTO result FROM smart_internal.concurrent_index(relation, wanted.suffix, wanted.definition) x;
    END IF;
  END LOOP;
  IF follow IS NOT NULL AND coalesce(index, true) THEN
    PERFORM smart.refresh_followed(relation);
  END IF;
  RAISE NOTICE 'protected %', array_to_string(done, ', ');
  IF follow IS NOT NULL AND NOT coalesce(index, true) THEN
    RAISE NOTICE 'rows that % already has belong to nobody: run smart.refresh_followed(%)', relation, quote_literal(relation::text);
  END IF;
  IF NOT coalesce(index, true) AND EXISTS (SELECT FROM smart_internal.missing_indexes(relation)) THEN
    RAISE NOTICE 'indexes of % are missing: run what smart.index_statements(%) returns', relation, quote_literal(relation::text);
  END IF;
  IF hazards IS NOT NULL THEN
    RAISE WARNING 'table % is protected in spite of: %', relation, hazards;
  END IF;
  RETURN result;
END
$$;
COMMENT ON FUNCTION smart.protect IS
  'Puts a table of FHIR resources under row-level security: four ordinary policies, FORCE ROW LEVEL SECURITY, an index on the rows'' patients, a trigger against TRUNCATE; partitions too. Idempotent; the caller must own the table. Returns NULL, or with index => false the CREATE INDEX CONCURRENTLY statements to run. Errors: 22023 parameter, 42501 owner, 42809 no table, 55000 while other roles or policies would go round it (force => true overrides). doc/reference.md describes the parameters.';

CREATE FUNCTION smart_internal.table_and_partitions(relation regclass, OUT relid regclass) RETURNS SETOF regclass
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT c.oid::regclass
  FROM pg_class c LEFT JOIN pg_partition_tree(relation) t ON t.relid = c.oid
  WHERE (c.oid = relation OR t.relid IS NOT NULL) AND c.relkind <> 'f'
  ORDER BY coalesce(t.level, 0), c.oid
$$;
COMMENT ON FUNCTION smart_internal.table_and_partitions(regclass) IS
  'The table, then its partitions, the upper ones first; without foreign tables.';

CREATE FUNCTION smart.unprotect(relation regclass) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  owner oid;
  part regclass;
  policy text;
  schema name;
  index_name name;
  follows boolean;
  min_messages text := current_setting('client_min_messages');
BEGIN
  SELECT c.relowner INTO owner FROM pg_class c WHERE c.oid = relation;
  IF owner IS NULL THEN
    PERFORM smart_internal.protect_error('22023', 'invalid value for parameter "relation"');
  ELSIF NOT pg_has_role(owner, 'USAGE') THEN
    PERFORM smart_internal.protect_error('42501', format('must be owner of table %s', relation));
  ELSIF NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = relation AND smart_internal.is_own_policy(p.oid)) THEN
    PERFORM smart_internal.protect_error('55000', format('relation %s is not protected', relation));
  ELSIF EXISTS (SELECT FROM pg_partition_ancestors(relation) a JOIN pg_policy p ON p.polrelid = a.relid
                WHERE a.relid <> relation AND smart_internal.is_own_policy(p.oid)) THEN
    PERFORM smart_internal.protect_error('55000', format('%s is a partition of a protected table', relation), NULL,
      'Detach it first, or unprotect the partitioned table.');
  END IF;
  PERFORM set_config('client_min_messages', 'warning', true);
  follows := (SELECT i.options ? 'follow' FROM smart_internal.policy_info(relation) i);
  EXECUTE format('DROP TRIGGER IF EXISTS smart_follow ON %s', relation);
  EXECUTE format('DROP TRIGGER IF EXISTS smart_followed ON %s', relation);
  -- upper tables first: the event trigger gives a partition what its table still has
  FOR part IN SELECT x.relid FROM smart_internal.table_and_partitions(relation) x LOOP
    FOREACH policy IN ARRAY ARRAY['smart_select', 'smart_insert', 'smart_update', 'smart_delete'] LOOP
      EXECUTE format('DROP POLICY IF EXISTS %I ON %s', policy, part);
    END LOOP;
    EXECUTE format('DROP TRIGGER IF EXISTS smart_refuse_truncate ON %s', part);
    -- policies of somebody else stay in force
    IF NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = part) THEN
      EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY', part);
    END IF;
  END LOOP;
  FOR schema, index_name IN
    SELECT n.nspname, c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE i.indrelid = relation AND c.relname ~ '_smart_(patients|irregular|followed)[0-9]*$'
  LOOP
    EXECUTE format('DROP INDEX IF EXISTS %I.%I', schema, index_name);
  END LOOP;
  IF follows THEN
    EXECUTE format('ALTER TABLE %s DROP COLUMN IF EXISTS smart_patient', relation);
  END IF;
  PERFORM smart_internal.watch_followed(owner);
  PERFORM set_config('client_min_messages', min_messages, true);
  RAISE NOTICE 'table % is no longer protected', relation;
END
$$;
COMMENT ON FUNCTION smart.unprotect(regclass) IS
  'Takes away what smart.protect() put on a table and its partitions. Errors: 42501 owner, 55000 when it is not protected.';

CREATE FUNCTION smart_internal.protection_state(relation oid) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(string_agg(problem, '; ' ORDER BY n), 'ok')
  FROM pg_class c, smart_internal.policy_info(c.oid::regclass) i,
    LATERAL (VALUES
      (1, CASE WHEN NOT c.relrowsecurity THEN 'row-level security is disabled' END),
      (2, CASE WHEN NOT c.relforcerowsecurity THEN 'row-level security is not forced on the owner' END),
      (3, CASE WHEN (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid AND smart_internal.is_own_policy(p.oid)) <> 4
               THEN 'a policy is missing' END),
      (4, CASE WHEN EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive AND NOT smart_internal.is_own_policy(p.oid))
               THEN 'another permissive policy is OR-ed in' END),
      (5, CASE WHEN i.options -> 'revision' IS DISTINCT FROM to_jsonb(smart.fhir_revision())
               THEN 'made for another revision of the FHIR definitions' END),
      (6, CASE WHEN NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'smart_refuse_truncate' AND t.tgenabled <> 'D')
               THEN 'TRUNCATE is not refused' END)) v (n, problem)
  WHERE c.oid = $1
$$;
COMMENT ON FUNCTION smart_internal.protection_state(oid) IS 'What is wrong with the protection of a table, or ok.';

CREATE VIEW smart.protected_table WITH (security_invoker = true) AS
  SELECT c.oid::pg_catalog.regclass AS relation, i.resource_type,
         pg_catalog.jsonb_build_object('resource', i.resource, 'patients', i.patients, 'type', i.type, 'id', i.id) AS columns,
         i.options,
         (SELECT x.indexrelid::pg_catalog.regclass
          FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class t ON t.oid OPERATOR(pg_catalog.=) x.indexrelid
          JOIN pg_catalog.pg_am a ON a.oid OPERATOR(pg_catalog.=) t.relam
          WHERE x.indrelid OPERATOR(pg_catalog.=) c.oid AND smart_internal.is_patients_index(x.indexrelid, a.amname::pg_catalog.text)
          ORDER BY x.indexrelid LIMIT 1) AS index,
         smart_internal.protection_state(c.oid) AS state
  FROM pg_catalog.pg_class c, LATERAL smart_internal.policy_info(c.oid::pg_catalog.regclass) i
  WHERE EXISTS (SELECT FROM pg_catalog.pg_policy p
                WHERE p.polrelid OPERATOR(pg_catalog.=) c.oid AND p.polname OPERATOR(pg_catalog.=) 'smart_select')
    AND i.options IS NOT NULL;
GRANT SELECT ON smart.protected_table TO PUBLIC;
COMMENT ON VIEW smart.protected_table IS
  'Tables under smart.protect(): type, expressions, options, the index that policies use, and a state: ok, or what is wrong.';

CREATE FUNCTION smart_internal.attaches_partition(command pg_ddl_command) RETURNS boolean
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_attaches_partition';
COMMENT ON FUNCTION smart_internal.attaches_partition(pg_ddl_command) IS 'Is this command of pg_event_trigger_ddl_commands() an ALTER TABLE ... ATTACH PARTITION?';

CREATE FUNCTION smart_internal.protect_new_partitions() RETURNS event_trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  part record;
  hazards text;
BEGIN
  FOR part IN
    SELECT DISTINCT t.relid, root.policy_relation
    FROM pg_event_trigger_ddl_commands() d
    -- by the catalog: pg_partition_tree() locks, and parallel restores would meet in a deadlock
    CROSS JOIN LATERAL (
      WITH RECURSIVE tree (relid) AS (
        SELECT d.objid
        UNION
        SELECT i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.relid
        JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relispartition)
      SELECT tree.relid FROM tree) t
    CROSS JOIN LATERAL (
      SELECT a.relid AS policy_relation FROM pg_partition_ancestors(t.relid) a
      WHERE a.relid <> t.relid
        AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = a.relid AND p.polname = 'smart_select' AND smart_internal.is_own_policy(p.oid))
      LIMIT 1) root
    WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0
      AND (SELECT c.relkind FROM pg_class c WHERE c.oid = d.objid) IN ('r', 'p')
      AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = t.relid AND smart_internal.is_own_policy(p.oid))
      -- no other ALTER TABLE: a restore runs some, and is about to make the policies itself
      AND (d.command_tag = 'CREATE TABLE' OR smart_internal.attaches_partition(d.command))
  LOOP
    PERFORM smart_internal.copy_policies(part.policy_relation::regclass, part.relid::regclass);
    RAISE NOTICE 'protected partition %', part.relid::regclass;
    SELECT string_agg(h, '; ') INTO hazards FROM smart_internal.protect_hazards(part.relid::regclass) h;
    IF hazards IS NOT NULL THEN
      RAISE WARNING 'partition % is protected in spite of: %', part.relid::regclass, hazards;
    END IF;
  END LOOP;
END
$$;
REVOKE ALL ON FUNCTION smart_internal.protect_new_partitions() FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.protect_new_partitions() IS 'Event trigger: partitions made or attached later get the policies of their table.';

CREATE FUNCTION smart_internal.copy_policies(from_table regclass, to_table regclass) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  call text;
BEGIN
  -- deparsed expressions name columns, and partitions have the same names
  SELECT regexp_replace(replace(pg_get_expr(p.polqual, p.polrelid), '%', '%%'), $q$'SELECT'::text$q$, '%L::pg_catalog.text')
  INTO call FROM pg_policy p WHERE p.polrelid = from_table AND p.polname = 'smart_select';
  PERFORM smart_internal.write_policies(to_table, call);
END
$$;
COMMENT ON FUNCTION smart_internal.copy_policies(regclass, regclass) IS 'Gives a partition the policies of its table.';

CREATE EVENT TRIGGER smart_fhir_partitions ON ddl_command_end
  WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'CREATE SCHEMA') EXECUTE FUNCTION smart_internal.protect_new_partitions();
COMMENT ON EVENT TRIGGER smart_fhir_partitions IS 'Partitions made or attached later get the policies of their table.';
