# test/t/001_install.pl
# The extension as an object of the database: who may create it, what it leaves behind, what a
# dump carries.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('install');
$node->init;
$node->start;

sub is_sql
{
  my ($db, $sql, $expected, $name) = @_;
  is($node->safe_psql($db, $sql), $expected, $name);
}

# Not for ordinary users, nor for the owner of a database: it is not trusted.
$node->safe_psql('postgres', 'CREATE ROLE app LOGIN; CREATE DATABASE owned OWNER app');
my ($status, $stdout, $stderr) =
  $node->psql('owned', 'CREATE EXTENSION smart_fhir', extra_params => [ '-U', 'app' ]);
isnt($status, 0, 'an ordinary user may not create the extension');
like($stderr, qr/permission denied to create extension "smart_fhir"/, 'and is told so');
is_sql('owned', q{SELECT count(*) FROM pg_catalog.pg_namespace WHERE nspname = 'smart'},
  '0', 'and no schema is left');

# Everything is in schemas smart and smart_internal, which the extension makes and owns; it cannot move.
my $snapshot = q{
  SELECT pg_catalog.string_agg(what, E'\n' ORDER BY what COLLATE "C") FROM (
    SELECT 'class ' || oid::regclass FROM pg_catalog.pg_class
      WHERE relnamespace NOT IN ('pg_catalog'::regnamespace, 'pg_toast'::regnamespace,
                                 'information_schema'::regnamespace)
    UNION ALL SELECT 'proc ' || oid::regprocedure FROM pg_catalog.pg_proc WHERE oid >= 16384
    UNION ALL SELECT 'type ' || oid::regtype FROM pg_catalog.pg_type WHERE oid >= 16384
    UNION ALL SELECT 'operator ' || oid::regoperator FROM pg_catalog.pg_operator WHERE oid >= 16384
    UNION ALL SELECT 'cast ' || castsource::regtype || ' ' || casttarget::regtype
      FROM pg_catalog.pg_cast WHERE oid >= 16384
    UNION ALL SELECT 'opclass ' || opcname FROM pg_catalog.pg_opclass WHERE oid >= 16384
    UNION ALL SELECT 'opfamily ' || opfname FROM pg_catalog.pg_opfamily WHERE oid >= 16384
    UNION ALL SELECT 'schema ' || nspname FROM pg_catalog.pg_namespace WHERE oid >= 16384
    UNION ALL SELECT 'event trigger ' || evtname FROM pg_catalog.pg_event_trigger
    UNION ALL SELECT 'default acl ' || oid FROM pg_catalog.pg_default_acl
    UNION ALL SELECT 'role ' || rolname FROM pg_catalog.pg_roles WHERE oid >= 16384
    UNION ALL SELECT 'setting ' || pg_catalog.array_to_string(setconfig, ',')
      FROM pg_catalog.pg_db_role_setting
  ) s(what)
};
$node->safe_psql('postgres', 'CREATE DATABASE clean');
my $before = $node->safe_psql('clean', $snapshot);
$node->safe_psql('clean', 'CREATE EXTENSION smart_fhir');
is_sql('clean',
  q{SELECT n.nspname, e.extrelocatable, e.extversion FROM pg_catalog.pg_extension e
    JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'smart_fhir'},
  'smart|f|0.1.0', 'it lives in schema smart, not relocatable');
is_sql('clean', q{
  SELECT pg_catalog.count(*) FROM pg_catalog.pg_depend d
  CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, d.objsubid) o
  WHERE d.refclassid = 'pg_catalog.pg_extension'::regclass AND d.deptype = 'e'
    AND d.refobjid = (SELECT oid FROM pg_catalog.pg_extension WHERE extname = 'smart_fhir')
    AND o.type IN ('function', 'procedure', 'table', 'view', 'type', 'operator', 'sequence')
    AND o.schema NOT IN ('smart', 'smart_internal')},
  '0', 'every object is in schema smart or smart_internal');
($status, $stdout, $stderr) = $node->psql('clean', 'ALTER EXTENSION smart_fhir SET SCHEMA public');
isnt($status, 0, 'the schema cannot be changed');
($status, $stdout, $stderr) = $node->psql('postgres', 'CREATE EXTENSION smart_fhir SCHEMA public');
isnt($status, 0, 'nor chosen');

