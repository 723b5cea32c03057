#!/usr/bin/env bash
# openid-client 6.9.0: discovery() with the address of a SMART server's .well-known/smart-configuration refuses a document that SMART App Launch allows:
# `issuer` is required there only with the capability sso-openid-connect (conformance.html). Given the FHIR base address it asks openid-configuration,
# or RFC 8414's address, never smart-configuration.
# For a server: name `issuer` in smart-configuration always (ours does), or serve openid-configuration beside it.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --no-audit --no-fund --ignore-scripts --save-exact --loglevel=error openid-client@6.9.0 >/dev/null
cat > probe.mjs <<'JS'
import http from 'node:http';
import * as client from 'openid-client';
const asked = [];
const server = http.createServer((request, response) => {
  const base = `http://127.0.0.1:${server.address().port}`;
  asked.push(request.url);
  const document = { authorization_endpoint: `${base}/authorize`, token_endpoint: `${base}/token`, grant_types_supported: ['authorization_code'],
    code_challenge_methods_supported: ['S256'], capabilities: ['launch-standalone', 'client-public'] };
  if (request.url.startsWith('/sso')) document.issuer = `${base}/sso`;
  const found = request.url.endsWith('smart-configuration');
  response.writeHead(found ? 200 : 404, { 'content-type': 'application/json' });
  response.end(JSON.stringify(found ? document : {}));
}).listen(0, '127.0.0.1', async () => {
  for (const path of ['/fhir', '/fhir/.well-known/smart-configuration', '/sso/.well-known/smart-configuration']) {
    asked.length = 0;
    try {
      await client.discovery(new URL(`http://127.0.0.1:${server.address().port}${path}`), 'app', undefined, client.None(), { execute: [client.allowInsecureRequests] });
      console.log(path, 'accepted');
    } catch (error) { console.log(path, 'refused,', error.code, 'after', asked.join(' ')); }
  }
  server.closeAllConnections(); server.close();
});
JS
seen=$(node probe.mjs)
expected='/fhir refused, OAUTH_RESPONSE_IS_NOT_CONFORM after /fhir/.well-known/openid-configuration
/fhir/.well-known/smart-configuration refused, OAUTH_INVALID_RESPONSE after /fhir/.well-known/smart-configuration
/sso/.well-known/smart-configuration accepted'
if [ "$seen" = "$expected" ]; then echo "as recorded"; else printf "changed\n--- recorded\n%s\n--- seen\n%s\n" "$expected" "$seen"; exit 1; fi
