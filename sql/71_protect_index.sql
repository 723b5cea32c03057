/* The indexes of smart.protect(): which a table needs, by what its policies say, and how they are made. */

CREATE FUNCTION smart_internal.has_one_subject(name text, fhir_version text) RETURNS boolean
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_has_one_subject';
COMMENT ON FUNCTION smart_internal.has_one_subject(text, text) IS
  'Can a valid resource of the type be about one patient at most? Errors: 22023 for another version than R4, R4B and R5.';

CREATE FUNCTION smart_internal.irregular_index(relation regclass) RETURNS regclass
  LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_irregular_index';
COMMENT ON FUNCTION smart_internal.irregular_index(regclass) IS
  'The valid index of the rows of a protected table for which smart_internal.row_is_regular() is false; NULL when there is none.';

CREATE FUNCTION smart.rows_are_regular(relation regclass) RETURNS boolean
  LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_rows_are_regular';
COMMENT ON FUNCTION smart.rows_are_regular(regclass) IS
  'Does the table''s index of irregular rows say that there are none, so that policies can be folded whole? False also when there is no such index, and after such rows were deleted until the index is reindexed.';

CREATE FUNCTION smart_internal.policy_is_immutable(relation regclass) RETURNS boolean
  LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_policy_is_immutable';
COMMENT ON FUNCTION smart_internal.policy_is_immutable(regclass) IS
  'Can the expressions that the policies of a table were told stand in an index? Without its index of irregular rows a table is asked row by row.';

CREATE FUNCTION smart_internal.look_at_keys(relation regclass, keys text) RETURNS boolean
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  is_reference boolean;
BEGIN
  EXECUTE format('SELECT (%s)::pg_catalog.text COLLATE "C" LIKE ''Patient/%%'' FROM %s WHERE (%s) IS NOT NULL LIMIT 1', keys, relation, keys)
  INTO is_reference;
  RETURN is_reference;
END
$$;
COMMENT ON FUNCTION smart_internal.look_at_keys(regclass, text) IS 'Is one of the keys that the caller sees spelled Patient/<id>? NULL when he sees none.';

CREATE FUNCTION smart_internal.spells_references(relation regclass, keys text) RETURNS boolean
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'smart_spells_references';
COMMENT ON FUNCTION smart_internal.spells_references(regclass, text) IS
  'smart_internal.look_at_keys() as the table''s owner, whom the policies of a protected table do not bind here. For the owner. Errors: 42501.';

CREATE FUNCTION smart_internal.patients_form(relation regclass, keys text) RETURNS text
LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE smart_internal.spells_references(relation, keys) WHEN true THEN 'reference' WHEN false THEN 'id'
         -- no rows: what an earlier call found stays
         ELSE coalesce((SELECT p.options ->> 'patients_form' FROM smart_internal.policy_info(relation) p), 'id') END
$$;
COMMENT ON FUNCTION smart_internal.patients_form(regclass, text) IS
  'How the stored keys of a table are spelled, by one of them: id, or reference (Patient/<id>). Others are found as well, more slowly.';

CREATE FUNCTION smart_internal.missing_indexes(relation regclass, OUT suffix text, OUT definition text) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'patients', format('USING %s ((%s)%s)', m.method, p.patients, ', (' || (p.options ->> 'order_by') || ')')
  FROM smart_internal.policy_info(relation) p, LATERAL (SELECT CASE p.options ->> 'key' WHEN 'one' THEN 'btree' ELSE 'gin' END AS method) m
  -- where there is anything to compare
  WHERE ((p.options -> 'patients')::boolean OR p.resource_type IS NULL OR smart_internal.in_compartment(p.resource_type, p.options ->> 'fhir_version'))
    AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = relation AND smart_internal.is_patients_index(i.indexrelid, m.method))
  UNION ALL
  SELECT 'irregular', format('USING btree ((1)) WHERE NOT smart_internal.row_is_regular(%s, %s, %s, %s, %L::pg_catalog.jsonb)',
    CASE WHEN (p.options -> 'patients')::boolean THEN p.patients ELSE 'NULL::pg_catalog.text' END, p.resource, p.type, p.id, p.options)
  FROM smart_internal.policy_info(relation) p
  WHERE p.options IS NOT NULL AND smart_internal.irregular_index(relation) IS NULL AND smart_internal.policy_is_immutable(relation)
  UNION ALL
  SELECT 'followed', format('USING gin ((%s))', smart_internal.followed_expression(relation))
  WHERE smart_internal.followed_expression(relation) IS NOT NULL AND smart_internal.policy_is_immutable(relation)
    AND NOT EXISTS (
      SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
      WHERE i.indrelid = relation AND i.indisvalid AND i.indpred IS NULL AND a.amname = 'gin'
        AND pg_get_indexdef(i.indexrelid, 1, false) ~ '^\(?smart_internal\.followed_references\(')
$$;
COMMENT ON FUNCTION smart_internal.missing_indexes(regclass) IS
  'What a protected table lacks: suffix of the name (patients: what policies compare; irregular: rows that a folded policy cannot rely on; followed: what rows name) and the definition, from USING on.';

CREATE FUNCTION smart_internal.index_orders_by(index oid, expression text) RETURNS boolean
  LANGUAGE c STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'smart_index_orders_by';
