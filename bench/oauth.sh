#!/usr/bin/env bash
# bench/oauth.sh: tokens for backend services (client_credentials, private_key_jwt): server CPU a token, and tokens a second.
#
# CPU is the backend's own user time, from /proc, over a loop of CALL smart.token() with assertions that were made before; beside it
# what "openssl speed" needs for its two signatures, the assertion's verified and the token's made. The kernel's time is a line of its
# own. This part runs with fsync off: a lone backend that waits for the disk after each token finds its caches cold. Throughput through pgbench with 32
# clients, fsync and synchronous_commit on.
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

# Tokens and introspections a second, 32 clients. oidc-provider 9 with its memory adapter gave 2330 tokens a second on two cores.
psql_quiet -c "SELECT smart.create_signing_key('ES256')" >/dev/null
psql_quiet <<-SQL >/dev/null
	CREATE SEQUENCE bench_oauth.next;
	CREATE TABLE bench_oauth.made AS SELECT i, bench_oauth.request('ES256') AS request FROM generate_series(1, $seconds * 10000) i;
	CREATE UNIQUE INDEX ON bench_oauth.made (i);
SQL
cat >"$dir/token.sql" <<-'SQL'
	SELECT request AS r FROM bench_oauth.made WHERE i = (SELECT nextval('bench_oauth.next')) \gset
	CALL smart.token(:r, '{}');
SQL
rate() { pgbench -n -M prepared -c 32 -j 2 -T "$seconds" -f "$1" 2>>"$dir/pgbench.err" | awk '/^tps/ { print $3 }'; }
tokens=$(rate "$dir/token.sql"); [ -n "$tokens" ] || head -5 "$dir/pgbench.err"
psql_quiet <<-'SQL' >/dev/null
	CREATE TABLE bench_oauth.token (access text);
	CREATE PROCEDURE bench_oauth.one() LANGUAGE plpgsql AS $$
	DECLARE r jsonb;
	BEGIN
	  CALL smart.token(bench_oauth.request('ES256'), '{}', r);
	  INSERT INTO bench_oauth.token VALUES (r #>> '{body,access_token}');
	END $$;
	CALL bench_oauth.one();
SQL
access=$(psql_quiet -c 'SELECT access FROM bench_oauth.token')
printf "CALL smart.introspect('{\"token\": \"%s\"}', '{\"authorization\": \"Bearer %s\"}');\n" "$access" "$access" >"$dir/introspect.sql"
introspections=$(rate "$dir/introspect.sql")
for line in "tokens $tokens 3" "introspections $introspections 5"; do
  set -- $line
  ratio=$(awk -v a="$2" 'BEGIN { printf "%.2f", a / 2330 }')
  printf '%-50s %10.0f a second, %-28s %10d %6s (at least %s)\n' "$1 with 32 clients" "$2" 'oidc-provider 9, tokens' 2330 "$ratio" "$3"
  result oauth "$1 with 32 clients" "$(printf '%.0f' "$2")" 'a second' 'oidc-provider 9 with its memory adapter, tokens' 2330 "$ratio" "$3"
done
psql_quiet -c 'SET client_min_messages = warning; DROP SCHEMA bench_oauth CASCADE; DROP EXTENSION smart_fhir_oauth' -c 'ALTER SYSTEM RESET fsync' -c 'SELECT pg_reload_conf()' >/dev/null
