// demo/app/fhir.js: the FHIR endpoint. Each request runs under its token; which rows there are is the database's decision.
import { randomUUID, createPrivateKey, sign } from 'node:crypto';
import * as db from './database.js';
import * as web from './web.js';

const json = { 'content-type': 'application/fhir+json; charset=utf-8', 'cache-control': 'no-store' };
const tables = new Map();       // resource type -> quoted table name
let base;                       // of this FHIR server
let backend;                    // the front end's own client, for its list of patients

export async function start(fhirBase, ownClient) {
  base = fhirBase;
  backend = ownClient;
  const { rows } = await db.fhir.query(`SELECT obj_description(oid, 'pg_class') AS type, oid::regclass::text AS name FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND obj_description(oid, 'pg_class') ~ '^[A-Z][A-Za-z]+$'`);
  for (const { type, name } of rows) tables.set(type, name);
}

const outcome = (code, diagnostics) => ({ resourceType: 'OperationOutcome', issue: [{ severity: 'error', code, diagnostics }] });
const send = (response, status, resource, headers = {}) =>
  web.send(response, status, { ...json, ...headers }, resource === null ? undefined : typeof resource === 'string' ? resource : JSON.stringify(resource));
const fail = (response, status, code, diagnostics, headers) => send(response, status, outcome(code, diagnostics), headers);

const challenge = (error) => ({ 'www-authenticate': `Bearer realm="fhir"${error ? `, error="${error}"` : ''}` });

// What the database said, as HTTP says it. The schema name tells our errors from those of others with the same SQLSTATE.
function refuse(request, response, error) {
  if (error.schema === 'smart' && error.code === '28000') return fail(response, 401, 'login', 'The access token is not accepted.', challenge('invalid_token'));
  if (error.code === '42501') return fail(response, 403, 'forbidden', 'The access token does not allow this.', challenge('insufficient_scope'));
  // what jsonb does not hold: numbers without end, nesting without end
  if (/^(22|54)/.test(error.code)) return fail(response, 400, 'invalid', 'The request holds a value that cannot be stored.');
  if (error.code === '23505') return fail(response, 409, 'conflict', 'There is such a resource already.');
  if (error.code === '40001' || error.code === '40P01') return fail(response, 503, 'transient', 'Try again.', { 'retry-after': '1' });
  web.note(request, error);
  return fail(response, 500, 'exception', 'Something went wrong. Try again later.');
}

// ---- search ----

const first = (...paths) => `coalesce(${paths.map((p) => `resource #>> '{${p.replaceAll('.', ',')}}'`).join(', ')})`;
const dateText = first('effectiveDateTime', 'effectivePeriod.start', 'authoredOn', 'onsetDateTime', 'recordedDate', 'performedDateTime',
  'performedPeriod.start', 'occurrenceDateTime', 'period.start', 'date', 'issued', 'recorded', 'birthDate');

// Whose a row is, as a search for a patient means it: the compartment, and a Device's patient, which is in none.
const about = (type, patients) => (type === 'Device' ? `resource #>> '{patient,reference}' = ANY (SELECT 'Patient/' || p FROM unnest(${patients}) p)` : `smart.patients(resource) && ${patients}`);

function condition(type, name, value, bind) {
  if (value === '') return null;
  const any = value.split(',');
  switch (name) {
    case '_id': return `id = ANY (${bind(any)}::text[])`;
    case 'patient': case 'subject':
      return about(type, `${bind(any.map((v) => v.replace(/^Patient\//, '')))}::text[]`);
    case 'category': case 'code': {
      const path = name === 'category' ? '$.category.coding' : '$.code.coding, $.medicationCodeableConcept.coding, $.vaccineCode.coding';
      return `(${any.map((v) => {
        const [system, code] = v.includes('|') ? v.split('|') : [null, v];
        const fits = [code !== '' && `c ->> 'code' = ${bind(code)}`, system !== null && (system === '' ? `c ->> 'system' IS NULL` : `c ->> 'system' = ${bind(system)}`)].filter(Boolean);
        return path.split(', ').map((p) => `EXISTS (SELECT FROM jsonb_path_query(resource, '${p}[*]') c WHERE ${fits.join(' AND ') || 'true'})`).join(' OR ');
      }).join(' OR ')})`;
    }
    case 'status': case 'intent':
      return `resource ->> '${name}' = ANY (${bind(any)}::text[])`;
    case 'date': {
      const [, prefix = 'eq', at] = /^(eq|ne|gt|lt|ge|le|sa|eb)?(\d{4}(?:-\d{2}(?:-\d{2}(?:T[\d:.]+(?:Z|[+-]\d{2}:\d{2})?)?)?)?)$/.exec(value) ?? [];
      if (!at) throw new web.HttpError(400, 'date');
      const operator = { eq: '=', ne: '<>', gt: '>', sa: '>', lt: '<', eb: '<', ge: '>=', le: '<=' }[prefix];
      return `left(${dateText}, ${at.length}) ${operator} ${bind(at)}`;
    }
    default: throw new web.HttpError(400, name);
  }
}

