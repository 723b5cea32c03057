#!/usr/bin/env bash
# tools/valgrind.sh: pg_regress with the server under valgrind (SUITES picks others). By hand: some
# twenty times slower. Reports count when a frame of theirs is in smart_fhir.so.
set -uo pipefail
. "$(dirname "$0")/lib.sh"
command -v valgrind >/dev/null || die 'valgrind is missing'
PG_CONFIG=$(find_pg_config) || die 'no PostgreSQL server was found; run tools/setup.sh'
private_dir
private_installation
fresh_tree
share_data
reports=$WORK/reports
mkdir "$reports"
chmod 1777 "$reports"
# bootstrap and single-user runs of initdb go without
wrap_server "case \"\$1\" in --boot|--single|--check) exec -a \"\$0\" \"\$server\" \"\$@\";; esac
exec valgrind -q --leak-check=no --error-limit=no --track-origins=yes --num-callers=24 \\
  --log-file=$reports/%p.log \"\$server\" \"\$@\""
COPT='-O1 -g' WERROR='' SUITES=${SUITES:-sql} bash "$WORK/tree/test/run.sh"
status=$?
[ $status = 0 ] || keep_results
# one report is a block of lines "==PID== ..." that ends with an empty one
ours=$(cat "$reports"/*.log 2>/dev/null | awk '
  { line = $0; sub(/^==[0-9]+== ?/, "", line) }
  line == "" { if (block ~ /smart_fhir\.so|tree\/src\//) print block; block = ""; next }
  { block = block line "\n" }
  END { if (block ~ /smart_fhir\.so/) print block }')
if [ -n "$ours" ]; then
  say "$ours"
  status=1
else
  say 'valgrind: nothing in smart_fhir'
fi
exit $status
