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
  'Constraint triggers smart_followed of protected tables, each FROM a table that follows: when a record becomes another patient''s, what names it becomes nobody''s. Arguments: the type of the records, or *; on a partition, which is followed as a part of its table: partition.';

-- Of a partitioned table each leaf has the triggers, never the table itself: PostgreSQL makes clones of a table's row triggers with the rights of whoever makes a
-- partition, and nobody may execute these functions. A later partition gets its triggers from the event trigger that gives it the policies.

CREATE FUNCTION smart_internal.keep_followed_by(follower regclass) RETURNS void
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'smart_keep_followed_by';
COMMENT ON FUNCTION smart_internal.keep_followed_by(regclass) IS
  'Makes the triggers of a table, or leaf partition, that follows. For its owner. Errors: 42501, 42809.';

CREATE FUNCTION smart_internal.link_follower(followed regclass, follower regclass, type text, part boolean DEFAULT false) RETURNS void
  LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'smart_link_follower';
COMMENT ON FUNCTION smart_internal.link_follower(regclass, regclass, text, boolean) IS
  'Has one table follow another: makes the constraint trigger on the followed one, a table or, with part, a leaf partition. type: of its records, or *. For the owner of both. Errors: 42501, 42809.';

CREATE FUNCTION smart_internal.follow_leaves(relation regclass, OUT leaf regclass, OUT part boolean, OUT owned boolean) RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT p.relid::regclass, p.level > 0, c.relowner = (SELECT r.relowner FROM pg_class r WHERE r.oid = relation)
  FROM smart_internal.partitions(relation) p JOIN pg_class c ON c.oid = p.relid
  WHERE p.kind = 'r'
$$;
COMMENT ON FUNCTION smart_internal.follow_leaves(regclass) IS
  'The tables that the triggers of a table are on: itself, or its leaf partitions (part). owned: it has the same owner; others'' records are not looked up.';

CREATE FUNCTION smart_internal.follow_links(relation regclass, OUT trigger name, OUT leaf regclass, OUT followed regclass, OUT follower regclass, OUT type text)
RETURNS SETOF record
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  -- both by an index
  WITH link AS (
    SELECT t.tgname, t.tgrelid, t.tgconstrrelid, t.tgfoid, t.tgnargs, t.tgargs FROM smart_internal.partitions(relation) p JOIN pg_trigger t ON t.tgrelid = p.relid
    UNION
    SELECT t.tgname, t.tgrelid, t.tgconstrrelid, t.tgfoid, t.tgnargs, t.tgargs FROM pg_depend d JOIN pg_trigger t ON t.oid = d.objid
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = relation AND d.classid = 'pg_trigger'::regclass AND t.tgconstrrelid = relation)
  SELECT t.tgname, t.tgrelid::regclass, CASE WHEN t.tgnargs > 1 THEN coalesce(pg_partition_root(t.tgrelid::regclass), t.tgrelid::regclass) ELSE t.tgrelid::regclass END,
    t.tgconstrrelid::regclass, split_part(encode(t.tgargs, 'escape'), chr(92) || '000', 1)
  FROM link t WHERE t.tgfoid = 'smart_internal.touch_followers()'::regprocedure
$$;
COMMENT ON FUNCTION smart_internal.follow_links(regclass) IS
  'The links of a table: to those that follow it, and to those that it follows; a row for each trigger, of partitioned tables on each leaf.';

CREATE FUNCTION smart_internal.has_unique_id(relation regclass) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM pg_index x JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0]
                 WHERE x.indrelid = relation AND x.indisunique AND x.indisvalid AND x.indnkeyatts = 1 AND x.indpred IS NULL
                   AND (SELECT i.id FROM smart_internal.policy_info(relation) i) IN
                       (quote_ident(a.attname), format('(%I)::text', a.attname)))
$$;
COMMENT ON FUNCTION smart_internal.has_unique_id(regclass) IS
  'Has a protected table one row an id at most, as an index on its id column says? A table of versions (history) has not.';

CREATE FUNCTION smart_internal.link_tables(followed regclass, follower regclass) RETURNS text
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  it record;
  its record;
  link record;
  type text;
  told boolean;
  wanted boolean;
  reason text;
