# Patients of small resources, from the definitions of R4, R4B and R5, in both readings;
# the generated tables are what the generator makes of data/fhir; and every search parameter
# finds a value at each of its paths.
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
my $json = JSON::PP->new->canonical->ascii;

sub slurp
{
	my ($name) = @_;
	open(my $file, '<:raw', $name) or die "$name: $!\n";
	local $/;
	return scalar <$file>;
}

sub literal
{
	my ($text) = @_;
	$text =~ s/'/''/g;
	return "'$text'";
}

# Tables and definitions agree.
my $dir = tempdir(CLEANUP => 1);
is(system($^X, "$root/tools/generate_fhir_tables.pl", $dir), 0, 'the generator runs');
for my $version (qw(r4 r4b r5))
{
	ok(slurp("$dir/$version.c") eq slurp("$root/src/fhir/tables/$version.c"),
		"$version.c is what the generator makes");
}

my $node = PostgreSQL::Test::Cluster->new('fhir');
$node->init;
$node->start;
$node->safe_psql(
	'postgres', q{
	CREATE EXTENSION smart_fhir;
	CREATE FUNCTION probe(resource jsonb, parameter text, value text, fhir_version text,
		base_url text DEFAULT NULL)
	RETURNS text AS '$libdir/smart_fhir', 'smart_fhir_probe' LANGUAGE c});

# A value of an element type, and the search value that it meets.
sub sample
{
	my ($element, $kind, $resolve_is) = @_;
	my $type = $resolve_is // 'Patient';
	return ({ coding => [ { system => 's', code => 'v' } ] }, 's|v') if $element eq 'CodeableConcept';
	return ({ system => 's', code => 'v' }, 's|v') if $element eq 'Coding';
	return ({ system => 's', value => 'v' }, 's|v') if $element eq 'Identifier';
	return ({ value => 'v' }, 'v') if $element eq 'ContactPoint';
	return (JSON::PP::true, 'true') if $element eq 'boolean';
	return ({ reference => "$type/v" }, "$type/v") if $element eq 'Reference';
	return ({ family => 'v' }, 'v') if $element eq 'HumanName';
	return ({ city => 'v' }, 'v') if $element eq 'Address';
	return ({ start => '2020-01-01', end => '2020-01-02' }, '2020-01') if $element eq 'Period';
	return ({ event => ['2020-01-01'] }, '2020-01') if $element eq 'Timing';
	return ('2020-01-01', '2020-01') if $kind eq 'date';
	return ('http://x/v', 'http://x/v');
}

# A resource with the value at the path; every second step is an array.
sub resource_at
{
	my ($type, $path, $value, $condition) = @_;
	my @steps = split(/\./, $path);
	my $node = $value;
	for my $done (reverse 0 .. @steps)
	{
		$node->{ $condition->{element} } = $condition->{equals}
		  if $condition && $done == scalar(split(/\./, $condition->{at}));
		$node = { $steps[ $done - 1 ] => $done % 2 && $path ne 'id' ? [$node] : $node } if $done > 0;
	}
	$node->{resourceType} = $type;
	return $node;
}

for my $version (qw(r4 r4b r5))
{
	my $search = JSON::PP->new->decode(slurp("$root/data/fhir/search-params.$version.json"));
	my (@expected, @names, $sql);
	for my $in (sort keys %$search)
	{
		my $type = $in eq 'Resource' ? 'Basic' : $in;
		for my $code (sort keys %{ $search->{$in} })
		{
			my $param = $search->{$in}{$code};
			my $kind = $param->{type};
			my @paths = @{ $param->{paths} // [] };
			my $supported = $kind =~ /^(?:token|reference|string|uri|date)$/
			  && !$param->{unsupported} && @paths;
			@paths = ('id') unless $supported;
			for my $i (0 .. $#paths)
			{
				my ($value, $wanted) =
				  sample($param->{element_types}[$i] // 'id', $kind, $param->{resolve_is}[$i]);
				my $resource =
				  resource_at($type, $paths[$i], $value, $param->{filters}[$i][0]);
				my $other = $kind eq 'date' ? '2021' : $wanted . 'x';
				for my $case ([ $wanted, 'match' ], [ $other, 'no match' ])
				{
					push @names, "$type?$code=$case->[0] at $paths[$i]";
					push @expected, $supported ? $case->[1] : 'search parameter is not supported';
					$sql .= sprintf("SELECT probe(%s, '%s', '%s', '%s');\n",
						literal($json->encode($resource)), $code, $case->[0], uc($version));
				}
			}
		}
	}
	my @got = split(/\n/, $node->safe_psql('postgres', $sql), -1);
	my @wrong = grep { ($got[$_] // '') ne $expected[$_] } 0 .. $#expected;
	diag("$names[$_]: got $got[$_], expected $expected[$_]") for @wrong[ 0 .. ($#wrong > 9 ? 9 : $#wrong) ];
	is(scalar @wrong, 0, uc($version) . ': ' . @expected . ' constraints, two for each path');
}

SKIP:
{
	skip "no cases in $data", 1 unless -d $data;

	for my $version (qw(r4 r4b r5))
	{
		my (@expected, @cases, $sql);
		my $fhir_version = uc($version);
		for my $line (split(/\n/, slurp("$data/compartment-cases.$version.ndjson")))
		{
			my $case = JSON::PP->new->utf8->decode($line);
			for my $reading (qw(subject full))
			{
				push @cases, $case;
				push @expected, join(',', sort @{ $case->{$reading} });
				$sql .= "SELECT coalesce(string_agg(k, ',' ORDER BY k COLLATE \"C\"), '') "
				  . 'FROM unnest(smart.patients(' . literal($json->encode($case->{resource}))
				  . ", '$reading', '$fhir_version')) k;\n";
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
}

$node->stop;
done_testing();
