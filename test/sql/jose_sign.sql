-- What jwt_sign makes, jwt_verify takes with the public part of the key, claims unchanged.
\getenv srcdir PG_ABS_SRCDIR
\set keys `cat :srcdir/data/jose/keys.json`
CREATE TEMP TABLE keys AS
	SELECT key AS kid, value AS jwk, value - '{d,p,q,dp,dq,qi}'::text[] AS public_jwk
	FROM jsonb_each(:'keys'::jsonb);
CREATE TEMP TABLE claims AS SELECT
	'{"exp": 4102444800, "nbf": 1.5e9, "n": 1.10, "big": 123456789012345678901234567890, "s": "é\"\\\n", "o": {"a": [null, true, {}]}}'::jsonb AS claims;
SELECT k.kid, smart.jwt_header(t.token) AS header, smart.jwt_verify(t.token, k.public_jwk) = c.claims AS right
FROM keys AS k, claims AS c, LATERAL (SELECT smart.jwt_sign(c.claims, k.jwk) AS token OFFSET 0) AS t
ORDER BY k.kid COLLATE "C";

-- The same with claims that libjwt can hold: it signs these.
SELECT k.kid, smart.jwt_verify(smart.jwt_sign('{"exp": 4102444800, "sub": "é"}', k.jwk), k.public_jwk) AS claims
FROM keys AS k
ORDER BY k.kid COLLATE "C";

-- Without alg in the key: RS256, the curve's algorithm, EdDSA, and HS* by size.
SELECT k.kid, smart.jwt_header(smart.jwt_sign('{}', k.jwk - 'alg')) ->> 'alg' AS alg
FROM keys AS k
ORDER BY k.kid COLLATE "C";

-- The caller's header members win, alg too when it fits the key.
SELECT smart.jwt_header(smart.jwt_sign('{}', jwk, '{"alg": "PS512", "typ": "at+jwt", "kid": "other", "x": [1]}'))
FROM keys WHERE kid = 'rsa-2048';
SELECT convert_from(decode(split_part(smart.jwt_sign('{}', jwk, '{"x": 1}'), '.', 1) || '==', 'base64'), 'UTF8') AS alg_typ_kid_first
FROM keys WHERE kid = 'ed25519';