BEGIN
  SELECT i.*, c.relowner, c.relnamespace INTO it FROM pg_class c, smart_internal.policy_info(c.oid::regclass) i WHERE c.oid = followed;
  SELECT i.*, c.relowner, c.relnamespace INTO its FROM pg_class c, smart_internal.policy_info(c.oid::regclass) i WHERE c.oid = follower;
  type := coalesce(it.resource_type, '*');
  told := coalesce((it.options ->> 'followed')::boolean, false);
  wanted := coalesce(it.options IS NOT NULL AND its.options ? 'follow' AND it.options ->> 'fhir_version' = its.options ->> 'fhir_version'
    AND it.options ->> 'base_url' IS NOT DISTINCT FROM its.options ->> 'base_url' AND it.relowner = its.relowner
    AND (told OR it.options -> 'followed' IS NULL), false);
  IF wanted AND NOT told AND it.relnamespace <> its.relnamespace THEN
    wanted := false;
    reason := format('%s (not in the schema of %s)', followed, follower);
  ELSIF wanted AND NOT told THEN
    -- of several tables of a type, of records before one of their versions, and the one that is followed already
    FOR link IN
      SELECT DISTINCT l.followed FROM smart_internal.follow_links(follower) l
      WHERE l.follower = follower AND l.type = type AND l.followed <> followed
        AND (SELECT i.options -> 'followed' IS NULL FROM smart_internal.policy_info(l.followed) i)
    LOOP
      IF smart_internal.has_unique_id(followed) AND NOT smart_internal.has_unique_id(link.followed) THEN
        PERFORM smart_internal.drop_links(link.followed, follower);
        reason := format('%s (%s instead)', link.followed, followed);
      ELSE
        wanted := false;
        reason := format('%s (%s instead)', followed, link.followed);
      END IF;
    END LOOP;
  END IF;
  IF NOT wanted THEN
    PERFORM smart_internal.drop_links(followed, follower);
    RETURN reason;
  END IF;
  PERFORM smart_internal.drop_links(followed, follower, type);
  FOR link IN
    SELECT f.leaf, f.part FROM smart_internal.follow_leaves(followed) f
    WHERE f.owned AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = f.leaf AND t.tgconstrrelid = follower
                      AND t.tgfoid = 'smart_internal.touch_followers()'::regprocedure)
  LOOP
    PERFORM smart_internal.link_follower(link.leaf, follower, type, link.part);
  END LOOP;
  RETURN reason;
END
$$;
COMMENT ON FUNCTION smart_internal.link_tables(regclass, regclass) IS
  'Makes, keeps or takes away the link between two protected tables, by what their policies say now. What is not followed though it could be, and why; or NULL.';

