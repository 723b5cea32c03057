/* Records about records (smart.protect(follow => ...)): which table follows which, and the triggers of src/policy/follow.c. */

CREATE FUNCTION smart_internal.keep_followed() RETURNS trigger
  LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'smart_keep_followed';
REVOKE ALL ON FUNCTION smart_internal.keep_followed() FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.keep_followed() IS
  'Triggers smart_follow and smart_follow_check of tables protected with follow: before a row is written, the one patient that all the named records belong to; afterwards, whether that still holds.';

CREATE FUNCTION smart_internal.touch_followers() RETURNS trigger
  LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'smart_touch_followers';
REVOKE ALL ON FUNCTION smart_internal.touch_followers() FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.touch_followers() IS
  'Constraint triggers smart_followed of protected tables, each FROM a table that follows: when a record becomes another patient''s, what names it becomes nobody''s. Argument: the type of the records, or *.';

CREATE FUNCTION smart_internal.keep_followed_by(follower regclass) RETURNS void
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'smart_keep_followed_by';
COMMENT ON FUNCTION smart_internal.keep_followed_by(regclass) IS
  'Makes the triggers of a table that follows. For its owner. Errors: 42501, 42809.';

CREATE FUNCTION smart_internal.link_follower(followed regclass, follower regclass, type text) RETURNS void
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'smart_link_follower';
COMMENT ON FUNCTION smart_internal.link_follower(regclass, regclass, text) IS
  'Has one table follow another: makes the constraint trigger on the followed one. type: of its records, or *. For the owner of both. Errors: 42501, 42809.';

CREATE FUNCTION smart_internal.follow_links(relation regclass, OUT trigger name, OUT followed regclass, OUT follower regclass, OUT type text) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT t.tgname, t.tgrelid::regclass, t.tgconstrrelid::regclass, rtrim(encode(t.tgargs, 'escape'), '\000')
  FROM pg_trigger t
  WHERE t.tgfoid = 'smart_internal.touch_followers()'::regprocedure AND t.tgparentid = 0
    AND (t.tgrelid = relation
         -- by the index over what depends on it
         OR t.oid IN (SELECT d.objid FROM pg_depend d WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = relation AND d.classid = 'pg_trigger'::regclass)
            AND t.tgconstrrelid = relation)
$$;
COMMENT ON FUNCTION smart_internal.follow_links(regclass) IS 'The links of a table: to those that follow it, and to those that it follows.';

CREATE FUNCTION smart_internal.has_unique_id(relation regclass) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM pg_index x JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0]
                 WHERE x.indrelid = relation AND x.indisunique AND x.indisvalid AND x.indnkeyatts = 1 AND x.indpred IS NULL
                   AND (SELECT i.id FROM smart_internal.policy_info(relation) i) IN
                       (quote_ident(a.attname), format('(%I)::text', a.attname)))
$$;
COMMENT ON FUNCTION smart_internal.has_unique_id(regclass) IS
  'Has a protected table one row an id at most, as an index on its id column says? A table of versions (history) has not.';

CREATE FUNCTION smart_internal.link_tables(followed regclass, follower regclass) RETURNS regclass
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  it record;
  its record;
  link record;
  type text;
  wanted boolean;
  linked name;
BEGIN
  SELECT * INTO it FROM smart_internal.policy_info(followed);
  SELECT * INTO its FROM smart_internal.policy_info(follower);
  type := coalesce(it.resource_type, '*');
  wanted := it.options IS NOT NULL AND its.options ? 'follow' AND it.options ->> 'fhir_version' = its.options ->> 'fhir_version'
    AND it.options ->> 'base_url' IS NOT DISTINCT FROM its.options ->> 'base_url'
    AND coalesce((it.options ->> 'followed')::boolean, true)
    AND (SELECT c.relowner FROM pg_class c WHERE c.oid = followed) = (SELECT c.relowner FROM pg_class c WHERE c.oid = follower);
  FOR link IN SELECT * FROM smart_internal.follow_links(followed) l WHERE l.followed = followed AND l.follower = follower LOOP
    IF wanted AND link.type = type AND linked IS NULL THEN
      linked := link.trigger;
    ELSE
      EXECUTE format('DROP TRIGGER %I ON %s', link.trigger, followed);
    END IF;
  END LOOP;
  IF NOT coalesce(wanted, false) THEN
    RETURN NULL;
  END IF;
  -- of several tables of a type, the first; the others when they were told so
  IF it.options -> 'followed' IS NULL THEN
    FOR link IN SELECT * FROM smart_internal.follow_links(follower) l WHERE l.follower = follower AND l.type = type AND l.followed <> followed LOOP
      IF (SELECT i.options -> 'followed' IS NULL FROM smart_internal.policy_info(link.followed) i) THEN
        IF linked IS NOT NULL THEN
          EXECUTE format('DROP TRIGGER %I ON %s', linked, followed);
        END IF;
        RETURN link.followed;
      END IF;
    END LOOP;
  END IF;
  IF linked IS NULL THEN
    PERFORM smart_internal.link_follower(followed, follower, type);
  END IF;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION smart_internal.link_tables(regclass, regclass) IS
  'Makes, keeps or takes away the link between two protected tables, by what their policies say now. The table that is followed instead, when there is no link for that reason.';

