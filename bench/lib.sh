# bench/lib.sh: what the parts of the benchmark share. Sourced after tools/lib.sh.

RESULTS=${RESULTS:-$ROOT/bench/results}
QUICK=${QUICK:-}
mkdir -p "$RESULTS"

psql_quiet() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }
median() { sort -g | awk '{ v[NR] = $1 } END { if (NR) print v[int((NR + 1) / 2)] }'; }

# 10k, 1M as numbers
number() { echo "$1" | awk '/[kK]$/ { print int($1 * 1000); next } /[mM]$/ { print int($1 * 1000000); next } { print int($1) }'; }

# result PART NAME VALUE UNIT BASELINE_NAME BASELINE RATIO [TARGET]: one line of PART.tsv
result() {
  local part=$1
  shift
  printf '%s' "$1" >>"$RESULTS/$part.tsv"
  shift
  printf '\t%s' "$@" >>"$RESULTS/$part.tsv"
  printf '\n' >>"$RESULTS/$part.tsv"
}

# The table of observations, patients and encounters: observations ROWS, 100 a patient.
#   obs_default (id, resource)                       protect() as it comes
#   obs_key     (id, patient_id, effective, code, resource) a stored key, ordered by date, a search column
# Roles: bench_app is bound by the policies; bench_hand has BYPASSRLS and writes its own WHERE.
load_observations() {
  local rows=$1
  psql_quiet -v rows="$rows" <<-'SQL' >/dev/null
	SET client_min_messages = warning;
	DROP TABLE IF EXISTS obs_default, obs_key, encounter;
	DO $$ BEGIN CREATE ROLE bench_app LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
	DO $$ BEGIN CREATE ROLE bench_hand LOGIN BYPASSRLS; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
	GRANT EXECUTE ON FUNCTION smart.assume, smart_internal.jsonb_contains TO bench_app, bench_hand;
	CREATE TABLE obs_default (id text NOT NULL, resource jsonb NOT NULL);
	INSERT INTO obs_default SELECT 'o' || i, jsonb_build_object('resourceType', 'Observation', 'id', 'o' || i, 'status', 'final',
	  'meta', jsonb_build_object('versionId', '1', 'lastUpdated', '2026-01-01T00:00:00Z', 'profile', jsonb_build_array('http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-lab')),
	  'effectiveDateTime', to_char(timestamp '2016-01-01' + (i::bigint * 7919 % 5000000) * interval '1 minute', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
	  'subject', jsonb_build_object('reference', 'Patient/p' || i % greatest(:rows / 100, 1)),
	  'encounter', jsonb_build_object('reference', 'Encounter/e' || i % greatest(:rows / 10, 1)),
	  'category', jsonb_build_array(jsonb_build_object('coding', jsonb_build_array(jsonb_build_object(
	    'system', 'http://terminology.hl7.org/CodeSystem/observation-category',
	    'code', CASE WHEN i / greatest(:rows / 100, 1) % 3 = 0 THEN 'vital-signs' ELSE 'laboratory' END)))),
	  'code', jsonb_build_object('coding', jsonb_build_array(jsonb_build_object('system', 'http://loinc.org', 'code', (1000 + i / greatest(:rows / 100, 1) % 50 + 50 * (i % 20))::text, 'display', 'Hemoglobin A1c'))),
	  'valueQuantity', jsonb_build_object('value', i % 1000 / 10.0, 'unit', 'mmol/L', 'system', 'http://unitsofmeasure.org'),
	  'text', jsonb_build_object('status', 'generated', 'div', '<div xmlns="http://www.w3.org/1999/xhtml">' || left(repeat(md5(i::text), 12), 360) || '</div>'))
	FROM generate_series(1, :rows) i;
	ALTER TABLE obs_default ADD PRIMARY KEY (id);
	CREATE INDEX obs_default_by_hand ON obs_default ((resource -> 'subject' ->> 'reference'));
	CREATE INDEX obs_default_code ON obs_default USING gin ((resource -> 'code') jsonb_path_ops);
	CREATE TABLE obs_key (id text NOT NULL, patient_id text NOT NULL, effective text NOT NULL, code jsonb NOT NULL, resource jsonb NOT NULL);
	INSERT INTO obs_key SELECT id, substr(resource #>> '{subject,reference}', 9), resource ->> 'effectiveDateTime', resource -> 'code', resource FROM obs_default;
	ALTER TABLE obs_key ADD PRIMARY KEY (id);
	CREATE INDEX obs_key_patient ON obs_key (patient_id, effective);
	CREATE INDEX obs_key_code ON obs_key USING gin (code jsonb_path_ops);
	CREATE INDEX obs_key_leakproof ON obs_key USING gin (code smart.jsonb_contains_ops);
	CREATE TABLE encounter (id text PRIMARY KEY, patient_id text NOT NULL, resource jsonb NOT NULL);
	INSERT INTO encounter SELECT 'e' || i, 'p' || i % greatest(:rows / 100, 1), jsonb_build_object('resourceType', 'Encounter', 'id', 'e' || i, 'status', 'finished',
	  'class', jsonb_build_object('code', 'AMB'), 'subject', jsonb_build_object('reference', 'Patient/p' || i % greatest(:rows / 100, 1)))
	FROM generate_series(0, greatest(:rows / 10, 1) - 1) i;
	CREATE INDEX encounter_patient ON encounter (patient_id);
	CREATE INDEX encounter_by_hand ON encounter ((resource -> 'subject' ->> 'reference'));
	SELECT smart.protect('obs_default', 'Observation'), smart.protect('obs_key', 'Observation', patients => 'patient_id'),
	  smart.protect('encounter', 'Encounter', patients => 'patient_id');
	GRANT SELECT, INSERT, UPDATE, DELETE ON obs_default, obs_key, encounter TO bench_app, bench_hand;
	VACUUM ANALYZE obs_default, obs_key, encounter;
	CHECKPOINT;
SQL
}

# The issuer of all tokens here, and its private key (test key of this repository).
bench_issuer() {
  psql_quiet -v keys="$(cat "$ROOT/test/data/jose/keys.json")" <<-'SQL' >/dev/null
	SELECT set_config('bench.jwk', (:'keys'::jsonb -> 'rsa-2048')::text, false);
	SELECT smart.add_issuer('https://bench.example.org/auth',
	  jsonb_build_object('keys', jsonb_build_array(current_setting('bench.jwk')::jsonb - '{d,p,q,dp,dq,qi}'::text[])),
	  '{https://bench.example.org/fhir}', max_patients => 10000, max_token_age => '40000 days');
SQL
}

# token CLAIMS: a signed one that is good for a day
token() {
  psql_quiet -v keys="$(cat "$ROOT/test/data/jose/keys.json")" -v claims="$1" <<-'SQL'
	SELECT smart.jwt_sign(jsonb_build_object('iss', 'https://bench.example.org/auth', 'aud', 'https://bench.example.org/fhir',
	  'sub', '4711', 'client_id', 'growth-chart', 'jti', gen_random_uuid(), 'iat', extract(epoch FROM now())::int - 1, 'exp', extract(epoch FROM now())::int + 86400)
	  || :'claims'::jsonb, :'keys'::jsonb -> 'rsa-2048', '{"alg": "RS256"}');
SQL
}
