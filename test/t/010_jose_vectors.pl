# test/t/010_jose_vectors.pl: every shared JOSE vector gets the verdict that it must have.
#
# A vector that must be refused has to fail with the layer's own SQLSTATE, a valid one has
# to give its payload, a key its thumbprint, and the connection has to live on after each.
use strict;
use warnings;
use FindBin;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $data = ($ENV{SMART_FHIR_DATA} // "$FindBin::Bin/../../../shared/data") . '/jose';
plan skip_all => "no vectors in $data" unless -d $data;

my $node = PostgreSQL::Test::Cluster->new('jose');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]);
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION smart_fhir');

my $json = JSON::PP->new->allow_nonref->canonical;
my $utf8_json = JSON::PP->new->utf8;

sub literal
{
	my ($text) = @_;
	return 'NULL' unless defined $text;
	$text =~ s/([\\'])/$1$1/g;
	utf8::encode($text);
	return "E'$text'";
}

sub query_of
{
	my ($vector, $set) = @_;
	return 'smart.jwk_thumbprint(' . literal($json->encode($vector->{jwk})) . '::jsonb)'
	  if $vector->{kind} eq 'jwk-parse';
	my $arguments = literal($vector->{token}) . ', ' . literal($json->encode($set)) . '::jsonb';
	return "encode(smart.jws_verify($arguments), 'hex')" if $vector->{kind} eq 'jws-verify';
	my ($issuer, $audience) = (literal($vector->{issuer}), literal($vector->{audience}));
	return "smart.jwt_verify($arguments, $issuer, ARRAY[$audience], at => to_timestamp($vector->{now}))";
}

# The answer that a valid vector has to give, as a condition on the column "answer".
sub answer_condition
{
	my ($vector) = @_;
	return "answer = " . literal($vector->{thumbprint_sha256})
	  if $vector->{kind} eq 'jwk-parse';
	if ($vector->{kind} eq 'jws-verify')
	{
		my $payload = $vector->{payload_text};
		if (defined $payload)
		{
			utf8::encode($payload);
			return "answer = '" . unpack('H*', $payload) . "'";
		}
		my $b64u = $vector->{payload_b64u} // '';
		$b64u =~ tr{-_}{+/};
		$b64u .= '=' while length($b64u) % 4;
		return "answer = encode(decode('$b64u', 'base64'), 'hex')";
	}
	# the claims are those of the token, read by other means
	my $part = (split /\./, $vector->{token})[1];
	$part =~ tr{-_}{+/};
	$part .= '=' while length($part) % 4;
	return "answer::jsonb = convert_from(decode('$part', 'base64'), 'UTF8')::jsonb";
}

my @files = sort glob("$data/*.json");
my ($n, %count, @sql, @vectors) = (0);
for my $file (@files)
{
	my $content = $utf8_json->decode(slurp_file($file));
	for my $vector (@{ $content->{vectors} })
	{
		my $set = defined $vector->{jwks_ref} ? $content->{jwks}{ $vector->{jwks_ref} } : undef;
		my $query = query_of($vector, $set);
		# never a constant: the planner would drop the call
		my $check =
		  $vector->{expect} eq 'invalid' || ($vector->{kind} eq 'jwk-parse' && !$vector->{thumbprint_sha256})
		  ? 'answer IS NOT NULL'
		  : answer_condition($vector);
		push @vectors, $vector;
		# the block keeps the answer, so that a wrong one and a refusal can be told apart
		push @sql, "\\echo #$n",
		  "SELECT ($check)::text AS verdict FROM (SELECT $query AS answer OFFSET 0) AS q \\gset",
		  '\if :ERROR', '\echo refused :LAST_ERROR_SQLSTATE', '\else', '\echo accepted :verdict', '\endif';
		$n++;
	}
}

my ($stdout, $stderr) = ('', '');
my $status = $node->psql('postgres', join("\n", @sql, ''),
	stdout => \$stdout, stderr => \$stderr, on_error_stop => 0);
is($status, 0, 'the connection outlives all vectors');

my %seen;
my $id;
for my $line (split /\n/, $stdout)
{
	if ($line =~ /^#(\d+)$/) { $id = $1; }
	elsif ($line =~ /^(refused|accepted) (\S+)$/) { $seen{$id} = [ $1, $2 ]; }
}

my @wrong;
for my $i (0 .. $#vectors)
{
	my $vector = $vectors[$i];
	my ($verdict, $what) = @{ $seen{$i} // [ 'nothing', '' ] };
	my $state = $vector->{kind} eq 'jwk-parse' ? '22P02' : '28000';
	my $right =
	    $verdict eq 'refused'  ? $vector->{expect} ne 'valid' && $what eq $state
	  : $verdict eq 'accepted' ? $vector->{expect} ne 'invalid' && $what eq 'true'
	  :                          0;

	$count{"$vector->{kind} $vector->{expect} $verdict"}++;
	push @wrong, "$vector->{id}: $verdict $what ($vector->{why})" unless $right;
}
is(scalar(keys %seen), scalar(@vectors), 'every vector was judged');
is(scalar(@wrong), 0, 'every verdict is right') or diag(join("\n", @wrong));
note("$_: $count{$_}") for sort keys %count;

# No token and no key reaches the log by way of our own errors.
my $log = slurp_file($node->logfile);
cmp_ok(() = $log =~ /access token is not accepted/g, '>', 0, 'refusals are logged');
unlike($log, qr/STATEMENT:.*smart\.jw/, 'their statements are not');

$node->stop;
done_testing();
