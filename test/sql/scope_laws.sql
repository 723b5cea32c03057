-- smart_scope: the laws of its order, over all pairs and triples of a list of values.
SET search_path = smart, public;
\pset format unaligned
\pset tuples_only on

CREATE TEMP TABLE v AS SELECT n::int, t::smart_scope AS s FROM unnest(ARRAY[
	'', 'openid', 'openid fhirUser', 'launch launch/patient', 'bogus launch/Patient',
	'patient/*.rs', 'patient/*.r', 'patient/*.*', 'patient/*.write', 'patient/*.r patient/Observation.s', 'patient/*.rs?_tag=y',
	'patient/Observation.rs', 'patient/Observation.read openid', 'patient/Observation.r', 'patient/Observation.cud', 'patient/Observation.*',
	'patient/Condition.rs patient/Observation.rs', 'patient/Condition.cr patient/*.s',
	'user/Observation.rs', 'user/*.cruds', 'system/*.rs', 'system/Patient.rs user/Patient.cruds patient/Patient.r',
	'patient/Observation.rs?category=laboratory', 'patient/Observation.rs?category=vital-signs',
	'patient/Observation.rs?category=laboratory,vital-signs', 'patient/Observation.rs?category=vital-signs patient/Observation.r?category=laboratory',
	'patient/Observation.rs?status=final', 'patient/Observation.rs?category=laboratory&status=final', 'patient/Observation.r?status=final&category=%6Caboratory',
	'patient/Observation.rs?category=laboratory patient/Observation.rs?status=final', 'patient/Observation.rs?category=laboratory,vital-signs&status=final,amended',
	'patient/*.rs?_tag=x', 'patient/*.rs?_tag=x patient/Observation.c?_tag=x', 'patient/Observation.rs?_tag=x&status=final', 'patient/*.rs?_tag=x,y patient/Observation.cruds?status=final',
	'patient/Observation.r patient/Observation.s?category=laboratory', 'patient/Observation.cruds?category=laboratory patient/*.r?status=final',
	'patient/Observation.rs?category=http://x.org/c|laboratory', 'patient/Observation.rs?code=a%5C%2Cb', 'patient/Observation.rs?code=a,b', 'patient/Observation.rs?code=a,,b',
	'patient/Observation.rs?code=%C3%A9%26%3D%25', 'patient/Observation.rs?code=a&code=b', 'patient/Observation.rs?code=a&code=b,c', 'patient/Observation.rs?code:not=a,b'])
	WITH ORDINALITY AS l(t, n);
SELECT count(*), count(DISTINCT s) FROM v;

-- Text round trip: in(out(x)) = x, and the text is a fixed point.
SELECT n, s FROM v WHERE s::text::smart_scope <> s OR s::text::smart_scope::text <> s::text ORDER BY n;

-- Binary round trip.
CREATE TEMP TABLE back (n int, s smart_scope);
\copy (SELECT n, s FROM v) TO 'results/scope_laws.bin' (FORMAT binary)
\copy back FROM 'results/scope_laws.bin' (FORMAT binary)
SELECT v.n FROM v FULL JOIN back USING (n) WHERE v.s IS DISTINCT FROM back.s OR v.s::text IS DISTINCT FROM back.s::text ORDER BY 1;
SELECT smart_internal.smart_scope_send('patient/A.read'::smart_scope);

-- The definition of covers, written anew over the items: every letter of every item of b stands in an
-- item of a of the same level, of the type or of all, whose pairs are among its own.
CREATE FUNCTION pg_temp.covers(a smart.smart_scope, b smart.smart_scope) RETURNS boolean LANGUAGE sql AS $$
	SELECT NOT EXISTS (
		SELECT FROM smart.scope_items(b) AS narrow, unnest(regexp_split_to_array(coalesce(narrow.permissions, '-'), '')) AS letter
		WHERE NOT EXISTS (
			SELECT FROM smart.scope_items(a) AS wide
			WHERE CASE narrow.kind WHEN 'resource' THEN
				wide.level = narrow.level AND wide.resource_type IN (narrow.resource_type, '*')
				AND strpos(wide.permissions, letter) > 0
				AND NOT EXISTS (
					SELECT FROM jsonb_array_elements(wide.params) AS w(pair)
					WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(narrow.params) AS p(pair) WHERE w.pair = p.pair))
				ELSE wide.scope = narrow.scope END))
$$;
SELECT a.s, b.s FROM v AS a, v AS b WHERE (a.s @> b.s) <> pg_temp.covers(a.s, b.s) ORDER BY a.n, b.n;
SELECT count(*) FILTER (WHERE a.s @> b.s) > 150, count(*) FILTER (WHERE NOT a.s @> b.s) > 150 FROM v AS a, v AS b;

