#!/usr/bin/env perl
# demo/generate_sample.pl DIRECTORY: a small FHIR R4 bulk export of invented people.
#
# Writes <Type>.ndjson into DIRECTORY, the same bytes on every machine: names, dates and values come
# from a small generator of its own, not from rand(). Observations carry LOINC codes, conditions
# ICD-10-CM, medications RxNorm, immunizations CVX.
use strict;
use warnings;
use JSON::PP;

my $dir = shift or die "usage: $0 DIRECTORY\n";
my $patients = 12;

# Park and Miller's generator: 31 bits, no state but $seed.
my $seed = 20240229;
sub pick_int { my ($n) = @_; $seed = ($seed * 48271) % 2147483647; return $seed % $n }
sub pick { return $_[ pick_int(scalar @_) ] }
sub between { my ($low, $high, $step) = @_; return $low + $step * pick_int(int(($high - $low) / $step) + 1) }

sub day
{
  my ($year, $n) = @_;
  return sprintf '%04d-%02d-%02d', $year, 1 + int($n / 28) % 12, 1 + $n % 28;
}

my $json = JSON::PP->new->canonical->ascii;
my %file;

sub add
{
  my ($type, $id, %body) = @_;
  if (!$file{$type})
  {
    open($file{$type}, '>', "$dir/$type.ndjson") or die "$dir/$type.ndjson: $!\n";
  }
  print { $file{$type} } $json->encode({ resourceType => $type, id => $id, %body }), "\n";
  return "$type/$id";
}

sub ref_to { return { reference => $_[0] } }
sub coded { my ($system, $code, $text) = @_; return { coding => [ { system => $system, code => $code, display => $text } ], text => $text } }
sub number { return $_[0] + 0 }

my $loinc = 'http://loinc.org';
my $category = 'http://terminology.hl7.org/CodeSystem/observation-category';
my @laboratory = (
  [ '718-7', 'Hemoglobin', 11, 17, 0.1, 'g/dL' ], [ '2345-7', 'Glucose', 70, 180, 1, 'mg/dL' ],
  [ '4548-4', 'Hemoglobin A1c', 4.8, 9.5, 0.1, '%' ], [ '2160-0', 'Creatinine', 0.6, 1.6, 0.1, 'mg/dL' ],
  [ '2951-2', 'Sodium', 134, 146, 1, 'mmol/L' ], [ '2823-3', 'Potassium', 3.4, 5.2, 0.1, 'mmol/L' ],
  [ '2093-3', 'Cholesterol', 140, 260, 1, 'mg/dL' ],
);
my @vital_signs = (
  [ '8867-4', 'Heart rate', 54, 98, 1, '/min' ], [ '29463-7', 'Body weight', 52, 104, 0.5, 'kg' ],
  [ '8310-5', 'Body temperature', 36.1, 38.4, 0.1, 'Cel' ], [ '9279-1', 'Respiratory rate', 12, 20, 1, '/min' ],
);
my @condition_category = map { { system => 'http://terminology.hl7.org/CodeSystem/condition-category', code => $_ } }
  qw(encounter-diagnosis problem-list-item);
my @social = ([ '72166-2', 'Tobacco smoking status' ]);
my @conditions = ([ 'E11.9', 'Type 2 diabetes mellitus' ], [ 'I10', 'Essential hypertension' ],
  [ 'J45.909', 'Asthma' ], [ 'M54.50', 'Low back pain' ], [ 'E78.5', 'Hyperlipidemia' ]);
my @medications = ([ '860975', 'Metformin 500 MG extended release tablet' ], [ '314076', 'Lisinopril 10 MG tablet' ],
  [ '617311', 'Atorvastatin 40 MG tablet' ]);
my @vaccines = ([ '140', 'Influenza, seasonal' ], [ '115', 'Tdap' ], [ '133', 'Pneumococcal conjugate' ]);
my @given = qw(Anna Bela Chidi Dora Emil Farah Goran Hana Iris Jonas Kemi Lena);
my @family = qw(Adler Brandt Castro Dietz Eriksen Farkas Greco Horvat Ibsen Jansen Kovac Lund);

my @practitioners;
my $organization = add('Organization', 'riverside', active => JSON::PP::true, name => 'Riverside Clinic');
my $location = add('Location', 'riverside-ward', status => 'active', name => 'Riverside Clinic, ground floor',
  managingOrganization => ref_to($organization));
for my $n (1 .. 3)
{
  my $id = "practitioner-$n";
  push @practitioners, add('Practitioner', $id, active => JSON::PP::true,
    name => [ { family => pick(@family), given => [ pick(@given) ], prefix => ['Dr.'] } ]);
}

