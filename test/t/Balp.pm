# test/t/Balp.pm
# Does an AuditEvent conform to the profile that it claims? By the facts in test/data/audit/balp.json.
package Balp;

use strict;
use warnings;

use JSON::PP;
use PostgreSQL::Test::Utils;

my $facts = JSON::PP->new->decode(PostgreSQL::Test::Utils::slurp_file("$ENV{TESTDIR}/test/data/audit/balp.json"));
my %short = reverse %{ $facts->{systems} };

sub code
{
	my ($coding) = @_;
	return ($short{ $coding->{system} // '' } // $coding->{system} // '') . '#' . ($coding->{code} // '');
}

sub codes { return map { code($_) } @{ $_[0]{coding} // [] } }

sub among { my ($value, @wanted) = @_; return scalar grep { $_ eq $value } @wanted }

# What of FHIR R4 every AuditEvent must have.
sub base
{
	my ($event) = @_;
	my @problems;
	push @problems, 'resourceType' if $event->{resourceType} ne 'AuditEvent';
	push @problems, 'id' if defined $event->{id} && $event->{id} !~ /^[A-Za-z0-9.-]{1,64}$/;
	push @problems, 'type' if !$event->{type}{code};
	push @problems, 'recorded' if ($event->{recorded} // '') !~ /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;
	push @problems, 'source.observer' if !$event->{source}{observer};
	push @problems, 'agent' if !@{ $event->{agent} // [] };
	push @problems, 'agent.requestor' if grep { !JSON::PP::is_bool($_->{requestor}) } @{ $event->{agent} };
	push @problems, 'action' if $event->{action} !~ /^[CRUDE]$/;
	push @problems, 'outcome' if $event->{outcome} !~ /^(0|4|8|12)$/;
	push @problems, 'network.type' if grep { $_->{network} && $_->{network}{type} !~ /^[1-5]$/ } @{ $event->{agent} };
	push @problems, 'entity is empty' if $event->{entity} && !@{ $event->{entity} };
	# sev-1: either a name or a query, not both
	push @problems, 'sev-1' if grep { defined $_->{name} && defined $_->{query} } @{ $event->{entity} // [] };
	push @problems, 'query is no base64' if grep { defined $_->{query} && $_->{query} !~ m{^[A-Za-z0-9+/]+=*$} } @{ $event->{entity} // [] };
	return @problems;
}

sub agents
{
	my ($event, $wanted, $closed) = @_;
	my @problems;
	my @agents = @{ $event->{agent} };
	push @problems, 'fewer than two agents' if @agents < 2;
	my $known = 0;
	for my $slice (sort keys %$wanted)
	{
		my @found = grep { my $a = $_; grep { among($_, @{ $wanted->{$slice} }) } codes($a->{type}) } @agents;
		$known += @found;
		push @problems, "agents $slice: " . scalar @found if @found > 1 || (!@found && $slice ne 'user');
		for my $agent (@found)
		{
			push @problems, "$slice.who" if !$agent->{who};
			push @problems, "$slice.media" if $agent->{media};
			push @problems, "$slice.network" if $slice eq 'user' ? $agent->{network} : !$agent->{network};
			push @problems, "$slice.requestor" if $slice eq 'user' && !$agent->{requestor};
			push @problems, "$slice.altId" if $slice eq 'user' && $closed && $agent->{altId};
		}
	}
	push @problems, 'another agent' if $closed && $known != @agents;
	return @problems;
}

sub entities
{
	my ($event, $wanted, $closed) = @_;
	my @problems;
	my @entities = @{ $event->{entity} // [] };
	for my $slice (@$wanted)
	{
		my $fact = $facts->{entity}{$slice};
		my @found = grep { among(code($_->{type}), @{ $fact->{type} }) } @entities;
		push @problems, "entities $slice: " . scalar @found if @found != 1;
		for my $entity (@found)
		{
			push @problems, "$slice.role" if !among(code($entity->{role} // {}), @{ $fact->{role} });
			push @problems, map { "$slice lacks $_" } grep { !defined $entity->{$_} } @{ $fact->{must} };
			push @problems, map { "$slice has $_" } grep { defined $entity->{$_} } @{ $fact->{not} };
			push @problems, 'patient.what' if $slice eq 'patient' && ($entity->{what}{reference} // '') !~ m{(^|/)Patient/[A-Za-z0-9.-]{1,64}$};
		}
	}
	push @problems, 'another entity' if $closed && @entities != @$wanted;
	return @problems;
}

sub oauth
{
	my ($event, $type) = @_;
	my @found = grep { my $a = $_; grep { $_ eq $type } codes($a->{type}) } @{ $event->{agent} };
	return 'no oUser' if !@found;
	return map { (@{ $_->{policy} // [] } == 1 && $_->{policy}[0] =~ /^urn:ietf:params:oauth:jti:./ ? () : 'policy'),
		  ($_->{requestor} ? () : 'requestor'), (map { "oUser.$_" } grep { exists $found[0]{$_} } qw(media network)) } @found;
}

# The profile that it claims, or '-', and what is wrong with it.
sub check
{
	my ($event) = @_;
	my @problems = base($event);
	my @claimed = @{ $event->{meta}{profile} // [] };
	return ('-', @problems) if !@claimed;
	push @problems, 'several profiles' if @claimed > 1;
	my $name = $claimed[0] =~ s/^\Q$facts->{base}\E//r;
	my $profile = $facts->{profiles}{$name} or return ($name, 'no such profile');
	my %fact = (%{ $profile->{parent} ? $facts->{profiles}{ $profile->{parent} } : {} }, %$profile);
	push @problems, 'type ' . code($event->{type}) if $fact{type} && code($event->{type}) ne $fact{type};
	push @problems, map { "$_ $event->{$_}" } grep { $fact{$_} && $event->{$_} ne $fact{$_} } qw(action outcome);
	if ($fact{subtype})
	{
		my @subtypes = map { code($_) } @{ $event->{subtype} // [] };
		push @problems, "subtype @subtypes" if 1 != grep { among($_, @{ $fact{subtype} }) } @subtypes;
		push @problems, 'another subtype' if $fact{one_subtype} && @subtypes != 1;
	}
	push @problems, agents($event, $fact{agents}, $fact{closed}) if $fact{agents};
	push @problems, entities($event, $fact{entities}, $fact{closed}) if $fact{entities};
	push @problems, oauth($event, $fact{oauth}) if $fact{oauth};
	return ($name, @problems);
}

1;
