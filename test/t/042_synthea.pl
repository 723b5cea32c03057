# The synthetic patients of ../shared/data/synthea: for fifty of them, logged in with a signed
# token that grants patient/*.rs, what row-level security shows of every table is what plain SQL
# finds by the definition of the patient compartment, and what permits() and permits_row() allow.
use strict;
use warnings FATAL => 'all';

use File::Basename;
use File::Spec;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = $ENV{SMART_FHIR_DATA} // dirname(__FILE__) . '/../../../shared/data';
my @files = map { File::Spec->rel2abs($_) } sort glob("$data/synthea/*.ndjson.gz");
plan skip_all => 'no synthetic patients in the shared data' unless @files;

# Where a type says whom the record is about: the subject parameter of the R4 compartment.
# "all" are the shared types, "none" are outside.
my %subject = (
	AllergyIntolerance => 'patient', CarePlan => 'subject', Claim => 'patient', Condition => 'subject',
	Device => 'none', DiagnosticReport => 'subject', DocumentReference => 'subject', Encounter => 'subject',
	ExplanationOfBenefit => 'patient', Goal => 'subject', ImagingStudy => 'subject', Immunization => 'patient',
	Location => 'all', MedicationRequest => 'subject', Observation => 'subject', Organization => 'all',
	Patient => 'id', Practitioner => 'all', PractitionerRole => 'all', Procedure => 'subject');

my $node = PostgreSQL::Test::Cluster->new('synthea');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', <<'CONF');
fsync = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
max_wal_size = 4GB
shared_buffers = 256MB
maintenance_work_mem = 128MB
CONF
$node->start;

