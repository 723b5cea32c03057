-- Attempts to be somebody else without a token, and what a connection's pooler relies on.
\getenv srcdir PG_ABS_SRCDIR
\set prelude :srcdir '/data/session/prelude.sql'
\set cleanup :srcdir '/data/session/cleanup.sql'
\set ECHO none
\i :prelude
\set ECHO all
\set VERBOSITY terse
CREATE FUNCTION st.state() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN concat_ws(' ', 'patient', coalesce(smart.patient(), '-'), 'rows', (SELECT count(*) FROM st.observation));
END $$;

-- LF-5: An ordinary role cannot set the session, by whatever road; nor take it away but by logout().
SET ROLE regress_st_app;
BEGIN;
SELECT st.login('{"patient":"1"}');
SELECT n, st.why(c), st.state() FROM (VALUES
	(1, $$SET smart_fhir.session = 'x'$$),
	(2, $$SET LOCAL smart_fhir.session = 'x'$$),
	(3, $$SET SESSION smart_fhir.session = ''$$),
	(4, $$SELECT set_config('smart_fhir.session', 'x', true)$$),
	(5, $$SELECT set_config('smart_fhir.session', '', false)$$),
	(6, $$UPDATE pg_settings SET setting = 'x' WHERE name LIKE 'smart_fhir.s%'$$),
	(7, $$SET smart_fhir.session TO DEFAULT$$),
	(8, $$RESET smart_fhir.session$$),
	(9, $$ALTER ROLE regress_st_app SET smart_fhir.session = 'x'$$),
	(10, $$CREATE FUNCTION pg_temp.f() RETURNS void LANGUAGE sql SET smart_fhir.session = 'x' AS ''$$),
	(11, $$ALTER SYSTEM SET smart_fhir.session = 'x'$$),
	(12, $$SET smart_fhir.other = 'x'$$),
	(13, $$SET "smart_fhir.Session" = 'x'$$)
) v (n, c) ORDER BY n;

-- Nor widen any other setting of ours.
SELECT name, context, st.why(format('SET %s = %L', name, CASE vartype WHEN 'integer' THEN '5' WHEN 'bool' THEN 'off' WHEN 'enum' THEN 'full' ELSE 'Observation' END)) AS set
FROM pg_settings WHERE name LIKE 'smart\_fhir.%' ORDER BY name COLLATE "C";
SELECT st.why('SET smart_fhir.session = ''''') AS session, st.why('SET smart_fhir.shared_types = ''Observation''') AS shared_types, st.why('SET smart_fhir.compartment = full') AS compartment, st.why('SET smart_fhir.token_cache_size = 0') AS cache;

-- SHOW, current_setting(), pg_settings and SHOW ALL hide what it holds.
SHOW smart_fhir.session;
SELECT current_setting('smart_fhir.session');
SELECT count(*) FROM pg_settings WHERE name = 'smart_fhir.session';
-- What SHOW shows is not what could be set.
SELECT st.why(format('SELECT set_config(%L, %L, true)', 'smart_fhir.session', current_setting('smart_fhir.session'))), st.state();
ROLLBACK;
SHOW smart_fhir.session;
RESET ROLE;
BEGIN;
SELECT st.login('{"patient":"1"}');
SHOW smart_fhir.session;
SELECT name, setting FROM pg_show_all_settings() WHERE name = 'smart_fhir.session';
SELECT name, setting, applied, error FROM pg_file_settings WHERE name LIKE 'smart_fhir.%';
ROLLBACK;