async function search(client, type, asked) {
  const values = [];
  const bind = (v) => `$${values.push(v)}`;
  for (const name of ['_count', '_after']) if (Array.isArray(asked[name])) throw new web.HttpError(400, `${name} came twice`);
  const count = Math.min(Math.max(Number.parseInt(asked._count ?? '50', 10) || 0, 0), 200);
  const where = ['true'];
  for (const [name, given] of Object.entries(asked)) {
    if (['_count', '_after', '_format', '_sort'].includes(name)) continue;
    for (const one of [].concat(given)) {
      const c = condition(type, name, one, bind);
      if (c) where.push(c);
    }
  }
  if (asked._after) where.push(`id > ${bind(asked._after)}`);
  const { rows } = await client.query(
    `SELECT id, resource::text FROM ${tables.get(type)} WHERE ${where.join(' AND ')} ORDER BY id LIMIT ${count + 1}`, values);
  const more = rows.length > count;
  const shown = rows.slice(0, count);
  const query = new URLSearchParams();
  for (const [name, given] of Object.entries(asked)) if (name !== '_after') for (const one of [].concat(given)) query.append(name, one);
  const link = [{ relation: 'self', url: `${base}/${type}?${query}` }];
  if (more && shown.length) {
    query.set('_after', shown.at(-1).id);
    link.push({ relation: 'next', url: `${base}/${type}?${query}` });
  }
  return bundle(shown.map((r) => [type, r.id, r.resource]), link);
}

// Resources pass through as the database's own text: JSON.parse() and JSON.stringify() would make 1.5 of a decimal 1.50, whose precision counts (R4 datatypes, decimal).
const bundle = (rows, link) => `{"resourceType":"Bundle","type":"searchset","link":${JSON.stringify(link)},"entry":[${
  rows.map(([type, id, text]) => `{"fullUrl":${JSON.stringify(`${base}/${type}/${id}`)},"resource":${text},"search":{"mode":"match"}}`)}]}`;

async function everything(client, id) {
  const rows = [];
  const { rows: found } = await client.query(`SELECT id, resource::text FROM ${tables.get('Patient')} WHERE id = $1`, [id]);
  if (!found.length) return null;
  for (const [type, name] of tables) {
    const { rows: some } = await client.query(type === 'Patient' ? `SELECT id, resource::text FROM ${name} WHERE id = $1`
      : `SELECT id, resource::text FROM ${name} WHERE ${about(type, 'ARRAY[$1::text]')} ORDER BY id LIMIT 1000`, [id]);
    rows.push(...some.map((r) => [type, r.id, r.resource]));
  }
  return bundle(rows, [{ relation: 'self', url: `${base}/Patient/${id}/$everything` }]);
}

// ---- the endpoint ----

function bearer(request) {
  const found = /^Bearer +([A-Za-z0-9._~+/=-]+) *$/i.exec(request.headers.authorization ?? '');
  return found?.[1];
}

const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);

async function resourceOf(request) {
  const text = await web.body(request, 1024 * 1024);
  const resource = web.json(text);
  if (!isObject(resource) || !isObject(resource.meta ?? {})) throw new web.HttpError(400, 'not a resource');
  return { resource, text };
}

// The text of a resource with the server's own id and meta.
async function stamp(client, text, id, version) {
  const { rows } = await client.query(`SELECT ($1::text::jsonb || jsonb_build_object('id', $2::text, 'meta',
      coalesce(nullif($1::text::jsonb -> 'meta', 'null'), '{}') || jsonb_build_object('versionId', $3::text, 'lastUpdated', $4::text)))::text AS text`,
    [text, id, version, new Date().toISOString()]);
  return rows[0].text;
}

