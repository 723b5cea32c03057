#!/usr/bin/env bash
# test/e2e.sh [PORT]: the demonstration end to end: real clients (fhirclient, jose, openid-client, postgres.js), what the
# public test kits require (doc/test-kits.md), and SMART apps in headless Chromium. Installs Node.js, npm packages and Chromium where they
# are missing. Prints TAP and "N passed, N failed"; screenshots go to build/e2e. Part of test/run.sh where Chromium is there.
set -uo pipefail
. "$(dirname "$0")/../tools/lib.sh"
port=${1:-$((20000 + $$ % 20000))}
"$ROOT/tools/setup_node.sh" "$ROOT/demo/app" "$ROOT/test/e2e" || die 'Node.js or its packages could not be installed'
if ! command -v chromium >/dev/null; then
  [ "$(id -u)" = 0 ] && sudo='' || sudo=sudo
  echo 'installing chromium' >&2
  $sudo apt-get -q update >/dev/null
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get -y -q install --no-install-recommends chromium </dev/null >/dev/null || die 'chromium could not be installed'
fi
out=$(mktemp)
"$ROOT/demo/app.sh" --port "$port" >"$out" 2>&1 &
app=$!
trap 'kill -TERM $app 2>/dev/null; wait $app 2>/dev/null; rm -f "$out"' EXIT
trap 'exit 130' INT TERM HUP
for _ in $(seq 600); do
  grep -q '^Ctrl-C' "$out" && break
  kill -0 $app 2>/dev/null || { cat "$out"; die 'the demonstration did not start'; }
  sleep 0.5
done
base=http://localhost:$port
key=$(sed -n 's/.*key pair in //p' "$out")
secret=$(sed -n 's/.*secret \(smart_[^,]*\),.*/\1/p' "$out")
log=$(mktemp)
{
  timeout 300 node "$ROOT/test/e2e/walk.mjs" "$base" "$key" "$secret" || echo 'not ok - walk.mjs ended badly'
  timeout 300 node "$ROOT/test/e2e/kits.mjs" "$base" "$key" "$secret" || echo 'not ok - kits.mjs ended badly'
  timeout 300 node "$ROOT/test/e2e/clients.mjs" "$base" "$key" || echo 'not ok - clients.mjs ended badly'
  timeout 300 node "$ROOT/test/e2e/browser.mjs" "$base" "$key" "$ROOT/build/e2e" || echo 'not ok - browser.mjs ended badly'
} 2>&1 | tee "$log"
passed=$(grep -c '^ok ' "$log") failed=$(grep -c '^not ok' "$log")
rm -f "$log"
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
