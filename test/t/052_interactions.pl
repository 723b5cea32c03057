# test/t/052_interactions.pl
# "What each FHIR interaction needs" in doc/reference.md: every row of that table, run as it says, with a token that
# may and one that may not; and a long export under tokens that live for four seconds.
use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('interactions');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nsession_preload_libraries = 'smart_fhir'");
$node->start;
# RFC 8037 appendix A.1
my $public = '"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"';
my $private = qq({$public,"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"});
$node->safe_psql('postgres', qq{
CREATE EXTENSION smart_fhir;
SELECT smart.add_issuer('https://auth.test', '{"keys":[{$public}]}', '{https://fhir.test}', leeway => '0');
CREATE ROLE app LOGIN;
CREATE TABLE o (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE o_history (id text, version int, resource jsonb NOT NULL, PRIMARY KEY (id, version));
CREATE TABLE patient (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE TABLE encounter (id text PRIMARY KEY, resource jsonb NOT NULL);
CREATE FUNCTION obs(id text, patient text, encounter text DEFAULT NULL, status text DEFAULT 'final') RETURNS jsonb LANGUAGE sql IMMUTABLE AS
\$\$ SELECT jsonb_strip_nulls(jsonb_build_object('resourceType', 'Observation', 'id', id, 'status', status, 'subject', jsonb_build_object('reference', 'Patient/' || patient),
  'encounter', jsonb_build_object('reference', 'Encounter/' || encounter))) \$\$;
INSERT INTO patient SELECT p, jsonb_build_object('resourceType', 'Patient', 'id', p, 'gender', CASE p WHEN 'p1' THEN 'female' ELSE 'male' END) FROM unnest('{p1,p2}'::text[]) p;
INSERT INTO encounter SELECT 'e' || i, jsonb_build_object('resourceType', 'Encounter', 'id', 'e' || i, 'status', 'finished', 'subject', jsonb_build_object('reference', 'Patient/p' || i)) FROM generate_series(1, 2) i;
INSERT INTO o SELECT 'o' || i, obs('o' || i, 'p' || (i + 1) / 2, 'e' || (i + 1) / 2) FROM generate_series(1, 4) i;
INSERT INTO o_history SELECT id, 1, resource FROM o;
SET client_min_messages = warning;
SELECT smart.protect('o', 'Observation'), smart.protect('o_history', 'Observation'), smart.protect('patient', 'Patient'), smart.protect('encounter', 'Encounter');
GRANT SELECT, INSERT, UPDATE, DELETE ON o, o_history, patient, encounter TO app;
});

my %tokens;
sub token
{
  my ($scope, $patient, $seconds) = @_;
  my $context = $patient ? ", 'patient', '$patient'" : '';
  $seconds //= 3600;
  return $tokens{"$scope $context $seconds"} //= $node->safe_psql('postgres', qq{
    SELECT smart.jwt_sign(jsonb_build_object('iss', 'https://auth.test', 'aud', 'https://fhir.test', 'sub', 'somebody', 'client_id', 'app',
      'jti', gen_random_uuid(), 'scope', '$scope', 'iat', floor(extract(epoch FROM now())) - 1, 'exp', floor(extract(epoch FROM now())) + $seconds $context), '$private')});
}

# ask(TOKEN, INTERACTION, SQL): what a request gets, in one transaction that is rolled back; the
# SQLSTATE of an error. A list of INTERACTION and SQL pairs is one request.
sub ask
{
  my ($token, @steps) = @_;
  my $sql = "\\set ON_ERROR_STOP 1\nBEGIN;\nSELECT smart.login('$token') \\g /dev/null\n";
  while (my ($interaction, $statement) = splice @steps, 0, 2)
  {
    $interaction = defined $interaction ? "'$interaction'" : 'NULL';
    $sql .= "SELECT smart.set_interaction($interaction) \\g /dev/null\n$statement;\n";
  }
  my ($status, $out, $err) = $node->psql('postgres', "$sql\nROLLBACK;", extra_params => [ '-U', 'app', '-v', 'VERBOSITY=sqlstate' ], on_error_stop => 0);
  return $err =~ /ERROR: +(\w{5})/ ? $1 : join ' ', grep { length } split /\n/, $out;
}

