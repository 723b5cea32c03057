// test/e2e/kits.mjs BASE BACKEND-KEY WEB-SECRET: what the public test kits for SMART App Launch 2.2 and (g)(10) require of a server,
// against the demonstration. Each test is named after the kit's test id; doc/test-kits.md lists all of them, and the last test here compares.
// Prints TAP. Clients that the demonstration has not are registered through its socket, beside the key of the backend.
import { createHash, createPublicKey, generateKeyPairSync, randomBytes, randomUUID, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { SignJWT, decodeJwt, decodeProtectedHeader, importJWK } from 'jose';
import { Browser, administration, base, fhir, field, fields, finish, is, ok, pkce, post, unescape } from './client.mjs';

const [, keyFile, webSecret] = process.argv.slice(2);
const admin = await administration(keyFile);
const register = admin.register;

const tested = new Set();
function kit(id, where, right, seen) {
  tested.add(id);
  ok(right, `${id}: ${where}`, seen);
}
const origin = 'https://inferno.example';
const cors = (headers) => ['*', origin].includes(headers.get('access-control-allow-origin'));
const fetched = async (url, headers = {}) => {
  const response = await fetch(url, { headers: { accept: 'application/json', origin, ...headers } });
  const text = await response.text();
  let body = null;
  try { body = JSON.parse(text); } catch { /* no JSON */ }
  return { status: response.status, headers: response.headers, body };
};
const read = (path, token) => fetched(fhir + path, token ? { authorization: `Bearer ${token}` } : {});

// ---- clients: public, symmetric, asymmetric ----

const jwtBearer = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
// As the kit makes them: five minutes ahead by its own clock, no iat.
async function assertion(key, id, claims = {}, alg = key.alg) {
  return new SignJWT({ iss: id, sub: id, aud: `${base}/auth/token`, exp: Math.floor(Date.now() / 1000) + 300, jti: randomBytes(32).toString('hex'), ...claims })
    .setProtectedHeader({ alg, kid: key.kid, typ: 'JWT' }).sign(await importJWK(key, alg));
}
const backendKey = JSON.parse(readFileSync(keyFile, 'utf8'));
const rsa = { ...generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }), kid: randomUUID(), alg: 'RS384' };
const publicHalf = ({ kty, n, e, kid, alg }) => ({ kty, n, e, kid, alg });
const redirect = `${base}/apps/kit/`;
const wide = 'openid fhirUser launch launch/patient offline_access patient/*.rs user/*.rs';
const asymmetric = await register({ client_name: 'Kit, asymmetric', token_endpoint_auth_method: 'private_key_jwt', redirect_uris: [redirect], jwks: { keys: [publicHalf(rsa)] }, scope: wide });
const clients = {
  public: { id: 'chart', redirect: `${base}/apps/chart/`, sign: async (form) => ({ form: { ...form, client_id: 'chart' }, headers: { origin } }) },
  symmetric: { id: 'web', redirect: `${base}/apps/web/`,
    sign: async (form) => ({ form, headers: { authorization: `Basic ${Buffer.from(`web:${webSecret}`).toString('base64')}` } }) },
  asymmetric: { id: asymmetric.client_id, redirect,
    sign: async (form) => ({ form: { ...form, client_assertion_type: jwtBearer, client_assertion: await assertion(rsa, asymmetric.client_id) }, headers: {} }) },
};
async function toToken(client, form) {
  const signed = await client.sign(form);
  return post('/auth/token', signed.form, signed.headers);
}

// From the authorization request, by GET or POST, to the redirect.
async function authorize(client, user, scope, { handle, method = 'GET', patient, tick, aud = fhir } = {}) {
  const state = randomUUID();
  const { verifier, challenge } = pkce();
  const asked = { response_type: 'code', client_id: client.id, redirect_uri: client.redirect, scope, state, aud, code_challenge: challenge, code_challenge_method: 'S256',
    ...(handle ? { launch: handle } : {}) };
  const browser = user.browser;
  let page = method === 'GET' ? await browser.go(`/auth/authorize?${new URLSearchParams(asked)}`) : await browser.go('/auth/authorize', asked);
  if (page.text.includes('name="username"')) page = await browser.go('/auth/login', { flow: field(page.text, 'flow'), username: user.name, password: user.name });
  if (page.text.includes('name="patient"')) page = await browser.go('/auth/patient', { flow: field(page.text, 'flow'), patient: patient ?? fields(page.text, 'patient')[0] });
  let consent = null;
  if (page.text.includes('name="decision"')) {
    consent = page.text;
    const boxes = [...page.text.matchAll(/name="scope" value="([^"]*)"( checked)?/g)].map((m) => ({ scope: unescape(m[1]), checked: !!m[2] }));
    const kept = tick ? boxes.filter((b) => tick(b.scope, b.checked)) : boxes.filter((b) => b.checked);
    page = await browser.go('/auth/consent', [['flow', field(page.text, 'flow')], ['decision', 'allow'], ...kept.map((b) => ['scope', b.scope])]);
  }
  return { to: page.location ? new URL(page.location) : null, page, state, verifier, consent, scope };
}
const exchange = (client, at, more = {}) => toToken(client, { grant_type: 'authorization_code', code: at.to.searchParams.get('code'), redirect_uri: client.redirect, code_verifier: at.verifier, ...more });

