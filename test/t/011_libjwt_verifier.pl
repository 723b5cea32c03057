# test/t/011_libjwt_verifier.pl: libjwt, outside the server, agrees with what the extension signs.
#
# Keys are made by OpenSSL for the run. Each token of each algorithm that libjwt knows must be
# accepted by both verifiers, and refused by both once its payload or signature is another's.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use MIME::Base64 qw(decode_base64 encode_base64url);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $program = "$dir/libjwt_verify";
my $cc = $ENV{CC} // 'cc';
my $flags = `pkg-config --cflags --libs libjwt 2>/dev/null`;
plan skip_all => 'libjwt and its header are not installed' if $? != 0;
chomp $flags;
system("$cc -o $program $FindBin::Bin/../c/libjwt_verify.c $flags") == 0
  or plan skip_all => 'no C compiler to build the second verifier';

my $node = PostgreSQL::Test::Cluster->new('libjwt');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION smart_fhir');

sub write_file
{
	my ($name, $content) = @_;
	open my $file, '>:raw', "$dir/$name" or die "$name: $!";
	print $file $content;
	close $file;
	return "$dir/$name";
}

# The numbers of a key that "openssl pkey -text" prints: hex lines after a label.
sub numbers
{
	my ($text) = @_;
	my (%number, $label);
	for (split /\n/, $text)
	{
		if (/^([a-zA-Z][a-zA-Z0-9 -]*):\s*(.*)$/) { $label = lc $1; $number{$label} = ''; $number{$label} = sprintf '%x', $1 if $2 =~ /^(\d+) \(/; }
		elsif (/^\s+([0-9a-f:]+)$/ && defined $label) { (my $hex = $1) =~ tr/://d; $number{$label} .= $hex; }
	}
	return \%number;
}

sub b64
{
	my ($hex, $bytes) = @_;
	$hex = "0$hex" if length($hex) % 2;
	$hex =~ s/^(00)+(?=..)//;
	$hex = ('0' x (2 * $bytes - length $hex)) . $hex if $bytes && length $hex < 2 * $bytes;
	return encode_base64url(pack 'H*', $hex);
}

sub rsa_key
{
	my $pem = `openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 2>/dev/null || openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 2>/dev/null`;
	my $path = write_file('rsa.pem', $pem);
	my $n = numbers(scalar `openssl pkey -in $path -noout -text`);
	system("openssl pkey -in $path -pubout -out $dir/rsa.pub.pem") == 0 or die;
	return ({ kty => 'RSA', n => b64($n->{modulus}), e => b64($n->{publicexponent}), d => b64($n->{privateexponent}),
			p => b64($n->{prime1}), q => b64($n->{prime2}), dp => b64($n->{exponent1}), dq => b64($n->{exponent2}),
			qi => b64($n->{coefficient}) }, "$dir/rsa.pub.pem");
}

sub ec_key
{
	my ($curve, $crv, $bytes) = @_;
	my $path = write_file("$crv.pem", scalar `openssl ecparam -name $curve -genkey -noout`);
	my $n = numbers(scalar `openssl pkey -in $path -noout -text`);
	system("openssl pkey -in $path -pubout -out $dir/$crv.pub.pem") == 0 or die;
	my $point = substr $n->{pub}, 2;
	return ({ kty => 'EC', crv => $crv, x => b64(substr($point, 0, 2 * $bytes), $bytes), y => b64(substr($point, 2 * $bytes), $bytes),
			d => b64($n->{priv}, $bytes) }, "$dir/$crv.pub.pem");
}

my $secret = join '', map { chr 33 + $_ } 0 .. 63;
my @rsa = rsa_key();
my %keys = (
	(map { $_ => [@rsa] } qw(RS256 RS384 RS512)),
	ES256 => [ ec_key('prime256v1', 'P-256', 32) ],
	ES384 => [ ec_key('secp384r1', 'P-384', 48) ],
	ES512 => [ ec_key('secp521r1', 'P-521', 66) ],
	(map { $_ => [ { kty => 'oct', k => encode_base64url($secret) }, write_file('secret', $secret) ] } qw(HS256 HS384 HS512)));

my $json = JSON::PP->new->canonical;

sub ours
{
	my ($token, $jwk) = @_;
	my %public = map { $_ => $jwk->{$_} } grep { $_ !~ /^(d|p|q|dp|dq|qi)$/ } keys %$jwk;
	my ($rc) = $node->psql('postgres', "SELECT smart.jws_verify('$token', '" . $json->encode({ keys => [ \%public ] }) . "')");
	return $rc == 0;
}

sub theirs
{
	my ($token, $key) = @_;
	my $path = write_file('token', $token);
	return system($program, $path, $key) == 0;
}

for my $alg (sort keys %keys)
{
	my ($jwk, $key) = @{ $keys{$alg} };
	my @tokens = map {
		$node->safe_psql('postgres', sprintf q{SELECT smart.jwt_sign('{"sub": "%s", "exp": 4000000000}', '%s', '{"alg": "%s"}')},
			$_, $json->encode($jwk), $alg)
	} qw(one two);
	ok(ours($tokens[0], $jwk) && theirs($tokens[0], $key), "$alg: both accept");
	my @one = split /\./, $tokens[0];
	my @two = split /\./, $tokens[1];
	my $crossed = "$one[0].$two[1].$one[2]";
	ok(!ours($crossed, $jwk) && !theirs($crossed, $key), "$alg: both refuse the payload of another token");
	my $foreign = "$one[0].$one[1].$two[2]";
	ok(!ours($foreign, $jwk) && !theirs($foreign, $key), "$alg: both refuse the signature of another token");
}

done_testing();
