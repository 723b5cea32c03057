#!/usr/bin/env perl
# tools/draw_sequences.pl [--check]: draws doc/images/NAME.svg of each doc/images/NAME.sequence. --check: are they as they would be drawn?
#
# A line of the text is "title: ...", "key = name of a participant", "key -> key: message", "key --> key: answer", "key: what it does"
# or "--- words" for time that passes; # begins a comment.
use strict;
use warnings;
use FindBin;

my $check = @ARGV && $ARGV[0] eq '--check';
my $column = 200;
my $row = 36;
my $status = 0;

sub escaped { my ($text) = @_; $text =~ s/&/&amp;/g; $text =~ s/</&lt;/g; $text =~ s/>/&gt;/g; return $text }

sub drawn
{
  my ($file) = @_;
  my ($title, %at, @names, @steps) = ('');
  open(my $in, '<:encoding(UTF-8)', $file) or die "$file: $!\n";
  while (my $line = <$in>)
  {
    chomp $line;
    next if $line =~ /^\s*(#|$)/;
    if ($line =~ /^title: (.+)$/) { $title = $1 }
    elsif ($line =~ /^(\w+) = (.+)$/) { $at{$1} = @names; push @names, $2 }
    elsif ($line =~ /^(\w+) (-->|->) (\w+): (.+)$/ && exists $at{$1} && exists $at{$3}) { push @steps, [ $2, $at{$1}, $at{$3}, $4 ] }
    elsif ($line =~ /^(\w+): (.+)$/ && exists $at{$1}) { push @steps, [ 'does', $at{$1}, $at{$1}, $2 ] }
    elsif ($line =~ /^--- (.+)$/) { push @steps, [ 'time', 0, 0, $1 ] }
    else { die "$file:$.: not understood: $line\n" }
  }
  my $x = sub { $column / 2 + $column * $_[0] };
  my ($width, $height) = ($column * @names, 66 + $row * @steps);
  my $svg = qq{<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 $width $height" width="$width" height="$height" role="img" aria-labelledby="title" font-family="DejaVu Sans, Verdana, sans-serif" font-size="12">\n}
    . '<title id="title">' . escaped($title) . "</title>\n"
    . '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto"><path d="M0 0 10 5 0 10z" fill="#123a5c"/></marker></defs>' . "\n"
    . qq{<rect width="$width" height="$height" fill="#fff"/>\n};
  for my $i (0 .. $#names)
  {
    $svg .= sprintf qq{<line x1="%d" y1="34" x2="%d" y2="%d" stroke="#9aa5b1"/><rect x="%d" y="8" width="%d" height="26" rx="4" fill="#123a5c"/><text x="%d" y="25" text-anchor="middle" fill="#fff">%s</text>\n},
      $x->($i), $x->($i), $height - 8, $x->($i) - 88, 176, $x->($i), escaped($names[$i]);
  }
  my $y = 40;
  for my $step (@steps)
  {
    my ($kind, $from, $to, $words) = @$step;
    my $text = escaped($words);
    $y += $row;
    if ($kind eq 'time')
    {
      $svg .= sprintf qq{<line x1="0" y1="%d" x2="%d" y2="%d" stroke="#9aa5b1" stroke-dasharray="2 4"/><text x="8" y="%d" fill="#4c5561" font-style="italic">%s</text>\n}, $y - 8, $width, $y - 8, $y - 13, $text;
    }
    elsif ($kind eq 'does')
    {
      my $half = 4 + 3.6 * length $words;
      my $middle = $x->($from);
      $middle = $width - $half - 2 if $middle + $half > $width;
      $svg .= sprintf qq{<rect x="%.1f" y="%d" width="%.1f" height="22" fill="#fdf3d8" stroke="#b45309"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>\n}, $middle - $half, $y - 21, 2 * $half, $middle, $y - 6, $text;
    }
    else
    {
      my ($start, $end) = ($x->($from), $x->($to));
      $svg .= sprintf qq{<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#123a5c"%s marker-end="url(#tip)"/><text x="%d" y="%d" text-anchor="middle" stroke="#fff" stroke-width="4" paint-order="stroke">%s</text>\n},
        $start, $y, $end, $y, $kind eq '-->' ? ' stroke-dasharray="5 4"' : '', ($start + $end) / 2, $y - 6, $text;
    }
  }
  return "$svg</svg>\n";
}

for my $file (sort glob "$FindBin::Bin/../doc/images/*.sequence")
{
  my $svg = drawn($file);
  (my $picture = $file) =~ s/sequence$/svg/;
  my $there = '';
  if (open(my $in, '<:encoding(UTF-8)', $picture)) { local $/; $there = <$in> }
  next if $there eq $svg;
  if ($check) { print "$picture is not what tools/draw_sequences.pl draws\n"; $status = 1; next }
  open(my $out, '>:encoding(UTF-8)', $picture) or die "$picture: $!\n";
  print $out $svg;
  close $out or die "$picture: $!\n";
}
exit $status;
