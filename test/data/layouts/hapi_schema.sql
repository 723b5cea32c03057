-- Tables as HAPI FHIR JPA makes them (hapi-fhir-jpaserver-model), cut to what matters: no content in
-- hfj_resource, a version a row in hfj_res_ver, references and search values in tables of their own.
CREATE SEQUENCE seq_resource_id START 100001;
CREATE TABLE hfj_resource (res_id bigint PRIMARY KEY, res_type varchar(40) NOT NULL, fhir_id varchar(64),
  res_ver bigint, res_deleted_at timestamptz, res_updated timestamptz NOT NULL DEFAULT current_timestamp);
CREATE TABLE hfj_res_ver (pid bigint PRIMARY KEY, res_id bigint NOT NULL, res_type varchar(40) NOT NULL, res_ver bigint NOT NULL,
  res_encoding varchar(5) NOT NULL, res_text_vc text, res_deleted_at timestamptz,
  CONSTRAINT idx_resver_id_ver UNIQUE (res_id, res_ver));
CREATE TABLE hfj_res_link (pid bigint PRIMARY KEY, src_resource_id bigint NOT NULL, source_resource_type varchar(40) NOT NULL,
  src_path varchar(500) NOT NULL, target_resource_id bigint, target_resource_type varchar(40) NOT NULL, target_resource_url varchar(200));
CREATE TABLE hfj_spidx_string (sp_id bigint PRIMARY KEY, res_id bigint NOT NULL, res_type varchar(40), sp_name varchar(100), sp_value_exact varchar(200));

-- 1 alice and 2 bob, whose FHIR ids the client chose; 3 has the id that the server gave it
INSERT INTO hfj_resource (res_id, res_type, fhir_id, res_ver)
VALUES (1, 'Patient', 'alice', 1), (2, 'Patient', 'bob', 1), (3, 'Patient', '3', 1), (4, 'Practitioner', 'doc', 1);
INSERT INTO hfj_resource (res_id, res_type, fhir_id, res_ver) SELECT i, 'Observation', i, 1 FROM generate_series(10, 2000) i;
-- HAPI stores neither id nor meta in the text
INSERT INTO hfj_res_ver (pid, res_id, res_type, res_ver, res_encoding, res_text_vc)
SELECT res_id, res_id, res_type, 1, 'JSON', CASE res_type WHEN 'Observation' THEN json_build_object('resourceType', res_type,
    'subject', json_build_object('reference', 'Patient/' || CASE WHEN res_id < 13 THEN 'alice' WHEN res_id < 15 THEN 'bob' ELSE 'p' || res_id END))
  ELSE json_build_object('resourceType', res_type) END
FROM hfj_resource;
-- 12 has a second version and was deleted then; 13 is compressed; 14 stands outside the database
INSERT INTO hfj_res_ver VALUES (3001, 12, 'Observation', 2, 'JSON', '{"resourceType":"Observation","status":"amended","subject":{"reference":"Patient/alice"}}', NULL),
  (3002, 12, 'Observation', 3, 'DEL', NULL, current_timestamp);
UPDATE hfj_res_ver SET res_encoding = 'JSONC', res_text_vc = NULL WHERE res_id = 13;
UPDATE hfj_res_ver SET res_encoding = 'ESR', res_text_vc = 'pointer' WHERE res_id = 14;
INSERT INTO hfj_res_link SELECT res_id, res_id, 'Observation', 'Observation.subject', 1, 'Patient', NULL FROM hfj_resource WHERE res_id IN (10, 11, 12);
INSERT INTO hfj_spidx_string VALUES (1, 1, 'Patient', 'family', 'Able'), (2, 2, 'Patient', 'family', 'Baker');
