-- Workers that build an index run functions of its owner; a session that has ended is none
-- for them either.
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT smart.add_issuer('https://review', '{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"e","x":"U6Ft-lcDuxzFeWAk8p04KTLtoK9wKTXVTRk3orgnDNk"}]}', '{https://fhir}', leeway => '0');
CREATE ROLE regress_review_workers;
GRANT pg_read_all_stats TO regress_review_workers;
CREATE SCHEMA review AUTHORIZATION regress_review_workers;
GRANT EXECUTE ON FUNCTION smart.assume TO regress_review_workers;
SET ROLE regress_review_workers;
CREATE TABLE review.observation (id text, resource jsonb);
SELECT smart.protect('review.observation', 'Observation');
RESET ROLE;
INSERT INTO review.observation VALUES ('1', '{"resourceType":"Observation","subject":{"reference":"Patient/3"}}');
SET ROLE regress_review_workers;
-- the leader takes part in a build, but the question is what workers see
CREATE FUNCTION review.look(i int) RETURNS int IMMUTABLE PARALLEL SAFE LANGUAGE plpgsql AS $$
BEGIN
	IF EXISTS (SELECT FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid() AND leader_pid IS NOT NULL) THEN
		IF EXISTS (SELECT FROM review.observation) THEN
			RAISE 'a worker sees a row';
		END IF;
	ELSE
		-- not before there are workers
		PERFORM pg_catalog.pg_sleep(0.001);
	END IF;
	RETURN i;
END
$$;
CREATE TABLE review.big AS SELECT i FROM generate_series(1, 100000) i;
ALTER TABLE review.big SET (parallel_workers = 2);
SET max_parallel_maintenance_workers = 2;
SET min_parallel_table_scan_size = 0;
SET maintenance_work_mem = '256MB';

-- in force
BEGIN;
SELECT smart.assume('{"scope":"system/*.rs"}', 'https://review');
CREATE INDEX ON review.big ((CASE WHEN i % 100 = 0 THEN review.look(i) END));
ROLLBACK;

-- a logout that was rolled back ended it all the same
BEGIN;
SELECT smart.assume('{"scope":"system/*.rs"}', 'https://review');
SAVEPOINT a;
SELECT smart.logout();
ROLLBACK TO a;
CREATE INDEX ON review.big ((CASE WHEN i % 100 = 0 THEN review.look(i) END));
ROLLBACK;

-- expired
BEGIN;
SELECT smart.assume(jsonb_build_object('scope', 'system/*.rs', 'exp', extract(epoch FROM clock_timestamp()) + 2), 'https://review');
SELECT pg_sleep(2.1);
CREATE INDEX ON review.big ((CASE WHEN i % 100 = 0 THEN review.look(i) END));
ROLLBACK;

RESET ROLE;
DROP SCHEMA review CASCADE;
DROP OWNED BY regress_review_workers;
DROP ROLE regress_review_workers;
SELECT smart.drop_issuer('https://review');
