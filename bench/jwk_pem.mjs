// bench/jwk_pem.mjs: a public JWK on standard input as PEM on standard output.
import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';

const key = createPublicKey({ key: JSON.parse(readFileSync(0, 'utf8')), format: 'jwk' });
process.stdout.write(key.export({ type: 'spki', format: 'pem' }));
