# test/t/111_oauth_once.pl
# What is good once is good once: 32 connections at the same time, errors, cancellations, crashes and promotions after the
# burn, and withdrawals that meet a request half way (smart-rules CE-5, CE-6, CA-6, CA-8, RF-7, LF-13, OC-40, OC-45).
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'no PostgreSQL::Test::BackgroundPsql'
  unless eval { require PostgreSQL::Test::BackgroundPsql; 1 };

my $db = 'postgres';
my $node = PostgreSQL::Test::Cluster->new('server');
$node->init(allows_streaming => 1);
# the WAL of a commit that does not wait is not written by itself
$node->append_conf('postgresql.conf', "wal_writer_delay = 10s\nmax_connections = 60\nbgwriter_delay = 10s\ncheckpoint_timeout = 1h");
$node->start;
$node->safe_psql($db, 'CREATE EXTENSION smart_fhir');
$node->safe_psql($db, PostgreSQL::Test::Utils::slurp_file("$ENV{TESTDIR}/test/data/oauth/tokens_prelude.sql"));
$node->safe_psql($db, q{
	CREATE TABLE ot.result (what text, answer text);
	CREATE PROCEDURE ot.try(what text, request jsonb, headers jsonb DEFAULT '{}') LANGUAGE plpgsql AS $$
	DECLARE
		r jsonb;
	BEGIN
		CALL smart.token(request, headers, r);
		INSERT INTO ot.result VALUES (what, ot.short(r));
	END $$;
	CREATE TABLE ot.job (name text PRIMARY KEY, value jsonb)});

