#!/usr/bin/env bash
# demo/app.sh [--port 8080] [--data DIRECTORY]: a FHIR server with its own SMART authorization server.
#
# A private cluster on a Unix socket, data (DIRECTORY is a FHIR bulk export, <Type>.ndjson, also .gz; without it a
# small sample of invented people), both extensions, and the front end demo/app, which relays HTTP on 127.0.0.1 and
# ::1. Installs what is missing. Runs until Ctrl-C or SIGTERM, and leaves nothing behind.
#
# Roles: the superuser creates and configures; demo_owner owns the tables; demo_protocol, demo_people and demo_fhir are the
# front end's three pools, each with one duty.
set -euo pipefail
. "$(dirname "$0")/../tools/lib.sh"
. "$ROOT/demo/load.sh"

port=8080 source=
while [ $# -gt 0 ]; do
  case $1 in
    --port) port=${2:?--port needs a number}; shift 2 ;;
    --data) source=${2:?--data needs a directory}; shift 2 ;;
    *) die 'usage: demo/app.sh [--port 8080] [--data DIRECTORY]' ;;
  esac
done
[[ $port =~ ^[0-9]+$ ]] || die 'the port is not a number'
[ -z "$source" ] || [ -d "$source" ] || die "no such directory: $source"

"$ROOT/tools/setup.sh" || die 'set-up failed'
"$ROOT/tools/setup_node.sh" "$ROOT/demo/app" || die 'Node.js or its packages could not be installed'
PG_CONFIG=$(find_pg_config)
export PATH="$("$PG_CONFIG" --bindir):$PATH"
private_dir
cluster_start app "shared_buffers = '256MB'" 'jit = off' 'fsync = on' 'synchronous_commit = on' 'full_page_writes = on'
base=http://localhost:$port

sql() {
  local role=$1
  shift
  psql -XqAt -v ON_ERROR_STOP=1 -U "$role" -d "$database" "$@"
}
database=postgres
sql postgres <<'SQL'
CREATE DATABASE fhir;
ALTER DATABASE fhir SET session_preload_libraries = 'smart_fhir';
CREATE ROLE demo_owner LOGIN BYPASSRLS;
CREATE ROLE demo_protocol LOGIN;
CREATE ROLE demo_people LOGIN;
CREATE ROLE demo_fhir LOGIN;
SQL
database=fhir
sql postgres <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION smart_fhir;
CREATE EXTENSION smart_fhir_oauth;
REVOKE TEMPORARY ON DATABASE fhir FROM PUBLIC;
GRANT TEMPORARY ON DATABASE fhir TO demo_owner;
GRANT CREATE ON SCHEMA public TO demo_owner;
SELECT smart.grant_oauth('demo_protocol', 'protocol');
SELECT smart.grant_oauth('demo_people', 'people');
SQL
if [ -z "$source" ]; then
  source=$WORK/sample
  mkdir "$source"
  perl "$ROOT/demo/generate_sample.pl" "$source"
fi
# a table for each type of US Core, whether the data have one or not: a client that may search gets an empty answer, no error
sql demo_owner >/dev/null <<'SQL'
SELECT format('CREATE TABLE public.%I (id text PRIMARY KEY, resource jsonb NOT NULL)', name), format('COMMENT ON TABLE public.%I IS %L', name, type)
FROM unnest('{AllergyIntolerance,CarePlan,CareTeam,Condition,Coverage,Device,DiagnosticReport,DocumentReference,Encounter,Goal,Immunization,Location,
  Medication,MedicationDispense,MedicationRequest,Organization,Practitioner,PractitionerRole,Procedure,Provenance,QuestionnaireResponse,RelatedPerson,
  ServiceRequest,Specimen}'::text[]) AS type, lower(regexp_replace(type, '([a-z0-9])([A-Z])', '\1_\2', 'g')) AS name \gexec
