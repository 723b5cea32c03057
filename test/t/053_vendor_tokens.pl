# test/t/053_vendor_tokens.pl
# The presets of add_issuer(): the generated SQL is what data/presets/presets.json makes, and a token of each server's shape,
# signed and sent through smart.login(), gives the session, or the refusal, that the file says.
use strict;
use warnings FATAL => 'all';

use File::Basename;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = dirname(__FILE__) . '/../..';
my $dir = PostgreSQL::Test::Utils::tempdir;
is(system($^X, "$root/tools/generate_presets.pl", "$dir/presets.sql", "$dir/table.h"), 0, 'the generator runs');
is(slurp_file("$dir/presets.sql"), slurp_file("$root/sql/39_issuer_preset.sql"), 'sql/39_issuer_preset.sql is what it writes');
is(slurp_file("$dir/table.h"), slurp_file("$root/src/session/preset_table.h"), 'src/session/preset_table.h too');

my $source = JSON::PP->new->utf8->decode(slurp_file("$root/data/presets/presets.json"));
my $reference = slurp_file("$root/doc/reference.md");
my $json = JSON::PP->new->canonical->ascii->allow_nonref;

my $node = PostgreSQL::Test::Cluster->new('vendors');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', 'fsync = off');
$node->start;
# RFC 8037 appendix A.1
my $public = '"kty":"OKP","crv":"Ed25519","kid":"k1","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"';
$node->safe_psql('postgres', qq{
CREATE EXTENSION smart_fhir;
CREATE ROLE app LOGIN;
GRANT EXECUTE ON FUNCTION smart.assume TO app;
CREATE TABLE patient (id text PRIMARY KEY, resource jsonb NOT NULL);
INSERT INTO patient SELECT p, jsonb_build_object('resourceType', 'Patient', 'id', p) FROM unnest('{p1,p2}'::text[]) p;
SET client_min_messages = warning;
SELECT smart.protect('patient', 'Patient');
GRANT SELECT ON patient TO app;
CREATE FUNCTION token(claims jsonb, header jsonb) RETURNS text LANGUAGE sql AS \$\$
  SELECT smart.jwt_sign('{"iss": "https://as.test", "sub": "u1", "jti": "j1"}'::jsonb || jsonb_build_object('iat', floor(extract(epoch FROM now())) - 1, 'exp', floor(extract(epoch FROM now())) + 600) || claims,
    '{$public,"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}', header) \$\$;
});
is($node->safe_psql('postgres', q{SELECT string_agg(name, ' ' ORDER BY name) FROM smart_internal.issuer_presets()}),
  join(' ', sort map { $_->{name} } @{ $source->{presets} }), 'the presets of the file are those of the extension');

for my $preset (@{ $source->{presets} })
{
  like($reference, qr/^\| `$preset->{name}` \|/m, "$preset->{name}: documented");
  ok(@{ $preset->{examples} } > 0, "$preset->{name}: has an example");
  for my $example (@{ $preset->{examples} })
  {
    my $name = "$preset->{name}: $example->{title}";
    my $options = $example->{options} // {};
    my @named = map {
      my $value = $options->{$_};
      my $text = $json->encode($value);
      ref $value eq 'ARRAY' ? "$_ => ARRAY(SELECT jsonb_array_elements_text('$text'))" : ref $value ? "$_ => '$text'::jsonb" : "$_ => $value"
    } sort keys %$options;
    my $audience = exists $example->{audience} ? 'NULL' : "'{https://fhir.test}'";
    $node->safe_psql('postgres', "SELECT smart.add_issuer(" . join(', ', "'https://as.test'", qq('{"keys":[{$public}]}'), $audience, "'$preset->{name}'", @named) . ')');
    my $claims = $json->encode($example->{claims}) =~ s/'/''/gr;
    # signed by the issuer's key with the usual claims; with a secret of somebody else's and these claims alone; or assumed
    my $token = $example->{assume} ? '' : $example->{secret} ? $node->safe_psql('postgres', qq{SELECT smart.jwt_sign('$claims', '{"kty":"oct","k":"$example->{secret}"}', '} . $json->encode($example->{header}) . "')")
      : $node->safe_psql('postgres', "SELECT token('" . $json->encode($example->{claims}) =~ s/'/''/gr . "', '" . $json->encode($example->{header}) . "')");
    my $login = $example->{assume} ? "SELECT smart.assume('$claims', 'https://as.test')" : "SELECT smart.login('$token')";
    my ($status, $out, $err) = $node->psql('postgres', <<"SQL", extra_params => [ '-U', 'app', '-v', 'VERBOSITY=verbose' ]);
BEGIN;
$login \\g /dev/null
SELECT jsonb_build_object('patient', patient, 'encounter', encounter, 'fhir_user', fhir_user, 'client_id', client_id, 'scope', scope::text,
  'rows', (SELECT coalesce(jsonb_agg(id ORDER BY id), '[]') FROM patient)) FROM smart.session;
COMMIT;
SQL
    if ($example->{refused})
    {
      isnt($status, 0, "$name: refused");
      like($err, qr/CONSTRAINT NAME:\s+$example->{refused}\b/, "... as $example->{refused}");
      next;
    }
    is($status, 0, "$name: accepted") or diag($err);
    my $got = $status == 0 ? $json->decode($out) : {};
    for my $key (sort keys %{ $example->{expect} // {} })
    {
      my $wanted = $example->{expect}{$key};
      my $is = $got->{$key};
      # scopes as sets, without what is no resource scope
      $is = join ' ', sort grep { m{/} && !m{^launch} } split / /, $is // '' if $key eq 'scope';
      $wanted = join ' ', sort split / /, $wanted if $key eq 'scope';
      is($is, $wanted, "... $key");
    }
    is_deeply($got->{rows}, $example->{rows}, '... and the rows') if $example->{rows};
  }
}

$node->stop;
done_testing;
