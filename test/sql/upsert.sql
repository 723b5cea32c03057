-- The WHERE of an ON CONFLICT action is never evaluated on a row that the policies hide (CVE-2026-120154: servers before
-- 2026-11-12 do so), and is what it was for rows that they show. The calls are counted with a sequence, which no rollback takes back.
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT smart.add_issuer('https://upsert', '{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}', '{https://fhir}');
CREATE ROLE upsert_app;
CREATE TABLE upsert (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE upsert_parts (id text PRIMARY KEY, resource jsonb NOT NULL) PARTITION BY HASH (id);
CREATE TABLE upsert_part0 PARTITION OF upsert_parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE upsert_part1 (resource jsonb NOT NULL, dropped int, id text NOT NULL PRIMARY KEY);
ALTER TABLE upsert_part1 DROP COLUMN dropped;
ALTER TABLE upsert_parts ATTACH PARTITION upsert_part1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE upsert_plain (id text PRIMARY KEY, owner text, resource jsonb);
CREATE FUNCTION upsert_row(patient text, note text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT jsonb_build_object('resourceType', 'Observation', 'subject', jsonb_build_object('reference', 'Patient/' || patient), 'note', note) $$;
INSERT INTO upsert SELECT 'o' || p || i, upsert_row(p::text, 'old') FROM generate_series(1, 2) p, generate_series(1, 4) i;
INSERT INTO upsert_parts SELECT * FROM upsert;
INSERT INTO upsert_plain SELECT id, substr(id, 2, 1), resource FROM upsert;
SELECT smart.protect(t, 'Observation') FROM unnest('{upsert,upsert_parts}'::regclass[]) t;
-- policies of one's own, with a subquery, on a table that is not ours
CREATE TABLE upsert_me (owner text);
INSERT INTO upsert_me VALUES ('1');
ALTER TABLE upsert_plain ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON upsert_plain USING (owner IN (SELECT m.owner FROM upsert_me m));
GRANT SELECT, INSERT, UPDATE ON upsert, upsert_parts, upsert_plain, upsert_me TO upsert_app;
CREATE VIEW upsert_view WITH (security_invoker) AS SELECT id, resource FROM upsert;
GRANT SELECT, INSERT, UPDATE ON upsert_view TO upsert_app;
CREATE SEQUENCE upsert_calls MINVALUE 0 START 0;
CREATE FUNCTION upsert_peek(value text, answer boolean) RETURNS boolean LANGUAGE plpgsql VOLATILE SECURITY DEFINER COST 0.0001 AS
$$ BEGIN PERFORM nextval('upsert_calls'); RETURN answer AND value <> ''; END $$;
-- what a statement answers, as the app in a patient's session, and how often the function was called
CREATE FUNCTION upsert_try(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
	n int;
BEGIN
	PERFORM setval('upsert_calls', 0);
	BEGIN
		PERFORM smart.assume('{"aud": "https://fhir", "exp": 4102444800, "scope": "patient/Observation.cruds", "patient": "1"}', 'https://upsert');
		SET LOCAL ROLE upsert_app;
		EXECUTE sql;
		GET DIAGNOSTICS n = ROW_COUNT;
		answer := n || ' rows';
	EXCEPTION
		-- before 19 there is no DO SELECT: no row, no call
		WHEN syntax_error THEN answer := '42501';
		WHEN OTHERS THEN answer := sqlstate;
	END;
	RESET ROLE;
	RETURN answer || ', ' || nextval('upsert_calls') - 1 || ' calls';
END
$$;
SELECT t, w, upsert_try(format($f$INSERT INTO %s (id, resource) VALUES ('%s', upsert_row('1', 'new')) ON CONFLICT (id) DO UPDATE SET resource = EXCLUDED.resource WHERE %s$f$, t, id, w)) AS answer, what
FROM unnest('{upsert,upsert_parts,upsert_view}'::text[]) t,
	(VALUES (1, 'own', 'o11'), (2, 'hidden', 'o21'), (3, 'new', 'o31')) r (n, what, id),
	(VALUES (1, '%t.resource::text, true'), (2, '%t.resource::text, false'), (3, 'EXCLUDED.id, false')) v (k, form),
	LATERAL (SELECT 'upsert_peek(' || replace(form, '%t', t) || ')') x (w)
ORDER BY t, n, k;
SELECT what, upsert_try(format($f$INSERT INTO upsert_plain AS p (id, owner, resource) VALUES ('%s', '1', '{}') ON CONFLICT (id) DO UPDATE SET resource = EXCLUDED.resource WHERE upsert_peek(p.resource::text, %s)$f$, id, yes::text)) AS answer
FROM (VALUES (1, 'own', 'o11', true), (2, 'own', 'o12', false), (3, 'hidden', 'o21', true), (4, 'hidden', 'o22', false)) r (n, what, id, yes) ORDER BY n;
-- a whole row, several conditions, a subquery; rows of a SELECT; in a WITH; prepared and planned again; in functions
SELECT what, upsert_try(sql) FROM (VALUES
	(1, 'whole row', $s$INSERT INTO upsert AS u VALUES ('o21', upsert_row('1', 'x')) ON CONFLICT (id) DO UPDATE SET resource = EXCLUDED.resource WHERE upsert_peek(u::text, false)$s$),
	(2, 'whole row of a partition', $s$INSERT INTO upsert_parts AS u VALUES ('o21', upsert_row('1', 'x')), ('o22', upsert_row('1', 'x')) ON CONFLICT (id) DO UPDATE SET resource = EXCLUDED.resource WHERE upsert_peek(u::text, false)$s$),
	(3, 'OR', $s$INSERT INTO upsert AS u VALUES ('o21', upsert_row('1', 'x')) ON CONFLICT (id) DO UPDATE SET resource = EXCLUDED.resource WHERE u.id = '' OR upsert_peek(u.id, false)$s$),
	(4, 'subquery', $s$INSERT INTO upsert AS u VALUES ('o21', upsert_row('1', 'x')) ON CONFLICT (id) DO UPDATE SET resource = EXCLUDED.resource WHERE EXISTS (SELECT FROM upsert_me m WHERE upsert_peek(u.resource ->> 'note', false))$s$),
	(5, 'own by a subquery', $s$INSERT INTO upsert AS u VALUES ('o11', upsert_row('1', 'x')) ON CONFLICT (id) DO UPDATE SET resource = EXCLUDED.resource WHERE EXISTS (SELECT FROM upsert_me m WHERE upsert_peek(u.resource ->> 'note', true))$s$),
	(6, 'own rows of a SELECT', $s$INSERT INTO upsert AS u SELECT id, resource FROM upsert ON CONFLICT (id) DO UPDATE SET resource = EXCLUDED.resource WHERE upsert_peek(u.id, true)$s$),
	(7, 'WITH', $s$WITH w AS (INSERT INTO upsert AS u VALUES ('o21', upsert_row('1', 'x')) ON CONFLICT (id) DO UPDATE SET resource = EXCLUDED.resource WHERE upsert_peek(u.id, false) RETURNING 1) SELECT * FROM w$s$),
	(8, 'function', $s$DO $do$ BEGIN FOR i IN 1..12 LOOP BEGIN INSERT INTO upsert AS u VALUES ('o2' || i % 4 + 1, upsert_row('1', 'x')) ON CONFLICT (id) DO UPDATE SET resource = EXCLUDED.resource WHERE upsert_peek(u.id, false); EXCEPTION WHEN insufficient_privilege THEN NULL; END; END LOOP; END $do$$s$),
	(9, 'DO SELECT, hidden', $s$INSERT INTO upsert AS u VALUES ('o21', upsert_row('1', 'x')) ON CONFLICT (id) DO SELECT WHERE upsert_peek(u.resource::text, false) RETURNING u.id$s$),
	(10, 'DO SELECT FOR UPDATE, hidden', $s$INSERT INTO upsert_parts AS u VALUES ('o21', upsert_row('1', 'x')) ON CONFLICT (id) DO SELECT FOR UPDATE WHERE upsert_peek(u.resource::text, true) RETURNING u.id$s$),
	(11, 'nothing to hide: DO NOTHING', $s$INSERT INTO upsert VALUES ('o21', upsert_row('1', 'x')) ON CONFLICT (id) DO NOTHING$s$)) v (n, what, sql) ORDER BY n;
-- the other patient's rows are as they were
SELECT count(*) FILTER (WHERE resource ->> 'note' = 'old') AS old, count(*) FROM upsert WHERE id LIKE 'o2%';
SELECT count(*) FILTER (WHERE resource ->> 'note' = 'old') AS old, count(*) FROM upsert_parts WHERE id LIKE 'o2%';
SELECT smart.drop_issuer('https://upsert');
DROP TABLE upsert, upsert_parts, upsert_plain, upsert_me CASCADE;
DROP FUNCTION upsert_row, upsert_peek, upsert_try;
DROP SEQUENCE upsert_calls;
DROP ROLE upsert_app;