my $p1 = 'patient/Observation';
my $all = 'SELECT count(*) FROM o';
# name of the row => pairs of the two answers
my %rows = (
  'read' => sub {
    my @r = ('read', "SELECT id FROM o WHERE id = 'o1'");
    is(ask(token("$p1.r", 'p1'), @r), 'o1', 'read: r is enough');
    is(ask(token("$p1.s", 'p1'), @r), '', 'read: s is not');
    is(ask(token("$p1.r", 'p2'), @r), '', 'read: of another patient: no row, 404');
  },
  'vread, instance history' => sub {
    for my $name (qw(vread history))
    {
      my @r = ($name, "SELECT id, version FROM o_history WHERE id = 'o1'");
      is(ask(token("$p1.r", 'p1'), @r), 'o1|1', "$name: r is enough");
      is(ask(token("$p1.s", 'p1'), @r), '', "$name: s is not");
      is(ask(token("$p1.rs", 'p2'), @r), '', "$name: nor of another patient");
    }
  },
  'type or system history' => sub {
    my @r = ('search', 'SELECT count(*) FROM o_history');
    is(ask(token("$p1.s", 'p1'), @r), '2', 'history of a type: s, and the own rows');
    is(ask(token("$p1.r", 'p1'), @r), '0', 'history of a type: r is not enough');
  },
  'search, and search at system level' => sub {
    is(ask(token("$p1.s", 'p1'), 'search', $all), '2', 'search: s, and counts are of visible rows');
    is(ask(token("$p1.r", 'p1'), 'search', $all), '0', 'search: r is not enough');
    is(ask(token("$p1.s patient/Patient.s", 'p1'), 'search', "SELECT string_agg(id, ',' ORDER BY id) FROM (SELECT id FROM o UNION ALL SELECT id FROM patient UNION ALL SELECT id FROM encounter) x"),
      'o1,o2,p1', 'search at system level: the types of the scope');
  },
  '`_include`, `_revinclude`' => sub {
    my @r = (undef, "SELECT o.id, e.id FROM o LEFT JOIN encounter e ON 'Encounter/' || e.id = o.resource #>> '{encounter,reference}' WHERE o.id = 'o1'");
    is(ask(token("$p1.rs patient/Encounter.rs", 'p1'), @r), 'o1|e1', '_include: by a scope of its own type');
    is(ask(token("$p1.rs", 'p1'), @r), 'o1|', '_include: not without');
    is(ask(token("$p1.rs patient/Encounter.s", 'p1'), @r), 'o1|', '_include: nor with s alone');
    is(ask(token('system/Observation.rs patient/Encounter.rs', 'p2'), @r), 'o1|', '_include: each row by its own level');
  },
  'chained parameters, `_has`, sorting through references' => sub {
    my @r = ('search', "SELECT count(*) FROM o JOIN patient p ON 'Patient/' || p.id = o.resource #>> '{subject,reference}' WHERE p.resource ->> 'gender' = 'female'");
    is(ask(token('system/Observation.s system/Patient.s'), @r), '2', 'chained: over visible rows');
    is(ask(token('system/Observation.s patient/Patient.s', 'p2'), @r), '0', 'chained: hidden rows do not take part');
  },
  'create' => sub {
    my @r = ('create', "INSERT INTO o VALUES ('new', obs('new', 'p1')) RETURNING id");
    is(ask(token("$p1.c", 'p1'), @r), 'new', 'create: c is enough, with RETURNING');
    is(ask(token("$p1.ruds", 'p1'), @r), '42501', 'create: the others are not');
    is(ask(token("$p1.c", 'p2'), @r), '42501', 'create: not in another chart');
  },
  'conditional create' => sub {
    my @r = ('search', "SELECT count(*) FROM o WHERE id = 'new'", 'create', "INSERT INTO o VALUES ('new', obs('new', 'p1')) RETURNING id");
    is(ask(token("$p1.cs", 'p1'), @r), '0 new', 'conditional create: c and s');
    is(ask(token("$p1.s", 'p1'), @r), '42501', 'conditional create: s alone does not write');
    is(ask(token("$p1.c", 'p1'), 'search', "SELECT count(*) FROM o WHERE id = 'o1'"), '0', 'conditional create: c alone does not search');
  },
  'update' => sub {
    my @r = ('update', "UPDATE o SET resource = obs('o1', 'p1', 'e1', 'amended') WHERE id = 'o1' RETURNING resource ->> 'status'");
    is(ask(token("$p1.u", 'p1'), @r), 'amended', 'update: u is enough');
    is(ask(token("$p1.crds", 'p1'), @r), '', 'update: the others are not, 0 rows');
    is(ask(token("$p1.u", 'p2'), @r), '', 'update: nor of another patient');
    is(ask(token("$p1.u", 'p1'), 'update', "UPDATE o SET resource = obs('o1', 'p2') WHERE id = 'o1'"), '42501', 'update: no move to another chart');
  },
  'update as create' => sub {
    my $put = sub { ('update', "INSERT INTO o VALUES ('$_[0]', obs('$_[0]', 'p1')) ON CONFLICT (id) DO UPDATE SET resource = EXCLUDED.resource RETURNING id") };
    is(ask(token("$p1.u", 'p1'), $put->('new')), 'new', 'update as create: u creates');
    is(ask(token("$p1.u", 'p1'), $put->('o1')), 'o1', 'update as create: and updates');
    is(ask(token("$p1.rs", 'p1'), $put->('new')), '42501', 'update as create: not without');
    is(ask(token("$p1.cu", 'p1'), $put->('o3')), '42501', 'update as create: not over a row of another patient');
  },
  'patch, conditional update' => sub {
    my @patch = ('patch', "UPDATE o SET resource = resource || '{\"status\": \"amended\"}' WHERE id = 'o1' RETURNING resource ->> 'status'");
    is(ask(token("$p1.u", 'p1'), @patch), 'amended', 'patch: u is enough');
    is(ask(token("$p1.rs", 'p1'), @patch), '', 'patch: rs is not');
    is(ask(token("$p1.u", 'p2'), @patch), '', 'patch: one that touches no element of the compartment, of another patient');
    my @update = ('search', "SELECT id FROM o WHERE resource @> '{\"encounter\": {\"reference\": \"Encounter/e1\"}}' AND id = 'o2'", 'update', "UPDATE o SET resource = obs('o2', 'p1') WHERE id = 'o2' RETURNING id");
    is(ask(token("$p1.us", 'p1'), @update), 'o2 o2', 'conditional update: s and u');
    is(ask(token("$p1.us", 'p2'), @update), '', 'conditional update: not of another patient');
  },
  'delete' => sub {
    my @r = ('delete', "DELETE FROM o WHERE id = 'o1' RETURNING id");
    is(ask(token("$p1.d", 'p1'), @r), 'o1', 'delete: d is enough');
    is(ask(token("$p1.crus", 'p1'), @r), '', 'delete: the others are not');
    is(ask(token("$p1.d", 'p2'), @r), '', 'delete: nor of another patient');
    is(ask(token("$p1.d", 'p2'), 'delete', "DELETE FROM o WHERE resource ->> 'status' = 'final' RETURNING id"), 'o3 o4', 'conditional delete: of the own rows');
  },
  'batch, transaction' => sub {
    my @entries = ('create', "INSERT INTO o VALUES ('new', obs('new', 'p1')) RETURNING id", 'read', "SELECT id FROM o WHERE id = 'o1'", 'delete', "DELETE FROM o WHERE id = 'o2' RETURNING id");
    is(ask(token("$p1.crd", 'p1'), @entries), 'new o1 o2', 'transaction: each entry by its own interaction');
    is(ask(token("$p1.rd", 'p1'), @entries), '42501', 'transaction: one entry that is refused fails it');
    is(ask(token("$p1.rd", 'p1'), 'read', "SELECT id FROM o WHERE id = 'o1'", 'read', "SAVEPOINT entry;\n\\set ON_ERROR_STOP 0\nINSERT INTO o VALUES ('new', obs('new', 'p1'));\nROLLBACK TO entry;\nSELECT id FROM o WHERE id = 'o2'"),
      '42501', 'batch: the entry that is refused says so');
    my ($status, $out) = $node->psql('postgres', "BEGIN;\nSELECT smart.login('" . token("$p1.rd", 'p1') . "') \\g /dev/null\nSAVEPOINT entry;\nINSERT INTO o VALUES ('new', obs('new', 'p1'));\nROLLBACK TO entry;\nSELECT smart.set_interaction('read') \\g /dev/null\nSELECT id FROM o;\nROLLBACK;",
      extra_params => [ '-U', 'app' ], on_error_stop => 0);
    is(join(' ', split /\n/, $out), 'o1 o2', 'batch: after ROLLBACK TO the others go on');
  },
  '`$everything`' => sub {
    my @r = (undef, "SELECT smart.require('Patient', 'rs')", undef,
      "SELECT string_agg(id, ',' ORDER BY id) FROM (SELECT id FROM patient UNION ALL SELECT id FROM o UNION ALL SELECT id FROM encounter) x");
    is(ask(token('patient/*.rs', 'p1'), @r), 'e1,o1,o2,p1', '$everything: what is the patient\'s');
    is(ask(token('patient/Patient.rs patient/Observation.rs', 'p1'), @r), 'o1,o2,p1', '$everything: of the types in the scope');
    is(ask(token('patient/Observation.rs', 'p1'), @r), '42501', '$everything: not without Patient');
  },
  '`$export`' => sub {
    my @r = (undef, "SELECT smart.require('Observation', 'rs')", undef, 'SELECT count(*) FROM o');
    is(ask(token('system/*.rs'), @r), '4', '$export: all rows for system/*.rs');
    is(ask(token('system/Observation.rs?status=amended'), @r), '0', '$export: within the scope\'s parameters');
    is(ask(token('system/Patient.rs'), @r), '42501', '$export: not a type that the scope does not name');
  },
  '`$lastn`, `$stats`' => sub {
    my @r = ('search', "SELECT resource ->> 'status', count(*) FROM o GROUP BY 1");
    is(ask(token("$p1.s", 'p1'), @r), 'final|2', '$stats: over what may be searched');
    is(ask(token("$p1.r", 'p1'), @r), '', '$stats: r is not enough');
  },
  'any other operation' => sub {
    is(ask(token('patient/*.cruds', 'p1'), 'validate', 'SELECT 1'), '22023', 'an interaction that is not known is refused');
  },
);

