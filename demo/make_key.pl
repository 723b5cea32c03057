#!/usr/bin/env perl
# demo/make_key.pl KID: a new EC P-256 key as a private JWK (RFC 7517), made by openssl.
# demo/make_key.pl --public: the JWK Set of the public half of the JWK on standard input.
use strict;
use warnings;
use JSON::PP;
use MIME::Base64 qw(encode_base64url);

my $json = JSON::PP->new->canonical;
my $kid = shift // die "usage: $0 KID | --public\n";
if ($kid eq '--public')
{
  my $jwk = $json->decode(join '', <STDIN>);
  delete $jwk->{d};
  print $json->encode({ keys => [$jwk] }), "\n";
  exit;
}

# Both halves as openssl prints them: "priv:" and "pub:", then lines of hexadecimal bytes.
my $text = `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 2>/dev/null | openssl pkey -noout -text`;
my %half;
while ($text =~ /^(priv|pub):\n((?:\s+[0-9a-f:]+\n)+)/mg)
{
  my ($name, $hex) = ($1, $2);
  $hex =~ s/[^0-9a-f]//g;
  $half{$name} = pack 'H*', $hex;
}
die "openssl made no key\n" unless length($half{pub} // '') == 65 && defined $half{priv};
my $private = substr "\0" x 32 . $half{priv}, -32;
my ($x, $y) = (substr($half{pub}, 1, 32), substr($half{pub}, 33, 32));
print $json->encode({ kty => 'EC', crv => 'P-256', alg => 'ES256', use => 'sig', kid => $kid,
  x => encode_base64url($x), y => encode_base64url($y), d => encode_base64url($private) }), "\n";
