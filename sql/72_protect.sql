/* smart.protect(): real policies on a user's table. SECURITY INVOKER throughout: the caller must own it. */

CREATE FUNCTION smart_internal.protect_error(state text, message text, detail text DEFAULT NULL, hint text DEFAULT NULL)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_protect_error';
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

CREATE FUNCTION smart_internal.expression_type(relation regclass, expression text) RETURNS regtype
  LANGUAGE c STABLE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_expression_type';
COMMENT ON FUNCTION smart_internal.expression_type(regclass, text) IS
  'The type of an expression over a table; nothing is evaluated, no lock is waited for (55P03).';

CREATE FUNCTION smart_internal.base_type(type regtype) RETURNS regtype
LANGUAGE sql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  WITH RECURSIVE base (oid, typtype, typbasetype) AS (
    SELECT t.oid, t.typtype, t.typbasetype FROM pg_type t WHERE t.oid = type
    UNION ALL
    SELECT t.oid, t.typtype, t.typbasetype FROM base JOIN pg_type t ON t.oid = base.typbasetype WHERE base.typtype = 'd')
  SELECT base.oid::regtype FROM base WHERE base.typtype <> 'd'
$$;
COMMENT ON FUNCTION smart_internal.base_type(regtype) IS 'Of a domain the type below it, else the type itself.';

CREATE FUNCTION smart_internal.others_rights(relation oid, privileges text[], OUT grantee text, OUT rights text) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END,
         string_agg(DISTINCT acl.privilege_type, ', ' ORDER BY acl.privilege_type)
  FROM pg_class c,
    LATERAL (SELECT a.grantee, a.privilege_type FROM aclexplode(c.relacl) a
             UNION ALL
             SELECT a.grantee, a.privilege_type FROM pg_attribute t, aclexplode(t.attacl) a
             WHERE t.attrelid = c.oid AND NOT t.attisdropped) acl
  WHERE c.oid = relation AND acl.grantee <> c.relowner AND acl.privilege_type = ANY (privileges)
  GROUP BY acl.grantee
  ORDER BY 1
$$;
COMMENT ON FUNCTION smart_internal.others_rights(oid, text[]) IS
  'Which of these rights others than its owner hold on a relation or on a column of it.';

CREATE FUNCTION smart_internal.protect_hazards(relation regclass) RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
  WITH part AS (
    SELECT t.relid, t.kind, CASE WHEN t.relid <> relation THEN ' on partition ' || t.relid::regclass END AS place
    FROM smart_internal.partitions(relation) t)
  SELECT format('role %s holds %s%s', r.grantee, r.rights, part.place)
  FROM part, smart_internal.others_rights(part.relid, '{TRUNCATE,TRIGGER,REFERENCES,MAINTAIN}') r
  UNION ALL
  -- ours are replaced
  SELECT format('permissive policy "%s"%s would be OR-ed in', p.polname, part.place)
  FROM pg_policy p JOIN part ON part.relid = p.polrelid
  WHERE p.polpermissive AND p.polname NOT IN ('smart_select', 'smart_insert', 'smart_update', 'smart_delete')
  UNION ALL
  SELECT format('partition %s is a foreign table, which row-level security cannot cover', part.relid::regclass)
  FROM part WHERE part.kind = 'f'
  ORDER BY 1
$$;
COMMENT ON FUNCTION smart_internal.protect_hazards(regclass) IS
  'Why smart.protect() would refuse a table unless forced: rights that row-level security does not cover, other permissive policies.';

-- few rows: 19 RC 1 sizes the hash table of a recursive UNION after the estimate, without a bound
CREATE FUNCTION smart_internal.views_over(
  relation oid, OUT relid oid, OUT relkind "char", OUT invoker boolean, OUT unbound boolean, OUT rolname name) RETURNS SETOF record
LANGUAGE sql STABLE ROWS 2 PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT DISTINCT c.oid, c.relkind,
    coalesce((SELECT option_value::boolean FROM pg_options_to_table(c.reloptions) WHERE option_name = 'security_invoker'), false),
    o.rolsuper OR o.rolbypassrls, o.rolname
  FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class c ON c.oid = r.ev_class JOIN pg_roles o ON o.oid = c.relowner
  WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = relation
    AND c.oid <> relation AND c.relkind IN ('v', 'm')
