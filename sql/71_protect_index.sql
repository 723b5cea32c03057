/* The indexes of smart.protect(): which a table needs, by what its policies say, and how they are made. */

CREATE FUNCTION smart_internal.has_one_subject(name text, fhir_version text) RETURNS boolean
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_has_one_subject';
COMMENT ON FUNCTION smart_internal.has_one_subject(text, text) IS
  'Can a valid resource of the type be about one patient at most? Errors: 22023 for another version than R4, R4B and R5.';

CREATE FUNCTION smart.rows_are_regular(relation regclass) RETURNS boolean
  LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_rows_are_regular';
COMMENT ON FUNCTION smart.rows_are_regular(regclass) IS
  'Does the table''s index of irregular rows say that there are none, so that policies can be folded whole? False also when there is no such index, on a standby, and while an older transaction may still see such rows.';

CREATE FUNCTION smart_internal.has_irregular_rows(relation oid) RETURNS boolean
  LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_has_irregular_rows';
COMMENT ON FUNCTION smart_internal.has_irregular_rows(oid) IS
  'Does the table''s index of irregular rows say that there are some, or were for an older transaction?';

CREATE FUNCTION smart_internal.patients_index(relation oid) RETURNS regclass
  LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_patients_index';
COMMENT ON FUNCTION smart_internal.patients_index(oid) IS
  'The valid index whose first key is what the policies of a table compare, and the second its order_by; NULL when there is none.';

CREATE FUNCTION smart_internal.partitions(relation oid, OUT relid oid, OUT parent oid, OUT level int, OUT kind "char") RETURNS SETOF record
LANGUAGE sql STABLE ROWS 10 PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  WITH RECURSIVE tree (relid, parent, level, kind) AS (
    SELECT c.oid, NULL::oid, 0, c.relkind FROM pg_class c WHERE c.oid = relation
    UNION
    SELECT c.oid, tree.relid, tree.level + 1, c.relkind
    FROM tree JOIN pg_inherits i ON i.inhparent = tree.relid JOIN pg_class c ON c.oid = i.inhrelid
    WHERE tree.kind = 'p')
  SELECT tree.relid, tree.parent, tree.level, tree.kind FROM tree ORDER BY tree.level, tree.relid
$$;
COMMENT ON FUNCTION smart_internal.partitions(oid) IS
  'A table and its partitions, the upper ones first. As pg_partition_tree(), but by the catalog alone, without locks.';

CREATE FUNCTION smart_internal.spells_references(relation regclass, keys text) RETURNS boolean
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'smart_spells_references';
COMMENT ON FUNCTION smart_internal.spells_references(regclass, text) IS
  'Is one of the stored keys of a table spelled Patient/<id>, whatever its policies show? NULL when there is none. For the table''s owner. Errors: 42501.';

CREATE FUNCTION smart_internal.patients_form(relation regclass, keys text) RETURNS text
LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE smart_internal.spells_references(relation, keys) WHEN true THEN 'reference' WHEN false THEN 'id'
         -- no rows: what an earlier call found stays
         ELSE coalesce((SELECT p.options ->> 'patients_form' FROM smart_internal.policy_info(relation) p), 'id') END
$$;
COMMENT ON FUNCTION smart_internal.patients_form(regclass, text) IS
  'How the stored keys of a table are spelled, by one of them: id, or reference (Patient/<id>). Others are found as well, more slowly.';

CREATE FUNCTION smart_internal.missing_indexes(relation oid, OUT suffix text, OUT definition text) RETURNS SETOF record
  LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_missing_indexes';
COMMENT ON FUNCTION smart_internal.missing_indexes(oid) IS
  'What a protected table lacks: suffix of the name (patients: what policies compare; irregular: rows that a folded policy cannot rely on; followed: what rows name) and the definition, from USING on, written from the trees of its policies.';

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
    SELECT t.relid, t.kind <> 'p' AS isleaf, n.nspname, smart_internal.index_name(t.relid, suffix) AS index_name,
           smart_internal.index_name(t.parent, suffix) AS parent_name, pn.nspname AS parent_schema
    FROM smart_internal.partitions(relation) t
    JOIN pg_class c ON c.oid = t.relid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_class p ON p.oid = t.parent JOIN pg_namespace pn ON pn.oid = p.relnamespace
    WHERE t.kind <> 'f' ORDER BY t.level, t.relid
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

CREATE FUNCTION smart_internal.all_index_statements(relation regclass, path name[]) RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
  WITH statement AS (
    SELECT s.*, m.n FROM ROWS FROM (smart_internal.missing_indexes(relation)) WITH ORDINALITY m (suffix, definition, n),
      LATERAL smart_internal.concurrent_index(relation, m.suffix, m.definition) WITH ORDINALITY s (text, line))
  -- names and literals are read as they were written only so
  SELECT 'SET search_path = pg_catalog, pg_temp;'
  WHERE EXISTS (SELECT FROM statement) AND 'pg_catalog' <> (array_remove(path, (SELECT n.nspname FROM pg_namespace n WHERE n.oid = pg_my_temp_schema())))[1]
  UNION ALL
  SELECT 'SET standard_conforming_strings = on;' WHERE EXISTS (SELECT FROM statement WHERE strpos(statement.text, E'\\') > 0)
  UNION ALL
  (SELECT statement.text FROM statement ORDER BY statement.n, statement.line)
$$;
COMMENT ON FUNCTION smart_internal.all_index_statements(regclass, name[]) IS 'smart.index_statements(); path: where the caller''s names are looked up.';

CREATE FUNCTION smart.index_statements(relation regclass) RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
  SELECT smart_internal.all_index_statements(relation, pg_catalog.current_schemas(true));
END;
COMMENT ON FUNCTION smart.index_statements(regclass) IS
  'The statements that build the indexes that a protected table lacks, without blocking writers: run them one by one, outside a transaction (in psql: \gexec). None when nothing is missing.';
