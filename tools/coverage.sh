#!/usr/bin/env bash
# tools/coverage.sh: which lines of src/ the tests run: a gcov build in a private copy of PostgreSQL,
# test/run.sh against it (SUITES picks), then the percentage of each file, worst first. The annotated
# sources go to build/coverage/.
set -uo pipefail
. "$(dirname "$0")/lib.sh"
PG_CONFIG=$(find_pg_config) || die 'no PostgreSQL server was found; run tools/setup.sh'
private_dir
private_installation
fresh_tree
share_data
# the server's user writes the counters beside the objects
COPT='--coverage -O0 -U_FORTIFY_SOURCE' WERROR='' bash "$WORK/tree/test/run.sh" | tail -1
status=${PIPESTATUS[0]}
cd "$WORK/tree" || exit 1
rm -rf "$ROOT/build/coverage"
mkdir -p "$ROOT/build/coverage"
for source in src/*.c src/*/*.c src/*/*/*.c; do gcov -p -o "${source%/*}" "$source" 2>/dev/null; done | awk '
  /^File / { file = $2; gsub(/\047/, "", file) }
  /^Lines executed:/ && file ~ /^src\// {
    split($0, a, /[:% ]+/); n = a[5] + 0; ran = a[3] * n / 100
    printf "%6.1f%%  %5d  %s\n", a[3], n, file; total += n; all += ran; file = ""
  }
  /^Lines executed:/ { file = "" }
  END { if (total) printf "%6.1f%%  %5d  all\n", 100 * all / total, total }' | sort -n
mv ./*.gcov "$ROOT/build/coverage/" 2>/dev/null
exit "$status"
