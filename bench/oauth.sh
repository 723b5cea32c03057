#!/usr/bin/env bash
# bench/oauth.sh: tokens for backend services (client_credentials, private_key_jwt): server CPU a token, and tokens a second.
#
# CPU is the backend's own user time, from /proc, over a loop of CALL smart.token() with assertions that were made before; beside it
# what "openssl speed" needs for its two signatures, the assertion's verified and the token's made. The kernel's time is a line of its
# own. This part runs with fsync off: a lone backend that waits for the disk after each token finds its caches cold. Throughput with 32
# clients, fsync and synchronous_commit on: through pgbench, and over HTTP through the demonstration's front end, in turn with oidc-provider 9 and its
# memory adapter, over HTTP, with a load generator of its own beside it (Node.js and npm; without them its figure of another day counts).
set -uo pipefail
. "$(dirname "$0")/../tools/lib.sh"
. "$(dirname "$0")/lib.sh"
runs=${RUNS:-${QUICK:+2}}
runs=${runs:-5}
n=${QUICK:+2000}
n=${n:-4000}
seconds=${QUICK:+2}
seconds=${seconds:-15}
rm -f "$RESULTS/oauth.tsv"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
keys=$(cat "$ROOT/test/data/jose/keys.json")

psql_quiet -v keys="$keys" <<-'SQL' >/dev/null
	SET client_min_messages = warning;
	CREATE EXTENSION IF NOT EXISTS smart_fhir_oauth;
	CREATE SCHEMA IF NOT EXISTS bench_oauth;
	SELECT smart.configure_server('{"issuer": "https://bench.example.org/as", "fhir_base_urls": ["https://bench.example.org/fhir"]}');
	CREATE TABLE bench_oauth.key (alg text PRIMARY KEY, jwk jsonb);
	INSERT INTO bench_oauth.key VALUES ('ES256', (:'keys'::jsonb -> 'ec-p256') || '{"kid": "k"}'), ('RS256', (:'keys'::jsonb -> 'rsa-2048') || '{"kid": "k"}'),
	  ('RS384', (:'keys'::jsonb -> 'rsa-2048') || '{"kid": "k"}');
	SELECT smart.register_client(jsonb_build_object('client_id', 'bench-' || alg, 'token_endpoint_auth_method', 'private_key_jwt', 'token_endpoint_auth_signing_alg', alg,
	  'grant_types', jsonb_build_array('client_credentials'), 'scope', 'system/*.rs', 'introspection', 'any',
	  'jwks', jsonb_build_object('keys', jsonb_build_array(jwk - '{d,p,q,dp,dq,qi,alg}'::text[])))) FROM bench_oauth.key;
	CREATE FUNCTION bench_oauth.request(alg text) RETURNS jsonb LANGUAGE sql AS $$
	  SELECT jsonb_build_object('grant_type', 'client_credentials', 'scope', 'system/Observation.rs', 'client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
	    'client_assertion', smart.jwt_sign(jsonb_build_object('iss', 'bench-' || $1, 'sub', 'bench-' || $1, 'aud', 'https://bench.example.org/as/token', 'jti', gen_random_uuid(),
	      'exp', floor(extract(epoch FROM clock_timestamp())) + 290), jwk - 'alg', jsonb_build_object('alg', $1, 'typ', 'JWT'))) FROM bench_oauth.key k WHERE k.alg = $1
	$$;
	CREATE FUNCTION bench_oauth.cpu(field int) RETURNS float8 LANGUAGE sql AS $$
	  SELECT split_part(s, ' ', $1)::float8 * 10000 FROM pg_read_file('/proc/self/stat') s
	$$;
	CREATE PROCEDURE bench_oauth.tokens(alg text, n int) LANGUAGE plpgsql AS $$
	DECLARE requests jsonb[]; r jsonb; used float8; kernel float8;
	BEGIN
	  requests := ARRAY(SELECT bench_oauth.request(alg) FROM generate_series(0, n));
	  CALL smart.token(requests[1], '{}', r);
	  used := bench_oauth.cpu(14);
	  kernel := bench_oauth.cpu(15);
	  FOR i IN 2..n + 1 LOOP
	    CALL smart.token(requests[i], '{}', r);
	  END LOOP;
	  IF r->>'status' <> '200' THEN RAISE 'status %', r->>'status'; END IF;
	  PERFORM set_config('bench.result', ((bench_oauth.cpu(14) - used) / n)::text, false), set_config('bench.kernel', ((bench_oauth.cpu(15) - kernel) / n)::text, false);
	END $$;
