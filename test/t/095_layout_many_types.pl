# test/t/095_layout_many_types.pl
# Many types in one table: doc/layouts/many_types.sql on tables as miracum's gateway makes them.
use strict;
use warnings;

use SmartLayout;
use Test::More;

my $l = SmartLayout->new('many_types');
my $alice = $l->token('patient/*.cruds', 'alice');
my $one_type = $l->token('patient/Observation.rs', 'alice');
my $backend = $l->token('system/*.cruds');

is($l->states, 'ok', 'every table is protected');
is($l->admin(q{SELECT count(*) FROM smart.protected_table}), '4', 'partitions too');
foreach my $table (qw(resources resources_by_type))
{
	my $count = qq{SELECT count(*) FILTER (WHERE type = 'Patient'), count(*) FILTER (WHERE type = 'Practitioner'),
		count(*) FILTER (WHERE type = 'Observation') FROM $table};
	$l->is_run(undef, $count, '0|0|0', "$table: nobody: nothing");
	$l->is_run($alice, $count, '1|0|3', "$table: a patient: itself and its records, a deleted one too");
	$l->is_run($one_type, $count, '0|0|3', "$table: a scope of one type: that type");
	$l->is_run($backend, $count, '2|1|2000', "$table: a backend service: everything");

	# Upserts, as the gateway writes
	my $key = $table eq 'resources' ? '' : ', patient_id';
	my $upsert = sub {
		my ($id, $patient, $column) = @_;
		my $value = $key && qq{, '} . ($column // $patient) . q{'};
		return qq{INSERT INTO $table (fhir_id, type, data$key) VALUES ('$id', 'Observation',
			'{"resourceType": "Observation", "id": "$id", "subject": {"reference": "Patient/$patient"}}'$value)
			ON CONFLICT (fhir_id, type) DO UPDATE SET data = excluded.data RETURNING fhir_id};
	};
	$l->is_run($alice, $upsert->('n', 'alice'), 'n', "$table: an upsert creates");
	$l->is_run($alice, $upsert->('o1', 'alice'), 'o1', "$table: an upsert updates");
	$l->is_run($alice, $upsert->('n', 'bob'), 'SQLSTATE 42501', "$table: not in another chart");
	$l->is_run($alice, $upsert->('o4', 'alice'), 'SQLSTATE 42501', "$table: nor out of it");
	$l->is_run($one_type, $upsert->('o1', 'alice'), 'SQLSTATE 42501', "$table: nor without a write scope");
	$l->is_run($alice, qq{INSERT INTO $table (fhir_id, type, data$key) VALUES ('n', 'Observation', '{"resourceType": "Patient", "id": "alice"}'} . ($key && q{, 'alice'}) . ')',
		'SQLSTATE 42501', "$table: nor under another type than the column's");
	$l->is_run($alice, $upsert->('n', 'bob', 'alice'), 'SQLSTATE 42501', "$table: a column that belies the subject does not help") if $key;
	$l->is_run($alice, $upsert->('n', 'alice', 'bob'), 'SQLSTATE 42501', "$table: nor the other way round") if $key;
	$l->agrees($table, 'a patient' => $alice, 'one type' => $one_type, 'a backend service' => $backend);
}
$l->admin('GRANT SELECT ON resources_observation TO fhir_run');
$l->is_run($alice, 'SELECT count(*) FROM resources_observation', '3', 'a partition that is named directly');
like($l->explain_as($alice, 'SELECT * FROM resources'), qr/Bitmap Index Scan on resources_smart_patients/, 'one patient: the index');
like($l->explain_as($alice, 'SELECT * FROM resources_by_type'), qr/Index Scan.* on? ?.*Index Cond.*patient_key/s, 'partitioned: the index, too');

# The choice that the script tells of: shared types, or the index
$l->admin(q{SELECT smart.protect('resources', resource => 'data', type => 'type', id => 'fhir_id')});
$l->is_run($alice, q{SELECT count(*) FILTER (WHERE type = 'Practitioner'), count(*) FROM resources}, '1|5', 'without shared => false a patient sees shared types');
unlike($l->explain_as($alice, 'SELECT * FROM resources'), qr/resources_smart_patients/, 'and no index helps');

done_testing();
