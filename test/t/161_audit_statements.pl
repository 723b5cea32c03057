# test/t/161_audit_statements.pl
# The audit trail of statements: one record for each of the client's, with the tables that it and all inside it touched and how many
# rows; what failed, what was undone; whatever way rows are read or changed.
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use AuditLog;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $a = AuditLog->new('audit', q{smart_fhir.audit = 'all'});
my $node = $a->node;
my $super = $node->safe_psql('d', 'SELECT current_user');
$node->safe_psql('d', q{
	CREATE FUNCTION about(type text, id text, patient text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
	  SELECT jsonb_build_object('resourceType', type, 'id', id, 'status', 'final', 'subject', jsonb_build_object('reference', 'Patient/' || patient)) $$;
	CREATE TABLE obs (id text PRIMARY KEY, resource jsonb NOT NULL);
	CREATE TABLE cond (id text PRIMARY KEY, year int DEFAULT 1, resource jsonb NOT NULL);
	CREATE TABLE parted (id text, year int, resource jsonb NOT NULL) PARTITION BY LIST (year);
	CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
	CREATE TABLE parted_2 PARTITION OF parted FOR VALUES IN (2);
	CREATE TABLE plain (id text);
	CREATE TABLE gone (id text, resource jsonb NOT NULL);
	INSERT INTO plain VALUES ('a');
	INSERT INTO obs SELECT i, about('Observation', i::text, 'p' || i % 5) FROM generate_series(1, 100) i;
	INSERT INTO cond SELECT i, 1, about('Condition', i::text, 'p' || i % 5) FROM generate_series(1, 50) i;
	INSERT INTO parted SELECT i, i % 2 + 1, about('Condition', i::text, 'p' || i % 5) FROM generate_series(1, 50) i;
	SET client_min_messages = warning;
	SELECT smart.protect('obs', 'Observation'), smart.protect('cond', 'Condition'), smart.protect('parted', 'Condition'), smart.protect('gone', 'Condition');
	GRANT SELECT, INSERT, UPDATE, DELETE ON obs, cond, parted, plain TO app;
	ANALYZE});
my $token = $a->token;
my $write_only = $a->token(scope => 'patient/*.r');
my $login = "SELECT smart.login('$token', false);";
$a->text;

# did(): event, statement's relations as name:action:rows, sqlstate
sub did
{
	return join "\n", map {
		my $r = $_;
		join ' ', $r->{event}, ($r->{relations} ? join ',', map { ($_->{name} =~ s/^public\.//r) . ":$_->{action}:" . ($_->{rows} // '?') . ($_->{undone} ? ':undone' : '') } @{ $r->{relations} } : ()),
		  grep { defined } $r->{sqlstate}, $r->{rule}, ($r->{statements} ? '[' . join(',', @{ $r->{statements} }) . ']' : ()), ($r->{gid})
	} grep { $_->{event} !~ /^(login|end)$/ } $a->records;
}
sub is_did
{
	my ($sql, $expected, $name, %options) = @_;
	$a->sql(($options{user} ? '' : $login) . $sql, %options);
	is(did(), join("\n", ref $expected ? @$expected : $expected), $name);
	return;
}

# ---- reads: rows that left the scans after policies and conditions
is_did('SELECT count(*) FROM obs', 'read obs:read:20', 'a read');
is_did("SELECT * FROM obs WHERE id IN ('1', '2', '6')", 'read obs:read:2', 'with conditions: what the policies left');
is_did("SELECT * FROM obs WHERE id = '2'", 'read obs:read:0', 'of nothing is one as well');
is_did('SELECT count(*) FROM obs a, obs b', 'read obs:read:40', 'a table twice');
is_did('SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off; SET enable_memoize = off; SELECT count(*) FROM (VALUES (1), (2), (3)) v (x), LATERAL (SELECT * FROM obs WHERE v.x > 0 OFFSET 0) o',
	'read obs:read:60', 'over loops');
is_did('SELECT count(*) FROM parted', 'read parted:read:10', 'partitions count as the table that was named');
is_did('SELECT id FROM plain', '', 'other tables are nobody\'s business');
is_did('EXPLAIN SELECT * FROM obs', '', 'EXPLAIN reads nothing');
is_did('EXPLAIN ANALYZE SELECT * FROM obs', 'read obs:read:20', 'EXPLAIN ANALYZE does');
is_did('CREATE TEMP TABLE t AS SELECT * FROM obs', 'read obs:read:20', 'CREATE TABLE AS');
is_did('COPY obs TO stdout', 'read obs:read:20', 'COPY TO');
is_did('COPY (SELECT * FROM obs LIMIT 7) TO stdout', 'read obs:read:7', 'COPY of a query: what it asked for');
is_did('PREPARE p AS SELECT * FROM obs; EXECUTE p; EXECUTE p', [ ('read obs:read:20') x 2 ], 'prepared statements');
is_did('TABLE obs; TABLE cond; SELECT 1', [ 'read obs:read:20', 'read cond:read:10' ], 'statements in a row');

# ---- cursors: when the portal closes, with what was fetched
is_did('BEGIN; DECLARE c CURSOR FOR SELECT * FROM obs; FETCH 3 FROM c; FETCH 4 FROM c; CLOSE c; COMMIT', 'read obs:read:7', 'a cursor that was closed');
is_did('BEGIN; DECLARE c CURSOR FOR SELECT * FROM obs; FETCH 3 FROM c; COMMIT', 'read obs:read:3', 'one that COMMIT closes');
is_did('BEGIN; DECLARE c CURSOR FOR SELECT * FROM obs; FETCH 3 FROM c; ROLLBACK', 'read obs:read:3', 'one that ROLLBACK closes');
is_did('BEGIN; DECLARE c CURSOR FOR SELECT * FROM obs; FETCH 3 FROM c; SELECT 1/0', 'read obs:read:3', 'one that an error closes');
is_did('BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT * FROM obs; FETCH 3 FROM c; COMMIT; FETCH 5 FROM c; CLOSE c', 'read obs:read:23', 'WITH HOLD: at COMMIT, all of it, read from the start again');
is_did('BEGIN; SAVEPOINT s; DECLARE c CURSOR FOR SELECT * FROM obs; FETCH 3 FROM c; ROLLBACK TO s; COMMIT', 'read obs:read:3', 'one of a savepoint that was rolled back');
is_did("DO \$\$ DECLARE r record; n int := 0; BEGIN FOR r IN SELECT * FROM obs LOOP n := n + 1; EXIT WHEN n = 12; END LOOP; END \$\$", 'read obs:read:12', 'a loop in PL/pgSQL: what its cursor fetched');
{
	# a portal of the protocol that is asked for some rows
	my $driver = "BEGIN; $login\n\\set FETCH_COUNT 5\nSELECT * FROM obs;\nCOMMIT;";
	is_did($driver, 'read obs:read:20', 'FETCH_COUNT');
}

# ---- writes: rows that were changed
my $new = "about('Observation', 'n', 'p1')";
is_did("INSERT INTO obs VALUES ('n', $new)", 'create obs:create:1', 'INSERT');
is_did("UPDATE obs SET resource = resource || '{\"x\": 1}' WHERE id IN ('1', '6', '2')", 'update obs:update:2', 'UPDATE');
is_did("DELETE FROM obs WHERE id IN ('n', '2')", 'delete obs:delete:1', 'DELETE');
is_did("UPDATE obs SET resource = resource WHERE id IN (SELECT id FROM cond) RETURNING id", 'update obs:update:10,cond:read:10', 'UPDATE with a subselect and RETURNING');
is_did("INSERT INTO obs SELECT 'c' || id, about('Observation', 'c' || id, 'p1') FROM cond", 'create obs:create:10,cond:read:10', 'INSERT SELECT');
is_did("DELETE FROM obs WHERE id LIKE 'c%'; UPDATE parted SET year = 3 - year WHERE id IN ('1', '6')", [ 'delete obs:delete:10', 'update parted:update:2' ], 'rows that change their partition');
is_did("INSERT INTO obs VALUES ('1', about('Observation', '1', 'p1')), ('n', $new) ON CONFLICT (id) DO UPDATE SET resource = excluded.resource",
	'create obs:update:1,obs:create:1', 'ON CONFLICT DO UPDATE');
is_did("WITH d AS (DELETE FROM obs WHERE id = 'n' RETURNING id), u AS (UPDATE cond SET year = 2 WHERE id IN ('1', '6')) SELECT * FROM d", 'delete obs:delete:1,cond:update:2', 'WITH queries that write');
is_did("WITH i AS (INSERT INTO obs VALUES ('1', $new), ('n', $new) ON CONFLICT (id) DO NOTHING) SELECT 1", 'create obs:create:1', 'and one that met a conflict');
is_did("MERGE INTO obs USING (VALUES ('1'), ('6'), ('n'), ('m')) v (id) ON obs.id = v.id WHEN MATCHED AND v.id = 'n' THEN DELETE WHEN MATCHED THEN UPDATE SET resource = obs.resource
	WHEN NOT MATCHED THEN INSERT VALUES (v.id, about('Observation', v.id, 'p1'))", 'delete obs:create:1,obs:update:2,obs:delete:1', 'MERGE');
is_did("DELETE FROM obs WHERE id = 'm'", 'delete obs:delete:1', 'and away with it');
is_did("COPY obs FROM stdin;\nn\t{}\n\\.\n", 'create obs:create:? 0A000', 'COPY FROM under policies is an error of PostgreSQL\'s');
is_did("COPY obs FROM stdin;\nn\t{\"resourceType\": \"Observation\", \"id\": \"n\", \"subject\": {\"reference\": \"Patient/p2\"}}\n\\.\n", 'create obs:create:1', 'and of rows for who has none', user => $super);
is_did("DELETE FROM obs WHERE id = 'n'; TRUNCATE gone", [ 'delete obs:delete:1', 'delete gone:delete:?' ], 'TRUNCATE by who is bound by no policy', user => $super);
is_did('TRUNCATE gone', 'denied gone:delete:? 42501', 'and by who is');

# ---- one record for the statement, whatever runs inside it
$node->safe_psql('d', q{
	CREATE FUNCTION reads() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN PERFORM * FROM cond; RETURN (SELECT count(*) FROM obs); END $$;
	CREATE FUNCTION reads_sql() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM cond; SELECT count(*) FROM obs';
	CREATE FUNCTION also() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE cond SET year = year WHERE id = '1'; RETURN NULL; END $$;
	CREATE TRIGGER also AFTER INSERT ON plain FOR EACH ROW EXECUTE FUNCTION also();
	CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM FROM cond; RETURN NULL; END $$;
	CREATE PROCEDURE steps() LANGUAGE plpgsql AS $$ BEGIN UPDATE cond SET year = 4 WHERE id = '1'; COMMIT; UPDATE cond SET year = 5 WHERE id = '1'; ROLLBACK; PERFORM FROM cond; END $$});
is_did('SELECT reads(), reads_sql()', 'read cond:read:20,obs:read:40', 'functions');
is_did("INSERT INTO plain VALUES ('x'), ('y')", 'update cond:update:2', 'triggers');
is_did("DO \$\$ BEGIN PERFORM reads(); DELETE FROM obs WHERE id = '1'; INSERT INTO obs VALUES ('1', about('Observation', '1', 'p1')); END \$\$", 'delete cond:read:10,obs:read:20,obs:delete:1,obs:create:1', 'DO');
is_did('CALL steps()', [ 'update cond:update:1', 'update cond:update:1', 'undone [2]', 'read cond:read:10' ], 'a procedure that ends transactions: one for each');
is_did("DO \$\$ BEGIN FOR i IN 1..1000 LOOP BEGIN UPDATE cond SET year = i WHERE id = '1'; EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END \$\$", 'update cond:update:1000', 'a thousand savepoints');

# ---- what fails
is_did("INSERT INTO obs VALUES ('1', $new)", 'create obs:create:? 23505', 'an error while writing');
is_did("INSERT INTO obs VALUES ('z', about('Observation', 'z', 'p2'))", 'denied obs:create:? 42501 insufficient_scope', 'another\'s record: denied');
is_did("SELECT smart.require('Observation', 'd')", '', 'what is allowed');
$node->safe_psql('d', 'REVOKE SELECT ON cond FROM app');
is_did('SELECT * FROM cond', 'denied cond:read:? 42501', 'without a GRANT: denied');
is_did("DO \$\$ BEGIN PERFORM FROM cond; EXCEPTION WHEN insufficient_privilege THEN NULL; END \$\$", 'denied cond:read:? 42501', 'so it is when the error was caught');
$node->safe_psql('d', 'GRANT SELECT ON cond TO app');
is_did("DO \$\$ BEGIN FOR i IN 1..3 LOOP BEGIN INSERT INTO obs VALUES ('z', about('Observation', 'z', 'p2')); EXCEPTION WHEN insufficient_privilege THEN PERFORM FROM cond; END; END LOOP; END \$\$",
	[ 'read cond:read:30', 'denied obs:create:? 42501 insufficient_scope' ], 'and the statement went on');
is_did("DO \$\$ BEGIN DELETE FROM cond WHERE id = '1'; BEGIN UPDATE obs SET resource = resource; INSERT INTO obs VALUES ('1', $new); EXCEPTION WHEN unique_violation THEN NULL; END; END \$\$; ",
	'delete cond:delete:1,obs:update:20:undone,obs:create:0:undone', 'what an exception block undid');
$a->sql("SELECT smart.login('" . $a->token(scope => 'patient/Observation.rs') . "', false); SELECT smart.require('Observation', 'd'); DELETE FROM obs WHERE id = '1'");
is(did(), "denied  42501 insufficient_scope\ndelete obs:delete:0", 'require() that refuses');
{
	my ($out, $err) = ('', '');
	$a->sql("SELECT smart.login('" . $a->token(exp => 1700000002, iat => 1700000001) . "', false); TABLE obs");
	is(did(), "refused 28000 token_expired\nread obs:read:0", 'nobody reads: nothing');
}

# ---- transactions and savepoints that are undone
is_did("BEGIN; UPDATE cond SET year = 7 WHERE id = '6'; SELECT count(*) FROM obs; ROLLBACK", [ 'update cond:update:1', 'read obs:read:20', 'undone [2]' ], 'ROLLBACK');
is_did("BEGIN; UPDATE cond SET year = 7 WHERE id = '6'; SAVEPOINT a; DELETE FROM obs; SAVEPOINT b; DELETE FROM cond; RELEASE b; ROLLBACK TO a; UPDATE cond SET year = 8; COMMIT",
	[ 'update cond:update:1', 'delete obs:delete:20', 'delete cond:delete:9', 'undone [3,4]', 'update cond:update:9' ], 'a savepoint and those in it');
is_did("BEGIN; DELETE FROM obs; INSERT INTO cond VALUES ('6', 1, about('Condition', '6', 'p1')); ROLLBACK", [ 'delete obs:delete:20', 'create cond:create:? 23505', 'undone [2]' ], 'a statement that fails is never named');
$a->sql("$login BEGIN; DELETE FROM obs WHERE id = '6'; PREPARE TRANSACTION 'two'");
my ($prepared) = grep { $_->{event} eq 'delete' } $a->records;
$node->safe_psql('d', "ROLLBACK PREPARED 'two'");
my ($undone) = $a->records('undone');
is("$undone->{gid} $undone->{xid}", "two $prepared->{xid}", 'ROLLBACK PREPARED by another session: gid and xid');
$a->sql("$login BEGIN; DELETE FROM obs WHERE id = '6'; PREPARE TRANSACTION 'two'; COMMIT PREPARED 'two'");
is(did(), 'delete obs:delete:1', 'COMMIT PREPARED undoes nothing');
$node->safe_psql('d', q{INSERT INTO obs VALUES ('6', about('Observation', '6', 'p1')); CREATE CONSTRAINT TRIGGER later AFTER UPDATE ON cond DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION later()});
$a->text;
is_did("BEGIN; UPDATE cond SET year = 9 WHERE id = '6'; COMMIT", [ 'update cond:update:1', 'read cond:read:9' ], 'a deferred trigger is a statement of its own');
$node->safe_psql('d', 'DROP TRIGGER later ON cond');
$a->text;

# ---- cancel, terminate, lost connections
is_did("SET statement_timeout = '100ms'; SELECT pg_sleep(10) FROM (SELECT * FROM obs OFFSET 0) o", 'read obs:read:1 57014', 'cancelled');
{
	$a->sql($login . "BEGIN; DECLARE c CURSOR FOR SELECT * FROM obs; FETCH 4 FROM c; DELETE FROM cond WHERE id = '6'; SELECT pg_terminate_backend(pg_backend_pid()) FROM cond");
	my @records = $a->records;
	my @did = sort grep { !/^(login|end)/ } map { my $r = $_; join ' ', $r->{event}, map({ "$_->{name}:$_->{rows}" } @{ $r->{relations} // [] }), $r->{sqlstate} // () } @records;
	is(join("\n", @did), join("\n", 'delete public.cond:1', 'read public.cond:1 57P01', 'read public.obs:4', 'undone'), 'terminated in the middle: what was read, and what is undone');
	is($records[-1]{event}, 'end', 'and the end comes last');
	is($records[-1]{last}, scalar @records, 'with the number');
}

# ---- parallel plans, many clients, pg_dump
is_did('SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SELECT count(*) FROM obs', 'read obs:read:20', 'workers\' rows are the statement\'s');
is_did('SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SELECT count(*) FROM obs', 'read obs:read:100', 'of a superuser too', user => $super);
{
	my $dir = PostgreSQL::Test::Utils::tempdir;
	PostgreSQL::Test::Utils::append_to_file("$dir/mix.sql", "BEGIN;\nSELECT smart.login(:token);\nSELECT count(*) FROM obs;\nUPDATE cond SET year = :client_id WHERE id = '11';\nCOMMIT;\n");
	local $ENV{PGUSER} = 'app';
	IPC::Run::run([ 'pgbench', '-n', '-M', 'prepared', '-c', 8, '-t', 25, '-D', "token=$token", '-f', "$dir/mix.sql", '-h', $node->host, '-p', $node->port, 'd' ], '>', \my $o, '2>', \my $e);
	like($o, qr/200\/200/, 'pgbench ran') or diag $e;
	my @records = $a->records;
	my %events;
	$events{ $_->{event} }++ for @records;
	is("$events{login} $events{read} $events{update} $events{end}", '200 200 200 8', 'eight clients: every statement of each');
	my %seq;
	push @{ $seq{ $_->{session} } }, $_->{seq} for @records;
	is(join(' ', map { join(',', @$_) eq join(',', 1 .. @$_) ? 'whole' : 'gap' } values %seq), join(' ', ('whole') x 8), 'without a gap');
}
$node->command_ok([ 'pg_dump', '-d', $node->connstr('d'), '-f', '/dev/null' ], 'pg_dump');
my @dumped = $a->records('read');
is(join(' ', sort map { map { "$_->{name}:$_->{rows}" } @{ $_->{relations} } } @dumped), 'public.cond:49 public.gone:0 public.obs:100 public.parted_1:25 public.parted_2:25',
	'pg_dump of a superuser is in it, each table');
is(join(' ', sort map { $_->{role} . ($_->{subject} // '-') } @dumped), join(' ', ("$super-") x 5), 'by whom; nobody was logged in');

# ---- patients: the session's at patient level, else those of the rows that were read or inserted
my %whose = map { $a->hash('patient', $_) => $_ } map { "p$_" } 0 .. 120;
sub patients
{
	my ($sql, %options) = @_;
	$a->sql($sql, %options);
	return join "\n", map { my $r = $_; join ' ', $r->{event}, sort(map { $whose{$_} // '?' } @{ $r->{patients} // [] }), $r->{patients_more} ? '...' : () } grep { $_->{event} !~ /^(login|end)$/ } $a->records;
}
$node->safe_psql('d', q{
	CREATE TABLE keyed (id text PRIMARY KEY, patient_id text, resource jsonb NOT NULL);
	INSERT INTO keyed SELECT i, 'p' || i % 3, about('Observation', i::text, 'p' || i % 3) FROM generate_series(1, 9) i;
	CREATE INDEX keyed_patient ON keyed (patient_id);
	CREATE TABLE twofold (id text PRIMARY KEY, patients text[], resource jsonb NOT NULL);
	INSERT INTO twofold SELECT i, ARRAY['p' || i, 'p' || i + 1], about('Observation', i::text, 'p' || i) FROM generate_series(1, 3) i;
	CREATE TABLE wide (id text PRIMARY KEY, resource jsonb NOT NULL);
	INSERT INTO wide SELECT i, about('Observation', i::text, 'p' || i) FROM generate_series(1, 120) i;
	SET client_min_messages = warning;
	SELECT smart.protect('keyed', 'Observation', patients => 'patient_id'), smart.protect('twofold', 'Observation', patients => 'patients'), smart.protect('wide', 'Observation');
	GRANT SELECT, INSERT, UPDATE, DELETE ON keyed, twofold, wide TO app;
	VACUUM ANALYZE keyed; VACUUM ANALYZE obs});
$a->text;
is(patients("$login TABLE wide"), 'read p1', 'at patient level: the session\'s');
my $user = "SELECT smart.login('" . $a->token(scope => 'user/*.cruds', fhirUser => 'Practitioner/dr', patient => undef) . "', false);";
is(patients("$user SELECT * FROM obs WHERE id IN ('1', '2', '6'); SELECT id FROM keyed; TABLE twofold; TABLE wide"),
	"read p1 p2\nread p0 p1 p2\nread p1 p2 p3 p4\nread " . join(' ', sort map { "p$_" } 1 .. 100) . ' ...', 'a clinician: those of the rows, of each row all, at most a hundred');
is(patients("$user SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT patient_id FROM keyed WHERE patient_id = 'p2'; SELECT count(*) FROM keyed WHERE patient_id > 'p1'"), "read p2\nread p2", 'index scans, of the index alone too');
is(patients("$user INSERT INTO keyed VALUES ('n', 'p7', about('Observation', 'n', 'p7')); INSERT INTO obs SELECT 'n' || id, about('Observation', 'n' || id, 'p9') FROM keyed WHERE id IN ('1'); UPDATE keyed SET resource = resource WHERE id = '1'; DELETE FROM obs WHERE id IN ('n1', '3')"),
	"create p7\ncreate p1 p9\nupdate p1\ndelete p3 p9", 'writes: of the rows that are inserted, changed, deleted');
is(patients("SELECT id FROM twofold; COPY keyed TO stdout; COPY wide TO stdout; COPY keyed FROM stdin;\nx\tp1\t{}\n\\.\n", user => $super),
	"read p1 p2 p3 p4\nread p0 p1 p2 p7\nread " . join(' ', sort map { "p$_" } 1 .. 100) . " ...\ncreate ...", 'who has no session, COPY too');
is(patients("SET smart_fhir.audit_patients = off; TABLE twofold; SET smart_fhir.audit_identities = clear; SET smart_fhir.audit_patients = on; SELECT 1", user => $super), 'read', 'unless smart_fhir.audit_patients is off');
$a->sql("SET max_parallel_workers_per_gather = 2; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SELECT count(*) FROM wide", user => $super);
my ($parallel) = $a->records('read');
ok($parallel->{patients_more}, 'workers tell nobody of patients: it is said that there are more');
# policies that somebody made of his own functions are evaluated for nobody who has more rights
$node->safe_psql('d', q{CREATE ROLE other LOGIN; CREATE SCHEMA other AUTHORIZATION other; SET ROLE other;
	CREATE FUNCTION other.evil(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN IF current_user <> 'other' THEN RAISE EXCEPTION 'evil runs as %', current_user; END IF; RETURN $1; END $$;
	CREATE TABLE other.trap (id text, resource jsonb, patient text);
	INSERT INTO other.trap VALUES ('1', about('Observation', '1', 'p1'), 'p1');
	SET client_min_messages = warning;
	SELECT smart.protect('other.trap', 'Observation', patients => 'other.evil(patient)', index => false)});
$a->text;
is(patients('TABLE other.trap; COPY other.trap TO stdout', user => $super), "read ...\nread ...", 'a superuser runs nobody else\'s functions by it');

# ---- no literal of a statement, no content of a row
my $secret = 'Zanzibar4711';
$a->sql("$login SELECT * FROM obs WHERE resource ->> 'note' = '$secret'; INSERT INTO obs VALUES ('$secret', about('Observation', '$secret', 'p1')); UPDATE obs SET resource = resource WHERE id = '$secret'; DELETE FROM obs WHERE id = '$secret'");
my @lines = $a->lines;
cmp_ok(scalar @lines, '>=', 5, 'literals were used');
is(scalar(grep { /$secret/i } @lines), 0, 'and are in no record');

# ---- bounds: many tables, long names: no record beyond 16 KiB, nothing left out
$node->safe_psql('d', 'SET client_min_messages = warning; ' . join '', map { my $t = 'x' x 55 . $_; "CREATE TABLE $t (id text, resource jsonb); SELECT smart.protect('$t', 'Observation', index => false); GRANT SELECT ON $t TO app;" } 1 .. 200);
$a->text;
$a->sql($login . 'SELECT 1 WHERE ' . join ' OR ', map { 'EXISTS (SELECT FROM ' . 'x' x 55 . "$_)" } 1 .. 200);
@lines = grep { /"event":"read"/ } $a->lines;
my %named = map { $_->{name} => 1 } map { @{ JSON::PP->new->decode($_)->{relations} } } @lines;
is(scalar keys %named, 200, 'two hundred tables in one statement, all named');
is(scalar(grep { length > 16384 } @lines), 0, 'in records of at most 16 KiB');
is(scalar(grep { $a->verify($_) ne 't' } @lines), 0, 'that verify');

# ---- at level writes: writes and denials, no reads
$node->append_conf('postgresql.conf', 'smart_fhir.audit = writes');
$node->reload;
$node->poll_query_until('d', "SELECT current_setting('smart_fhir.audit') = 'writes'");
$a->text;
is_did("TABLE obs; UPDATE obs SET resource = resource WHERE id IN (SELECT id FROM cond); INSERT INTO obs VALUES ('z', about('Observation', 'z', 'p2')); COPY obs TO stdout",
	[ 'update obs:update:9', 'denied obs:create:? 42501 insufficient_scope' ], 'writes');
$node->stop;
done_testing();
