#!/usr/bin/env bash
# test/recipes.sh [RECIPE...]: runs the front ends of doc/recipes (express django spring postgrest) against a private cluster, and the same
# walk over HTTP against each. Installs what is missing (npm's packages, and with apt-get those of Debian); a recipe whose packages cannot be
# had is left out, and said. PostgREST is no package of Debian: in its place test/e2e/postgrest_stand_in.mjs does what it does with a call.
# Prints TAP and "N passed, N failed". Not part of test/run.sh.
set -uo pipefail
. "$(dirname "$0")/../tools/lib.sh"
[ $# -gt 0 ] || set -- express django spring postgrest
"$ROOT/tools/setup.sh" || die 'set-up failed'
"$ROOT/tools/setup_node.sh" "$ROOT/demo/app" "$ROOT/test/e2e" || die 'Node.js or its packages could not be installed'
PG_CONFIG=$(find_pg_config)
export PATH="$("$PG_CONFIG" --bindir):$PATH"
[ "$(id -u)" = 0 ] && sudo='' || sudo=sudo

# have PACKAGE...: there, or installed now
have() {
  local missing=()
  for package; do dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package"); done
  [ ${#missing[@]} -eq 0 ] && return
  command -v apt-get >/dev/null || return 1
  echo "installing ${missing[*]}" >&2
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get -y -q install --no-install-recommends "${missing[@]}" </dev/null >/dev/null 2>&1
}

private_dir
chmod 755 "$WORK"
front=$((20000 + $$ % 10000)) database=$((30000 + $$ % 10000)) stand_in=$((40000 + $$ % 10000))
base=http://localhost:$front
# JDBC knows no Unix socket: 127.0.0.1 with passwords, for this run alone
cluster_start recipes "listen_addresses = '127.0.0.1'" "port = $database" "session_preload_libraries = 'smart_fhir'" 'synchronous_commit = on' "password_encryption = 'scram-sha-256'"
export PGPORT=$database
password=$(node -p "require('node:crypto').randomBytes(24).toString('hex')")
printf 'local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n' >"$WORK/recipes/pg_hba.conf"
node -e "
  const { generateKeyPairSync } = require('node:crypto');
  console.log(JSON.stringify({ ...generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export({ format: 'jwk' }), kid: 'k1', alg: 'ES384' }));" >"$WORK/backend.jwk"
psql -XqAt -v ON_ERROR_STOP=1 -v base="$base" -v password="$password" -v key="$(node -p "const { d, ...k } = JSON.parse(require('node:fs').readFileSync('$WORK/backend.jwk')); JSON.stringify({ keys: [k] })")" <<'SQL' || die 'the database could not be set up'
SET client_min_messages = warning;
SELECT pg_reload_conf() \g /dev/null
CREATE EXTENSION smart_fhir;
CREATE EXTENSION smart_fhir_oauth;
CREATE ROLE front_protocol LOGIN PASSWORD :'password';
CREATE ROLE front_people LOGIN PASSWORD :'password';
CREATE ROLE front_fhir LOGIN PASSWORD :'password';
CREATE ROLE web;
CREATE ROLE authenticator LOGIN NOINHERIT IN ROLE web;
SELECT smart.grant_oauth('front_protocol', 'protocol');
SELECT smart.grant_oauth('front_people', 'people');
CREATE TABLE patient (id text PRIMARY KEY, resource jsonb NOT NULL);
INSERT INTO patient SELECT i::text, jsonb_build_object('resourceType', 'Patient', 'id', i::text) FROM generate_series(1, 2) i;
SELECT smart.protect('patient', 'Patient') \g /dev/null
GRANT SELECT ON patient TO front_fhir;
SELECT smart.configure_server(jsonb_build_object('issuer', :'base' || '/auth', 'fhir_base_urls', jsonb_build_array(:'base' || '/fhir')));
SELECT smart.register_client(jsonb_build_object('client_id', 'backend', 'token_endpoint_auth_method', 'private_key_jwt', 'grant_types', '["client_credentials"]'::jsonb, 'jwks', :'key'::jsonb,
  'scope', 'system/*.rs')) \g /dev/null
SELECT smart.register_client(jsonb_build_object('client_id', 'app', 'token_endpoint_auth_method', 'none', 'redirect_uris', jsonb_build_array(:'base' || '/cb'), 'scope', 'launch/patient openid fhirUser patient/*.rs')) \g /dev/null
SQL
unset PGUSER
export BASE=$base PORT=$front PERSON="{\"sub\": \"alice\", \"fhirUser\": \"Patient/1\", \"authTime\": $(date +%s)}" PASSWORD=$password
export JDBC_URL="jdbc:postgresql://127.0.0.1:$database/postgres?preferQueryMode=extended"
log=$WORK/tap
: >"$log"

running=()
stop() {
  local pid
  for pid in "${running[@]}"; do kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; done
  running=()
}
trap 'stop; cleanup' EXIT
# start NAME COMMAND...: until it listens on its port
start() {
  local name=$1 port=$2
  shift 2
  "$@" >"$WORK/$name.log" 2>&1 &
  running+=($!)
  for _ in $(seq 150); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && return
    kill -0 "${running[-1]}" 2>/dev/null || break
    sleep 0.2
  done
  echo "not ok - $name did not start" | tee -a "$log"
  tail -20 "$WORK/$name.log"
  return 1
}
walk() {
  timeout 120 node "$ROOT/test/e2e/recipe.mjs" "$base" "$1" "$WORK/backend.jwk" "${@:2}" 2>&1 | tee -a "$log"
  [ "${PIPESTATUS[0]}" -le 1 ] || echo "not ok - the walk of $1 ended badly" | tee -a "$log"
}
left_out() { echo "# $1 is left out: $2" | tee -a "$log"; }

for recipe; do
  case $recipe in
    express)
      "$ROOT/tools/setup_node.sh" "$ROOT/doc/recipes/express" || { left_out express 'its npm packages are not to be had'; continue; }
      start express "$front" node "$ROOT/doc/recipes/express/server.mjs" && walk express fhir people ;;
    django)
      have python3-django python3-psycopg2 || { left_out django 'python3-django or python3-psycopg2 is not to be had'; continue; }
      start django "$front" /usr/bin/python3 "$ROOT/doc/recipes/django/front.py" "$front" && walk django fhir people ;;
    spring)
      have default-jdk-headless libspring-jdbc-java libspring-transaction-java libspring-beans-java libspring-core-java libcommons-logging-java libpostgresql-jdbc-java ||
        { left_out spring 'a JDK, Spring or the JDBC driver is not to be had'; continue; }
      jars=$(printf '/usr/share/java/%s.jar:' spring3-jdbc spring3-transaction spring3-beans spring3-core commons-logging postgresql)
      javac -cp "$jars" -d "$WORK/spring" "$ROOT/doc/recipes/spring/Front.java" 2>&1 | tee "$WORK/javac.log"
      start spring "$front" java -cp "$WORK/spring:$jars" Front && walk spring fhir ;;
    postgrest)
      have nginx-light libnginx-mod-http-js || { left_out postgrest 'nginx with njs is not to be had'; continue; }
      psql -XqAt -v ON_ERROR_STOP=1 -U postgres -f "$ROOT/doc/recipes/postgrest/api.sql" || die 'api.sql failed'
      sed "s|@PORT@|$front|; s|@POSTGREST@|127.0.0.1:$stand_in|; s|@BASE@|$base|; s|@HERE@|$WORK|g" "$ROOT/doc/recipes/postgrest/nginx.conf" >"$WORK/nginx.conf"
      cp "$ROOT/doc/recipes/postgrest/front.js" "$WORK/"
      start stand_in "$stand_in" env PGUSER=authenticator node "$ROOT/test/e2e/postgrest_stand_in.mjs" "$stand_in" &&
        start postgrest "$front" nginx -p "$WORK" -c "$WORK/nginx.conf" && walk nginx+PostgREST ;;
    *) die "no such recipe: $recipe" ;;
  esac
  stop
done
passed=$(grep -c '^ok ' "$log") failed=$(grep -c '^not ok' "$log")
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
