// bench/oauth_bodies.mjs JWK_FILE CLIENT AUDIENCE N: form bodies of N token requests (client_credentials, private_key_jwt, ES256), one a line.
import { createPrivateKey, randomUUID, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';

const [file, client, audience, n] = process.argv.slice(2);
const jwk = JSON.parse(readFileSync(file, 'utf8'));
const key = createPrivateKey({ key: jwk, format: 'jwk' });
const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
const header = part({ alg: 'ES256', kid: jwk.kid, typ: 'JWT' });
const lines = [];
for (let i = 0; i < Number(n); i++) {
  const now = Math.floor(Date.now() / 1000);
  const input = `${header}.${part({ iss: client, sub: client, aud: audience, jti: randomUUID(), iat: now, exp: now + 290 })}`;
  const signature = sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url');
  lines.push(new URLSearchParams({ grant_type: 'client_credentials', scope: 'system/Observation.rs',
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer', client_assertion: `${input}.${signature}` }).toString());
}
console.log(lines.join('\n'));
