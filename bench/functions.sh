#!/usr/bin/env bash
# bench/functions.sh: scopes, decisions and resources a second, inserts, and the memory of a backend.
#
# Each in a PL/pgSQL loop against a named baseline of core in the same loop, interleaved, medians. Needs what
# bench/rls.sh made.
set -uo pipefail
. "$(dirname "$0")/../tools/lib.sh"
. "$(dirname "$0")/lib.sh"
runs=${RUNS:-${QUICK:+3}}
runs=${runs:-7}
bench_issuer
rm -f "$RESULTS/functions.tsv"

psql_quiet <<-'SQL' >/dev/null
	SET client_min_messages = warning;
	DROP FUNCTION IF EXISTS bench.calls(text, text, int, int);
	-- microseconds a call of two expressions over $1 (a text) and $2 (a jsonb), and the median ratio
	CREATE FUNCTION bench.calls(first text, second text, n int, runs int, OUT a_us float8, OUT b_us float8, OUT ratio float8) LANGUAGE plpgsql AS $$
	DECLARE a float8[] := '{}'; b float8[] := '{}'; e float8; t timestamptz;
	BEGIN
	  EXECUTE format('CREATE OR REPLACE FUNCTION bench.first(n int) RETURNS void LANGUAGE plpgsql AS $f$ DECLARE r text; BEGIN FOR i IN 1..n LOOP r := %s; END LOOP; END $f$', first);
	  EXECUTE format('CREATE OR REPLACE FUNCTION bench.second(n int) RETURNS void LANGUAGE plpgsql AS $f$ DECLARE r text; BEGIN FOR i IN 1..n LOOP r := %s; END LOOP; END $f$', second);
	  CREATE OR REPLACE FUNCTION bench.empty(n int) RETURNS void LANGUAGE plpgsql AS $f$ DECLARE r text; BEGIN FOR i IN 1..n LOOP r := 'x'; END LOOP; END $f$;
	  FOR k IN 0..runs LOOP
	    t := clock_timestamp(); PERFORM bench.empty(n); e := extract(epoch FROM clock_timestamp() - t);
	    t := clock_timestamp(); PERFORM bench.first(n);
	    IF k > 0 THEN a := a || greatest(extract(epoch FROM clock_timestamp() - t) - e, 1e-9); END IF;
	    t := clock_timestamp(); PERFORM bench.second(n);
	    IF k > 0 THEN b := b || greatest(extract(epoch FROM clock_timestamp() - t) - e, 1e-9); END IF;
	  END LOOP;
	  SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) * 1e6 / n INTO a_us FROM unnest(a) x;
	  SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) * 1e6 / n INTO b_us FROM unnest(b) x;
	  SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x / y) INTO ratio FROM unnest(a, b) u(x, y);
	END $$;
	CREATE OR REPLACE FUNCTION bench.resource() RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN NULL; END $$;
	DROP TABLE IF EXISTS bench.one;
	CREATE TABLE bench.one AS SELECT resource, length(resource::text) AS bytes FROM obs_key WHERE id = 'o7';
SQL
# calls NAME FIRST BASELINE_NAME SECOND: expressions; RESOURCE stands for an Observation of about 1.2 kB
calls() {
  local resource line
  resource="'$(psql_quiet -c 'SELECT replace(resource::text, $$'"'"'$$, $$'"''"'$$) FROM bench.one')'::jsonb"
  line=$(psql_quiet -F ' ' -v first="${2//RESOURCE/$resource}" -v second="${4//RESOURCE/$resource}" -v n="${QUICK:+2000}" -v runs="$runs" <<-'SQL'
	SET client_min_messages = warning;
	SELECT smart.assume('{"scope": "patient/*.rs", "patient": "p7", "exp": 4000000000}', 'https://bench.example.org/auth', false) \g /dev/null
	SELECT round(a_us::numeric, 3), round(b_us::numeric, 3), round(ratio::numeric, 2), round((1e6 / a_us)::numeric) FROM bench.calls(:'first', :'second', coalesce(nullif(:'n', '')::int, 50000), :runs);
SQL
  )
  set -- "$1" "$3" $line
  printf '%-50s %10.3f us, %-34s %8.3f us %6s, %s/s\n' "$1" "$3" "$2" "$4" "$5" "$6"
  result functions "$1" "$3" us "$2" "$4" "$5" ''
}
# volatile arguments, so that nothing is folded away
calls 'a scope parsed (4 scopes)' "(('patient/Observation.rs?category=laboratory patient/Patient.rs launch/patient openid' || left(i::text, 0))::smart.smart_scope)::text" \
  'string_to_array()' "string_to_array('patient/Observation.rs?category=laboratory patient/Patient.rs launch/patient openid' || left(i::text, 0), ' ')::text"
