#!/usr/bin/env bash
# tools/rules.sh RULES: rules of sections 6 to 11 of a rules file (smart-rules.md) that no test names.
#
# A rule is named by "**XX-1**" at the beginning of its line there; a test names it in a comment, alone
# ("RF-3") or in a range ("CA-1 to CA-9", "WK-1 to WK-6"). Prints a rule a line with its beginning;
# exit status 1 when there is one that tools/rules.untested does not explain.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

rules=${1:-${SMART_FHIR_RULES:-$ROOT/../shared/reference/smart-rules.md}}
[ -r "$rules" ] || die "no rules at $rules"

# every name in test/, ranges spelled out
named=$(grep -rhoE '[A-Z]{2}-[0-9]+(( to |-)[A-Z]{2}-[0-9]+)?' "$ROOT/test" | sort -u | awk '
  match($0, / to /) {
    split($0, ends, " to "); split(ends[1], a, "-"); split(ends[2], b, "-")
    if (a[1] == b[1]) { for (i = a[2]; i <= b[2]; i++) print a[1] "-" i; next }
  }
  { print }' | sort -u)
explained=$(sed -n 's/^\([A-Z]*-[0-9]*\) .*/\1/p' "$ROOT/tools/rules.untested")

status=0
while IFS= read -r line; do
  rule=$(sed -n 's/^- \*\*\([A-Z]*-[0-9]*\)\*\*.*/\1/p' <<<"$line")
  [ -n "$rule" ] || continue
  grep -qx "$rule" <<<"$named" && continue
  if grep -qx "$rule" <<<"$explained"; then
    grep "^$rule " "$ROOT/tools/rules.untested"
    continue
  fi
  printf '%s has no test: %.100s\n' "$rule" "$line"
  status=1
done < <(awk '/^## /{on = $2 + 0 >= 6 && $2 + 0 <= 11} on' "$rules")
exit $status
