// test/e2e/browser.mjs BASE BACKEND-KEY SCREENSHOTS: SMART apps in a real browser (Chromium, driven by playwright-core), and the pages
// under axe-core. Prints TAP.
import { mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';
import { administration, base, demo, finish, is, ok } from './client.mjs';

const [, keyFile, pictures] = process.argv.slice(2);
mkdirSync(pictures, { recursive: true });
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu', '--disable-quic',
  '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'] });

async function accessible(page, name) {
  // the page's own policy forbids scripts: axe runs in a world of its own
  const session = await page.context().newCDPSession(page);
  const { frameTree } = await session.send('Page.getFrameTree');
  const { executionContextId } = await session.send('Page.createIsolatedWorld', { frameId: frameTree.frame.id });
  const evaluate = (expression) => session.send('Runtime.evaluate', { contextId: executionContextId, expression, awaitPromise: true, returnByValue: true });
  await evaluate(axe);
  const { result } = await evaluate('axe.run(document).then((r) => r.violations.map((v) => v.id + ": " + v.nodes.map((x) => x.html).join(" | ")))');
  ok(result.value?.length === 0, `axe-core finds nothing on ${name}`, result.value);
}

async function person() {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(30000);
  return page;
}
async function signIn(page, user) {
  await page.fill('#username', user);
  await page.fill('#password', user);
  await page.click('button[type=submit]');
}
const ready = (page) => page.waitForFunction(() => document.getElementById('state')?.textContent === 'Ready');

// EHR launch by a practitioner.
const bob = await person();
await bob.goto(`${base}/`);
await accessible(bob, 'the login page');
await signIn(bob, 'bob');
await bob.waitForSelector('table');
await accessible(bob, 'the page of patients');
await bob.screenshot({ path: `${pictures}/patients.png` });
await bob.click('table button >> nth=0');
await bob.waitForSelector('button[value=allow]');
await accessible(bob, 'the page of consent');
await bob.screenshot({ path: `${pictures}/consent.png`, fullPage: true });
await bob.click('button[value=allow]');
await ready(bob);
ok(await bob.locator('#plot canvas').count() > 0, 'EHR launch: the chart draws a plot');
ok(/^[1-9]\d* observations, [1-9]\d* medications$/.test(await bob.textContent('#count')), 'with observations and medications', await bob.textContent('#count'));
await accessible(bob, 'the app');
await bob.screenshot({ path: `${pictures}/chart.png`, fullPage: true });
await bob.click('#refresh');
await bob.waitForFunction(() => document.getElementById('state').textContent === 'Refreshed');
ok(true, 'fhirclient refreshes its token');
const other = await bob.evaluate(async () => {
  const own = window.chartClient.patient.id;
  const response = await fetch('/fhir/Patient?_count=200', { headers: { authorization: `Bearer ${window.chartClient.state.tokenResponse.access_token}` } });
  const bundle = await response.json();
  const token = { headers: { authorization: `Bearer ${window.chartClient.state.tokenResponse.access_token}` } };
  const all = await (await fetch('/')).text();
  const another = [...all.matchAll(/name="patient" value="([^"]*)"/g)].map((m) => m[1]).find((id) => id !== own);
  return [response.status, bundle.entry.length, bundle.entry[0].resource.id === own, !!another, (await fetch(`/fhir/Patient/${another}`, token)).status,
    (await (await fetch(`/fhir/Observation?patient=${another}`, token)).json()).entry.length];
});
is(other, [200, 1, true, true, 404, 0], 'asked for all patients, or another by URL, the database shows the one of the launch');

// Standalone by the same practitioner: patient picker, consent taken down to laboratory, and the chart shows just that.
const standalone = await person();
await standalone.goto(`${base}/apps/chart/`);
await standalone.click('#connect');
await signIn(standalone, 'bob');
await standalone.waitForSelector('input[name=patient]');
await accessible(standalone, 'the page of patients to choose');
await standalone.check('input[name=patient] >> nth=0');
await standalone.click('button[type=submit]');
await standalone.waitForSelector('button[value=allow]');
for (const box of await standalone.locator('input[name=scope]').all()) {
  const scope = await box.getAttribute('value');
  const keep = scope.startsWith('patient/Observation.rs?') ? scope.endsWith('laboratory') : scope === 'patient/Patient.rs';
  await box.setChecked(keep);
}
await standalone.click('button[value=allow]');
await ready(standalone);
const tests = await standalone.locator('#tests button').allTextContents();
ok(tests.length > 0 && !tests.some((t) => /rate|weight|temperature/i.test(t)), 'laboratory alone: no vital signs', tests);
ok((await standalone.textContent('#count')).endsWith(' 0 medications'), 'and no medications', await standalone.textContent('#count'));

// Withdrawn on another page, the app's next request is refused.
await standalone.context().newPage().then(async (page) => {
  await page.goto(`${base}/auth/manage`);
  await accessible(page, 'the page of what was allowed');
  while (await page.locator('form[action="/auth/manage/withdraw"]').count()) await page.locator('form[action="/auth/manage/withdraw"] button').first().click();
});
const after = await standalone.evaluate(async () => (await fetch('/fhir/Observation', { headers: { authorization: `Bearer ${window.chartClient.state.tokenResponse.access_token}` } })).status);
ok(after === 401, 'withdrawal is seen at once', after);

