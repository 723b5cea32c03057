-- Keys that are fetched: what the database knows of it, and what the program's role may do. A failure keeps the keys that are there; past
-- refuse_after the issuer's tokens are refused, and its sessions end.
\getenv srcdir PG_ABS_SRCDIR
\set prelude :srcdir '/data/session/prelude.sql'
\set cleanup :srcdir '/data/session/cleanup.sql'
\set ECHO none
\i :prelude
\set ECHO all
\set VERBOSITY terse
SET client_min_messages = warning;
DELETE FROM smart.issuer;
CREATE ROLE regress_st_fetch;
-- https, and http on this machine itself.
SELECT u, smart_internal.is_key_uri(u) FROM unnest(ARRAY['https://as.example/jwks','http://localhost:8080/k','http://127.0.0.1/k','http://[::1]:9/k','http://as.example/k','http://localhost.example/k','https://user@as/k','https://as/k#x',
	'https://as/k k','ftp://x/','https://','https://as/realms/a/certs?x=1&y=%20','https://as/' || chr(10)]) u;
SELECT st.why($$SELECT smart.add_issuer('https://as.example', NULL, '{https://fhir.example/r4}')$$) AS no_keys, st.why($$SELECT smart.add_issuer('https://as.example', NULL, '{https://fhir.example/r4}', jwks_uri => 'http://other/x')$$) AS http,
	st.why($$INSERT INTO smart.issuer (issuer, audience, jwks_uri) VALUES ('x', '{a}', 'http://other/x')$$) AS row, st.why($$INSERT INTO smart.issuer (issuer, audience) VALUES ('x', '{a}')$$) AS row_without;
