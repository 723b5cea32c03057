# test/t/050_forgery.pl
# Roads to a forged session that need a new connection, a role's or a database's settings, the
# server's files: each is refused or dropped.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('forgery');
$node->init;
$node->append_conf('postgresql.conf', "log_statement = 'none'");
$node->start;

my $setting = 'smart_fhir.session';
my $key = '{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",'
  . '"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}';
$node->safe_psql('postgres', qq{
  CREATE ROLE app LOGIN; CREATE ROLE own LOGIN; CREATE DATABASE d OWNER own});
$node->safe_psql('d', qq{
  CREATE EXTENSION smart_fhir;
  SELECT smart.add_issuer('https://as.example', ('$key'::jsonb) - 'd', '{https://fhir.example}', max_token_age => '40000 days');
  CREATE TABLE observation (id text PRIMARY KEY, resource jsonb NOT NULL);
  INSERT INTO observation SELECT 'o' || i, jsonb_build_object('resourceType', 'Observation', 'id', 'o' || i,
    'subject', jsonb_build_object('reference', 'Patient/' || i % 2)) FROM generate_series(1, 6) i;
  GRANT SELECT ON observation TO app});
$node->safe_psql('d', q{SET client_min_messages = warning; SELECT smart.protect('observation', 'Observation')});