$$;
COMMENT ON FUNCTION smart_internal.views_over(oid) IS
  'Views and materialized views that read a relation; invoker: with the rights of who asks; unbound: their owner is a role that policies do not bind.';

CREATE FUNCTION smart_internal.ways_round(relation oid) RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
  WITH RECURSIVE
  part AS (SELECT t.relid FROM smart_internal.partitions(relation) t),
  -- tables that inherit without being partitions
  child (relid) AS (
    SELECT i.inhrelid FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = relation AND NOT c.relispartition
    UNION
    SELECT i.inhrelid FROM child JOIN pg_inherits i ON i.inhparent = child.relid),
  -- views over views: whose rights reach the table? of who asks (asks), or of a role that policies do not bind (round)
  view (relid, kind, role, reads) AS (
    SELECT reader.relid, reader.relkind, reader.rolname,
      CASE WHEN reader.relkind = 'm' THEN 'round' WHEN reader.invoker THEN 'asks' WHEN reader.unbound THEN 'round' ELSE 'bound' END
    FROM part, smart_internal.views_over(part.relid) reader
    UNION
    SELECT reader.relid, reader.relkind, CASE WHEN view.reads = 'asks' THEN reader.rolname ELSE view.role END,
      CASE WHEN reader.relkind = 'm' OR view.reads = 'round' THEN 'round' WHEN view.reads = 'bound' THEN 'bound'
           WHEN reader.invoker THEN 'asks' WHEN reader.unbound THEN 'round' ELSE 'bound' END
    FROM view, smart_internal.views_over(view.relid) reader)
  SELECT DISTINCT format('table %s inherits from it, is not protected, and others may use it', child.relid::regclass)
  FROM child WHERE coalesce(cardinality(smart_internal.own_policies(child.relid)), 0) < 4
    AND EXISTS (SELECT FROM smart_internal.others_rights(child.relid, '{SELECT,INSERT,UPDATE,DELETE}'))
  UNION ALL
  SELECT DISTINCT CASE view.kind WHEN 'm' THEN format('materialized view %s shows others what its last refresh saw', view.relid::regclass)
    ELSE format('view %s shows others its rows past the policies, with the rights of %s', view.relid::regclass, quote_ident(view.role)) END
  FROM view WHERE view.reads = 'round'
    AND EXISTS (SELECT FROM smart_internal.others_rights(view.relid, '{SELECT,INSERT,UPDATE,DELETE}'))
  UNION ALL
  -- REFRESH under a login would store one patient's rows for all readers
  SELECT DISTINCT format('role %s holds MAINTAIN on materialized view %s', r.grantee, view.relid::regclass)
  FROM view, smart_internal.others_rights(view.relid, '{MAINTAIN}') r WHERE view.kind = 'm'
  ORDER BY 1
$$;
COMMENT ON FUNCTION smart_internal.ways_round(oid) IS
  'By which other relations roles reach the rows of a protected table past its policies.';

CREATE FUNCTION smart_internal.costly_policies(relation oid) RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  -- an equal comparison of a column is leakproof; an array of keys, or a computed key, has to wait for the other policy
  SELECT format('restrictive policy "%s" keeps the index from being used', p.polname)
  FROM pg_policy p, smart_internal.policy_info(p.polrelid::regclass) i
  WHERE p.polrelid = relation AND NOT p.polpermissive AND p.polcmd IN ('r', '*')
    AND (i.options ->> 'key' IS DISTINCT FROM 'one' OR (i.options -> 'patients') IS DISTINCT FROM 'true')
  ORDER BY 1
$$;
COMMENT ON FUNCTION smart_internal.costly_policies(oid) IS 'Which policies of others cost a protected table its index.';

CREATE FUNCTION smart_internal.enforce_policies(relation regclass) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM pg_class c WHERE c.oid = relation AND NOT (c.relrowsecurity AND c.relforcerowsecurity)) THEN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', relation);
  END IF;
  IF NOT smart_internal.refuses_truncate(relation) THEN
    IF EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname = 'smart_refuse_truncate') THEN
      EXECUTE format('DROP TRIGGER smart_refuse_truncate ON %s', relation);
    END IF;
    PERFORM smart_internal.put_truncate_trigger(relation);
  END IF;
  PERFORM smart_internal.put_key_trigger(relation);