CREATE FUNCTION st.add(uri text, keys jsonb DEFAULT NULL) RETURNS void LANGUAGE sql AS $$ SELECT smart.add_issuer('https://as.example', keys, '{https://fhir.example/r4}', max_token_age => '40000 days', jwks_uri => uri) $$;
CREATE FUNCTION st.hint(token text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE c text; h text;
BEGIN
	PERFORM smart.login(token);
	RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS c = CONSTRAINT_NAME, h = PG_EXCEPTION_HINT;
	RETURN concat_ws(': ', c, h);
END $$;
SELECT st.add('https://as.example/jwks');
SELECT issuer, jwks_uri, fetched_at IS NULL AS unfetched, failures, last_error FROM smart.issuer_key_state;
SELECT st.hint(st.token());
-- The program's role: lists, stores, notes failures, and no more.
SELECT smart.grant_keys('regress_st_fetch');
SET ROLE regress_st_fetch;
SELECT issuer, jwks_uri, discover, metadata_base, failures FROM smart_internal.key_sources();
SELECT smart_internal.fetch_failed('https://as.example', 'timeout', now() + interval '30 s');
SELECT smart_internal.fetch_failed('https://as.example', 'peer''s own words', now());
SELECT issuer, failures, last_error FROM smart.issuer_key_state;
CREATE FUNCTION pg_temp.store(uri text, keys jsonb) RETURNS void LANGUAGE sql AS $$ SELECT smart_internal.store_keys('https://as.example', uri, keys, now() + interval '1 h', now() + interval '25 h') $$;
SELECT pg_temp.store('https://as.example/jwks', st.jwks('a'));
-- An answer from elsewhere, or without a key of use, replaces nothing.
SELECT pg_temp.store('https://elsewhere.example/jwks', st.jwks('b'));
SELECT pg_temp.store('https://as.example/jwks', '{"keys":[]}');
SELECT pg_temp.store('https://as.example/jwks', NULL);
SELECT issuer FROM smart.issuer;
SELECT smart.set_jwks('https://as.example', st.jwks('b'));
SELECT smart.grant_keys('regress_st_app');
RESET ROLE;
SELECT st.hint(st.token()), failures, last_error FROM smart.issuer_key_state;
-- What the role may beside everybody: no table, one view, and these functions.
SELECT p.oid::regprocedure FROM pg_proc p WHERE has_function_privilege('regress_st_fetch', p.oid, 'EXECUTE') AND NOT has_function_privilege('public', p.oid, 'EXECUTE')
	AND p.pronamespace IN ('smart'::regnamespace, 'smart_internal'::regnamespace) ORDER BY p.oid::regprocedure::text COLLATE "C";
SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace IN ('smart'::regnamespace, 'smart_internal'::regnamespace) AND c.relkind IN ('r', 'v', 'p', 'm')
	AND has_table_privilege('regress_st_fetch', c.oid, 'SELECT,INSERT,UPDATE,DELETE,TRUNCATE') AND NOT has_table_privilege('public', c.oid, 'SELECT,INSERT,UPDATE,DELETE,TRUNCATE');
-- An issuer whose keys came by hand is none of the program's: it is not listed, not claimed, and its keys stay.
SELECT smart.add_issuer('https://hand.example', st.jwks('a'), '{https://fhir.example/r4}');
SET ROLE regress_st_fetch;
SELECT smart_internal.store_keys('https://hand.example', 'https://evil.example/jwks', st.jwks('b'), now(), now() + interval '1 d'), smart_internal.store_keys('https://hand.example', NULL, st.jwks('b'), now(), now() + interval '1 d');
SELECT smart_internal.begin_fetch('https://hand.example', 'once', '1 min') AS claim, smart_internal.take_keys('https://hand.example', 'https://evil.example/jwks', convert_to(st.jwks('b')::text, 'UTF8'), '1 h', '1 d', NULL),
	smart_internal.fetch_failed('https://hand.example', 'timeout', now());
-- One claim at a time; a failure or an answer of an old claim counts for nothing.
SELECT smart_internal.begin_fetch('https://as.example', 'once', '1 min') AS old \gset
SELECT smart_internal.begin_fetch('https://as.example', 'due', '1 min') AS due, smart_internal.begin_fetch('https://as.example', 'request', '1 min') AS request, smart_internal.begin_fetch('https://as.example', 'word', '1 min') AS word;
SELECT smart_internal.begin_fetch('https://as.example', 'once', '1 min') AS claim \gset
SELECT smart_internal.take_keys('https://as.example', 'https://as.example/jwks', convert_to(st.jwks('b')::text, 'UTF8'), '1 h', '1 d', :'old'), smart_internal.fetch_failed('https://as.example', 'timeout', now(), :'old');
SELECT failures, last_error FROM smart.issuer_key_state WHERE issuer = 'https://as.example';
SELECT smart_internal.take_keys('https://as.example', 'https://as.example/jwks', a, '1 h', '1 d', :'claim') FROM unnest(ARRAY[NULL, '', '{', '\x00', '\xff', '"keys"', '{}', '{"keys":{}}', '{"keys":[]}', convert_to(st.jwks('b')::text, 'UTF8')]::bytea[]) a;
RESET ROLE;
SELECT issuer, jwks = st.jwks('a') AS a, jwks = st.jwks('b') AS b FROM smart.issuer ORDER BY issuer;
SELECT smart.drop_issuer('https://hand.example'), smart.set_jwks('https://as.example', st.jwks('a'));
-- What an OAuth validator reads: public keys, until a time.
SELECT r.row ->> 'issuer' AS issuer, r.row ->> 'refuse_after' AS refuse_after, (SELECT string_agg(k, ' ' ORDER BY k) FROM jsonb_object_keys(r.row) k) AS members FROM smart_internal.keys_file_rows('2001-02-03 04:05:06Z') f, jsonb(f) r (row);
SELECT smart_internal.public_keys(k) FROM unnest(ARRAY['{"kty":"EC","kid":"a","x":"1","d":"secret","x5c":[[[[]]]],"use":null}', '[{"kty":"EC"},5]', '{"keys":[{"kty":"RSA","n":"1","e":["AQAB"]},{"kty":"EC","key_ops":["verify"]},{"kty":"EC","key_ops":[["verify"]]},
	{"kty":"EC","key_ops":"verify"},{"kty":"EC","alg":{"alg":"ES256"}}],"deep":[[[[[]]]]]}', '{"keys":[]}', '{}', '"a"']::jsonb[]) k;
-- The same address again keeps what was fetched, another one does not; keys that go end sessions.
SELECT st.add('https://as.example/jwks'), st.hint(st.token());
SELECT smart.login(st.token(), false), smart.patient();
-- Stale: sessions end, a remembered token too, until a good answer, or keys by hand.
UPDATE smart.issuer SET refuse_after = now();
SET ROLE regress_st_app;
SELECT st.why('SELECT count(*) FROM st.observation'), smart.patient();
RESET ROLE;
SELECT st.hint(st.token());
UPDATE smart.issuer SET refuse_after = clock_timestamp() + interval '6 s';
SELECT st.hint(st.token()), st.hint(st.token()) AS remembered;
SELECT smart.login(st.token(), false);
SELECT pg_sleep(6.1);
SET ROLE regress_st_app;
SELECT st.why('SELECT count(*) FROM st.observation'), smart.patient();
RESET ROLE;
SELECT st.hint(st.token()) AS remembered_and_stale;
SELECT smart.assume(st.claims(), 'https://as.example', false), smart.patient() AS needs_no_key;
SELECT smart.set_jwks('https://as.example', st.jwks('a')), st.hint(st.token());
SELECT failures, expires_at > now() AS fresh FROM smart.issuer_key_state;
-- A kid that is not there: ask for an early fetch. Anybody may; nothing is told of other issuers.
SELECT smart.set_jwks('https://as.example', st.jwks('b')), st.hint(st.token());
SET ROLE regress_st_app;
SELECT smart.request_keys('https://as.example'), smart.request_keys('https://nobody.example'), smart.request_keys(NULL);
SELECT st.why('SELECT * FROM smart.issuer_key_state') AS state, st.why('SELECT smart_internal.key_sources()') AS sources;
RESET ROLE;
SELECT st.add('https://as.example/second');
SELECT jwks_uri, fetched_at, jwks IS NULL AS no_keys FROM smart.issuer_key_state JOIN smart.issuer USING (issuer, jwks_uri);
SELECT smart.add_issuer('https://found.example', NULL, '{https://fhir.example/r4}', discover => true);
SELECT issuer, jwks_uri, discover FROM smart_internal.key_sources() ORDER BY issuer;
SELECT count(*) FROM smart.issuer_keys('https://found.example');
SELECT smart.drop_issuer('https://as.example'), smart.drop_issuer('https://found.example');
SELECT count(*) FROM smart_internal.issuer_fetch;
\set ECHO none
DROP OWNED BY regress_st_fetch;
DROP ROLE regress_st_fetch;
\i :cleanup
