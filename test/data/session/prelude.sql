-- What the session tests share: two roles, an issuer, three protected tables, helpers.
-- Keys are those of RFC 7515 A.3, RFC 7517 A.2 (P-256) and RFC 8037 A.1 (Ed25519).
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS st CASCADE;
DROP ROLE IF EXISTS regress_st_app, regress_st_own;
CREATE ROLE regress_st_app;
CREATE ROLE regress_st_own;
CREATE SCHEMA st;
GRANT USAGE ON SCHEMA st TO PUBLIC;
GRANT CREATE ON SCHEMA st TO regress_st_own;
CREATE FUNCTION st.key(name text) RETURNS jsonb IMMUTABLE LANGUAGE sql AS $$
	SELECT CASE name
		WHEN 'a' THEN '{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}'
		WHEN 'b' THEN '{"kty":"EC","crv":"P-256","kid":"b","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}'
		WHEN 'ed' THEN '{"kty":"OKP","crv":"Ed25519","kid":"ed","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}'
	END::jsonb
$$;
CREATE FUNCTION st.jwks(VARIADIC names text[]) RETURNS jsonb IMMUTABLE LANGUAGE sql AS $$
	SELECT jsonb_build_object('keys', jsonb_agg(st.key(n) - 'd')) FROM unnest(names) n
$$;
-- The claims of a usual token, changed; a JSON null takes a member away.
CREATE FUNCTION st.claims(change jsonb DEFAULT '{}') RETURNS jsonb IMMUTABLE LANGUAGE sql AS $$
	SELECT jsonb_object_agg(key, value) FROM jsonb_each('{"iss":"https://as.example","sub":"u1","client_id":"app1",
		"aud":"https://fhir.example/r4","jti":"j1","iat":1700000000,"exp":4102444800,"patient":"1",
		"scope":"patient/*.cruds"}'::jsonb || change) WHERE value <> 'null'
$$;
CREATE FUNCTION st.token(change jsonb DEFAULT '{}', header jsonb DEFAULT NULL, key text DEFAULT 'a') RETURNS text LANGUAGE sql AS $$
	SELECT smart.jwt_sign(st.claims(change), st.key(key), header)
$$;
-- Runs a command: 'ok', or SQLSTATE, schema and constraint name of its error.
CREATE FUNCTION st.why(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	s text;
	c text;
BEGIN
	EXECUTE command;
	RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS s = SCHEMA_NAME, c = CONSTRAINT_NAME;
	RETURN concat_ws(' ', sqlstate, nullif(concat_ws('.', nullif(s, ''), nullif(c, '')), ''));
END $$;
-- Logs in with changed claims; the answer is as above.
CREATE FUNCTION st.login(change jsonb DEFAULT '{}', header jsonb DEFAULT NULL, key text DEFAULT 'a') RETURNS text LANGUAGE sql AS $$
	SELECT st.why(format('SELECT smart.login(%L)', st.token(change, header, key)))
$$;
CREATE FUNCTION st.assume(change jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
	SELECT st.why(format('SELECT smart.assume(%L, %L)', st.claims(change), 'https://as.example'))
$$;
-- Seconds from the clock: for tokens that are to expire, or have.
CREATE FUNCTION st.clock(seconds float8) RETURNS jsonb LANGUAGE sql AS $$
	SELECT to_jsonb(extract(epoch FROM clock_timestamp()) + seconds)
$$;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA st TO PUBLIC;

SET ROLE regress_st_own;
CREATE TABLE st.observation (id text PRIMARY KEY, resource jsonb NOT NULL, note text);
CREATE TABLE st.patient (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE st.condition (id text PRIMARY KEY, resource jsonb NOT NULL);	-- stays empty
CREATE FUNCTION st.obs(id text, patient text) RETURNS jsonb IMMUTABLE LANGUAGE sql AS $$
	SELECT jsonb_build_object('resourceType', 'Observation', 'id', id, 'subject', jsonb_build_object('reference', 'Patient/' || patient))
$$;
INSERT INTO st.observation SELECT 'o' || i, st.obs('o' || i, (2 - i % 2)::text) FROM generate_series(1, 6) i;
INSERT INTO st.patient SELECT i::text, jsonb_build_object('resourceType', 'Patient', 'id', i::text) FROM generate_series(1, 3) i;
DO $$ BEGIN
	PERFORM smart.protect('st.observation', 'Observation');
	PERFORM smart.protect('st.patient', 'Patient');
	PERFORM smart.protect('st.condition', 'Condition');
END $$;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA st TO regress_st_app;
RESET ROLE;
DO $$ BEGIN
	PERFORM smart.add_issuer('https://as.example', st.jwks('a'), '{https://fhir.example/r4}', max_token_age => '40000 days');
END $$;
SET client_min_messages = notice;
