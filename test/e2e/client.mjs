// test/e2e/client.mjs: what the walks over HTTP share: TAP, a browser without script that keeps cookies, forms, and the way from an
// authorization request to its tokens. The first argument of the program is the demonstration's address.
import { createHash, randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';

// Packages of the demonstration: fhirclient, pg.
export const demo = createRequire(new URL('../../demo/app/package.json', import.meta.url));

export const base = process.argv[2];
export const fhir = `${base}/fhir`;

let n = 0; let failed = 0;
export function ok(right, name, seen) {
  n++;
  if (!right) { failed++; if (seen !== undefined) console.log(`# saw ${JSON.stringify(seen)}`); }
  console.log(`${right ? 'ok' : 'not ok'} ${n} - ${name}`);
}
export const is = (seen, wanted, name) => ok(JSON.stringify(seen) === JSON.stringify(wanted), name, seen);
export function finish() {
  console.log(`1..${n}`);
  process.exit(failed ? 1 : 0);
}

export class Browser {
  cookies = new Map();
  async go(url, form) {
    const response = await fetch(new URL(url, base), {
      redirect: 'manual', method: form ? 'POST' : 'GET',
      headers: { cookie: [...this.cookies].map(([k, v]) => `${k}=${v}`).join('; '), ...(form ? { 'content-type': 'application/x-www-form-urlencoded' } : {}) },
      body: form ? new URLSearchParams(form) : undefined,
    });
    for (const c of response.headers.getSetCookie()) { const [pair] = c.split(';'); const at = pair.indexOf('='); this.cookies.set(pair.slice(0, at), pair.slice(at + 1)); }
    return { status: response.status, location: response.headers.get('location'), headers: response.headers, text: await response.text() };
  }
}
export const unescape = (t) => t.replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
export const field = (page, name) => unescape(new RegExp(`name="${name}" value="([^"]*)"`).exec(page)?.[1] ?? '');
export const fields = (page, name) => [...page.matchAll(new RegExp(`name="${name}" value="([^"]*)"`, 'g'))].map((m) => unescape(m[1]));

export function pkce() {
  const verifier = randomBytes(32).toString('base64url');
  return { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') };
}
export const request = (more, challenge) => `/auth/authorize?${new URLSearchParams({ response_type: 'code', client_id: 'chart', redirect_uri: `${base}/apps/chart/`,
  state: 'a state/with=odd&bytes', aud: fhir, code_challenge: challenge, code_challenge_method: 'S256', ...more })}`;
export async function post(path, form, headers = {}) {
  const response = await fetch(base + path, { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers }, body: new URLSearchParams(form) });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text ? JSON.parse(text) : null };
}
export async function get(path, token) {
  const response = await fetch(fhir + path, { headers: token ? { authorization: `Bearer ${token}` } : {} });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text ? JSON.parse(text) : null };
}
export const exchange = (code, verifier, more = {}) => post('/auth/token', { grant_type: 'authorization_code', code, redirect_uri: `${base}/apps/chart/`, client_id: 'chart', code_verifier: verifier, ...more });

// The whole of it: from the request to the code.
export async function obtain(browser, user, scope, choose = {}) {
  const { verifier, challenge } = pkce();
  let page = await browser.go(request({ scope, ...choose.request }, challenge));
  if (page.text.includes('name="username"')) page = await browser.go('/auth/login', { flow: field(page.text, 'flow'), username: user, password: user });
  if (page.text.includes('name="patient"')) page = await browser.go('/auth/patient', { flow: field(page.text, 'flow'), patient: choose.patient ?? fields(page.text, 'patient')[0] });
  let consent = null;
  if (page.text.includes('name="decision"')) {
    consent = page;
    const ticked = choose.tick ?? [...page.text.matchAll(/name="scope" value="([^"]*)" checked/g)].map((m) => unescape(m[1]));
    page = await browser.go('/auth/consent', [['flow', field(page.text, 'flow')], ['decision', choose.decision ?? 'allow'], ...ticked.map((s) => ['scope', s])]);
  }
  return { page, verifier, consent, to: page.location ? new URL(page.location) : null };
}

// Whoever administers the demonstration's database: clients that it has not by itself. Its socket lies beside the backend's key.
export async function administration(keyFile) {
  const { Client } = demo('pg');
  const client = new Client({ host: dirname(keyFile), user: 'postgres', database: 'fhir' });
  await client.connect();
  const value = async (sql, ...parameters) => Object.values((await client.query(sql, parameters)).rows[0])[0];
  return { client, value, register: (metadata) => value('SELECT smart.register_client($1::jsonb)', metadata), end: () => client.end() };
}
