# test/t/163_audit_tool.pl
# tools/audit.sh: the same records out of all three formats of the log, whatever others write into it; what it finds by patient, client,
# session and time; what --check says of a log that was changed; the auditor's questions of doc/audit.md, each as it stands there.
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use AuditLog;
use Balp;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $a = AuditLog->new('audit', <<'CONF');
smart_fhir.audit = 'all'
logging_collector = on
log_destination = 'stderr,csvlog,jsonlog'
log_directory = 'log'
log_filename = 'server.log'
log_line_prefix = '%m [%p] %a %c %Q %q%u@%d '
log_parameter_max_length_on_error = -1
CONF
my $node = $a->node;
my $super = $node->safe_psql('d', 'SELECT current_user');
my $json = JSON::PP->new->ascii->canonical;
my $pgaudit = $node->safe_psql('d', q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pgaudit'});
# PostgreSQL 15 is the first to write JSON
my %file = (text => $node->data_dir . '/log/server.log', csv => $node->data_dir . '/log/server.csv', json => $node->data_dir . '/log/server.json');
$node->safe_psql('d', q{
	CREATE FUNCTION about(id text, patient text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
	  SELECT jsonb_build_object('resourceType', 'Observation', 'id', id, 'status', 'final', 'subject', jsonb_build_object('reference', 'Patient/' || patient)) $$;
	CREATE TABLE obs (id text PRIMARY KEY, resource jsonb NOT NULL);
	INSERT INTO obs SELECT i, about(i::text, 'p' || i % 5) FROM generate_series(1, 20) i;
	SET client_min_messages = warning;
	SELECT smart.protect('obs', 'Observation');
	GRANT SELECT, INSERT, UPDATE, DELETE ON obs TO app;
	CREATE EXTENSION smart_fhir_oauth;
	SELECT smart.configure_server('{"issuer": "https://auth.example", "fhir_base_urls": ["https://fhir.example"]}')});
my $chart = $a->token(client_id => 'growth-chart');
my $doctor = $a->token(client_id => 'ehr', scope => 'user/*.cruds', fhirUser => 'Practitioner/dr', patient => undef);
my $expired = $a->token(client_id => 'growth-chart', exp => 1700000001);

sub slurp { return PostgreSQL::Test::Utils::slurp_file($_[0]) }
sub spew { my ($name, $text) = @_; open(my $file, '>', $name) or die $!; print $file $text; close $file; return $name }
$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGDATABASE} = 'd';
my $root = $ENV{TESTDIR};
# tool(ARGUMENT...): what it prints, line by line; $status and $said are the rest
my ($status, $said);
sub tool
{
	my (@arguments) = @_;
	my $out = '';
	$said = '';
	IPC::Run::run([ "$root/tools/audit.sh", @arguments ], '>', \$out, '2>', \$said);
	$status = $? >> 8;
	return split /\n/, $out;
}
sub briefly { return join ' ', map { my $r = $json->decode($_); $r->{event} } @_ }

# ---- what goes into the log: ours, and what would pass for it
my $session = (split /\n/, $a->sql("SELECT to_hex(trunc(extract(epoch FROM backend_start))::bigint) || '.' || to_hex(pid) FROM pg_stat_activity WHERE pid = pg_backend_pid(); BEGIN; SELECT smart.login('$chart'); TABLE obs; UPDATE obs SET resource = resource WHERE id = '1'; ROLLBACK; SELECT smart.login('$expired'); BEGIN; SELECT smart.login('$chart'); INSERT INTO obs VALUES ('z', about('z', 'p2'));"))[0];
$a->sql("BEGIN; SELECT smart.login('$doctor'); SELECT * FROM obs WHERE id IN ('1', '2'); SELECT * FROM obs WHERE id = '3'; COMMIT");
my ($real) = tool($file{text});
(my $fake = $real) =~ s/"role":"app"/"role":"nobody"/;
my $quoted = $fake =~ s/'/''/gr;
for my $name ('x', 'LOG:  smart_fhir audit: {"a":1}', 'LOG:  smart_fhir audit: {"event":"read","x":"')
{
	my $as = $name =~ s/'/''/gr;
	$a->sql("SET application_name = '$as';
		DO \$\$ BEGIN RAISE LOG '%', 'smart_fhir audit: $quoted'; RAISE LOG '%', E'x\\n2026-01-01 00:00:00.000 UTC [1] LOG:  smart_fhir audit: $quoted'; RAISE LOG 'x\"}'; RAISE LOG '%', '\",\"y\":\"LOG:  smart_fhir audit: $quoted'; END \$\$;
		DO \$\$ BEGIN RAISE EXCEPTION USING MESSAGE = 'x', DETAIL = E'\\nLOG:  smart_fhir audit: $quoted', HINT = 'smart_fhir audit: $quoted'; END \$\$;
		SELECT 1/0 /*\nLOG:  smart_fhir audit: $quoted\n*/;
		PREPARE p(text) AS SELECT \$1::int; EXECUTE p(E'1\\n2026-01-01 00:00:00.000 UTC [1] LOG:  smart_fhir audit: $quoted');");
}
# until the last line is there
for (1 .. 100) { last if $node->safe_psql('d', q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'd' AND backend_type = 'client backend'}) eq '1'; select(undef, undef, undef, 0.05); }
$node->stop;
my %records = map { $_ => [ tool($file{$_}) ] } keys %file;
$node->start;
cmp_ok(scalar @{ $records{text} }, '>=', 10, 'records are found');
is(scalar(grep { /"nobody"/ } @{ $records{text} }), 0, 'and nothing that others wrote');
is(join("\n", @{ $records{csv} }), join("\n", @{ $records{text} }), 'the same in csv');
is(join("\n", @{ $records{json} }), join("\n", @{ $records{text} }), 'the same in json');
my %log = map { $_ => spew(PostgreSQL::Test::Utils::tempdir . "/$_", slurp($file{$_})) } keys %file;
my $log = $log{text};
is(scalar tool($log{csv}), scalar @{ $records{text} }, 'kinds are told by what is in them');
system_or_bail('gzip', '-k', $log);
is(scalar tool("$log.gz"), scalar @{ $records{text} }, 'gzipped');

# ---- by patient, client, session, time
is(briefly(tool('--client', 'growth-chart', $log)), 'login read update undone refused login denied', 'a client: with what was undone');
is(briefly(tool('--client', 'ehr', $log)), 'login read read', 'another');
is(briefly(tool('--session', $session, $log)), 'login read update undone refused login denied end', 'a session');
is(briefly(tool('--patient', 'p1', '--event', 'read', $log)), 'read read', 'a patient, by the hash');
is(briefly(tool('--patient', 'p3', $log)), 'read', 'another');
is(briefly(tool('--patient', 'nobody', $log)), '', 'and none');
is(scalar tool('--since', 'tomorrow', $log), 0, 'since');
is(scalar tool('--until', 'yesterday', $log), 0, 'until');
is(scalar tool('--since', 'yesterday', '--until', 'tomorrow', $log), scalar @{ $records{text} }, 'between');
tool('--nonsense', $log);
is($status, 2, 'an option that is not known');
tool('--since', 'nonsense', $log);
is($status, 2, 'a time that is none');
tool("$log.nowhere");
is($status, 2, 'a file that is not there');

# ---- --check: as it was written, and whole
is(scalar tool('--check', $log), scalar @{ $records{text} }, '--check takes what is ours') or diag $said;
is($status, 0, 'and is content');
my $text = slurp($log);
(my $changed = $text) =~ s/"rows":4/"rows":3/;
my @kept = tool('--check', spew("$log.changed", $changed));
is("$status " . (@{ $records{text} } - @kept), '1 1', 'a changed record is left out, and said');
like($said, qr/not written by this server, or changed/, 'so');
my $gone = join '', grep { !/"event":"update"/ } split /^/, $text;
tool('--check', spew("$log.gone", $gone));
like($said, qr/session \Q$session\E: records 3 to 3 are missing/, 'a record that is missing');
is($status, 1, 'is said');
tool('--check', spew("$log.twice", $text . (grep { /"event":"update"/ } split /^/, $text)[0]));
like($said, qr/is there twice/, 'one that is there twice');
tool('--check', spew("$log.end", $text =~ s/^.*LOG:  smart_fhir audit: .*"event":"denied".*\n//mr));
like($said, qr/records 7 to 7 are missing/, 'the last one before the end');

# ---- --fhir
my @events = map { $json->decode($_) } tool('--check', '--fhir', $log);
cmp_ok(scalar @events, '>=', 10, 'AuditEvents');
is(scalar(grep { my ($profile, @problems) = Balp::check($_); @problems } @events), 0, 'which conform');

# ---- the questions of doc/audit.md, as they stand there
my ($questions, $beside) = slurp("$root/doc/audit.md") =~ /^## An auditor's questions\n(.*?)^## Beside pgaudit\n(.*)/ms;
my @commands = $questions =~ /^    ((?:tools\/audit\.sh|psql) .*)$/mg;
cmp_ok(scalar @commands, '>=', 8, 'doc/audit.md has commands');
SKIP:
{
	skip 'jq is not installed', 1 if system('command -v jq >/dev/null 2>&1');
	my @answers;
	for my $command (@commands)
	{
		local $ENV{LOG} = $log;
		local $ENV{SESSION} = $session;
		my $answer = `cd $root && $command 2>&1`;
		push @answers, $? ? "failed: $answer" : $answer;
	}
	my $subject = $a->hash('subject', 's1');
	like($answers[0], qr/^\S+\t$subject\tgrowth-chart\tpublic.obs\n\S+\t$subject\tehr\tpublic.obs\n$/, 'who saw the patient\'s records');
	is(briefly(split /\n/, $answers[1]), 'login read update undone refused login denied', 'what the app did');
	like($answers[2], qr/^\["[^"]+","token_expired","28000"\]\n\["[^"]+","insufficient_scope","42501"\]\n$/, 'which refusals came from it');
	is(briefly(split /\n/, $answers[3]), 'login read update undone refused login denied end', 'what the session did');
	is($answers[4], '', 'which tokens were given: none here (162_audit_event has some)');
	is($answers[5], '', 'the log is whole');
	is(scalar(split /\n/, $answers[6]), scalar @events, 'as FHIR');
	is($node->safe_psql('d', 'SELECT count(*) FROM audit'), scalar @{ $records{text} }, 'as a table');
	is(scalar(grep { /^failed/ } @answers), 0, 'each of them works') or diag join "\n", grep { /^failed/ } @answers;
}

# ---- beside pgaudit: the same session and query identifier
SKIP:
{
	skip 'pgaudit or jq is not installed', 3 if !$pgaudit || system('command -v jq >/dev/null 2>&1');
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'smart_fhir, pgaudit'\npgaudit.log = 'read, write'");
	$node->restart;
	$a->sql("BEGIN; SELECT smart.login('$chart'); SELECT id FROM obs; COMMIT");
	$node->stop;
	my ($read) = map { $json->decode($_) } (tool('--event', 'read', '--client', 'growth-chart', $file{text}))[-1];
	my ($line) = grep { /\Q$read->{session} $read->{query_id}\E / && /AUDIT: / } split /\n/, slurp($file{text});
	like($line, qr/SELECT id FROM obs/, 'pgaudit\'s line of a record is found by session and query_id');
	like(slurp($file{csv}), qr/AUDIT: SESSION/, 'in each format');
	my ($command) = $beside =~ /^    (tools\/audit\.sh .*)$/m;
	local $ENV{LOG} = $file{text};
	like(`cd $root && $command`, qr/SELECT id FROM obs/, 'by the command of doc/audit.md');
}
$node->stop;
done_testing();