const bob = { name: 'bob', browser: new Browser() };
const alice = { name: 'alice', browser: new Browser() };
// What the clinic's page does: a launch for one patient.
async function launch(user, patient) {
  let home = await user.browser.go('/');
  if (home.text.includes('name="username"')) { await user.browser.go('/login', { flow: field(home.text, 'flow'), username: user.name, password: user.name }); home = await user.browser.go('/'); }
  const page = await user.browser.go('/launch', { flow: field(home.text, 'flow'), patient: patient ?? fields(home.text, 'patient')[0] });
  return new URL(page.location, base);
}

// ---- what several groups of the kits have in common ----

const present = (o, ...names) => names.every((name) => o?.[name] !== undefined && o[name] !== null && o[name] !== '');
const contextFits = (body) => body.fhirContext === undefined || (Array.isArray(body.fhirContext) && body.fhirContext.every((c) => c && typeof c === 'object' && (c.reference || c.canonical || c.identifier)));

async function discovery(where, capabilities = []) {
  const config = await fetched(`${fhir}/.well-known/smart-configuration`);
  const c = config.body;
  kit('well_known_endpoint', where, config.status === 200 && config.headers.get('content-type').startsWith('application/json'), config.status);
  kit('well_known_capabilities_stu2', where, typeof c.authorization_endpoint === 'string' && typeof c.token_endpoint === 'string' && c.capabilities.length && c.capabilities.every((x) => typeof x === 'string')
    && c.grant_types_supported.includes('authorization_code') && c.code_challenge_methods_supported.includes('S256') && !c.code_challenge_methods_supported.includes('plain')
    && (!c.capabilities.includes('sso-openid-connect') || (typeof c.issuer === 'string' && typeof c.jwks_uri === 'string')), c);
  kit('smart_cors_well_known_endpoint', where, cors(config.headers));
  const metadata = await fetched(`${fhir}/metadata`);
  kit('smart_cors_metadata_request', where, metadata.status === 200 && metadata.body.resourceType === 'CapabilityStatement' && cors(metadata.headers));
  if (capabilities.length) {
    const missing = capabilities.filter((x) => !c.capabilities.includes(x));
    kit('g10_smart_well_known_capabilities', where, missing.length === 0, missing);
  }
}

// The redirect and the exchange of a launch, by GET or POST (AR-1); returns the token response.
async function launched(where, client, at) {
  kit('smart_app_redirect_stu2', where, at.to && `${at.to.origin}${at.to.pathname}` === client.redirect && at.to.searchParams.get('state') === at.state, at.page.status);
  kit('smart_code_received', where, !!at.to?.searchParams.get('code') && !at.to.searchParams.has('error'), at.to?.search);
  const answer = await exchange(client, at);
  const body = answer.body ?? {};
  kit('smart_token_exchange_stu2_2', where, answer.status === 200, body);
  kit('smart_token_response_body_stu2_2', where, present(body, 'access_token', 'token_type', 'expires_in', 'scope') && /^bearer$/i.test(body.token_type) && typeof body.expires_in === 'number'
    && ['access_token', 'token_type', 'scope', 'refresh_token'].every((x) => body[x] === undefined || typeof body[x] === 'string') && contextFits(body), Object.keys(body));
  kit('smart_token_response_headers', where, /no-store/i.test(answer.headers.get('cache-control')) && /no-cache/i.test(answer.headers.get('pragma')));
  if (client === clients.public) kit('smart_cors_token_exchange', where, cors(answer.headers));
  return body;
}