-- Not even a superuser can give it a value; so neither can one who was granted SET, nor a definer function of a superuser.
BEGIN;
SELECT n, st.why(c) FROM (VALUES
	(1, $$SET smart_fhir.session = 'x'$$),
	(2, $$SET smart_fhir.session = '<hidden>'$$),
	(3, $$SELECT set_config('smart_fhir.session', 'x', true)$$),
	(4, $$ALTER ROLE regress_st_app SET smart_fhir.session = 'x'$$),
	(5, $$ALTER DATABASE contrib_regression SET smart_fhir.session = 'x'$$),
	(6, $$CREATE FUNCTION st.f() RETURNS void LANGUAGE sql SET smart_fhir.session = 'x' AS ''$$),
	(7, $$SELECT set_config('smart_fhir.session', E'\x01\x02', true)$$)
) v (n, c) ORDER BY n;
GRANT SET ON PARAMETER smart_fhir.session TO regress_st_app;
CREATE FUNCTION st.set(name text, value text) RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT set_config(name, value, false)';
SET LOCAL ROLE regress_st_app;
SELECT st.why($$SET smart_fhir.session = 'x'$$) AS granted, st.why($$SELECT st.set('smart_fhir.session', 'x')$$) AS definer, st.state();
-- Who may set it may end the session: that narrows.
SELECT st.login('{"patient":"1"}');
SELECT st.set('smart_fhir.session', '');
SELECT st.state();
ROLLBACK;
\set VERBOSITY default
SET smart_fhir.session = 'x';
\set VERBOSITY terse

-- A function that has SET of another setting, or of the session in its own clause, cannot carry a session out of a rollback.
BEGIN;
SELECT st.login('{"patient":"1"}');
CREATE FUNCTION st.clause() RETURNS text LANGUAGE plpgsql SET smart_fhir.session = '' AS $$ BEGIN RETURN st.state(); END $$;
SELECT st.clause() AS inside;
SELECT st.state() AS after;
-- a logout or a refused login inside is not undone by the end of the clause
CREATE FUNCTION st.clause_logout() RETURNS text LANGUAGE plpgsql SET smart_fhir.session = '' AS $$ BEGIN PERFORM smart.logout(); RETURN st.state(); END $$;
SELECT st.clause_logout() AS inside;
SELECT st.state() AS after;
ROLLBACK;

-- RESET ALL and DISCARD ALL end a connection's session: poolers run one of them.
SET ROLE regress_st_app;
SELECT smart.login(st.token('{"patient":"1"}'), false);
SELECT st.state();
RESET ALL;
SELECT st.state();
SELECT smart.login(st.token('{"patient":"1"}'), false);
BEGIN;
DECLARE held CURSOR WITH HOLD FOR SELECT id FROM st.observation;
COMMIT;
DISCARD ALL;
SELECT count(*) FROM pg_cursors;
SET ROLE regress_st_app;
SELECT st.state();
SELECT smart.login(st.token('{"patient":"2"}'), false);
SELECT st.state();
SELECT smart.logout();

-- LF-8: Another role in the same connection: the session is the connection's, the privileges are the role's.
RESET ROLE;
BEGIN;
SELECT st.login('{"patient":"1"}');
SET LOCAL ROLE regress_st_app;
SELECT st.state();
SELECT st.why('SELECT count(*) FROM smart.issuer') AS issuer, st.why($$UPDATE smart.issuer SET user_sees_all = true$$) AS widen, st.why($$SELECT smart.assume('{}', 'https://as.example')$$) AS assume,
	st.why($$SELECT smart.add_issuer('https://evil.example', st.jwks('b'), '{x}')$$) AS add_issuer, st.why($$SELECT smart.set_jwks('https://as.example', st.jwks('b'))$$) AS set_jwks,
	st.why($$SELECT smart.drop_issuer('https://as.example')$$) AS drop_issuer, st.why($$SELECT smart_internal.check_issuer(st.jwks('b'), NULL, NULL)$$) AS check_issuer, st.why($$COPY smart.issuer TO STDOUT$$) AS copy;
-- The table's own rights are out of reach, too.
SELECT st.why('ALTER TABLE st.observation DISABLE ROW LEVEL SECURITY') AS disable, st.why('SET LOCAL row_security = off') AS off, st.why('CREATE POLICY p ON st.observation USING (true)') AS policy,
	st.why('DROP POLICY smart_select ON st.observation') AS drop, st.why($$SELECT smart.unprotect('st.observation')$$) AS unprotect;
