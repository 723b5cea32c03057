-- The three duties: what each role may call, and what nobody may read.
\getenv srcdir PG_ABS_SRCDIR
\set prelude :srcdir '/data/oauth/prelude.sql'
\set cleanup :srcdir '/data/oauth/cleanup.sql'
\set ECHO none
\i :prelude
\set ECHO all
\set VERBOSITY terse
SELECT oa.configure(), oa.clients();

CREATE ROLE regress_oa_protocol; CREATE ROLE regress_oa_people; CREATE ROLE regress_oa_administration; CREATE ROLE regress_oa_fhir; CREATE ROLE regress_oa_reader;
SELECT smart.grant_oauth('regress_oa_protocol', 'protocol'), smart.grant_oauth('regress_oa_people', 'people'), smart.grant_oauth('regress_oa_administration', 'administration');
GRANT pg_read_all_data, pg_write_all_data TO regress_oa_reader;
GRANT USAGE ON SCHEMA oa TO PUBLIC;

-- What a duty is: a function is its own and no other's (names of schema smart; server_jwks and authorize have two).
SELECT name, (SELECT string_agg(substr(r, 12), ', ' ORDER BY r) FROM unnest(ARRAY['regress_oa_protocol', 'regress_oa_people', 'regress_oa_administration', 'regress_oa_fhir', 'regress_oa_reader']) r
	WHERE has_function_privilege(r, oid, 'EXECUTE')) AS may
FROM (SELECT p.oid, n.nspname || '.' || p.proname AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
	JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e' JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
	WHERE e.extname = 'smart_fhir_oauth' AND (n.nspname = 'smart' OR has_function_privilege('regress_oa_protocol', p.oid, 'EXECUTE') OR has_function_privilege('regress_oa_people', p.oid, 'EXECUTE')
		OR has_function_privilege('regress_oa_administration', p.oid, 'EXECUTE') OR has_function_privilege('public', p.oid, 'EXECUTE'))) f ORDER BY 1;
-- tables and views
SELECT r AS role, string_agg(c.oid::regclass::text, ', ' ORDER BY c.relname) AS may_read
FROM unnest(ARRAY['regress_oa_protocol', 'regress_oa_people', 'regress_oa_administration', 'regress_oa_fhir']) r, pg_class c
WHERE c.relnamespace IN ('smart'::regnamespace, 'smart_internal'::regnamespace) AND c.relkind IN ('r', 'v') AND c.relname ~ '^(oauth_|client$|grants$|revocation$|issuer$)' AND has_any_column_privilege(r, c.oid, 'SELECT') GROUP BY 1 ORDER BY 1;
-- pg_read_all_data reads no row, pg_write_all_data writes none: row security without a policy
SET ROLE regress_oa_reader;
SELECT count(*) FROM smart_internal.oauth_client;
SELECT oa.why('INSERT INTO smart_internal.oauth_client_event VALUES (''web'', ''approved'', now(), NULL)'), oa.why('DELETE FROM smart_internal.oauth_client'), oa.why('SET row_security = off; SELECT FROM smart_internal.oauth_client_secret');
RESET ROLE;
SELECT relname FROM pg_class WHERE relnamespace = 'smart_internal'::regnamespace AND relname ~ '^oauth_' AND relkind = 'r' AND NOT relrowsecurity;

-- protocol: authorize() asks, but cannot say who sits there; nothing else of people's
SET ROLE regress_oa_protocol;
SELECT oa.brief(smart.authorize(oa.request())) AS authorize, oa.why('SELECT smart.authorize(oa.request(), ''{"sub":"bob"}'')') AS with_person, oa.why('SELECT smart.approve(oa.request(), ''{"denied":true}'')') AS approve,
	oa.why('SELECT smart.create_launch(''web'', ''{}'', NULL, ''bob'')') AS launch, oa.why('SELECT FROM smart.grants') AS grants, oa.why('SELECT smart.withdraw_grant(''a'', ''web'')') AS withdraw;
