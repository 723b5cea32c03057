#!/usr/bin/env bash
# test/upgrade.sh: pg_upgrade 15 to 17 (copy) to 18 (link), and pg_dump to pg_restore -j, with both extensions and protected tables.
#
# By hand, as root. It works in the chroot of test/matrix.sh that has PostgreSQL 18 (sid), into which the other majors are
# unpacked beside it from Debian 12 and 13, under /srv/majors: nothing of theirs is installed. What a session sees, what the
# authorization server knows, policies and indexes must be the same after each step. The last line is `N passed, N failed`.
set -uo pipefail
. "$(dirname "$0")/../tools/lib.sh"

# ---- in the chroot ----

passed=0 failed=0
is() { # NAME, GOT, WANTED
  if [ "$2" = "$3" ]; then
    passed=$((passed + 1)); say "ok      $1"
  else
    failed=$((failed + 1)); say "not ok  $1"; diff <(printf '%s\n' "$3") <(printf '%s\n' "$2") | head -20
  fi
}
bin_of() { [ -x "/usr/lib/postgresql/$1/bin/postgres" ] && echo "/usr/lib/postgresql/$1/bin" || echo "/srv/majors/usr/lib/postgresql/$1/bin"; }

start() { # MAJOR
  as_user "$(bin_of "$1")/pg_ctl" -D "$WORK/$1" -l "$WORK/$1.log" -w -t 120 -s start || { cat "$WORK/$1.log" >&2; die "PostgreSQL $1 did not start"; }
}
stop() { as_user "$(bin_of "$1")/pg_ctl" -D "$WORK/$1" -m fast -w -s stop; }
init() { # MAJOR: with the checksums that 18 has by default
  as_user "$(bin_of "$1")/initdb" -D "$WORK/$1" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync --data-checksums >"$WORK/$1.initdb" 2>&1 ||
    { cat "$WORK/$1.initdb" >&2; die 'initdb failed'; }
  printf "listen_addresses = ''\nunix_socket_directories = '%s'\nfsync = off\nsession_preload_libraries = 'smart_fhir'\nsmart_fhir.key_file = '%s/key'\n" \
    "$WORK" "$WORK" >>"$WORK/$1/postgresql.conf"
}
query() { # MAJOR, DATABASE, psql arguments
  local major=$1 database=$2
  shift 2
  as_user "$(bin_of "$major")/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$WORK" -U postgres -d "$database" "$@" 2>&1
}
state() { query "$1" "$2" -f "$ROOT/test/upgrade/state.sql"; }

doctor() { query "$1" "$2" -c "SELECT code, object FROM smart.doctor('warning') WHERE code ~ '^(index|policy|force|partition|child|event|key)' ORDER BY 1, 2"; }

# A refresh token gives an access token, which logs in, and the refresh token for the next time.
refresh() { # NAME, MAJOR, DATABASE
  local name=$1 answer access
  shift
  answer=$(query "$1" "$2" -c "CALL smart.token('{\"client_id\":\"public\",\"grant_type\":\"refresh_token\",\"refresh_token\":\"$refresh_token\"}', '{}')")
  refresh_token=$(sed -n 's/.*"refresh_token": "\([^"]*\)".*/\1/p' <<<"$answer")
  access=$(sed -n 's/.*"access_token": "\([^"]*\)".*/\1/p' <<<"$answer")
  is "$name" "$(query "$1" "$2" -c BEGIN -c "DO \$\$ BEGIN PERFORM smart.login('$access'); END \$\$" -c "SET ROLE fhir_app; SELECT smart.patient() || ': ' || string_agg(id, ' ' ORDER BY id) FROM a.plain" -c COMMIT)" '1: 1 4 7'
}

