# Context cases of ../shared/data/authz: what smart.session shows of an issuer's claims under
# each preset. Scopes are compared as sets of grants. Disputed cases are reported and do not count.
use strict;
use warnings FATAL => 'all';

use File::Basename;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = $ENV{SMART_FHIR_DATA} // dirname(__FILE__) . '/../../../shared/data';
my @files = sort glob("$data/authz/*.json");
plan skip_all => 'no shared data' unless @files;

my $node = PostgreSQL::Test::Cluster->new('context');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION smart_fhir;
CREATE TABLE cases (doc jsonb NOT NULL);

CREATE FUNCTION answer(doc jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	claims jsonb := doc -> 'claims';
	session smart.session;
	wrong text;
BEGIN
	-- the key is that of RFC 7517 appendix A.1; nothing is signed here
	PERFORM smart.add_issuer(claims ->> 'iss',
		'{"kty": "EC", "crv": "P-256", "kid": "1", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}',
		'{https://ehr.test/fhir}', doc ->> 'preset');
	PERFORM smart.assume(claims || '{"aud": "https://ehr.test/fhir", "jti": "1"}', claims ->> 'iss');
	SELECT * INTO STRICT session FROM smart.session;
	SELECT string_agg(format('%s is %s', name, got), ', ' ORDER BY name) INTO wrong
	FROM jsonb_each_text(doc -> 'expect') AS e(name, expected),
		LATERAL (SELECT CASE name WHEN 'scope' THEN session.scope::text WHEN 'patient' THEN session.patient
			WHEN 'encounter' THEN session.encounter WHEN 'fhir_user' THEN session.fhir_user
			WHEN 'client_id' THEN session.client_id ELSE 'a column that this test does not know' END) AS g(got)
	WHERE CASE name WHEN 'scope' THEN (expected::smart.smart_scope OPERATOR(smart.=) session.scope) IS NOT TRUE
		ELSE got IS DISTINCT FROM expected END;
	PERFORM smart.logout();
	RETURN coalesce(wrong, 'ok');
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ': ' || SQLERRM;
END $$;
SQL

my $json = JSON::PP->new->canonical->ascii;
my $load = '';
my $n = 0;
for my $file (@files)
{
	my $set = JSON::PP->new->utf8->decode(slurp_file($file));
	for my $case (@{ $set->{cases} })
	{
		next unless $case->{kind} eq 'context';
		$load .= 'INSERT INTO cases VALUES ($case$' . $json->encode($case) . "\$case\$);\n";
		$n++;
	}
}
$node->safe_psql('postgres', $load);
my @answers = split /\n/, $node->safe_psql('postgres', <<'SQL');
SELECT json_build_object('id', doc ->> 'id', 'why', doc ->> 'why', 'disputed', doc ->> 'disputed', 'answer', answer(doc))
FROM cases ORDER BY doc ->> 'id'
SQL
is(scalar @answers, $n, 'every case has an answer');
for my $line (@answers)
{
	my $got = JSON::PP->new->decode($line);
	if (defined $got->{disputed})
	{
		$got->{answer} eq 'ok' ? note "disputed, as expected: $got->{id} ($got->{why})"
		  : diag "disputed: $got->{id} ($got->{why}; $got->{disputed}): $got->{answer}";
		next;
	}
	is($got->{answer}, 'ok', "$got->{id}: $got->{why}");
}

$node->stop;
done_testing();