SQL
load_fhir "$source" demo_owner demo_fhir
sql demo_owner >/dev/null <<'SQL'
SET client_min_messages = warning;
-- a Device is in nobody's compartment; here it is its patient's
SELECT smart.protect(oid::regclass, type, patients => CASE WHEN type = 'Device' THEN $$substring(resource #>> '{patient,reference}' FROM '^Patient/([A-Za-z0-9.-]{1,64})$')$$ END)
FROM pg_class, obj_description(oid, 'pg_class') AS type
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND type ~ '^[A-Z][A-Za-z]+$';
SQL

# Keys of the two clients that sign: private halves in files that only this user reads.
new_key() { node -e "
  const { generateKeyPairSync, createHash } = require('node:crypto');
  const jwk = generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export({ format: 'jwk' });
  const kid = createHash('sha256').update(JSON.stringify({ crv: jwk.crv, kty: jwk.kty, x: jwk.x, y: jwk.y })).digest('base64url');
  console.log(JSON.stringify({ ...jwk, kid, alg: 'ES384', use: 'sig' }));"; }
public_half() { node -e "const { d, ...k } = JSON.parse(require('node:fs').readFileSync(0)); console.log(JSON.stringify({ keys: [k] }));"; }
umask 077
new_key >"$WORK/backend.jwk"
new_key >"$WORK/ehr.jwk"

# alice is the patient with most observations, bob a practitioner
alice=$(sql demo_owner -c "SELECT p.id FROM patient p LEFT JOIN observation o ON o.resource #>> '{subject,reference}' = 'Patient/' || p.id GROUP BY p.id ORDER BY count(*) DESC, p.id LIMIT 1")
bob=$(sql demo_owner -c "SELECT coalesce((SELECT id FROM practitioner ORDER BY id LIMIT 1), 'bob')" 2>/dev/null || echo bob)
scopes='openid fhirUser profile launch launch/patient offline_access online_access patient/*.cruds user/*.cruds'
secret=$(sql postgres -v base="$base" -v scopes="$scopes" -v backend="$(public_half <"$WORK/backend.jwk")" -v ehr="$(public_half <"$WORK/ehr.jwk")" <<'SQL'
SET client_min_messages = warning;
SELECT smart.configure_server(jsonb_build_object('issuer', :'base' || '/auth', 'fhir_base_urls', jsonb_build_array(:'base' || '/fhir'), 'name', 'Riverside Clinic',
  'userinfo_endpoint', :'base' || '/auth/userinfo', 'management_endpoint', :'base' || '/auth/manage', 'device_verification_uri', :'base' || '/auth/device', 'user_sees_all', true)) \g /dev/null
SELECT smart.register_client(jsonb_build_object('client_id', 'chart', 'client_name', 'Chart', 'token_endpoint_auth_method', 'none',
  'redirect_uris', jsonb_build_array(:'base' || '/apps/chart/'), 'launch_uris', jsonb_build_array(:'base' || '/apps/chart/launch'),
  'scope', :'scopes', 'offline_access', true)) \g /dev/null
SELECT smart.register_client(jsonb_build_object('client_id', 'tv', 'client_name', 'Television', 'token_endpoint_auth_method', 'none',
  'grant_types', '["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"]'::jsonb, 'scope', 'openid fhirUser launch/patient online_access patient/*.rs')) \g /dev/null
SELECT smart.register_client(jsonb_build_object('client_id', 'backend', 'client_name', 'Backend service', 'token_endpoint_auth_method', 'private_key_jwt',
  'grant_types', '["client_credentials"]'::jsonb, 'jwks', :'backend'::jsonb, 'scope', 'system/*.cruds', 'introspection', 'any')) \g /dev/null
SELECT smart.register_client(jsonb_build_object('client_id', 'ehr', 'client_name', 'Riverside Clinic', 'token_endpoint_auth_method', 'private_key_jwt',
  'grant_types', '["client_credentials"]'::jsonb, 'jwks', :'ehr'::jsonb, 'scope', 'system/Patient.rs system/Encounter.rs')) \g /dev/null
SELECT smart.register_client(jsonb_build_object('client_id', 'web', 'client_name', 'Web app', 'token_endpoint_auth_method', 'client_secret_basic',
  'redirect_uris', jsonb_build_array(:'base' || '/apps/web/'), 'launch_uris', jsonb_build_array(:'base' || '/apps/web/launch'),
  'scope', :'scopes')) ->> 'client_secret';
SQL
)
node -e "
  const { readFileSync, writeFileSync } = require('node:fs');
  const [file, ehr, base, alice, bob] = process.argv.slice(1);
  writeFileSync(file, JSON.stringify({
    users: { alice: { sub: 'alice', fhirUser: 'Patient/' + alice }, bob: { sub: 'bob', fhirUser: 'Practitioner/' + bob } },
    ehr: { clientId: 'ehr', tokenEndpoint: base + '/auth/token', jwk: JSON.parse(readFileSync(ehr)) },
  }), { mode: 0o600 });" "$WORK/settings.json" "$WORK/ehr.jwk" "$base" "$alice" "$bob"
rm "$WORK/ehr.jwk"

# the front end runs as who owns the cluster, from a copy that this user can read
umask 022
cp -r "$ROOT/demo/app" "$WORK/front"
[ -z "$RUN_AS" ] || chown -R "$RUN_AS" "$WORK/front" "$WORK/settings.json"
(cd "$WORK/front" && exec ${RUN_AS:+setpriv --reuid="$RUN_AS" --regid="$(id -g "$RUN_AS")" --clear-groups} \
  env HOME="$WORK" PORT="$port" DEMO_SETTINGS="$WORK/settings.json" PGHOST="$PGHOST" PGPORT="$PGPORT" PGDATABASE=fhir NODE_ENV=production \
  "$(command -v node)" server.js) >"$WORK/front.log" 2>&1 &
front=$!
stop() { kill -TERM "$front" 2>/dev/null || true; wait "$front" 2>/dev/null || true; }
trap 'stop; cleanup' EXIT
trap 'exit 0' INT TERM HUP
for _ in $(seq 100); do
  grep -q '^listening' "$WORK/front.log" && break
  kill -0 "$front" 2>/dev/null || { cat "$WORK/front.log" >&2; die 'the front end did not start'; }
  sleep 0.1
done
cat <<END
EHR                   $base/            (users alice, a patient, and bob, a practitioner; the password is the name)
FHIR base             $base/fhir
issuer                $base/auth
SMART app             $base/apps/chart/
what was allowed      $base/auth/manage
client chart          public, redirect $base/apps/chart/
devices               $base/auth/device: where the code of a device is entered
client tv             public, device codes
client web            client_secret_basic, secret $secret, redirect $base/apps/web/
client backend        private_key_jwt, key pair in $WORK/backend.jwk
Ctrl-C ends it.
END
wait "$front" || { tail -5 "$WORK/front.log" >&2; die 'the front end ended'; }
