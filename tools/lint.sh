#!/usr/bin/env bash
# tools/lint.sh: gcc and clang with -Werror, each on a copy of the tree; then the order of the
# layers, clang-tidy, cppcheck and shellcheck where they are installed, and Perl's own syntax check. Fails when one complains.
set -uo pipefail
. "$(dirname "$0")/lib.sh"
PG_CONFIG=$(find_pg_config) || die 'no PostgreSQL server was found; run tools/setup.sh'
private_dir
fresh_tree
cd "$WORK/tree" || exit 1
shopt -s nullglob
failed=0
check() {
  local name=$1 log=$WORK/lint.log
  shift
  if "$@" >"$log" 2>&1; then
    say "ok      $name"
  else
    say "FAILED  $name"
    grep -v ' warnings generated\.$' "$log"
    failed=1
  fi
}

pg_version_num() { sed -n 's/^#define PG_VERSION_NUM //p' "$("$PG_CONFIG" --includedir-server)/pg_config.h"; }
includes="-Isrc -I$("$PG_CONFIG" --includedir-server) $(pkg-config --cflags libjwt libcrypto) -D_GNU_SOURCE"
version=$(sed -n "s/^default_version *= *'\(.*\)'/\1/p" smart_fhir.control)
define="-DSMART_FHIR_VERSION=\"$version\""
for compiler in gcc clang; do
  command -v $compiler >/dev/null || { say "absent  $compiler"; continue; }
  # the server's CFLAGS are gcc's: clang does not know all of them
  copt=
  [ $compiler = gcc ] || copt='-Wno-unknown-warning-option -Wno-ignored-optimization-argument -Wno-unused-command-line-argument -Wno-ignored-attributes'
  make -s PG_CONFIG="$PG_CONFIG" with_llvm=no clean >/dev/null
  check "$compiler -Werror" make -s -j"$(nproc)" PG_CONFIG="$PG_CONFIG" CC=$compiler COPT="$copt" WERROR=1 with_llvm=no all
done
# reads the objects that the last compiler made
check 'layers and circles' perl tools/check_layers.pl
if command -v clang-tidy >/dev/null; then
  check clang-tidy clang-tidy --quiet --warnings-as-errors='*' \
    --checks='-*,bugprone-*,clang-analyzer-*,-bugprone-easily-swappable-parameters,-bugprone-reserved-identifier,-bugprone-branch-clone,-bugprone-narrowing-conversions,-bugprone-implicit-widening-of-multiplication-result,-bugprone-sizeof-expression,-bugprone-macro-parentheses,-bugprone-assignment-in-if-condition,-bugprone-suspicious-include,-bugprone-signed-char-misuse,-bugprone-not-null-terminated-result,-clang-analyzer-security.insecureAPI.strcpy,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling,-clang-analyzer-core.StackAddressEscape,-clang-analyzer-optin.performance.Padding,-clang-analyzer-valist.Uninitialized' \
    src/*.c src/*/*.c programs/*/*.c -- -std=gnu11 $includes -I"$("$PG_CONFIG" --includedir)" "$define"
else
  say 'absent  clang-tidy'
fi
if command -v cppcheck >/dev/null; then
  check cppcheck cppcheck -q --std=c99 --language=c --enable=warning,portability --inline-suppr --error-exitcode=1 \
    --suppress=unknownMacro --suppress=missingInclude --suppress=nullPointerRedundantCheck \
    --suppress=nullPointerArithmeticRedundantCheck --suppress=ctunullpointer \
    -DPGDLLEXPORT= '-Dereport(...)=exit(1)' '-Delog(...)=exit(1)' -DPG_VERSION_NUM="$(pg_version_num)" "$define" -Isrc src programs
else
  say 'absent  cppcheck'
fi
if command -v shellcheck >/dev/null; then
  # what is sourced, and what is used by name only, shellcheck does not see
  scripts=(tools/*.sh test/*.sh demo/*.sh bench/*.sh fuzz/*.sh .ci/run)
  check shellcheck shellcheck -s bash -S warning -e SC1091,SC2034,SC2155,SC1007,SC2154 "${scripts[@]}"
else
  for script in tools/*.sh test/*.sh demo/*.sh bench/*.sh fuzz/*.sh .ci/run; do
    check "bash -n $script" bash -n "$script"
  done
fi
export PERL5LIB="$(dirname "$("$PG_CONFIG" --pgxs)")/../../src/test/perl:test/t"
for script in demo/*.pl test/t/*.pl tools/*.pl; do
  check "perl -c $script" perl -c "$script"
done
exit $failed
