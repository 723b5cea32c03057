// test/e2e/postgrest_stand_in.mjs PORT: what PostgREST does with POST /rpc/NAME, for a test where PostgREST is not packaged: a transaction, SET LOCAL
// ROLE, the request's headers in a setting, the function with named parameters. PGUSER is the role that logs in.
import { createServer } from 'node:http';
import { demo } from './client.mjs';

const pool = new (demo('pg').Pool)({ max: 10 });
createServer(async (request, response) => {
  let text = '';
  for await (const chunk of request) text += chunk;
  const name = /^\/rpc\/([a-z_]+)$/.exec(request.url)?.[1];
  const client = await pool.connect();
  try {
    await client.query('BEGIN');
    await client.query('SET LOCAL ROLE web');
    await client.query("SELECT set_config('search_path', 'api, public', true), set_config('request.headers', $1, true)", [JSON.stringify(request.headers)]);
    const given = Object.entries(JSON.parse(text));
    const { rows } = await client.query({ text: `SELECT to_jsonb(api.${name}(${given.map(([k], i) => `${k} => $${i + 1}`)}))::text`, values: given.map(([, v]) => v), rowMode: 'array' });
    await client.query('COMMIT');
    response.writeHead(200, { 'content-type': 'application/json' }).end(rows[0][0]);
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {});
    response.writeHead(error.code === '42501' ? 403 : 400, { 'content-type': 'application/json' }).end(JSON.stringify({ code: error.code }));
  } finally {
    client.release();
  }
}).listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listening'));
