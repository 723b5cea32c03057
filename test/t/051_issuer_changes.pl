# test/t/051_issuer_changes.pl
# A rotated key or a dropped issuer counts at the next statement of every open connection, in a
# running REPEATABLE READ transaction and on a streaming replica too.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'no PostgreSQL::Test::BackgroundPsql'
  unless eval { require PostgreSQL::Test::BackgroundPsql; 1 };

my %key = (
  a => '{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",'
    . '"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}',
  b => '{"kty":"EC","crv":"P-256","kid":"b","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",'
    . '"y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}');

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', "wal_receiver_status_interval = 1");
$primary->start;
my $db = 'postgres';
# the key sets: a, b, both
my %jwks = (a => qq{(('$key{a}'::jsonb) - 'd')}, b => qq{(('$key{b}'::jsonb) - 'd')});
$jwks{ab} = qq{jsonb_build_object('keys', jsonb_build_array($jwks{a}, $jwks{b}))};
$primary->safe_psql($db, qq{
  CREATE ROLE app LOGIN;
  CREATE EXTENSION smart_fhir;
  SELECT smart.add_issuer('https://as.example', $jwks{a}, '{https://fhir.example}', max_token_age => '40000 days');
  CREATE TABLE observation (id text PRIMARY KEY, resource jsonb NOT NULL);
  CREATE TABLE condition (id text PRIMARY KEY, resource jsonb NOT NULL);
  INSERT INTO observation SELECT 'o' || i, jsonb_build_object('resourceType', 'Observation', 'id', 'o' || i,
    'subject', jsonb_build_object('reference', 'Patient/' || i % 2)) FROM generate_series(1, 6) i;
  GRANT SELECT ON observation, condition TO app;
  SET client_min_messages = warning;
  SELECT smart.protect('observation', 'Observation'), smart.protect('condition', 'Condition')});

$primary->backup('copy');
my $replica = PostgreSQL::Test::Cluster->new('replica');
$replica->init_from_backup($primary, 'copy', has_streaming => 1);
$replica->start;

