-- Registration of clients, by an administrator and by themselves (smart-rules 8.1).
\getenv srcdir PG_ABS_SRCDIR
\set prelude :srcdir '/data/oauth/prelude.sql'
\set cleanup :srcdir '/data/oauth/cleanup.sql'
\set ECHO none
\i :prelude
\set ECHO all
\set VERBOSITY terse

SELECT oa.configure();
-- RG-1, RG-2, RG-4: defaults, client_id and, once, the secret; RG-6: from letters that need no encoding
SELECT jsonb_pretty(r - 'client_id' - 'client_secret' - 'client_id_issued_at'), r->>'client_id' ~ '^[A-Za-z0-9._~-]+$' AS id,
	r->>'client_secret' ~ '^smart_[A-Za-z0-9_-]{43}$' AS secret
FROM smart.register_client('{"redirect_uris":["https://app.example/cb"],"scope":"openid offline_access patient/*.rs","unknown":1}') r;
-- RG-7: the table has a hash alone
SELECT smart.register_client('{"client_id":"web","redirect_uris":["https://app.example/cb"]}')->>'client_secret' AS secret \gset
SELECT count(*) FILTER (WHERE hash = sha256(convert_to(:'secret', 'UTF8'))) AS hashed, count(*) FILTER (WHERE position(convert_to(:'secret', 'UTF8') IN hash) > 0) AS in_clear
FROM smart_internal.oauth_client_secret WHERE client_id = 'web';

-- what is refused: RG-3, RG-5, CA-12, CA-15, CA-16, BS-5, OC-42
\set ec '{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"'
SELECT change, oa.why(format('SELECT smart.register_client(%L)', '{"redirect_uris":["https://app.example/cb"]}'::jsonb || change::jsonb)) FROM unnest(ARRAY[
	'{"client_id":"web"}', '{"client_id":""}', '{"client_id":"a/b"}', '{"client_id":7}', '{"client_secret":"mine"}',
	'{"redirect_uris":[]}', '{"redirect_uris":null}', '{"redirect_uris":"https://app.example/cb"}', '{"redirect_uris":["/cb"]}',
	'{"redirect_uris":["http://app.example/cb"]}', '{"redirect_uris":["https://app.example/cb#f"]}', '{"redirect_uris":["https://u@app.example/cb"]}',
	'{"redirect_uris":["https://*.example/cb"]}', '{"redirect_uris":["https://app.example/cb?code=1"]}', '{"redirect_uris":["https://app.example/cb?a=1&%69ss=1"]}',
	'{"redirect_uris":["com.example:/cb"]}', '{"redirect_uris":["javascript:alert(1)"],"application_type":"native"}', '{"redirect_uris":["https://app.example/c b"]}',
	'{"redirect_uris":["com.example:/cb"],"application_type":"native"}', '{"redirect_uris":["http://localhost:3000/cb"]}', '{"redirect_uris":["http://[::1]/cb"]}',
	'{"token_endpoint_auth_method":"tls_client_auth"}', '{"token_endpoint_auth_method":"private_key_jwt"}',
	'{"grant_types":["implicit"]}', '{"grant_types":[]}', '{"grant_types":["client_credentials"]}', '{"grant_types":["client_credentials"],"token_endpoint_auth_method":"none"}',
	'{"response_types":["token"]}', '{"scope":"patient/*.x"}', '{"scope":["openid"]}', '{"application_type":"desktop"}', '{"introspection":"all"}',
	'{"offline_access":"yes"}', '{"client_uri":"http://app.example"}', '{"launch_uris":["ftp://x"]}', '{"contacts":[1]}',
	'{"token_endpoint_auth_signing_alg":"HS256"}', '{"id_token_signed_response_alg":"none"}', '{"assertion_audience":"any"}']) change;
