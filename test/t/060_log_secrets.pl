# test/t/060_log_secrets.pl
# With everything logged that PostgreSQL can log, no part of a token stands in any log, nor in
# pg_stat_activity after the login.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('secrets');
$node->init;
$node->append_conf('postgresql.conf', q{
logging_collector = on
log_destination = 'stderr,csvlog,jsonlog'
log_directory = 'log'
log_statement = 'all'
log_duration = on
log_min_duration_statement = 0
log_min_messages = debug1
log_error_verbosity = verbose
log_parameter_max_length = -1
log_parameter_max_length_on_error = -1
log_line_prefix = '%m [%p] %q%u@%d '
});
$node->start;

my $key = '{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",'
  . '"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}';
$node->safe_psql('postgres', qq{
  CREATE DATABASE d; CREATE ROLE app LOGIN;
  ALTER DATABASE d SET session_preload_libraries = 'smart_fhir'});
$node->safe_psql('d', qq{
  CREATE EXTENSION smart_fhir;
  SELECT smart.add_issuer('https://as.example', ('$key'::jsonb) - 'd', '{https://fhir.example}', max_token_age => '40000 days');
  CREATE FUNCTION pass_on(token text) RETURNS void LANGUAGE plpgsql AS \$\$ BEGIN PERFORM smart.login(token); END \$\$;
  CREATE FUNCTION pass_on_text(token text) RETURNS void LANGUAGE plpgsql AS \$\$ BEGIN EXECUTE format('SELECT smart.login(%L), 1/0', token); END \$\$;
  CREATE FUNCTION complain(token text) RETURNS void LANGUAGE plpgsql AS \$\$ BEGIN RAISE EXCEPTION USING MESSAGE = 'got ' || token, DETAIL = 'detail ' || token, HINT = 'hint ' || token; END \$\$;
  CREATE FUNCTION typo(token text) RETURNS void LANGUAGE plpgsql AS \$\$ BEGIN EXECUTE 'SELECT smart.lgin(' || quote_literal(token) || ')'; END \$\$;
  CREATE FUNCTION cast_it(token text) RETURNS void LANGUAGE plpgsql AS \$\$ BEGIN PERFORM token::int; END \$\$});

