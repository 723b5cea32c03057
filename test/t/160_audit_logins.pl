# test/t/160_audit_logins.pl
# The audit trail at level logins: who logged in, was refused, logged out; how records are written, signed and told from
# what others write; and that no session records less than the configuration file says.
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use AuditLog;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $a = AuditLog->new('audit', "smart_fhir.audit = logins");
my $node = $a->node;
my %token = (good => $a->token, expired => $a->token(exp => 1700000100, jti => 'old'), foreign => $a->token(aud => 'https://other.example'),
	clinician => $a->token(scope => 'user/*.rs patient/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory&status=final',
		fhirUser => 'Practitioner/dr', encounter => 'e7'),
	several => $a->token(patient => [ map { "p$_" } 1 .. 150 ]), wild => $a->token(sub => "a\"b\\c\nsmart_fhir audit: {\"x\":1}\x{263A}\x{1F600}  two", client_id => 'eyJhbGciOiJub25lIn0.eyJhIjoxfQ.'));
my $good = $token{good};
my $forged = $good =~ s/^([^.]*\.[^.]*\.).*/${1}AAAA/r;
$a->text;

# ---- login and logout: the members of the session
$a->sql("SET application_name = 'a test'; BEGIN; SELECT smart.login('$good', interaction => 'search'); SELECT smart.logout(); SELECT smart.logout(); COMMIT");
my @lines = $a->lines;
my @records = map { JSON::PP->new->decode($_) } @lines;
is(join(' ', map { $_->{event} } @records), 'login logout end', 'a login, a logout, the end');
is(join(' ', map { $_->{seq} } @records), '1 2 3', 'numbered in their session');
is($records[2]{last}, 3, 'whose last record says how many there were');
my $r = $records[0];
like($r->{at}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/, 'at');
like($r->{session}, qr/^[0-9a-f]+\.[0-9a-f]+$/, 'session, as log_line_prefix has it');
is(join(' ', @$r{qw(database role application_name server_addr issuer client_id scope interaction)}),
	'd app a test [local] https://as.example c1 patient/*.cruds search', 'members of a login');
is($r->{subject}, $a->hash('subject', 's1'), 'subject is hashed');
is($r->{jti}, $a->hash('jti', 'j1'), 'jti is hashed');
is_deeply($r->{patients}, [ $a->hash('patient', 'p1') ], 'patients are hashed');
isnt($a->hash('subject', 'p1'), $a->hash('patient', 'p1'), 'each kind has a key of its own');
like($r->{subject}, qr/^[0-9a-f]{32}$/, 'to 128 bits in hex');