-- Covers is an order: reflexive, antisymmetric with =, transitive; <@ is its converse.
SELECT n FROM v WHERE NOT (s @> s) ORDER BY n;
SELECT a.s, b.s FROM v AS a, v AS b WHERE (a.s @> b.s AND b.s @> a.s) <> (a.s = b.s) OR (a.s = b.s) <> (a.s::text = b.s::text) ORDER BY a.n, b.n;
SELECT a.s, b.s, c.s FROM v AS a JOIN v AS b ON a.s @> b.s JOIN v AS c ON b.s @> c.s WHERE NOT a.s @> c.s ORDER BY a.n, b.n, c.n;
SELECT a.s, b.s FROM v AS a, v AS b WHERE (a.s @> b.s) <> (b.s <@ a.s) ORDER BY a.n, b.n;
SELECT n FROM v WHERE NOT s @> '' OR (s <> '' AND s <@ '') ORDER BY n;

-- a & b is the meet: both cover it, and it covers whatever both cover. a | b is the join.
SELECT a.s, b.s FROM v AS a, v AS b WHERE NOT (a.s @> (a.s & b.s) AND b.s @> (a.s & b.s)) ORDER BY a.n, b.n;
SELECT a.s, b.s FROM v AS a, v AS b WHERE NOT (a.s <@ (a.s | b.s) AND b.s <@ (a.s | b.s)) ORDER BY a.n, b.n;
CREATE TEMP TABLE ab AS SELECT a.n AS a, b.n AS b, a.s AS sa, b.s AS sb, a.s & b.s AS meet, a.s | b.s AS joint FROM v AS a, v AS b;
SELECT sa, sb, c.s FROM ab, v AS c WHERE a <= b AND (sa @> c.s AND sb @> c.s) <> (meet @> c.s) ORDER BY a, b, c.n;
SELECT sa, sb, c.s FROM ab, v AS c WHERE a <= b AND (sa <@ c.s AND sb <@ c.s) <> (joint <@ c.s) ORDER BY a, b, c.n;
SELECT sa, sb FROM ab WHERE meet <> (sb & sa) OR joint <> (sb | sa) OR (sa @> sb) <> (meet = sb) OR (sa @> sb) <> (joint = sa) ORDER BY a, b;
SELECT sa, sb FROM ab WHERE (sa & joint) <> sa OR (sa | meet) <> sa ORDER BY a, b;
SELECT sa, sb, c.s FROM ab, v AS c WHERE a <= b AND ((meet & c.s) <> (sa & (sb & c.s)) OR (joint | c.s) <> (sa | (sb | c.s)) OR (c.s & joint) <> ((c.s & sa) | (c.s & sb))) ORDER BY a, b, c.n;
SELECT meet FROM ab WHERE meet::text::smart_scope <> meet OR joint::text::smart_scope <> joint ORDER BY a, b;

-- a & b grants nothing that a or b alone does not: every letter without constraint, and every token.
SELECT sa, sb, level, type, letter FROM ab, unnest(ARRAY['patient', 'user', 'system']) AS level,
	unnest(ARRAY['*', 'Observation', 'Condition', 'Patient', 'Other']) AS type, unnest(ARRAY['c', 'r', 'u', 'd', 's']) AS letter
	WHERE scope_allows(meet, level, type, letter) <> (scope_allows(sa, level, type, letter) AND scope_allows(sb, level, type, letter))
	OR scope_allows(joint, level, type, letter) <> (scope_allows(sa, level, type, letter) OR scope_allows(sb, level, type, letter))
	ORDER BY a, b, level, type, letter;
SELECT sa, sb, token FROM ab, unnest(ARRAY['openid', 'launch', 'launch/patient', 'bogus']) AS token
	WHERE scope_has(meet, token) <> (scope_has(sa, token) AND scope_has(sb, token)) ORDER BY a, b, token;

-- Comparison is one total order by bytes; equal values hash alike.
SELECT a.s, b.s FROM v AS a, v AS b WHERE (a.s < b.s) <> (a.s::text COLLATE "C" < b.s::text) OR (a.s < b.s) <> (b.s > a.s)
	OR (a.s <= b.s) = (a.s > b.s) OR (a.s >= b.s) = (a.s < b.s) OR (a.s = b.s) = (a.s <> b.s) OR smart_internal.smart_scope_cmp(a.s, b.s) <> -smart_internal.smart_scope_cmp(b.s, a.s)
	OR ((a.s = b.s) AND (smart_internal.smart_scope_hash(a.s) <> smart_internal.smart_scope_hash(b.s) OR smart_internal.smart_scope_hash_extended(a.s, 7) <> smart_internal.smart_scope_hash_extended(b.s, 7)))
	ORDER BY a.n, b.n;
SELECT count(*) FROM v WHERE smart_internal.smart_scope_hash(s)::bigint & 4294967295 <> smart_internal.smart_scope_hash_extended(s, 0) & 4294967295;
