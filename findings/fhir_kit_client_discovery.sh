#!/usr/bin/env bash
# fhir-kit-client 2.0.3: smartAuthMetadata() asks smart-configuration, /metadata and openid-configuration at once and takes whichever answers
# first. A CapabilityStatement without the oauth-uris extension (SMART App Launch 2.x tells clients to read smart-configuration; the extension is
# optional) that answers first gives an empty object, though smart-configuration names both endpoints. Where it wins, and what of it survives, is only
# three addresses: no code_challenge_methods_supported, introspection_endpoint or issuer.
# For a server: answer smart-configuration from memory, faster than /metadata, or keep the oauth-uris extension in the CapabilityStatement.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --no-audit --no-fund --ignore-scripts --save-exact --loglevel=error fhir-kit-client@2.0.3 >/dev/null
cat > probe.mjs <<'JS'
import http from 'node:http';
import { Client } from 'fhir-kit-client';
for (const slow of ['metadata', 'smart-configuration']) {
  const server = http.createServer((request, response) => {
    const answer = request.url.endsWith('/metadata')
      ? { resourceType: 'CapabilityStatement', status: 'active', kind: 'instance', fhirVersion: '4.0.1', format: ['json'], rest: [{ mode: 'server' }] }
      : request.url.endsWith('/smart-configuration')
        ? { authorization_endpoint: 'https://as.example/authorize', token_endpoint: 'https://as.example/token', code_challenge_methods_supported: ['S256'], capabilities: ['launch-ehr'] }
        : null;
    setTimeout(() => {
      response.writeHead(answer ? 200 : 404, { 'content-type': 'application/json' });
      response.end(JSON.stringify(answer ?? {}));
    }, request.url.endsWith(slow) ? 1000 : 0);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const found = await new Client({ baseUrl: `http://127.0.0.1:${server.address().port}/fhir` }).smartAuthMetadata();
  console.log(`${slow} slower: ${Object.keys(found).filter((name) => found[name]).join(' ') || 'nothing'}`);
  server.closeAllConnections(); server.close();
}
JS
seen=$(node probe.mjs)
expected='metadata slower: authorizeUrl tokenUrl
smart-configuration slower: nothing'
if [ "$seen" = "$expected" ]; then echo "as recorded"; else printf "changed\n--- recorded\n%s\n--- seen\n%s\n" "$expected" "$seen"; exit 1; fi
