#!/bin/bash
# bench/login.sh: a login with a token that the backend knows, in microseconds.
#
# One transaction an iteration (smart.login(); COMMIT) in a PL/pgSQL loop, minus the same loop
# with a call of length() in place of login(); medians of interleaved runs. The connection comes
# from the environment (PGHOST, ...); the database needs the extension. RUNS and N may be set.
set -euo pipefail

runs=${RUNS:-5}
n=${N:-20000}
dir=$(cd "$(dirname "$0")/.." && pwd)

psql_quiet() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }
median() { sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

psql_quiet -v keys="$(cat "$dir/test/data/jose/keys.json")" <<-'SQL' >/dev/null
	SELECT set_config('bench.jwk', (:'keys'::jsonb -> 'rsa-2048')::text, false);
	SELECT smart.add_issuer('https://bench.example.org/auth',
		jsonb_build_object('keys', jsonb_build_array(current_setting('bench.jwk')::jsonb - '{d,p,q,dp,dq,qi}'::text[])),
		'{https://bench.example.org/fhir}');
	CREATE TABLE IF NOT EXISTS bench_token (token text);
	TRUNCATE bench_token;
	INSERT INTO bench_token SELECT smart.jwt_sign(jsonb_build_object(
		'iss', 'https://bench.example.org/auth', 'aud', 'https://bench.example.org/fhir',
		'sub', '4711', 'client_id', 'growth-chart', 'jti', 'c1b6a2f0-9c1f-4e5a-8a57-0f4b0b8f2f65',
		'iat', extract(epoch FROM now())::int, 'exp', extract(epoch FROM now())::int + 3600,
		'patient', '87a339d0-8cae-418e-89c7-8651e6aab3c6', 'fhirUser', 'Practitioner/7',
		'scope', 'launch/patient openid fhirUser patient/Patient.rs patient/Observation.rs'),
		current_setting('bench.jwk')::jsonb, '{"alg": "RS256"}');
SQL

# prints microseconds an iteration of a call on the token
loop() {
	psql_quiet <<-SQL
		DO \$do\$
		DECLARE
			known text := (SELECT token FROM bench_token);
			started timestamptz;
		BEGIN
			PERFORM $1(known);
			COMMIT;
			started := clock_timestamp();
			FOR i IN 1..$n LOOP
				PERFORM $1(known);
				COMMIT;
			END LOOP;
			PERFORM set_config('bench.result', (extract(epoch FROM clock_timestamp() - started) * 1000000 / $n)::text, false);
		END
		\$do\$;
		SELECT current_setting('bench.result');
	SQL
}

login='' base=''
for _ in $(seq "$runs"); do
	base+="$(loop length)"$'\n'
	login+="$(loop smart.login)"$'\n'
done
login=$(printf '%s' "$login" | median)
base=$(printf '%s' "$base" | median)
psql_quiet -c "SELECT smart.drop_issuer('https://bench.example.org/auth'); DROP TABLE bench_token" >/dev/null
awk -v l="$login" -v b="$base" 'BEGIN {
	printf "repeated smart.login() %.1f us (transaction with login %.1f us, with length() %.1f us)\n", l - b, l, b }'
