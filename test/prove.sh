#!/usr/bin/env bash
# test/prove.sh [FILE...]: TAP tests with PostgreSQL::Test::Cluster, each on clusters of its own.
#
# Without FILE, all of test/t. PG_CONFIG picks the installation, JOBS how many files run at once,
# PROVE_FLAGS goes to prove. As root the files run as user postgres in a copy of the tree. What
# the servers logged stays in tmp_check/ when a file fails.
set -euo pipefail
. "$(dirname "$0")/../tools/lib.sh"
PG_CONFIG=$(find_pg_config) || die 'no PostgreSQL server was found; run tools/setup.sh'
export PG_CONFIG

pgxs=$(dirname "$("$PG_CONFIG" --pgxs)")/../..
perl_dir=$pgxs/src/test/perl
[ -f "$perl_dir/PostgreSQL/Test/Cluster.pm" ] ||
  die "no PostgreSQL::Test::Cluster in $perl_dir; install PostgreSQL's development package"
perl -MIPC::Run -e1 2>/dev/null || die 'the Perl module IPC::Run is missing (libipc-run-perl)'

# as root: as somebody else, in a copy that this user can read
if [ "$(id -u)" = 0 ]; then
  private_dir
  copy_tree "$WORK/tree"
  share_data
  files=()
  for file; do
    file=$(realpath --relative-to="$ROOT" "$file")
    files+=("$file")
  done
  status=0
  as_user env -C "$WORK/tree" test/prove.sh "${files[@]}" || status=$?
  if [ $status != 0 ] && [ -d "$WORK/tree/tmp_check" ]; then
    rm -rf "$ROOT/tmp_check"
    mkdir "$ROOT/tmp_check"
    cp -r "$WORK/tree/tmp_check/log" "$ROOT/tmp_check/" 2>/dev/null || true
  fi
  exit $status
fi

cd "$ROOT"
if [ $# = 0 ]; then
  set -- test/t/*.pl
  [ -e "$1" ] || { echo 'Files=0, Tests=0'; exit 0; }
fi
rm -rf tmp_check
mkdir -p tmp_check/log
export PATH="$("$PG_CONFIG" --bindir):$PATH"
export PERL5LIB="$perl_dir:$ROOT/test/t${PERL5LIB:+:$PERL5LIB}"
export PG_REGRESS=$pgxs/src/test/regress/pg_regress
export TESTDIR=$ROOT TESTDATADIR=$ROOT/tmp_check TESTLOGDIR=$ROOT/tmp_check/log
export PGPORT=$((20000 + $$ % 20000))
exec prove --timer --jobs "${JOBS:-2}" ${PROVE_FLAGS:-} "$@"