END
$$;
COMMENT ON FUNCTION smart_internal.enforce_policies(regclass) IS
  'What makes the policies of a table hold: row-level security, forced on the owner too, the trigger against TRUNCATE, and the one that keeps keys in one spelling.';

CREATE FUNCTION smart_internal.refuses_truncate(relation oid) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname = 'smart_refuse_truncate' AND t.tgenabled = 'A'
                 AND t.tgfoid = 'smart_internal.refuse_truncate()'::regprocedure)
$$;
COMMENT ON FUNCTION smart_internal.refuses_truncate(oid) IS 'Has the table the trigger against TRUNCATE, under all settings?';

CREATE FUNCTION smart_internal.put_truncate_trigger(relation regclass) RETURNS void
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_put_truncate_trigger';
COMMENT ON FUNCTION smart_internal.put_truncate_trigger(regclass) IS
  'Makes the trigger against TRUNCATE on a table of the caller; its function is executable by nobody.';

CREATE FUNCTION smart_internal.put_key_trigger(relation regclass) RETURNS void
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_put_key_trigger';
COMMENT ON FUNCTION smart_internal.put_key_trigger(regclass) IS
  'Makes, replaces or takes away the trigger that keeps the keys of a table in one spelling, as its policies want it. For its owner. Errors: 42501.';

CREATE FUNCTION smart_internal.put_policies(
  relation regclass, patients text, resource text, type text, id text, options jsonb, order_by text) RETURNS void
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_put_policies';
COMMENT ON FUNCTION smart_internal.put_policies(regclass, text, text, text, text, jsonb, text) IS
  'Writes the four policies of a table of the caller and of its partitions, in place of those that are there. The expressions are SQL over the table.';

CREATE FUNCTION smart_internal.copy_policies(from_table regclass, to_table regclass) RETURNS void
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_copy_policies';
COMMENT ON FUNCTION smart_internal.copy_policies(regclass, regclass) IS 'Gives a partition the policies of its table.';

