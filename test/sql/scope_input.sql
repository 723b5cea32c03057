-- smart_scope: what input takes, what it refuses and why, and the one text that comes out.
SET search_path = smart, public;
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on

-- Letters of version 2 in their order, merged; version 1 is translated; tokens are sorted by bytes.
SELECT 'user/A.write user/A.read patient/B.* launch openid'::smart_scope;
SELECT 'patient/A.s patient/A.d patient/A.c'::smart_scope;
SELECT 'b a B patient/Z.r patient/*.c'::smart_scope;

-- Runs of spaces, leading and trailing ones are no tokens; the empty text is the empty set.
SELECT '[' || '  a   patient/A.r '::smart_scope::text || ']';
SELECT '[' || ''::smart_scope::text || '][' || '   '::smart_scope::text || ']';

-- What a wildcard covers goes, letter by letter; a wildcard is never made up.
SELECT 'patient/*.r patient/Observation.rs'::smart_scope;
SELECT 'patient/*.rs patient/Observation.rs user/Observation.r'::smart_scope;
SELECT 'patient/A.rs patient/B.rs'::smart_scope;
SELECT 'patient/*.rs patient/A.cruds?x=1'::smart_scope;
SELECT 'patient/*.rs?x=1 patient/A.cruds?x=1&y=2'::smart_scope;

-- Fewer pairs cover more; order and repetition of pairs mean nothing.
SELECT 'patient/A.rs?b=2&a=1&b=2'::smart_scope;
SELECT 'patient/A.rs?a=1&b=2 patient/A.r?a=1'::smart_scope;
SELECT 'patient/A.rs?a=1 patient/A.rs?b=2'::smart_scope;
SELECT 'patient/A.r patient/A.cruds?a=1'::smart_scope;

-- Alternatives are scopes of their own, and a repeated name is AND.
SELECT 'patient/A.rs?a=2,1'::smart_scope = 'patient/A.rs?a=1 patient/A.rs?a=2'::smart_scope;
SELECT 'patient/A.rs?a=1,2&b=3,4'::smart_scope;
SELECT 'patient/A.rs?a=1,2&a=2,3'::smart_scope;
SELECT 'patient/A.rs?a=1,1%2C1'::smart_scope;

-- An escaped comma does not split; a value with an empty alternative stays whole, since the
-- whole scope grants nothing; so does the list of a modifier, which need not be a union.
SELECT 'patient/A.rs?a=1%5C%2C2,3'::smart_scope;
SELECT 'patient/A.rs?a=1%5C%5C,2'::smart_scope;
SELECT 'patient/A.rs?a=1%5C'::smart_scope;
SELECT 'patient/A.rs?a=1,&b=2,3'::smart_scope;
SELECT 'patient/A.rs?a=,1 patient/A.rs?a=1,,2'::smart_scope;
SELECT 'patient/A.rs?code:not=1,2 patient/A.rs?subject:Patient=1,2'::smart_scope;

-- One percent-encoding, decoded once after splitting.
SELECT 'patient/A.rs?c=http%3a%2F%2fx%7cl%61b'::smart_scope;
SELECT 'patient/A.rs?c=%26%3D%3F%23%2B%25%20%22%c3%a9'::smart_scope;
SELECT 'patient/A.rs?c=%257C patient/A.rs?%63=%2541'::smart_scope;

-- What SMART or FHIR does not know is kept.
SELECT 'patient/observation.rs patient/Foo.r patient/A.r?foo=bar&_count=5 __x launch/list?role=https://x.org/r'::smart_scope;
SELECT 'encounter/Observation.rs patientx/A.rs http://x.org/patient/*.r a,b *.* launch/Patient'::smart_scope;