# Tokens with telling parts: each test has its own, so that a leak says where it came from.
my $n = 0;
my @parts;
sub token
{
  my ($exp) = @_;
  my $mine = $node->safe_psql('d', sprintf(q{SELECT smart.jwt_sign('{"iss":"https://as.example","sub":"secret%d","client_id":"c","aud":"https://fhir.example",
    "jti":"j","iat":1700000000,"exp":%s,"scope":"patient/*.rs","patient":"1"}', '%s')}, ++$n, $exp // '4102444800', $key));
  my ($h, $p, $s) = split /\./, $mine;
  push @parts, [ $n, $p, $s ];
  return $mine;
}
# The safe_psql() above logs keys and claims in clear, so the log starts anew before the tests.
my $tokens = join "\n", map { token() } 1 .. 20;
my @token = split /\n/, $tokens;
my $expired = token(1700000100);
my ($header) = split /\./, $token[0];
$node->stop;
unlink glob($node->data_dir . '/log/*');
$node->start;

sub run
{
  my ($sql, @extra) = @_;
  return $node->psql('d', $sql, on_error_stop => 0, extra_params => [ '-U', 'app', @extra ]);
}
my ($status, $out, $err);

# Literals: good, refused, cut short, with a typo in the function's name, without a closing quote, and twice in a statement.
($status, $out) = run("BEGIN; SELECT smart.login('$token[0]'); SELECT smart.patient();");
like($out, qr/\n1$/, 'a literal token works');
run("SELECT smart.login('$expired')");
run("SELECT smart.login('" . substr($token[1], 0, -20) . "')");
run("SELECT smart.login('" . substr($token[1], 0, 60) . "')");
(undef, undef, $err) = run("SELECT smart.lgin('$token[2]')");
like($err, qr/does not exist/, 'a typo is an error');
run("SELECT smart.login($token[3])");
# a syntax error quotes the part that it stops at: here the signature, as junk after a number
run("SELECT smart.login(" . ($token[3] =~ s/\.([^.]*)\z/.7$1/r) . ")");
run("SELECT smart.login(\"$token[3]\")");
run("SELECT smart.login('$token[4]");
run("SELECT smart.login('$token[4]', 'x', 'y', 'z')");
run("SELECT smart.login('$token[4]', interaction => '$token[5]')");
run("SELECT '$token[5]'::int, '$token[6]'::json");
run("SELECT smart.jwt_verify('$token[6]', '{}'), smart.jwt_header('$token[7]x'), 1/0");
run("/* Authorization: Bearer $token[7] */ SELECT 1/0");
run("SET application_name = 'x'; SELECT smart.login('$token[7]', true, 'nonsense')");
run("SELECT set_config('smart_fhir.session', '$token[7]', false)");

# Parameters: PREPARE and EXECUTE, EXECUTE .. USING, the extended protocol with an error, a failed cast of the parameter.
run("PREPARE p AS SELECT smart.login('$token[8]'); BEGIN; EXECUTE p; SELECT 1/0");
run("PREPARE p(text) AS SELECT smart.login(\$1); BEGIN; EXECUTE p('$token[9]'); ROLLBACK; EXECUTE p('$token[9]x'); EXECUTE p('$token[9]', 2);");
run("DO \$\$ BEGIN EXECUTE 'SELECT smart.login(\$1), 1/0' USING '$token[10]'; END \$\$");
run("SELECT smart.login(\$1) \\bind '$token[11]' \\g");
run("EXPLAIN ANALYZE SELECT smart.login('$token[11]')");
run("CREATE TABLE no_right AS SELECT smart.login('$token[11]')");

# Functions' CONTEXT, and messages that a function makes of a token.
run("SELECT pass_on('$token[12]'); SELECT pass_on('$token[12]x')");
run("SELECT pass_on_text('$token[13]'); SELECT typo('$token[13]')");
(undef, undef, $err) = run("SELECT complain('$token[14]')");
unlike($err, qr/\Q$token[14]/, 'nor does the client get it back in an error');
run("SELECT cast_it('$token[15]')");
run("DO \$\$ BEGIN PERFORM complain('$token[15]'); EXCEPTION WHEN OTHERS THEN RAISE WARNING '%', sqlerrm; END \$\$");

# pgbench speaks the extended protocol: good parameters and failing ones, in both modes.
my $dir = PostgreSQL::Test::Utils::tempdir;
for my $mode ('extended', 'prepared')
{
  PostgreSQL::Test::Utils::append_to_file("$dir/$mode.sql", "BEGIN;\nSELECT smart.login(:token);\nSELECT smart.patient();\nCOMMIT;\nSELECT smart.login(:token, true, 'nonsense');\n");
  local $ENV{PGUSER} = 'app';
  IPC::Run::run([ 'pgbench', '-n', '-M', $mode, '-t', '2', '-D', "token=$token[$mode eq 'extended' ? 16 : 17]", '-f', "$dir/$mode.sql",
    '-h', $node->host, '-p', $node->port, 'd' ], '>', \my $o, '2>', \my $e);
  like($e, qr/invalid value for parameter|aborted/, "pgbench $mode ran") or diag $o;
}

# What a context function says when it fails is in the log, so that it can be mended; its DETAIL, where PostgreSQL prints rows, is not,
# unless the log is verbose.
my $assume = q{SELECT smart.assume('{"scope": "user/*.rs", "fhirUser": "Practitioner/1"}', 'https://context.example');};
$node->safe_psql('d', qq{
  CREATE FUNCTION public.fails(claims jsonb) RETURNS text[] LANGUAGE plpgsql AS \$\$ BEGIN RAISE EXCEPTION USING MESSAGE = 'no links ' || upper('message'), DETAIL = 'row ' || upper('detail') || current_setting('log_error_verbosity'); END \$\$;
  SELECT smart.add_issuer('https://context.example', ('$key'::jsonb) - 'd', '{https://fhir.example}', user_patients => 'public.fails(jsonb)')});
for my $verbosity ('default', 'verbose')
{
  my (undef, undef, $said) = $node->psql('d', "SET log_error_verbosity = $verbosity;\n$assume");
  unlike($said, qr/MESSAGE|DETAIL[dv]/, "a context function's error is not the client's: $verbosity");
}

# G. The log hook takes time in proportion to the statement: one of 8 MB of tokens and words, all of it in the error, is through at
# once (in proportion to its square it would outlast the test). Words that stand in no token are left.
srand 7;
my $word = sub { join '', map { chr(97 + int rand 26) } 1 .. $_[0] };
my $large = join ' ', map { $_ % 120 == 0 ? 'eyJ' . $word->(200) : $word->(30) } 1 .. 240_000;
my $outlasts;
$node->psql('d', "SELECT 'unmaskedword $large'::int;", stderr => \$err, timeout => $PostgreSQL::Test::Utils::timeout_default, timed_out => \$outlasts,
  extra_params => [ '-U', 'app' ]);
# nothing interrupts a report
if ($outlasts) { fail('a failed statement of 8 MB'); $node->stop('immediate'); done_testing(); exit 1; }
like($err, qr/invalid input syntax for type integer: "unmaskedword .*<token>/, 'a failed statement of 8 MB');
unlike($err =~ s/^LINE 1:.*//msr, qr/eyJ/, '... holds no token');

# pg_stat_activity, seen by another session of the same role, after each statement and while it runs.
my $look = sprintf(q{\! psql -X -At -h '%s' -p %d -U app -d d -c "SELECT query FROM pg_stat_activity WHERE application_name = 'watched'"},
  $node->host, $node->port);
for my $sql ("BEGIN; SELECT smart.login('$token[18]');", "SELECT smart.lgin('$token[18]');", "SELECT smart.login('${\ substr($token[19], 0, 99)}');",
  "PREPARE q AS SELECT smart.login('$token[19]');", "EXPLAIN SELECT smart.login('$token[19]');", "SELECT length('$token[19]');")
{
  (undef, $out) = run("SET application_name = 'watched';\n$sql\n$look\n");
  like($out, qr/<token>/, 'pg_stat_activity: ' . substr($sql, 0, 30));
  unlike($out, qr/eyJ/, 'holds none');
}

$node->stop;
my %log;
for my $file (glob($node->data_dir . '/log/*'))
{
  my ($ext) = $file =~ /\.(\w+)$/;
  $log{$ext} .= PostgreSQL::Test::Utils::slurp_file($file);
}
is(join(' ', sort keys %log), 'csv json log', 'three kinds of log');
for my $ext (sort keys %log)
{
  like($log{$ext}, qr/<token>/, "$ext: tokens are masked");
  like($log{$ext}, qr/access token is not accepted/, "$ext: errors are there");
  unlike($log{$ext}, qr/eyJ/i, "$ext: nothing that begins like a token");
  unlike($log{$ext}, qr/\Q$header/, "$ext: no header");
  my @leaks = grep { index($log{$ext}, $_->[2]) >= 0 || index($log{$ext}, substr($_->[1], 4)) >= 0
      || index(lc $log{$ext}, lc substr($_->[2], 0, 30)) >= 0 || index($log{$ext}, substr($_->[1], 20, 30)) >= 0 } @parts;
  is(join(' ', map { $_->[0] } @leaks), '', "$ext: no payload or signature, also folded to lower case");
  unlike($log{$ext}, qr/secret\d/, "$ext: no claim value");
  like($log{$ext}, qr/no links MESSAGE.*row DETAILverbose/s, "$ext: the context function's error");
  unlike($log{$ext}, qr/DETAILdefault/, "$ext: its DETAIL only where the log is verbose");
}
if ($ENV{KEEP_LOG}) { open my $f, '>', $ENV{KEEP_LOG}; print $f $log{log}; close $f; }

done_testing();
