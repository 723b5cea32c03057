#!/usr/bin/env bash
# bench/today.sh: policies as people write them today, and ours, against a hand-written WHERE.
#
# One table with a text column and a btree index, 100k rows, one policy for each role: the two
# forms that PostgREST and Supabase document, and a PL/pgSQL function; verification as
# pgjwt does it (HMAC by pgcrypto, in SQL) against smart.jwt_verify() and a repeated login. Needs what bench/rls.sh made.
set -uo pipefail
. "$(dirname "$0")/../tools/lib.sh"
. "$(dirname "$0")/lib.sh"
runs=${RUNS:-${QUICK:+5}}
runs=${runs:-15}
bench_issuer
rm -f "$RESULTS/today.tsv"

psql_quiet <<-'SQL' >/dev/null
	SET client_min_messages = warning;
	DROP TABLE IF EXISTS today;
	CREATE TABLE today AS SELECT * FROM obs_key WHERE substr(patient_id, 2)::int < 1000;
	ALTER TABLE today ADD PRIMARY KEY (id);
	CREATE INDEX ON today (patient_id, effective);
	DO $$ BEGIN CREATE ROLE today_setting; CREATE ROLE today_select; CREATE ROLE today_plpgsql; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
	CREATE OR REPLACE FUNCTION bench.may_see(patient text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
	BEGIN
	  RETURN patient = current_setting('request.jwt.claims', true)::jsonb ->> 'patient';
	END $$;
	ALTER TABLE today ENABLE ROW LEVEL SECURITY;
	CREATE POLICY setting ON today TO today_setting USING (patient_id = current_setting('request.jwt.claims', true)::json ->> 'patient');
	CREATE POLICY selected ON today TO today_select USING (patient_id = (SELECT current_setting('request.jwt.claims', true)::jsonb ->> 'patient'));
	CREATE POLICY plpgsql ON today TO today_plpgsql USING (bench.may_see(patient_id));
	GRANT SELECT ON today TO today_setting, today_select, today_plpgsql, bench_hand;
	GRANT USAGE, CREATE ON SCHEMA bench TO today_setting, today_select, today_plpgsql;
	VACUUM ANALYZE today;
	-- ours, on a copy of its own
	DROP TABLE IF EXISTS today_smart;
	CREATE TABLE today_smart AS SELECT * FROM today;
	ALTER TABLE today_smart ADD PRIMARY KEY (id);
	CREATE INDEX ON today_smart (patient_id, effective);
	SELECT smart.protect('today_smart', 'Observation', patients => 'patient_id');
	GRANT SELECT ON today_smart TO bench_app;
	VACUUM ANALYZE today_smart;
	DROP FUNCTION IF EXISTS bench.compare_roles(text, int);
	CREATE FUNCTION bench.compare_roles(first text, runs int, OUT protected_us float8, OUT hand_us float8, OUT ratio float8) LANGUAGE plpgsql AS $$
	DECLARE p float8[] := '{}'; h float8[] := '{}'; n int; took float8;
	BEGIN
	  PERFORM set_config('role', first, false);
	  took := greatest(bench.batch('protected', 1), 0.000002);
	  n := least(greatest((0.02 / took)::int, 1), 5000);
	  FOR i IN 1..runs LOOP
	    PERFORM set_config('role', first, false);
	    p := p || bench.batch('protected', n);
	    PERFORM set_config('role', 'bench_hand', false);
	    h := h || bench.batch('hand', n);
	  END LOOP;
	  PERFORM set_config('role', 'none', false);
	  SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) * 1e6 / n INTO protected_us FROM unnest(p) x;
	  SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) * 1e6 / n INTO hand_us FROM unnest(h) x;
	  SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x / y) INTO ratio FROM unnest(p, h) u(x, y);
	END $$;