export async function handle(request, response, path, query) {
  if (web.cors(request, response, 'GET, POST, PUT, DELETE')) return undefined;
  if (path === '/.well-known/smart-configuration') {
    return web.sendJson(response, 200, await db.value(db.protocol, 'SELECT smart.smart_configuration($1)', base), { 'cache-control': 'public, max-age=60' });
  }
  if (path === '/metadata' && request.method === 'GET') return send(response, 200, await metadata());
  const token = bearer(request);
  if (!token) return fail(response, 401, 'login', 'A bearer token is needed.', challenge(null));
  try {
    return await route(request, response, path, query, token);
  } catch (error) {
    if (error instanceof web.HttpError) return fail(response, error.status, 'invalid', `The request is not understood: ${error.message}.`);
    return refuse(request, response, error);
  }
}

async function route(request, response, path, query, token) {
  const [, type, id, operation, ...rest] = path.split('/');
  const method = request.method;
  if (type === undefined || !tables.has(type)) {
    return db.withToken(token, null, async () => fail(response, 404, 'not-found', 'This server has no such resource type.'));
  }
  const table = tables.get(type);
  if (rest.length || (id !== undefined && !/^[A-Za-z0-9.-]{1,64}$/.test(id) && id !== '_search')) return fail(response, 404, 'not-found', 'There is no such resource.');

  if ((method === 'GET' && id === undefined) || (method === 'POST' && id === '_search' && operation === undefined)) {
    const asked = { ...web.parameters(query), ...(method === 'POST' ? await web.form(request) : {}) };
    const found = await db.withToken(token, 'search', async (client) => {
      await client.query('SELECT smart.require($1, $2)', [type, 's']);
      return search(client, type, asked);
    });
    return send(response, 200, found);
  }
  if (method === 'GET' && operation === '$everything' && type === 'Patient') {
    const found = await db.withToken(token, null, async (client) => {
      await client.query('SELECT smart.require($1, $2)', ['Patient', 'rs']);
      return everything(client, id);
    });
    return found ? send(response, 200, found) : fail(response, 404, 'not-found', 'There is no such resource.');
  }
  if (operation !== undefined) return db.withToken(token, null, async () => fail(response, 404, 'not-supported', 'This server has no such operation; history is off.'));
  if (method === 'GET') {
    const row = await db.withToken(token, 'read', async (client) => {
      await client.query('SELECT smart.require($1, $2)', [type, 'r']);
      return (await client.query(`SELECT resource::text, resource #>> '{meta,versionId}' AS version FROM ${table} WHERE id = $1`, [id])).rows[0];
    });
    return row ? send(response, 200, row.resource, row.version ? { etag: `W/"${row.version}"` } : {})
      : fail(response, 404, 'not-found', 'There is no such resource.');
  }
  if (method === 'POST' && id === undefined) {
    const { resource, text } = await resourceOf(request);
    if (resource.resourceType !== type) throw new web.HttpError(400, 'resourceType is not the type of the address');
    const newId = randomUUID();
    const stored = await db.withToken(token, 'create', async (client) => {
      await client.query('SELECT smart.require($1, $2)', [type, 'c']);
      const next = await stamp(client, text, newId, '1');
      await client.query(`INSERT INTO ${table} (id, resource) VALUES ($1, $2::text::jsonb)`, [newId, next]);
      return next;
    });
    return send(response, 201, stored, { location: `${base}/${type}/${newId}/_history/1`, etag: 'W/"1"' });
  }
  if (method === 'PUT' && id !== undefined) {
    const { resource, text } = await resourceOf(request);
    if (resource.resourceType !== type || resource.id !== id) throw new web.HttpError(400, 'resourceType and id are not those of the address');
    const stored = await db.withToken(token, 'update', async (client) => {
      await client.query('SELECT smart.require($1, $2)', [type, 'u']);
      const { rows } = await client.query(`SELECT resource #>> '{meta,versionId}' AS version FROM ${table} WHERE id = $1`, [id]);
      const version = String((Number(rows[0]?.version) || 0) + 1);
      const next = await stamp(client, text, id, version);
      return (await client.query(`UPDATE ${table} SET resource = $2::text::jsonb WHERE id = $1`, [id, next])).rowCount ? { next, version } : null;
    });
    return stored ? send(response, 200, stored.next, { etag: `W/"${stored.version}"` }) : fail(response, 404, 'not-found', 'There is no such resource.');
  }
  if (method === 'DELETE' && id !== undefined) {
    const gone = await db.withToken(token, 'delete', async (client) => {
      await client.query('SELECT smart.require($1, $2)', [type, 'd']);
      return (await client.query(`DELETE FROM ${table} WHERE id = $1`, [id])).rowCount;
    });
    return gone ? send(response, 204, null) : fail(response, 404, 'not-found', 'There is no such resource.');
  }
  return fail(response, 405, 'not-supported', 'This method has no meaning here.', { allow: id === undefined ? 'GET, POST' : 'GET, PUT, DELETE' });
}

