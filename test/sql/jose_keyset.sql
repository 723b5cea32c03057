-- K. Key sets as published: equal keys are one, null members absent, each useless key named with its reason.
\getenv srcdir PG_ABS_SRCDIR
\set keys `cat :srcdir/data/jose/keys.json`
CREATE TEMP TABLE keys AS SELECT key AS kid, value AS jwk FROM jsonb_each(:'keys'::jsonb);
CREATE FUNCTION pg_temp.private(name text) RETURNS jsonb LANGUAGE sql AS $$ SELECT jwk || '{"kid": "k"}' FROM keys WHERE kid = name $$;
CREATE FUNCTION pg_temp.public(name text) RETURNS jsonb LANGUAGE sql AS
$$ SELECT (jwk - '{d,p,q,dp,dq,qi,alg,use}'::text[]) || '{"kid": "k"}' FROM keys WHERE kid = name $$;
CREATE FUNCTION pg_temp.jwks(VARIADIC set_keys jsonb[]) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('keys', to_jsonb(set_keys)) $$;
-- What a token that the EC key signed makes of a set: by jwt_verify(), and by add_issuer() and login().
CREATE FUNCTION pg_temp.verdict(jwks jsonb, header jsonb DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	now float8 := floor(extract(epoch FROM now()));
	token text := smart.jwt_sign(jsonb_build_object('iss', 'https://keys', 'aud', 'https://fhir', 'sub', 'u', 'client_id', 'c', 'jti', 'j',
		'iat', now, 'exp', now + 300, 'patient', '1', 'scope', 'patient/*.rs'), CASE WHEN header = '{}' THEN pg_temp.private('ec-p256') - 'kid' ELSE pg_temp.private('ec-p256') END);
	detail text;
	answer text;
BEGIN
	BEGIN
		answer := smart.jwt_verify(token, jwks) ->> 'patient';
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
		answer := sqlstate || ' ' || detail;
	END;
	BEGIN
		PERFORM smart.add_issuer('https://keys', jwks, '{https://fhir}');
		PERFORM smart.login(token);
		answer := answer || ' | login ' || smart.patient();
		PERFORM smart.logout();
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
		answer := answer || ' | ' || sqlstate || CASE WHEN sqlstate = '22023' THEN ' ' || replace(detail, E'\n', ' / ') ELSE '' END;
	END;
	RETURN answer;
END
$$;
SET client_min_messages = warning;
\pset format unaligned
\pset tuples_only on
SELECT what || ': ' || pg_temp.verdict(jwks, header)
FROM (SELECT pg_temp.public('ec-p256') AS ec, pg_temp.public('ed25519') AS ed, pg_temp.private('ec-p256') AS secret,
	(SELECT jwk - '{d}'::text[] FROM keys WHERE kid = 'ec-p384') || '{"kid": "k"}' AS ec384) AS k, LATERAL (VALUES
	(1, 'control', pg_temp.jwks(ec), NULL::jsonb),
	(2, 'twice', pg_temp.jwks(ec, ec), NULL),
	(3, 'twice, token without kid', pg_temp.jwks(ec, ec), '{}'),
	(4, 'with and without alg', pg_temp.jwks(ec, ec || '{"alg": "ES256"}'), NULL),
	(5, 'without alg and with use', pg_temp.jwks(ec || '{"use": "sig"}', ec || '{"alg": "ES256"}', ec), NULL),
	(6, 'under two kids, token without kid', pg_temp.jwks(ec, ec || '{"kid": "other"}'), '{}'),
	(7, 'with and without kid', pg_temp.jwks(ec - 'kid', ec), NULL),
	(8, 'without kid, token with', pg_temp.jwks(ec - 'kid'), NULL),
	(9, 'two different without kid that fit', pg_temp.jwks(ec - 'kid', (ec || '{"x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}') - 'kid'), NULL),
	(10, 'kid of a key that does not fit, another without kid', pg_temp.jwks(ed, ec - 'kid'), NULL),
	(11, 'another kid only', pg_temp.jwks(ec || '{"kid": "other"}', ed || '{"kid": "third"}'), NULL),
	(12, 'two different keys of one kid', pg_temp.jwks(ec, ec || '{"x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}'), NULL),
	(13, 'one kid, two types', pg_temp.jwks(ec, ed), NULL),
	(14, 'token without kid, no key fits', pg_temp.jwks(ed), '{}'),
	(20, 'null members', pg_temp.jwks(ec || '{"use": null, "alg": null, "key_ops": null, "x5c": null, "d": null, "k": null, "oth": null}', ed), NULL),
	(21, 'kid null', pg_temp.jwks(ec || '{"kid": null}'), NULL),
	(22, 'kty null', pg_temp.jwks(ec || '{"kty": null}'), NULL),
	(30, 'a private key', pg_temp.jwks(ec, secret), NULL),
	(31, 'a symmetric key', pg_temp.jwks(ec, '{"kty": "oct", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}'), NULL),
	(32, 'other primes', pg_temp.jwks(ec || '{"oth": []}'), NULL),
	(33, 'for encryption', pg_temp.jwks(ec || '{"use": "enc"}'), NULL),
	(34, 'alg of another curve', pg_temp.jwks(ec || '{"alg": "ES384"}'), NULL),
	(35, 'alg for encryption', pg_temp.jwks(ec || '{"alg": "ECDH-ES"}'), NULL),
	(36, 'key_ops empty', pg_temp.jwks(ec || '{"key_ops": []}'), NULL),
	(37, 'kid a number', pg_temp.jwks(ec || '{"kid": 1}'), NULL),
	(38, 'useless ones', pg_temp.jwks('"x"', '{"kty": "AKP", "kid": "pq"}', ec || jsonb_build_object('y', ec -> 'x')), NULL),
	(39, 'none', '{"keys": []}', NULL),
	(40, 'no set', '{"key": []}', NULL),
	(41, '100 keys', (SELECT jsonb_agg(ec || jsonb_build_object('kid', 'k' || i)) FROM generate_series(1, 99) i) || jsonb_build_array(ec), NULL),
	(42, '101 keys', (SELECT jsonb_agg(ec || jsonb_build_object('kid', 'k' || i)) FROM generate_series(1, 100) i) || jsonb_build_array(ec), NULL),
	(43, 'more than 512 KiB', pg_temp.jwks(ec || jsonb_build_object('x5u', repeat('x', 530000))), NULL)) AS v (n, what, jwks, header)
ORDER BY n;

-- What was not taken is told when it is given, and listed afterwards: equal keys once.
SET client_min_messages = notice;
SELECT smart.add_issuer('https://keys', pg_temp.jwks(ec, ec, ec || '{"alg": "ES256"}', ec || '{"kid": "mail", "use": "enc"}', '{"kty": "AKP", "kid": "pq", "alg": "ML-DSA-44"}',
	pg_temp.public('ed25519') || '{"kid": "ed"}'), '{https://fhir}') FROM pg_temp.public('ec-p256') ec;
SELECT * FROM smart.issuer_keys('https://keys');
-- algorithms that no key fits, and keys that no algorithm fits
SELECT smart.add_issuer('https://keys', pg_temp.jwks(pg_temp.public('ec-p256')), '{https://fhir}', algorithms => '{RS256,ES256}');
SELECT smart.add_issuer('https://keys', pg_temp.jwks(pg_temp.public('ec-p256')), '{https://fhir}', algorithms => '{RS256}');
SELECT * FROM smart.issuer_keys('https://keys');
SELECT smart.set_jwks('https://keys', pg_temp.jwks(pg_temp.public('rsa-2048'), pg_temp.public('ec-p256')));
SELECT * FROM smart.issuer_keys('https://keys');
-- a hundred useless ones do not flood the client
SELECT smart.set_jwks('https://keys', pg_temp.jwks(pg_temp.public('rsa-2048')) || jsonb_build_object('keys', jsonb_build_array(pg_temp.public('rsa-2048')) ||
	(SELECT jsonb_agg(jsonb_build_object('kty', 'new', 'kid', 'n' || i)) FROM generate_series(1, 12) i)));
-- a set that came by plain DML and is refused says so on each key
UPDATE smart.issuer SET jwks = pg_temp.jwks(pg_temp.public('rsa-2048'), pg_temp.private('ec-p256')) WHERE issuer = 'https://keys';
SELECT * FROM smart.issuer_keys('https://keys');
UPDATE smart.issuer SET jwks = '5' WHERE issuer = 'https://keys';
\set VERBOSITY terse
SELECT * FROM smart.issuer_keys('https://keys');
SELECT * FROM smart.issuer_keys('https://nobody');
SELECT * FROM smart.issuer_keys(NULL);
SELECT * FROM smart_internal.issuer_keys(NULL, NULL);
SELECT * FROM smart_internal.issuer_keys('{"keys": []}', '{RS256,none}');
SELECT smart.drop_issuer('https://keys');
