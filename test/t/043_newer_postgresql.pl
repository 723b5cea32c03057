# test/t/043_newer_postgresql.pl
# What PostgreSQL 17, 18 and 19 brought beside a statement of before: a protected table shows a session the same rows through it,
# and writes no others. Each part runs where the version has it and says so where not. (The WHERE of ON CONFLICT: test/sql/upsert.sql)
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('newer');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\njit = off\nwal_level = logical\nmax_worker_processes = 16");
$node->start;
my $version = $node->safe_psql('postgres', 'SHOW server_version_num');

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION smart_fhir;
SELECT smart.add_issuer('https://newer.example', '{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}',
  '{https://fhir.example/r4}');
CREATE ROLE app;
GRANT EXECUTE ON FUNCTION smart.assume TO app;
CREATE FUNCTION obs(id int, patient int, note text DEFAULT 'old') RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
  SELECT jsonb_build_object('resourceType', 'Observation', 'id', id::text, 'subject', jsonb_build_object('reference', 'Patient/p' || patient), 'note', note) $$;
CREATE TABLE observation (id text PRIMARY KEY, patient text NOT NULL, kind int NOT NULL, resource jsonb NOT NULL);
INSERT INTO observation SELECT i, 'p' || i % 20, i % 5, obs(i, i % 20) FROM generate_series(1, 4000) i;
SET client_min_messages = warning;
SELECT smart.protect('observation', 'Observation');
GRANT SELECT, INSERT, UPDATE, DELETE ON observation TO app;
CREATE FUNCTION as_patient(p text DEFAULT 'p1', scope text DEFAULT 'patient/*.cruds') RETURNS void LANGUAGE sql AS $$
  SELECT smart.assume(jsonb_build_object('scope', scope, 'patient', p, 'exp', 4000000000), 'https://newer.example', false) $$;
VACUUM ANALYZE observation;
SQL

# What the app reads in the session of patient p1 (200 rows of 4,000); each statement in a transaction that is undone.
sub app
{
	my (@sql) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', join("\n", q{SET ROLE app; SELECT FROM as_patient(); BEGIN;}, map({ "$_;" } @sql), 'ROLLBACK;'),
		extra_params => ['-q', '-v', 'VERBOSITY=sqlstate']);
	$err =~ s/^psql:\S+ //gm;
	$out =~ s/^\s*\n//;
	return $rc == 0 ? $out : "$out$err";
}

sub since
{
	my ($needed, $what, $code) = @_;
	SKIP:
	{
		skip "$what: not before PostgreSQL $needed", 1 if $version < $needed * 10000;
		subtest $what => $code;
	}
}

is(app('SELECT count(*) FROM observation'), '200', 'the session sees the patient');

since 17, 'MERGE ... WHEN NOT MATCHED BY SOURCE, RETURNING merge_action()' => sub {
	# every row that no source row matches is only ever one of the session's
	is(app(q{WITH m AS (MERGE INTO observation o USING (VALUES ('1')) s (id) ON o.id = s.id
			WHEN MATCHED THEN UPDATE SET resource = obs(1, 1, 'merged')
			WHEN NOT MATCHED BY SOURCE THEN DELETE
			RETURNING merge_action() AS action, o.patient) SELECT action, patient, count(*) FROM m GROUP BY 1, 2 ORDER BY 1},
			q{RESET ROLE; SELECT count(*), count(*) FILTER (WHERE patient = 'p1') FROM observation}),
		"DELETE|p1|199\nUPDATE|p1|1\n3801|1", 'deletes the rows of the session and no other');
	is(app(q{MERGE INTO observation o USING (VALUES ('2')) s (id) ON o.id = s.id
			WHEN MATCHED THEN UPDATE SET resource = obs(2, 1, 'taken') WHEN NOT MATCHED BY SOURCE AND o.id = '1' THEN UPDATE SET resource = obs(1, 1, 'left')
			RETURNING merge_action(), o.id, o.resource ->> 'note'}),
		'UPDATE|1|left', 'a hidden row is not matched');
	like(app(q{MERGE INTO observation o USING (VALUES ('none')) s (id) ON o.id = s.id WHEN NOT MATCHED BY SOURCE AND o.id = '1' THEN UPDATE SET resource = obs(1, 2) RETURNING merge_action()}),
		qr/42501/, 'an own row does not move to another patient');
	# without the right to delete nothing is deleted
	like(app(q{RESET ROLE}, q{SELECT FROM as_patient('p1', 'patient/*.rs')}, q{SET ROLE app},
			q{MERGE INTO observation o USING (VALUES ('none')) s (id) ON o.id = s.id WHEN NOT MATCHED BY SOURCE THEN DELETE RETURNING merge_action()}, q{RESET ROLE}, 'SELECT count(*) FROM observation'),
		qr/^4000$|42501/, 'a token that only reads deletes nothing');
};

since 18, 'RETURNING old and new' => sub {
	is(app(q{WITH w AS (UPDATE observation SET resource = obs(id::int, 1, 'new') RETURNING old.resource ->> 'note' AS o, new.resource ->> 'note' AS n, old.patient) SELECT o, n, patient, count(*) FROM w GROUP BY 1, 2, 3}),
		'old|new|p1|200', 'UPDATE returns old and new rows of the session');
	is(app(q{WITH w AS (DELETE FROM observation RETURNING old.patient, new.id) SELECT patient, id IS NULL, count(*) FROM w GROUP BY 1, 2}), 'p1|t|200', 'DELETE returns old ones');
	like(app(q{INSERT INTO observation VALUES ('2', 'p1', 0, obs(2, 1)) ON CONFLICT (id) DO UPDATE SET kind = 9 RETURNING old.resource}), qr/42501/, 'an upsert returns no hidden old row');
	is(app(q{INSERT INTO observation VALUES ('1', 'p1', 0, obs(1, 1, 'x')) ON CONFLICT (id) DO UPDATE SET resource = EXCLUDED.resource RETURNING old.resource ->> 'note', new.resource ->> 'note'}), 'old|x', 'an own one it does');
};

