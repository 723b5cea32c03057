# test/t/121_key_addresses.pl
# smart_fhir_keys goes for a stranger's sake to public addresses alone, whatever form an address has. The first and the last address of each
# block of IANA's registries of special-purpose addresses, their neighbours, and the forms that carry an IPv4 address.
use strict;
use warnings;

use IPC::Run;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir;
my $source = "$ENV{TESTDIR}/programs/smart_fhir_keys/address.c";
plan skip_all => 'no compiler' if system("cc -Wall -o '$dir/address' '$ENV{TESTDIR}/test/address_test.c' '$source' 2>'$dir/cc.log'") != 0;

my %want;
# block: from, to, and the addresses before and after it, where those are public
my @blocks4 = (
	['0.0.0.0', '0.255.255.255', '', '1.0.0.0'], ['10.0.0.0', '10.255.255.255', '9.255.255.255', '11.0.0.0'],
	['100.64.0.0', '100.127.255.255', '100.63.255.255', '100.128.0.0'], ['127.0.0.0', '127.255.255.255', '126.255.255.255', '128.0.0.0'],
	['169.254.0.0', '169.254.255.255', '169.253.255.255', '169.255.0.0'], ['172.16.0.0', '172.31.255.255', '172.15.255.255', '172.32.0.0'],
	['192.0.0.0', '192.0.0.255', '191.255.255.255', '192.0.1.0'], ['192.0.2.0', '192.0.2.255', '192.0.1.255', '192.0.3.0'],
	['192.88.99.0', '192.88.99.255', '192.88.98.255', '192.88.100.0'], ['192.168.0.0', '192.168.255.255', '192.167.255.255', '192.169.0.0'],
	['198.18.0.0', '198.19.255.255', '198.17.255.255', '198.20.0.0'], ['198.51.100.0', '198.51.100.255', '198.51.99.255', '198.51.101.0'],
	['203.0.113.0', '203.0.113.255', '203.0.112.255', '203.0.114.0'], ['224.0.0.0', '239.255.255.255', '223.255.255.255', ''],
	['240.0.0.0', '255.255.255.255', '', '']);
for my $block (@blocks4)
{
	my ($from, $to, @outside) = @$block;
	$want{$_} = 'not_public' for $from, $to;
	$want{$_} = 'public' for grep { $_ } @outside;
}
$want{$_} = 'public' for '8.8.8.8', '192.31.196.1', '192.52.193.1', '192.175.48.1';
# what each IPv4 address is, its carriers are
for my $four (keys %want)
{
	my $hex = join(':', unpack('H4H4', pack('C4', split(/\./, $four))));
	$want{"::ffff:$hex"} = $want{"64:ff9b::$hex"} = $want{"2002:$hex\::"} = $want{"2002:$hex\:1:2:3:4:5"} = $want{"2a00::5efe:$hex"} = $want{"2a00::200:5efe:$hex"} = $want{$four};
	# deprecated, local, translated, Teredo: not public, whatever they carry
	$want{"::$hex"} = $want{"64:ff9b:1::$hex"} = $want{"2001:0:$hex\::"} = $want{"::ffff:0:$hex"} = $want{"fe80::5efe:$hex"} = 'not_public';
}
$want{$_} = 'not_public' for '::', '::1', '100::', '100::1', '2001::', '2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff', '2001:2::1', '2001:10::1', '2001:20::1', '2001:db8::', '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff',
  '3fff::', '3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff', '5f00::1', '4000::1', '1fff:ffff::1', 'fc00::', 'fd00::1', 'fdff:ffff::1', 'fe80::1', 'febf::1', 'fec0::1', 'ff02::1', 'ff0e::1', 'a path';
$want{$_} = 'public' for '2000::1', '2001:200::', '2001:4860:4860::8888', '2001:db7:ffff::1', '2001:db9::', '2003::1', '2a00:1450::1', '2606:4700::1111', '3ffe::1', '3fff:1000::';
my @addresses = sort keys %want;
my %loopback = map { $_ => 1 } grep { /^127\.|^::1$|^::ffff:7f/ } @addresses;

IPC::Run::run(["$dir/address"], '<', \join('', map { "$_\n" } @addresses), '>', \my $out);
my @lines = split(/\n/, $out);
is(scalar(@lines), scalar(@addresses), 'each was judged');
is_deeply([@lines], [map { "$_ $want{$_} " . ($loopback{$_} ? 'loopback' : 'elsewhere') } @addresses], 'as IANA has it');
done_testing;
