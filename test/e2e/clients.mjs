// test/e2e/clients.mjs BASE BACKEND-KEY: what the real clients do, against the demonstration: fhirclient in Node, openid-client, jose and
// postgres.js. Each test begins with the word of the habit that it is about. Prints TAP. (fhirclient in a browser: browser.mjs.)
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { SignJWT, createRemoteJWKSet, decodeJwt, decodeProtectedHeader, importJWK, jwtVerify } from 'jose';
import * as openid from 'openid-client';
import postgres from 'postgres';
import { Browser, administration, base, demo, fhir, field, fields, finish, is, ok, post, unescape } from './client.mjs';

const [, keyFile] = process.argv.slice(2);
const admin = await administration(keyFile);

// fhirclient, with what it sends on record.
const sent = [];
const crossFetch = demo('cross-fetch');
const plainFetch = crossFetch.fetch;
crossFetch.fetch = (url, options) => {
  sent.push({ url: String(url), body: options?.body === undefined ? null : String(options.body), authorization: options?.headers?.authorization });
  return plainFetch(url, options);
};
const smart = demo('fhirclient');
const lastTo = (path) => sent.findLast((s) => s.url === base + path);

// ---- people at the browser ----

const people = { alice: new Browser(), bob: new Browser() };
async function consent(user, url, tick) {
  const browser = people[user];
  let page = await browser.go(url);
  if (page.text.includes('name="username"')) page = await browser.go('/auth/login', { flow: field(page.text, 'flow'), username: user, password: user });
  if (page.text.includes('name="patient"')) page = await browser.go('/auth/patient', { flow: field(page.text, 'flow'), patient: fields(page.text, 'patient')[0] });
  if (page.text.includes('name="decision"')) {
    const boxes = [...page.text.matchAll(/name="scope" value="([^"]*)"( checked)?/g)].map((m) => ({ scope: unescape(m[1]), checked: !!m[2] }));
    const kept = boxes.filter((b) => (tick ? tick(b.scope, b.checked) : b.checked));
    page = await browser.go('/auth/consent', [['flow', field(page.text, 'flow')], ['decision', 'allow'], ...kept.map((b) => ['scope', b.scope])]);
  }
  return new URL(page.location);
}

// ---- clients of each kind ----

const home = 'http://localhost:39999';
const redirect = `${home}/cb`;
const scope = 'openid fhirUser launch/patient offline_access patient/*.rs';
const pair = (alg) => ({ ...(alg.startsWith('ES') ? generateKeyPairSync('ec', { namedCurve: `P-${alg.slice(2)}` }) : generateKeyPairSync('rsa', { modulusLength: 2048 })).privateKey.export({ format: 'jwk' }),
  kid: randomUUID(), alg });
const publicHalf = ({ kty, n, e, crv, x, y, kid, alg }) => JSON.parse(JSON.stringify({ kty, n, e, crv, x, y, kid, alg }));
const register = (method, more = {}) => admin.register({ client_name: `Real client, ${method}`, token_endpoint_auth_method: method, redirect_uris: [redirect], scope: `${scope} user/*.rs launch`, ...more });
const signing = pair('ES384');
const made = {
  public: await register('none', { offline_access: true }),
  basic: await register('client_secret_basic'),
  post: await register('client_secret_post'),
  jwt: await register('private_key_jwt', { jwks: { keys: [publicHalf(signing)] } }),
  odd: await register('client_secret_basic', { client_id: 'odd.client_id~with-all' }),
};

// fhirclient: from authorize() to the client, as it runs on a server.
async function fhirclient(user, options, asked = scope, tick) {
  const kept = new Map();
  const storage = { get: async (k) => kept.get(k), set: async (k, v) => { kept.set(k, v); return v; }, unset: async (k) => kept.delete(k) };
  const request = (url) => ({ url, headers: { host: new URL(home).host }, socket: {} });
  let to;
  const response = { writeHead: (_, headers) => { to = headers.location; }, end() {} };
  await smart(request('/launch'), response, storage).authorize({ iss: fhir, redirectUri: redirect, scope: asked, ...options });
  const back = await consent(user, to, tick);
  const client = await smart(request(back.pathname + back.search), response, storage).ready({ privateKey: options.clientPrivateJwk });
  return { client, asked: new URL(to), back };
}
const tokensOf = (client) => client.state.tokenResponse;

