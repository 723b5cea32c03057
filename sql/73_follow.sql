/* Records about records (smart.protect(follow => ...)): what the triggers of src/policy/follow.c look up and write. */

CREATE FUNCTION smart_internal.target_patients(relation regclass, type text, id text) RETURNS text[]
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  info record;
  result text[];
BEGIN
  SELECT * INTO info FROM smart_internal.policy_info(relation);
  IF info.options IS NULL THEN
    RETURN NULL;
  END IF;
  -- FOR SHARE: whoever makes the row another patient's waits, and then finds what follows it
  EXECUTE format('SELECT array_agg(DISTINCT regexp_replace(k.key, ''^Patient/'', '''')) FROM
      (SELECT %s AS keys FROM %s WHERE %s AND (%s) = $2 FOR SHARE) t LEFT JOIN LATERAL unnest(coalesce(t.keys, ''{NULL}'')) k(key) ON true',
    CASE WHEN smart_internal.expression_type(relation, info.patients)::text LIKE '%[]' THEN format('(%s)::pg_catalog.text[]', info.patients)
         ELSE format('ARRAY[(%s)::pg_catalog.text]', info.patients) END,
    relation,
    CASE WHEN info.id LIKE 'NULL::%' THEN format('(%s) ->> ''id'' = $1', info.resource)
         ELSE format('(%s) = $1 AND coalesce((%s) ->> ''id'', $1) = $1', info.id, info.resource) END,
    info.type)
  INTO result USING id, type;
  RETURN result;
END
$$;
COMMENT ON FUNCTION smart_internal.target_patients(regclass, text, text) IS
  'The patients of the rows of a protected table with this type and id, as far as the caller may see them; NULL among them for a row without. NULL when there is no such row.';

CREATE FUNCTION smart_internal.followed_patient(named text[], targets text[], follower regclass DEFAULT NULL) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  reference text;
  patients text[];
  found text[];
  result text;
  relation regclass;
BEGIN
  -- the trigger knows tables by name, and one may have another name now
  FOR i IN 1 .. coalesce(array_length(targets, 1), 0) / 2 LOOP
    IF to_regclass(targets[2 * i]) IS NULL AND follower IS NOT NULL THEN
      targets := smart_internal.follow_targets(follower);
      EXIT;
    END IF;
  END LOOP;
  FOREACH reference IN ARRAY named LOOP
    patients := '{}';
    IF reference LIKE 'Patient/%' THEN
      patients := ARRAY[substr(reference, 9)];
    ELSE
      -- targets: pairs of a type, or *, and the table that holds it
      FOR i IN 1 .. coalesce(array_length(targets, 1), 0) / 2 LOOP
        relation := to_regclass(targets[2 * i]);
        IF targets[2 * i - 1] IN (split_part(reference, '/', 1), '*') AND relation IS NOT NULL THEN
          found := smart_internal.target_patients(relation, split_part(reference, '/', 1), split_part(reference, '/', 2));
          patients := patients || found;
        END IF;
      END LOOP;
    END IF;
    SELECT array_agg(DISTINCT p) INTO patients FROM unnest(patients) p;
    -- no patient, or several; * and URLs of other servers are no ids
    IF coalesce(array_length(patients, 1), 0) <> 1 OR patients[1] IS NULL OR patients[1] !~ '^[A-Za-z0-9.-]{1,64}$'
       OR patients[1] <> result THEN
      RETURN NULL;
    END IF;
    result := patients[1];
  END LOOP;
  RETURN result;
END
$$;
COMMENT ON FUNCTION smart_internal.followed_patient(text[], text[], regclass) IS
  'The one patient that all the named records (Type/id) belong to, as far as the caller may see them; else NULL. targets: pairs of a resource type, or *, and a protected table.';

CREATE FUNCTION smart_internal.followers(relation regclass) RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT array_agg(f.oid::regclass::text ORDER BY f.oid::regclass::text)
  FROM pg_class c, smart_internal.policy_info(c.oid::regclass) i, pg_policy fp JOIN pg_class f ON f.oid = fp.polrelid, smart_internal.policy_info(f.oid::regclass) fi
  WHERE c.oid = relation AND fp.polname = 'smart_select' AND smart_internal.own_policies(fp.polrelid) IS NOT NULL AND f.relowner = c.relowner AND NOT f.relispartition
    AND fi.options ? 'follow' AND fi.options ->> 'fhir_version' = i.options ->> 'fhir_version'
    AND fi.options ->> 'base_url' IS NOT DISTINCT FROM i.options ->> 'base_url'
$$;
COMMENT ON FUNCTION smart_internal.followers(regclass) IS 'The tables whose records follow those of a protected table; NULL when there are none.';

CREATE FUNCTION smart_internal.follow_again(named text[], followers text[], relation regclass) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  follower text;
BEGIN
  -- the trigger knows tables by name, and one may have another name now, or be gone
  FOREACH follower IN ARRAY followers LOOP
    IF to_regclass(follower) IS NULL OR smart_internal.followed_expression(to_regclass(follower)) IS NULL THEN
      followers := coalesce(smart_internal.followers(relation), '{}');
      EXIT;
    END IF;
  END LOOP;
  FOREACH follower IN ARRAY followers LOOP
    -- its trigger sets the column
    EXECUTE format('UPDATE %s SET smart_patient = smart_patient WHERE %s && $1', follower, smart_internal.followed_expression(follower::regclass))
    USING named;
  END LOOP;
END
$$;
COMMENT ON FUNCTION smart_internal.follow_again(text[], text[], regclass) IS
  'Has the patient of the rows that name one of these records of a table set anew, as far as the caller may update them.';

CREATE FUNCTION smart_internal.follow_targets(relation regclass) RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(array_agg(x ORDER BY t.name, n), '{}')
  FROM pg_class f, smart_internal.policy_info(f.oid::regclass) fi,
    LATERAL (
      SELECT c.oid::regclass::text AS name, coalesce(i.resource_type, '*') AS type
      FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid, smart_internal.policy_info(c.oid::regclass) i
      WHERE p.polname = 'smart_select' AND smart_internal.own_policies(p.polrelid) IS NOT NULL AND c.relowner = f.relowner AND NOT c.relispartition
        AND i.options ->> 'fhir_version' = fi.options ->> 'fhir_version'
        AND i.options ->> 'base_url' IS NOT DISTINCT FROM fi.options ->> 'base_url') t,
    unnest(ARRAY[t.type, t.name]) WITH ORDINALITY u(x, n)
  WHERE f.oid = relation
$$;
COMMENT ON FUNCTION smart_internal.follow_targets(regclass) IS
  'Where the records that a table follows can be: pairs of a resource type, or *, and a protected table of the same owner, FHIR version and base_url.';

CREATE FUNCTION smart_internal.follow_all(relation regclass) RETURNS bigint
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  changed bigint;
BEGIN
  IF smart_internal.followed_expression(relation) IS NULL THEN
    PERFORM smart_internal.protect_error('55000', format('table %s follows nothing', relation), NULL, 'Protect it with follow => the element that names the other records.');
  END IF;
  EXECUTE format('UPDATE %s SET smart_patient = smart_patient WHERE smart_patient IS DISTINCT FROM smart_internal.followed_patient(%s, $1)',
    relation, smart_internal.followed_expression(relation)) USING smart_internal.follow_targets(relation);
  GET DIAGNOSTICS changed = ROW_COUNT;
  RETURN changed;
END
$$;
COMMENT ON FUNCTION smart_internal.follow_all(regclass) IS 'smart.refresh_followed() as far as the caller sees the rows.';

CREATE FUNCTION smart_internal.keep_followed() RETURNS trigger
  LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'smart_keep_followed';
COMMENT ON FUNCTION smart_internal.keep_followed() IS
  'Trigger of tables protected with follow: sets smart_patient to the one patient that all the named records belong to, looked up as the table''s owner.';

CREATE FUNCTION smart_internal.touch_followers() RETURNS trigger
  LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'smart_touch_followers';
COMMENT ON FUNCTION smart_internal.touch_followers() IS
  'Trigger of protected tables whose records others follow: when one comes, goes or becomes another patient''s, the patient of what names it is set anew.';

CREATE FUNCTION smart.refresh_followed(relation regclass) RETURNS bigint
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'smart_refresh_followed';
COMMENT ON FUNCTION smart.refresh_followed(regclass) IS
  'Sets smart_patient of a table protected with follow where it is not what the named records say; the number of rows that it was wrong in. For the table''s owner. Errors: 42501, 55000 when the table follows nothing.';

CREATE FUNCTION smart_internal.watch_followed(owner oid) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  part record;
  arguments text;
BEGIN
  FOR part IN
    SELECT c.oid::regclass AS relation, i.options, i.options ? 'follow' AS follows,
           EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'smart_follow') AS keeps,
           EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'smart_followed') AS touches,
           smart_internal.followers(c.oid::regclass) AS followers
    FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid, smart_internal.policy_info(c.oid::regclass) i
    WHERE p.polname = 'smart_select' AND smart_internal.own_policies(p.polrelid) IS NOT NULL AND c.relowner = owner AND NOT c.relispartition
    ORDER BY 1
  LOOP
    IF part.keeps THEN
      EXECUTE format('DROP TRIGGER smart_follow ON %s', part.relation);
    END IF;
    IF part.follows THEN
      SELECT string_agg(quote_literal(x), ', ') INTO arguments FROM unnest(smart_internal.follow_targets(part.relation)) x;
      EXECUTE format('CREATE TRIGGER smart_follow BEFORE INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION smart_internal.keep_followed(%s)',
        part.relation, arguments);
      EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER smart_follow', part.relation);
    END IF;
    IF part.touches THEN
      EXECUTE format('DROP TRIGGER smart_followed ON %s', part.relation);
    END IF;
    IF part.followers IS NOT NULL THEN
      SELECT string_agg(quote_literal(x), ', ') INTO arguments FROM unnest(part.followers) x;
      EXECUTE format('CREATE TRIGGER smart_followed AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION smart_internal.touch_followers(%s)',
        part.relation, arguments);
      EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER smart_followed', part.relation);
    END IF;
  END LOOP;
END
$$;
COMMENT ON FUNCTION smart_internal.watch_followed(oid) IS
  'Gives the protected tables of an owner the triggers that follow and are followed, by what their policies say now.';
