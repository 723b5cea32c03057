# test/t/161_oauth_psql.pl
# psql logs in to the database with a SMART token that it got by its own device flow (package libpq-oauth), from the authorization server
# in the same database, over https: discovery, device code, a person who approves it, the validator, the session.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('psql_oauth');
plan skip_all => 'OAuth came with PostgreSQL 18' if $node->pg_version < 18;
chomp(my $libdir = `$ENV{PG_CONFIG} --libdir`);
plan skip_all => 'no libpq-oauth (package libpq-oauth)' unless glob("$libdir/libpq-oauth*.so");
plan skip_all => 'no IO::Socket::SSL (package libio-socket-ssl-perl)' unless eval { require IO::Socket::SSL; 1 };
plan skip_all => 'no openssl' if system('openssl version >/dev/null 2>&1') != 0;

my $dir = PostgreSQL::Test::Utils::tempdir;
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $issuer = "https://localhost:$port";
my $super = getpwuid($<);

# A certificate authority of the test's own.
for my $command (
	"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-ca -keyout $dir/ca.key -out $dir/ca.crt",
	"openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout $dir/server.key -out $dir/server.csr",
	"printf 'subjectAltName=DNS:localhost\\n' >$dir/ext; openssl x509 -req -days 2 -in $dir/server.csr -CA $dir/ca.crt -CAkey $dir/ca.key -CAcreateserial -extfile $dir/ext -out $dir/server.crt")
{
	system("($command) >>$dir/openssl.log 2>&1") == 0 or die 'no certificates: ' . slurp_file("$dir/openssl.log");
}