async function openid(where, client, tokens) {
  const header = tokens.id_token ? decodeProtectedHeader(tokens.id_token) : {};
  const payload = tokens.id_token ? decodeJwt(tokens.id_token) : {};
  kit('smart_openid_decode_id_token', where, !!header.alg && !!payload.iss, header);
  const configuration = await fetched(`${payload.iss?.replace(/\/$/, '')}/.well-known/openid-configuration`);
  kit('smart_openid_retrieve_configuration', where, configuration.status === 200 && configuration.headers.get('content-type').startsWith('application/json'));
  kit('smart_openid_required_configuration_fields', where, present(configuration.body, 'issuer', 'authorization_endpoint', 'token_endpoint', 'jwks_uri', 'response_types_supported', 'subject_types_supported',
    'id_token_signing_alg_values_supported') && configuration.body.id_token_signing_alg_values_supported.includes('RS256'), configuration.body);
  const jwks = await fetched(configuration.body.jwks_uri);
  const keys = (jwks.body?.keys ?? []).filter((k) => k.kty === 'RSA');
  kit('smart_openid_retrieve_jwks', where, jwks.status === 200 && keys.length > 0 && keys.every((k) => createPublicKey({ key: k, format: 'jwk' })));
  const key = keys.find((k) => k.kid === header.kid);
  kit('smart_openid_token_header', where, header.alg === 'RS256' && !!key, header);
  const [h, p, s] = tokens.id_token.split('.');
  kit('smart_openid_token_payload', where, verify('sha256', Buffer.from(`${h}.${p}`), createPublicKey({ key, format: 'jwk' }), Buffer.from(s, 'base64url')) && payload.iss === configuration.body.issuer
    && [].concat(payload.aud).includes(client.id) && payload.exp > Date.now() / 1000 && payload.iat && payload.sub?.length < 256, payload);
  const [type, id] = (payload.fhirUser ?? '').split('/').slice(-2);
  const user = await read(`/${type}/${id}`, tokens.access_token);
  kit('smart_openid_fhir_user_claim', where, ['Patient', 'Practitioner', 'RelatedPerson', 'Person'].includes(type) && user.status === 200 && user.body.resourceType === type, [payload.fhirUser, user.status]);
  kit('smart_cors_openid_fhir_user_claim', where, user.status === 200 && cors(user.headers));
}

// Refreshes twice, without and with scopes; returns the last answer. g10: the ids of that kit, and what it tries besides.
async function refreshes(where, client, tokens, g10 = false) {
  let now = tokens;
  for (const [how, more] of [['without_scopes', {}], ['with_scopes', { scope: tokens.scope }]]) {
    const answer = await toToken(client, { grant_type: 'refresh_token', refresh_token: now.refresh_token, ...more });
    const body = answer.body ?? {};
    kit(g10 ? `g10_token_refresh_${how}` : 'smart_token_refresh_stu2', `${where}, ${how.replace('_', ' ')}`, answer.status === 200, body);
    kit(g10 ? `g10_token_refresh_body_${how}` : 'smart_token_refresh_body', `${where}, ${how.replace('_', ' ')}`, present(body, 'access_token', 'token_type', 'expires_in', 'scope') && /^bearer$/i.test(body.token_type)
      && typeof body.expires_in === 'number' && body.scope.split(' ').every((x) => tokens.scope.split(' ').includes(x)), body.scope);
    kit('smart_token_response_headers', `${where}, refresh ${how.replace('_', ' ')}`, /no-store/i.test(answer.headers.get('cache-control')) && /no-cache/i.test(answer.headers.get('pragma')));
    now = { ...now, ...body };
  }
  if (g10) {
    kit('g10_patient_context', `${where}, after a refresh`, (await read(`/Patient/${now.patient}`, now.access_token)).body?.resourceType === 'Patient');
    const bad = await toToken(client, { grant_type: 'refresh_token', refresh_token: randomUUID() });
    kit('g10_invalid_token_refresh', where, [400, 401].includes(bad.status), bad.status);
  }
  return now;
}

async function unauthorizedAndPatient(where, tokens) {
  kit('g10_unauthorized_access', where, (await read(`/Patient/${tokens.patient}`)).status === 401);
  const patient = await read(`/Patient/${tokens.patient}`, tokens.access_token);
  kit('g10_patient_context', where, patient.status === 200 && patient.body.resourceType === 'Patient', patient.status);
}

const usCore = 'AllergyIntolerance CarePlan CareTeam Condition Coverage Device DiagnosticReport DocumentReference Encounter Goal Immunization Location Medication MedicationDispense MedicationRequest Observation Organization Patient Practitioner PractitionerRole Procedure Provenance QuestionnaireResponse RelatedPerson ServiceRequest Specimen'.split(' ');
const compartment = 'Patient AllergyIntolerance CarePlan CareTeam Condition DiagnosticReport DocumentReference Goal Immunization MedicationRequest Observation Procedure Provenance ServiceRequest Coverage MedicationDispense Specimen Location'.split(' ');
const each = (level, permission) => usCore.map((type) => `${level}/${type}.${permission}`).join(' ');

