#!/usr/bin/env bash
# bench/tokens.sh: verification by algorithm against OpenSSL's own, libjwt, npm's jose and PyJWT; repeated logins.
#
# smart.jwt_verify() does all that a login checks of a token (JSON, claims, times), "openssl speed" the bare signature.
# All by CPU time, interleaved, medians. libjwt through bench/libjwt_decode.c (what its version can), jose where node and npm are there,
# PyJWT where Debian's python3-jwt is.
set -uo pipefail
. "$(dirname "$0")/../tools/lib.sh"
. "$(dirname "$0")/lib.sh"
runs=${RUNS:-${QUICK:+2}}
runs=${runs:-5}
rm -f "$RESULTS/tokens.tsv"
keys=$(cat "$ROOT/test/data/jose/keys.json")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# sign KEY ALG: a token whose times do not matter (at => ...)
sign() {
  psql_quiet -v keys="$keys" -v key="$1" -v alg="$2" <<-'SQL'
	SELECT smart.jwt_sign(jsonb_build_object('iss', 'https://ehr.example.org/auth', 'aud', 'https://ehr.example.org/fhir',
	  'sub', '4711', 'client_id', 'growth-chart', 'jti', 'c1b6a2f0-9c1f-4e5a-8a57-0f4b0b8f2f65', 'iat', 1900000000, 'exp', 4000000000,
	  'patient', '87a339d0-8cae-418e-89c7-8651e6aab3c6', 'scope', 'launch/patient openid fhirUser patient/Patient.rs patient/Observation.rs'),
	  :'keys'::jsonb -> :'key', jsonb_build_object('alg', :'alg'));
SQL
}
# microseconds of CPU a smart.jwt_verify(): "openssl speed" counts CPU time as well
server() {
  psql_quiet -v keys="$keys" -v key="$1" -v alg="$2" -v token="$3" -v n="$4" <<-'SQL'
	SELECT set_config('b.jwks', jsonb_build_object('keys', jsonb_build_array((:'keys'::jsonb -> :'key') - '{d,p,q,dp,dq,qi}'::text[]))::text, false),
	  set_config('b.token', :'token', false), set_config('b.alg', :'alg', false), set_config('b.n', :'n', false) \g /dev/null
	CREATE FUNCTION pg_temp.verified(n int) RETURNS void LANGUAGE plpgsql AS $f$
	DECLARE jwks jsonb := current_setting('b.jwks'); token text := current_setting('b.token'); alg text[] := ARRAY[current_setting('b.alg')]; claims jsonb;
	BEGIN
	  FOR i IN 1..n LOOP claims := smart.jwt_verify(token, jwks, 'https://ehr.example.org/auth', '{https://ehr.example.org/fhir}', alg, at => '2030-03-17 17:46:41Z'); END LOOP;
	END $f$;
	CREATE FUNCTION pg_temp.empty(n int) RETURNS void LANGUAGE plpgsql AS $f$ DECLARE claims jsonb; BEGIN FOR i IN 1..n LOOP claims := '{}'; END LOOP; END $f$;
	SELECT pg_temp.verified(10), pg_temp.empty(10) \g /dev/null
	SELECT pg_backend_pid() AS pid \gset
	\set a `cut -d' ' -f1 /proc/:pid/schedstat`
	SELECT pg_temp.empty(:n) \g /dev/null
	\set b `cut -d' ' -f1 /proc/:pid/schedstat`
	SELECT pg_temp.verified(:n) \g /dev/null
	\set c `cut -d' ' -f1 /proc/:pid/schedstat`
	SELECT (:c::float8 - :b - (:b::float8 - :a)) / 1000 / :n;
SQL
}
# microseconds of CPU a smart.jwt_sign() with a key that the backend has seen
server_sign() {
  psql_quiet -v keys="$keys" -v key="$1" -v alg="$2" -v n="$3" <<-'SQL'
	SELECT set_config('b.jwk', (:'keys'::jsonb -> :'key')::text, false), set_config('b.alg', :'alg', false), set_config('b.n', :'n', false) \g /dev/null
	CREATE FUNCTION pg_temp.signed(n int) RETURNS void LANGUAGE plpgsql AS $f$
	DECLARE jwk jsonb := current_setting('b.jwk')::jsonb || jsonb_build_object('alg', current_setting('b.alg')); token text;
	  claims jsonb := '{"iss": "https://ehr.example.org/auth", "aud": "https://ehr.example.org/fhir", "sub": "4711", "client_id": "growth-chart", "jti": "c1b6a2f0-9c1f-4e5a-8a57-0f4b0b8f2f65", "iat": 1900000000, "exp": 4000000000, "patient": "87a339d0-8cae-418e-89c7-8651e6aab3c6", "scope": "launch/patient openid fhirUser patient/Patient.rs patient/Observation.rs"}';
	BEGIN
	  FOR i IN 1..n LOOP token := smart.jwt_sign(claims, jwk); END LOOP;
	END $f$;
	SELECT pg_temp.signed(10) \g /dev/null
	SELECT pg_backend_pid() AS pid \gset
	\set a `cut -d' ' -f1 /proc/:pid/schedstat`
	SELECT pg_temp.signed(:n) \g /dev/null
	\set b `cut -d' ' -f1 /proc/:pid/schedstat`
	SELECT (:b::float8 - :a) / 1000 / :n;
SQL
}
# microseconds a bare signature
openssl_sign() {
  case $1 in
    rsa*) openssl speed -mr -seconds 1 "$1" 2>/dev/null | awk -F: '$1 == "+F2" { print 1000000 / $4 }' ;;
    *) openssl speed -mr -seconds 1 "$1" 2>/dev/null | awk -F: '$1 == "+F4" { print 1000000 / $4 }' ;;
  esac
}
# microseconds a bare verification
openssl_verify() {
  case $1 in
    rsa*) openssl speed -mr -seconds 1 "$1" 2>/dev/null | awk -F: '$1 == "+F2" { print 1000000 / $5 }' ;;
    ecdsa*) openssl speed -mr -seconds 1 "$1" 2>/dev/null | awk -F: '$1 == "+F4" { print 1000000 / $5 }' ;;
    *) openssl speed -mr -seconds 1 "$1" 2>/dev/null | awk -F: '$1 == "+F6" { print 1000000 / $6 }' ;;
  esac
}
report() { # NAME OURS BASELINE_NAME BASELINE TARGET
  local ratio
  ratio=$(awk -v a="$2" -v b="$4" 'BEGIN { if (b > 0) printf "%.2f", a / b }')
  printf '%-50s %10.1f us, %-28s %10.1f us %6s %s\n' "$1" "$2" "$3" "$4" "$ratio" "${5:+(at most $5)}"
  result tokens "$1" "$(printf '%.1f' "$2")" us "$3" "$(printf '%.1f' "$4")" "$ratio" "${5:-}"
}

