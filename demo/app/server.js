// demo/app/server.js: listens, and sends each address to its function. Started by demo/app.sh.
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import * as db from './database.js';
import * as fhir from './fhir.js';
import * as login from './login.js';
import * as oauth from './oauth.js';
import * as pages from './pages.js';
import * as web from './web.js';

const port = Number(process.env.PORT ?? 8080);
const base = `http://localhost:${port}`;
const settings = JSON.parse(readFileSync(process.env.DEMO_SETTINGS, 'utf8'));
Object.assign(login.users, settings.users);

const here = new URL('.', import.meta.url);
const script = { 'content-type': 'text/javascript; charset=utf-8' };
const files = {
  '/style.css': ['style.css', 'text/css; charset=utf-8'],
  '/smart-style-1.json': ['smart-style-1.json', 'application/json'],      // other content, another name: apps keep it
  '/apps/chart/': ['chart/index.html', 'text/html; charset=utf-8'],
  '/apps/chart/launch': ['chart/launch.html', 'text/html; charset=utf-8'],
  '/apps/chart/launch.js': ['chart/launch.js', script['content-type']],
  '/apps/chart/chart.js': ['chart/chart.js', script['content-type']],
  '/apps/chart/fhir-client.js': ['node_modules/fhirclient/build/fhir-client.min.js', script['content-type']],
  '/apps/chart/uplot.js': ['node_modules/uplot/dist/uPlot.iife.min.js', script['content-type']],
  '/apps/chart/uplot.css': ['node_modules/uplot/dist/uPlot.min.css', 'text/css; charset=utf-8'],
};

async function file(response, [name, type]) {
  const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
  web.send(response, 200, { 'content-type': type, 'content-security-policy': policy, 'cache-control': 'no-cache', 'access-control-allow-origin': '*' }, await readFile(new URL(name, here)));
}

const posts = {
  '/login': oauth.postLogin, '/auth/login': oauth.postLogin, '/auth/patient': oauth.postPatient, '/auth/consent': oauth.postConsent, '/auth/device': oauth.postDevice,
  '/launch': (q, r) => oauth.launch(q, r, base), '/logout': oauth.logout, '/auth/manage/withdraw': oauth.withdraw,
};
const endpoints = { '/auth/token': 'token', '/auth/introspect': 'introspect', '/auth/revoke': 'revoke', '/auth/device_authorization': 'device_authorization' };
const documents = {
  '/auth/jwks': 'SELECT smart.server_jwks()',
  '/auth/.well-known/openid-configuration': 'SELECT smart.openid_configuration()',
};

async function dispatch(request, response) {
  const url = new URL(request.url, base);
  const path = url.pathname;
  const method = request.method;
  if (path === '/fhir' || path.startsWith('/fhir/')) return fhir.handle(request, response, path.slice(5), url.search.slice(1));
  if (path in endpoints) {
    if (web.cors(request, response, 'POST')) return undefined;
    if (method !== 'POST') return web.sendJson(response, 405, { error: 'invalid_request', error_description: 'POST only' }, { allow: 'POST' });
    return oauth.endpoint(endpoints[path], request, response);
  }
  if (path in documents) {
    if (web.cors(request, response, 'GET')) return undefined;
    if (method !== 'GET') return web.sendJson(response, 405, { error: 'invalid_request', error_description: 'GET only' }, { allow: 'GET' });
    return oauth.document(response, documents[path]);
  }
  if (path === '/auth/userinfo') {
    if (web.cors(request, response, 'GET, POST')) return undefined;
    return oauth.userinfo(request, response);
  }
  if (path === '/auth/register' && method === 'POST') return oauth.register(request, response);
  if (path === '/auth/authorize' && (method === 'GET' || method === 'POST')) return oauth.authorize(request, response, url);
  if (path === '/auth/device' && method === 'GET') return oauth.device(request, response);
  if (path === '/auth/manage' && method === 'GET') return oauth.manage(request, response);
  if (path === '/' && method === 'GET') return oauth.home(request, response);
  if (path in posts && method === 'POST') return posts[path](request, response);
  if (path === '/apps/chart') return web.redirect(response, '/apps/chart/');
  if (path in files && (method === 'GET' || method === 'HEAD')) return file(response, files[path]);
  return web.send(response, 404, pages.headers(), pages.error('Not found', 'There is nothing at this address.'));
}

const server = () => createServer({ requestTimeout: 30000, maxHeaderSize: 16384 }, async (request, response) => {
  try {
    await dispatch(request, response);
  } catch (error) {
    if (!(error instanceof web.HttpError)) web.note(request, error);
    if (response.headersSent) return response.destroy();
    const status = error instanceof web.HttpError ? error.status : 500;
    web.send(response, status, pages.headers(), pages.error(status === 500 ? 'Something went wrong' : 'Bad request', status === 500 ? 'Try again later.' : error.message));
  }
});

await fhir.start(`${base}/fhir`, settings.ehr);
const servers = ['127.0.0.1', '::1'].map((host) => new Promise((resolve, reject) => {
  const one = server();
  one.once('error', (error) => (host === '::1' && ['EADDRNOTAVAIL', 'EAFNOSUPPORT'].includes(error.code) ? resolve(null) : reject(error)));
  one.listen(port, host, () => resolve(one));
}));
const listening = (await Promise.all(servers)).filter(Boolean);
console.log(`listening on ${base}`);

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, async () => {
    for (const one of listening) { one.close(); one.closeAllConnections(); }
    await db.end().catch(() => {});
    process.exit(0);
  });
}
