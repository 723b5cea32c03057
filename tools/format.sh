#!/usr/bin/env bash
# tools/format.sh [--check]: clang-format over src/, programs/ and fuzz/, as .clang-format says; generated files
# are left alone. --check changes nothing and fails when something would change.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
command -v clang-format >/dev/null || die 'clang-format is missing'
cd "$ROOT"
mode=-i
[ "${1:-}" != --check ] || mode='--dry-run --Werror'
files=()
for file in src/*.[ch] src/*/*.[ch] programs/*/*.[ch] fuzz/*.[ch]; do
  [ -e "$file" ] || continue
  head -3 "$file" | grep -qi 'generated' || files+=("$file")
done
[ ${#files[@]} = 0 ] || clang-format $mode "${files[@]}"