SET LOCAL row_security = off;
SELECT st.why('SELECT count(*) FROM st.observation') AS without_row_security;
ROLLBACK;

-- A temporary object of the same name, a search_path, an operator or function of the same name elsewhere change no decision.
GRANT CREATE ON SCHEMA st TO regress_st_app;
GRANT TEMP ON DATABASE contrib_regression TO regress_st_app;
SET ROLE regress_st_app;
BEGIN;
CREATE FUNCTION st.row_policy(text, text[], jsonb, text, text, jsonb) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION st.row_check(text, text[], jsonb, text, text, jsonb) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION st.session_patients() RETURNS text[] LANGUAGE sql AS $$ SELECT '{2}'::text[] $$;
CREATE FUNCTION st.yes(text[], text[]) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION st.jsonb_yes(jsonb, text) RETURNS jsonb LANGUAGE sql AS $$ SELECT '"Patient/1"'::jsonb $$;
CREATE OPERATOR st.&& (FUNCTION = st.yes, LEFTARG = text[], RIGHTARG = text[]);
CREATE OPERATOR st.-> (FUNCTION = st.jsonb_yes, LEFTARG = jsonb, RIGHTARG = text);
CREATE TEMP TABLE issuer (issuer text, jwks jsonb, audience text[]);
INSERT INTO issuer VALUES ('https://as.example', st.jwks('b'), '{https://fhir.example/r4}');
CREATE TEMP VIEW session AS SELECT 'https://as.example' AS issuer, '2' AS patient;
CREATE TEMP VIEW protected_table AS SELECT 1 AS x;
CREATE FUNCTION pg_temp.session_row() RETURNS text LANGUAGE sql AS $$ SELECT '2' $$;
SET LOCAL search_path = pg_temp, st, smart, pg_catalog;
SELECT st.login('{"patient":"2"}', NULL, 'b') AS key_of_the_temporary_issuer;
SELECT st.login('{"patient":"1"}') AS key_of_the_real_one;
SELECT smart.patient(), (SELECT patient FROM smart.session) AS view, count(*) AS rows, smart.allows('Device', 'r') AS allows FROM st.observation;
PREPARE q AS SELECT count(*) FROM st.observation;
EXECUTE q;
SELECT st.login('{"scope":"patient/Observation.rs?status=final"}');
EXECUTE q;
ROLLBACK;
RESET ROLE;

-- A temporary table that shadows the table catches rows, but has none of others; FHIR servers qualify names or revoke TEMP.
SET ROLE regress_st_app;
SELECT smart.login(st.token('{"patient":"1"}'), false);
CREATE TEMP TABLE observation AS SELECT * FROM st.observation;
SELECT smart.logout();
SELECT smart.login(st.token('{"patient":"2"}'), false);
SELECT count(*) AS left_by_the_last_client FROM observation;
SELECT smart.logout();
DISCARD ALL;
SELECT to_regclass('pg_temp.observation');

-- The C functions of the policies grant nothing when called by hand, and with wrong arguments give an error or false.
SET ROLE regress_st_app;
SELECT st.why($$SELECT smart_internal.row_policy('SELECT', '{1}'::text[], st.obs('x', '1'), 'Observation', 'x', '{}')$$) AS no_options,
	st.why($$SELECT smart_internal.row_policy(NULL, NULL::text[], NULL, NULL, NULL, NULL)$$) AS nulls, st.why($$SELECT smart_internal.row_policy('TRUNCATE', '{1}'::text[], st.obs('x', '1'), 'Observation', 'x', '{"compartment":"subject","fhir_version":"R4","revision":0}')$$) AS command,
	st.why($$SELECT smart_internal.row_policy_support(NULL)$$) <> 'ok' AS support_refused, st.why($$SELECT smart_internal.issuer_changed()$$) AS trigger;
RESET ROLE;
REVOKE CREATE ON SCHEMA st FROM regress_st_app;
REVOKE TEMP ON DATABASE contrib_regression FROM regress_st_app;

\set ECHO none
\i :cleanup