// ---- Refresh ----

let { client, asked } = await fhirclient('alice', { clientId: made.public.client_id });
is([asked.searchParams.get('code_challenge_method'), asked.searchParams.get('code_challenge')?.length], ['S256', 43], 'S256 alone in smart-configuration: fhirclient sends PKCE');
ok(typeof tokensOf(client).expires_in === 'number' && tokensOf(client).scope.split(' ').includes('offline_access'), 'scope and a numeric expires_in in the token response', tokensOf(client));
const first = tokensOf(client).refresh_token;
await client.refresh();
is([...new URLSearchParams(lastTo('/auth/token').body).keys()], ['grant_type', 'refresh_token'], 'Refresh: fhirclient sends grant_type and refresh_token alone, and a public client is found from the token');
ok(!lastTo('/auth/token').authorization && tokensOf(client).refresh_token !== first, 'Refresh: and has a new one');
ok(typeof tokensOf(client).expires_in === 'number' && tokensOf(client).scope.split(' ').includes('offline_access'), 'scope with offline_access and a numeric expires_in after the refresh too', tokensOf(client));
await client.refresh();
is((await client.patient.read()).resourceType, 'Patient', 'Refresh: and again, since offline_access stayed in the scope');
client.state.expiresAt = Math.floor(Date.now() / 1000) - 5;
is([(await client.request('Patient', { flat: true, pageLimit: 1 })).length, lastTo('/auth/token').body.includes('refresh_token')], [1, true], 'Refresh: fhirclient does it by itself when its token has run out');
const user = await client.user.read();
is(user.id, client.patient.id, 'fhirUser under the FHIR base: client.user.read() of fhirclient, which keeps Type/id alone');

({ client } = await fhirclient('alice', { clientId: made.jwt.client_id, clientPrivateJwk: signing }));
const exchanged = new URLSearchParams(lastTo('/auth/token').body);
const assertion = exchanged.get('client_assertion');
is([decodeJwt(assertion).aud, 'iat' in decodeJwt(assertion), exchanged.has('client_id')], [`${base}/auth/token`, false, false], 'Assertions: fhirclient names the token URL as aud and sends no iat, and gets its tokens');
is((await client.patient.read()).resourceType, 'Patient', 'Assertions: which are good');
const refused = await client.refresh().then(() => null, (error) => error);
is([refused?.statusCode ?? refused?.status, [...new URLSearchParams(lastTo('/auth/token').body).keys()]], [401, ['grant_type', 'refresh_token']], 'Refresh: private_key_jwt stays strict: without an assertion fhirclient cannot refresh');
const kept = (await post('/auth/token', { grant_type: 'refresh_token', refresh_token: exchangedRefresh(client, refused), client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  client_assertion: await selfSigned(signing, made.jwt.client_id) }));
is(kept.status, 200, 'Refresh: the refused attempt has burnt nothing: with an assertion the same token is good');
ok(/fhirclient[^.]*cannot refresh/.test(readFileSync(new URL('../../doc/authorization-server.md', import.meta.url), 'utf8').replaceAll('\n', ' ')), 'Refresh: and the documentation says so');

({ client } = await fhirclient('alice', { clientId: made.basic.client_id, clientSecret: made.basic.client_secret }));
is(lastTo('/auth/token').authorization, `Basic ${Buffer.from(`${made.basic.client_id}:${made.basic.client_secret}`).toString('base64')}`, 'Basic: fhirclient sends the raw pair');
await client.refresh();
is((await client.patient.read()).resourceType, 'Patient', 'Basic: and refreshes with it');

// ---- a retired key ----