sub token
{
  my ($key) = @_;
  return $primary->safe_psql($db, qq{SELECT smart.jwt_sign('{"iss":"https://as.example","sub":"u","client_id":"c","aud":"https://fhir.example",
    "jti":"j","iat":1700000000,"exp":4102444800,"scope":"patient/*.rs","patient":"1"}', '$key{$key}')});
}
my ($token_a, $token_b) = (token('a'), token('b'));

# What a statement answers: its rows, or the constraint name of its error.
my $helper = q{CREATE FUNCTION public.why(command text) RETURNS text LANGUAGE plpgsql AS $$
  DECLARE c text; n text;
  BEGIN
    EXECUTE command INTO n; RETURN n;
  EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS c = CONSTRAINT_NAME; RETURN sqlstate || ' ' || c;
  END $$};
my $count = q{SELECT why('SELECT count(*) FROM observation')};
my $empty = q{SELECT why('SELECT count(*) FROM condition')};

sub connection
{
  my ($node) = @_;
  return $node->background_psql($db, on_error_stop => 0, extra_params => [ '-U', 'app' ]);
}
sub answers
{
  my ($session, $sql, $expected, $name) = @_;
  is($session->query($sql), $expected, $name);
}
# Changes on the primary, waits for the replica.
sub change
{
  my ($sql) = @_;
  $primary->safe_psql($db, $sql);
  $primary->wait_for_catchup($replica, 'replay', $primary->lsn('insert'));
}
sub reset_issuer
{
  change("DELETE FROM smart.issuer; SELECT smart.add_issuer('https://as.example', $jwks{a}, '{https://fhir.example}', max_token_age => '40000 days')");
}

change($helper);
my %session = (one => connection($primary), two => connection($primary), replica => connection($replica));
my @names = sort keys %session;
my $login_a = "SELECT smart.login('$token_a', false)";
my $login_b = "SELECT smart.login('$token_b', false)";

for my $case (
  [ 'a key that set_jwks() replaced', "SELECT smart.set_jwks('https://as.example', $jwks{b})", 'token_revoked' ],
  [ 'a key that plain UPDATE replaced', "UPDATE smart.issuer SET jwks = $jwks{b}", 'token_revoked' ],
  [ 'an issuer that drop_issuer() took away', "SELECT smart.drop_issuer('https://as.example')", 'unknown_issuer' ],
  [ 'an issuer that plain DELETE took away', "DELETE FROM smart.issuer", 'unknown_issuer' ],
  [ 'an issuer that TRUNCATE took away', "TRUNCATE smart.issuer", 'unknown_issuer' ],
  [ 'an issuer that add_issuer() gave other keys', "SELECT smart.add_issuer('https://as.example', $jwks{b}, '{https://fhir.example}')", 'token_revoked' ])
{
  my ($name, $sql, $code) = @$case;
  for (@names) { $session{$_}->query($login_a); answers($session{$_}, $count, '3', "$name: before, $_"); }
  change($sql);
  for (@names)
  {
    answers($session{$_}, $empty, "28000 $code", "$name: an empty table, $_");
    answers($session{$_}, $count, "28000 $code", "$name: $_");
    answers($session{$_}, q{SELECT smart.patient() IS NULL}, 't', "$name: shows nothing, $_");
    my $again = "SELECT why(\$\$SELECT smart.login('$token_a', false)\$\$)";
    like($session{$_}->query($again), qr/^28000 (unknown_key|unknown_issuer)$/, "$name: no new login, $_");
  }
  reset_issuer();
}

# A new key beside the old one ends nothing, and counts at once.
$session{$_}->query($login_a) for @names;
change("SELECT smart.set_jwks('https://as.example', $jwks{ab})");
answers($session{$_}, $count, '3', "a key was added: $_") for @names;
for (@names) { $session{$_}->query($login_b); answers($session{$_}, $count, '3', "and is good for a login: $_"); }

# R. An issuer's change is judged at the next statement: a session for the connection (local => false) ends when its issuer, as it
# is now, would not give it any more.
for my $case (
  [ 'audience',           "audience = '{https://other.example}'",           'audience' ],
  [ 'audience for others', "audience = NULL, client_ids = '{c}', base_urls = '{https://other.example}'", 'audience' ],
  [ 'levels',             "levels = '{user}'",                              'token_revoked' ],
  [ 'client_ids',         "client_ids = '{another}'",                       'client' ],
  [ 'max_token_age',      "max_token_age = '1 day'",                        'token_lifetime' ],
  [ 'required_claims',    "required_claims = '{tenant}'",                   'required_claim' ],
  [ 'token_types',        "token_types = '{at+jwt}'",                       'token_type' ],
  [ 'algorithms',         "algorithms = '{RS256}'",                         'algorithm' ],
  [ 'claim_map',          qq(claim_map = '{"patient": [["elsewhere"]]}'),   'token_revoked' ],
  [ 'patient_aliases',    "patient_aliases = 'public.aliases(text)'",       'token_revoked' ])
{
  my ($name, $sql, $code) = @$case;
  reset_issuer();
  for (@names) { $session{$_}->query($login_a); answers($session{$_}, $count, '3', "$name: before, $_"); }
  change("UPDATE smart.issuer SET $sql");
  for (@names)
  {
    answers($session{$_}, $empty, "28000 $code", "$name narrowed: an empty table, $_");
    answers($session{$_}, $count, "28000 $code", "$name narrowed: $_");
    answers($session{$_}, q{SELECT smart.patient() IS NULL}, 't', "$name narrowed: shows nothing, $_");
  }
}

# What is widened, or does not touch the session, ends none.
reset_issuer();
change("UPDATE smart.issuer SET levels = '{patient}', leeway = '10 s'");
$session{$_}->query($login_a) for @names;
change("UPDATE smart.issuer SET levels = NULL, audience = audience || '{https://other.example}', client_ids = '{c,d}', max_token_age = '50000 days', leeway = NULL, user_sees_all = true, staff_types = '{Practitioner}', base_urls = '{https://third.example}', preset = 'okta'");
answers($session{$_}, $count, '3', "widened: this session stays, $_") for @names;
reset_issuer();
change("SELECT smart.set_jwks('https://as.example', $jwks{ab})");
change("UPDATE smart.issuer SET audience = '{https://other.example}', levels = NULL");
for (@names) { answers($session{$_}, "SELECT why(\$\$SELECT smart.login('$token_b', false)\$\$)", '28000 audience', "a cached token meets the new audience: $_"); }
reset_issuer();

# A change that is rolled back, or not yet committed, is none.
$session{$_}->query($login_a) for @names;
my $admin = $primary->background_psql($db, on_error_stop => 0);
$admin->query('BEGIN; DELETE FROM smart.issuer;');
answers($session{one}, $count, '3', 'not committed');
is($admin->query(q{SELECT count(*) FROM smart.issuer}), '0', 'gone for the one who deletes');
$admin->query('ROLLBACK');
answers($session{one}, $count, '3', 'rolled back');
$admin->quit;

# Inside a transaction: READ COMMITTED and REPEATABLE READ, a cursor, a prepared statement.
for my $level ('READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE')
{
  my @here = $level eq 'SERIALIZABLE' ? ('one') : ('one', 'replica');
  for (@here)
  {
    $session{$_}->query("BEGIN ISOLATION LEVEL $level");
    $session{$_}->query("SELECT smart.login('$token_a')");
    $session{$_}->query('PREPARE q AS SELECT count(*) FROM condition');
    $session{$_}->query('DECLARE cur CURSOR FOR SELECT id FROM observation ORDER BY id');
    answers($session{$_}, 'FETCH 1 FROM cur', 'o1', "$level: before, $_");
    $session{$_}->query('EXECUTE q');
  }
  change("UPDATE smart.issuer SET jwks = $jwks{b}");
  for (@here)
  {
    answers($session{$_}, q{SELECT why('FETCH 1 FROM cur')}, '28000 token_revoked', "$level: FETCH, $_");
    answers($session{$_}, $count, '28000 token_revoked', "$level: in the transaction, $_");
    answers($session{$_}, q{SELECT why('EXECUTE q')}, '28000 token_revoked', "$level: prepared, $_");
    $session{$_}->query('ROLLBACK; DEALLOCATE q;');
  }
  reset_issuer();
}

$_->quit for values %session;
$replica->stop;
$primary->stop;
done_testing();
