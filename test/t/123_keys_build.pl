# test/t/123_keys_build.pl
# smart_fhir_keys is built and installed where libcurl's headers are; where they are not, make builds the rest and says what is missing.
use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir;
open(my $out, '>', "$dir/pkg-config") or die $!;
print $out qq{#!/bin/sh\ncase "\$*" in *libcurl*) exit 1;; esac\nexec pkg-config "\$@"\n};
close($out);
chmod(0755, "$dir/pkg-config");
my $make = "make -s -C '$ENV{TESTDIR}' PG_CONFIG='$ENV{PG_CONFIG}'";
like(scalar(`$make keys PKG_CONFIG='$dir/pkg-config' 2>&1`), qr/^smart_fhir_keys is not built: the headers of libcurl \(libcurl4-openssl-dev/, 'make says what is missing');
is($?, 0, 'and goes on');
like(scalar(`$make -n all PKG_CONFIG='$dir/pkg-config' 2>&1`), qr/not built/, 'as a part of all');
SKIP:
{
	skip 'no headers of libcurl', 2 if system('pkg-config --exists libcurl') != 0;
	is(system("$make install-keys DESTDIR='$dir/root' >'$dir/install.log' 2>&1"), 0, 'make install');
	chomp(my $bindir = `'$ENV{PG_CONFIG}' --bindir`);
	like(scalar(`'$dir/root$bindir/smart_fhir_keys' --version`), qr/^smart_fhir_keys \d/, 'puts it beside psql');
}
done_testing;