# The private key of RFC 7515, appendix A.3.
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION smart_fhir;
CREATE ROLE app;
CREATE SCHEMA t;
GRANT USAGE ON SCHEMA t TO app;
CREATE TABLE t.key (jwk jsonb);
INSERT INTO t.key VALUES ('{"kty": "EC", "crv": "P-256", "kid": "test", "alg": "ES256",
	"x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
	"d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}');
SELECT smart.add_issuer('https://as.test', jsonb_build_object('keys', jsonb_build_array(jwk - 'd')), '{https://fhir.test}') FROM t.key;
SQL

# Load and protect.
my @types;
for my $file (sort { -s $b <=> -s $a } @files)
{
	my ($type) = $file =~ m{(\w+)\.ndjson\.gz$} or die $file;
	die "no subject for $type" unless $subject{$type};
	push @types, $type;
	$node->safe_psql('postgres', <<SQL);
BEGIN;
CREATE TABLE t."$type" (resource jsonb NOT NULL, id text COLLATE "C" GENERATED ALWAYS AS (resource ->> 'id') STORED);
COPY t."$type" (resource) FROM PROGRAM 'gzip -dc ''$file''' (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02');
ALTER TABLE t."$type" ADD PRIMARY KEY (id);
SET LOCAL client_min_messages = warning;
SELECT smart.protect('t."$type"', '$type');
GRANT SELECT ON t."$type" TO app;
COMMIT;
ANALYZE t."$type";
SQL
}
@types = sort @types;

# Whose is each row, in SQL that shares nothing with the extension. Five of the patients come
# from the set that alone has documents and devices.
my $owners = join ' UNION ALL ', map {
	my $of = $subject{$_};
	my $patient = $of eq 'id' ? "resource ->> 'id'"
	  : $of eq 'none' || $of eq 'all' ? 'NULL'
	  : "substring(jsonb_path_query_first(resource, '\$.$of.reference') #>> '{}' FROM '^Patient/([^/]+)\$')";
	"SELECT '$_' AS type, resource ->> 'id' AS id, $patient AS patient, " . ($of eq 'all' ? 'true' : 'false') . " AS shared FROM t.\"$_\""
} @types;
$node->safe_psql('postgres', <<SQL);
CREATE TABLE t.owner AS $owners;
CREATE INDEX ON t.owner (patient);
CREATE INDEX ON t.owner (type) WHERE shared;
CREATE TABLE t.picked AS
	(SELECT id FROM t."Patient" WHERE id NOT IN (SELECT patient FROM t.owner WHERE type = 'DocumentReference') ORDER BY md5(id) LIMIT 45)
	UNION ALL
	(SELECT id FROM t."Patient" WHERE id IN (SELECT patient FROM t.owner WHERE type = 'DocumentReference') ORDER BY md5(id) LIMIT 5);
-- one row in 97, whoever it is about
CREATE TABLE t.sample AS SELECT type, id FROM t.owner WHERE ('x' || left(md5(id), 7))::bit(28)::int % 97 = 0;
ANALYZE t.owner, t.sample;
SQL
is($node->safe_psql('postgres', q{SELECT count(*) FROM t.owner WHERE NOT shared AND patient IS NULL AND type <> 'Device'}),
	'0', 'every clinical row has a patient');

my %expected = map { my ($type, $patient, @rest) = split /\|/; ("$patient $type" => join '|', @rest) }
  split /\n/, $node->safe_psql('postgres', <<'SQL');
SELECT o.type, p.id, count(*), md5(string_agg(o.id, ',' ORDER BY o.id COLLATE "C"))
FROM t.picked AS p JOIN LATERAL (SELECT * FROM t.owner WHERE patient = p.id UNION ALL SELECT * FROM t.owner WHERE shared) AS o ON true
GROUP BY o.type, p.id
SQL
my @patients = split /\n/, $node->safe_psql('postgres', 'SELECT id FROM t.picked');
my %whole = map { $_ => 1 } @patients[ 0, 1, 49 ];

# One transaction a patient: what the ordinary role sees, then what the functions say to a role
# that sees everything: of all rows, or of the patient's own and the sample.
my $script = '';
for my $patient (@patients)
{
	my $seen = join ' UNION ALL ', map {
		"SELECT '$patient', '$_', 'rls', count(*) || '|' || coalesce(md5(string_agg(id, ',' ORDER BY id)), '') FROM t.\"$_\""
	} @types;
	my $said = join ' UNION ALL ', map {
		my $from = qq{t."$_" AS r};
		$from .= " WHERE id = ANY (ARRAY(SELECT o.id FROM t.owner AS o WHERE o.type = '$_' AND o.patient = '$patient'"
		  . " UNION ALL SELECT o.id FROM t.owner AS o WHERE o.type = '$_' AND o.shared"
		  . " UNION ALL SELECT s.id FROM t.sample AS s WHERE s.type = '$_'))" unless $whole{$patient};
		"SELECT '$patient', '$_', 'permits', count(*) FILTER (WHERE p) || '|' || coalesce(md5(string_agg(id, ',' ORDER BY id) FILTER (WHERE p)), ''),"
		  . " count(*) FILTER (WHERE q) || '|' || coalesce(md5(string_agg(id, ',' ORDER BY id) FILTER (WHERE q)), '')"
		  . " FROM (SELECT id, smart.permits(resource, 'r') AS p, smart.permits_row(r, 'r') AND smart.permits_row(r, 's') AS q FROM $from OFFSET 0) AS row"
	} @types;
	$script .= <<SQL;
BEGIN;
SELECT smart.jwt_sign(jsonb_build_object('iss', 'https://as.test', 'aud', 'https://fhir.test', 'sub', 'u', 'client_id', 'c', 'jti', '$patient',
	'iat', floor(extract(epoch FROM now())), 'exp', floor(extract(epoch FROM now())) + 600,
	'scope', 'openid launch/patient patient/*.rs', 'patient', '$patient'), jwk) AS token FROM t.key \\gset
SET LOCAL ROLE app;
SELECT smart.login(:'token');
$seen;
EXPLAIN (COSTS OFF) SELECT id FROM t."Observation";
RESET ROLE;
$said;
COMMIT;
SQL
}
my %got;
my $by_index = 0;
for my $line (split /\n/, $node->safe_psql('postgres', $script))
{
	my ($patient, $type, $way, @rest) = split /\|/, $line, -1;
	$by_index++ if $line =~ /Index Scan on "Observation_smart_patients"/;
	next unless defined $way;
	$got{"$patient $type"}{$way} = "$rest[0]|$rest[1]";
	$got{"$patient $type"}{permits_row} = "$rest[2]|$rest[3]" if $way eq 'permits';
}
for my $patient (@patients)
{
	for my $way (qw(rls permits permits_row))
	{
		my @wrong = grep { ($got{"$patient $_"}{$way} // 'nothing') ne ($expected{"$patient $_"} // '0|') } @types;
		is(join(', ', map { "$_: " . ($got{"$patient $_"}{$way} // 'nothing') . ' for ' . ($expected{"$patient $_"} // '0|') } @wrong),
			'', "$way of " . ($whole{$patient} || $way eq 'rls' ? 'all rows' : 'some rows') . " for $patient");
	}
}

# The id column has a collation of its own; the index is found all the same.
is($by_index, scalar @patients, 'the index on patients is used');

$node->stop;
done_testing();
