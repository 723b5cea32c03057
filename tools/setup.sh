#!/usr/bin/env bash
# tools/setup.sh [--packages]: makes a Debian 12, 13 or sid machine ready, builds and installs.
#
# Installs the packages that are missing (asks nothing, and asks apt nothing when none is), builds
# the extension and installs it into the PostgreSQL that tools/lib.sh finds. Runs as root, or as an
# ordinary user with sudo, which is used for the two installations only. PGVERSION picks a major
# version, PG_CONFIG an installation of your own, WERROR=1 makes warnings errors; COPT are
# further compiler flags. --packages stops before the build.
#
# Creates no cluster and starts no server; clusters that exist are neither started nor stopped.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
may_be_root() {
  [ -z "$sudo" ] || command -v sudo >/dev/null ||
    die "$1; run as root, or install sudo"
}

packaged() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# The major version to install: $PGVERSION, or the distribution's own.
distribution_version() {
  apt-cache show postgresql 2>/dev/null | sed -n 's/^Depends:.*postgresql-\([0-9]*\).*/\1/p' | head -1
}

missing_packages() {
  local package
  for package in gcc make libc6-dev libssl-dev libjwt-dev libcurl4-openssl-dev openssl perl libipc-run-perl libio-socket-ssl-perl gzip; do
    packaged "$package" || echo "$package"
  done
  command -v pkg-config >/dev/null || echo pkgconf
}

missing_postgresql() {
  local version
  [ -z "${PG_CONFIG:-}" ] || return 0
  version=${PGVERSION:-}
  if [ -z "$version" ]; then
    version=$(ls -d /usr/lib/postgresql/*/bin/postgres 2>/dev/null | cut -d/ -f5 | sort -nr | head -1)
  fi
  if [ -z "$version" ]; then
    # nothing is installed: what the distribution has shows only after apt-get update
    echo postgresql-DISTRIBUTION postgresql-server-dev-DISTRIBUTION
    return
  fi
  for package in "postgresql-$version" "postgresql-server-dev-$version"; do
    packaged "$package" || echo "$package"
  done
}

# While apt runs: no cluster is created, and nothing of postgresql is started.
no_cluster=/etc/postgresql-common/createcluster.d/smart_fhir-setup.conf
no_start=/usr/sbin/policy-rc.d
made_no_start=
forbid_servers() {
  $sudo mkdir -p "${no_cluster%/*}"
  echo 'create_main_cluster = off' | $sudo tee "$no_cluster" >/dev/null
  if [ ! -e "$no_start" ]; then
    made_no_start=1
    printf '#!/bin/sh\nfor a; do case "$a" in postgresql*) exit 101;; esac; done\nexit 0\n' |
      $sudo tee "$no_start" >/dev/null
    $sudo chmod 755 "$no_start"
  fi
}
allow_servers() {
  $sudo rm -f "$no_cluster"
  [ -z "$made_no_start" ] || $sudo rm -f "$no_start"
}

apt_get() {
  local log
  log=$(mktemp)
  if ! $sudo env DEBIAN_FRONTEND=noninteractive APT_LISTCHANGES_FRONTEND=none \
      apt-get -y -q -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 "$@" </dev/null >"$log" 2>&1; then
    cat "$log" >&2
    rm -f "$log"
    die "apt-get $1 failed"
  fi
  rm -f "$log"
}

install_packages() {
  local packages
  if ! command -v apt-get >/dev/null; then
    echo 'setup.sh: not a Debian system; expecting PostgreSQL with its server headers, gcc, make,' \
      'OpenSSL, libjwt, libcurl, pkg-config and the Perl modules IPC::Run and IO::Socket::SSL to be there' >&2
    return
  fi
  packages=$(missing_packages; missing_postgresql)
  [ -n "$packages" ] || return 0
  may_be_root "packages are missing: $(echo $packages)"
  echo "installing $(echo $packages | sed 's/-DISTRIBUTION//g')" >&2
  apt_get update
  case $packages in
    *DISTRIBUTION*)
      local version
      version=$(distribution_version)
      [ -n "$version" ] || die 'this distribution has no package postgresql'
      packages=${packages//DISTRIBUTION/$version} ;;
  esac
  trap allow_servers EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  forbid_servers
  # --no-upgrade: an installed server stays the version that it is
  apt_get install --no-install-recommends --no-upgrade $packages
  allow_servers
  trap - EXIT INT TERM HUP
}

# make clean when the objects in the tree are of another server or other flags.
build() {
  local stamp clang make
  make="make -s -C $ROOT PG_CONFIG=$PG_CONFIG"
  # a server built with LLVM wants bitcode; without its clang, do without (JIT does not inline us)
  clang=$(sed -n 's/^CLANG *= *//p' "$(dirname "$("$PG_CONFIG" --pgxs)")/../Makefile.global")
  [ -n "$clang" ] && command -v "$clang" >/dev/null || make="$make with_llvm=no"
  stamp="$("$PG_CONFIG" --version) $PG_CONFIG ${COPT:-} ${CC:-}"
  mkdir -p "$ROOT/build"
  if [ "$(cat "$ROOT/build/stamp" 2>/dev/null)" != "$stamp" ]; then
    $make clean >/dev/null
    echo "$stamp" >"$ROOT/build/stamp"
  fi
  $make -j"$(nproc)" ${WERROR:+WERROR=1} ${CC:+CC="$CC"} all

  if ! installed; then
    if [ -w "$("$PG_CONFIG" --pkglibdir)" ]; then
      $make install >/dev/null
    else
      may_be_root "no permission to write to $("$PG_CONFIG" --pkglibdir)"
      $sudo env COPT="${COPT:-}" $make install >/dev/null
    fi
  fi
}

# Is what was built what is installed?
installed() {
  local share lib file
  share=$("$PG_CONFIG" --sharedir)/extension
  lib=$("$PG_CONFIG" --pkglibdir)
  file=$ROOT/programs/smart_fhir_keys/smart_fhir_keys
  [ ! -e "$file" ] || cmp -s "$file" "$("$PG_CONFIG" --bindir)/${file##*/}" || return 1
  cmp -s "$ROOT/smart_fhir.so" "$lib/smart_fhir.so" &&
    for file in "$ROOT"/smart_fhir{,_oauth}.control "$ROOT"/smart_fhir{,_oauth}--*.sql; do
      cmp -s "$file" "$share/${file##*/}" || return 1
    done
}

install_packages
[ "${1:-}" != --packages ] || exit 0
PG_CONFIG=$(find_pg_config) || die 'no PostgreSQL server with its development files was found'
build