# The table in the documentation has these rows, no more and no fewer.
my $reference = slurp_file(dirname(__FILE__) . '/../../doc/reference.md');
my ($table) = $reference =~ /^\| FHIR \| call first \|.*?\n\|[- |]+\n(.*?)\n\n/ms;
my @documented = map { /^\| (.*?) \|/ ? $1 : () } split /\n/, $table;
is_deeply([ sort @documented ], [ sort keys %rows ], 'every row of the table has a test, and every test a row');
$rows{$_}->() for grep { $rows{$_} } @documented;

# --- S. Interactions as a key ----------------------------------------------------------------------
# The letter of a write serves for the statement's own target, and for no other row that is shown.
$node->safe_psql('postgres', q{
CREATE TABLE parted (id text, n int, resource jsonb NOT NULL, PRIMARY KEY (id, n)) PARTITION BY RANGE (n);
CREATE TABLE parted_0 PARTITION OF parted FOR VALUES FROM (0) TO (10);
INSERT INTO parted SELECT id, 1, resource FROM o;
SET client_min_messages = warning;
SELECT smart.protect('parted', 'Observation');
CREATE VIEW o_view WITH (security_invoker = true) AS SELECT * FROM o;
CREATE VIEW o_rule WITH (security_invoker = true) AS SELECT id, resource FROM o WHERE id <> '';
CREATE RULE o_rule_delete AS ON DELETE TO o_rule DO INSTEAD DELETE FROM o WHERE id = OLD.id RETURNING OLD.id, OLD.resource;
GRANT SELECT, INSERT, UPDATE, DELETE ON parted, o_view, o_rule TO app;
CREATE FUNCTION seen() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM o'});
for my $case ([ 'c', 'create' ], [ 'u', 'update' ], [ 'u', 'patch' ], [ 'd', 'delete' ])
{
  my ($letter, $name) = @$case;
  my $one = token("system/Observation.$letter");
  is(ask($one, undef, $all, $name, $all, $name, "SELECT count(*) FROM o_view", $name, "SELECT seen()", $name, "SELECT count(*) FROM parted"), '0 0 0 0 0', "$name: $letter alone shows nothing");
  is(ask(token('system/Observation.' . join('', grep { /[rs$letter]/ } qw(c r u d s))), $name, $all), '4', "$name: with r and s it does");
  is(ask(token('system/Observation.' . join('', grep { /[r$letter]/ } qw(c r u d s))), $name, $all), '0', "$name: not with r alone");
}
my $c = token('system/Observation.c');
is(ask($c, 'create', "INSERT INTO o VALUES ('n1', obs('n1', 'p1')) RETURNING id, (SELECT count(*) FROM o)"), 'n1|0', 'create: a sub-select in RETURNING is no target');
is(ask($c, 'create', "INSERT INTO o SELECT id || 'x', resource FROM o RETURNING id"), '', 'create: nor is the source of INSERT ... SELECT');
is(ask($c, 'create', "INSERT INTO o VALUES ('o1', obs('o1', 'p1')) ON CONFLICT DO NOTHING RETURNING id"), '', 'create: ON CONFLICT DO NOTHING');
is(ask($c, 'create', "WITH n AS (INSERT INTO o VALUES ('n2', obs('n2', 'p1')) RETURNING id) SELECT n.id, (SELECT count(*) FROM o) FROM n"), 'n2|0', 'create: in WITH, and what stands beside it');
is(ask($c, 'create', "INSERT INTO o_view VALUES ('n3', obs('n3', 'p1')) RETURNING id"), 'n3', 'create: through a view');
is(ask($c, 'create', "INSERT INTO parted VALUES ('n4', 2, obs('n4', 'p1')) RETURNING id"), 'n4', 'create: into a partition');
is(ask($c, undef, "INSERT INTO o VALUES ('n5', obs('n5', 'p1')) RETURNING id"), '42501', 'no interaction: RETURNING needs r and s');
my $u = token('system/Observation.u');
is(ask($u, 'update', "UPDATE o SET resource = obs('o1', 'p1', 'e1', 'amended') WHERE id = 'o1' RETURNING resource ->> 'status', (SELECT count(*) FROM o)"), 'amended|0', 'update: the target, and no sub-select');
is(ask($u, 'update', "UPDATE o SET resource = o.resource FROM o AS other WHERE other.id = o.id RETURNING other.resource"), '', 'update: the target joined with itself is asked as SELECT is');
is(ask($u, 'update', "UPDATE o_view SET resource = resource WHERE id = 'o1' RETURNING id"), 'o1', 'update: through a view');
is(ask($u, 'update', "UPDATE parted SET resource = resource WHERE id = 'o1' RETURNING id"), 'o1', 'update: of a partition');
is(ask($u, 'update', "SELECT id FROM o FOR UPDATE"), '', 'update: SELECT FOR UPDATE has no target');
is(ask($u, 'update', "MERGE INTO o USING (VALUES ('o1'), ('o2')) v (id) ON v.id = o.id WHEN MATCHED THEN UPDATE SET resource = obs(o.id, 'p1', 'e1', 'amended');\nSELECT smart.set_interaction(NULL) \\g /dev/null\nSELECT count(*) FROM o"), '0', 'update: MERGE');
is(ask(token('system/Observation.rus'), 'update', "MERGE INTO o USING (VALUES ('o1'), ('o2')) v (id) ON v.id = o.id WHEN MATCHED THEN UPDATE SET resource = obs(o.id, 'p1', 'e1', 'amended')", 'read', "SELECT count(*) FROM o WHERE resource ->> 'status' = 'amended'"), '2', 'update: MERGE changes its target');
is(ask(token('system/Observation.u'), 'update', "MERGE INTO o USING o AS other ON other.id = o.id WHEN MATCHED THEN UPDATE SET resource = obs(o.id, 'p2', NULL, other.resource ->> 'status')", 'update', "UPDATE o SET resource = resource RETURNING resource #>> '{subject,reference}'"),
  'Patient/p1 Patient/p1 Patient/p2 Patient/p2', 'update: what MERGE joins is no target');
my $d = token('system/Observation.d');
is(ask($d, 'delete', "DELETE FROM o WHERE id = 'o1' RETURNING id"), 'o1', 'delete: the target');
is(ask($d, 'delete', "DELETE FROM o USING o AS other WHERE o.id = 'o1' RETURNING other.id"), '', 'delete: not what USING joins');
is(ask($d, 'delete', "WITH gone AS (DELETE FROM o WHERE id = 'o1' RETURNING id) SELECT gone.id, (SELECT count(*) FROM o) FROM gone"), 'o1|0', 'delete: in WITH, and what stands beside it');
is(ask($d, 'delete', "DELETE FROM o_rule WHERE id = 'o1' RETURNING id"), '', 'delete: a rule reads its view as SELECT does');
# one plan that is kept, for each by its own letters
is(ask(token('system/Observation.rus'), 'update', "PREPARE kept AS UPDATE o SET resource = resource WHERE id IN (SELECT id FROM o) RETURNING id", 'update', 'EXECUTE kept', 'update', "SELECT smart.login('$u') \\g /dev/null\nSELECT smart.set_interaction('update') \\g /dev/null\nEXECUTE kept"),
  'o1 o2 o3 o4', 'a kept plan: the target by u, the sub-select by r and s');

# --- a long export against a short token ----------------------------------------------------------
# doc/operations.md: chunks by key, each in a transaction of its own, with the token that is valid then.
$node->safe_psql('postgres', "INSERT INTO o SELECT 'x' || lpad(i::text, 5, '0'), obs('x' || i, 'p1') FROM generate_series(1, 2000) i");
my ($last, $n, $chunks, $renewed, @others) = ('', 0, 0, 0);
my $token = token('system/*.rs', undef, 4);
my $started = time;
while (1)
{
  my ($status, $out, $err) = $node->psql('postgres', "BEGIN;\nSELECT smart.login('$token', interaction => 'search') \\g /dev/null\nSELECT id FROM o WHERE id > '$last' ORDER BY id LIMIT 250;\nSELECT pg_sleep(0.6) \\g /dev/null\nCOMMIT;",
    extra_params => [ '-U', 'app' ]);
  if ($status != 0)
  {
    # 28000: the client comes back with a new token, and the export goes on where it was
    # (how often depends on the machine, so these are counted, not tested one by one)
    push @others, $err unless $err =~ /access token is not accepted/;
    %tokens = ();
    $token = token('system/*.rs', undef, 4);
    $renewed++;
    last if $renewed > 20;
    next;
  }
  my @ids = split /\n/, $out;
  last unless @ids;
  $n += @ids;
  $chunks++;
  $last = $ids[-1];
}
is_deeply(\@others, [], 'nothing but an expired token stops a chunk');
is($n, 2004, 'the export is complete') or diag("$chunks chunks, $renewed renewals");
cmp_ok($renewed, '>', 0, 'and took longer than a token lives');
# The other way, one snapshot: the server logs in again inside one REPEATABLE READ transaction. A cursor would end with its session.
my ($first, $second) = (token('system/*.rs', undef, 10), token('system/*.rs', undef, 60));
my ($status, $out, $err) = $node->psql('postgres', <<"SQL", extra_params => [ '-U', 'app' ], on_error_stop => 0);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT smart.login('$first') \\g /dev/null
SELECT 'first ' || count(*) FROM (SELECT id FROM o WHERE id > '' ORDER BY id LIMIT 1000) c;
SELECT pg_sleep(10.2) \\g /dev/null
SAVEPOINT chunk;
SELECT count(*) FROM o;
ROLLBACK TO chunk;
SELECT smart.login('$second') \\g /dev/null
SELECT 'second ' || count(*) FROM (SELECT id FROM o WHERE id > (SELECT max(id) FROM (SELECT id FROM o ORDER BY id LIMIT 1000) m) ORDER BY id) c;
COMMIT;
SQL
like($out, qr/first 1000.*second 1004/s, 'one snapshot: a second login in the same transaction goes on');
like($err, qr/access token is not accepted/, '... after the first token has expired');

$node->stop;
done_testing;
