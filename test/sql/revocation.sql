-- Revocation: tokens that count no more although they have not expired (smart-rules LF-11, LF-12, LF-19, OC-95).
\getenv srcdir PG_ABS_SRCDIR
\set prelude :srcdir '/data/session/prelude.sql'
\set cleanup :srcdir '/data/session/cleanup.sql'
\set ECHO none
\i :prelude
\set ECHO all
\set VERBOSITY terse
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE ROLE regress_st_administrator;
GRANT EXECUTE ON FUNCTION smart.revoke_tokens, smart.unrevoke TO regress_st_administrator;
-- what the client sees, whoever asks
CREATE FUNCTION st.rows() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
	n text;
BEGIN
	n := st.why('SELECT count(*) FROM st.observation');
	IF n = 'ok' THEN
		n := (SELECT count(*) FROM st.observation);
	END IF;
	RETURN n;
END $$;
ALTER FUNCTION st.rows() OWNER TO regress_st_app;
CREATE FUNCTION st.token_g(change jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
	SELECT st.token('{"grant_id":"g1"}'::jsonb || change)
$$;
-- revoke_tokens() with these arguments and then a login with the usual token, in a transaction that is undone
CREATE FUNCTION st.revoked(arguments text, change jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	EXECUTE 'SELECT smart.revoke_tokens(' || arguments || ')';
	answer := st.why(format('SELECT smart.login(%L)', st.token_g(change)));
	DELETE FROM smart.revocation;
	RETURN answer;
END $$;

-- A list that is not there, or not found, is no empty list: no login.
BEGIN;
ALTER TABLE smart.revocation RENAME TO revocation_elsewhere;
SELECT st.why(format('SELECT smart.login(%L)', st.token_g()));
ROLLBACK;
SELECT st.why(format('SELECT smart.login(%L)', st.token_g()));
SELECT smart.logout();

-- Nobody has a right by default; the functions need EXECUTE and nothing else.
SET ROLE regress_st_app;
SELECT smart.revoke_tokens('https://as.example', jti => 'j1');
SELECT smart.unrevoke(1);
SELECT count(*) FROM smart.revocation;
SELECT nextval('smart.revocation_id_seq');
SET ROLE regress_st_administrator;
SELECT smart.revoke_tokens('https://as.example', jti => 'nobody');
SELECT count(*) FROM smart.revocation;
RESET ROLE;
SELECT issuer, jti, client_id, subject, grant_id, issued_before, until BETWEEN clock_timestamp() + interval '40000 days' AND clock_timestamp() + interval '40000 days 3 minutes' AS until
FROM smart.revocation;
DELETE FROM smart.revocation;

-- All that is given must fit the token; one thing that does not, and it is not revoked.
SELECT arguments, st.revoked(arguments) FROM (VALUES
	($$'https://as.example', jti => 'j1'$$),
	($$'https://as.example', client_id => 'app1'$$),
	($$'https://as.example', subject => 'u1'$$),
	($$'https://as.example', grant_id => 'g1'$$),
	($$'https://as.example', issued_before => to_timestamp(1700000001)$$),
	($$'https://as.example', issued_before => 'infinity'$$),
	($$'https://as.example', 'j1', 'app1', 'u1', 'g1', to_timestamp(1700000001), 'infinity'$$),
	($$'https://as.example', issued_before => to_timestamp(1700000000)$$),
	($$'https://as.example', jti => 'j'$$),
	($$'https://as.example', jti => 'j11'$$),
	($$'https://as.example', client_id => 'j1'$$),
	($$'https://as.example', 'j2', 'app1', 'u1', 'g1', to_timestamp(1700000001)$$),
	($$'https://as.example', 'j1', 'app2', 'u1', 'g1', to_timestamp(1700000001)$$),
	($$'https://as.example', 'j1', 'app1', 'u2', 'g1', to_timestamp(1700000001)$$),
	($$'https://as.example', 'j1', 'app1', 'u1', 'g2', to_timestamp(1700000001)$$),
	($$'https://as.example', 'j1', 'app1', 'u1', 'g1', to_timestamp(1700000000)$$)) AS listed (arguments);
-- Another issuer's tokens are its own.
SELECT smart.add_issuer('https://as2.example', st.jwks('b'), '{https://fhir.example/r4}');
SELECT st.revoked($$'https://as2.example', jti => 'j1'$$);
-- A token without the member that is asked for is not meant; one without iat may be of before.
SELECT st.revoked($$'https://as.example', grant_id => 'g1'$$, '{"grant_id":null}') AS no_grant,
	st.revoked($$'https://as.example', grant_id => 'g1'$$, '{"grant_id":["g1"]}') AS no_text;
UPDATE smart.issuer SET required_claims = '{}', max_token_age = '80000 days' WHERE issuer = 'https://as.example';
SELECT st.revoked($$'https://as.example', issued_before => to_timestamp(1)$$, '{"iat":null}') AS no_iat,
	st.revoked($$'https://as.example', jti => 'j1'$$, '{"jti":null}') AS no_jti;
UPDATE smart.issuer SET required_claims = NULL WHERE issuer = 'https://as.example';

-- What means nothing, or would silently revoke nothing, is refused.
SELECT arguments, st.why('SELECT smart.revoke_tokens(' || arguments || ')') FROM (VALUES
	($$NULL, jti => 'j1'$$), ($$'', jti => 'j1'$$), ($$'https://as9.example', jti => 'j1'$$), ($$'https://as.example'$$),
	($$'https://as.example', jti => ''$$), ($$'https://as.example', subject => ''$$), ($$'https://as.example', client_id => ''$$),
	($$'https://as.example', grant_id => ''$$), ($$'https://as.example', issued_before => '-infinity'$$),
	($$'https://as.example', jti => 'j1', until => clock_timestamp()$$)) AS listed (arguments);
SELECT st.why('SELECT smart.unrevoke(NULL)'), st.why('SELECT smart.unrevoke(-1)');
SELECT st.why($$INSERT INTO smart.revocation (issuer) VALUES ('https://as.example')$$) AS all_tokens,
	st.why($$INSERT INTO smart.revocation (issuer, jti) VALUES ('https://as.example', '')$$) AS empty;
-- Neither in a read-only transaction, though the list is written without a plan.
BEGIN READ ONLY;
SELECT st.why($$SELECT smart.revoke_tokens('https://as.example', jti => 'j1')$$), st.why('SELECT smart.unrevoke(1)');
COMMIT;
SELECT count(*) FROM smart.revocation;

-- A session that is open fails at its next statement; unrevoke() gives it back. By function and by plain DML.
SELECT smart.login(st.token_g(), false);
SELECT st.rows();
SELECT smart.revoke_tokens('https://as.example', grant_id => 'g1');
SET ROLE regress_st_app;
SELECT st.rows(), st.why('SELECT count(*) FROM st.condition') AS empty_table;
SELECT smart.patient() AS shows_nothing, count(*) FROM smart.session;
RESET ROLE;
SELECT smart.unrevoke(id) FROM smart.revocation;
SELECT st.rows();
INSERT INTO smart.revocation (issuer, subject) VALUES ('https://as.example', 'u2');
SELECT st.rows();
UPDATE smart.revocation SET subject = 'u1';
SELECT st.rows();
DELETE FROM smart.revocation;
SELECT st.rows();
INSERT INTO smart.revocation (issuer, jti) VALUES ('https://as.example', 'j1');
SELECT st.rows();
TRUNCATE smart.revocation;
SELECT st.rows();
-- One that is rolled back never was.
BEGIN;
SELECT smart.revoke_tokens('https://as.example', jti => 'j1');
SELECT st.rows();
ROLLBACK;
SELECT st.rows();
-- The running transaction sees it too, whatever its isolation level, with a cursor and a prepared statement.
GRANT EXECUTE ON FUNCTION smart.revoke_tokens TO regress_st_app;
SET ROLE regress_st_app;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT st.rows();
DECLARE c CURSOR FOR SELECT id FROM st.observation ORDER BY id;
FETCH c;
PREPARE q AS SELECT count(*) FROM st.observation;
EXECUTE q;
SELECT smart.revoke_tokens('https://as.example', jti => 'j1');
SAVEPOINT s;
FETCH c;
ROLLBACK TO s;
EXECUTE q;
ROLLBACK;
DEALLOCATE q;
RESET ROLE;
SELECT smart.logout();

-- A remembered token, an assumed session and an introspection response meet the list as well.
BEGIN;
SELECT st.why(format('SELECT smart.login(%L)', st.token_g()));
SELECT smart.revoke_tokens('https://as.example', jti => 'j1');
SELECT st.why(format('SELECT smart.login(%L)', st.token_g())), st.assume(), st.assume('{"jti":"j2"}');
ROLLBACK;
SELECT st.why(format('SELECT smart.login(%L)', st.token_g()));

-- The list is found by the table itself where the index is gone, or unusable for the system.
SELECT smart.revoke_tokens('https://as.example', jti => 'j1');
BEGIN;
DROP INDEX smart.revocation_lookup;
SELECT st.login(), st.login('{"jti":"j2"}');
ROLLBACK;
SELECT st.login(), st.login('{"jti":"j2"}');
REINDEX INDEX CONCURRENTLY smart.revocation_lookup;
SELECT st.login(), st.login('{"jti":"j2"}');

-- "until": an entry whose time is over counts no more, and goes by itself, in small steps, with later ones.
DELETE FROM smart.revocation;
INSERT INTO smart.revocation (issuer, jti, until) VALUES ('https://as.example', 'j1', clock_timestamp());
SELECT st.login();
INSERT INTO smart.revocation (issuer, jti, until) SELECT 'https://as.example', 'old' || i, clock_timestamp() FROM generate_series(1, 30) i;
DO $$ BEGIN
	FOR i IN 1..5 LOOP
		PERFORM smart.revoke_tokens('https://as.example', jti => 'new' || i);
	END LOOP;
END $$;
SELECT count(*) FILTER (WHERE jti LIKE 'new%') AS new, count(*) FILTER (WHERE jti NOT LIKE 'new%') AS old FROM smart.revocation;
-- It ends when no token that it meets can be valid: with max_token_age and leeway, from the time of issue where that is given.
DELETE FROM smart.revocation;
UPDATE smart.issuer SET max_token_age = '1 hour', leeway = '10 s' WHERE issuer = 'https://as.example';
INSERT INTO smart.revocation (issuer, jti, subject, issued_before) VALUES
	('https://as.example', 'j', NULL, NULL), ('https://as.example', NULL, 's', '2030-01-01Z'), ('https://as.example', 'j', NULL, '2020-01-01Z'),
	('https://as.example', NULL, 's', NULL), ('https://as.example', NULL, NULL, 'infinity'), ('https://as9.example', 'j', NULL, NULL);
SELECT jti, subject, issued_before AT TIME ZONE 'UTC' AS issued_before,
	CASE WHEN until BETWEEN clock_timestamp() + interval '1 hour' AND clock_timestamp() + interval '1 hour 30 s' THEN 'now + 1 h + 20 s' ELSE (until AT TIME ZONE 'UTC')::text END AS until
FROM smart.revocation ORDER BY id;
-- A token that need not say when it was issued can be valid for ever.
DELETE FROM smart.revocation;
UPDATE smart.issuer SET required_claims = '{jti}' WHERE issuer = 'https://as.example';
SELECT smart.revoke_tokens('https://as.example', jti => 'j1');
SELECT until FROM smart.revocation;

-- The trigger functions are for this table alone, and the key is a pure function of its arguments.
SELECT smart_internal.revocation_lookup(NULL, 'j', NULL, NULL, NULL) IS NULL AS none,
	smart_internal.revocation_lookup('i', NULL, 'c', NULL, NULL) = smart_internal.revocation_lookup('i', NULL, NULL, 'c', NULL) AS same;
CREATE TABLE st.other (id int);
CREATE TRIGGER t BEFORE INSERT ON st.other FOR EACH ROW EXECUTE FUNCTION smart_internal.revocation_defaults();
INSERT INTO st.other VALUES (1);
SELECT smart_internal.revocation_changed();

DELETE FROM smart.revocation;
DROP OWNED BY regress_st_administrator;
DROP ROLE regress_st_administrator;
\set ECHO none
\i :cleanup
