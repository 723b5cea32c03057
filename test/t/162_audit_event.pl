# test/t/162_audit_event.pl
# smart.audit_event(): every record of a running system as FHIR R4 AuditEvents that conform to the profiles of IHE BALP 1.1
# which they claim: required elements, cardinalities, fixed codes. The authorization server's events with them.
use strict;
use warnings;

use FindBin;
use lib $FindBin::Bin;
use AuditLog;
use Balp;
use JSON::PP;
use MIME::Base64 qw(decode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $a = AuditLog->new('audit', q{smart_fhir.audit = 'all'});
my $node = $a->node;
my $super = $node->safe_psql('d', 'SELECT current_user');
my $json = JSON::PP->new->canonical->ascii;
$node->safe_psql('d', q{
	CREATE FUNCTION about(id text, patient text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
	  SELECT jsonb_build_object('resourceType', 'Observation', 'id', id, 'status', 'final', 'subject', jsonb_build_object('reference', 'Patient/' || patient)) $$;
	CREATE TABLE obs (id text PRIMARY KEY, resource jsonb NOT NULL);
	INSERT INTO obs SELECT i, about(i::text, 'p' || i % 5) FROM generate_series(1, 20) i;
	CREATE TABLE org (id text PRIMARY KEY, resource jsonb NOT NULL);
	INSERT INTO org VALUES ('o', '{"resourceType": "Organization", "id": "o"}');
	SET client_min_messages = warning;
	SELECT smart.protect('obs', 'Observation'), smart.protect('org', 'Organization');
	GRANT SELECT, INSERT, UPDATE, DELETE ON obs, org TO app;
	CREATE EXTENSION smart_fhir_oauth});
my %token = (patient => $a->token(fhirUser => 'Patient/p1', encounter => 'e1'), user => $a->token(scope => 'user/*.cruds', fhirUser => 'Practitioner/dr', patient => undef),
	system => $a->token(scope => 'system/*.rs', sub => 'c1', patient => undef), expired => $a->token(exp => 1700000001));

# events(RECORD...): AuditEvents, decoded
sub events
{
	my (@records) = @_;
	return map { my $r = $json->encode($_); map { $json->decode($_) } split /\n/, $node->safe_psql('d', "SELECT smart.audit_event(\$r\$$r\$r\$)") } @records;
}
my @all;
# profiles(SQL): the profile of each event that comes of it, with what is wrong
sub profiles
{
	my ($sql, %options) = @_;
	$a->sql($sql, %options);
	my @events = events($a->records);
	push @all, @events;
	return join ' ', map { my ($profile, @problems) = Balp::check($_); ($profile =~ s/^IHE\.(BasicAudit\.)?//r) . (@problems ? '(' . join(', ', @problems) . ')' : '') } @events;
}
sub logged_in { my ($who, $sql) = @_; return "BEGIN; SELECT smart.login('$token{$who}'); $sql; COMMIT" }
$a->text;

my $login = 'OAUTHaccessTokenUse.Minimal';
is(profiles(logged_in('patient', 'TABLE obs')), "$login PatientQuery", 'a patient reads');
is(profiles(logged_in('patient', "SELECT smart.set_interaction('read'); SELECT * FROM obs WHERE id = '1'")), "$login PatientRead", 'one record: a read');
is(profiles(logged_in('patient', "SELECT smart.set_interaction('vread'); SELECT * FROM obs WHERE id = '1'")), "$login PatientRead", 'a vread');
is(profiles(logged_in('patient', "SELECT smart.set_interaction('search'); SELECT * FROM obs WHERE id = '1'")), "$login PatientQuery", 'a search for one is a query');
is(profiles(logged_in('patient', "INSERT INTO obs VALUES ('n', about('n', 'p1')); UPDATE obs SET resource = resource WHERE id = 'n'; SELECT smart.set_interaction('patch'); UPDATE obs SET resource = resource WHERE id = 'n'; SELECT smart.set_interaction('delete'); DELETE FROM obs WHERE id = 'n'")),
	"$login PatientCreate PatientUpdate PatientUpdate PatientDelete", 'writes');
is(profiles(logged_in('user', "SELECT * FROM obs WHERE id IN ('1', '2', '3'); SELECT id FROM org; DELETE FROM obs WHERE id = '19'")), "$login PatientQuery PatientQuery PatientQuery Query PatientDelete", 'a clinician: one event a patient; without one');
is(profiles(logged_in('system', 'TABLE org')), "$login Query", 'a service');
is(profiles('TABLE org; TABLE obs; INSERT INTO org VALUES (1, \'{"resourceType": "Organization", "id": "1"}\'); DELETE FROM org WHERE id = \'1\'', user => $super), 'Query' . ' PatientQuery' x 5 . ' Create Delete', 'a superuser, by role');
is(profiles("SELECT smart.login('x'); SELECT smart.login('$token{expired}'); " . logged_in('patient', 'SELECT smart.logout()')), "- - $login -", 'refusals claim no profile, a logout none');
is(profiles(logged_in('patient', "DELETE FROM obs WHERE id = '1'; ROLLBACK") . '; ' . logged_in('patient', "INSERT INTO obs VALUES ('z', about('z', 'p2'))")),
	"$login PatientDelete - $login -", 'what is undone, what is denied');
my ($denied) = grep { $_->{outcome} eq '4' && $_->{type}{code} eq 'rest' } @all;
is("$denied->{action} $denied->{outcomeDesc}", 'C insufficient_scope 42501', 'which says why');
$a->sql("SET smart_fhir.audit_identities = clear; BEGIN; SELECT smart.login('$token{user}'); SELECT * FROM obs WHERE id = '1'", user => $super);
my @clear = events($a->records);
is($clear[1]{agent}[2]{who}{reference}, 'Practitioner/dr', 'a user in clear is a reference');
my ($query) = grep { ($_->{role}{code} // '') eq '24' } @{ $clear[1]{entity} };
like(decode_base64($query->{query}), qr/^\{"query_id": -?\d+, "relations": \[\{.*"name": "public.obs"/, 'entity.query is what is known of the statement');

# ---- the authorization server: mint, grant, launch, register, revoke, withdraw, refusals
my $key = $a->token;    # warms nothing; a text that looks like a token is masked
$node->safe_psql('d', q{SELECT smart.configure_server('{"issuer": "https://auth.example", "fhir_base_urls": ["https://fhir.example"], "user_sees_all": true}')});
$a->text;
my $made = $node->safe_psql('d', q{SELECT smart.register_client('{"client_id": "web", "token_endpoint_auth_method": "client_secret_post", "redirect_uris": ["https://app.test/cb"], "scope": "openid fhirUser launch launch/patient offline_access patient/*.rs"}')});
my ($secret) = $made =~ /"client_secret": "([^"]+)"/;
$node->safe_psql('d', q{SELECT smart.create_launch('web', '{"patient": "p1"}', sub => 'bob')});
my $request = q{'{"response_type": "code", "client_id": "web", "redirect_uri": "https://app.test/cb", "scope": "openid fhirUser launch/patient patient/*.rs offline_access", "state": "s",
	"aud": "https://fhir.example", "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256"}'};
my ($code) = $node->safe_psql('d', qq{SELECT smart.approve($request, '{"sub": "bob", "fhirUser": "Practitioner/7", "patient": "p1", "scope": "openid fhirUser patient/*.rs offline_access"}')}) =~ /code=(smart_[A-Za-z0-9_-]+)/;
my $form = qq{"client_id": "web", "client_secret": "$secret"};
my $exchange = qq{'{"grant_type": "authorization_code", "code": "$code", "redirect_uri": "https://app.test/cb", "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", $form}'};
my $answer = $node->safe_psql('d', qq{CALL smart.token($exchange, '{}')});
my ($access) = $answer =~ /"access_token": "([^"]+)"/;
my ($refresh) = $answer =~ /"refresh_token": "([^"]+)"/;
ok($access && $refresh, 'a token was given') or diag $answer;
$node->safe_psql('d', qq{CALL smart.token('{"grant_type": "refresh_token", "refresh_token": "$refresh", $form}', '{}')});
$node->safe_psql('d', qq{CALL smart.token('{"grant_type": "refresh_token", "refresh_token": "smart_nonsense", $form}', '{}')});
$node->safe_psql('d', qq{CALL smart.revoke('{"token": "$access", $form}', '{}')});
$node->safe_psql('d', q{SELECT smart.withdraw_grant('bob', 'web')});
$node->safe_psql('d', q{BEGIN; SELECT smart.create_launch('web', '{"patient": "p1"}', sub => 'bob'); ROLLBACK});
my @lines = $a->lines;
my @records = map { $json->decode($_) } grep { !/"event":"end"/ } @lines;
is(join(' ', map { $_->{event} } @records), 'register launch grant mint mint refused revoke revoke withdraw launch undone', 'each is recorded; what is rolled back is undone');
is(join(' ', map { $_->{client_id} } @records[ 0 .. 5 ]), 'web web web web web web', 'for which client');
is(join(' ', map { $records[3]{$_} } qw(issuer grant_type scope subject)), 'https://auth.example authorization_code openid fhirUser launch/patient patient/*.rs offline_access ' . $a->hash('subject', 'bob'), 'who was given which token');
my ($jti) = $node->safe_psql('d', "SELECT smart.jwt_payload('$access')->>'jti'");
is($records[3]{jti}, $a->hash('jti', $jti), 'by its jti');
is($records[5]{rule}, 'invalid_grant', 'why one was refused');
is(scalar(grep { index($_, $secret) >= 0 || index($_, $code) >= 0 || index($_, $refresh) >= 0 || index($_, $access) >= 0 } @lines), 0, 'no secret is in a record');
my @events = events(@records);
push @all, @events;
is(join(' ', map { my ($p, @problems) = Balp::check($_); $p . (@problems ? "(@problems)" : '') } @events), '- - - IHE.IUA.71 IHE.IUA.71 - - - - - -', 'a token that is given: IHE.IUA.71');
is(decode_base64($events[3]{entity}[0]{query}), 'grant_type=authorization_code&scope=openid fhirUser launch/patient patient/*.rs offline_access', 'with grant type and scope, and no secret');

# ---- all at once; and what is no record
my @wrong = grep { my ($profile, @problems) = Balp::check($_); @problems } @all;
is(scalar @wrong, 0, 'all ' . scalar(@all) . ' events are as FHIR and their profiles want them') or diag $json->encode($wrong[0]);
my %ids;
$ids{ $_->{id} }++ for @all;
is(scalar(grep { $ids{$_} > 1 } keys %ids), 0, 'each has an id of its own');
is($node->safe_psql('d', "SELECT count(*) FROM unnest(ARRAY['{}', '[]', '1', 'null', '{\"event\": 1}', '{\"event\": \"end\"}', '{\"event\": \"other\"}']::jsonb[]) r, smart.audit_event(r)"), 0, 'nothing comes of what is no record');
is($node->safe_psql('d', q{SELECT count(*) FROM unnest(ARRAY['read', 'create', 'denied', 'login', 'mint', 'refused', 'undone']) e,
	unnest(ARRAY['{}', '{"patients": 1}', '{"relations": {}}', '{"relations": [1, null, "x", {}]}', '{"patients": [null, 1]}', '{"seq": "x", "session": []}', '{"new_member": [[]]}']::jsonb[]) m, smart.audit_event(m || jsonb_build_object('event', e)) a WHERE a->>'resourceType' = 'AuditEvent'}) >= 49, 1,
	'members of other types, or unknown, are no errors');
like($a->sql("SELECT smart.audit_event('{}')"), qr/permission denied/, 'nobody has it by default');
$node->stop;
done_testing();