// Everything that was asked is granted.
function scopesGranted(where, level, required, asked, tokens) {
  const granted = tokens.scope.split(' ');
  const types = granted.filter((s) => /^(patient|user)\/[A-Za-z*]+\.(read|\*|c?ru?d?s?)(\?|$)/.test(s)).map((s) => s.split('/')[1].split('.')[0]);
  kit('g10_smart_scopes', where, required.every((s) => granted.includes(s)) && (types.includes('*') || compartment.every((t) => types.includes(t))) && granted.every((s) => !s.includes('/') || s.startsWith('launch/')
    || s.startsWith(`${level}/`)) && asked.split(' ').every((s) => granted.includes(s)), asked.split(' ').filter((s) => !granted.includes(s)));
}

// The kit's first search of each type.
const searches = { patient: 'Patient?_id=', allergy_intolerance: 'AllergyIntolerance?patient=', care_plan: 'CarePlan?category=assess-plan&patient=', care_team: 'CareTeam?status=active&patient=', condition: 'Condition?patient=',
  device: 'Device?patient=', diagnostic_report: 'DiagnosticReport?category=LAB&patient=', document_reference: 'DocumentReference?patient=', goal: 'Goal?patient=', immunization: 'Immunization?patient=',
  medication_request: 'MedicationRequest?intent=order&patient=', observation: 'Observation?category=laboratory&patient=', procedure: 'Procedure?patient=', encounter: 'Encounter?patient=',
  service_request: 'ServiceRequest?patient=', coverage: 'Coverage?patient=', medication_dispense: 'MedicationDispense?patient=' };
const later = ['encounter', 'service_request', 'coverage', 'medication_dispense'];
const accessId = (type, kind) => (type === 'medication_request' ? 'g10_medication_request_access' : `g10_${later.includes(type) ? 'us_core_7_' : ''}${type}_${kind}_access`);

async function unrestricted(where, tokens) {
  for (const [type, query] of Object.entries(searches)) {
    const found = await read(`/${query}${tokens.patient}`, tokens.access_token);
    kit(accessId(type, 'unrestricted'), where, found.status === 200 && found.body.resourceType === 'Bundle', found.body?.issue);
  }
}

// ---- SMART App Launch 2.2: standalone launch, EHR launch, backend services, introspection ----

await discovery('SMART');
const oidcScopes = 'launch/patient openid fhirUser offline_access patient/*.rs';
let at = await authorize(clients.public, alice, oidcScopes);
const alicesOwn = await launched('standalone, public, GET', clients.public, at);
await openid('standalone', clients.public, alicesOwn);
const introspectable = await refreshes('standalone', clients.public, alicesOwn);

// LA-1: iss and launch at the app's launch address
const opened = await launch(bob);
kit('smart_app_launch', 'EHR', opened.pathname === '/apps/chart/launch' && opened.searchParams.get('iss') === fhir, opened.href);
kit('smart_launch_received', 'EHR', !!opened.searchParams.get('launch'));
const ehrScopes = 'launch openid fhirUser offline_access user/*.rs';
at = await authorize(clients.public, bob, ehrScopes, { handle: opened.searchParams.get('launch'), method: 'POST' });
const ehr = await launched('EHR, public, POST', clients.public, at);
await openid('EHR', clients.public, ehr);
await refreshes('EHR', clients.public, ehr);
at = await authorize(clients.symmetric, alice, oidcScopes, { method: 'POST' });
await refreshes('standalone, symmetric', clients.symmetric, await launched('standalone, symmetric, POST', clients.symmetric, at));

async function backend(where) {
  const ask = async (form = {}, claims = {}) => post('/auth/token', { scope: 'system/Patient.rs', grant_type: 'client_credentials', client_assertion_type: jwtBearer,
    client_assertion: await assertion(backendKey, 'backend', claims), ...form }, { accept: 'application/json' });
  kit('smart_backend_services_invalid_grant_type', where, (await ask({ grant_type: 'not_a_grant_type' })).status === 400);
  kit('smart_backend_services_invalid_client_assertion', where, [400, 401].includes((await ask({ client_assertion_type: 'not_an_assertion_type' })).status));
  const broken = await Promise.all([ask({}, { aud: 'https://elsewhere.example/token' }), ask({}, { iss: 'nobody' }), ask({}, { exp: Math.floor(Date.now() / 1000) - 600 }),
    ask({}, { exp: Math.floor(Date.now() / 1000) + 3600 }), ask({}, { jti: undefined }), ask({ client_assertion: 'not.a.jwt' }), ask({ client_assertion_type: 'not_an_assertion_type' })]);
  kit('smart_backend_services_invalid_jwt', where, broken.every((b) => [400, 401].includes(b.status)), broken.map((b) => b.status));
  const good = await ask();
  kit('smart_backend_services_auth_request_success', where, good.status === 200, good.body);
  kit('smart_backend_services_auth_response_body', where, present(good.body, 'access_token', 'token_type', 'expires_in', 'scope') && /^bearer$/i.test(good.body.token_type) && typeof good.body.expires_in === 'number');
  return good.body.access_token;
}
const service = await backend('SMART');

