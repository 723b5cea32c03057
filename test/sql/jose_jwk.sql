-- Thumbprints: RFC 7638 3.1, RFC 8037 A.3; other members, private ones too, do not count.
SELECT smart.jwk_thumbprint('{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}');
SELECT smart.jwk_thumbprint('{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","use":"enc"}');
SELECT smart.jwk_thumbprint(NULL) IS NULL AS null_is_null;

-- A key that is malformed or weak is refused with 22P02 and a reason that shows nothing of it.
\getenv srcdir PG_ABS_SRCDIR
\set keys `cat :srcdir/data/jose/keys.json`
CREATE TEMP TABLE keys AS SELECT key AS kid, value AS jwk FROM jsonb_each(:'keys'::jsonb);
CREATE FUNCTION pg_temp.why(jwk jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	RETURN 'accepted ' || length(smart.jwk_thumbprint(jwk));
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN sqlstate || ' ' || detail;
END $$;
SELECT c.what, pg_temp.why(c.jwk)
FROM keys AS rsa, keys AS ec, keys AS ed, keys AS oct, LATERAL (VALUES
	('01 RSA 2048', rsa.jwk),
	('02 RSA without kty', rsa.jwk - 'kty'),
	('03 RSA kty in lower case', rsa.jwk || '{"kty": "rsa"}'),
	('04 RSA e 1', rsa.jwk || '{"e": "AQ"}'),
	('05 RSA e 3', rsa.jwk || '{"e": "Aw"}'),
	('06 RSA e even', rsa.jwk || '{"e": "AQAC"}'),
	('07 RSA e of 33 bytes', rsa.jwk || jsonb_build_object('e', repeat('B', 44))),
	('08 RSA e with a leading zero', rsa.jwk || '{"e": "AAEAAQ"}'),
	('09 RSA n with padding', rsa.jwk || jsonb_build_object('n', (rsa.jwk ->> 'n') || '=')),
	('10 RSA n a number', rsa.jwk || '{"n": 5}'),
	('11 RSA of 2040 bits', rsa.jwk || jsonb_build_object('n', repeat('_', 340))),
	('12 RSA of 2047 bits', rsa.jwk || jsonb_build_object('n', 'f' || repeat('_', 340) || 'w')),
	('13 RSA of 2048 bits', rsa.jwk || jsonb_build_object('n', repeat('_', 341) || 'w')),
	('14 RSA of 8192 bits', rsa.jwk || jsonb_build_object('n', repeat('_', 1365) || 'w')),
	('15 RSA of 8193 bits', rsa.jwk || jsonb_build_object('n', 'AQ' || repeat('_', 1364) || 'w')),
	('16 EC', ec.jwk),
	('17 EC point off the curve', ec.jwk || jsonb_build_object('x', ec.jwk ->> 'y')),
	('18 EC wrong curve', ec.jwk || '{"crv": "P-384"}'),
	('19 EC secp256k1', ec.jwk || '{"crv": "secp256k1"}'),
	('20 EC x too wide', ec.jwk || jsonb_build_object('x', 'AAAA' || (ec.jwk ->> 'x'))),
	('21 OKP', ed.jwk),
	('22 OKP Ed448', ed.jwk || '{"crv": "Ed448"}'),
	('23 OKP of small order', ed.jwk || '{"x": "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}'),
	('24 OKP of small order, sign bit set', ed.jwk || '{"x": "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAIA"}'),
	('25 oct', oct.jwk),
	('26 oct empty', oct.jwk || '{"k": ""}'),
	('27 an array', '[]'),
	('28 a string', '"x"'),
	('29 null', 'null')) AS c (what, jwk)
WHERE rsa.kid = 'rsa-2048' AND ec.kid = 'ec-p256' AND ed.kid = 'ed25519' AND oct.kid = 'oct-32'
ORDER BY c.what;
