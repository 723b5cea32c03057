// test/oidc/provider.mjs DIRECTORY: an OpenID provider over TLS, with good.pem and good.key of the directory. Says its issuer, then
// obeys lines on its standard input: "keys NAME..." publishes keys of these names, the first of which signs; "token" gets one from its
// own token endpoint, as any client would, and prints it; the input's end ends it. Its
// answers begin with "answer: ": the provider says things of its own.
import { createServer, request } from 'node:https';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Provider } from 'oidc-provider';

const dir = process.argv[2];
const resource = 'https://fhir.example/r4';
const keys = {};
let answer;

const server = createServer({ cert: readFileSync(`${dir}/good.pem`), key: readFileSync(`${dir}/good.key`) }, (req, res) => answer(req, res));
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `https://localhost:${server.address().port}`;

function key(name) {
  keys[name] ??= { ...generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' }), kid: name, alg: 'ES256', use: 'sig' };
  return keys[name];
}

function publish(names) {
  answer = new Provider(issuer, {
    jwks: { keys: names.map(key) },
    clients: [{ client_id: 'app', client_secret: 'a secret of this test', grant_types: ['client_credentials'], redirect_uris: [], response_types: [] }],
    enabledJWA: { idTokenSigningAlgValues: ['ES256', 'RS256'] },
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    scopes: ['system/*.rs'],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => resource,
        getResourceServerInfo: () => ({ scope: 'system/*.rs', audience: resource, accessTokenFormat: 'jwt', accessTokenTTL: 300, jwt: { sign: { alg: 'ES256', kid: names[0] } } }),
      },
    },
  }).callback();
}

function token() {
  return new Promise((resolve, reject) => {
    const req = request(`${issuer}/token`, {
      method: 'POST',
      ca: readFileSync(`${dir}/ca.pem`),
      headers: { 'content-type': 'application/x-www-form-urlencoded', authorization: 'Basic ' + Buffer.from('app:a+secret+of+this+test').toString('base64') },
    }, (res) => {
      let body = '';
      res.on('data', (data) => { body += data; });
      res.on('end', () => resolve(JSON.parse(body).access_token ?? `no token: ${body}`));
    });
    req.on('error', reject);
    req.end(new URLSearchParams({ grant_type: 'client_credentials', scope: 'system/*.rs' }).toString());
  });
}

publish(['first']);
console.log(`answer: ${issuer}`);
for await (const line of createInterface({ input: process.stdin })) {
  const [word, ...names] = line.split(' ');
  if (word === 'keys') publish(names);
  console.log(`answer: ${word === 'token' ? await token() : 'done'}`);
}
process.exit(0);