sub sql { return $node->safe_psql($db, $_[0]) }
sub code { my ($scope, $client) = @_; return sql(sprintf(q{SELECT ot.code('%s', '%s')}, $client // 'pub', $scope)) }
sub exchange { my ($code) = @_; return qq{ot.exchange('$code') || '{"client_id": "pub"}'} }
sub refresh { my ($token) = @_; return qq{'{"grant_type": "refresh_token", "refresh_token": "$token"}'::jsonb} }
# One request; what ot.short() says of its answer.
sub token
{
	my ($request, $on) = @_;
	($on // $node)->safe_psql($db, "CALL ot.call('token', $request)");
	return ($on // $node)->safe_psql($db, 'SELECT ot.short()');
}
sub refresh_token { return sql(q{SELECT ot.last() #>> '{body,refresh_token}'}) }
sub access_token { return sql(q{SELECT ot.access()}) }
sub login_answer
{
	my ($token) = @_;
	my ($status, $stdout, $stderr) = $node->psql($db, "SELECT smart.login('$token', false)", extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	return $stderr =~ /CONSTRAINT NAME:\s+(\w+)/ ? $1 : 'ok';
}
# The same statement in 32 connections at once; how often each answer came.
sub at_once
{
	my ($statement) = @_;
	my $file = $node->basedir . '/at_once.sql';
	my ($stdout, $stderr);
	open(my $out, '>', $file) or die;
	print $out "$statement;\n";
	close $out;
	sql('DELETE FROM ot.result');
	IPC::Run::run([ 'pgbench', '-n', '-c', '32', '-j', '4', '-t', '1', '-f', $file, '-d', $node->connstr($db) ], '>', \$stdout, '2>', \$stderr);
	my %n = map { split /\|/ } split /\n/, sql(q{SELECT CASE WHEN answer LIKE '200%' THEN '200' ELSE answer END AS a, count(*) FROM ot.result GROUP BY 1});
	return \%n;
}

# CE-6: a code. One gets tokens, the others are reuse, which ends them.
my $code = code('patient/*.rs offline_access');
my $n = at_once("CALL ot.try('code', " . exchange($code) . ')');
is($n->{200}, 1, 'one of 32 exchanges a code');
is($n->{'400 invalid_grant'}, 31, 'the others are refused');
is(sql('SELECT count(*) FROM smart_internal.oauth_refresh_token'), '1', 'one refresh token was made');
is(sql("SELECT count(*) FROM smart.revocation WHERE grant_id IS NOT NULL"), '1', 'and the grant has ended');

# RF-7, OC-45: a refresh token.
$code = code('patient/*.rs offline_access');
token(exchange($code));
$n = at_once("CALL ot.try('refresh', " . refresh(refresh_token()) . ')');
is($n->{200}, 1, 'one of 32 uses a refresh token');
is($n->{'400 invalid_grant'}, 31, 'the others are refused');

# CA-6, CA-7: an assertion's jti.
my $assertion = sql('SELECT ot.assertion()');
$n = at_once(qq{CALL ot.try('jti', ot.asserted('$assertion') || '{"grant_type": "client_credentials", "scope": "system/Patient.rs"}')});
is($n->{200}, 1, 'one of 32 uses an assertion');
is($n->{'401 invalid_client'}, 31, 'the others are refused');

# OC-40: a receipt.
$code = code('patient/*.rs');
my $receipt = sql("SELECT smart.burn('token', " . exchange($code) . ", '{}')");
$n = at_once("INSERT INTO ot.result SELECT 'receipt', ot.short(smart.redeem('$receipt'))");
is($n->{200}, 1, 'one of 32 redeems a receipt');
is($n->{'400 invalid_grant'}, 31, 'the others are refused');

# RFC 8628 3.4: a device code, once a person has approved it.
sql(q{SELECT smart.configure_server(smart.server_configuration() || '{"device_verification_uri": "https://as.test/device"}')});
sql(q{SELECT smart.register_client('{"client_id": "tv", "token_endpoint_auth_method": "none", "offline_access": true, "scope": "launch/patient offline_access patient/*.rs",
	"grant_types": ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"]}')});
sub device_code
{
	my $body = sql(q{SELECT smart.device_authorization('{"client_id": "tv", "scope": "launch/patient patient/*.rs offline_access"}', '{}')->'body'});
	my ($device) = $body =~ /"device_code": "([^"]+)"/;
	my ($user) = $body =~ /"user_code": "([^"]+)"/;
	sql(qq{SELECT smart.approve_device('$user', '{"sub": "alice", "fhirUser": "Patient/p1", "scope": "patient/*.rs offline_access"}')}) unless $_[0];
	return wantarray ? ($device, $user) : $device;
}
sub poll { my ($device) = @_; return qq{'{"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "client_id": "tv", "device_code": "$device"}'::jsonb} }
my $device = device_code();
$n = at_once("CALL ot.try('device', " . poll($device) . ')');
is($n->{200}, 1, 'one of 32 gets the tokens of a device code');
is($n->{'400 invalid_grant'}, 31, 'the others are refused');
is(sql(q{SELECT count(*) FROM smart_internal.oauth_grant_end e JOIN smart_internal.oauth_grant g USING (grant_id) WHERE g.client_id = 'tv'}) > 0, 1, 'and the grant has ended');
# Polls while the person answers wait for nobody: a transaction that is open has not answered yet.
($device, my $user_code) = device_code('unanswered');
my $answering = $node->background_psql($db, on_error_stop => 0);
$answering->query('BEGIN');
$answering->query(qq{SELECT smart.approve_device('$user_code', '{"sub": "alice", "fhirUser": "Patient/p1", "scope": "patient/*.rs"}')});
is(token(poll($device)), '400 authorization_pending', 'an approval that is not committed');
$answering->query('COMMIT');
$answering->quit;
like(token(poll($device)), qr/^200/, 'and once it is');
# 32 polls of one that nobody has answered: no error, no tokens.
$device = device_code('unanswered');
$n = at_once("CALL ot.try('device', " . poll($device) . ')');
is(($n->{'400 authorization_pending'} // 0) + ($n->{'400 slow_down'} // 0), 32, '32 polls at once');
# Answers at once: one counts. (Of another person than alice, since the others are answers to an unknown code.)
($device, $user_code) = device_code('unanswered');
$n = at_once(qq{INSERT INTO ot.result SELECT 'answer', CASE a->>'status' WHEN '200' THEN '200' ELSE a->>'status' END FROM smart.approve_device('$user_code', '{"sub": "carol", "fhirUser": "Patient/p1", "scope": "patient/*.rs"}') a});
is($n->{200}, 1, 'one of 32 answers counts');
like(token(poll($device)), qr/^200/, 'and gives tokens');

# RFC 8628 5.1: of 64 guesses of a person at the same time, each rolled back, thirty are looked at.
sql('CREATE SEQUENCE ot.looked_at; CREATE SEQUENCE ot.refused');
at_once(qq{BEGIN; SELECT nextval(CASE a->>'status' WHEN '404' THEN 'ot.looked_at' ELSE 'ot.refused' END) FROM smart.device_request('BCDF-GHJK', '{"sub": "eve"}') a; ROLLBACK;
BEGIN; SELECT nextval(CASE a->>'status' WHEN '404' THEN 'ot.looked_at' ELSE 'ot.refused' END) FROM smart.device_request('BCDF-GHJK', '{"sub": "eve"}') a; ROLLBACK});
is(sql('SELECT last_value FROM ot.looked_at') . ' ' . sql('SELECT last_value FROM ot.refused'), '30 34', 'no ROLLBACK gives a guess back');

# CD-8: the jti of a CDS client.
sql(q{SELECT smart.add_cds_client('https://ehr.test', jsonb_build_object('keys', jsonb_build_array(ot.key('a') - 'd')))});
my $jwt = sql(q{SELECT ot.assertion('https://ehr.test', jsonb_build_object('sub', null, 'aud', 'https://cds.test/x', 'iat', floor(extract(epoch FROM clock_timestamp()))))});
sql(q{CREATE PROCEDURE ot.try_cds(jwt text) LANGUAGE plpgsql AS $$
	DECLARE
		c jsonb;
	BEGIN
		CALL smart.verify_cds_request(jwt, 'https://cds.test/x', c);
		INSERT INTO ot.result VALUES ('cds', '200');
	END $$});
$n = at_once("CALL ot.try_cds('$jwt')");
is($n->{200}, 1, 'one of 32 uses the JWT of a CDS client');

# CA-8: an error of the caller's after the burn, and an assertion that was used for nothing.
$code = code('patient/*.rs');
my ($status, $stdout, $stderr) = $node->psql($db, qq{DO \$\$ DECLARE r jsonb; BEGIN CALL smart.token(@{[exchange($code)]}, '{}', r); RAISE 'afterwards'; END \$\$});
like($stderr, qr/afterwards/, 'an error after the burn');
is(token(exchange($code)), '400 invalid_grant', 'the code stays burnt');

# Cancelled while it waits: nothing was burnt, nothing was answered.
for my $how ('pg_cancel_backend', 'pg_terminate_backend')
{
	$code = code('patient/*.rs');
	my $holder = $node->background_psql($db, on_error_stop => 0);
	$holder->query('BEGIN; SELECT count(*) FROM (SELECT FROM smart_internal.oauth_code FOR UPDATE) c;');
	my $waiting = $node->background_psql($db, on_error_stop => 0);
	$waiting->query_until(qr/start/, "\\echo start\nCALL ot.try('$how', " . exchange($code) . ");\n");
	ok($node->poll_query_until($db, q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'CALL ot.try%' AND wait_event_type = 'Lock'}), "$how: it waits");
	sql(qq{SELECT $how(pid) FROM pg_stat_activity WHERE query LIKE 'CALL ot.try%' AND wait_event_type = 'Lock'});
	ok($node->poll_query_until($db, q{SELECT count(*) = 0 FROM pg_stat_activity WHERE query LIKE 'CALL ot.try%' AND state = 'active'}), "$how: it ends");
	$holder->query('ROLLBACK');
	$holder->quit;
	eval { $waiting->quit };
	is(sql("SELECT count(*) FROM ot.result WHERE what = '$how'"), '0', "$how: no answer");
	like(token(exchange($code)), qr/^200/, "$how: the code is as it was");
	is(token(exchange($code)), '400 invalid_grant', "$how: and good once");
}

# The server dies right after the answer, or between burn() and redeem(), with synchronous_commit off in the session: what was
# burnt stays burnt.
$code = code('patient/*.rs offline_access');
my $code2 = code('patient/*.rs');
$device = device_code();
$assertion = sql('SELECT ot.assertion()');
sql('CHECKPOINT');
my $dying = $node->background_psql($db, on_error_stop => 0);
$dying->query("SET synchronous_commit = off");
my $answer = $dying->query("CALL smart.token(@{[exchange($code)]}, '{}')");
like($answer, qr/"status": 200/, 'tokens before the crash');
my ($refresh) = $answer =~ /"refresh_token": "([^"]+)"/;
my ($access) = $answer =~ /"access_token": "([^"]+)"/;
like($dying->query(qq{CALL smart.token(ot.asserted('$assertion') || '{"grant_type": "client_credentials", "scope": "system/Patient.rs"}', '{}')}), qr/"status": 200/, 'and for an assertion');
like($dying->query("CALL smart.token(@{[poll($device)]}, '{}')"), qr/"status": 200/, 'and for a device code');
$receipt = $dying->query("SELECT smart.burn('token', @{[exchange($code2)]}, '{}')");
$node->stop('immediate');
eval { $dying->quit };
$node->start;
is(token(exchange($code2)), '400 invalid_grant', 'a crash after burn(): the code is burnt');
is(sql("SELECT ot.short(smart.redeem('$receipt'))"), '400 invalid_grant', 'whose reuse has ended the grant meanwhile');
is(token(qq{ot.asserted('$assertion') || '{"grant_type": "client_credentials", "scope": "system/Patient.rs"}'}), '401 invalid_client', 'a crash after the answer: the jti is burnt');
like(token(refresh($refresh)), qr/^200/, 'the refresh token that was answered is there');
is(token(exchange($code)), '400 invalid_grant', 'and the code is burnt');
is(token(poll($device)), '400 invalid_grant', 'and the device code');
is(login_answer($access), 'token_revoked', 'its second use ended what it gave');
# without a second use the receipt outlives the crash
$code = code('patient/*.rs');
$dying = $node->background_psql($db, on_error_stop => 0);
$dying->query('SET synchronous_commit = off');
$receipt = $dying->query("SELECT smart.burn('token', @{[exchange($code)]}, '{}')");
$node->stop('immediate');
eval { $dying->quit };
$node->start;
like(sql("SELECT ot.short(smart.redeem('$receipt'))"), qr/^200/, 'a receipt after a crash');
is(sql("SELECT ot.short(smart.redeem('$receipt'))"), '400 invalid_grant', 'once');

# Withdrawing and disabling wait for no transaction that a caller holds open, and what it commits later is over.
for my $case (
	[ 'withdraw_grant', q{SELECT smart.withdraw_grant('alice', 'pub')}, 'invalid_grant' ],
	[ 'disable_client', q{SELECT smart.disable_client('pub')}, 'invalid_client' ],
	[ 'end_user_session', q{SELECT smart.end_user_session('alice')}, 'invalid_grant', 'online_access' ])
{
	my ($name, $end, $error, $kind) = @$case;
	my $scope = 'patient/*.rs ' . ($kind // 'offline_access');
	$code = code($scope);
	token(exchange($code));
	my $old = refresh_token();
	my $open = $node->background_psql($db, on_error_stop => 0);
	$open->query('BEGIN');
	my $refreshed = $open->query("SELECT smart.burn('token', @{[refresh($old)]}, '{}')");
	$code = code($scope);
	my $exchanged = $open->query("SELECT smart.burn('token', @{[exchange($code)]}, '{}')");
	($status, $stdout, $stderr) = $node->psql($db, "SET lock_timeout = '2s'; $end");
	is($status, 0, "$name waits for nobody") or diag($stderr);
	$open->query('COMMIT');
	is($open->query("SELECT ot.short(smart.redeem('$_'))"), '400 invalid_grant', "$name came between burn and redeem") for $refreshed, $exchanged;
	$open->quit;
	sql(q{SELECT smart.enable_client('pub')}) if $name eq 'disable_client';
	is(token(refresh($old)), '400 invalid_grant', "$name: the refresh token is over");
	like(token(exchange(code('patient/*.rs'))), qr/^200/, "$name: a new consent in the same second works");
	is(login_answer(access_token()), 'ok', "$name: its token too");
}

# A client is narrowed while a request is under way: the next one has what is left.
$code = code('patient/*.rs offline_access');
token(exchange($code));
my $open = $node->background_psql($db, on_error_stop => 0);
$open->query('BEGIN');
$receipt = $open->query("SELECT smart.burn('token', @{[refresh(refresh_token())]}, '{}')");
($status, $stdout, $stderr) = $node->psql($db, q{SET lock_timeout = '2s'; SELECT smart.update_client('pub', '{"scope": "patient/Observation.r offline_access"}') IS NOT NULL});
is($status, 0, 'narrowing does not wait') or diag($stderr);
$open->query('COMMIT');
my $body = $open->query("SELECT smart.redeem('$receipt')");
$open->quit;
my ($next) = $body =~ /"refresh_token": "([^"]+)"/;
like(token(refresh($next)), qr/^200/, 'the refresh token goes on');
is(sql(q{SELECT ot.last() #>> '{body,scope}'}), 'patient/Observation.r offline_access', 'with what the client may have now');
sql(q{SELECT smart.update_client('pub', '{"scope": "openid fhirUser launch launch/patient offline_access online_access patient/*.rs user/*.rs"}')});

# A standby is promoted: with synchronous replication a burn is there, whatever the session has set.
$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
$node->append_conf('postgresql.conf', "synchronous_standby_names = '*'");
$node->reload;
$node->wait_for_catchup($standby);
$code = code('patient/*.rs');
($status, $stdout, $stderr) = $node->psql($db, "SET synchronous_commit = local; CALL smart.token(@{[exchange($code)]}, '{}')");
like($stdout, qr/"status": 200/, 'tokens before the promotion');
$node->stop('immediate');
$standby->promote;
is(token(exchange($code), $standby), '400 invalid_grant', 'the code is burnt on the promoted standby');
$standby->stop;
done_testing();