# Schema smart holds what doc/reference.md documents for users, and the other way round; the functions of
# the type smart_scope are documented as its operators.
my $reference = PostgreSQL::Test::Utils::slurp_file("$ENV{TESTDIR}/doc/reference.md");
my @in_smart = split /\n/, $node->safe_psql('clean', q{
  SELECT DISTINCT p.proname FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'smart'::regnamespace AND p.proname !~ '^smart_scope_'
  UNION SELECT c.relname FROM pg_catalog.pg_class c WHERE c.relnamespace = 'smart'::regnamespace AND c.relkind IN ('r', 'v')
  ORDER BY 1});
is(join(' ', grep { $reference !~ /\bsmart\.\Q$_\E\b|`\Q$_\E\(\)/ } @in_smart), '', 'what is in schema smart is in the reference');
my %in_smart = map { $_ => 1 } @in_smart;
my %documented = map { $_ => 1 } $reference =~ /\bsmart\.(\w+)\(/g;
is(join(' ', grep { !$in_smart{$_} } sort keys %documented), '', 'and what the reference calls is there');
cmp_ok(scalar(@in_smart), '<=', 60, 'which is a list that a person can read');

# Every function says what it is for.
is_sql('clean', q{
  SELECT pg_catalog.string_agg(p.oid::regprocedure::text, ', ' ORDER BY p.oid)
  FROM pg_catalog.pg_proc p
  WHERE p.pronamespace IN ('smart'::regnamespace, 'smart_internal'::regnamespace)
    AND pg_catalog.obj_description(p.oid, 'pg_proc') IS NULL},
  '', 'every function has a comment');

# Gone without a trace, but for the empty schema: PostgreSQL never makes the schema that a control
# file names a member of the extension. It can come back in the same session.
$node->safe_psql('clean', 'DROP EXTENSION smart_fhir; DROP SCHEMA smart RESTRICT');
is($node->safe_psql('clean', $snapshot), $before, 'DROP EXTENSION leaves nothing but an empty schema');
$node->safe_psql('clean',
  'CREATE EXTENSION smart_fhir; DROP EXTENSION smart_fhir; CREATE EXTENSION smart_fhir');
pass('created, dropped and created again in one session');

# A dump carries the rows of smart.issuer, plain and custom format, and nothing twice.
SKIP:
{
  skip 'no smart.issuer in this build', 5
    if $node->safe_psql('clean', q{SELECT pg_catalog.to_regclass('smart.issuer') IS NULL}) eq 't';

  # the public key of RFC 7517 A.1
  my $jwks = '{"keys":[{"kty":"EC","crv":"P-256","kid":"1","use":"sig","alg":"ES256",'
    . '"x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",'
    . '"y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}';
  $node->safe_psql('clean', qq{
    SELECT smart.add_issuer('https://one.example', '$jwks', ARRAY['https://fhir.example/r4'],
      leeway => '30 s', levels => ARRAY['patient']);
    SELECT smart.add_issuer('https://two.example', '$jwks', ARRAY['https://fhir.example/r4'])});
  my $rows = q{SELECT i::text FROM smart.issuer i ORDER BY issuer};
  my $kept = $node->safe_psql('clean', $rows);
  is(scalar(my @lines = split /\n/, $kept), 2, 'two issuers are registered');

  my $dir = PostgreSQL::Test::Utils::tempdir;
  $node->command_ok([ 'pg_dump', '-d', $node->connstr('clean'), '-f', "$dir/plain.sql" ], 'plain dump');
  $node->command_ok([ 'pg_dump', '-Fc', '-d', $node->connstr('clean'), '-f', "$dir/custom" ], 'custom dump');
  $node->safe_psql('postgres', 'CREATE DATABASE plain; CREATE DATABASE custom');
  $node->safe_psql('plain', PostgreSQL::Test::Utils::slurp_file("$dir/plain.sql"));
  is_sql('plain', $rows, $kept, 'the issuers come back from a plain dump');
  system_or_bail('pg_restore', '-d', $node->connstr('custom'), "$dir/custom");
  is_sql('custom', $rows, $kept, 'and from a custom one');
}

$node->stop;
done_testing();
