#!/usr/bin/env bash
# test/soak.sh [REQUESTS [CLIENTS]]: many clients at once, each with its own patient, every returned row checked.
#
# REQUESTS (default 20000, up to a million or more) are shared by CLIENTS (default 24), half of them through PgBouncer in transaction
# mode where it is installed. Errors, cancels, disconnects, held cursors, shadowing temporary tables, refused tokens, rotated keys and
# revocations are thrown in (test/soak.mjs says how). Prints what it did and each backend's memory; fails on a foreign or a missing row,
# on an answer nobody expected, and on a backend that grew by more than LIMIT_KB (default 8192). By hand: CI does not run it.
set -uo pipefail
. "$(dirname "$0")/../tools/lib.sh"
requests=${1:-20000} clients=${2:-24}
[[ $requests =~ ^[1-9][0-9]*$ && $clients =~ ^[1-9][0-9]*$ ]] || die 'usage: test/soak.sh [REQUESTS [CLIENTS]]'
PG_CONFIG=$(find_pg_config) || die 'no PostgreSQL server was found; run tools/setup.sh'
export PG_CONFIG
"$ROOT/tools/setup.sh" >/dev/null || die 'the extension could not be built and installed'
"$ROOT/tools/setup_node.sh" "$ROOT/demo/app" || die 'Node.js or its packages could not be installed'
private_dir
cluster_start soak 'shared_buffers = 16MB' 'max_connections = 300' 'log_min_messages = fatal'

pooler=
pgbouncer=$(command -v pgbouncer || ls /usr/sbin/pgbouncer 2>/dev/null)
if [ -z "$pgbouncer" ]; then
  say 'PgBouncer is not installed: all clients are connected directly'
else
  "$pgbouncer" -V | head -1
  pooler=$WORK/pooler
  as_user mkdir "$pooler"
  printf '"soak_app" ""\n' >"$pooler/users.txt"
  cat >"$pooler/pgbouncer.ini" <<INI
[databases]
postgres = host=$PGHOST port=$PGPORT dbname=postgres user=soak_app
[pgbouncer]
listen_addr =
unix_socket_dir = $pooler
listen_port = 6432
auth_type = any
auth_file = $pooler/users.txt
pool_mode = transaction
default_pool_size = 4
max_client_conn = 500
log_connections = 0
log_disconnections = 0
logfile = $pooler/log
pidfile = $pooler/pid
INI
  as_user "$pgbouncer" -q -d "$pooler/pgbouncer.ini" || die 'PgBouncer did not start'
  trap 'status=$?; kill "$(cat "$pooler/pid")" 2>/dev/null; (exit $status); cleanup' EXIT
  for _ in $(seq 100); do [ -S "$pooler/.s.PGSQL.6432" ] && break; sleep 0.1; done
fi
node "$ROOT/test/soak.mjs" "$requests" "$clients" "$pooler"