SELECT what, oa.why(format('SELECT smart.register_client(%L)', '{"token_endpoint_auth_method":"private_key_jwt","grant_types":["client_credentials"]}'::jsonb || keys)) FROM (VALUES
	('good', jsonb_build_object('jwks', jsonb_build_object('keys', jsonb_build_array((:'ec' || ',"kid":"a"}')::jsonb)))),
	('no kid', jsonb_build_object('jwks', jsonb_build_object('keys', jsonb_build_array((:'ec' || '}')::jsonb)))),
	('a kid twice', jsonb_build_object('jwks', jsonb_build_object('keys', jsonb_build_array((:'ec' || ',"kid":"a"}')::jsonb, (:'ec' || ',"kid":"a","use":"sig"}')::jsonb)))),
	('private', jsonb_build_object('jwks', jsonb_build_object('keys', jsonb_build_array((:'ec' || ',"kid":"a","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}')::jsonb)))),
	('oct', '{"jwks":{"keys":[{"kty":"oct","kid":"a","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}}'),
	('no set', '{"jwks":{}}'),
	('both', jsonb_build_object('jwks_uri', 'https://app.example/jwks', 'jwks', jsonb_build_object('keys', jsonb_build_array((:'ec' || ',"kid":"a"}')::jsonb)))),
	('uri', '{"jwks_uri":"https://app.example/jwks","client_id":"by_uri"}')) t (what, keys);
SELECT oa.why(format('SELECT smart.set_client_jwks(%L, %L)', 'by_uri', format('{"keys":[%s,"kid":"a"}]}', :'ec'))) AS by_uri,
	oa.why(format('SELECT smart.set_client_jwks(%L, %L)', 'web', format('{"keys":[%s,"kid":"a"}]}', :'ec'))) AS without_uri,
	oa.why(format('SELECT smart.set_client_jwks(%L, %L)', 'by_uri', '{"keys":[]}')) AS empty,
	oa.why('SELECT smart.set_client_jwks(''by_uri'', NULL)') AS nothing;

-- Updates replace what is given; null takes a member out.
SELECT jsonb_pretty(smart.update_client('web', '{"scope":"openid launch offline_access","client_name":"Web"}') - 'client_id_issued_at');
SELECT smart.update_client('web', '{"client_name":null}') ? 'client_name' AS named;
-- grant_types by default: refresh_token comes with offline_access, stays when the scope loses it, and goes when it is said
SELECT n, smart.update_client('web', change)->'grant_types' AS grant_types FROM (VALUES (1, '{"scope":"openid launch"}'::jsonb), (2, '{"grant_types":["authorization_code"]}'), (3, '{"scope":"openid launch offline_access"}'), (4, '{"grant_types":null}')) AS v (n, change);
SELECT call, oa.why('SELECT ' || call) FROM unnest(ARRAY['smart.update_client(''nobody'', ''{}'')', 'smart.update_client(''web'', NULL)', 'smart.update_client(''web'', ''{"client_id":"x"}'')',
	'smart.update_client(''web'', ''{"redirect_uris":[]}'')', 'smart.rotate_client_secret(''by_uri'')', 'smart.rotate_client_secret(''web'', ''-1 s'')', 'smart.rotate_client_secret(''nobody'')',
	'smart.disable_client(''nobody'')', 'smart.enable_client(''nobody'')', 'smart.disable_client(NULL)']) call;
-- a secret that is rotated counts for the overlap, and only then
SELECT (smart.rotate_client_secret('web', '1 hour')) ? 'client_secret' AS new;
SELECT count(*) AS count_now, count(expires_at) AS for_an_hour FROM smart_internal.oauth_client_secret WHERE client_id = 'web';
SELECT (smart.rotate_client_secret('web')) ? 'client_secret' AS new;
SELECT count(*) AS count_now, count(expires_at) AS for_an_hour FROM smart_internal.oauth_client_secret WHERE client_id = 'web';
-- another method ends what was held and makes or takes the secret
SELECT smart.update_client('web', '{"token_endpoint_auth_method":"none"}') ? 'client_secret' AS none;
SELECT count(*) AS secrets FROM smart_internal.oauth_client_secret WHERE client_id = 'web';
SELECT smart.update_client('web', '{"token_endpoint_auth_method":"client_secret_post"}') ? 'client_secret' AS post;
SELECT event, count(*) FROM smart_internal.oauth_client_event WHERE client_id = 'web' GROUP BY 1;
SELECT smart.disable_client('by_uri');
SELECT client_id, client_name, token_endpoint_auth_method, scope, grant_types, redirect_uris, enabled, dynamic FROM smart.client WHERE client_id IN ('web', 'by_uri') ORDER BY 1;
SELECT smart.enable_client('by_uri');
SELECT enabled FROM smart.client WHERE client_id = 'by_uri';

