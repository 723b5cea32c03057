# test/t/091_layout_plain.pl
# `id, resource jsonb`: doc/layouts/plain.sql on a schema of that shape, with history and partitions.
use strict;
use warnings;

use SmartLayout;
use Test::More;

my $l = SmartLayout->new('plain');
my $alice = $l->token('patient/*.cruds', 'alice');
my $reader = $l->token('patient/*.rs', 'alice');
my $backend = $l->token('system/*.cruds');
my $updater = $l->token('patient/*.rus', 'alice');
my $deleter = $l->token('patient/*.rds', 'alice');
my $count = 'SELECT (SELECT count(*) FROM patient), (SELECT count(*) FROM organization), (SELECT count(*) FROM observation), '
  . '(SELECT count(*) FROM observation_history), (SELECT count(*) FROM encounter)';
sub observation { my ($id, $patient) = @_; return qq('{"resourceType": "Observation", "id": "$id", "subject": {"reference": "Patient/$patient"}}') }

is($l->states, 'ok', 'every table is protected');
$l->is_run(undef, $count, '0|0|0|0|0', 'nobody: nothing');
$l->is_run($alice, $count, '1|1|3|1|5', 'a patient: its own, and the shared organization');
$l->is_run($backend, $count, '2|1|2000|2|10', 'a backend service: everything');
is($l->admin('SELECT count(*) FROM observation'), '2000', 'rows are there whoever sees them');

# Writes
my $insert = 'INSERT INTO observation VALUES (%s, %s) RETURNING id';
$l->is_run($alice, sprintf($insert, q('n'), observation('n', 'alice')), 'n', 'a patient writes its own');
$l->is_run($alice, sprintf($insert, q('n'), observation('n', 'bob')), 'SQLSTATE 42501', 'not in another chart');
$l->is_run($reader, sprintf($insert, q('n'), observation('n', 'alice')), 'SQLSTATE 42501', 'nor without a write scope');
$l->is_run($alice, 'UPDATE observation SET resource = ' . observation('o1', 'bob') . q( WHERE id = 'o1'),
	'SQLSTATE 42501', 'a record does not move to another chart');
$l->is_run($alice, q(WITH u AS (UPDATE observation SET resource = resource WHERE id IN ('o1', 'o4') RETURNING 1) SELECT count(*) FROM u),
	'1', 'an update reaches its own rows');

$l->is_run($alice, sprintf($insert, q('o4'), observation('o4', 'alice')), 'SQLSTATE 23505', 'a conflict tells that an id is taken');

# History
my $keep = q(INSERT INTO observation_history SELECT id, 2, resource FROM observation WHERE id = 'o1');
$l->is_run($updater, $keep, 'SQLSTATE 42501', 'an old version needs c');
$l->is_run($updater, $keep, '', 'or u in the interaction update', interaction => 'update');
$l->is_run($deleter, $keep, 'SQLSTATE 42501', 'a token with d but not c cannot keep what it deletes');
$l->is_run($deleter, $keep, 'SQLSTATE 42501', 'nor in the interaction delete', interaction => 'delete');

# A row of a history is judged by what it says itself
my $graft = 'INSERT INTO observation_history VALUES (%s, 99, %s)';
$l->is_run($alice, sprintf($graft, q('o4'), observation('o4', 'bob')), 'SQLSTATE 42501', 'no version in another chart');
$l->is_run($alice, sprintf($graft, q('o4'), observation('o4', 'alice')), '', 'but one under another record\'s id with an own subject');

# Partitions that come later
$l->{node}->safe_psql('fhir', q{
	CREATE TABLE encounter_2025 PARTITION OF encounter FOR VALUES IN (2025);
	CREATE TABLE encounter_2026 (id text, year int, resource jsonb NOT NULL, PRIMARY KEY (id, year));
	INSERT INTO encounter_2026 VALUES ('x', 2026, '{"resourceType": "Encounter", "id": "x", "subject": {"reference": "Patient/bob"}}');
	ALTER TABLE encounter ATTACH PARTITION encounter_2026 FOR VALUES IN (2026);
}, extra_params => [ '-U', 'fhir_migrate' ]);
$l->admin('GRANT SELECT, INSERT, DELETE ON encounter_2024, encounter_2025, encounter_2026 TO fhir_run');
is($l->admin(q{SELECT string_agg(relation::text, ' ' ORDER BY relation::text) FROM smart.protected_table WHERE relation::text LIKE 'encounter%' AND state = 'ok'}),
	'encounter encounter_2024 encounter_2025 encounter_2026', 'partitions made and attached later are protected');
$l->is_run($alice, 'SELECT (SELECT count(*) FROM encounter_2026), (SELECT count(*) FROM encounter_2024)', '0|5',
	'also when they are named directly');
$l->is_run($backend, 'SELECT count(*) FROM encounter', '11', 'a backend service sees the attached rows');

$l->agrees($_, 'a patient' => $alice, 'a backend service' => $backend)
  foreach qw(patient organization observation observation_history encounter);
like($l->explain_as($alice, 'SELECT * FROM observation'), qr/Bitmap Index Scan on observation_smart_patients/, 'one patient: the index');
like($l->explain_as($alice, 'SELECT * FROM encounter'), qr/Index Scan on encounter_\w+ *\n?.*Index Cond.*patient_key/s, 'partitions too');

# The owner is bound too, a superuser and BYPASSRLS are not; TRUNCATE is refused.
is($l->{node}->safe_psql('fhir', 'SELECT count(*) FROM observation', extra_params => [ '-U', 'fhir_migrate' ]), '0',
	'the owner sees nothing without a session');
$l->is_run($alice, 'TRUNCATE observation', 'SQLSTATE 42501', 'no TRUNCATE');

done_testing();
