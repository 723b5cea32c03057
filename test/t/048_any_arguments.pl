# test/t/048_any_arguments.pl
# B. C functions that believe their arguments: what PUBLIC may execute, in both schemas, is called with
# catalogs, indexes, views, sequences, composite types, foreign shapes, odd texts, arrays and NULLs. Every
# call ends with a row or with an error that says what is wrong: no internal error (XX), no crash. So are the
# functions and procedures of smart_fhir_oauth, by a role that has the three duties. All the others of both extensions
# refuse a role that was given nothing, and nothing but that.
# CALLS and SEED in the environment choose how many and which.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $calls = $ENV{CALLS} || 20000;
my $seed = $ENV{SEED} || 12;

my $node = PostgreSQL::Test::Cluster->new('any_arguments');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', "jit = off\nmax_stack_depth = '1MB'");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION smart_fhir;
CREATE EXTENSION smart_fhir_oauth;
SELECT smart.add_issuer('https://any.example', '{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}',
  '{https://fhir.example/r4}');
CREATE ROLE stranger;
CREATE ROLE server;
CREATE ROLE nothing;
DO $$ BEGIN
  PERFORM smart.configure_server('{"issuer": "https://as.test", "fhir_base_urls": ["https://fhir.example/r4"]}');
  PERFORM smart.register_client('{"client_id": "x", "client_name": "X", "token_endpoint_auth_method": "none", "redirect_uris": ["https://app.test/cb"], "scope": "openid launch/patient patient/*.rs"}');
END $$;
SELECT smart.grant_oauth('server', d) FROM unnest('{protocol,people,administration}'::text[]) d;
CREATE SCHEMA shapes AUTHORIZATION stranger;
GRANT EXECUTE ON FUNCTION smart.assume TO stranger, server;
SET ROLE stranger;
CREATE TABLE shapes.plain (id text PRIMARY KEY, resource jsonb, n bigint, at timestamptz);
INSERT INTO shapes.plain VALUES ('1', '{"resourceType": "Observation", "id": "1", "subject": {"reference": "Patient/1"}}', 1, now());
SELECT smart.protect('shapes.plain', 'Observation', order_by => 'n');
CREATE TABLE shapes.parted (id text, resource jsonb) PARTITION BY HASH (id);
CREATE TABLE shapes.parted_0 PARTITION OF shapes.parted FOR VALUES WITH (MODULUS 1, REMAINDER 0);
SELECT smart.protect('shapes.parted', 'Observation');
CREATE TABLE shapes.provenance (id text, resource jsonb);
SELECT smart.protect('shapes.provenance', 'Provenance', follow => 'target');
CREATE TABLE shapes.unprotected (id int, resource text, smart_patient polygon);
CREATE TABLE shapes.nothing ();
CREATE VIEW shapes.a_view AS SELECT * FROM shapes.plain;
CREATE MATERIALIZED VIEW shapes.kept AS SELECT * FROM shapes.unprotected;
CREATE SEQUENCE shapes.counted;
CREATE TYPE shapes.pair AS (a int, b shapes.plain);
CREATE TYPE shapes.mood AS ENUM ('sad', 'glad');
CREATE DOMAIN shapes.short AS text CHECK (length(VALUE) < 4);
CREATE TABLE shapes.composite (id shapes.short, resource shapes.pair, mood shapes.mood);
CREATE INDEX composite_mood ON shapes.composite (mood);
-- what only looks like ours
CREATE POLICY smart_select ON shapes.composite FOR SELECT USING (smart_internal.row_policy('SELECT', (resource).b.id, (resource).b.resource, id, id, '{"fhir_version": "R9", "revision": 1e300, "key": 1}'));
CREATE TABLE shapes.dressed (id text, resource jsonb, patients polygon);
CREATE POLICY smart_update ON shapes.dressed FOR UPDATE USING (smart_internal.row_policy('SELECT', patients, resource, 'x', NULL, '[1]'));
GRANT USAGE ON SCHEMA shapes TO server;
GRANT SELECT ON ALL TABLES IN SCHEMA shapes TO server;
SQL

