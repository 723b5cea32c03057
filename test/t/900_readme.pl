# test/t/900_readme.pl
# The session in README.md, typed into psql, prints what README.md says.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $readme = PostgreSQL::Test::Utils::slurp_file("$ENV{TESTDIR}/README.md");
my ($session) = $readme =~ /^```console\n(.*?)^```$/ms;
ok(defined $session, 'README.md has a session') or BAIL_OUT('no session');

# A statement: its lines without their prompts, and what is printed below it.
my @steps;
for my $line (split /\n/, $session)
{
  if ($line =~ /^fhir=[*!]?[#>] (.*)$/)
  {
    push @steps, { name => $1, input => "$1\n", printed => '' };
  }
  elsif ($line =~ /^fhir-[*!]?[#>] ?(.*)$/)
  {
    $steps[-1]{input} .= "$1\n";
  }
  else
  {
    $steps[-1]{printed} .= "$line\n";
  }
}
cmp_ok(scalar @steps, '>', 10, 'with statements in it');

my $node = PostgreSQL::Test::Cluster->new('readme');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE fhir');

# One psql for all; marks on both streams tell the statements apart.
my $script = join '', map { "$_->{input}\\echo =mark=\n\\warn =mark=\n" } @steps;
my ($out, $err) = ('', '');
IPC::Run::run([ 'psql', '-X', '-d', $node->connstr('fhir'), '-f', '-' ], '<', \$script, '>', \$out, '2>', \$err);
my @out = split /^=mark=\n/m, $out, -1;
my @err = split /^=mark=\n/m, $err, -1;
for my $i (0 .. $#steps)
{
  my $messages = $err[$i] // '';
  $messages =~ s/^psql:<stdin>:\d+: //mg;
  my $got = $messages . ($out[$i] // '');
  for ($got, $steps[$i]{printed})
  {
    s/[ \t]+$//mg;
    s/\n+\z//;
  }
  is($got, $steps[$i]{printed}, $steps[$i]{name});
}

$node->stop;
done_testing();
