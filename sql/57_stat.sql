/* Statistics: what the library did, as numbers. */

CREATE FUNCTION smart_internal.stat(OUT name text, OUT value bigint) RETURNS SETOF record
LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'smart_stat';
REVOKE EXECUTE ON FUNCTION smart_internal.stat() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION smart_internal.stat() TO pg_monitor;
COMMENT ON FUNCTION smart_internal.stat() IS 'The rows of the view smart.stat.';

CREATE VIEW smart.stat WITH (security_invoker = true) AS SELECT s.name, s.value FROM smart_internal.stat() s;
REVOKE ALL ON smart.stat FROM PUBLIC;
GRANT SELECT ON smart.stat TO pg_monitor;
COMMENT ON VIEW smart.stat IS
  'Counters since the server started or smart.stat_reset(): of the whole cluster where smart_fhir is in shared_preload_libraries, else of this backend alone. logins (login() and assume()), cache_hits (tokens verified before), refused.<rule> (the code that the error names as its constraint), forms_planned, plans_kept, plans_dropped, audit_records.';
COMMENT ON COLUMN smart.stat.name IS 'What is counted.';
COMMENT ON COLUMN smart.stat.value IS 'How often.';

CREATE FUNCTION smart.stat_reset() RETURNS void
LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_stat_reset';
REVOKE EXECUTE ON FUNCTION smart.stat_reset() FROM PUBLIC;
COMMENT ON FUNCTION smart.stat_reset() IS 'Sets every counter of smart.stat to 0. Nobody may but superusers, until it is granted.';
