# Cases of ../shared/data/authz that concern the type smart_scope: scope, covers, both, either,
# allows. Disputed cases are reported and do not count. Soft errors follow, from PostgreSQL 16 on.
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

my $node = PostgreSQL::Test::Cluster->new('scope');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION smart_fhir');

# The answer to one case; an error is an answer too.
$node->safe_psql('postgres', <<'SQL');
CREATE TABLE cases (doc jsonb NOT NULL);

CREATE FUNCTION scope_answer(doc jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	value smart.smart_scope;
	items jsonb;
BEGIN
	BEGIN
		value := doc ->> 'text';
	EXCEPTION WHEN invalid_text_representation THEN
		RETURN CASE doc ->> 'expect' WHEN 'reject' THEN 'ok' ELSE 'rejected: ' || SQLERRM END;
	END;
	IF doc ->> 'expect' <> 'accept' THEN
		RETURN 'accepted: ' || value::text;
	END IF;
	IF doc ? 'canonical' AND value::text <> (doc ->> 'canonical') THEN
		RETURN 'canonical text is ' || value::text;
	END IF;
	IF doc ? 'items' THEN
		-- letters of one level and type are merged in the case
		SELECT coalesce(jsonb_agg(i ORDER BY i), '[]') INTO items
		FROM (SELECT jsonb_build_object('kind', kind, 'level', level, 'resource_type', resource_type,
				'permissions', permissions) AS i
			FROM smart.scope_items(value) WHERE kind = 'resource') AS got;
		IF items <> (SELECT coalesce(jsonb_agg(i ORDER BY i), '[]') FROM jsonb_array_elements(doc -> 'items') AS e(i)) THEN
			RETURN 'items are ' || items;
		END IF;
	END IF;
	RETURN 'ok';
END $$;

CREATE FUNCTION answer(doc jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	got text;
	value smart.smart_scope;
	expected smart.smart_scope;
BEGIN
	CASE doc ->> 'kind'
		WHEN 'scope' THEN
			RETURN scope_answer(doc);
		WHEN 'covers' THEN
			got := ((doc ->> 'a')::smart.smart_scope OPERATOR(smart.@>) (doc ->> 'b')::smart.smart_scope)::text;
		WHEN 'allows' THEN
			got := smart.scope_allows((doc ->> 'scope')::smart.smart_scope, doc ->> 'level',
				doc ->> 'resource_type', doc ->> 'permissions')::text;
		ELSE
			expected := doc ->> 'expect';
			IF doc ->> 'kind' = 'both' THEN
				value := (doc ->> 'a')::smart.smart_scope OPERATOR(smart.&) (doc ->> 'b')::smart.smart_scope;
			ELSE
				value := (doc ->> 'a')::smart.smart_scope OPERATOR(smart.|) (doc ->> 'b')::smart.smart_scope;
			END IF;
			RETURN CASE WHEN value OPERATOR(smart.@>) expected AND expected OPERATOR(smart.@>) value
				THEN 'ok' ELSE value::text END;
	END CASE;
	RETURN CASE WHEN got = (doc ->> 'expect') THEN 'ok' ELSE got END;
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE || ': ' || SQLERRM;
END $$;
SQL

my %kinds = map { $_ => 1 } qw(scope covers both either allows);
my $json = JSON::PP->new->canonical->ascii;
my $load = '';
my $n = 0;
for my $file (@files)
{
	my $set = JSON::PP->new->utf8->decode(slurp_file($file));
	for my $case (@{ $set->{cases} })
	{
		next unless $kinds{ $case->{kind} };
		$load .= 'INSERT INTO cases VALUES ($case$' . $json->encode($case) . "\$case\$);\n";
		$n++;
	}
}
$node->safe_psql('postgres', $load);
my @answers = split /\n/, $node->safe_psql('postgres', <<'SQL');
SELECT json_build_object('id', doc ->> 'id', 'why', doc ->> 'why', 'disputed', doc ? 'disputed', 'answer', answer(doc))
FROM cases ORDER BY doc ->> 'id'
SQL
is(scalar @answers, $n, 'every case has an answer');
my $disputed = 0;
for my $line (@answers)
{
	my $got = JSON::PP->new->decode($line);
	if ($got->{disputed} && $got->{answer} ne 'ok')
	{
		$disputed++;
		diag "disputed: $got->{id} ($got->{why}): $got->{answer}";
		next;
	}
	is($got->{answer}, 'ok', "$got->{id}: $got->{why}");
}
note "$disputed disputed cases differ";

# Binary input goes through the parser: another version, malformed text and text that is not
# canonical (COPY reads one row with one field of these bytes).
sub copy_binary
{
	my ($bytes) = @_;
	my $file = $node->basedir . '/value.bin';
	open my $out, '>:raw', $file or die $!;
	print $out "PGCOPY\n\xff\r\n\0", pack('NNnN', 0, 0, 1, length $bytes), $bytes, pack('n', 0xffff);
	close $out or die $!;
	my ($code, $stdout, $stderr) = $node->psql('postgres',
		"CREATE TEMP TABLE value (s smart.smart_scope); COPY value FROM '$file' (FORMAT binary); SELECT s FROM value",
		extra_params => [ '-v', 'VERBOSITY=sqlstate' ]);
	return $code == 0 ? $stdout : $stderr =~ /ERROR:\s+(\w+)/ ? $1 : $stderr;
}
is(copy_binary("\1openid patient/*.read patient/A.r"), 'openid patient/*.rs', 'binary text becomes canonical');
is(copy_binary("\1"), '', 'binary empty set');
is(copy_binary("\2openid"), '22P03', 'unknown binary version');
is(copy_binary(''), '08P01', 'no binary version');
is(copy_binary("\1patient/A.sr"), '22P02', 'malformed scope in binary');
is(copy_binary("\1a\0b"), '22P02', 'NUL in binary');
is(copy_binary("\1\xff"), '22P02', 'byte outside ASCII in binary');

# Malformed and oversized text is a soft error where the server knows those.
SKIP:
{
	skip 'soft errors need PostgreSQL 16', 4
	  if $node->safe_psql('postgres', "SELECT current_setting('server_version_num')::int < 160000") eq 't';
	my $info = q{SELECT sql_error_code, detail FROM pg_input_error_info('%s', 'smart.smart_scope')};
	is($node->safe_psql('postgres', sprintf($info, 'openid patient/Observation.sr')),
		'22P02|In scope "patient/Observation.sr", the permission is neither letters of "cruds" in that order nor read, write or *.',
		'malformed resource scope');
	is($node->safe_psql('postgres', sprintf($info, 'a"b')),
		'22P02|At byte 2 (0x22), a byte is outside the alphabet of OAuth scopes.', 'byte outside the alphabet');
	is($node->safe_psql('postgres',
			q{SELECT sql_error_code FROM pg_input_error_info(
			  (SELECT 'patient/A.r?' || string_agg(p || '=1,2', '&') FROM generate_series(1, 30) AS p), 'smart.smart_scope')}),
		'54000', 'too many combinations');
	is($node->safe_psql('postgres', q{SELECT pg_input_is_valid('openid patient/*.read', 'smart.smart_scope')}),
		't', 'valid text');
}

$node->stop;
done_testing();
