#!/usr/bin/env perl
# tools/generate_presets.pl [SQL_FILE [C_FILE]]: writes sql/39_issuer_preset.sql and src/session/preset_table.h from
# data/presets/presets.json: the presets for add_issuer(), and what its messages have to know of them.
#
# The source says for each server where its token's shape is documented, and holds example tokens,
# which test/t/053_vendor_tokens.pl signs and logs in with. Raise "revision" there with each change.
use strict;
use warnings FATAL => 'all';

use File::Basename;
use JSON::PP;

my $root = dirname(__FILE__) . '/..';
my $out = $ARGV[0] // "$root/sql/39_issuer_preset.sql";
my $table = $ARGV[1] // "$root/src/session/preset_table.h";
my $json = JSON::PP->new->utf8->canonical;
open my $in, '<', "$root/data/presets/presets.json" or die "presets.json: $!\n";
my $source = $json->decode(do { local $/; <$in> });

sub quoted { return "'" . ($_[0] =~ s/'/''/gr) . "'" }
sub array
{
	my ($list) = @_;
	return 'NULL' unless $list;
	return quoted('{' . join(',', map { /^[A-Za-z0-9_.+\/-]+$/ ? $_ : '"' . $_ . '"' } @$list) . '}') . '::text[]';
}

my @rows;
for my $preset (@{ $source->{presets} })
{
	die "$preset->{name}: no source\n" unless $preset->{source};
	my $row = "    -- $preset->{server}: $preset->{source}\n";
	$row .= "    -- $preset->{notes}\n" if $preset->{notes};
	$row .= '    (' . join(', ',
		quoted($preset->{name}), array($preset->{token_types}), array($preset->{required_claims}),
		$preset->{claim_map} ? quoted(JSON::PP->new->canonical->space_after->encode($preset->{claim_map})) . '::jsonb' : 'NULL::jsonb',
		$preset->{patient_from_fhir_user} ? 'true' : 'NULL::boolean',
		$preset->{patient_references} ? 'true' : 'NULL::boolean') . ')';
	push @rows, $row;
}
my $n = @rows;
my $rows = join ",\n", @rows;
my $sql = <<"SQL";
/* Token shapes of well-known servers: what add_issuer(preset => ...) fills in. Made by tools/generate_presets.pl. */

CREATE TYPE smart_internal.issuer_preset AS (
  name text, algorithms text[], leeway interval, max_token_age interval, token_types text[],
  required_claims text[], claim_map jsonb, max_patients int, patient_from_fhir_user boolean,
  user_sees_all boolean, staff_types text[], patient_references boolean, levels text[]);
COMMENT ON TYPE smart_internal.issuer_preset IS 'Defaults of one preset of smart.add_issuer(); NULL: the general default.';

CREATE FUNCTION smart_internal.issuer_presets() RETURNS SETOF smart_internal.issuer_preset
  LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp ROWS $n AS \$\$
  SELECT name, NULL::text[], NULL::interval, NULL::interval, token_types, required_claims, claim_map,
         NULL::int, from_user, NULL::boolean, NULL::text[], patient_references, NULL::text[]
  FROM (VALUES
$rows
  ) p (name, token_types, required_claims, claim_map, from_user, patient_references)
\$\$;
COMMENT ON FUNCTION smart_internal.issuer_presets() IS 'All presets that smart.add_issuer() knows; revision $source->{revision}.';

CREATE FUNCTION smart_internal.issuer_preset(name text) RETURNS smart_internal.issuer_preset
  LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS
  \$\$ SELECT p FROM smart_internal.issuer_presets() p WHERE p.name = \$1 \$\$;
COMMENT ON FUNCTION smart_internal.issuer_preset(text) IS 'One preset of smart.add_issuer(), NULL when there is none of this name.';

CREATE FUNCTION smart_internal.issuer_preset_names() RETURNS text
  LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS
  \$\$ SELECT string_agg(p.name, ', ' ORDER BY p.name) FROM smart_internal.issuer_presets() p \$\$;
COMMENT ON FUNCTION smart_internal.issuer_preset_names() IS 'Names of the presets, for error hints.';

REVOKE ALL ON FUNCTION smart_internal.issuer_presets(), smart_internal.issuer_preset(text), smart_internal.issuer_preset_names() FROM PUBLIC;
SQL
open my $file, '>', $out or die "$out: $!\n";
print {$file} $sql;
close $file or die "$out: $!\n";

# For the messages: which preset requires which claims, and where it looks for them.
sub literal { return '"' . ($_[0] =~ s/(["\\])/\\$1/gr) . '"' }
my ($required, $paths) = ('', '');
for my $preset (@{ $source->{presets} })
{
	my $claims = $preset->{required_claims};
	# no login() with these: not to be offered instead
	$required .= "\t{" . literal($preset->{name}) . ', ' . ($claims ? literal(join ' ', @$claims) : 'NULL') . "},\n" unless $preset->{introspection};
	for my $claim (sort keys %{ $preset->{claim_map} // {} })
	{
		for my $path (@{ $preset->{claim_map}{$claim} })
		{
			next if @$path == 1 && $path->[0] eq $claim;
			die "$preset->{name}: path of more than 4 names\n" if @$path > 4;
			$paths .= "\t{" . join(', ', literal($preset->{name}), literal($claim), scalar @$path, '{' . join(', ', map { literal($_) } @$path) . '}') . "},\n";
		}
	}
}
open $file, '>', $table or die "$table: $!\n";
print {$file} <<"C";
/*
 * src/session/preset_table.h
 *		What messages have to know of the presets of add_issuer(). Made by tools/generate_presets.pl.
 */
/* clang-format off */
static const PresetClaims preset_claims[] = {
$required};

static const PresetPath preset_paths[] = {
$paths};
C
close $file or die "$table: $!\n";