calls 'permits() of an Observation' "smart.permits(RESOURCE, CASE WHEN i > 0 THEN 'r' END)::text" 'jsonb #>> {subject,reference}' "RESOURCE #>> ARRAY['subject', CASE WHEN i > 0 THEN 'reference' END]"
calls 'patients() of an Observation' "smart.patients(RESOURCE, CASE WHEN i > 0 THEN 'subject' END)::text" 'jsonb #>> {subject,reference}' "RESOURCE #>> ARRAY['subject', CASE WHEN i > 0 THEN 'reference' END]"
bytes=$(psql_quiet -c 'SELECT bytes FROM bench.one')
awk -F'\t' -v OFS='\t' -v kb="$bytes" '/^patients\(\)/ { printf "patients() per kB of resource\t%.3f\tus\tits size\t%d\t\t\n", $2 / (kb / 1024), kb }' "$RESULTS/functions.tsv" | tee -a "$RESULTS/functions.tsv" | awk -F'\t' '{ printf "%-50s %10.3f us\n", $1, $2 }'

# ---- inserts ----
# NAME SETUP_FOR_BASELINE: the same table with and without policies; and without any of our indexes
psql_quiet <<-'SQL' >/dev/null
	SET client_min_messages = warning;
	DROP TABLE IF EXISTS ins_protected, ins_open, ins_bare;
	CREATE TABLE ins_protected (id text PRIMARY KEY, resource jsonb NOT NULL);
	SELECT smart.protect('ins_protected', 'Observation');
	CREATE TABLE ins_open (LIKE ins_protected INCLUDING ALL);
	CREATE TABLE ins_bare (id text PRIMARY KEY, resource jsonb NOT NULL);
	GRANT INSERT, SELECT ON ins_protected, ins_open, ins_bare TO bench_app;
	DROP FUNCTION IF EXISTS bench.insert(text, int, int);
	DROP SEQUENCE IF EXISTS bench.ids;
	CREATE SEQUENCE bench.ids;
	GRANT USAGE ON SEQUENCE bench.ids TO bench_app;
	GRANT SELECT ON bench.one TO bench_app;
	CREATE FUNCTION bench.insert_many(relation text, n int) RETURNS float8 LANGUAGE plpgsql AS $$
	DECLARE t timestamptz := clock_timestamp();
	BEGIN
	  EXECUTE format('INSERT INTO %I SELECT nextval(''bench.ids''), resource || jsonb_build_object(''id'', currval(''bench.ids'')::text) FROM bench.one, generate_series(1, %s)', relation, n);
	  RETURN extract(epoch FROM clock_timestamp() - t) * 1e6 / n;
	END $$;
	CREATE FUNCTION bench.ins_protected(n int, r jsonb) RETURNS void LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..n LOOP INSERT INTO ins_protected VALUES (nextval('bench.ids'), r); END LOOP; END $$;
	CREATE FUNCTION bench.ins_open(n int, r jsonb) RETURNS void LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..n LOOP INSERT INTO ins_open VALUES (nextval('bench.ids'), r); END LOOP; END $$;
	CREATE FUNCTION bench.ins_bare(n int, r jsonb) RETURNS void LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..n LOOP INSERT INTO ins_bare VALUES (nextval('bench.ids'), r); END LOOP; END $$;
	CREATE FUNCTION bench.insert_one(relation text, n int) RETURNS float8 LANGUAGE plpgsql AS $$
	DECLARE t timestamptz; r jsonb := (SELECT resource - 'id' FROM bench.one);
	BEGIN
	  EXECUTE format('SELECT bench.%I(1, $1)', relation) USING r;
	  t := clock_timestamp();
	  EXECUTE format('SELECT bench.%I($1, $2)', relation) USING n, r;
	  RETURN extract(epoch FROM clock_timestamp() - t) * 1e6 / n;
	END $$;
SQL
inserts() { # NAME FUNCTION N BASELINE TARGET
  local line
  line=$(psql_quiet -F ' ' -v runs="$runs" <<-SQL
	SELECT smart.assume('{"scope": "patient/*.cruds", "patient": "p7", "exp": 4000000000}', 'https://bench.example.org/auth', false, 'create') \\g /dev/null
	SET ROLE bench_app;
	SELECT bench.$2('ins_protected', $3), bench.$2('$4', $3) \\g /dev/null
	WITH r AS MATERIALIZED (SELECT bench.$2('ins_protected', $3) AS a, bench.$2('$4', $3) AS b FROM generate_series(1, :runs * 2))
	SELECT round(percentile_cont(0.5) WITHIN GROUP (ORDER BY a)::numeric, 2), round(percentile_cont(0.5) WITHIN GROUP (ORDER BY b)::numeric, 2), round(percentile_cont(0.5) WITHIN GROUP (ORDER BY a / b)::numeric, 2) FROM r;
SQL
  )
  set -- "$1" "$4" "${5:-}" $line
  local base='the same table and indexes, no policies'
  [ "$2" = ins_open ] || base='the table without policies and our indexes'
  printf '%-50s %10s us, %-42s %8s us %6s %s\n' "$1" "$4" "$base" "$5" "$6" "${3:+(at most $3)}"
  result functions "$1" "$4" us "$base" "$5" "$6" "$3"
}
n=${QUICK:+300}
n=${n:-2000}
inserts 'INSERT of one row, protected' insert_one "$n" ins_open 1.10
inserts 'INSERT ... SELECT, a row, protected' insert_many "$n" ins_open 1.10
inserts 'INSERT of one row, protected and indexed' insert_one "$n" ins_bare
psql_quiet -c 'DROP TABLE ins_protected, ins_open, ins_bare' >/dev/null