CREATE FUNCTION smart_internal.drop_links(followed regclass, follower regclass, but_type text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  link record;
BEGIN
  FOR link IN
    SELECT l.trigger, l.leaf FROM smart_internal.follow_links(followed) l
    WHERE l.leaf IN (SELECT p.relid FROM smart_internal.partitions(followed) p) AND l.follower = follower
      AND (l.type IS DISTINCT FROM but_type OR l.followed <> followed)
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', link.trigger, link.leaf);
  END LOOP;
END
$$;
COMMENT ON FUNCTION smart_internal.drop_links(regclass, regclass, text) IS
  'Takes away the link between two tables, on all partitions; with but_type only what is not of this type, or of a partition by itself.';

CREATE FUNCTION smart_internal.watch_followed(relation regclass) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  other regclass;
  reason text;
  owner oid;
  namespace oid;
  follows boolean;
  passed_over text[] := '{}';
  elsewhere text[] := '{}';
  has_follower boolean := false;
BEGIN
  SELECT c.relowner, c.relnamespace INTO owner, namespace FROM pg_class c WHERE c.oid = relation;
  follows := coalesce((SELECT i.options ? 'follow' FROM smart_internal.policy_info(relation) i), false);
  IF NOT follows THEN
    PERFORM smart_internal.drop_follow_triggers(relation, true);
  ELSE
    PERFORM smart_internal.keep_leaf(f.leaf) FROM smart_internal.follow_leaves(relation) f;
    -- tables that are followed stay so, else the older ones first
    FOR other IN
      SELECT c.oid FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
      WHERE p.polname = 'smart_select' AND c.relowner = owner AND NOT c.relispartition
      ORDER BY EXISTS (SELECT FROM smart_internal.follow_links(relation) l WHERE l.follower = relation AND l.followed = c.oid) DESC,
               smart_internal.has_unique_id(c.oid) DESC, c.oid
    LOOP
      passed_over := passed_over || smart_internal.link_tables(other, relation);
    END LOOP;
  END IF;
  FOR other IN SELECT f FROM smart_internal.followers_of(owner) f
  LOOP
    CONTINUE WHEN other = relation;
    reason := smart_internal.link_tables(relation, other);
    IF (SELECT c.relnamespace FROM pg_class c WHERE c.oid = other) = namespace THEN
      has_follower := true;
      passed_over := array_remove(passed_over, reason) || reason;
    ELSE
      elsewhere := elsewhere || reason;
    END IF;
  END LOOP;
  -- that those of other schemas do not follow it is worth saying where none does
  passed_over := array_remove(passed_over || CASE WHEN NOT has_follower AND NOT follows THEN elsewhere END, NULL);
  IF cardinality(passed_over) > 0 THEN
    RAISE NOTICE 'not followed: %', concat(array_to_string(passed_over[:20], ', '),
                                           CASE WHEN cardinality(passed_over) > 20 THEN format(', and %s more', cardinality(passed_over) - 20) END)
      USING HINT = 'To have such a table looked up as well, call smart.protect() for it again, with what it was called with and followed => true; with followed => false it never is.';
  END IF;
END
$$;
COMMENT ON FUNCTION smart_internal.watch_followed(regclass) IS
  'Gives a protected table, or its partitions, the triggers that follow and are followed, by what the policies of its owner''s tables say now.';

CREATE FUNCTION smart_internal.followers_of(owner oid) RETURNS SETOF regclass
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(pg_partition_root(t.tgrelid::regclass), t.tgrelid::regclass) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
  WHERE t.tgfoid = 'smart_internal.keep_followed()'::regprocedure AND c.relowner = $1
  UNION
  -- those without partitions
  SELECT c.oid FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid, smart_internal.policy_info(c.oid::regclass) i
  WHERE p.polname = 'smart_select' AND c.relowner = $1 AND c.relkind = 'p' AND NOT c.relispartition AND i.options ? 'follow'
$$;
COMMENT ON FUNCTION smart_internal.followers_of(oid) IS 'The tables of a role that follow others.';

CREATE FUNCTION smart_internal.keep_leaf(leaf regclass) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
  IF (SELECT count(*) FROM pg_trigger t WHERE t.tgrelid = leaf AND t.tgfoid = 'smart_internal.keep_followed()'::regprocedure AND t.tgenabled = 'A') <> 2 THEN
    PERFORM smart_internal.drop_keeping(leaf);
    PERFORM smart_internal.keep_followed_by(leaf);
  END IF;
END
$$;
COMMENT ON FUNCTION smart_internal.keep_leaf(regclass) IS 'smart_internal.keep_followed_by(), where its triggers are not there and in force.';

CREATE FUNCTION smart_internal.follow_partitions(root regclass, leaves regclass[]) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  leaf regclass;
  link record;
  other regclass;
  follows boolean := (SELECT i.options ? 'follow' FROM smart_internal.policy_info(root) i);
  is_followed boolean := false;
BEGIN
  FOREACH leaf IN ARRAY leaves LOOP
    IF (SELECT c.relowner FROM pg_class c WHERE c.oid = leaf) <> (SELECT c.relowner FROM pg_class c WHERE c.oid = root) AND (follows OR EXISTS
        (SELECT FROM smart_internal.follow_links(root) l WHERE l.followed = root)) THEN
      RAISE WARNING 'partition % belongs to another role than %: it neither follows nor is followed', leaf, root
        USING HINT = 'Give it to the same role with ALTER TABLE ... OWNER TO, and call smart.protect() again.';
    END IF;
    -- what it followed by itself, before it was a partition
    PERFORM smart_internal.drop_links(l.followed, leaf) FROM (SELECT DISTINCT k.followed FROM smart_internal.follow_links(leaf) k WHERE k.follower = leaf) l;
    IF follows THEN
      PERFORM smart_internal.keep_leaf(leaf);
    ELSE
      PERFORM smart_internal.drop_keeping(leaf);
    END IF;
  END LOOP;
  -- followed as the partitions beside them
  FOR link IN SELECT DISTINCT l.follower, l.type FROM smart_internal.follow_links(root) l WHERE l.followed = root LOOP
    is_followed := true;
    FOR leaf IN
      SELECT l FROM unnest(leaves) l
      WHERE (SELECT c.relowner FROM pg_class c WHERE c.oid = l) = (SELECT c.relowner FROM pg_class c WHERE c.oid = root)
        AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = l AND t.tgconstrrelid = link.follower AND t.tgnargs > 1
                        AND t.tgfoid = 'smart_internal.touch_followers()'::regprocedure)
    LOOP
      PERFORM smart_internal.drop_links(leaf, link.follower);
      PERFORM smart_internal.link_follower(leaf, link.follower, link.type, true);
    END LOOP;
  END LOOP;
  -- the first ones that it has
  IF NOT is_followed THEN
    FOR other IN SELECT f FROM smart_internal.followers_of((SELECT c.relowner FROM pg_class c WHERE c.oid = root)) f LOOP
      PERFORM smart_internal.link_tables(root, other);
    END LOOP;
  END IF;
END
$$;
COMMENT ON FUNCTION smart_internal.follow_partitions(regclass, regclass[]) IS
  'Gives new leaf partitions the triggers that follow and are followed, as their table''s other partitions have them.';

CREATE FUNCTION smart_internal.drop_keeping(leaf regclass) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  trigger name;
BEGIN
  FOR trigger IN SELECT t.tgname FROM pg_trigger t WHERE t.tgrelid = leaf AND t.tgfoid = 'smart_internal.keep_followed()'::regprocedure LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', trigger, leaf);
  END LOOP;
END
$$;
COMMENT ON FUNCTION smart_internal.drop_keeping(regclass) IS 'Takes away what smart_internal.keep_followed_by() made.';

CREATE FUNCTION smart_internal.drop_follow_triggers(relation regclass, of_follower boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  it record;
BEGIN
  FOR it IN SELECT f.leaf FROM smart_internal.follow_leaves(relation) f LOOP
    PERFORM smart_internal.drop_keeping(it.leaf);
  END LOOP;
  FOR it IN SELECT l.trigger, l.leaf FROM smart_internal.follow_links(relation) l WHERE l.follower = relation OR NOT of_follower LOOP
    EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', it.trigger, it.leaf);
  END LOOP;
END
$$;
COMMENT ON FUNCTION smart_internal.drop_follow_triggers(regclass, boolean) IS
  'Takes a table''s triggers and links away, on all its partitions: all, or only those that it has because it follows.';

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
