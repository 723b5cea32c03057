# test/t/122_openid_provider.pl
# A real OpenID provider (npm oidc-provider) rotates its keys while smart_fhir_keys serves the database: its address is found by
# discovery, a token of a new key is refused until an early fetch that was asked for, and one of a key that went is refused for good.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use IPC::Open2;
use IPC::Run;
use Test::More;
use Time::HiRes qw(sleep);

my $program = "$ENV{TESTDIR}/programs/smart_fhir_keys/smart_fhir_keys";
plan skip_all => 'smart_fhir_keys was not built' unless -x $program;
plan skip_all => 'IO::Socket::SSL is missing (libio-socket-ssl-perl)' unless eval { require KeyServer; 1 };
plan skip_all => 'oidc-provider is missing (tools/setup_node.sh test/oidc)' unless -d "$ENV{TESTDIR}/test/oidc/node_modules/oidc-provider";

my $dir = PostgreSQL::Test::Utils::tempdir;
KeyServer::make_certificates($dir);
my $provider = open2(my $from, my $to, "exec node '$ENV{TESTDIR}/test/oidc/provider.mjs' '$dir' 2>'$dir/provider.log'");
$to->autoflush(1);
sub answer
{
	while (my $line = <$from>)
	{
		return $1 if $line =~ /^answer: (.*)/;
	}
	return '';
}
my $issuer = answer();
BAIL_OUT('the provider did not start: ' . slurp_file("$dir/provider.log")) if $issuer eq '';
sub ask { my $line = shift; print $to "$line\n"; return answer() }

my $node = PostgreSQL::Test::Cluster->new('provider');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nsession_preload_libraries = 'smart_fhir'");
$node->start;
$node->safe_psql('postgres', qq{CREATE EXTENSION smart_fhir; CREATE ROLE app; CREATE ROLE fetcher LOGIN; SELECT smart.grant_keys('fetcher');
SELECT smart.add_issuer('$issuer', NULL, '{https://fhir.example/r4}', discover => true, required_claims => '{}')});
# the rule that refuses the token, or ok
sub login_with
{
	my $token = shift;
	$node->safe_psql('postgres', q{CREATE OR REPLACE FUNCTION public.try(token text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE c text; h text;
BEGIN PERFORM smart.login(token); RETURN 'ok'; EXCEPTION WHEN OTHERS THEN GET STACKED DIAGNOSTICS c = CONSTRAINT_NAME, h = PG_EXCEPTION_HINT; RETURN c || CASE WHEN h ~ 'request_keys' THEN ' ask' ELSE '' END; END $$});
	return $node->safe_psql('postgres', "SELECT public.try('$token')");
}
sub until_is
{
	my ($what, $want, $get) = @_;
	for (1 .. 300)
	{
		return pass($what) if $get->() eq $want;
		sleep(0.1);
	}
	return is($get->(), $want, $what);
}

my $first = ask('token');
like($first, qr/^[\w-]+\.[\w-]+\.[\w-]+$/, 'the provider gives a token');
is(login_with($first), 'unknown_key ask', 'before the first fetch it is refused');
my $run;
{
	local %ENV = (%ENV, SSL_CERT_FILE => "$dir/ca.pem");
	$run = IPC::Run::start([$program, '--connection', $node->connstr('postgres') . ' user=fetcher'], '<', \undef, '>', '/dev/null', '2>', "$dir/keys.log");
}
until_is('then it is good', 'ok', sub { login_with($first) });
is($node->safe_psql('postgres', 'SELECT jwks_uri FROM smart.issuer_key_state'), "$issuer/jwks", 'its address was found');

ask('keys second first');
my $second = ask('token');
is(login_with($second), 'unknown_key ask', 'the key is new: refused, with the hint to ask for it');
is($node->safe_psql('postgres', "SET ROLE app; SELECT smart.request_keys('$issuer')"), '', 'anybody may ask');
# as if the last fetch was 30 s ago
$node->safe_psql('postgres', q{UPDATE smart_internal.issuer_fetch SET tried_at = tried_at - interval '30 s'});
until_is('the new key was fetched', 'ok', sub { login_with($second) });
is(login_with($first), 'ok', 'the old one is good still');

ask('keys second');
$node->safe_psql('postgres', q{UPDATE smart_internal.issuer_fetch SET next_try = now()});
until_is('the old one is gone', 'unknown_key ask', sub { login_with($first) });
is(login_with($second), 'ok', 'and the new one stays');

$run->signal('TERM');
$run->finish;
is($run->result(0), 0, 'exit 0');
# without it: a provider that is down takes nothing away, until the keys are stale
close($to);
waitpid($provider, 0);
{
	local %ENV = (%ENV, SSL_CERT_FILE => "$dir/ca.pem");
	IPC::Run::run([$program, '--once', '--connection', $node->connstr('postgres') . ' user=fetcher'], '<', \undef, '>', '/dev/null', '2>', '/dev/null');
	is($? >> 8, 1, 'a provider that is down');
}
is($node->safe_psql('postgres', 'SELECT last_error FROM smart.issuer_key_state'), 'connection', 'is noted');
is(login_with($second), 'ok', 'its tokens are good');
$node->safe_psql('postgres', 'UPDATE smart.issuer SET refuse_after = now()');
is(login_with($second), 'stale_keys', 'until its keys are stale');

$node->stop;
done_testing;
