/* smart.doctor(): what would let somebody round the policies. */

CREATE FUNCTION smart_internal.doctor_severity(severity text) RETURNS int
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  rank int := array_position(ARRAY['info', 'warning', 'critical'], $1);
BEGIN
  IF rank IS NULL THEN
    RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'invalid value for parameter "severity"',
      HINT = 'Valid values are "info", "warning" and "critical".', SCHEMA = 'smart', CONSTRAINT = 'invalid_parameter';
  END IF;
  RETURN rank;
END
$$;
REVOKE ALL ON FUNCTION smart_internal.doctor_severity(text) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.doctor_severity(text) IS 'A severity as a number, 3 the worst. Errors: 22023.';

-- in SQL: PL/pgSQL takes no parameter that is named as a column of the result
CREATE FUNCTION smart.doctor(severity text DEFAULT 'info')
  RETURNS TABLE (severity text, code text, object text, problem text, remedy text)
LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 20 SET search_path = pg_catalog, pg_temp SET quote_all_identifiers = off AS $$
  WITH asked AS MATERIALIZED (SELECT smart_internal.doctor_severity($1) AS least, smart_internal.doctor_app_roles() AS app)
  SELECT f.severity, f.code, f.object, f.problem, f.remedy
  FROM asked a, LATERAL (
    SELECT * FROM smart_internal.doctor_tables(a.app)
    UNION ALL SELECT * FROM smart_internal.doctor_unprotected(a.app)
    UNION ALL SELECT * FROM smart_internal.doctor_objects(a.app)
    UNION ALL SELECT * FROM smart_internal.doctor_roles(a.app)
    UNION ALL SELECT * FROM smart_internal.doctor_server(a.app)
    UNION ALL SELECT * FROM smart_internal.doctor_keys()) f
  WHERE smart_internal.doctor_severity(f.severity) >= a.least
  ORDER BY smart_internal.doctor_severity(f.severity) DESC, f.code COLLATE "C", f.object COLLATE "C", f.problem COLLATE "C"
$$;
REVOKE ALL ON FUNCTION smart.doctor(text) FROM PUBLIC;
COMMENT ON FUNCTION smart.doctor(text) IS
  'What would let somebody round the policies, one finding a row, the worst first: severity (critical, warning, info; at least the one asked for), code (doc/reference.md lists them), object, problem, and remedy: one statement to run as it stands, or a sentence. Reads catalogs and the first rows of unprotected tables; runs nothing that others made and waits for no lock. Errors: 22023.';
