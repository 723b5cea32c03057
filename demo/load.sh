# demo/load.sh: loads a FHIR bulk export into tables of id and resource, one a type. To be sourced by bash, after tools/lib.sh;
# the caller has sql ROLE [PSQL OPTION...]. Knows nothing of tokens.

# load_fhir DIRECTORY OWNER READER: <Type>.ndjson, also .gz; the tables belong to OWNER, READER gets the rights of a FHIR server.
# MedicationRequest is medication_request; each table's comment is its type.
load_fhir() {
  local files file
  shopt -s nullglob
  files=("$1"/*.ndjson "$1"/*.ndjson.gz)
  [ ${#files[@]} -gt 0 ] || die "no .ndjson or .ndjson.gz file in $1"
  # CSV with a quote and a delimiter that JSON text cannot hold: a line is a value, as it stands.
  # One table a type, named after it (MedicationRequest: medication_request).
  {
    cat <<'SQL'
CREATE FUNCTION pg_temp.table_of(type text) RETURNS text LANGUAGE sql
  RETURN lower(regexp_replace(type, '([a-z0-9])([A-Z])', '\1_\2', 'g'));
CREATE TEMPORARY TABLE loaded (resource jsonb);
SQL
    for file in "${files[@]}"; do
      echo "COPY loaded FROM STDIN (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02');"
      if [ "${file##*.}" = gz ]; then gzip -dc -- "$file"; else cat -- "$file"; fi | sed 's/\r$//; /^[[:space:]]*$/d'
      echo '\.'
      cat <<'SQL'
SELECT format('CREATE TABLE IF NOT EXISTS public.%I (id text PRIMARY KEY, resource jsonb NOT NULL)', pg_temp.table_of(type)),
  format('INSERT INTO public.%I SELECT resource->>''id'', resource FROM loaded WHERE resource->>''resourceType'' = %L ON CONFLICT DO NOTHING',
    pg_temp.table_of(type), type),
  format('COMMENT ON TABLE public.%I IS %L', pg_temp.table_of(type), type)
FROM (SELECT DISTINCT resource->>'resourceType' AS type FROM loaded) t
WHERE type ~ '^[A-Z][A-Za-z]{1,63}$' ORDER BY type \gexec
TRUNCATE loaded;
SQL
    done
    cat <<SQL
CREATE TABLE IF NOT EXISTS public.patient (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE IF NOT EXISTS public.observation (id text PRIMARY KEY, resource jsonb NOT NULL);
COMMENT ON TABLE public.patient IS 'Patient';
COMMENT ON TABLE public.observation IS 'Observation';
-- one view over all tables; security_invoker, or its owner's BYPASSRLS would count
SELECT 'CREATE VIEW public.everything (type, id) WITH (security_invoker = true) AS '
  || string_agg(format('SELECT %L, id FROM public.%I', obj_description(oid, 'pg_class'), relname), ' UNION ALL ' ORDER BY relname)
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' \gexec
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO $3;
ANALYZE;
SQL
  } | sql "$2" 2>"$WORK/load.err" >/dev/null || { tail -5 "$WORK/load.err" >&2; die 'loading failed'; }
}
