#!/usr/bin/env bash
# test/matrix.sh [--prepare] [SUITE...]: test/run.sh in chroots of other Debian releases.
#
# By hand, as root, with debootstrap: trixie has PostgreSQL 17, libjwt 1.17 and OpenSSL 3.5; sid
# has PostgreSQL 18; experimental is sid with the PostgreSQL 19 of the suite experimental; bookworm
# is PostgreSQL 15 without the security archive: the oldest minor release that a suite carries.
# The chroots are kept for the next run in $SMART_FHIR_MATRIX_DIR (default
# /var/tmp/smart_fhir-matrix), made from the mirror that this machine's own apt sources name.
# --prepare makes them and installs the packages, no more. Output goes to MATRIX_DIR/SUITE.log;
# the table at the end has one line a suite. Mounts are undone on every way out; a chroot is used by
# one run at a time, others wait. SUITES picks a part, as for test/run.sh.
set -uo pipefail
. "$(dirname "$0")/../tools/lib.sh"
[ "$(id -u)" = 0 ] || die 'debootstrap and chroot need root'
command -v debootstrap >/dev/null || die 'debootstrap is missing'

prepare_only=
[ "${1:-}" = --prepare ] && { prepare_only=1; shift; }
[ $# -gt 0 ] || set -- trixie sid experimental
dir=${SMART_FHIR_MATRIX_DIR:-/var/tmp/smart_fhir-matrix}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

# The first mirror of this machine's own sources, in either format; security archives left out.
mirror() {
  cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
    sed -nE 's/^deb +(\[[^]]*\] +)?([a-z+]+:[^ ]+) .*/\2/p; s/^URIs: *([^ ]+).*/\1/p' |
    grep -E '/debian/?$' | head -1
}

mounted=()
unmount_all() {
  local i
  for ((i = ${#mounted[@]} - 1; i >= 0; i--)); do
    umount "${mounted[i]}" 2>/dev/null || umount -l "${mounted[i]}"
  done
  mounted=()
}
trap unmount_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
mount_in() {
  mountpoint -q "$1/proc" || { mount -t proc proc "$1/proc" && mounted+=("$1/proc"); }
  mkdir -p "$1/dev/shm"
  mountpoint -q "$1/dev/shm" || { mount -t tmpfs -o mode=1777 tmpfs "$1/dev/shm" && mounted+=("$1/dev/shm"); }
}

in_chroot() {
  local root=$1
  shift
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb \
    ${SUITES:+SUITES="$SUITES"} ${version:+PGVERSION="$version"} chroot "$root" "$@"
}

# The suite that a chroot starts from, and the major version that is not its distribution's own.
base_of() { [ "$1" = experimental ] && echo sid || echo "$1"; }
version_of() { [ "$1" != experimental ] || echo 19; }

# Packages of that version's source come from experimental, all else stays sid's.
add_experimental() {
  echo "deb $2 experimental main" >"$1/etc/apt/sources.list.d/experimental.list"
  printf 'Package: src:postgresql-19\nPin: release a=experimental\nPin-Priority: 500\n' \
    >"$1/etc/apt/preferences.d/postgresql-19"
}

make_chroot() {
  local suite=$1 root=$dir/$1 url
  [ -d "$root/usr" ] && return
  url=$(mirror)
  [ -n "$url" ] || die "no mirror in this machine's apt sources"
  say "making $root"
  rm -rf "$root.part"
  debootstrap --variant=minbase "$(base_of "$suite")" "$root.part" "$url" >"$dir/$suite.debootstrap.log" 2>&1 ||
    { tail -5 "$dir/$suite.debootstrap.log" >&2; return 1; }
  # a mirror may lag behind the week for which sid's index says it is valid
  echo 'Acquire::Check-Valid-Until "false";' >"$root.part/etc/apt/apt.conf.d/90smart_fhir-matrix"
  [ "$suite" != experimental ] || add_experimental "$root.part" "$url"
  mv "$root.part" "$root"
}

copy_in() {
  local root=$1 data=${SMART_FHIR_DATA:-$ROOT/../shared/data}
  rm -rf "$root/srv/smart_fhir"
  mkdir -p "$root/srv/smart_fhir/clone" "$root/srv/smart_fhir/shared"
  RUN_AS='' copy_tree "$root/srv/smart_fhir/clone"
  # what this machine built is of no use there
  (cd "$root/srv/smart_fhir/clone" &&
    find src -name '*.o' -delete -o -name '*.bc' -delete -o -name '*.d' -delete; rm -f smart_fhir.so smart_fhir--*.sql && rm -rf build)
  [ ! -d "$data" ] || cp -r "$data" "$root/srv/smart_fhir/shared/data"
}

table=()
worst=0
for suite; do
  root=$dir/$suite log=$dir/$suite.log version=$(version_of "$suite")
  exec 8>"$dir/$suite.lock"
  flock 8
  started=$SECONDS
  cp -f /etc/resolv.conf "$dir/resolv.conf" 2>/dev/null
  if ! make_chroot "$suite"; then
    table+=("$(printf '%-12s %-16s %s' "$suite" - 'debootstrap failed')")
    worst=1
    continue
  fi
  cp -f "$dir/resolv.conf" "$root/etc/resolv.conf"
  mount_in "$root"
  copy_in "$root"
  if [ -n "$prepare_only" ]; then
    in_chroot "$root" /srv/smart_fhir/clone/tools/setup.sh --packages 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    summary=$([ "$status" = 0 ] && echo prepared || echo 'packages failed')
  else
    # what a test needs where the suite has it: psql's OAuth flow
    in_chroot "$root" bash -c 'export DEBIAN_FRONTEND=noninteractive
      [ -n "$(apt-cache policy libpq-oauth 2>/dev/null)" ] || apt-get -q update >/dev/null 2>&1
      ! apt-cache show libpq-oauth >/dev/null 2>&1 || apt-get -y -q install --no-install-recommends libpq-oauth' >"$log.packages" 2>&1
    say "== $suite: $log"
    in_chroot "$root" bash /srv/smart_fhir/clone/test/run.sh >"$log" 2>&1
    status=$?
    summary=$(tail -1 "$log")
    [ $status = 0 ] || { worst=1; tail -60 "$log"; }
  fi
  [ "$status" = 0 ] || worst=1
  server=$(in_chroot "$root" bash -c "ls /usr/lib/postgresql | sort -n | tail -1")
  libjwt=$(in_chroot "$root" pkg-config --modversion libjwt 2>/dev/null)
  openssl=$(in_chroot "$root" openssl version 2>/dev/null | cut -d' ' -f2)
  table+=("$(printf '%-12s %-11s %-7s %-8s %4d s  %s' "$suite" "$server" "$libjwt" "$openssl" \
    $((SECONDS - started)) "$summary")")
  unmount_all
done
printf '\n%-12s %-11s %-7s %-8s %6s  %s\n' suite PostgreSQL libjwt OpenSSL time result
printf '%s\n' "${table[@]}"
exit $worst