cc -O2 -w -o "$dir/libjwt_decode" "$ROOT/bench/libjwt_decode.c" -ljwt 2>/dev/null || echo 'libjwt cannot be linked: skipped'
jose=
if command -v npm >/dev/null && (cd "$dir" && npm install --silent --no-fund --no-audit jose@6 >/dev/null 2>&1); then
  jose=$(sed -n 's/^ *"version": "\(.*\)".*/\1/p' "$dir/node_modules/jose/package.json")
  cp "$ROOT/bench/jose_verify.mjs" "$dir/"
else
  echo "npm's jose cannot be installed: skipped"
fi
python=
for candidate in /usr/bin/python3 python3; do
  "$candidate" -c 'import jwt, cryptography' 2>/dev/null && python=$candidate && break
done
[ -n "$python" ] || echo 'PyJWT is not installed: skipped'

for line in 'rsa-2048 RS256 rsa2048 20000' 'rsa-2048 PS256 rsa2048 20000' 'ec-p256 ES256 ecdsap256 10000' 'ec-p384 ES384 ecdsap384 3000' 'ed25519 EdDSA ed25519 5000'; do
  set -- $line
  [ -z "$QUICK" ] || set -- "$1" "$2" "$3" $(($4 / 10))
  token=$(sign "$1" "$2") || continue
  printf '%s' "$token" >"$dir/token"
  psql_quiet -v keys="$keys" -v key="$1" <<<"SELECT (:'keys'::jsonb -> :'key') - '{d,p,q,dp,dq,qi}'::text[]" >"$dir/jwk"
  ours='' base='' lib='' js='' py=''
  for _ in $(seq "$runs"); do
    ours+="$(server "$1" "$2" "$token" "$4")"$'\n'
    base+="$(openssl_verify "$3")"$'\n'
    if [ -x "$dir/libjwt_decode" ]; then
      node "$ROOT/bench/jwk_pem.mjs" <"$dir/jwk" >"$dir/pem" 2>/dev/null && lib+="$("$dir/libjwt_decode" "$dir/token" "$dir/pem" "$4" 2>/dev/null)"$'\n'
    fi
    [ -z "$python" ] || py+="$(cd "$dir" && "$python" "$ROOT/bench/pyjwt_verify.py" "$2" $(($4 / 4)) 2>/dev/null)"$'\n'
    [ -z "$jose" ] || js+="$(cd "$dir" && node jose_verify.mjs "$2" "$4" 2>/dev/null)"$'\n'
  done
  ours=$(printf '%s' "$ours" | median) base=$(printf '%s' "$base" | median) lib=$(printf '%s' "$lib" | grep . | median) js=$(printf '%s' "$js" | grep . | median) py=$(printf '%s' "$py" | grep . | median)
  report "$2: smart.jwt_verify()" "$ours" "openssl speed $3, verify" "$base" "$([ "$2" = RS256 ] && echo 1.15)"
  [ -z "$lib" ] || report "$2: smart.jwt_verify()" "$ours" 'libjwt jwt_decode()' "$lib"
  [ -z "$js" ] || report "$2: smart.jwt_verify()" "$ours" "npm jose $jose jwtVerify()" "$js" 1
  [ -z "$py" ] || report "$2: smart.jwt_verify()" "$ours" 'PyJWT jwt.decode()' "$py" 1
done

# a key that the backend has seen signs
for line in 'ec-p256 ES256 ecdsap256 10000' 'rsa-2048 RS256 rsa2048 2000'; do
  set -- $line
  [ -z "$QUICK" ] || set -- "$1" "$2" "$3" $(($4 / 10))
  ours='' base=''
  for _ in $(seq "$runs"); do
    ours+="$(server_sign "$1" "$2" "$4")"$'\n'
    base+="$(openssl_sign "$3")"$'\n'
  done
  report "$2: smart.jwt_sign(), key seen before" "$(printf '%s' "$ours" | median)" "openssl speed $3, sign" "$(printf '%s' "$base" | median)" "$([ "$2" = ES256 ] && echo 2)"
done

# a token that the backend has seen: login() against length() of the same text, a transaction each
"$ROOT/bench/login.sh" | tee "$dir/login"
awk -v OFS='\t' '{ print $3 }' "$dir/login" | { read -r us; result tokens 'repeated smart.login()' "$us" us 'length() in its place' 0 '' '5 us'; }