CREATE FUNCTION smart_internal.watch_followed(relation regclass) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  other regclass;
  instead regclass;
  owner oid;
  follows boolean;
  passed_over text[] := '{}';
BEGIN
  SELECT c.relowner INTO owner FROM pg_class c WHERE c.oid = relation;
  follows := coalesce((SELECT i.options ? 'follow' FROM smart_internal.policy_info(relation) i), false);
  IF NOT follows THEN
    PERFORM smart_internal.drop_follow_triggers(relation, true);
  ELSIF (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgfoid = 'smart_internal.keep_followed()'::regprocedure AND t.tgenabled = 'A') <> 2 THEN
    PERFORM smart_internal.drop_follow_triggers(relation, true);
    PERFORM smart_internal.keep_followed_by(relation);
  END IF;
  IF follows THEN
    -- tables that are followed stay so; else one of the same schema, of records before one of their versions, and the older one first
    FOR other IN
      SELECT c.oid FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
      WHERE p.polname = 'smart_select' AND c.relowner = owner AND NOT c.relispartition
      ORDER BY EXISTS (SELECT FROM smart_internal.follow_links(relation) l WHERE l.followed = c.oid) DESC,
               (c.relnamespace = (SELECT r.relnamespace FROM pg_class r WHERE r.oid = relation)) DESC, smart_internal.has_unique_id(c.oid) DESC, c.oid
    LOOP
      instead := smart_internal.link_tables(other, relation);
      IF instead IS NOT NULL THEN
        passed_over := passed_over || format('%s (%s instead)', other, instead);
      END IF;
    END LOOP;
  END IF;
  FOR other IN
    SELECT DISTINCT t.tgrelid FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE t.tgfoid = 'smart_internal.keep_followed()'::regprocedure AND c.relowner = owner AND NOT c.relispartition AND t.tgrelid <> relation
  LOOP
    instead := smart_internal.link_tables(relation, other);
    IF instead IS NOT NULL THEN
      passed_over := array_remove(passed_over, format('%s (%s instead)', relation, instead)) || format('%s (%s instead)', relation, instead);
    END IF;
  END LOOP;
  IF cardinality(passed_over) > 0 THEN
    RAISE NOTICE 'not followed: %', array_to_string(passed_over, ', ')
      USING HINT = 'To have a second table of the same type asked as well, pass followed => true when you protect it; false to have it never asked.';
  END IF;
END
$$;
COMMENT ON FUNCTION smart_internal.watch_followed(regclass) IS
  'Gives a protected table the triggers that follow and are followed, by what the policies of its owner''s tables say now.';

CREATE FUNCTION smart_internal.drop_follow_triggers(relation regclass, of_follower boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  it record;
BEGIN
  FOR it IN
    SELECT t.tgname AS trigger, t.tgrelid::regclass AS relation FROM pg_trigger t
    WHERE t.tgrelid = relation AND t.tgparentid = 0 AND t.tgfoid = 'smart_internal.keep_followed()'::regprocedure
    UNION ALL
    SELECT l.trigger, l.followed FROM smart_internal.follow_links(relation) l WHERE l.follower = relation OR NOT of_follower
  LOOP
    EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', it.trigger, it.relation);
  END LOOP;
END
$$;
COMMENT ON FUNCTION smart_internal.drop_follow_triggers(regclass, boolean) IS
  'Takes a table''s triggers and links away: all, or only those that it has because it follows.';

CREATE FUNCTION smart_internal.follow_rows(relation regclass, everything boolean) RETURNS bigint
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'smart_follow_rows';
COMMENT ON FUNCTION smart_internal.follow_rows(regclass, boolean) IS
  'Looks the named records of nobody''s rows, or of all, up again; how many rows got another patient. For the table''s owner. Errors: 42501, 42809, 55000 when the table follows nothing.';

CREATE FUNCTION smart.refresh_followed(relation regclass) RETURNS bigint
LANGUAGE sql VOLATILE STRICT PARALLEL UNSAFE
BEGIN ATOMIC
  SELECT smart_internal.follow_rows(relation, false);
END;
COMMENT ON FUNCTION smart.refresh_followed(regclass) IS
  'Looks up again whose the rows of a table protected with follow are that belong to nobody (their records were moved to another patient, or came later); the number of rows that have a patient now. Rows that have one keep it. For the table''s owner. Errors: 42501, 42809 no table, 55000 when the table follows nothing.';
