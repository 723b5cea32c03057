#!/usr/bin/env bash
# bench/rls.sh: protected tables against the same query on the same table with a hand-written WHERE.
#
# Each pair of queries runs in one session, batch by batch in turn: as bench_app under the policies,
# as bench_hand past them with its own WHERE. Plans are kept (PL/pgSQL), so what is timed is what a
# server with prepared statements sees, without the network: the hardest comparison. A batch
# is as many runs as take 20 ms; the ratio is the median over all pairs of batches. Called
# by bench/run.sh; ROWS is the size of the table, SIZES the sizes for growth, RUNS the pairs.
set -uo pipefail
. "$(dirname "$0")/../tools/lib.sh"
. "$(dirname "$0")/lib.sh"

rows=$(number "${ROWS:-1M}")
runs=${RUNS:-${QUICK:+5}}
runs=${runs:-15}
sizes=${SIZES:-10k 100k 1M 10M}

psql_quiet <<-'SQL' >/dev/null
	SET client_min_messages = warning;
	CREATE SCHEMA IF NOT EXISTS bench;
	GRANT USAGE, CREATE ON SCHEMA bench TO PUBLIC;
	DROP FUNCTION IF EXISTS bench.batch(text, int), bench.pairs(int);
	-- seconds that N runs of a function take
	CREATE FUNCTION bench.batch(name text, n int) RETURNS float8 LANGUAGE plpgsql AS $$
	DECLARE started timestamptz; took float8;
	BEGIN
	  EXECUTE format('SELECT bench.%I(2)', name);
	  started := clock_timestamp();
	  EXECUTE format('SELECT bench.%I($1)', name) USING n;
	  RETURN extract(epoch FROM clock_timestamp() - started);
	END $$;
	-- pairs(runs): microseconds a run of both, and the median ratio
	CREATE FUNCTION bench.pairs(runs int, OUT protected_us float8, OUT hand_us float8, OUT ratio float8) LANGUAGE plpgsql AS $$
	DECLARE p float8[] := '{}'; h float8[] := '{}'; n int; took float8;
	BEGIN
	  PERFORM set_config('role', 'bench_hand', false);
	  took := bench.batch('hand', 1);
	  n := least(greatest((0.02 / greatest(took, 0.000002))::int, 1), 5000);
	  IF n > 1 THEN
	    took := bench.batch('hand', n);
	    n := least(greatest((0.02 / (took / n))::int, 1), 20000);
	  END IF;
	  FOR i IN 1..runs LOOP
	    PERFORM set_config('role', 'bench_app', false);
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

# compare NAME CLAIMS PROTECTED HAND [TARGET]
compare() {
  local name=$1 claims=$2 protected=$3 hand=$4 target=${5:-} line
  line=$(psql_quiet -F ' ' -v claims="$claims" -v runs="$runs" <<-SQL
	SET client_min_messages = warning;
	CREATE OR REPLACE FUNCTION bench.protected(n int) RETURNS void LANGUAGE plpgsql AS \$f\$ BEGIN FOR i IN 1..n LOOP PERFORM * FROM ($protected) q; END LOOP; END \$f\$;
	CREATE OR REPLACE FUNCTION bench.hand(n int) RETURNS void LANGUAGE plpgsql AS \$f\$ BEGIN FOR i IN 1..n LOOP PERFORM * FROM ($hand) q; END LOOP; END \$f\$;
	SELECT smart.assume(:'claims'::jsonb || jsonb_build_object('exp', extract(epoch FROM now())::int + 3600), 'https://bench.example.org/auth', false) \\g /dev/null
	SELECT round(protected_us::numeric, 1), round(hand_us::numeric, 1), round(ratio::numeric, 2) FROM bench.pairs(:runs);
SQL
  )
  set -- $line
  printf '%-58s %12s us %12s us %6s %s\n' "$name" "$1" "$2" "$3" "${target:+(at most $target)}"
  result rls "$name" "$1" us 'hand-written WHERE' "$2" "$3" "$target"
}