for my $n (1 .. $patients)
{
  my $id = sprintf 'patient-%02d', $n;
  my $female = $n % 2;
  my $subject = add('Patient', $id, active => JSON::PP::true,
    identifier => [ { system => 'https://riverside.example/mrn', value => sprintf('%06d', 100000 + 37 * $n) } ],
    name => [ { family => $family[ $n - 1 ], given => [ $given[ $n - 1 ] ] } ],
    gender => $female ? 'female' : 'male', birthDate => day(between(1938, 2015, 1), pick_int(336)),
    managingOrganization => ref_to($organization), generalPractitioner => [ ref_to(pick(@practitioners)) ]);
  my %about = (subject => ref_to($subject));

  add('Coverage', "$id-coverage", status => 'active', beneficiary => ref_to($subject),
    payor => [ ref_to($organization) ]);
  add('AllergyIntolerance', "$id-allergy", patient => ref_to($subject),
    code => { text => pick('Penicillin', 'Peanut', 'Latex', 'Birch pollen') },
    criticality => pick('low', 'high')) if pick_int(3);
  for my $c (1 .. 1 + pick_int(3))
  {
    my ($code, $text) = @{ pick(@conditions) };
    add('Condition', "$id-condition-$c", %about, category => [ { coding => [ $condition_category[ $c % 2 ] ] } ], onsetDateTime => day(between(2015, 2021, 1), pick_int(336)),
      code => coded('http://hl7.org/fhir/sid/icd-10-cm', $code, $text));
  }

  for my $visit (1 .. 3 + pick_int(5))
  {
    my $date = day(2021 + int($visit / 3), pick_int(336));
    my $when = sprintf '%sT%02d:%02d:00Z', $date, 8 + pick_int(9), 5 * pick_int(12);
    my $doctor = pick(@practitioners);
    my $name = "$id-visit-$visit";
    my $encounter = add('Encounter', $name, %about, status => 'finished',
      class => { system => 'http://terminology.hl7.org/CodeSystem/v3-ActCode', code => 'AMB' },
      period => { start => $when }, participant => [ { individual => ref_to($doctor) } ],
      location => [ { location => ref_to($location) } ], serviceProvider => ref_to($organization));
    my $count = 0;
    my @results;
    my $observe = sub {
      my ($kind, $test) = @_;
      my ($code, $text, $low, $high, $step, $unit) = @$test;
      my %value = defined $low
        ? (valueQuantity => { value => number(sprintf '%.1f', between($low, $high, $step)), unit => $unit,
            system => 'http://unitsofmeasure.org', code => $unit })
        : (valueString => pick('Never smoked', 'Former smoker', 'Smokes daily'));
      return add('Observation', "$name-observation-" . ++$count, %about, status => 'final',
        category => [ { coding => [ { system => $category, code => $kind } ] } ],
        code => coded($loinc, $code, $text), encounter => ref_to($encounter), effectiveDateTime => $when,
        performer => [ ref_to($doctor) ], %value);
    };
    $observe->('vital-signs', $_) for @vital_signs;
    $observe->('social-history', $social[0]) if $visit == 1;
    next if $visit % 2 == 0;
    push @results, $observe->('laboratory', $_) for @laboratory;
    add('DiagnosticReport', "$name-report", %about, status => 'final',
      category => [ { coding => [ { system => 'http://terminology.hl7.org/CodeSystem/v2-0074', code => 'LAB' } ] } ],
      code => coded($loinc, '24323-8', 'Comprehensive metabolic panel'), effectiveDateTime => $when,
      result => [ map { ref_to($_) } @results ]);
    add('Immunization', "$name-vaccine", patient => ref_to($subject), status => 'completed', occurrenceDateTime => $date,
      vaccineCode => coded('http://hl7.org/fhir/sid/cvx', @{ pick(@vaccines) })) if pick_int(2);
    add('MedicationRequest', "$name-prescription", %about, status => 'active', intent => 'order', authoredOn => $when,
      requester => ref_to($doctor),
      medicationCodeableConcept => coded('http://www.nlm.nih.gov/research/umls/rxnorm', @{ pick(@medications) }));
    add('Procedure', "$name-procedure", %about, status => 'completed', performedDateTime => $when,
      code => { text => pick('Electrocardiogram', 'Spirometry', 'Dressing of a wound') }) if !pick_int(3);
  }
}
close $_ or die "$dir: $!\n" for values %file;
