/* The decision, asked in SQL. */

CREATE FUNCTION smart.allows(resource_type text, permissions text) RETURNS boolean
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_allows';
COMMENT ON FUNCTION smart.allows(text, text) IS
  'Could any row of this FHIR type be allowed, for each of the letters (in the order cruds), in a table under the defaults or in one that smart.protect() was told to share or to find by a column of patients? false without a session; errors 22023 for other letters, 28000 for an expired or revoked session.';

CREATE FUNCTION smart.require(resource_type text, permissions text) RETURNS void
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_require';
COMMENT ON FUNCTION smart.require(text, text) IS
  'Raises 42501 insufficient scope (RFC 6750 insufficient_scope) unless smart.allows(); DETAIL names the type and the cause.';

CREATE FUNCTION smart.permits(resource jsonb, permission text, relation regclass DEFAULT NULL) RETURNS boolean
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_permits';
COMMENT ON FUNCTION smart.permits(jsonb, text, regclass) IS
  'The whole decision for one resource and one letter of cruds, whatever the interaction; with relation under the options of that protected table. false for what has no string resourceType. Errors: 22023 letter, 28000 expired or revoked session, 55000 relation that is not protected.';

CREATE FUNCTION smart.permits_row(stored record, permission text) RETURNS boolean
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_permits_row';
COMMENT ON FUNCTION smart.permits_row(record, text) IS
  'As smart.permits() for a stored row of a protected table, whatever columns its options use: SELECT smart.permits_row(o, ''r'') FROM observation o. Errors as there, 42804 for a row of no table.';

CREATE FUNCTION smart.diagnose(token text, issuer text DEFAULT NULL)
  RETURNS TABLE (step text, ok boolean, expected text, found text)
  LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 50 AS 'MODULE_PATHNAME', 'smart_diagnose';
REVOKE ALL ON FUNCTION smart.diagnose(text, text) FROM PUBLIC;
COMMENT ON FUNCTION smart.diagnose(text, text) IS
  'For administrators: every check of smart.login() for this token, by the rules of its issuer or of the one that is named, and what the session would see, type by type (FHIR R4). ok is NULL where a check had nothing to look at. Logs nobody in; shows values of the token, so grant it to nobody who may not see them. Context functions run only once the signature was good.';

CREATE FUNCTION smart.explain(resource jsonb, permission text, relation regclass DEFAULT NULL)
  RETURNS TABLE (scope text, verdict text, reason text)
  LANGUAGE c STABLE PARALLEL SAFE ROWS 10 AS 'MODULE_PATHNAME', 'smart_explain';
COMMENT ON FUNCTION smart.explain(jsonb, text, regclass) IS
  'Why smart.permits() answers as it does: one row a scope of the session that reaches the type (verdict allows or denies), one a scope that was ignored, and rows without a scope for what holds before any scope is asked: what PostgreSQL does for the current role (superuser, BYPASSRLS, owner, privileges, no policy, other policies), the session, the table. Errors: 22023 letter.';