one='{"scope": "patient/*.rs", "patient": "p7"}'
lab='{"scope": "patient/Observation.rs?category=laboratory", "patient": "p7"}'
all='{"scope": "system/*.rs"}'
is_lab="resource @> '{\"category\":[{\"coding\":[{\"code\":\"laboratory\"}]}]}'"
code="resource -> 'code' @> '{\"coding\":[{\"code\":\"1007\"}]}'"
key_code="code @> '{\"coding\":[{\"code\":\"1007\"}]}'"
leakproof_code="code OPERATOR(smart.@>>) '{\"coding\":[{\"code\":\"1007\"}]}'"

# session LAYOUT: the queries on one layout; $mine is the hand-written condition
queries() {
  local layout=$1 t=$2 search=$code mine=$3 claims=$4 order=$5 count=$6 most=$7 id=$8 who=$9 enc=${10}
  local and=${mine:+"AND $mine"} where=${mine:+"WHERE $mine"}
  compare "$layout, $who: count" "$claims" "SELECT count(*) FROM $t" "SELECT count(*) FROM $t $where" "$count"
  compare "$layout, $who: by id" "$claims" "SELECT * FROM $t WHERE id = '$id'" "SELECT * FROM $t WHERE id = '$id' $and" "$most"
  [ "$t" = obs_default ] || search=$key_code
  # one patient: only a leakproof operator may use its index; there is no target for the other
  compare "$layout, $who: by code, @>" "$claims" "SELECT * FROM $t WHERE $search" "SELECT * FROM $t WHERE $search $and" "$([ -n "$mine" ] || echo "$most")"
  [ "$t" = obs_default ] || compare "$layout, $who: by code, @>>" "$claims" "SELECT * FROM $t WHERE $leakproof_code" "SELECT * FROM $t WHERE $search $and" "$most"
  compare "$layout, $who: latest 20" "$claims" "SELECT * FROM $t ORDER BY $order DESC LIMIT 20" "SELECT * FROM $t $where ORDER BY $order DESC LIMIT 20" "$most"
  compare "$layout, $who: join" "$claims" \
    "SELECT o.id, e.id FROM $t o JOIN encounter e ON e.id = substr(o.resource #>> '{encounter,reference}', 11)" \
    "SELECT o.id, e.id FROM (SELECT * FROM $t $where) o JOIN (SELECT * FROM encounter $enc) e ON e.id = substr(o.resource #>> '{encounter,reference}', 11)" "$most"
  compare "$layout, $who: aggregate" "$claims" "SELECT resource #>> '{code,coding,0,code}', count(*) FROM $t GROUP BY 1" \
    "SELECT resource #>> '{code,coding,0,code}', count(*) FROM $t $where GROUP BY 1" "$most"
}

