# Decision cases of ../shared/data/authz, each through smart.permits(), smart.permits_row() and
# row-level security, on a table of the resource's type and on one of many types. Beyond the
# letter that a case asks, all five must have one answer everywhere. Disputed cases are
# reported and do not count.
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

my $node = PostgreSQL::Test::Cluster->new('decision');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION smart_fhir;
CREATE ROLE app;
CREATE SCHEMA t;
GRANT USAGE ON SCHEMA t TO app;
CREATE TABLE t.cases (doc jsonb NOT NULL, issuer text, audience text, one_type regclass, many_types regclass);
CREATE TABLE t.issuers (n serial, audience text, options jsonb);
CREATE TABLE t.tables (n serial, resource_type text, base_url text);
SQL

my $json = JSON::PP->new->canonical->ascii;
my $load = '';
my $n = 0;
for my $file (@files)
{
	my $set = JSON::PP->new->utf8->decode(slurp_file($file));
	for my $case (@{ $set->{cases} })
	{
		next unless $case->{kind} eq 'decision';
		$load .= 'INSERT INTO t.cases VALUES ($case$' . $json->encode($case) . "\$case\$);\n";
		$n++;
	}
}
$node->safe_psql('postgres', "BEGIN; $load COMMIT;");

# An issuer for each audience and set of options; a table for each type and base; the rows.
$node->safe_psql('postgres', <<'SQL');
UPDATE t.cases SET audience = coalesce(doc ->> 'base_url', 'https://ehr.test/fhir');
INSERT INTO t.issuers (audience, options)
	SELECT DISTINCT audience, coalesce(doc -> 'issuer', '{}') FROM t.cases;
UPDATE t.cases AS c SET issuer = 'https://ehr.test/auth/' || i.n FROM t.issuers AS i
	WHERE i.audience = c.audience AND i.options = coalesce(c.doc -> 'issuer', '{}');
DO $$
DECLARE
	i record;
	patients text;
BEGIN
	IF EXISTS (SELECT FROM t.issuers, jsonb_object_keys(options) AS k(k) WHERE k NOT IN ('levels', 'user_sees_all', 'user_patients')) THEN
		RAISE 'a case has an issuer option that this test does not know';
	END IF;
	FOR i IN SELECT * FROM t.issuers LOOP
		patients := NULL;
		IF i.options ? 'user_patients' THEN
			patients := format('t.user_patients_%s', i.n);
			EXECUTE format('CREATE FUNCTION %s(jsonb) RETURNS text[] LANGUAGE sql AS %L', patients,
				CASE jsonb_typeof(i.options -> 'user_patients') WHEN 'array'
				THEN format('SELECT ARRAY(SELECT jsonb_array_elements_text(%L))', i.options ->> 'user_patients')
				ELSE 'SELECT NULL::text[]' END);
			patients := patients || '(jsonb)';
		END IF;
		PERFORM smart.add_issuer('https://ehr.test/auth/' || i.n,
			-- RFC 7517 appendix A.1; nothing is signed here
			'{"kty": "EC", "crv": "P-256", "kid": "1", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}',
			ARRAY[i.audience],
			levels => (SELECT array_agg(l) FROM jsonb_array_elements_text(i.options -> 'levels') AS l),
			user_sees_all => (i.options ->> 'user_sees_all')::boolean,
			user_patients => patients::regprocedure);
	END LOOP;
END $$;

-- NULL as type: the table of many types
INSERT INTO t.tables (resource_type, base_url)
	SELECT DISTINCT CASE WHEN smart_internal.is_fhir_type(doc -> 'resource' ->> 'resourceType', 'R4') THEN doc -> 'resource' ->> 'resourceType' END,
		doc ->> 'base_url' FROM t.cases
	UNION SELECT DISTINCT NULL, doc ->> 'base_url' FROM t.cases;
DO $$
DECLARE
	t record;
	name text;
