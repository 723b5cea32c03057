# Patients of small resources, from the definitions of R4, R4B and R5, in both readings;
# and the generated tables are what the generator makes of data/fhir.
use strict;
use warnings;

use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = dirname(__FILE__) . '/../..';
my $data = ($ENV{SMART_FHIR_DATA} // "$root/../shared/data") . '/fhir';

sub slurp
{
	my ($name) = @_;
	open(my $file, '<:raw', $name) or die "$name: $!\n";
	local $/;
	return scalar <$file>;
}

# Tables and definitions agree.
my $dir = tempdir(CLEANUP => 1);
is(system($^X, "$root/tools/generate_fhir_tables.pl", $dir), 0, 'the generator runs');
for my $version (qw(r4 r4b r5))
{
	ok(slurp("$dir/fhir_tables_$version.c") eq slurp("$root/src/fhir_tables_$version.c"),
		"fhir_tables_$version.c is what the generator makes");
}

SKIP:
{
	skip "no cases in $data", 1 unless -d $data;

	my $node = PostgreSQL::Test::Cluster->new('fhir');
	$node->init;
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION smart_fhir');

	my $json = JSON::PP->new->canonical;
	for my $version (qw(r4 r4b r5))
	{
		my (@expected, @cases, $sql);
		my $fhir_version = uc($version);
		for my $line (split(/\n/, slurp("$data/compartment-cases.$version.ndjson")))
		{
			my $case = JSON::PP->new->utf8->decode($line);
			my $resource = $json->ascii->encode($case->{resource});
			$resource =~ s/'/''/g;
			for my $reading (qw(subject full))
			{
				push @cases, $case;
				push @expected, join(',', sort @{ $case->{$reading} });
				$sql .= "SELECT coalesce(string_agg(k, ',' ORDER BY k COLLATE \"C\"), '') "
				  . "FROM unnest(smart.patients('$resource', '$reading', '$fhir_version')) k;\n";
			}
		}
		my @got = split(/\n/, $node->safe_psql('postgres', $sql), -1);
		is(scalar @got, scalar @expected, "$fhir_version: every case has an answer");

		my ($wrong, $debatable) = (0, 0);
		for my $i (0 .. $#expected)
		{
			next if $got[$i] eq $expected[$i];
			diag("$fhir_version $cases[$i]{resource}{resourceType} \"$cases[$i]{case}\": "
				  . "got {$got[$i]}, expected {$expected[$i]}");
			$cases[$i]{debatable} ? $debatable++ : $wrong++;
		}
		is($wrong, 0, "$fhir_version: " . @expected . ' answers are right');
		note("$fhir_version: $debatable debatable answers differ");
	}
	$node->stop;
}

done_testing();
