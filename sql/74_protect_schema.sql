/* smart.protect_schema(): every table that looks like FHIR. */

CREATE FUNCTION smart_internal.type_of_name(name text, fhir_version text) RETURNS text
  LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_type_of_name';
COMMENT ON FUNCTION smart_internal.type_of_name(text, text) IS
  'The resource type that a table of this name would hold: its name in any case, with _ or -, a plural s, or history behind it; else NULL. Errors: 22023 for another version.';

CREATE FUNCTION smart_internal.look_at_table(relation regclass, fhir_version text, OUT resource text, OUT types text[], OUT id text) RETURNS record
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  field record;
  found text[];
BEGIN
  -- the columns that can hold resources, the likely ones first; the one with most rows that are resources
  FOR field IN
    SELECT a.attname AS name, format(CASE WHEN b.type = 'jsonb'::regtype THEN '%I::pg_catalog.jsonb' ELSE 'smart.resource_json(%I::pg_catalog.text)' END, a.attname) AS json
    FROM pg_attribute a, LATERAL (SELECT smart_internal.base_type(a.atttypid::regtype) AS type) b
    WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
      AND b.type IN ('jsonb'::regtype, 'json'::regtype, 'text'::regtype, 'varchar'::regtype)
    ORDER BY coalesce(array_position('{resource,content,res_text_vc,data,json,doc,body,payload}'::name[], a.attname), 99), b.type <> 'jsonb'::regtype, a.attnum
  LOOP
    EXECUTE format('SELECT coalesce(array_agg(DISTINCT j ->> ''resourceType''), ''{}'') FROM (SELECT %s AS j FROM %s LIMIT 200) t
      WHERE jsonb_typeof(j -> ''resourceType'') = ''string''', field.json, relation) INTO found;
    found := ARRAY(SELECT f FROM unnest(found) f WHERE smart_internal.is_fhir_type(f, fhir_version) ORDER BY f);
    IF cardinality(found) > 0 OR (resource IS NULL AND field.name IN ('resource', 'content')) THEN
      resource := field.name;
      types := found;
      EXIT WHEN cardinality(found) > 0;
    END IF;
  END LOOP;
  SELECT a.attname INTO id FROM pg_attribute a
  WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attname IN ('id', 'fhir_id', 'resource_id')
  ORDER BY array_position('{id,fhir_id,resource_id}'::name[], a.attname) LIMIT 1;
END
$$;
COMMENT ON FUNCTION smart_internal.look_at_table(regclass, text) IS
  'Which column of a table holds resources, and of which types the first rows are that the caller sees.';

CREATE FUNCTION smart_internal.protect_schema(
  schema text, dry_run boolean, fhir_version text, compartment text, base_url text, index boolean, force boolean)
RETURNS TABLE (relation regclass, resource_type text, result text, problem text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
#variable_conflict use_variable
DECLARE
  it record;
  look record;
  named text;
  detail text;
  type_sql text;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_namespace n WHERE n.nspname = schema) THEN
    PERFORM smart_internal.protect_error('3F000', format('schema "%s" does not exist', coalesce(schema, 'NULL')));
  END IF;
  fhir_version := coalesce(fhir_version, 'R4');
  FOR it IN
    SELECT c.oid::regclass AS relation, c.relname, c.relkind, pg_has_role(c.relowner, 'USAGE') AS owned
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = schema AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
    ORDER BY c.relname
  LOOP
    relation := it.relation;
    named := smart_internal.type_of_name(it.relname, fhir_version);
    resource_type := named;
    result := NULL;
    problem := NULL;
    IF it.relkind NOT IN ('r', 'p') THEN
      CONTINUE WHEN named IS NULL;
      problem := 'it is no table: policies do not reach it';
    ELSIF smart_internal.own_policies(it.relation) IS NOT NULL THEN
      resource_type := (SELECT i.resource_type FROM smart_internal.policy_info(it.relation) i);
      result := 'is protected';
      problem := nullif(smart_internal.protection_state(it.relation), 'ok');
    ELSIF NOT it.owned THEN
      -- rows of others' tables are not looked at
      CONTINUE WHEN named IS NULL;
      problem := 'it belongs to another role';
    ELSE
      BEGIN
        EXECUTE format('LOCK TABLE %s IN ACCESS SHARE MODE NOWAIT', it.relation);
        SELECT * INTO look FROM smart_internal.look_at_table(it.relation, fhir_version);
        CONTINUE WHEN named IS NULL AND coalesce(cardinality(look.types), 0) = 0;
        IF look.resource IS NULL THEN
          problem := 'no column of it holds resources';
        ELSIF cardinality(look.types) > 1 THEN
          resource_type := NULL;
        ELSIF cardinality(look.types) = 1 THEN
          IF named IS DISTINCT FROM look.types[1] AND named IS NOT NULL THEN
            problem := format('its name says %s, its rows %s', named, look.types[1]);
          END IF;
          resource_type := look.types[1];
        END IF;
        IF problem IS NULL THEN
          IF resource_type IS NULL THEN
            type_sql := CASE (SELECT smart_internal.base_type(a.atttypid::regtype) FROM pg_attribute a WHERE a.attrelid = it.relation AND a.attname = look.resource)
              WHEN 'jsonb'::regtype THEN format('%I ->> ''resourceType''', look.resource)
              ELSE format('smart.resource_json(%I::pg_catalog.text) ->> ''resourceType''', look.resource) END;
          ELSE
            type_sql := NULL;
          END IF;
          result := format('SELECT smart.protect(%L, %s);', it.relation, concat_ws(', ', 'resource_type => ' || quote_literal(resource_type),
            'type => ' || quote_literal(type_sql), 'resource => ' || quote_literal(nullif(look.resource, 'resource')), 'id => ' || quote_literal(nullif(look.id, 'id')),
            'compartment => ' || quote_literal(compartment), 'fhir_version => ' || quote_literal(nullif(fhir_version, 'R4')), 'base_url => ' || quote_literal(base_url),
            CASE WHEN NOT index THEN 'index => false' END, CASE WHEN force THEN 'force => true' END));
          SELECT string_agg(h, '; ') INTO problem FROM smart_internal.protect_hazards(it.relation) h WHERE NOT coalesce(force, false);
          IF NOT coalesce(dry_run, true) THEN
            PERFORM smart_internal.protect(it.relation, resource_type, look.resource, NULL, type_sql, coalesce(look.id, 'id'), NULL, compartment, fhir_version,
              base_url, index => index, force => force);
            result := 'protected';
          END IF;
        END IF;
      EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
        problem := problem || coalesce(': ' || nullif(detail, ''), '');
        result := 'not protected';
      END;
    END IF;
    result := coalesce(result, 'skipped');
    RETURN NEXT;
  END LOOP;
END
$$;
COMMENT ON FUNCTION smart_internal.protect_schema(text, boolean, text, text, text, boolean, boolean) IS 'smart.protect_schema().';

CREATE FUNCTION smart.protect_schema(
  schema text, dry_run boolean DEFAULT true, fhir_version text DEFAULT 'R4', compartment text DEFAULT NULL, base_url text DEFAULT NULL,
  index boolean DEFAULT true, force boolean DEFAULT false) RETURNS TABLE (relation regclass, resource_type text, result text, problem text)
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
  SELECT * FROM smart_internal.protect_schema(schema, dry_run, fhir_version, compartment, base_url, index, force);
END;
COMMENT ON FUNCTION smart.protect_schema(text, boolean, text, text, text, boolean, boolean) IS
  'Protects every table of a schema that looks like FHIR, by its name and by its first rows; with dry_run (the default) it says what it would run. resource_type NULL: many types. problem: why not, or what remains to be mended. Only tables of the caller; the others are named. Errors: 3F000 no such schema, 22023 parameter.';
