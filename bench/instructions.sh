#!/usr/bin/env bash
# bench/instructions.sh: what is held to a limit, counted in instructions of the server (valgrind's callgrind).
#
# The same on a busy machine as on an idle one, to a per mille. It sees no kernel and no cache misses, and SHA-256 without the
# processor's own instructions, which takes some 20 thousand a login more than it does outside valgrind. A figure is the difference between
# a longer and a shorter run, by the statements or transactions more. A cluster of its own with 20,000 rows; two minutes.
set -uo pipefail
. "$(dirname "$0")/../tools/lib.sh"
command -v valgrind >/dev/null || die 'valgrind is not installed'
"$ROOT/tools/setup.sh" || die 'set-up failed'
PG_CONFIG=$(find_pg_config) || die 'no PostgreSQL server is installed'
export PG_CONFIG
bin=$("$PG_CONFIG" --bindir)
export PATH="$bin:$PATH"
private_dir
cluster_start bench 'shared_buffers = 128MB' "session_preload_libraries = 'smart_fhir'" 'jit = off' 'max_parallel_workers_per_gather = 0' 'autovacuum = off' 'bgwriter_delay = 10s'
export RESULTS=${RESULTS:-$ROOT/bench/results}
. "$ROOT/bench/lib.sh"
rm -f "$RESULTS/instructions.tsv"
psql_quiet -c 'CREATE EXTENSION smart_fhir'
bench_issuer
load_observations 20000
psql_quiet <<-'SQL' >/dev/null
	SET client_min_messages = error;
	DO $$ BEGIN FOR i IN 1..5 LOOP
	  EXECUTE format('CREATE TABLE k%s (id text PRIMARY KEY, patient_id text, resource jsonb); CREATE INDEX ON k%1$s (patient_id);
	    INSERT INTO k%1$s SELECT id, patient_id, resource FROM obs_key LIMIT 1000; CREATE TABLE u%1$s (LIKE k%1$s INCLUDING ALL); INSERT INTO u%1$s TABLE k%1$s', i);
	  PERFORM smart.protect(format('k%s', i)::regclass, 'Observation', patients => 'patient_id');
	  EXECUTE format('GRANT SELECT ON k%s, u%1$s TO bench_app, bench_hand', i);
	END LOOP; END $$;
	VACUUM ANALYZE;
SQL
patient=$(token '{"scope": "patient/*.rs", "patient": "p7"}')
backend=$(token '{"scope": "system/*.rs"}')
cluster_stop bench
mkdir "$WORK/counts"
chmod 777 "$WORK/counts"
as_user valgrind --tool=callgrind --callgrind-out-file="$WORK/counts/%p" "$bin/postgres" -D "$WORK/bench" >"$WORK/valgrind.log" 2>&1 &
for _ in $(seq 120); do sleep 0.5; psql_quiet -c 'SELECT 1' >/dev/null 2>&1 && break; done
psql_quiet -c 'SELECT 1' >/dev/null
sleep 1

# counted BACKENDS COMMAND...: instructions of the backend that worked most
counted() {
  local backends=$1 n most=0 count
  shift
  sleep 1
  rm -f "$WORK/counts/"*
  "$@" >"$WORK/out" 2>&1 || cat "$WORK/out" >&2
  for _ in $(seq 200); do
    sleep 0.2
    n=$(grep -l '^totals:' "$WORK/counts/"* 2>/dev/null | wc -l)
    [ "$n" -lt "$backends" ] || break
  done
  for count in $(sed -n 's/^totals: *//p' "$WORK/counts/"*); do [ "$count" -le "$most" ] || most=$count; done
  echo "$most"
}
requests() { pgbench -n -M prepared -U "$1" -c 1 -t "$3" -D patient="$patient" -D backend="$backend" -f "$WORK/$2.sql"; }
loop() { # ROLE TOKEN STATEMENT N
  psql_quiet -v token="$2" <<-SQL
	SELECT smart.login(:'token', false);
	SET ROLE $1;
	DO \$do\$ DECLARE r record; BEGIN FOR i IN 1..$4 LOOP $3 END LOOP; END \$do\$;
SQL
}
# per FEW MANY BACKENDS COMMAND...: of one of them
per() {
  local few=$1 many=$2 backends=$3 a b
  shift 3
  a=$(counted "$backends" "$@" "$few")
  b=$(counted "$backends" "$@" "$many")
  echo $(((b - a) / (many - few)))
}
# compare NAME LIMIT FEW MANY BACKENDS OURS... -- BASELINE...
compare() {
  local name=$1 limit=$2 few=$3 many=$4 backends=$5 ours=() a b
  shift 5
  while [ "$1" != -- ]; do ours+=("$1"); shift; done
  shift
  a=$(per "$few" "$many" "$backends" "${ours[@]}")
  b=$(per "$few" "$many" "$backends" "$@")
  printf '%-60s %9d %9d  %s %s\n' "$name" "$a" "$b" "$(awk -v a="$a" -v b="$b" 'BEGIN { printf "%.3f", a / b }')" "${limit:+(at most $limit)}"
  result instructions "$name" "$a" instructions 'by hand, no policies' "$b" "$(awk -v a="$a" -v b="$b" 'BEGIN { printf "%.3f", a / b }')" "$limit"
}
pipeline() { printf '%s\n' '\startpipeline' BEGIN\; "$2" "$3" COMMIT\; '\endpipeline' >"$WORK/$1.sql"; }
lf=$'\n'
one="SELECT id, resource FROM obs_key WHERE id = 'o7'"
two="$one;${lf}SELECT id, resource FROM obs_key WHERE id IN ('o7', 'o1007');"
pipeline ours_patient 'SELECT smart.login(:patient);' "$one;${lf}SELECT count(*) FROM obs_key WHERE true;"
pipeline hand_patient '' "$one AND patient_id = 'p7';${lf}SELECT count(*) FROM obs_key WHERE patient_id = 'p7';"
pipeline trip_patient 'SELECT length(:patient);' "$one AND patient_id = 'p7';${lf}SELECT count(*) FROM obs_key WHERE patient_id = 'p7';"
pipeline ours_backend 'SELECT smart.login(:backend);' "$two"
pipeline hand_backend '' "$two"
pipeline trip_backend 'SELECT length(:backend);' "$two"
for kind in ours hand trip; do cat "$WORK/${kind}_patient.sql" "$WORK/${kind}_backend.sql" >"$WORK/${kind}_turns.sql"; done
compare 'patient and backend in turn, login against none' 1.25 100 300 2 requests bench_app ours_turns -- requests bench_hand hand_turns
compare 'patient and backend in turn, login against a round trip' '' 100 300 2 requests bench_app ours_turns -- requests bench_hand trip_turns
compare 'backend: login, two by id, against none' 1.10 100 300 2 requests bench_app ours_backend -- requests bench_hand hand_backend
compare 'backend: login, two by id, against a round trip' '' 100 300 2 requests bench_app ours_backend -- requests bench_hand trip_backend
compare 'by id in a PL/pgSQL loop, patient' 1.10 200 1200 1 loop bench_app "$patient" "PERFORM * FROM obs_key WHERE id = 'o7';" -- loop bench_hand "$patient" "PERFORM * FROM obs_key WHERE id = 'o7' AND patient_id = 'p7';"
compare 'by id in a PL/pgSQL loop, backend' 1.10 200 1200 1 loop bench_app "$backend" "PERFORM * FROM obs_key WHERE id = 'o7';" -- loop bench_hand "$backend" "PERFORM * FROM obs_key WHERE id = 'o7';"
join() { echo "EXECUTE 'EXPLAIN SELECT count(*) FROM $1""1 a JOIN $1""2 b USING (id) JOIN $1""3 c USING (id) JOIN $1""4 d USING (id) JOIN $1""5 e USING (id) WHERE a.id = ''o7''$2';"; }
compare 'EXPLAIN of a join of 5 tables, backend' 1.15 5 25 1 loop bench_app "$backend" "$(join k '')" -- loop bench_hand "$backend" "$(join u '')"
compare 'EXPLAIN of a join of 5 tables, patient, against his WHERE' 1.15 5 25 1 loop bench_app "$patient" "$(join k '')" \
  -- loop bench_hand "$patient" "$(join u "$(for x in a b c d e; do printf " AND $x.patient_id = ''p7''"; done)")"
compare 'planned each time: by id, backend' '' 30 130 1 loop bench_app "$backend" "EXECUTE 'SELECT * FROM k1 WHERE id = ''o7''';" -- loop bench_hand "$backend" "EXECUTE 'SELECT * FROM u1 WHERE id = ''o7''';"