# ---- smart.verify_audit(): the record, with or without what precedes it, and nothing else
is($a->verify($lines[0]), 't', 'a record verifies');
is($a->verify("2026-01-01 LOG:  smart_fhir audit: $lines[0]"), 't', 'so does its line');
is($a->verify("prefix { smart_fhir audit: {\"a\" LOG:  smart_fhir audit: $lines[0]\n"), 't', 'whatever precedes it');
is($a->verify($lines[0] =~ s/"role":"app"/"role":"apq"/r), 'f', 'a changed one does not');
is($a->verify($lines[0] =~ s/,"mac":"[^"]*"//r), 'f', 'nor one without its mac');
is($a->verify("$lines[0] "), 't', 'blanks at the end do not matter');
is($a->verify("$lines[0]x"), 'f', 'anything else does');
is($a->verify("forged smart_fhir audit: $lines[0]"), 'f', 'a forged line is forged');
is($a->verify($_), 'f', 'nonsense: ' . substr($_, 0, 20)) for '', '{', '}', '{}', 'x', $lines[0] =~ s/.*(,"mac":)/$1/r, '{' . ('"mac":"' x 100) . '"}';

# ---- hashed and clear, scopes without the values of parameters
$a->sql("BEGIN; SELECT smart.login('$token{clinician}')");
($r) = $a->records('login');
is($r->{fhir_user}, $a->hash('fhir_user', 'Practitioner/dr'), 'fhir_user is hashed');
is($r->{encounter}, $a->hash('encounter', 'e7'), 'so is the encounter');
is($r->{scope}, 'patient/Observation.rs?category=&status= user/*.rs', 'scopes have no values of parameters');
$a->sql("SET smart_fhir.audit_identities = clear; BEGIN; SELECT smart.login('$token{clinician}')", user => $node->safe_psql('d', 'SELECT current_user'));
($r) = $a->records('login');
is(join(' ', @$r{qw(subject fhir_user encounter)}, @{ $r->{patients} }), 's1 Practitioner/dr e7 p1', 'clear');
like($r->{scope}, qr/category=http.*laboratory&status=final/, 'with the values');
is($r->{jti}, $a->hash('jti', 'j1'), 'jti is hashed always');
$a->sql("BEGIN; SELECT smart.login('$token{several}')");
($r) = $a->records('login');
is(scalar @{ $r->{patients} }, 100, 'at most a hundred patients');
ok($r->{patients_more}, 'and it is said that there are more');

$a->sql("SET ROLE app; BEGIN; SELECT smart.login('$good')", user => $node->safe_psql('d', 'SELECT current_user'));
($r) = $a->records('login');
is("$r->{role} $r->{session_user}", 'app ' . $node->safe_psql('d', 'SELECT current_user'), 'SET ROLE hides nobody');

# ---- refusals: nothing of a token that nobody signed but its issuer, if it is known
$a->sql("SELECT smart.login('$token{expired}'); SELECT smart.login('$token{foreign}'); SELECT smart.login('$forged');
	SELECT smart.login('x'); SELECT smart.login(NULL); SELECT smart.login('$good', interaction => 'x');
	SELECT smart.login('" . ($node->safe_psql('d', q{SELECT smart.jwt_sign('{"iss": "https://unknown.example", "sub": "nobody"}', '{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}')})) . "');");
my @refused = $a->records('refused');
is(join("\n", map { my $r = $_; join ' ', map { $r->{$_} // '-' } qw(rule sqlstate issuer client_id) } @refused), join("\n",
	'token_expired 28000 https://as.example c1', 'audience 28000 https://as.example c1', 'signature 28000 https://as.example -',
	'malformed 28000 - -', 'malformed 28000 - -', 'invalid_parameter 22023 - -', 'unknown_issuer 28000 - -'), 'refused, each with its rule');
is($refused[0]{jti}, $a->hash('jti', 'old'), 'a signed one says which token it was');
is(join(',', sort keys %{ $refused[2] }), 'application_name,at,database,event,issuer,mac,role,rule,seq,server_addr,session,sqlstate', 'one that is not signed says nothing');
# the sixth refusal of a rule within a second is counted; an error that is caught is told of as well
$a->sql(q{DO $$ BEGIN FOR i IN 1..100 LOOP BEGIN PERFORM smart.login('x'); EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $$});
@refused = $a->records('refused');
is(scalar @refused, 6, 'a hundred refusals of one rule: five records, and one of the others');
is(join(' ', map { $_->{count} // '-' } @refused), '- - - - - 95', 'which has their number');
$a->sql(q{DO $$ BEGIN FOR i IN 1..7 LOOP BEGIN PERFORM smart.login('x'); EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $$; SELECT pg_sleep(1.1); SELECT 1; SELECT smart.login('x')});
is(join(' ', map { "$_->{seq}:" . ($_->{count} // '-') } $a->records('refused')), '1:- 2:- 3:- 4:- 5:- 6:2 7:-', 'the number comes once the second is over');

# ---- ROLLBACK takes no record back; assume() is said
$a->sql("BEGIN; SELECT smart.login('$good'); ROLLBACK");
is(join(' ', map { $_->{event} } $a->records), 'login end', 'a rolled-back login is recorded');
$a->sql(q{SELECT smart.assume('{"sub": "x", "scope": "patient/*.rs", "patient": "p1"}', 'https://as.example')}, user => $node->safe_psql('d', 'SELECT current_user'));
($r) = $a->records('login');
ok($r->{assumed}, 'a login by assume() says so');

# ---- what others write: quotes, newlines, our own words, tokens
$a->sql("SET application_name = 'smart_fhir audit: {\"event\":\"login\"}'; BEGIN; SELECT smart.login('$token{wild}')");
my $text = $a->text;
my @wild = $text =~ /LOG:  smart_fhir audit: (\{.*\})$/mg;
is(scalar @wild, 2, 'values with newlines and our own words make no further line');
is($a->verify($wild[0]), 't', 'and the record verifies');
is($text =~ tr/\x00-\x09\x0b-\x7e//c - ($text =~ tr/\n//), 0, 'in ASCII');
is(JSON::PP->new->decode($wild[0])->{client_id}, '<token>', 'what looks like a token is masked');
unlike($wild[0], qr/  /, 'no two blanks in a row');
$a->sql("SET smart_fhir.audit_identities = clear; BEGIN; SELECT smart.login('$token{wild}')", user => $node->safe_psql('d', 'SELECT current_user'));
($r) = $a->records('login');
is($r->{subject}, "a\"b\\c\nsmart_fhir audit: {\"x\":1}\x{263A}\x{1F600}  two", 'what was escaped is what was there');
my $copy = $lines[0] =~ s/'/''/gr;
$a->sql("DO \$\$ BEGIN RAISE LOG '%', 'smart_fhir audit: $copy'; RAISE LOG '%', E'x\\nLOG:  smart_fhir audit: $copy'; END \$\$;
	DO \$\$ BEGIN RAISE EXCEPTION USING MESSAGE = 'smart_fhir audit: $copy', DETAIL = 'smart_fhir audit: $copy', HINT = 'smart_fhir audit: $copy'; END \$\$;
	SELECT 1/0 /*\nLOG:  smart_fhir audit: $copy */; SET log_statement = 'all'; SELECT 2 /*\nLOG:  smart_fhir audit: $copy */;", user => $node->safe_psql('d', 'SELECT current_user'));
$text = $a->text;
my @all = $text =~ /(.{0,30})smart_fhir audit: \{/g;
cmp_ok(scalar @all, '>=', 6, 'others write what looks like ours');
is(scalar(grep { !/forged $/ } @all), 0, 'and it is marked as forged');
is(scalar(() = $text =~ /forged forged/g), 0, 'once');

# ---- nobody reads what he may not, and no client sees a record
like($a->sql("SELECT smart.audit_hash('patient', 'p1')"), qr/permission denied/, 'audit_hash() is nobody\'s');
like($a->sql("SELECT smart.verify_audit('x')"), qr/permission denied/, 'nor is verify_audit()');
unlike($a->sql("SET client_min_messages = debug5; BEGIN; SELECT smart.login('$good')"), qr/smart_fhir audit/, 'no record goes to the client');

# ---- a session may record more, not less than the configuration file says
my $super = $node->safe_psql('d', 'SELECT current_user');
like($a->sql('SET smart_fhir.audit = off'), qr/permission denied/, 'an ordinary role sets nothing');
like($a->sql('SET smart_fhir.audit = off', user => $super), qr/cannot be set below/, 'a superuser not less');
unlike($a->sql(q{SET smart_fhir.audit = 'all'}, user => $super), qr/ERROR/, 'but more');
$node->safe_psql('d', "ALTER ROLE app SET smart_fhir.audit = off; CREATE FUNCTION quiet(token text) RETURNS void LANGUAGE sql SET smart_fhir.audit = off AS 'SELECT smart.login(token)'");
$a->text;
$a->sql("BEGIN; SELECT smart.login('$good')");
is(scalar $a->records('login'), 1, 'nor does ALTER ROLE');
$a->sql("BEGIN; SELECT quiet('$good')", user => $super);
is(scalar $a->records('login'), 1, 'nor the SET of a function');
$a->sql("SELECT set_config('smart_fhir.audit', 'off', false); BEGIN; SELECT smart.login('$good')", user => $super);
is(scalar $a->records('login'), 1, 'nor set_config()');
$node->safe_psql('d', 'ALTER ROLE app RESET smart_fhir.audit; DROP FUNCTION quiet');
# a library that is loaded by the session finds what its client said of its settings before
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\nsession_preload_libraries = 'smart_fhir'");
$node->restart;
$a->{read} = 0;
$a->text;
{
	local $ENV{PGOPTIONS} = '-c smart_fhir.audit=off -c smart_fhir.key_file=/dev/null -c smart_fhir.audit_identities=clear';
	$a->sql("BEGIN; SELECT smart.login('$good')");
}
@lines = grep { /"event":"login"/ } $a->lines;
is(scalar @lines, 1, 'PGOPTIONS hides nothing');
like($lines[0], qr/"subject":"[0-9a-f]{32}"/, 'nor shows more');
is($a->verify($lines[0]), 't', 'nor takes the key away');

# ---- without a key: no hashed identities, no mac
$node->append_conf('postgresql.conf', "smart_fhir.key_file = ''");
$node->reload;
$node->poll_query_until('d', "SELECT current_setting('smart_fhir.key_file') = ''");
$a->text;
$a->sql("BEGIN; SELECT smart.login('$good')");
($r) = $a->records('login');
ok(!(grep { exists $r->{$_} } qw(subject jti patients mac)), 'without a key_file no identity, no mac');
is($r->{client_id}, 'c1', 'but the rest');
like($a->sql("SELECT smart.verify_audit('x')", user => $super), qr/key_file is not set/, 'verify_audit() says so');
like($a->sql("SELECT smart.audit_hash('patient', 'x')", user => $super), qr/key_file is not set/, 'and audit_hash()');
# a key that cannot be read: nothing that should be recorded is done
$node->append_conf('postgresql.conf', "smart_fhir.key_file = '/nowhere/key'");
$node->reload;
$node->poll_query_until('d', "SELECT current_setting('smart_fhir.key_file') <> ''");
like($a->sql("BEGIN; SELECT smart.login('$good'); SELECT smart.patient()"), qr/key_file cannot be used/, 'nobody logs in when that cannot be recorded');

# ---- off: not a line
$node->append_conf('postgresql.conf', "smart_fhir.key_file = '$a->{key}'\nsmart_fhir.audit = off");
$node->reload;
$node->poll_query_until('d', "SELECT current_setting('smart_fhir.audit') = 'off'");
$a->text;
$a->sql("BEGIN; SELECT smart.login('$good'); SELECT smart.login('x')");
is(scalar $a->records, 0, 'off');

$node->stop;
done_testing();
