# test/t/046_dump_restore.pl
# Protected tables come back from a dump as they were: policies, flags, triggers, indexes, issuers, and
# what a session sees. Plain and custom format, serial and parallel.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('dump');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE fhir_owner; CREATE ROLE fhir_app; CREATE DATABASE fhir');
$node->safe_psql('fhir', 'CREATE EXTENSION smart_fhir');

# The public key of RFC 7515 A.3. Tables whose names sort before and after those of the policies, since
# pg_dump sorts by name, with partitions in a schema that sorts after the table's.
$node->safe_psql('fhir', <<'SQL');
SELECT smart.add_issuer('https://dump.example', '{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}',
  '{https://fhir.example/r4}', preset => 'keycloak');
CREATE SCHEMA a AUTHORIZATION fhir_owner;
CREATE SCHEMA b AUTHORIZATION fhir_owner;
GRANT USAGE ON SCHEMA a, b TO fhir_app;
SET ROLE fhir_owner;
CREATE TABLE a.plain (id text PRIMARY KEY, resource jsonb);
CREATE TABLE a."Odd ""%s"" \table" ("Id %L" text PRIMARY KEY, resource text, "pa'tient" uuid[]);
CREATE TABLE a.observation (id text, year int, resource jsonb, PRIMARY KEY (id, year)) PARTITION BY LIST (year);
CREATE TABLE b.observation_1 PARTITION OF a.observation FOR VALUES IN (1);
CREATE TABLE b.observation_2 PARTITION OF a.observation FOR VALUES IN (2) PARTITION BY HASH (id);
CREATE TABLE b.observation_2_0 PARTITION OF b.observation_2 FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE a.zz (id text, year int, resource jsonb) PARTITION BY LIST (year);
CREATE TABLE b.aa_1 PARTITION OF a.zz FOR VALUES IN (1);
CREATE TABLE b.zz_2 PARTITION OF a.zz FOR VALUES IN (2);
INSERT INTO a.plain SELECT i, jsonb_build_object('resourceType', 'Condition', 'id', i::text, 'subject', jsonb_build_object('reference', 'Patient/' || i % 3)) FROM generate_series(1, 9) AS i;
INSERT INTO a.observation SELECT i, 1 + i % 2, jsonb_build_object('resourceType', 'Observation', 'id', i::text, 'subject', jsonb_build_object('reference', 'Patient/' || i % 3)) FROM generate_series(1, 9) AS i;
INSERT INTO a.zz SELECT id, year, resource FROM a.observation;
SELECT smart.protect('a.plain', 'Condition'),
  smart.protect('a."Odd ""%s"" \table"', 'Observation', patients => 'pa''tient', id => 'Id %L', base_url => 'https://fhir.example/r4'),
  smart.protect('a.observation', 'Observation', compartment => 'full'), smart.protect('a.zz', 'Observation');
CREATE TABLE a.provenance (id text, resource jsonb NOT NULL) PARTITION BY HASH (id);
CREATE TABLE b.provenance_0 PARTITION OF a.provenance FOR VALUES WITH (MODULUS 1, REMAINDER 0);
INSERT INTO a.provenance SELECT i, jsonb_build_object('resourceType', 'Provenance', 'id', i::text, 'target', jsonb_build_array(jsonb_build_object('reference', 'Condition/' || i)))
FROM generate_series(1, 9) AS i;
SELECT smart.protect('a.provenance', 'Provenance', follow => 'target');
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA a, b TO fhir_app;
SQL