since 18, 'skip scan' => sub {
	$node->safe_psql('postgres', 'CREATE INDEX observation_kind ON observation (kind, patient); ANALYZE observation');
	my $query = q{SELECT count(*), min(patient), max(patient) FROM observation WHERE patient IN ('p1', 'p2')};
	is(app('SET enable_seqscan = off; SET enable_bitmapscan = off', $query), '200|p1|p1', 'shows the rows of the session');
	is(app(q{SET enable_seqscan = off; SET enable_bitmapscan = off}, q{SELECT count(*) FROM observation WHERE patient = 'p2'}), '0', 'and none of another');
	$node->safe_psql('postgres', 'DROP INDEX observation_kind');
};

since 18, 'io workers' => sub {
	for my $method (qw(sync worker))
	{
		$node->append_conf('postgresql.conf', "io_method = $method");
		$node->restart;
		is(app('SET max_parallel_workers_per_gather = 2; SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0', 'SELECT count(*) FROM observation'), '200', "io_method = $method");
	}
};

since 18, 'temporal keys' => sub {
	$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE TABLE versioned (id text, valid daterange, resource jsonb NOT NULL, PRIMARY KEY (id, valid WITHOUT OVERLAPS));
INSERT INTO versioned SELECT i, daterange('2020-01-01', '2021-01-01'), obs(i, i % 4) FROM generate_series(1, 40) i;
INSERT INTO versioned SELECT i, daterange('2021-01-01', NULL), obs(i, i % 4) FROM generate_series(1, 40) i;
SET client_min_messages = warning;
SELECT smart.protect('versioned', 'Observation');
GRANT SELECT, INSERT, UPDATE, DELETE ON versioned TO app;
SQL
	is(app(q{SELECT count(*), count(DISTINCT id) FROM versioned}), '20|10', 'all versions of the rows of the session');
	is(app(q{SELECT count(*) FROM versioned WHERE valid @> date '2022-02-02'}), '10', 'those of a day');
	like(app(q{INSERT INTO versioned VALUES ('1', daterange('2020-06-01', '2020-07-01'), obs(1, 1))}), qr/23P01/, 'the key holds');
	like(app(q{INSERT INTO versioned VALUES ('1', daterange('2010-01-01', '2011-01-01'), obs(1, 2))}), qr/42501/, 'a version of another patient is not written');
};

since 18, 'self-join elimination' => sub {
	is(app(q{SELECT count(*) FROM observation a JOIN observation b USING (id)}), '200', 'the join of a table with itself');
	is(app(q{SELECT count(*) FROM observation a JOIN observation b ON a.id = b.id WHERE b.patient = 'p2'}), '0', 'asks the policies of the one that is left');
	is(app(q{SELECT count(*) FROM observation a WHERE EXISTS (SELECT FROM observation b WHERE b.id = a.id AND b.kind = a.kind)}), '200', 'a semi-join');
};

since 19, 'COPY (FORMAT json)' => sub {
	my $lines = app(q{COPY (SELECT id, patient FROM observation) TO STDOUT (FORMAT json)});
	is(scalar(() = $lines =~ /"patient":"p1"/g) . '|' . scalar(() = $lines =~ /"patient"/g), '200|200', 'of a query');
	$lines = app(q{COPY observation (id, patient) TO STDOUT (FORMAT json)});
	is(scalar(() = $lines =~ /"patient":"p1"/g) . '|' . scalar(() = $lines =~ /"patient"/g), '200|200', 'of the table');
};

since 19, 'ON CONFLICT DO SELECT' => sub {
	like(app(q{INSERT INTO observation VALUES ('2', 'p1', 0, obs(2, 1)) ON CONFLICT (id) DO SELECT RETURNING resource}), qr/42501/, 'no hidden row');
	is(app(q{INSERT INTO observation VALUES ('1', 'p1', 0, obs(1, 1)) ON CONFLICT (id) DO SELECT RETURNING resource ->> 'note'}), 'old', 'an own one');
};

since 19, 'REPACK' => sub {
	like(app('REPACK observation'), qr/42501|25001/, 'is not the app\'s');
	my $state = q{SELECT state FROM smart.protected_table WHERE relation = 'observation'::regclass};
	my $before = $node->safe_psql('postgres', $state);
	for my $how ('', ' (CONCURRENTLY)')
	{
		my ($rc, undef, $err) = $node->psql('postgres', "REPACK$how observation");
		is($rc, 0, "REPACK$how") or diag($err);
		is(app('SELECT count(*) FROM observation'), '200', 'the session sees the same');
		is(app('SET enable_seqscan = off', q{SELECT count(*) FROM observation WHERE patient = 'p1'}), '200', 'by an index too');
		is($node->safe_psql('postgres', $state), $before, 'and the table is protected as before');
	}
};

since 19, 'pg_plan_advice' => sub {
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'pg_plan_advice'");
	$node->restart;
	for my $advice ('SEQ_SCAN(observation)', 'INDEX_SCAN(observation observation_pkey)', 'BITMAP_HEAP_SCAN(observation)', 'GATHER(observation)')
	{
		is(app("SET pg_plan_advice.advice = '$advice'", 'SELECT count(*) FROM observation', q{SELECT count(*) FROM observation WHERE patient = 'p2'}), "200\n0", $advice);
	}
};

$node->stop;
done_testing();
