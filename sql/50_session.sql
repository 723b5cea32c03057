/* The session: who is logged in. */

CREATE FUNCTION smart.login(token text, local boolean DEFAULT true, interaction text DEFAULT NULL) RETURNS void
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_login';
COMMENT ON FUNCTION smart.login(text, boolean, text) IS
  'Verifies a SMART on FHIR access token (RFC 9068, SMART App Launch 2.2) against smart.issuer and puts it in force, for the transaction or with local => false for the connection. interaction: read, vread, history, search, create, update, patch, delete or NULL. Errors: 28000 access token is not accepted (also ends the session that was there), 22023 interaction, 55000 while a WITH HOLD cursor is open.';

CREATE FUNCTION smart.assume(claims jsonb, issuer text, local boolean DEFAULT true, interaction text DEFAULT NULL) RETURNS void
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_assume';
REVOKE ALL ON FUNCTION smart.assume(jsonb, text, boolean, text) FROM PUBLIC;
COMMENT ON FUNCTION smart.assume(jsonb, text, boolean, text) IS
  'As smart.login(), for a trusted gateway that has verified the token or holds an introspection response (RFC 7662): whoever may execute it can be anyone. iss, exp, nbf and aud must fit where they are there (28000). Without exp the session ends with the transaction.';

CREATE FUNCTION smart.set_interaction(interaction text) RETURNS void
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_set_interaction';
COMMENT ON FUNCTION smart.set_interaction(text) IS
  'Declares the FHIR interaction of the statements that follow in this transaction; NULL for none. Errors: 22023 for an unknown name, 55000 without a session.';

CREATE FUNCTION smart.logout() RETURNS void
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_logout';
COMMENT ON FUNCTION smart.logout() IS 'Ends the session; no rollback brings it back. No error without one.';

CREATE FUNCTION smart.patient() RETURNS text
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_patient';
COMMENT ON FUNCTION smart.patient() IS 'Id of the patient in context; NULL without one, with several, without a usable session.';
CREATE FUNCTION smart.encounter() RETURNS text
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_encounter';
COMMENT ON FUNCTION smart.encounter() IS 'Id of the encounter in context (it narrows nothing); NULL without one.';
CREATE FUNCTION smart.fhir_user() RETURNS text
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_fhir_user';
COMMENT ON FUNCTION smart.fhir_user() IS 'The fhirUser claim as the token has it (SMART 2.2 scopes for identity); NULL without one.';
CREATE FUNCTION smart.client_id() RETURNS text
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_client_id';
COMMENT ON FUNCTION smart.client_id() IS 'The client_id claim (RFC 9068); NULL without one.';
CREATE FUNCTION smart.scope() RETURNS smart.smart_scope
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_scope';
COMMENT ON FUNCTION smart.scope() IS 'The session''s scope; what was ignored in the claim is in smart.session.';
CREATE FUNCTION smart.claims() RETURNS jsonb
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_claims';
COMMENT ON FUNCTION smart.claims() IS 'All claims of the verified token; NULL without a usable session.';

CREATE FUNCTION smart_internal.session_row(
  OUT issuer text, OUT subject text, OUT client_id text, OUT patient text, OUT patients text[],
  OUT encounter text, OUT fhir_user text, OUT scope smart.smart_scope, OUT expires_at timestamptz,
  OUT jti text, OUT audience text[], OUT interaction text, OUT claims jsonb, OUT ignored_scopes text[], OUT ignored_claims text[])
  LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_session_row';
COMMENT ON FUNCTION smart_internal.session_row() IS 'The row of smart.session; NULL without a usable session.';

CREATE VIEW smart.session WITH (security_invoker = true) AS
  SELECT s.issuer, s.subject, s.client_id, s.patient, s.patients, s.encounter, s.fhir_user, s.scope, s.expires_at,
         s.jti, s.audience, s.interaction, s.claims, s.ignored_scopes, s.ignored_claims
  FROM smart_internal.session_row() s WHERE s.issuer IS NOT NULL;
GRANT SELECT ON smart.session TO PUBLIC;
COMMENT ON VIEW smart.session IS
  'Who is logged in: at most one row. patient is NULL when the claim names several; patients has all, aliases too; ignored_scopes says what grants nothing and why, ignored_claims which claims could not be used and why.';
