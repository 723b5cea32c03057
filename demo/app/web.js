// demo/app/web.js: reading requests and writing answers. Knows nothing of OAuth, FHIR or the database.

export class HttpError extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function text(bytes) {
  let decoded;
  try { decoded = utf8.decode(bytes); } catch { throw new HttpError(400, 'invalid UTF-8'); }
  if (decoded.includes('\0')) throw new HttpError(400, 'U+0000');
  return decoded;
}

// One name or value of application/x-www-form-urlencoded.
function decode(part) {
  let decoded = part;
  if (/[%+]/.test(part)) {
    try { decoded = decodeURIComponent(part.replaceAll('+', ' ')); } catch { throw new HttpError(400, 'bad percent escape, or invalid UTF-8'); }
  }
  if (decoded.includes('\0')) throw new HttpError(400, 'U+0000');
  return decoded;
}

// A query or form as {name: value}; what came twice is an array, for the database to refuse.
export function parameters(encoded) {
  const result = {};
  for (const pair of encoded.split('&')) {
    if (pair === '') continue;
    const at = pair.indexOf('=');
    const name = decode(at < 0 ? pair : pair.slice(0, at));
    const value = at < 0 ? '' : decode(pair.slice(at + 1));
    if (Object.hasOwn(result, name)) result[name] = [].concat(result[name], value);
    else Object.defineProperty(result, name, { value, enumerable: true, writable: true, configurable: true });
  }
  return result;
}

export async function body(request, most = 64 * 1024) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > most) throw new HttpError(size > 64 * 1024 && most > 64 * 1024 ? 413 : 400, 'body too large');
    chunks.push(chunk);
  }
  return text(Buffer.concat(chunks));
}

// JSON that jsonb can hold: no U+0000, no half of a surrogate pair, not in names either.
export function json(content) {
  const storable = (value) => { if (typeof value === 'string' && /\0|\p{Surrogate}/u.test(value)) throw new HttpError(400, 'U+0000 or half a surrogate pair'); };
  try {
    return JSON.parse(content, (name, value) => { storable(name); storable(value); return value; });
  } catch (error) {
    throw error instanceof HttpError ? error : new HttpError(400, 'not JSON');
  }
}

export async function form(request) {
  const type = (request.headers['content-type'] ?? '').split(';')[0].trim().toLowerCase();
  if (type !== 'application/x-www-form-urlencoded') throw new HttpError(400, 'not application/x-www-form-urlencoded');
  return parameters(await body(request));
}

export function cookies(request) {
  const result = {};
  for (const pair of (request.headers.cookie ?? '').split(';')) {
    const at = pair.indexOf('=');
    if (at > 0) result[pair.slice(0, at).trim()] = pair.slice(at + 1).trim();
  }
  return result;
}

// What went wrong, for the log: neither the database's message nor what was sent; codes and constraint names hold no values.
export const note = (request, error) => console.error(`${new Date().toISOString()} ${request.method} failed: ${error.code ?? error.name} ${error.constraint ?? ''}`);

const safe = { 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer' };

export function send(response, status, headers, content) {
  response.writeHead(status, { ...safe, ...headers });
  response.end(content);
}
export const sendJson = (response, status, object, headers = {}) =>
  send(response, status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers }, JSON.stringify(object));
export const redirect = (response, location, headers = {}) => send(response, 303, { location, 'cache-control': 'no-store', ...headers });

// An answer of the database, as it is.
export const relay = (response, answer, headers = {}) =>
  send(response, answer.status, { ...answer.headers, ...headers }, answer.body === null ? undefined : JSON.stringify(answer.body));

// Apps of other origins may call this address with a bearer token; no cookie is looked at there.
export function cors(request, response, methods) {
  response.setHeader('access-control-allow-origin', '*');
  response.setHeader('access-control-expose-headers', 'location, etag, www-authenticate');
  if (request.method !== 'OPTIONS') return false;
  send(response, 204, { 'access-control-allow-methods': methods, 'access-control-allow-headers': 'authorization, content-type, accept, prefer, if-match',
    'access-control-max-age': '600' });
  return true;
}
