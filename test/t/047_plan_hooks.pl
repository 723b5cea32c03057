# test/t/047_plan_hooks.pl
# Folded policies beside the hooks of other extensions, in both orders; where a hook goes round ours;
# and in plans that were made before the library was there. (src/policy/fold.c, sentences 5 and 6)
use strict;
use warnings;

use File::Basename;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('hooks');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\njit = off\nauto_explain.log_min_duration = 0\nauto_explain.log_analyze = on\npg_stat_statements.track_planning = on");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION smart_fhir;
SELECT smart.add_issuer('https://hooks.example', '{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}',
  '{https://fhir.example/r4}');
CREATE ROLE fhir_app;
CREATE TABLE observation (id text PRIMARY KEY, resource jsonb NOT NULL);
INSERT INTO observation SELECT i, jsonb_build_object('resourceType', 'Observation', 'id', i::text, 'subject', jsonb_build_object('reference', 'Patient/p' || i % 20))
FROM generate_series(1, 400) AS i;
SET client_min_messages = warning;
SELECT smart.protect('observation', 'Observation');
GRANT SELECT ON observation TO fhir_app;
GRANT EXECUTE ON FUNCTION smart.assume TO fhir_app;
CREATE FUNCTION who(scope text, patient text DEFAULT NULL, exp float8 DEFAULT 4000000000) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN PERFORM smart.assume(jsonb_strip_nulls(jsonb_build_object('scope', scope, 'patient', patient, 'exp', exp)), 'https://hooks.example', false); END $$;
ANALYZE observation;
SQL

# The questions that every setting is asked: counts under each session, through plans that are kept.
my $questions = <<'SQL';
SET ROLE fhir_app;
SET plan_cache_mode = force_generic_plan;
PREPARE n AS SELECT 'n=' || count(*) FROM observation;
EXECUTE n;
SELECT who('system/*.rs');
EXECUTE n;
SELECT who('patient/*.rs', 'p1');
EXECUTE n;
SELECT who('patient/Observation.rs?_id=1,21', 'p1');
EXECUTE n;
SELECT who('system/*.rs');
EXECUTE n;
SELECT smart.logout();
EXECUTE n;
SELECT who('system/*.rs');
EXECUTE n;
SELECT who('system/*.rs', NULL, extract(epoch FROM clock_timestamp()) - 58);
SELECT pg_sleep(2.1);
EXECUTE n;
SQL
my $filter = <<'SQL';
SET ROLE fhir_app;
SELECT who('system/*.rs');
EXPLAIN (COSTS OFF) SELECT * FROM observation;
SQL

my $dir = PostgreSQL::Test::Utils::tempdir;
sub ask
{
  my ($name, $folded, @libraries) = @_;
  my $preload = join ',', @libraries;
  $node->append_conf('postgresql.conf', "shared_preload_libraries = '$preload'");
  $node->restart;
  my ($status, $out, $err) = $node->psql('postgres', $questions);
  is(join(' ', $out =~ /n=(\d+)/g), '0 400 20 2 400 0 400', "$name: each session sees its own");
  like($err, qr/access token is not accepted/, "$name: an expired one gets an error");
  my $plan = $node->safe_psql('postgres', $filter);
  if ($folded) { unlike($plan, qr/row_check|row_policy/, "$name: all rows need no condition") }
  else { like($plan, qr/row_check/, "$name: every row is asked") }
}

ask('no preload', 1);
ask('smart_fhir preloaded', 1, 'smart_fhir');
ask('pg_stat_statements and auto_explain inside', 1, qw(pg_stat_statements auto_explain smart_fhir));
ask('pg_stat_statements and auto_explain outside', 1, qw(smart_fhir pg_stat_statements auto_explain));
SKIP:
{
  skip 'pg_hint_plan is not installed', 6 unless -e `$ENV{PG_CONFIG} --pkglibdir` =~ s/\n//r . '/pg_hint_plan.so';
  ask('pg_hint_plan inside', 1, qw(pg_hint_plan smart_fhir));
  ask('pg_hint_plan outside', 1, qw(smart_fhir pg_hint_plan));
}

# a hook of our own that goes round the others
my $config = $ENV{PG_CONFIG} || 'pg_config';
my $include = `$config --includedir-server` =~ s/\n//r;
my $other = "$dir/other_planner";
is(system(qw(cc -shared -fPIC -w -I), $include, '-o', "$other.so", dirname(__FILE__) . '/../modules/other_planner.c'), 0, 'the other planner is built');
ask('a hook that goes round ours', 0, 'smart_fhir', $other);
ask('the same inside ours', 1, $other, 'smart_fhir');
$node->append_conf('postgresql.conf', 'other_planner.copy = on');
ask('one that plans a copy of the query, inside ours', 0, $other, 'smart_fhir');

# Plans from before the library: the first statement of a connection loads it in the middle of its planning.
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\nother_planner.copy = off");
$node->restart;
my $out = $node->safe_psql('postgres', <<'SQL');
SET plan_cache_mode = force_generic_plan;
SET ROLE fhir_app;
PREPARE n AS SELECT 'n=' || count(*) FROM observation;
EXECUTE n;
SELECT who('system/*.rs');
EXECUTE n;
SELECT who('patient/*.rs', 'p1');
EXECUTE n;
SELECT smart.logout();
EXECUTE n;
SQL
is(join(' ', $out =~ /n=(\d+)/g), '0 400 20 0', 'a plan in whose making the library was loaded');

# auto_explain runs its EXPLAIN at the end of a statement: no key or condition of it names a patient
my $log = slurp_file($node->logfile);
like($log, qr/smart\.patient_key\(/, 'auto_explain shows the folded condition');
unlike($log, qr/Index Cond: [^\n]*'p1'/, '... by the function, not by the patient');

$node->stop;
done_testing;
