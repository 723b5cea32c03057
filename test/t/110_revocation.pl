# test/t/110_revocation.pl
# A revoked token counts no more at the next statement of every open connection, in a running REPEATABLE READ
# transaction, on a streaming replica, behind logical replication, and after a restore (smart-rules LF-11, LF-19).
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'no PostgreSQL::Test::BackgroundPsql'
  unless eval { require PostgreSQL::Test::BackgroundPsql; 1 };

# RFC 7515 A.3
my $public = '"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"';
my $private = qq({$public,"d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"});
my $db = 'fhir';

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 'logical');
$primary->append_conf('postgresql.conf', "fsync = off\nwal_receiver_status_interval = 1");
$primary->start;

sub set_up
{
	my ($node) = @_;
	$node->safe_psql('postgres', 'CREATE ROLE app LOGIN; CREATE DATABASE fhir');
	$node->safe_psql($db, qq{
		CREATE EXTENSION smart_fhir;
		SELECT smart.add_issuer('https://as.example', '{$public}', '{https://fhir.example}', max_token_age => '40000 days');
		CREATE TABLE observation (id text PRIMARY KEY, resource jsonb NOT NULL);
		INSERT INTO observation SELECT 'o' || i, jsonb_build_object('resourceType', 'Observation', 'id', 'o' || i,
		  'subject', jsonb_build_object('reference', 'Patient/' || i % 2)) FROM generate_series(1, 6) i;
		GRANT SELECT ON observation TO app;
		SET client_min_messages = warning;
		SELECT smart.protect('observation', 'Observation')});
}
set_up($primary);
$primary->backup('copy');
my $replica = PostgreSQL::Test::Cluster->new('replica');
$replica->init_from_backup($primary, 'copy', has_streaming => 1);
$replica->start;

my $token = $primary->safe_psql($db, qq{SELECT smart.jwt_sign('{"iss":"https://as.example","sub":"u","client_id":"c","aud":"https://fhir.example",
	"jti":"j","grant_id":"g","iat":1700000000,"exp":4102444800,"scope":"patient/*.rs","patient":"1"}', '$private')});

sub connection
{
	my ($node) = @_;
	return $node->background_psql($db, on_error_stop => 0, extra_params => [ '-U', 'app', '-v', 'VERBOSITY=verbose' ]);
}
# Rows, or the constraint name of the error.
sub answer
{
	my ($session, $sql) = @_;
	my $rows = $session->query($sql);
	my $error = $session->{stderr};
	$session->{stderr} = '';
	return $error =~ /CONSTRAINT NAME:\s+(\w+)/ ? $1 : $rows;
}
sub change
{
	my ($sql) = @_;
	$primary->safe_psql($db, $sql);
	$primary->wait_for_catchup($replica, 'replay', $primary->lsn('insert'));
}

my $count = 'SELECT count(*) FROM observation';
my $login = "SELECT smart.login('$token', false)";
my %session = (one => connection($primary), two => connection($primary), replica => connection($replica));
for my $case (
	[ 'revoke_tokens()', q{SELECT smart.revoke_tokens('https://as.example', grant_id => 'g')} ],
	[ 'plain INSERT', q{INSERT INTO smart.revocation (issuer, jti) VALUES ('https://as.example', 'j')} ],
	[ 'plain UPDATE', q{UPDATE smart.revocation SET client_id = 'c', jti = NULL}, q{INSERT INTO smart.revocation (issuer, jti) VALUES ('https://as.example', 'x')} ],
	[ 'triggers off for replication', q{SET session_replication_role = replica; INSERT INTO smart.revocation (issuer, jti, until) VALUES ('https://as.example', 'j', 'infinity')} ])
{
	my ($name, $sql, $before) = @$case;
	change($before) if $before;
	for (sort keys %session)
	{
		is(answer($session{$_}, $login), '', "$name: login, $_");
		is(answer($session{$_}, $count), '3', "$name: before, $_");
	}
	$session{one}->query('BEGIN ISOLATION LEVEL REPEATABLE READ');
	is(answer($session{one}, $count), '3', "$name: in a transaction");
	change($sql);
	is(answer($session{$_}, $count), 'token_revoked', "$name: after, $_") for sort keys %session;
	$session{one}->query('ROLLBACK');
	is(answer($session{$_}, $login), 'token_revoked', "$name: a login, $_") for sort keys %session;
	change('DELETE FROM smart.revocation');
	is(answer($session{$_}, $login), '', "$name: taken back, $_") for sort keys %session;
}

# A client cannot lead the look-up astray: whoever connects may set ignore_system_indexes.
change(q{SELECT smart.revoke_tokens('https://as.example', jti => 'j')});
for my $node ($primary, $replica)
{
	local $ENV{PGOPTIONS} = '-c ignore_system_indexes=on';
	my ($status, $stdout, $stderr) = $node->psql($db, "$login; $count", extra_params => [ '-U', 'app', '-v', 'VERBOSITY=verbose' ]);
	like($stderr, qr/token_revoked/, 'ignore_system_indexes, ' . $node->name);
}
# The replica cannot be written to, with a clear error.
my ($status, $stdout, $stderr) = $replica->psql($db, q{SELECT smart.revoke_tokens('https://as.example', jti => 'x')});
like($stderr, qr/cannot execute smart\.revoke_tokens\(\) during recovery|read-only transaction/, 'no revocation on a replica');

# A subscriber's open sessions hear of what logical replication applies.
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init;
$subscriber->append_conf('postgresql.conf', 'fsync = off');
$subscriber->start;
set_up($subscriber);
$primary->safe_psql($db, 'DELETE FROM smart.revocation; CREATE PUBLICATION p FOR TABLE smart.revocation');
$subscriber->safe_psql($db, "CREATE SUBSCRIPTION s CONNECTION '" . ($primary->connstr($db) =~ s/'/''/gr) . "' PUBLICATION p");
$subscriber->wait_for_subscription_sync($primary, 's');
my $there = connection($subscriber);
is(answer($there, $login), '', 'subscriber: login');
is(answer($there, $count), '3', 'subscriber: before');
$primary->safe_psql($db, q{SELECT smart.revoke_tokens('https://as.example', grant_id => 'g')});
$primary->wait_for_catchup('s');
is(answer($there, $count), 'token_revoked', 'subscriber: after');
$there->quit;
$subscriber->stop;

# Dumped and restored with the rest, and ids go on where they were.
$primary->safe_psql($db, q{SELECT smart.revoke_tokens('https://as.example', subject => 'other')});
my $all = 'SELECT string_agg(r::text, E\'\n\' ORDER BY id) FROM smart.revocation r';
my $dump = $primary->backup_dir . '/fhir.sql';
$primary->safe_psql('postgres', 'CREATE DATABASE again');
$primary->command_ok([ 'pg_dump', '-f', $dump, '-d', $primary->connstr($db) ], 'pg_dump');
$primary->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', $dump, '-d', $primary->connstr('again') ], 'restore');
is($primary->safe_psql('again', $all), $primary->safe_psql($db, $all), 'the list is the same');
($status, $stdout, $stderr) = $primary->psql('again', "$login; $count", extra_params => [ '-U', 'app', '-v', 'VERBOSITY=verbose' ]);
like($stderr, qr/token_revoked/, 'and counts');
is($primary->safe_psql('again', q{SELECT smart.revoke_tokens('https://as.example', jti => 'new'); SELECT count(DISTINCT id) FROM smart.revocation}), "\n3", 'ids go on');

$_->quit for values %session;
$replica->stop;
$primary->stop;
done_testing();
