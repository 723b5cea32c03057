#!/usr/bin/perl
# tools/generate_fhir_tables.pl [OUTDIR]: writes src/fhir/tables/{r4,r4b,r5}.c from data/fhir.
#
# Reads the compartment, the search parameters and the type names, and stops at anything that
# it does not know: a path or an element type must never be left out silently.

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP;

my $root = dirname(__FILE__) . '/..';
my $outdir = $ARGV[0] // "$root/src/fhir/tables";
my %package = (r4 => 'R4 4.0.1', r4b => 'R4B 4.3.0', r5 => 'R5 5.0.0');

my %kind = (
	token => 'TOKEN',
	reference => 'REFERENCE',
	string => 'STRING',
	uri => 'URI',
	date => 'DATE');
my %unsupported = map { $_ => 1 } qw(composite special number quantity);

# Element types that may stand under a kind of parameter, and how they are treated there.
my %element = (
	token => {
		CodeableConcept => 'CODEABLE_CONCEPT',
		Coding => 'CODING',
		Identifier => 'IDENTIFIER',
		ContactPoint => 'CONTACT_POINT',
		boolean => 'BOOLEAN',
		canonical => 'CANONICAL',
		map { $_ => 'TEXT' } qw(code id string uri)
	},
	reference => { Reference => 'REFERENCE', canonical => 'CANONICAL', uri => 'TEXT' },
	string => {
		HumanName => 'HUMAN_NAME',
		Address => 'ADDRESS',
		map { $_ => 'TEXT' } qw(string markdown)
	},
	uri => { canonical => 'CANONICAL', map { $_ => 'TEXT' } qw(uri url) },
	date => {
		Period => 'PERIOD',
		Timing => 'TIMING',
		map { $_ => 'DATE_TIME' } qw(date dateTime instant)
	});

my $header = slurp("$root/src/fhir/tables.h");
my ($revision) = $header =~ /^#define FHIR_TABLES_REVISION (\d+)$/m
  or die "no FHIR_TABLES_REVISION in src/fhir/tables.h\n";

generate($_) for qw(r4 r4b r5);

sub slurp
{
	my ($name) = @_;
	open(my $file, '<:raw', $name) or die "$name: $!\n";
	local $/;
	return scalar <$file>;
}

sub load
{
	my ($name) = @_;
	return JSON::PP->new->utf8->decode(slurp("$root/data/fhir/$name.json"));
}

# The strings of one table: each once, in the order of first use.
sub new_pool
{
	return { offset => {}, lines => [], size => 0 };
}

sub intern
{
	my ($pool, $literal, $size) = @_;
	if (!exists $pool->{offset}{$literal})
	{
		$pool->{offset}{$literal} = $pool->{size};
		push @{ $pool->{lines} }, "\t\"$literal\\000\"";
		$pool->{size} += $size + 1;
		die "strings do not fit 16 bits\n" if $pool->{size} > 65535;
	}
	return $pool->{offset}{$literal};
}

sub name_offset
{
	my ($pool, $name) = @_;
	die "unexpected characters in \"$name\"\n" unless $name =~ /\A[A-Za-z0-9_.-]+\z/;
	return intern($pool, $name, length($name));
}

sub path_offset
{
	my ($pool, $path) = @_;
	my @steps = split(/\./, $path);
	for (@steps)
	{
		die "unexpected step in \"$path\"\n" unless /\A[A-Za-z][A-Za-z0-9]{0,120}\z/;
	}
	return intern($pool, join('', map { sprintf('\\%03o%s', length($_), $_) } @steps),
		length($path) + 1);
}

