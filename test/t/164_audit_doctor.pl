# test/t/164_audit_doctor.pl
# What smart.doctor() says of the audit trail: audit_key_missing, audit_weakened, audit_lost, each planted, found, remedied, gone. And that
# on a sound set-up it finds none of them, and no session records less whatever is planted.
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use AuditLog;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $a = AuditLog->new('audit', 'smart_fhir.audit = writes');
my $node = $a->node;
my $token = $a->token;
my $asked = q{SELECT string_agg(concat_ws(' ', severity, code, object), E'\n' ORDER BY code, object) FROM smart.doctor() WHERE code LIKE 'audit%'};
sub found { return $node->safe_psql('d', $asked) }
sub remedies { return split /\n/, $node->safe_psql('d', q{SELECT remedy FROM smart.doctor() WHERE code LIKE 'audit%' ORDER BY code, object}) }
is(found(), '', 'nothing on a sound set-up');

# planted(SQL, EXPECTED): found, and gone when the remedies have been run as they stand
sub planted
{
	my ($sql, $expected, $name) = @_;
	$node->safe_psql('d', $sql);
	is(found(), $expected, "$name: found");
	$node->safe_psql('d', $_) for remedies();
	is(found(), '', "$name: gone");
	return;
}
planted('ALTER ROLE app SET smart_fhir.audit = off', 'warning audit_weakened app', 'a role');
planted('ALTER DATABASE d SET smart_fhir.audit = logins', 'warning audit_weakened d', 'a database, less than the file');
planted('ALTER ROLE app IN DATABASE d SET smart_fhir.audit = logins', 'warning audit_weakened app', 'a role in a database');
planted(q{CREATE FUNCTION "quiet one"(x int) RETURNS int LANGUAGE sql SET smart_fhir.audit = off AS 'SELECT 1'}, 'warning audit_weakened public."quiet one"(pg_catalog.int4)', 'a function');
planted(q{CREATE PROCEDURE quiet() LANGUAGE sql SET smart_fhir.audit = 'logins' AS ''}, 'warning audit_weakened public.quiet()', 'a procedure');
planted(q{ALTER ROLE app SET smart_fhir.audit = 'all'}, '', 'more than the file');
planted('ALTER DATABASE d SET log_min_messages = fatal', "warning audit_lost d\nwarning audit_lost log_min_messages", 'log_min_messages of the database');
planted('ALTER ROLE app SET log_min_messages = panic', 'warning audit_lost app', 'of a role');
planted(q{CREATE FUNCTION mute() RETURNS int LANGUAGE sql SET log_min_messages = fatal AS 'SELECT 1'}, 'warning audit_lost public.mute()', 'of a function');
planted('ALTER DATABASE d SET log_min_messages = log', '', 'at LOG');

# whatever is planted, a session records no less than the file says
$node->safe_psql('d', 'ALTER ROLE app SET smart_fhir.audit = off; ALTER DATABASE d SET smart_fhir.audit = off');
$a->text;
$a->sql("BEGIN; SELECT smart.login('$token')");
is(scalar $a->records('login'), 1, 'what is weakened on paper is recorded all the same');
$node->safe_psql('d', 'ALTER ROLE app RESET smart_fhir.audit; ALTER DATABASE d RESET smart_fhir.audit');

# the key: in postgresql.conf, as the remedy says
$node->append_conf('postgresql.conf', "smart_fhir.key_file = ''");
$node->reload;
$node->poll_query_until('d', "SELECT current_setting('smart_fhir.key_file') = ''");
is(found(), 'warning audit_key_missing smart_fhir.key_file', 'no key: found');
like((remedies())[0], qr/^Set smart_fhir\.key_file in postgresql\.conf .* and reload\.$/, 'with a sentence');
$node->append_conf('postgresql.conf', "smart_fhir.audit_identities = clear");
$node->reload;
$node->poll_query_until('d', "SELECT current_setting('smart_fhir.audit_identities') = 'clear'");
is(found(), '', 'not where identities are clear');
$node->append_conf('postgresql.conf', "smart_fhir.audit_identities = hashed\nsmart_fhir.key_file = '$a->{key}'");
$node->reload;
$node->poll_query_until('d', "SELECT current_setting('smart_fhir.key_file') <> ''");
is(found(), '', 'gone');
# off everywhere: nothing to say, though somebody sets it off
$node->append_conf('postgresql.conf', "smart_fhir.audit = off\nsmart_fhir.key_file = ''");
$node->reload;
$node->poll_query_until('d', "SELECT current_setting('smart_fhir.audit') = 'off'");
is(found(), '', 'off is no finding');
$node->safe_psql('d', 'ALTER ROLE app SET smart_fhir.audit = logins');
is(found(), 'warning audit_key_missing smart_fhir.key_file', 'a role that is audited wants the key too');
$node->stop;
done_testing();
