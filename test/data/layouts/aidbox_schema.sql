-- Tables as Aidbox documents them (docs/database/database-schema.md): id and resourceType stand in
-- columns, not in the jsonb; references are {resourceType, id}; every type has a history.
CREATE TYPE resource_status AS ENUM ('created', 'updated', 'deleted', 'recreated');
CREATE SEQUENCE transaction_id_seq;
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['Patient', 'Observation', 'Practitioner'] LOOP
    EXECUTE format('CREATE TABLE %I (id text PRIMARY KEY, txid bigint NOT NULL, ts timestamptz DEFAULT current_timestamp,
      cts timestamptz DEFAULT current_timestamp, resource_type text DEFAULT %L, status resource_status NOT NULL, resource jsonb NOT NULL)', lower(t), t);
    EXECUTE format('CREATE TABLE %I (id text, txid bigint NOT NULL, ts timestamptz DEFAULT current_timestamp,
      cts timestamptz DEFAULT current_timestamp, resource_type text, status resource_status NOT NULL, resource jsonb NOT NULL,
      PRIMARY KEY (id, txid))', lower(t) || '_history');
  END LOOP;
END $$;

INSERT INTO patient (id, txid, status, resource)
SELECT p, nextval('transaction_id_seq'), 'created', '{"gender": "female"}' FROM unnest('{alice,bob}'::text[]) p;
INSERT INTO practitioner (id, txid, status, resource) VALUES ('doc', nextval('transaction_id_seq'), 'created', '{"active": true}');
INSERT INTO observation (id, txid, status, resource)
SELECT 'o' || i, nextval('transaction_id_seq'), 'created', jsonb_build_object('status', 'final',
  'subject', jsonb_build_object('resourceType', 'Patient', 'id', CASE WHEN i <= 3 THEN 'alice' WHEN i <= 5 THEN 'bob' ELSE 'p' || i END),
  'performer', jsonb_build_array(jsonb_build_object('resourceType', 'Practitioner', 'id', 'doc')))
FROM generate_series(1, 2000) i;
-- one of each was deleted: its last version and a marker, which has no resource_type
INSERT INTO observation_history SELECT * FROM observation WHERE id IN ('o3', 'o5');
INSERT INTO observation_history (id, txid, status, resource)
SELECT id, nextval('transaction_id_seq'), 'deleted', resource FROM observation WHERE id IN ('o3', 'o5');
DELETE FROM observation WHERE id IN ('o3', 'o5');

-- A table as Fhirbase makes it: no cts, resourceType stays in the jsonb. The older Fhirbase wrote
-- references as {reference: {type, id}}.
CREATE TABLE condition (id text PRIMARY KEY, txid bigint NOT NULL, ts timestamptz DEFAULT current_timestamp,
  resource_type text DEFAULT 'Condition', status resource_status NOT NULL, resource jsonb NOT NULL);
CREATE TABLE condition_history (id text, txid bigint NOT NULL, ts timestamptz DEFAULT current_timestamp,
  resource_type text DEFAULT 'Condition', status resource_status NOT NULL, resource jsonb NOT NULL, PRIMARY KEY (id, txid));
INSERT INTO condition (id, txid, status, resource) VALUES
  ('c1', 1, 'created', '{"resourceType": "Condition", "subject": {"resourceType": "Patient", "id": "alice"}}'),
  ('c2', 2, 'created', '{"resourceType": "Condition", "subject": {"resourceType": "Patient", "id": "bob"}}'),
  ('old', 3, 'created', '{"resourceType": "Condition", "subject": {"reference": {"type": "Patient", "id": "alice"}}}');
