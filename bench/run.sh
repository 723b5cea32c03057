#!/usr/bin/env bash
# bench/run.sh [PART...]: the figures that smart_fhir is held to, on a private cluster.
#
# Sets up, builds and installs as test/run.sh does, then runs the parts (default: all): targets, rls, requests,
# tokens, oauth, functions, today, rows; scale when it is named. Each prints a figure beside that of its named baseline in the same run, and leaves
# a table in bench/results; report.md and the charts there are made of them. ROWS is the size of
# the table (default 1M; 10M works and takes about ten times as long), SIZES the smaller sizes for growth,
# QUICK=1 a smoke run of minutes with few rows. What is missing and optional (PgBouncer, npm's jose, libjwt) is skipped and said.
set -uo pipefail
. "$(dirname "$0")/../tools/lib.sh"
export ROWS=${ROWS:-${QUICK:+20k}}
export ROWS=${ROWS:-1M}
export SIZES=${SIZES:-${QUICK:+5k}}
export SIZES=${SIZES:-10k 100k 1M}
export QUICK=${QUICK:-}
[ $# -gt 0 ] || set -- targets rls requests tokens oauth functions today rows
"$ROOT/tools/setup.sh" || die 'set-up failed'
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! command -v pgbouncer >/dev/null; then
  case " $* " in *' requests '* | *' targets '*) apt-get install -y -q --no-install-recommends pgbouncer >/dev/null 2>&1 || true ;; esac
fi
PG_CONFIG=$(find_pg_config) || die 'no PostgreSQL server is installed'
export PG_CONFIG
export PATH="$("$PG_CONFIG" --bindir):$PATH"
private_dir
export WORK RUN_AS
cluster_start bench 'shared_buffers = 6GB' 'work_mem = 64MB' 'maintenance_work_mem = 1GB' 'max_wal_size = 8GB' 'max_connections = 100' \
  "session_preload_libraries = 'smart_fhir'" 'jit = off' 'max_parallel_workers_per_gather = 0' 'autovacuum = off'
export RESULTS=${RESULTS:-$ROOT/bench/results}
mkdir -p "$RESULTS"
psql -X -q -c 'CREATE EXTENSION smart_fhir' || die 'the extension is not installed'
. "$ROOT/bench/lib.sh"
case " $* " in
  *' rls '*) ;;
  *' requests '* | *' functions '* | *' today '*)
    # they use the table and functions of the first part
    bench_issuer
    load_observations "$(number "$ROWS")"
    psql_quiet -c 'CREATE SCHEMA bench; GRANT USAGE, CREATE ON SCHEMA bench TO PUBLIC' \
      -c "$(sed -n '/CREATE FUNCTION bench.batch/,/^	END \$\$;$/p' "$ROOT/bench/rls.sh" | sed '/pairs(runs/,$d')" >/dev/null ;;
esac
for part in "$@"; do
  [ -x "$ROOT/bench/$part.sh" ] || { echo "no such part: $part" >&2; continue; }
  printf '\n== %s\n' "$part"
  if [ "$part" = rows ]; then
    # a table of its own, which need not be large
    ROWS=${QUICK:+10000} RUNS=${QUICK:+2} bash -c '[ -n "$ROWS" ] || unset ROWS RUNS; exec "$0"' "$ROOT/bench/rows.sh" | tee "$RESULTS/rows.txt" || echo "part $part failed" >&2
  else
    "$ROOT/bench/$part.sh" || echo "part $part failed" >&2
  fi
done
perl "$ROOT/bench/report.pl" "$RESULTS"
printf '\nbench/results/report.md\n'
