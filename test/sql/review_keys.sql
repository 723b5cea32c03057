-- What a user or the owner of a table can hand the decision: nothing may crash it or outlive it.
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT smart.add_issuer('https://review', '{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"e","x":"U6Ft-lcDuxzFeWAk8p04KTLtoK9wKTXVTRk3orgnDNk"}]}', '{https://fhir}');

-- Keys of a type that is no key are an error, also when the first row's are NULL.
BEGIN;
SELECT smart.assume('{"scope":"patient/*.cruds","patient":"3"}', 'https://review');
SELECT smart_internal.row_policy('SELECT', patients, '{"resourceType":"Observation"}', 'Observation', 'a',
	jsonb_build_object('patients', true, 'compartment', 'subject', 'fhir_version', 'R4', 'revision', smart.fhir_revision()))
FROM (VALUES (NULL::bigint), (5)) v (patients);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SELECT format($$CREATE POLICY smart_select ON review_keys USING (smart_internal.row_policy('SELECT', patients, resource, 'Observation', id, %L))$$,
	jsonb_build_object('patients', true, 'compartment', 'subject', 'fhir_version', 'R4', 'revision', smart.fhir_revision())) AS policy \gset
CREATE TABLE review_keys (id text, patients bigint, resource jsonb);
ALTER TABLE review_keys ENABLE ROW LEVEL SECURITY;
SELECT replace(:'policy', ' USING', ' FOR SELECT USING') AS policy \gset
:policy;
BEGIN;
SELECT smart.assume('{"scope":"patient/*.cruds","patient":"3"}', 'https://review');
SELECT smart.permits_row(ROW('a', 5, '{"resourceType":"Observation"}')::review_keys, 'r');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
DROP TABLE review_keys;

-- A table's own expression that logs out ends the session for its own row too.
CREATE TABLE review_keys (id text, resource jsonb);
CREATE FUNCTION review_logout(resource jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM smart.logout();
	RETURN resource;
END
$$;
SELECT smart.protect('review_keys', 'Observation', resource => 'public.review_logout(resource)', patients => 'id', index => false);
BEGIN;
SELECT smart.assume('{"scope":"patient/*.cruds","patient":"3"}', 'https://review');
SELECT smart.permits_row(ROW('3', '{"resourceType":"Observation"}')::review_keys, 'r');
COMMIT;
DROP TABLE review_keys;
DROP FUNCTION review_logout;

-- Policies with odd options are their owner's fault, and nobody else's.
CREATE TABLE review_keys (id text, patients text, resource jsonb);
ALTER TABLE review_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY smart_select ON review_keys FOR SELECT USING
	(smart_internal.row_policy('SELECT', patients, resource, NULL, id, '{"patients":"x","revision":"x"}'));
BEGIN;
SELECT smart.assume('{"scope":"patient/*.cruds","patient":"3"}', 'https://review');
SELECT smart.allows('Organization', 'c');
ROLLBACK;
SELECT state LIKE '%another revision%' AS told FROM smart.protected_table WHERE relation = 'review_keys'::regclass;
DROP TABLE review_keys;

-- A table's name is a name, however odd; the index is made once.
CREATE TABLE "review (id); CREATE TABLE review_injected(); --" (id text, resource jsonb);
SELECT smart.protect('"review (id); CREATE TABLE review_injected(); --"', 'Observation');
SELECT index::oid AS index FROM smart.protected_table WHERE relation = '"review (id); CREATE TABLE review_injected(); --"'::regclass \gset
SELECT smart.protect('"review (id); CREATE TABLE review_injected(); --"', 'Observation');
SELECT to_regclass('review_injected') AS injected, index::oid = :index AS same, state
FROM smart.protected_table WHERE relation = '"review (id); CREATE TABLE review_injected(); --"'::regclass;
-- of another definition it is made anew
SELECT smart.protect('"review (id); CREATE TABLE review_injected(); --"', 'Observation', compartment => 'full');
SELECT index::oid <> :index AS other FROM smart.protected_table WHERE relation = '"review (id); CREATE TABLE review_injected(); --"'::regclass;
DROP TABLE "review (id); CREATE TABLE review_injected(); --";

SELECT smart.drop_issuer('https://review');
