#!/usr/bin/env bash
# tools/audit.sh [OPTION...] LOGFILE...: records of the audit trail out of the server's logs, as NDJSON.
#
#   --since T, --until T   from, and before; any time that date(1) understands
#   --patient ID           records that name this patient (connects to ask smart.audit_hash())
#   --client ID            of this client_id
#   --session S            of this session (log_line_prefix %c)
#   --event E[,E...]       of these events
#   --check                only those that smart.verify_audit() takes; says what is missing, and exits 1 then
#   --fhir                 as AuditEvents (smart.audit_event())
#
# Reads logs of log_destination stderr, csvlog and jsonlog, also gzipped; - is standard input. Connects as psql
# does (PGHOST, PGDATABASE, ...), for --patient, --check and --fhir alone. An undone record goes with the
# statements that it names. Exits 1 when --check found something, 2 when it could not be done.
set -uo pipefail
usage() { sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2; exit 2; }
fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 2; }
time_of() { date -u -d "$1" +%Y-%m-%dT%H:%M:%S.%6NZ 2>/dev/null || fail "no time: $1"; }

export AUDIT_SINCE='' AUDIT_UNTIL='' AUDIT_PATIENT='' AUDIT_HASH='' AUDIT_CLIENT='' AUDIT_SESSION='' AUDIT_EVENT='' AUDIT_CHECK='' AUDIT_FHIR=''
while [ $# -gt 0 ]; do
  case $1 in
    --since) AUDIT_SINCE=$(time_of "${2-}") || exit 2; shift ;;
    --until) AUDIT_UNTIL=$(time_of "${2-}") || exit 2; shift ;;
    --patient) AUDIT_PATIENT=${2:?}; shift ;;
    --client) AUDIT_CLIENT=${2:?}; shift ;;
    --session) AUDIT_SESSION=${2:?}; shift ;;
    --event) AUDIT_EVENT=${2:?}; shift ;;
    --check) AUDIT_CHECK=1 ;;
    --fhir) AUDIT_FHIR=1 ;;
    --) shift; break ;;
    -?*) usage ;;
    *) break ;;
  esac
  shift
done
[ $# -gt 0 ] || usage
if [ -n "$AUDIT_PATIENT" ]; then
  AUDIT_HASH=$(psql -X -q -A -t -v ON_ERROR_STOP=1 -v id="$AUDIT_PATIENT" <<<"SELECT smart.audit_hash('patient', :'id')" 2>/dev/null) ||
    printf '%s: smart.audit_hash() could not be asked: only records in clear are found by the patient\n' "${0##*/}" >&2
fi

exec perl -e '
use strict;
use warnings;
use JSON::PP;
use File::Temp;

my $json = JSON::PP->new->utf8;
my ($said, @records, %statements) = (0);
sub say_wrong { print STDERR "audit.sh: $_[0]\n"; $said = 1; return }

# One physical line of a log of messages in text, or nothing. A record has no two blanks in a row, which stand behind
# each severity: so what a prefix, as by its application_name, or a statement says cannot make one.
sub of_text { return $_[0] =~ /^[^\t].*?:  smart_fhir audit: (\{(?:(?!  ).)*\})\r?$/ ? $1 : undef }

sub of_json
{
	my $line = eval { $json->decode($_[0]) };
	return ref $line eq "HASH" && ($line->{message} // "") =~ /^smart_fhir audit: (\{.*\})$/ ? $1 : undef;
}

# The fourteenth column is the message.
sub of_csv
{
	my @fields;
	while ($_[0] =~ /\G(?:"((?:[^"]|"")*)"|([^,"\n]*))(?:,|\n|$)/g)
	{
		push @fields, defined $1 ? $1 =~ s/""/"/gr : $2;
		last if @fields == 14;
	}
	return @fields == 14 && $fields[13] =~ /^smart_fhir audit: (\{.*\})$/ ? $1 : undef;
}

