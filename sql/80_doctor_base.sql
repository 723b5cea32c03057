/*
 * smart.doctor(): what the checks share: names that are safe to show, which tables are protected, who is an
 * application role. Everything is read from catalogs: nothing that others made is run, planned, folded or
 * deparsed, and no lock of theirs is waited for.
 */

CREATE FUNCTION smart_internal.doctor_ident(name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN $1 !~ '[^ -~]' THEN quote_ident($1)
    ELSE 'U&"' || (SELECT string_agg(CASE WHEN ch = '"' THEN '""' WHEN ch = '\' THEN '\\' WHEN ch ~ '[ -~]' THEN ch
                                          WHEN ascii(ch) > 65535 THEN '\+' || lpad(to_hex(ascii(ch)), 6, '0')
                                          ELSE '\' || lpad(to_hex(ascii(ch)), 4, '0') END, '' ORDER BY n)
                   FROM string_to_table($1, NULL) WITH ORDINALITY t (ch, n)) || '"' END
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_ident(text) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_ident(text) IS
  'A name as an identifier: quoted where it must be, and with control, bidi and all other non-ASCII characters as U&"\..." escapes, so that a terminal shows what is there.';

CREATE FUNCTION smart_internal.doctor_url(url text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$ SELECT CASE WHEN $1 !~ '[^!-~]' THEN $1 ELSE smart_internal.doctor_ident($1) END $$;
REVOKE ALL ON FUNCTION smart_internal.doctor_url(text) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_url(text) IS 'An issuer, to show: as it is, or escaped as doctor_ident() does.';

CREATE FUNCTION smart_internal.doctor_relation(relation oid) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT smart_internal.doctor_ident(n.nspname) || '.' || smart_internal.doctor_ident(c.relname)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_relation(oid) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_relation(oid) IS 'Qualified name of a relation, to show; see doctor_ident().';

CREATE FUNCTION smart_internal.doctor_role(role oid) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN $1 = 0 THEN 'PUBLIC' ELSE coalesce((SELECT smart_internal.doctor_ident(r.rolname) FROM pg_roles r WHERE r.oid = $1), $1::text) END
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_role(oid) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_role(oid) IS 'Name of a role, to show; 0 is PUBLIC.';

CREATE FUNCTION smart_internal.doctor_routine(routine oid) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('%s.%s(%s)', smart_internal.doctor_ident(n.nspname), smart_internal.doctor_ident(p.proname),
    (SELECT string_agg(CASE WHEN tn.nspname = 'pg_catalog' AND t.typelem <> 0 AND t.typlen = -1 AND t.typname LIKE '\_%'
                            THEN (SELECT format('%s.%s[]', smart_internal.doctor_ident(en.nspname), smart_internal.doctor_ident(e.typname))
                                  FROM pg_type e JOIN pg_namespace en ON en.oid = e.typnamespace WHERE e.oid = t.typelem)
                            ELSE format('%s.%s', smart_internal.doctor_ident(tn.nspname), smart_internal.doctor_ident(t.typname)) END, ', ' ORDER BY a.n)
     FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY a (type, n) JOIN pg_type t ON t.oid = a.type JOIN pg_namespace tn ON tn.oid = t.typnamespace))
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = $1
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_routine(oid) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_routine(oid) IS 'Qualified name of a function with its argument types, to show and for ALTER ROUTINE; see doctor_ident().';

CREATE FUNCTION smart_internal.doctor_remedy(statement text, VARIADIC names text[]) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN statement IS NULL OR array_to_string(names, '') ~ '[^ -~]'
    THEN 'The name has characters other than printable ASCII ones: look at the object, and rename or drop it by hand.' ELSE statement END
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_remedy(text, text[]) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_remedy(text, text[]) IS
  'The statement, or a sentence in its place where one of the names that stand in it is not plain ASCII.';

CREATE FUNCTION smart_internal.doctor_protected() RETURNS TABLE (relid oid, owner oid, kind "char", policies text[])
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT c.oid, c.relowner, c.relkind, o.policies
  FROM (SELECT DISTINCT p.polrelid FROM pg_policy p WHERE p.polname IN ('smart_select', 'smart_insert', 'smart_update', 'smart_delete')) t
  JOIN pg_class c ON c.oid = t.polrelid, LATERAL (SELECT smart_internal.own_policies(c.oid) AS policies OFFSET 0) o
  WHERE o.policies IS NOT NULL
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_protected() FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_protected() IS 'Tables that have at least one policy of smart.protect().';

CREATE FUNCTION smart_internal.doctor_grants(relation oid) RETURNS TABLE (grantee oid, privilege text)
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT a.grantee, a.privilege_type FROM pg_class c, aclexplode(c.relacl) a
  WHERE c.oid = $1 AND a.grantee <> c.relowner
  UNION
  SELECT a.grantee, a.privilege_type FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a
  WHERE c.oid = $1 AND NOT t.attisdropped AND t.attacl IS NOT NULL AND a.grantee <> c.relowner
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_grants(oid) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_grants(oid) IS 'Who was granted what on a relation or one of its columns, the owner apart; grantee 0 is PUBLIC.';

CREATE FUNCTION smart_internal.doctor_app_roles() RETURNS oid[]
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  WITH protected AS MATERIALIZED (SELECT * FROM smart_internal.doctor_protected()),
  reader AS MATERIALIZED (
    SELECT DISTINCT g.grantee AS role
    FROM protected p, smart_internal.doctor_grants(p.relid) g WHERE g.privilege = 'SELECT'
    UNION SELECT DISTINCT p.owner FROM protected p
    UNION SELECT r.oid FROM pg_roles r WHERE r.rolname = 'pg_read_all_data')
  SELECT coalesce(array_agg(r.oid ORDER BY r.rolname), '{}') FROM pg_roles r
  WHERE r.rolcanlogin AND NOT r.rolsuper AND EXISTS (SELECT FROM protected)
    AND EXISTS (SELECT FROM reader g WHERE g.role = 0 OR smart_internal.doctor_reaches(r.oid, g.role))
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_app_roles() FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_app_roles() IS
  'Application roles: they can log in, are no superusers, and can read a protected table, by membership too.';

CREATE FUNCTION smart_internal.doctor_reaches(role oid, target oid) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT $1 = $2 OR EXISTS (
    WITH RECURSIVE up (oid) AS (
      SELECT m.roleid FROM pg_auth_members m WHERE m.member = $1
      UNION SELECT m.roleid FROM up JOIN pg_auth_members m ON m.member = up.oid)
    SELECT FROM up WHERE up.oid = $2)
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_reaches(oid, oid) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_reaches(oid, oid) IS
  'Is the role the target or a member of it, directly or not, by whatever grant of membership? Being a superuser does not count.';

CREATE FUNCTION smart_internal.doctor_app_reaches(app oid[], target oid) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN target = 0 THEN cardinality(app) > 0 ELSE EXISTS (SELECT FROM unnest(app) a WHERE smart_internal.doctor_reaches(a, target)) END
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_app_reaches(oid[], oid) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_app_reaches(oid[], oid) IS 'Does what is granted to the target (0: PUBLIC) reach an application role?';

CREATE FUNCTION smart_internal.doctor_unbound(role oid) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce((SELECT r.rolsuper OR r.rolbypassrls FROM pg_roles r WHERE r.oid = $1), true)
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_unbound(oid) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_unbound(oid) IS 'Do policies not bind the role, wherever it reads?';

CREATE FUNCTION smart_internal.doctor_revoke(relation oid, privilege text, app oid[]) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT smart_internal.doctor_remedy(
    format('REVOKE %s ON %s FROM %s CASCADE', privilege, smart_internal.doctor_relation(relation),
           string_agg(smart_internal.doctor_role(g.grantee), ', ' ORDER BY g.grantee)),
    VARIADIC array_agg(coalesce(r.rolname, '')::text) || min(c.relname::text) || min(n.nspname::text))
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
    LATERAL (SELECT DISTINCT x.grantee FROM smart_internal.doctor_grants(c.oid) x
             WHERE ($2 = 'ALL' OR x.privilege = $2) AND smart_internal.doctor_app_reaches($3, x.grantee)) g
  LEFT JOIN pg_roles r ON r.oid = g.grantee
  WHERE c.oid = $1
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_revoke(oid, text, oid[]) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_revoke(oid, text, oid[]) IS
  'The REVOKE that takes a privilege (ALL: each) on a relation from everybody through whom application roles have it.';

CREATE FUNCTION smart_internal.doctor_trusts(relation oid) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT NOT EXISTS (
    SELECT FROM pg_depend d
    LEFT JOIN pg_proc f ON d.refclassid = 'pg_proc'::regclass AND f.oid = d.refobjid
    LEFT JOIN pg_type t ON d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid
    LEFT JOIN pg_operator o ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid
    JOIN pg_roles r ON r.oid = coalesce(f.proowner, t.typowner, o.oprowner)
    WHERE NOT r.rolsuper
      AND ((d.classid = 'pg_class'::regclass AND d.objid = $1)
        OR (d.classid = 'pg_class'::regclass AND d.objid IN (SELECT i.indexrelid FROM pg_index i WHERE i.indrelid = $1))
        OR (d.classid = 'pg_policy'::regclass AND d.objid IN (SELECT p.oid FROM pg_policy p WHERE p.polrelid = $1))
        OR (d.classid = 'pg_trigger'::regclass AND d.objid IN (SELECT g.oid FROM pg_trigger g WHERE g.tgrelid = $1))
        OR (d.classid = 'pg_attrdef'::regclass AND d.objid IN (SELECT a.oid FROM pg_attrdef a WHERE a.adrelid = $1))))
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_trusts(oid) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_trusts(oid) IS
  'Do the policies, indexes, triggers, defaults and columns of the table name only functions, operators and types of superusers, so that protect() on it runs nobody else''s code?';

CREATE FUNCTION smart_internal.doctor_again(relation oid) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN smart_internal.doctor_trusts($1)
    THEN smart_internal.doctor_remedy(format('SELECT smart_internal.protect_again(%L)', smart_internal.doctor_relation($1)), n.nspname, c.relname)
    ELSE 'Its policies, indexes, triggers or columns name functions or types of ordinary roles, which smart.protect() would run: let the owner of the table call it again.' END
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_again(oid) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_again(oid) IS 'The remedy that writes policies and indexes of a protected table anew, from what its SELECT policy says.';

CREATE FUNCTION smart_internal.protect_again(relation regclass) RETURNS text
LANGUAGE sql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT smart.protect(relation, i.resource_type, resource => i.resource,
    patients => CASE WHEN (i.options -> 'patients')::boolean AND NOT i.options ? 'follow' THEN i.patients END,
    type => CASE WHEN i.resource_type IS NULL THEN i.type END, id => i.id,
    shared => (i.options ->> 'shared')::boolean, compartment => i.options ->> 'compartment',
    fhir_version => i.options ->> 'fhir_version', base_url => i.options ->> 'base_url', follow => i.options ->> 'follow', force => true, order_by => i.order_by)
  FROM smart_internal.policy_info(relation) i WHERE i.options IS NOT NULL
$$;
REVOKE ALL ON FUNCTION smart_internal.protect_again(regclass) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.protect_again(regclass) IS 'smart.protect() with what the SELECT policy of the table says; remedy of smart.doctor().';
