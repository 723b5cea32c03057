-- smart_scope: operator classes, planner properties, and the functions that look in.
SET search_path = smart, public;
\set VERBOSITY terse
\pset format unaligned

-- The operator classes are valid, default, and complete.
SELECT opcname, amname, amvalidate(c.oid), opcdefault FROM pg_opclass AS c JOIN pg_am AS m ON m.oid = opcmethod
	WHERE opcintype = 'smart.smart_scope'::regtype ORDER BY opcname;

-- Every operator has a comment, its commutator and estimators.
SELECT oprname, oprcom::regoperator, oprnegate::regoperator, oprrest, oprjoin, oprcanmerge AS merge, oprcanhash AS hash,
	obj_description(o.oid, 'pg_operator') IS NOT NULL AS comment
	FROM pg_operator AS o WHERE oprleft = 'smart.smart_scope'::regtype ORDER BY oprname COLLATE "C";

-- Every function of the type states what it is: immutable, strict, safe in parallel, with a comment.
SELECT count(*) >= 20 AS all_there, bool_and(provolatile = 'i' AND proisstrict AND proparallel = 's' AND obj_description(oid, 'pg_proc') IS NOT NULL) AS good
	FROM pg_proc WHERE pronamespace IN ('smart'::regnamespace, 'smart_internal'::regnamespace) AND prosrc LIKE 'smart\_scope\_%';

-- Indexes, hashing, sorting and DISTINCT work on it.
CREATE TEMP TABLE grants (id int, s smart_scope);
INSERT INTO grants SELECT i, ('patient/T' || i % 500 || '.rs openid')::smart_scope FROM generate_series(1, 5000) AS i;
CREATE INDEX grants_btree ON grants (s);
CREATE INDEX grants_hash ON grants USING hash (s);
ANALYZE grants;
SELECT count(DISTINCT s) FROM grants;
SELECT count(*) FROM grants WHERE s = 'openid patient/T7.read';
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT s FROM grants WHERE s < 'openid patient/T1.rs' ORDER BY s;
SELECT DISTINCT s FROM grants WHERE s < 'openid patient/T100.rs' ORDER BY s;
RESET enable_seqscan;
RESET enable_bitmapscan;
SET enable_nestloop = off;
SET enable_mergejoin = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM grants AS a JOIN grants AS b ON a.s = b.s;
SELECT count(*) FROM grants AS a JOIN grants AS b ON a.s = b.s;
RESET enable_nestloop;
RESET enable_mergejoin;

-- scope_items: one row a token, in the order of the text, constraints decoded.
SELECT * FROM scope_items('launch launch/patient launch/list?role=https://x.org/r launch/Patient openid user/*.* patient/Observation.rs?category=http://x.org/c%7Claboratory&code=%C3%A9%26,b system/A.read');
SELECT * FROM scope_items('');
SELECT * FROM scope_items(NULL);
SELECT scope, level FROM scope_items('patient/A.r user/A.r') WHERE level = 'user';

-- scope_allows: all the letters, without constraint, at that level.
SELECT t, p, scope_allows('patient/*.r patient/Observation.s patient/Condition.rs?code=1 user/Patient.cruds', l, t, p)
	FROM (VALUES ('patient', 'Observation', 'rs'), ('patient', 'Observation', 'r'), ('patient', 'Condition', 'rs'), ('patient', 'Condition', 'r'),
		('patient', '*', 'r'), ('patient', '*', 's'), ('user', 'Patient', 'cruds'), ('user', '*', 'r'), ('system', 'Patient', 'r'), ('patient', '', 'r'), ('patient', 'Patient/1', 'r')) AS q(l, t, p);
SELECT scope_allows('patient/*.r', 'Patient', 'A', 'r');
\echo :LAST_ERROR_SQLSTATE
SELECT scope_allows('patient/*.r', 'patient', 'A', 'read');
\echo :LAST_ERROR_SQLSTATE
SELECT scope_allows('patient/*.r', 'patient', 'A', 'sr');
\echo :LAST_ERROR_SQLSTATE
SELECT scope_allows('patient/*.r', 'patient', 'A', '');
\echo :LAST_ERROR_SQLSTATE
SELECT scope_allows('patient/*.r', 'patient', 'A', NULL) IS NULL AS null_in_null_out;

-- scope_has: one token; launch is no prefix of launch/patient (NS-1); a resource scope within another counts.
SELECT token, scope_has('openid launch/patient patient/*.rs patient/A.c?x=1', token)
	FROM unnest(ARRAY['openid', 'launch', 'launch/patient', 'Openid', '', ' ', 'openid launch/patient', ' openid', 'patient/*.read', 'patient/B.r', 'patient/A.c', 'patient/A.c?x=1&y=2', 'patient/A.sr', E'a\tb'])
	WITH ORDINALITY AS l(token, n) ORDER BY n;

-- A meet whose constraints multiply without bound is refused; unconstrained ones are not.
SELECT (a & b) IS NULL FROM (SELECT string_agg('patient/A.r?a=' || i, ' ')::smart_scope AS a, string_agg('patient/A.r?b=' || i, ' ')::smart_scope AS b FROM generate_series(1, 5000) AS i) AS x;
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM (SELECT string_agg('patient/T' || i || '.rs', ' ')::smart_scope AS s FROM generate_series(1, 50000) AS i) AS x, scope_items((s & 'patient/*.r') | s);