# At least so many calls, by this role, of the routines of pg_proc p that the condition picks; gives what psql warned.
sub odd_calls
{
	my ($role, $calls, $condition) = @_;
	my ($status, $out, $err) = $node->psql('postgres', <<"SQL", on_error_stop => 0, timeout => 600);
SET client_min_messages = warning;
SET lock_timeout = '5s';
SET ROLE $role;
SELECT setseed(1.0 / $seed);
CREATE TEMP TABLE pool AS
  SELECT type, value FROM (VALUES
    ('text', ARRAY['', ' ', 'Observation', 'Patient/1', 'cruds', 'SELECT', 'INSERT CHECK', 'R4', 'R5', 'subject', 'resource', 'id', 'nothing', '''', 'a''; DROP TABLE shapes.plain; --',
      'https://fhir.example/r4', '\$1', '%s %L', E'\\\\', E'\\u00e9\\n\\t', repeat('x', 3000), repeat('(', 3000), repeat('a.', 300), '1 FROM pg_class', '(SELECT 1)', 'n', 'btree', '22023', '00000', 'XX',
      'patient/*.rs?a=b', 'eyJhbGciOiJub25lIn0.e30.', repeat('[', 5000), '{"a":', '-1', '99999999999999999999']),
    ('jsonb', ARRAY['null', '{}', '[]', '1', '"x"', '{"keys": []}', '{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQ"}]}', '{"resourceType": "Observation", "subject": {"reference": "Patient/1"}}',
      '{"resourceType": 5, "id": []}', '{"fhir_version": "R4", "compartment": "subject", "revision": 1, "patients": true, "key": "one"}', '{"fhir_version": "R4", "compartment": "subject", "revision": 1e300}',
      '{"fhir_version": null, "revision": {}}', repeat('[', 400) || repeat(']', 400), '{"scope": "patient/*.rs", "patient": "1", "exp": -1e300}', '{"a": 1e10000}',
      '{"grant_type": "authorization_code", "code": "x", "client_id": "x", "code_verifier": []}', '{"authorization": "Basic Og=="}', '{"client_id": {"a": 1}, "token": null, "client_secret": 5}',
      '{"issuer": "https://any.example", "audiences": [null], "scopes_supported": "x"}', '{"response_type": "code", "redirect_uri": [[]], "scope": 1, "state": {}}']),
    ('boolean', ARRAY['true', 'false']), ('integer', ARRAY['0', '-1', '2147483647']), ('bigint', ARRAY['0', '-9223372036854775808']),
    ('oid', ARRAY['0', '1', '4294967295', '2200', '16384']), ('uuid', ARRAY['00000000-0000-0000-0000-000000000000']),
    ('interval', ARRAY['0', '-170000000 years', '60 s']), ('timestamp with time zone', ARRAY['infinity', '-infinity', 'now', '4714-11-24 00:00:00+00 BC']),
    ('bytea', ARRAY['', '\\x00', '\\xdeadbeef']), ('smart.smart_scope', ARRAY['', 'patient/*.rs', 'openid system/Observation.cruds?code=a,b']),
    ('name', ARRAY['', 'id']), ('regtype', ARRAY['text', 'shapes.pair', '0', '4294967295']), ('double precision', ARRAY['NaN', '0']), ('polygon', ARRAY['((0,0),(1,1))'])
  ) v (type, v), unnest(v.v) value;
INSERT INTO pool SELECT 'regclass', c.oid::text FROM pg_class c
  WHERE c.relnamespace IN ('shapes'::regnamespace, 'smart'::regnamespace)
    OR c.relname IN ('pg_class', 'pg_class_oid_index', 'pg_authid', 'pg_toast_1255', 'pg_stat_activity', 'pg_policy', 'pg_proc', 'pg_attribute_relid_attnum_index');
INSERT INTO pool VALUES ('regclass', '0'), ('regclass', '4294967295');
INSERT INTO pool SELECT 'oid', value FROM pool WHERE type = 'regclass';
INSERT INTO pool SELECT 'oid', oid::text FROM pg_policy UNION ALL SELECT 'oid', oid::text FROM pg_trigger;

CREATE FUNCTION pg_temp.literal(wanted text) RETURNS text LANGUAGE plpgsql AS \$\$
DECLARE
  chosen text := wanted;
  v text;
BEGIN
  IF wanted = 'record' THEN
    RETURN (ARRAY['(SELECT p FROM shapes.plain p LIMIT 1)', '(SELECT p FROM shapes.unprotected p LIMIT 1)', '(SELECT p FROM pg_class p LIMIT 1)', 'ROW(1, 2)', 'NULL::shapes.dressed',
      'ROW(NULL, NULL, NULL)::shapes.composite', 'ROW()', 'ROW(1, ROW(''x'', ''{}'', 1, now()))::shapes.pair', '(SELECT p FROM shapes.provenance p LIMIT 1)'])[1 + (random() * 8)::int];
  END IF;
  IF wanted IN ('"any"', 'anyelement', 'anynonarray') THEN
    SELECT p.type INTO chosen FROM pool p ORDER BY random() LIMIT 1;
    IF random() < 0.3 THEN chosen := chosen || '[]'; END IF;
  END IF;
  IF random() < 0.12 THEN
    RETURN 'NULL::' || chosen;
  END IF;
  IF chosen LIKE '%[]' THEN
    IF random() < 0.1 THEN RETURN format('%L::%s', '[2:3][-1:0]={{NULL,NULL},{NULL,NULL}}', chosen); END IF;
    SELECT format('ARRAY[%s]::%s', string_agg(CASE WHEN random() < 0.2 THEN 'NULL' ELSE quote_literal(x.value) END, ', '), chosen) INTO v
    FROM (SELECT p.value FROM pool p WHERE p.type = left(chosen, -2) ORDER BY random() LIMIT (random() * 4)::int) x;
    RETURN coalesce(v, 'ARRAY[]::' || chosen);
  END IF;
  SELECT p.value INTO v FROM pool p WHERE p.type = chosen ORDER BY random() LIMIT 1;
  RETURN coalesce(quote_literal(v), 'NULL') || '::' || chosen;
END \$\$;

DO \$\$
DECLARE
  f record;
  call text;
  state text;
  message text;
  n int := 0;
  good int := 0;
BEGIN
  WHILE n < $calls LOOP
    FOR f IN
      SELECT n.nspname, p.proname, p.prokind, p.proargtypes::oid[] AS types
      FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
      WHERE n.nspname IN ('smart', 'smart_internal') AND $condition
        AND NOT p.proargtypes::oid[] && ARRAY['internal', 'pg_ddl_command', 'cstring']::regtype[]::oid[]
        AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
      ORDER BY p.oid::regprocedure::text COLLATE "C"
    LOOP
      n := n + 1;
      SELECT format('%s %I.%I(%s)', CASE f.prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT' END, f.nspname, f.proname, coalesce(string_agg(pg_temp.literal(format_type(t, NULL)), ', ' ORDER BY i), '')) INTO call
      FROM unnest(f.types) WITH ORDINALITY u (t, i);
      BEGIN
        -- some calls are within a session
        IF random() < 0.3 THEN
          PERFORM smart.assume('{"scope": "patient/*.cruds system/Device.rs?type=x", "patient": "1"}', 'https://any.example');
        END IF;
        EXECUTE call;
        RAISE SQLSTATE 'P0999';
      EXCEPTION WHEN SQLSTATE 'P0999' THEN
        good := good + 1;
      WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
        IF state LIKE 'XX%' OR state IN ('55P03', '57014') THEN
          RAISE WARNING 'INTERNAL % % %', state, message, left(call, 400);
        END IF;
      END;
    END LOOP;
  END LOOP;
  RAISE WARNING 'calls % of which % without an error', n, good;
END \$\$;
SQL
	my %internal;
	$internal{"$3: $1 $2"} //= 1 while $err =~ /INTERNAL (\S+) (.*?) ((?:SELECT|CALL) [a-z_.]+\(.*)/g;
	is(join("\n", sort keys %internal), '', "$role: no call ends with an internal error");
	my ($n, $good) = $err =~ /calls (\d+) of which (\d+) without an error/;
	cmp_ok($n // 0, '>=', $calls, "$role: the server lived through all of them") or diag(substr($err, -2000));
	cmp_ok($good // 0, '>', ($n // 0) / 20, "$role: and many of them were good calls");
	note("$role: ", $n // 0, ' calls, ', $good // 0, ' without an error');
}
my $of_oauth = q{EXISTS (SELECT FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
          AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'smart_fhir_oauth')};
odd_calls('stranger', $calls, q{has_function_privilege('public', p.oid, 'EXECUTE')});
odd_calls('server', $calls / 4, "has_function_privilege(p.oid, 'EXECUTE') AND $of_oauth");

# What PUBLIC may not execute ends with the refusal, and that is all of smart_fhir_oauth. (The planner would replace a strict function of NULL by NULL, and ask nobody.)
my $closed = $node->safe_psql('postgres', <<"SQL");
CREATE TABLE closed AS
  SELECT p.oid::regprocedure::text AS name, format('%s %s.%I(%s)', CASE p.prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT' END, p.pronamespace::regnamespace, p.proname,
      (SELECT string_agg(CASE WHEN p.provariadic <> 0 AND i = p.pronargs THEN 'VARIADIC ' ELSE '' END || format(CASE p.prokind WHEN 'p' THEN 'NULL::%s' ELSE '(SELECT NULL::%s)' END,
        format_type(t, NULL)), ', ' ORDER BY i) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY u (t, i))) AS call
  FROM pg_proc p
  WHERE p.pronamespace IN ('smart'::regnamespace, 'smart_internal'::regnamespace) AND (NOT has_function_privilege('public', p.oid, 'EXECUTE') OR $of_oauth)
    AND NOT p.proargtypes::oid[] && ARRAY['internal', 'pg_ddl_command', 'cstring']::regtype[]::oid[]
    AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype);
GRANT SELECT ON closed TO nothing;
SELECT count(*) FROM closed;
SQL
cmp_ok($closed, '>', 50, 'there are routines that are not for PUBLIC');
note("closed: $closed");
is($node->safe_psql('postgres', <<'SQL'), '', 'each of them refuses a role that was given nothing');
SET ROLE nothing;
CREATE TEMP TABLE answered (name text, state text);
DO $$
DECLARE
  f record;
BEGIN
  FOR f IN SELECT * FROM closed LOOP
    BEGIN
      EXECUTE f.call;
      INSERT INTO answered VALUES (f.name, 'no error');
    EXCEPTION WHEN insufficient_privilege THEN
      NULL;
    WHEN OTHERS THEN
      INSERT INTO answered VALUES (f.name, SQLSTATE || SQLERRM);
    END;
  END LOOP;
END $$;
SELECT name, state FROM answered ORDER BY 1;
SQL
is($node->safe_psql('postgres', q{SELECT string_agg(state, ' ' ORDER BY relation::text) FROM smart.protected_table WHERE relation::text ~ '(plain|parted|parted_0|provenance)$'}),
	'ok ok ok ok', 'nothing was changed');

# Trigger functions are for nobody: PostgreSQL asks at CREATE TRIGGER only.
is($node->safe_psql('postgres', q{SELECT string_agg(p.oid::regprocedure::text, ' ') FROM pg_proc p
  WHERE p.pronamespace IN ('smart'::regnamespace, 'smart_internal'::regnamespace) AND has_function_privilege('public', p.oid, 'EXECUTE')
    AND p.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype)}),
	'', 'trigger functions are executable by nobody');
$node->stop;
unlike(PostgreSQL::Test::Utils::slurp_file($node->logfile), qr/TRAP:|PANIC:|terminated by signal|runtime error:/, 'nothing in the log');
done_testing();
