#!/usr/bin/env bash
# bench/targets.sh: the figures that are held to a limit, each beside the same of an earlier build.
#
# The earlier build (BEFORE, a commit; empty: none) is installed into a copy of PostgreSQL and has a cluster of its own with
# the same rows. Ours, the baseline and the earlier build take turns; a figure is the median over the turns. Two ratios: of
# the time that the client waits, and of the CPU time of the server's processes, which other programs on the machine
# disturb less. TARGET_ROWS, RUNS, PARTS (which of: requests loops planning memory). Called by bench/run.sh.
set -uo pipefail
. "$(dirname "$0")/../tools/lib.sh"
. "$(dirname "$0")/lib.sh"
rows=${TARGET_ROWS:-${QUICK:+20000}}
rows=${rows:-300000}
runs=${RUNS:-${QUICK:+2}}
runs=${runs:-7}
scale=${QUICK:+10}
scale=${scale:-1}
before=${BEFORE-be2c6d4}
WORK=${WORK:-$PGHOST}
RUN_AS=${RUN_AS:-$([ "$(id -u)" = 0 ] && echo postgres)}
bin=$("$PG_CONFIG" --bindir)
rm -f "$RESULTS/targets.tsv"
dir=$(mktemp -d)
chmod 755 "$dir"
pgbouncer_pid=
trap '[ -z "$pgbouncer_pid" ] || kill "$pgbouncer_pid"; rm -rf "$dir"' EXIT

