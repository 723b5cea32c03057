// test/soak.mjs REQUESTS CLIENTS [POOLER]: the clients of test/soak.sh. Each has a patient of its own and knows which rows that patient
// has; PGHOST is the server, POOLER the directory of PgBouncer's socket.
import { createRequire } from 'node:module';
import { generateKeyPairSync, sign, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
const pg = createRequire(new URL('../demo/app/package.json', import.meta.url))('pg');

const [requests, clients, pooler] = [Number(process.argv[2]), Number(process.argv[3]), process.argv[4]];
const limit = Number(process.env.LIMIT_KB ?? 8192);
const rowsEach = 5;
const count = {};
const tally = (what) => { count[what] = (count[what] ?? 0) + 1; };
const complaints = [];
function complain(what, detail) {
  tally(what);
  if (complaints.length < 20) complaints.push(`${what}: ${detail}`);
}

// ---- keys and tokens ----

const base64 = (value) => Buffer.from(value).toString('base64url');
let keys = 0;
function newKey() {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const kid = `k${++keys}`;
  return { kid, privateKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256', use: 'sig' } };
}
let current = newKey();
let dropped = null; // a key that counts no more
function token(patient, key = current) {
  const now = Math.floor(Date.now() / 1000);
  const jti = randomUUID();
  const claims = { iss: 'https://as.example', sub: patient, client_id: 'soak', aud: 'https://fhir.example', jti, iat: now, exp: now + 3000, scope: 'patient/*.rs', patient };
  const text = `${base64(JSON.stringify({ alg: 'ES256', kid: key.kid, typ: 'at+jwt' }))}.${base64(JSON.stringify(claims))}`;
  return { jti, kid: key.kid, text: `${text}.${sign('sha256', Buffer.from(text), { key: key.privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}` };
}

// ---- the server ----

const admin = new pg.Pool({ host: process.env.PGHOST, port: 5432, user: 'postgres', database: 'postgres', max: 3 });
await admin.query('CREATE ROLE soak_app LOGIN');
await admin.query('CREATE EXTENSION smart_fhir');
await admin.query(`SELECT smart.add_issuer('https://as.example', $1::jsonb, '{https://fhir.example}')`, [JSON.stringify({ keys: [current.jwk] })]);
await admin.query(`CREATE TABLE observation (id text PRIMARY KEY, resource jsonb NOT NULL)`);
await admin.query(`INSERT INTO observation SELECT p || '-' || k, jsonb_build_object('resourceType', 'Observation', 'id', p || '-' || k, 'status', 'final',
  'subject', jsonb_build_object('reference', 'Patient/p' || p)) FROM generate_series(0, ${Math.max(clients, 200)} - 1) p, generate_series(1, ${rowsEach}) k`);
await admin.query('GRANT SELECT ON observation TO soak_app');
await admin.query(`SELECT smart.protect('observation', 'Observation')`);
await admin.query('ANALYZE observation');

async function rotate() {
  const old = current;
  const next = newKey();
  await admin.query(`SELECT smart.set_jwks('https://as.example', $1::jsonb)`, [JSON.stringify({ keys: [old.jwk, next.jwk] })]);
  current = next;
  // tokens of the old key count until it goes
  await new Promise((resolve) => setTimeout(resolve, 100));
  await admin.query(`SELECT smart.set_jwks('https://as.example', $1::jsonb)`, [JSON.stringify({ keys: [next.jwk] })]);
  dropped = old;
  tally('key rotations');
}

// ---- memory: the memory of its own that each backend of the clients has; shared buffers are none of it ----

const memory = new Map();
async function measure() {
  const { rows } = await admin.query(`SELECT pid FROM pg_stat_activity WHERE usename = 'soak_app'`);
  for (const { pid } of rows) {
    try {
      const size = Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
      if (!memory.has(pid)) memory.set(pid, []);
      memory.get(pid).push(size);
    } catch { /* it has just ended */ }
  }
}

// ---- requests ----

const connect = async (me) => {
  me.pg = new pg.Client({ host: me.pooled ? pooler : process.env.PGHOST, port: me.pooled ? 6432 : 5432, user: 'soak_app', database: 'postgres' });
  me.pg.on('error', () => {});
  await me.pg.connect();
};
function check(me, rows, exact = true) {
  for (const row of rows) {
    tally('rows checked');
    if (row.id.split('-')[0] !== String(me.number) || row.resource?.subject?.reference !== `Patient/p${me.number}`)
      complain('FOREIGN ROWS', `patient ${me.number} was shown ${row.id}`);
  }
  if (exact && rows.length !== rowsEach) complain('missing rows', `patient ${me.number} has ${rows.length} of ${rowsEach}`);
}
const refused = (error) => error.schema === 'smart';
async function begin(me) {
  await me.pg.query('BEGIN');
  if (me.token.kid !== current.kid || me.uses++ > 200) { me.token = token(`p${me.number}`); me.uses = 0; }
  try {
    await me.pg.query('SELECT smart.login($1)', [me.token.text]);
  } catch (error) {
    await me.pg.query('ROLLBACK');
    // a key that went between signing and login
    if (!refused(error) || error.constraint === 'held_cursor') throw error;
    tally(`login refused: ${error.constraint}`);
    return false;
  }
  return true;
}
const select = 'SELECT id, resource FROM public.observation';
const fails = async (me, what, promise, wanted) => {
  try {
    const { rows } = await promise;
    complain('no error', `${what}: ${rows?.length} rows`);
  } catch (error) {
    if (!wanted(error)) throw error;
    tally(what);
  }
};
const read = async (me, sql = select) => check(me, (await me.pg.query(sql)).rows);

const kinds = {
  async read(me) { if (await begin(me)) { await read(me); await read(me, `${select} ORDER BY id DESC`); await me.pg.query('COMMIT'); } },
  async 'read with a named statement'(me) {
    // PgBouncer before 1.21 knows none across clients
    if (await begin(me)) { check(me, (await me.pg.query(me.pooled ? select : { name: 'all', text: select })).rows); await me.pg.query('COMMIT'); }
  },
  async 'ask for another patient'(me) {
    if (await begin(me)) { check(me, (await me.pg.query(`${select} WHERE resource -> 'subject' ->> 'reference' <> $1`, [`Patient/p${me.number}`])).rows, false); await me.pg.query('COMMIT'); }
  },
  async 'without login'(me) {
    const { rows } = await me.pg.query(select);
    for (const row of rows) complain('FOREIGN ROWS', `nobody was shown ${row.id}`);
  },
  async errors(me) {
    if (!await begin(me)) return;
    await read(me);
    await fails(me, 'errors', me.pg.query(`SELECT 1 / (length(id) - length(id)), resource FROM observation`), (error) => error.code === '22012');
    await me.pg.query('ROLLBACK');
    await kinds['without login'](me);
  },
  async 'savepoint that takes the login back'(me) {
    await me.pg.query('BEGIN; SAVEPOINT s');
    try { await me.pg.query('SELECT smart.login($1)', [token(`p${me.number}`).text]); await me.pg.query('ROLLBACK TO s'); await kinds['without login'](me); } catch (error) { if (!refused(error)) throw error; tally(`login refused: ${error.constraint}`); }
    await me.pg.query('ROLLBACK');
  },
  async cancels(me) {
    if (!await begin(me)) return;
    const { rows: [{ pid }] } = await me.pg.query('SELECT pg_backend_pid() AS pid');
    const running = fails(me, 'cancels', me.pg.query(`SELECT id, resource, pg_sleep(1) FROM observation`), (error) => error.code === '57014');
    // only while it runs: a cancel that comes later would be another client's of the pool
    let over = false;
    const end = running.finally(() => { over = true; });
    end.catch(() => {});
    while (!over) {
      await new Promise((resolve) => setTimeout(resolve, 10));
      await admin.query(`SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND state = 'active' AND query LIKE '%pg_sleep%'`, [pid]);
    }
    await end;
    await me.pg.query('ROLLBACK');
    await kinds['without login'](me);
  },
  async disconnects(me) {
    if (!me.leaves) return kinds.read(me);
    if (!await begin(me)) return;
    await read(me);
    me.pg.connection.stream.destroy();
    tally('disconnects');
    await connect(me);
    await kinds['without login'](me);
  },
  async 'held cursors'(me) {
    if (!await begin(me)) return;
    await me.pg.query(`DECLARE c${me.number} CURSOR WITH HOLD FOR ${select}`);
    if (me.pooled) {
      // beyond the transaction the cursor is anybody's: fetched and closed within it
      check(me, (await me.pg.query(`FETCH ALL FROM c${me.number}`)).rows);
      await me.pg.query(`CLOSE c${me.number}; COMMIT`);
    } else {
      await me.pg.query('COMMIT');
      check(me, (await me.pg.query(`FETCH ALL FROM c${me.number}`)).rows);
      await me.pg.query('BEGIN');
      await fails(me, 'held cursors', me.pg.query('SELECT smart.login($1)', [me.token.text]), (error) => error.constraint === 'held_cursor' || refused(error));
      await me.pg.query('ROLLBACK');
      await me.pg.query(`CLOSE c${me.number}`);
    }
  },
  async 'shadowing temporary tables'(me) {
    if (!await begin(me)) return;
    await me.pg.query(`CREATE TEMP TABLE observation ON COMMIT DROP AS ${select}`);
    for (const name of ['issuer', 'revocation', 'session', 'protected_table', 'pg_class']) await me.pg.query(`CREATE TEMP TABLE ${name} (id text, resource jsonb) ON COMMIT DROP`);
    await me.pg.query('SET LOCAL search_path = pg_temp, pg_catalog, smart, public');
    await read(me);
    await read(me, 'SELECT id, resource FROM observation');
    await me.pg.query('SELECT smart.login($1)', [me.token.text]).catch((error) => { if (!refused(error)) throw error; });
    await me.pg.query('ROLLBACK');
  },
  async 'refused tokens'(me) {
    const good = token(`p${me.number}`);
    const other = token(`p${(me.number + 1) % clients}`);
    // another's claims under one's own signature; a key that is gone
    const forged = [good.text.split('.')[0], other.text.split('.')[1], good.text.split('.')[2]].join('.');
    for (const text of [forged, ...(dropped ? [token(`p${me.number}`, dropped).text] : [])]) {
      await me.pg.query('BEGIN');
      await fails(me, 'refused tokens', me.pg.query('SELECT smart.login($1)', [text]), refused);
      await me.pg.query('ROLLBACK');
    }
    await kinds['without login'](me);
  },
  async revocations(me) {
    me.token = token(`p${me.number}`);
    if (!await begin(me)) return;
    await read(me);
    await admin.query(`SELECT smart.revoke_tokens('https://as.example', jti => $1)`, [me.token.jti]);
    await fails(me, 'revocations', me.pg.query(select), refused);
    await me.pg.query('ROLLBACK');
    me.token = token(`p${me.number}`);
  },
};
// out of a hundred
const mix = [['read', 50], ['read with a named statement', 12], ['ask for another patient', 8], ['without login', 4], ['errors', 6], ['savepoint that takes the login back', 3],
  ['cancels', 2], ['disconnects', 2], ['held cursors', 4], ['shadowing temporary tables', 3], ['refused tokens', 4], ['revocations', 2]];
const deck = mix.flatMap(([name, n]) => Array(n).fill(name));

let done = 0;
async function client(number) {
  const me = { number, pooled: Boolean(pooler) && number % 2 === 1, leaves: number % 8 < 2, token: token(`p${number}`), uses: 0 };
  await connect(me);
  while (done < requests) {
    const kind = deck[Math.floor(Math.random() * deck.length)];
    done++;
    try {
      await kinds[kind](me);
      tally(`${me.pooled ? 'pooled' : 'direct'} requests`);
    } catch (error) {
      // a key rotated, or a login that another request's token ended, in the middle of a request: refused, and rightly
      if (refused(error) && error.code === '28000') tally(`refused in a transaction: ${error.constraint}`);
      else complain('unexpected errors', `${kind}${me.pooled ? ' (pooled)' : ''}: ${error.code} ${error.message} ${error.constraint ?? ''}`);
      await me.pg.query('ROLLBACK').catch(() => {});
      if (error.code === undefined) await connect(me);
    }
  }
  await measured;
  await me.pg.end();
}
let finish;
const measured = new Promise((resolve) => { finish = resolve; });
const began = Date.now();
const all = Promise.all(Array.from({ length: clients }, (_, i) => client(i)));
all.catch(() => {});
let rounds = 0;
while (done < requests) {
  await new Promise((resolve) => setTimeout(resolve, 500));
  await measure();
  if (++rounds % 4 === 0) await rotate();
  if (rounds % 120 === 0) console.log(`... ${done} requests, ${count['rows checked']} rows, ${count['FOREIGN ROWS'] ?? 0} foreign`);
}
await measure();
finish();
await all;

// ---- what was done ----

const took = (Date.now() - began) / 1000;
console.log(`${done} requests of ${clients} clients in ${took.toFixed(0)} s`);
for (const [what, n] of Object.entries(count).sort()) console.log(`  ${String(n).padStart(9)} ${what}`);
// the first half fills caches; what leaks goes on in the second
const lived = [...memory].map(([pid, sizes]) => ({ pid, n: sizes.length, first: sizes[0], warm: sizes[Math.floor(sizes.length / 2)], last: sizes.at(-1) })).filter(({ n }) => n >= 10);
let grew = 0;
for (const { pid, n, first, warm, last } of lived) {
  if (last - warm > limit) grew++;
  if (n === rounds + 1 || last - warm > limit) console.log(`  backend ${pid}: RssAnon ${first} kB first, ${warm} kB after half, ${last} kB last${last - warm > limit ? ': GREW' : ''}`);
}
console.log(`  ${memory.size} backends seen, ${lived.length} of them for 5 s or more: largest RssAnon ${Math.max(...lived.map(({ last }) => last), 0)} kB, most growth after half ${Math.max(...lived.map(({ warm, last }) => last - warm), 0)} kB`);
console.log(`${count['FOREIGN ROWS'] ?? 0} foreign rows, ${count['missing rows'] ?? 0} requests with missing rows, ${(count['unexpected errors'] ?? 0) + (count['no error'] ?? 0)} unexpected answers, ${grew} backends grew`);
for (const line of complaints) console.log(line);
await admin.end();
process.exit(complaints.length || grew ? 1 : 0);
