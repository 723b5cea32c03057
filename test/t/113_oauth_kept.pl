# test/t/113_oauth_kept.pl
# A backend keeps what it has read of the configuration, keys and clients, and tokens that it has verified: what
# another session commits counts from the next request on, what a ROLLBACK takes back does not (smart-rules TI-7, LF-13).
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'no PostgreSQL::Test::BackgroundPsql'
  unless eval { require PostgreSQL::Test::BackgroundPsql; 1 };

my $db = 'postgres';
my $node = PostgreSQL::Test::Cluster->new('kept');
$node->init;
$node->append_conf('postgresql.conf', "session_preload_libraries = 'smart_fhir'");
$node->start;
$node->safe_psql($db, 'CREATE EXTENSION smart_fhir');
$node->safe_psql($db, PostgreSQL::Test::Utils::slurp_file("$ENV{TESTDIR}/test/data/oauth/tokens_prelude.sql"));

my $open = $node->background_psql($db, on_error_stop => 0);
sub sql { return $node->safe_psql($db, $_[0]) }
# One request of the backend that stays.
sub kept
{
	my ($endpoint, $request, $headers) = @_;
	$open->query_safe("CALL ot.call('$endpoint', $request, " . ($headers // q{'{}'}) . ')');
	return $open->query_safe('SELECT ot.short()');
}
my $credentials = q{ot.asserted(ot.assertion()) || '{"grant_type": "client_credentials", "scope": "system/Patient.rs"}'};
sub token { return kept('token', $credentials) }
sub access { return $open->query_safe('SELECT ot.access()') }

like(token(), qr/^200/, 'a token');
like(token(), qr/^200/, 'and another one, from what is kept');
my $token = access();
my $introspect = sub {
	kept('introspect', qq{ot.asserted(ot.assertion()) || '{"token": "$token"}'});
	return $open->query_safe(q{SELECT ot.last() #>> '{body,active}'});
};
is($introspect->(), 'true', 'the token is active');
is($introspect->(), 'true', 'and again, from what is kept');

# configuration
my $options = sql('SELECT options FROM smart_internal.oauth_configuration');
sql(qq{SELECT smart.configure_server('$options'::jsonb || '{"access_token_lifetime": 77}')});
token();
is($open->query_safe(q{SELECT ot.last() #>> '{body,expires_in}'}), '77', 'another configuration counts at once');
is($introspect->(), 'true', 'the token is still active');

# a client: its scope, its end, and its return
my $client = 'jwt';
my $scope = sql("SELECT metadata ->> 'scope' FROM smart_internal.oauth_client WHERE client_id = '$client'");
sql(qq{SELECT smart.update_client('$client', '{"scope": "system/Encounter.rs"}')});
is(token(), '400 invalid_scope', 'a narrower client gets no more from the next request on');
sql(qq{SELECT smart.update_client('$client', '{"scope": "$scope"}')});
like(token(), qr/^200/, 'and what it may have again');
sql(qq{SELECT smart.disable_client('$client')});
is(token(), '401 invalid_client', 'a disabled client is refused');
sql(qq{SELECT smart.enable_client('$client')});
like(token(), qr/^200/, 'an enabled one is not');
# plain DML of the owner counts too
sql(qq{INSERT INTO smart_internal.oauth_client_event VALUES ('$client', 'disabled', clock_timestamp(), NULL)});
is(token(), '401 invalid_client', 'as do rows that somebody writes by hand');
sql('TRUNCATE smart_internal.oauth_client_event; DELETE FROM smart.revocation');
like(token(), qr/^200/, 'and a TRUNCATE');

# what is rolled back, here and there
$token = access();
$open->query_safe(qq{BEGIN; SELECT smart.disable_client('$client')});
is($open->query_safe(qq{SELECT smart.redeem('x') ->> 'status', (SELECT count(*) FROM smart.client WHERE client_id = '$client' AND enabled)}), '400|0', 'disabled within a transaction');
$open->query_safe('ROLLBACK');
like(token(), qr/^200/, 'which a ROLLBACK takes back');
$open->query_safe(qq{BEGIN; SAVEPOINT s; SELECT smart.configure_server('$options'::jsonb || '{"access_token_lifetime": 88}');
  SELECT smart.burn('token', $credentials, '{}'); ROLLBACK TO s; COMMIT});
token();
is($open->query_safe(q{SELECT ot.last() #>> '{body,expires_in}'}), '77', 'also a part of one');

# keys
my $kid = sub { my ($head) = split /\./, access(); $head =~ tr{-_}{+/}; require MIME::Base64; return MIME::Base64::decode_base64($head) =~ /"kid":"([^"]+)"/ ? $1 : '' };
my $old = $kid->();
my $new = sql("SELECT smart.create_signing_key('ES256')");
token();
is($kid->(), $new, 'a new key signs from the next request on');
my $by_new = access();
is($introspect->(), 'true', 'the token of the old one is still active');
sql("SELECT smart.drop_signing_key('$old')");
is($introspect->(), 'false', 'and is no more once that key was dropped');
$token = $by_new;
is($introspect->(), 'true', 'that of the new one is');
sql(qq{SELECT smart.revoke_tokens((SELECT options ->> 'issuer' FROM smart_internal.oauth_configuration), client_id => '$client')});
is($introspect->(), 'false', 'until it is revoked');
sql('DELETE FROM smart.revocation');
is($introspect->(), 'true', 'a revocation that is taken back does not last');

# Expired rows go by themselves, a few with a request, also when many ask at once and come across the same ones.
sql(q{INSERT INTO smart_internal.oauth_jti SELECT sha256(int4send(i)), clock_timestamp() - interval '1 day' + i * interval '1 ms' FROM generate_series(1, 1200) i});
my $file = $node->basedir . '/asserted.sql';
open(my $script, '>', $file) or die;
print $script "CALL ot.ask();\n";
close $script;
sql(q{CREATE PROCEDURE ot.ask() LANGUAGE plpgsql AS $$ DECLARE r jsonb; BEGIN CALL smart.introspect(ot.asserted(ot.assertion()) || '{"token": "x"}', '{}', r); END $$});
$node->command_ok([ 'pgbench', '-n', '-c', '16', '-j', '2', '-t', '100', '-f', $file, '-d', $node->connstr($db) ], '1600 requests of 16 connections');
is(sql('SELECT count(*) FROM smart_internal.oauth_jti WHERE expires_at < clock_timestamp()'), '0', 'take 1200 expired jti along');
cmp_ok(sql('SELECT count(*) FROM smart_internal.oauth_jti'), '>=', 1600, 'and none that count');

# more clients than are kept, and the extension made anew
sql(q{SELECT smart.register_client(jsonb_build_object('client_id', 'c' || i, 'token_endpoint_auth_method', 'client_secret_basic', 'redirect_uris', '["https://c.example/cb"]'::jsonb)) IS NOT NULL FROM generate_series(1, 100) i});
is(kept('revoke', qq{jsonb_build_object('client_id', 'c$_', 'client_secret', 'wrong')}), '401 invalid_client', "client $_") for (1, 100);
$open->query_safe(q{DO $$ BEGIN FOR i IN 1..100 LOOP PERFORM smart.authorize(jsonb_build_object('client_id', 'c' || i, 'redirect_uri', 'https://c.example/cb')); END LOOP; END $$});
like(token(), qr/^200/, 'a client that was driven out is read again');
sql('SET client_min_messages = warning; DROP EXTENSION smart_fhir_oauth; CREATE EXTENSION smart_fhir_oauth');
$open->query(q{CALL smart.token('{"grant_type": "client_credentials"}', '{}')});
like($open->{stderr}, qr/not configured/, 'made anew it is not configured');
$open->quit;
done_testing();
