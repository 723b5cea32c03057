# test/t/072_stat.pl
# smart.stat: of the whole cluster where the library is in shared_preload_libraries, else of the backend alone; numbers
# only, for pg_monitor.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('stat');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nplan_cache_mode = force_generic_plan");
$node->start;
# The key of RFC 7515 A.3.
$node->safe_psql('postgres', q{
CREATE EXTENSION smart_fhir;
CREATE FUNCTION token(patient text DEFAULT 'p1', expires int DEFAULT 3600) RETURNS text LANGUAGE sql AS $$
  SELECT smart.jwt_sign(jsonb_build_object('iss', 'https://stat.example', 'aud', 'https://fhir.example/r4', 'sub', 'u', 'client_id', 'c', 'jti', 'j',
    'iat', floor(extract(epoch FROM now())) - 3600, 'exp', floor(extract(epoch FROM now())) + expires, 'scope', 'patient/*.rs system/*.rs') || CASE WHEN patient IS NULL THEN '{"scope": "system/*.rs"}' ELSE jsonb_build_object('patient', patient, 'scope', 'patient/*.rs') END,
    '{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}')
$$;
SELECT smart.add_issuer('https://stat.example', '{"kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}',
  '{https://fhir.example/r4}');
CREATE TABLE o (id text PRIMARY KEY, resource jsonb NOT NULL);
INSERT INTO o SELECT i, jsonb_build_object('resourceType', 'Observation', 'id', i::text, 'subject', jsonb_build_object('reference', 'Patient/p' || i % 20)) FROM generate_series(1, 200) AS i;
SET client_min_messages = warning;
SELECT smart.protect('o', 'Observation');
CREATE ROLE app;
CREATE ROLE watcher IN ROLE pg_monitor;
GRANT SELECT ON o TO app;
});

my $counted = q{SELECT string_agg(name || ' ' || value, ', ' ORDER BY name COLLATE "C") FROM smart.stat WHERE value <> 0};

sub in_one_session
{
  my ($sql) = @_;
  my ($status, $out) = $node->psql('postgres', $sql, on_error_stop => 0);
  return (split /\n/, $out)[-1] // '';
}

# Work with a known sum: what each counter says of it.
my $logins = q{
SELECT token() AS token, token(expires => -600) AS old \gset
BEGIN; SELECT smart.login(:'token'); COMMIT;
BEGIN; SELECT smart.login(:'token'); COMMIT;
SELECT smart.login(NULL);
SELECT smart.login('x');
SELECT smart.login(repeat('x', 70000));
SELECT smart.login(:'old');
SELECT smart.require('Observation', 'r');
BEGIN; DECLARE held CURSOR WITH HOLD FOR SELECT 1; COMMIT;
SELECT smart.login(:'token');
CLOSE held;
};
my $sum = 'cache_hits 1, logins 2, refused.held_cursor 1, refused.insufficient_scope 1, refused.malformed 2, refused.token_expired 1, refused.token_too_large 1';
is(in_one_session("$logins $counted"), $sum, 'logins, the token cache, refusals by rule');
is($node->safe_psql('postgres', $counted), '', 'without shared memory, of this backend alone');
is(in_one_session("$logins SELECT smart.stat_reset(); $counted"), '', 'and they can be set to 0');

# A prepared statement under two sessions: each form is planned, and the second time its plan is kept.
my $plans = q{
SELECT token() AS patient, token(NULL) AS backend \gset
PREPARE rows AS SELECT count(*) FROM o;
SET ROLE app;
} . join('', map { qq{BEGIN; SELECT smart.login(:'patient'); EXECUTE rows; COMMIT;\nBEGIN; SELECT smart.login(:'backend'); EXECUTE rows; COMMIT;\n} } 1 .. 4) . 'RESET ROLE;';
my %plans = map { split / / } split /, /, in_one_session("$plans $counted");
is($plans{plans_kept}, 1, 'a plan for the other session is kept');
cmp_ok($plans{forms_planned}, '>=', 2, 'the policy took a form each time that it was planned');
is($plans{plans_dropped}, undef, 'and none was dropped');
%plans = map { split / / } split /, /, in_one_session("$plans ALTER TABLE o ADD COLUMN later int; SET ROLE app; BEGIN; SELECT smart.login(:'backend'); EXECUTE rows; COMMIT; BEGIN; SELECT smart.login(:'patient'); EXECUTE rows; COMMIT; BEGIN; SELECT smart.login(:'backend'); EXECUTE rows; COMMIT; RESET ROLE; $counted");
cmp_ok($plans{logins}, '==', 11, 'the session went on');

# Numbers of the cluster where the library is preloaded.
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'smart_fhir'");
$node->restart;
in_one_session($logins);
is($node->safe_psql('postgres', $counted), $sum, 'with shared memory, of every backend');
$node->safe_psql('postgres', q{CREATE DATABASE other});
$node->safe_psql('other', 'CREATE EXTENSION smart_fhir');
is($node->safe_psql('other', $counted), $sum, 'and every database');
is($node->safe_psql('postgres', "SET ROLE watcher; $counted"), $sum, 'pg_monitor reads them');
for my $sql ('SELECT * FROM smart.stat', 'SELECT * FROM smart_internal.stat()', 'SELECT smart.stat_reset()')
{
  my ($status, $out, $err) = $node->psql('postgres', "SET ROLE app; $sql");
  like($err, qr/permission denied/, "an application role may not: $sql");
}
my ($status, $out, $err) = $node->psql('postgres', 'SET ROLE watcher; SELECT smart.stat_reset()');
like($err, qr/permission denied/, 'nor does pg_monitor set them to 0');
$node->safe_psql('postgres', 'SELECT smart.stat_reset()');
is($node->safe_psql('other', $counted), '', 'set to 0 for all');
is($node->safe_psql('postgres', q{SELECT string_agg(DISTINCT name, ', ' ORDER BY name) FROM smart.stat WHERE name !~ '^refused\.'}),
  'audit_records, cache_hits, forms_planned, logins, plans_dropped, plans_kept', 'every name is there, at 0 too');

# The last: a session that had records ends with one more.
my %audited = map { split / / } split /, /, in_one_session("SET smart_fhir.audit = 'logins'; SELECT smart.stat_reset(); $logins $counted");
cmp_ok($audited{audit_records} // 0, '>=', 6, 'lines of the audit trail');

done_testing();
