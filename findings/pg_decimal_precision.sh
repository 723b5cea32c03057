#!/usr/bin/env bash
# npm pg 8.23.1 on jsonb: FHIR's decimals carry their precision (R4 datatypes.html, decimal: 1.50 is not 1.5, and SHALL be kept).
# jsonb keeps 1.50 (PostgreSQL documentation, 8.14: trailing fractional zeroes); pg hands a jsonb column to JSON.parse(), so that a server which sends the row on as it got it tells 1.5, and a
# laboratory's 5.0 becomes 5. Read as text (resource::text) it stays.
# For a server: select the resource as text and send that; write the body's own text through $1::text::jsonb.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --no-audit --no-fund --ignore-scripts --save-exact --loglevel=error pg@8.23.1 >/dev/null
cat > probe.cjs <<'JS'
const { types } = require('pg');
const wire = '{"value": 1.50, "high": 5.0}';           // as a jsonb column comes over the wire
console.log('as jsonb:', JSON.stringify(types.getTypeParser(3802)(wire)));
console.log('as text:', types.getTypeParser(25)(wire));
JS
seen=$(node probe.cjs)
expected='as jsonb: {"value":1.5,"high":5}
as text: {"value": 1.50, "high": 5.0}'
if [ "$seen" = "$expected" ]; then echo "as recorded"; else printf "changed\n--- recorded\n%s\n--- seen\n%s\n" "$expected" "$seen"; exit 1; fi
