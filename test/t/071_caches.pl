# test/t/071_caches.pl
# Each cache of a backend has a bound, and what was thrown out at the bound is worked out again, right.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('caches');
$node->init;
$node->append_conf('postgresql.conf', "log_min_messages = error\nfsync = off");
$node->start;

my $key = '{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",'
  . '"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}';
$node->safe_psql('postgres', qq{
  CREATE EXTENSION smart_fhir;
  CREATE FUNCTION issuer(n int) RETURNS text LANGUAGE sql IMMUTABLE AS \$\$ SELECT 'https://as.example/' || n \$\$;
  CREATE FUNCTION claims(n int, issuer int DEFAULT 0) RETURNS jsonb IMMUTABLE LANGUAGE sql AS \$\$ SELECT jsonb_build_object('iss', issuer(issuer), 'sub', 'u' || n,
    'client_id', 'c', 'aud', 'https://fhir.example', 'jti', n::text, 'iat', 1700000000, 'exp', 4102444800, 'scope', 'patient/*.rs', 'patient', n::text) \$\$;
  CREATE FUNCTION public_key() RETURNS jsonb LANGUAGE sql IMMUTABLE AS \$\$ SELECT ('$key'::jsonb) - 'd' \$\$;
  CREATE FUNCTION token(n int) RETURNS text LANGUAGE sql AS \$\$ SELECT smart.jwt_sign(claims(n), '$key') \$\$;
  SELECT smart.add_issuer(issuer(n), public_key(), '{https://fhir.example}', max_token_age => '40000 days', max_patients => 10000) FROM generate_series(0, 2100) n;
  CREATE FUNCTION about(type text, patient text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS \$\$
    SELECT jsonb_build_object('resourceType', type, 'id', 'x', CASE WHEN type IN ('AllergyIntolerance', 'Immunization') THEN 'patient' ELSE 'subject' END,
      jsonb_build_object('reference', 'Patient/' || patient)) \$\$;
  CREATE FUNCTION contexts(pattern text, OUT n bigint, OUT bytes bigint, OUT used bigint) LANGUAGE sql AS \$\$
    SELECT count(*), coalesce(sum(total_bytes), 0), coalesce(sum(used_bytes), 0) FROM pg_backend_memory_contexts WHERE name LIKE pattern \$\$;
  CREATE TABLE token AS SELECT n, token(n) AS token FROM generate_series(1, 300) n;
  CREATE TABLE o (id text PRIMARY KEY, resource jsonb);
  CREATE TABLE c (id text PRIMARY KEY, resource jsonb);
  CREATE TABLE by_uuid (id text PRIMARY KEY, resource jsonb, patient uuid);
  INSERT INTO o SELECT n::text, about('Observation', (n % 3000)::text) FROM generate_series(1, 6000) n;
  INSERT INTO c SELECT n::text, about('Condition', (n % 3000)::text) FROM generate_series(1, 6000) n;
  INSERT INTO by_uuid SELECT n::text, about('Observation', n::text), md5(n::text)::uuid FROM generate_series(1, 3000) n;
  SET client_min_messages = warning;
  SELECT smart.protect('o', 'Observation');
  SELECT smart.protect('c', 'Condition');
  SELECT smart.protect('by_uuid', 'Observation', patients => 'patient');
  CREATE ROLE app;
  GRANT SELECT ON o, c, by_uuid TO app;
  GRANT EXECUTE ON FUNCTION smart.assume TO app});

sub answer { return $node->safe_psql('postgres', join(";\n", "SET client_min_messages = error", @_)) }
sub last_line { return (split /\n/, shift)[-1] }
# statements that are asked for their effect only
sub quietly { return "DO \$do\$ BEGIN FOR i IN 1 .. $_[0] LOOP $_[1] END LOOP; END \$do\$" }

# --- verified tokens: smart_fhir.token_cache_size ---
my $login = 'PERFORM smart.login((SELECT token FROM token WHERE n = i));';
my ($few, $more, $off) = map {
	last_line(answer("SET smart_fhir.token_cache_size = $_->[0]", quietly($_->[1], $login), q{SELECT bytes FROM contexts('smart_fhir tokens')}))
} [ 100, 100 ], [ 100, 300 ], [ 0, 300 ];
is($more, $few, "300 tokens take no more room than the 100 that are remembered ($few bytes)");
cmp_ok($few, '>', 100 * 500, '... which are there');
is($off, 0, 'none are remembered when it is off');
is(last_line(answer('SET smart_fhir.token_cache_size = 100', quietly(300, "$login IF smart.patient() IS DISTINCT FROM i::text THEN RAISE 'wrong patient'; END IF;"),
	  quietly(300, "$login IF smart.patient() IS DISTINCT FROM i::text THEN RAISE 'wrong patient'; END IF;"), q{SELECT 'right'})),
	'right', 'a token that was thrown out logs in its own patient again');
is(last_line(answer(quietly(300, $login), 'SET smart_fhir.token_cache_size = 10', quietly(20, $login), quietly(1, 'PERFORM smart.login(token(1000));'),
	  q{SELECT used < 40 * 2000 FROM contexts('smart_fhir tokens')})), 't', 'a smaller size throws out what is beyond it');

# --- key sets that jwt_verify() was given: 32 ---
my $verify = q{PERFORM smart.jwt_verify((SELECT token FROM token WHERE n = 1), jsonb_build_object('n', i, 'keys', jsonb_build_array(public_key())));};
is(last_line(answer(quietly(100, $verify), q{SELECT n FROM contexts('smart_fhir keys')})), 32, 'of 100 key sets 32 are kept');
is(last_line(answer(quietly(5, q{PERFORM smart.jwt_verify((SELECT token FROM token WHERE n = 1), jsonb_build_object('n', repeat('x', 70000) || i, 'keys', jsonb_build_array(public_key())));}),
	  q{SELECT n FROM contexts('smart_fhir keys')})), 0, 'a set of more than 64 KiB is parsed and not kept');

# --- issuers: 2,048 ---
my $assume = 'PERFORM smart.assume(claims(i, i - 1), issuer(i - 1));';
my $issuers = q{SELECT n FROM contexts('smart_fhir issuer')};
is(last_line(answer(quietly(2048, $assume), $issuers)), 2048, '2,048 issuers are kept');
is(last_line(answer(quietly(2049, $assume), $issuers)), 1, 'one more, and the cache starts anew');
is(last_line(answer(quietly(2100, "$assume IF smart.patient() IS DISTINCT FROM i::text THEN RAISE 'wrong patient'; END IF;"), q{SELECT 'right'})), 'right', 'with the right answers');
is(last_line(answer(quietly(100, q{BEGIN PERFORM smart.assume(claims(1), 'https://unknown.example/' || i); EXCEPTION WHEN invalid_authorization_specification THEN NULL; END;}), $issuers)),
	0, 'issuers that do not exist take no room');

# --- compiled scopes: 64, and large ones alone ---
my $scope = q{PERFORM smart.assume(claims(7) || jsonb_build_object('scope', 'patient/Observation.rs?category=c' || i), issuer(0));
  IF NOT smart.permits(about('Observation', '7') || jsonb_build_object('category', jsonb_build_array(jsonb_build_object('coding', jsonb_build_array(jsonb_build_object('code', 'c' || i))))), 'r')
    OR smart.permits(about('Observation', '7') || '{"category": [{"coding": [{"code": "c0"}]}]}', 'r') THEN RAISE 'wrong answer for %', i; END IF;};
is(last_line(answer(quietly(200, $scope), quietly(200, $scope), q{SELECT n FROM contexts('smart_fhir scope')})), 64, 'of 200 scope texts 64 are kept, with the right answers');
my $large = q{(SELECT string_agg('user/*.rs?_id=i' || n, ' ') FROM generate_series(1, 4000) n)};
is(last_line(answer(quietly(5, qq{PERFORM smart.assume(claims(7) || jsonb_build_object('scope', $large || ' patient/Condition.rs?code=' || i), issuer(0));
	  PERFORM smart.permits(about('Observation', '7'), 'r');}), q{SELECT n FROM contexts('smart_fhir scope')})), 1, 'of scope texts of more than 1 MB only the latest is kept');
my $types = q{FOREACH t IN ARRAY ARRAY['Observation', 'Condition', 'Procedure', 'Encounter', 'Immunization', 'AllergyIntolerance', 'CarePlan', 'CareTeam', 'Goal', 'DiagnosticReport', 'Composition',
	'DocumentReference', 'ServiceRequest', 'MedicationRequest', 'MedicationStatement', 'Specimen', 'RiskAssessment', 'QuestionnaireResponse', 'NutritionOrder', 'ImagingStudy', 'List', 'Media'] LOOP
	IF NOT smart.permits(jsonb_build_object('resourceType', t, 'id', 'i17'), 's') OR smart.permits(jsonb_build_object('resourceType', t, 'id', 'j17'), 's') THEN RAISE 'wrong answer for %', t; END IF; END LOOP;};
my ($most) = last_line(answer(qq{DO \$do\$ DECLARE t text; BEGIN PERFORM smart.assume(claims(7) || jsonb_build_object('scope', replace($large, 'user', 'system')), issuer(0));
	  FOR i IN 1 .. 3 LOOP $types END LOOP; END \$do\$}, q{SELECT bytes FROM contexts('smart_fhir scope types')}));
cmp_ok($most, '<', 12 * 1024 * 1024, 'one large scope text on 22 types: at most 8 MB and the latest type, with the right answers');
cmp_ok($most, '>', 512 * 1024, '... which is there');

# --- the patients of a session: one table a level ---
my @many = map { sprintf q{SELECT smart.assume(claims(1) || jsonb_build_object('patient', (SELECT jsonb_agg(%s) FROM generate_series(1, %d) n)), issuer(0), interaction => 'search')}, @$_ }
  [ 'n::text', 2000 ], [ '(n + 1000)::text', 1900 ], [ 'upper(md5(n::text)::uuid::text)', 2000 ], [ 'n::text', 16 ], [ 'n::text', 17 ];
sub as_app { return answer('BEGIN', 'SET LOCAL ROLE app', @_) }

is(last_line(as_app($many[0], 'SELECT count(*) FROM o')), 4000, 'rows of 2,000 patients');
is(last_line(as_app($many[0], q{SELECT count(*) FROM o WHERE smart.permits(resource, 's')})), 4000, '... by permits()');
is(last_line(as_app($many[0], q{SELECT count(*) FROM by_uuid}, $many[2], 'SELECT count(*) FROM by_uuid')), 2000, 'uuid keys in another case');
is(last_line(as_app($many[0], q{SELECT count(*) FROM o WHERE smart.permits(resource, 's')}, $many[1],
	  q{SELECT count(*) || ' ' || min((resource #>> '{subject,reference}')) FROM o WHERE smart.permits(resource, 's')})), '3800 Patient/1001', 'another session, other patients');
is(last_line(as_app($many[0], 'SELECT count(*) FROM o', 'SAVEPOINT s', $many[1], 'SELECT count(*) FROM o', 'ROLLBACK TO s',
	  q{SELECT count(*) || ' ' || min((resource #>> '{subject,reference}')) FROM o WHERE smart.permits(resource, 's')})), '4000 Patient/1', 'the first again after a rollback');
for my $i (3, 4)
{
	my $n = $i == 3 ? 16 : 17;
	is(last_line(as_app($many[$i], q{SELECT count(*) FROM o WHERE smart.permits(resource, 's')})), 2 * $n, "$n patients");
}
is(last_line(as_app((map { ($many[ $_ % 2 ], q{SELECT count(*) FROM o WHERE smart.permits(resource, 's')}) } 1 .. 20), 'RESET ROLE', q{SELECT n FROM contexts('smart_fhir reach')})), 1,
	'20 sessions of many patients leave one table');
is(last_line(as_app($many[0], q{SELECT count(*) FROM o WHERE smart.permits(resource, 's')}, $many[4], q{SELECT smart.permits(about('Observation', '5'), 's')}, 'RESET ROLE', q{SELECT n FROM contexts('smart_fhir reach')})),
	0, 'it goes when the next such session asks');

# --- long lists of patients are made in one go, without repeats, and end ---
$node->safe_psql('postgres', q{
  CREATE FUNCTION many(patient text) RETURNS text[] LANGUAGE sql STABLE AS $$ SELECT array_agg(patient || '-' || n % 60000) || ARRAY['1', patient] FROM generate_series(1, 80000) n $$;
  SET client_min_messages = warning;
  SELECT smart.add_issuer('https://alias.example', public_key(), '{https://fhir.example}', max_token_age => '40000 days', max_patients => 10, patient_aliases => 'many(text)')});
my $alias = sub { my ($patients) = @_; return last_line(answer('BEGIN', qq{SELECT smart.assume(claims(1) - 'iss' || '{"patient": $patients}', 'https://alias.example')},
	  q{SELECT concat_ws(' ', count(*), count(DISTINCT p), bool_or(p = '1'), bool_or(p = '2-7')) FROM smart.session, unnest(patients) p})) };
is($alias->('"1"'), '60001 60001 t f', 'an alias counts once');
is($alias->('["1", "2"]'), '100000 100000 t t', 'aliases end at 100,000');
is($alias->('["1", "1", "2", "1"]'), '100000 100000 t t', 'a patient named twice is one');

# --- grants of several types in one statement ---
my $granular = q{SELECT smart.assume(claims(7) || '{"scope": "system/Observation.rs?code=x system/Condition.rs"}', issuer(0), interaction => 'search')};
is(last_line(as_app($granular, q{SELECT count(*) || ' ' || count(*) FILTER (WHERE smart.permits(o.resource, 's')) || ' ' || count(*) FILTER (WHERE smart.permits(c.resource, 's'))
	  || ' ' || count(*) FILTER (WHERE smart.permits(about(t, '7'), 's')) FROM c JOIN (SELECT id, about('Observation', '1') AS resource FROM c) o USING (id),
	  unnest(ARRAY['Observation', 'Condition', 'Procedure']) t WHERE c.id < '2'})), last_line(answer(
	  q{SELECT concat_ws(' ', n * 3, 0, n * 3, n) FROM (SELECT count(*) AS n FROM c WHERE id < '2') c})), 'a join of several types has the decision of each');

# --- rows do not grow a backend ---
my $read = sub { "DO \$do\$ BEGIN FOR i IN 1 .. $_[0] LOOP PERFORM count(*) FROM o JOIN c USING (id) WHERE smart.permits(o.resource, 's') AND smart.permits(c.resource, 'r') AND smart.patients(o.resource, 'full') IS NOT NULL; END LOOP; END \$do\$" };
for my $case ([ 'many patients', $many[0] ], [ 'one patient, granular', q{SELECT smart.assume(claims(7) || '{"scope": "patient/Observation.rs?code=x,y patient/Condition.rs"}', issuer(0))} ], [ 'all rows', $granular ])
{
	my ($name, $session) = @$case;
	my ($before, $after) = map { /^bytes (\d+)/ ? $1 : () } split /\n/, answer('BEGIN', $session, $read->(2), q{SELECT 'bytes ' || sum(total_bytes) FROM pg_backend_memory_contexts}, $read->(40), q{SELECT 'bytes ' || sum(total_bytes) FROM pg_backend_memory_contexts});
	cmp_ok($after - $before, '<', 64 * 1024, "$name: 480,000 decisions leave nothing");
}

$node->stop;
done_testing();
