# test/t/160_oauth_validator.pl
# PostgreSQL 18 and later: who connects with a SMART token (oauth validator=smart_fhir in pg_hba.conf). A client of its own speaks SASL
# OAUTHBEARER (RFC 7628) over the socket, so that every byte that a refused one gets is seen.
use strict;
use warnings;

use IO::Socket::UNIX;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('validator');
plan skip_all => 'OAuth came with PostgreSQL 18' if $node->pg_version < 18;
my $keys = PostgreSQL::Test::Utils::tempdir . '/keys.json';
my $super = getpwuid($<);
my $hba_options = 'map=smart';
my $hba_issuer = 'https://as.test';

sub write_hba
{
	my ($options, $issuer) = @_;
	unlink $node->data_dir . '/pg_hba.conf', $node->data_dir . '/pg_ident.conf';
	$node->append_conf('pg_hba.conf', "local all $super trust\nlocal all all oauth issuer=\"" . ($issuer // $hba_issuer) . "\" scope=\"openid\" validator=smart_fhir " . ($options // $hba_options));
	$node->append_conf('pg_ident.conf', "smart app1 regress_app\nsmart app1 regress_other");
	$node->reload;
}

$node->init(extra => [ '--encoding', 'UTF8' ]);
$node->append_conf('postgresql.conf', qq{oauth_validator_libraries = 'smart_fhir'
smart_fhir.oauth_keys = '$keys'
log_connections = on
log_statement = 'all'});
$node->start;
sub sql { return $node->safe_psql($_[1] // 'postgres', $_[0]) }
sql(q{
	CREATE DATABASE other;
	CREATE DATABASE bare;
	CREATE EXTENSION smart_fhir;
	CREATE ROLE regress_app LOGIN;
	CREATE ROLE regress_other LOGIN;
	CREATE TABLE patient (id text PRIMARY KEY, resource jsonb);
	INSERT INTO patient SELECT 'zebra-' || i, jsonb_build_object('resourceType', 'Patient', 'id', 'zebra-' || i) FROM generate_series(1, 3) i;
	GRANT SELECT ON patient TO regress_app, regress_other;
	SELECT smart.protect('patient', 'Patient');
	CREATE SCHEMA t;
	CREATE TABLE t.key AS SELECT * FROM (VALUES
		('a', '{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}'::jsonb),
		('b', '{"kty":"EC","crv":"P-256","kid":"b","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}')) k (name, jwk);
	CREATE FUNCTION t.jwks(VARIADIC names text[]) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('keys', jsonb_agg(jwk - 'd')) FROM t.key WHERE name = ANY (names) $$;
	CREATE FUNCTION t.token(changes jsonb DEFAULT '{}', header jsonb DEFAULT '{}', key text DEFAULT 'a') RETURNS text LANGUAGE sql AS $$
		SELECT smart.jwt_sign((SELECT jsonb_object_agg(k, v) FROM jsonb_each(jsonb_build_object('iss', 'https://as.test', 'sub', 'person-4711', 'client_id', 'app1', 'aud', 'https://fhir.test/r4',
			'scope', 'openid launch/patient patient/*.rs', 'patient', 'zebra-1', 'jti', gen_random_uuid(), 'iat', floor(extract(epoch FROM clock_timestamp())),
			'exp', floor(extract(epoch FROM clock_timestamp())) + 300) || changes) e (k, v) WHERE v <> 'null'),
			(SELECT jwk FROM t.key WHERE name = $3), '{"typ": "at+jwt"}'::jsonb || header)
	$$;
	SELECT smart.add_issuer('https://as.test', t.jwks('a'), audience => '{https://fhir.test/r4}')});

# The file as smart_fhir_keys --keys-file writes it.
sub write_keys
{
	my (%changes) = @_;
	my $rows = $changes{rows} // sql(q{SELECT string_agg(r, E',\n') FROM smart_internal.keys_file_rows(now() + interval '1 hour') r});
	my $format = $changes{format} // 1;
	open(my $out, '>', "$keys.new") or die $!;
	print $out $changes{text} // qq({"format": $format, "written_at": "2026-01-02T03:04:05Z", "issuers": [\n$rows\n]}\n);
	close $out;
	chmod($changes{mode} // 0640, "$keys.new");
	rename("$keys.new", $keys) or die $!;
}
write_keys();
write_hba();

# ---- a client that speaks the protocol

sub connect_raw
{
	my ($token, %options) = @_;
	my $socket = IO::Socket::UNIX->new(Peer => $node->host . '/.s.PGSQL.' . $node->port) or die "no socket: $!";
	my $startup = pack('N', 196608) . join('', map { "$_\0" } 'user', $options{user} // 'regress_app', 'database', $options{database} // 'postgres') . "\0";
	my $self = { socket => $socket, seen => '' };
	print $socket pack('N', 4 + length $startup), $startup;
	my ($type, $body) = receive($self);
	die "no SASL: $type $body" unless $type eq 'R' && unpack('N', $body) == 10;
	my $data = $options{data} // "n,,\x01auth=Bearer $token\x01\x01";
	send_message($self, 'p', "OAUTHBEARER\0" . pack('N', length $data) . $data);
	while (1)
	{
		($type, $body) = receive($self);
		last if $type eq '' || $type eq 'E' || $type eq 'Z';
		send_message($self, 'p', "\x01") if $type eq 'R' && unpack('N', $body) == 11;
	}
	$self->{ok} = $type eq 'Z';
	return $self;
}
sub send_message
{
	my ($self, $type, $body) = @_;
	local $SIG{PIPE} = 'IGNORE';
	$self->{socket}->print($type, pack('N', 4 + length $body), $body);
	$self->{socket}->flush;
	return;
}
sub receive
{
	my ($self) = @_;
	my ($head, $body) = ('', '');
	return ('', '') if ($self->{socket}->read($head, 5) // 0) < 5;
	my ($type, $len) = unpack('a N', $head);
	return ('', '') if $len > 4 && ($self->{socket}->read($body, $len - 4) // 0) < $len - 4;
	$self->{seen} .= $head . $body;
	return ($type, $body);
}
# One statement or several; first column of the rows, or the error's code of ours and SQLSTATE.
sub query
{
	my ($self, $statement) = @_;
	my @rows;
	my $error;
	send_message($self, 'Q', "$statement\0");
	while (1)
	{
		my ($type, $body) = receive($self);
		return 'gone' if $type eq '';
		last if $type eq 'Z';
		if ($type eq 'D')
		{
			my ($n, $len) = unpack('n N', $body);
			push @rows, $len == 0xFFFFFFFF ? 'null' : substr($body, 6, $len);
		}
		if ($type eq 'E')
		{
			my %field = map { substr($_, 0, 1) => substr($_, 1) } split /\0/, $body;
			$error = "$field{C} " . ($field{n} // '');
		}
	}
	return $error // join(',', @rows);
}
my $who = q{SELECT coalesce((SELECT client_id || ' ' || patient FROM smart.session), 'nobody') || ' ' || (SELECT count(*) FROM patient)};
my $mine = 'app1 zebra-1 1';
my @tokens;
sub token { my $t = sql("SELECT t.token($_[0])"); push @tokens, $t; return $t }

# ---- a good token: in as its client, with its session set

my $c = connect_raw(token(q{}));
ok($c->{ok}, 'a good token connects');
is(query($c, $who), $mine, 'and has its session at the first statement');
is(query($c, 'SELECT system_user'), 'oauth:app1', 'the identity is the client');
is(query($c, 'SELECT session_user'), 'regress_app', 'the role that pg_ident.conf allows');
ok(connect_raw(token(q{}), user => 'regress_other')->{ok}, 'or another one that it allows');
ok(!connect_raw(token(q{}), user => $super . 'x')->{ok}, 'no other');
ok(!connect_raw(token(q{'{"client_id": "app2"}'}))->{ok}, 'a client that pg_ident.conf does not name is no role');
ok(connect_raw(token(q{'{"name": "J\u00f6rg \u2713", "patient": "zebra-2"}'}))->{ok}, 'claims in any script');

# ---- refused, and told nothing: every refusal is the same bytes

my %refused = (
	expired => token(q{'{"exp": 1700000000, "iat": 1699999000}'}),
	early => token(q{jsonb_build_object('nbf', floor(extract(epoch FROM clock_timestamp())) + 600)}),
	'without exp' => token(q{'{"exp": null}'}),
	'of another audience' => token(q{'{"aud": "https://fhir.test/other"}'}),
	'of an unknown kid' => token(q{'{}', '{"kid": "zz"}'}),
	'signed by a key that is not the issuer\'s' => token(q{'{}', '{"kid": "a"}', 'b'}),
	'of an unknown issuer' => token(q{'{"iss": "https://other.test"}'}),
	'without client_id' => token(q{'{"client_id": null}'}),
	'with a client_id that is no name' => token(q{'{"client_id": "app1\u000aapp2"}'}),
	'an ID token' => token(q{'{}', '{"typ": "JWT"}'}) =~ s/\A/x/r,
	garbage => 'garbage',
	'not base64' => '!!!.???.***',
	'huge' => 'e' x 60000,
	'with one byte changed' => token(q{}) =~ s/.\z/A/r . 'A',
	'cut short' => substr(token(q{}), 0, 200),
	'alg none' => 'eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.' . (split /\./, token(q{}))[1] . '.');
my $bytes;
for my $name (sort keys %refused)
{
	$c = connect_raw($refused{$name});
	ok(!$c->{ok}, "refused: $name");
	$bytes //= $c->{seen};
	is($c->{seen}, $bytes, "told nothing: $name");
}
like($bytes, qr/OAuth bearer authentication failed for user "regress_app"/, 'but that it failed');
$c = connect_raw('');
ok(!$c->{ok}, 'refused: an empty token');
$c = connect_raw('x', data => "n,,\x01auth=\x01\x01");
ok(!$c->{ok}, 'a client that only asks where to get a token');
unlike($c->{seen}, qr/smart/i, 'hears nothing of us');

# ---- the file

write_keys(mode => 0660);
ok(!connect_raw(token(q{}))->{ok}, 'a file that a group may write');
write_keys(mode => 0602);
ok(!connect_raw(token(q{}))->{ok}, 'or everybody');
write_keys(text => '{"format": 1, "issuers": [');
ok(!connect_raw(token(q{}))->{ok}, 'a file that is cut short');
write_keys(text => '');
ok(!connect_raw(token(q{}))->{ok}, 'or empty');
write_keys(format => 2);
ok(!connect_raw(token(q{}))->{ok}, 'of another format');
write_keys(text => '[]');
ok(!connect_raw(token(q{}))->{ok}, 'no object');
write_keys(text => ' ' x (16 * 1024 * 1024 + 1));
ok(!connect_raw(token(q{}))->{ok}, 'a file that is too large');
my $row = sql(q{SELECT r FROM smart_internal.keys_file_rows(now() + interval '1 hour') r});
write_keys(rows => "$row,\n$row");
ok(!connect_raw(token(q{}))->{ok}, 'an issuer that is there twice');
for my $change ('"database": "other"', '"refuse_after": "2026-01-01T00:00:00Z"', '"refuse_after": "soon"', '"refuse_after": null', '"audience": "https://fhir.test/r4"', '"audience": [1]',
	'"leeway": "60"', '"leeway": -1', '"leeway": 1e300', '"claim_map": []', '"jwks": []', '"jwks": {"keys": []}', '"client_ids": ["other"]', '"algorithms": ["RS256"]', '"algorithms": []', '"levels": {}',
	'"token_types": ["x"]', '"preset": 1')
{
	my ($name) = $change =~ /"(\w+)"/;
	my $other = $row =~ s/"$name": ("[^"]*"|\[[^\]]*\]|\{"keys".*?\]\}),?//r;
	$other = "{$change, " . substr($other, 1);
	$other =~ s/, \}/}/;
	sql("SELECT '$other'::jsonb");
	write_keys(rows => $other);
	ok(!connect_raw(token(q{}))->{ok}, "an entry with $change");
}
unlink $keys;
ok(!connect_raw(token(q{}))->{ok}, 'no file');
mkdir $keys;
ok(!connect_raw(token(q{}))->{ok}, 'a directory');
rmdir $keys;
system('mkfifo', $keys);
ok(!connect_raw(token(q{}))->{ok}, 'a pipe, that nobody waits for');
write_keys();
ok(connect_raw(token(q{}))->{ok}, 'a file that is there again counts at once');
my $unknown_member = $row =~ s/\A\{/{"later": {"x": [1]}, /r;
write_keys(rows => $unknown_member);
ok(connect_raw(token(q{}))->{ok}, 'members that nobody knows are passed over');
write_keys();
is(query(connect_raw(token(q{})), 'SHOW smart_fhir.oauth_keys'), '42501 ', 'where the file is, not everybody may see');

# ---- the line of pg_hba.conf

write_hba('delegate_ident_mapping=1');
ok(!connect_raw(token(q{}))->{ok}, 'delegate_ident_mapping: any client could be any role');
write_hba($hba_options, 'https://as2.test');
ok(!connect_raw(token(q{}))->{ok}, 'the token of another issuer than the line\'s');
write_hba($hba_options, 'https://as.test/.well-known/openid-configuration');
ok(connect_raw(token(q{}))->{ok}, 'whose discovery document may stand there');
write_hba();

# ---- once a connection

sub fresh { my $x = connect_raw(token($_[0] // q{})); die 'not connected' unless $x->{ok}; return $x }
for my $end ('SELECT smart.logout()', 'DISCARD ALL', 'RESET ALL', "SELECT smart.login('x', false)")
{
	$c = fresh();
	is(query($c, $who), $mine, "before $end");
	query($c, $end);
	is(query($c, $who), 'nobody 0', "after $end nobody is logged in");
	is(query($c, $who), 'nobody 0', 'nor later');
	$c = fresh();
	query($c, $end);
	is(query($c, $who), 'nobody 0', "$end as the first statement");
	next if $end eq 'DISCARD ALL';    # not in a transaction block
	$c = fresh();
	query($c, 'BEGIN');
	query($c, 'SELECT 1');
	query($c, $end);
	query($c, 'ROLLBACK');
	is(query($c, $who), 'nobody 0', "$end in the first transaction, and no ROLLBACK brings it back");
}
# a rollback of the first transaction takes nothing: the session belongs to the connection
$c = fresh();
query($c, 'BEGIN');
is(query($c, $who), $mine, 'in the first transaction');
query($c, 'ROLLBACK');
is(query($c, $who), $mine, 'after its ROLLBACK');
query($c, 'BEGIN');
query($c, 'SELECT 1/0');
query($c, 'ROLLBACK');
is(query($c, $who), $mine, 'and after another');
$c = fresh();
is(query($c, 'SELECT 1/0'), '22012 ', 'an error in the first statement');
is(query($c, $who), $mine, 'has nothing to do with it');
$c = fresh();
query($c, 'BEGIN');
query($c, 'SELECT 1');
query($c, q{SELECT smart.login(t, false) FROM (VALUES ('} . token(q{'{"patient": "zebra-2"}'}) . q{')) v (t)});
is(query($c, $who), 'app1 zebra-2 1', 'another login in the first transaction');
query($c, 'ROLLBACK');
is(query($c, $who), $mine, 'rolled back, that of the connection is there');
$c = fresh();
query($c, q{SELECT smart.login(t, false) FROM (VALUES ('} . token(q{'{"patient": "zebra-2"}'}) . q{')) v (t)});
is(query($c, $who), 'app1 zebra-2 1', 'another login as the first statement');
# what must stand first in a transaction may
$c = fresh();
is(query($c, "BEGIN ISOLATION LEVEL SERIALIZABLE; $who"), $mine, 'BEGIN ISOLATION LEVEL first');
$c = fresh();
is(query($c, "BEGIN; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; $who"), $mine, 'SET TRANSACTION first');
$c = fresh();
is(query($c, "DO \$\$ BEGIN RAISE 'x'; EXCEPTION WHEN OTHERS THEN NULL; END \$\$; $who"), $mine, 'a block with an exception first');
# the extended protocol: Parse is the first that is seen
$c = fresh();
send_message($c, 'P', "s\0SELECT count(*)::text FROM patient\0" . pack('n', 0));
send_message($c, 'B', "\0s\0" . pack('nnn', 0, 0, 0));
send_message($c, 'E', "\0" . pack('N', 0));
send_message($c, 'S', '');
my $row_seen = '';
while (1)
{
	my ($type, $body) = receive($c);
	$row_seen = substr($body, 6) if $type eq 'D';
	last if $type eq 'Z' || $type eq '';
}
is($row_seen, '1', 'the extended protocol');
# rows in a parallel plan
$c = fresh();
is(query($c, "SET debug_parallel_query = on; SET parallel_setup_cost = 0; $who"), $mine, 'parallel workers');

# ---- verified again by the database's own issuers

sub first_statement
{
	my ($name, $wanted, $change, $back, $database) = @_;
	my $x = connect_raw(token(q{}), database => $database // 'postgres');
	ok($x->{ok}, "$name: connected by the file");
	sql($change) if $change;
	is(query($x, 'SELECT 1'), $wanted, "$name: the first statement is refused");
	sql($back) if $back;
	is(query($x, $database ? 'SELECT 1' : $who), $database ? '1' : 'nobody 0', "$name: after it nobody is logged in, whatever changes");
	return;
}
first_statement('another key', '28000 unknown_key', q{SELECT smart.set_jwks('https://as.test', t.jwks('b'))}, q{SELECT smart.set_jwks('https://as.test', t.jwks('a'))});
first_statement('another audience', '28000 audience', q{UPDATE smart.issuer SET audience = '{https://fhir.test/r5}'}, q{UPDATE smart.issuer SET audience = '{https://fhir.test/r4}'});
first_statement('no such issuer', '28000 unknown_issuer', q{UPDATE smart.issuer SET issuer = 'https://as3.test'}, q{UPDATE smart.issuer SET issuer = 'https://as.test'});
first_statement('revoked', '28000 token_revoked', q{SELECT smart.revoke_tokens('https://as.test', client_id => 'app1')}, q{SELECT smart.unrevoke(id) FROM smart.revocation});
write_keys(rows => $row =~ s/"database": "postgres"/"database": "bare"/r);
first_statement('a database without the extension', '28000 unknown_issuer', undef, undef, 'bare');
write_keys();
# a session that the issuer would not give any more ends, as that of any login
$c = fresh();
is(query($c, $who), $mine, 'a session of a connection');
sql(q{UPDATE smart.issuer SET audience = '{https://fhir.test/r5}'});
like(query($c, 'SELECT count(*) FROM patient'), qr/^28000/, 'ends with the trust in its token');
sql(q{UPDATE smart.issuer SET audience = '{https://fhir.test/r4}'});

# a trigger that runs at each login (PostgreSQL 17) has the first statement
sql(q{CREATE FUNCTION t.at_login() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM count(*) FROM pg_class; END $$; CREATE EVENT TRIGGER at_login ON login EXECUTE FUNCTION t.at_login(); GRANT USAGE ON SCHEMA t TO PUBLIC});
is(query(fresh(), $who), $mine, 'a login trigger before the first statement');
sql('DROP EVENT TRIGGER at_login');
# however the library comes into the server
for my $setting ('session_preload_libraries', 'shared_preload_libraries')
{
	$node->append_conf('postgresql.conf', "$setting = 'smart_fhir'");
	$node->restart;
	is(query(fresh(), $who), $mine, "with $setting");
	ok(!connect_raw('garbage')->{ok}, "and nobody else, with $setting");
}

# an audit trail has the login of the first statement, and why it was refused
$node->append_conf('postgresql.conf', "smart_fhir.audit = 'logins'");
$node->reload;
$c = fresh();
is(query($c, $who), $mine, 'with an audit trail');
first_statement('revoked and recorded', '28000 token_revoked', q{SELECT smart.revoke_tokens('https://as.test', client_id => 'app1')}, q{SELECT smart.unrevoke(id) FROM smart.revocation});
like(slurp_file($node->logfile), qr/smart_fhir audit: \{[^\n]*"event": ?"login"[^\n]*"client_id": ?"app1"/, 'the login is recorded');
like(slurp_file($node->logfile), qr/smart_fhir audit: \{[^\n]*"event": ?"refused"[^\n]*token_revoked/, 'and the refusal');

# ---- the log: who, and why not; no token, no patient, no person

my $log = slurp_file($node->logfile);
like($log, qr/connection authenticated: identity="app1" method=oauth/, 'log_connections names the client');
like($log, qr/an access token was not accepted for connecting/, 'refusals are in the log');
like($log, qr/DETAIL:  token_expired: /, 'with their rule');
like($log, qr/DETAIL:  others than its owner may write the file/, 'or what is wrong with the file');
my ($connecting) = grep { /identity=/ && /zebra|4711/ } split /\n/, $log;
is($connecting, undef, 'never a patient\'s id');
is(scalar(grep { length > 60 && index($log, substr($_, 40, 60)) >= 0 } @tokens), 0, 'and no token');
$node->stop;
done_testing();