my $catalog = <<'SQL';
SELECT string_agg(what, E'\n' ORDER BY what COLLATE "C") FROM (
  SELECT 'table ' || c.oid::regclass || ' ' || c.relrowsecurity || c.relforcerowsecurity FROM pg_class AS c WHERE c.relnamespace IN ('a'::regnamespace, 'b'::regnamespace) AND c.relkind IN ('r', 'p')
  UNION ALL SELECT concat_ws(' ', 'policy', polrelid::regclass, polname, polcmd, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)) FROM pg_policy
  UNION ALL SELECT 'trigger ' || pg_get_triggerdef(oid) || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal AND tgfoid IN (SELECT p.oid FROM pg_proc AS p WHERE p.pronamespace IN ('smart'::regnamespace, 'smart_internal'::regnamespace))
  UNION ALL SELECT 'index ' || pg_get_indexdef(indexrelid) || indisvalid FROM pg_index WHERE indrelid IN (SELECT oid FROM pg_class WHERE relnamespace IN ('a'::regnamespace, 'b'::regnamespace))
  UNION ALL SELECT 'state ' || relation || ' ' || state || ' ' || coalesce(index::text, '-') FROM smart.protected_table
  UNION ALL SELECT 'issuer ' || i::text FROM smart.issuer AS i
) AS x (what)
SQL
my $seen = <<'SQL';
BEGIN;
SELECT smart.assume('{"scope": "patient/*.rs", "patient": "1"}', 'https://dump.example');
SET ROLE fhir_app;
SELECT string_agg(id, ' ' ORDER BY id) FROM a.plain UNION ALL SELECT string_agg(id, ' ' ORDER BY id) FROM a.observation
  UNION ALL SELECT string_agg(id, ' ' ORDER BY id) FROM a.provenance UNION ALL SELECT string_agg(id, ' ' ORDER BY id) FROM b.observation_1 UNION ALL SELECT string_agg(id, ' ' ORDER BY id) FROM b.zz_2;
COMMIT;
SQL
my $before = $node->safe_psql('fhir', $catalog);
my $rows = $node->safe_psql('fhir', $seen);
is($rows, "\n1 4 7\n1 4 7\n1 4 7\n4\n1 7", 'a session sees its own rows');
is(() = $before =~ /^state .* ok /mg, 11, 'eleven tables and partitions are protected');

# A role that the policies bind gets no dump, rather than half of one.
$node->safe_psql('fhir', 'ALTER ROLE fhir_app LOGIN');
$node->command_fails_like([ 'pg_dump', '-U', 'fhir_app', '-d', $node->connstr('fhir'), '-t', 'a.plain' ],
  qr/query would be affected by row-level security policy/, 'a role that the policies bind cannot dump');

my $dir = PostgreSQL::Test::Utils::tempdir;
$node->command_ok([ 'pg_dump', '-d', $node->connstr('fhir'), '-f', "$dir/plain.sql" ], 'plain dump');
$node->command_ok([ 'pg_dump', '-Fc', '-d', $node->connstr('fhir'), '-f', "$dir/custom" ], 'custom dump');
$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(plain custom parallel again);
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('plain'), '-f', "$dir/plain.sql" ], 'plain restore without an error');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('custom'), "$dir/custom" ], 'custom restore without an error');
# the workers of a parallel restore can meet in a deadlock over partitions, which PostgreSQL ends: begin again then
my ($restored, $restore_error);
for (1 .. 5)
{
  $restored = IPC::Run::run([ 'pg_restore', '--exit-on-error', '-j', '4', '-d', $node->connstr('parallel'), "$dir/custom" ], '2>', \$restore_error);
  last if $restored || $restore_error !~ /deadlock detected/;
  $node->safe_psql('postgres', 'DROP DATABASE parallel');
  $node->safe_psql('postgres', 'CREATE DATABASE parallel');
}
ok($restored, 'parallel restore without an error') or diag $restore_error;
for my $db (qw(plain custom parallel))
{
  is($node->safe_psql($db, $catalog), $before, "$db: the catalog is the same");
  is($node->safe_psql($db, $seen), $rows, "$db: a session sees the same");
}

# The restored event trigger works: a new partition is protected.
$node->safe_psql('parallel', 'CREATE TABLE b.zz_3 PARTITION OF a.zz FOR VALUES IN (3)');
is($node->safe_psql('parallel', q{SELECT state FROM smart.protected_table WHERE relation = 'b.zz_3'::regclass}), 'ok', 'new partitions are protected after a restore');

# A dump of the restored database restores too.
$node->command_ok([ 'pg_dump', '-Fc', '-d', $node->connstr('parallel'), '-f', "$dir/second" ], 'second dump');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', $node->connstr('again'), "$dir/second" ], 'second restore');

$node->stop;
done_testing();
