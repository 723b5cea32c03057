# Property: for random resources, tables, issuers, tokens and interactions, row-level security,
# smart.permits_row(), smart.permits() and the model of test/perl/DecisionModel.pm agree.
#
# A case is one row under one session, asked all five letters, its visibility to SELECT, and for
# a sample INSERT, UPDATE and DELETE too. CASES is how many (make fuzz-decisions CASES=1000000),
# SEED repeats a run; a difference is printed with what made it.
use strict;
use warnings FATAL => 'all';

use File::Basename;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use lib dirname(__FILE__) . '/../perl';
use DecisionModel;

my $CASES = $ENV{CASES} || 120_000;
# the ordinary run repeats itself; a longer one is new each time
my $SEED = $ENV{SEED} // ($ENV{CASES} ? (time() ^ $$) % 1_000_000 : 1);
my ($TABLES, $ROWS, $SESSIONS, $SAMPLE) = (4, 25, 15, 5);
srand $SEED;
diag "SEED=$SEED CASES=$CASES";

my $model = DecisionModel->new(dirname(__FILE__) . '/../../data/fhir');
my $json = JSON::PP->new->canonical->ascii->allow_nonref;
my @LETTERS = qw(c r u d s);
my %SELECT_ASKS = (
	'' => [qw(r s)], read => ['r'], vread => ['r'], history => ['r'], search => ['s'], create => [qw(r s)],
	update => [qw(r s)], patch => [qw(r s)], delete => [qw(r s)]);
# the same of the table that a statement writes
my %TARGET_ASKS = (%SELECT_ASKS, create => ['c'], update => ['u'], patch => ['u'], delete => ['d']);
my ($A, $B, $C) = ('https://a.test/fhir', 'https://b.test/fhir', 'https://c.test/fhir');

# --- chance ---------------------------------------------------------------------------------------

sub one { return $_[ rand @_ ] }
sub chance { return rand() < $_[0] }
# some(N, ITEMS): N draws without repeats
sub some
{
	my ($n, @items) = @_;
	return map { splice @items, rand @items, 1 } 1 .. ($n < @items ? $n : @items);
}

my @PATIENTS = qw(p1 p1 p1 p2 p2 P1);
my @CODES = ('a', 'b', 'A', 'final', 'laboratory', 'true', 'x,y', 'x|y');
my @SYSTEMS = ('http://s1', 'http://s2', 'urn:oid:1.2', '');
my @STRINGS = ('Smith', 'smith', 'a,b', 'Ave 1', "\x{e9}t\x{e9}", 'a$b', 'a\\b');
my @URIS = ('http://s1', 'http://s1/', 'urn:uuid:0c3151bd', 'http://d/q');
my @DATES = qw(2019 2020 2020-02 2020-02-29 2020-03-01 2020-02-29T23:30:00Z 2020-02-29T23:30:00-02:00
  2020-03-01T00:30:00+01:00 2020-03-01T01:30:00.250Z 2020-12-31T23:59:59Z 2021-01-01 2019-12-31T20:00:00-05:00);
