-- What must be the same after an upgrade; names, no OIDs.
SELECT what FROM (
  SELECT 'extension ' || extname || ' ' || extversion FROM pg_extension
  UNION ALL SELECT 'table ' || c.oid::regclass || ' ' || c.relrowsecurity || c.relforcerowsecurity FROM pg_class c WHERE c.relnamespace IN ('a'::regnamespace, 'b'::regnamespace) AND c.relkind IN ('r', 'p')
  UNION ALL SELECT concat_ws(' ', 'policy', polrelid::regclass, polname, polcmd, md5(concat_ws('|', pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)))) FROM pg_policy
  UNION ALL SELECT 'trigger ' || pg_get_triggerdef(oid) || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace IN ('a'::regnamespace, 'b'::regnamespace))
  UNION ALL SELECT 'index ' || pg_get_indexdef(indexrelid) || indisvalid FROM pg_index WHERE indrelid IN (SELECT oid FROM pg_class WHERE relnamespace IN ('a'::regnamespace, 'b'::regnamespace))
  UNION ALL SELECT 'state ' || relation || ' ' || state || ' ' || coalesce(index::text, '-') FROM smart.protected_table
  UNION ALL SELECT 'event trigger ' || evtname || ' ' || evtenabled::text FROM pg_event_trigger
  UNION ALL SELECT 'issuer ' || issuer || ' ' || md5(i::text) FROM smart.issuer i WHERE issuer LIKE 'https://upgrade%'
  UNION ALL SELECT 'issuer ' || issuer FROM smart.issuer
  UNION ALL SELECT 'revocation ' || count(*) FROM smart.revocation
  UNION ALL SELECT 'client ' || count(*) FROM smart_internal.oauth_client
  UNION ALL SELECT 'signing key ' || count(*) FROM smart_internal.oauth_signing_key
) x(what) ORDER BY what COLLATE "C";
BEGIN;
DO $$ BEGIN PERFORM smart.assume('{"scope": "patient/*.rs", "patient": "1"}', 'https://upgrade.example'); END $$;
SET ROLE fhir_app;
SELECT 'sees ' || string_agg(id, ' ' ORDER BY id) FROM a.plain
UNION ALL SELECT 'sees ' || string_agg(id, ' ' ORDER BY id) FROM a.observation
UNION ALL SELECT 'sees ' || string_agg(id, ' ' ORDER BY id) FROM a.keyed
UNION ALL SELECT 'sees ' || string_agg(id, ' ' ORDER BY id) FROM a.provenance
UNION ALL SELECT 'sees in a partition ' || string_agg(id, ' ' ORDER BY id) FROM b.observation_1;
SET enable_seqscan = off;
SELECT 'plan ' || count(*) FROM smart.protected_table t WHERE t.relation = 'a.plain'::regclass AND t.index IS NOT NULL;
ROLLBACK;
-- A record that moves to another patient takes what names it along: the triggers are bound to the tables they had.
BEGIN;
UPDATE a.plain SET resource = jsonb_set(resource, '{subject,reference}', '"Patient/2"') WHERE id = '4';
DO $$ BEGIN PERFORM smart.assume('{"scope": "patient/*.rs", "patient": "1"}', 'https://upgrade.example'); END $$;
SET ROLE fhir_app;
SELECT 'sees after a correction ' || string_agg(id, ' ' ORDER BY id) FROM a.provenance;
ROLLBACK;
