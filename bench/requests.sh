#!/usr/bin/env bash
# bench/requests.sh: whole requests a second: BEGIN; login; query; COMMIT, through pgbench -M prepared.
#
# The baseline is the same with one equal round trip in place of the login (length() of the same parameter) and
# the query with its own WHERE, as a role with BYPASSRLS. 1, 8 and 32 clients, pipelined and not; patient and
# backend tokens alternating on one connection; through PgBouncer in transaction mode where it is installed. Runs
# interleaved, medians of the ratios. Needs what bench/rls.sh made. RUNS, SECONDS_A_RUN.
set -uo pipefail
. "$(dirname "$0")/../tools/lib.sh"
. "$(dirname "$0")/lib.sh"
runs=${RUNS:-${QUICK:+2}}
runs=${runs:-5}
[ "$runs" -le 5 ] || runs=5
seconds=${SECONDS_A_RUN:-${QUICK:+1}}
seconds=${seconds:-3}
bench_issuer
rm -f "$RESULTS/requests.tsv"
dir=$(mktemp -d)
chmod 755 "$dir"
pgbouncer_pid=
trap 'rm -rf "$dir"; [ -z "$pgbouncer_pid" ] || kill "$pgbouncer_pid"' EXIT
bin=$("${PG_CONFIG:-pg_config}" --bindir)

patient=$(token '{"scope": "patient/*.rs", "patient": "p7"}')
backend=$(token '{"scope": "system/*.rs"}')
query="SELECT id, resource FROM obs_key WHERE %s ORDER BY effective DESC LIMIT 20;"
by_id="SELECT id, resource FROM obs_key WHERE id = 'o7'%s;"

# script NAME LOGIN BODY: with and without pipeline
script() {
  printf '%s\n' BEGIN\; "$2" "$3" COMMIT\; >"$dir/$1.sql"
  printf '%s\n' '\startpipeline' BEGIN\; "$2" "$3" COMMIT\; '\endpipeline' >"$dir/$1.pipelined.sql"
}
script smart 'SELECT smart.login(:patient);' "$(printf "$query" true)"
script hand 'SELECT length(:patient);' "$(printf "$query" "patient_id = 'p7'")"
script smart_by_id 'SELECT smart.login(:patient);' "$(printf "$by_id" '')"
script hand_by_id 'SELECT length(:patient);' "$(printf "$by_id" " AND patient_id = 'p7'")"
script smart_backend 'SELECT smart.login(:backend);' "$(printf "$by_id" '')"
script hand_backend 'SELECT length(:backend);' "$(printf "$by_id" '')"
# a patient's app, then a backend, on one connection: a request a pipeline
by_ids="SELECT id, resource FROM obs_key WHERE id IN ('o7', 'o1007')%s;"
script smart_turn "SELECT smart.login(:patient);" "$(printf "$by_id" '')"$'\n'"SELECT count(*) FROM obs_key WHERE true;"
script hand_turn '' "$(printf "$by_id" " AND patient_id = 'p7'")"$'\n'"SELECT count(*) FROM obs_key WHERE patient_id = 'p7';"
script smart_turn_backend 'SELECT smart.login(:backend);' "$(printf "$by_id" '')"$'\n'"$(printf "$by_ids" '')"
script hand_turn_backend '' "$(printf "$by_id" '')"$'\n'"$(printf "$by_ids" '')"
for kind in smart hand; do
  cat "$dir/${kind}_turn.pipelined.sql" "$dir/${kind}_turn_backend.pipelined.sql" >"$dir/${kind}_turns.sql"
  cat "$dir/$kind.sql" "$dir/${kind}_backend.sql" >"$dir/${kind}_alternating.sql"
done

# tps USER CLIENTS SCRIPT
tps() {
  "$bin/pgbench" -n -M prepared -U "$1" -c "$2" -j 2 -T "$seconds" -D patient="$patient" -D backend="$backend" -f "$dir/$3.sql" 2>&1 |
    awk '/^tps/ { print $3 } /ERROR|aborted/ { print > "/dev/stderr" }'
}
# compare NAME CLIENTS SMART HAND [TARGET]: requests a second of both, and how many times longer one takes
compare() {
  local name=$1 clients=$2 smart hand a='' b='' r=''
  for _ in $(seq "$runs"); do
    smart=$(tps bench_app "$clients" "$3")
    hand=$(tps bench_hand "$clients" "$4")
    a+="$smart"$'\n' b+="$hand"$'\n'
    r+="$(awk -v a="$smart" -v b="$hand" 'BEGIN { print b / a }')"$'\n'
  done
  a=$(printf '%s' "$a" | median) b=$(printf '%s' "$b" | median) r=$(printf '%s' "$r" | median)
  a=$(printf '%.0f' "$a") b=$(printf '%.0f' "$b") r=$(printf '%.2f' "$r")
  printf '%-58s %12s tps %11s tps %6s %s\n' "$name" "$a" "$b" "$r" "${5:+(at most $5)}"
  result requests "$name" "$a" 'requests/s' 'an equal round trip, hand-written WHERE' "$b" "$r" "${5:-}"
}
for clients in 1 8 32; do
  compare "patient token, latest 20: $clients clients" "$clients" smart hand "$([ $clients = 8 ] && echo 1.10)"
  compare "patient token, latest 20, pipelined: $clients clients" "$clients" smart.pipelined hand.pipelined
