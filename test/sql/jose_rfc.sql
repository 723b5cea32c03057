-- The signed examples of RFC 7515, 7520 and 8037 get the verdict and the payload of the RFC.
\getenv srcdir PG_ABS_SRCDIR
\set examples `cat :srcdir/data/jose/rfc.json`
CREATE FUNCTION pg_temp.payload(token text, jwks jsonb) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN convert_from(smart.jws_verify(token, jwks), 'UTF8');
EXCEPTION WHEN invalid_authorization_specification THEN
	RETURN NULL;
END $$;
SELECT e ->> 'id' AS example, e ->> 'valid' AS valid,
	   pg_temp.payload(e ->> 'token', e -> 'jwks') IS NOT DISTINCT FROM (e ->> 'payload') AS right
FROM jsonb_array_elements(:'examples'::jsonb) AS e
ORDER BY e ->> 'id' COLLATE "C";
