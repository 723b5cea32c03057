# test/t/SmartLayout.pm
# A product's schema made by its owner fhir_migrate, then doc/layouts/<name>.sql run as superuser;
# tokens for it, and the questions that every layout is asked.
package SmartLayout;
use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# RFC 8037 appendix A.1
my $public = '"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"';
my $private = qq({$public,"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"});
my $root = dirname(__FILE__) . '/../..';

sub run_file
{
	my ($self, $user, $path) = @_;
	my ($status, $stdout, $stderr) = $self->{node}->psql('fhir',
		PostgreSQL::Test::Utils::slurp_file("$root/$path"),
		extra_params => [ '-U', $user, '-v', 'ON_ERROR_STOP=1' ]);
	is($status, 0, "$path runs as $user") or BAIL_OUT($stderr);
	return $stderr;
}

sub new
{
	my ($class, $name) = @_;
	my $node = PostgreSQL::Test::Cluster->new("layout_$name");
	$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
	$node->append_conf('postgresql.conf', 'fsync = off');
	$node->start;
	$node->safe_psql('postgres', 'CREATE ROLE fhir_migrate LOGIN; CREATE DATABASE fhir OWNER fhir_migrate');
	$node->safe_psql('fhir', qq{
		CREATE EXTENSION smart_fhir;
		GRANT CREATE ON SCHEMA public TO fhir_migrate;
		SELECT smart.add_issuer('https://auth.test', '{"keys":[{$public}]}', '{https://fhir.test}')});
	my $self = bless { node => $node, name => $name }, $class;
	$self->{user} = ($node->safe_psql('postgres', 'SELECT current_user'));
	$self->run_file('fhir_migrate', "test/data/layouts/${name}_schema.sql");
	$self->{notices} = $self->run_file($self->{user}, "doc/layouts/$name.sql");
	return $self;
}

# SQL without row-level security: what is there, whoever may see it.
sub admin
{
	my ($self, $sql) = @_;
	return $self->{node}->safe_psql('fhir', $sql);
}

sub token
{
	my ($self, $scope, $patient) = @_;
	my $context = defined $patient ? ", 'patient', '$patient'" : '';
	return $self->admin(qq{
		SELECT smart.jwt_sign(jsonb_build_object('iss', 'https://auth.test', 'aud', 'https://fhir.test',
			'sub', 'somebody', 'client_id', 'app', 'jti', gen_random_uuid(), 'scope', '$scope',
			'iat', floor(extract(epoch FROM clock_timestamp())) - 1,
			'exp', floor(extract(epoch FROM clock_timestamp())) + 600$context), '$private')});
}

# One transaction as fhir_run under a token (undef: nobody); rolled back unless it is to stay.
# Returns what it printed, or "SQLSTATE <state>" of the first error.
sub as_run
{
	my ($self, $token, $sql, %options) = @_;
	my $interaction = $options{interaction} ? "'$options{interaction}'" : 'NULL';
	my $login = defined $token ? "SELECT smart.login('$token', interaction => $interaction) \\g /dev/null\n" : '';
	my $end = $options{stay} ? 'COMMIT' : 'ROLLBACK';
	my ($status, $stdout, $stderr) = $self->{node}->psql('fhir', "BEGIN;\n$login$sql;\n$end;\n",
		on_error_stop => 1, extra_params => [ '-U', 'fhir_run', '-v', 'VERBOSITY=verbose' ]);
	return $1 eq '' ? $stderr : "SQLSTATE $1" if $status != 0 && $stderr =~ /ERROR:\s+([0-9A-Z]{5})/;
	return "failed: $stderr" if $status != 0;
	return $stdout;
}

sub is_run
{
	my ($self, $token, $sql, $expected, $name, %options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($self->as_run($token, $sql, %options), $expected, $name);
}

# Row-level security and smart.permits_row() agree on every row, for SELECT and, where fhir_run may, for DELETE.
sub agrees
{
	my ($self, $table, %tokens) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $deletes = $self->admin("SELECT has_table_privilege('fhir_run', '$table', 'DELETE')") eq 't';
	my $delete = $deletes ? qq{WITH gone AS (DELETE FROM $table RETURNING 1)
		SELECT (SELECT count(*) FROM gone) - (SELECT count(*) FROM permitted WHERE d)} : 'SELECT 0';
	foreach my $who (sort keys %tokens)
	{
		my $out = $self->admin(qq{
			BEGIN;
			SELECT smart.login('$tokens{$who}') \\g /dev/null
			CREATE TEMP TABLE permitted AS SELECT tableoid AS t, ctid AS c, smart.permits_row(x, 'd') AS d
				FROM $table x WHERE smart.permits_row(x, 'r') AND smart.permits_row(x, 's');
			GRANT SELECT ON permitted TO fhir_run;
			SET LOCAL ROLE fhir_run;
			SELECT count(*) FROM (SELECT tableoid AS t, ctid AS c FROM $table) s
				FULL JOIN permitted p USING (t, c) WHERE s.t IS NULL OR p.t IS NULL;
			$delete;
			ROLLBACK;});
		is($out, "0\n0", "$table: row-level security is permits_row() for $who");
	}
}

# The plan of a query under a token, without costs.
sub explain_as
{
	my ($self, $token, $sql) = @_;
	return $self->as_run($token, "SET LOCAL enable_seqscan = off; EXPLAIN (COSTS OFF) $sql");
}

sub states
{
	my ($self) = @_;
	return $self->admin(q{SELECT DISTINCT state FROM smart.protected_table ORDER BY 1});
}

1;
