// demo/app/database.js: the three pools, one for each role. Knows nothing of HTTP.
import pg from 'pg';

const pool = (user) => new pg.Pool({
  host: process.env.PGHOST, port: Number(process.env.PGPORT ?? 5432), database: process.env.PGDATABASE, user,
  max: 10, allowExitOnIdle: true,
});

// protocol: what clients' requests need. people: who sits there, and what they want. fhir: the tables, and no right beside them.
export const protocol = pool('demo_protocol');
export const people = pool('demo_people');
export const fhir = pool('demo_fhir');

// One value of one statement; objects go to jsonb parameters as objects.
export async function value(from, sql, ...parameters) {
  const { rows } = await from.query({ text: sql, values: parameters, rowMode: 'array' });
  return rows[0][0];
}

// An answer of a procedure that commits: outside a transaction block.
export const call = (procedure, request, headers) =>
  value(protocol, `CALL smart.${procedure}($1::jsonb, $2::jsonb, NULL)`, request, headers);

// Work under an access token: a transaction, in which the database decides about each row. Whatever happens, the connection
// goes back without a transaction and without a session.
export async function withToken(token, interaction, work) {
  const client = await fhir.connect();
  let broken = false;
  try {
    await client.query('BEGIN');
    await client.query('SELECT smart.login($1, true, $2)', [token, interaction]);
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK').catch(() => { broken = true; });
    throw error;
  } finally {
    client.release(broken);
  }
}

export const end = () => Promise.all([protocol.end(), people.end(), fhir.end()]);
