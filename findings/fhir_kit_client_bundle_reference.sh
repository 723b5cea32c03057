#!/usr/bin/env bash
# fhir-kit-client 2.0.3: resolve({ reference, context: bundle }) makes a regular expression of the reference. FHIR ids may hold dots (R4 datatypes,
# id: [A-Za-z0-9\-\.]{1,64}), and a dot then stands for any character: the reference Patient/a.b is answered with Patient/a-b when that entry
# comes first in the Bundle, that is, with another patient.
# For a server: the database decides by the whole id, so the other patient is in a Bundle only where the session may see both. Ids without dots avoid it.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --no-audit --no-fund --ignore-scripts --save-exact --loglevel=error fhir-kit-client@2.0.3 >/dev/null
cat > probe.mjs <<'JS'
import { Client } from 'fhir-kit-client';
const entry = (id) => ({ fullUrl: `https://ehr.example/fhir/Patient/${id}`, resource: { resourceType: 'Patient', id } });
const client = new Client({ baseUrl: 'https://ehr.example/fhir' });
for (const ids of [['a.b', 'a-b'], ['a-b', 'a.b']]) {
  const context = { resourceType: 'Bundle', type: 'collection', entry: ids.map(entry) };
  console.log(`${ids.join(', ')}: Patient/a.b is ${(await client.resolve({ reference: 'Patient/a.b', context })).id}`);
}
JS
seen=$(node probe.mjs)
expected='a.b, a-b: Patient/a.b is a.b
a-b, a.b: Patient/a.b is a-b'
if [ "$seen" = "$expected" ]; then echo "as recorded"; else printf "changed\n--- recorded\n%s\n--- seen\n%s\n" "$expected" "$seen"; exit 1; fi
