#!/bin/bash
# bench/verify.sh: smart.jwt_verify RS256 with a known key, as a multiple of OpenSSL's own verify.
#
# N verifications in one PL/pgSQL loop minus an empty loop, against "openssl speed rsa2048";
# runs interleaved, medians. The connection comes from the environment (PGHOST, ...); the
# database needs the extension. RUNS and N may be set.
set -euo pipefail

runs=${RUNS:-5}
n=${N:-20000}
dir=$(cd "$(dirname "$0")/.." && pwd)
data=$dir/test/data/jose

psql_quiet() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }
median() { sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# prints microseconds a verification
server_run() {
	psql_quiet -v keys="$(cat "$data/keys.json")" <<-SQL
		SELECT set_config('bench.jwk', (:'keys'::jsonb -> 'rsa-2048')::text, false) \g /dev/null
		DO \$do\$
		DECLARE
			jwk jsonb := current_setting('bench.jwk');
			jwks jsonb := jsonb_build_object('keys', jsonb_build_array(jwk - '{d,p,q,dp,dq,qi}'::text[]));
			token text := smart.jwt_sign(jsonb_build_object(
				'iss', 'https://ehr.example.org/auth', 'aud', 'https://ehr.example.org/fhir',
				'sub', '4711', 'client_id', 'growth-chart', 'jti', 'c1b6a2f0-9c1f-4e5a-8a57-0f4b0b8f2f65',
				'iat', 1900000000, 'exp', 1900003600, 'patient', '87a339d0-8cae-418e-89c7-8651e6aab3c6',
				'scope', 'launch/patient openid fhirUser patient/Patient.rs patient/Observation.rs'),
				jwk, '{"alg": "RS256"}');
			claims jsonb;
			started timestamptz;
			loop_time interval;
			verify_time interval;
		BEGIN
			started := clock_timestamp();
			FOR i IN 1..$n LOOP
				claims := '{}';
			END LOOP;
			loop_time := clock_timestamp() - started;
			started := clock_timestamp();
			FOR i IN 1..$n LOOP
				claims := smart.jwt_verify(token, jwks, 'https://ehr.example.org/auth',
					'{https://ehr.example.org/fhir}', '{RS256}', at => '2030-03-17 17:46:41Z');
			END LOOP;
			verify_time := clock_timestamp() - started;
			PERFORM set_config('bench.result',
				(extract(epoch FROM verify_time - loop_time) * 1000000 / $n)::text, false);
		END
		\$do\$;
		SELECT current_setting('bench.result');
	SQL
}

# prints microseconds a verification
openssl_run() {
	openssl speed -mr -seconds 1 rsa2048 2>/dev/null | awk -F: '$1 == "+F2" { print 1000000 / $5 }'
}

: "$(psql_quiet -c 'SELECT smart.jwt_header(NULL)')"
server='' openssl=''
for _ in $(seq "$runs"); do
	openssl+="$(openssl_run)"$'\n'
	server+="$(server_run)"$'\n'
done
server=$(printf '%s' "$server" | median)
openssl=$(printf '%s' "$openssl" | median)
awk -v s="$server" -v o="$openssl" 'BEGIN {
	printf "smart.jwt_verify RS256 %.1f us, openssl rsa2048 verify %.1f us, ratio %.2f\n", s, o, s / o }'
