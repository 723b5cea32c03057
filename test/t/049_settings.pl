# test/t/049_settings.pl
# F. Policies copied to partitions by text: no setting of the session changes what protect(), partitions
# made or attached later, follow and index_statements() write. The same is done under each setting, and
# the catalog compared with what it is under none; so is what a dump of it restores.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('settings');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION smart_fhir; CREATE ROLE owner; CREATE ROLE app; GRANT CREATE ON DATABASE postgres TO owner');
# names that a search_path could find instead of PostgreSQL's
$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA decoy;
CREATE DOMAIN decoy.text AS pg_catalog.text;
CREATE DOMAIN decoy.jsonb AS pg_catalog.jsonb;
CREATE FUNCTION decoy.lower(pg_catalog.text) RETURNS pg_catalog.text LANGUAGE sql IMMUTABLE AS $$ SELECT 'decoy' $$;
CREATE FUNCTION decoy.same(pg_catalog.text, pg_catalog.text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT true $$;
CREATE OPERATOR decoy.= (LEFTARG = pg_catalog.text, RIGHTARG = pg_catalog.text, FUNCTION = decoy.same);
GRANT USAGE ON SCHEMA decoy TO PUBLIC;
SQL

my $work = <<'SQL';
CREATE TABLE s.plain (id pg_catalog.text PRIMARY KEY, resource pg_catalog.jsonb, patient pg_catalog.text, at pg_catalog.timestamptz, n pg_catalog.numeric, b pg_catalog.bytea, i pg_catalog.interval);
SELECT smart.protect('s.plain', 'Observation', patients => $$replace(lower(patient), '\', E'\\x')$$,
  order_by => $$CASE WHEN id = NULL OR at > '2026-02-01 03:04:05'::timestamptz AT TIME ZONE 'UTC' OR n > 1.000000000000000000001::float8 OR b = '\x01'::bytea OR i > '1 day 02:03:04'::interval THEN id END$$,
  index => false);
CREATE TABLE s.parted (id pg_catalog.text, year pg_catalog.int4, day pg_catalog.date, resource pg_catalog.jsonb) PARTITION BY LIST (year);
CREATE TABLE s.before PARTITION OF s.parted FOR VALUES IN (1) PARTITION BY HASH (id);
CREATE TABLE s.below PARTITION OF s.before FOR VALUES WITH (MODULUS 1, REMAINDER 0);
SELECT smart.protect('s.parted', 'Observation', base_url => 'https://fhir.example/r4', order_by => 'day');
CREATE TABLE s.later PARTITION OF s.parted FOR VALUES IN (2);
CREATE TABLE s.attached (gone pg_catalog.int4, resource pg_catalog.jsonb, day pg_catalog.date, year pg_catalog.int4, id pg_catalog.text);
ALTER TABLE s.attached DROP COLUMN gone;
ALTER TABLE s.parted ATTACH PARTITION s.attached FOR VALUES IN (3);
CREATE TABLE s.provenance (id pg_catalog.text, resource pg_catalog.jsonb);
SELECT smart.protect('s.provenance', 'Provenance', follow => 'target');
CREATE TABLE s.as_text ("select" pg_catalog.text, "Content" pg_catalog.text);
SELECT smart.protect('s.as_text', 'Observation', resource => 'Content', id => 'select', index => false);
SELECT smart.index_statements('s.as_text') \gexec
SQL
my $catalog = <<'SQL';
SELECT string_agg(what, E'\n' ORDER BY what COLLATE "C") FROM (
  SELECT concat_ws(' ', 'policy', polrelid::regclass, polname, polcmd, pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)) FROM pg_policy
  UNION ALL SELECT concat_ws(' ', 'trigger', tgname, tgrelid::regclass, tgtype, tgfoid::regproc, tgenabled) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 's'::regnamespace)
  UNION ALL SELECT 'index ' || pg_get_indexdef(indexrelid) || indisvalid FROM pg_index WHERE indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 's'::regnamespace)
  UNION ALL SELECT 'missing ' || x FROM smart.index_statements('s.plain') x
  UNION ALL SELECT 'table ' || t::text FROM smart.protected_table t) AS x (what)
SQL

