// bench/jose_verify.mjs ALG N: prints microseconds of CPU a jwtVerify() of npm's jose, with the key imported once.
import { readFileSync } from 'node:fs';
import { importJWK, jwtVerify } from 'jose';

const [algorithm, n] = [process.argv[2], Number(process.argv[3])];
const key = await importJWK(JSON.parse(readFileSync('jwk', 'utf8')), algorithm);
const token = readFileSync('token', 'utf8').trim();
const options = { issuer: 'https://ehr.example.org/auth', audience: 'https://ehr.example.org/fhir', algorithms: [algorithm], currentDate: new Date('2030-03-17T17:46:41Z') };
for (let i = 0; i < 200; i++) await jwtVerify(token, key, options);
const started = process.cpuUsage();
for (let i = 0; i < n; i++) await jwtVerify(token, key, options);
const { user, system } = process.cpuUsage(started);
console.log((user + system) / n);