async function introspection(where, tokens, clientId) {
  const ask = (token) => post('/auth/introspect', { token }, { authorization: `Bearer ${service}`, accept: 'application/json' });
  const active = await ask(tokens.access_token);
  const invalid = await ask('invalid_token_value');
  kit('smart_token_introspection_request_group-Test01', where, active.status === 200 && !!active.body);
  kit('smart_token_introspection_request_group-Test02', where, invalid.status === 200 && !!invalid.body);
  const id = decodeJwt(tokens.id_token);
  const sorted = (scope) => scope.split(' ').sort().join(' ');
  kit('smart_token_introspection_response_group-Test01', where, active.body.active === true && active.body.client_id === clientId && sorted(active.body.scope) === sorted(tokens.scope) && active.body.exp > Date.now() / 1000
    && active.body.patient === tokens.patient && active.body.encounter === tokens.encounter && active.body.iss === id.iss && active.body.sub === id.sub && active.body.fhirUser === id.fhirUser, active.body);
  is(invalid.body, { active: false }, `smart_token_introspection_response_group-Test02: ${where}`);
  tested.add('smart_token_introspection_response_group-Test02');
}
await introspection('standalone', { ...introspectable, id_token: alicesOwn.id_token }, 'chart');

// ---- (g)(10): 1, a patient's app with all access ----

const core = ['client-public', 'client-confidential-symmetric', 'client-confidential-asymmetric', 'sso-openid-connect', 'permission-offline', 'permission-v1', 'permission-v2', 'authorize-post'];
await discovery('(g)(10) standalone', [...core, 'launch-standalone', 'context-standalone-patient', 'permission-patient']);
const all = `launch/patient openid fhirUser offline_access ${each('patient', 'rs')}`;
at = await authorize(clients.symmetric, alice, all);
let tokens = await launched('(g)(10) standalone', clients.symmetric, at);
scopesGranted('(g)(10) standalone', 'patient', ['openid', 'fhirUser', 'launch/patient', 'offline_access'], all, tokens);
await unauthorizedAndPatient('(g)(10) standalone', tokens);
await openid('(g)(10) standalone', clients.symmetric, tokens);
tokens = await refreshes('(g)(10) standalone', clients.symmetric, tokens, true);
await unrestricted('(g)(10) standalone', tokens);

// 2, with what the patient left ticked
const expected = ['Patient', 'Condition', 'Observation'];
at = await authorize(clients.symmetric, alice, `${all}`, { tick: (scope, checked) => checked && (!scope.includes('/') || expected.some((t) => scope.startsWith(`patient/${t}.`))) });
tokens = await launched('(g)(10) limited', clients.symmetric, at);
await unauthorizedAndPatient('(g)(10) limited', tokens);
const grantedTypes = tokens.scope.split(' ').filter((s) => s.startsWith('patient/')).map((s) => s.split('/')[1].split('.')[0]);
is(grantedTypes.sort(), [...expected].sort(), 'g10_limited_scope_grant: only what was left ticked');
tested.add('g10_limited_scope_grant');
for (const [type, query] of Object.entries(searches)) {
  const found = await read(`/${query}${tokens.patient}`, tokens.access_token);
  const may = expected.includes(query.split('?')[0]);
  kit(accessId(type, 'restricted'), `(g)(10) limited, ${may ? 'granted' : 'not granted'}`, may ? found.status === 200 : [401, 403].includes(found.status), found.status);
}

