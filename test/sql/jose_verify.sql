\set VERBOSITY terse
\getenv srcdir PG_ABS_SRCDIR
\set keys `cat :srcdir/data/jose/keys.json`
CREATE TEMP TABLE keys AS
	SELECT key AS kid, value AS jwk, value - '{d,p,q,dp,dq,qi}'::text[] AS public_jwk
	FROM jsonb_each(:'keys'::jsonb);
SELECT jsonb_build_object('keys', jsonb_agg(public_jwk)) AS jwks FROM keys \gset
SELECT jwk AS rsa, public_jwk AS public_rsa FROM keys WHERE kid = 'rsa-2048' \gset
SELECT jwk AS oct FROM keys WHERE kid = 'oct-32' \gset
SELECT smart.jwt_sign('{"iss": "i", "aud": ["a", "b"], "exp": 1900000000.5, "nbf": 1800000000}', :'rsa') AS token \gset

-- Unpadded base64url of a text, to make tokens that no library makes.
CREATE FUNCTION pg_temp.b64(t text) RETURNS text LANGUAGE sql AS
	$$SELECT translate(encode(convert_to(t, 'UTF8'), 'base64'), E'+/=\n', '-_')$$;
-- The stable code of a refusal, else the claims.
CREATE FUNCTION pg_temp.code(token text, jwks jsonb, issuer text DEFAULT NULL, audience text[] DEFAULT NULL,
							 algorithms text[] DEFAULT NULL, leeway interval DEFAULT '0', at timestamptz DEFAULT NULL)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	code text;
BEGIN
	RETURN smart.jwt_verify(token, jwks, issuer, audience, algorithms, leeway, at);
EXCEPTION WHEN invalid_authorization_specification THEN
	GET STACKED DIAGNOSTICS code = CONSTRAINT_NAME;
	RETURN code;
END $$;

-- The error of a refusal, as programs see it; NULL is refused, never an answer.
SELECT smart.jwt_verify('x', :'jwks');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.jwt_verify(NULL, :'jwks');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.jws_verify(NULL, :'jwks');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.jwt_header('x');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.jwt_payload('x');
\echo :LAST_ERROR_SQLSTATE