CREATE FUNCTION smart_internal.protect(
  relation regclass, resource_type text DEFAULT NULL, resource text DEFAULT 'resource', patients text DEFAULT NULL,
  type text DEFAULT NULL, id text DEFAULT 'id', shared boolean DEFAULT NULL, compartment text DEFAULT NULL,
  fhir_version text DEFAULT 'R4', base_url text DEFAULT NULL, follow text DEFAULT NULL, index boolean DEFAULT true,
  force boolean DEFAULT false, order_by text DEFAULT NULL, followed boolean DEFAULT NULL) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off SET standard_conforming_strings = on SET array_nulls = on SET transform_null_equals = off AS $$
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
  part regclass;
  one_key boolean;
  key_function text;
  order_sql text;
  column_type regtype;
  look_up_all boolean := false;
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
  resource_regtype := smart_internal.base_type(smart_internal.expression_type(relation, resource_sql));
  IF resource_regtype IN ('json'::regtype, 'text'::regtype, 'varchar'::regtype) THEN
    resource_sql := format('smart.resource_json((%s)::pg_catalog.text)', resource_sql);
  ELSIF resource_regtype <> 'jsonb'::regtype THEN
    PERFORM smart_internal.protect_error('22023', 'invalid value for parameter "resource"',
      format('It is of type %s.', resource_regtype), 'It must be jsonb, json or text.');
  END IF;
  type_sql := CASE WHEN type IS NULL THEN format('%L::pg_catalog.text', resource_type)
              ELSE format('(%s)::pg_catalog.text', smart_internal.column_or_expression(relation, type)) END;
  -- the default id may be missing: then the JSON's own id counts
  IF id IS NOT NULL AND (id <> 'id' OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = 'id' AND NOT a.attisdropped)) THEN
    id_sql := format('(%s)::pg_catalog.text', smart_internal.column_or_expression(relation, id));
  END IF;
  base_url := regexp_replace(base_url, '/$', '');
  IF follow IS NOT NULL THEN
    SELECT a.atttypid INTO column_type FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = 'smart_patient' AND NOT a.attisdropped;
    IF column_type IS NULL THEN
      EXECUTE format('ALTER TABLE %s ADD COLUMN smart_patient pg_catalog.text', relation);
    ELSIF column_type <> 'text'::regtype THEN
      PERFORM smart_internal.protect_error('42804', format('column "smart_patient" of table %s is of type %s', relation, column_type), NULL,
        'It must be text: smart.protect() keeps the patient there. Rename or drop it.');
    ELSE
      -- what stands in a column that was not ours so far is nobody's word
      look_up_all := (SELECT i.options ->> 'follow' IS DISTINCT FROM follow OR i.options ->> 'base_url' IS DISTINCT FROM base_url
                      FROM smart_internal.policy_info(relation) i);
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
    patients_regtype := smart_internal.base_type(smart_internal.expression_type(relation, keys_sql));
    IF patients_regtype NOT IN ('text'::regtype, 'varchar'::regtype, 'uuid'::regtype,
                                'text[]'::regtype, 'varchar[]'::regtype, 'uuid[]'::regtype) THEN
      PERFORM smart_internal.protect_error('22023', 'invalid value for parameter "patients"',
        format('It is of type %s.', patients_regtype), 'It must be text or uuid, or an array of them.');
    END IF;
    one_key := patients_regtype::text NOT LIKE '%[]';
    -- varchar and domains: only text and uuid can be compared in the index
    IF smart_internal.expression_type(relation, keys_sql) NOT IN ('text'::regtype, 'uuid'::regtype, 'text[]'::regtype, 'uuid[]'::regtype) THEN
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
    'follow', follow, 'followed', followed, 'key', CASE WHEN one_key THEN 'one' ELSE 'many' END,
    'patients_form', CASE WHEN patients_regtype IN ('text'::regtype, 'varchar'::regtype) THEN smart_internal.patients_form(relation, keys_sql) END));
  PERFORM smart_internal.put_policies(relation, keys_sql, resource_sql, type_sql, id_sql, options, order_sql);
  FOR part IN SELECT t.relid FROM smart_internal.partitions(relation) t WHERE t.kind <> 'f' LOOP
    PERFORM smart_internal.enforce_policies(part);
    done := done || part::text;
  END LOOP;

  PERFORM smart_internal.watch_followed(relation);
  FOR wanted IN SELECT * FROM smart_internal.missing_indexes(relation) LOOP
    IF coalesce(index, true) THEN
      done := done || format('index %s', smart_internal.make_index(relation, wanted.suffix, wanted.definition));
    ELSIF wanted.suffix = 'patients' THEN
      SELECT string_agg(x, E'\n') INTO result FROM smart_internal.concurrent_index(relation, wanted.suffix, wanted.definition) x;
    END IF;
  END LOOP;
  IF follow IS NOT NULL AND (coalesce(index, true) OR look_up_all) THEN
    PERFORM smart_internal.follow_rows(relation, look_up_all);
  END IF;
  RAISE NOTICE 'protected %', array_to_string(done, ', ');
  IF follow IS NOT NULL AND NOT coalesce(index, true) AND NOT look_up_all THEN
    RAISE NOTICE 'rows that % already has belong to nobody: run smart.refresh_followed(%)', relation, quote_literal(relation::text);
  END IF;
  IF NOT coalesce(index, true) AND EXISTS (SELECT FROM smart_internal.missing_indexes(relation)) THEN
    RAISE NOTICE 'indexes of % are missing: run what smart.index_statements(%) returns', relation, quote_literal(relation::text);
  END IF;
  SELECT string_agg(p, '; ') INTO hazards
  FROM (SELECT smart_internal.protect_hazards(relation) UNION ALL SELECT smart_internal.ways_round(relation)
        UNION ALL SELECT smart_internal.costly_policies(relation)) x (p);
  IF hazards IS NOT NULL THEN
    RAISE WARNING 'table % is protected in spite of: %', relation, hazards;
  END IF;
  IF resource_type IS NOT NULL AND patients IS NULL AND NOT (options -> 'shared')::boolean
     AND NOT smart_internal.in_compartment(resource_type, fhir_version) THEN
    RAISE NOTICE 'no patient sees a row of %: % is in no patient''s compartment, and not shared', relation, resource_type
      USING HINT = 'Pass shared => true if its rows hold no patient, or patients or follow to say whose they are.';
  END IF;
  RETURN result;
END
$$;
COMMENT ON FUNCTION smart_internal.protect IS 'smart.protect().';