run_all() {
  local n
  queries 'plain' obs_default "resource -> 'subject' ->> 'reference' = 'Patient/p7'" "$one" "resource ->> 'effectiveDateTime'" 1.5 1.25 o7 'one patient' "WHERE resource -> 'subject' ->> 'reference' = 'Patient/p7'"
  queries 'key column' obs_key "patient_id = 'p7'" "$one" effective 1.10 1.10 o7 'one patient' "WHERE patient_id = 'p7'"
  queries 'plain' obs_default '' "$all" "resource ->> 'effectiveDateTime'" 1.05 1.05 o7 backend ''
  queries 'key column' obs_key '' "$all" effective 1.05 1.05 o7 backend ''
  compare 'plain, laboratory of one patient: count' "$lab" 'SELECT count(*) FROM obs_default' "SELECT count(*) FROM obs_default WHERE resource -> 'subject' ->> 'reference' = 'Patient/p7' AND $is_lab" 1.5
  compare 'plain, laboratory of one patient: rows' "$lab" 'SELECT * FROM obs_default' "SELECT * FROM obs_default WHERE resource -> 'subject' ->> 'reference' = 'Patient/p7' AND $is_lab" 1.5
  compare 'key column, laboratory of one patient: count' "$lab" 'SELECT count(*) FROM obs_key' "SELECT count(*) FROM obs_key WHERE patient_id = 'p7' AND $is_lab" 1.5
  compare 'key column, laboratory of one patient: latest 20' "$lab" 'SELECT * FROM obs_key ORDER BY effective DESC LIMIT 20' "SELECT * FROM obs_key WHERE patient_id = 'p7' AND $is_lab ORDER BY effective DESC LIMIT 20" 1.5
  for n in 1 20 200 2000; do
    [ $((n * 100)) -le "$rows" ] || continue
    local ids claims
    ids=$(seq -f "'p%.0f'" -s, 0 $((n - 1)))
    claims="{\"scope\": \"patient/*.rs\", \"patient\": [$(seq -f '"p%.0f"' -s, 0 $((n - 1)))]}"
    [ "$n" -gt 1 ] || claims='{"scope": "patient/*.rs", "patient": "p0"}'
    compare "key column, $n patients: count" "$claims" 'SELECT count(*) FROM obs_key' "SELECT count(*) FROM obs_key WHERE patient_id = ANY (ARRAY[$ids])" 1.5
    compare "key column, $n patients: by code, @>" "$claims" "SELECT * FROM obs_key WHERE $key_code" "SELECT * FROM obs_key WHERE $key_code AND patient_id = ANY (ARRAY[$ids])"
    compare "key column, $n patients: by code, @>>" "$claims" "SELECT * FROM obs_key WHERE $leakproof_code" "SELECT * FROM obs_key WHERE $key_code AND patient_id = ANY (ARRAY[$ids])" 1.5
    compare "plain, $n patients: count" "$claims" 'SELECT count(*) FROM obs_default' \
      "SELECT count(*) FROM obs_default WHERE resource -> 'subject' ->> 'reference' = ANY (ARRAY[$(seq -f "'Patient/p%.0f'" -s, 0 $((n - 1)))])" 1.5
  done
}

rm -f "$RESULTS/rls.tsv" "$RESULTS/growth.tsv"
bench_issuer
for size in $sizes; do
  n=$(number "$size")
  [ "$n" -lt "$rows" ] || continue
  echo "-- $size rows"
  load_observations "$n"
  mv "$RESULTS/rls.tsv" "$RESULTS/rls.keep" 2>/dev/null
  # less of each: how cost grows
  compare 'one patient: count' "$one" 'SELECT count(*) FROM obs_key' "SELECT count(*) FROM obs_key WHERE patient_id = 'p7'"
  compare 'one patient: by code, @>>' "$one" "SELECT * FROM obs_key WHERE $leakproof_code" "SELECT * FROM obs_key WHERE $key_code AND patient_id = 'p7'"
  compare 'one patient: latest 20' "$one" 'SELECT * FROM obs_key ORDER BY effective DESC LIMIT 20' "SELECT * FROM obs_key WHERE patient_id = 'p7' ORDER BY effective DESC LIMIT 20"
  compare 'backend: by code, @>' "$all" "SELECT * FROM obs_key WHERE $key_code" "SELECT * FROM obs_key WHERE $key_code"
  compare 'backend: count' "$all" 'SELECT count(*) FROM obs_key' 'SELECT count(*) FROM obs_key'
  sed "s/^/$n\t/" "$RESULTS/rls.tsv" >>"$RESULTS/growth.tsv"
  mv "$RESULTS/rls.keep" "$RESULTS/rls.tsv" 2>/dev/null || rm -f "$RESULTS/rls.tsv"
done
echo "-- $rows rows"
load_observations "$rows"
run_all
awk -v n="$rows" -F'\t' -v OFS='\t' '/^key column, (one patient: (count|by code, @>>|latest)|backend: (by code, @>\t|count))/ { sub(/^key column, /, ""); print n, $0 }' "$RESULTS/rls.tsv" >>"$RESULTS/growth.tsv"