# ---- memory of a backend ----
memory() { # NAME SQL: kB of private memory, before and after
  local line
  line=$(psql_quiet -F ' ' -v keys="$(cat "$ROOT/test/data/jose/keys.json")" <<-SQL
	SET client_min_messages = warning;
	CREATE OR REPLACE FUNCTION bench.private_kb() RETURNS bigint LANGUAGE sql AS
	\$\$ SELECT sum(m[1]::bigint) FROM regexp_matches(pg_read_file('/proc/' || pg_backend_pid() || '/smaps_rollup'), 'Private_(?:Clean|Dirty): +(\d+)', 'g') m \$\$;
	CREATE OR REPLACE FUNCTION bench.contexts_kb() RETURNS bigint LANGUAGE sql AS
	\$\$ SELECT sum(total_bytes) / 1024 FROM pg_backend_memory_contexts \$\$;
	SELECT set_config('bench.jwk', (:'keys'::jsonb -> 'ed25519')::text, false) \\g /dev/null
	SELECT bench.private_kb(), bench.contexts_kb() \\g /dev/null
	SELECT bench.private_kb() AS before, bench.contexts_kb() AS contexts_before \\gset
	$2
	SELECT bench.contexts_kb() - :contexts_before, :before, bench.private_kb();
SQL
  )
  line=$(printf '%s\n' "$line" | tail -1)
  set -- "$1" $line
  printf '%-50s %8s kB of memory contexts, private memory %s kB before, %s after\n' "$1" "$2" "$3" "$4"
  result functions "$1" "$2" 'kB of memory contexts' 'private memory before, kB' "$3" '' ''
  result functions "$1: private memory" "$4" kB 'before' "$3" '' ''
}
memory 'a backend: library loaded, one login, one query' "
	SELECT smart.assume('{\"scope\": \"patient/*.rs\", \"patient\": \"p7\", \"exp\": 4000000000}', 'https://bench.example.org/auth', false) \\g /dev/null
	SELECT count(*) FROM obs_key WHERE smart.permits(resource, 'r') AND id = 'o7' \\g /dev/null"
issuers=${QUICK:+100}
memory "a backend: ${issuers:-1000} issuers, a token of each" "
	SELECT count(smart.add_issuer('https://issuer.example/' || i, (current_setting('bench.jwk')::jsonb - 'd'), '{https://bench.example.org/fhir}', max_token_age => '40000 days')) FROM generate_series(1, ${issuers:-1000}) i \\g /dev/null
	SELECT count(smart.login(smart.jwt_sign(jsonb_build_object('iss', 'https://issuer.example/' || i, 'aud', 'https://bench.example.org/fhir', 'sub', 's', 'client_id', 'c', 'jti', i::text,
	  'iat', 1700000000, 'exp', 4000000000, 'scope', 'patient/*.rs', 'patient', 'p' || i), current_setting('bench.jwk')::jsonb), false)) FROM generate_series(1, ${issuers:-1000}) i \\g /dev/null"
psql_quiet -c "SELECT count(smart.drop_issuer(issuer)) FROM smart.issuer WHERE issuer LIKE 'https://issuer.example/%'" >/dev/null
tokens=${QUICK:+500}
memory "a backend: ${tokens:-10000} tokens remembered" "
	SELECT smart.add_issuer('https://issuer.example/1', (current_setting('bench.jwk')::jsonb - 'd'), '{https://bench.example.org/fhir}', max_token_age => '40000 days') \\g /dev/null
	SET smart_fhir.token_cache_size = 10000;
	SELECT count(smart.login(smart.jwt_sign(jsonb_build_object('iss', 'https://issuer.example/1', 'aud', 'https://bench.example.org/fhir', 'sub', 's', 'client_id', 'c', 'jti', i::text,
	  'iat', 1700000000, 'exp', 4000000000, 'scope', 'patient/*.rs', 'patient', 'p' || i), current_setting('bench.jwk')::jsonb), false)) FROM generate_series(1, ${tokens:-10000}) i \\g /dev/null"
psql_quiet -c "SELECT smart.drop_issuer('https://issuer.example/1')" >/dev/null
