# test/t/094_layout_hapi.pl
# HAPI FHIR JPA: doc/layouts/hapi.sql on tables as its entities describe them.
use strict;
use warnings;

use SmartLayout;
use Test::More;

my $l = SmartLayout->new('hapi');
my $alice = $l->token('patient/*.cruds', 'alice');
my $backend = $l->token('system/*.cruds');
my $count = q{SELECT count(*) FILTER (WHERE res_type = 'Patient'), count(*) FILTER (WHERE res_type = 'Practitioner'),
	count(*) FILTER (WHERE res_type = 'Observation') FROM hfj_res_ver};

is($l->states, 'ok', 'hfj_res_ver is protected');
$l->is_run(undef, $count, '0|0|0', 'nobody: nothing');
$l->is_run($alice, $count, '1|1|4', 'a patient: itself by the id in hfj_resource, shared types, its records, two versions of one');
$l->is_run($backend, $count, '3|1|1991', 'a backend service: all that is JSON, and the mark of a deletion');
$l->is_run($backend, 'SELECT count(*) FROM hfj_res_ver WHERE res_id IN (13, 14)', '0', 'compressed and external content: seen by nobody');
$l->is_run($l->token('patient/*.rs', '3'), $count, '1|1|0', 'a patient whose id the server gave');

# Writes, as HAPI makes them: hfj_resource, then a version
sub version
{
	my ($type, $id, $text, $encoding) = @_;
	return qq{INSERT INTO hfj_resource (res_id, res_type, fhir_id, res_ver) VALUES (5000, '$type', '$id', 1);
		INSERT INTO hfj_res_ver (pid, res_id, res_type, res_ver, res_encoding, res_text_vc)
		VALUES (5000, 5000, '$type', 1, '} . ($encoding // 'JSON') . qq{', '$text') RETURNING smart_id, smart_patients};
}
sub observation { return '{"resourceType":"Observation","subject":{"reference":"Patient/' . $_[0] . '"}}' }
$l->is_run($alice, version('Observation', 'n', observation('alice')), 'n|{alice}', 'a patient writes its own');
$l->is_run($alice, version('Observation', 'n', observation('bob')), 'SQLSTATE 42501', 'not in another chart');
$l->is_run($alice, version('Patient', 'carol', '{"resourceType":"Patient","id":"alice"}'), 'SQLSTATE 42501', 'the text does not choose the id');
$l->is_run($alice, version('Observation', 'n', '{"resourceType":"Patient","id":"alice"}'), 'SQLSTATE 42501', 'nor the type');
$l->is_run($alice, version('Observation', 'n', 'pointer', 'ESR'), 'SQLSTATE 42501', 'what cannot be read is not written');
$l->is_run($backend, version('Observation', 'n', 'pointer', 'ESR'), 'SQLSTATE 42501', 'by nobody');
$l->is_run($alice, q{UPDATE hfj_res_ver SET smart_patients = '{alice}' WHERE res_id = 15; SELECT count(*) FROM hfj_res_ver WHERE res_id = 15}, '0',
	'another\'s row is out of reach');
$l->is_run($backend, q{UPDATE hfj_res_ver SET smart_patients = '{alice}', smart_id = 'x' WHERE res_id = 15 RETURNING smart_id, smart_patients},
	'15|{p15}', 'the key columns are the trigger\'s');

# An update: another version
sub next_version
{
	my ($id, $version, $patient) = @_;
	return "INSERT INTO hfj_res_ver (pid, res_id, res_type, res_ver, res_encoding, res_text_vc) VALUES (5002, $id, 'Observation', $version, 'JSON', '"
	  . observation($patient) . "') RETURNING res_ver";
}
$l->is_run($alice, next_version(10, 2, 'alice'), '2', 'a patient adds a version to its own record');
$l->is_run($alice, next_version(15, 2, 'alice'), 'SQLSTATE 42501', 'not to another\'s, whatever it says');
$l->is_run($alice, next_version(15, 3, 'alice'), 'SQLSTATE 42501', 'nor after a gap');
$l->is_run($alice, next_version(10, 2, 'bob'), 'SQLSTATE 42501', 'nor one that moves the record');
$l->is_run($l->token('patient/*.crs', 'alice'), next_version(10, 2, 'alice'), 'SQLSTATE 42501', 'nor without u');
$l->is_run($backend, next_version(15, 2, 'alice'), '2', 'a backend service may');
my $delete = q{INSERT INTO hfj_res_ver (pid, res_id, res_type, res_ver, res_encoding) VALUES (5001, 10, 'Observation', 2, 'DEL') RETURNING res_ver};
$l->is_run($backend, $delete, '2', 'a backend service deletes');
$l->is_run($alice, $delete, 'SQLSTATE 42501', 'a patient cannot');

# What stays open, as the script says
$l->is_run($alice, q{SELECT (SELECT count(*) FROM hfj_resource WHERE res_type = 'Patient'), (SELECT count(*) FROM hfj_res_link),
	(SELECT string_agg(sp_value_exact, ' ' ORDER BY sp_id) FROM hfj_spidx_string)}, '3|3|Able Baker',
	'index tables tell of every patient: existence, links, search values');

$l->agrees('hfj_res_ver', 'a patient' => $alice, 'a backend service' => $backend);
like($l->explain_as($alice, 'SELECT * FROM hfj_res_ver WHERE res_id = 10 AND res_ver = 1'), qr/Index Scan using idx_resver_id_ver/,
	'one version is read by HAPI\'s own index');

done_testing();