-- Dynamic registration (RFC 7591): closed is the default.
SELECT smart.register('{"redirect_uris":["https://app.example/cb"]}', '{}')->'body';
SELECT oa.configure('{"registration":"open"}');
SELECT answer->'status' AS status, answer->'headers' AS headers, jsonb_pretty((answer->'body') - 'client_id' - 'client_secret' - 'client_id_issued_at') AS body,
	answer->'body'->>'client_id' <> 'mine' AS made
FROM smart.register('{"client_id":"mine","redirect_uris":["https://app.example/cb"],"scope":"openid offline_access patient/*.rs system/*.rs user/*.rs",
	"grant_types":["authorization_code","refresh_token","client_credentials"],"offline_access":true,"introspection":"any","application_type":"native"}', '{}') answer;
-- psql's idea of the width of such a character differs by its version
\pset format unaligned
SELECT change, smart.register('{"redirect_uris":["https://app.example/cb"]}'::jsonb || change, '{}')->'body'->>'error' AS error FROM unnest(ARRAY[
	'{"redirect_uris":["com.example:/cb"]}', '{"redirect_uris":["http://app.example/cb"]}', '{"redirect_uris":[7]}', '{"scope":"patient/*.x"}', '{"grant_types":["client_credentials"]}',
	'{"client_name":"a\u202eb"}', '{"client_name":"a\nb"}', '{"logo_uri":"http://localhost/logo"}', '{"jwks":{"keys":[]}}', '{"token_endpoint_auth_method":"private_key_jwt"}', '{"contacts":"me"}']::jsonb[]) change;
\pset format aligned
SELECT smart.register(jsonb_build_object('redirect_uris', '["https://app.example/cb"]'::jsonb, 'client_name', repeat('a', 101)), '{}')->'body'->>'error' AS long_name,
	smart.register('[]', NULL)->'body'->>'error' AS array, oa.why('SELECT smart.register(NULL, NULL)') AS nothing;
-- by a token that is good once
SELECT oa.configure('{"registration":"token"}');
SELECT smart.create_registration_token('1 hour') AS token \gset
SELECT headers, answer->>'status' AS status, answer->'body'->>'error' AS error, answer->'headers' ? 'www-authenticate' AS challenge
FROM (VALUES ('{}'::jsonb), ('{"authorization":"Bearer x"}'), ('{"authorization":["Bearer x"]}')) t (headers), LATERAL smart.register('{"redirect_uris":["https://app.example/cb"]}', headers) answer;
-- a registration that is refused does not spend it
SELECT smart.register('{}', jsonb_build_object('authorization', 'Bearer ' || :'token'))->>'status' AS refused;
SELECT n, smart.register('{"redirect_uris":["https://app.example/cb"]}', jsonb_build_object('authorization', 'bearer ' || :'token'))->>'status' AS status FROM generate_series(1, 2) n;
SELECT oa.why('SELECT smart.create_registration_token(''0'')'), oa.why('SELECT smart.create_registration_token(NULL)');
-- sixty a minute, then 429
SELECT oa.configure('{"registration":"open"}');
SELECT answer->>'status' AS status, answer->'headers' ? 'retry-after' AS retry_after, count(*) > 0 AS some
FROM generate_series(1, 62) n, LATERAL smart.register('{"redirect_uris":["https://app.example/cb"]}', jsonb_build_object('n', n)) answer GROUP BY 1, 2 ORDER BY 1;
SELECT count(*) FROM smart.client WHERE dynamic;
-- one that nobody approved within a day is gone
SELECT client_id AS old FROM smart.client WHERE dynamic LIMIT 1 \gset
UPDATE smart_internal.oauth_client SET expires_at = now() - interval '1 s', made_at = made_at - interval '1 day' WHERE dynamic;
SELECT oa.brief(smart.authorize(oa.request(jsonb_build_object('client_id', :'old'))));
SELECT smart.register('{"redirect_uris":["https://app.example/cb"]}', '{}')->>'status' AS status, (SELECT count(*) < 60 FROM smart.client WHERE dynamic) AS cleaned;
\set ECHO none
\i :cleanup

