#!/usr/bin/env bash
# bench/soak.sh: a million logins on one connection; its memory before and after, and the rate.
#
# Needs a server with smart_fhir installed and a superuser: the usual PG* variables choose it.
# LOGINS (default 1000000) says how many; a scratch database smart_fhir_soak is made and dropped.
# Fails when the process has grown by more than LIMIT_KB (default 8192) after the first 10,000.
set -euo pipefail
LOGINS=${LOGINS:-1000000} LIMIT_KB=${LIMIT_KB:-8192}
export PGDATABASE=smart_fhir_soak PGOPTIONS='-c client_min_messages=error'
run() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }
run -d postgres -c 'DROP DATABASE IF EXISTS smart_fhir_soak' -c 'CREATE DATABASE smart_fhir_soak'
trap 'run -d postgres -c "DROP DATABASE IF EXISTS smart_fhir_soak"' EXIT

# the private key is the example of RFC 7515 A.3
run -v logins="$LOGINS" <<'SQL' | awk -v limit="$LIMIT_KB" -v logins="$LOGINS" '
  /^#/ { printf "%s contexts %d kB, resident %d kB\n", $2, $3 / 1024, $4 / 1024; r[n++] = $4 / 1024; next }
  /^took/ { printf "%.1f us a login\n", $2 * 1e6 / logins }
  END { if (n < 3 || r[n - 1] - r[1] > limit) { print "the backend grew"; exit 1 } }'
CREATE EXTENSION smart_fhir;
\set key '{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}'
SELECT FROM smart.add_issuer('https://as.example', :'key'::jsonb - 'd', '{https://fhir.example}', max_token_age => '40000 days');
CREATE TABLE claims AS SELECT n, jsonb_build_object('iss', 'https://as.example', 'sub', 'u' || n, 'client_id', 'c', 'aud', 'https://fhir.example',
  'jti', n::text, 'iat', 1700000000, 'exp', 4102444800, 'scope', 'patient/*.rs', 'patient', n::text) AS claims FROM generate_series(0, 1999) n;
CREATE TABLE token AS SELECT n, smart.jwt_sign(claims, :'key') AS token FROM claims;
CREATE INDEX ON token (n);
CREATE INDEX ON claims (n);
CREATE FUNCTION used(what text) RETURNS text LANGUAGE sql AS $$
  SELECT concat_ws(' ', '#', what, (SELECT sum(total_bytes) FROM pg_backend_memory_contexts),
    split_part(pg_read_file('/proc/' || pg_backend_pid() || '/statm'), ' ', 2)::bigint * 4096) $$;
-- three of four by token (twice as many as the cache holds), one by claims; each in a transaction of its own
CREATE PROCEDURE soak(logins int) LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1 .. logins LOOP
    IF i % 4 = 0 THEN
      PERFORM smart.assume((SELECT c.claims FROM claims c WHERE c.n = i % 2000), 'https://as.example', i % 8 = 0);
    ELSE
      PERFORM smart.login((SELECT t.token FROM token t WHERE t.n = i % 2000), i % 8 = 1);
    END IF;
    COMMIT;
  END LOOP;
END $$;
SELECT used('start');
CALL soak(10000);
SELECT used('warm');
SELECT clock_timestamp() AS began \gset
CALL soak(:logins);
SELECT 'took ' || extract(epoch FROM clock_timestamp() - :'began');
SELECT used('end');
SQL