BEGIN
	SET LOCAL client_min_messages = warning;
	FOR t IN SELECT * FROM t.tables LOOP
		name := format('t.%I', coalesce(t.resource_type, 'any') || '_' || t.n);
		EXECUTE format('CREATE TABLE %s (case_id text NOT NULL, id text, type text, resource jsonb NOT NULL)', name);
		PERFORM smart.protect(name::regclass, t.resource_type, type => CASE WHEN t.resource_type IS NULL THEN 'type' END,
			base_url => t.base_url);
		EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO app', name);
		UPDATE t.cases SET many_types = CASE WHEN t.resource_type IS NULL THEN name::regclass ELSE many_types END,
			one_type = CASE WHEN t.resource_type IS NULL THEN one_type ELSE name::regclass END
		WHERE doc ->> 'base_url' IS NOT DISTINCT FROM t.base_url
			AND (t.resource_type IS NULL OR doc -> 'resource' ->> 'resourceType' = t.resource_type);
		EXECUTE format('INSERT INTO %s SELECT doc ->> ''id'', CASE jsonb_typeof(r -> ''id'') WHEN ''string'' THEN r ->> ''id'' END,
			CASE jsonb_typeof(r -> ''resourceType'') WHEN ''string'' THEN r ->> ''resourceType'' END, r
			FROM t.cases, LATERAL (SELECT doc -> ''resource'') AS s(r) WHERE %L::regclass IN (one_type, many_types)', name, name::regclass);
		EXECUTE format('CREATE INDEX ON %s (case_id)', name);
		EXECUTE format('ANALYZE %s', name);
	END LOOP;
END $$;

-- Logs in as a case says.
CREATE FUNCTION t.log_in(c t.cases) RETURNS void LANGUAGE sql AS $$
	SELECT smart.assume((c.doc -> 'claims') || jsonb_build_object('iss', c.issuer, 'aud', c.audience, 'jti', c.doc ->> 'id',
		'iat', floor(extract(epoch FROM clock_timestamp())) - 1, 'exp', floor(extract(epoch FROM clock_timestamp())) + 300), c.issuer)
$$;

-- What row-level security answers for each letter, for the stored row of a case; each
-- statement is rolled back. rs is SELECT without an interaction. Prepared: with one plan for the
-- sessions of all cases.
CREATE FUNCTION t.rls(c t.cases, relation regclass, prepared boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	answers jsonb := '{}';
	q record;
	answer text;
	n bigint;
	plan text;
	stored jsonb := jsonb_build_object(
		'id', CASE jsonb_typeof(c.doc -> 'resource' -> 'id') WHEN 'string' THEN c.doc -> 'resource' -> 'id' END,
		'type', CASE jsonb_typeof(c.doc -> 'resource' -> 'resourceType') WHEN 'string' THEN c.doc -> 'resource' -> 'resourceType' END,
		'resource', c.doc -> 'resource');
BEGIN
	FOR q IN SELECT * FROM (VALUES
		('r', 'read', 'SELECT id FROM %s WHERE case_id = $1'),
		('s', 'search', 'SELECT id FROM %s WHERE case_id = $1'),
		('rs', NULL, 'SELECT id FROM %s WHERE case_id = $1'),
		('c', 'create', 'INSERT INTO %s SELECT $1, r.id, r.type, r.resource FROM jsonb_populate_record(NULL::%1$s, $2) AS r RETURNING id'),
		('u', 'update', 'UPDATE %s SET resource = resource WHERE case_id = $1 RETURNING id'),
		('d', 'delete', 'DELETE FROM %s WHERE case_id = $1 RETURNING id')) AS v(letter, interaction, command)
	LOOP
		BEGIN
			n := NULL;
			PERFORM t.log_in(c);
			PERFORM smart.set_interaction(q.interaction);
			SET LOCAL ROLE app;
			IF prepared THEN
				plan := q.letter || relation::oid;
				IF NOT EXISTS (SELECT FROM pg_prepared_statements AS p WHERE p.name = plan) THEN
					EXECUTE 'PREPARE ' || plan || ' (text, jsonb) AS ' || format(q.command, relation);
				END IF;
				EXECUTE format('EXECUTE %I (%L, %L)', plan, c.doc ->> 'id', stored);
			ELSE
				EXECUTE format(q.command, relation) USING c.doc ->> 'id', stored;
			END IF;
			GET DIAGNOSTICS n = ROW_COUNT;
			RAISE SQLSTATE 'ZZ000';
		EXCEPTION
			WHEN SQLSTATE 'ZZ000' THEN
				answer := CASE n WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE n || ' rows' END;
			WHEN insufficient_privilege THEN
				-- only a new row is refused with an error
				answer := CASE WHEN q.letter = 'c' AND SQLERRM = 'insufficient scope' THEN 'false' ELSE SQLSTATE || ' ' || SQLERRM END;
			WHEN OTHERS THEN
				answer := SQLSTATE || ' ' || SQLERRM;
		END;
		answers := answers || jsonb_build_object(q.letter, answer);
	END LOOP;
	RETURN answers;
END $$;

-- The functions' answers, asked as a role that row-level security does not bind.
CREATE FUNCTION t.functions(c t.cases, relation regclass) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	permits jsonb;
	permits_row jsonb;
	resource jsonb := c.doc -> 'resource';
BEGIN
	BEGIN
		PERFORM t.log_in(c);
		SELECT jsonb_object_agg(l, smart.permits(resource, l, relation)::text) INTO permits FROM unnest('{c,r,u,d,s}'::text[]) AS l;
		IF NOT c.doc ? 'base_url' AND permits <>
			(SELECT jsonb_object_agg(l, smart.permits(resource, l)::text) FROM unnest('{c,r,u,d,s}'::text[]) AS l) THEN
			permits := permits || '{"relation": "makes a difference"}';
		END IF;
		EXECUTE format('SELECT jsonb_object_agg(l, smart.permits_row(r, l)::text) FROM %s AS r, unnest(''{c,r,u,d,s}''::text[]) AS l WHERE case_id = %L',
			relation, c.doc ->> 'id') INTO permits_row;
		RAISE SQLSTATE 'ZZ000';
	EXCEPTION
		WHEN SQLSTATE 'ZZ000' THEN
			NULL;
		WHEN OTHERS THEN
			permits := coalesce(permits, '{}') || jsonb_build_object('error', SQLSTATE || ' ' || SQLERRM);
	END;
	RETURN jsonb_build_object('permits', permits, 'row', permits_row);
END $$;

CREATE FUNCTION t.answer(c t.cases) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	letter text := c.doc ->> 'permission';
	expect text := c.doc ->> 'expect';
	relation regclass;
	functions jsonb;
	rls jsonb;
	shared_plan jsonb;
	wrong text[] := '{}';
	way text;
BEGIN
	BEGIN
		PERFORM t.log_in(c);
		RAISE SQLSTATE 'ZZ000';
	EXCEPTION
		WHEN SQLSTATE 'ZZ000' THEN
			NULL;
		WHEN invalid_authorization_specification THEN
			RETURN jsonb_build_object('refused', true, 'wrong', CASE expect WHEN 'false' THEN wrong ELSE ARRAY['login: ' || SQLERRM] END);
	END;
	FOREACH relation IN ARRAY ARRAY[c.one_type, c.many_types] LOOP
		CONTINUE WHEN relation IS NULL;
		functions := t.functions(c, relation);
		rls := t.rls(c, relation, false);
		shared_plan := t.rls(c, relation, true);
		IF functions -> 'permits' ->> letter IS DISTINCT FROM expect THEN
			wrong := wrong || format('permits(%s, %s): %s', letter, relation, functions -> 'permits');
		END IF;
		IF functions -> 'row' ->> letter IS DISTINCT FROM expect THEN
			wrong := wrong || format('permits_row(%s, %s): %s', letter, relation, functions -> 'row');
		END IF;
		IF rls ->> letter IS DISTINCT FROM expect THEN
			wrong := wrong || format('RLS(%s, %s): %s', letter, relation, rls);
		END IF;
		IF functions -> 'permits' IS DISTINCT FROM functions -> 'row' OR functions -> 'row' IS DISTINCT FROM rls - 'rs'
			OR (rls ->> 'rs')::boolean IS DISTINCT FROM (rls ->> 'r')::boolean AND (rls ->> 's')::boolean THEN
			wrong := wrong || format('answers for %s differ: permits %s, permits_row %s, RLS %s', relation,
				functions -> 'permits', functions -> 'row', rls);
		END IF;
		IF shared_plan <> rls THEN
			wrong := wrong || format('with plans of other sessions on %s: %s instead of %s', relation, shared_plan, rls);
		END IF;
	END LOOP;
	RETURN jsonb_build_object('wrong', wrong);
END $$;
SQL

my @answers = split /\n/, $node->safe_psql('postgres', <<'SQL', timeout => 180);
SET enable_seqscan = off;
SET plan_cache_mode = force_generic_plan;
SELECT jsonb_build_object('id', doc ->> 'id', 'why', doc ->> 'why', 'expect', doc -> 'expect', 'disputed', doc ->> 'disputed') || t.answer(c)
FROM t.cases AS c ORDER BY doc ->> 'id' COLLATE "C"
SQL
is(scalar @answers, $n, 'every case has an answer');
my ($disputed, $refused) = (0, 0);
for my $line (@answers)
{
	my $got = JSON::PP->new->decode($line);
	my $wrong = join '; ', @{ $got->{wrong} };
	$refused++ if $got->{refused};
	if (defined $got->{disputed})
	{
		$disputed++;
		$wrong ? diag "disputed: $got->{id} ($got->{why}; $got->{disputed}): $wrong" : note "disputed, as expected: $got->{id} ($got->{why})";
		next;
	}
	is($wrong, '', "$got->{id}: $got->{why}");
}
note "$disputed disputed cases, $refused refused at login";

$node->stop;
done_testing();
