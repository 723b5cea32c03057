#!/usr/bin/env bash
# demo/run.sh [--keep] [DIRECTORY]: what each kind of access token sees of a FHIR server's tables.
#
# DIRECTORY is a FHIR bulk export (<Type>.ndjson, also .gz); without it, a small sample that
# demo/generate_sample.pl makes. Installs what is missing, builds, and works in a private cluster that
# is gone at the end; --keep leaves it up and prints how to connect. Output is psql's own, only
# indented, without empty results.
#
# Four roles, as in production: the superuser creates the extension and trusts the issuer;
# fhir_migrate owns and loads the tables; fhir_auth stands for the authorization server and alone
# has the signing key; fhir_app is the FHIR server, and has nothing but the tables.
set -euo pipefail
. "$(dirname "$0")/../tools/lib.sh"
. "$ROOT/demo/load.sh"

keep=
[ "${1:-}" != --keep ] || { keep=1; shift; }
source=${1:-}
[ "$#" -le 1 ] || die 'usage: demo/run.sh [--keep] [DIRECTORY]'
[ -z "$source" ] || [ -d "$source" ] || die "no such directory: $source"

bold= dim= red= plain=
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
  bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' plain=$'\e[0m'
fi
heading() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; shift; [ $# = 0 ] || printf '%s\n' "$@"; echo; }
milliseconds() { echo $(($(date +%s%N) / 1000000)); }

heading 'smart_fhir: from an access token to rows'
started=$(milliseconds)
"$ROOT/tools/setup.sh" || die 'set-up failed'
PG_CONFIG=$(find_pg_config)
export PATH="$("$PG_CONFIG" --bindir):$PATH"
private_dir
# log_statement = all: the last section looks for tokens in what was logged
cluster_start fhir "shared_buffers = '256MB'" "maintenance_work_mem = '256MB'" "log_statement = 'all'" \
  "jit = off"
say "  $("$PG_CONFIG" --version), extension built and installed, private cluster started: $(($(milliseconds) - started)) ms"

# sql ROLE [PSQL OPTION...]: psql for the demo's own work; nothing of it is shown
sql() {
  local role=$1
  shift
  psql -XqAt -v ON_ERROR_STOP=1 -U "$role" -d "$database" "$@"
}

# ---- the database ------------------------------------------------------------------------------
database=postgres
sql postgres <<'SQL'
CREATE DATABASE fhir;
-- the library is there before a connection's first statement: tokens stay out of every log line
ALTER DATABASE fhir SET session_preload_libraries = 'smart_fhir';
CREATE ROLE fhir_migrate LOGIN BYPASSRLS;
CREATE ROLE fhir_auth LOGIN;
CREATE ROLE fhir_app LOGIN;
-- fhir_auth handles private keys, and the loader's COPY lines say nothing
ALTER ROLE fhir_auth SET log_statement = 'none';
ALTER ROLE fhir_migrate SET log_statement = 'ddl';
GRANT CREATE ON DATABASE fhir TO fhir_migrate;
SQL
database=fhir
sql postgres <<'SQL'
CREATE EXTENSION smart_fhir;
REVOKE TEMPORARY ON DATABASE fhir FROM PUBLIC;
GRANT TEMPORARY ON DATABASE fhir TO fhir_migrate;
GRANT CREATE ON SCHEMA public TO fhir_migrate;
-- what a driver would send as parameters
CREATE SCHEMA psql;
CREATE UNLOGGED TABLE psql.request (token text);
CREATE UNLOGGED TABLE psql.secret (key text);
GRANT USAGE ON SCHEMA psql TO fhir_app, fhir_auth;
GRANT SELECT, INSERT, DELETE ON psql.request TO fhir_app;
GRANT SELECT, INSERT, DELETE ON psql.secret TO fhir_auth;
SQL

# ---- load --------------------------------------------------------------------------------------
started=$(milliseconds)
if [ -z "$source" ]; then
  source=$WORK/sample
  mkdir "$source"
  perl "$ROOT/demo/generate_sample.pl" "$source"
fi
load_fhir "$source" fhir_migrate fhir_app
read -r resources tables < <(sql fhir_migrate -F' ' -c 'SELECT count(*), count(DISTINCT type) FROM everything')
say "  $resources resources loaded into $tables tables: $(($(milliseconds) - started)) ms"

# The patient with most laboratory results, and another one.
{ IFS='|' read -r patient name; IFS='|' read -r other other_name; } < <(sql fhir_migrate <<'SQL'
SELECT p.id, coalesce((p.resource#>>'{name,0,given,0}') || ' ' || (p.resource#>>'{name,0,family}'), 'without a name') FROM patient p LEFT JOIN observation o ON o.resource->'subject'->>'reference' = 'Patient/' || p.id
GROUP BY p.id
ORDER BY count(*) FILTER (WHERE o.resource->'category' @? '$[*].coding[*] ? (@.code == "laboratory")') DESC, p.id LIMIT 2
SQL
) || true
[ -n "${patient:-}" ] || die "no Patient in $source"
other=${other:-somebody-else} other_name=${other_name:-in no chart here}

# ---- sessions ----------------------------------------------------------------------------------
issuer=https://auth.example
base=https://fhir.example/r4
KEY=$("$ROOT/demo/make_key.pl" demo-1)
JWKS=$("$ROOT/demo/make_key.pl" --public <<<"$KEY")
WRONG_KEY=$("$ROOT/demo/make_key.pl" demo-1)
export KEY JWKS WRONG_KEY

# mint SCOPE [PATIENT [EXPIRES_IN [KEY VARIABLE]]]: a token, signed by smart.jwt_sign() as fhir_auth.
# Secrets reach psql in the environment, not on a command line that others can read, and the server as the data of a COPY,
# not in the text of a statement.
mint() {
  sql fhir_auth -c 'DELETE FROM psql.secret' -c "\\copy psql.secret FROM PROGRAM 'printenv ${4:-KEY}'" \
    -v scope="$1" -v patient="${2:-}" -v ttl="${3:-3600}" -v issuer="$issuer" -v base="$base" -f - <<'SQL'
SELECT smart.jwt_sign(
  jsonb_strip_nulls(jsonb_build_object('iss', :'issuer', 'aud', :'base', 'sub', 'demo-user', 'client_id', 'demo-app',
    'jti', gen_random_uuid(), 'iat', t - greatest(0, 60 - :ttl), 'exp', t + :ttl, 'scope', :'scope', 'patient', nullif(:'patient', ''))),
  key::jsonb, '{"typ": "at+jwt"}')
FROM (SELECT floor(extract(epoch FROM clock_timestamp()))::bigint) now(t), psql.secret;
SQL
}

# observation ID PATIENT: a record for the writes below
observation() {
  printf '{"resourceType": "Observation", "id": "%s", "status": "final", "code": {"text": "Heart rate"}, "subject": {"reference": "Patient/%s"}}' "$@"
}

# show ROLE NAME [TOKEN]: runs the SQL on standard input as ROLE and prints it with its results and
# times. NAME is the line in the table at the end; there the rows are the answer of the first
# statement that counts, the times those of the login and of that statement.
#
# A FHIR server sends the token as a bind parameter: SELECT smart.login($1). psql can do so from 16
# on (\bind); what every psql can is COPY: here a table stands for the request. In the text of a
# statement a token could be read by others before the library has masked it.
show() {
  local role=$1 name=$2 request=()
  [ -z "${3:-}" ] || request=(-c 'DELETE FROM psql.request' -c "\\copy psql.request FROM PROGRAM 'printenv TOKEN'")
  TOKEN=${3:-} psql -Xqa -U "$role" -d fhir -v VERBOSITY=verbose -v own_record="$(observation new "$patient")" \
    -v record_of_another="$(observation bad "$other")" -v another_patient="{\"reference\": \"Patient/$other\"}" -P footer=off "${request[@]}" -c '\timing on' -f - >"$WORK/shown" 2>&1 || true
  awk -v role="$role" -v name="$name" -v table="$WORK/summary" -v dim="$dim" -v red="$red" -v plain="$plain" '
    function out(line) { print "  " line }
    # the footer of errors that says where in the source, and the empty result of a void function
    /^(LOCATION: |timing on$|.?copy psql[.]request |DELETE FROM psql[.]request)/ { next }
    /^ (login|set_interaction|logout) *$/ { skip = 3; }
    skip > 0 { skip--; next }
    /^Time: / {
      ms = sprintf("%.2f", $2)
      if (kind == "login" && login == "") login = refused ? "refused" : ms
      else if (kind == "login" && !refused) again = ms
      if (kind == "count" && query == "") query = ms
      if (kind != "") out(dim sprintf("-- %s ms", ms) plain)
      kind = ""; refused = 0
      next
    }
    /^psql:/ { sub(/^psql:[^:]*:[0-9]+: /, "") }
    /^ERROR: / { refused = 1; out(red $0 plain); next }
    /^(DETAIL|HINT|SCHEMA NAME|CONSTRAINT NAME|TABLE NAME): / { out(red $0 plain); next }
    more { out(sprintf("%*s-> %s", length(role), "", $0)); more = ($0 !~ /;$/); next }
    /^(SELECT|INSERT|UPDATE|DELETE|WITH|BEGIN|COMMIT|ROLLBACK|SAVEPOINT)/ {
      more = ($0 !~ /;$/)
      if ($0 ~ /smart\.login/) kind = "login"
      else if ($0 ~ /count\(\*\)/) { kind = "count"; if (rows == "") wait = 1 }
      else if ($0 !~ /^(BEGIN|COMMIT|ROLLBACK|SAVEPOINT)/) kind = "other"
      out(role "=> " $0); next
    }
    wait && /^ +[0-9]+ *$/ { rows = $1; wait = 0 }
    /^ *$/ { next }
    { out($0) }
    END { printf "%s|%s|%s|%s|%s\n", name, login == "" ? "-" : login, again == "" ? "-" : again,
          rows == "" ? "-" : rows, query == "" ? "-" : query >> table }' "$WORK/shown"
}

started=$(milliseconds)
sql fhir_migrate >"$WORK/protected" 2>"$WORK/protected.notices" <<'SQL'
SELECT format('SELECT %L, smart.protect(%L, %L)', relname, 'public.' || quote_ident(relname), obj_description(oid, 'pg_class'))
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY relname \gexec
SQL
heading 'The tables are protected' 'By their owner, once each. protect() writes ordinary policies and the index that they use.'
say "  fhir_migrate=> SELECT smart.protect('observation', 'Observation');"
sed -n 's/^.*NOTICE: /  NOTICE: /; /observation/p' "$WORK/protected.notices"
say "  ${dim}-- and $(($(wc -l <"$WORK/protected") - 1)) more tables: $(($(milliseconds) - started)) ms, indexes included$plain"
show fhir_migrate '' <<'SQL'
SELECT policyname, cmd, roles FROM pg_policies WHERE tablename = 'observation' ORDER BY cmd;
SQL
: >"$WORK/summary"

heading 'The issuer is trusted' "By the superuser, with its public keys and this server's base URL as audience."
say "  postgres=> SELECT smart.add_issuer('$issuer', :'jwks', ARRAY['$base']);"
sql postgres -c '\getenv jwks JWKS' -v issuer="$issuer" -v base="$base" -f - >/dev/null <<'SQL'
SELECT smart.add_issuer(:'issuer', :'jwks', ARRAY[:'base']);
SQL

heading '1. No token' 'A connection that nobody has logged in on sees nothing and adds nothing.'
show fhir_app 'no token' <<'SQL'
SELECT count(*) FROM everything;
INSERT INTO observation VALUES ('new', :'own_record');
SQL

scope='launch/patient patient/*.rs'
token_patient=$(mint "$scope" "$patient")
heading "2. One patient's token" "scope: $scope" "patient: $patient ($name)" 'None of these queries says whose records it wants.'
show fhir_app 'one patient' "$token_patient" <<'SQL'
BEGIN;
SELECT smart.login(token) FROM psql.request;
SELECT client_id, patient, scope FROM smart.session;
SELECT count(*) FROM everything;
SELECT type, count(*) FROM everything GROUP BY type ORDER BY type;
SELECT left(resource->>'effectiveDateTime', 10) AS date, resource->'code'->>'text' AS what, resource->'subject'->>'reference' AS subject
  FROM observation ORDER BY resource->>'effectiveDateTime' DESC, id LIMIT 5;
SELECT count(*) FROM patient WHERE id = '' OR 'injected' = 'injected';
COMMIT;
SELECT count(*) FROM everything;
BEGIN;
SELECT smart.login(token) FROM psql.request;
COMMIT;
SQL

scope='patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory'
token_laboratory=$(mint "$scope" "$patient")
heading '3. A laboratory-only token' "scope: $scope" "patient: $patient ($name)"
ignored=$(TOKEN=$token_laboratory sql fhir_app -c 'DELETE FROM psql.request' -c "\\copy psql.request FROM PROGRAM 'printenv TOKEN'" -f - <<'SQL' 2>/dev/null || true
BEGIN;
SELECT smart.login(token) FROM psql.request;
SELECT array_to_string(ignored_scopes, '; ') FROM smart.session;
COMMIT;
SQL
)
ignored=$(sed '/^$/d' <<<"$ignored")
[ -z "$ignored" ] || say "  This build does not decide such scopes yet; it ignores them, and says so:" "  $ignored" ''
show fhir_app 'laboratory only' "$token_laboratory" <<'SQL'
BEGIN;
SELECT smart.login(token) FROM psql.request;
SELECT count(*) FROM everything;
SELECT resource#>>'{category,0,coding,0,code}' AS category, count(*) FROM observation GROUP BY 1 ORDER BY 1;
COMMIT;
SQL

scope='patient/Observation.cruds'
token_writer=$(mint "$scope" "$patient")
heading '4. Writing' "scope: $scope" "patient: $patient ($name)" "Into the own chart; into that of $other ($other_name); moving the record there."
show fhir_app 'writer' "$token_writer" <<'SQL'
BEGIN;
SELECT smart.login(token) FROM psql.request;
SELECT count(*) FROM everything;
INSERT INTO observation VALUES ('new', :'own_record') RETURNING id, resource->'subject'->>'reference' AS subject;
SAVEPOINT here;
INSERT INTO observation VALUES ('bad', :'record_of_another');
ROLLBACK TO here;
UPDATE observation SET resource = jsonb_set(resource, '{subject}', :'another_patient') WHERE id = 'new';
ROLLBACK;
SQL

token_expired=$(mint 'patient/*.rs' "$patient" -300)
heading '5. An expired token' 'It ended five minutes ago; the issuer allows clocks to differ by one.'
show fhir_app 'expired token' "$token_expired" <<'SQL'
BEGIN;
SELECT smart.login(token) FROM psql.request;
ROLLBACK;
SELECT count(*) FROM everything;
SQL

heading '6. Forged tokens' "Signed by another key under the issuer's key id; a good token with another patient written into it; no signature at all."
b64() { perl -MMIME::Base64=encode_base64url -0777 -ne 'print encode_base64url($_)'; }
unb64() { perl -MMIME::Base64=decode_base64url -0777 -ne 'print decode_base64url($_)'; }
IFS=. read -r head payload signature <<<"$token_patient"
payload=$(unb64 <<<"$payload" | sed "s/$patient/$other/" | b64)
token_foreign=$(mint 'patient/*.rs' "$patient" 3600 WRONG_KEY)
token_edited=$head.$payload.$signature
token_none=$(printf '{"alg":"none","typ":"at+jwt"}' | b64).$payload.
for forged in foreign edited none; do
  token=token_$forged
  show fhir_app "forged token ($forged)" "${!token}" <<'SQL'
BEGIN;
SELECT smart.login(token) FROM psql.request;
ROLLBACK;
SELECT count(*) FROM everything;
SQL
done

scope='system/*.rs'
token_backend=$(mint "$scope")
heading '7. A backend service' "scope: $scope"
show fhir_app 'backend service' "$token_backend" <<'SQL'
BEGIN;
SELECT smart.login(token) FROM psql.request;
SELECT count(*) FROM everything;
SELECT type, count(*) FROM everything GROUP BY type ORDER BY type;
COMMIT;
BEGIN;
SELECT smart.login(token) FROM psql.request;
COMMIT;
SQL

heading 'What each session saw' "Of $resources resources. Times in ms, as psql saw them: the first login of a connection (it reads the" \
  "issuer's keys and verifies the signature), the same token again, the count over all tables."
{
  printf '%-24s %10s %8s %10s %10s\n' session login again rows query
  while IFS='|' read -r name login again rows query; do
    printf '%-24s %10s %8s %10s %10s\n' "$name" "$login" "$again" "$rows" "$query"
  done <"$WORK/summary"
} | sed 's/^/  /'

heading "The server's log" 'log_statement is all; every login above is in it.'
say "  $(grep -c 'statement: .*smart\.login' "$WORK/fhir.log") lines with smart.login(), $(grep -c 'eyJ[A-Za-z0-9_-]\{20\}' "$WORK/fhir.log" || true) with a token"
grep 'statement: .*smart\.login' "$WORK/fhir.log" | head -1 | sed 's/^/  /' || true

# A demonstration that shows a row too many must not end well.
awk -F'|' -v all="$resources" '
  $1 ~ /^(no token|expired|forged)/ && ($4 != 0 || ($2 != "-" && $2 != "refused")) { bad = bad "\n  " $1 }
  $1 == "one patient" && !($4 > 0 && $4 < all) && all > 1 { bad = bad "\n  " $1 }
  $1 == "backend service" && $4 != all { bad = bad "\n  " $1 }
  END { if (bad) { print "\nNot as it must be:" bad; exit 1 } }' "$WORK/summary"
! grep -q 'eyJ[A-Za-z0-9_-]\{20\}' "$WORK/fhir.log" || die 'a token is in the log'

if [ -n "$keep" ]; then
  mkdir "$WORK/tokens"
  for name in patient laboratory writer backend; do
    token=token_$name
    say "${!token}" >"$WORK/tokens/$name"
  done
  KEEP_WORK=1
  run=
  [ -z "$RUN_AS" ] || run="runuser -u $RUN_AS -- "
  heading 'The cluster stays up' "Tokens for an hour: $WORK/tokens/{patient,laboratory,writer,backend}"
  cat <<TEXT
  connect:   psql -h $WORK -U fhir_app fhir
             DELETE FROM psql.request;
             \\copy psql.request FROM '$WORK/tokens/patient'
             BEGIN; SELECT smart.login(token) FROM psql.request; SELECT * FROM smart.session; ...
  superuser: psql -h $WORK -U postgres fhir
  stop:      $run$(command -v pg_ctl) -D $WORK/fhir -m fast stop; rm -rf $WORK
TEXT
fi
