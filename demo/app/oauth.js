// demo/app/oauth.js: the pages between an authorization request and its answer, and the relays of the other endpoints.
// What is granted, to whom and how is the database's decision; here is known who sits before the browser.
import * as db from './database.js';
import * as login from './login.js';
import * as pages from './pages.js';
import * as web from './web.js';
import { lastEncounter, patientsOf } from './fhir.js';

const html = (response, status, content, target, headers = {}) => web.send(response, status, { ...pages.headers(target), ...headers }, content);

const person = (session, flow) => session?.user
  ? { sub: session.user.sub, fhirUser: session.user.fhirUser, ...(flow.patient ? { patient: flow.patient } : {}) } : null;

// Has the request's own wish for a fresh login been met?
function loggedIn(session, asked, flow) {
  if (!session?.user) return false;
  const prompts = (asked.prompt ?? '').split(' ');
  if ((prompts.includes('login') || prompts.includes('select_account')) && !flow.loggedIn) return false;
  return asked.max_age == null || flow.loggedIn || Date.now() / 1000 - session.authTime <= asked.max_age;
}

// The next page of an authorization request, or its end.
async function next(response, id, flow, note = {}) {
  const session = login.session(id);
  const answer = await db.value(db.people, 'SELECT smart.authorize($1::jsonb, $2::jsonb)', flow.request, person(session, flow));
  const target = flow.request.redirect_uri;
  if (answer.status !== 200) {
    if (answer.status >= 300 && answer.status < 400) return web.relay(response, answer);
    return html(response, answer.status, pages.error('This app cannot go on', `${answer.body.error}: ${answer.body.error_description ?? ''}`));
  }
  const asked = answer.body;
  const cookie = note.cookie ?? {};
  if (!loggedIn(session, asked, flow) || (asked.needs.includes('user') && !flow.loggedIn)) {
    if (String(flow.request.prompt ?? '').split(' ').includes('none')) {
      // the database says so itself where nobody is signed in; here only for a login that is too old
      return web.relay(response, await db.value(db.people, 'SELECT smart.authorize($1::jsonb, NULL)', flow.request));
    }
    return html(response, 200, pages.login(login.sign(flow, id), '/auth/login', note.failed), target, cookie);
  }
  if (asked.needs.includes('patient')) {
    return html(response, 200, pages.patients(login.sign(flow, id), await patientsOf(session.user)), target, cookie);
  }
  if (asked.needs.includes('consent')) {
    const patient = flow.patient ?? asked.launch?.patient;
    const name = patient && (await patientsOf(session.user, patient))[0]?.name;
    return html(response, 200, pages.consent(login.sign({ ...flow, asked: true }, id), asked, name || patient), target, cookie);
  }
  return approve(response, session, flow, { scope: asked.scopes.map((s) => s.scope).join(' ') });
}

async function approve(response, session, flow, decision) {
  const approval = decision.denied ? { denied: true, sub: session.user.sub, fhirUser: session.user.fhirUser } : {
    sub: session.user.sub, fhirUser: session.user.fhirUser, scope: decision.scope, auth_time: session.authTime, session: session.id,
    ...(flow.patient ? { patient: flow.patient } : {}),
  };
  const answer = await db.value(db.people, 'SELECT smart.approve($1::jsonb, $2::jsonb)', flow.request, approval);
  if (answer.status >= 300 && answer.status < 400) return web.relay(response, answer);
  return html(response, answer.status, pages.error('This app cannot go on', `${answer.body.error}: ${answer.body.error_description ?? ''}`));
}

// The state of a form, or a page that says that it is too old; asking: one of the pages between a request and its answer.
function opened(request, response, form, asking = false) {
  const id = web.cookies(request).demo_session;
  const flow = login.session(id) ? login.open(form.flow, id) : null;
  if (flow && (!asking || flow.request)) return { id, flow, session: login.session(id) };
  html(response, 400, pages.error('This page is too old', 'Start again from the app.'));
  return null;
}