sub wanted
{
	my ($r) = @_;
	return 0 if $ENV{AUDIT_SINCE} ne "" && ($r->{at} // "") lt $ENV{AUDIT_SINCE};
	return 0 if $ENV{AUDIT_UNTIL} ne "" && ($r->{at} // "") ge $ENV{AUDIT_UNTIL};
	return 0 if $ENV{AUDIT_SESSION} ne "" && ($r->{session} // "") ne $ENV{AUDIT_SESSION};
	# it says nothing of client and patient: it goes with the statements that it names
	return scalar grep { $statements{ $r->{session} // "" }{$_} } @{ $r->{statements} // [] }
	  if ($r->{event} // "") eq "undone" && ($ENV{AUDIT_CLIENT} ne "" || $ENV{AUDIT_PATIENT} ne "" || $ENV{AUDIT_EVENT} ne "");
	return 0 if $ENV{AUDIT_EVENT} ne "" && !grep { $_ eq ($r->{event} // "") } split /,/, $ENV{AUDIT_EVENT};
	return 0 if $ENV{AUDIT_CLIENT} ne "" && ($r->{client_id} // "") ne $ENV{AUDIT_CLIENT};
	return 0 if $ENV{AUDIT_PATIENT} ne "" && !grep { $_ eq $ENV{AUDIT_PATIENT} || ($ENV{AUDIT_HASH} ne "" && $_ eq $ENV{AUDIT_HASH}) } @{ $r->{patients} // [] };
	return 1;
}

my $more = 0;
sub take
{
	my ($text) = @_;
	my $record = eval { $json->decode($text) };
	return say_wrong("a line looks like a record, and is none") if ref $record ne "HASH";
	my $wanted = wanted($record);
	$more++ if $ENV{AUDIT_PATIENT} ne "" && $record->{patients_more};
	$statements{ $record->{session} // "" }{ $record->{statement} } = 1 if $wanted && defined $record->{statement};
	# what is missing is asked of the log as it is, whatever was asked for
	push @records, [ $text, $wanted ] if $wanted || $ENV{AUDIT_CHECK} ne "";
	return;
}

for my $name (@ARGV)
{
	my $in;
	if ($name eq "-") { $in = \*STDIN }
	elsif ($name =~ /\.gz$/) { open($in, "-|", "gzip", "-dc", "--", $name) or die "audit.sh: $name: $!\n" }
	else { open($in, "<", $name) or do { print STDERR "audit.sh: $name: $!\n"; exit 2 } }
	my $row = "";
	my $kind = $name =~ /\.csv(\.gz)?$/ ? "csv" : $name =~ /\.json(\.gz)?$/ ? "json" : undef;
	while (my $line = <$in>)
	{
		$kind //= $line =~ /^\{"timestamp":/ ? "json" : $line =~ /^[0-9-]{10} [0-9:.]+ [^ ,"]+,(?:"|,)/ ? "csv" : "text";
		if ($kind eq "csv")
		{
			# a row goes on while a quote is open
			$row .= $line;
			next if ($row =~ tr/"//) % 2;
			$line = $row;
			$row = "";
		}
		chomp $line if $kind ne "csv";
		my $text = $kind eq "json" ? of_json($line) : $kind eq "csv" ? of_csv($line) : of_text($line);
		take($text) if defined $text;
	}
	close $in;
}

# ask(EXPRESSION, TEXT...): what the database says of each record, with $1 in the place of it
sub ask
{
	my ($expression, @texts) = @_;
	open(my $random, "<", "/dev/urandom") or die "audit.sh: /dev/urandom: $!\n";
	read $random, my $bytes, 16;
	my $tag = "\$r" . unpack("H*", $bytes) . "\$";
	my $script = File::Temp->new;
	print $script "\\set ON_ERROR_STOP 1\nSET client_min_messages = warning;\n";
	print $script "SELECT " . ($expression =~ s/\$1/$tag$_$tag/r) . ";\n\\echo .\n" for @texts;
	close $script;
	open(my $psql, "-|", "psql", "-X", "-q", "-A", "-t", "-f", "$script") or die "audit.sh: psql: $!\n";
	my @answers = ([]);
	while (my $line = <$psql>)
	{
		chomp $line;
		if ($line eq ".") { push @answers, [] }
		else { push @{ $answers[-1] }, $line }
	}
	close $psql or do { print STDERR "audit.sh: the database could not be asked\n"; exit 2 };
	pop @answers;
	return @answers;
}

# Is each of a session there, once?
sub check_numbers
{
	my ($session, $last, @numbers) = @_;
	my $before;
	for my $number (sort { $a <=> $b } @numbers)
	{
		say_wrong("session $session: record $number is there twice") if defined $before && $number == $before;
		say_wrong("session $session: records " . ($before + 1) . " to " . ($number - 1) . " are missing") if defined $before && $number > $before + 1;
		$before = $number;
	}
	say_wrong("session $session: there should be $last records, and the last one here is $before") if defined $last && $last != $before;
	return;
}

if ($ENV{AUDIT_CHECK} ne "")
{
	my @good = ask("smart.verify_audit(\$1)", map { $_->[0] } @records);
	my @kept;
	my (%numbers, %last);
	for my $i (0 .. $#records)
	{
		if (($good[$i][0] // "") ne "t")
		{
			say_wrong("not written by this server, or changed: " . substr($records[$i][0], 0, 200));
			next;
		}
		my $record = $json->decode($records[$i][0]);
		push @{ $numbers{ $record->{session} } }, $record->{seq};
		$last{ $record->{session} } = $record->{last} if defined $record->{last};
		push @kept, $records[$i];
	}
	check_numbers($_, $last{$_}, @{ $numbers{$_} }) for sort keys %numbers;
	@records = @kept;
}
my @wanted = map { $_->[1] ? $_->[0] : () } @records;
print STDERR "audit.sh: $more records do not name all their patients (patients_more)\n" if $more;
if ($ENV{AUDIT_FHIR} ne "")
{
	print "$_\n" for map { @$_ } ask("smart.audit_event(\$1)", @wanted);
}
else { print "$_\n" for @wanted }
exit($said && $ENV{AUDIT_CHECK} ne "" ? 1 : 0);
' -- "$@"
