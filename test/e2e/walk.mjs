// test/e2e/walk.mjs BASE BACKEND-KEY WEB-SECRET: the demonstration as clients walk it, form by form, without a browser.
// Prints TAP. Each test names the rules of SMART App Launch that it is about.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { SignJWT, importJWK, createRemoteJWKSet, jwtVerify } from 'jose';
import * as openid from 'openid-client';
import { Browser, administration, base, exchange, fhir, field, fields, finish, get, is, obtain, ok, pkce, post, request } from './client.mjs';

const [, keyFile, webSecret] = process.argv.slice(2);

// Discovery (WK-1..4), CORS.
const config = await (await fetch(`${fhir}/.well-known/smart-configuration`, { headers: { accept: 'text/html' } })).json();
is([config.issuer, config.token_endpoint, config.code_challenge_methods_supported], [`${base}/auth`, `${base}/auth/token`, ['S256']], 'WK-2, WK-3: smart-configuration, whatever Accept says');
const preflight = await fetch(`${base}/auth/token`, { method: 'OPTIONS', headers: { origin: 'https://app.example', 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,content-type' } });
is([preflight.status, preflight.headers.get('access-control-allow-origin')], [204, '*'], 'CORS preflight of the token endpoint');
is((await get('/metadata')).body.resourceType, 'CapabilityStatement', 'metadata needs no token');
is([(await get('/Patient')).status, (await get('/Patient')).headers.get('www-authenticate').startsWith('Bearer')], [401, true], 'no token: 401 with a challenge');

// Standalone launch of a patient.
const alice = new Browser();
let got = await obtain(alice, 'alice', 'launch/patient openid fhirUser offline_access patient/*.rs');
is([got.to?.searchParams.get('state'), got.to?.searchParams.get('iss')], ['a state/with=odd&bytes', `${base}/auth`], 'AR-7, RFC 9207: the exact state, and iss');
ok(got.consent?.headers.get('content-security-policy').includes("frame-ancestors 'none'") && got.consent.headers.get('referrer-policy') === 'no-referrer'
  && got.consent.headers.get('cache-control') === 'no-store', 'the page of consent is in no frame, no cache, no Referer');
is((await exchange(got.to.searchParams.get('code'), 'x'.repeat(43))).body?.error, 'invalid_grant', 'PK-7: a wrong verifier');
is((await exchange(got.to.searchParams.get('code'), got.verifier)).body?.error, 'invalid_grant', 'CE-8: and the code is gone');
got = await obtain(alice, 'alice', 'launch/patient openid fhirUser offline_access patient/*.rs');
let tokens = (await exchange(got.to.searchParams.get('code'), got.verifier)).body;
ok(tokens?.access_token && tokens.refresh_token && tokens.id_token && typeof tokens.expires_in === 'number' && tokens.token_type === 'Bearer' && tokens.patient, 'CE-9: a whole token response', Object.keys(tokens ?? {}));
const patient = tokens.patient;
const jwks = createRemoteJWKSet(new URL(config.jwks_uri));
const id = await jwtVerify(tokens.id_token, jwks, { issuer: `${base}/auth`, audience: 'chart' });
is([id.protectedHeader.alg, id.payload.fhirUser], ['RS256', `${fhir}/Patient/${patient}`], 'ID-1: the ID token verifies with jose');
is((await exchange(got.to.searchParams.get('code'), got.verifier)).body?.error, 'invalid_grant', 'CE-5: a code twice');
is((await get(`/Patient/${patient}`, tokens.access_token)).status, 401, 'CE-5: and its tokens end');
got = await obtain(alice, 'alice', 'launch/patient openid fhirUser offline_access patient/*.rs');
tokens = (await exchange(got.to.searchParams.get('code'), got.verifier)).body;
is((await get(`/Patient/${patient}`, tokens.access_token)).status, 200, 'one reads oneself');
const own = await get('/Observation?_count=200', tokens.access_token);
ok(own.body.entry.length > 5 && own.body.entry.every((e) => e.resource.subject.reference === `Patient/${patient}`), 'a search without a patient shows one\'s own alone');
const paged = await get('/Observation?_count=5', tokens.access_token);
ok(paged.body.entry.length === 5 && paged.body.link.some((l) => l.relation === 'next'), 'paging');
const next = await get(paged.body.link.find((l) => l.relation === 'next').url.slice(fhir.length), tokens.access_token);
ok(next.body.entry.length === 5 && !paged.body.entry.some((e) => next.body.entry.some((x) => x.fullUrl === e.fullUrl)), 'and the next page');
const some = (await get('/Observation?category=laboratory&_count=1', tokens.access_token)).body.entry[0].resource;
const [{ system: codes, code }] = some.code.coding;
const found = (await get(`/Observation?category=laboratory&code=${encodeURIComponent(`${codes}|${code}`)}&date=${some.effectiveDateTime.slice(0, 10)}`, tokens.access_token)).body.entry;
ok(found.some((e) => e.resource.id === some.id) && found.every((e) => e.resource.code.coding.some((c) => c.code === code) && e.resource.effectiveDateTime.startsWith(some.effectiveDateTime.slice(0, 10))),
  'category, code, date', found);
is((await get(`/Observation?code=${code}&date=gt9000`, tokens.access_token)).body.entry, [], 'and no answer where nothing fits');
is((await get('/Observation?nonsense=1', tokens.access_token)).status, 400, 'an unknown parameter: 400');
ok((await get(`/Patient/${patient}/$everything`, tokens.access_token)).body.entry.length > 10, '$everything');
is([(await get(`/Patient/${patient}/_history`, tokens.access_token)).status, (await get('/Nonsense', tokens.access_token)).status], [404, 404], 'no history, no such type');

// Writing under a read scope.
const observation = { resourceType: 'Observation', status: 'final', code: { text: 'x' }, subject: { reference: `Patient/${patient}` } };
const create = (token, body) => fetch(`${fhir}/Observation`, { method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/fhir+json' }, body: JSON.stringify(body) });
const refused = await create(tokens.access_token, observation);
is([refused.status, refused.headers.get('www-authenticate')], [403, 'Bearer realm="fhir", error="insufficient_scope"'], '403 insufficient_scope');
is((await fetch(`${fhir}/Observation`, { method: 'POST', headers: { authorization: `Bearer ${tokens.access_token}` }, body: '{' })).status, 400, 'no JSON: 400');

// Refresh (RF-1..7), as fhirclient sends it: nothing but grant_type and refresh_token.
const refreshed = await post('/auth/token', { grant_type: 'refresh_token', refresh_token: tokens.refresh_token });
is([refreshed.status, refreshed.body.scope, refreshed.body.patient, refreshed.headers.get('cache-control'), refreshed.headers.get('pragma')],
  [200, tokens.scope, patient, 'no-store', 'no-cache'], 'RF-5: refresh of a public client by its token alone');
is((await post('/auth/token', { grant_type: 'refresh_token', refresh_token: tokens.refresh_token })).body.error, 'invalid_grant', 'RF-7: the old one again');
is((await get('/Observation', refreshed.body.access_token)).status, 401, 'RF-7: ends the grant');

// A practitioner chooses a patient, and ticks laboratory alone.
const bob = new Browser();
const laboratory = 'patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory';
got = await obtain(bob, 'bob', 'launch/patient patient/Observation.rs patient/Patient.rs');
ok(fields(got.consent.text, 'scope').includes(laboratory), 'G-16: the narrower scopes are offered', fields(got.consent.text, 'scope'));
got = await obtain(bob, 'bob', 'launch/patient patient/Observation.rs', { tick: [laboratory], request: { prompt: 'consent' } });
tokens = (await exchange(got.to.searchParams.get('code'), got.verifier)).body;
ok(tokens.scope.includes('laboratory') && !tokens.scope.split(' ').includes('patient/Observation.rs'), 'G-16: and granted in place of the whole', tokens.scope);
const labs = (await get('/Observation?_count=200', tokens.access_token)).body.entry;
ok(labs.length > 0 && labs.every((e) => e.resource.category[0].coding[0].code === 'laboratory'), 'only laboratory shows');
is((await get('/Patient', tokens.access_token)).status, 403, 'a type that was not granted: 403');
const others = (await get(`/Patient/${patient}`, tokens.access_token)).status;
ok([403, 404].includes(others), 'another patient by URL', others);
got = await obtain(bob, 'bob', 'launch/patient patient/Observation.rs', { decision: 'deny', request: { prompt: 'consent' } });
is([got.page.status, got.to?.searchParams.get('error')], [303, 'access_denied'], 'AR-6: deny');

// EHR launch.
let home = await bob.go('/');
const launched = await bob.go('/launch', { flow: field(home.text, 'flow'), patient });
const handle = new URL(launched.location, base).searchParams.get('launch');
got = await obtain(bob, 'bob', 'launch patient/Observation.rs', { request: { launch: handle } });
tokens = (await exchange(got.to.searchParams.get('code'), got.verifier)).body;
is([tokens.patient, tokens.need_patient_banner], [patient, true], 'EHR launch: the patient of the launch');
got = await obtain(bob, 'bob', 'launch patient/Observation.rs', { request: { launch: handle } });
is(got.to?.searchParams.get('error'), 'invalid_request', 'OC-43: a handle twice');

// Withdrawal is seen at once.
const manage = await bob.go('/auth/manage');
ok(manage.text.includes('Chart'), 'what was allowed is listed');
for (let i = 0; i < 5; i++) {
  const page = await bob.go('/auth/manage');
  if (!page.text.includes('name="client_id"')) break;
  await bob.go('/auth/manage/withdraw', { flow: field(page.text, 'flow'), client_id: field(page.text, 'client_id'), ...(page.text.includes('name="patient"') ? { patient: field(page.text, 'patient') } : {}) });
}
is((await get('/Observation', tokens.access_token)).status, 401, 'LF-11: a withdrawn token');

// Pages do not take another session's form, nor an unknown client.
home = await alice.go('/');
is([!!field(home.text, 'flow'), (await bob.go('/auth/manage/withdraw', { flow: field(home.text, 'flow'), client_id: 'chart' })).status], [true, 400], 'a form of another session');
is((await new Browser().go(request({ client_id: 'nobody', scope: 'openid' }, pkce().challenge))).status, 400, 'AR-3: an unknown client is shown, not redirected');
is((await new Browser().go('/auth/authorize?client_id=%FF')).status, 400, 'invalid UTF-8');
is((await post('/auth/token', { grant_type: 'x'.repeat(70000) })).body.error, 'invalid_request', 'a body over 64 KiB');

// Backend services with jose, RS384 or ES384 (CA-1..6, BS-1..6).
const jwk = JSON.parse(readFileSync(keyFile, 'utf8'));
const key = await importJWK(jwk, jwk.alg);
const assertion = (claims = {}, header = {}) => new SignJWT({ jti: randomBytes(16).toString('hex'), ...claims }).setProtectedHeader({ alg: jwk.alg, kid: jwk.kid, typ: 'JWT', ...header })
  .setIssuer('backend').setSubject('backend').setAudience(claims.aud ?? `${base}/auth/token`).setExpirationTime('4m').sign(key);
const backend = async (a, scope = 'system/Observation.rs') => post('/auth/token', { grant_type: 'client_credentials', scope,
  client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer', client_assertion: await a });
const once = await assertion();
const service = await backend(once);
is([service.status, service.body.scope, 'refresh_token' in service.body], [200, 'system/Observation.rs', false], 'BS-3, BS-4: client_credentials');
is((await backend(once)).body.error, 'invalid_client', 'CA-6: an assertion twice');
ok((await get('/Observation?_count=200', service.body.access_token)).body.entry.length === 200, 'a backend reads everybody');
is((await backend(assertion({ aud: `${base}/auth` }))).body.error, 'invalid_client', 'OC-39: the issuer as audience');
is((await backend(assertion(), 'patient/*.rs')).body.error, 'invalid_scope', 'OC-69');
const seen = await post('/auth/introspect', { token: service.body.access_token }, { authorization: `Bearer ${service.body.access_token}` });
is([seen.body.active, seen.body.client_id, seen.body.scope], [true, 'backend', 'system/Observation.rs'], 'TI-3: introspection with a bearer token');
is((await post('/auth/introspect', { token: 'nonsense' }, { authorization: `Bearer ${service.body.access_token}` })).body, { active: false }, 'TI-7');
is((await post('/auth/introspect', { token: 'x' })).status, 401, 'TI-8');

// openid-client: discovery, Basic with its form-encoded pair, iss of RFC 9207.
try {
  const client = await openid.discovery(new URL(`${base}/auth/.well-known/openid-configuration`), 'web', webSecret, openid.ClientSecretBasic(webSecret),
    { execute: [openid.allowInsecureRequests] });
  const verifier = openid.randomPKCECodeVerifier();
  const url = openid.buildAuthorizationUrl(client, { redirect_uri: `${base}/apps/web/`, scope: 'openid fhirUser launch/patient patient/Patient.rs', state: 'abc', aud: fhir,
    code_challenge: await openid.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256' });
  let page = await alice.go(url.pathname + url.search);
  if (page.text.includes('name="decision"')) page = await alice.go('/auth/consent', [['flow', field(page.text, 'flow')], ['decision', 'allow'], ...fields(page.text, 'scope').map((s) => ['scope', s])]);
  const answer = await openid.authorizationCodeGrant(client, new URL(page.location), { pkceCodeVerifier: verifier, expectedState: 'abc', idTokenExpected: true });
  is(answer.claims().fhirUser, `${fhir}/Patient/${patient}`, 'openid-client: the code flow with client_secret_basic');
  is((await openid.fetchUserInfo(client, answer.access_token, answer.claims().sub)).fhirUser, `${fhir}/Patient/${patient}`, 'openid-client: userinfo');
} catch (error) { ok(false, `openid-client: ${error.code ?? ''} ${error.message}`); }

// A device without a browser (RFC 8628), as openid-client speaks for it: the person types its code, and is warned.
async function typeCode(browser, user, code, decision) {
  let page = await browser.go('/auth/device');
  if (page.text.includes('name="username"')) {
    page = await browser.go('/login', { flow: field(page.text, 'flow'), username: user, password: user });
    page = await browser.go(page.location);
  }
  page = await browser.go('/auth/device', { flow: field(page.text, 'flow'), user_code: code });
  if (page.text.includes('name="patient"')) page = await browser.go('/auth/device', { flow: field(page.text, 'flow'), patient });
  if (!page.text.includes('name="decision"')) return { page };
  const consent = page;
  page = await browser.go('/auth/device', [['flow', field(page.text, 'flow')], ['decision', decision], ...fields(page.text, 'scope').map((s) => ['scope', s])]);
  return { consent, page };
}
try {
  const tv = await openid.discovery(new URL(`${base}/auth/.well-known/openid-configuration`), 'tv', undefined, openid.None(), { execute: [openid.allowInsecureRequests] });
  const device = await openid.initiateDeviceAuthorization(tv, { scope: 'openid fhirUser launch/patient patient/Observation.rs online_access' });
  is([device.verification_uri, device.interval, /^[B-DF-HJ-NP-TV-XZ]{4}-[B-DF-HJ-NP-TV-XZ]{4}$/.test(device.user_code)], [`${base}/auth/device`, 5, true], 'RFC 8628 3.2: what a device is told');
  const device_grant = { grant_type: 'urn:ietf:params:oauth:grant-type:device_code', client_id: 'tv', device_code: device.device_code };
  is((await post('/auth/token', device_grant)).body.error, 'authorization_pending', 'RFC 8628 3.5: nobody has answered yet');
  is((await post('/auth/token', device_grant)).body.error, 'slow_down', 'RFC 8628 3.5: and sooner than the interval');
  const person = new Browser();
  const wrong = await typeCode(person, 'bob', 'BBBB-BBBB', 'allow');
  is([wrong.page.status, wrong.page.text.includes('role="alert"')], [404, true], 'a code that is not known');
  const walk = await typeCode(person, 'bob', device.user_code.toLowerCase().replace('-', ' '), 'allow');
  ok(walk.consent.text.includes('<strong>Television</strong>') && walk.consent.text.includes('Go on only if you began this yourself'), 'RFC 8628 5.4: the person sees the client\'s name and is warned');
  ok(walk.consent.headers.get('content-security-policy').includes("frame-ancestors 'none'") && walk.consent.headers.get('cache-control') === 'no-store', 'in no frame, no cache');
  is([walk.page.status, walk.page.text.includes('The device is connected')], [200, true], 'the person allows it');
  const granted = await openid.pollDeviceAuthorizationGrant(tv, device);
  is([granted.patient, granted.claims().fhirUser.startsWith(`${fhir}/Practitioner/`), typeof granted.refresh_token], [patient, true, 'string'], 'openid-client: the tokens of a device');
  is((await get('/Observation', granted.access_token)).status, 200, 'which the FHIR server takes');
  is((await post('/auth/token', device_grant)).body.error, 'invalid_grant', 'the device code twice');
  is((await get('/Observation', granted.access_token)).status, 401, 'ends what it gave');
  is((await typeCode(person, 'bob', device.user_code, 'allow')).page.status, 404, 'and the user code is spent');
  const unwanted = (await post('/auth/device_authorization', { client_id: 'tv', scope: 'openid' })).body;
  is((await typeCode(person, 'bob', unwanted.user_code, 'deny')).page.status, 200, 'the person denies it');
  is((await post('/auth/token', { ...device_grant, device_code: unwanted.device_code })).body.error, 'access_denied', 'RFC 8628 3.5: access_denied');
  const foreign = await person.go('/auth/device', { flow: 'x.y', user_code: unwanted.user_code });
  is(foreign.status, 400, 'a form of another session is not taken');
} catch (error) { ok(false, `device: ${error.code ?? ''} ${error.message}`); }

// A user who may write.
got = await obtain(alice, 'alice', 'launch/patient patient/Observation.cruds');
tokens = (await exchange(got.to.searchParams.get('code'), got.verifier)).body;
const made = await create(tokens.access_token, observation);
const stored = await made.json();
is([made.status, made.headers.get('location')], [201, `${fhir}/Observation/${stored.id}/_history/1`], 'create');
// A decimal's precision counts (R4 datatypes): JSON.parse() and JSON.stringify() would make 1.5 of 1.50 on the way in or out.
const precise = await fetch(`${fhir}/Observation`, { method: 'POST', headers: { authorization: `Bearer ${tokens.access_token}`, 'content-type': 'application/fhir+json' },
  body: JSON.stringify({ ...observation, code: { text: 'precise' }, valueQuantity: { value: 0, unit: 'mg' } }).replace('"value":0', '"value":1.50') });
const preciseText = await precise.text();
const readText = await (await fetch(`${fhir}/Observation/${JSON.parse(preciseText).id}`, { headers: { authorization: `Bearer ${tokens.access_token}` } })).text();
ok(/"value": ?1\.50[,}]/.test(preciseText) && /"value": ?1\.50[,}]/.test(readText), 'a decimal keeps its precision');
is((await create(tokens.access_token, { ...observation, subject: { reference: 'Patient/somebody-else' } })).status, 403, 'create for another patient: 403');
const put = (body) => fetch(`${fhir}/Observation/${stored.id}`, { method: 'PUT', headers: { authorization: `Bearer ${tokens.access_token}`, 'content-type': 'application/fhir+json' }, body: JSON.stringify(body) });
is((await put({ ...stored, status: 'amended' })).status, 200, 'update');
is((await put({ ...stored, subject: { reference: 'Patient/somebody-else' } })).status, 403, 'moving it to another patient: 403');
is((await fetch(`${fhir}/Observation/${stored.id}`, { method: 'DELETE', headers: { authorization: `Bearer ${tokens.access_token}` } })).status, 204, 'delete');
is((await get(`/Observation/${stored.id}`, tokens.access_token)).status, 404, 'and it is gone');

// Wrong requests: each has its status, as an OperationOutcome, an OAuth error or a page; none is an error of the server.
const write = (method, path, body) => fetch(fhir + path, { method, body, headers: { authorization: `Bearer ${tokens.access_token}`, 'content-type': 'application/fhir+json' } });
const about = `"subject":{"reference":"Patient/${patient}"}`;
for (const [name, status, sending] of [
  ['U+0000 in a resource', 400, () => write('POST', '/Observation', `{"resourceType":"Observation","status":"a\\u0000b",${about}}`)],
  ['half a surrogate pair', 400, () => write('POST', '/Observation', `{"resourceType":"Observation","status":"\\ud800",${about}}`)],
  ['a number without end', 400, () => write('POST', '/Observation', `{"resourceType":"Observation","valueInteger":1e9999999,${about}}`)],
  ['nesting without end', 400, () => write('POST', '/Observation', `{"resourceType":"Observation","x":${'['.repeat(100000)}${']'.repeat(100000)},${about}}`)],
  ['an array', 400, () => write('POST', '/Observation', '[]')],
  ['meta that is no object', 400, () => write('POST', '/Observation', `{"resourceType":"Observation","meta":"x",${about}}`)],
  ['another type than the address', 400, () => write('POST', '/Observation', '{"resourceType":"Patient"}')],
  ['another id than the address', 400, () => write('PUT', '/Observation/a', `{"resourceType":"Observation","id":"b",${about}}`)],
  ['an update of nothing', 404, () => write('PUT', '/Observation/none', `{"resourceType":"Observation","id":"none",${about}}`)],
  ['a deletion of nothing', 404, () => write('DELETE', '/Observation/none')],
  ['PATCH', 405, () => write('PATCH', '/Observation/a', '[]')],
  ['a body over 1 MiB', 413, () => write('POST', '/Observation', ' '.repeat(1100000))],
  ['a date that is none', 400, () => write('GET', '/Observation?date=yesterday')],
  ['_include', 400, () => write('GET', '/Observation?_include=x')],
  ['a parameter __proto__', 400, () => write('GET', '/Observation?__proto__=1')],
  ['U+0000 in a search', 400, () => write('GET', '/Observation?code=%00')],
  ['_after twice', 400, () => write('GET', '/Observation?_after=a&_after=b')],
  ['an id that is none', 404, () => write('GET', `/Observation/${'a'.repeat(65)}`)],
  ['a token that is none', 401, () => fetch(`${fhir}/Patient`, { headers: { authorization: 'Bearer abc' } })],
  ['another scheme than Bearer', 401, () => fetch(`${fhir}/Patient`, { headers: { authorization: 'Basic abc' } })],
]) {
  const answer = await sending();
  const said = await answer.json().catch(() => null);
  is([answer.status, said?.resourceType, answer.headers.has('www-authenticate')], [status, 'OperationOutcome', status === 401], `FHIR: ${name}: ${status}`);
}
for (const [name, error, path, body, type] of [
  ['U+0000', 'invalid_request', '/auth/token', 'grant_type=%00'], ['half a surrogate pair', 'invalid_request', '/auth/token', 'grant_type=%ed%a0%80'], ['a bad escape', 'invalid_request', '/auth/introspect', 'token=%zz'],
  ['JSON for a form', 'invalid_request', '/auth/revoke', '{}', 'application/json'], ['a doubled parameter', 'invalid_request', '/auth/token', 'grant_type=refresh_token&grant_type=x'],
  ['a parameter __proto__', 'unsupported_grant_type', '/auth/token', '__proto__=x&grant_type=a'], ['a registration with U+0000', 'invalid_client_metadata', '/auth/register', '{"client_name":"a\\u0000b"}', 'application/json'],
  ['a registration that is null', 'invalid_client_metadata', '/auth/register', 'null', 'application/json'], ['a registration that is text', 'invalid_client_metadata', '/auth/register', '"x"', 'application/json'],
]) {
  const answer = await fetch(base + path, { method: 'POST', body, headers: { 'content-type': type ?? 'application/x-www-form-urlencoded' } });
  is([answer.status, (await answer.json()).error], [400, error], `OAuth: ${name}: ${error}`);
}

// Pages: the session's id is new at login, its cookie is for HTTP alone; every page has its policy; a form is good for its purpose.
const visitor = new Browser();
const loginPage = await visitor.go('/');
const planted = visitor.cookies.get('demo_session');
const enters = await visitor.go('/login', { flow: field(loginPage.text, 'flow'), username: 'bob', password: 'bob' });
ok(planted && visitor.cookies.get('demo_session') !== planted, 'the session has another id after the login');
ok(/; HttpOnly; SameSite=Lax/.test(enters.headers.get('set-cookie')), 'its cookie is HttpOnly and SameSite', enters.headers.get('set-cookie'));
is((await visitor.go('/login', { flow: field(loginPage.text, 'flow'), username: 'bob', password: 'bob' })).status, 400, 'a form of the session before: 400');
const desk = await visitor.go('/');
for (const [path, form] of [['/auth/consent', { decision: 'allow' }], ['/auth/patient', { patient: 'x' }], ['/auth/manage/withdraw', {}], ['/launch', { patient: 'nobody' }]]) {
  const page = await visitor.go(path, { flow: field(desk.text, 'flow'), ...form });
  ok([400, 404].includes(page.status), `a form of the page of patients, sent to ${path}: ${page.status}`);
}
const admin = await administration(keyFile);
const markup = `<img src=x onerror="alert(1)">'&`;
const hostile = await admin.register({ client_name: markup, policy_uri: "https://app.example/?a='&b", token_endpoint_auth_method: 'none', redirect_uris: [`${base}/apps/hostile/`],
  scope: 'launch/patient patient/*.rs' });
const shown = await obtain(alice, 'alice', 'launch/patient patient/*.rs', { decision: 'deny', request: { client_id: hostile.client_id, redirect_uri: `${base}/apps/hostile/` } });
ok(shown.consent?.text.includes('&lt;img src=x') && !/<img|'&b/.test(shown.consent.text), 'a client whose name is markup is shown with its name, not as markup');
await admin.end();
for (const path of ['/', '/auth/manage', '/nothing', '/auth/authorize?client_id=nobody', '/apps/chart/', '/apps/chart/launch']) {
  const { headers } = await visitor.go(path);
  const policy = headers.get('content-security-policy') ?? '';
  ok(/default-src 'none'/.test(policy) && /frame-ancestors 'none'/.test(policy) && /base-uri 'none'/.test(policy) && /form-action/.test(policy) && !/unsafe/.test(policy) && (path.startsWith('/apps/') || !/script-src/.test(policy))
    && headers.get('referrer-policy') === 'no-referrer' && headers.get('x-content-type-options') === 'nosniff', `the policy of ${path}`, policy);
}

finish();
