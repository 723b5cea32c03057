#!/usr/bin/env bash
# libcrypt-jwt-perl 0.034 (Debian 12): decode_jwt(verify_aud => 'text') takes only a token whose aud is a string. RFC 7519 4.1.3 lets aud be an
# array, with one member too, as several authorization servers write it: such a token is refused. A code reference for verify_aud sees the array.
# For a server: sign aud as a string where there is one audience.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get -q download libcrypt-jwt-perl=0.034-1 libcryptx-perl=0.077-1+b1 >/dev/null 2>&1 || { echo "skipped: libcrypt-jwt-perl=0.034-1 libcryptx-perl=0.077-1+b1 is not to be had from this system's package lists"; exit 0; }
for package in *.deb; do dpkg-deb -x "$package" root; done
cat > probe.pl <<'PL'
use strict; use warnings;
use Crypt::JWT qw(decode_jwt encode_jwt);
my $key = 'x' x 32;
my $want = 'https://ehr.example/fhir';
for my $aud ($want, [$want], [$want, 'https://other.example']) {
  my $token = encode_jwt(payload => { aud => $aud, exp => time + 300 }, alg => 'HS256', key => $key);
  my %how = (text => $want, code => sub { grep { $_ eq $want } ref $_[0] ? @{ $_[0] } : $_[0] });
  printf "%s: %s\n", ref $aud ? 'array of ' . @$aud : 'string',
    join ', ', map { my $by = $_; "by $by " . (eval { decode_jwt(token => $token, key => $key, verify_aud => $how{$by}); 1 } ? 'taken' : 'refused') } sort keys %how;
}
PL
inc=$(find root -type d \( -path '*/perl5' -o -path '*/perl5/5.*' -o -path '*/share/perl5' \) | sort -u | sed "s|^|-I$work/|" | tr '\n' ' ')
seen=$(perl $inc probe.pl)
expected='string: by code taken, by text taken
array of 1: by code taken, by text refused
array of 2: by code taken, by text refused'
if [ "$seen" = "$expected" ]; then echo "as recorded"; else printf "changed\n--- recorded\n%s\n--- seen\n%s\n" "$expected" "$seen"; exit 1; fi
