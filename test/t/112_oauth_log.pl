# test/t/112_oauth_log.pl
# Secrets of the authorization server are nowhere in sight: not in the log whatever is logged, not in errors, pg_stat_activity,
# the tables' files or the WAL (smart-rules RG-7, CE-7, LF-18).
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $db = 'postgres';
my $node = PostgreSQL::Test::Cluster->new('log');
$node->init;
$node->append_conf('postgresql.conf', q{
fsync = off
session_preload_libraries = 'smart_fhir'
log_statement = 'all'
log_min_duration_statement = 0
log_parameter_max_length = -1
log_parameter_max_length_on_error = -1
log_min_error_statement = 'debug1'
});
$node->start;
$node->safe_psql($db, 'CREATE EXTENSION smart_fhir; CREATE EXTENSION smart_fhir_oauth');
$node->safe_psql($db, q{SELECT smart.configure_server('{"issuer": "https://as.test", "fhir_base_urls": ["https://fhir.test/r4"]}')});
my $secret = $node->safe_psql($db, q{SELECT smart.register_client('{"client_id": "web", "token_endpoint_auth_method": "client_secret_basic", "redirect_uris": ["https://app.test/cb"],
	"scope": "openid launch/patient patient/*.rs offline_access"}')->>'client_secret'});
like($secret, qr/^smart_[A-Za-z0-9_-]{43}$/, 'a secret');

# the whole way from the request for a code
my $request = q{'{"response_type": "code", "client_id": "web", "redirect_uri": "https://app.test/cb", "scope": "openid launch/patient patient/*.rs offline_access", "state": "s",
	"aud": "https://fhir.test/r4", "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256"}'};
$node->safe_psql($db, q{SELECT smart.configure_server(smart.server_configuration() || '{"user_sees_all": true}')});
my $answer = $node->safe_psql($db, qq{SELECT smart.approve($request, '{"sub": "bob", "fhirUser": "Practitioner/7", "patient": "p1", "scope": "patient/*.rs offline_access"}')});
my ($code) = $answer =~ /code=(smart_[A-Za-z0-9_-]+)/;
ok($code, 'a code') or diag($answer);
my $basic = MIME::Base64::encode_base64("web:$secret", '') if eval { require MIME::Base64 };
my $exchange = qq{'{"grant_type": "authorization_code", "code": "$code", "redirect_uri": "https://app.test/cb", "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"}'};
my $headers = qq{'{"authorization": "Basic $basic"}'};
my ($status, $stdout, $stderr) = $node->psql($db, "CALL smart.token($exchange, $headers)");
my ($refresh) = $stdout =~ /"refresh_token": "([^"]+)"/;
my ($access) = $stdout =~ /"access_token": "([^"]+)"/;
ok($refresh && $access, 'tokens') or diag("$stdout$stderr");
# errors with the secrets in the statement, and in parameters
($status, $stdout, $stderr) = $node->psql($db, "SELECT '$refresh'::int; SELECT 1/0, $headers");
like($stderr, qr/type integer: "<token>"/, 'an error hides it from the client too');
$node->psql($db, "PREPARE p(text, text) AS SELECT (\$1 || \$2)::int; EXECUTE p('$refresh', '$secret')");
# a statement that runs
my ($activity) = $node->safe_psql($db, qq{DO \$\$ BEGIN PERFORM '$refresh', '$secret', 'Basic $basic'; END \$\$; SELECT string_agg(query, ' ') FROM pg_stat_activity});
my $receipt = $node->safe_psql($db, qq{SELECT smart.burn('revoke', '{"token": "$refresh"}', $headers)});
$node->safe_psql($db, "SELECT smart.redeem('$receipt')");
$node->safe_psql($db, 'CHECKPOINT');
$node->stop;

my %hidden = (secret => $secret, code => $code, 'refresh token' => $refresh, 'access token' => $access, receipt => $receipt, 'Basic pair' => $basic);
my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
my $files = '';
for my $path (glob($node->data_dir . '/base/*/*'), glob($node->data_dir . '/pg_wal/0*'))
{
	$files .= PostgreSQL::Test::Utils::slurp_file($path) if -f $path;
}
like($files, qr/https:\/\/app\.test\/cb/, 'the files are the right ones');
for my $what (sort keys %hidden)
{
	is(index($log, $hidden{$what}), -1, "no $what in the log");
	is(index($files, $hidden{$what}), -1, "no $what in tables, indexes and WAL");
	is(index($activity, $hidden{$what}), -1, "no $what in pg_stat_activity");
}
like($log, qr/<token>/, 'masked there');
done_testing();