CREATE FUNCTION smart.protect(
  relation regclass, resource_type text DEFAULT NULL, resource text DEFAULT 'resource', patients text DEFAULT NULL,
  type text DEFAULT NULL, id text DEFAULT 'id', shared boolean DEFAULT NULL, compartment text DEFAULT NULL,
  fhir_version text DEFAULT 'R4', base_url text DEFAULT NULL, follow text DEFAULT NULL, index boolean DEFAULT true,
  force boolean DEFAULT false, order_by text DEFAULT NULL, followed boolean DEFAULT NULL) RETURNS text
LANGUAGE sql VOLATILE PARALLEL UNSAFE
RETURN smart_internal.protect(relation, resource_type, resource, patients, type, id, shared, compartment, fhir_version, base_url, follow,
  index, force, order_by, followed);
COMMENT ON FUNCTION smart.protect IS
  'Puts a table of FHIR resources under row-level security: four ordinary policies, FORCE ROW LEVEL SECURITY, an index on the rows'' patients, a trigger against TRUNCATE; partitions too. Idempotent; the caller must own the table. Returns NULL, or with index => false the CREATE INDEX CONCURRENTLY statements to run. Errors: 22023 parameter, 42501 owner, 42809 no table, 55000 while other roles or policies would go round it (force => true overrides). doc/reference.md describes the parameters.';

CREATE FUNCTION smart_internal.unprotect(relation regclass) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
#variable_conflict use_variable
DECLARE
  owner oid;
  part regclass;
  object record;
  follows boolean;
BEGIN
  SELECT c.relowner INTO owner FROM pg_class c WHERE c.oid = relation;
  IF owner IS NULL THEN
    PERFORM smart_internal.protect_error('22023', 'invalid value for parameter "relation"');
  ELSIF NOT pg_has_role(owner, 'USAGE') THEN
    PERFORM smart_internal.protect_error('42501', format('must be owner of table %s', relation));
  ELSIF smart_internal.own_policies(relation) IS NULL THEN
    PERFORM smart_internal.protect_error('55000', format('relation %s is not protected', relation));
  ELSIF EXISTS (SELECT FROM pg_partition_ancestors(relation) a WHERE a.relid <> relation AND smart_internal.own_policies(a.relid) IS NOT NULL) THEN
    PERFORM smart_internal.protect_error('55000', format('%s is a partition of a protected table', relation), NULL,
      'Detach it first, or unprotect the partitioned table.');
  END IF;
  follows := (SELECT i.options ? 'follow' FROM smart_internal.policy_info(relation) i);
  PERFORM smart_internal.drop_follow_triggers(relation);
  -- upper tables first: the event trigger gives a partition what its table still has
  FOR part IN SELECT t.relid FROM smart_internal.partitions(relation) t WHERE t.kind <> 'f' LOOP
    FOR object IN
      SELECT format('POLICY %I', p.polname) AS name FROM pg_policy p
      WHERE p.polrelid = part AND p.polname IN ('smart_select', 'smart_insert', 'smart_update', 'smart_delete')
      UNION ALL
      -- those on a partition that go with the table's are internal
      SELECT format('TRIGGER %I', t.tgname) FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
      WHERE t.tgrelid = part AND t.tgparentid = 0 AND p.pronamespace = 'smart_internal'::regnamespace
    LOOP
      EXECUTE format('DROP %s ON %s', object.name, part);
    END LOOP;
    -- policies of somebody else stay in force
    IF NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = part) THEN
      EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY', part);
    END IF;
  END LOOP;
  FOR object IN
    SELECT n.nspname, c.relname
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE i.indrelid = relation
      AND (c.relname ~ '_smart_(patients|irregular|followed)[0-9]*$'
           -- those of a partition have names that PostgreSQL made
           OR EXISTS (SELECT FROM pg_depend d JOIN pg_proc p ON p.oid = d.refobjid
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_proc'::regclass
                        AND p.pronamespace = 'smart_internal'::regnamespace))
  LOOP
    EXECUTE format('DROP INDEX %I.%I', object.nspname, object.relname);
  END LOOP;
  IF follows AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = 'smart_patient' AND NOT a.attisdropped) THEN
    EXECUTE format('ALTER TABLE %s DROP COLUMN smart_patient', relation);
  END IF;
  RAISE NOTICE 'table % is no longer protected', relation;
