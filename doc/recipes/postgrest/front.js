// nginx's njs before PostgREST: a client's request is two calls, /rpc/burn and /rpc/redeem, since each call is a transaction.
function parameters(text) {
  const result = {};
  text.split('&').filter((pair) => pair !== '').forEach((pair) => {
    const at = pair.indexOf('=');
    const decode = (part) => decodeURIComponent(part.split('+').join(' '));         // bad UTF-8: URIError
    const name = decode(at < 0 ? pair : pair.slice(0, at));
    const content = at < 0 ? '' : decode(pair.slice(at + 1));
    if ((name + content).indexOf('\0') >= 0) throw new URIError('U+0000');
    // what came twice is an array, for the database to refuse
    result[name] = Object.prototype.hasOwnProperty.call(result, name) ? [].concat(result[name], content) : content;
  });
  return result;
}

async function call(r, name, content) {
  const answer = await r.subrequest(`/_rpc/${name}`, { method: 'POST', body: JSON.stringify(content) });
  if (answer.status !== 200) throw new Error(`PostgREST: ${answer.status}`);
  return JSON.parse(answer.responseText);
}

async function endpoint(r) {
  let asked;
  try {
    const type = (r.headersIn['content-type'] || '').split(';')[0].trim().toLowerCase();
    if (r.method !== 'POST' || type !== 'application/x-www-form-urlencoded') throw new URIError('no form');
    asked = parameters(new TextDecoder('utf-8', { fatal: true }).decode(r.requestBuffer || new Uint8Array(0)));
  } catch (error) {
    r.headersOut['content-type'] = 'application/json';
    return r.return(400, '{"error":"invalid_request"}');
  }
  try {
    const headers = {};
    ['authorization', 'content-type'].forEach((name) => { if (r.headersIn[name]) headers[name] = r.headersIn[name]; });
    const receipt = await call(r, 'burn', { endpoint: r.uri.slice(6), request: asked, headers });
    const answer = await call(r, 'redeem', { receipt });
    Object.keys(answer.headers).forEach((name) => { r.headersOut[name] = answer.headers[name]; });
    r.headersOut['access-control-allow-origin'] = '*';
    return r.return(answer.status, answer.body === null ? '' : JSON.stringify(answer.body));
  } catch (error) {
    r.error(error.message);
    return r.return(500);
  }
}

async function document(r) {
  const names = { '/auth/jwks': 'server_jwks', '/auth/.well-known/openid-configuration': 'openid_configuration', '/fhir/.well-known/smart-configuration': 'smart_configuration' };
  const name = names[r.uri];
  const body = await call(r, name, name === 'smart_configuration' ? { base: `${r.variables.base}/fhir` } : {});
  r.headersOut['content-type'] = 'application/json';
  r.headersOut['access-control-allow-origin'] = '*';
  r.return(200, JSON.stringify(body));
}

export default { endpoint, document };
