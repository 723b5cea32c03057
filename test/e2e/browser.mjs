// test/e2e/browser.mjs BASE SCREENSHOTS: the SMART app in a real browser (Chromium, driven by playwright-core), and its pages
// under axe-core. Prints TAP.
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const [base, pictures] = process.argv.slice(2);
mkdirSync(pictures, { recursive: true });
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
let n = 0; let failed = 0;
function ok(right, name, seen) {
  n++;
  if (!right) { failed++; console.log(`# saw ${JSON.stringify(seen)}`); }
  console.log(`${right ? 'ok' : 'not ok'} ${n} - ${name}`);
}

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
await bob.screenshot({ path: `${pictures}/chart.png`, fullPage: true });
await bob.click('#refresh');
await bob.waitForFunction(() => document.getElementById('state').textContent === 'Refreshed');
ok(true, 'fhirclient refreshes its token');
const other = await bob.evaluate(async () => {
  const own = window.chartClient.patient.id;
  const response = await fetch('/fhir/Patient?_count=200', { headers: { authorization: `Bearer ${window.chartClient.state.tokenResponse.access_token}` } });
  const bundle = await response.json();
  return [response.status, bundle.entry.length, bundle.entry[0].resource.id === own];
});
ok(JSON.stringify(other) === '[200,1,true]', 'asked for all patients, the database shows the one of the launch', other);

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

// Deny.
const denied = await person();
await denied.goto(`${base}/apps/chart/`);
await denied.click('#connect');
await signIn(denied, 'alice');
await denied.click('button[value=deny]');
await denied.waitForFunction(() => document.getElementById('state')?.textContent.includes('access_denied'));
ok(true, 'deny: the app is told access_denied');

await browser.close();
console.log(`1..${n}`);
process.exit(failed ? 1 : 0);
