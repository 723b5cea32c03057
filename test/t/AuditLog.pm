# test/t/AuditLog.pm
# A cluster with an audit trail, an issuer and tokens of it, and the records of its log.
package AuditLog;

use strict;
use warnings;

use JSON::PP;
use MIME::Base64 qw(encode_base64);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

my $jwk = '{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",'
  . '"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}';

# new NAME, SETTINGS: started, with database d, role app and issuer https://as.example
sub new
{
	my ($class, $name, $settings) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(allows_streaming => 1, extra => [ '--encoding=UTF8', '--locale=C.UTF-8' ]);
	my $self = bless { node => $node, read => 0, key => PostgreSQL::Test::Utils::tempdir . '/key' }, $class;
	$self->make_key;
	$node->append_conf('postgresql.conf', <<"CONF");
fsync = off
log_line_prefix = '%m [%p] %c %Q %q%u@%d '
shared_preload_libraries = 'smart_fhir'
smart_fhir.key_file = '$self->{key}'
max_prepared_transactions = 5
log_statement = none
compute_query_id = on
autovacuum = off
max_connections = 30
$settings
CONF
	$node->start;
	$node->safe_psql('postgres', q{CREATE DATABASE d; CREATE ROLE app LOGIN});
	$node->safe_psql('d', qq{CREATE EXTENSION smart_fhir;
		SELECT smart.add_issuer('https://as.example', ('$jwk'::jsonb) - 'd', '{https://fhir.example}', max_token_age => '40000 days',
			user_sees_all => true, max_patients => 1000)});
	return $self;
}

sub make_key
{
	my ($self) = @_;
	open(my $random, '<', '/dev/urandom') or die $!;
	read($random, my $bytes, 32) == 32 or die 'no randomness';
	unlink $self->{key};
	open(my $file, '>', $self->{key}) or die "$self->{key}: $!";
	print $file encode_base64($bytes);
	close $file;
	chmod 0600, $self->{key};
	return;
}

sub node { return $_[0]{node} }

# token CLAIM => VALUE...: signed; sub s1, client_id c1, jti j1 and patient p1 where nothing else is said; undef leaves out
sub token
{
	my ($self, %claims) = @_;
	%claims = (iss => 'https://as.example', aud => 'https://fhir.example', sub => 's1', client_id => 'c1', jti => 'j1',
		iat => 1700000000, exp => 4102444800, scope => 'patient/*.cruds', patient => 'p1', %claims);
	delete $claims{$_} for grep { !defined $claims{$_} } keys %claims;
	my $json = JSON::PP->new->ascii->encode(\%claims) =~ s/'/''/gr;
	return $self->{node}->safe_psql('d', qq{SELECT smart.jwt_sign('$json', '$jwk')});
}

# sql TEXT, OPTIONS of psql...: what psql printed, errors too
sub sql
{
	my ($self, $sql, %options) = @_;
	my $user = delete $options{user} // 'app';
	my ($status, $out, $err) = $self->{node}->psql('d', $sql, on_error_stop => 0, extra_params => [ '-U', $user ], %options);
	return "$out\n$err";
}

# The log since it was last asked, once everything is in it.
sub text
{
	my ($self) = @_;
	# a session writes its last record when psql has gone
	for (1 .. 100)
	{
		last if $self->{node}->safe_psql('postgres', q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'd' AND backend_type = 'client backend'}) eq '0';
		select(undef, undef, undef, 0.05);
	}
	my $text = substr(PostgreSQL::Test::Utils::slurp_file($self->{node}->logfile), $self->{read});
	$self->{read} += length $text;
	return $text;
}

# Its records, as text; each is the whole rest of its line.
sub lines
{
	my ($self) = @_;
	return $self->text =~ /LOG:  smart_fhir audit: (\{.*\})$/mg;
}

sub records
{
	my ($self, @events) = @_;
	my %wanted = map { $_ => 1 } @events;
	return grep { !@events || $wanted{ $_->{event} } } map { JSON::PP->new->decode($_) } $self->lines;
}

# What a test compares: chosen members of each record, one a line
sub brief
{
	my ($self, @members) = @_;
	my $json = JSON::PP->new->canonical->ascii->allow_nonref;
	return join "\n", map { my $r = $_; join ' ', map { defined $r->{$_} ? ref $r->{$_} ? $json->encode($r->{$_}) : $r->{$_} : '-' } @members }
	  grep { $_->{event} ne 'end' } $self->records;
}

sub hash
{
	my ($self, $kind, $value) = @_;
	return $self->{node}->safe_psql('d', q{SELECT smart.audit_hash('} . $kind . q{', $v$} . $value . q{$v$)});
}

sub verify
{
	my ($self, $line) = @_;
	return $self->{node}->safe_psql('d', q{SELECT smart.verify_audit($v$} . $line . q{$v$)});
}

1;