# Tables of both builds: protected, and the same without policies.
load() {
  psql_quiet -v rows="$rows" <<-'SQL' >/dev/null
	SET client_min_messages = error;
	DO $$ BEGIN CREATE ROLE bench_app LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
	DO $$ BEGIN CREATE ROLE bench_hand LOGIN BYPASSRLS; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
	DROP SCHEMA IF EXISTS t CASCADE;
	CREATE SCHEMA t;
	GRANT USAGE ON SCHEMA t TO PUBLIC;
	CREATE TABLE t.o (id text PRIMARY KEY, patient_id text NOT NULL, effective text NOT NULL, resource jsonb NOT NULL);
	INSERT INTO t.o SELECT 'o' || i, 'p' || i % (:rows / 100), to_char(timestamp '2016-01-01' + (i::bigint * 7919 % 5000000) * interval '1 minute', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
	  jsonb_build_object('resourceType', 'Observation', 'id', 'o' || i, 'status', 'final', 'subject', jsonb_build_object('reference', 'Patient/p' || i % (:rows / 100)), 'code',
	    jsonb_build_object('coding', jsonb_build_array(jsonb_build_object('system', 'http://loinc.org', 'code', (1000 + i % 50)::text))), 'text', repeat(md5(i::text), 12))
	FROM generate_series(1, :rows) i;
	CREATE INDEX ON t.o (patient_id, effective);
	CREATE TABLE t.plain AS SELECT id, resource FROM t.o;
	ALTER TABLE t.plain ADD PRIMARY KEY (id);
	CREATE INDEX ON t.plain ((resource -> 'subject' ->> 'reference'));
	CREATE TABLE t.parts (id text NOT NULL, patient_id text NOT NULL, resource jsonb NOT NULL) PARTITION BY HASH (patient_id);
	CREATE TABLE t.bare_parts (LIKE t.parts) PARTITION BY HASH (patient_id);
	DO $$ BEGIN
	  FOR i IN 0..399 LOOP
	    EXECUTE format('CREATE TABLE t.parts_%s PARTITION OF t.parts FOR VALUES WITH (MODULUS 400, REMAINDER %s)', i, i);
	    EXECUTE format('CREATE TABLE t.bare_parts_%s PARTITION OF t.bare_parts FOR VALUES WITH (MODULUS 400, REMAINDER %s)', i, i);
	  END LOOP;
	  FOR i IN 1..20 LOOP
	    EXECUTE format('CREATE TABLE t.k%s (id text PRIMARY KEY, patient_id text, resource jsonb); CREATE INDEX ON t.k%1$s (patient_id); CREATE TABLE t.u%1$s (LIKE t.k%1$s INCLUDING ALL)', i);
	    PERFORM smart.protect(format('t.k%s', i)::regclass, 'Observation', patients => 'patient_id');
	  END LOOP;
	END $$;
	CREATE INDEX ON t.parts (patient_id);
	CREATE INDEX ON t.bare_parts (patient_id);
	INSERT INTO t.parts SELECT id, patient_id, resource FROM t.o WHERE substr(id, 2)::int <= 40000;
	INSERT INTO t.bare_parts SELECT * FROM t.parts;
	SELECT smart.protect('t.o', 'Observation', patients => 'patient_id'), smart.protect('t.plain', 'Observation'), smart.protect('t.parts', 'Observation', patients => 'patient_id');
	GRANT SELECT ON ALL TABLES IN SCHEMA t TO bench_app, bench_hand;
	GRANT EXECUTE ON FUNCTION smart.assume TO bench_app, bench_hand;
	VACUUM ANALYZE;
	CHECKPOINT;
SQL
}

# The earlier build in a cluster of its own, in a copy of PostgreSQL.
earlier_port=
start_earlier() {
  [ -n "$before" ] && git -C "$ROOT" cat-file -e "$before^{commit}" 2>/dev/null || { echo 'no earlier build to compare with' >&2; return; }
  mkdir -p "$WORK/earlier_tree"
  git -C "$ROOT" archive "$before" | tar -x -C "$WORK/earlier_tree"
  (
    private_installation
    make -s -j2 -C "$WORK/earlier_tree" PG_CONFIG="$PG_CONFIG" with_llvm=no all install >"$WORK/earlier.make" 2>&1 || { tail -3 "$WORK/earlier.make" >&2; exit 1; }
    cluster_start earlier 'port = 5433' 'shared_buffers = 1GB' 'max_connections = 100' "session_preload_libraries = 'smart_fhir'" 'jit = off' 'max_parallel_workers_per_gather = 0' 'autovacuum = off'
  ) || { echo 'the earlier build does not run here' >&2; return; }
  earlier_port=5433
  PGPORT=5433 psql_quiet -c 'CREATE EXTENSION smart_fhir' >/dev/null
  PGPORT=5433 bench_issuer
  PGPORT=5433 load
}
postmaster() { head -1 "$(psql_quiet -c 'SHOW data_directory')/postmaster.pid"; }

bench_issuer
load
start_earlier
patient=$(token '{"scope": "patient/*.rs", "patient": "p7"}')
backend=$(token '{"scope": "system/*.rs"}')
two_hundred="{\"scope\": \"patient/*.rs\", \"patient\": [$(seq -f '"p%.0f"' -s, 0 199)]}"
ours_pid=$(postmaster)
[ -z "$earlier_port" ] || earlier_pid=$(PGPORT=$earlier_port postmaster)

# cpu PID: ticks of the server's processes that have ended
cpu() { awk '{ print $16 + $17 }' "/proc/$1/stat"; }
# sample PID N COMMAND...: microseconds of CPU and of waiting, by n; the command prints how long it took, in microseconds
sample() {
  local pid=$1 n=$2 ticks took
  shift 2
  ticks=$(cpu "$pid")
  took=$("$@")
  sleep 0.05
  awk -v n="$n" -v a="$ticks" -v b="$(cpu "$pid")" -v hz="$(getconf CLK_TCK)" -v took="${took:-0}" 'BEGIN { printf "%.3f %.3f\n", (b - a) * 1e6 / hz / n, took / n }'
}
# requests USER CLIENTS SCRIPT N [MODE]
requests() {
  "$bin/pgbench" -n -M "${5:-prepared}" -U "$1" -c "$2" -j 1 -t $(($4 / $2)) -D patient="$patient" -D backend="$backend" -f "$dir/$3.sql" 2>&1 |
    awk -v n="$4" '/^tps/ { print n * 1e6 / $3 } /ERROR|aborted/ { print > "/dev/stderr" }'
}
# loop USER CLAIMS STATEMENTS N: in PL/pgSQL, claims assumed before
loop() {
  psql_quiet -v claims="$2" <<-SQL
	SELECT smart.assume(:'claims'::jsonb || '{"exp": 4000000000}', 'https://bench.example.org/auth', false) \\g /dev/null
	SET ROLE $1;
	DO \$do\$
	DECLARE r record; started timestamptz;
	BEGIN
	  FOR i IN 1..10 LOOP $3 END LOOP;
	  started := clock_timestamp();
	  FOR i IN 1..$4 LOOP $3 END LOOP;
	  PERFORM set_config('bench.took', (extract(epoch FROM clock_timestamp() - started) * 1e6)::text, false);
	END \$do\$;
	SELECT current_setting('bench.took');
SQL
}
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) print a / b }'; }
column() { cut -d' ' -f"$1" | median; }
# compare NAME LIMIT N OURS... -- BASELINE...: commands without the last argument, which is n
compare() {
  local name=$1 limit=$2 n=$(($3 / scale)) ours=() base=() a b c ra='' ea='' sa='' sb=''
  shift 3
  while [ "$1" != -- ]; do ours+=("$1"); shift; done
  shift
  base=("$@")
  for _ in $(seq "$runs"); do
    a=$(sample "$ours_pid" "$n" "${ours[@]}" "$n") b=$(sample "$ours_pid" "$n" "${base[@]}" "$n")
    sa+="$a"$'\n' sb+="$b"$'\n'
    ra+="$(ratio "${a% *}" "${b% *}") $(ratio "${a#* }" "${b#* }")"$'\n'
    [ -n "$earlier_port" ] || continue
    c=$(PGPORT=$earlier_port sample "$earlier_pid" "$n" "${ours[@]}" "$n")
    ea+="$(ratio "${c% *}" "${b% *}") $(ratio "${c#* }" "${b#* }")"$'\n'
  done
  report "$name" "$(printf '%s' "$sa" | column 2)" us "$(printf '%s' "$sb" | column 2)" "$(printf '%s' "$ra" | column 2)" "$(printf '%s' "$ra" | column 1)" \
    "$(printf '%s' "$ea" | column 2)" "$(printf '%s' "$ea" | column 1)" "$limit"
}
two() { [ -z "$1" ] || printf '%.2f' "$1"; }
# report NAME OURS UNIT BASELINE RATIO CPU_RATIO EARLIER EARLIER_CPU LIMIT
report() {
  local ratio cpu earlier earlier_cpu
  ratio=$(two "$5") cpu=$(two "$6") earlier=$(two "$7") earlier_cpu=$(two "$8")
  printf '%-64s %9.1f %s %9.1f  %5s (CPU %5s)  earlier %5s (CPU %5s)  at most %s\n' "$1" "$2" "$3" "$4" "$ratio" "$cpu" "$earlier" "$earlier_cpu" "$9"
  result targets "$1" "$(printf '%.1f' "$2")" "$3" "$(printf '%.1f' "$4")" "$ratio" "$cpu" "$earlier" "$earlier_cpu" "$9"
}

pipeline() { printf '%s\n' '\startpipeline' BEGIN\; "$2" "$3" COMMIT\; '\endpipeline' >"$dir/$1.sql"; }
lf=$'\n'
latest='SELECT id, resource FROM t.o WHERE %s ORDER BY effective DESC LIMIT 20;'
by_id="SELECT id, resource FROM t.o WHERE id = 'o7'%s;"
by_ids="SELECT id, resource FROM t.o WHERE id IN ('o7', 'o1007');"
pipeline ours_patient 'SELECT smart.login(:patient);' "$(printf "$by_id" '')${lf}SELECT count(*) FROM t.o WHERE true;"
pipeline hand_patient '' "$(printf "$by_id" " AND patient_id = 'p7'")${lf}SELECT count(*) FROM t.o WHERE patient_id = 'p7';"
pipeline ours_backend 'SELECT smart.login(:backend);' "$(printf "$by_id" '')$lf$by_ids"
pipeline hand_backend '' "$(printf "$by_id" '')$lf$by_ids"
pipeline trip_backend 'SELECT length(:backend);' "$(printf "$by_id" '')$lf$by_ids"
pipeline ours_latest 'SELECT smart.login(:patient);' "$(printf "$latest" true)"
pipeline hand_latest '' "$(printf "$latest" "patient_id = 'p7'")"
pipeline trip_latest 'SELECT length(:patient);' "$(printf "$latest" "patient_id = 'p7'")"
for kind in ours hand; do cat "$dir/${kind}_patient.sql" "$dir/${kind}_backend.sql" >"$dir/${kind}_turns.sql"; done

parts=" ${PARTS:-requests loops planning memory} "
case $parts in *' requests '*)
  compare 'patient and backend in turn, login against none: 1 client' 1.25 8000 requests bench_app 1 ours_turns -- requests bench_hand 1 hand_turns
  compare 'patient and backend in turn, login against none: 8 clients' 1.25 16000 requests bench_app 8 ours_turns -- requests bench_hand 8 hand_turns
  compare 'backend: login, two by id, against none' 1.10 12000 requests bench_app 1 ours_backend -- requests bench_hand 1 hand_backend
  compare 'backend: login, two by id, against a round trip' '' 12000 requests bench_app 1 ours_backend -- requests bench_hand 1 trip_backend
  compare 'patient: login, latest 20, against none: 8 clients' '' 16000 requests bench_app 8 ours_latest -- requests bench_hand 8 hand_latest
  compare 'patient: login, latest 20, against a round trip: 8 clients' 1.05 16000 requests bench_app 8 ours_latest -- requests bench_hand 8 trip_latest
  pgbouncer=$(command -v pgbouncer || ls /usr/sbin/pgbouncer 2>/dev/null)
  if [ -n "$pgbouncer" ]; then
    # before 1.21 it keeps no prepared statements; pipelines need the extended protocol in any case
    mode=$("$pgbouncer" -V | awk '/^PgBouncer/ { split($2, v, "."); print (v[1] > 1 || v[2] >= 21) ? "prepared" : "extended" }')
    for role in app hand; do
      for port in 5432 5433; do echo "${role}_$port = host=$PGHOST port=$port dbname=$PGDATABASE user=bench_$role"; done
    done >"$dir/databases"
    printf '"bench_app" ""\n"bench_hand" ""\n' >"$dir/users.txt"
    { echo '[databases]'; cat "$dir/databases"
      printf '%s\n' '[pgbouncer]' 'listen_addr =' "unix_socket_dir = $dir" 'listen_port = 6432' 'auth_type = any' "auth_file = $dir/users.txt" 'pool_mode = transaction' \
        'default_pool_size = 4' "logfile = $dir/pgbouncer.log" "pidfile = $dir/pgbouncer.pid"
      [ "$mode" = extended ] || echo 'max_prepared_statements = 100'; } >"$dir/pgbouncer.ini"
    [ "$(id -u)" != 0 ] || chown -R postgres "$dir"
    if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$pgbouncer" -q "$dir/pgbouncer.ini" & else "$pgbouncer" -q "$dir/pgbouncer.ini" & fi
    sleep 1
    pgbouncer_pid=$(cat "$dir/pgbouncer.pid" 2>/dev/null)
    # the server's processes go on, so their CPU time is not seen
    pooled() {
      local database=${1#bench_}_$PGPORT
      PGDATABASE=$database PGHOST=$dir PGPORT=6432 requests "$1" "$2" "$3" "$4" "$mode"
    }
    compare "in turn through PgBouncer, transaction mode (-M $mode): 8 clients" 1.25 8000 pooled bench_app 8 ours_turns -- pooled bench_hand 8 hand_turns
    kill "$pgbouncer_pid"
    pgbouncer_pid=
  else
    echo 'PgBouncer is not installed: skipped'
  fi ;;
esac

one='{"scope": "patient/*.rs", "patient": "p7"}'
all='{"scope": "system/*.rs"}'
case $parts in *' loops '*)
  compare 'by id in a PL/pgSQL loop, patient' 1.10 100000 loop bench_app "$one" "SELECT * INTO r FROM t.o WHERE id = 'o7';" -- loop bench_hand "$one" "SELECT * INTO r FROM t.o WHERE id = 'o7' AND patient_id = 'p7';"
  compare 'by id in a PL/pgSQL loop, backend' 1.10 100000 loop bench_app "$all" "SELECT * INTO r FROM t.o WHERE id = 'o7';" -- loop bench_hand "$all" "SELECT * INTO r FROM t.o WHERE id = 'o7';"
  compare '200 patients, plain: count, against = ANY' 1.15 200 loop bench_app "$two_hundred" 'SELECT count(*) INTO r FROM t.plain;' \
    -- loop bench_hand "$one" "SELECT count(*) INTO r FROM t.plain WHERE resource -> 'subject' ->> 'reference' = ANY (ARRAY[$(seq -f "'Patient/p%.0f'" -s, 0 199)]);"
  compare '400 partitions, one patient by key' 1.05 20000 loop bench_app "$one" "SELECT count(*) INTO r FROM t.parts WHERE patient_id = 'p7';" \
    -- loop bench_hand "$one" "SELECT count(*) INTO r FROM t.bare_parts WHERE patient_id = 'p7';" ;;
esac

# a statement that is planned each time: what planning and one execution without rows take
join() { echo "EXECUTE 'SELECT count(*) FROM t.$1""1 a JOIN t.$1""2 b USING (id) JOIN t.$1""3 c USING (id) JOIN t.$1""4 d USING (id) JOIN t.$1""5 e USING (id) WHERE a.id = ''o7''$2';"; }
case $parts in *' planning '*)
  compare 'planned each time: join of 5 tables, backend' 1.15 2000 loop bench_app "$all" "$(join k '')" -- loop bench_hand "$all" "$(join u '')"
  compare 'planned each time: join of 5 tables, patient, against his WHERE' 1.15 2000 loop bench_app "$one" "$(join k '')" \
    -- loop bench_hand "$one" "$(join u "$(for x in a b c d e; do printf " AND $x.patient_id = ''p7''"; done)")"
  compare 'planned each time: by id, backend' '' 20000 loop bench_app "$all" "EXECUTE 'SELECT * FROM t.k1 WHERE id = ''o7''';" -- loop bench_hand "$all" "EXECUTE 'SELECT * FROM t.u1 WHERE id = ''o7''';" ;;
