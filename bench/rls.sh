#!/bin/bash
# bench/rls.sh: protected tables against the same query with a hand-written WHERE and no RLS.
#
# Two tables of the same rows, each with the same index. Every query runs N times in one
# PL/pgSQL loop, protected and by hand in turn; medians and their ratio. The connection comes
# from the environment; the database needs the extension. ROWS, RUNS and N may be set.
set -euo pipefail

rows=${ROWS:-100000}
runs=${RUNS:-5}
n=${N:-200}

psql_quiet() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }
median() { sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

psql_quiet -v rows="$rows" <<-'SQL' 2>/dev/null >/dev/null
	DROP TABLE IF EXISTS obs_protected, obs_plain;
	DROP ROLE IF EXISTS bench_app;
	CREATE ROLE bench_app;
	CREATE TABLE obs_plain (id text PRIMARY KEY, resource jsonb NOT NULL);
	INSERT INTO obs_plain SELECT 'o' || i, jsonb_build_object('resourceType', 'Observation', 'id', 'o' || i,
		'status', 'final', 'effectiveDateTime', to_char(timestamp '2020-01-01' + i * interval '1 minute', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
		'subject', jsonb_build_object('reference', 'Patient/p' || i % greatest(:rows / 100, 1)),
		'category', jsonb_build_array(jsonb_build_object('coding', jsonb_build_array(jsonb_build_object(
			'system', 'http://terminology.hl7.org/CodeSystem/observation-category',
			'code', CASE WHEN i % 3 = 0 THEN 'vital-signs' ELSE 'laboratory' END)))),
		'code', jsonb_build_object('coding', jsonb_build_array(jsonb_build_object('system', 'http://loinc.org', 'code', (1000 + i % 500)::text))),
		'text', jsonb_build_object('div', repeat('x', 600)))
	FROM generate_series(1, :rows) i;
	CREATE TABLE obs_protected (LIKE obs_plain INCLUDING ALL);
	INSERT INTO obs_protected SELECT * FROM obs_plain;
	SELECT smart.protect('obs_protected', 'Observation');
	SELECT format('CREATE INDEX ON obs_plain USING btree ((%s))', columns ->> 'patients') FROM smart.protected_table
	WHERE relation = 'obs_protected'::regclass \gexec
	GRANT SELECT, INSERT ON obs_plain, obs_protected TO bench_app;
	VACUUM ANALYZE obs_plain, obs_protected;
	SELECT smart.add_issuer('https://rls.example.org', '{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}', '{https://rls.example.org/fhir}');
SQL
keys=$(psql_quiet -c "SELECT columns ->> 'patients' FROM smart.protected_table WHERE relation = 'obs_protected'::regclass")

# time CLAIMS QUERY: microseconds a run
time_query() {
	psql_quiet -v claims="$1" <<-SQL
		SET ROLE bench_app;
		RESET ROLE;
		SELECT smart.assume(:'claims'::jsonb || jsonb_build_object('exp', extract(epoch FROM now())::int + 3600), 'https://rls.example.org', false) \g /dev/null
		SET ROLE bench_app;
		DO \$do\$
		DECLARE started timestamptz;
		BEGIN
			FOR i IN 1..6 LOOP PERFORM * FROM ($2) q; END LOOP;
			started := clock_timestamp();
			FOR i IN 1..$n LOOP PERFORM * FROM ($2) q; END LOOP;
			PERFORM set_config('bench.result', (extract(epoch FROM clock_timestamp() - started) * 1000000 / $n)::text, false);
		END
		\$do\$;
		SELECT current_setting('bench.result');
	SQL
}

compare() {
	local name=$1 claims=$2 protected=$3 by_hand=$4 a='' b=''
	for _ in $(seq "$runs"); do
		a+="$(time_query "$claims" "$protected")"$'\n'
		b+="$(time_query "$claims" "$by_hand")"$'\n'
	done
	awk -v name="$name" -v a="$(printf '%s' "$a" | median)" -v b="$(printf '%s' "$b" | median)" 'BEGIN {
		printf "%-34s protected %8.1f us, by hand %8.1f us, ratio %.2f\n", name, a, b, a / b }'
}

one='{"scope": "patient/*.rs", "patient": "p7"}'
lab='{"scope": "patient/Observation.rs?category=laboratory", "patient": "p7"}'
all='{"scope": "system/*.rs"}'
mine="$keys = 'p7'"
is_lab="resource @> '{\"category\":[{\"coding\":[{\"code\":\"laboratory\"}]}]}'"
echo "$rows rows, 100 a patient"
compare 'one patient: count' "$one" 'SELECT count(*) FROM obs_protected' "SELECT count(*) FROM obs_plain WHERE $mine"
compare 'one patient: rows' "$one" 'SELECT * FROM obs_protected' "SELECT * FROM obs_plain WHERE $mine"
compare 'one patient: by id' "$one" "SELECT * FROM obs_protected WHERE id = 'o7'" "SELECT * FROM obs_plain WHERE id = 'o7' AND $mine"
compare 'one patient: latest 20' "$one" "SELECT * FROM obs_protected ORDER BY resource ->> 'effectiveDateTime' DESC LIMIT 20" \
	"SELECT * FROM obs_plain WHERE $mine ORDER BY resource ->> 'effectiveDateTime' DESC LIMIT 20"
compare 'laboratory only: count' "$lab" 'SELECT count(*) FROM obs_protected' "SELECT count(*) FROM obs_plain WHERE $mine AND $is_lab"
compare 'backend: by id' "$all" "SELECT * FROM obs_protected WHERE id = 'o7'" "SELECT * FROM obs_plain WHERE id = 'o7'"
n=3
compare 'backend: count' "$all" 'SELECT count(*) FROM obs_protected' 'SELECT count(*) FROM obs_plain'
psql_quiet -c "SELECT smart.drop_issuer('https://rls.example.org'); DROP TABLE obs_protected, obs_plain; DROP ROLE bench_app" >/dev/null