$node->init(extra => [ '--encoding', 'UTF8' ]);
$node->append_conf('postgresql.conf', qq{oauth_validator_libraries = 'smart_fhir'
smart_fhir.oauth_keys = '$dir/keys.json'
log_connections = on});
$node->start;
$node->safe_psql('postgres', qq{
	CREATE EXTENSION smart_fhir_oauth CASCADE;
	CREATE ROLE regress_app LOGIN;
	CREATE TABLE patient (id text PRIMARY KEY, resource jsonb);
	INSERT INTO patient SELECT 'zebra-' || i, jsonb_build_object('resourceType', 'Patient', 'id', 'zebra-' || i) FROM generate_series(1, 3) i;
	GRANT SELECT ON patient TO regress_app;
	SELECT smart.protect('patient', 'Patient');
	SELECT smart.configure_server('{"issuer": "$issuer", "fhir_base_urls": ["https://fhir.test/r4"], "device_verification_uri": "$issuer/device"}');
	SELECT smart.register_client('{"client_id": "psql", "client_name": "psql", "token_endpoint_auth_method": "none", "scope": "openid launch/patient patient/*.rs",
		"grant_types": ["urn:ietf:params:oauth:grant-type:device_code"]}')});
my $secret = $node->safe_psql('postgres', q{SELECT smart.register_client('{"client_id": "report", "scope": "openid launch/patient patient/*.rs",
	"grant_types": ["urn:ietf:params:oauth:grant-type:device_code"]}')->>'client_secret'});
# The keys by the program itself, where it is built; else as it writes them.
chomp(my $program = `$ENV{PG_CONFIG} --bindir`);
$program .= '/smart_fhir_keys';
if (-x $program)
{
	$node->command_ok([ $program, '--once', '--connection', $node->connstr('postgres'), '--keys-file', "$dir/keys.json" ], 'smart_fhir_keys writes the file');
}
else
{
	my $rows = $node->safe_psql('postgres', q{SELECT string_agg(r, E',\n') FROM smart_internal.keys_file_rows(now() + interval '1 hour') r});
	append_to_file("$dir/keys.json", qq({"format": 1, "written_at": "2026-01-02T03:04:05Z", "issuers": [\n$rows\n]}\n));
	chmod 0600, "$dir/keys.json";
}
unlink $node->data_dir . '/pg_hba.conf';
$node->append_conf('pg_hba.conf', qq{local all $super trust\nlocal all all oauth issuer="$issuer" scope="openid launch/patient patient/*.rs" validator=smart_fhir map=smart});
$node->append_conf('pg_ident.conf', "smart psql regress_app\nsmart report regress_app");
$node->reload;

# The front end: relays three addresses, and decides nothing.
my $front = fork() // die $!;
if (!$front)
{
	# nothing of the test harness runs in the child
	eval { serve() };
	warn $@ if $@;
	require POSIX;
	POSIX::_exit(0);
}

sub serve
{
	my $listen = IO::Socket::SSL->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 20, ReuseAddr => 1, SSL_cert_file => "$dir/server.crt", SSL_key_file => "$dir/server.key")
	  or die "no server: $!";
	append_to_file("$dir/listening", '1');
	while (1)
	{
		my $client = $listen->accept or next;
		eval { answer($client) };
		warn $@ if $@;
		$client->close;
	}
	return;
}

sub answer
{
	my ($client) = @_;
	my ($method, $path) = split / /, scalar <$client> // '';
	my (%header, $body);
	while (defined(my $line = <$client>))
	{
		last if $line =~ /^\r?\n$/;
		$header{ lc $1 } = $2 if $line =~ /^([^:]+):\s*(.*?)\r?\n$/;
	}
	# of nothing it would wait for something
	read($client, $body, $header{'content-length'}) if $header{'content-length'};
	my $json = sub {
		my %h = @_;
		return '{' . join(',', map { my $v = $h{$_} =~ s/(["\\])/\\$1/gr; qq("$_":"$v") } sort keys %h) . '}';
	};
	my $request = $json->(map { my ($k, $v) = map { tr/+/ /r =~ s/%(..)/chr hex $1/ger } split /=/, $_, 2; $k => $v } split /&/, $body // '');
	my $headers = $json->(map { $_ => $header{$_} } grep { exists $header{$_} } 'authorization', 'content-type');
	my ($status, $out) = (404, '{}');
	if ($path eq '/.well-known/openid-configuration')
	{
		($status, $out) = (200, $node->safe_psql('postgres', 'SELECT smart.openid_configuration()'));
	}
	elsif ($path eq '/device_authorization' || $path eq '/token')
	{
		my $call = $path eq '/token' ? "CALL smart.token(\$x\$$request\$x\$, \$x\$$headers\$x\$)" : "SELECT smart.device_authorization(\$x\$$request\$x\$, \$x\$$headers\$x\$)";
		my $answer = $node->safe_psql('postgres', $call);
		($status) = $answer =~ /"status": (\d+)/;
		($out) = $answer =~ /"body": (\{.*?\}), "status"/;
	}
	append_to_file("$dir/front.log", "$path $status\n");
	print $client "HTTP/1.1 $status OK\r\nContent-Type: application/json\r\nContent-Length: " . length($out) . "\r\nConnection: close\r\n\r\n$out";
	return;
}
END { kill 'TERM', $front if $front }
for (1 .. 100) { last if -e "$dir/listening"; select undef, undef, undef, 0.1 }

# psql connects; answered by a person who does this to the user code. Its output and what it said.
sub connect_with
{
	my ($person, $client, @statements) = @_;
	my ($out, $err) = ('', '');
	local $ENV{PGOAUTHCAFILE} = "$dir/ca.crt";
	# where the certificate authority can be named for a test alone (18); it talks too much, but not to the log of the server
	local $ENV{PGOAUTHDEBUG} = 'UNSAFE' if $node->pg_version < 19;
	my $h = IPC::Run::start([ 'psql', '-XAtq', '-d', 'host=' . $node->host . ' port=' . $node->port . " dbname=postgres user=regress_app oauth_issuer=$issuer $client", map { ('-c', $_) } @statements ],
		'<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout(60));
	my $done = 0;
	while ($h->pumpable)
	{
		$h->pump;
		if (!$done && $err =~ /Visit (\S+) and enter the code: (\S+)/)
		{
			is($1, "$issuer/device", 'psql shows where to go') if $done++ == 0;
			$node->safe_psql('postgres', sprintf($person, $2));
		}
	}
	$h->finish;
	return ($out, $err);
}
my $approve = q{SELECT smart.approve_device('%s', '{"sub": "alice", "fhirUser": "Patient/zebra-2", "scope": "patient/*.rs"}')};
my $who = q{SELECT client_id, subject, patient, (SELECT string_agg(id, ',') FROM patient), system_user FROM smart.session};

my ($out, $err) = connect_with($approve, 'oauth_client_id=psql', $who);
is($out, "psql|alice|zebra-2|zebra-2|oauth:psql\n", 'psql is in, and sees the rows of the person who approved') or diag($err, slurp_file("$dir/front.log"));
($out, $err) = connect_with($approve, "oauth_client_id=report oauth_client_secret=$secret", $who);
is($out, "report|alice|zebra-2|zebra-2|oauth:report\n", 'a client with a secret too') or diag($err);
($out, $err) = connect_with(q{SELECT smart.approve_device('%s', '{"denied": true}')}, 'oauth_client_id=psql', $who);
is($out, '', 'the person denies it');
like($err, qr/access_denied/, 'and psql says so');
# approved for less than the line of pg_hba.conf asks: the session has that
($out, $err) = connect_with($approve =~ s/patient\/\*\.rs/patient\/Observation.rs/r, 'oauth_client_id=psql', q{SELECT scope FROM smart.session}, 'SELECT count(*) FROM patient');
is($out, "launch/patient openid patient/Observation.rs\n0\n", 'what was left unticked is not there') or diag($err);
# withdrawn between the token and the first statement
($out, $err) = connect_with($approve, 'oauth_client_id=psql', q{SELECT 'in'}, q{SELECT patient FROM smart.session}, q{SELECT smart.logout()}, q{SELECT count(*) FROM smart.session});
like($out, qr/^in\nzebra-2\n\n0\n\z/, 'logged out, and not logged in again');
my $log = slurp_file($node->logfile);
like($log, qr/identity="psql" method=oauth/, 'the log names the client');
unlike($log, qr/identity=[^\n]*(alice|zebra)/, 'and no person');
$node->stop;
done_testing();
