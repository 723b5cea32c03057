/* smart_fhir: the install script, joined from sql/[0-9]*.sql by make. */

-- complain if the script is sourced in psql rather than by CREATE EXTENSION
\echo Use "CREATE EXTENSION smart_fhir" to load this file. \quit

-- A schema of this name that belongs to somebody else would let its owner drop or add objects in it.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) n.nspowner
                 WHERE n.nspname OPERATOR(pg_catalog.=) 'smart'
                   AND (r.rolsuper OR r.rolname OPERATOR(pg_catalog.=) CURRENT_USER)) THEN
    RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state',
      MESSAGE = 'schema "smart" belongs to another role',
      HINT = 'Drop or rename it; CREATE EXTENSION makes its own.';
  END IF;
END
$$;

-- smart holds what doc/reference.md documents for users; smart_internal what policies, indexes,
-- views and triggers call at run time, and the parts of the functions in smart.
CREATE SCHEMA smart_internal;
COMMENT ON SCHEMA smart_internal IS 'Parts of smart_fhir that are no interface: what policies, indexes, views and triggers call.';

-- Everything below is schema-qualified. Each part ends with what PUBLIC may not do.
GRANT USAGE ON SCHEMA smart, smart_internal TO PUBLIC;
