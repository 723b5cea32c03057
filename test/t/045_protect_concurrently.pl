# test/t/045_protect_concurrently.pl
# The statements that protect(index => false) returns build the index while others write, on plain and
# partitioned tables, and afterwards the policies use it.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('concurrently');
$node->init;
$node->append_conf('postgresql.conf', 'jit = off');
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION smart_fhir;
-- the public key of RFC 7515 A.3
SELECT smart.add_issuer('https://build.example', '{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}',
  '{https://fhir.example/r4}');
CREATE ROLE fhir_app;
CREATE FUNCTION observation(id bigint) RETURNS jsonb LANGUAGE sql IMMUTABLE AS
  $$ SELECT jsonb_build_object('resourceType', 'Observation', 'id', id::text, 'subject', jsonb_build_object('reference', 'Patient/' || id % 500)) $$;
CREATE TABLE plain (id text PRIMARY KEY, resource jsonb);
CREATE TABLE "Par""ted %s" (id text, part int, resource jsonb) PARTITION BY LIST (part);
CREATE TABLE parted_0 PARTITION OF "Par""ted %s" FOR VALUES IN (0);
CREATE TABLE parted_1 PARTITION OF "Par""ted %s" FOR VALUES IN (1) PARTITION BY HASH (id);
CREATE TABLE parted_1_a PARTITION OF parted_1 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parted_1_b PARTITION OF parted_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO plain SELECT i, observation(i) FROM generate_series(1, 20000) AS i;
INSERT INTO "Par""ted %s" SELECT i, i % 2, observation(i) FROM generate_series(1, 20000) AS i;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO fhir_app;
CREATE SEQUENCE written START 100000;
SQL

my $dir = PostgreSQL::Test::Utils::tempdir;
for my $case ([ 'plain', 'plain' ], [ '"Par""ted %s"', 'partitioned' ])
{
  my ($table, $name) = @$case;
  my $statements = $node->safe_psql('postgres', "SET client_min_messages = warning; SELECT smart.protect('$table', 'Observation', index => false)");
  like($statements, qr/^CREATE INDEX CONCURRENTLY /m, "$name: the statements are returned");
  my $all = $node->safe_psql('postgres', "SELECT smart.index_statements('$table')");
  like($all, qr/^\Q$statements\E/, "$name: index_statements() returns them, too");
  like($all, qr/_smart_irregular/, "$name: ... and those of the index of irregular rows");
  $statements = $all;
  is($node->safe_psql('postgres', "SELECT index IS NULL, state FROM smart.protected_table WHERE relation = '$table'::regclass"),
    't|ok', "$name: it is protected at once, without index");

  # writers, in the background until the statements are done
  my $columns = $name eq 'plain' ? 'i, observation(i)' : 'i, i % 2, observation(i)';
  PostgreSQL::Test::Utils::append_to_file("$dir/write_$name.sql",
    "INSERT INTO $table SELECT $columns FROM nextval('written') AS i;\n"
      . "UPDATE $table SET resource = resource || '{\"status\": \"final\"}' WHERE id = (random() * 20000)::int::text;\n");
  my ($out, $err) = ('', '');
  my $writers = IPC::Run::start([ 'pgbench', '-n', '-c', '3', '-T', '5', '-f', "$dir/write_$name.sql", '-d', $node->connstr('postgres') ],
    '>', \$out, '2>', \$err);
  sleep 1;
  my $failed = 0;
  for my $statement (split /\n/, $statements)
  {
    my ($status, undef, $message);
    # ATTACH takes a strong lock, and a writer may hold what it waits for: PostgreSQL ends one of them, and it is run again
    for (1 .. 10)
    {
      ($status, undef, $message) = $node->psql('postgres', $statement);
      last unless $status != 0 && $message =~ /deadlock detected/;
    }
    if ($status != 0) { $failed++; diag("$statement\n$message"); }
  }
  is($failed, 0, "$name: every statement runs outside a transaction");
  $writers->finish;
  unlike($err, qr/ERROR|FATAL/, "$name: the writers met no error") or diag($err);
  is($node->safe_psql('postgres', "SELECT count(*), smart.rows_are_regular('$table') FROM smart.index_statements('$table')"), '0|t',
    "$name: nothing is missing any more, and the rows are regular");

  is($node->safe_psql('postgres', "SELECT index IS NOT NULL, state FROM smart.protected_table WHERE relation = '$table'::regclass"),
    't|ok', "$name: the index is there and valid");
  is($node->safe_psql('postgres', q{SELECT count(*) FROM pg_index WHERE NOT indisvalid}), '0', "$name: no index is left invalid");
  is($node->safe_psql('postgres', "SELECT smart.protect('$table', 'Observation', index => false) IS NULL"), 't', "$name: nothing is left to do");

  # a session finds its rows through the index, the new ones too, and no other
  my $plan = $node->safe_psql('postgres', <<"SQL");
ANALYZE $table;
BEGIN;
SELECT smart.assume('{"scope": "patient/*.rs", "patient": "7"}', 'https://build.example');
SET ROLE fhir_app;
EXPLAIN (COSTS OFF) SELECT * FROM $table;
SQL
  like($plan, qr/Index Cond: .*(?:session_patient|patient_key)/, "$name: the policy uses the index");
  my $expected = $node->safe_psql('postgres', "SELECT count(*) FROM $table WHERE resource->'subject'->>'reference' = 'Patient/7'");
  my $seen = $node->safe_psql('postgres', <<"SQL");
BEGIN;
SELECT smart.assume('{"scope": "patient/*.rs", "patient": "7"}', 'https://build.example');
SET ROLE fhir_app;
SELECT count(*), count(*) FILTER (WHERE resource->'subject'->>'reference' = 'Patient/7') FROM $table;
SQL
  is($seen, "\n$expected|$expected", "$name: and shows the session's rows, all of them and no other");
}

$node->stop;
done_testing();
