# tools/lib.sh: what the shell commands share: finding PostgreSQL, a private directory, private
# clusters and their end. To be sourced by bash; knows nothing of tests, tokens or FHIR.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export LC_ALL=C.UTF-8

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# Print the pg_config to use: $PG_CONFIG, else that of $PGVERSION, else of the newest server
# that is installed. Fails when there is none.
find_pg_config() {
  local bin
  if [ -n "${PG_CONFIG:-}" ]; then
    command -v "$PG_CONFIG" && return
    die "PG_CONFIG names no program: $PG_CONFIG"
  fi
  for bin in $(ls -d /usr/lib/postgresql/"${PGVERSION:-*}"/bin 2>/dev/null | sort -t/ -k5,5nr); do
    [ -x "$bin/postgres" ] && [ -x "$bin/pg_config" ] && echo "$bin/pg_config" && return
  done
  if [ -z "${PGVERSION:-}" ] && command -v pg_config >/dev/null &&
      [ -x "$(pg_config --bindir)/postgres" ]; then
    command -v pg_config
    return
  fi
  return 1
}

# A private directory, gone at exit with every server that runs from it. As root, the work is
# done by an ordinary user (PostgreSQL refuses root): RUN_AS, who owns the directory.
private_dir() {
  WORK=$(mktemp -d "${TMPDIR:-/tmp}/smart_fhir.XXXXXX") || exit 1
  RUN_AS=
  if [ "$(id -u)" = 0 ]; then
    RUN_AS=postgres
    id postgres >/dev/null 2>&1 || RUN_AS=nobody
    chown "$RUN_AS" "$WORK"
  fi
  chmod 755 "$WORK"
  trap cleanup EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# Stop every server whose data directory lies in WORK; remove WORK unless KEEP_WORK is set.
cleanup() {
  local status=$? pidfile pid
  trap '' HUP INT TERM
  [ -n "${WORK:-}" ] && [ -d "$WORK" ] || return $status
  if [ -z "${KEEP_WORK:-}" ]; then
    while read -r pidfile; do
      pid=$(head -1 "$pidfile" 2>/dev/null)
      # the pid must still be the server of that directory: its working directory tells
      if [ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "${pidfile%/*}" ]; then
        kill -QUIT "$pid" 2>/dev/null
        for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
      fi
    done < <(find "$WORK" -maxdepth 6 -name postmaster.pid 2>/dev/null)
    rm -rf "$WORK"
  fi
  return $status
}

# Run a command as RUN_AS, inside WORK, with this environment.
as_user() {
  if [ -n "$RUN_AS" ]; then
    (cd "$WORK" && HOME=$WORK runuser -u "$RUN_AS" -- "$@")
  else
    (cd "$WORK" && "$@")
  fi
}

# copy_tree DIRECTORY: the repository's files with what was built, for RUN_AS to work in.
copy_tree() {
  mkdir -p "$1"
  tar -C "$ROOT" --exclude=./.git --exclude=./results --exclude=./tmp_check --exclude=./build \
    --exclude=./fuzz/build --exclude=./bench/results -cf - . | tar -C "$1" -xf - --no-same-owner
  [ -z "$RUN_AS" ] || chown -R "$RUN_AS" "$1"
}

# share_data: export SMART_FHIR_DATA, a copy when RUN_AS may not read the original; unset when
# there is none (the tests that need it skip).
share_data() {
  local data=${SMART_FHIR_DATA:-$ROOT/../shared/data}
  if [ ! -d "$data" ]; then
    unset SMART_FHIR_DATA
    return
  fi
  data=$(cd "$data" && pwd)
  if [ -n "$RUN_AS" ] && ! as_user test -r "$data" -a -x "$data"; then
    cp -r "$data" "$WORK/data"
    chown -R "$RUN_AS" "$WORK/data"
    data=$WORK/data
  fi
  export SMART_FHIR_DATA=$data
}

# cluster_start NAME [SETTING...]: a cluster in WORK/NAME that listens on a socket in WORK only;
# exports PGHOST, PGPORT, PGUSER. The superuser is postgres, whoever runs it.
cluster_start() {
  local name=$1 bindir
  shift
  bindir=$("$PG_CONFIG" --bindir)
  as_user "$bindir/initdb" -D "$WORK/$name" -U postgres -A trust -E UTF8 --locale=C.UTF-8 \
    --no-sync >"$WORK/$name.initdb" 2>&1 || { cat "$WORK/$name.initdb" >&2; die 'initdb failed'; }
  {
    printf "listen_addresses = ''\nunix_socket_directories = '%s'\n" "$WORK"
    printf "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n"
    printf "max_wal_size = '2GB'\ntimezone = 'UTC'\nlog_timezone = 'UTC'\n"
    printf '%s\n' "$@"
  } >>"$WORK/$name/postgresql.conf"
  as_user "$bindir/pg_ctl" -D "$WORK/$name" -l "$WORK/$name.log" -w -t 180 -s start ||
    { cat "$WORK/$name.log" >&2; die 'the private server did not start'; }
  export PGHOST=$WORK PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
  export PGOPTIONS='' PGPASSWORD='' PGSERVICE=''
  unset PGOPTIONS PGPASSWORD PGSERVICE PGSSLMODE PGTZ PGCLIENTENCODING
}

cluster_stop() {
  as_user "$("$PG_CONFIG" --bindir)/pg_ctl" -D "$WORK/$1" -m "${2:-fast}" -w -s stop
}

# private_installation: a copy of PostgreSQL in WORK (it finds its files relative to itself), so that
# an instrumented build replaces nothing; PG_CONFIG becomes the copy's.
private_installation() {
  local path
  for path in bindir pkglibdir sharedir includedir includedir-server; do
    path=$("$PG_CONFIG" --$path)
    [ -d "$WORK/root$path" ] && continue
    mkdir -p "$WORK/root$path"
    cp -a "$path/." "$WORK/root$path/"
  done
  chmod -R a+rX "$WORK/root"
  PG_CONFIG=$WORK/root$("$PG_CONFIG" --bindir)/pg_config
  # older copies of the extension count for nothing
  rm -f "$("$PG_CONFIG" --pkglibdir)/smart_fhir.so"
  export PG_CONFIG
}

# wrap_server: from now on the copy's server starts through this shell text, in which "$server" is
# the real program and "$@" its arguments; whoever starts it, tests with clusters of their own too.
wrap_server() {
  local bindir
  bindir=$("$PG_CONFIG" --bindir)
  mv "$bindir/postgres" "$bindir/postgres.bin"
  printf '#!/bin/bash\nserver=%q\n[ "$1" != -V ] || exec -a "$0" "$server" "$@"\n%s\n' "$bindir/postgres.bin" "$1" \
    >"$bindir/postgres"
  chmod 755 "$bindir/postgres"
}

# fresh_tree: a copy of the repository in WORK/tree without what was built, owned by RUN_AS.
fresh_tree() {
  copy_tree "$WORK/tree"
  (cd "$WORK/tree" && find src programs -name '*.[od]' -delete -o -name '*.bc' -delete -o -name '*.gc??' -delete; rm -rf smart_fhir.so programs/smart_fhir_keys/smart_fhir_keys smart_fhir--*.sql smart_fhir_oauth--*.sql build results)
}

# keep_results: what failed in WORK/tree stays readable in the repository.
keep_results() {
  local name
  for name in results tmp_check; do
    [ -d "$WORK/tree/$name" ] || continue
    rm -rf "${ROOT:?}/$name"
    cp -r "$WORK/tree/$name" "$ROOT/$name"
  done
}
