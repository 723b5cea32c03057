#!/usr/bin/env bash
# tools/rules.sh [--list] [RULES]: rules of sections 6 to 11 of a rules file (smart-rules.md) that no test names; --list: all, each with
# the tests that name it.
#
# A rule is named by "**XX-1**" at the beginning of its line there. A test names it by itself ("RF-3"), beside what it tests: a range
# ("CA-1 to CA-9") and the comment at a file's head do not count, since nothing shows that each of it is there.
# Exit status 1 when there is a rule without a test that tools/rules.untested does not explain, and when that explains one that has a test.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

list=
if [ "${1:-}" = --list ]; then
  list=1
  shift
fi
rules=${1:-${SMART_FHIR_RULES:-$ROOT/../shared/reference/smart-rules.md}}
[ -r "$rules" ] || die "no rules at $rules"

# RULE FILE:LINE, of each test; ranges taken out, and what precedes a file's first line that is no comment
named=$(cd "$ROOT" && find test -name node_modules -prune -o -type f \( -name '*.sql' -o -name '*.pl' -o -name '*.spec' -o -name '*.mjs' \) -print | sort | xargs awk '
  FNR == 1 { head = 1 }
  head && /^(--|#|\/\/)/ { next }
  { head = 0; gsub(/[A-Z][A-Z]-[0-9]+ (to|bis) [A-Z][A-Z]-[0-9]+/, "") }
  {
    while (match($0, /[A-Z][A-Z]-[0-9]+/)) {
      rule = substr($0, RSTART, RLENGTH)
      $0 = substr($0, RSTART + RLENGTH)
      print rule, FILENAME ":" FNR
    }
  }' | sort -u)

status=0
while IFS= read -r line; do
  rule=$(sed -n 's/^- \*\*\([A-Z]*-[0-9]*\)\*\*.*/\1/p' <<<"$line")
  [ -n "$rule" ] || continue
  tests=$(sed -n "s/^$rule //p" <<<"$named" | tr '\n' ' ')
  explained=$(grep "^$rule " "$ROOT/tools/rules.untested" || true)
  if [ -n "$tests" ]; then
    [ -z "$list" ] || echo "$rule $tests"
    if [ -n "$explained" ]; then
      echo "$rule has a test, and tools/rules.untested says why not: ${tests%% *}"
      status=1
    fi
  elif [ -n "$explained" ]; then
    echo "$explained"
  else
    printf '%s has no test: %.100s\n' "$rule" "$line"
    status=1
  fi
done < <(awk '/^## /{on = $2 + 0 >= 6 && $2 + 0 <= 11} on' "$rules")
exit $status
