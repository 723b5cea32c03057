# test/t/070_memory.pl
# Many logins do not grow a backend; hostile sizes get a quick and clear answer.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = PostgreSQL::Test::Cluster->new('memory');
$node->init;
$node->append_conf('postgresql.conf', "log_min_messages = error\nfsync = off");
$node->start;

my $key = '{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",'
  . '"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}';
$node->safe_psql('postgres', qq{
  CREATE EXTENSION smart_fhir;
  CREATE FUNCTION claims(n int) RETURNS jsonb IMMUTABLE LANGUAGE sql AS \$\$ SELECT jsonb_build_object('iss', 'https://as.example', 'sub', 'u' || n, 'client_id', 'c',
    'aud', 'https://fhir.example', 'jti', n::text, 'iat', 1700000000, 'exp', 4102444800, 'scope', 'openid patient/*.rs patient/Observation.rs?category=' || n, 'patient', n::text) \$\$;
  CREATE FUNCTION token(n int) RETURNS text LANGUAGE sql AS \$\$ SELECT smart.jwt_sign(claims(n), '$key') \$\$;
  CREATE FUNCTION aliases(patient text) RETURNS text[] LANGUAGE sql STABLE AS \$\$ SELECT ARRAY['x' || patient] \$\$;
  SELECT smart.add_issuer('https://as.example', ('$key'::jsonb) - 'd', '{https://fhir.example}', max_token_age => '40000 days');
  SELECT smart.add_issuer('https://alias.example', ('$key'::jsonb) - 'd', '{https://fhir.example}', max_token_age => '40000 days', patient_aliases => 'aliases(text)');
  CREATE TABLE observation (id text PRIMARY KEY, resource jsonb NOT NULL);
  INSERT INTO observation SELECT i::text, jsonb_build_object('resourceType', 'Observation', 'id', i::text,
    'subject', jsonb_build_object('reference', 'Patient/' || i)) FROM generate_series(1, 10) i;
  CREATE ROLE app; GRANT SELECT ON observation TO app;
  CREATE TABLE hundred AS SELECT n, token(n) AS token FROM generate_series(1, 100) n;
  GRANT SELECT ON hundred TO app; GRANT EXECUTE ON FUNCTION smart.assume TO app;
  -- bytes in memory contexts, and of the process (what the setting's values take is not in a context everywhere)
  CREATE FUNCTION used(OUT contexts bigint, OUT resident bigint) LANGUAGE sql AS \$\$
    SELECT (SELECT sum(total_bytes) FROM pg_backend_memory_contexts),
      split_part(pg_read_file('/proc/' || pg_backend_pid() || '/statm'), ' ', 2)::bigint * 4096 \$\$;
  SET client_min_messages = warning;
  SELECT smart.protect('observation', 'Observation')});

# each line: what, a procedure's body for i in 1 .. n, how often
for my $case (
  [ 'logins with distinct claims, one transaction', 'PERFORM smart.assume(claims(i), $i$https://as.example$i$);', 40000, 0 ],
  [ 'logins with distinct claims, a transaction each', 'PERFORM smart.assume(claims(i), $i$https://as.example$i$); COMMIT;', 15000, 1 ],
  [ 'logins for the connection, a transaction each', 'PERFORM smart.login((SELECT token FROM hundred WHERE n = i % 100 + 1), false); COMMIT;', 30000, 1 ],
  [ 'logins refused', 'BEGIN PERFORM smart.login((SELECT token || $i$x$i$ FROM hundred WHERE n = i % 100 + 1)); EXCEPTION WHEN OTHERS THEN NULL; END;', 5000, 0 ],
  [ 'logins and set_interaction() in savepoints', 'BEGIN PERFORM smart.login((SELECT token FROM hundred WHERE n = i % 100 + 1)); PERFORM smart.set_interaction($i$read$i$); RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END;', 5000, 0 ],
  [ 'logins with a context function', 'PERFORM smart.assume(claims(i) - $i$iss$i$, $i$https://alias.example$i$);', 5000, 0 ],
  [ 'logins that each read a table', 'PERFORM smart.login((SELECT token FROM hundred WHERE n = i % 100 + 1)); PERFORM count(*) FROM observation;', 5000, 0 ],
  [ 'distinct tokens, more than the cache holds', 'PERFORM smart.login(token(i)); COMMIT;', 2000, 1 ],
  [ 'issuer changes and logins', 'UPDATE smart.issuer SET jwks = jwks; PERFORM smart.login((SELECT token FROM hundred WHERE n = i % 100 + 1)); COMMIT;', 1000, 1 ])
{
  my ($name, $body, $n) = @$case;
  my $do = sub { "DO \$do\$ BEGIN FOR i IN 1 .. $_[0] LOOP $body END LOOP; END \$do\$;" };
  my $start = time;
  my $out = $node->safe_psql('postgres', join "\n", 'SET client_min_messages = error; SET smart_fhir.token_cache_size = 200;',
    $do->(500), "SELECT 'before ' || contexts || ' ' || resident FROM used();", $do->($n), "SELECT 'after ' || contexts || ' ' || resident FROM used();");
  my ($c0, $r0) = $out =~ /before (\d+) (\d+)/;
  my ($c1, $r1) = $out =~ /after (\d+) (\d+)/;
  cmp_ok($c1 - $c0, '<', 400 * 1024, "$n $name: memory contexts");
  cmp_ok($r1 - $r0, '<', 6 * 1024 * 1024, "$n $name: resident memory");
  note(sprintf('%s: %d kB, resident %d kB, %.0f us a login', $name, ($c1 - $c0) / 1024, ($r1 - $r0) / 1024, (time - $start) * 1e6 / ($n + 500)));
}

# Hostile sizes: the answer comes within seconds.
sub answers
{
  my ($name, $sql, $pattern) = @_;
  my $start = time;
  my ($status, $out, $err) = $node->psql('postgres', "BEGIN;\n$sql;\nSELECT 'allowed ' || smart.allows('Observation', 'r');", on_error_stop => 0);
  my $took = time - $start;
  like("$out\n$err", $pattern, $name);
  cmp_ok($took, '<', 10, sprintf('%s: took %.2f s', $name, $took));
  ok($node->safe_psql('postgres', 'SELECT true'), 'and the server lives');
}
sub assumed { return "SELECT smart.assume((claims(1) || $_[0])::jsonb, 'https://as.example')" }
my $refused = qr/access token is not accepted/;
answers('a token of 1 MB', q{SELECT smart.login(repeat('x', 1000000))}, $refused);
answers('a token of 64 KiB of dots', q{SELECT smart.login(repeat('.', 65536))}, $refused);
answers('a token of 100 MB', q{SELECT smart.login(repeat('e', 100000000))}, $refused);
my $b64 = q{translate(encode(convert_to(%s, 'UTF8'), 'base64'), E'+/=\n', '-_')};
for my $deep (q{repeat('[', 10000) || repeat(']', 10000)}, q{'{"iss":' || repeat('[', 10000) || repeat(']', 10000) || '}'}, q{repeat('{"a":', 5000) || '1' || repeat('}', 5000)},
  q{'{' || (SELECT string_agg(format('"%s":1', n), ',') FROM generate_series(1, 5000) n) || '}'}, q{'{"exp":1e' || repeat('9', 20000) || '}'}, q{'{"exp":' || repeat('9', 40000) || '}'})
{
  my $part = sprintf $b64, "($deep)";
  answers('payload: ' . substr($deep, 0, 40), qq{SELECT smart.login('eyJhbGciOiJFUzI1NiJ9.' || $part || '.eA')}, $refused);
  answers('header: ' . substr($deep, 0, 40), qq{SELECT smart.login($part || '.e30.eA')}, $refused);
}
answers('claims 5,000 deep', assumed(q{('{"x":' || repeat('[', 5000) || repeat(']', 5000) || '}')::jsonb}), qr/allowed true|stack depth/);
answers('100,000 scopes', assumed(q{jsonb_build_object('scope', (SELECT string_agg('patient/Observation.rs?code=c' || n, ' ') FROM generate_series(1, 100000) n))}), qr/allowed|not accepted|too many|limit/);
answers('100,000 equal scopes', assumed(q{jsonb_build_object('scope', repeat('patient/Observation.rs ', 100000))}), qr/allowed|not accepted|too many|limit/);
answers('a scope of 10 MB', assumed(q{jsonb_build_object('scope', 'patient/Observation.rs?code=' || repeat('x', 10000000))}), qr/allowed|not accepted|too many|limit/);
answers('an aud of 10,000', assumed(q{jsonb_build_object('aud', (SELECT jsonb_agg('https://fhir.example/' || n) FROM generate_series(1, 10000) n) || '["https://fhir.example"]')}), qr/allowed true/);
answers('100,000 patients', assumed(q{jsonb_build_object('patient', (SELECT jsonb_agg('p' || n) FROM generate_series(1, 100000) n))}), qr/allowed false/);
answers('a patient id of 1 MB', assumed(q{jsonb_build_object('patient', repeat('x', 1000000))}), qr/allowed false/);
answers('a fhirUser of 1 MB', assumed(q{jsonb_build_object('fhirUser', repeat('Patient/', 100000))}), qr/allowed true/);
$node->safe_psql('postgres', q{UPDATE smart.issuer SET max_patients = 1000000});
answers('10,000 patients where as many may be', assumed(q{jsonb_build_object('patient', (SELECT jsonb_agg('p' || n) FROM generate_series(1, 10000) n))}), qr/allowed true/);
answers('100,000 patients are none, also where as many may be', assumed(q{jsonb_build_object('patient', (SELECT jsonb_agg('p' || n) FROM generate_series(1, 100000) n))}), qr/allowed false/);

$node->stop;
done_testing();
