#!/usr/bin/env bash
# bench/scale.sh: does a full authorization server answer as an empty one?
#
# Two databases of one server: one has GRANTS (default 1M) grants with a refresh token each, and USED (10M) used codes and jti, half of the jti
# expired; the other has next to nothing. pgbench with 4 clients asks both in turn, client_credentials with private_key_jwt and
# refresh_token; the 99th percentile of the full one is held to 1.3 times that of the empty one (medians over the rounds).
# Meanwhile the expired rows must go by themselves, a few with each request. Not a part of bench/run.sh by default: it fills some gigabytes.
set -uo pipefail
. "$(dirname "$0")/../tools/lib.sh"
. "$(dirname "$0")/lib.sh"
GRANTS=${GRANTS:-${QUICK:+20k}}
USED=${USED:-${QUICK:+100k}}
grants=$(number "${GRANTS:-1M}")
used=$(number "${USED:-10M}")
rounds=${RUNS:-${QUICK:+2}}
rounds=${rounds:-7}
seconds=${QUICK:+2}
seconds=${seconds:-6}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
keys=$(cat "$ROOT/test/data/jose/keys.json")
rm -f "$RESULTS/scale.tsv"
psql_quiet -c "ALTER SYSTEM SET autovacuum = on" -c "ALTER SYSTEM SET fsync = on" -c "ALTER SYSTEM SET synchronous_commit = on" -c "ALTER SYSTEM SET full_page_writes = on" -c "SELECT pg_reload_conf()" >/dev/null