SELECT smart.smart_configuration('https://fhir.example/fhir') ? 'capabilities' AS discovery, smart.openid_configuration() ? 'issuer' AS openid, smart.capability_security() ? 'service' AS capability, smart.server_jwks() ? 'keys' AS jwks, smart.register('{}', '{}')->>'status' AS register;
SELECT oa.why('SELECT smart.server_configuration()') AS configuration, oa.why('SELECT FROM smart.client') AS client, oa.why('SELECT FROM smart_internal.oauth_signing_key') AS keys, oa.why('SELECT smart_internal.oauth_end_client(''web'', ''disabled'')') AS parts,
	oa.why('SELECT smart_internal.oauth_make_signing_key(''ES256'', now())') AS make_key, oa.why('SELECT smart.grant_oauth(''regress_oa_protocol'', ''people'')') AS duty;
RESET ROLE;
-- people
SET ROLE regress_oa_people;
SELECT oa.brief(smart.authorize(oa.request(), '{"sub":"alice","fhirUser":"Patient/1"}')) AS authorize, oa.brief(smart.approve(oa.request(), '{"sub":"alice","fhirUser":"Patient/1","scope":"patient/*.rs"}')) AS approve,
	length(smart.create_launch('web', '{"patient":"1"}', NULL, 'bob')) AS launch, (SELECT count(*) FROM smart.grants) AS grants;
SELECT smart.withdraw_grant('alice', 'web'), smart.end_user_session('alice');
SELECT count(*) AS grants FROM smart.grants;
SELECT oa.why('SELECT smart.disable_client(''web'')') AS disable, oa.why('SELECT smart.revoke_tokens(''https://as.example/auth'', subject => ''a'')') AS revoke, oa.why('SELECT smart.register_client(''{}'')') AS register;
RESET ROLE;
-- administration
SET ROLE regress_oa_administration;
SELECT smart.configure_server(smart.server_configuration()), smart.create_signing_key() IS NOT NULL AS key, smart.register_client('{"client_id":"another","redirect_uris":["https://a.example/cb"]}') IS NOT NULL AS client, (SELECT count(*) FROM smart.client) AS clients;
SELECT smart.revoke_tokens('https://as.example/auth', subject => 'a'), smart.disable_client('another'), smart.enable_client('another'), smart.after_restore(now());
SELECT oa.why('SELECT smart.approve(oa.request(), ''{"denied":true}'')') AS approve, oa.why('SELECT FROM smart_internal.oauth_signing_key') AS keys;
RESET ROLE;
-- the FHIR pool has none
SET ROLE regress_oa_fhir;
SELECT name, oa.why(format('SELECT %s', name)) FROM unnest(ARRAY['smart.authorize(oa.request())', 'smart.approve(oa.request(), ''{"denied":true}'')', 'smart.create_launch(''web'', ''{}'', NULL, ''bob'')', 'smart.server_jwks()', 'smart.register(''{}'', ''{}'')', 'smart.revoke_tokens(''x'')']) name;
RESET ROLE;

-- user_patients runs with the rights of who calls approve(), never the owner's; it cannot become the owner.
CREATE TABLE oa.seen (who name, search_path text);
GRANT INSERT ON oa.seen TO PUBLIC;
CREATE FUNCTION oa.patients_of(claims jsonb) RETURNS text[] LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO oa.seen VALUES (current_user, current_setting('search_path'));
	RETURN ARRAY['5'];
END $$;
SET ROLE regress_oa_administration;
SELECT smart.configure_server('{"issuer":"https://as.example/auth","fhir_base_urls":["https://fhir.example/fhir"],"user_patients":"oa.patients_of"}');
SET ROLE regress_oa_people;
SELECT oa.brief(smart.approve(oa.request(), '{"sub":"alice","patient":"5","scope":"patient/*.rs"}'));
RESET ROLE;
SELECT who FROM oa.seen;
REVOKE EXECUTE ON FUNCTION oa.patients_of(jsonb) FROM PUBLIC;
SET ROLE regress_oa_people;
SELECT oa.why($$SELECT smart.approve(oa.request(), '{"sub":"alice","patient":"5","scope":"patient/*.rs"}')$$);
RESET ROLE;
SELECT oa.configure();

