/* Revocation: tokens that count no more although they have not expired. The rows are dumped. */

-- Nobody ever opens it: its relcache entry is invalidated to tell all backends that the list has changed.
CREATE TYPE smart_internal.revocation_signal AS ();
COMMENT ON TYPE smart_internal.revocation_signal IS
  'No rows, no use: its invalidation makes every backend, on replicas too, look at smart.revocation again.';

CREATE FUNCTION smart_internal.revocation_lookup(issuer text, jti text, client_id text, subject text, grant_id text) RETURNS bigint
  LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'smart_revocation_lookup';
REVOKE ALL ON FUNCTION smart_internal.revocation_lookup(text, text, text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.revocation_lookup(text, text, text, text, text) IS
  'The key by which an entry is found: a hash (FNV-1a, 64 bits) of the issuer and of the first of jti, grant_id, subject and client_id that is given.';

CREATE SEQUENCE smart.revocation_id_seq;
REVOKE ALL ON SEQUENCE smart.revocation_id_seq FROM PUBLIC;
COMMENT ON SEQUENCE smart.revocation_id_seq IS 'Ids of smart.revocation, for smart.unrevoke().';

-- The columns are named as the parameters of revoke_tokens().
CREATE TABLE smart.revocation (
  id bigint NOT NULL DEFAULT pg_catalog.nextval('smart.revocation_id_seq'),
  issuer text COLLATE "C" NOT NULL,
  jti text COLLATE "C",
  client_id text COLLATE "C",
  subject text COLLATE "C",
  grant_id text COLLATE "C",
  issued_before timestamptz,
  until timestamptz NOT NULL,
  lookup bigint GENERATED ALWAYS AS (smart_internal.revocation_lookup(issuer, jti, client_id, subject, grant_id)) STORED,
  CONSTRAINT revocation_pkey PRIMARY KEY (id),
  -- an entry without any would end all tokens of the issuer; empty texts meet no token
  CONSTRAINT revocation_members CHECK (pg_catalog.num_nonnulls(jti, client_id, subject, grant_id, issued_before) OPERATOR(pg_catalog.>) 0),
  CONSTRAINT revocation_texts CHECK (issuer OPERATOR(pg_catalog.<>) '' AND jti OPERATOR(pg_catalog.<>) ''
    AND client_id OPERATOR(pg_catalog.<>) '' AND subject OPERATOR(pg_catalog.<>) '' AND grant_id OPERATOR(pg_catalog.<>) '')
);
CREATE INDEX revocation_lookup ON smart.revocation (lookup);
CREATE INDEX revocation_until ON smart.revocation (until);
ALTER SEQUENCE smart.revocation_id_seq OWNED BY smart.revocation.id;
REVOKE ALL ON smart.revocation FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('smart.revocation', '');
SELECT pg_catalog.pg_extension_config_dump('smart.revocation_id_seq', '');
COMMENT ON TABLE smart.revocation IS
  'Revoked access tokens; written by smart.revoke_tokens() and smart.unrevoke(). All members that are not NULL must fit a token. Plain DML works too: every backend sees a change at its next statement. Entries whose "until" is past count no more, and go with later additions.';

CREATE FUNCTION smart_internal.revocation_defaults() RETURNS trigger
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_revocation_defaults';
REVOKE ALL ON FUNCTION smart_internal.revocation_defaults() FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.revocation_defaults() IS
  'Trigger of smart.revocation: fills in "until", the time at which the last token that the entry meets expires.';
CREATE FUNCTION smart_internal.revocation_changed() RETURNS trigger
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_revocation_changed';
REVOKE ALL ON FUNCTION smart_internal.revocation_changed() FROM PUBLIC;
COMMENT ON FUNCTION smart_internal.revocation_changed() IS
  'Trigger of smart.revocation: makes every backend, on replicas too, look at the table again.';

CREATE TRIGGER revocation_defaults BEFORE INSERT OR UPDATE ON smart.revocation
  FOR EACH ROW EXECUTE FUNCTION smart_internal.revocation_defaults();
CREATE TRIGGER revocation_changed AFTER INSERT OR UPDATE OR DELETE ON smart.revocation
  FOR EACH ROW EXECUTE FUNCTION smart_internal.revocation_changed();
CREATE TRIGGER revocation_truncated AFTER TRUNCATE ON smart.revocation
  FOR EACH STATEMENT EXECUTE FUNCTION smart_internal.revocation_changed();
-- also for changes that logical replication applies; it fires row triggers only
ALTER TABLE smart.revocation ENABLE ALWAYS TRIGGER revocation_changed;
ALTER TABLE smart.revocation ENABLE ALWAYS TRIGGER revocation_truncated;

CREATE FUNCTION smart.revoke_tokens(issuer text, jti text DEFAULT NULL, client_id text DEFAULT NULL, subject text DEFAULT NULL,
  grant_id text DEFAULT NULL, issued_before timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL) RETURNS void
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_revoke_tokens';
REVOKE ALL ON FUNCTION smart.revoke_tokens(text, text, text, text, text, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION smart.revoke_tokens(text, text, text, text, text, timestamptz, timestamptz) IS
  'Ends access tokens before they expire (RFC 7009 3): those of the issuer that have all that is given (client_id and subject as smart.session shows them, the claim grant_id, iat earlier than issued_before; a token without iat counts as earlier). At least one of jti, client_id, subject, grant_id, issued_before. until: when the entry counts no more; NULL: when no such token can be valid any more, which is never without jti or issued_before. Sessions fail at their next statement (28000, token_revoked). Errors: 22023.';

CREATE FUNCTION smart.unrevoke(id bigint) RETURNS void
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_unrevoke';
REVOKE ALL ON FUNCTION smart.unrevoke(bigint) FROM PUBLIC;
COMMENT ON FUNCTION smart.unrevoke(bigint) IS
  'Takes an entry out of smart.revocation: its tokens count again until they expire. Errors: 22023 there is none of this id.';