// 3, a practitioner's app opened by the EHR
await discovery('(g)(10) EHR', [...core.filter((c) => c !== 'client-public'), 'launch-ehr', 'context-banner', 'context-style', 'context-ehr-patient', 'permission-user', 'context-ehr-encounter']);
const users = `launch openid fhirUser offline_access ${each('user', 'rs')}`;
// the clinic's page opens its own app alone; for another one it is the same call of the database
async function handleFor(clientId, who) {
  const context = { patient: ehr.patient, encounter: ehr.encounter, need_patient_banner: true, smart_style_url: ehr.smart_style_url };
  return admin.value('SELECT smart.create_launch($1, $2::jsonb, NULL, $3)', clientId, context, who);
}
at = await authorize(clients.symmetric, bob, users, { handle: await handleFor('web', 'bob') });
tokens = await launched('(g)(10) EHR', clients.symmetric, at);
scopesGranted('(g)(10) EHR', 'user', ['openid', 'fhirUser', 'launch', 'offline_access'], users, tokens);
await unauthorizedAndPatient('(g)(10) EHR', tokens);
for (const [id, response] of [['g10_encounter_context', tokens], ['g10_encounter_context', ehr]]) {
  const encounter = await read(`/Encounter/${response.encounter}`, response.access_token === ehr.access_token ? tokens.access_token : response.access_token);
  kit(id, response === ehr ? 'opened by the clinic\'s page' : '(g)(10) EHR', encounter.status === 200 && encounter.body.resourceType === 'Encounter', [response.encounter, encounter.status]);
}
const style = await fetched(tokens.smart_style_url ?? 'http://localhost:1/');
kit('g10_smart_style_url', '(g)(10) EHR', style.status === 200 && !!style.body && cors(style.headers), style.status);
kit('g10_smart_need_patient_banner', '(g)(10) EHR', typeof tokens.need_patient_banner === 'boolean');
await openid('(g)(10) EHR', clients.symmetric, tokens);
await refreshes('(g)(10) EHR', clients.symmetric, tokens, true);

// 5, many patients: the authorization alone
await backend('(g)(10) multi-patient');

// 6, further launches
at = await authorize(clients.public, alice, 'launch/patient openid fhirUser offline_access patient/Patient.rs');
tokens = await launched('(g)(10) public', clients.public, at);
await unauthorizedAndPatient('(g)(10) public', tokens);
kit('g10_public_launch_id_token', '(g)(10) public', !!tokens.id_token);

at = await authorize(clients.asymmetric, alice, 'launch/patient openid fhirUser offline_access patient/Patient.rs');
tokens = await launched('(g)(10) asymmetric', clients.asymmetric, at);
await unauthorizedAndPatient('(g)(10) asymmetric', tokens);
kit('g10_asymmetric_launch_id_token', '(g)(10) asymmetric', !!tokens.id_token);
await refreshes('(g)(10) asymmetric', clients.asymmetric, tokens, true);

at = await authorize(clients.symmetric, alice, 'launch/patient openid patient/Patient.rs', { aud: 'https://inferno.example/invalid_aud' });
kit('g10_smart_invalid_aud-Test02', 'no code for another aud', !at.to?.searchParams.get('code') && at.to?.searchParams.get('error') === 'invalid_target', at.to?.search);

at = await authorize(clients.symmetric, alice, 'launch/patient openid patient/Patient.rs');
let bad = await exchange(clients.symmetric, at, { code: 'BAD_CODE' });
kit('g10_smart_invalid_token_request_stu2_2-Test03', 'a code that is none', bad.status === 400, bad.status);
bad = await post('/auth/token', { grant_type: 'authorization_code', code: at.to.searchParams.get('code'), redirect_uri: clients.symmetric.redirect, code_verifier: at.verifier },
  { authorization: `Basic ${Buffer.from(`BAD_CLIENT_ID:${webSecret}`).toString('base64')}` });
kit('g10_smart_invalid_token_request_stu2_2-Test04', 'a client that is none', [400, 401].includes(bad.status), bad.status);

for (const [id, verifier] of [['smart_no_verifier_token_request', () => undefined], ['smart_blank_verifier_token_request', () => ''], ['smart_bad_code_verifier_token_request', () => `${randomUUID()}-${randomUUID()}`],
  ['smart_plain_code_verifier_token_request', (v) => createHash('sha256').update(v).digest('base64url')]]) {
  at = await authorize(clients.symmetric, alice, 'launch/patient openid patient/Patient.rs');
  const given = verifier(at.verifier);
  const form = { grant_type: 'authorization_code', code: at.to.searchParams.get('code'), redirect_uri: clients.symmetric.redirect, ...(given === undefined ? {} : { code_verifier: given }) };
  bad = await toToken(clients.symmetric, form);
  kit(id, 'no token', [400, 401].includes(bad.status) && !bad.body.access_token, bad.body);
}

at = await authorize(clients.symmetric, bob, 'launch openid fhirUser offline_access patient/Patient.rs', { handle: await handleFor('web', 'bob') });
tokens = await launched('(g)(10) EHR, patient scopes', clients.symmetric, at);
await unauthorizedAndPatient('(g)(10) EHR, patient scopes', tokens);
kit('g10_patient_scope', '(g)(10) EHR, patient scopes', tokens.scope.split(' ').includes('patient/Patient.rs'), tokens.scope);

at = await authorize(clients.public, alice, oidcScopes);
tokens = await launched('(g)(10) introspection', clients.public, at);
await introspection('(g)(10)', tokens, 'chart');

