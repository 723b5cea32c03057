#!/usr/bin/env bash
# fhirpath 5.2.2 (the FHIRPath engine in JavaScript): R4's own search parameters name a record's patient by `subject.where(resolve() is Patient)`
# (SearchParameter clinical-patient and some 60 more). With the default options the engine refuses each of them, since resolve() may fetch; with
# { async: true } it refuses as long as no server is named, and with one it fetches each patient, though the reference itself says Patient/.
# For a server: expect a GET a reference from such a client. The type of a literal reference is in its text (R4 references.html); ours reads it there.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --no-audit --no-fund --ignore-scripts --save-exact --loglevel=error fhirpath@5.2.2 >/dev/null
cat > probe.cjs <<'JS'
const http = require('http');
const fhirpath = require('fhirpath');
const r4 = require('fhirpath/fhir-context/r4');
const record = { resourceType: 'CarePlan', status: 'active', intent: 'plan', subject: { reference: 'Patient/p1' } };
const asked = [];
const attempt = async (name, expression, options) => {
  try { console.log(name, JSON.stringify(await fhirpath.evaluate(record, expression, {}, r4, options))); } catch (error) { console.log(name, 'refused'); }
};
const server = http.createServer((request, response) => {
  asked.push(`${request.method} ${request.url}`);
  response.writeHead(200, { 'content-type': 'application/fhir+json' });
  response.end(JSON.stringify({ resourceType: 'Patient', id: 'p1' }));
}).listen(0, '127.0.0.1', async () => {
  const resolve = 'CarePlan.subject.where(resolve() is Patient)';
  await attempt('default:', resolve, {});
  await attempt('async:', resolve, { async: true });
  await attempt('async, with a server:', resolve, { async: true, fhirServerUrl: `http://127.0.0.1:${server.address().port}/fhir` });
  await attempt('by its text:', "CarePlan.subject.where(reference.startsWith('Patient/'))", {});
  console.log('asked', asked.join(' '));
  server.closeAllConnections(); server.close();
});
JS
seen=$(node probe.cjs 2>/dev/null)
expected='default: refused
async: refused
async, with a server: [{"reference":"Patient/p1"}]
by its text: [{"reference":"Patient/p1"}]
asked GET /fhir/Patient/p1'
if [ "$seen" = "$expected" ]; then echo "as recorded"; else printf "changed\n--- recorded\n%s\n--- seen\n%s\n" "$expected" "$seen"; exit 1; fi
