# test/t/170_pgbouncer.pl
# PgBouncer in transaction mode: clients share one connection to the server, and each transaction sees what its own login allows
# (doc/integration.md, "Connection pools"). Runs where PgBouncer is installed.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($pgbouncer) = grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin';
plan skip_all => 'PgBouncer is not installed' unless $pgbouncer;
plan skip_all => 'PgBouncer does not run as root' if $> == 0;
plan skip_all => 'no PostgreSQL::Test::BackgroundPsql'
  unless eval { require PostgreSQL::Test::BackgroundPsql; 1 };
note((split /\n/, `$pgbouncer -V`)[0]);

# RFC 7515 A.3
my $public = '"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"';
my $private = qq({$public,"d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"});

my $node = PostgreSQL::Test::Cluster->new('pooled');
$node->init;
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;
$node->safe_psql('postgres', qq{
	CREATE ROLE app LOGIN;
	CREATE EXTENSION smart_fhir;
	SELECT smart.add_issuer('https://as.example', '{$public}', '{https://fhir.example}', max_token_age => '40000 days');
	CREATE TABLE observation (id text PRIMARY KEY, resource jsonb NOT NULL);
	INSERT INTO observation SELECT 'o' || i, jsonb_build_object('resourceType', 'Observation', 'id', 'o' || i,
	  'subject', jsonb_build_object('reference', 'Patient/' || i % 3)) FROM generate_series(1, 6) i;
	GRANT SELECT ON observation TO app;
	SET client_min_messages = warning;
	SELECT smart.protect('observation', 'Observation')});
