# test/t/056_standby_rows.pl
# V. Partitions, and a standby: a snapshot of the standby's own may see an irregular row that a REINDEX on the primary
# has left out of the index of irregular rows. On a standby the index is not trusted, nor by what outlives its promotion.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nsession_preload_libraries = 'smart_fhir'");
$primary->start;
$primary->safe_psql('postgres', q{
CREATE EXTENSION smart_fhir;
SELECT smart.add_issuer('https://standby.example', '{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}',
  '{https://fhir.example/r4}');
CREATE ROLE app;
CREATE TABLE other (id int);
CREATE TABLE o (id text PRIMARY KEY, resource jsonb NOT NULL);
INSERT INTO o SELECT i, jsonb_build_object('resourceType', 'Observation', 'id', i::text, 'subject', jsonb_build_object('reference', 'Patient/p' || i % 20)) FROM generate_series(1, 200) AS i;
SET client_min_messages = warning;
SELECT smart.protect('o', 'Observation');
INSERT INTO o VALUES ('x', '{"resourceType": "Patient", "id": "x"}');
GRANT SELECT ON o, other TO app;
GRANT EXECUTE ON FUNCTION smart.assume TO app});
$primary->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'b', has_streaming => 1);
$standby->append_conf('postgresql.conf', 'max_standby_streaming_delay = -1');
$standby->start;
$primary->wait_for_catchup($standby);

# what happens on the primary while the standby's snapshot is held
my $dir = PostgreSQL::Test::Utils::tempdir;
my ($on_primary, $on_standby) = map { 'psql -X -q -A -t -d ' . "\"" . $_->connstr('postgres') . "\"" } $primary, $standby;
open(my $script, '>', "$dir/meanwhile.sh") or die $!;
print $script <<"SH";
$on_primary -c "DELETE FROM o WHERE id = 'x'" -c 'REINDEX TABLE o'
lsn=`$on_primary -c 'SELECT pg_current_wal_lsn()'`
for i in `seq 600`; do
  [ "`$on_standby -c "SELECT pg_last_wal_replay_lsn() >= '\$lsn'"`" = t ] && exit 0
  sleep 0.1
done
SH
close($script);

my ($status, $out, $err) = $standby->psql('postgres', <<"SQL", on_error_stop => 0);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SET LOCAL ROLE app;
SELECT smart.assume('{"scope": "system/*.rs", "exp": 4000000000}', 'https://standby.example') \\g /dev/null
SELECT count(*) FROM other;
\\! sh $dir/meanwhile.sh
SELECT 'types ' || string_agg(DISTINCT resource ->> 'resourceType', ' ') || ' ' || count(*) FROM o;
RESET ROLE;
SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_bitmapscan = off;
SELECT 'there ' || count(*) FROM o WHERE id = 'x';
COMMIT;
SQL
like($out, qr/^there 1$/m, 'the snapshot sees the row');
like($out, qr/^types Observation 200$/m, 'a session of all rows does not');
is($err, '', 'without an error');
my $folded = q{BEGIN; SET LOCAL ROLE app; SELECT smart.assume('{"scope": "system/*.rs", "exp": 4000000000}', 'https://standby.example'); EXPLAIN (COSTS OFF) SELECT * FROM o};
like($primary->safe_psql('postgres', $folded), qr/Seq Scan on o$/, 'on the primary nothing is left to ask');

# Q. Irregular rows that have gone: after VACUUM the index is empty again, though it keeps a page.
$primary->safe_psql('postgres', q{INSERT INTO o SELECT 'm' || i, '{"resourceType": "Patient"}' FROM generate_series(1, 3000) AS i});
is($primary->safe_psql('postgres', q{SELECT smart.rows_are_regular('o')}), 'f', 'thousands of irregular rows');
$primary->safe_psql('postgres', q{DELETE FROM o WHERE id ~ '^m'});
$primary->safe_psql('postgres', 'VACUUM (INDEX_CLEANUP ON) o');
is($primary->safe_psql('postgres', q{SELECT smart.rows_are_regular('o'), pg_relation_size('o_smart_irregular') > 8192}), 't|t', 'are no more after VACUUM, without REINDEX');
like($primary->safe_psql('postgres', $folded), qr/Seq Scan on o$/, 'and nothing is left to ask');

# a snapshot that was taken before a promotion sees what the primary took for dead
$primary->safe_psql('postgres', q{INSERT INTO o VALUES ('x', '{"resourceType": "Patient", "id": "x"}')});
$primary->wait_for_catchup($standby);

open(my $promote, '>', "$dir/promote.sh") or die $!;
print $promote "sh $dir/meanwhile.sh && $on_standby -c 'SELECT pg_promote()'\n";
close($promote);
($status, $out, $err) = $standby->psql('postgres', <<"SQL", on_error_stop => 0);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SET LOCAL ROLE app;
SELECT smart.assume('{"scope": "system/*.rs", "exp": 4000000000}', 'https://standby.example') \\g /dev/null
SELECT count(*) FROM other;
\\! sh $dir/promote.sh
SELECT 'recovery ' || pg_is_in_recovery();
SELECT 'types ' || string_agg(DISTINCT resource ->> 'resourceType', ' ') || ' ' || count(*) FROM o;
RESET ROLE;
SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off; SET LOCAL enable_bitmapscan = off;
SELECT 'there ' || count(*) FROM o WHERE id = 'x';
COMMIT;
SQL
like($out, qr/^recovery false$/m, 'the standby was promoted meanwhile');
like($out, qr/^there 1$/m, 'the snapshot sees the row still');
like($out, qr/^types Observation 200$/m, 'a session of all rows does not');
is($err, '', 'without an error');
like($standby->safe_psql('postgres', $folded), qr/Seq Scan on o$/, 'later ones are folded');

$standby->stop;
$primary->stop;
done_testing;
