#!/usr/bin/perl
# tools/check_layers.pl: does every include and every call under src/ go down?
#
# A folder is a layer, and knows only those below it. Read from the #include lines, and from what
# each object file needs and gives (nm), so build first. Files of one folder may use each other, but
# not in a circle. Prints what is wrong, a line each, and fails then.

use strict;
use warnings;

use File::Basename qw(dirname);

# Bottom up; layers of one line know nothing of each other.
my @order = (
	[qw(jose scope)],
	[qw(fhir)],
	[qw(session)],
	[qw(access)],
	[qw(policy)],
	[qw(oauth audit doctor)]);
my %rank;
for my $i (0 .. $#order)
{
	$rank{$_} = $i for @{ $order[$i] };
}
# What a layer may use of a layer below it, where that is not all: fhir reads JSON, but no token.
my %only = ('fhir jose' => qr{^src/jose/json\.});

chdir(dirname(__FILE__) . '/..') or die "$!\n";
my @sources = sort(glob('src/*.c'), glob('src/*/*.c'), glob('src/*/*/*.c'));
my @headers = sort(glob('src/*.h'), glob('src/*/*.h'), glob('src/*/*/*.h'));
my @problems;

my %includes = map { $_ => [ own_includes($_) ] } @sources, @headers;
my %calls = read_calls();

for my $file (sort keys %includes)
{
	check($file, $_, 'includes') for @{ $includes{$file} };
}
for my $file (sort keys %calls)
{
	check($file, $_, "needs $calls{$file}{$_} of") for sort keys %{ $calls{$file} };
}
# in the folder's own terms: what its files call, and what its headers are made of
report_circles('call each other',
	{ map { my $file = $_; $file => [ same_folder($file, keys %{ $calls{$file} }) ] } @sources });
report_circles('include each other',
	{ map { my $file = $_; $file => [ grep { /\.h$/ } @{ $includes{$file} } ] } @headers });

print "$_\n" for @problems;
exit(@problems ? 1 : 0);

# The folder under src/, or nothing for a file that stands beside the layers.
sub layer
{
	return $_[0] =~ m{^src/([^/]+)/} ? $1 : '';
}

sub same_folder
{
	my ($file, @others) = @_;
	return grep { layer($_) eq layer($file) } @others;
}

sub own_includes
{
	my ($file) = @_;
	my @found;
	open(my $in, '<', $file) or die "$file: $!\n";
	while (my $line = <$in>)
	{
		# PostgreSQL has an access/ of its own
		push @found, "src/$1" if $line =~ /^\s*#\s*include\s+"([^"]+)"/ && -e "src/$1";
	}
	return @found;
}

# file => {file that defines a symbol it needs => that symbol}
sub read_calls
{
	my (%home, %needs, %found);
	for my $source (@sources)
	{
		(my $object = $source) =~ s/\.c$/.o/;
		-e $object or die "$object is missing: build first\n";
		open(my $nm, '-|', 'nm', '-g', $object) or die "nm: $!\n";
		while (my $line = <$nm>)
		{
			my ($kind, $symbol) = $line =~ /([A-Za-z]) (\S+)$/ or next;
			if ($kind eq 'U') { push @{ $needs{$source} }, $symbol }
			else { $home{$symbol} = $source }
		}
		close($nm) or die "nm $object failed\n";
	}
	for my $source (@sources)
	{
		$found{$source} = {};
		for my $symbol (sort @{ $needs{$source} // [] })
		{
			my $at = $home{$symbol};
			$found{$source}{$at} //= $symbol if defined $at && $at ne $source;
		}
	}
	return %found;
}

sub check
{
	my ($from, $to, $how) = @_;
	my ($upper, $lower) = (layer($from), layer($to));
	return if $lower eq $upper || $to eq 'src/compat.h';
	for my $name ($upper, $lower)
	{
		return unknown($from, $name) if $name ne '' && !exists $rank{$name};
	}
	# what stands beside the layers is above them all, but for compat.h, which is below
	my $above = $from eq 'src/compat.h' ? -1 : $upper eq '' ? @order : $rank{$upper};
	my $below = $lower eq '' ? @order : $rank{$lower};
	my $only = $only{"$upper $lower"};
	push @problems, "$from $how $to, which is not below it" if $below >= $above;
	push @problems, "$from $how $to, of which $upper may not know" if $only && $to !~ $only;
	return;
}

sub unknown
{
	my ($file, $name) = @_;
	my $problem = "src/$name is no layer (the list is in tools/check_layers.pl)";
	push @problems, $problem unless grep { $_ eq $problem } @problems;
	return;
}

# Tarjan's strongly connected components, each of several files reported once.
sub report_circles
{
	my ($what, $graph) = @_;
	my ($n, @stack, %index, %low, %on) = (0);
	my $visit;
	$visit = sub {
		my ($at) = @_;
		$index{$at} = $low{$at} = $n++;
		push @stack, $at;
		$on{$at} = 1;
		for my $to (sort @{ $graph->{$at} // [] })
		{
			if (!defined $index{$to})
			{
				$visit->($to);
				$low{$at} = $low{$to} if $low{$to} < $low{$at};
			}
			elsif ($on{$to} && $index{$to} < $low{$at}) { $low{$at} = $index{$to} }
		}
		return if $low{$at} != $index{$at};
		my @circle;
		do
		{
			push @circle, pop @stack;
			delete $on{ $circle[-1] };
		} while ($circle[-1] ne $at);
		push @problems, "a circle: " . join(', ', sort @circle) . " $what" if @circle > 1;
	};
	defined $index{$_} or $visit->($_) for sort keys %$graph;
	return;
}
