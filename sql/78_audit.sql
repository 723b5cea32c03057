/* The audit trail: what an auditor asks of records. What is recorded, and when, is in src/audit. */

CREATE FUNCTION smart.audit_hash(kind text, value text) RETURNS text
  LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'smart_audit_hash';
REVOKE ALL ON FUNCTION smart.audit_hash(text, text) FROM PUBLIC;
COMMENT ON FUNCTION smart.audit_hash(text, text) IS
  'What stands for an identity in audit records: the first 128 bits, in hex, of HMAC-SHA-256 (RFC 2104) under smart_fhir.key_file, with a key of its own for each kind: subject, fhir_user, patient, encounter, jti. Values as the token has them, patients as bare ids. Errors: 22023 for another kind, 55000 without key_file.';

CREATE FUNCTION smart.verify_audit(line text) RETURNS boolean
  LANGUAGE c STABLE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'smart_verify_audit';
REVOKE ALL ON FUNCTION smart.verify_audit(text) FROM PUBLIC;
COMMENT ON FUNCTION smart.verify_audit(text) IS
  'Was this audit record written by a server with this smart_fhir.key_file, and is it unchanged? Takes the record''s JSON text as written, with or without what precedes it in the log''s line. False for a line without a mac. Errors: 55000 without key_file.';