export async function authorize(request, response, url) {
  const asked = request.method === 'POST' ? await web.form(request) : web.parameters(url.search.slice(1));
  let id = web.cookies(request).demo_session;
  let cookie = {};
  if (!login.session(id)) {
    id = login.begin(null);
    cookie = { 'set-cookie': login.cookie(id) };
  }
  return next(response, id, { request: asked }, { cookie });
}

export async function postLogin(request, response) {
  const form = await web.form(request);
  const at = opened(request, response, form);
  if (!at) return undefined;
  if (!login.passwordFits(form.username, form.password)) {
    return html(response, 200, pages.login(login.sign(at.flow, at.id), at.flow.request ? '/auth/login' : '/login', true), at.flow.request?.redirect_uri);
  }
  login.finish(at.id);
  const id = login.begin(login.users[form.username]);
  const cookie = { 'set-cookie': login.cookie(id) };
  if (!at.flow.request) return web.redirect(response, at.flow.back ?? '/', cookie);
  response.setHeader('set-cookie', login.cookie(id));
  return next(response, id, { ...at.flow, loggedIn: true });
}

export async function postPatient(request, response) {
  const form = await web.form(request);
  const at = opened(request, response, form, true);
  if (!at) return undefined;
  if (!at.session.user || typeof form.patient !== 'string' || !form.patient) return next(response, at.id, at.flow);
  return next(response, at.id, { ...at.flow, patient: form.patient });
}

export async function postConsent(request, response) {
  const form = await web.form(request);
  const at = opened(request, response, form, true);
  if (!at) return undefined;
  if (!at.session.user || !at.flow.asked) return next(response, at.id, at.flow);
  if (form.decision !== 'allow') return approve(response, at.session, at.flow, { denied: true });
  return approve(response, at.session, at.flow, { scope: [].concat(form.scope ?? []).join(' ') });
}

// ---- a device that has no browser (RFC 8628): the person types its code here ----

export async function device(request, response) {
  const who = signedIn(request);
  if (!who) return askLogin(response, '/auth/device');
  return html(response, 200, pages.device(login.sign({}, who.id), who.user));
}

// The code, the patient, the decision: each page's form brings the state of those before.
export async function postDevice(request, response) {
  const form = await web.form(request);
  const at = opened(request, response, form);
  if (!at) return undefined;
  if (!at.session.user) return askLogin(response, '/auth/device');
  const flow = { ...at.flow };
  if (typeof form.user_code === 'string') flow.device = form.user_code;
  if (typeof form.patient === 'string' && form.patient) flow.patient = form.patient;
  if (!flow.device) return html(response, 200, pages.device(login.sign({}, at.id), at.session.user));
  const again = (answer) => html(response, answer.status, pages.device(login.sign({}, at.id), at.session.user,
    answer.status === 429 ? 'Too many codes that are not known. Wait a minute.' : answer.status === 404 ? 'This code is not known, was used or has expired.' : answer.body.error_description));
  if (flow.asked && form.decision) {
    const { sub, fhirUser } = at.session.user;
    const answer = await db.value(db.people, 'SELECT smart.approve_device($1, $2::jsonb)', flow.device, form.decision === 'allow'
      ? { sub, fhirUser, scope: [].concat(form.scope ?? []).join(' '), session: at.session.id, ...(flow.patient ? { patient: flow.patient } : {}) } : { denied: true, sub });
    return answer.status === 200 ? html(response, 200, pages.connected(answer.body.approved)) : again(answer);
  }
  const answer = await db.value(db.people, 'SELECT smart.device_request($1, $2::jsonb)', flow.device, person(at.session, flow));
  if (answer.status !== 200) return again(answer);
  if (answer.body.needs.includes('patient')) return html(response, 200, pages.patients(login.sign(flow, at.id), await patientsOf(at.session.user), '/auth/device'));
  return html(response, 200, pages.consent(login.sign({ ...flow, asked: true }, at.id), answer.body, flow.patient, '/auth/device'));
}

// ---- what a person has allowed, and the launch from the page of patients ----

const signedIn = (request) => {
  const id = web.cookies(request).demo_session;
  const session = login.session(id);
  return session?.user ? { id, session, user: session.user } : null;
};

