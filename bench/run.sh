#!/usr/bin/env bash
# bench/run.sh: the figures that smart_fhir is held to, on a private cluster.
#
# Sets up, builds and installs as test/run.sh does, then prints each figure with its baseline:
# verification against OpenSSL's own, a repeated login, and row-level security against the same
# query with a hand-written WHERE. ROWS (default 100000) sizes the table, RUNS the repetitions.
set -uo pipefail
. "$(dirname "$0")/../tools/lib.sh"
"$ROOT/tools/setup.sh" || die 'set-up failed'
PG_CONFIG=$(find_pg_config) || die 'no PostgreSQL server is installed'
export PG_CONFIG
private_dir
cluster_start bench 'shared_buffers = 1GB' 'work_mem = 64MB'
psql -X -q -c 'CREATE EXTENSION smart_fhir' || die 'the extension is not installed'
mkdir -p "$ROOT/bench/results"
{
  "$ROOT/bench/verify.sh"
  "$ROOT/bench/login.sh"
  "$ROOT/bench/rls.sh"
} | tee "$ROOT/bench/results/$(date +%Y%m%dT%H%M%S).txt"