-- Bad arguments are errors of their own, before the token is looked at.
SELECT smart.jwt_verify('x', NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT smart.jws_verify('x', NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT smart.jwt_verify('x', :'jwks', algorithms => '{RS256,none}');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.jws_verify('x', :'jwks', '{}');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.jws_verify('x', :'jwks', '{NULL}');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.jwt_verify('x', :'jwks', audience => '{}');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.jwt_verify('x', :'jwks', audience => '{a,NULL}');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.jwt_verify('x', :'jwks', leeway => '-1 second');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.jwt_verify('x', :'jwks', leeway => '1 month');
\echo :LAST_ERROR_SQLSTATE
SELECT smart.jwt_verify('x', :'jwks', at => '-infinity');
\echo :LAST_ERROR_SQLSTATE

-- exp is the first moment that is too late, nbf the first that is not too early; fractions count.
SELECT at, pg_temp.code(:'token', :'jwks', at => at) IN ('token_expired', 'token_not_yet_valid') AS refused,
	   pg_temp.code(:'token', :'jwks', leeway => '1 second', at => at) IN ('token_expired', 'token_not_yet_valid') AS refused_with_leeway
FROM (VALUES (1799999998.999999), (1799999999), (1799999999.999999), (1800000000),
	(1900000000.499999), (1900000000.5), (1900000001.499999), (1900000001.5)) AS t (secs),
	LATERAL (SELECT to_timestamp(0) + secs * interval '1 second' AS at) AS a
ORDER BY at;
-- A fraction below the clock's resolution counts too.
SELECT pg_temp.code(smart.jwt_sign('{"exp": 1900000000.0000001}', :'rsa'), :'jwks', at => to_timestamp(1900000000)) LIKE '{%' AS not_yet_expired,
	   pg_temp.code(smart.jwt_sign('{"exp": 1900000000, "nbf": 1800000000.0000001}', :'rsa'), :'jwks', at => to_timestamp(1800000000));
-- A leeway without end does not wrap round.
SELECT pg_temp.code(:'token', :'jwks', leeway => '2147483647 days', at => '2100-01-01Z') LIKE '{%' AS accepted;
SELECT pg_temp.code(:'token', :'jwks', leeway => '-2147483648 days 2562047788 hours', at => '2029-01-01Z') AS negative;
\echo :LAST_ERROR_SQLSTATE
-- Without "at" the clock counts, not the start of the transaction.
BEGIN;
SELECT smart.jwt_sign(jsonb_build_object('exp', extract(epoch FROM clock_timestamp()) + 5), :'rsa') AS brief \gset
SELECT pg_temp.code(:'brief', :'jwks') LIKE '{%' AS accepted;
SELECT pg_sleep(5.1);
SELECT pg_temp.code(:'brief', :'jwks');
COMMIT;

-- iss is compared as it stands; aud may be text or an array of text.
SELECT i.issuer, a.audience, left(pg_temp.code(:'token', :'jwks', i.issuer, a.audience, at => '2030-01-01Z'), 8) AS answer
FROM (VALUES ('i'), ('I'), (NULL)) AS i (issuer), (VALUES ('{a}'::text[]), ('{x,b}'), ('{A}'), (NULL)) AS a (audience)
ORDER BY i.issuer COLLATE "C", a.audience::text COLLATE "C";
SELECT c.claims, left(pg_temp.code(smart.jwt_sign(c.claims || '{"exp": 1900000000}', :'rsa'), :'jwks', audience => '{a}', at => '2030-01-01Z'), 8) AS answer
FROM (VALUES ('{"aud": "a"}'::jsonb), ('{"aud": "ab"}'), ('{"aud": []}'), ('{"aud": ["a", 5]}'), ('{"aud": [["a"]]}'),
	('{"aud": {"a": "a"}}'), ('{"aud": null}'), ('{}'), ('{"aud": ["b", "a", "a"]}')) AS c (claims)
ORDER BY c.claims::text COLLATE "C";

-- Registered times of a wrong type or out of range; exp is required; any finite nbf is one.
SELECT left(c.claims::text, 24) AS claims, left(pg_temp.code(smart.jwt_sign('{"exp": 1900000000}'::jsonb || c.claims, :'rsa'), :'jwks', at => '2030-01-01Z'), 20) AS answer
FROM (VALUES ('{"exp": "1900000000"}'::jsonb), ('{"exp": null}'), ('{"exp": true}'), ('{"exp": [1900000000]}'), ('{"exp": -1}'),
	('{"exp": 253402300799}'), ('{"exp": 253402300800}'), ('{"exp": 1e400}'), ('{"iat": "1"}'), ('{"iat": -1}'), ('{"iat": 0}'), ('{"iat": 1e12}'),
	('{"nbf": null}'), ('{"nbf": -1e300}'), ('{"nbf": 1e300}'), ('{"nbf": 0}')) AS c (claims)
ORDER BY c.claims::text COLLATE "C";
SELECT pg_temp.code(smart.jwt_sign('{}', :'rsa'), :'jwks');

-- The algorithm is the caller's choice, never the token's: downgrade, HS with a public key, none.
SELECT pg_temp.code(:'token', :'jwks', algorithms => '{ES256,PS256}');
SELECT pg_temp.code(smart.jwt_sign('{"exp": 1900000000}', jsonb_build_object('kty', 'oct', 'kid', 'rsa-2048', 'k', :'public_rsa'::jsonb ->> 'n')), :'jwks');
SELECT pg_temp.code(pg_temp.b64('{"alg":"none"}') || '.' || split_part(:'token', '.', 2) || '.' || split_part(:'token', '.', 3), :'jwks');
SELECT pg_temp.code(pg_temp.b64('{"alg":"none"}') || '.' || split_part(:'token', '.', 2) || '.', :'jwks');
SELECT pg_temp.code(smart.jwt_sign('{"exp": 4102444800}', :'oct'), :'jwks', algorithms => '{HS256}') LIKE '{%' AS hs256_with_oct;

-- A MAC that is cut short, or goes on, fits as little as a wrong one.
SELECT smart.jwt_sign('{"exp": 4102444800}', :'oct') AS mac \gset
SELECT pg_temp.code(left(:'mac', -3), :'oct'), pg_temp.code(:'mac' || 'AAAA', :'oct'), pg_temp.code(left(:'mac', -4) || 'AAAA', :'oct');

-- The choice of the key: by kid, or the one without a kid; without a kid the one that fits; an equal key is no other.
CREATE TEMP TABLE choice AS
	SELECT what, set, header FROM (VALUES
	('1 kid of the key', jsonb_build_array(:'public_rsa'::jsonb), '{"kid": "rsa-2048"}'::jsonb),
	('2 unknown kid', jsonb_build_array(:'public_rsa'::jsonb), '{"kid": "RSA-2048"}'),
	('3 kid, the key has none', jsonb_build_array(:'public_rsa'::jsonb - 'kid'), '{"kid": "rsa-2048"}'),
	('4 same kid twice', jsonb_build_array(:'public_rsa'::jsonb, :'public_rsa'::jsonb), '{"kid": "rsa-2048"}'),
	('5 same kid, one for encryption', jsonb_build_array(:'public_rsa'::jsonb, :'public_rsa'::jsonb || '{"use": "enc"}'), '{"kid": "rsa-2048"}'),
	('6 same kid, one for another alg', jsonb_build_array(:'public_rsa'::jsonb, :'public_rsa'::jsonb || '{"alg": "PS256"}'), '{"kid": "rsa-2048"}'),
	('7 no usable key', '[null, 5, {"kty": "XYZ"}]', '{"kid": "rsa-2048"}'),
	('8 junk beside the key', jsonb_build_array(:'public_rsa'::jsonb) || '[null, 5, {"kty": "XYZ"}, {"kty": "RSA", "n": "AQ", "e": "AQAB"}]', '{"kid": "rsa-2048"}')
	) AS c (what, set, header);
SELECT what, left(pg_temp.code(smart.jwt_sign('{"exp": 4102444800}', :'rsa', header), jsonb_build_object('keys', set)), 11) AS answer
FROM choice ORDER BY what;
SELECT n, left(pg_temp.code(smart.jwt_sign('{"exp": 4102444800}', :'rsa'::jsonb - 'kid'),
	(SELECT coalesce(jsonb_agg(:'public_rsa'::jsonb), '[]') FROM generate_series(1, n))), 11) AS no_kid
FROM generate_series(0, 2) AS n ORDER BY n;

-- A set is a JWK Set, a key or an array of keys; anything else holds no key.
SELECT what, left(pg_temp.code(:'token', set, at => '2030-01-01Z'), 11) AS answer FROM (VALUES
	('a key', :'public_rsa'::jsonb), ('an array', jsonb_build_array(:'public_rsa'::jsonb)), ('keys an object', jsonb_build_object('keys', :'public_rsa'::jsonb)),
	('null', 'null'), ('text', '"x"'), ('empty', '{}'), ('keys null', '{"keys": null}')) AS s (what, set)
ORDER BY what;

-- Limits, on both sides: 100 keys, 512 KiB of key set, 64 KiB of token, kid of 1024 bytes, depth 64.
SELECT n, left(pg_temp.code(:'token', jsonb_build_array(:'public_rsa'::jsonb) || (SELECT jsonb_agg('{}'::jsonb) FROM generate_series(2, n)), at => '2030-01-01Z'), 11) AS keys
FROM (VALUES (100), (101)) AS n (n) ORDER BY n;
SELECT n, left(pg_temp.code(:'token', :'public_rsa'::jsonb || jsonb_build_object('pad', repeat('x', n)), at => '2030-01-01Z'), 11) AS bytes
FROM (VALUES (500000), (524288)) AS n (n) ORDER BY n;
SELECT n, pg_temp.code(repeat('a', n), :'jwks') AS token_of_n_bytes FROM (VALUES (65536), (65537), (5000000)) AS n (n) ORDER BY n;
SELECT n, pg_temp.code(pg_temp.b64(jsonb_build_object('alg', 'RS256', 'kid', repeat('k', n))::text) || '.e30.AAAA', :'jwks') AS kid_of_n_bytes
FROM (VALUES (1024), (1025)) AS n (n) ORDER BY n;
SELECT n, left(pg_temp.code(pg_temp.b64('{"alg":"RS256","x":' || repeat('[', n) || repeat(']', n) || '}') || '.e30.AAAA', :'jwks'), 20) AS depth_n_plus_1
FROM (VALUES (63), (64), (20000)) AS n (n) ORDER BY n;

-- A key set that has been changed is another one: nothing is remembered beyond its value.
SELECT pg_temp.code(:'token', jsonb_set(:'public_rsa', '{n}', to_jsonb(translate(:'public_rsa'::jsonb ->> 'n', 'a', 'b'))), at => '2030-01-01Z');
SELECT count(*) AS with_40_sets FROM generate_series(1, 40) AS i
WHERE pg_temp.code(:'token', :'public_rsa'::jsonb || jsonb_build_object('x', i), at => '2030-01-01Z') LIKE '{%';