esac

# 500 prepared statements over 20 tables, for a patient and a backend in turn: kB of our memory, and of PostgreSQL's plan cache
kept() { # ROLE TABLES
  psql_quiet -v patient="$patient" -v backend="$backend" <<-SQL | tail -1
	SET client_min_messages = error;
	SELECT set_config('b.patient', :'patient', false), set_config('b.backend', :'backend', false);
	SET plan_cache_mode = force_generic_plan;
	SET ROLE $1;
	DO \$\$ BEGIN FOR i IN 1..500 LOOP
	  EXECUTE format('PREPARE kept_%s(text) AS SELECT id, resource FROM t.$2%s WHERE id = \$1 AND %s = %s', i, i % 20 + 1, i, i);
	END LOOP; END \$\$;
	DO \$\$ BEGIN FOR round IN 1..3 LOOP
	  PERFORM smart.login(current_setting('b.patient'), false);
	  FOR i IN 1..500 LOOP EXECUTE format('EXECUTE kept_%s(''x'')', i); END LOOP;
	  PERFORM smart.login(current_setting('b.backend'), false);
	  FOR i IN 1..500 LOOP EXECUTE format('EXECUTE kept_%s(''x'')', i); END LOOP;
	END LOOP; END \$\$;
	RESET ROLE;
	SELECT round(sum(total_bytes) FILTER (WHERE name LIKE 'smart_fhir%') / 1024) || ' ' || round(sum(total_bytes) FILTER (WHERE name LIKE 'CachedPlan%') / 1024) FROM pg_backend_memory_contexts;
SQL
}
case $parts in *' memory '*)
  kept_ours=$(kept bench_app k) bare=$(kept bench_hand u) earlier=''
  [ -z "$earlier_port" ] || earlier=$(PGPORT=$earlier_port kept bench_app k)
  printf '%-64s %9s kB (at most 4096)  earlier %s kB\n' 'memory: 500 statements over 20 tables in turn, ours' "${kept_ours% *}" "${earlier% *}"
  result targets 'memory: 500 statements over 20 tables in turn, ours' "${kept_ours% *}" kB '' '' '' "${earlier% *}" '' '4096 kB'
  printf '%-64s %9s kB, without policies %s kB, earlier %s kB\n' "memory: PostgreSQL's plan cache, the same statements" "${kept_ours#* }" "${bare#* }" "${earlier#* }"
  result targets "memory: PostgreSQL's plan cache, the same statements" "${kept_ours#* }" kB "${bare#* }" '' '' "${earlier#* }" '' ''
  # a million changes of session on one connection, at three statements each
  growth=$(psql_quiet -v patient="$patient" -v backend="$backend" -v n=$((500000 / scale / scale)) <<-'SQL' | tail -1
	SELECT set_config('b.patient', :'patient', false), set_config('b.backend', :'backend', false), set_config('b.n', :'n', false);
	CREATE FUNCTION pg_temp.turns(n int) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE r record; patient text := current_setting('b.patient'); backend text := current_setting('b.backend');
	BEGIN
	  FOR i IN 1..n LOOP
	    PERFORM smart.login(patient, false); SELECT * INTO r FROM t.o WHERE id = 'o7';
	    PERFORM smart.login(backend, false); SELECT * INTO r FROM t.o WHERE id = 'o7';
	  END LOOP;
	END $$;
	SET ROLE bench_app;
	SELECT pg_temp.turns(1000);
	RESET ROLE;
	SELECT set_config('b.before', (SELECT sum(total_bytes) FROM pg_backend_memory_contexts)::text, false);
	SET ROLE bench_app;
	SELECT pg_temp.turns(current_setting('b.n')::int);
	RESET ROLE;
	SELECT round((sum(total_bytes) - current_setting('b.before')::numeric) / 1024) FROM pg_backend_memory_contexts;
SQL
  )
  printf '%-64s %9s kB more\n' "memory: $((1000000 / scale / scale)) changes of session on one connection" "$growth"
  result targets "memory: $((1000000 / scale / scale)) changes of session on one connection, growth" "$growth" kB '' '' '' '' '' '0 kB' ;;
esac
psql_quiet -c 'SET client_min_messages = error; DROP SCHEMA t CASCADE' >/dev/null