async function metadata() {
  const security = await db.value(db.protocol, 'SELECT smart.capability_security()');
  const searchParam = [['_id', 'token'], ['patient', 'reference'], ['category', 'token'], ['code', 'token'], ['status', 'token'], ['intent', 'token'], ['date', 'date']].map(([name, type]) => ({ name, type }));
  return {
    resourceType: 'CapabilityStatement', status: 'active', date: '2026-01-01', kind: 'instance', fhirVersion: '4.0.1', format: ['json'],
    implementation: { description: 'Demonstration of smart_fhir', url: base },
    rest: [{ mode: 'server', security, resource: [...tables.keys()].sort().map((type) => ({
      type, versioning: 'no-version', interaction: ['read', 'search-type', 'create', 'update', 'delete'].map((code) => ({ code })), searchParam,
      ...(type === 'Patient' ? { operation: [{ name: 'everything', definition: 'http://hl7.org/fhir/OperationDefinition/Patient-everything' }] } : {}),
    })) }],
  };
}

// ---- the front end's own list of patients, as a backend service of its own authorization server ----

let own = { token: null, until: 0 };
async function ownToken() {
  if (own.until > Date.now()) return own.token;
  const part = (o) => Buffer.from(JSON.stringify(o)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const input = `${part({ alg: 'ES384', kid: backend.jwk.kid, typ: 'JWT' })}.${part({
    iss: backend.clientId, sub: backend.clientId, aud: backend.tokenEndpoint, iat: now, exp: now + 60, jti: randomUUID() })}`;
  const signature = sign('sha384', Buffer.from(input), { key: createPrivateKey({ key: backend.jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' });
  const answer = await db.call('token', {
    grant_type: 'client_credentials', scope: 'system/Patient.rs system/Encounter.rs', client_assertion: `${input}.${signature.toString('base64url')}`,
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
  }, { 'content-type': 'application/x-www-form-urlencoded' });
  if (answer.status !== 200) throw new Error(`the front end got no token: ${answer.body?.error}`);
  own = { token: answer.body.access_token, until: Date.now() + answer.body.expires_in * 500 };
  return own.token;
}

// Whom a person may choose: a patient himself, staff everybody. The first of them, or the one with this id.
export async function patientsOf(user, id = null) {
  const self = /^Patient\/(.+)$/.exec(user.fhirUser)?.[1];
  const { rows } = await db.withToken(await ownToken(), 'search', (client) => client.query(
    `SELECT id, concat_ws(' ', resource #>> '{name,0,given,0}', resource #>> '{name,0,family}') AS name, resource ->> 'birthDate' AS "birthDate"
     FROM ${tables.get('Patient')} WHERE ($1::text IS NULL OR id = $1) AND ($2::text IS NULL OR id = $2) ORDER BY 2, 1 LIMIT 200`, [self ?? null, id]));
  return rows;
}

// The patient's last encounter, for the context of a launch.
export async function lastEncounter(patient) {
  if (!tables.has('Encounter')) return undefined;
  const { rows } = await db.withToken(await ownToken(), 'search', (client) => client.query(
    `SELECT id FROM ${tables.get('Encounter')} WHERE smart.patients(resource) @> ARRAY[$1::text] ORDER BY ${dateText} DESC, id LIMIT 1`, [patient]));
  return rows[0]?.id;
}
