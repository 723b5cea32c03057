#!/usr/bin/env bash
# fhirclient 2.6.3: request(url, { resolveReferences }) does not look into `contained`. A reference to a contained resource (#c1, R4 references.html)
# becomes a GET of the server's base address, and stays a reference when that gives nothing; references to other resources are resolved.
# For a server: expect GET of the bare base address from SMART apps; answer 404 as an OperationOutcome, and do not count it as abuse.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --no-audit --no-fund --ignore-scripts --save-exact --loglevel=error fhirclient@2.6.3 >/dev/null
cat > probe.cjs <<'JS'
const http = require('http');
const smart = require('fhirclient');
const resources = {
  '/fhir/Observation/o1': { resourceType: 'Observation', id: 'o1', contained: [{ resourceType: 'Practitioner', id: 'c1' }],
    subject: { reference: 'Patient/p1' }, performer: [{ reference: '#c1' }] },
  '/fhir/Patient/p1': { resourceType: 'Patient', id: 'p1' },
};
const asked = [];
const server = http.createServer((request, response) => {
  asked.push(request.url);
  const found = resources[request.url];
  response.writeHead(found ? 200 : 404, { 'content-type': 'application/fhir+json' });
  response.end(JSON.stringify(found ?? { resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'not-found' }] }));
}).listen(0, '127.0.0.1', async () => {
  console.log = () => {};
  const client = smart({ url: '/', headers: {} }, {}).client(`http://127.0.0.1:${server.address().port}/fhir`);
  const got = await client.request('Observation/o1', { resolveReferences: ['subject', 'performer'] });
  process.stdout.write(`asked ${asked.sort().join(' ')}\nsubject ${got.subject.resourceType ?? got.subject.reference}\nperformer ${got.performer[0].resourceType ?? got.performer[0].reference}\n`);
  server.closeAllConnections(); server.close();
});
JS
seen=$(node probe.cjs 2>/dev/null)
expected='asked /fhir/ /fhir/Observation/o1 /fhir/Patient/p1
subject Patient
performer #c1'
if [ "$seen" = "$expected" ]; then echo "as recorded"; else printf "changed\n--- recorded\n%s\n--- seen\n%s\n" "$expected" "$seen"; exit 1; fi
