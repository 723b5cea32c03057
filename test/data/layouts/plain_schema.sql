-- A table a type, `id, resource jsonb`, a history of the same shape, one table partitioned.
CREATE TABLE patient (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE organization (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE observation (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE observation_history (id text, version int, resource jsonb NOT NULL, PRIMARY KEY (id, version));
CREATE TABLE encounter (id text, year int, resource jsonb NOT NULL, PRIMARY KEY (id, year)) PARTITION BY LIST (year);
CREATE TABLE encounter_2024 PARTITION OF encounter FOR VALUES IN (2024);

INSERT INTO patient SELECT p, jsonb_build_object('resourceType', 'Patient', 'id', p)
FROM unnest('{alice,bob}'::text[]) p;
INSERT INTO organization VALUES ('clinic', '{"resourceType": "Organization", "id": "clinic"}');
INSERT INTO observation
SELECT 'o' || i, jsonb_build_object('resourceType', 'Observation', 'id', 'o' || i, 'status', 'final',
  'subject', jsonb_build_object('reference', 'Patient/' || CASE WHEN i <= 3 THEN 'alice' WHEN i <= 5 THEN 'bob' ELSE 'p' || i END))
FROM generate_series(1, 2000) i;
INSERT INTO observation_history SELECT id, 1, resource FROM observation WHERE id IN ('o1', 'o4');
INSERT INTO encounter
SELECT 'e' || i, 2024, jsonb_build_object('resourceType', 'Encounter', 'id', 'e' || i, 'status', 'finished',
  'subject', jsonb_build_object('reference', 'Patient/' || CASE i % 2 WHEN 0 THEN 'alice' ELSE 'bob' END))
FROM generate_series(1, 10) i;