const v1 = `launch/patient openid fhirUser offline_access ${each('patient', 'read')}`;
at = await authorize(clients.symmetric, alice, v1);
tokens = await launched('(g)(10) v1 scopes', clients.symmetric, at);
scopesGranted('(g)(10) v1 scopes', 'patient', ['openid', 'fhirUser', 'launch/patient', 'offline_access'], v1, tokens);
await unauthorizedAndPatient('(g)(10) v1 scopes', tokens);
await unrestricted('(g)(10) v1 scopes', tokens);

// finer-grained scopes, two groups; what was readable before with whole scopes is the measure
const condition = 'http://terminology.hl7.org/CodeSystem/condition-category';
const concern = 'http://hl7.org/fhir/us/core/CodeSystem/condition-category';
const observation = 'http://terminology.hl7.org/CodeSystem/observation-category';
const sdoh = 'http://hl7.org/fhir/us/core/CodeSystem/us-core-category';
const groups = [
  [`patient/Condition.rs?category=${condition}|encounter-diagnosis`, `patient/Condition.rs?category=${concern}|health-concern`, `patient/Observation.rs?category=${observation}|laboratory`, `patient/Observation.rs?category=${observation}|social-history`],
  [`patient/Condition.rs?category=${condition}|problem-list-item`, `patient/Observation.rs?category=${observation}|vital-signs`, `patient/Observation.rs?category=${observation}|survey`, `patient/Observation.rs?category=${sdoh}|sdoh`],
];
// of a patient with Conditions of both groups
const subject = await admin.value("SELECT substring(resource #>> '{subject,reference}' FROM 9) FROM condition GROUP BY 1 HAVING count(DISTINCT resource -> 'category') > 1 ORDER BY count(*) DESC, 1 LIMIT 1");
at = await authorize(clients.symmetric, bob, 'launch/patient openid fhirUser offline_access patient/Patient.rs patient/Observation.rs patient/Condition.rs', { patient: subject });
tokens = (await exchange(clients.symmetric, at)).body;
const before = {};
for (const type of ['Observation', 'Condition']) before[type] = (await read(`/${type}?_count=200&patient=${subject}`, tokens.access_token)).body.entry;
const categories = (entries) => entries.map((e) => `${e.resource.category?.[0].coding[0].system}|${e.resource.category?.[0].coding[0].code}`);
for (const [i, granular] of groups.entries()) {
  at = await authorize(clients.symmetric, bob, `launch/patient openid fhirUser offline_access patient/Patient.rs ${granular.join(' ')}`, { patient: subject });
  tokens = await launched(`(g)(10) finer-grained, group ${i + 1}`, clients.symmetric, at);
  const wanted = granular.map((s) => s.split('category=')[1]);
  const right = granular.every((s) => tokens.scope.split(' ').includes(s));
  const seen = {};
  let fits = right;
  for (const type of ['Observation', 'Condition']) {
    seen[type] = (await read(`/${type}?_count=200&patient=${tokens.patient}`, tokens.access_token)).body.entry;
    const should = before[type].filter((e) => categories([e]).some((c) => wanted.includes(c))).map((e) => e.fullUrl).sort();
    fits &&= should.length > 0 && should.length < before[type].length && JSON.stringify(seen[type].map((e) => e.fullUrl).sort()) === JSON.stringify(should);
    const other = before[type].find((e) => !should.includes(e.fullUrl));
    fits &&= [403, 404].includes((await read(other.fullUrl.slice(fhir.length), tokens.access_token)).status);
  }
  kit('g10_us_core_7_smart_fine_grained_scopes_stu2_2', `group ${i + 1}: those categories and nothing else`, fits, categories([...seen.Observation, ...seen.Condition]).filter((c) => !wanted.includes(c)));
}

// whole scopes are asked for, and the person chooses parts
for (const [types, id] of [[['Clinical Test', 'Laboratory', 'Social History', 'SDOH', 'Survey', 'Vital Signs'], 'Observation'], [['Encounter Diagnosis', 'Problem List', 'Health Concern'], 'Condition']]) {
  at = await authorize(clients.symmetric, alice, 'launch/patient openid fhirUser offline_access patient/Condition.rs patient/Observation.rs patient/Patient.rs', {
    tick: (scope, checked) => (/^patient\/(Condition|Observation)\./.test(scope) ? /laboratory|problem-list-item/.test(scope) : checked) });
  const boxes = fields(at.consent, 'scope').filter((s) => s.startsWith(`patient/${id}.`) && s.includes('?'));
  kit('g10_smart_granular_scope_selection', `${id}: ${types.join(', ')} are offered`, boxes.length >= types.length, boxes);
  tokens = (await exchange(clients.symmetric, at)).body;
  const granted = tokens.scope.split(' ');
  kit('g10_smart_granular_scope_selection', `${id}: only the part is granted`, !granted.some((s) => new RegExp(`^patient/${id}\\.[a-z*]+$`).test(s)) && granted.some((s) => s.startsWith(`patient/${id}.`) && s.includes('?category='))
    && granted.includes('patient/Patient.rs'), tokens.scope);
}