my $login = qq{SELECT smart.login(smart.jwt_sign('{"iss":"https://as.example","sub":"u","client_id":"c","aud":"https://fhir.example",
  "jti":"j","iat":1700000000,"exp":4102444800,"scope":"patient/*.rs","patient":"1"}', '$key'), false);};
my $who = q{SELECT coalesce(smart.patient(), 'nobody') || ' ' || (SELECT count(*) FROM observation)};

# What a session of the given role, with the given PGOPTIONS, is and sees.
sub seen
{
  my ($role, $options, $sql) = @_;
  local $ENV{PGOPTIONS} = $options // '';
  my ($status, $stdout, $stderr) = $node->psql('d', ($sql // '') . $who, on_error_stop => 0, extra_params => [ '-U', $role ]);
  return ($stdout, $stderr);
}

my ($out, $err) = seen('app', '', $login);
is($out, "\n1 3", 'a login works');
($out, $err) = seen('app');
is($out, 'nobody 0', 'and the next connection has no part of it');

# A real value of the setting, as a superuser with a debugger could have it: for replay.
my $value = 'x' x 40;

# PGOPTIONS: before the library is loaded the setting is a placeholder that anybody may set; it is dropped at load.
($out, $err) = seen('app', "-c $setting=$value");
is($out, 'nobody 0', 'PGOPTIONS');
like($err, qr/permission denied|cannot be set|invalid/, 'with a warning');
($out, $err) = seen('postgres', "-c $setting=$value");
like($out, qr/^nobody /, 'PGOPTIONS of a superuser');

# A placeholder that SET made before the library is loaded.
($out, $err) = seen('app', '', "SET $setting = '$value';");
is($out, 'nobody 0', 'a placeholder set before the library is loaded');
($out, $err) = seen('app', '', "SELECT set_config('$setting', '$value', false);");
like($out, qr/nobody 0$/, 'the same by set_config()');
($out, $err) = seen('app', '', "BEGIN; SET LOCAL $setting = '$value'; SELECT smart.patient(); ROLLBACK;");
like($out, qr/nobody 0$/, 'and one that a rollback takes away again');
($out, $err) = seen('app', '', "SET smart_fhir.shared_types = 'Observation'; SET smart_fhir.compartment = full; SELECT smart.patient(); SHOW smart_fhir.shared_types;");
unlike($out, qr/Observation/, 'placeholders of the other settings are dropped as well');

# A role's and a database's settings, made by their owners while the library is not loaded.
for my $by ('app', 'own', 'postgres')
{
  $node->psql('d', "ALTER ROLE app SET $setting = '$value'", extra_params => [ '-U', $by ]);
  $node->psql('d', "ALTER DATABASE d SET $setting = '$value'", extra_params => [ '-U', $by ]);
  $node->psql('d', "ALTER ROLE app IN DATABASE d SET smart_fhir.shared_types = 'Observation'", extra_params => [ '-U', $by ]);
  ($out, $err) = seen('app');
  is($out, 'nobody 0', "ALTER ROLE and ALTER DATABASE SET by $by");
  if ($by ne 'postgres')
  {
    ($out) = seen('app', '', 'SELECT smart.patient(); SHOW smart_fhir.shared_types;');
    unlike($out, qr/Observation/, "nor does $by share a type");
  }
}
$node->safe_psql('postgres', "ALTER ROLE app RESET ALL; ALTER DATABASE d RESET ALL; ALTER ROLE app IN DATABASE d RESET ALL");

# A function whose SET clause names the setting, made while the library was not loaded.
$node->safe_psql('d', "CREATE FUNCTION clause() RETURNS text LANGUAGE plpgsql SET $setting = '$value' AS \$\$ BEGIN RETURN smart.patient(); END \$\$");
for my $first ('', 'SELECT smart.patient();')
{
  my ($status, $stdout, $stderr) = $node->psql('d', $first . q{SELECT coalesce(clause(), 'nobody')}, extra_params => [ '-U', 'app' ]);
  ok($status != 0 || $stdout =~ /nobody/, 'SET clause of a function' . ($first ? ', library loaded' : ''));
}

# GRANT SET ON PARAMETER and a superuser's definer function.
$node->safe_psql('d', "GRANT SET ON PARAMETER $setting TO app; GRANT ALTER SYSTEM ON PARAMETER $setting TO app;
  CREATE FUNCTION setter(value text) RETURNS text LANGUAGE sql SECURITY DEFINER AS \$\$ SELECT set_config('$setting', value, false) \$\$");
($out, $err) = seen('app', '', "SELECT setter('$value');");
like($out, qr/nobody 0$/, 'definer function before the library is loaded');
($out, $err) = seen('app', '', "SELECT smart.patient(); SELECT setter('$value');");
like($out, qr/nobody 0$/, 'definer function');
like($err, qr/cannot be set/, 'is refused');
($out, $err) = seen('app', '', "SELECT smart.patient(); SET $setting = '$value';");
like($out, qr/nobody 0$/, 'GRANT SET ON PARAMETER');
like($err, qr/cannot be set/, 'is refused');
($out, $err) = seen('app', "-c $setting=$value");
is($out, 'nobody 0', 'PGOPTIONS with GRANT SET ON PARAMETER');

# ALTER SYSTEM, and the configuration file: library loaded later, by the session, or by the server at its start.
my ($status, $stdout, $stderr) = $node->psql('d', "SELECT smart.patient(); ALTER SYSTEM SET $setting = '$value'");
isnt($status, 0, 'ALTER SYSTEM');
$node->psql('postgres', "ALTER SYSTEM SET $setting = '$value'");
$node->append_conf('postgresql.conf', "$setting = '$value'");
$node->reload;
($out, $err) = seen('app');
is($out, 'nobody 0', 'a line in postgresql.conf');
$node->append_conf('postgresql.conf', q{session_preload_libraries = 'smart_fhir'});
$node->restart;
($out, $err) = seen('app');
is($out, 'nobody 0', 'and the library in session_preload_libraries');
($out, $err) = seen('app', '', $login);
is($out, "\n1 3", 'a login works there');
($out, $err) = seen('app', "-c $setting=$value");
is($out, 'nobody 0', 'PGOPTIONS with a preloaded library');
# A reload while somebody is logged in changes nothing.
my $psql = $node->background_psql('d', on_error_stop => 0, extra_params => [ '-U', 'app' ]) if $node->can('background_psql') && PostgreSQL::Test::BackgroundPsql->can('query');
SKIP:
{
  skip 'no BackgroundPsql', 2 unless $psql;
  $psql->query($login);
  $node->append_conf('postgresql.conf', "$setting = 'y'");
  $node->reload;
  sleep 1;
  is($psql->query($who), '1 3', 'a session outlives a reload');
  $psql->query('RESET ALL');
  is($psql->query($who), 'nobody 0', 'and ends with RESET ALL');
  $psql->quit;
}

# shared_preload_libraries: the setting stands in the file when the server starts.
$node->append_conf('postgresql.conf', q{shared_preload_libraries = 'smart_fhir'});
SKIP:
{
  skip 'the server refuses to start, which will do', 1 unless $node->restart(fail_ok => 1);
  ($out, $err) = seen('app');
  is($out, 'nobody 0', 'shared_preload_libraries');
}

$node->stop;
done_testing();