done
compare 'patient token, by id: 8 clients' 8 smart_by_id hand_by_id 1.10
compare 'backend token, by id: 8 clients' 8 smart_backend hand_backend
compare 'patient and backend tokens alternating: 1 client' 1 smart_alternating hand_alternating 1.5
compare 'patient and backend tokens alternating: 8 clients' 8 smart_alternating hand_alternating 1.5
compare 'patient and backend in turn (login, by id, count; login, two by id), without login: 1 client' 1 smart_turns hand_turns 1.25
compare 'patient and backend in turn (login, by id, count; login, two by id), without login: 8 clients' 8 smart_turns hand_turns 1.25
compare 'backend (login, two by id), without login: 1 client' 1 smart_turn_backend.pipelined hand_turn_backend.pipelined 1.10

# what a backend keeps: 500 prepared statements over 20 tables, for a patient and a backend in turn
memory=$(psql_quiet -v patient="$patient" -v backend="$backend" <<'SQL' | tail -1
SET client_min_messages = error;
CREATE SCHEMA kept;
GRANT USAGE ON SCHEMA kept TO bench_app;
DO $$ BEGIN FOR i IN 1..20 LOOP
  EXECUTE format('CREATE TABLE kept.t%s (id text PRIMARY KEY, patient_id text, resource jsonb)', i);
  PERFORM smart.protect(format('kept.t%s', i)::regclass, 'Observation', patients => 'patient_id');
  EXECUTE format('GRANT SELECT ON kept.t%s TO bench_app', i);
END LOOP; END $$;
SELECT set_config('bench.patient', :'patient', false), set_config('bench.backend', :'backend', false);
SET plan_cache_mode = force_generic_plan;
SET ROLE bench_app;
DO $$ BEGIN FOR i IN 1..500 LOOP
  EXECUTE format('PREPARE kept_%s(text) AS SELECT id, resource FROM kept.t%s WHERE id = $1 AND %s = %s', i, i % 20 + 1, i, i);
END LOOP; END $$;
DO $$ BEGIN FOR round IN 1..3 LOOP
  PERFORM smart.login(current_setting('bench.patient'), false);
  FOR i IN 1..500 LOOP EXECUTE format('EXECUTE kept_%s(''x'')', i); END LOOP;
  PERFORM smart.login(current_setting('bench.backend'), false);
  FOR i IN 1..500 LOOP EXECUTE format('EXECUTE kept_%s(''x'')', i); END LOOP;
END LOOP; END $$;
RESET ROLE;
SELECT round(sum(total_bytes) FILTER (WHERE name LIKE 'smart_fhir%') / 1024) || ' ' || round(sum(total_bytes) FILTER (WHERE name IN ('CachedPlan', 'CachedPlanSource', 'CachedPlanQuery')) / 1024)
FROM pg_backend_memory_contexts;
SQL
)
psql_quiet -c 'SET client_min_messages = error; DROP SCHEMA kept CASCADE'
printf '%-58s %12s kB %12s kB\n' 'memory: 500 prepared statements over 20 tables in turn' ${memory% *} ${memory#* }
result requests 'memory: 500 prepared statements over 20 tables in turn' "${memory% *}" kB "PostgreSQL's own plan cache" "${memory#* }" '' ''

pgbouncer=$(command -v pgbouncer || ls /usr/sbin/pgbouncer 2>/dev/null)
if [ -z "$pgbouncer" ]; then
  echo 'PgBouncer is not installed: skipped'
else
  # before 1.21 PgBouncer knows no prepared statements in transaction mode
  mode=$("$pgbouncer" -V | awk '/^PgBouncer/ { split($2, v, "."); print (v[1] > 1 || v[2] >= 21) ? "prepared" : "extended" }')
  # PgBouncer refuses to run as root
  user=postgres
  printf '"bench_app" ""\n"bench_hand" ""\n' >"$dir/users.txt"
  cat >"$dir/pgbouncer.ini" <<-INI
	[databases]
	* = host=$PGHOST port=$PGPORT
	[pgbouncer]
	listen_addr =
	unix_socket_dir = $dir
	listen_port = 6432
	auth_type = any
	auth_file = $dir/users.txt
	pool_mode = transaction
	default_pool_size = 8
	logfile = $dir/pgbouncer.log
	pidfile = $dir/pgbouncer.pid
INI
  # auth_type any takes the user from the database line: one line a role
  sed -i "s/^\* = .*/app = host=${PGHOST//\//\\/} port=$PGPORT dbname=$PGDATABASE user=bench_app\nhand = host=${PGHOST//\//\\/} port=$PGPORT dbname=$PGDATABASE user=bench_hand/" "$dir/pgbouncer.ini"
  [ "$mode" = extended ] || echo 'max_prepared_statements = 100' >>"$dir/pgbouncer.ini"
  [ "$(id -u)" != 0 ] || chown -R "$user" "$dir"
  if [ "$(id -u)" = 0 ]; then runuser -u "$user" -- "$pgbouncer" -q "$dir/pgbouncer.ini" & else "$pgbouncer" -q "$dir/pgbouncer.ini" & fi
  sleep 1
  pgbouncer_pid=$(cat "$dir/pgbouncer.pid" 2>/dev/null)
  tps() {
    local database=${1#bench_}
    PGHOST=$dir PGPORT=6432 PGDATABASE=$database "$bin/pgbench" -n -M "$mode" -c "$2" -j 2 -T "$seconds" -D patient="$patient" -D backend="$backend" -f "$dir/$3.sql" 2>&1 |
      awk '/^tps/ { print $3 } /ERROR|aborted|FATAL/ { print > "/dev/stderr" }'
  }
  compare "through PgBouncer (-M $mode), patient token: 8 clients" 8 smart hand
  compare "through PgBouncer (-M $mode), patient token: 32 clients" 32 smart hand
  compare "through PgBouncer (-M $mode), alternating tokens: 32 clients" 32 smart_alternating hand_alternating
fi
