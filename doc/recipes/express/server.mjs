// Express before smart_fhir_oauth: relays what clients send, asks a person for consent, reads FHIR under the token.
// BASE is the address, PGHOST and PGDATABASE the database. Three pools, three roles, a duty each (doc/authorization-server.md).
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import express from 'express';
import pg from 'pg';

const base = process.env.BASE;
const pool = (user) => new pg.Pool({ user, max: 10 });
const [protocol, people, fhir] = ['front_protocol', 'front_people', 'front_fhir'].map(pool);
const value = async (from, text, ...values) => (await from.query({ text, values, rowMode: 'array' })).rows[0][0];

// What came twice is an array, for the database to refuse; bad UTF-8 is a URIError.
function parameters(text) {
  const result = Object.create(null);
  for (const pair of text.split('&').filter(Boolean)) {
    const [name, content = ''] = pair.replaceAll('+', ' ').split(/=(.*)/s).map(decodeURIComponent);
    if (`${name}${content}`.includes('\0')) throw new URIError('U+0000');
    result[name] = name in result ? [].concat(result[name], content) : content;
  }
  return result;
}
const form = [express.raw({ type: 'application/x-www-form-urlencoded', limit: '64kb' }), (request, response, next) => {
  if (!Buffer.isBuffer(request.body)) throw new URIError('not a form');
  request.form = parameters(new TextDecoder('utf-8', { fatal: true }).decode(request.body));
  next();
}];
const query = (request) => parameters(request.originalUrl.split('?')[1] ?? '');
const headers = ({ headers: { authorization, 'content-type': type } }) => ({ authorization, 'content-type': type });
const relay = (response, answer) => response.status(answer.status).set(answer.headers).end(answer.body === null ? undefined : JSON.stringify(answer.body));

const app = express();
app.disable('x-powered-by');

// ---- programs: outside a transaction, since what is good once is committed before the answer ----

for (const endpoint of ['token', 'introspect', 'revoke']) {
  app.options(`/auth/${endpoint}`, (request, response) => response.set({ 'access-control-allow-origin': '*', 'access-control-allow-methods': 'POST', 'access-control-allow-headers': 'authorization, content-type' }).status(204).end());
  app.post(`/auth/${endpoint}`, form, async (request, response) => {
    response.set('access-control-allow-origin', '*');
    relay(response, await value(protocol, `CALL smart.${endpoint}($1::jsonb, $2::jsonb, NULL)`, request.form, headers(request)));
  });
}
const document = (path, sql, ...values) => app.get(path, async (request, response) => response.set('access-control-allow-origin', '*').json(await value(protocol, sql, ...values)));
document('/fhir/.well-known/smart-configuration', 'SELECT smart.smart_configuration($1)', `${base}/fhir`);
document('/auth/.well-known/openid-configuration', 'SELECT smart.openid_configuration()');
document('/auth/jwks', 'SELECT smart.server_jwks()');

// ---- people: your own login goes here; the person of this recipe comes from the environment ----

const who = () => JSON.parse(process.env.PERSON);                     // {sub, fhirUser, authTime}
const key = randomBytes(32);
const seal = (text) => createHmac('sha256', key).update(text).digest('base64url');
const escape = (text) => String(text ?? '').replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
const page = (response, status, html) => response.status(status).set({ 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store', 'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'; base-uri 'none'" }).end(html);
function outcome(response, answer) {
  if (answer.status >= 300 && answer.status < 400) return relay(response, answer);
  return page(response, answer.status, `<h1>This app cannot go on</h1><p>${escape(answer.body.error_description)}</p>`);
}
app.get('/auth/authorize', async (request, response) => {
  const person = who();
  const asked = await value(people, 'SELECT smart.authorize($1::jsonb, $2::jsonb)', query(request), { sub: person.sub, fhirUser: person.fhirUser });
  if (asked.status !== 200) return outcome(response, asked);
  const state = Buffer.from(JSON.stringify({ request: query(request), sub: person.sub, until: Date.now() + 600000 })).toString('base64url');
  return page(response, 200, `<h1>Allow ${escape(asked.body.client.client_name ?? asked.body.client.client_id)}?</h1><form method="post" action="/auth/consent">
    <input type="hidden" name="state" value="${state}.${seal(state)}">${asked.body.scopes.map((s) => `<label><input type="checkbox" name="scope" value="${escape(s.scope)}" checked> ${escape(s.text)}</label>`).join('')}
    <button name="decision" value="allow">Allow</button><button name="decision" value="deny">Deny</button></form>`);
});
app.post('/auth/consent', form, async (request, response) => {
  const [state, tag] = String(request.form.state ?? '').split('.');
  const right = seal(state);
  const person = who();
  const asked = tag?.length === right.length && timingSafeEqual(Buffer.from(tag), Buffer.from(right)) ? JSON.parse(Buffer.from(state, 'base64url')) : null;
  if (!asked || asked.until < Date.now() || asked.sub !== person.sub) return page(response, 400, '<h1>This page is too old</h1>');
  return outcome(response, await value(people, 'SELECT smart.approve($1::jsonb, $2::jsonb)', asked.request, request.form.decision === 'allow'
    ? { sub: person.sub, fhirUser: person.fhirUser, auth_time: person.authTime, scope: [].concat(request.form.scope ?? []).join(' ') } : { denied: true }));
});

// ---- FHIR: a transaction for each request, under its token ----

app.get('/fhir/Patient/:id', async (request, response) => {
  const token = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
  const refuse = (status, error) => response.status(status).set('www-authenticate', `Bearer${error ? ` error="${error}"` : ''}`).json({ resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'security' }] });
  if (!token) return refuse(401);
  const client = await fhir.connect();
  let broken;
  try {
    await client.query('BEGIN');
    await client.query('SELECT smart.login($1, true, $2)', [token, 'read']);
    const { rows } = await client.query('SELECT resource::text FROM patient WHERE id = $1', [request.params.id]);
    await client.query('COMMIT');
    return rows.length ? response.type('application/fhir+json').end(rows[0].resource) : response.status(404).json({ resourceType: 'OperationOutcome', issue: [{ severity: 'error', code: 'not-found' }] });
  } catch (error) {
    await client.query('ROLLBACK').catch((e) => { broken = e; });
    if (error.schema === 'smart' && error.code === '28000') return refuse(401, 'invalid_token');
    if (error.code === '42501') return refuse(403, 'insufficient_scope');
    throw error;
  } finally {
    client.release(broken);
  }
});

// bodies over the limit, bad UTF-8, U+0000: 400; the rest is for the log, without what was sent
app.use((error, request, response, next) => {
  if (error instanceof URIError || error instanceof TypeError || error.type === 'entity.too.large') return response.status(400).json({ error: 'invalid_request' });
  console.error(error.code ?? error.name);
  return response.headersSent ? next(error) : response.status(500).end();
});
app.listen(process.env.PORT, '127.0.0.1', () => console.log('listening'));