-- Malformed resource scopes are errors that name the scope and the fault.
CREATE FUNCTION pg_temp.refusal(value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	RETURN 'accepted: ' || value::smart.smart_scope::text;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN SQLSTATE || ' ' || detail;
END $$;
SELECT pg_temp.refusal(t) FROM unnest(ARRAY[
	'/Observation.rs', 'Patient/A.rs', 'SYSTEM/A.rs', 'patient/', 'patient/.rs', 'patient/A', 'patient/*', 'patient/A.',
	'patient/A/.rs', 'patient/A/B.rs', 'patient/A-B.rs', 'patient/1.rs', 'patient/*A.rs', 'patient/A.sr', 'patient/A.rr',
	'patient/A.readx', 'patient/A.READ', 'patient/A.rs.x', 'patient/A.r*', 'patient/*.rs,user/*.rs',
	'patient/A.read?a=1', 'patient/A.*?a=1', 'patient/A.rs?', 'patient/A.rs?a', 'patient/A.rs?=1', 'patient/A.rs?a=',
	'patient/A.rs?a=1&&b=1', 'patient/A.rs?&a=1', 'patient/A.rs?a=1&', 'patient/A.rs?a=b=c', 'patient/A.rs?a=b?c',
	'patient/A.rs?a=b#c', 'patient/A.rs?a=b+c', 'patient/A.rs?a+b=c', 'patient/A.rs?a=%', 'patient/A.rs?a=%2',
	'patient/A.rs?a=%ZZ', 'patient/A.rs?a=%00', 'patient/A.rs?a=%FF', 'patient/A.rs?a=%C0%AF', 'patient/A.rs?a=%E0%9F%BF', 'patient/A.rs?a=%F0%8F%BF%BF', 'patient/A.rs?a=%ED%A0%80',
	'patient/A.rs?a=%F4%90%80%80', 'patient/A.rs?a=%C3', 'patient/A.rs?%C3=1', 'openid user/B.r patient/A.x user/C'])
	WITH ORDINALITY AS l(t, n) ORDER BY n;

-- Bytes outside the alphabet of RFC 6749 spoil the whole text.
SELECT pg_temp.refusal(t) FROM unnest(ARRAY[
	E'a\tb', E'patient/*.rs\n', 'a"b', E'a\\b', E'a\x7f', U&'\00e9', U&'a\00a0b', U&'patient/\041ebservation.rs']) WITH ORDINALITY AS l(t, n) ORDER BY n;
SELECT 'patient/A.sr'::smart_scope;
\echo :LAST_ERROR_SQLSTATE
SELECT 'a"b'::smart_scope;
\echo :LAST_ERROR_SQLSTATE

-- Text is converted by assignment, not silently in expressions.
CREATE TEMP TABLE conversions (s smart_scope, t text);
INSERT INTO conversions SELECT 'patient/A.read'::text, 'patient/A.write'::smart_scope;
SELECT s, t FROM conversions;
SELECT 'a'::text = 'a'::smart_scope;
\echo :LAST_ERROR_SQLSTATE

-- Bounds: alternatives at the limit and past it, a value of a megabyte, the longest text and one byte more.
SELECT count(*) FROM scope_items(('patient/A.r?a=' || (SELECT string_agg(i::text, ',') FROM generate_series(1, 10000) AS i))::smart_scope);
SELECT pg_temp.refusal('patient/A.r?a=0,' || string_agg(i::text, ',')) ~ '^54000 .*too many combinations.$' FROM generate_series(1, 10000) AS i;
SELECT count(*) FROM scope_items(('patient/A.r?' || (SELECT string_agg(p || '=1,2', '&') FROM generate_series(1, 13) AS p))::smart_scope);
SELECT pg_temp.refusal('patient/A.r?' || string_agg(p || '=1,2', '&')) FROM generate_series(1, 14) AS p;
SELECT pg_temp.refusal('patient/A.r?' || string_agg(p || '=1,2,3', '&')) ~ '^54000 ' FROM generate_series(1, 20000) AS p;
SELECT length(('patient/A.r?a=' || repeat('x', 1000000))::smart_scope::text);
SELECT ('patient/A.r?a=1' || repeat('&a=1', 250000))::smart_scope;
SELECT length((repeat('a ', 8388608))::smart_scope::text);
SELECT pg_temp.refusal(repeat('a ', 8388608) || ' ');

-- 100,000 scopes: distinct types, distinct codes, two pairs each; letters are merged among them.
SELECT length(s::smart_scope::text) FROM (SELECT string_agg('patient/T' || i % 50000 || CASE WHEN i < 50000 THEN '.r' ELSE '.s' END, ' ') AS s FROM generate_series(0, 99999) AS i) AS x;
SELECT count(*), min(permissions) FROM scope_items((SELECT string_agg('patient/Observation.' || CASE WHEN i % 2 = 0 THEN 'r' ELSE 's' END || '?code=' || i / 2, ' ') FROM generate_series(0, 99999) AS i)::smart_scope);
SELECT count(*) FROM scope_items((SELECT string_agg('patient/*.r?a=' || i / 300 || '&b=' || i % 300, ' ') FROM generate_series(0, 89999) AS i)::smart_scope);

-- Hostile: chains of constraints that cover one another, and sets that nearly do. An answer or 54000, and soon.
SELECT ('patient/A.r?' || string_agg(prefix, ' patient/A.r?'))::smart_scope
	FROM (SELECT (SELECT string_agg(j || '=1', '&') FROM generate_series(1, i) AS j) AS prefix FROM generate_series(1, 300) AS i) AS p;
SELECT pg_temp.refusal(string_agg('patient/A.r?' || pairs, ' ')) ~ '^(accepted|54000)'
	FROM (SELECT (SELECT string_agg('p' || b || '=1', '&') FROM generate_series(0, 15) AS b WHERE i & (1 << b) <> 0) AS pairs
		FROM generate_series(1, 65535) AS i WHERE length(replace(i::bit(16)::text, '0', '')) IN (7, 8)) AS s;

-- Many small constraints, many large ones that hold no small one: to find that out is bounded.
CREATE TEMP TABLE hostile AS
	SELECT string_agg('patient/A.r?' || pairs, ' ') AS t FROM (
		SELECT 'a' || i || '=1&b' || j || '=1' AS pairs FROM generate_series(0, 299) AS i, generate_series(i % 2, 299, 2) AS j
		UNION ALL
		SELECT string_agg('a' || 2 * ((k + m * (1 + k / 150)) % 150) + k % 2 || '=1&b' || 2 * ((k + m * (2 + k / 150)) % 150) + 1 - k % 2 || '=1', '&')
		FROM generate_series(0, 19999) AS k, generate_series(0, 11) AS m GROUP BY k) AS terms;
SELECT pg_temp.refusal(t) FROM hostile;