# fill DATABASE GRANTS USED
fill() {
  psql_quiet -d postgres -c 'SET client_min_messages = warning' -c "DROP DATABASE IF EXISTS $1" -c "CREATE DATABASE $1" >/dev/null
  psql_quiet -d "$1" -v keys="$keys" -v grants="$2" -v used="$3" <<-'SQL' >/dev/null
	SET client_min_messages = warning;
	SET synchronous_commit = off;
	SET maintenance_work_mem = '512MB';
	CREATE EXTENSION smart_fhir_oauth CASCADE;
	SELECT smart.configure_server('{"issuer": "https://bench.example.org/as", "fhir_base_urls": ["https://bench.example.org/fhir"]}');
	SELECT smart.create_signing_key('ES256');
	CREATE SCHEMA bench;
	CREATE TABLE bench.key AS SELECT (:'keys'::jsonb -> 'ec-p256') || '{"kid": "k"}' AS jwk;
	SELECT smart.register_client(jsonb_build_object('client_id', 'backend', 'token_endpoint_auth_method', 'private_key_jwt', 'token_endpoint_auth_signing_alg', 'ES256',
	  'grant_types', jsonb_build_array('client_credentials'), 'scope', 'system/*.rs', 'jwks', jsonb_build_object('keys', jsonb_build_array(jwk - '{d,alg}'::text[])))) FROM bench.key;
	SELECT smart.register_client('{"client_id": "app", "token_endpoint_auth_method": "none", "redirect_uris": ["https://app.example.org/cb"], "scope": "launch/patient patient/*.rs offline_access", "offline_access": true}');
	CREATE FUNCTION bench.request() RETURNS jsonb LANGUAGE sql AS $$
	  SELECT jsonb_build_object('grant_type', 'client_credentials', 'scope', 'system/Observation.rs', 'client_assertion_type', 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
	    'client_assertion', smart.jwt_sign(jsonb_build_object('iss', 'backend', 'sub', 'backend', 'aud', 'https://bench.example.org/as/token', 'jti', gen_random_uuid(),
	      'exp', floor(extract(epoch FROM clock_timestamp())) + 290), jwk - 'alg', '{"alg": "ES256", "typ": "JWT"}')) FROM bench.key
	$$;
	CREATE FUNCTION bench.secret(i bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	  SELECT 'smart_' || rtrim(translate(encode(sha256(int8send(i)), 'base64'), '+/', '-_'), '=')
	$$;
	CREATE SEQUENCE bench.next;
	CREATE SEQUENCE bench.next_refresh;
	CREATE TABLE bench.made (i bigint, request jsonb);
	CREATE FUNCTION bench.take() RETURNS jsonb LANGUAGE plpgsql AS $$
	DECLARE n bigint := nextval('bench.next'); r jsonb;
	BEGIN
	  SELECT m.request INTO r FROM bench.made m WHERE m.i = n;
	  RETURN r;
	END $$;
	CREATE FUNCTION bench.take_refresh() RETURNS jsonb LANGUAGE plpgsql AS $$
	BEGIN
	  RETURN jsonb_build_object('grant_type', 'refresh_token', 'refresh_token', bench.secret(nextval('bench.next_refresh')));
	END $$;
	INSERT INTO smart_internal.oauth_grant (grant_id, client_id, sub, patient, audience, scope, context, refresh, granted_at, expires_at)
	  SELECT 'grant-' || i, 'app', 'person-' || i / 3, 'p' || i, 'https://bench.example.org/fhir', 'launch/patient patient/*.rs offline_access', '{}', 'offline',
	    clock_timestamp() - interval '1 h', clock_timestamp() + interval '90 days' * i / :grants FROM generate_series(1, :grants) i;
	-- rows stand in the order of their time, as they are written
	INSERT INTO smart_internal.oauth_refresh_token (hash, grant_id, client_id, made_at, expires_at)
	  SELECT sha256(bench.secret(i)::bytea), 'grant-' || i, 'app', clock_timestamp() - interval '1 h', clock_timestamp() + interval '1 day' + interval '90 days' * i / :grants FROM generate_series(1, :grants) i;
	INSERT INTO smart_internal.oauth_jti SELECT sha256(int8send(i)), clock_timestamp() + interval '1 h' * (2.0 * i / (:used / 2) - 1) FROM generate_series(1, :used / 2) i;
	INSERT INTO smart_internal.oauth_code (hash, grant_id, client_id, redirect_uri, code_challenge, made_at, expires_at, used_at, kept_until)
	  SELECT sha256(int8send(-i)), 'grant-' || i % greatest(:grants, 1), 'app', 'https://app.example.org/cb', 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM', clock_timestamp(), clock_timestamp(), clock_timestamp(),
	    clock_timestamp() + interval '1 day' * (1.0 * i / (:used / 2)) FROM generate_series(1, :used / 2) i;
	VACUUM ANALYZE;
SQL
}
say "filling: $grants grants, $used used codes and jti"
fill scale_empty 100000 100
fill scale_full "$grants" "$used"
psql_quiet -c CHECKPOINT

echo "CALL smart.token(bench.take(), '{}');" >"$dir/client_credentials.sql"
echo "CALL smart.token(bench.take_refresh(), '{}');" >"$dir/refresh_token.sql"
# p99 DATABASE SCRIPT: milliseconds
p99() {
  rm -f "$dir"/log.*
  pgbench -n -M prepared -c 4 -j 1 -T "$seconds" -l --log-prefix="$dir/log" -f "$dir/$2.sql" "$1" >"$dir/out" 2>&1 || head -3 "$dir/out" >&2
  cat "$dir"/log.* | awk '{ print $3 }' | sort -n | awk '{ v[NR] = $1 } END { if (NR) printf "%.3f\n", v[int(NR * 0.99)] / 1000 }'
}
# assertions live for five minutes: those of a round are made before it
assertions() {
  psql_quiet -d "$1" -c 'SET client_min_messages = warning' -c 'TRUNCATE bench.made' -c "INSERT INTO bench.made SELECT i, bench.request() FROM generate_series((SELECT last_value FROM bench.next), (SELECT last_value + $((seconds * 6000)) FROM bench.next)) i" \
    -c 'CREATE INDEX IF NOT EXISTS made_i ON bench.made (i)' -c 'ANALYZE bench.made' >/dev/null
}
count() { psql_quiet -d scale_full -F ' ' -c "SELECT count(*), count(*) FILTER (WHERE expires_at < clock_timestamp()) FROM smart_internal.oauth_jti"; }
before=$(count)
for script in client_credentials refresh_token; do
  full='' empty=''
  for _ in $(seq "$rounds"); do
    for database in scale_empty scale_full; do
      [ "$script" != client_credentials ] || assertions "$database"
      value=$(p99 "$database" "$script")
      case $database in *empty) empty+="$value"$'\n' ;; *) full+="$value"$'\n' ;; esac
    done
  done
  full=$(printf '%s' "$full" | median) empty=$(printf '%s' "$empty" | median)
  ratio=$(awk -v a="$full" -v b="$empty" 'BEGIN { if (b > 0) printf "%.2f", a / b }')
  printf '%-50s %10.2f ms, %-28s %10.2f ms %6s (at most 1.3)\n' "$script: p99 with $grants grants" "$full" 'empty' "$empty" "$ratio"
  result scale "$script: p99 with $grants grants, $used used codes and jti" "$full" ms 'an empty server' "$empty" "$ratio" 1.3
done
for database in scale_empty scale_full; do
  refused=$(psql_quiet -d "$database" -c "SELECT count(*) FROM smart_internal.oauth_refresh_token WHERE used_at IS NOT NULL")
  say "$database: $refused refresh tokens used"
done
say "jti in the table, of them expired: before $before, after $(count)"
psql_quiet -d scale_full -c "SELECT relname, pg_size_pretty(pg_total_relation_size(relid)), n_live_tup, n_dead_tup, vacuum_count + autovacuum_count AS vacuums FROM pg_stat_user_tables WHERE relname LIKE 'oauth%' AND n_live_tup > 1000 ORDER BY 1"
psql_quiet -d postgres -c 'DROP DATABASE scale_empty' -c 'DROP DATABASE scale_full' -c 'ALTER SYSTEM RESET ALL' -c 'SELECT pg_reload_conf()' >/dev/null