END
$$;
COMMENT ON FUNCTION smart_internal.unprotect(regclass) IS 'smart.unprotect().';

CREATE FUNCTION smart.unprotect(relation regclass) RETURNS void
LANGUAGE sql VOLATILE PARALLEL UNSAFE
RETURN smart_internal.unprotect(relation);
COMMENT ON FUNCTION smart.unprotect(regclass) IS
  'Takes away what smart.protect() put on a table and its partitions. Errors: 42501 owner, 55000 when it is not protected.';

CREATE FUNCTION smart_internal.protection_state(relation oid) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
  SELECT coalesce(string_agg(problem, '; ' ORDER BY n, problem), 'ok')
  FROM pg_class c, smart_internal.policy_info(c.oid::regclass) i,
    LATERAL (
      SELECT 1, 'row-level security is disabled' WHERE NOT c.relrowsecurity
      UNION ALL
      SELECT 2, 'row-level security is not forced on the owner' WHERE NOT c.relforcerowsecurity
      UNION ALL
      SELECT 3, 'a policy is missing' WHERE cardinality(smart_internal.own_policies(c.oid)) <> 4
      UNION ALL
      SELECT 4, 'another permissive policy is OR-ed in'
      WHERE EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive AND p.polname <> ALL (smart_internal.own_policies(c.oid)))
      UNION ALL
      SELECT 5, 'made for another revision of the FHIR definitions'
      WHERE i.options -> 'revision' IS DISTINCT FROM to_jsonb(smart.fhir_revision())
      UNION ALL
      SELECT 6, 'TRUNCATE is not refused' WHERE NOT smart_internal.refuses_truncate(c.oid)
      UNION ALL
      SELECT 7, 'an expression cannot be read without locks'
      WHERE i.resource IS NULL OR i.patients IS NULL OR i.type IS NULL OR i.id IS NULL
      UNION ALL
      SELECT 8, h FROM smart_internal.protect_hazards(c.oid::regclass) h WHERE h !~ '^permissive policy "[^"]*" would be'
      UNION ALL
      SELECT 9, format('partition %s is not protected', t.relid::regclass)
      FROM smart_internal.partitions(c.oid) t WHERE t.relid <> c.oid AND t.kind <> 'f' AND smart_internal.own_policies(t.relid) IS NULL
      UNION ALL
      SELECT 10, w FROM smart_internal.ways_round(c.oid) w
      UNION ALL
      SELECT 11, w FROM smart_internal.costly_policies(c.oid) w
      UNION ALL
      SELECT 12, 'it has rows that are no resource of its type, name several patients, or have a key that is spelled otherwise'
      WHERE smart_internal.has_irregular_rows(c.oid)
      UNION ALL
      SELECT 13, 'what it follows is not kept'
      WHERE i.options ? 'follow' AND EXISTS (
        SELECT FROM smart_internal.partitions(c.oid) t WHERE t.kind = 'r'
          AND (SELECT count(*) FROM pg_trigger g WHERE g.tgrelid = t.relid AND g.tgenabled = 'A'
                 AND g.tgfoid = 'smart_internal.keep_followed()'::regprocedure) <> 2)
      UNION ALL
      SELECT 14, 'its keys are not kept in one spelling'
      WHERE c.relkind = 'r' AND i.options ? 'patients_form' AND NOT i.options ? 'follow'
        AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
                    AND i.patients IN (quote_ident(a.attname), format('(%I)::text', a.attname)))
        AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgenabled IN ('O', 'A')
                        AND t.tgfoid = 'smart_internal.spell_key()'::regprocedure)) v (n, problem)
  WHERE c.oid = $1
$$;
COMMENT ON FUNCTION smart_internal.protection_state(oid) IS 'What is wrong with the protection of a table, or ok.';

