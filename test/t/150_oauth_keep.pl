# test/t/150_oauth_keep.pl
# What pg_dump takes along of the authorization server and what not; private keys sealed under
# smart_fhir.key_file; neither log nor dump with a secret in it (smart-rules LF-18, RG-7, CE-7, AL-6).
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('oauth_keep');
$node->init;
$node->append_conf('postgresql.conf', "log_statement = 'none'\nsession_preload_libraries = 'smart_fhir'");
$node->start;
my $dir = PostgreSQL::Test::Utils::tempdir;
my $key_file = "$dir/key";

sub write_key
{
  my ($content, $mode) = @_;
  unlink $key_file;
  open(my $out, '>', $key_file) or die $!;
  print $out $content;
  close $out;
  chmod($mode // 0600, $key_file);
}

my $challenge = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM';
my $verifier = 'dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk';
my $request = qq{'{"response_type":"code","client_id":"public","redirect_uri":"https://public.example/cb","state":"s1","aud":"https://fhir.example/fhir",
  "scope":"openid launch/patient patient/*.rs offline_access","code_challenge":"$challenge","code_challenge_method":"S256"}'};
my $approval = q{'{"sub":"alice","fhirUser":"Patient/1","scope":"patient/*.rs offline_access"}'};

# The code of an approval, and what the token endpoint says.
sub code
{
  my ($db) = @_;
  my $location = $node->safe_psql($db, "SELECT smart.approve($request, $approval)->'headers'->>'location'");
  return $location =~ /[?&]code=([^&]+)/ ? $1 : die "no code: $location";
}
sub token
{
  my ($db, $member) = @_;
  my ($status, $out, $err) = $node->psql($db, qq{CALL smart.token('{"client_id":"public",$member}', '{}')});
  return $status == 0 ? $out : $err;
}
sub exchange
{
  my ($db, $code) = @_;
  return token($db, qq{"grant_type":"authorization_code","redirect_uri":"https://public.example/cb","code":"$code","code_verifier":"$verifier"});
}

$node->safe_psql('postgres', 'CREATE DATABASE d; CREATE ROLE reader LOGIN; GRANT pg_read_all_data TO reader');
$node->safe_psql('d', q{
  SET client_min_messages = warning;
  CREATE EXTENSION smart_fhir_oauth CASCADE;
  SELECT smart.configure_server('{"issuer":"https://as.example","fhir_base_urls":["https://fhir.example/fhir"],"public_offline_access":true,"registration":"token"}');
  SELECT smart.register_client('{"client_id":"public","token_endpoint_auth_method":"none","redirect_uris":["https://public.example/cb"],"scope":"openid launch launch/patient patient/*.rs offline_access"}')});

# ---- sealed keys

like($node->safe_psql('d', q{SELECT string_agg(convert_from(private, 'UTF8'), '') FROM smart_internal.oauth_signing_key}), qr/"d":"/, 'without a key file private keys are stored in clear');
write_key('x' x 31);
$node->append_conf('postgresql.conf', "smart_fhir.key_file = '$key_file'");
$node->reload;
$node->poll_query_until('d', "SELECT current_setting('smart_fhir.key_file') <> ''") or die;
my ($status, $out, $err) = $node->psql('d', 'SELECT smart.create_signing_key()');
like($err, qr/smart_fhir.key_file cannot be used/, 'a key file that is too short');
write_key('x' x 48, 0644);
($status, $out, $err) = $node->psql('d', 'SELECT smart.create_signing_key()');
like($err, qr/Others than the server's user may read/, 'a key file that others can read');
write_key('x' x 48);
$node->safe_psql('d', 'SELECT smart.configure_server(smart.server_configuration())');
is($node->safe_psql('d', q{SELECT bool_and(sealed AND position('"d"'::bytea IN private) = 0) FROM smart_internal.oauth_signing_key}), 't', 'configure_server() seals those that are there');
$node->safe_psql('d', "SELECT smart.create_signing_key('EdDSA')");
is($node->safe_psql('d', 'SELECT bool_and(sealed) FROM smart_internal.oauth_signing_key'), 't', 'and new ones are sealed');
my $answer = exchange('d', code('d'));
like($answer, qr/"status": 200/, 'they sign');
$node->psql('d', 'SHOW smart_fhir.key_file', extra_params => [ '-U', 'reader' ]);
is($node->psql('d', 'SHOW smart_fhir.key_file', extra_params => [ '-U', 'reader' ]) != 0, 1, 'the setting is not for everybody to see');
write_key('y' x 48);
# another backend: a private key that is parsed already stays with its own
like(exchange('d', code('d')), qr/sealed under another smart_fhir.key_file/, 'another key file does not open them');
write_key('x' x 48);

# ---- dumps

my ($refresh) = $answer =~ /"refresh_token": "([^"]+)"/;
my $open_code = code('d');
$node->safe_psql('d', q{SELECT smart.configure_server(smart.server_configuration() || '{"device_verification_uri":"https://as.example/device"}');
  SELECT smart.register_client('{"client_id":"tv","token_endpoint_auth_method":"none","scope":"openid","grant_types":["urn:ietf:params:oauth:grant-type:device_code"]}')});
my $device_code = $node->safe_psql('d', q{SELECT smart.device_authorization('{"client_id":"tv","scope":"openid"}', '{}') #>> '{body,device_code}'});
my $handle = $node->safe_psql('d', q{SELECT smart.create_launch('public', '{"patient":"1"}', NULL, 'alice')});
my $registration = $node->safe_psql('d', q{SELECT smart.create_registration_token('1 hour')});
my $receipt = $node->safe_psql('d', qq{SELECT smart.burn('token', '{"client_id":"public","grant_type":"authorization_code"}', '{}')});
my $withdrawn = exchange('d', code('d'));
$node->safe_psql('d', q{SELECT smart.approve('{"response_type":"code"}', '{"denied":true}')});

($status, $out, $err) = (run_log([ 'pg_dump', '-U', 'reader', '-f', "$dir/reader.sql", $node->connstr('d') ], '2>', \my $dump_error), '', '');
like($dump_error, qr/row-level security/, 'a dump by another role ends with an error');
$node->command_ok([ 'pg_dump', '-f', "$dir/d.sql", $node->connstr('d') ], 'a dump by the owner');
my $dump = slurp_file("$dir/d.sql");
unlike($dump, qr/\Q$_->[1]\E/, "the dump has no $_->[0] in clear")
  for [ 'code', $open_code ], [ 'refresh token', $refresh ], [ 'handle', $handle ], [ 'registration token', $registration ], [ 'receipt', $receipt ], [ 'device code', $device_code ];
unlike($dump, qr/"d":"/, 'nor a private key');

$node->safe_psql('postgres', 'CREATE DATABASE r');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('r'), '-f', "$dir/d.sql", '-o', '/dev/null' ], 'and its restore');
my $kept = q{SELECT string_agg(t || ' ' || n, ', ' ORDER BY t) FROM (
  SELECT 'client', count(*) FROM smart_internal.oauth_client UNION ALL SELECT 'configuration', count(*) FROM smart_internal.oauth_configuration UNION ALL
  SELECT 'grant', count(*) FROM smart_internal.oauth_grant UNION ALL SELECT 'key', count(*) FROM smart_internal.oauth_signing_key UNION ALL
  SELECT 'refresh token', count(*) FROM smart_internal.oauth_refresh_token) x (t, n)};
is($node->safe_psql('r', $kept), $node->safe_psql('d', $kept), 'configuration, keys, clients, grants and refresh hashes are kept');
is($node->safe_psql('r', q{SELECT (SELECT count(*) FROM smart_internal.oauth_code) + (SELECT count(*) FROM smart_internal.oauth_launch) + (SELECT count(*) FROM smart_internal.oauth_device_code) + (SELECT count(*) FROM smart_internal.oauth_receipt)
  + (SELECT count(*) FROM smart_internal.oauth_jti) + (SELECT count(*) FROM smart_internal.oauth_registration_token)}), '0', 'what is good once is not');
is($node->safe_psql('r', 'SELECT smart.server_jwks()'), $node->safe_psql('d', 'SELECT smart.server_jwks()'), 'the same keys are published');
like(exchange('r', $open_code), qr/invalid_grant/, 'an open code is worth nothing there');
is($node->safe_psql('r', 'SELECT count(*) FROM smart_internal.oauth_guess'), '4096', 'the counters of user codes are there');
like($node->safe_psql('r', q{SELECT smart.device_request('BCDF-GHJK')}), qr/"status": 404/, 'and count');
like(token('r', qq{"grant_type":"refresh_token","refresh_token":"$refresh"}), qr/"status": 200/, 'a refresh token is');

# ---- a backup is older than what happened since

$node->safe_psql('r', q{SELECT smart.after_restore(now() - interval '1 hour')});
my ($rotated) = token('d', qq{"grant_type":"refresh_token","refresh_token":"$refresh"}) =~ /"refresh_token": "([^"]+)"/;
ok($rotated, 'the other database goes on');
is($node->safe_psql('r', 'SELECT count(*) FROM smart.grants'), '0', 'after_restore() ends what was given or used since');

# ---- withdrawal and restart: ends survive

$node->safe_psql('d', q{SELECT smart.withdraw_grant('alice', 'public')});
$node->command_ok([ 'pg_dump', '-f', "$dir/w.sql", $node->connstr('d') ], 'a dump after the withdrawal');
$node->safe_psql('postgres', 'CREATE DATABASE w');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('w'), '-f', "$dir/w.sql", '-o', '/dev/null' ], 'and its restore');
like(token('w', qq{"grant_type":"refresh_token","refresh_token":"$rotated"}), qr/invalid_grant/, 'what was withdrawn stays so');
is($node->safe_psql('w', 'SELECT count(*) > 0 FROM smart.revocation WHERE grant_id IS NOT NULL'), 't', 'and so do its access tokens');

# ---- the log

$node->safe_psql('d', "SET client_min_messages = warning; SELECT smart.authorize('{\"client_id\":\"no\\u0001body\"}')");
my $log = slurp_file($node->logfile);
unlike($log, qr/\Q$_\E/, 'no secret in the log') for $open_code, $handle, $registration, $device_code;
like($log, qr/authorization request refused: invalid_request/, 'but why a request was refused');
unlike($log, qr/[\x01-\x08]/, 'without control characters');

$node->stop;
done_testing();