sub generate
{
	my ($version) = @_;
	my @names = sort @{ load("resource-types.$version") };
	my $compartment = load("compartment-patient.$version");
	my $search = load("search-params.$version");
	my $references = load("reference-targets.$version");
	my $pool = new_pool();
	my %index = map { $names[$_] => $_ } 0 .. $#names;
	my (@types, @members, @params, @paths, @filters);

	for my $type (keys %$search)
	{
		die "$version: unknown type $type\n"
		  unless exists $index{$type} || $type eq 'Resource' || $type eq 'DomainResource';
	}
	for my $type (keys %$compartment)
	{
		die "$version: unknown type $type\n" unless exists $index{$type};
	}
	die "$version: DomainResource has parameters\n" if %{ $search->{DomainResource} };

	my $add_params = sub {
		my ($type, $of_type) = @_;
		my $first = @params;
		for my $code (sort keys %$of_type)
		{
			my $param = $of_type->{$code};
			my $where = "$version $type.$code";
			my $first_path = @paths;
			my $kind = 'NONE';
			my $target = -1;

			die "$where: unknown type $param->{type}\n"
			  unless $kind{ $param->{type} } || $unsupported{ $param->{type} };
			if ($kind{ $param->{type} } && !$param->{unsupported} && @{ $param->{paths} // [] })
			{
				die "$where: $param->{why}\n"
				  unless $param->{simple}
				  || $param->{why} eq 'where()' && $param->{filters};
				$kind = $kind{ $param->{type} };
				$target = only_target($param, $references->{$type}, \%index);
				for my $i (0 .. $#{ $param->{paths} })
				{
					push @paths, param_path($where, $param, $i, $pool, \%index, \@filters);
				}
			}
			push @params,
			  sprintf('{%d, FHIR_PARAM_%s, %d, %d, %d}, /* %s.%s */',
				name_offset($pool, $code), $kind, @paths - $first_path, $first_path,
				$target, $type, $code);
		}
		return ($first, @params - $first);
	};

	my ($first_common, $n_common) = $add_params->('Resource', $search->{Resource});
	for my $type (@names)
	{
		my $first_member = @members;
		for my $member (@{ $compartment->{$type} // [] })
		{
			my $own_id = $member->{param} eq '{def}';
			die "$version $type: {def} of another type\n" if $own_id && $type ne 'Patient';
			for my $path (@{ $member->{paths} })
			{
				push @members,
				  sprintf('{%d, %s, %s}, /* %s.%s */',
					path_offset($pool, $path),
					$member->{subject} ? 'true' : 'false',
					$own_id ? 'true' : 'false', $type, $path);
			}
		}
		die "$version $type: no parameter is the subject\n"
		  if @members > $first_member && !grep { $_->{subject} } @{ $compartment->{$type} };
		my ($first_param, $n_params) = $add_params->($type, $search->{$type});
		push @types,
		  sprintf('{%d, %d, %d, %d, %d, %d}, /* %s */',
			name_offset($pool, $type), length($type), @members - $first_member,
			$first_member, $n_params, $first_param, $type);
	}

	my $file = "$outdir/$version.c";
	open(my $out, '>:raw', $file) or die "$file: $!\n";
	print $out "/* generated by tools/generate_fhir_tables.pl, revision $revision, "
	  . "from FHIR $package{$version} in data/fhir; do not edit */\n"
	  . "#include \"postgres.h\"\n\n#include \"fhir/tables.h\"\n\n";
	print $out "static const char strings[] =\n", join("\n", @{ $pool->{lines} }), ";\n\n";
	print_array($out, 'FhirFilter', 'filters', @filters);
	print_array($out, 'FhirParamPath', 'paths', @paths);
	print_array($out, 'FhirParam', 'params', @params);
	print_array($out, 'FhirMember', 'members', @members);
	print_array($out, 'FhirType', 'types', @types);
	print $out "const FhirTables fhir_tables_$version = {\n"
	  . "\tstrings, types, members, params, paths, filters, lengthof(types), "
	  . "$first_common, $n_common\n};\n";
	close($out) or die "$file: $!\n";
	return;
}

# The only type that a reference parameter allows on this type, or -1: the type that all its
# paths resolve to, else what both the parameter and its elements may refer to.
sub only_target
{
	my ($param, $elements, $index) = @_;
	my %allowed;

	for my $i (0 .. $#{ $param->{paths} })
	{
		next unless $param->{element_types}[$i] eq 'Reference';
		my $is = ($param->{resolve_is} // [])->[$i];
		my $at = $elements->{ $param->{paths}[$i] } // die "no targets of $param->{paths}[$i]\n";
		$allowed{$_} = 1 for defined $is ? $is : both($param->{targets} // ['Resource'], $at);
	}
	my @only = keys %allowed;
	return @only == 1 ? $index->{ $only[0] } // -1 : -1;
}

# What two lists of types share; "Resource" stands for any type.
sub both
{
	my ($a, $b) = @_;
	return @$b if grep { $_ eq 'Resource' } @$a;
	return @$a if grep { $_ eq 'Resource' } @$b;
	my %in_a = map { $_ => 1 } @$a;
	return grep { $in_a{$_} } @$b;
}

sub param_path
{
	my ($where, $param, $i, $pool, $index, $filters) = @_;
	my $path = $param->{paths}[$i];
	my $type = $param->{element_types}[$i];
	my $element = $element{ $param->{type} }{$type} or die "$where: element type $type\n";
	my @conditions = @{ ($param->{filters} // [])->[$i] // [] };
	my $resolve = ($param->{resolve_is} // [])->[$i];
	my ($filter, $resolve_is) = (-1, -1);

	die "$where: several conditions\n" if @conditions > 1;
	if (my $condition = $conditions[0])
	{
		die "$where: condition outside the path\n"
		  unless index("$path.", "$condition->{at}.") == 0;
		my $line = sprintf('{%d, %d, %d}, /* %s = %s */',
			scalar(split(/\./, $condition->{at})),
			name_offset($pool, $condition->{element}),
			name_offset($pool, $condition->{equals}),
			$condition->{element},
			$condition->{equals});
		($filter) = grep { $filters->[$_] eq $line } 0 .. $#$filters;
		if (!defined $filter)
		{
			push @$filters, $line;
			$filter = $#$filters;
		}
	}
	if (defined $resolve)
	{
		$resolve_is = $index->{$resolve} // die "$where: resolves to $resolve\n";
	}
	return sprintf('{%d, FHIR_ELEMENT_%s, %d, %d}, /* %s */',
		path_offset($pool, $path), $element, $filter, $resolve_is, $path);
}

sub print_array
{
	my ($out, $type, $name, @lines) = @_;
	print $out "static const $type $name\[] = {\n", (map { "\t$_\n" } @lines), "};\n\n";
	return;
}
