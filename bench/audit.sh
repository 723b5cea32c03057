#!/usr/bin/env bash
# bench/audit.sh: what the audit trail costs a patient's request, against none and against pgaudit.
#
# A request: BEGIN; login; latest 20; one by id; COMMIT, in a pipeline, 8 clients: at level all three lines in the log. Runs of off,
# logins, all, and of pgaudit (read and write, where it is installed) are interleaved on one server of its own; printed are medians of
# ratios, of the time a request and of the CPU that the backends took for it. Without patients' names the
# rows of a clinician are measured apart. ROWS, RUNS, SECONDS_A_RUN, CLIENTS.
set -uo pipefail
. "$(dirname "$0")/../tools/lib.sh"
"$ROOT/tools/setup.sh" >/dev/null || die 'set-up failed'
PG_CONFIG=$(find_pg_config) || die 'no PostgreSQL server is installed'
export PG_CONFIG
bin=$("$PG_CONFIG" --bindir)
export PATH="$bin:$PATH"
. "$ROOT/bench/lib.sh"
runs=${RUNS:-${QUICK:+2}}
runs=${runs:-5}
seconds=${SECONDS_A_RUN:-${QUICK:+1}}
seconds=${seconds:-3}
clients=${CLIENTS:-8}
private_dir
openssl rand -base64 32 >"$WORK/key"
chmod 600 "$WORK/key"
[ -z "$RUN_AS" ] || chown "$RUN_AS" "$WORK/key"
preload=smart_fhir
[ ! -e "$("$PG_CONFIG" --pkglibdir)/pgaudit.so" ] || preload=smart_fhir,pgaudit
cluster_start bench 'shared_buffers = 1GB' 'jit = off' 'autovacuum = off' "shared_preload_libraries = '$preload'" \
  "smart_fhir.key_file = '$WORK/key'" "log_line_prefix = '%m [%p] %c %Q '" 'compute_query_id = on' 'max_connections = 50'
psql_quiet -c 'CREATE EXTENSION smart_fhir' || die 'the extension is not installed'
bench_issuer
load_observations "$(number "${ROWS:-100k}")"
patient=$(token '{"scope": "patient/*.rs", "patient": "p7"}')
clinician=$(token '{"scope": "user/*.rs", "fhirUser": "Practitioner/7"}')
psql_quiet -c "UPDATE smart.issuer SET user_sees_all = true" >/dev/null
cat >"$WORK/request.sql" <<'SQL'
\startpipeline
BEGIN;
SELECT smart.login(:token);
SELECT id, resource FROM obs_key ORDER BY effective DESC LIMIT 20;
SELECT id, resource FROM obs_key WHERE id = 'o7';
COMMIT;
\endpipeline
SQL
chmod 644 "$WORK/request.sql"
postmaster=$(head -1 "$WORK/bench/postmaster.pid")
# user and system time of the backends that have ended, in clock ticks
ended() { awk '{ sub(/.*\) /, ""); print $14 + $15 }' "/proc/$postmaster/stat"; }

# one SETTINGS TOKEN: microseconds a request, and of the backends' CPU
one() {
  local before transactions tps
  psql_quiet -c "ALTER ROLE bench_app RESET ALL" >/dev/null
  [ -z "$1" ] || psql_quiet -c "ALTER ROLE bench_app SET $1" >/dev/null
  : >"$WORK/bench.log"
  before=$(ended)
  read -r transactions tps < <(pgbench -n -M prepared -U bench_app -c "$clients" -j 2 -T "$seconds" -D token="$2" -f "$WORK/request.sql" 2>&1 |
    awk '/actually processed/ { n = $NF } /^tps/ { print n, $3 } /ERROR|aborted/ { print > "/dev/stderr" }')
  # the postmaster waits for them
  sleep 0.3
  awk -v n="$transactions" -v tps="$tps" -v cpu=$(($(ended) - before)) -v hz="$(getconf CLK_TCK)" 'BEGIN { print 1e6 / tps, cpu / hz * 1e6 / n }'
}

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { print a / b }'; }
share() { awk -v a="$1" -v b="$2" -v base="$3" 'BEGIN { print b > base ? (a - base) / (b - base) : "" }'; }
declare -A samples=()
note() { [ -z "$2" ] || samples[$1]+="$2"$'\n'; }
one '' "$patient" >/dev/null
for _ in $(seq "$runs"); do
  read -r t_off c_off < <(one '' "$patient")
  read -r t_logins c_logins < <(one 'smart_fhir.audit = logins' "$patient")
  read -r t_all c_all < <(one "smart_fhir.audit = 'all'" "$patient")
  note time.logins "$(ratio "$t_logins" "$t_off")"
  note cpu.logins "$(ratio "$c_logins" "$c_off")"
  note time.all "$(ratio "$t_all" "$t_off")"
  note cpu.all "$(ratio "$c_all" "$c_off")"
  note cpu.off_us "$c_off"
  if [ "$preload" != smart_fhir ]; then
    read -r t_pg c_pg < <(one "pgaudit.log = 'read,write'" "$patient")
    note time.pgaudit "$(ratio "$t_pg" "$t_off")"
    note cpu.pgaudit "$(ratio "$c_pg" "$c_off")"
    note time.share "$(share "$t_all" "$t_pg" "$t_off")"
    note cpu.share "$(share "$c_all" "$c_pg" "$c_off")"
  fi
  read -r t_off c_off < <(one '' "$clinician")
  read -r t_all c_all < <(one "smart_fhir.audit = 'all'" "$clinician")
  note time.clinician "$(ratio "$t_all" "$t_off")"
  note cpu.clinician "$(ratio "$c_all" "$c_off")"
done
line() {
  local name=$1 key=$2 target=${3:-}
  [ -n "${samples[time.$key]:-}" ] || { printf '%-52s not known: pgaudit is not installed, or what it costs is less than the noise\n' "$name"; return; }
  printf '%-52s time %6.3f  CPU %6.3f %s\n' "$name" "$(printf '%s' "${samples[time.$key]}" | median)" "$(printf '%s' "${samples[cpu.$key]}" | median)" "${target:+(at most $target)}"
}
printf 'request without audit: %.0f us of CPU in the backend, %d clients, %s runs\n' "$(printf '%s' "${samples[cpu.off_us]}" | median)" "$clients" "$runs"
line 'logins, to none' logins 1.03
line 'all (three lines a request), to none' all 1.15
line 'pgaudit (read, write), to none' pgaudit
line "all, of pgaudit's cost" share 0.7
line "all, a clinician's rows with their patients, to none" clinician