SQL
compare() {
  local name=$1 role=$2 table=$3 query=$4 line
  line=$(psql_quiet -F ' ' -v runs="$runs" -v role="$role" <<-SQL
	SET client_min_messages = warning;
	SELECT set_config('request.jwt.claims', '{"sub": "4711", "role": "app", "patient": "p7", "scope": "patient/*.rs", "exp": 4000000000}', false) \\g /dev/null
	CREATE OR REPLACE FUNCTION bench.protected(n int) RETURNS void LANGUAGE plpgsql AS \$f\$ BEGIN FOR i IN 1..n LOOP PERFORM * FROM (${query//TABLE/$table}) q; END LOOP; END \$f\$;
	CREATE OR REPLACE FUNCTION bench.hand(n int) RETURNS void LANGUAGE plpgsql AS \$f\$ BEGIN FOR i IN 1..n LOOP PERFORM * FROM ($(echo "${query//TABLE/(SELECT * FROM today WHERE patient_id = \'p7\') t}" | tr -d '\\')) q; END LOOP; END \$f\$;
	SELECT smart.assume('{"scope": "patient/*.rs", "patient": "p7", "exp": 4000000000}', 'https://bench.example.org/auth', false) \\g /dev/null
	SELECT round(protected_us::numeric, 1), round(hand_us::numeric, 1), round(ratio::numeric, 2) FROM bench.compare_roles(:'role', :runs);
SQL
  )
  set -- $line
  printf '%-58s %12s us %12s us %6s\n' "$name" "$1" "$2" "$3"
  result today "$name" "$1" us 'hand-written WHERE' "$2" "$3" ''
}
for query in 'count|SELECT count(*) FROM TABLE' "by id|SELECT * FROM TABLE WHERE id = 'o7'" 'latest 20|SELECT * FROM TABLE ORDER BY effective DESC LIMIT 20'; do
  compare "current_setting(): ${query%%|*}" today_setting today "${query#*|}"
  compare "(SELECT current_setting()): ${query%%|*}" today_select today "${query#*|}"
  compare "PL/pgSQL function: ${query%%|*}" today_plpgsql today "${query#*|}"
  compare "smart_fhir: ${query%%|*}" bench_app today_smart "${query#*|}"
done
psql_quiet -c 'CREATE EXTENSION IF NOT EXISTS pgcrypto' 2>/dev/null && {
  line=$(psql_quiet -F ' ' -v keys="$(cat "$ROOT/test/data/jose/keys.json")" <<-'SQL'
	SET client_min_messages = warning;
	SELECT set_config('bench.jwk', (:'keys'::jsonb -> 'rsa-2048')::text, false) \g /dev/null
	-- as pgjwt does: split, HMAC over the text, compare, decode
	CREATE OR REPLACE FUNCTION bench.url_decode(data text) RETURNS bytea LANGUAGE sql IMMUTABLE AS
	$$ SELECT decode(translate(data, '-_', '+/') || repeat('=', (4 - length(data) % 4) % 4), 'base64') $$;
	CREATE OR REPLACE FUNCTION bench.pgjwt_verify(token text, secret text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
	  SELECT CASE WHEN bench.url_decode(r[3]) = hmac(convert_to(r[1] || '.' || r[2], 'UTF8'), convert_to(secret, 'UTF8'), 'sha256')
	              THEN convert_from(bench.url_decode(r[2]), 'UTF8')::jsonb END
	  FROM regexp_split_to_array(token, '\.') r $$;
	DO $do$
	DECLARE
	  claims jsonb := '{"iss": "https://bench.example.org/auth", "aud": "https://bench.example.org/fhir", "sub": "4711", "client_id": "c", "jti": "1", "iat": 1900000000, "exp": 1900003600, "patient": "p7", "scope": "patient/*.rs"}';
	  secret text := '0123456789abcdef0123456789abcdef';
	  jwk jsonb := jsonb_build_object('kty', 'oct', 'k', translate(rtrim(encode(convert_to(secret, 'UTF8'), 'base64'), '='), '+/', '-_'));
	  token text := smart.jwt_sign(claims, jwk, '{"alg": "HS256"}');
	  n int := 3000; t timestamptz; r float8[] := '{}'; p float8; q float8; checked jsonb;
	  a float8[] := '{}'; b float8[] := '{}';
	BEGIN
	  FOR k IN 1..7 LOOP
	    t := clock_timestamp(); FOR i IN 1..n LOOP checked := bench.pgjwt_verify(token, secret); END LOOP; a := a || extract(epoch FROM clock_timestamp() - t) * 1e6 / n;
	    t := clock_timestamp(); FOR i IN 1..n LOOP checked := smart.jwt_verify(token, jsonb_build_object('keys', jsonb_build_array(jwk)), 'https://bench.example.org/auth', '{https://bench.example.org/fhir}', '{HS256}', at => '2030-03-17 17:46:41Z'); END LOOP; b := b || extract(epoch FROM clock_timestamp() - t) * 1e6 / n;
	  END LOOP;
	  SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x), percentile_cont(0.5) WITHIN GROUP (ORDER BY y) INTO p, q FROM unnest(a, b) u(x, y);
	  PERFORM set_config('bench.result', round(q::numeric, 1) || ' ' || round(p::numeric, 1) || ' ' || round((q / p)::numeric, 2), false);
	END $do$;
	SELECT current_setting('bench.result');
SQL
  )
  set -- $line
  printf '%-58s %12s us %12s us %6s\n' 'HS256: smart.jwt_verify(), all checks, against pgjwt' "$@"
  result today 'HS256: smart.jwt_verify(), all checks' "$1" us 'pgjwt (HMAC and decoding alone)' "$2" "$3" ''
}
psql_quiet -c 'DROP TABLE today, today_smart' >/dev/null
