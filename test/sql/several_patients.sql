-- D. Rows of several patients: reading needs one of them to be the session's, a write (c, u, d) all of
-- them, subjects and stored keys, on the old and on the new row.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE several_app;
CREATE SCHEMA several;
GRANT USAGE ON SCHEMA several TO several_app;
SELECT smart.add_issuer('https://several.example.org',
  '{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}',
  '{https://several.example.org/fhir}', max_patients => 2);

-- keys in a column, of a type that has no subject and of one that has; no column, subjects in the resource
CREATE TABLE several.device (id text PRIMARY KEY, patients text[], resource jsonb NOT NULL);
CREATE TABLE several.observation (id text PRIMARY KEY, patients text[], resource jsonb NOT NULL);
CREATE TABLE several.appointment (id text PRIMARY KEY, resource jsonb NOT NULL);
DO $$ BEGIN
  PERFORM smart.protect('several.device', 'Device', patients => 'patients'), smart.protect('several.observation', 'Observation', patients => 'patients'),
    smart.protect('several.appointment', 'Appointment');
END $$;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA several TO several_app;
CREATE FUNCTION several.observation(id text, patient text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT jsonb_build_object('resourceType', 'Observation', 'id', id, 'subject', jsonb_build_object('reference', 'Patient/' || patient)) $$;
CREATE FUNCTION several.appointment(id text, VARIADIC patients text[]) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
$$ SELECT jsonb_build_object('resourceType', 'Appointment', 'id', id, 'participant',
  (SELECT jsonb_agg(jsonb_build_object('actor', jsonb_build_object('reference', 'Patient/' || p))) FROM unnest(patients) p)) $$;
INSERT INTO several.device SELECT id, keys::text[], jsonb_build_object('resourceType', 'Device', 'id', id) FROM (VALUES
  ('own', '{1}'), ('twice', '{1,Patient/1}'), ('shared', '{1,2}'), ('other', '{2}'), ('nobody', '{}'), ('null', NULL), ('hole', '{1,NULL}'), ('group', '{1,Group/1}')) v (id, keys);
INSERT INTO several.observation SELECT id, keys::text[], several.observation(id, subject) FROM (VALUES
  ('own', '{1}', '1'), ('shared', '{1,2}', '1'), ('planted', '{1}', '2')) v (id, keys, subject);
INSERT INTO several.appointment VALUES ('own', several.appointment('own', '1')), ('shared', several.appointment('shared', '1', '2')), ('other', several.appointment('other', '2'));

-- What each statement does under a session of these patients: rows, or the error. Nothing stays.
CREATE FUNCTION several.tries(statement text, patients jsonb DEFAULT '"1"') RETURNS text LANGUAGE plpgsql SET client_min_messages = error AS $$
DECLARE
  n bigint;
BEGIN
  PERFORM smart.assume(jsonb_build_object('scope', 'patient/*.cruds', 'patient', patients), 'https://several.example.org');
  PERFORM set_config('role', 'several_app', true);
  EXECUTE statement;
  GET DIAGNOSTICS n = ROW_COUNT;
  RAISE SQLSTATE 'P0999' USING MESSAGE = n;
EXCEPTION WHEN SQLSTATE 'P0999' THEN RETURN sqlerrm;
WHEN OTHERS THEN RETURN sqlstate;
END $$;

-- Each row is read by one patient of it, and changed and deleted by all of them: policies and permits_row() say the same.
CREATE FUNCTION several.answers(relation regclass, patients jsonb) RETURNS TABLE (id text, may text, permits_row text) LANGUAGE plpgsql SET client_min_messages = error AS $$
DECLARE
  r record;
BEGIN
  FOR r IN EXECUTE format('SELECT t.id, t FROM %s t ORDER BY t.id', relation) LOOP
    id := r.id;
    may := concat(CASE several.tries(format('SELECT FROM %s WHERE id = %L', relation, id), patients) WHEN '1' THEN 'r' END,
      CASE several.tries(format('UPDATE %s SET resource = resource WHERE id = %L', relation, id), patients) WHEN '1' THEN 'u' END,
      CASE several.tries(format('DELETE FROM %s WHERE id = %L', relation, id), patients) WHEN '1' THEN 'd' END);
    PERFORM smart.assume(jsonb_build_object('scope', 'patient/*.cruds', 'patient', patients), 'https://several.example.org');
    EXECUTE format('SELECT string_agg(l, '''' ORDER BY n) FILTER (WHERE smart.permits_row(t, l)) FROM %s t, unnest(''{r,u,d}''::text[]) WITH ORDINALITY AS u (l, n) WHERE id = %L', relation, id)
      INTO permits_row;
    PERFORM smart.logout();
    RETURN NEXT;
  END LOOP;
END $$;
SELECT * FROM several.answers('several.device', '"1"');
SELECT * FROM several.answers('several.device', '["1", "2"]');
SELECT * FROM several.answers('several.observation', '"1"');
SELECT * FROM several.answers('several.appointment', '"1"');
SELECT * FROM several.answers('several.appointment', '["1", "2"]');

-- Nothing is planted in another chart, nothing is taken out of it, and no patient is shut out of a shared record.
SELECT several.tries($$INSERT INTO several.device VALUES ('new', '{1}', '{"resourceType": "Device", "id": "new"}')$$) AS own,
  several.tries($$INSERT INTO several.device VALUES ('new', '{1,2}', '{"resourceType": "Device", "id": "new"}')$$) AS planted,
  several.tries($$INSERT INTO several.device VALUES ('new', '{1,NULL}', '{"resourceType": "Device", "id": "new"}')$$) AS hole,
  several.tries($$INSERT INTO several.device VALUES ('new', '{1,Group/1}', '{"resourceType": "Device", "id": "new"}')$$) AS no_patient,
  several.tries($$INSERT INTO several.device VALUES ('new', '{}', '{"resourceType": "Device", "id": "new"}')$$) AS nobody;
SELECT several.tries($$UPDATE several.device SET patients = '{1,2}' WHERE id = 'own'$$) AS plants,
  several.tries($$UPDATE several.device SET patients = '{1}' WHERE id = 'shared'$$) AS unlinks,
  several.tries($$UPDATE several.device SET resource = resource || '{"status": "inactive"}'$$) AS rewrites_all,
  several.tries($$DELETE FROM several.device$$) AS deletes_all;
SELECT several.tries($$INSERT INTO several.observation VALUES ('new', '{1,2}', several.observation('new', '1'))$$) AS planted_by_key,
  several.tries($$INSERT INTO several.observation VALUES ('new', '{1}', several.observation('new', '2'))$$) AS planted_by_subject,
  several.tries($$UPDATE several.observation SET patients = '{1,2}' WHERE id = 'own'$$) AS moved_by_key,
  several.tries($$UPDATE several.observation SET resource = several.observation('own', '2') WHERE id = 'own'$$) AS moved_by_subject;
SELECT several.tries($$INSERT INTO several.appointment VALUES ('new', several.appointment('new', '1', '2'))$$) AS one_of_two,
  several.tries($$INSERT INTO several.appointment VALUES ('new', several.appointment('new', '1', '2'))$$, '["1", "2"]') AS both,
  several.tries($$UPDATE several.appointment SET resource = several.appointment('own', '1', '2') WHERE id = 'own'$$) AS adds_one,
  several.tries($$UPDATE several.appointment SET resource = several.appointment('shared', '1') WHERE id = 'shared'$$) AS drops_one;
SELECT several.tries($$INSERT INTO several.device VALUES ('shared', '{1}', '{"resourceType": "Device", "id": "shared"}') ON CONFLICT (id) DO UPDATE SET patients = '{1}'$$) AS upsert_takes_over;
DROP SCHEMA several CASCADE;
SELECT smart.drop_issuer('https://several.example.org');
DROP ROLE several_app;
