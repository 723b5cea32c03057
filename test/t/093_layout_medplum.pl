# test/t/093_layout_medplum.pl
# Medplum: doc/layouts/medplum.sql on tables as its migrations make them.
use strict;
use warnings;

use SmartLayout;
use Test::More;

my $l = SmartLayout->new('medplum');
sub u { my $c = shift; return $c x 8 . '-0000-4000-8000-' . $c x 12 }
my ($alice_id, $bob_id) = (u('a'), u('b'));
my $alice = $l->token('patient/*.cruds', $alice_id);
my $backend = $l->token('system/*.cruds');
my $count = 'SELECT (SELECT count(*) FROM "Patient"), (SELECT count(*) FROM "Practitioner"), (SELECT count(*) FROM "Observation" WHERE NOT deleted), '
  . '(SELECT count(*) FROM "Observation_History"), (SELECT count(*) FROM "Binary")';

is($l->states, 'ok', 'every table is protected');
is($l->admin(q{SELECT index::text FROM smart.protected_table WHERE relation = '"Observation"'::regclass}),
	'"Observation_smart_patients"', 'its patients have an index');
$l->is_run(undef, $count, '0|0|0|0|0', 'nobody: nothing');
$l->is_run($alice, $count, '1|1|3|1|0', 'a patient: itself, its records, one that it performed, its history; no Binary');
$l->is_run($backend, $count, '2|1|2004|3|1', 'a backend service: everything');
$l->is_run($backend, 'SELECT count(*) FROM "Observation" WHERE deleted', '1', 'a deleted row disturbs nobody');

# Upserts, as Medplum writes
sub upsert
{
	my ($id, $patient, $compartment) = @_;
	my $uuid = u($id);
	return qq{INSERT INTO "Observation" (id, content, "projectId", compartments) VALUES ('$uuid',
		'{"resourceType":"Observation","id":"$uuid","subject":{"reference":"Patient/$patient"}}', u('0'), ARRAY[u('0'), '$compartment'::uuid])
		ON CONFLICT (id) DO UPDATE SET content = excluded.content, compartments = excluded.compartments RETURNING 1};
}
$l->is_run($alice, upsert('7', $alice_id, $alice_id), '1', 'an upsert creates');
$l->is_run($alice, upsert('1', $alice_id, $alice_id), '1', 'an upsert updates');
$l->is_run($alice, upsert('7', $bob_id, $bob_id), 'SQLSTATE 42501', 'not in another chart');
$l->is_run($alice, upsert('7', $bob_id, $alice_id), 'SQLSTATE 42501', 'not with compartments that belie the subject');
$l->is_run($alice, upsert('7', $alice_id, $bob_id), 'SQLSTATE 42501', 'nor the other way round');
$l->is_run($alice, upsert('5', $alice_id, $alice_id), 'SQLSTATE 42501', 'a performer may read, not write');
$l->is_run($alice, upsert('4', $alice_id, $alice_id), 'SQLSTATE 42501', 'nor take a record out of another chart');

# A delete is an upsert with content ''
my $delete = q{INSERT INTO "Observation" (id, content, deleted, "projectId", compartments)
	SELECT id, '', true, "projectId", compartments FROM "Observation" WHERE id = u('1')
	ON CONFLICT (id) DO UPDATE SET content = '', deleted = true RETURNING 1};
$l->is_run($backend, $delete, '1', 'a backend service deletes');
$l->is_run($backend, q{INSERT INTO "Observation_History" (id, content) VALUES (u('1'), '') RETURNING 1}, '1', 'and says so in the history');
$l->is_run($alice, $delete, 'SQLSTATE 42501', 'a patient cannot');
$l->is_run($alice, q{UPDATE "Observation" SET content = 'no JSON' WHERE id = u('1')}, 'SQLSTATE 42501', 'text that is no JSON is not written');

# Look-up tables
my $lookups = 'SELECT (SELECT count(*) FROM "HumanName"), (SELECT count(*) FROM "Address"), (SELECT count(*) FROM "ContactPoint"), '
  . '(SELECT count(*) FROM "Identifier"), (SELECT count(*) FROM "Observation_References")';
$l->is_run(undef, $lookups, '0|0|0|0|0', 'look-up tables show nobody anything');
$l->is_run($alice, $lookups, '2|1|0|0|2', 'a patient sees its own name and its doctor\'s, no one else\'s');
$l->is_run($backend, $lookups, '3|2|1|1|4', 'a backend service sees all');
$l->is_run($alice, q{INSERT INTO "HumanName" VALUES (u('b'), 'Mallory')}, 'SQLSTATE 42501', 'no name for another patient');
$l->is_run($alice, q{INSERT INTO "HumanName" VALUES (u('a'), 'Alice A.')}, '', 'one for itself');

$l->agrees($_, 'a patient' => $alice, 'a backend service' => $backend) foreach qw("Patient" "Practitioner" "Observation" "Observation_History" "Binary");
like($l->explain_as($alice, 'SELECT * FROM "Observation"'), qr/Bitmap Index Scan on "Observation_smart_patients"/, 'one patient: its index');

done_testing();
