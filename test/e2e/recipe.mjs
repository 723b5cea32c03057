// test/e2e/recipe.mjs BASE NAME KEY-FILE [people] [fhir]: a front end of doc/recipes, as clients see it. Prints TAP.
// KEY-FILE: the private key of the client backend, of which the public half is registered. people, fhir: what the recipe has besides the protocol.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { SignJWT, createRemoteJWKSet, importJWK, jwtVerify } from 'jose';
import { Browser, base, fields, finish, is, ok, pkce, post } from './client.mjs';

const [, name, keyFile, ...parts] = process.argv.slice(2);
const jwk = JSON.parse(readFileSync(keyFile, 'utf8'));
const key = await importJWK(jwk, jwk.alg);
const assertion = () => new SignJWT({ iss: 'backend', sub: 'backend', aud: `${base}/auth/token`, exp: Math.floor(Date.now() / 1000) + 240, jti: randomUUID() })
  .setProtectedHeader({ alg: jwk.alg, kid: jwk.kid, typ: 'JWT' }).sign(key);
const ask = (client_assertion, more = {}) => post('/auth/token', { grant_type: 'client_credentials', scope: 'system/Patient.rs', client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer', client_assertion, ...more });

const config = await (await fetch(`${base}/fhir/.well-known/smart-configuration`)).json();
is([config.issuer, config.token_endpoint], [`${base}/auth`, `${base}/auth/token`], `${name}: discovery`);
const once = await assertion();
const [first] = [await ask(once)];
is([first.status, first.body?.token_type, first.headers.get('cache-control'), first.headers.get('content-type')?.split(';')[0]], [200, 'Bearer', 'no-store', 'application/json'], `${name}: a token for a backend service`);
is([(await ask(once)).status, (await ask(once)).body.error], [401, 'invalid_client'], `${name}: the same assertion again`);
const many = await assertion();
const answers = await Promise.all(Array.from({ length: 16 }, () => ask(many)));
is(answers.map((a) => a.status).sort(), [200, ...Array(15).fill(401)], `${name}: sixteen at once with one assertion: one token`);
const token = first.body.access_token;
ok((await jwtVerify(token, createRemoteJWKSet(new URL(config.jwks_uri)), { issuer: `${base}/auth`, audience: `${base}/fhir` })).payload.scope === 'system/Patient.rs', `${name}: which jose verifies by the published keys`);
is((await post('/auth/introspect', { token }, { authorization: `Bearer ${token}` })).body.active, true, `${name}: introspection`);
const raw = (body, type = 'application/x-www-form-urlencoded') => fetch(`${base}/auth/token`, { method: 'POST', body, headers: { 'content-type': type } });
for (const [what, sent] of [['a body over 64 KiB', [`grant_type=${'x'.repeat(70000)}`]], ['bad UTF-8', ['grant_type=%ff']], ['bytes that are no UTF-8', [Buffer.from([0x61, 0x3d, 0xff])]], ['U+0000', ['grant_type=%00']], ['JSON', ['{}', 'application/json']],
  ['a doubled parameter', ['grant_type=a&grant_type=b']]]) {
  const answer = await raw(...sent);
  is([answer.status, (await answer.json().catch(() => ({}))).error], [400, 'invalid_request'], `${name}: ${what}`);
}
is((await raw('__proto__=a&grant_type=b').then((r) => r.json())).error, 'unsupported_grant_type', `${name}: a parameter __proto__`);

if (parts.includes('fhir')) {
  const read = (id, bearer) => fetch(`${base}/fhir/Patient/${id}`, { headers: bearer ? { authorization: `Bearer ${bearer}` } : {} });
  const good = await read('1', token);
  is([good.status, (await good.json()).id], [200, '1'], `${name}: FHIR under the token`);
  const none = await read('1');
  is([none.status, none.headers.get('www-authenticate')], [401, 'Bearer'], `${name}: FHIR without one`);
  const bad = await read('1', 'abc');
  is([bad.status, bad.headers.get('www-authenticate')], [401, 'Bearer error="invalid_token"'], `${name}: FHIR with one that is none`);
  is((await read('nobody', token)).status, 404, `${name}: FHIR, nobody's`);
}

if (parts.includes('people')) {
  const browser = new Browser();
  const { verifier, challenge } = pkce();
  const asked = { response_type: 'code', client_id: 'app', redirect_uri: `${base}/cb`, scope: 'launch/patient openid fhirUser patient/Patient.rs', state: 'a b&c', aud: `${base}/fhir`, code_challenge: challenge, code_challenge_method: 'S256' };
  const page = await browser.go(`/auth/authorize?${new URLSearchParams(asked)}`);
  ok(page.status === 200 && page.headers.get('content-security-policy').includes("frame-ancestors 'none'"), `${name}: a person is asked`, page.status);
  const form = (decision) => [['state', fields(page.text, 'state')[0]], ['decision', decision], ...fields(page.text, 'scope').map((s) => ['scope', s])];
  is((await browser.go('/auth/consent', [['state', 'forged.state'], ['decision', 'allow']])).status, 400, `${name}: a state that nobody signed`);
  const denied = new URL((await browser.go('/auth/consent', form('deny'))).location);
  is([denied.searchParams.get('error'), denied.searchParams.get('state')], ['access_denied', 'a b&c'], `${name}: deny`);
  const back = new URL((await browser.go('/auth/consent', form('allow'))).location);
  is([back.searchParams.get('state'), back.searchParams.get('iss')], ['a b&c', `${base}/auth`], `${name}: allow`);
  const exchange = () => post('/auth/token', { grant_type: 'authorization_code', code: back.searchParams.get('code'), redirect_uri: `${base}/cb`, client_id: 'app', code_verifier: verifier });
  const tokens = (await exchange()).body;
  is([tokens.patient, !!tokens.id_token], ['1', true], `${name}: the code gives tokens`);
  const own = (id) => fetch(`${base}/fhir/Patient/${id}`, { headers: { authorization: `Bearer ${tokens.access_token}` } }).then((r) => r.status);
  is([await own('1'), await own('2')], [200, 404], `${name}: oneself, and nobody else`);
  is([(await exchange()).body.error, await own('1')], ['invalid_grant', 401], `${name}: the code twice ends them`);
  const shown = await browser.go(`/auth/authorize?${new URLSearchParams({ ...asked, client_id: 'nobody' })}`);
  is([shown.status, shown.location], [400, null], `${name}: an unknown client is shown, not redirected`);
}
finish();
