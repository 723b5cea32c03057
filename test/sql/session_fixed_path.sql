-- T. Context functions are found by schema, name and argument type, whatever the caller has put in front of a search path; everything
-- of ours that resolves a name does so under a fixed one.
\getenv srcdir PG_ABS_SRCDIR
\set prelude :srcdir '/data/session/prelude.sql'
\set cleanup :srcdir '/data/session/cleanup.sql'
\set ECHO none
\i :prelude
\set ECHO all
SET client_min_messages = warning;
-- care is found when the function runs
SET check_function_bodies = off;
GRANT CREATE ON SCHEMA st TO regress_st_app;
-- one with a search_path of its own, one without: its unqualified names are those of its own schema
CREATE TABLE st.care (patient text);
INSERT INTO st.care VALUES ('1');
GRANT SELECT ON st.care TO PUBLIC;
CREATE FUNCTION st.fixed(c jsonb) RETURNS text[] LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$ SELECT '{1}'::text[] $$;
CREATE FUNCTION st.open(c jsonb) RETURNS text[] LANGUAGE sql SECURITY DEFINER AS $$ SELECT array_agg(lower(patient)) FROM care $$;
CREATE FUNCTION st.alias(p text) RETURNS text[] LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT array_agg(patient) FROM care); END $$;
CREATE FUNCTION st.set(users text, aliases text) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
	SELECT smart.add_issuer('https://as.example', st.jwks('a'), '{https://fhir.example/r4}', max_token_age => '40000 days', user_patients => users::regprocedure, patient_aliases => aliases::regprocedure) $$;
CREATE FUNCTION st.whom() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM smart.login(st.token('{"scope":"user/*.rs patient/*.rs","fhirUser":"Practitioner/p"}'));
	RETURN (SELECT string_agg(id, ' ' ORDER BY id) FROM st.patient);
END $$;
SET ROLE regress_st_app;
-- what an app role can make: a domain, an overload for it, a table, a function with a better match
BEGIN;
CREATE DOMAIN pg_temp.jsonb AS pg_catalog.jsonb;
CREATE DOMAIN pg_temp.text AS pg_catalog.text;
CREATE FUNCTION st.fixed(c pg_temp.jsonb) RETURNS pg_catalog.text[] LANGUAGE sql AS $$ SELECT '{2,3}'::pg_catalog.text[] $$;
CREATE FUNCTION st.open(c pg_temp.jsonb) RETURNS pg_catalog.text[] LANGUAGE sql AS $$ SELECT '{2,3}'::pg_catalog.text[] $$;
CREATE FUNCTION st.alias(p pg_temp.text) RETURNS pg_catalog.text[] LANGUAGE sql AS $$ SELECT '{2,3}'::pg_catalog.text[] $$;
CREATE TEMP TABLE care (patient pg_catalog.text);
INSERT INTO pg_temp.care VALUES ('2'), ('3');
CREATE FUNCTION pg_temp.lower(pg_catalog.text) RETURNS pg_catalog.text LANGUAGE sql AS $$ SELECT '3'::pg_catalog.text $$;
SELECT st.set('st.fixed(pg_catalog.jsonb)', NULL), st.whom() AS fixed;
SELECT st.set('st.open(pg_catalog.jsonb)', NULL), st.whom() AS open;
SELECT st.set(NULL, 'st.alias(pg_catalog.text)'), st.whom() AS alias;
SET LOCAL search_path = pg_temp, st, smart, pg_catalog;
SELECT st.set('st.fixed(pg_catalog.jsonb)', 'st.alias(pg_catalog.text)'), st.whom() AS both;
ROLLBACK;
RESET ROLE;

-- The row names a function by its qualified name and its one argument; plain DML with anything else is a fault of the set-up.
SELECT f, st.why(format('UPDATE smart.issuer SET user_patients = %L, patient_aliases = NULL', f)) AS row, st.login('{"fhirUser":"Practitioner/p"}')
FROM unnest(ARRAY['st.fixed(jsonb)', 'st.fixed(pg_catalog.jsonb)', '"st"."fixed"(jsonb)', 'fixed(jsonb)', 'st.fixed', 'st.fixed(text)', 'st.fixed(jsonb', 'st.none(jsonb)', 'none.fixed(jsonb)', 'pg_temp.fixed(jsonb)', 'a.st.fixed(jsonb)', '', '(', 'st.whom()', 'pg_catalog.jsonb_object_keys(jsonb)']) f;
UPDATE smart.issuer SET user_patients = NULL;

-- A fault in one: the client learns which option and SQLSTATE, the log has the rest; what passes by itself is raised as it is.
CREATE FUNCTION st.fails(c jsonb) RETURNS text[] LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = c ->> 'with', MESSAGE = 'secret', DETAIL = 'secret'; END $$;
SELECT st.set('st.fails(jsonb)', NULL);
CREATE FUNCTION st.fault(code text, OUT state text, OUT message text, OUT detail text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM smart.login(st.token(jsonb_build_object('fhirUser', 'Practitioner/p', 'with', code)));
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
END $$;
SELECT c, f.* FROM unnest('{22012,P0001,28000,40001,40P01}'::text[]) c, st.fault(c) f;

-- Every function of ours that is text, and resolves names when it runs, has a search_path of its own: pg_catalog, or none, pg_temp last. (C
-- functions find objects by schema and name in the catalogs; SQL functions without one would be inlined, and have qualified names only.)
SELECT p.oid::regprocedure AS without_search_path, l.lanname FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace IN ('smart'::regnamespace, 'smart_internal'::regnamespace) AND l.lanname IN ('sql', 'plpgsql') AND p.prosqlbody IS NULL
	AND NOT coalesce(p.proconfig && '{"search_path=pg_catalog, pg_temp","search_path=\"\""}', false)
ORDER BY 1;
\set ECHO none
\i :cleanup
