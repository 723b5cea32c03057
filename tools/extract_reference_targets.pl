#!/usr/bin/perl
# tools/extract_reference_targets.pl VERSION PACKAGEDIR: writes data/fhir/reference-targets.VERSION.json.
#
# For each element of type Reference that a search parameter looks at, the types that the
# element itself may refer to: a search parameter that several types share (such as
# encounter) lists more targets than the element of one type has. Only needed when the
# definitions change: PACKAGEDIR is the unpacked npm package of the definitions
# (hl7.fhir.r4.examples 4.0.1, hl7.fhir.r4b.core 4.3.0, hl7.fhir.r5.core 5.0.0).

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP;

my ($version, $package) = @ARGV;
die "usage: $0 VERSION PACKAGEDIR\n" unless defined $package;
my $data = dirname(__FILE__) . '/../data/fhir';
my $json = JSON::PP->new->utf8->canonical;
my $search = load("$data/search-params.$version.json");
my %targets;

for my $type (sort keys %$search)
{
	my %elements;
	for my $param (values %{ $search->{$type} })
	{
		my $types = $param->{element_types} // [];
		for my $i (0 .. $#$types)
		{
			next unless $types->[$i] eq 'Reference';
			%elements = elements($type) unless %elements;
			my $path = $param->{paths}[$i];
			# Inside a complex data type (RelatedArtifact): any type.
			$targets{$type}{$path} = $elements{$path} // ['Resource'];
		}
	}
}

open(my $out, '>:raw', "$data/reference-targets.$version.json") or die $!;
print $out "{\n", join(",\n",
	map { my $type = $_; "\"$type\": {\n" . join(",\n",
		map { "\"$_\": " . $json->encode($targets{$type}{$_}) } sort keys %{ $targets{$type} })
	  . "}" } sort keys %targets), "\n}\n";
close($out) or die $!;

sub load
{
	my ($name) = @_;
	open(my $file, '<:raw', $name) or die "$name: $!\n";
	local $/;
	return $json->decode(scalar <$file>);
}

# Path as it stands in JSON => sorted target types, of all Reference elements of a type.
sub elements
{
	my ($type) = @_;
	my $definition = load("$package/StructureDefinition-$type.json");
	my %found;
	for my $element (@{ $definition->{snapshot}{element} })
	{
		my $path = substr($element->{path}, length($type));
		$path =~ s/^\.//;
		for my $of (@{ $element->{type} // [] })
		{
			next unless $of->{code} =~ /^(?:Reference|CodeableReference)$/;
			my $profiles = $of->{targetProfile} // [];
			my @types = sort map { m{([^/]+)$} } ref $profiles ? @$profiles : ($profiles);
			my $at = $path;
			$at =~ s/\[x\]$/$of->{code}/;
			$at .= '.reference' if $of->{code} eq 'CodeableReference';
			$found{$at} = @types ? \@types : ['Resource'];
		}
	}
	return %found;
}
