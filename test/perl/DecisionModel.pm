# test/perl/DecisionModel.pm: a slow, independent model of what smart_fhir decides.
#
# Written from the published rules (SMART App Launch 2.2 scopes, FHIR R4 search and compartments, and
# this extension's documents) over the JSON definitions in data/fhir. It shares no code and no
# generated table with the C side and must stay so: where the two differ, one of them is wrong. It
# favours the shortest statement of a rule over speed.
package DecisionModel;

use strict;
use warnings FATAL => 'all';

use JSON::PP;
use List::Util qw(any all);
use Time::Local qw(timegm_modern);

my $ID = qr/[A-Za-z0-9.\-]{1,64}/;
my %SHARED = map { $_ => 1 }
  qw(Endpoint HealthcareService Location Medication Organization Practitioner PractitionerRole);
my %USER_TYPE = map { $_ => 1 } qw(Patient Practitioner PractitionerRole RelatedPerson Person);
my %SUPPORTED = map { $_ => 1 } qw(token reference string uri date);
my ($MIN, $MAX) = (-1e17, 1e17);

# new(DIRECTORY): the definitions of R4 in data/fhir.
sub new
{
	my ($class, $dir) = @_;
	my %self;
	for my $name (qw(compartment-patient search-params reference-targets resource-types))
	{
		open my $file, '<:raw', "$dir/$name.r4.json" or die "$dir/$name.r4.json: $!";
		local $/;
		$self{$name} = JSON::PP->new->utf8->decode(<$file>);
	}
	$self{types} = { map { $_ => 1 } @{ $self{'resource-types'} } };
	return bless \%self, $class;
}

# --- scopes -------------------------------------------------------------------------------------

# scopes(TEXT): what a claim grants, a list of {level, type, letters, params}. A token that is
# malformed, or that SMART does not define, grants nothing; white space other than U+0020, or a
# byte that no scope may hold, spoils the claim.
sub scopes
{
	my ($self, $text) = @_;
	return () if !defined $text || ref $text || $text =~ /[^\x20\x21\x23-\x5b\x5d-\x7e]/;
	return grep { defined } map { $self->_scope($_) } split / +/, $text;
}

