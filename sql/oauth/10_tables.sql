/*
 * The tables of the authorization server. C reaches them through src/oauth/store.c, which knows the
 * order of the columns: a change here is a change there. Rows are added and changed as PostgreSQL does it
 * with its catalogs: no triggers but those below, which C has no need of, no index over an expression or with a
 * predicate.
 *
 * Secrets are stored as SHA-256 of random 256-bit values, never in clear. Row security is on without a
 * policy: whoever is not the owner sees nothing, pg_read_all_data too, and a dump by another role fails.
 * No foreign keys: their checks lock rows of clients and grants, and withdrawing and disabling may wait
 * for nobody. For the same reason clients and grants are ended by adding a row, not by changing one.
 */

-- The one row of smart.configure_server(), defaults filled in.
CREATE TABLE smart_internal.oauth_configuration (
  singleton boolean NOT NULL DEFAULT true,
  options jsonb NOT NULL,
  CONSTRAINT oauth_configuration_pkey PRIMARY KEY (singleton),
  CONSTRAINT oauth_configuration_singleton CHECK (singleton)
);

CREATE TABLE smart_internal.oauth_signing_key (
  kid text COLLATE "C" NOT NULL,
  algorithm text NOT NULL,
  public jsonb NOT NULL,
  private bytea NOT NULL,  -- the JWK as text; sealed: AES-256-GCM under smart_fhir.key_file
  sealed boolean NOT NULL,
  signs_from timestamptz NOT NULL,
  retired_at timestamptz,
  CONSTRAINT oauth_signing_key_pkey PRIMARY KEY (kid)
);

CREATE TABLE smart_internal.oauth_client (
  client_id text COLLATE "C" NOT NULL,
  metadata jsonb NOT NULL,       -- RFC 7591 names, defaults filled in
  given jsonb NOT NULL,          -- as it was given, for defaults that follow from what changes later
  fetched_jwks jsonb,            -- what smart.set_client_jwks() gave for its jwks_uri
  dynamic boolean NOT NULL,      -- made by smart.register()
  grant_id text NOT NULL,        -- of its client_credentials tokens, until an event gives another
  made_at timestamptz NOT NULL,
  changed_at timestamptz NOT NULL,
  expires_at timestamptz,        -- a dynamic one that nobody approved goes then
  CONSTRAINT oauth_client_pkey PRIMARY KEY (client_id)
);
CREATE INDEX oauth_client_expires ON smart_internal.oauth_client (expires_at);
CREATE INDEX oauth_client_made ON smart_internal.oauth_client (dynamic, made_at);

-- How the fetching of a client's keys goes. Not dumped: it is about this cluster.
CREATE TABLE smart_internal.oauth_client_fetch (
  client_id text COLLATE "C" NOT NULL,
  jwks_uri text NOT NULL,        -- what is said of another address of the client counts for nothing
  fetched_at timestamptz,
  tried_at timestamptz,          -- the last fetch began; names the claim of oauth_begin_fetch()
  next_try timestamptz,
  failures int NOT NULL DEFAULT 0,
  last_error text,
  CONSTRAINT oauth_client_fetch_pkey PRIMARY KEY (client_id)
);

-- What happened to a client, added to and never changed: 'disabled', 'enabled', 'ended' (all that it
-- held, while it stays enabled), 'approved' (a person has said yes to it once).
CREATE TABLE smart_internal.oauth_client_event (
  client_id text COLLATE "C" NOT NULL,
  event text NOT NULL,
  at timestamptz NOT NULL,
  grant_id text,                 -- disabled, ended: of its client_credentials tokens from now on
  CONSTRAINT oauth_client_event_known CHECK (event IN ('disabled', 'enabled', 'ended', 'approved'))
);
CREATE INDEX oauth_client_event_client ON smart_internal.oauth_client_event (client_id, at);

CREATE TABLE smart_internal.oauth_client_secret (
  client_id text COLLATE "C" NOT NULL,
  hash bytea NOT NULL,
  made_at timestamptz NOT NULL,
  expires_at timestamptz         -- NULL: the present one
);
CREATE INDEX oauth_client_secret_client ON smart_internal.oauth_client_secret (client_id);
CREATE INDEX oauth_client_secret_expires ON smart_internal.oauth_client_secret (expires_at);

-- Handles of EHR launches; approve() deletes the row that it spends.
CREATE TABLE smart_internal.oauth_launch (
  hash bytea NOT NULL,
  client_id text COLLATE "C" NOT NULL,
  sub text,
  fhir_user text,
  context jsonb NOT NULL,
  made_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  CONSTRAINT oauth_launch_pkey PRIMARY KEY (hash)
);
CREATE INDEX oauth_launch_expires ON smart_internal.oauth_launch (expires_at);

