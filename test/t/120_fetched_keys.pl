# test/t/120_fetched_keys.pl
# smart_fhir_keys: what a hostile server answers never takes working keys away before their time; a good answer replaces them. The database
# goes and comes back, two programs share the work, a standby waits for its primary. Only this machine is asked.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use IPC::Run;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep);

my $since = time;
my $program = "$ENV{TESTDIR}/programs/smart_fhir_keys/smart_fhir_keys";
plan skip_all => 'smart_fhir_keys was not built' unless -x $program;
plan skip_all => 'IO::Socket::SSL is missing (libio-socket-ssl-perl)' unless eval { require KeyServer; 1 };

my $dir = PostgreSQL::Test::Utils::tempdir;
KeyServer::make_certificates($dir);
my $server = KeyServer->new($dir, certificate => 'good');
my %other = map { $_ => KeyServer->new($dir, certificate => $_) } qw(name expired self);
my $plain = KeyServer->new($dir);
my $base = 'https://localhost:' . $server->port;
my ($keys_a, $keys_b, $keys_ab) = (KeyServer::keys_of('a'), KeyServer::keys_of('b'), KeyServer::keys_of('a', 'b'));

my $node = PostgreSQL::Test::Cluster->new('keys');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', "fsync = off\nsession_preload_libraries = 'smart_fhir'\nlog_statement = all\nlog_min_messages = debug1");
$node->start;
$node->safe_psql('postgres', q{CREATE ROLE fetcher LOGIN; CREATE ROLE nobody LOGIN; CREATE EXTENSION smart_fhir; SELECT smart.grant_keys('fetcher')});
# what the program says of issuers and times, it says in this role
sub conninfo { my $n = shift // $node; return $n->connstr('postgres') . ' user=fetcher' }
sub sql { my $text = shift; my $out = $node->safe_psql('postgres', $text); return $out }
# run it to its end: exit code, stderr
sub run_program
{
	my @args = @_;
	my ($out, $err) = ('', '');
	note(sprintf('%d s: %s', time - $since, "@args"));
	# what the environment of an administrator may hold, and the program must not take
	local %ENV = (%ENV, SSL_CERT_FILE => "$dir/ca.pem", https_proxy => 'http://127.0.0.1:1', http_proxy => 'http://127.0.0.1:1', ALL_PROXY => 'http://127.0.0.1:1', HOME => $dir);
	my $timer = IPC::Run::timeout(120);
	IPC::Run::run([$program, @args], '<', \undef, '>', \$out, '2>', \$err, $timer);
	return ($? >> 8, $err, $out);
}

my $started = 0;
sub start_program
{
	my %options = (log => "$dir/log." . ++$started, args => [], @_);
	local %ENV = (%ENV, SSL_CERT_FILE => "$dir/ca.pem");
	my $handle = IPC::Run::start([$program, '--connection', $options{conninfo} // conninfo(), @{ $options{args} }], '<', \undef, '>', '/dev/null', '2>', $options{log});
	return { handle => $handle, log => $options{log} };
}
sub log_of { return slurp_file($_[0]{log}) }
sub until_true
{
	my ($what, $check) = @_;
	note(sprintf('%d s', time - $since));
	for (1 .. 600)
	{
		return pass($what) if $check->();
		sleep(0.1);
	}
	return fail($what);
}
sub end_program
{
	my ($run, $what) = @_;
	$run->{handle}->signal('TERM');
	$run->{handle}->finish;
	is($run->{handle}->result(0), 0, "$what: exit 0 on SIGTERM");
	like(log_of($run), qr/^smart_fhir_keys: stopped$/m, "$what: it says so");
}

# --- the command line
{
	my ($code, $err, $out) = run_program('--version');
	like("$code $out", qr/^0 smart_fhir_keys \d+\.\d+\.\d+$/, '--version');
	($code, $err, $out) = run_program('--help');
	is($code, 0, '--help');
	like($out, qr/--$_\b/, "--help names --$_") for qw(once connection interval stale timeout proxy allow-loopback-http keys-file ca-file);
	for my $bad (['--interval', '0'], ['--interval', '5x'], ['--stale', '-1'], ['--timeout', ''], ['--timeout', '99999999999999999999'], ['--proxy', 'http://u:p@proxy.example'],
		['--proxy', 'ftp://proxy.example'], ['--connection', 'no such=thing'], ['--connection', 'host=h password=secret1'], ['--connection', 'postgresql://u:secret1@h/d'], ['--nothing'], ['word'])
	{
		($code, $err) = run_program(@$bad, '--once');
		is($code, 2, "usage: @$bad");
		unlike($err, qr/secret1/, 'which it does not repeat');
	}
	($code, $err) = run_program('--once', '--connection', "host=$dir/nowhere");
	is($code, 1, '--once without a database');
	($code, $err) = run_program('--once', '--connection', $node->connstr('template1'));
	is($code, 1, '--once where the extension is not there');
	like($err, qr/smart\.grant_keys\(\)/, 'says what is missing');
	($code, $err) = run_program('--once', '--connection', $node->connstr('postgres') . ' user=nobody');
	is($code, 1, '--once as a role that may not');
	($code, $err) = run_program('--once', '--connection', conninfo());
	is($code, 0, '--once with nothing to fetch');
}

# --- a hostile server. Each issuer has working keys; a bad answer leaves them, and says one word.
my %bad = (
	timeout => [qw(silent slow slow_headers)],
	size => [qw(huge announced endless bomb empty_blocks headers continues)],
	json => [qw(bad_gzip garbage nul escaped_nul not_utf8 deep nothing half_json)],
	content_type => [qw(html no_type)],
	connection => [qw(closed half half_chunk http09)],
	redirect => [qw(redirect moved)],
	http_status => [qw(not_found broken no_content partial unauthorized)],
	keys => [qw(no_keys object array scalar one_key many_keys useless secret)]);
my %want = map { my $word = $_; map { $_ => $word } @{ $bad{$word} } } keys %bad;
my @good = qw(later mixed gzip suffix capitals cookie largest hundred_keys);
is(join(' ', sort keys %want, @good), join(' ', KeyServer::answers()), 'every answer of the server is looked at');
sub add { my ($name, $uri, $more) = @_; return "SELECT smart.add_issuer('https://$name.example', '$keys_a', '{https://fhir.example/r4}', jwks_uri => '$uri' $more);\n" }
my @silent = @{ $bad{timeout} };
my ($code, $err);
sql(join('', map { add($_, "$base/answers/$_", $_ eq 'secret' ? ", algorithms => '{ES256,HS256}'" : '') } grep { $want{$_} ne 'timeout' } sort(keys %want), @good)
	  . join('', map { add("certificate_$_", 'https://localhost:' . $other{$_}->port . '/answers/suffix', '') } sort keys %other)
	  . add('refused', 'https://localhost:1/', '')
	  . add('loopback_http', 'http://localhost:' . $plain->port . '/answers/suffix', ''));
# long enough for a machine with much to do
($code, $err) = run_program('--once', '--connection', conninfo(), '--timeout', '100');
is($code, 1, '--once fails when an issuer failed');
my %state = map { my ($issuer, @rest) = split(/\|/); ($issuer =~ m{//(\w+)\.} ? $1 : $issuer) => "@rest" }
  split(/\n/, sql(q{SELECT s.issuer, coalesce(s.last_error, 'good'), s.failures, i.jwks #>> '{keys,0,kid}', i.refuse_after > now() + interval '24 h' FROM smart.issuer_key_state s JOIN smart.issuer i USING (issuer)}));
is($state{$_}, "$want{$_} 1 a t", "$_: $want{$_}, and its keys stay") for grep { $want{$_} ne 'timeout' } sort keys %want;
is($state{$_} =~ s/ b1? / b /r, 'good 0 b t', "$_: a good answer") for @good;
is($state{"certificate_$_"}, 'certificate 1 a t', "certificate: $_") for sort keys %other;
is($state{refused}, 'connection 1 a t', 'nobody listens');
is($state{loopback_http}, 'address 1 a t', 'http without --allow-loopback-http');
is(scalar($server->requests(qr{/keys/moved})), 0, 'no redirect was followed');
is(scalar($server->requests(qr/\| (authorization|cookie|proxy)/i)), 0, 'nothing of ours was sent along');
is(scalar(() = $err =~ /^smart_fhir_keys: postgres: issuer "https:\/\/\w+\.example": (not fetched: \w+; next try in 30 s|keys stored)$/mg), keys(%state), 'one line an issuer');
unlike($err, qr/$KeyServer::MARK/, 'none with the bytes of a peer');
unlike($err, qr/[^\n -~]/, 'nor with control characters');
unlike(slurp_file($node->logfile), qr/$KeyServer::MARK/, 'nor has the server\'s log any');
is(sql("SELECT count(*) FROM smart.issuer_key_state s WHERE s::text LIKE '%$KeyServer::MARK%'"), '0', 'nor the view');

# --- one that takes its time. A peer without TLS waits for a line, as the program does
sql('DELETE FROM smart.issuer');
sql(join('', map { add($_, "$base/answers/$_", '') } @silent) . add('plain', 'https://localhost:' . $plain->port . '/answers/silent', ''));
($code, $err) = run_program('--once', '--connection', conninfo(), '--timeout', '2');
is(sql(q{SELECT string_agg(DISTINCT s.last_error || ' ' || s.failures || ' ' || (i.jwks #>> '{keys,0,kid}'), ',') FROM smart.issuer_key_state s JOIN smart.issuer i USING (issuer)}), 'timeout 1 a', 'a peer that is slow: timeout');
unlike($err, qr/$KeyServer::MARK/, 'nothing of it is shown');

# --- http on this machine where it is allowed; the second failure waits twice as long
sql('DELETE FROM smart.issuer;' . add('loopback_http', 'http://localhost:' . $plain->port . '/answers/suffix', '') . add('not_found', "$base/answers/not_found", ''));
run_program('--once', '--connection', conninfo(), '--allow-loopback-http') for 1 .. 3;
is(sql(q{SELECT fetched_at > expires_at - interval '61 min', last_error IS NULL FROM smart.issuer_key_state WHERE issuer = 'https://loopback_http.example'}), 't|t', 'http with --allow-loopback-http');
is(sql(q{SELECT s.failures, s.next_try - f.tried_at BETWEEN '119 s' AND '200 s' FROM smart.issuer_key_state s JOIN smart_internal.issuer_fetch f USING (issuer) WHERE s.issuer = 'https://not_found.example'}), '3|t', 'failures back off, 30 s doubling');
sql('DELETE FROM smart.issuer');

# --- discovery
my $found = "https://localhost:" . $server->port;
sub document { my ($issuer, $uri) = @_; return encode_json({ issuer => $issuer, jwks_uri => $uri, x => $KeyServer::MARK }) }
$server->serve('keys/good', $keys_b);
$server->serve('one/.well-known/openid-configuration', document("$found/one/", "$found/keys/good"));
$server->serve('two/.well-known/openid-configuration', document("$found/three", "$found/keys/good"));
$server->serve('fhir/.well-known/smart-configuration', document("$found/two", "$found/keys/good"));
$server->serve('four/.well-known/openid-configuration', document("$found/four/", "$found/keys/good"));
$server->serve('five/.well-known/openid-configuration', document("$found/five", 'http://elsewhere.example/keys'));
$server->serve('six/.well-known/openid-configuration', encode_json({ issuer => ["$found/six"], jwks_uri => ["$found/keys/good"] }));
$server->serve('seven/.well-known/openid-configuration', '[1]');
$server->serve('eight/.well-known/openid-configuration', document("$found/eight", "$found/answers/not_found"));
sql(join('', map { "SELECT smart.add_issuer('$found/$_', NULL, '{$found/fhir}', discover => true);" } 'one/', qw(two four five six seven eight nine)));
($code, $err) = run_program('--once', '--connection', conninfo(), '--timeout', '5');
is(sql(qq{SELECT string_agg(replace(issuer, '$found/', '') || '=' || coalesce(last_error, replace(jwks_uri, '$found', '')), ' ' ORDER BY issuer COLLATE "C") FROM smart.issuer_key_state}),
	'eight=http_status five=discovery four=discovery nine=discovery one/=/keys/good seven=discovery six=discovery two=/keys/good', 'discovery: the issuer to the letter, else the FHIR server says');
is(sql(qq{SELECT count(*) FROM smart.issuer WHERE jwks = '$keys_b'}), '2', 'and their keys are there');
unlike($err, qr/$KeyServer::MARK/, 'nothing of the documents is shown');
sql('DELETE FROM smart.issuer');

# --- it runs: rotation, a key that goes, an answer that fails in between, an early fetch
$server->serve('rotating', $keys_a);
sql("SELECT smart.add_issuer('https://as.example', NULL, '{https://fhir.example/r4}', jwks_uri => '$base/rotating')");
is(sql(q{SELECT code, object FROM smart.doctor('warning') WHERE code = 'keys_stale'}), 'keys_stale|https://as.example', 'doctor(): keys_stale before the first fetch');
my $kids = q{SELECT string_agg(k ->> 'kid', ',') FROM smart.issuer, jsonb_array_elements(jwks -> 'keys') k WHERE issuer = 'https://as.example'};
my $run = start_program(args => ['--interval', '2', '--stale', '7']);
until_true('keys are fetched', sub { sql($kids) eq 'a' });
is(sql(q{SELECT count(*) FROM smart.doctor('warning') WHERE code = 'keys_stale'}), '0', 'doctor(): keys_stale is gone');
is(sql(q{SELECT i.refuse_after = f.expires_at + interval '7 s' FROM smart.issuer i JOIN smart.issuer_key_state f USING (issuer)}), 't', 'refuse_after: --stale after expires_at');
$server->serve('rotating', $keys_ab);
until_true('a key that is new', sub { sql($kids) eq 'a,b' });
$server->serve('rotating', '{"keys":[]}');
until_true('an empty answer', sub { sql(q{SELECT last_error FROM smart.issuer_key_state}) eq 'keys' });
is(sql($kids), 'a,b', 'takes nothing away');
$server->serve('rotating', $keys_b);
until_true('a key that a good answer lacks goes', sub { sql($kids) eq 'b' });
is(sql(q{SELECT failures, last_error IS NULL FROM smart.issuer_key_state}), '0|t', 'after which no failure counts');

# --- the database goes and comes back
$node->stop('fast');
until_true('it hears that the database is gone', sub { log_of($run) =~ /connection lost/ });
$server->serve('rotating', $keys_a);
$node->start;
until_true('it comes back', sub { sql($kids) eq 'a' });
$node->stop('immediate');
$node->start;
$server->serve('rotating', $keys_b);
until_true('after a crash too', sub { sql($kids) eq 'b' });
end_program($run, 'rotation');

# --- SIGTERM while a peer says nothing
sql(add('silent', "$base/answers/silent", '') . q{UPDATE smart_internal.issuer_fetch SET next_try = now()});
my $asked = () = $server->requests(qr{/answers/silent});
$run = start_program(args => ['--timeout', '60']);
until_true('a peer is asked', sub { $asked < (() = $server->requests(qr{/answers/silent})) });
end_program($run, 'in the middle of a fetch');
sql(q{DELETE FROM smart.issuer});

# --- two programs at once, which both want to begin the same fetch; early fetches, one an issuer in 30 s
sql("SELECT smart.add_issuer('https://as.example', NULL, '{https://fhir.example/r4}', jwks_uri => '$base/answers/later')");
my $before = () = $server->requests(qr{/answers/later});
my $count = sub { scalar(() = $server->requests(qr{/answers/later})) - $before };
my $holder = IPC::Run::start(['psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c', q{DO $$ BEGIN LOCK TABLE smart_internal.issuer_fetch IN EXCLUSIVE MODE;
FOR i IN 1 .. 600 LOOP
  PERFORM pg_stat_clear_snapshot();
  EXIT WHEN (SELECT count(*) FROM pg_stat_activity WHERE application_name = 'smart_fhir_keys' AND wait_event_type = 'Lock') = 2;
  PERFORM pg_sleep(0.05);
END LOOP; END $$}], '<', \undef, '>', '/dev/null', '2>', '/dev/null');
until_true('a lock before both', sub { sql(q{SELECT count(*) FROM pg_locks WHERE relation = 'smart_internal.issuer_fetch'::regclass AND mode = 'ExclusiveLock' AND granted}) eq '1' });
my @both = map { start_program() } 1 .. 2;
$holder->finish;
until_true('both are there', sub { 2 == grep { log_of($_) =~ /connected/ } @both });
until_true('keys are fetched', sub { sql($kids) eq 'b' });
sleep(3);
is($count->(), 1, 'by one of two programs');
sql(q{SELECT smart.request_keys('https://as.example'); SELECT smart.request_keys('https://nobody.example'); SELECT pg_notify('smart_fhir_keys', repeat('x', 7000))});
sleep(2);
is($count->(), 1, 'an early fetch has to wait for 30 s');
sql(q{UPDATE smart_internal.issuer_fetch SET tried_at = tried_at - interval '31 s'});
until_true('which is kept until then', sub { $count->() == 2 });
sleep(2);
is($count->(), 2, 'and is done once');
# keys by hand count as a good answer, and one that is under way no more
is(sql(q{SELECT smart_internal.begin_fetch('https://as.example', 'due', '1 min') IS NULL, smart_internal.begin_fetch('https://as.example', 'request', '1 min') IS NULL}), 't|t', 'neither due nor to be asked for');
is(sql(qq{CREATE TEMP TABLE c AS SELECT smart_internal.begin_fetch('https://as.example', 'once', '1 min') AS claim;
SELECT smart.set_jwks('https://as.example', '$keys_a');
SELECT smart_internal.take_keys('https://as.example', '$base/answers/later', convert_to('$keys_b', 'UTF8'), '1 h', '1 d', claim) FROM c}), "\nsuperseded", 'an answer that was asked for before set_jwks() is dropped');
is(sql($kids), 'a', 'and the keys stay');
end_program($_, 'two') for @both;
sql("SELECT smart.add_issuer('https://as.example', '$keys_a', '{https://fhir.example/r4}', jwks_uri => '$base/rotating')");

# --- two databases in one program, one of which is not there
$node->safe_psql('postgres', 'CREATE DATABASE second');
$node->safe_psql('second', "CREATE EXTENSION smart_fhir; SELECT smart.grant_keys('fetcher'); SELECT smart.add_issuer('https://as.example', NULL, '{https://fhir.example/r4}', jwks_uri => '$base/rotating')");
($code, $err) = run_program('--once', '--connection', "host=$dir/nowhere", '--connection', conninfo() =~ s/postgres/second/r);
is($code, 1, '--once: a database that is not there');
is($node->safe_psql('second', 'SELECT jwks IS NOT NULL FROM smart.issuer'), 't', 'does not keep another from its keys');

# --- the file for smart_fhir.oauth_keys
{
	my $file = "$dir/keys.json";
	sql(q{SELECT smart.add_issuer('https://hs.example', '{"keys":[{"kty":"oct","kid":"h","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}]}', '{https://fhir.example/r4}', algorithms => '{HS256}');
SELECT smart.add_issuer('https://unfetched.example', NULL, '{https://fhir.example/r4}', jwks_uri => 'https://localhost:1/');
SELECT smart.add_issuer('https://rows.example', '} . $keys_a . q{', NULL, leeway => '7 s', client_ids => '{"a \"quoted\" id","ü"}', claim_map => '{"client_id": [["azp"]]}')});
	my @two = ('--connection', conninfo(), '--connection', conninfo() =~ s/postgres/second/r);
	($code, $err) = run_program('--once', @two, '--keys-file', $file);
	is(sprintf('%o', (stat($file))[2] & 07777), '640', 'keys file: for its owner to write, its group to read');
	my $read = decode_json(slurp_file($file));
	is($read->{format}, 1, 'keys file: format');
	is(join(' ', map { "$_->{database}:$_->{issuer}" } @{ $read->{issuers} }), 'postgres:https://as.example postgres:https://rows.example second:https://as.example', 'keys file: every issuer that has keys, public ones');
	my ($rows) = grep { $_->{issuer} eq 'https://rows.example' } @{ $read->{issuers} };
	is_deeply([@$rows{qw(leeway client_ids claim_map jwks audience)}], [7, ['a "quoted" id', "\x{fc}"], { client_id => [['azp']] }, decode_json($keys_a), undef], 'keys file: its options');
	like($rows->{refuse_after}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/, 'keys file: each has its end');
	is(scalar(() = glob("$file.*")), 0, 'keys file: nothing is left beside it');
	my $inode = (stat($file))[1];
	($code, $err) = run_program('--once', '--connection', conninfo(), '--connection', "host=$dir/nowhere", '--keys-file', $file);
	is((stat($file))[1], $inode, 'keys file: not written while a database has not been read');
	($code, $err) = run_program('--once', '--connection', conninfo(), '--keys-file', "$dir/no/such/place");
	is($code, 1, 'keys file: --once fails where it cannot be written');
	$run = start_program(args => ['--keys-file', $file]);
	sql(qq{SELECT smart.set_jwks('https://rows.example', '$keys_b')});
	until_true('keys file: follows a change by hand', sub { slurp_file($file) =~ /"kid": "b".*rows\.example|rows\.example.*"kid": "b"/ && slurp_file($file) !~ /second/ });
	end_program($run, 'keys file');
	sql(q{SELECT smart.drop_issuer(issuer) FROM smart.issuer WHERE issuer ~ 'hs|unfetched|rows'});
}

# --- a standby: its keys come from the primary, until it is one
$node->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
$standby->start;
$run = start_program(conninfo => conninfo($standby));
until_true('a standby: it waits', sub { log_of($run) =~ /in recovery/ });
is($standby->safe_psql('postgres', q{SELECT smart.request_keys('https://as.example')}), '', 'a standby: request_keys() does nothing');
my ($once_code, $once_err) = run_program('--once', '--connection', conninfo($standby));
is($once_code, 0, 'a standby: --once has nothing to fetch');
run_program('--once', '--connection', conninfo());
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', $kids), 'b', 'a standby: keys come from the primary');
$server->serve('rotating', $keys_ab);
$standby->promote;
$standby->safe_psql('postgres', 'UPDATE smart_internal.issuer_fetch SET next_try = now()');
until_true('a standby that was promoted fetches', sub { $standby->safe_psql('postgres', $kids) eq 'a,b' });
end_program($run, 'standby');
$standby->stop;

# --- clients of the authorization server
sql('CREATE EXTENSION smart_fhir_oauth');
is(sql(q{SELECT has_function_privilege('fetcher', 'smart_internal.oauth_key_sources()', 'EXECUTE')}), 't', 'who fetches for issuers, fetches for clients');
sql(qq{SELECT smart.configure_server('{"issuer": "https://own.example", "fhir_base_urls": ["https://fhir.example/r4"], "registration": "open"}');
SELECT smart.register_client('{"client_id": "ours", "client_name": "ours", "grant_types": ["client_credentials"], "token_endpoint_auth_method": "private_key_jwt", "scope": "system/*.rs", "jwks_uri": "$base/rotating?ours"}')});
my $registered = sub {
	my $uri = shift;
	return sql(qq{SELECT smart.register('{"client_name": "theirs", "redirect_uris": ["https://app.example/cb"], "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "$uri"}', '{}') -> 'body' ->> 'client_id'});
};
my @forms = ("https://localhost:" . $server->port . '/rotating?stranger', 'https://localhost/', 'https://127.0.0.1/', 'https://127.1/', 'https://2130706433/', 'https://0x7f000001/', 'https://0/', 'https://[::1]/', 'https://[::ffff:127.0.0.1]/',
	'https://[::ffff:7f00:1]/', 'https://[64:ff9b::7f00:1]/', 'https://[2002:7f00:1::]/', 'https://[::127.0.0.1]/', 'https://10.0.0.1/', 'https://169.254.169.254/latest/meta-data/', 'https://[fe80::1]/', 'https://[fd00::1]/',
	'https://192.168.1.1/', 'https://100.64.0.1/', 'https://[2001:0:7f00:1::]/', 'https://[ff02::1]/', 'https://224.0.0.1/', 'https://255.255.255.255/');
my %client = map { $registered->($_) => $_ } @forms;
is(scalar(grep { /./ } keys %client), scalar(@forms), 'strangers register');
($code, $err) = run_program('--once', '--connection', conninfo());
is(sql(q{SELECT fetched_jwks IS NOT NULL FROM smart_internal.oauth_client WHERE client_id = 'ours'}), 't', 'a registered client: its keys are fetched');
is(sql(q{SELECT count(*) FROM smart_internal.oauth_client_fetch}), '1', 'one that registered itself: not before somebody approved it');
sql(q{INSERT INTO smart_internal.oauth_client_event SELECT client_id, 'approved', now() FROM smart_internal.oauth_client WHERE dynamic});
($code, $err) = run_program('--once', '--connection', conninfo(), '--timeout', '2');
is($code, 0, 'a client that fails does not make --once fail');
my %errors = map { split(/\|/) } split(/\n/, sql(q{SELECT client_id, last_error FROM smart_internal.oauth_client_fetch WHERE last_error IS NOT NULL}));
is($errors{$_} // 'no error', 'address', "then not from $client{$_}") for sort { $client{$a} cmp $client{$b} } keys %client;
is(scalar($server->requests(qr/stranger/)), 0, 'and nobody was asked');
is(sql(q{SELECT count(*) FROM smart.doctor() WHERE code = 'keys_stale' AND severity = 'info'}), '0', 'doctor(): not before a day');
sql(q{UPDATE smart_internal.oauth_client SET changed_at = now() - interval '2 days' WHERE client_id = (SELECT min(client_id) FROM smart_internal.oauth_client WHERE dynamic)});
is(sql(q{SELECT severity, problem FROM smart.doctor() WHERE code = 'keys_stale' AND severity = 'info'}), 'info|The jwks_uri of this client had no good answer for a day: address.', 'doctor(): keys_stale of a client');
sql(qq{SELECT smart.set_client_jwks(min(client_id), '$keys_a') FROM smart_internal.oauth_client WHERE dynamic});
is(sql(q{SELECT count(*) FROM smart.doctor() WHERE code = 'keys_stale' AND severity = 'info'}), '0', 'doctor(): gone after set_client_jwks()');
# through a proxy not at all; the proxy would take the place of the address that is judged
sql(q{SELECT smart.disable_client(client_id) FROM smart.client WHERE dynamic});
my $abroad = $registered->('https://abroad.example/keys');
sql(qq{INSERT INTO smart_internal.oauth_client_event VALUES ('$abroad', 'approved', now())});
my $asked_proxy = () = $plain->requests();
($code, $err) = run_program('--once', '--connection', conninfo(), '--timeout', '2', '--proxy', 'http://127.0.0.1:' . $plain->port);
is(sql(qq{SELECT last_error FROM smart_internal.oauth_client_fetch WHERE client_id = '$abroad'}), 'address', 'a stranger through a proxy: not at all');
is(sql(q{SELECT count(*) FROM smart_internal.oauth_client_fetch f JOIN smart.client c USING (client_id) WHERE c.dynamic AND f.failures > 1}), '0', 'clients that are disabled are not fetched');
isnt($code, 0, 'issuers go through the proxy, which here is none');
# judged as set_client_jwks() does
$server->serve('rotating', KeyServer::keys_of('a', 'a'));
($code, $err) = run_program('--once', '--connection', conninfo());
is(sql(qq{SELECT last_error FROM smart_internal.oauth_client_fetch WHERE client_id = 'ours'}), 'keys', 'a client: two keys of one kid');
is(sql(q{SELECT jsonb_array_length(fetched_jwks -> 'keys') FROM smart_internal.oauth_client WHERE client_id = 'ours'}), '2', 'leave those that were there');
is(sql(qq{CREATE TEMP TABLE c AS SELECT smart_internal.oauth_begin_fetch('ours', '$base/rotating?ours', 'once', '1 min') AS claim;
SELECT smart.update_client('ours', '{"jwks_uri": "$base/rotating?new"}') IS NULL;
SELECT smart_internal.oauth_take_keys('ours', '$base/rotating?ours', convert_to('$keys_b', 'UTF8'), '1 h', claim) FROM c}), "f\nsuperseded", 'an answer to an address that it has no more is dropped');

# --- strangers' names that resolve to this machine now, and to a public address then: in a network of its own, where 8.8.8.8 is this machine
SKIP:
{
	my $script = "$dir/namespace.sh";
	open(my $out, '>', $script) or die $!;
	print $out "set -e\nip link set lo up\nip addr add 8.8.8.8/32 dev lo\nmount --bind $dir/hosts /etc/hosts\nexec \"\$@\"\n";
	close($out);
	$server->serve('../hosts', "127.0.0.1 localhost\n127.0.0.1 evil.example\n");
	skip 'no namespaces here', 6 if system("unshare -rnm sh $script true >$dir/unshare.log 2>&1") != 0;
	my $evil = $registered->('https://evil.example/keys/good');
	sql(qq{INSERT INTO smart_internal.oauth_client_event VALUES ('$evil', 'approved', now()); DELETE FROM smart.issuer WHERE issuer <> 'https://own.example'});
	my $inside = "$dir/inside.pl";
	open($out, '>', $inside) or die $!;
	print $out qq{use lib '$ENV{TESTDIR}/test/t'; use KeyServer; my \$s = KeyServer->new('$dir', certificate => 'good', address => \$ARGV[0], port => 443); shift; my \$code = system(\@ARGV); \$s->stop; exit(\$code >> 8);\n};
	close($out);
	my $in_network = sub {
		my ($hosts, $listen) = @_;
		open(my $h, '>', "$dir/hosts") or die $!;
		print $h "127.0.0.1 localhost\n$hosts";
		close($h);
		local $ENV{SSL_CERT_FILE} = "$dir/ca.pem";
		system("unshare -rnm sh $script $^X $inside $listen $program --once --timeout 20 --connection '" . conninfo() . "' 2>>$dir/network.log");
		return sql(qq{SELECT coalesce(last_error, 'good') FROM smart_internal.oauth_client_fetch WHERE client_id = '$evil'});
	};
	my $reached = sub { scalar(() = $server->requests(qr{evil\.example})) };
	is($in_network->("127.0.0.1 evil.example\n", '127.0.0.1'), 'address', 'a name of this machine');
	is($reached->(), 0, 'is not asked');
	is($in_network->("8.8.8.8 evil.example\n", '8.8.8.8'), 'good', 'the same name, public then');
	is($in_network->("::ffff:127.0.0.1 evil.example\n", '127.0.0.1'), 'address', 'and no more afterwards');
	is($reached->(), 1, 'it was asked there alone');
	# strangers cannot turn us against a host: one request at a time
	for my $n (1 .. 3)
	{
		my $id = $registered->("https://evil.example/answers/later?$n");
		sql(qq{INSERT INTO smart_internal.oauth_client_event VALUES ('$id', 'approved', now())});
	}
	$in_network->("8.8.8.8 evil.example\n", '8.8.8.8');
	is(join(' ', map { /^(begin|end) .*later\?/ ? $1 : () } split(/\n/, slurp_file("$dir/order"))), 'begin end begin end begin end', 'a host of strangers: one request at a time');
}

$node->stop;
$server->stop;
$_->stop for values %other, $plain;
done_testing;