const keyId = decodeProtectedHeader(tokensOf(client).access_token).kid;
await admin.value("SELECT smart.create_signing_key('ES384')");
await admin.value('SELECT smart.retire_signing_key($1)', keyId);
is((await client.patient.read()).resourceType, 'Patient', 'a retired key: its tokens are good until they end, so that fhirclient, which forgets its tokens on a 401, keeps them');
ok((await (await fetch(`${base}/auth/jwks`)).json()).keys.some((k) => k.kid === keyId), 'a retired key: it stays in the JWKS');
await client.refresh();
ok(decodeProtectedHeader(tokensOf(client).access_token).kid !== keyId, 'a retired key: new tokens are signed by another');

// ---- Assertions ----

function selfSigned(key, id, { claims = {}, header = {}, aud = `${base}/auth/token`, seconds = 300 } = {}) {
  return importJWK(key, key.alg).then((k) => new SignJWT({ iss: id, sub: id, aud, exp: Math.floor(Date.now() / 1000) + seconds, jti: randomUUID(), ...claims })
    .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'JWT', ...header }).sign(k));
}
// fhirclient deletes a refresh token that failed
function exchangedRefresh(c, error) {
  ok(error && !tokensOf(c).refresh_token, 'Refresh: fhirclient forgets a refresh token that was refused');
  return new URLSearchParams(lastTo('/auth/token').body).get('refresh_token');
}
const service = (more = {}) => admin.register({ token_endpoint_auth_method: 'private_key_jwt', grant_types: ['client_credentials'], jwks: { keys: [publicHalf(signing)] }, scope: 'system/*.rs', introspection: 'any', ...more });
const strict = await service();
const lenient = await service({ assertion_audience: 'issuer', assertion_typ_optional: true });
const cryptoKey = { key: await importJWK(signing, signing.alg), kid: signing.kid };
const discover = (made, auth) => openid.discovery(new URL(`${base}/auth/.well-known/openid-configuration`), made.client_id, made.client_secret, auth, { execute: [openid.allowInsecureRequests] });
const grant = async (made, auth) => openid.clientCredentialsGrant(await discover(made, auth), { scope: 'system/Patient.rs' }).then((t) => t.scope, (e) => e.error ?? e.code);
is(await grant(strict, openid.PrivateKeyJwt(cryptoKey)), 'invalid_client', 'Assertions: the issuer as aud, the habit of openid-client, is refused by default');
is(await grant(lenient, openid.PrivateKeyJwt(cryptoKey)), 'system/Patient.rs', 'Assertions: assertion_audience and assertion_typ_optional let openid-client in as it is, client_id beside the assertion');
const modified = (typ) => openid.PrivateKeyJwt(cryptoKey, { [openid.modifyAssertion]: (header, payload) => { if (typ) header.typ = typ; payload.aud = `${base}/auth/token`; } });
is(await grant(strict, modified(null)), 'invalid_client', 'Assertions: typ may be missing only where the client is marked so');
is(await grant(strict, modified('JWT')), 'system/Patient.rs', 'Assertions: with the token URL and typ, openid-client needs no mark');
const asService = async (id, options, more = {}) => {
  const answer = await post('/auth/token', { grant_type: 'client_credentials', scope: 'system/Patient.rs', client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: await selfSigned(signing, id, options), ...more });
  return answer.status === 200 ? answer.body.scope : answer.body.error;
};
is(await asService(strict.client_id), 'system/Patient.rs', 'Assertions: jose, without iat');
is(await asService(strict.client_id, { claims: { iat: Math.floor(Date.now() / 1000) } }), 'system/Patient.rs', 'Assertions: and with it');
is(await asService(strict.client_id, { seconds: 340 }), 'system/Patient.rs', 'Assertions: five minutes, and the clocks\' leeway on top');
is(await asService(strict.client_id, { seconds: 420 }), 'invalid_client', 'Assertions: but no more');
is(await asService(strict.client_id, {}, { client_id: strict.client_id }), 'system/Patient.rs', 'Assertions: client_id beside the assertion, the same');
is(await asService(strict.client_id, {}, { client_id: lenient.client_id }), 'invalid_client', 'Assertions: client_id beside the assertion, another');

// ---- Basic ----