-- One approval of one person: all that code, tokens and refresh tokens have in common.
CREATE TABLE smart_internal.oauth_grant (
  grant_id text COLLATE "C" NOT NULL,
  client_id text COLLATE "C" NOT NULL,
  sub text COLLATE "C" NOT NULL,
  session text,
  patient text,
  encounter text,
  fhir_user text,                -- absolute, under the audience
  audience text NOT NULL,
  scope text NOT NULL,           -- as granted, in the spelling that was asked
  context jsonb NOT NULL,        -- further members of the token response: fhirContext, intent, ...
  refresh text,                  -- 'offline' or 'online': what its refresh token is; NULL: none
  auth_time timestamptz,
  granted_at timestamptz NOT NULL,
  ends_at timestamptz,           -- no refresh beyond it
  expires_at timestamptz NOT NULL,  -- without a refresh token that lives longer
  CONSTRAINT oauth_grant_pkey PRIMARY KEY (grant_id),
  CONSTRAINT oauth_grant_refresh CHECK (refresh IN ('offline', 'online'))
);
CREATE INDEX oauth_grant_sub ON smart_internal.oauth_grant (sub, client_id);
CREATE INDEX oauth_grant_client ON smart_internal.oauth_grant (client_id);
CREATE INDEX oauth_grant_expires ON smart_internal.oauth_grant (expires_at);

-- Grants that are over: withdrawn, reused, of a disabled client. Added to and never changed.
CREATE TABLE smart_internal.oauth_grant_end (
  grant_id text COLLATE "C" NOT NULL,
  ended_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL
);
CREATE INDEX oauth_grant_end_grant ON smart_internal.oauth_grant_end (grant_id);
CREATE INDEX oauth_grant_end_expires ON smart_internal.oauth_grant_end (expires_at);

-- Withdrawals and ended sessions, for codes whose approval was not yet committed then: what a code's
-- grant shares with such a row, approved no later, is over. NULL meets everything.
CREATE TABLE smart_internal.oauth_ending (
  sub text COLLATE "C" NOT NULL,
  client_id text COLLATE "C",
  patient text,
  session text,
  ended_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL
);
CREATE INDEX oauth_ending_sub ON smart_internal.oauth_ending (sub);
CREATE INDEX oauth_ending_expires ON smart_internal.oauth_ending (expires_at);

CREATE TABLE smart_internal.oauth_code (
  hash bytea NOT NULL,
  grant_id text COLLATE "C" NOT NULL,
  client_id text COLLATE "C" NOT NULL,
  redirect_uri text,             -- NULL, with the next: an approved device code (RFC 8628)
  code_challenge text,
  nonce text,
  made_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  used_at timestamptz,
  kept_until timestamptz NOT NULL,  -- findable as reuse
  CONSTRAINT oauth_code_pkey PRIMARY KEY (hash)
);
CREATE INDEX oauth_code_grant ON smart_internal.oauth_code (grant_id);
CREATE INDEX oauth_code_kept ON smart_internal.oauth_code (kept_until);

CREATE TABLE smart_internal.oauth_refresh_token (
  hash bytea NOT NULL,
  grant_id text COLLATE "C" NOT NULL,
  client_id text COLLATE "C" NOT NULL,
  made_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  used_at timestamptz,
  CONSTRAINT oauth_refresh_token_pkey PRIMARY KEY (hash)
);
CREATE INDEX oauth_refresh_token_grant ON smart_internal.oauth_refresh_token (grant_id, made_at);
CREATE INDEX oauth_refresh_token_expires ON smart_internal.oauth_refresh_token (expires_at);

-- Used jti of assertions and of CDS Hooks: SHA-256 over use, iss and jti.
CREATE TABLE smart_internal.oauth_jti (
  hash bytea NOT NULL,
  expires_at timestamptz NOT NULL,
  CONSTRAINT oauth_jti_pkey PRIMARY KEY (hash)
);
CREATE INDEX oauth_jti_expires ON smart_internal.oauth_jti (expires_at);

-- Receipts of smart.burn(); the answer is sealed under the receipt itself.
CREATE TABLE smart_internal.oauth_receipt (
  hash bytea NOT NULL,
  answer bytea NOT NULL,
  owner oid NOT NULL,            -- session_user
  made_by xid8 NOT NULL,         -- the transaction, which must have committed
  client_id text COLLATE "C",
  grant_id text COLLATE "C",
  made_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  CONSTRAINT oauth_receipt_pkey PRIMARY KEY (hash)
);
CREATE INDEX oauth_receipt_expires ON smart_internal.oauth_receipt (expires_at);

-- Failed authentications of a minute, by a keyed hash of the client_id as sent; of fixed size: no row is ever added.
CREATE TABLE smart_internal.oauth_failure (
  slot int NOT NULL,
  key bytea,                     -- of slot -1: the key of the hash
  since bigint NOT NULL DEFAULT 0,  -- when the minute began, in seconds
  failures int NOT NULL DEFAULT 0,
  CONSTRAINT oauth_failure_pkey PRIMARY KEY (slot)
) WITH (fillfactor = 50);
INSERT INTO smart_internal.oauth_failure (slot) SELECT pg_catalog.generate_series(-1, 4095);