-- What is refused, with its SQLSTATE; the reason shows nothing of the key.
CREATE FUNCTION pg_temp.why(payload jsonb, jwk jsonb, header jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	RETURN 'accepted ' || (smart.jwt_sign(payload, jwk, header) IS NOT NULL);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN sqlstate || ' ' || sqlerrm || ': ' || detail;
END $$;
SELECT c.what, pg_temp.why(c.payload, c.jwk, c.header)
FROM keys AS rsa, keys AS ec, keys AS ed, keys AS oct, LATERAL (VALUES
	('01 payload NULL', NULL, rsa.jwk, NULL),
	('02 key NULL', '{}', NULL, NULL),
	('03 payload no object', '[]', rsa.jwk, NULL),
	('04 header no object', '{}', rsa.jwk, '[]'),
	('05 alg none', '{}', rsa.jwk, '{"alg": "none"}'),
	('06 alg of another kind of key', '{}', rsa.jwk, '{"alg": "HS256"}'),
	('07 alg a number', '{}', rsa.jwk, '{"alg": 5}'),
	('08 alg of another curve', '{}', ec.jwk, '{"alg": "ES384"}'),
	('09 alg not the one of the key', '{}', rsa.jwk || '{"alg": "RS384"}', '{"alg": "RS256"}'),
	('10 public key', '{}', rsa.public_jwk, NULL),
	('11 public key', '{}', ec.public_jwk, NULL),
	('12 public key', '{}', ed.public_jwk, NULL),
	('13 key for encryption', '{}', rsa.jwk || '{"use": "enc"}', NULL),
	('14 key_ops without sign', '{}', rsa.jwk || '{"key_ops": ["verify"]}', NULL),
	('15 key_ops with sign only', '{}', rsa.jwk || '{"key_ops": ["sign"]}', NULL),
	('16 d of another key', '{}', ec.jwk || '{"d": "AQABAQABAQABAQABAQABAQABAQABAQABAQABAQABAQA"}', NULL),
	('17 secret too short', '{}', '{"kty": "oct", "k": "c2VjcmV0"}', NULL),
	('18 crit', '{}', rsa.jwk, '{"crit": ["exp"]}'),
	('19 kid a number', '{}', rsa.jwk, '{"kid": 5}'),
	('20 kid of 1024 bytes', '{}', rsa.jwk, jsonb_build_object('kid', repeat('k', 1024))),
	('21 kid of 1025 bytes', '{}', rsa.jwk, jsonb_build_object('kid', repeat('k', 1025))),
	('22 larger than 64 KiB', jsonb_build_object('a', repeat('a', 49000)), rsa.jwk, NULL),
	('23 much larger than 64 KiB', jsonb_build_object('a', repeat('a', 100000)), rsa.jwk, NULL)
	) AS c (what, payload, jwk, header)
WHERE rsa.kid = 'rsa-2048' AND ec.kid = 'ec-p256' AND ed.kid = 'ed25519' AND oct.kid = 'oct-32'
ORDER BY c.what;

-- A key seen before signs from the cache: as the first time, with each of its algorithms, also after it was evicted (16 are kept), and
-- no member of it is left out of what the cache is asked for.
CREATE TEMP TABLE many AS SELECT i, jwk || jsonb_build_object('kid', 'k' || i) AS jwk, public_jwk || jsonb_build_object('kid', 'k' || i) AS public_jwk
	FROM keys, generate_series(1, 20) i WHERE kid = 'ec-p256';
SELECT round, count(*), count(DISTINCT token) AS tokens, bool_and(smart.jwt_verify(token, public_jwk) ->> 'n' = i::text AND smart.jwt_header(token) ->> 'kid' = 'k' || i) AS right
FROM (SELECT round, i, public_jwk, smart.jwt_sign(jsonb_build_object('exp', 4102444800, 'n', i), jwk) AS token FROM generate_series(1, 3) round, many ORDER BY round, i OFFSET 0) s
GROUP BY round ORDER BY round;
SELECT alg, count(DISTINCT token) AS tokens, bool_and(smart.jwt_verify(token, public_jwk) ->> 'n' = n::text) AS right
FROM (SELECT alg, n, public_jwk - 'alg' AS public_jwk, smart.jwt_sign(jsonb_build_object('exp', 4102444800, 'n', n), jwk - 'alg', jsonb_build_object('alg', alg)) AS token
	FROM keys, unnest('{RS256,PS256,RS512,PS512}'::text[]) alg, generate_series(1, 3) n WHERE kid = 'rsa-2048' OFFSET 0) s GROUP BY alg ORDER BY alg;
SELECT pg_temp.why(c.payload, c.jwk, c.header)
FROM keys AS ec, LATERAL (VALUES
	(1, '{}'::jsonb, ec.jwk, NULL::jsonb),
	(2, '{}', ec.jwk, '{"crit": ["exp"]}'),
	(3, '{}', ec.jwk, '{"alg": "none"}'),
	(4, '{}', ec.jwk, '{"alg": null}'),
	(5, jsonb_build_object('a', repeat('a', 49000)), ec.jwk, NULL),
	(6, (repeat('{"a":', 65) || '1' || repeat('}', 65))::jsonb, ec.jwk, NULL),
	(7, '[]', ec.jwk, NULL),
	(8, '{}', ec.jwk || '{"d": "AQABAQABAQABAQABAQABAQABAQABAQABAQABAQABAQA"}', NULL),
	(9, '{}', ec.jwk || '{"d": "AQABAQABAQABAQABAQABAQABAQABAQABAQABAQABAQA"}', NULL),
	(10, '{}', ec.jwk || '{"use": "enc"}', NULL),
	(11, '{}', ec.jwk - 'd', NULL)) AS c (n, payload, jwk, header)
WHERE ec.kid = 'ec-p256' ORDER BY c.n;