my @TYPES = sort keys %{ $model->{types} };
my @IN_COMPARTMENT = grep { @{ $model->{'compartment-patient'}{$_} // [] } } @TYPES;
my @COMMON = qw(Patient Observation Condition Appointment Coverage Organization Medication Basic Person Device);

sub reference_text
{
	my ($wanted) = @_;
	my $type = chance(0.85) ? $wanted : one(qw(Patient Group Practitioner Organization Observation));
	my $id = $type eq 'Patient' || chance(0.7) ? one(@PATIENTS) : one(qw(x1 x2));
	return one(
		("$type/$id") x 10, ("$type/$id/_history/2") x 3, "$A/$type/$id", "$B/$type/$id", "$A/$type/$id/_history/1", "$C/$type/$id",
		"#$id", 'urn:uuid:0c3151bd', $id, "$type?identifier=$id", "/$type/$id", "x$type/$id", lc("$type") . "/$id", "$type/$id/", "$type/");
}

sub reference
{
	my ($wanted) = @_;
	return chance(0.85) ? { reference => reference_text($wanted) }
	  : one(
		{ resourceType => $wanted, id => one(@PATIENTS) },
		{ identifier => { system => 'http://s1', value => one(@PATIENTS) } },
		{ display => 'Patient/p1' }, { type => 'Patient' }, {}, { reference => undef }, { reference => 1 });
}

sub coding
{
	my %coding = (code => one(@CODES));
	$coding{system} = one(@SYSTEMS[ 0 .. 2 ]) if chance(0.7);
	delete $coding{code} if chance(0.05);
	return \%coding;
}

sub element
{
	my ($type, $targets) = @_;
	my @targets = grep { $_ ne 'Resource' } @{ $targets // [] };
	return reference(chance(0.6) && (!@targets || grep { $_ eq 'Patient' } @targets) ? 'Patient' : one(@targets, 'Patient'))
	  if $type eq 'Reference';
	return { coding => [ map { coding() } 1 .. int rand 3 ], text => one(@CODES) } if $type eq 'CodeableConcept';
	return coding() if $type eq 'Coding';
	return { (chance(0.7) ? (system => one(@SYSTEMS[ 0 .. 2 ])) : ()), value => one(@CODES) } if $type eq 'Identifier';
	return { system => one(qw(email phone)), value => one(@CODES) } if $type eq 'ContactPoint';
	return one(JSON::PP::true, JSON::PP::false) if $type eq 'boolean';
	return { family => one(@STRINGS), given => [ one(@STRINGS) ] } if $type eq 'HumanName';
	return { city => one(@STRINGS), line => [ one(@STRINGS) ] } if $type eq 'Address';
	return one(@DATES) if $type =~ /\A(?:date|dateTime|instant)\z/;
	if ($type eq 'Period' || $type eq 'Timing')
	{
		my ($start, $end) = sort { $a cmp $b } one(@DATES), one(@DATES);
		my %period = (start => $start, end => $end);
		delete $period{ one(qw(start end)) } if chance(0.3);
		return $type eq 'Period' ? \%period : { repeat => { boundsPeriod => \%period } };
	}
	return one(@URIS) . one('', '', '|1.0', '|1.0', '|2.0', '|', '|1.0#f', '#f') if $type eq 'canonical';
	return one(@URIS) if $type =~ /\A(?:uri|url)\z/;
	return one(@STRINGS) if $type =~ /\A(?:string|markdown)\z/;
	return one(@CODES);
}

# Puts a value at a path, through arrays that are there or made by chance.
sub put
{
	my ($node, $path, $value) = @_;
	my @steps = split /\./, $path;
	my $last = pop @steps;
	for my $step (@steps)
	{
		$node->{$step} //= chance(0.5) ? [ {} ] : {};
		if (ref $node->{$step} eq 'ARRAY')
		{
			push @{ $node->{$step} }, {} if chance(0.3);
			$node = one(@{ $node->{$step} });
		}
		else { $node = $node->{$step} }
		return unless ref $node eq 'HASH';
	}
	return if $last eq 'id' && !@steps;
	if (ref $node->{$last} eq 'ARRAY') { push @{ $node->{$last} }, $value }
	elsif (defined $node->{$last}) { $node->{$last} = [ $node->{$last}, $value ] if chance(0.5) }
	else { $node->{$last} = chance(0.3) ? [$value] : $value }
	return;
}

sub resource
{
	my ($type) = @_;
	my %resource = (resourceType => $type, id => one(@PATIENTS, qw(x1 x2)));
	for my $parameter (@{ $model->{'compartment-patient'}{$type} // [] })
	{
		next unless chance($parameter->{subject} ? 0.85 : 0.5);
		for (1 .. one(1, 1, 1, 2))
		{
			put(\%resource, one(@{ $parameter->{paths} }), reference(chance(0.8) ? 'Patient' : one(@{ $parameter->{element_targets} // ['Patient'] })));
		}
	}
	my $definitions = $model->{'search-params'}{$type};
	my @names = grep { @{ $definitions->{$_}{paths} // [] } } sort keys %$definitions;
	for my $name (some(1 + rand 5, @names), grep { $definitions->{$_} && chance(0.6) } qw(category code status identifier date))
	{
		my $d = $definitions->{$name};
		my $i = int rand @{ $d->{paths} };
		put(\%resource, $d->{paths}[$i], element($d->{element_types}[$i], $d->{targets}));
	}
	if (chance(0.3))
	{
		$resource{meta} = {
			tag => [ coding() ], security => coding(), profile => [ one(@URIS) . one('', '|1.0') ], source => one(@URIS), lastUpdated => one(@DATES[ 5 .. 9 ]) };
	}
	return \%resource;
}

# --- scopes ---------------------------------------------------------------------------------------

sub percent
{
	my ($text) = @_;
	utf8::encode($text);
	return $text =~ s/([^A-Za-z0-9\-._~|,:\/\$])/sprintf '%%%02X', ord $1/ger;
}

sub escaped { return $_[0] =~ s/([\\,|\$])/\\$1/gr }

sub value_for
{
	my ($d) = @_;
	my $kind = $d->{type};
	if ($kind eq 'token')
	{
		my ($code, $system) = (escaped(one(@CODES)), escaped(one(@SYSTEMS)));
		return one($code, $code, $code, "$system|$code", "$system|$code", "|$code", chance(0.5) ? "$system|" : $code);
	}
	return one(one(@PATIENTS, qw(x1 x2)), reference_text(one('Patient', @{ $d->{targets} // [] })), one(@URIS) . one('', '', '|1.0', '\\|1.0', '|2.0')) if $kind eq 'reference';
	return escaped(one(@STRINGS)) if $kind eq 'string';
	return one(@URIS) . one('', '', '|1.0') if $kind eq 'uri';
	return one('', qw(eq ne gt lt ge le sa eb)) . one(@DATES) if $kind eq 'date' && chance(0.93);
	return one(qw(ap2020 2020-13 2020-02-30 ge xx2020 20200101)) if $kind eq 'date';
	return one('5', '5.4|http://unitsofmeasure.org|mg', 'a$b');
}

# value_from(KIND, ELEMENT): a value that some element may meet
sub value_from
{
	my ($kind, $element) = @_;
	return one('', qw(eq ne gt lt ge le sa eb)) . (ref $element || chance(0.7) ? one(@DATES) : $element) if $kind eq 'date';
	if ($kind eq 'token')
	{
		$element = one(DecisionModel::_walk($element, 'coding'), {}) if ref $element eq 'HASH' && $element->{coding};
		return $element ? 'true' : 'false' if JSON::PP::is_bool($element);
		my ($code, $system) = map { escaped($_ // '') } ref $element eq 'HASH' ? ($element->{code} // $element->{value}, $element->{system}) : $element;
		$system //= one(@SYSTEMS);
		return one($code, "$system|$code", "|$code", "$system|", one(@SYSTEMS) . "|$code");
	}
	if ($kind eq 'reference')
	{
		my $text = ref $element eq 'HASH' ? $element->{reference} // "Patient/$PATIENTS[0]" : $element;
		my ($type, $id) = $text =~ m{([A-Z][A-Za-z]+)/([A-Za-z0-9]+)(?:/_history/.*)?\z} or return escaped(chance(0.5) ? $text : $text =~ s/[|#].*//r);
		return one(escaped($text), "$type/$id", "$type/$id/_history/3", $id, "$A/$type/$id", "$B/$type/$id");
	}
	$element =~ s/[|#].*// if $kind eq 'uri' && !ref $element && chance(0.5);
	return escaped(one(grep { !ref } map { ref eq 'ARRAY' ? @$_ : $_ } ref $element eq 'HASH' ? values %$element : $element, 'Smith'));
}

# A pair whose parameter has a value in a row of the type, if there is such a row.
sub pair_from
{
	my ($type, $rows) = @_;
	my $resource = one(map { $_->{resource} } grep { ref $_->{resource} && ($_->{resource}{resourceType} // '') eq $type } @{ $rows // [] });
	return unless $resource;
	my %definitions = (%{ $model->{'search-params'}{Resource} }, %{ $model->{'search-params'}{$type} });
	my @found;
	for my $name (sort keys %definitions)
	{
		my $d = $definitions{$name};
		next unless $d->{type} =~ /\A(?:token|reference|string|uri|date)\z/;
		push @found, map { [ $name, $d, $_ ] } map { DecisionModel::_walk($resource, $_) } @{ $d->{paths} // [] };
	}
	# there are few dates, and many prefixes
	my @dates = grep { $_->[1]{type} eq 'date' } @found;
	@found = @dates if @dates && chance(0.35);
	my ($name, $d, $element) = @{ one(grep { $_->[0] ne '_id' || chance(0.3) } @found) // return };
	return "$name=" . percent(join ',', value_from($d->{type}, $element), chance(0.15) ? value_for($d) : ());
}

sub pair
{
	my ($type, $rows) = @_;
	my $from = chance(0.6) && pair_from($type, $rows);
	return $from if $from;
	my $definitions = $model->{'search-params'}{$type};
	my @usable = grep { ($definitions->{$_}{type} // '') =~ /\A(?:token|reference|string|uri|date)\z/ } sort keys %$definitions;
	my @favourite = grep { $definitions->{$_} } qw(category code status identifier subject patient performer date);
	my $name = one((@favourite ? one(@favourite) : ()) x 2, one(@usable, '_id'), one(@usable, '_id'),
		one(qw(_id _tag _security _profile _source _lastUpdated)), chance(0.1) ? one('_text', '_has', '_sort', '_count', 'unknown', sort keys %$definitions) : '_id');
	my $d = $definitions->{$name} // $model->{'search-params'}{Resource}{$name} // { type => 'token' };
	my $value = $name eq '_id' ? one(@PATIENTS, qw(x1 x2)) : value_for($d);
	$value = join ',', $value, map { value_for($d) } 1 .. int rand 3 if chance(0.3);
	$value = percent($value);
	$name .= one(':not', ':missing', ':exact', ':in', ':of-type', '.name') if chance(0.03);
	$value = one('', "$value,", ",$value", "$value=x", "$value?", "$value#", "$value+", '%ZZ', '%2', '%00', '%FF', "$value%252C") if chance(0.05);
	return "$name=$value";
}

sub scope_token
{
	my ($types, $rows) = @_;
	my $level = one(qw(patient patient patient user user system));
	my $type = chance(0.3) ? '*' : one(@$types, chance(0.1) ? (one(@TYPES), 'Foo', 'observation', 'Resource') : ());
	my $permission = chance(0.3) ? one(qw(read write *)) : join '', grep { chance(0.75) } @LETTERS;
	my $token = "$level/$type.$permission";
	$token .= '?' . join '&', map { pair($type eq '*' || !$model->{types}{$type} ? one(@$types) : $type, $rows) } 1 .. one(1, 1, 2) if chance(0.45);
	if (chance(0.06))
	{
		$token = one(
			"$level/$type", "$level/$type.", "$level/$type.sr", "$level/$type.rr", "$level/$type.READ", "$level/$type.reads",
			"\u$level/$type.rs", "$level/$type/.rs", "/$type.rs", "*/$type.rs", "$type.rs", "$level.$type.rs", "$token&", "$token?", "$token,$token",
			"$level/$type.rs?", "$level/$type.rs?category", "$level/$type.rs?=a", "$level/$type.rs?a=1&&b=2", "$level/$type.c*", "$level/$type.rsx");
	}
	return $token;
}

sub scope_text
{
	my ($types, $rows) = @_;
	# a part of the sessions is about one constraint alone
	my $constraint = chance(0.4) && pair_from($types->[0], $rows);
	return one(("system/$types->[0].cruds?") x 3, "system/*.cruds?", "user/$types->[0].cruds?", "patient/$types->[0].cruds?") . $constraint if $constraint;
	my @tokens = map { scope_token($types, $rows) } 1 .. 1 + rand 5;
	push @tokens, one(qw(openid fhirUser launch/patient launch offline_access __x http://x/y)) if chance(0.4);
	my $text = join one(' ', ' ', ' ', '  '), @tokens;
	return chance(0.01) ? "$text\tx" : $text;
}

# --- a round: tables, issuers, sessions -----------------------------------------------------------

sub quote { my ($text) = @_; return !defined $text ? 'NULL' : "E'" . $text =~ s/([\\'])/\\$1/gr . "'" }
sub array { return !defined $_[0] ? 'NULL' : 'ARRAY[' . join(',', map { quote($_) } @{ $_[0] }) . ']::text[]' }
sub bool { return !defined $_[0] ? 'NULL' : $_[0] ? 'true' : 'false' }

# What a column of patients may hold, an element that is no patient's key too.
sub stored_key
{
	return one('Group/p1', 'p 1', '', 'Patient/', 'patient/p1', undef) if chance(0.05);
	return one(@PATIENTS, map { "Patient/$_" } @PATIENTS);
}

sub make_table
{
	my ($n, @round) = @_;
	my @types = chance(0.5) ? one(@round) : some(2 + rand 4, @round);
	my %table = (
		name => "t.t$n", types => \@types, resource_type => @types == 1 ? $types[0] : undef,
		base_url => one((undef) x 5, $A, "$A/", $B, chance(0.2) ? $C : $A), compartment => one(undef, 'subject', 'full'),
		shared => one(undef, undef, undef, 1, 0), column => one(('jsonb') x 4, 'text'));
	$table{patients} = one('text', 'text[]', 'text[]') if chance(0.4);
	# half of the tables hold regular rows only, so that policies are folded whole
	$table{regular} = chance(0.5);
	$table{plain} = !grep { defined } @table{qw(base_url compartment shared patients)};
	for my $k (1 .. $ROWS)
	{
		my $type = one(@types);
		my %row = (k => $k, resource => resource($type), type => $type);
		$row{id} = $row{resource}{id};
		$row{patients} = [ map { stored_key() } 1 .. (($table{patients} // '') eq 'text' ? 1 : int rand 4) ] if chance(0.9);
		delete $row{patients} unless $table{patients};
		my $own = 1;
		if (chance(0.08)) { delete $row{resource}{id}; $own = 0 }
		if (chance(0.08)) { delete $row{resource}{resourceType}; $own = 0 }
		$row{id} = one(@PATIENTS) if chance(0.05);
		$row{type} = one(@types, 'Observation') if chance(0.05);
		$row{resource}{resourceType} = one(one(@TYPES), 'Observation', 'Patient', 1, undef) if chance(0.06);
		$row{resource}{id} = one(1, undef, [], 'p 1', '') if chance(0.02);
		$row{id} = undef if chance(0.02);
		$row{type} = undef if chance(0.02);
		$row{text} = $json->encode($row{resource});
		if ($table{column} eq 'text' && chance(0.05)) { $row{text} = one('', '{', 'Patient/p1'); $row{resource} = undef }
		# smart.permits() sees the resource alone
		$row{alone} = $own && ref $row{resource} && !$table{patients}
		  && (defined $table{resource_type} || defined $row{type} && ($row{resource}{resourceType} // '') eq $row{type});
		push @{ $table{rows} }, \%row;
	}
	return \%table;
}

sub table_sql
{
	my ($t) = @_;
	my $pats = $t->{patients} // 'text';
	my $sql = "CREATE TABLE $t->{name} (k int, id text, type text, resource $t->{column}, pats $pats);\n"
	  . "CREATE TABLE $t->{name}_src (LIKE $t->{name});\nGRANT SELECT ON $t->{name}_src TO app;\n"
	  . "INSERT INTO $t->{name}_src VALUES "
	  . join(",\n", map {
			my $p = $_->{patients};
			sprintf '(%d, %s, %s, %s, %s)', $_->{k}, quote($_->{id}), quote($_->{type}), quote($_->{text}),
			  !$p ? 'NULL' : $pats eq 'text' ? quote($p->[0]) : array($p)
	  } @{ $t->{rows} }) . ";\n";
	$sql .= "INSERT INTO $t->{name} SELECT * FROM $t->{name}_src;\n" unless $t->{regular};
	my @options = map { "$_ => " . quote($t->{$_}) } grep { defined $t->{$_} } qw(resource_type base_url compartment);
	push @options, "patients => 'pats'" if $t->{patients};
	push @options, "type => 'type'" unless defined $t->{resource_type};
	push @options, 'shared => ' . bool($t->{shared}) if defined $t->{shared};
	return $sql . "DO \$\$ BEGIN PERFORM smart.protect(" . join(', ', "'$t->{name}'", @options) . "); END \$\$;\n"
	  . ($t->{regular} ? "SELECT t.load_regular('$t->{name}');\n" : '')
	  . "GRANT SELECT, INSERT, UPDATE, DELETE ON $t->{name} TO app;\nANALYZE $t->{name};\n";
}

sub visible_sql
{
	my ($t, $n) = @_;
	return "SELECT 'V $n ' || coalesce(string_agg(k::text, ' '), '') FROM $t->{name}";
}

my @USERS = qw(Practitioner PractitionerRole RelatedPerson Person);

sub make_issuer
{
	my ($n) = @_;
	my %issuer = (name => "https://as.test/$n", audience => [ one([$A], [ $A, $B ], [$B])->@* ]);
	$issuer{levels} = [ some(1 + rand 3, qw(patient user system)) ] if chance(0.15);
	$issuer{max_patients} = 2 if chance(0.3);
	$issuer{patient_from_fhir_user} = 1 if chance(0.3);
	$issuer{user_sees_all} = 1 if chance(0.5);
	$issuer{staff_types} = [ some(1 + rand 2, @USERS) ] if chance(0.3);
	# for whom the function answers, which may be with no patient, it wins
	$issuer{user_patients} = { map { $_ => chance(0.6) ? [ some(int rand 3, qw(p1 p2 P1)) ] : undef } @USERS } if chance(0.5);
	return \%issuer;
}

sub issuer_sql
{
	my ($i, $n) = @_;
	my $f = "t.user_patients_$n";
	return ($i->{user_patients}
		? "CREATE FUNCTION $f(jsonb) RETURNS text[] LANGUAGE sql AS \$\$ SELECT (CASE substring(\$1 ->> 'fhirUser' FROM '([A-Za-z]+)/[^/]+\$')"
		. join('', map { " WHEN '$_' THEN " . array($i->{user_patients}{$_}) } @USERS) . " END)::text[] \$\$;\n" : '')
	  . "SELECT smart.add_issuer(" . quote($i->{name})
	  # RFC 7517 appendix A.1; nothing is signed here
	  . q(, '{"kty": "EC", "crv": "P-256", "kid": "1", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}', )
	  . array($i->{audience}) . ', levels => ' . array($i->{levels}) . ', max_patients => ' . ($i->{max_patients} // 'NULL')
	  . ', patient_from_fhir_user => ' . bool($i->{patient_from_fhir_user}) . ', user_sees_all => ' . bool($i->{user_sees_all})
	  . ', staff_types => ' . array($i->{staff_types})
	  . ', user_patients => ' . ($i->{user_patients} ? "'$f(jsonb)'" : 'NULL') . ");\n";
}

sub claims
{
	my ($issuer, $types, $rows) = @_;
	my %claims = (iss => $issuer->{name}, sub => 'u', client_id => 'c', jti => 'j', exp => int(time()) + 3600, iat => int(time()) - 1);
	my @aud = some(1 + rand 2, @{ $issuer->{audience} });
	$claims{aud} = @aud == 1 && chance(0.5) ? $aud[0] : \@aud;
	$claims{scope} = scope_text($types, $rows);
	$claims{patient} = one(@PATIENTS) if chance(0.7);
	$claims{patient} = one('Patient/p1', 'p 1', '', 7, ['p1'], [ some(2, qw(p1 p2 P1)) ], [qw(p1 p2 P1)], { id => 'p1' }) if chance(0.15);
	$claims{fhirUser} = one(
		('Practitioner/d1') x 5, 'Patient/p1', 'Patient/p2', "$A/Patient/p1", "$B/Patient/p1", "$A/Practitioner/d1", "$C/Practitioner/d1",
		'RelatedPerson/r1', 'Person/x', 'PractitionerRole/x', 'Organization/o1', 'p1', 'Patient/', '#p1') if chance(0.8);
	return \%claims;
}

my $node = PostgreSQL::Test::Cluster->new('property');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\nlog_min_messages = fatal\njit = off");
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION smart_fhir; CREATE ROLE app');

# RLS on writes: each statement as app, undone. An error counts as refusal only when it is 42501.
my $SETUP = <<'SQL';
SET client_min_messages = warning;
CREATE SCHEMA t;
GRANT USAGE ON SCHEMA t TO app;
CREATE FUNCTION t.try(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE n bigint; e text;
BEGIN
	EXECUTE command;
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE 'undo' USING ERRCODE = 'ZZ001';
EXCEPTION WHEN SQLSTATE 'ZZ001' THEN RETURN n;
	WHEN OTHERS THEN GET STACKED DIAGNOSTICS e = RETURNED_SQLSTATE; RETURN e;
END $$;
CREATE FUNCTION t.load_regular(relation regclass) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE (SELECT format('INSERT INTO %s SELECT * FROM %s_src WHERE smart_internal.row_is_regular(%s, %s, %s, %s, %L::jsonb)', relation, relation,
		CASE WHEN (p.options -> 'patients')::boolean THEN p.patients ELSE 'NULL::text' END, p.resource, p.type, p.id, p.options)
		FROM smart_internal.policy_info(relation) p);
	EXECUTE format('DELETE FROM %s_src WHERE k NOT IN (SELECT k FROM %s)', relation, relation);
	RETURN CASE WHEN smart.rows_are_regular(relation) THEN 'R' ELSE 'irregular' END;
END $$;
SQL

my %told;
my ($done, $differences, $allowed, $asked, $round, $regular) = (0, 0, 0, 0, 0, 0);

sub differ
{
	my ($what, $t, $row, $session, $letter, $got, $expected) = @_;
	$differences++;
	return if $told{ (split / /, $what)[0] }++ > 1;
	my %options = map { $_ => $t->{$_} } grep { defined $t->{$_} } qw(resource_type base_url compartment shared patients column);
	my %stored = map { $_ => $row->{$_} } grep { defined $row->{$_} } qw(id type text patients);
	my %issuer = map { $_ => $session->{issuer}{$_} } grep { $_ ne 'name' } keys %{ $session->{issuer} };
	diag "$what letter $letter: got $got, the model says $expected (case "
	  . ($done + 0) . sprintf(", %.1f s)\n", time() - $^T)
	  . join "\n", map { "  $_->[0] " . $json->encode($_->[1]) }
	  [ table => \%options ], [ row => \%stored ], [ issuer => \%issuer ],
	  [ claims => { map { $_ => $session->{claims}{$_} } grep { exists $session->{claims}{$_} } qw(aud scope patient fhirUser) } ],
	  [ interaction => $session->{interaction} ];
	return;
}

my $directory = PostgreSQL::Test::Utils::tempdir();
my $started = time;
while ($done < $CASES && $differences < 15)
{
	$round++;
	my @round = (some(3, @COMMON), some(2, @IN_COMPARTMENT), some(1, @TYPES));
	my @tables = map { make_table($_, @round) } 1 .. $TABLES;
	my @issuers = map { make_issuer("$round.$_") } 1 .. 4;
	my %types = map { $_ => 1 } map { @{ $_->{types} } } @tables;
	my @sessions;
	my $sql = "BEGIN;\n$SETUP" . join('', map { table_sql($_) } @tables) . join('', map { issuer_sql($issuers[$_], $_) } 0 .. $#issuers) . "COMMIT;\n";
	$sql .= "PREPARE visible_$_ AS " . visible_sql($tables[$_], $_) . ";\n" for 0 .. $#tables;
	for my $s (1 .. $SESSIONS)
	{
		my $issuer = one(@issuers);
		my $t0 = one(@tables);
		my %session = (issuer => $issuer, interaction => one('', '', '', 'update', grep { $_ } sort keys %SELECT_ASKS));
		$session{claims} = claims($issuer, [ one(@{ $t0->{types} }), one(sort keys %types), @{ $t0->{types} } ], $t0->{rows});
		# the rows to write: one to insert, and for UPDATE another row's content to set
		$session{writes} = [ map { my $t = $_; map { [ $t, 1 + int rand $ROWS, 1 + int rand $ROWS ] } 1 .. $SAMPLE } 0 .. $#tables ];
		my $local = bool(chance(0.5));
		$sql .= "SELECT 'S $#sessions';\nBEGIN;\n" . (chance(0.3) ? "SET LOCAL enable_seqscan = off;\n" : '')
		  . "SELECT smart.assume(" . quote($json->encode($session{claims})) . ', ' . quote($issuer->{name}) . ", $local, "
		  . ($session{interaction} eq '' ? 'NULL' : quote($session{interaction})) . ");\n";
		for my $n (0 .. $#tables)
		{
			my $t = $tables[$n];
			my $relation = $t->{plain} && chance(0.5) ? 'NULL' : "'$t->{name}'";
			my $alone = join ',', 0, map { $_->{k} }
			  grep { $_->{alone} && ($relation ne 'NULL' || !$t->{resource_type} || ($_->{resource}{resourceType} // '') eq $t->{resource_type}) } @{ $t->{rows} };
			$sql .= "SELECT 'P $n ' || coalesce(string_agg(k || ':' || "
			  . join(' || ', map { "coalesce(smart.permits_row(t, '$_')::int::text, 'n')" } @LETTERS)
			  . " || ':' || CASE WHEN k IN ($alone) THEN "
			  . join(' || ', map { "coalesce(smart.permits(resource::jsonb, '$_', $relation)::int::text, 'n')" } @LETTERS)
			  . " ELSE '' END, ' '), '') FROM $t->{name} AS t;\n";
		}
		$sql .= "SET LOCAL ROLE app;\n";
		for my $n (0 .. $#tables)
		{
			# a plan that other sessions left behind, or a new one
			$sql .= (chance(0.5) ? "EXECUTE visible_$n;\n" : visible_sql($tables[$n], $n) . ";\n")
			  . "SELECT 'D $n ' || t.try('DELETE FROM $tables[$n]{name}');\n";
		}
		$sql .= "SELECT 'W ' || concat_ws(' '" . join('', map {
				my ($n, $k, $m) = @$_;
				my $name = $tables[$n]{name};
				", t.try('INSERT INTO $name SELECT * FROM ${name}_src WHERE k = $k')"
				  . ", t.try('UPDATE $name SET (id, type, resource, pats) = (SELECT id, type, resource, pats FROM ${name}_src WHERE k = $m) WHERE k = $k')"
				  . ", t.try('DELETE FROM $name WHERE k = $k')"
			  } @{ $session{writes} }) . ");\nCOMMIT;\nSELECT smart.logout();\n";
		push @sessions, \%session;
	}
	$sql .= "BEGIN; SET LOCAL client_min_messages = warning; DROP SCHEMA t CASCADE; COMMIT;\n";
	# from a file: a psql that stops at an error would leave us with a broken pipe
	my $file = "$directory/round.sql";
	append_to_file($file, $sql);
	my ($status, $out, $err) = $node->psql('postgres', "\\i $file", on_error_stop => 1);
	unlink $file;
	if ($status != 0)
	{
		fail("round $round runs");
		diag substr $err, 0, 2000;
		last;
	}

	my $current;
	my $seen = 0;
	for my $line (split /\n/, $out)
	{
		my ($kind, $n, @rest) = split / /, $line;
		next unless defined $kind;
		if ($kind eq 'R' || $kind eq 'irregular')
		{
			$regular++;
			fail('a table of regular rows has none but these') if $kind eq 'irregular';
		}
		elsif ($kind eq 'S')
		{
			$current = $sessions[ $n + 1 ];
			$current->{model} = $model->session($current->{claims}, $current->{issuer});
		}
		elsif ($kind eq 'P')
		{
			my $t = $tables[$n];
			$current->{expected}{$n} //= {};
			for my $item (@rest)
			{
				my ($k, $by_row, $alone) = split /:/, $item, -1;
				my $row = $t->{rows}[ $k - 1 ];
				$done++;
				for my $i (0 .. $#LETTERS)
				{
					my $expected = $model->permits($current->{model}, $t, $row, $LETTERS[$i]) ? 1 : 0;
					$current->{expected}{$n}{$k}{ $LETTERS[$i] } = $expected;
					$asked++;
					$allowed += $expected;
					my $got = substr $by_row, $i, 1;
					differ('permits_row', $t, $row, $current, $LETTERS[$i], $got, $expected) if $got ne $expected;
					next if $alone eq '';
					$got = substr $alone, $i, 1;
					differ('permits', $t, $row, $current, $LETTERS[$i], $got, $expected) if $got ne $expected;
				}
			}
			$seen++;
		}
		elsif ($kind eq 'V')
		{
			my %visible = map { $_ => 1 } @rest;
			for my $row (@{ $tables[$n]{rows} })
			{
				# a row that is not regular is not in a table of regular ones
				my $e = $current->{expected}{$n}{ $row->{k} } // next;
				my $expected = (grep { !$e->{$_} } @{ $SELECT_ASKS{ $current->{interaction} } }) ? 0 : 1;
				my $got = $visible{ $row->{k} } // 0;
				differ('SELECT', $tables[$n], $row, $current, 'select', $got, $expected) if $got != $expected;
			}
		}
		elsif ($kind eq 'D')
		{
			my $expected = grep { $_->{d} } values %{ $current->{expected}{$n} };
			differ('DELETE of all', $tables[$n], {}, $current, 'd', $rest[0], $expected) if $rest[0] ne $expected;
		}
		elsif ($kind eq 'W')
		{
			unshift @rest, $n;
			my $writing = $current->{interaction} =~ /\A(?:update|patch)\z/;
			for my $w (@{ $current->{writes} })
			{
				my ($tn, $k, $m) = @$w;
				my $t = $tables[$tn];
				my ($old, $new) = @{ $current->{expected}{$tn} }{ $k, $m };
				if (!$old || !$new) { splice @rest, 0, 3; next }
				# PostgreSQL asks the SELECT policy too where a statement reads the table that it writes
				my ($old_seen, $new_seen) = map { my $e = $_; !grep { !$e->{$_} } @{ $TARGET_ASKS{ $current->{interaction} } } } $old, $new;
				my @expected = (
					$old->{c} || $writing && $old->{u} ? '1' : '42501',
					!($old_seen && $old->{u}) ? '0' : $new->{u} && $new_seen ? '1' : '42501',
					$old_seen && $old->{d} ? '1' : '0');
				for my $what (qw(INSERT UPDATE DELETE))
				{
					my ($got, $expected) = (shift @rest, shift @expected);
					differ("$what (new content: row $m)", $t, $t->{rows}[ $k - 1 ], $current, $what, $got, $expected) if $got ne $expected;
				}
			}
			$seen++;
		}
	}
	if ($seen != $SESSIONS * ($TABLES + 1)) { fail("round $round answers everything"); last }
}
diag sprintf '%d cases, %d letters asked, %.0f%% allowed, %d rounds, %d tables of regular rows, %.1f s', $done, $asked, 100 * $allowed / ($asked || 1), $round, $regular, time - $started;
is($differences, 0, "$CASES cases: RLS, permits_row() and permits() decide as the model (SEED=$SEED)");
cmp_ok($allowed, '>', $asked / 50, 'enough of them are allowed');
cmp_ok($regular, '>', $round, 'enough tables have policies that are folded whole');
$node->stop;
done_testing();
