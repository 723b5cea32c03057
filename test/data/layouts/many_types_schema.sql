-- Many types in one table, as miracum's fhir-gateway makes it; `resources_by_type` is the same
-- partitioned by list(type), with the bare id of the patient in a column.
CREATE TABLE resources (id serial PRIMARY KEY, fhir_id varchar(64) NOT NULL, type varchar(64) NOT NULL, data jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(), last_updated_at timestamptz NOT NULL DEFAULT now(), is_deleted boolean NOT NULL DEFAULT false,
  CONSTRAINT fhir_id_unique UNIQUE (fhir_id, type));
CREATE TABLE resources_by_type (id serial, fhir_id varchar(64) NOT NULL, type varchar(64) NOT NULL, data jsonb NOT NULL,
  patient_id varchar(64), is_deleted boolean NOT NULL DEFAULT false, UNIQUE (fhir_id, type)) PARTITION BY LIST (type);
CREATE TABLE resources_observation PARTITION OF resources_by_type FOR VALUES IN ('Observation');
CREATE TABLE resources_other PARTITION OF resources_by_type DEFAULT;

INSERT INTO resources (fhir_id, type, data)
SELECT p, 'Patient', jsonb_build_object('resourceType', 'Patient', 'id', p) FROM unnest('{alice,bob}'::text[]) p;
INSERT INTO resources (fhir_id, type, data) VALUES ('doc', 'Practitioner', '{"resourceType": "Practitioner", "id": "doc"}');
INSERT INTO resources (fhir_id, type, data)
SELECT 'o' || i, 'Observation', jsonb_build_object('resourceType', 'Observation', 'id', 'o' || i,
  'subject', jsonb_build_object('reference', 'Patient/' || CASE WHEN i <= 3 THEN 'alice' WHEN i <= 5 THEN 'bob' ELSE 'p' || i END))
FROM generate_series(1, 2000) i;
UPDATE resources SET is_deleted = true WHERE fhir_id = 'o3';
INSERT INTO resources_by_type (fhir_id, type, data, patient_id, is_deleted)
SELECT fhir_id, type, data, CASE type WHEN 'Patient' THEN fhir_id WHEN 'Observation' THEN substr(data #>> '{subject,reference}', 9) END, is_deleted
FROM resources;
