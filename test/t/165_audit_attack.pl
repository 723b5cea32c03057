# test/t/165_audit_attack.pl
# The audit trail under attack: a role with CONNECT and TEMP alone, and the holder of each duty of the authorization server, read no
# record, forge none that verify_audit() takes, suppress none, and make none larger than 16 KiB.
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use AuditLog;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $a = AuditLog->new('audit', q{smart_fhir.audit = 'all'});
my $node = $a->node;
$node->safe_psql('d', q{
	CREATE EXTENSION smart_fhir_oauth;
	SELECT smart.configure_server('{"issuer": "https://auth.example", "fhir_base_urls": ["https://fhir.example"]}');
	CREATE ROLE protocol LOGIN; CREATE ROLE people LOGIN; CREATE ROLE administration LOGIN;
	SELECT smart.grant_oauth('protocol', 'protocol'), smart.grant_oauth('people', 'people'), smart.grant_oauth('administration', 'administration');
	CREATE FUNCTION about(id text, patient text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
	  SELECT jsonb_build_object('resourceType', 'Observation', 'id', id, 'status', 'final', 'subject', jsonb_build_object('reference', 'Patient/' || patient)) $$;
	CREATE TABLE obs (id text PRIMARY KEY, resource jsonb NOT NULL);
	INSERT INTO obs SELECT i, about(i::text, 'p' || i % 5) FROM generate_series(1, 100) i;
	SET client_min_messages = warning;
	SELECT smart.protect('obs', 'Observation');
	GRANT SELECT, INSERT, UPDATE, DELETE ON obs TO app});
my $token = $a->token;
my $login = "SELECT smart.login('$token', false);";
my @attackers = qw(app protocol people administration);
$a->text;
sub events { return join ' ', map { $_->{event} } grep { $_->{event} ne 'end' } @_ }

# ---- read none
for my $role (@attackers)
{
	for my $sql ("SELECT pg_read_file('postgresql.conf')", "SELECT pg_current_logfile()", "SELECT * FROM pg_ls_logdir()", "SELECT smart.verify_audit('x')", "SELECT smart.audit_hash('patient', 'p1')",
		"SELECT smart.audit_event('{}')", 'SHOW smart_fhir.key_file', "COPY (SELECT 1) TO '/tmp/x'", "SELECT smart_internal.oauth_tell('launch', 'c', NULL, NULL, NULL, NULL, NULL)")
	{
		like($a->sql($sql, user => $role), qr/permission denied|must be superuser|must have privileges|superuser or a role with privileges/, "$role: " . substr($sql, 0, 40));
	}
	unlike($a->sql("SET client_min_messages = debug5; SET debug_print_plan = on; $login SELECT count(*) FROM obs", user => $role) , qr/smart_fhir audit/, "$role: nor as a message");
}
$a->text;

# ---- forge none
my $super = $node->safe_psql('d', 'SELECT current_user');
$a->sql("$login SELECT count(*) FROM obs");
my @real = $a->lines;
my $real = $real[0] =~ s/'/''/gr;
for my $role (@attackers)
{
	$a->sql(qq{SET application_name = 'x LOG:  smart_fhir audit: \{"a":1,'; DO \$\$ BEGIN RAISE LOG '%', 'smart_fhir audit: $real'; RAISE LOG '%', E'\\nLOG:  smart_fhir audit: $real'; RAISE LOG '%', E'\\r\\nLOG:  smart_fhir audit: $real'; END \$\$;
		DO \$\$ BEGIN RAISE WARNING USING MESSAGE = 'smart_fhir audit: $real', DETAIL = 'smart_fhir audit: $real', HINT = 'smart_fhir audit: $real', COLUMN = 'smart_fhir audit: x'; END \$\$;
		SELECT 'smart_fhir audit: $real'::int; PREPARE "smart_fhir audit: " AS SELECT \$1::int; EXECUTE "smart_fhir audit: "('smart_fhir audit: $real');
		SELECT * FROM "smart_fhir audit: {}"; SET "smart_fhir audit: {}" = 1; NOTIFY "smart_fhir audit: {}"}, user => $role);
}
my $text = $a->text;
my @found = $text =~ /LOG:  smart_fhir audit: (\{(?:(?!  ).)*\})$/mg;
is(scalar(grep { $a->verify($_) eq 't' && !/"event":"(end|denied)"/ } @found), 0, 'no record of theirs verifies');
is(scalar(grep { index($text, $real[0]) >= 0 && /^\Q$real[0]\E$/ } @found), 0, 'nor is one of ours repeated');

# ---- suppress none: settings, roles, functions, what is caught, what is cancelled, what is many
my @ways = (
	['SET', "SET smart_fhir.audit = off;"], ['set_config()', "SELECT set_config('smart_fhir.audit', 'off', false), set_config('smart_fhir.audit_patients', 'off', false);"],
	['ALTER ROLE', 'ALTER ROLE app SET smart_fhir.audit = off; ALTER ROLE app SET log_min_messages = panic; ALTER USER app SET smart_fhir.key_file = \'/dev/null\';'],
	['RESET', 'RESET smart_fhir.audit; RESET ALL; DISCARD ALL;'], ['log_min_messages', "SET log_min_messages = panic; SET client_min_messages = panic; SET log_min_error_statement = panic;"],
	['LOAD', "LOAD 'smart_fhir';"], ['DISCARD', 'DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES;'], ['lc_messages', "SET lc_messages = 'C'; SET log_error_verbosity = terse;"],
	['a temporary namesake', 'CREATE TEMP TABLE pg_class (x int); CREATE TEMP TABLE pg_policy (x int); SET search_path = pg_temp, public, pg_catalog;'],
	['encoding', "SET client_encoding = 'SQL_ASCII';"], ['read only', 'SET default_transaction_read_only = on; SET default_transaction_isolation = serializable;']);
for my $way (@ways)
{
	$a->sql("$way->[1] $login SELECT count(*) FROM public.obs");
	my @events = map { $_->{event} } $a->records('login', 'read');
	is("@events", 'login read', "not by $way->[0]");
}
$a->sql(qq{CREATE FUNCTION pg_temp.quiet() RETURNS bigint LANGUAGE plpgsql SET smart_fhir.audit = off AS \$\$ BEGIN RETURN (SELECT count(*) FROM obs); END \$\$; $login SELECT pg_temp.quiet();
	CREATE FUNCTION pg_temp.quiet2() RETURNS bigint LANGUAGE plpgsql AS \$\$ DECLARE n bigint; BEGIN SELECT count(*) INTO n FROM obs; RAISE EXCEPTION 'x'; EXCEPTION WHEN OTHERS THEN RETURN n; END \$\$; SELECT pg_temp.quiet2();
	DO \$\$ BEGIN PERFORM FROM obs; PERFORM 1/0; END \$\$; SELECT 1/(id::int - 11) FROM obs;
	BEGIN; DECLARE c CURSOR FOR SELECT * FROM obs; FETCH ALL FROM c; ROLLBACK;
	BEGIN; SELECT count(*) FROM obs; SET LOCAL statement_timeout = 1; SELECT pg_sleep(1); ROLLBACK;});
is(events($a->records), 'login read read read read read', 'a function of his own, an error that is caught or not, a ROLLBACK: each is there');
# a function in a parallel worker, which records nothing: such a query is planned without workers
{
	my $name = $node->safe_psql('d', q{SELECT name FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query')});
	$a->sql(qq{SET $name = on; SET max_parallel_workers_per_gather = 2; CREATE FUNCTION pg_temp.hide() RETURNS bigint LANGUAGE plpgsql PARALLEL SAFE STABLE AS \$\$ BEGIN RETURN (SELECT count(*) FROM public.obs); END \$\$;
		CREATE FUNCTION pg_temp.hide_sql() RETURNS bigint LANGUAGE sql PARALLEL SAFE STABLE AS 'SELECT pg_temp.hide()';
		CREATE AGGREGATE pg_temp.hide_all(int) (SFUNC = int4pl, STYPE = int, PARALLEL = SAFE);
		$login SELECT pg_temp.hide(); SELECT pg_temp.hide_sql(); SELECT 1 WHERE EXISTS (SELECT WHERE pg_temp.hide() > 0); SELECT count(*) FROM generate_series(1, 2) WHERE pg_temp.hide() > 0});
	is(events($a->records), 'login read read read read', 'not by a function in a parallel worker');
}
# the connection ends in the middle
{
	my $n = () = $a->sql("$login BEGIN; DECLARE c CURSOR FOR SELECT * FROM obs; FETCH 5 FROM c; SELECT pg_terminate_backend(pg_backend_pid())");
	is(events($a->records), 'login read', 'nor by ending the session');
}
# savepoints by the thousand, statements by the thousand, thousands of names in one
$a->sql("$login BEGIN; " . join('', map { "SAVEPOINT s; UPDATE obs SET resource = resource WHERE id = '1'; " } 1 .. 300) . ' ROLLBACK');
my @records = $a->records;
is(scalar(grep { $_->{event} eq 'update' } @records), 300, 'three hundred savepoints in each other, each write is there');
my %undone = map { $_ => 1 } map { @{ $_->{statements} } } grep { $_->{event} eq 'undone' } @records;
is(scalar keys %undone, 300, 'and each is undone');
$a->sql("$login DO \$\$ BEGIN FOR i IN 1..3000 LOOP BEGIN UPDATE obs SET resource = resource WHERE id = '1'; IF i % 2 = 0 THEN RAISE EXCEPTION 'x'; END IF; EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END \$\$");
my ($many) = $a->records('update');
is(join(' ', map { ($_->{undone} ? 'undone ' : '') . $_->{rows} } @{ $many->{relations} }), '1500 undone 1500', 'three thousand in one statement');
# what a token, or the session, says at length
my $long = $a->token(sub => 'x' x 9000, client_id => "\x{263A}" x 3000, jti => 'j' x 6000, scope => join(' ', map { "patient/Observation.rs?code=http://loinc.org|$_" } 1 .. 250), fhirUser => 'Practitioner/' . 'y' x 60, encounter => 'e' x 64);
$a->sql("SET application_name = '" . 'a' x 500 . "'; BEGIN; SELECT smart.login('$long'); SELECT count(*) FROM obs; /* " . 'z' x 100000 . " */ SELECT count(*) FROM obs WHERE id = '" . 'q' x 20000 . "'; COMMIT");
my @lines = $a->lines;
is(scalar(grep { length > 16384 } @lines), 0, 'no record is longer than 16 KiB');
is(scalar(grep { $a->verify($_) ne 't' } @lines), 0, 'each verifies');
is(events(map { JSON::PP->new->decode($_) } @lines), 'login read read', 'and each is there');

# ---- nothing of what a table's owner wrote into its policies runs with the rights of who reads: a policy may name any function of ours
$node->safe_psql('d', q{
	CREATE ROLE evil LOGIN; CREATE SCHEMA ev AUTHORIZATION evil; CREATE TABLE victim (id text PRIMARY KEY, resource jsonb);
	SET ROLE evil; CREATE TABLE ev.v (id text, p text, r jsonb);
	INSERT INTO ev.v VALUES ('1', 'x', '{"resourceType": "Observation", "id": "1"}');
	SET client_min_messages = warning;
	SELECT smart.protect('ev.v', 'Observation', resource => 'r', patients => 'p', index => false)});
for my $expr ('smart.jwt_sign(r, r)', 'smart.audit_hash(id, p)',
	q{smart.protect('public.victim'::regclass, 'Observation', 'resource', NULL, NULL, 'id', NULL, NULL, 'R4', NULL, NULL, false, false, NULL, NULL)})
{
	my $made = $a->sql(qq{SET ROLE evil; DROP POLICY IF EXISTS smart_select ON ev.v;
		CREATE POLICY smart_select ON ev.v FOR SELECT USING (smart_internal.row_policy('SELECT', ($expr)::text, r, 'Observation', id,
		'{"key":"one","shared":false,"patients":true,"revision":1,"compartment":"subject","fhir_version":"R4","patients_form":"id"}'::jsonb))}, user => $super);
	$a->text;
	is($a->sql('SELECT count(*) FROM ev.v', user => $super) =~ s/\s+$//r, '1', "a superuser reads, and does not run " . substr($expr, 0, 20));
	is($node->safe_psql('d', "SELECT relrowsecurity FROM pg_class WHERE relname = 'victim'"), 'f', 'and nothing was done by it');
}
$node->safe_psql('d', 'DROP OWNED BY evil; DROP ROLE evil; DROP TABLE victim');

# ---- an owner who puts row-level security off is recorded; and what is only looked at by ALTER SYSTEM is no floor
$a->text;
$a->sql('BEGIN; ALTER TABLE obs DISABLE ROW LEVEL SECURITY; SELECT count(*) FROM obs; DELETE FROM obs; ROLLBACK', user => $super);
is(events(map { JSON::PP->new->decode($_) } $a->lines), 'read delete undone', 'without row-level security, as with it');
like($a->sql("ALTER SYSTEM SET smart_fhir.audit = 'off'; ALTER SYSTEM RESET smart_fhir.audit; SET smart_fhir.audit = 'off'; SHOW smart_fhir.audit", user => $super), qr/below the configuration file/, 'no value below the file\'s');

# ---- an index-only scan leaves nothing behind
unlike($a->sql("SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT id FROM obs WHERE id = '7'", user => $super), qr/leak/, 'an index-only scan warns of nothing');
$a->text;

# ---- other sessions go on: nothing that one writes makes another one wait
my $others = $node->safe_psql('d', q{SELECT count(*) FROM pg_locks WHERE NOT granted});
is($others, 0, 'nobody waits for anybody');

# ---- where the database has another encoding
for my $encoding (qw(LATIN1 SQL_ASCII EUC_JP))
{
	$node->safe_psql('postgres', "CREATE DATABASE enc TEMPLATE template0 ENCODING '$encoding' LC_COLLATE 'C' LC_CTYPE 'C'");
	$node->safe_psql('enc', 'CREATE EXTENSION smart_fhir');
	my $value = $encoding eq 'LATIN1' ? "\xe9t\xe9" : $encoding eq 'EUC_JP' ? "\xa4\xe2" : "\xff\xfe\xe9";
	$node->safe_psql('enc', qq{SET client_encoding = 'SQL_ASCII'; SET smart_fhir.audit_identities = clear;
		SELECT smart.add_issuer('https://as.example', '{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}', '{https://fhir.example}');
		CREATE TABLE "t$value" (id text, resource jsonb); SET client_min_messages = warning; SELECT smart.protect('"t$value"', 'Observation', index => false); TABLE "t$value"});
	@lines = grep { /"event":"read"/ } $a->lines;
	is(scalar @lines, 1, "$encoding: a record");
	like($lines[0], qr/^[ -~]+$/, "$encoding: in ASCII");
	ok(eval { JSON::PP->new->decode($lines[0]) }, "$encoding: and JSON");
	is($a->verify($lines[0]), 't', "$encoding: that verifies");
	$node->safe_psql('postgres', 'DROP DATABASE enc');
}
$node->stop;
done_testing();