CREATE VIEW smart.protected_table WITH (security_invoker = true) AS
  SELECT t.oid::pg_catalog.regclass AS relation, i.resource_type,
         pg_catalog.jsonb_build_object('resource', i.resource, 'patients', i.patients, 'type', i.type, 'id', i.id)
           OPERATOR(pg_catalog.||) CASE WHEN i.order_by IS NULL THEN '{}' ELSE pg_catalog.jsonb_build_object('order_by', i.order_by) END AS columns,
         i.options, smart_internal.patients_index(t.oid) AS index, smart_internal.protection_state(t.oid) AS state
  FROM (SELECT DISTINCT p.polrelid FROM pg_catalog.pg_policy p
        WHERE p.polname OPERATOR(pg_catalog.=) ANY (ARRAY['smart_select', 'smart_insert', 'smart_update', 'smart_delete']::pg_catalog.name[])) t (oid),
    LATERAL smart_internal.policy_info(t.oid::pg_catalog.regclass) i
  WHERE smart_internal.own_policies(t.oid) IS NOT NULL;
GRANT SELECT ON smart.protected_table TO PUBLIC;
COMMENT ON VIEW smart.protected_table IS
  'Tables under smart.protect(): type, expressions, options, the index that policies use, and a state: ok, or what is wrong.';

CREATE FUNCTION smart_internal.attaches_partition(command pg_ddl_command) RETURNS boolean
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_attaches_partition';
COMMENT ON FUNCTION smart_internal.attaches_partition(pg_ddl_command) IS 'Is this command of pg_event_trigger_ddl_commands() an ALTER TABLE ... ATTACH PARTITION?';

CREATE FUNCTION smart_internal.protect_new_partitions() RETURNS event_trigger
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
  part record;
  hazards text;
  leaves regclass[] := '{}';
BEGIN
  FOR part IN
    SELECT DISTINCT t.relid, t.kind, root.policy_relation, smart_internal.own_policies(t.relid) IS NULL AS bare
    FROM pg_event_trigger_ddl_commands() d
    -- without locks: parallel restores would meet in a deadlock
    CROSS JOIN LATERAL smart_internal.partitions(d.objid) t
    CROSS JOIN LATERAL (
      SELECT a.relid AS policy_relation FROM pg_partition_ancestors(t.relid) a
      WHERE a.relid <> t.relid AND smart_internal.own_policies(a.relid) IS NOT NULL
      LIMIT 1) root
    WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0
      AND (SELECT c.relkind FROM pg_class c WHERE c.oid = d.objid) IN ('r', 'p')
      AND t.kind IN ('r', 'p')
      -- no other ALTER TABLE: a restore runs some, and is about to make the policies itself
      AND (d.command_tag = 'CREATE TABLE' OR smart_internal.attaches_partition(d.command))
  LOOP
    IF part.kind = 'r' THEN
      leaves := leaves || part.relid::regclass;
    END IF;
    CONTINUE WHEN NOT part.bare;
    PERFORM smart_internal.copy_policies(part.policy_relation::regclass, part.relid::regclass);
    PERFORM smart_internal.enforce_policies(part.relid::regclass);
    RAISE NOTICE 'protected partition %', part.relid::regclass;
    SELECT string_agg(h, '; ') INTO hazards FROM smart_internal.protect_hazards(part.relid::regclass) h;
    IF hazards IS NOT NULL THEN
      RAISE WARNING 'partition % is protected in spite of: %', part.relid::regclass, hazards;
    END IF;
  END LOOP;
  PERFORM smart_internal.follow_partitions(r.root, array_agg(r.leaf))
  FROM (SELECT l.leaf, (SELECT a.relid::regclass FROM pg_partition_ancestors(l.leaf) WITH ORDINALITY a (relid, n)
                        WHERE smart_internal.own_policies(a.relid) IS NOT NULL ORDER BY a.n DESC LIMIT 1) AS root
        FROM unnest(leaves) l (leaf)) r
  GROUP BY r.root;
END
$$;
REVOKE ALL ON FUNCTION smart_internal.protect_new_partitions() FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.protect_new_partitions() IS 'Event trigger: partitions made or attached later get the policies of their table, and the triggers of follow.';

CREATE EVENT TRIGGER smart_fhir_partitions ON ddl_command_end
  WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'CREATE SCHEMA') EXECUTE FUNCTION smart_internal.protect_new_partitions();
COMMENT ON EVENT TRIGGER smart_fhir_partitions IS 'Partitions made or attached later get the policies of their table.';
-- also for who loads with session_replication_role = replica
ALTER EVENT TRIGGER smart_fhir_partitions ENABLE ALWAYS;