CREATE TABLE smart_internal.oauth_registration_token (
  hash bytea NOT NULL,
  expires_at timestamptz NOT NULL,
  CONSTRAINT oauth_registration_token_pkey PRIMARY KEY (hash)
);
CREATE INDEX oauth_registration_token_expires ON smart_internal.oauth_registration_token (expires_at);

-- Device codes that nobody has answered yet, and those that were denied (RFC 8628). What is approved becomes a row of
-- oauth_code under the same hash, and goes from here: so it is burnt, reused and ended as any code.
CREATE TABLE smart_internal.oauth_device_code (
  hash bytea NOT NULL,
  user_code bytea NOT NULL,      -- its hash too
  client_id text COLLATE "C" NOT NULL,
  audience text NOT NULL,
  scope text NOT NULL,           -- as asked
  made_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  polled_at timestamptz,         -- the last poll that was not too soon
  denied_at timestamptz,
  kept_until timestamptz NOT NULL,  -- until then the client is told that it has expired
  CONSTRAINT oauth_device_code_pkey PRIMARY KEY (hash),
  CONSTRAINT oauth_device_code_user_code UNIQUE (user_code)
);
CREATE INDEX oauth_device_code_kept ON smart_internal.oauth_device_code (kept_until);

-- Guessed user codes of a minute, by a hash of the person; of fixed size, and changed in place: src/oauth/guess.c.
CREATE TABLE smart_internal.oauth_guess (
  person bigint NOT NULL,
  since bigint NOT NULL,         -- when the minute began, in seconds
  guesses int NOT NULL,
  unused int NOT NULL
);
INSERT INTO smart_internal.oauth_guess SELECT 0, 0, 0, 0 FROM pg_catalog.generate_series(1, 4096);

CREATE TABLE smart_internal.oauth_cds_client (
  iss text COLLATE "C" NOT NULL,
  jwks jsonb NOT NULL,
  jku text,
  tenants text[],
  CONSTRAINT oauth_cds_client_pkey PRIMARY KEY (iss)
);

DO $$
DECLARE
  t pg_catalog.regclass;
BEGIN
  FOR t IN SELECT oid FROM pg_catalog.pg_class WHERE relkind OPERATOR(pg_catalog.=) 'r'
    AND relnamespace OPERATOR(pg_catalog.=) 'smart_internal'::pg_catalog.regnamespace AND relname OPERATOR(pg_catalog.~) '^oauth_'
  LOOP
    EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t);
    EXECUTE pg_catalog.format('REVOKE ALL ON %s FROM PUBLIC', t);
  END LOOP;
END
$$;

-- Each backend keeps what it has read of these: a change makes all of them read again.
CREATE FUNCTION smart_internal.oauth_changed() RETURNS trigger
  LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'smart_oauth_changed';
COMMENT ON FUNCTION smart_internal.oauth_changed() IS
  'Trigger of the configuration, the signing keys, the clients and their events: makes every backend read them again.';
DO $$
DECLARE
  t text;
BEGIN
  FOREACH t IN ARRAY '{oauth_configuration,oauth_signing_key,oauth_client,oauth_client_event}'::text[] LOOP
    EXECUTE pg_catalog.format('CREATE TRIGGER oauth_changed AFTER INSERT OR UPDATE OR DELETE ON smart_internal.%I
      FOR EACH ROW EXECUTE FUNCTION smart_internal.oauth_changed()', t);
    EXECUTE pg_catalog.format('CREATE TRIGGER oauth_truncated AFTER TRUNCATE ON smart_internal.%I
      FOR EACH STATEMENT EXECUTE FUNCTION smart_internal.oauth_changed()', t);
    -- also for what logical replication applies
    EXECUTE pg_catalog.format('ALTER TABLE smart_internal.%I ENABLE ALWAYS TRIGGER oauth_changed', t);
    EXECUTE pg_catalog.format('ALTER TABLE smart_internal.%I ENABLE ALWAYS TRIGGER oauth_truncated', t);
  END LOOP;
END
$$;

-- What pg_dump takes along. Codes, device codes, handles, receipts, jti and registration tokens are good once:
-- a copy of the database that had them would be a second time.
SELECT pg_catalog.pg_extension_config_dump('smart_internal.oauth_configuration', '');
SELECT pg_catalog.pg_extension_config_dump('smart_internal.oauth_signing_key', '');
SELECT pg_catalog.pg_extension_config_dump('smart_internal.oauth_client', '');
SELECT pg_catalog.pg_extension_config_dump('smart_internal.oauth_client_event', '');
SELECT pg_catalog.pg_extension_config_dump('smart_internal.oauth_client_secret', '');
SELECT pg_catalog.pg_extension_config_dump('smart_internal.oauth_grant', '');
SELECT pg_catalog.pg_extension_config_dump('smart_internal.oauth_grant_end', '');
SELECT pg_catalog.pg_extension_config_dump('smart_internal.oauth_refresh_token', '');
SELECT pg_catalog.pg_extension_config_dump('smart_internal.oauth_cds_client', '');
