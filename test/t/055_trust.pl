# test/t/055_trust.pl
# A. Trust in what another role wrote: a role that may only make tables puts policies, options, indexes,
# column types and views on tables of its own that look like ours. No function of ours runs that role's
# code with more rights than the role has, or waits for its locks; what is odd about a relation stands in
# its own row of protected_table, and nowhere else.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('trust');
$node->init;
$node->append_conf('postgresql.conf', "jit = off\nlog_min_messages = log");
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION smart_fhir;
SELECT smart.add_issuer('https://trust.example', '{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}',
  '{https://fhir.example/r4}');
CREATE ROLE evil LOGIN;
CREATE SCHEMA evil AUTHORIZATION evil;
CREATE TABLE public.good (id text PRIMARY KEY, resource jsonb);
SELECT smart.protect('public.good', 'Observation');
SET ROLE evil;
SET search_path = evil;
-- tells who it runs as, and would take what it can
CREATE FUNCTION spy(x text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  RAISE LOG 'SPY runs as %', current_user;
  RETURN x;
END $$;
CREATE FUNCTION spy(x jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN RAISE LOG 'SPY runs as %', current_user; RETURN x; END $$;
CREATE FUNCTION spy_is(x text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$ BEGIN RAISE LOG 'SPY runs as %', current_user; RETURN true; END $$;
CREATE DOMAIN checked AS text CHECK (spy_is(VALUE));
CREATE DOMAIN json_checked AS jsonb CHECK (spy_is(VALUE::text));
CREATE TYPE pair AS (a text, b jsonb);
CREATE TABLE other (id text, resource jsonb);
CREATE FUNCTION dress(command text, qual text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  n int := (SELECT count(*) FROM pg_class WHERE relname LIKE 'd\_%' AND relkind = 'r');
  name text := 'd_' || n;
BEGIN
  EXECUTE format('CREATE TABLE evil.%I (id text, resource jsonb, patients text[], c evil.checked, p evil.pair)', name);
  EXECUTE format('INSERT INTO evil.%I (id, resource) VALUES (1, ''{}'')', name);
  EXECUTE format('CREATE POLICY %I ON evil.%I FOR %s USING (%s)', CASE command WHEN 'SELECT' THEN 'smart_select' ELSE 'smart_update' END, name, command, qual);
  EXECUTE format('CREATE INDEX ON evil.%I ((evil.spy(id))) WHERE NOT evil.spy_is(id)', name);
  EXECUTE format('ALTER TABLE evil.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', name);
END $$;
SELECT dress('SELECT', format('smart_internal.row_policy(''SELECT'', %s, %s, %s, %s, %s)', patients, resource, type, id, options))
FROM (VALUES
  ($$evil.spy(id)$$, $$evil.spy(resource)$$, $$'Observation'$$, $$evil.spy(id)$$, $$'{"key": "one", "patients": true, "fhir_version": "R4", "compartment": "subject", "revision": 1, "shared": false}'$$),
  ($$evil.spy('x')$$, $$evil.spy('{}'::jsonb)$$, $$evil.spy('Observation')$$, $$evil.spy('x')$$, $$evil.spy('{"key": "one", "patients": true, "fhir_version": "R4", "compartment": "subject", "revision": 1}'::jsonb)$$),
  ('id', 'resource', $$'Observation'$$, 'id', $$'{"key": "one", "patients": true, "fhir_version": "R4", "compartment": "subject", "revision": 1, "order_by": "evil.spy(id)); ALTER ROLE evil SUPERUSER; --"}'$$),
  ('id', 'resource', $$'Observation'$$, 'id', $$'{"key": "one", "patients": true, "fhir_version": "R4", "compartment": "subject", "revision": 1, "follow": "target''); ALTER ROLE evil SUPERUSER; --", "base_url": "'')"}'$$),
  ($$replace(id, '\', '; ALTER ROLE evil SUPERUSER; --')$$, 'resource', $$'Observation'$$, 'id', $$'{"key": "one", "patients": true, "fhir_version": "R4", "compartment": "subject", "revision": 1}'$$),
  ('id', 'resource', $$'x'$$, 'id', $$'{"key": 5, "patients": "yes", "fhir_version": "R9", "revision": 1e300, "follow": 1}'$$),
  ('id', 'resource', $$NULL$$, 'id', $$'[1, 2]'$$), ('id', 'resource', $$'x'$$, 'id', $$NULL$$), ('id', 'resource', $$'x'$$, 'id', $$'"x"'$$), ('id', 'resource', $$'x'$$, 'id', 'resource'),
  ('c', 'resource', $$c::text$$, 'id', $$'{}'::evil.json_checked$$), ($$'x'::evil.checked$$, $$'{}'::evil.json_checked$$, $$'x'::evil.checked$$, $$'x'::evil.checked$$, $$'{}'$$),
  ('(p).a', '(p).b', $$'x'$$, '(p).a', $$'{}'$$), ($$(ROW('a', '{}')::evil.pair).a$$, 'to_jsonb(p)', $$'x'$$, 'id', $$'{}'$$),
  ('(SELECT o.id FROM evil.other o LIMIT 1)', 'resource', $$'x'$$, '(SELECT evil.spy(o.id) FROM evil.other o LIMIT 1)', $$'{}'$$),
  ('patients', 'resource', $$'x'$$, 'ctid::text', $$'{"key": "many"}'$$), ('current_user::text', 'resource', $$'x'$$, $$to_regclass('evil.other')::text$$, $$'{}'$$)
) v (patients, resource, type, id, options);
SELECT dress('SELECT', $$smart_internal.row_policy('SELECT', id, resource, 'Observation', id, '{"key": "one", "patients": true, "fhir_version": "R4", "compartment": "subject", "revision": 1}', evil.spy(id))$$);
SELECT dress('UPDATE', $$smart_internal.row_policy(evil.spy('SELECT'), id, resource, 'x', id, '{}')$$);
CREATE TABLE parent (id text, resource jsonb) PARTITION BY LIST (id);
CREATE TABLE child PARTITION OF parent FOR VALUES IN ('1');
SELECT smart.protect('evil.parent', 'Observation');
CREATE TABLE provenance (id text, resource jsonb);
SELECT smart.protect('evil.provenance', 'Provenance', follow => 'target');
CREATE VIEW a_view AS SELECT evil.spy(id) AS id FROM d_0;
CREATE MATERIALIZED VIEW kept AS SELECT id FROM d_0 WITH NO DATA;
SQL

# Everything that asks about relations, once free and once while evil holds locks on all of its own.
my $relations = q{SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'evil'::regnamespace};
my $ask = <<"SQL";
SET statement_timeout = '20s';
SET lock_timeout = '2s';
BEGIN;
SELECT smart.assume('{"scope": "patient/*.rs", "patient": "1"}', 'https://trust.example');
SELECT smart.allows('Observation', 'r');
SELECT count(*) FROM smart.session;
COMMIT;
SELECT count(*) FROM smart.protected_table;
DO \$\$
DECLARE
  f record;
  r oid;
  call text;
  waited text := '';
BEGIN
  FOR f IN
    SELECT p.oid::regprocedure AS signature, n.nspname, p.proname, p.proargtypes::oid[] AS types
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname IN ('smart', 'smart_internal') AND p.proargtypes::oid[] && ARRAY['regclass', 'oid']::regtype[]::oid[]
      -- what changes a table is for its owner, and waits as ALTER TABLE does; so does who asks about a row of it by name
      AND p.provolatile <> 'v' AND p.proname NOT IN ('permits', 'explain', 'row_policy')
      AND NOT p.proargtypes::oid[] && ARRAY['internal', 'pg_ddl_command']::regtype[]::oid[]
  LOOP
    FOR r IN $relations LOOP
      SELECT format('SELECT count(*) FROM %I.%I(%s) x', f.nspname, f.proname, string_agg(
        CASE t WHEN 'regclass'::regtype THEN r || '::regclass' WHEN 'oid'::regtype THEN r || '::oid' WHEN 'text'::regtype THEN '''id''' ELSE 'NULL::' || format_type(t, NULL) END, ', ' ORDER BY i)) INTO call
      FROM unnest(f.types) WITH ORDINALITY u (t, i);
      BEGIN
        EXECUTE call;
      EXCEPTION WHEN lock_not_available OR query_canceled THEN
        IF sqlerrm !~ 'could not obtain lock on relation with OID' THEN waited := waited || ' ' || f.signature || ' ' || r::regclass; END IF;
      WHEN internal_error THEN
        waited := waited || ' XX000 ' || call;
      WHEN OTHERS THEN
        NULL;
      END;
    END LOOP;
  END LOOP;
  RAISE NOTICE 'WAITED:%', waited;
END \$\$;
SQL
sub spies
{
	my %as;
	my $log = PostgreSQL::Test::Utils::slurp_file($node->logfile);
	$as{$1}++ while $log =~ /SPY runs as (\w+)/g;
	delete $as{evil};
	return join(' ', sort keys %as);
}
my ($out, $err);
is($node->psql('postgres', $ask, stdout => \$out, stderr => \$err), 0, 'free: a superuser asks about everything') or diag($err);
like($err, qr/WAITED:$/m, 'free: nothing waits');
is(spies(), '', 'free: and nothing of evil\'s runs as the superuser');


{
	my ($in, $lock_out, $h) = ('', '', undef);
	$h = IPC::Run::start([ 'psql', '-XAtq', '-U', 'evil', '-d', $node->connstr('postgres') ], '<', \$in, '>', \$lock_out, IPC::Run::timeout(30));
	$in .= q{BEGIN; SELECT format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', c.oid::regclass) FROM pg_class c WHERE c.relnamespace = 'evil'::regnamespace AND c.relkind IN ('r', 'p') \gexec}
		. "\nDROP INDEX evil.d_0_spy_idx;\nREINDEX TABLE evil.child;\nREINDEX TABLE evil.provenance;\nSELECT 'locked';\n";
	$h->pump until $lock_out =~ /locked/;
	is($node->psql('postgres', $ask, stdout => \$out, stderr => \$err), 0, 'locked: a superuser asks about everything') or diag($err);
	like($err, qr/WAITED:$/m, 'locked: nothing waits');
	is(spies(), '', 'locked: and nothing of evil\'s runs as the superuser');
	is($node->safe_psql('postgres', q{SELECT state FROM smart.protected_table WHERE relation = 'public.good'::regclass}), 'ok', 'locked: what is well stays so');
	$in .= "ROLLBACK;\n\\q\n";
	$h->finish;
}

# Each oddity is in its own row.
is($node->safe_psql('postgres', q{SELECT count(*) FROM smart.protected_table WHERE relation::text LIKE 'evil.d\_%' AND state <> 'ok'}),
	$node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relnamespace = 'evil'::regnamespace AND relname LIKE 'd\_%' AND relkind = 'r'}), 'every dressed table is listed, and is not well');
is($node->safe_psql('postgres', q{SELECT state FROM smart.protected_table WHERE relation = 'evil.d_12'::regclass}) =~ /cannot be read without locks/ ? 1 : 0, 1, 'what cannot be read without locks is said');

# The statements that a superuser is given do no more than make indexes, which run as the table's owner.
for my $settings ('', 'SET standard_conforming_strings = off;')
{
	my $made = '';
	$node->psql('postgres', qq{SET client_min_messages = error; $settings SELECT smart.index_statements(c.oid) FROM pg_class c WHERE c.relnamespace = 'evil'::regnamespace AND c.relkind IN ('r', 'p') \\gexec}, stdout => \$made, stderr => \$err, on_error_stop => 0);
	is($node->safe_psql('postgres', q{SELECT rolsuper FROM pg_roles WHERE rolname = 'evil'}), 'f', "index_statements() \\gexec $settings: no more than indexes");
}
is(spies(), '', 'and they run as evil');
cmp_ok($node->safe_psql('postgres', q{SELECT count(*) FROM pg_class WHERE relname ~ '^d_.*_smart_'}), '>', 3, 'indexes were made');

# protect() of a superuser on a table of evil's looks at keys as evil.
$node->safe_psql('postgres', q{SET ROLE evil; CREATE TABLE evil.keys (id text, resource jsonb, patient evil.checked); INSERT INTO evil.keys VALUES ('1', '{"resourceType": "Observation", "id": "1"}', 'Patient/1');
  CREATE FUNCTION evil.later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE LOG 'SPY runs as %', current_user; RETURN NULL; END $$;
  CREATE TABLE evil.log (x text); CREATE CONSTRAINT TRIGGER later AFTER INSERT ON evil.log DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION evil.later();
  CREATE FUNCTION evil.plant(x text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO evil.log VALUES (x); RETURN x; END $$});
$node->psql('postgres', q{SELECT smart.protect('evil.keys', 'Observation', patients => 'patient')});
$node->psql('postgres', q{SELECT smart.protect('evil.keys', 'Observation', patients => 'evil.plant(patient)')});
is(spies(), '', 'protect() by a superuser runs nothing of evil\'s as the superuser');

$node->stop;
done_testing();