-- Attacks by search_path, temporary objects, operators and settings: what runs as the owner resolves nothing of the caller's.
GRANT CREATE ON SCHEMA oa TO regress_oa_protocol, regress_oa_people, regress_oa_administration;
CREATE FUNCTION oa.attack() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	CREATE TEMP TABLE oauth_configuration (options jsonb); CREATE TEMP TABLE oauth_client (client_id text); CREATE TEMP TABLE pg_proc (oid oid);
	CREATE FUNCTION pg_temp.caught() RETURNS void LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''caught as %'', current_user; END';
	EXECUTE format('CREATE FUNCTION oa.evil_eq(text, text) RETURNS boolean LANGUAGE plpgsql AS %L', 'BEGIN RAISE EXCEPTION ''evil as %'', current_user; END');
	CREATE OPERATOR oa.= (LEFTARG = text, RIGHTARG = text, FUNCTION = oa.evil_eq); CREATE OPERATOR oa.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = oa.evil_eq); CREATE OPERATOR oa.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = oa.evil_eq);
	EXECUTE format('CREATE FUNCTION oa.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS %L', 'BEGIN RAISE EXCEPTION ''evil as %'', current_user; END');
	EXECUTE format('CREATE FUNCTION oa.format(text, text) RETURNS text LANGUAGE plpgsql AS %L', 'BEGIN RAISE EXCEPTION ''evil as %'', current_user; END');
END $$;
SET ROLE regress_oa_administration;
SELECT oa.attack();
SET search_path = pg_temp, oa, pg_catalog; SET transform_null_equals = on; SET datestyle = 'SQL, DMY'; SET intervalstyle = 'iso_8601'; SET bytea_output = 'escape';
SELECT smart.register_client('{"client_id":"third","redirect_uris":["https://a.example/cb"],"scope":"openid launch launch/patient patient/*.rs"}') IS NOT NULL AS register,
	smart.update_client('third', '{"client_name":"x"}') IS NOT NULL AS update, smart.rotate_client_secret('third', '1 s') IS NOT NULL AS rotate, smart.create_signing_key() IS NOT NULL AS key, smart.after_restore('2000-01-01') AS restore;
SELECT smart.configure_server('{"issuer":"https://as.example/auth","fhir_base_urls":["https://fhir.example/fhir"]}'), pg_catalog.count(*) FROM smart.client;
RESET ROLE;
SET ROLE regress_oa_people;
SELECT smart.authorize('{"client_id":"third"}', '{"sub":"a"}')->'status' AS authorize, smart.approve('{"client_id":"third"}', '{"denied":true}')->'status' AS approve, pg_catalog.length(smart.create_launch('third', '{}', NULL, 'bob')) AS launch, (SELECT pg_catalog.count(*) FROM smart.grants) AS grants, smart.withdraw_grant('a', 'third') AS withdraw;
RESET ROLE;
SET ROLE regress_oa_protocol;
SELECT smart.smart_configuration() IS NOT NULL AS discovery, smart.openid_configuration() IS NOT NULL AS openid, smart.capability_security() IS NOT NULL AS capability, smart.register('{}', '{}')->'status' AS register;
RESET ROLE;
RESET search_path; RESET transform_null_equals; RESET datestyle; RESET intervalstyle; RESET bytea_output;

-- a duty that is taken back, what another needs stays
SELECT smart.grant_oauth('regress_oa_people', 'protocol'), smart.revoke_oauth('regress_oa_people', 'protocol');
SELECT has_function_privilege('regress_oa_people', 'smart.authorize(jsonb, jsonb)', 'EXECUTE') AS authorize, has_function_privilege('regress_oa_people', 'smart.register(jsonb, jsonb)', 'EXECUTE') AS register;
SELECT smart.revoke_oauth('regress_oa_people', 'people');
SELECT has_function_privilege('regress_oa_people', 'smart.authorize(jsonb, jsonb)', 'EXECUTE') AS authorize, has_table_privilege('regress_oa_people', 'smart.grants', 'SELECT') AS grants;
SELECT oa.why('SELECT smart.grant_oauth(''regress_oa_people'', ''everything'')'), oa.why('SELECT smart.grant_oauth(''regress_oa_people'', NULL)'), oa.why('SELECT smart.grant_oauth(''-'', ''people'')'), oa.why('SELECT smart.grant_oauth(NULL, ''people'')');
\set ECHO none
DISCARD TEMP;
DROP SCHEMA oa CASCADE; CREATE SCHEMA oa;
DROP OWNED BY regress_oa_protocol, regress_oa_people, regress_oa_administration, regress_oa_fhir, regress_oa_reader;
DROP ROLE regress_oa_protocol, regress_oa_people, regress_oa_administration, regress_oa_fhir, regress_oa_reader;
\i :cleanup
