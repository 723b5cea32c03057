#!/usr/bin/env bash
# test/core_regress.sh [SOURCE]: PostgreSQL's own regression suite, twice: without smart_fhir, and with it in
# shared_preload_libraries. What psql prints must be the same, byte for byte, in each test: hooks of a library that
# is loaded for everybody change nothing for a database that does not use it.
#
# By hand, a few minutes. SOURCE is an unpacked source tree of the server's major; without it the distribution's source
# package is fetched into a temporary folder (apt-get, with lists of its own: nothing is installed or configured).
# Where neither is to be had, it says "skipped". The two runs are compared with each other, so the minor release of the source need not be the server's.
# The last line is `N passed, N failed`, one a test of the suite.
set -uo pipefail
. "$(dirname "$0")/../tools/lib.sh"
PG_CONFIG=$(find_pg_config) || die 'no PostgreSQL server was found; run tools/setup.sh'
skip() { say "skipped: $*"; printf '\n0 passed, 0 failed\n'; exit 0; }

pg_regress=$(dirname "$("$PG_CONFIG" --pgxs)")/../test/regress/pg_regress
[ -x "$pg_regress" ] || skip "$pg_regress is not there"
private_dir
major=$("$PG_CONFIG" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')

# fetch_source: the newest source package of the major that can be had, its src/test/regress under WORK/source
fetch_source() {
  local version apt
  command -v apt-get >/dev/null || return 1
  mkdir -p "$WORK/apt/lists/partial" "$WORK/apt/archives/partial" "$WORK/source"
  apt-get indextargets --format "\$(ORIGIN)|deb-src \$(REPO_URI) \$(RELEASE) \$(COMPONENT)" 'Created-By: Packages' |
    sed -nE 's/^(Debian|Ubuntu|apt\.postgresql\.org)\|//p' | sort -u >"$WORK/apt/sources.list"
  apt=(-q -o "Dir::Etc::SourceList=$WORK/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$WORK/apt/lists"
    -o "Dir::Cache=$WORK/apt" -o APT::Sandbox::User=root)
  apt-get "${apt[@]}" update >"$WORK/apt/log" 2>&1
  for version in $(apt-cache "${apt[@]}" showsrc "postgresql-$major" 2>>"$WORK/apt/log" | sed -n 's/^Version: //p' | sort -rVu); do
    (cd "$WORK/apt" && apt-get "${apt[@]}" source --download-only "postgresql-$major=$version" >>log 2>&1) || continue
    say "source: postgresql-$major $version"
    tar -C "$WORK/source" --strip-components=1 --wildcards -xf "$WORK"/apt/postgresql-*.orig.tar.* '*/src/test/regress' && return
  done
  tail -3 "$WORK/apt/log"
  return 1
}

if [ $# -gt 0 ]; then
  [ -f "$1/src/test/regress/parallel_schedule" ] || die "no source tree of PostgreSQL: $1"
  mkdir -p "$WORK/source/src/test"
  cp -r "$1/src/test/regress" "$WORK/source/src/test/"
else
  fetch_source || skip "the source of postgresql-$major cannot be had"
fi
suite=$WORK/source/src/test/regress

private_installation
fresh_tree
pkglibdir=$("$PG_CONFIG" --pkglibdir)
make -s -C "$WORK/tree" PG_CONFIG="$PG_CONFIG" all install >"$WORK/make.log" 2>&1 || { cat "$WORK/make.log"; die 'the extension was not built'; }
# the C functions that the suite calls, and the two modules of contrib that it loads from the same folder
mkdir "$WORK/lib"
# shellcheck disable=SC2046 # several options
gcc $("$PG_CONFIG" --cppflags) $("$PG_CONFIG" --cflags) -w -fPIC -shared -I"$("$PG_CONFIG" --includedir-server)" "$suite/regress.c" -o "$WORK/lib/regress.so" ||
  die "the suite's regress.c was not built"
for module in autoinc refint; do [ ! -f "$pkglibdir/$module.so" ] || cp "$pkglibdir/$module.so" "$WORK/lib/"; done
[ -z "$RUN_AS" ] || chown -R "$RUN_AS" "$WORK/source" "$WORK/lib"

# run NAME [SETTING...]: the suite on a cluster of its own; its output to WORK/NAME.results. Both runs are in the same
# folder, since some tests print paths.
run() {
  local name=$1
  cluster_start "$@" 'max_prepared_transactions = 2' 'jit = off'
  as_user mkdir "$WORK/out"
  say "$name: shared_preload_libraries = '$(as_user "$bindir/psql" -XAtc 'SHOW shared_preload_libraries')'"
  as_user "$pg_regress" --bindir="$bindir" --inputdir="$suite" --outputdir="$WORK/out" --dlpath="$WORK/lib" --schedule="$suite/parallel_schedule" \
    --host="$PGHOST" --port="$PGPORT" --user=postgres --encoding=UTF8 --no-locale --max-connections=20 >"$WORK/$name.out" 2>&1
  say "$name: $(grep -cE '^(ok +[0-9]+ |(test|    )? *[^ ]+ +\.\.\. +ok)' "$WORK/$name.out") tests are as PostgreSQL's expected output has them"
  cluster_stop "$name" || failed=$((failed + 1))
  if grep -nE 'TRAP:|PANIC:|terminated by signal|terminating any other active' "$WORK/$name.log"; then failed=$((failed + 1)); fi
  mv "$WORK/out/results" "$WORK/$name.results"
  rm -rf "$WORK/out"
}

bindir=$("$PG_CONFIG" --bindir) passed=0 failed=0
run without
run with "shared_preload_libraries = 'smart_fhir'"

while read -r name; do
  if [ -s "$WORK/without.results/$name.out" ] && cmp -s "$WORK/without.results/$name.out" "$WORK/with.results/$name.out"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    say "not ok: $name"
    diff -u "$WORK/without.results/$name.out" "$WORK/with.results/$name.out" | head -40
  fi
done < <(sed -n 's/^test: *//p' "$suite/parallel_schedule" | xargs -n 1)
[ "$passed" -gt 0 ] || failed=$((failed + 1))
printf '\n%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