sub write_under
{
	my ($settings) = @_;
	my ($out, $err);
	my $status = $node->psql('postgres', "SET client_min_messages = error; CREATE SCHEMA s AUTHORIZATION owner; SET ROLE owner; $settings;\n$work", stdout => \$out, stderr => \$err, on_error_stop => 1);
	my $result = $status == 0 ? $node->safe_psql('postgres', $catalog) : $err;
	$node->safe_psql('postgres', 'SET client_min_messages = error; DROP SCHEMA s CASCADE');
	return $result;
}

my $expected = write_under('');
sub differences
{
	my ($got) = @_;
	my %count;
	$count{$_}++ for split /\n/, $got;
	$count{$_}-- for split /\n/, $expected;
	return join("\n", map { ($count{$_} > 0 ? '+ ' : '- ') . $_ } grep { $count{$_} } sort keys %count);
}

is(scalar(() = $expected =~ /^policy /mg), 32, 'eight tables have their policies');
is(scalar(() = $expected =~ /^policy \S+ smart_\w+ [rawd] [^\n]*row_policy\('(?:SELECT|INSERT CHECK|UPDATE|DELETE)'::text/mg), 32, '... each for its command');
my %said;
$said{$1}++ while $expected =~ /^policy \S+ (smart_\w+ . .*?row_policy\('[A-Z ]+')/mg;
is(join('|', map { "$_ $said{$_}" } sort keys %said), join('|', map { "$_ 8" }
	q{smart_delete d smart_internal.row_policy('DELETE'}, q{smart_insert a smart_internal.row_policy('INSERT CHECK'},
	q{smart_select r smart_internal.row_policy('SELECT'}, q{smart_update w smart_internal.row_policy('UPDATE'}), '... and on partitions too');
for my $setting (
	'SET quote_all_identifiers = on', 'SET search_path = decoy, pg_catalog', q{SET search_path = ''}, q{SET DateStyle = 'SQL, DMY'}, q{SET DateStyle = 'German'},
	'SET IntervalStyle = sql_standard', 'SET array_nulls = off', 'SET standard_conforming_strings = off; SET escape_string_warning = off', 'SET backslash_quote = on',
	'SET row_security = off', 'SET check_function_bodies = off', 'SET bytea_output = escape', 'SET extra_float_digits = -15', 'SET TimeZone = \'Asia/Kathmandu\'',
	'SET transform_null_equals = on', 'SET xmloption = document', 'SET xmlbinary = hex', 'SET check_function_bodies = on', 'SET default_transaction_isolation = serializable',
	'SET client_encoding = latin1',
	'SET debug_parallel_query = regress', 'SET force_parallel_mode = regress', 'RESET ROLE; SET ROLE postgres; SET session_replication_role = replica')
{
	# some settings are of other releases
	next if $setting =~ /^SET (\w+)/ && $node->safe_psql('postgres', "SELECT count(*) FROM pg_settings WHERE lower(name) = lower('$1')") eq '0';
	next if $setting =~ /standard_conforming_strings/ && $node->psql('postgres', 'SET standard_conforming_strings = off') != 0;
	is(differences(write_under($setting)), '', $setting);
}

# A dump, made and restored under other settings, gives the same.
$node->safe_psql('postgres', "SET client_min_messages = error; CREATE SCHEMA s AUTHORIZATION owner; SET ROLE owner;\n$work");
my $dump = PostgreSQL::Test::Utils::tempdir . '/dump.sql';
$node->safe_psql('postgres', q{ALTER DATABASE postgres SET quote_all_identifiers = on; ALTER DATABASE postgres SET DateStyle = 'SQL, DMY'; ALTER DATABASE postgres SET search_path = decoy, pg_catalog});
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $dump ], 'dumped');
$node->safe_psql('postgres', q{ALTER DATABASE postgres RESET ALL; CREATE DATABASE restored; ALTER DATABASE restored SET DateStyle = 'SQL, DMY'; ALTER DATABASE restored SET array_nulls = off});
$node->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('restored'), '-f', $dump ], 'restored');
$node->safe_psql('postgres', 'ALTER DATABASE restored RESET ALL');
is(differences($node->safe_psql('restored', $catalog)), '', 'the catalog is the same');

$node->stop;
done_testing();
