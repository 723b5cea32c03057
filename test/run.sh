#!/usr/bin/env bash
# test/run.sh: everything: set up, build, pg_regress, isolation and TAP tests, on private clusters.
#
# The last line is "N passed, N failed"; one is counted for each pg_regress file, each isolation
# spec and each TAP assertion, and at least one failure for a step that broke. Nothing is left
# running. PGVERSION or PG_CONFIG picks the server, SMART_FHIR_DATA the shared vectors
# (default ../shared/data; tests that need them skip when they are not there), SUITES some of
# "sql isolation tap e2e", TAP some files of test/t; e2e, the demonstration in a browser, runs where Chromium is installed.
set -uo pipefail
. "$(dirname "$0")/../tools/lib.sh"

passed=0 failed=0
# has SUITE PATTERN: is it asked for, and are there files?
has() { [[ " ${SUITES:-sql isolation tap e2e} " = *" $1 "* ]] && compgen -G "$ROOT/$2" >/dev/null; }
finish() {
  printf '\n%d passed, %d failed\n' "$passed" "$failed"
  [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
  exit
}
section() { printf '\n== %s\n' "$*"; }

section set up
if ! WERROR=${WERROR-1} "$ROOT/tools/setup.sh"; then
  failed=1
  finish
fi
PG_CONFIG=$(find_pg_config) || exit 1
export PG_CONFIG
bindir=$("$PG_CONFIG" --bindir)
say "$("$PG_CONFIG" --version), libjwt $(pkg-config --modversion libjwt), $(openssl version | cut -d' ' -f1,2), $(gcc --version | sed -n 1p)"

if has tap 'test/oidc/package.json'; then
  command -v node >/dev/null && "$ROOT/tools/setup_node.sh" "$ROOT/test/oidc" || say 'left out: a real OpenID provider (Node.js or npm packages are not there)'
fi

private_dir
tree=$WORK/tree
copy_tree "$tree"
share_data
say "shared data: ${SMART_FHIR_DATA:-none}"
rm -rf "$ROOT/results" "$ROOT/tmp_check"

# regress KIND MAKE_VARIABLES...: one run of pg_regress or pg_isolation_regress, counted by its lines
regress() {
  local kind=$1 log ok not_ok status=0
  shift
  log=$WORK/$kind.out
  as_user env PATH="$bindir:$PATH" make -s -C "$tree" PG_CONFIG="$PG_CONFIG" "$@" installcheck >"$log" 2>&1 || status=$?
  cat "$log"
  # before 16: "test name ... ok", "... FAILED"; from 16: "ok 1 - name", "not ok 1 - name"
  ok=$(grep -cE '^(ok +[0-9]+ |(test)? *[^ ]+ +\.\.\. +ok)' "$log")
  not_ok=$(grep -cE '^(not ok +[0-9]+ |(test)? *[^ ]+ +\.\.\. +(FAILED|failed))' "$log")
  [ $status = 0 ] || [ "$not_ok" -gt 0 ] || not_ok=1
  passed=$((passed + ok)) failed=$((failed + not_ok))
  if [ $status != 0 ]; then
    mkdir -p "$ROOT/results"
    [ ! -s "$tree/regression.diffs" ] ||
      { cat "$tree/regression.diffs"; cp "$tree/regression.diffs" "$ROOT/results/$kind.diffs"; }
    cp "$WORK/regress.log" "$ROOT/results/" 2>/dev/null
  fi
  rm -f "$tree/regression.diffs"
}

if has sql 'test/sql/*.sql' || has isolation 'test/specs/*.spec'; then
  cluster_start regress 'max_prepared_transactions = 10' "log_statement = 'none'"
  if has sql 'test/sql/*.sql'; then
    section 'pg_regress'
    regress sql ISOLATION=
  fi
  if has isolation 'test/specs/*.spec'; then
    section 'isolation'
    regress isolation REGRESS=
  fi
  if grep -qE 'TRAP:|PANIC:|terminated by signal|runtime error:|terminating any other active' "$WORK/regress.log"; then
    say 'the server crashed:'
    grep -nE 'TRAP:|PANIC:|terminated by signal|runtime error:|terminating any other active' "$WORK/regress.log"
    failed=$((failed + 1))
  fi
  cluster_stop regress || failed=$((failed + 1))
fi

if has tap 'test/t/*.pl'; then
  section 'TAP'
  log=$WORK/tap.out
  status=0
  # shellcheck disable=SC2086 # several files
  as_user env -C "$tree" test/prove.sh ${TAP:-} >"$log" 2>&1 || status=$?
  cat "$log"
  # "Files=3, Tests=40, ..." counts assertions; the report has "(Wstat: .. Tests: 9 Failed: 1)" a
  # file, where a file that died or planned otherwise counts one
  read -r tap_run tap_failed < <(awk '
    /^Files=[0-9]+, Tests=[0-9]+/ { split($2, a, "="); tests = a[2] + 0 }
    /\(Wstat: .*Tests: [0-9]+ Failed: [0-9]+\)/ {
      f = $0; sub(/.*Failed: /, "", f); f += 0
      broken = ($0 !~ /\(Wstat: 0 /)
      asserts += f; failed += f > 0 ? f : broken; open = (f == 0 && !broken)
    }
    /^  Parse errors:/ && open { failed++; open = 0 }
    END { print tests - asserts, failed + 0 }' "$log")
  [ $status = 0 ] || [ "$tap_failed" -gt 0 ] || tap_failed=1
  passed=$((passed + tap_run)) failed=$((failed + tap_failed))
  if [ $status != 0 ] && [ -d "$tree/tmp_check/log" ]; then
    mkdir -p "$ROOT/tmp_check"
    cp -r "$tree/tmp_check/log" "$ROOT/tmp_check/"
    say 'server logs and test output: tmp_check/log'
  fi
fi
if has e2e 'test/e2e.sh'; then
  section 'end to end'
  if command -v chromium >/dev/null && "$ROOT/tools/setup_node.sh" "$ROOT/demo/app" "$ROOT/test/e2e"; then
    log=$WORK/e2e.out
    "$ROOT/test/e2e.sh" >"$log" 2>&1
    status=$?
    cat "$log"
    e2e_passed=$(grep -c '^ok ' "$log") e2e_failed=$(grep -c '^not ok' "$log")
    [ $status = 0 ] || [ "$e2e_failed" -gt 0 ] || e2e_failed=1
    passed=$((passed + e2e_passed)) failed=$((failed + e2e_failed))
  else
    say 'left out: Chromium, Node.js or the npm packages are not there (test/e2e.sh installs them)'
  fi
fi
finish