// The page where the code of a device is typed.
const typing = await person();
await typing.goto(`${base}/auth/device`);
await signIn(typing, 'alice');
await typing.waitForSelector('#user_code');
await accessible(typing, 'the page of device codes');
await typing.fill('#user_code', 'BBBB-BBBB');
await typing.click('button[type=submit]');
await typing.waitForSelector('[role=alert]');
const shown = await (await fetch(`${base}/auth/device_authorization`, { method: 'POST', body: new URLSearchParams({ client_id: 'tv', scope: 'openid launch/patient patient/*.rs' }) })).json();
await typing.fill('#user_code', shown.user_code);
await typing.click('button[type=submit]');
await typing.waitForSelector('button[value=allow]');
await accessible(typing, 'the page of consent of a device');
await typing.click('button[value=allow]');
await typing.waitForSelector('[role=status]');
await accessible(typing, 'the last page of a device');
ok((await typing.textContent('h1')) === 'The device is connected', 'a device is connected in a browser');

// Deny.
const denied = await person();
await denied.goto(`${base}/apps/chart/`);
await denied.click('#connect');
await signIn(denied, 'alice');
await denied.click('button[value=deny]');
await denied.waitForFunction(() => document.getElementById('state')?.textContent.includes('access_denied'));
ok(true, 'deny: the app is told access_denied');
for (const [path, name] of [['/auth/authorize?client_id=nobody', 'the page for an app that is not known'], ['/nothing', 'the page for an address that is none']]) {
  await denied.goto(base + path);
  await accessible(denied, name);
}

// An app of another origin: everything that fhirclient asks goes through CORS.
const script = readFileSync(demo.resolve('fhirclient').replace(/lib.*$/, 'build/fhir-client.min.js'));
const elsewhere = createServer((request, response) => {
  if (request.url === '/fhir-client.js') return response.writeHead(200, { 'content-type': 'text/javascript' }).end(script);
  return response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(`<!doctype html><title>App of another origin</title><p id="state"></p><script src="/fhir-client.js"></script><script>
    const say = (text) => { document.getElementById('state').textContent = text; };
    if (location.pathname === '/launch') FHIR.oauth2.authorize(Object.assign({ redirectUri: '/' }, JSON.parse(decodeURIComponent(location.hash.slice(1)))));
    else FHIR.oauth2.ready().then((client) => { window.client = client; say('Ready'); }, (error) => say(error.message));</script>`);
});
await new Promise((resolve) => { elsewhere.listen(0, '127.0.0.1', resolve); });
const otherOrigin = `http://127.0.0.1:${elsewhere.address().port}`;
const admin = await administration(keyFile);
const app = await admin.register({ client_name: 'App of another origin', token_endpoint_auth_method: 'none', redirect_uris: [`${otherOrigin}/`], offline_access: true,
  scope: 'openid fhirUser launch/patient offline_access patient/*.rs' });
const guest = await person();
await guest.goto(`${otherOrigin}/launch#${encodeURIComponent(JSON.stringify({ iss: `${base}/fhir`, clientId: app.client_id, scope: 'openid fhirUser launch/patient offline_access patient/*.rs' }))}`);
await signIn(guest, 'alice');
await guest.click('button[value=allow]');
await ready(guest);
ok(new URL(guest.url()).origin === otherOrigin, 'CORS: fhirclient of another origin reads the discovery and exchanges the code', guest.url());
is(await guest.evaluate(async () => [(await window.client.patient.read()).resourceType, (await window.client.user.read()).resourceType, (await window.client.request('Observation?_count=3', { flat: true, pageLimit: 1 })).length]),
  ['Patient', 'Patient', 3], 'CORS: reads and searches');
is(await guest.evaluate(async () => { const old = window.client.state.tokenResponse.access_token; await window.client.refresh(); return [window.client.state.tokenResponse.access_token !== old, (await window.client.patient.read()).resourceType]; }),
  [true, 'Patient'], 'CORS: refreshes');
is(await guest.evaluate(async (at) => {
  const form = (token) => ({ method: 'POST', headers: { authorization: `Bearer ${window.client.state.tokenResponse.access_token}`, 'content-type': 'application/x-www-form-urlencoded' }, body: new URLSearchParams({ token }) });
  const seen = await (await fetch(`${at}/auth/introspect`, form(window.client.state.tokenResponse.access_token))).json();
  const created = await fetch(`${at}/fhir/Observation`, { method: 'POST', headers: { authorization: `Bearer ${window.client.state.tokenResponse.access_token}`, 'content-type': 'application/fhir+json' }, body: '{"resourceType":"Observation"}' });
  const gone = await fetch(`${at}/auth/revoke`, { method: 'POST', body: new URLSearchParams({ token: window.client.state.tokenResponse.refresh_token, client_id: window.client.state.clientId }) });
  return [seen.active, created.status, (await created.json()).resourceType, gone.status];
}, base), [true, 403, 'OperationOutcome', 200], 'CORS: introspects, is told why it may not write, and revokes');
is(await guest.evaluate(async (at) => (await fetch(`${at}/fhir/Patient`, { headers: { authorization: `Bearer ${window.client.state.tokenResponse.access_token}` } })).status, base), 401, 'CORS: and reads the 401 that follows');
await admin.end();
elsewhere.close();

await browser.close();
finish();
