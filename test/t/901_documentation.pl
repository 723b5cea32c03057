# test/t/901_documentation.pl
# What the documentation says of tests is so: each test that the threat model of the authorization server names exists and has the words
# that are quoted of it, each file that tools/rules.untested names is there, and the sequence diagrams are those of their texts.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

my $root = $ENV{TESTDIR};
sub text { return PostgreSQL::Test::Utils::slurp_file("$root/$_[0]") }

my ($threats) = text('doc/authorization-server.md') =~ /^## What an attacker meets\n(.*)/ms;
my @rows = grep { /^\|/ && !/^\| (?:---|tries|into|has) / } split /\n/, $threats;
cmp_ok(scalar @rows, '>', 30, 'the threat model has rows');
is(join("\n", grep { !/`test\/\S+` "/ && !/\| none(?:: [^|]+)? \|$/ } @rows), '', 'each names a test, or says that there is none');
my $named = 0;
while ($threats =~ /`(test\/\S+)` "([^"]+)"/g)
{
  my ($file, $words) = ($1, $2);
  $named++;
  ok(-f "$root/$file" && index(text($file), $words) >= 0, "$file: $words");
}
cmp_ok($named, '>', 40, 'tests are named');

my @missing;
for my $line (split /\n/, text('tools/rules.untested'))
{
  push @missing, grep { !-f "$root/$_" } $line =~ /(test\/\S+\.\w+)/g;
}
is(join(' ', @missing), '', 'tools/rules.untested names files that are there');

command_ok([ $^X, "$root/tools/draw_sequences.pl", '--check' ], 'the diagrams are those of their texts');

done_testing();
