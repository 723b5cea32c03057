// bench/oauth_load.mjs URL SECONDS CONNECTIONS BODIES_FILE: POSTs each line of the file once, over as many connections that stay open, one request in
// flight on each. Prints how many were answered 200 in a second, how many otherwise, and the 99th percentile in milliseconds. Loopback alone.
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';

const [url, seconds, connections, file] = process.argv.slice(2);
const { hostname, port, pathname, host } = new URL(url);
if (!['127.0.0.1', 'localhost', '[::1]'].includes(hostname)) throw new Error('loopback alone');
const bodies = readFileSync(file, 'utf8').trim().split('\n');
const times = [];
let next = 0;
let good = 0;
let other = 0;
const started = performance.now();
const running = () => performance.now() - started < Number(seconds) * 1000 && next < bodies.length;

await Promise.all(Array.from({ length: Number(connections) }, () => new Promise((resolve, reject) => {
  const socket = connect(Number(port), '127.0.0.1');
  let answer = '';
  let sent;
  const send = () => {
    if (!running()) { socket.destroy(); resolve(); return; }
    const body = bodies[next++];
    sent = performance.now();
    socket.write(`POST ${pathname} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  };
  socket.setNoDelay(true);
  socket.on('connect', send);
  socket.on('error', reject);
  socket.on('close', resolve);
  socket.on('data', (data) => {
    answer += data.toString('latin1');
    const head = answer.indexOf('\r\n\r\n');
    if (head < 0) return;
    const length = /^content-length: (\d+)/im.exec(answer.slice(0, head));
    if (length ? answer.length < head + 4 + Number(length[1]) : !answer.endsWith('0\r\n\r\n')) return;
    times.push(performance.now() - sent);
    if (answer.startsWith('HTTP/1.1 200 ')) good++;
    else other++;
    answer = '';
    send();
  });
})));
const elapsed = (performance.now() - started) / 1000;
times.sort((a, b) => a - b);
console.log(Math.round(good / elapsed), other, (times[Math.floor(times.length * 0.99)] ?? 0).toFixed(2));
