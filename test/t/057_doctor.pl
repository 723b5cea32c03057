# test/t/057_doctor.pl
# smart.doctor(): findings about the server: settings of new sessions, other extensions, signing keys, partitions. Each is planted,
# found, its remedy run as it stands where it is a statement, and gone. Extensions that are not installed are left out, and said so.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('doctor');
$node->init;
$node->append_conf('postgresql.conf', "wal_level = logical\nlog_statement = none");
$node->start;
my $major = int($node->safe_psql('postgres', 'SHOW server_version_num') / 10000);
$node->safe_psql('postgres', q{CREATE DATABASE d; CREATE ROLE app LOGIN});
$node->safe_psql('d', q{
	CREATE EXTENSION smart_fhir; CREATE EXTENSION smart_fhir_oauth;
	REVOKE TEMPORARY ON DATABASE d FROM PUBLIC; REVOKE CREATE ON SCHEMA public FROM PUBLIC;
	CREATE TABLE obs (id text PRIMARY KEY, resource jsonb NOT NULL) PARTITION BY HASH (id);
	CREATE TABLE obs_0 PARTITION OF obs FOR VALUES WITH (MODULUS 2, REMAINDER 0);
	CREATE TABLE obs_1 PARTITION OF obs FOR VALUES WITH (MODULUS 2, REMAINDER 1);
	SELECT smart.protect('obs', 'Observation');
	GRANT SELECT, INSERT, UPDATE, DELETE ON obs TO app;
	ALTER DATABASE d SET session_preload_libraries = 'smart_fhir'});
sub findings { return $node->safe_psql('d', qq{SELECT code, object FROM smart.doctor('warning') WHERE code <> 'minor_release'}) }
sub found { my ($code) = @_; return $node->safe_psql('d', qq{SELECT severity || ' ' || object FROM smart.doctor() WHERE code = '$code'}) }
is(findings(), '', 'nothing at warning on a sound set-up');

# planted(code, statement, what is found)
sub planted
{
	my ($code, $plant, $seen, $name) = @_;
	$node->safe_psql('d', $plant);
	is(found($code), $seen, $name);
	$node->safe_psql('d', $_) foreach split /\n/, $node->safe_psql('d', qq{SELECT DISTINCT remedy FROM smart.doctor() WHERE code = '$code'});
	is(found($code), '', "$code: its remedy ends it");
}
planted('preload_missing', 'ALTER DATABASE d RESET session_preload_libraries', 'warning d', 'the library is not loaded in each session');
planted('preload_missing', q{ALTER DATABASE d SET session_preload_libraries = 'auto_explain'}, 'warning d', 'another library alone');
like($node->safe_psql('d', 'SHOW session_preload_libraries'), qr/auto_explain.*smart_fhir/, 'the remedy keeps the other library');
planted('preload_missing', q{ALTER ROLE app SET session_preload_libraries = 'auto_explain'}, 'warning app', 'a role that leaves it out');
planted('tokens_logged', q{ALTER DATABASE d SET log_statement = 'all'}, 'warning log_parameter_max_length', 'statements are logged with parameters');
$node->safe_psql('d', 'ALTER DATABASE d RESET log_statement');
planted('partition_unprotected', q{ALTER EVENT TRIGGER smart_fhir_partitions DISABLE; ALTER TABLE obs DETACH PARTITION obs_1; SELECT smart.unprotect('obs_1');
	GRANT SELECT ON obs_1 TO app; ALTER TABLE obs ATTACH PARTITION obs_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1); ALTER EVENT TRIGGER smart_fhir_partitions ENABLE ALWAYS},
	'critical public.obs_1', 'a partition without policies that the application can read');
planted('replication_slot', q{SELECT pg_create_logical_replication_slot('s', 'pgoutput')}, 'info s', 'a logical slot');
planted('statements_keep_tokens', 'GRANT pg_monitor TO app', 'warning app', 'statements of others');
planted('maintain_granted', 'GRANT MAINTAIN ON obs TO app', 'critical public.obs', 'MAINTAIN') if $major >= 17;
planted('duty_mixed', q{SELECT smart.grant_oauth('app', 'protocol')}, 'critical app', 'the FHIR tables and a duty');
$node->safe_psql('d', q{SELECT smart.configure_server('{"issuer": "https://as.example", "fhir_base_urls": ["https://fhir.example"]}')});
like(found('keys_unsealed'), qr/^warning /, 'keys that stand in clear');
planted('key_expiring', q{SELECT smart.retire_signing_key(kid, now() + interval '3 days') FROM smart_internal.oauth_signing_key WHERE algorithm = 'ES384'},
	'warning ' . $node->safe_psql('d', q{SELECT quote_ident(kid) FROM smart_internal.oauth_signing_key WHERE algorithm = 'ES384'}), 'a key that retires without a successor');
SKIP:
{
	my $has = sub { $node->safe_psql('d', "SELECT count(*) FROM pg_available_extensions WHERE name = '$_[0]'") };
	skip 'dblink or postgres_fdw is not installed', 4 unless $has->('dblink') && $has->('postgres_fdw');
	planted('fdw_trusting', 'CREATE EXTENSION dblink; GRANT EXECUTE ON FUNCTION dblink_connect_u(text) TO app', 'critical public.dblink_connect_u(pg_catalog.text)', 'dblink without a password');
	planted('fdw_trusting', q{CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw; GRANT USAGE ON FOREIGN SERVER far TO app;
		CREATE USER MAPPING FOR app SERVER far OPTIONS (password_required 'false')}, 'critical far', 'a user mapping without a password');
}
foreach my $name (qw(pg_cron pg_qualstats pg_repack periods table_log pg_partman mimeo pglogical))
{
	SKIP:
	{
		skip "$name is not installed", 2 unless $node->safe_psql('d', "SELECT count(*) FROM pg_available_extensions WHERE name = '$name'");
		my ($status) = $node->psql('d', "CREATE EXTENSION $name CASCADE");
		skip "$name cannot be created here", 2 if $status;
		is(found('neighbour'), "warning $name", "$name is a neighbour to know of");
		$node->safe_psql('d', "DROP EXTENSION $name");
		is(found('neighbour'), '', "$name is gone");
	}
}
$node->stop;
done_testing();
