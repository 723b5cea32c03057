#!/usr/bin/env bash
# oidc-provider 9.13.3 with the client_credentials grant and a resource server that offers system/Observation.rs: a client asks for less,
# system/Observation.rs?category=laboratory (SMART App Launch 2.x), or for more, system/*.rs. Scopes are compared as whole strings, so neither is
# known, and both times the answer is 200 with a token that has no scope at all and an answer that has no `scope` member. RFC 6749 5.1 lets a server leave
# `scope` out only where it is what was asked for: the client believes it has it, and every request with the token is refused.
# For a server behind such a provider: list every granular scope literally; and refuse a token without scope with a reason (ours grants nothing, and explain() says so).
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
npm init -y >/dev/null
npm install --no-audit --no-fund --ignore-scripts --save-exact --loglevel=error oidc-provider@9.13.3 >/dev/null
cat > probe.mjs <<'JS'
import http from 'node:http';
import { Provider } from 'oidc-provider';
const offered = 'system/Observation.rs';
const secret = 'x'.repeat(32);
const provider = new Provider('http://127.0.0.1', {
  clients: [{ client_id: 'backend', client_secret: secret, grant_types: ['client_credentials'], redirect_uris: [], response_types: [] }],
  scopes: ['openid', offered],
  features: { devInteractions: { enabled: false }, clientCredentials: { enabled: true },
    resourceIndicators: { enabled: true, defaultResource: () => 'https://ehr.example/fhir', getResourceServerInfo: () => ({ scope: offered, accessTokenFormat: 'jwt' }) } },
});
const server = http.createServer(provider.callback()).listen(0, '127.0.0.1', async () => {
  for (const scope of [offered, `${offered}?category=laboratory`, 'system/*.rs']) {
    const answer = await fetch(`http://127.0.0.1:${server.address().port}/token`, { method: 'POST', body: new URLSearchParams({ grant_type: 'client_credentials', scope }),
      headers: { authorization: `Basic ${Buffer.from(`backend:${secret}`).toString('base64')}` } });
    const body = await answer.json();
    const claims = JSON.parse(Buffer.from(body.access_token.split('.')[1], 'base64url'));
    process.stdout.write(`${scope}: ${answer.status}, scope in the answer ${body.scope ?? 'absent'}, in the token ${claims.scope ?? 'absent'}\n`);
  }
  process.exit();
});
JS
seen=$(node probe.mjs 2>/dev/null | grep -v NOTICE)
expected='system/Observation.rs: 200, scope in the answer system/Observation.rs, in the token system/Observation.rs
system/Observation.rs?category=laboratory: 200, scope in the answer absent, in the token absent
system/*.rs: 200, scope in the answer absent, in the token absent'
if [ "$seen" = "$expected" ]; then echo "as recorded"; else printf "changed\n--- recorded\n%s\n--- seen\n%s\n" "$expected" "$seen"; exit 1; fi
