#!/usr/bin/env bash
# tools/setup_node.sh DIRECTORY...: Node.js 20 or later, from the distribution where it is missing, and the packages of each
# directory's package-lock.json (npm ci), where they are not there yet.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  command -v apt-get >/dev/null || die 'Node.js is missing'
  echo 'installing nodejs npm' >&2
  $sudo apt-get -q update >/dev/null
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get -y -q install --no-install-recommends nodejs npm </dev/null >/dev/null || die 'apt-get install failed'
fi
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 18 ] || die "Node.js $(node --version) is too old"
for directory; do
  [ -f "$directory/package-lock.json" ] || die "no package-lock.json in $directory"
  if ! cmp -s "$directory/package-lock.json" "$directory/node_modules/.smart_fhir-lock"; then
    (cd "$directory" && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >&2) || die 'npm ci failed'
    cp "$directory/package-lock.json" "$directory/node_modules/.smart_fhir-lock"
  fi
done
