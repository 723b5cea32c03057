#!/usr/bin/env bash
# tools/doctor.sh [PSQL OPTION...]: what smart.doctor() finds, for a CI job: exits 1 on a finding of
# severity warning or worse, 2 when it could not be asked. Connects as psql does (PGHOST, -d, ...).
set -uo pipefail
findings=$(psql -X -q -v ON_ERROR_STOP=1 -A -F '	' -t "$@" \
  -c 'SELECT severity, code, object, problem, remedy FROM smart.doctor()') || exit 2
[ -z "$findings" ] || printf '%s\n' "$findings"
! grep -qE '^(warning|critical)	' <<<"$findings"