upgrade() { # OLD, NEW, --copy or --link
  init "$2"
  stop "$1"
  if ! as_user "$(bin_of "$2")/pg_upgrade" -b "$(bin_of "$1")" -B "$(bin_of "$2")" -d "$WORK/$1" -D "$WORK/$2" -U postgres -s "$WORK" "$3" >"$WORK/upgrade" 2>&1; then
    cat "$WORK/upgrade"; tail -n 40 "$WORK/$2"/pg_upgrade_output.d/*/log/*.log 2>/dev/null; die "pg_upgrade $1 to $2 failed"
  fi
  start "$2"
}

inside() {
  local major before seen findings
  for major in 15 17 18; do
    # the headers of 15 are not of C23, which this compiler takes by default
    COPT=-std=gnu17 PG_CONFIG=$(bin_of "$major")/pg_config bash "$ROOT/tools/setup.sh" >/dev/null || die "no build for $major"
  done
  private_dir
  openssl rand -base64 32 >"$WORK/key"
  chmod 600 "$WORK/key"
  [ -z "$RUN_AS" ] || chown "$RUN_AS" "$WORK/key"
  init 15
  start 15
  query 15 postgres -c 'CREATE ROLE fhir_owner; CREATE ROLE fhir_app' -c 'CREATE DATABASE fhir' || die 'no database'
  seen=$(query 15 fhir -f "$ROOT/test/upgrade/setup.sql") || { say "$seen"; die 'the set-up failed'; }
  refresh_token=$(tail -1 <<<"$seen")
  before=$(state 15 fhir)
  findings=$(doctor 15 fhir)
  grep -q '^sees 1 4 7$' <<<"$before" || die 'the set-up shows nothing'
  refresh 'a refresh token on 15' 15 fhir
  upgrade 15 17 --copy
  is 'pg_upgrade --copy 15 to 17: policies, indexes, issuers, clients, what a session sees' "$(state 17 fhir)" "$before"
  refresh 'a refresh token of 15 on 17' 17 fhir
  upgrade 17 18 --link
  is 'pg_upgrade --link 17 to 18' "$(state 18 fhir)" "$before"
  refresh 'a refresh token of 17 on 18' 18 fhir
  as_user "$(bin_of 18)/pg_dump" -h "$WORK" -U postgres -Fd -j 2 -f "$WORK/dump" fhir || die 'pg_dump failed'
  query 18 postgres -c 'CREATE DATABASE restored'
  is 'pg_restore -j says nothing' "$(as_user "$(bin_of 18)/pg_restore" -h "$WORK" -U postgres -j 2 -d restored "$WORK/dump" 2>&1)" ''
  is 'pg_dump -j, pg_restore -j on 18' "$(state 18 restored)" "$before"
  refresh 'a refresh token there' 18 restored
  is 'doctor() finds what it found' "$(doctor 18 fhir)" "$findings"
  stop 18
  say "$passed passed, $failed failed"
  [ "$failed" = 0 ]
}

# ---- outside ----

# unpack ROOT DISTRIBUTION PACKAGE...: into ROOT/srv/majors, from the mirror that the chroot uses
unpack() {
  local root=$1 distribution=$2 url
  shift 2
  [ -e "$root/srv/majors/.$distribution" ] && return
  say "unpacking $* of $distribution"
  url=$(awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^[a-z+]+:/) { print $i; exit } }' "$root/etc/apt/sources.list")
  mkdir -p "$root/srv/majors/$distribution"/{lists,cache}/partial
  echo "deb $url $distribution main" >"$root/srv/majors/$distribution/sources.list"
  chroot "$root" bash -c '
    set -e
    cd "/srv/majors/$0"
    apt() { apt-get -q -o Dir::Etc::SourceList="$PWD/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$PWD/lists" -o Dir::Cache="$PWD/cache" -o Acquire::Languages=none -o APT::Sandbox::User=root "$@"; }
    distribution=$0
    apt update
    apt download "$@"
    for package in *.deb; do dpkg-deb -x "$package" /srv/majors; done
    rm -rf lists cache *.deb' "$distribution" "$@" >"$root/srv/majors/$distribution.log" 2>&1 ||
    { tail -5 "$root/srv/majors/$distribution.log" >&2; die "packages of $distribution cannot be had"; }
  touch "$root/srv/majors/.$distribution"
}

outside() {
  root=${SMART_FHIR_MATRIX_DIR:-/var/tmp/smart_fhir-matrix}/sid
  [ "$(id -u)" = 0 ] || die 'chroot needs root'
  bash "$ROOT/test/matrix.sh" --prepare sid >/dev/null || die 'no chroot'
  exec 8>"${root%/*}/sid.lock"
  flock 8
  cp -f /etc/resolv.conf "$root/etc/resolv.conf"
  unpack "$root" bookworm postgresql-15 postgresql-client-15 postgresql-server-dev-15 libicu72 libldap-2.5-0 libxml2
  unpack "$root" trixie postgresql-17 postgresql-client-17 postgresql-server-dev-17 libicu76
  # libraries that sid has no more; those that it has stay its own
  for library in "$root"/srv/majors/usr/lib/*/lib*.so.*; do
    [ -e "$root/usr/lib/$(basename "$(dirname "$library")")/${library##*/}" ] || cp -a "$library" "$root/usr/lib/$(basename "$(dirname "$library")")/"
  done
  rm -rf "$root/srv/smart_fhir/upgrade"
  mkdir -p "$root/srv/smart_fhir/upgrade"
  RUN_AS='' copy_tree "$root/srv/smart_fhir/upgrade"
  (cd "$root/srv/smart_fhir/upgrade" && rm -rf build && find . -name '*.o' -delete -o -name '*.bc' -delete -o -name '*.so' -delete)
  mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
  mkdir -p "$root/dev/shm"
  mountpoint -q "$root/dev/shm" || mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
  trap 'umount -l "$root/proc" "$root/dev/shm" 2>/dev/null' EXIT
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb chroot "$root" bash /srv/smart_fhir/upgrade/test/upgrade.sh --inside
}

if [ "${1:-}" = --inside ]; then inside; else outside; fi
