#!/usr/bin/env perl
# bench/report.pl DIRECTORY: report.md and charts (SVG) from the .tsv files that the parts wrote there.
#
# A line: name, value, unit, name of the baseline, its value, ratio, target. Ratios are
# times of ours over times of the baseline, in one run, medians: 1.00 is "costs nothing".
use strict;
use warnings FATAL => 'all';

my $dir = $ARGV[0] // die "usage: bench/report.pl DIRECTORY\n";

sub rows
{
	my ($part) = @_;
	open my $file, '<:utf8', "$dir/$part.tsv" or return;
	return map { chomp; [ split /\t/, $_, -1 ] } <$file>;
}

sub escape { return $_[0] =~ s/&/&amp;/gr =~ s/</&lt;/gr =~ s/>/&gt;/gr }

sub svg
{
	my ($name, $width, $height, $body) = @_;
	open my $file, '>:utf8', "$dir/$name.svg" or die "$name.svg: $!\n";
	print {$file} qq(<svg xmlns="http://www.w3.org/2000/svg" width="$width" height="$height" viewBox="0 0 $width $height" font-family="sans-serif" font-size="13">\n),
	  qq(<rect width="$width" height="$height" fill="white"/>\n$body</svg>\n);
	close $file;
}

# Bars of ratios, with the most that each may be.
sub bars
{
	my ($file, $title, @rows) = @_;
	@rows = grep { defined $_->[5] && $_->[5] =~ /^[\d.]+$/ } @rows or return;
	my ($left, $top, $line, $plot) = (380, 60, 24, 420);
	my $max = 1.6;
	my $height = $top + $line * @rows + 50;
	my $x = sub { my $v = $_[0] > $max ? $max : $_[0]; return $left + $plot * $v / $max };
	my $body = qq(<text x="16" y="26" font-size="16" font-weight="bold">@{[escape($title)]}</text>\n)
	  . qq(<text x="16" y="46" fill="#555">time under the policies / time with a hand-written WHERE; the mark is the most it may be</text>\n);
	for my $tick (0, 0.5, 1, 1.5)
	{
		my $at = $x->($tick);
		my $colour = $tick == 1 ? '#444' : '#ddd';
		$body .= qq(<line x1="$at" y1="$top" x2="$at" y2="@{[$height - 40]}" stroke="$colour"/><text x="$at" y="@{[$height - 22]}" text-anchor="middle">$tick</text>\n);
	}
	my $y = $top + 4;
	for my $row (@rows)
	{
		my ($name, $ratio, $target) = ($row->[0], $row->[5], $row->[6]);
		my $over = $target =~ /^[\d.]+$/ && $ratio > $target;
		my $end = $x->($ratio);
		$body .= qq(<text x="@{[$left - 8]}" y="@{[$y + 13]}" text-anchor="end">@{[escape($name)]}</text>)
		  . qq(<rect x="$left" y="$y" width="@{[$end - $left]}" height="16" fill="@{[$over ? '#d95f02' : '#1b9e77']}"/>)
		  . qq(<text x="@{[$left + $plot + 12]}" y="@{[$y + 13]}">$ratio</text>\n);
		if ($target =~ /^[\d.]+$/)
		{
			my $at = $x->($target);
			$body .= qq(<line x1="$at" y1="@{[$y - 2]}" x2="$at" y2="@{[$y + 18]}" stroke="#c00" stroke-width="2"/>\n);
		}
		$y += $line;
	}
	svg($file, $left + $plot + 70, $height, $body);
}