sub _scope
{
	my ($self, $token) = @_;
	my ($head, $query) = $token =~ /\A([^?]*)(?:\?(.*))?\z/s;
	my ($level, $type, $permission) =
	  $head =~ m{\A(patient|user|system)/(\*|[A-Z][A-Za-z]*)\.([a-z*]+)\z} or return;
	my $v1 = { read => 'rs', write => 'cud', '*' => 'cruds' }->{$permission};
	return if defined $v1 && defined $query;
	return unless defined $v1 || $permission =~ /\Ac?r?u?d?s?\z/;
	return unless $type eq '*' || $self->{types}{$type};
	my @params;
	if (defined $query)
	{
		for my $pair (split /&/, $query, -1)
		{
			my ($name, $value) = $pair =~ /\A([^=]+)=([^=?#+]+)\z/ or return;
			for ($name, $value)
			{
				return if /%(?![0-9A-Fa-f]{2})/ || /%00/;
				s/%(..)/chr hex $1/ge;
				utf8::decode($_) or return;
			}
			push @params, [ $name, $value ];
		}
		# a type of its own says at once whether its parameters are known
		return if $type ne '*' && any { !$self->_parameter($type, $_->[0]) } @params;
		return unless @params;
	}
	return { level => $level, type => $type, letters => $v1 // $permission, params => \@params };
}

# A search parameter of a type that a scope may use, or undef. Names with a modifier or a chain are in no list.
sub _parameter
{
	my ($self, $type, $name) = @_;
	my $definition = $self->{'search-params'}{$type}{$name} // $self->{'search-params'}{Resource}{$name};
	return unless $definition && $SUPPORTED{ $definition->{type} } && @{ $definition->{paths} // [] };
	return $definition;
}

# --- session ------------------------------------------------------------------------------------

# session(CLAIMS, ISSUER): who is logged in. ISSUER has add_issuer's options; user_patients has for each
# type of fhirUser what the function answers, a list or undef.
sub session
{
	my ($self, $claims, $issuer) = @_;
	my %session = (scopes => [ $self->scopes($claims->{scope}) ], patients => [], levels => {});
	$session{levels}{$_} = 1 for @{ $issuer->{levels} // [qw(patient user system)] };
	my @audience = ref $claims->{aud} ? @{ $claims->{aud} } : $claims->{aud} // ();
	$session{bases} = [ grep { my $aud = $_; any { $_ eq $aud } @{ $issuer->{audience} } } @audience ];

	my $user = $claims->{fhirUser};
	if (_is_string($user))
	{
		my ($base, $type, $id) = $user =~ m{\A(?:(https?://.+)/)?([A-Za-z]+)/($ID)\z};
		$session{user} = { type => $type, id => $id }
		  if defined $type && $USER_TYPE{$type} && (!defined $base || any { $_ eq $base } @audience ? @{ $session{bases} } : @{ $issuer->{audience} });
	}

	# several patients, as an array or between spaces, only where the issuer may name several; a
	# user stands in for an absent claim only, not for one that is no patient
	my $max = $issuer->{max_patients} // 1;
	my $claim = $claims->{patient};
	my @patients = _is_string($claim) ? ($max > 1 ? split / +/, $claim : $claim) : ref $claim eq 'ARRAY' && $max > 1 ? @$claim : ();
	@patients = () unless @patients <= $max && all { _is_string($_) && /\A$ID\z/ } @patients;
	@patients = ($session{user}{id})
	  if !exists $claims->{patient} && $issuer->{patient_from_fhir_user} && $session{user} && $session{user}{type} eq 'Patient';
	$session{patients} = \@patients;

	if ($session{user} && $session{user}{type} eq 'Patient')
	{
		$session{user}{patients} = [ $session{user}{id} ];
	}
	elsif ($session{user})
	{
		my $type = $session{user}{type};
		my $answer = ($issuer->{user_patients} // {})->{$type};
		my $staff = any { $_ eq $type } @{ $issuer->{staff_types} // [qw(Practitioner PractitionerRole)] };
		$session{user}{all} = !defined $answer && $issuer->{user_sees_all} && $staff;
		$session{user}{patients} = $answer // [];
	}
	return \%session;
}

sub _is_string { my ($value) = @_; return defined $value && JSON::PP->new->allow_nonref->encode($value) =~ /\A"/ }

# --- decision -----------------------------------------------------------------------------------

# permits(SESSION, TABLE, ROW, LETTER): yes or no. TABLE has protect()'s options, and patients when a
# column decides; ROW has resource, id, type and patients, a list.
sub permits
{
	my ($self, $session, $table, $row, $letter) = @_;
	return 0 if defined $table->{base_url} && !_names_base($session, $table->{base_url});
	my $expected = $table->{resource_type} // $row->{type};
	my $resource = $row->{resource};
	if (ref $resource eq 'HASH')
	{
		$resource = {%$resource};
		$resource->{resourceType} = $expected if !exists $resource->{resourceType} && defined $expected;
		$resource->{id} = $row->{id} if !exists $resource->{id} && defined $row->{id};
		my $type = $resource->{resourceType};
		$expected //= $type;
		return 0 if !defined $type || $type !~ /\A[A-Za-z]+\z/ || $type ne $expected;
	}
	else
	{
		return 0;    # text that is no JSON is no resource
	}
	for my $scope (@{ $session->{scopes} })
	{
		next unless index($scope->{letters}, $letter) >= 0;
		next unless $scope->{type} eq '*' || $scope->{type} eq $expected;
		next unless all { $self->_matches($table->{base_url}, $expected, $resource, @$_) } @{ $scope->{params} };
		return 1 if $self->_level_holds($session, $scope->{level}, $table, $row, $expected, $resource, $letter);
	}
	return 0;
}

sub _names_base
{
	my ($session, $base) = @_;
	$base =~ s{/\z}{};
	return any { s{/\z}{}r eq $base } @{ $session->{bases} };
}

sub _level_holds
{
	my ($self, $session, $level, $table, $row, $type, $resource, $letter) = @_;
	return 0 unless $session->{levels}{$level};
	return 1 if $level eq 'system';
	my $person = $level eq 'patient' ? { patients => $session->{patients} } : $session->{user};
	return 0 unless $person;
	return 0 if $level eq 'patient' && !@{ $person->{patients} };
	return 1 if $person->{all};
	return $letter =~ /[rs]/ ? 1 : 0 if $table->{shared} // $SHARED{$type};
	my %mine = map { $_ => 1 } @{ $person->{patients} };

	my @definition = @{ $self->{'compartment-patient'}{$type} // [] };
	if ($table->{patients})
	{
		my @stored = map { ($_ // '') =~ m{\A(?:Patient/)?($ID)\z} && $mine{$1} ? 1 : 0 } @{ $row->{patients} };
		return (any { $_ } @stored) ? 1 : 0 if $letter =~ /[rs]/;
		return 0 unless @stored && all { $_ } @stored;
		return 1 if !@definition;
	}
	return 0 unless @definition;
	my $full = $letter =~ /[rs]/ && ($table->{compartment} // 'subject') eq 'full';
	my @keys;
	for my $parameter (grep { $full || $_->{subject} } @definition)
	{
		for my $path (@{ $parameter->{paths} })
		{
			my @found = _walk($resource, $path);
			push @keys, $parameter->{param} eq '{def}'
			  ? grep { _is_string($_) && /\A$ID\z/ } @found
			  : map { _patient_key($_, $table->{base_url}) } @found;
		}
	}
	# a write: whose record this is must be beyond doubt
	return @keys && all { $mine{$_} } @keys if $letter =~ /[cud]/;
	return any { $mine{$_} } @keys;
}

# The key of the patient that a Reference names: the id of a local one, the URL of a foreign one.
sub _patient_key
{
	my ($reference, $base) = @_;
	my $text = _reference_text($reference) // return ();
	my ($url, $id) = $text =~ m{\A(?:(https?://.+)/)?Patient/($ID)(?:/_history/$ID)?\z} or return ();
	$base =~ s{/\z}{} if defined $base;
	return !defined $url || defined $base && $url eq $base ? $id : "$url/Patient/$id";
}

sub _reference_text
{
	my ($reference) = @_;
	return unless ref $reference eq 'HASH';
	return _is_string($reference->{reference}) ? $reference->{reference} : undef if exists $reference->{reference};
	return "$reference->{resourceType}/$reference->{id}" if _is_string($reference->{resourceType}) && _is_string($reference->{id});
	return;
}

# The values at a path; arrays are implied at every step. FILTERS: {at, element, equals}.
sub _walk
{
	my ($value, $path, $filters) = @_;
	my @values = ($value);
	my @at;
	for my $step (split /\./, $path)
	{
		push @at, $step;
		@values = map { ref eq 'ARRAY' ? @$_ : $_ } map { ref eq 'HASH' && exists $_->{$step} ? $_->{$step} : () } @values;
		for my $filter (grep { $_->{at} eq join '.', @at } @{ $filters // [] })
		{
			@values = grep { ref eq 'HASH' && ($_->{ $filter->{element} } // '') eq $filter->{equals} } @values;
		}
	}
	return grep { defined } @values;
}

# --- search parameters in scopes ------------------------------------------------------------------

# Does the resource match one name=value pair?
sub _matches
{
	my ($self, $base, $type, $resource, $name, $value) = @_;
	my $definition = $self->_parameter($type, $name) or return 0;

	# a comma that no backslash escapes separates alternatives; an empty one spoils the scope
	my @alternatives = ('');
	while ($value =~ /\G(\\.|[^\\])/gs)
	{
		if ($1 eq ',') { push @alternatives, '' }
		else { $alternatives[-1] .= $1 }
	}
	return 0 if any { $_ eq '' } @alternatives;

	my @elements;
	for my $i (0 .. $#{ $definition->{paths} })
	{
		my $resolve = ($definition->{resolve_is} // [])->[$i];
		push @elements, map { [ $definition->{element_types}[$i], $_, $resolve ] }
		  _walk($resource, $definition->{paths}[$i], ($definition->{filters} // [])->[$i]);
	}
	my $kind = $definition->{type};
	my $target = $kind eq 'reference' ? $self->_only_target($type, $definition) : undef;
	return 0
	  if $kind eq 'reference' && !defined $target && (all { $_ eq 'Reference' } @{ $definition->{element_types} })
	  && any { /\A$ID\z/ } @alternatives;
	return 0 if $kind eq 'token' && any { !_token_is_valid($_) } @alternatives;
	return 0 if $kind eq 'date' && any { !_date_value($_) } @alternatives;
	for my $alternative (@alternatives)
	{
		for my $element (@elements)
		{
			return 1
			  if $kind eq 'token' && _token_matches($alternative, @$element)
			  || $kind eq 'reference' && _reference_matches($target, $base, $alternative, @$element)
			  || $kind eq 'string' && _string_matches($alternative, @$element)
			  || $kind eq 'uri' && !ref $element->[1] && _text_meets(_unescape($alternative), @$element)
			  || $kind eq 'date' && _date_matches($alternative, @$element);
		}
	}
	return 0;
}

# The whole text; a canonical (R4 references, 2.3.0.4) meets its URL without version too.
sub _text_meets
{
	my ($value, $element_type, $text) = @_;
	return 1 if $text eq $value;
	return $element_type eq 'canonical' && $text =~ /\A([^|#]*)\|[^#]+\z/s && $1 eq $value ? 1 : 0;
}

sub _unescape { my ($text) = @_; return $text =~ s/\\([\\,|\$])/$1/gr }

# A backslash escapes one of \ , | $; one bar at the most separates, and stands not alone.
sub _token_is_valid
{
	my ($value) = @_;
	return $value =~ /\A(?:\\[\\,|\$]|[^\\|])*(?:\|(?:\\[\\,|\$]|[^\\|])*)?\z/s && $value ne '|';
}

# code, system|code, |code (no system), system| (any code of it); exact and case-sensitive.
sub _token_matches
{
	my ($value, $element_type, $element) = @_;
	my ($system, $code) = $value =~ /\A((?:\\.|[^\\|])*)\|(.*)\z/s;
	$code = $value unless defined $system;
	$_ = _unescape($_) for grep { defined } $system, $code;
	return 0 if defined $system && $system eq '' && $code eq '';
	# of a canonical the version stands where a token has its code
	return !ref $element && ($code ne '' && _text_meets(($system // '') eq '' ? $code : "$system|$code", $element_type, $element)) ? 1 : 0
	  if $element_type eq 'canonical';
	my @codings;
	if ($element_type eq 'CodeableConcept')
	{
		@codings = map { [ $_->{system}, $_->{code} ] } grep { ref eq 'HASH' } _walk($element, 'coding');
	}
	elsif ($element_type eq 'Coding') { @codings = [ $element->{system}, $element->{code} ] if ref $element eq 'HASH' }
	elsif ($element_type eq 'Identifier') { @codings = [ $element->{system}, $element->{value} ] if ref $element eq 'HASH' }
	elsif ($element_type eq 'ContactPoint') { @codings = [ undef, $element->{value} ] if ref $element eq 'HASH' }
	elsif (JSON::PP::is_bool($element)) { @codings = [ undef, $element ? 'true' : 'false' ] }
	elsif (!ref $element) { @codings = [ undef, $element ] }
	return any
	{
		(!defined $system || ($system eq '' ? !defined $_->[0] : defined $_->[0] && $_->[0] eq $system))
		  && (defined $system && $code eq '' || defined $_->[1] && $_->[1] eq $code)
	} @codings;
}

# The one type that a reference parameter can be about, if it is one: what both the parameter and
# its elements allow.
sub _only_target
{
	my ($self, $type, $definition) = @_;
	my %types;
	for my $i (0 .. $#{ $definition->{paths} })
	{
		my $resolve = ($definition->{resolve_is} // [])->[$i];
		my @parameter = @{ $definition->{targets} // ['Resource'] };
		my @element = @{ $self->{'reference-targets'}{$type}{ $definition->{paths}[$i] } // ['Resource'] };
		$types{$_} = 1
		  for defined $resolve ? $resolve
		  : $element[0] eq 'Resource' ? @parameter
		  : grep { my $one = $_; any { $_ eq $one || $_ eq 'Resource' } @parameter } @element;
	}
	my @types = keys %types;
	return @types == 1 && $types[0] ne 'Resource' ? $types[0] : undef;
}

# The text as it stands (a reference under the table's own base is a relative one), the version cut off on both sides; a bare id where one type is allowed.
sub _reference_matches
{
	my ($target, $base, $value, $element_type, $element, $resolve) = @_;
	my $text = ref $element ? _reference_text($element) : $element;
	return 0 unless defined $text && !ref $text;
	$value = _unescape($value);
	return _text_meets($value, $element_type, $text) if $element_type ne 'Reference';
	if (ref $element && $value =~ /\A$ID\z/)
	{
		return 0 unless defined $target;
		$value = "$target/$value";
	}
	$base =~ s{/\z}{} if defined $base;
	for ($text, $value)
	{
		s{/_history/$ID\z}{};
		s{\A\Q$base\E/([A-Za-z]+/$ID)\z}{$1} if defined $base;
	}
	return 0 if defined $resolve && $text !~ m{\A(?:https?://.+/)?$resolve/$ID\z};
	return $text eq $value;
}

sub _string_matches
{
	my ($value, $element_type, $element) = @_;
	$value = _unescape($value);
	my @parts = { HumanName => [qw(text family given prefix suffix)],
		Address => [qw(text line city district state country postalCode)] }->{$element_type};
	my @texts = ref $element ? map { _walk($element, $_) } @{ $parts[0] // [] } : ($element);
	return any { !ref && $_ eq $value } @texts;
}

# --- dates ----------------------------------------------------------------------------------------

# The half-open interval, in milliseconds of UTC, that a date of any precision stands for.
sub _interval
{
	my ($text) = @_;
	return if ref $text;
	my ($y, $m, $d, $h, $min, $s, $fraction, $zone) = $text =~
	  /\A(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,3}))?)?(Z|[+-]\d\d:\d\d)?)?)?)?\z/ or return;
	my @last = (31, $y % 4 == 0 && ($y % 100 != 0 || $y % 400 == 0) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31);
	return if $y < 1 || defined $m && ($m < 1 || $m > 12) || defined $d && ($d < 1 || $d > $last[ $m - 1 ]);
	return if defined $h && ($h > 23 || $min > 59 || ($s // 0) > 59);
	my $at = sub { timegm_modern($_[5], $_[4], $_[3], $_[2], $_[1] - 1, $_[0]) * 1000 };
	return ($at->($y, 1, 1, 0, 0, 0), $at->($y + 1, 1, 1, 0, 0, 0)) unless defined $m;
	return ($at->($y, $m, 1, 0, 0, 0), $m == 12 ? $at->($y + 1, 1, 1, 0, 0, 0) : $at->($y, $m + 1, 1, 0, 0, 0)) unless defined $d;
	my $low = $at->($y, $m, $d, $h // 0, $min // 0, $s // 0);
	return ($low, $low + 86_400_000) unless defined $h;
	my $width = !defined $s ? 60_000 : !defined $fraction ? 1000 : 10**(3 - length $fraction);
	$low += $fraction * $width if defined $fraction;
	if (defined $zone && $zone ne 'Z')
	{
		my ($sign, $zh, $zm) = $zone =~ /(.)(..):(..)/;
		return if $zh > 14 || $zm > 59;
		$low -= "${sign}1" * ($zh * 60 + $zm) * 60_000;
	}
	return ($low, $low + $width);
}

sub _date_value
{
	my ($value) = @_;
	my ($prefix, $date) = $value =~ /\A(eq|ne|gt|lt|ge|le|sa|eb)?(\d.*)\z/s or return;
	my @interval = _interval($date) or return;
	return [ $prefix // 'eq', @interval ];
}

sub _date_matches
{
	my ($value, $element_type, $element) = @_;
	my ($prefix, $vl, $vh) = @{ _date_value($value) };
	my ($el, $eh);
	$element = ($element->{repeat} // {})->{boundsPeriod} // return 0 if $element_type eq 'Timing';
	if (ref $element eq 'HASH')
	{
		($el, $eh) = ($MIN, $MAX);
		return 0 unless defined $element->{start} || defined $element->{end};
		if (defined $element->{start}) { ($el) = _interval($element->{start}) or return 0 }
		if (defined $element->{end}) { (undef, $eh) = _interval($element->{end}) or return 0 }
		return 0 if $eh < $el;
	}
	else { ($el, $eh) = _interval($element) or return 0 }
	my $within = $vl <= $el && $eh <= $vh;
	return
	    $prefix eq 'eq' ? $within
	  : $prefix eq 'ne' ? !$within
	  : $prefix eq 'gt' ? $eh > $vh
	  : $prefix eq 'lt' ? $el < $vl
	  : $prefix eq 'ge' ? $eh > $vh || $within
	  : $prefix eq 'le' ? $el < $vl || $within
	  : $prefix eq 'sa' ? $el >= $vh
	  : $eh <= $vl;
}

1;