// revocation by the patient: the page, then the token and its refresh token
at = await authorize(clients.symmetric, alice, oidcScopes);
tokens = await launched('(g)(10) revocation', clients.symmetric, at);
const page = await alice.browser.go('/auth/manage');
const form = page.text.split('<form').slice(1).find((f) => f.includes('name="client_id" value="web"'));
const withdrawn = await alice.browser.go('/auth/manage/withdraw', { flow: field(form, 'flow'), client_id: 'web', ...(form.includes('name="patient"') ? { patient: field(form, 'patient') } : {}) });
kit('g10_token_revocation-Test01', 'a page where a person withdraws', withdrawn.status === 303, withdrawn.status);
kit('g10_token_revocation-Test02', 'the token is refused', [401, 403, 404].includes((await read(`/Patient/${tokens.patient}`, tokens.access_token)).status));
bad = await toToken(clients.symmetric, { grant_type: 'refresh_token', refresh_token: tokens.refresh_token });
kit('g10_token_revocation-Test03', 'the refresh token is refused', [400, 401].includes(bad.status), bad.body);

// 7: what a person attests, as far as a program can see it
at = await authorize(clients.public, alice, oidcScopes);
kit('g10_visual_inspection_and_attestations-Test03', 'a page asks the person, resource by resource', fields(at.consent, 'scope').some((s) => s.startsWith('patient/')));
kit('g10_visual_inspection_and_attestations-Test04', 'it says when access goes on after leaving', fields(at.consent, 'scope').includes('offline_access'), fields(at.consent, 'scope'));
const lifetime = await admin.value("SELECT (smart.server_configuration() ->> 'offline_lifetime')::int");
kit('g10_visual_inspection_and_attestations-Test05', 'refresh tokens are good for three months', lifetime >= 92 * 86400, lifetime);
kit('g10_visual_inspection_and_attestations-Test06', 'the server validates what it has issued', (await read('/Patient', tokens.access_token)).status === 401);
kit('g10_visual_inspection_and_attestations-Test08', 'a service sees no type that it was not registered for', await (async () => {
  const narrow = await post('/auth/token', { scope: 'system/Patient.rs', grant_type: 'client_credentials', client_assertion_type: jwtBearer, client_assertion: await assertion(backendKey, 'backend') });
  return (await read('/Observation', narrow.body.access_token)).status === 403;
})());
const native = await register({ client_name: 'Kit, native', token_endpoint_auth_method: 'none', application_type: 'native', redirect_uris: ['http://127.0.0.1/cb'], scope: wide, offline_access: true });
const nativeClient = { id: native.client_id, redirect: 'http://127.0.0.1:41234/cb', sign: async (f) => ({ form: { ...f, client_id: native.client_id }, headers: {} }) };
at = await authorize(nativeClient, alice, 'launch/patient offline_access patient/Patient.rs');
kit('g10_visual_inspection_and_attestations-Test13', 'a native app gets a refresh token', !!(await exchange(nativeClient, at)).body.refresh_token);
const clinical = await register({ client_name: 'Kit, clinical tests', token_endpoint_auth_method: 'none', redirect_uris: [redirect], scope: wide, offline_access: true });
const clinicalClient = { id: clinical.client_id, redirect, sign: async (f) => ({ form: { ...f, client_id: clinical.client_id }, headers: {} }) };
at = await authorize(clinicalClient, alice, 'launch/patient patient/Observation.rs', { tick: (scope) => scope.includes('|procedure') });
kit('g10_us_core_7_clinical_test_scope_attestation_stu2_2', 'clinical tests alone can be granted', /\|procedure$/.test((await exchange(clinicalClient, at)).body.scope ?? ''), fields(at.consent, 'scope'));

// ---- the page of the documentation names the same tests ----

const rows = readFileSync(new URL('../../doc/test-kits.md', import.meta.url), 'utf8').split('\n').filter((l) => l.startsWith('| `'));
const listed = new Set(rows.filter((l) => /\| passes \|$/.test(l)).flatMap((l) => [...l.split('|')[1].matchAll(/`([^`]+)`/g)].map((m) => m[1])));
is([...tested].filter((id) => !listed.has(id)), [], 'doc/test-kits.md lists each test that ran');
is([...listed].filter((id) => !tested.has(id)), [], 'each test that doc/test-kits.md says passes did run');

await admin.end();
finish();