# Ratio by size of the table, one line a query.
sub growth
{
	my @rows = @_ or return;
	my (%lines, %sizes);
	for (@rows) { push @{ $lines{ $_->[1] } }, [ $_->[0], $_->[6] ]; $sizes{ $_->[0] } = 1 }
	my @sizes = sort { $a <=> $b } keys %sizes;
	my ($left, $top, $plot, $high) = (60, 60, 520, 280);
	my $max = 1.6;
	my %at = map { $sizes[$_] => $left + ($#sizes ? $plot * $_ / $#sizes : $plot / 2) } 0 .. $#sizes;
	my $y = sub { my $v = $_[0] > $max ? $max : $_[0]; return $top + $high - $high * $v / $max };
	my @colours = ('#1b9e77', '#d95f02', '#7570b3', '#e7298a', '#666666');
	my $body = qq(<text x="16" y="26" font-size="16" font-weight="bold">Ratio by size of the table</text><text x="16" y="46" fill="#555">time under the policies / time with a hand-written WHERE; key column, 100 rows a patient</text>\n);
	for my $tick (0, 0.5, 1, 1.5)
	{
		my $h = $y->($tick);
		$body .= qq(<line x1="$left" y1="$h" x2="@{[$left + $plot]}" y2="$h" stroke="@{[$tick == 1 ? '#444' : '#ddd']}"/><text x="@{[$left - 8]}" y="@{[$h + 4]}" text-anchor="end">$tick</text>\n);
	}
	$body .= qq(<text x="$at{$_}" y="@{[$top + $high + 20]}" text-anchor="middle">@{[$_ >= 1e6 ? $_ / 1e6 . 'M' : $_ / 1e3 . 'k']}</text>\n) for @sizes;
	$body .= qq(<text x="@{[$left + $plot / 2]}" y="@{[$top + $high + 42]}" text-anchor="middle">rows</text>\n);
	my $n = 0;
	for my $name (sort keys %lines)
	{
		my $colour = $colours[ $n % @colours ];
		my @points = sort { $a->[0] <=> $b->[0] } @{ $lines{$name} };
		my $path = join ' ', map { "$at{$_->[0]}," . $y->($_->[1]) } @points;
		$body .= qq(<polyline points="$path" fill="none" stroke="$colour" stroke-width="2"/>\n);
		$body .= qq(<circle cx="$at{$_->[0]}" cy="@{[$y->($_->[1])]}" r="3.5" fill="$colour"/>) for @points;
		my $ly = $top + 14 + 20 * $n++;
		$body .= qq(<rect x="@{[$left + $plot + 24]}" y="@{[$ly - 10]}" width="12" height="12" fill="$colour"/><text x="@{[$left + $plot + 42]}" y="$ly">@{[escape($name)]}</text>\n);
	}
	svg('growth', $left + $plot + 260, $top + $high + 60, $body);
}

my @rls = rows('rls');
bars('one_patient', 'One patient', grep { $_->[0] =~ /one patient/ } @rls);
bars('backend', 'A backend session: all rows', grep { $_->[0] =~ /backend/ } @rls);
bars('patients', 'Several patients, and granular scopes', grep { $_->[0] =~ /\d patients|laboratory/ } @rls);
bars('requests', 'Whole requests', rows('requests'));
bars('today', 'Policies of today and ours, one patient', rows('today'));
growth(rows('growth'));

my %titles = (instructions => 'In instructions (bench/instructions.sh)', rls => 'Queries under policies', requests => 'Whole requests', tokens => 'Tokens', functions => 'Functions, inserts, memory', today => 'What people do today');
my %charts = (rls => [qw(one_patient backend patients growth)], requests => ['requests'], today => ['today']);
open my $out, '>:utf8', "$dir/report.md" or die "report.md: $!\n";
print {$out} "# Benchmark\n\nMade by `bench/run.sh`. Ratios are medians of interleaved runs on one machine; only they count, not the times beside them.\n",
  "A ratio above its target is in bold. bench/README.md says how to read this, and why a figure is what it is.\n";
for my $part (qw(rls requests tokens functions today instructions))
{
	my @rows = rows($part) or next;
	print {$out} "\n## $titles{$part}\n\n";
	print {$out} "![]($_.svg)\n" for grep { -e "$dir/$_.svg" } @{ $charts{$part} // [] };
	print {$out} "\n| | | baseline | | ratio | at most |\n| --- | --: | --- | --: | --: | --: |\n";
	for my $row (@rows)
	{
		my ($name, $value, $unit, $base, $base_value, $ratio, $target) = map { $_ // '' } @$row;
		my $over = $target =~ /^[\d.]+$/ && $ratio =~ /^[\d.]+$/ && $ratio > $target;
		print {$out} "| $name | $value $unit | $base | $base_value | ", ($over ? "**$ratio**" : $ratio), " | $target |\n";
	}
	if ($part eq 'rls' && (my @growth = rows('growth')))
	{
		print {$out} "\n### By size of the table (key column)\n\n| rows | | ratio |\n| --: | --- | --: |\n";
		print {$out} "| $_->[0] | $_->[1] | $_->[6] |\n" for sort { $a->[1] cmp $b->[1] || $a->[0] <=> $b->[0] } @growth;
	}
}
if (my @rows = rows('targets'))
{
	print {$out} "\n## Held to a limit\n\nOurs over the baseline, by the time that the client waits; in brackets by the CPU time of the server's processes.\n",
	  "Beside them the earlier build over the same baseline.\n\n| | ours | baseline | ratio | earlier build | at most |\n| --- | --: | --: | --: | --: | --: |\n";
	for my $row (@rows)
	{
		my ($name, $value, $unit, $base, $ratio, $cpu, $earlier, $earlier_cpu, $limit) = map { $_ // '' } @$row;
		my $over = $limit =~ /^[\d.]+$/ && $ratio ne '' && $ratio > $limit;
		my $both = sub { return $_[0] . ($_[1] ne '' ? " ($_[1])" : '') };
		print {$out} "| $name | $value $unit | $base | ", ($over ? '**' . $both->($ratio, $cpu) . '**' : $both->($ratio, $cpu)), ' | ', $both->($earlier, $earlier_cpu), " | $limit |\n";
	}
}
if (open my $text, '<:utf8', "$dir/rows.txt")
{
	local $/;
	print {$out} "\n## Functions on rows\n\nNanoseconds a row beside what jsonb's own operators take.\n\n```text\n" . <$text> . "```\n";
}
close $out;