for (const [name, one] of Object.entries(made)) ok(/^[A-Za-z0-9._~-]+$/.test(one.client_id) && (!one.client_secret || /^[A-Za-z0-9._~-]+$/.test(one.client_secret)), `Basic: id and secret of ${name} are the same raw and form-encoded`);
async function codeFlow(one, auth, more = {}, asked = scope, tick) {
  const configuration = await discover(one, auth);
  const verifier = openid.randomPKCECodeVerifier();
  const url = openid.buildAuthorizationUrl(configuration, { redirect_uri: redirect, scope: asked, state: 's', aud: fhir, code_challenge: await openid.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256' });
  const back = await consent('alice', url, tick);
  more.change?.(back);
  return { configuration, tokens: await openid.authorizationCodeGrant(configuration, back, { pkceCodeVerifier: verifier, expectedState: 's', idTokenExpected: true }) };
}
let flow = await codeFlow(made.odd, openid.ClientSecretBasic(made.odd.client_secret));
is(flow.tokens.claims().aud, made.odd.client_id, 'Basic: openid-client sends the form-encoded pair, for an id with . _ ~ - too');
is((await openid.refreshTokenGrant(flow.configuration, flow.tokens.refresh_token)).token_type, 'bearer', 'Basic: and refreshes');
const wrong = async (one, auth) => codeFlow(one, auth).then(() => null, (e) => [e.constructor.name, e.error ?? null, e.status]);
is(await wrong(made.post, openid.ClientSecretPost('smart_wrong')), ['ResponseBodyError', 'invalid_client', 401], 'WWW-Authenticate only where the Authorization header was used: openid-client shows the OAuth error');
is((await wrong(made.basic, openid.ClientSecretBasic('smart_wrong')))[0], 'WWWAuthenticateChallengeError', 'WWW-Authenticate where it was used: openid-client shows the challenge');

// ---- Members, iss, discovery ----

const holes = (value, path = '') => (value === null ? [path] : typeof value !== 'object' ? [] : Object.entries(value).flatMap(([k, v]) => holes(v, `${path}/${k}`)));
const documents = ['/fhir/.well-known/smart-configuration', '/auth/.well-known/openid-configuration', '/auth/jwks', '/fhir/metadata'];
for (const path of documents) {
  const response = await fetch(base + path);
  is([holes(await response.json()), /^application\/(fhir\+)?json/.test(response.headers.get('content-type'))], [[], true], `Members are omitted, never null: ${path}, as JSON`);
}
const answers = [['token', await post('/auth/token', { grant_type: 'refresh_token', refresh_token: 'none', client_id: made.public.client_id })]];
flow = await codeFlow(made.basic, openid.ClientSecretBasic(made.basic.client_secret));
const basic = { authorization: `Basic ${Buffer.from(`${made.basic.client_id}:${made.basic.client_secret}`).toString('base64')}` };
answers.push(['refresh', await post('/auth/token', { grant_type: 'refresh_token', refresh_token: flow.tokens.refresh_token }, basic)]);
const current = answers[1][1].body.access_token;
answers.push(['introspection', await post('/auth/introspect', { token: current }, basic)], ['introspection of nonsense', await post('/auth/introspect', { token: 'x' }, basic)]);
for (const [name, answer] of answers) {
  is([holes(answer.body), answer.headers.get('content-type').split(';')[0], answer.headers.get('cache-control'), answer.headers.get('pragma')], [[], 'application/json', 'no-store', 'no-cache'],
    `Members are omitted, never null; application/json; no-store and Pragma: ${name}`);
}
const noIss = await codeFlow(made.basic, openid.ClientSecretBasic(made.basic.client_secret), { change: (url) => url.searchParams.delete('iss') }).then(() => null, (e) => e.code ?? e.name);
ok(noIss !== null, 'iss in the redirect: openid-client refuses a redirect without it', noIss);
ok((await codeFlow(made.basic, openid.ClientSecretBasic(made.basic.client_secret), { change: (url) => url.searchParams.set('iss', 'https://elsewhere.example') }).then(() => null, (e) => e.code ?? e.name)) !== null, 'iss in the redirect: and another one');
const config = await (await fetch(base + documents[0])).json();
is([config.code_challenge_methods_supported, config.issuer, config.jwks_uri, config.capabilities.includes('context-ehr-encounter')], [['S256'], `${base}/auth`, `${base}/auth/jwks`, true],
  'smart-configuration: S256 alone, issuer, jwks_uri, context-ehr-encounter');
ok((await jwtVerify(current, createRemoteJWKSet(new URL(config.jwks_uri)), { issuer: config.issuer, audience: fhir, typ: 'at+jwt' })).payload.scope, 'jwks_uri: jose verifies an access token by it');

// ---- CORS ----

const addresses = { '/fhir/.well-known/smart-configuration': 'GET', '/auth/.well-known/openid-configuration': 'GET', '/auth/jwks': 'GET', '/auth/token': 'POST', '/auth/introspect': 'POST', '/auth/revoke': 'POST', '/fhir/Patient': 'GET',
  '/fhir/Observation': 'POST', '/auth/userinfo': 'GET' };
for (const [path, method] of Object.entries(addresses)) {
  const response = await fetch(base + path, { method: 'OPTIONS', headers: { origin: 'https://app.example', 'access-control-request-method': method, 'access-control-request-headers': 'authorization,content-type' } });
  const allowed = response.headers.get('access-control-allow-headers')?.split(/, */) ?? [];
  ok(response.ok && response.headers.get('access-control-allow-origin') === '*' && response.headers.get('access-control-allow-methods').includes(method) && allowed.includes('authorization') && allowed.includes('content-type')
    && !response.headers.has('access-control-allow-credentials'), `CORS with preflight: ${method} ${path}`, [response.status, ...response.headers]);
}

// ---- Introspection ----

const seen = await openid.tokenIntrospection(flow.configuration, current);
const id = flow.tokens.claims();
is([seen.active, seen.iss, seen.sub], [true, id.iss, id.sub], 'Introspection with openid-client: iss and sub of the ID token');
const set = (text) => text.split(' ').sort();
is(set(seen.scope), set(answers[1][1].body.scope), 'Introspection: the scope set of the token response');
await openid.tokenRevocation(flow.configuration, current);
is((await openid.tokenIntrospection(flow.configuration, current)).active, false, 'Introspection: after a revocation by openid-client');

// ---- Consent ----

({ client } = await fhirclient('alice', { clientId: made.public.client_id }, 'launch/patient openid fhirUser offline_access patient/Patient.rs patient/Condition.rs patient/Observation.rs',
  (box, checked) => (/^patient\/(Condition|Observation)\./.test(box) ? /(laboratory|problem-list-item)$/.test(box) : checked)));
const granted = tokensOf(client).scope.split(' ').filter((s) => s.startsWith('patient/')).map((s) => s.replace(/\?.*\|/, '?...'));
is(granted.sort(), ['patient/Condition.rs?...problem-list-item', 'patient/Observation.rs?...laboratory', 'patient/Patient.rs'], 'Consent: Condition and Observation are asked for whole, and only granular ones are granted');
const labs = await client.request(`Observation?patient=${client.patient.id}&_count=200`, { flat: true, pageLimit: 0 });
ok(labs.length > 0 && labs.every((o) => o.category[0].coding[0].code === 'laboratory'), 'Consent: and fhirclient sees those alone');

// ---- Front ends and drivers ----

const sql = postgres({ host: dirname(keyFile), user: 'demo_protocol', database: 'fhir', max: 1 });
const asObject = (await sql`CALL smart.token(${sql.json({ grant_type: 'nonsense' })}::jsonb, ${sql.json({})}::jsonb, NULL)`)[0].response;
is([asObject.status, asObject.body.error], [400, 'unsupported_grant_type'], 'Objects to jsonb parameters: postgres.js');
const asText = (await sql`CALL smart.token(${JSON.stringify({ grant_type: 'nonsense' })}::jsonb, ${sql.json({})}::jsonb, NULL)`)[0].response;
is([asText.status, asText.body.error], [400, 'invalid_request'], 'JSON text to a jsonb parameter: postgres.js makes a JSON string of it, which is refused, not read');
await sql.end();

await admin.end();
finish();