SQL

# microseconds of a signature and a verification by "openssl speed"
signatures() {
  case $1 in
    RS*) openssl speed -mr -seconds 1 rsa2048 2>/dev/null | awk -F: '$1 == "+F2" { print 1000000 / $4 + 1000000 / $5 }' ;;
    *) openssl speed -mr -seconds 1 ecdsap256 2>/dev/null | awk -F: '$1 == "+F4" { print 1000000 / $4 + 1000000 / $5 }' ;;
  esac
}

fsync() { psql_quiet -c "ALTER SYSTEM SET fsync = $1" -c 'SELECT pg_reload_conf()' >/dev/null; sleep 1; }
fsync off
for line in 'ES256 2.0' 'RS384 1.2' 'RS256 1.2'; do
  set -- $line
  psql_quiet -c "SELECT smart.create_signing_key('$1')" >/dev/null
  ours='' base='' kernel=''
  for _ in $(seq "$runs"); do
    measured=$(psql_quiet -F ' ' -c "CALL bench_oauth.tokens('$1', $n)" -c "SELECT current_setting('bench.result'), current_setting('bench.kernel')")
    ours+="${measured% *}"$'\n' kernel+="${measured#* }"$'\n'
    base+="$(signatures "$1")"$'\n'
  done
  ours=$(printf '%s' "$ours" | median) kernel=$(printf '%s' "$kernel" | median) base=$(printf '%s' "$base" | median)
  ratio=$(awk -v a="$ours" -v b="$base" 'BEGIN { if (b > 0) printf "%.2f", a / b }')
  printf '%-50s %10.1f us, %-28s %10.1f us %6s (at most %s)\n' "$1: server CPU a token" "$ours" 'its two signatures' "$base" "$ratio" "$2"
  printf '%-50s %10.1f us\n' "$1: the kernel's CPU a token" "$kernel"
  result oauth "$1: server CPU a token" "$(printf '%.1f' "$ours")" us 'openssl speed, its two signatures' "$(printf '%.1f' "$base")" "$ratio" "$2"
done

fsync on

