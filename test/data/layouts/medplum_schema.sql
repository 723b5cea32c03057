-- Tables as Medplum's migrations make them (packages/server/src/migrations), cut to what matters:
-- the resource as text, '' once it is deleted, compartments as uuids; a history without compartments;
-- look-up tables with values in clear. The uuids: project 0, alice a, bob b, practitioner d.
DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['Patient', 'Observation', 'Practitioner'] LOOP
    EXECUTE format('CREATE TABLE %I (id uuid PRIMARY KEY, content text NOT NULL, "lastUpdated" timestamptz NOT NULL DEFAULT current_timestamp,
      deleted boolean NOT NULL DEFAULT false, "projectId" uuid NOT NULL, __version int NOT NULL DEFAULT 1, compartments uuid[] NOT NULL)', t);
    EXECUTE format('CREATE INDEX %I ON %I USING gin (compartments)', t || '_compartments_idx', t);
  END LOOP;
  FOREACH t IN ARRAY ARRAY['Patient', 'Observation', 'Practitioner', 'Binary'] LOOP
    EXECUTE format('CREATE TABLE %I ("versionId" uuid PRIMARY KEY DEFAULT gen_random_uuid(), id uuid NOT NULL, content text NOT NULL,
      "lastUpdated" timestamptz NOT NULL DEFAULT current_timestamp)', t || '_History');
  END LOOP;
END $$;
CREATE TABLE "Binary" (id uuid PRIMARY KEY, content text NOT NULL, "lastUpdated" timestamptz NOT NULL DEFAULT current_timestamp,
  deleted boolean NOT NULL DEFAULT false, "projectId" uuid NOT NULL, __version int NOT NULL DEFAULT 1);
CREATE TABLE "HumanName" ("resourceId" uuid NOT NULL, name text, given text, family text);
CREATE TABLE "Address" ("resourceId" uuid NOT NULL, address text, city text);
CREATE TABLE "ContactPoint" ("resourceId" uuid NOT NULL, system text, value text);
CREATE TABLE "Identifier" ("resourceId" uuid NOT NULL, system text, value text);
CREATE TABLE "Observation_References" ("resourceId" uuid NOT NULL, "targetId" uuid NOT NULL, code text NOT NULL);

CREATE FUNCTION u(c text) RETURNS uuid LANGUAGE sql AS $$ SELECT (repeat(c, 8) || '-0000-4000-8000-' || repeat(c, 12))::uuid $$;
INSERT INTO "Patient" (id, content, "projectId", compartments)
SELECT u(p), json_build_object('resourceType', 'Patient', 'id', u(p)), u('0'), ARRAY[u('0'), u(p)] FROM unnest('{a,b}'::text[]) p;
INSERT INTO "Practitioner" (id, content, "projectId", compartments)
VALUES (u('d'), json_build_object('resourceType', 'Practitioner', 'id', u('d')), u('0'), ARRAY[u('0')]);
-- 1 to 3 are alice's; 3 is deleted; 4 is bob's, 5 too, alice performed it
INSERT INTO "Observation" (id, content, "projectId", compartments)
SELECT u(i::text), json_build_object('resourceType', 'Observation', 'id', u(i::text),
    'subject', json_build_object('reference', 'Patient/' || u(p)),
    'performer', CASE WHEN i = 5 THEN json_build_array(json_build_object('reference', 'Patient/' || u('a'))) END),
  u('0'), CASE WHEN i = 5 THEN ARRAY[u('0'), u('b'), u('a')] ELSE ARRAY[u('0'), u(p)] END
FROM (VALUES (1, 'a'), (2, 'a'), (3, 'a'), (4, 'b'), (5, 'b')) v(i, p);
INSERT INTO "Observation_History" (id, content) SELECT id, content FROM "Observation" WHERE id IN (u('3'), u('4'));
UPDATE "Observation" SET content = '', deleted = true WHERE id = u('3');
INSERT INTO "Observation_History" (id, content) VALUES (u('3'), '');
INSERT INTO "Observation" (id, content, "projectId", compartments)
SELECT gen_random_uuid(), json_build_object('resourceType', 'Observation', 'subject', json_build_object('reference', 'Patient/' || p)), u('0'), ARRAY[u('0'), p]
FROM (SELECT gen_random_uuid() AS p FROM generate_series(1, 2000)) s;
INSERT INTO "Binary" (id, content, "projectId") VALUES (u('e'), json_build_object('resourceType', 'Binary', 'id', u('e'), 'contentType', 'text/plain'), u('0'));
INSERT INTO "HumanName" VALUES (u('a'), 'Alice', 'Alice', 'Able'), (u('b'), 'Bob', 'Bob', 'Baker'), (u('d'), 'Doctor', 'Dora', 'Dean');
INSERT INTO "Address" VALUES (u('a'), '1 A Street', 'Aberdeen'), (u('b'), '2 B Street', 'Bath');
INSERT INTO "ContactPoint" VALUES (u('b'), 'phone', '555-0100');
INSERT INTO "Identifier" VALUES (u('b'), 'urn:ssn', '123-45-6789');
INSERT INTO "Observation_References" SELECT o.id, c, 'subject' FROM "Observation" o, unnest(o.compartments) c WHERE o.id IN (u('1'), u('4'));
GRANT USAGE ON SCHEMA public TO PUBLIC;
