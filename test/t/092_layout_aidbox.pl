# test/t/092_layout_aidbox.pl
# Aidbox: doc/layouts/aidbox.sql on tables as Aidbox documents them.
use strict;
use warnings;

use SmartLayout;
use Test::More;

my $l = SmartLayout->new('aidbox');
my $alice = $l->token('patient/*.cruds', 'alice');
my $updater = $l->token('patient/*.u', 'alice');
my $backend = $l->token('system/*.cruds');
my $count = 'SELECT (SELECT count(*) FROM patient), (SELECT count(*) FROM practitioner), (SELECT count(*) FROM observation), '
  . '(SELECT count(*) FROM observation_history)';

is($l->states, 'ok', 'every table is protected');
is($l->admin('SELECT count(*) FROM smart.protected_table'), '8', 'eight of them');
$l->is_run(undef, $count, '0|0|0|0', 'nobody: nothing');
$l->is_run($alice, $count, '1|1|2|2', 'a patient: itself by the id column, its records by {resourceType, id}, its history');
$l->is_run($alice, q{SELECT string_agg(id || ' ' || status, ', ' ORDER BY txid) FROM observation_history},
	'o3 created, o3 deleted', 'both rows of a deletion, the marker without resource_type too');
$l->is_run($backend, $count, '2|1|1998|4', 'a backend service: everything');

# Upserts, as Aidbox and Fhirbase write
sub upsert
{
	my ($id, $patient) = @_;
	return qq{INSERT INTO observation (id, txid, status, resource)
		VALUES ('$id', 9999, 'created', '{"subject": {"resourceType": "Patient", "id": "$patient"}}')
		ON CONFLICT (id) DO UPDATE SET txid = excluded.txid, status = 'updated', resource = excluded.resource RETURNING id};
}
$l->is_run($alice, upsert('new', 'alice'), 'new', 'an upsert creates');
$l->is_run($alice, upsert('o1', 'alice'), 'o1', 'an upsert updates');
foreach my $letters (qw(crus rus cus cru crs))
{
	$l->is_run($l->token("patient/*.$letters", 'alice'), upsert('o1', 'alice'), $letters eq 'crus' ? 'o1' : 'SQLSTATE 42501', "an upsert with $letters");
}
$l->is_run($updater, upsert('o1', 'alice'), 'SQLSTATE 42501', 'u alone does not do for an upsert');
$l->is_run($updater, upsert('o1', 'alice'), 'o1', 'but does in the interaction update', interaction => 'update');
$l->is_run($alice, upsert('o4', 'alice'), 'SQLSTATE 42501', 'an upsert does not take a record out of another chart');
$l->is_run($alice, upsert('o1', 'bob'), 'SQLSTATE 42501', 'nor put one into it');
$l->is_run($alice, upsert('new', 'bob'), 'SQLSTATE 42501', 'nor create one there');
$l->is_run($backend, upsert('o4', 'alice'), 'o4', 'a backend service may');
$l->is_run($alice, q{INSERT INTO patient (id, txid, status, resource) VALUES ('carol', 9999, 'created', '{}')},
	'SQLSTATE 42501', 'a patient makes no other patient');
$l->is_run($alice, q{INSERT INTO observation (id, txid, status, resource) VALUES ('x', 9999, 'created', '{"resourceType": "Patient", "id": "alice"}')},
	'SQLSTATE 42501', 'nor a row of another type than the table\'s');

# A delete: last version and marker into the history, the row away
my $delete = q{INSERT INTO observation_history SELECT * FROM observation WHERE id = '%1$s';
	INSERT INTO observation_history (id, txid, status, resource) SELECT id, nextval('transaction_id_seq'), 'deleted', resource FROM observation WHERE id = '%1$s';
	WITH gone AS (DELETE FROM observation WHERE id = '%1$s' RETURNING 1) SELECT count(*) FROM gone};
$l->is_run($alice, sprintf($delete, 'o1'), '1', 'a patient deletes its own');
$l->is_run($alice, sprintf($delete, 'o4'), '0', 'not another\'s');
$l->is_run($l->token('patient/*.rds', 'alice'), sprintf($delete, 'o1'), 'SQLSTATE 42501', 'the history needs c, which a token with d may lack');

# Fhirbase: an upsert that keeps the old row in the history
$l->is_run($alice, q{SELECT string_agg(id, ' ' ORDER BY id) FROM condition}, 'c1', 'Fhirbase\'s rows; its old references name nobody');
$l->is_run($backend, q{SELECT string_agg(id, ' ' ORDER BY id) FROM condition}, 'c1 c2 old', 'a backend service sees them all');
my $fhirbase = q{WITH archived AS (INSERT INTO condition_history SELECT * FROM condition WHERE id = '%1$s' RETURNING 1),
	written AS (INSERT INTO condition (id, txid, status, resource) VALUES ('%1$s', 9, 'created',
	'{"resourceType": "Condition", "subject": {"resourceType": "Patient", "id": "%2$s"}}')
	ON CONFLICT (id) DO UPDATE SET txid = excluded.txid, status = 'recreated', resource = excluded.resource RETURNING id)
	SELECT id, (SELECT count(*) FROM archived) FROM written};
$l->is_run($alice, sprintf($fhirbase, 'c1', 'alice'), 'c1|1', 'Fhirbase\'s update of an own record');
$l->is_run($updater, sprintf($fhirbase, 'c1', 'alice'), 'c1|0', 'with u alone in the interaction update; the old row is not shown, and so not archived', interaction => 'update');
$l->is_run($alice, sprintf($fhirbase, 'c2', 'alice'), 'SQLSTATE 42501', 'not of another\'s');

$l->agrees($_, 'a patient' => $alice, 'a backend service' => $backend) foreach qw(patient practitioner observation observation_history condition);
like($l->explain_as($alice, 'SELECT * FROM observation'), qr/Bitmap Index Scan on observation_smart_patients/, 'one patient: the index');

done_testing();