my %login;
for my $patient (1, 2)
{
	my $token = $node->safe_psql('postgres', qq{SELECT smart.jwt_sign('{"iss":"https://as.example","sub":"u","client_id":"c","aud":"https://fhir.example",
		"jti":"j$patient","iat":1700000000,"exp":4102444800,"scope":"patient/*.rs","patient":"$patient"}', '$private')});
	$login{$patient} = "SELECT smart.login('$token'%s);";
}
sub login { my ($patient, $more) = @_; return sprintf $login{$patient}, $more // '' }

# One connection to the server for all clients; a socket in a short path.
my $dir = PostgreSQL::Test::Utils::tempdir_short();
my $port = $node->port;
PostgreSQL::Test::Utils::append_to_file("$dir/users.txt", qq{"app" ""\n});
PostgreSQL::Test::Utils::append_to_file("$dir/pgbouncer.ini", <<"INI");
[databases]
fhir = host=${\ $node->host} port=$port dbname=postgres user=app
[pgbouncer]
listen_addr =
unix_socket_dir = $dir
listen_port = $port
auth_type = any
auth_file = $dir/users.txt
pool_mode = transaction
default_pool_size = 1
logfile = $dir/pgbouncer.log
pidfile = $dir/pgbouncer.pid
INI
system($pgbouncer, '-q', '-d', "$dir/pgbouncer.ini") == 0 or BAIL_OUT('PgBouncer did not start');
for (1 .. 100) { last if -s "$dir/pgbouncer.pid" && -S "$dir/.s.PGSQL.$port"; select undef, undef, undef, 0.1 }
my $pid = slurp_file("$dir/pgbouncer.pid") + 0;
END { my $status = $?; kill 'INT', $pid if $pid; $? = $status }

# Every client is an ordinary psql that knows the pooler's address only.
my %client;
sub connect_client
{
	my ($name) = @_;
	$client{$name} = $node->background_psql('postgres', on_error_stop => 0, extra_params => [ '-d', "host=$dir port=$port dbname=fhir user=app", '-v', 'VERBOSITY=verbose' ]);
	return;
}
# Rows, or the error's constraint name, or its SQLSTATE.
sub answer
{
	my ($name, $sql) = @_;
	my $rows = $client{$name}->query($sql);
	my $error = $client{$name}{stderr};
	$client{$name}{stderr} = '';
	return $1 if $error =~ /CONSTRAINT NAME:\s+(\w+)/ || $error =~ /(?:ERROR|FATAL):\s+(\w{5}):/;
	return $rows;
}
connect_client($_) for qw(one two);
my $rows = q{SELECT string_agg(id, ' ' ORDER BY id) FROM observation;};
my $silent = sub { my ($name, $patient, $more) = @_; return answer($name, login($patient, $more) =~ s{;$}{ \\g /dev/null\n}r) };

# A login a transaction, in turn on one connection; each sees its own, and nothing of the other's remains.
my $backend = answer('one', 'SELECT pg_backend_pid()');
is(answer('two', 'SELECT pg_backend_pid()'), $backend, 'both clients have the same connection to the server');
for my $turn (1 .. 3)
{
	for ([ one => 1, 'o1 o4' ], [ two => 2, 'o2 o5' ])
	{
		my ($name, $patient, $wanted) = @$_;
		answer($name, 'BEGIN');
		$silent->($name, $patient);
		is(answer($name, $rows), $wanted, "turn $turn, client $name: the rows of its patient");
		is(answer($name, 'SELECT smart.patient()'), $patient, "turn $turn, client $name: its patient");
		answer($name, 'COMMIT');
		is(answer($_, $rows), '', "turn $turn: nothing for client $_ afterwards") for qw(one two);
	}
}
# A statement that fails and a login that is refused leave nothing either.
answer('one', 'BEGIN');
$silent->('one', 1);
is(answer('one', 'SELECT 1/0'), '22012', 'an error in a transaction');
answer('one', 'ROLLBACK');
is(answer('two', $rows), '', 'nothing for the other client after an error');

# Prepared statements: one that a client prepares stays with the server's connection, where another client may find it or not. If it does,
# it gives the rows of who executes it.
answer('one', 'BEGIN');
$silent->('one', 1);
answer('one', "PREPARE mine AS $rows");
is(answer('one', 'EXECUTE mine'), 'o1 o4', 'a prepared statement') for 1 .. 7;
answer('one', 'COMMIT');
is(answer('two', 'EXECUTE mine'), '', 'the statement of another client, without login');
answer('two', 'BEGIN');
$silent->('two', 2);
is(answer('two', 'EXECUTE mine'), 'o2 o5', 'the statement of another client, logged in') for 1 .. 7;
is(answer('two', "PREPARE mine AS $rows"), '42P05', 'its name is taken for every client');
answer('two', 'ROLLBACK');
answer('one', 'DEALLOCATE mine');

# A client that goes away in a transaction: PgBouncer closes the connection to the server, and the next client has a new one.
answer('one', 'BEGIN');
$silent->('one', 1);
is(answer('one', $rows), 'o1 o4', 'a client in a transaction');
$client{one}->quit;
is(answer('two', $rows), '', 'nothing for the next client');
isnt(answer('two', 'SELECT pg_backend_pid()'), $backend, 'which has another connection');
connect_client('one');

# local => false is wrong here: the session stays with the server's connection, whoever has it next.
$silent->('one', 1, ', local => false');
is(answer('two', $rows), 'o1 o4', "local => false: the next client has the first one's session");
is(answer('two', 'SELECT smart.logout() \g /dev/null'), '', 'logout()');
is(answer('one', $rows), '', 'ends it');

# So is a cursor WITH HOLD: it outlives its transaction, and no login is accepted on that connection until it is closed.
answer('one', 'BEGIN');
$silent->('one', 1);
answer('one', 'DECLARE held CURSOR WITH HOLD FOR SELECT id FROM observation');
answer('one', 'COMMIT');
answer('two', 'BEGIN');
is($silent->('two', 2), 'held_cursor', 'a login beside the cursor of another client');
answer('two', 'ROLLBACK');
answer('two', 'CLOSE ALL');
answer('two', 'BEGIN');
$silent->('two', 2);
is(answer('two', $rows), 'o2 o5', 'a login when it is closed');
answer('two', 'COMMIT');

$_->quit for values %client;
$node->stop;
done_testing();