COMMENT ON FUNCTION smart_internal.index_orders_by(oid, text) IS 'Is the second key of the index this expression over its table?';

CREATE FUNCTION smart_internal.is_patients_index(index oid, method text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (
    SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam,
      LATERAL (SELECT pg_get_indexdef(i.indexrelid, 1, false) AS definition, p.patients, p.options ->> 'order_by' AS order_by
               FROM smart_internal.policy_info(i.indrelid::regclass) p) d
    WHERE i.indexrelid = $1 AND i.indisvalid AND i.indpred IS NULL AND a.amname = $2
      -- an index definition has parentheses around what is not a bare function call
      AND d.definition IN (d.patients, '(' || d.patients || ')')
      AND (d.order_by IS NULL OR smart_internal.index_orders_by(i.indexrelid, d.order_by)))
$$;
COMMENT ON FUNCTION smart_internal.is_patients_index(oid, text) IS
  'Is this a valid index, of the access method, whose first key is what the policies of its table compare, and the second its order_by?';

CREATE FUNCTION smart_internal.index_name(relation regclass, suffix text) RETURNS text
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  stem text;
  schema oid;
  n int := 0;
BEGIN
  SELECT c.relname, c.relnamespace INTO stem, schema FROM pg_class c WHERE c.oid = relation;
  -- names have at most 63 bytes
  WHILE octet_length(stem) > 46 LOOP
    stem := left(stem, -1);
  END LOOP;
  stem := stem || '_smart_' || suffix;
  WHILE EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = schema AND c.relname = stem || coalesce(nullif(n, 0)::text, '')
                AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indexrelid = c.oid AND i.indrelid = relation)) LOOP
    n := n + 1;
  END LOOP;
  RETURN stem || coalesce(nullif(n, 0)::text, '');
END
$$;
COMMENT ON FUNCTION smart_internal.index_name(regclass, text) IS
  'Name of an index that smart.protect() makes on a table: <table>_smart_<suffix>, shortened, with a number when another relation has that name.';

CREATE FUNCTION smart_internal.make_index(relation regclass, suffix text, definition text) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  name text := smart_internal.index_name(relation, suffix);
  schema name;
BEGIN
  -- one of another definition, or left invalid
  SELECT n.nspname INTO schema
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE i.indrelid = relation AND c.relname = name;
  IF FOUND THEN
    EXECUTE format('DROP INDEX %I.%I', schema, name);
  END IF;
  EXECUTE format('CREATE INDEX %I ON %s %s', name, relation, definition);
  RETURN name;
END
$$;
COMMENT ON FUNCTION smart_internal.make_index(regclass, text, text) IS 'Makes an index of smart.protect(), in place of one that does not fit; its name.';

CREATE FUNCTION smart_internal.concurrent_index(relation regclass, suffix text, definition text) RETURNS SETOF text
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  name text := smart_internal.index_name(relation, suffix);
  part record;
BEGIN
  -- one of another definition, or that a build left invalid
  RETURN QUERY
    SELECT format('DROP INDEX %s%I.%I;', CASE WHEN c.relkind = 'I' THEN '' ELSE 'CONCURRENTLY ' END, n.nspname, c.relname)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE i.indrelid = relation AND c.relname = name;
  IF (SELECT c.relkind FROM pg_class c WHERE c.oid = relation) = 'r' THEN
    RETURN NEXT format('CREATE INDEX CONCURRENTLY %I ON %s %s;', name, relation, definition);
    RETURN;
  END IF;
  -- a partitioned index cannot be built concurrently: one index a partition, then ATTACH
  RETURN NEXT format('CREATE INDEX %I ON ONLY %s %s;', name, relation, definition);
  FOR part IN
    SELECT t.relid, t.isleaf, n.nspname, smart_internal.index_name(t.relid, suffix) AS index_name,
           smart_internal.index_name(t.parentrelid, suffix) AS parent_name, pn.nspname AS parent_schema
    FROM pg_partition_tree(relation) t
    JOIN pg_class c ON c.oid = t.relid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_class p ON p.oid = t.parentrelid JOIN pg_namespace pn ON pn.oid = p.relnamespace
    WHERE t.relid <> relation AND c.relkind <> 'f' ORDER BY t.level, t.relid
  LOOP
    RETURN NEXT format('CREATE INDEX %s%I ON %s%s %s;',
      CASE WHEN part.isleaf THEN 'CONCURRENTLY ' ELSE '' END, part.index_name, CASE WHEN part.isleaf THEN '' ELSE 'ONLY ' END,
      part.relid::regclass, definition);
    RETURN NEXT format('ALTER INDEX %I.%I ATTACH PARTITION %I.%I;', part.parent_schema, part.parent_name, part.nspname, part.index_name);
  END LOOP;
END
$$;
COMMENT ON FUNCTION smart_internal.concurrent_index(regclass, text, text) IS
  'The statements that build an index of smart.protect() without blocking writers.';

CREATE FUNCTION smart.index_statements(relation regclass) RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT s FROM smart_internal.missing_indexes(relation) m, LATERAL smart_internal.concurrent_index(relation, m.suffix, m.definition) s
$$;
COMMENT ON FUNCTION smart.index_statements(regclass) IS
  'The statements that build the indexes that a protected table lacks, without blocking writers: run them one by one, outside a transaction (in psql: \gexec). None when nothing is missing.';