function askLogin(response, back) {
  const id = login.begin(null);
  return html(response, 200, pages.login(login.sign({ back }, id), '/login'), undefined, { 'set-cookie': login.cookie(id) });
}

export async function home(request, response) {
  const who = signedIn(request);
  if (!who) return askLogin(response, '/');
  return html(response, 200, pages.home(login.sign({}, who.id), who.user, await patientsOf(who.user), 'Chart'));
}

export async function launch(request, response, base) {
  const form = await web.form(request);
  const at = opened(request, response, form);
  if (!at) return undefined;
  if (!at.session.user) return askLogin(response, '/');
  if (typeof form.patient !== 'string' || !(await patientsOf(at.session.user, form.patient)).length) return html(response, 404, pages.error('No such patient', 'Choose one of the list.'));
  const handle = await db.value(db.people, 'SELECT smart.create_launch($1, $2::jsonb, $3, $4)', 'chart',
    { patient: form.patient, encounter: await lastEncounter(form.patient), need_patient_banner: true, smart_style_url: `${base}/smart-style-1.json` }, at.session.user.fhirUser, at.session.user.sub);
  return web.redirect(response, `/apps/chart/launch?iss=${encodeURIComponent(`${base}/fhir`)}&launch=${encodeURIComponent(handle)}`);
}

export async function logout(request, response) {
  const form = await web.form(request);
  const at = opened(request, response, form);
  if (!at) return undefined;
  if (at.session.user) await db.people.query('SELECT smart.end_user_session($1, $2)', [at.session.user.sub, at.id]);
  login.finish(at.id);
  return web.redirect(response, '/', { 'set-cookie': 'demo_session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0' });
}

export async function manage(request, response) {
  const who = signedIn(request);
  if (!who) return askLogin(response, '/auth/manage');
  const { rows } = await db.people.query('SELECT * FROM smart.grants WHERE sub = $1 ORDER BY granted_at', [who.user.sub]);
  return html(response, 200, pages.manage(login.sign({}, who.id), who.user, rows));
}

export async function withdraw(request, response) {
  const form = await web.form(request);
  const at = opened(request, response, form);
  if (!at) return undefined;
  if (!at.session.user) return askLogin(response, '/auth/manage');
  if (typeof form.client_id !== 'string' || Array.isArray(form.patient)) throw new web.HttpError(400, 'which app?');
  await db.people.query('SELECT smart.withdraw_grant($1, $2, $3)', [at.session.user.sub, form.client_id, form.patient ?? null]);
  return web.redirect(response, '/auth/manage');
}

// ---- endpoints of programs ----

const read = (request) => Object.fromEntries(['authorization', 'content-type'].filter((n) => n in request.headers).map((n) => [n, request.headers[n]]));

const callers = {
  device_authorization: (asked, headers) => db.value(db.protocol, 'SELECT smart.device_authorization($1::jsonb, $2::jsonb)', asked, headers),
};

export async function endpoint(procedure, request, response) {
  let asked;
  try {
    asked = await web.form(request);
  } catch (error) {
    if (!(error instanceof web.HttpError)) throw error;
    return web.sendJson(response, 400, { error: 'invalid_request', error_description: error.message }, { pragma: 'no-cache' });
  }
  return web.relay(response, await (callers[procedure] ?? ((...message) => db.call(procedure, ...message)))(asked, read(request)));
}

export const userinfo = async (request, response) => web.relay(response, await db.value(db.protocol, 'SELECT smart.userinfo($1::jsonb)', read(request)));

export async function register(request, response) {
  let metadata = null;
  try { metadata = web.json(await web.body(request)); } catch (error) { if (!(error instanceof web.HttpError)) throw error; }
  if (metadata === null || typeof metadata !== 'object') {
    return web.sendJson(response, 400, { error: 'invalid_client_metadata', error_description: 'The body is not a JSON object.' }, { pragma: 'no-cache' });
  }
  return web.relay(response, await db.value(db.protocol, 'SELECT smart.register($1::jsonb, $2::jsonb)', metadata, read(request)));
}

export const document = async (response, sql, ...parameters) =>
  web.sendJson(response, 200, await db.value(db.protocol, sql, ...parameters), { 'cache-control': 'public, max-age=60' });
