-- Header and payload are read strictly: one spelling, valid UTF-8, no member twice, nothing that jsonb
-- would refuse with an error of its own or drop silently.
CREATE FUNCTION pg_temp.b64(t bytea) RETURNS text LANGUAGE sql AS
	$$SELECT translate(encode(t, 'base64'), E'+/=\n', '-_')$$;
CREATE FUNCTION pg_temp.payload(t bytea) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN left(smart.jwt_payload('e30.' || pg_temp.b64(t) || '.AA')::text, 60);
EXCEPTION WHEN invalid_authorization_specification THEN
	RETURN 'refused';
END $$;
-- (psql 17 counts the byte order mark's width otherwise than 15)
SELECT n, replace(json, E'\ufeff', '<BOM>') AS json, pg_temp.payload(convert_to(json, 'UTF8')) FROM (VALUES
	(1, '{}'), (2, ' { "a" : 1 } '), (3, ''), (4, '{'), (5, '[]'), (6, '"x"'), (7, 'null'), (8, '{} x'), (9, '{"a":1,}'), (10, '{"a" 1}'),
	(11, '{a:1}'), (12, '{"a":1,"a":1}'), (13, '{"a":1,"\u0061":2}'), (14, '{"a":{"b":1,"b":2}}'), (15, '{"a":[{"b":1},{"b":2}]}'),
	(16, '{"a":1,"A":2}'), (17, '{"":1,"":2}'), (18, '{"\ud83d\ude00":1,"😀":2}'), (19, '{"a":"\u0000"}'), (20, '{"a":"\ud800"}'), (21, '{"a":"\udc00x"}'),
	(22, '{"a":"\ud800\u0041"}'), (23, '{"a":"\x"}'), (24, '{"a":"\u12"}'), (25, E'{"a":"\t"}'), (26, '{"a":"\t\/\"\\\b\f\n\r"}'),
	(27, '{"a":01}'), (28, '{"a":+1}'), (29, '{"a":-0}'), (30, '{"a":1.}'), (31, '{"a":.5}'), (32, '{"a":1e}'), (33, '{"a":1E+2}'), (34, '{"a":-1.5e-3}'),
	(35, '{"a":1e131070}'), (36, '{"a":1e131072}'), (37, '{"a":1e-16383}'), (38, '{"a":1e-16384}'), (39, '{"a":1e999999999999999999999}'), (40, '{"a":0e-99999}'),
	(41, '{"a":NaN}'), (42, '{"a":tru}'), (43, '{"a":nullx}'), (44, E'{"a":1}\u00a0'), (45, '{"a":[1,]}'), (46, '{"a":[,1]}'), (47, '{"a":[1 2]}'), (48, '{"a":[}]'),
	(49, '{/**/}'), (50, E'\ufeff{}')) AS c (n, json)
ORDER BY n;
-- Not UTF-8: a bare byte, overlong forms, a surrogate, beyond U+10FFFF, cut short, a NUL.
SELECT n, pg_temp.payload('{"a":"' || bytes || '"}') FROM (VALUES
	(1, '\xff'::bytea), (2, '\xc0af'), (3, '\xe080af'), (4, '\xeda080'), (5, '\xf4908080'), (6, '\xc3'), (7, '\x80'), (8, '\x00'), (9, '\xf48fbfbf'), (10, '\xc3a9'), (11, '\xf09f98')) AS c (n, bytes)
ORDER BY n;
-- A member twice among many, and many that differ, in reasonable time.
SELECT pg_temp.payload(convert_to('{' || string_agg('"k' || i || '":0', ',') || ',"k17":0}', 'UTF8')) FROM generate_series(1, 3000) AS i;
SELECT length(pg_temp.payload(convert_to('{' || string_agg('"k' || i || '":0', ',') || '}', 'UTF8'))) FROM generate_series(1, 3000) AS i;

-- base64url: no padding, no white space, no other alphabet, no unused bits, no impossible length.
CREATE FUNCTION pg_temp.look(t text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN smart.jwt_header(t);
EXCEPTION WHEN invalid_authorization_specification THEN
	RETURN 'refused';
END $$;
SELECT token, pg_temp.look(token) FROM (VALUES ('e30.e30.AA'), ('e30=.e30.AA'), (' e30.e30.AA'), (E'e30\n.e30.AA'), ('e31.e30.AA'), ('eyJhIjoxfQ.e30.AA'), ('eyJhIjoxfR.e30.AA'), ('e3.e30.AA'), ('e.e30.AA'),
	('.e30.AA'), ('e30.e30.'), ('e30.e30'), ('e30'), (''), ('e30.e30.AA.AA'), ('e30.e30.AA.'), ('eyJhIjoiPj8_In0.e30.AA'), ('eyJhIjoiPj8/In0.e30.AA')) AS t (token)
ORDER BY token COLLATE "C";

-- What a token's payload becomes is what jsonb's own input makes of the text: random objects, written with and without
-- white space, with numbers of every form, escapes, empty containers.
CREATE FUNCTION pg_temp.random_json(depth int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE space text := (ARRAY['', '', ' ', E'\n', E' \t\r '])[1 + floor(random() * 5)]; n int := floor(random() * 5); parts text[] := '{}';
BEGIN
  CASE (CASE WHEN depth = 0 THEN 6 ELSE floor(random() * (CASE WHEN depth > 5 THEN 5 ELSE 8 END))::int END)
    WHEN 0 THEN RETURN (ARRAY['0', '-0', '7', '-12', '1900000000', '123456789012345678', '-99999999999999999', '1234567890123456789', '9223372036854775808', '1.50', '-0.0', '1e3', '2E-2', '12345678901234567890.123'])[1 + floor(random() * 14)];
    WHEN 1 THEN RETURN (ARRAY['true', 'false', 'null'])[1 + floor(random() * 3)];
    WHEN 2 THEN RETURN to_json((ARRAY['', 'a', 'Patient/1', 'ü', '𝄞', 'a,b:{}[]', 'launch/patient openid', repeat('x', 200)])[1 + floor(random() * 8)])::text;
    WHEN 3 THEN RETURN (ARRAY['"\n"', '"\u0041\/"', '"\"\\"', '"\ud834\udd1e"'])[1 + floor(random() * 4)];
    WHEN 4 THEN RETURN (ARRAY['[]', '{}', '[ ]', '{ }'])[1 + floor(random() * 4)];
    WHEN 5 THEN
      FOR i IN 1..n LOOP parts := parts || (space || pg_temp.random_json(depth + 1) || space); END LOOP;
      RETURN '[' || array_to_string(parts, ',') || ']';
    ELSE
      FOR i IN 1..n LOOP parts := parts || (space || to_json((ARRAY['', 'aud', 'ä', 'longer name'])[1 + floor(random() * 4)] || i) || space || ':' || space || pg_temp.random_json(depth + 1) || space); END LOOP;
      RETURN space || '{' || array_to_string(parts, ',') || '}' || space;
  END CASE;
END $$;
SELECT setseed(0.25);
SELECT count(*) AS texts, count(*) FILTER (WHERE NOT same) AS wrong
FROM (SELECT made = text::jsonb AND made::text = text::jsonb::text AND pg_column_size(made) = pg_column_size(text::jsonb) AS same
  FROM (SELECT text, smart.jwt_payload('e30.' || pg_temp.b64(convert_to(text, 'UTF8')) || '.AA') AS made
    FROM (SELECT pg_temp.random_json(0) AS text FROM generate_series(1, 3000)) t OFFSET 0) t OFFSET 0) t;
-- headers that are met again are the same, whatever came in between
SELECT count(DISTINCT header) AS headers, bool_and(header ->> 'kid' = (i % 12)::text) AS own
FROM (SELECT i, smart.jwt_header(pg_temp.b64(convert_to(format('{"alg":"RS256","kid":"%s"}', i % 12), 'UTF8')) || '.e30.AA') AS header FROM generate_series(1, 100) i) t;