# Tokens and introspections a second, 32 clients, each round beside oidc-provider's.
psql_quiet -c "SELECT smart.create_signing_key('ES256')" >/dev/null
psql_quiet <<-'SQL' >/dev/null
	CREATE SEQUENCE bench_oauth.next;
	CREATE TABLE bench_oauth.made (i bigint, requests jsonb[]);
	CREATE INDEX made_i ON bench_oauth.made (i);
	CREATE TABLE bench_oauth.token (access text);
	CREATE PROCEDURE bench_oauth.one() LANGUAGE plpgsql AS $$
	DECLARE r jsonb;
	BEGIN
	  CALL smart.token(bench_oauth.request('ES256'), '{}', r);
	  DELETE FROM bench_oauth.token;
	  INSERT INTO bench_oauth.token VALUES (r #>> '{body,access_token}');
	END $$;
SQL
# ten requests are fetched at once, so that what is measured is the CALL
batch=10
{
  echo -n 'SELECT requests[1] AS r1'
  for i in $(seq 2 $batch); do echo -n ", requests[$i] AS r$i"; done
  echo " FROM bench_oauth.made WHERE i = (SELECT nextval('bench_oauth.next')) \\gset"
  for i in $(seq $batch); do echo "CALL smart.token(:r$i, '{}');"; done
} >"$dir/token.sql"
# rate SCRIPT CALLS: calls a second
rate() { pgbench -n -M prepared -c 32 -j 2 -T "$seconds" -f "$1" 2>>"$dir/pgbench.err" | awk -v n="$2" '/^tps/ { print $3 * n }'; }
tokens() {
  psql_quiet -c 'TRUNCATE bench_oauth.made' -c "INSERT INTO bench_oauth.made SELECT i, ARRAY(SELECT bench_oauth.request('ES256') FROM generate_series(1, $batch + 0 * i))
    FROM generate_series((SELECT last_value FROM bench_oauth.next), (SELECT last_value + $((seconds * 16000 / batch)) FROM bench_oauth.next)) i" -c 'ANALYZE bench_oauth.made' >/dev/null
  rate "$dir/token.sql" $batch
}
introspections() {
  local access
  access=$(psql_quiet -c 'CALL bench_oauth.one()' -c 'SELECT access FROM bench_oauth.token')
  printf "CALL smart.introspect('{\"token\": \"%s\"}', '{\"authorization\": \"Bearer %s\"}');\n" "$access" "$access" >"$dir/introspect.sql"
  rate "$dir/introspect.sql" 1
}
# load URL CLIENT: over HTTP
load() {
  node "$ROOT/bench/oauth_bodies.mjs" "$dir/jwk" "$2" "$3" $((seconds * 6000)) >"$dir/bodies"
  node "$ROOT/bench/oauth_load.mjs" "$1" "$seconds" 32 "$dir/bodies" | tee -a "$dir/http" | awk '{ print $1 }'
}
# wait_for WORD FILE
wait_for() { for _ in $(seq 600); do grep -q "$1" "$2" 2>/dev/null && return; sleep 0.2; done; return 1; }

psql_quiet -c "SELECT jwk FROM bench_oauth.key WHERE alg = 'ES256'" >"$dir/jwk"
provider='' front=''
if command -v npm >/dev/null && (cd "$dir" && npm install --silent --no-fund --no-audit oidc-provider@9 >/dev/null 2>&1); then
  cp "$ROOT/bench/oauth_provider.mjs" "$dir/"
  (cd "$dir" && exec node oauth_provider.mjs 8911 "$dir/jwk") >"$dir/provider.log" 2>&1 &
  provider=$!
  "$ROOT/demo/app.sh" --port 8912 >"$dir/front.log" 2>&1 &
  front=$!
  trap 'kill $provider $front 2>/dev/null; wait $front 2>/dev/null; rm -rf "$dir"' EXIT
  wait_for listening "$dir/provider.log" && wait_for '^Ctrl-C' "$dir/front.log" || { tail -3 "$dir/provider.log" "$dir/front.log"; provider=; }
else
  say "oidc-provider cannot be installed: its 2330 a second of another day count"
fi
if [ -n "$provider" ]; then
  # the demonstration's own clients sign with ES384
  demo=$(awk '/^client backend/ { sub("/[^/]*$", "", $NF); print $NF }' "$dir/front.log")
  psql_quiet -h "$demo" -U postgres -d fhir -v jwk="$(cat "$dir/jwk")" <<-'SQL' >/dev/null
	SELECT smart.create_signing_key('ES256');
	SELECT smart.register_client(jsonb_build_object('client_id', 'bench', 'token_endpoint_auth_method', 'private_key_jwt', 'token_endpoint_auth_signing_alg', 'ES256',
	  'grant_types', jsonb_build_array('client_credentials'), 'scope', 'system/*.rs', 'jwks', jsonb_build_object('keys', jsonb_build_array(:'jwk'::jsonb - '{d,alg}'::text[]))));
SQL
fi
declare -A got
for _ in $(seq "$runs"); do
  got[tokens]+="$(tokens)"$'\n'
  [ -z "$provider" ] || got[theirs]+="$(load http://127.0.0.1:8911/token bench http://127.0.0.1:8911/token)"$'\n'
  got[introspections]+="$(introspections)"$'\n'
  [ -z "$provider" ] || got[http]+="$(load http://127.0.0.1:8912/auth/token bench http://localhost:8912/auth/token)"$'\n'
done
head -5 "$dir/pgbench.err"
theirs=$(printf '%s' "${got[theirs]:-}" | median)
for line in 'tokens|through SQL|3' 'introspections|through SQL|5' "http|tokens over HTTP|1"; do
  IFS='|' read -r what how target <<<"$line"
  value=$(printf '%s' "${got[$what]:-}" | median)
  [ -n "$value" ] || continue
  [ "$what" != http ] && how="$what $how"
  ratio=$(awk -v a="$value" -v b="${theirs:-2330}" 'BEGIN { printf "%.2f", a / b }')
  printf '%-50s %10.0f a second, %-28s %10.0f %6s (at least %s)\n' "$how, 32 clients" "$value" 'oidc-provider 9, tokens' "${theirs:-2330}" "$ratio" "$target"
  result oauth "$how, 32 clients" "$(printf '%.0f' "$value")" 'a second' 'oidc-provider 9 with its memory adapter, tokens over HTTP' "${theirs:-2330}" "$ratio" "$target"
done
psql_quiet -c 'SET client_min_messages = warning; DROP SCHEMA bench_oauth CASCADE; DROP EXTENSION smart_fhir_oauth' -c 'ALTER SYSTEM RESET fsync' -c 'SELECT pg_reload_conf()' >/dev/null
