# test/t/KeyServer.pm: an HTTPS server that answers key requests well, badly or not at all, by the path that is asked. Each
# connection has a process of its own. Certificates are made by a CA that is made with them.
package KeyServer;
use strict;
use warnings;

use Compress::Zlib ();
use IO::Socket::INET;
use IO::Socket::SSL;
use POSIX ();
use Time::HiRes qw(sleep);

# In every bad answer; no log and no column may show it.
our $MARK = 'PEERSBYTES';

our %KEY = (
	a => '{"kty":"EC","crv":"P-256","kid":"a","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}',
	b => '{"kty":"EC","crv":"P-256","kid":"b","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}');
sub keys_of { return '{"keys":[' . join(',', map { $KEY{$_} } @_) . ']}' }

# make_certificates DIR: ca.pem, and good.pem, name.pem, expired.pem, self.pem with their keys.
sub make_certificates
{
	my $dir = shift;
	my $quietly = ">>'$dir/openssl.log' 2>&1";
	my $key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
	my @sign = ("openssl x509 -req -CA '$dir/ca.pem' -CAkey '$dir/ca.key' -CAcreateserial");
	my %names = (good => 'DNS:localhost,DNS:evil.example,IP:127.0.0.1,IP:8.8.8.8', name => 'DNS:elsewhere.example', expired => 'DNS:localhost', self => 'DNS:localhost');

	my $run = sub { system("$_[0] $quietly") == 0 or die "failed: $_[0], see $dir/openssl.log" };
	$run->("openssl req -x509 $key -keyout '$dir/ca.key' -out '$dir/ca.pem' -days 2 -subj '/CN=test CA' -addext basicConstraints=critical,CA:TRUE");
	for my $name (sort keys %names)
	{
		open(my $ext, '>', "$dir/$name.ext") or die $!;
		print $ext "subjectAltName=$names{$name}\n";
		close($ext);
		if ($name eq 'self')
		{
			$run->("openssl req -x509 $key -keyout '$dir/$name.key' -out '$dir/$name.pem' -days 2 -subj /CN=localhost -addext subjectAltName=$names{$name}");
			next;
		}
		$run->("openssl req $key -keyout '$dir/$name.key' -out '$dir/$name.csr' -subj /CN=localhost");
		my $certify = "@sign -in '$dir/$name.csr' -out '$dir/$name.pem' -extfile '$dir/$name.ext'";
		# one that ended long ago: OpenSSL 3.0 takes -days -1, later ones refuse it and take dates
		next if $name eq 'expired' && system("$certify -not_before 20200101000000Z -not_after 20200102000000Z $quietly") == 0;
		$run->("$certify -days " . ($name eq 'expired' ? -1 : 2));
	}
}

sub reply
{
	my ($out, $status, $type, $body, @headers) = @_;
	print $out join("\r\n", "HTTP/1.1 $status", "Content-Type: $type", 'Content-Length: ' . length($body), 'Connection: close', @headers, '', $body);
}

sub chunks
{
	my ($out, $make, @headers) = @_;
	print $out join("\r\n", 'HTTP/1.1 200 OK', 'Content-Type: application/json', 'Transfer-Encoding: chunked', @headers, '', '');
	for (;;)
	{
		my $chunk = $make->();
		next if $chunk eq '';
		print $out sprintf("%x\r\n", length $chunk), $chunk, "\r\n" or return;
	}
}

my $json = 'application/json';
our %ANSWERS = (
	silent => sub { sleep(60) },
	slow => sub { my $out = shift; print $out "HTTP/1.1 200 OK\r\nContent-Type: $json\r\nContent-Length: 5000\r\n\r\n"; for (1 .. 600) { print $out '{' or return; sleep(0.1) } },
	slow_headers => sub { my $out = shift; print $out "HTTP/1.1 200 OK\r\n"; for (1 .. 600) { print $out "X-$_: $MARK\r\n" or return; sleep(0.1) } },
	huge => sub { my $out = shift; reply($out, '200 OK', $json, keys_of('b') . (' ' x (256 * 1024))) },
	announced => sub { my $out = shift; print $out "HTTP/1.1 200 OK\r\nContent-Type: $json\r\nContent-Length: 1000000000\r\n\r\n{" },
	endless => sub { my $out = shift; chunks($out, sub { ' ' x 10000 }) },
	bomb => sub { my $out = shift; my $z = Compress::Zlib::deflateInit(-WindowBits => 16 + Compress::Zlib::MAX_WBITS()); chunks($out, sub { $z->deflate(' ' x 1000000) }, 'Content-Encoding: gzip') },
	# blocks that hold nothing, after a header that says gzip
	empty_blocks => sub { my $out = shift; my $head = "\x1f\x8b\x08\0\0\0\0\0\0\x03"; chunks($out, sub { my $chunk = $head . "\0\0\0\xff\xff" x 1000; $head = ''; $chunk }, 'Content-Encoding: gzip') },
	bad_gzip => sub { my $out = shift; reply($out, '200 OK', $json, "$MARK is not compressed", 'Content-Encoding: gzip') },
	headers => sub { my $out = shift; print $out "HTTP/1.1 200 OK\r\n"; for (1 .. 1000) { print $out "X-$_: $MARK\r\n" x 500 or return } },
	continues => sub { my $out = shift; for (1 .. 1000) { print $out "HTTP/1.1 100 Continue\r\n\r\n" x 500 or return } },
	garbage => sub { my $out = shift; reply($out, '200 OK', $json, "$MARK\xff\xfe{{{\x1b[2J") },
	nul => sub { my $out = shift; reply($out, '200 OK', $json, keys_of('b') . "\0$MARK") },
	escaped_nul => sub { my $out = shift; reply($out, '200 OK', $json, '{"keys":[],"x":"\u0000"}') },
	not_utf8 => sub { my $out = shift; reply($out, '200 OK', $json, qq({"keys":[$KEY{b}],"x":"\xc3\x28"})) },
	deep => sub { my $out = shift; reply($out, '200 OK', $json, '[' x 200000) },
	nothing => sub { my $out = shift; reply($out, '200 OK', $json, '') },
	html => sub { my $out = shift; reply($out, '200 OK', 'text/html', keys_of('b')) },
	no_type => sub { my $out = shift; print $out "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", keys_of('b') },
	closed => sub { },
	half => sub { my $out = shift; print $out "HTTP/1.1 200 OK\r\nContent-Type: $json\r\nContent-Length: 1000\r\n\r\n", keys_of('b') },
	half_chunk => sub { my $out = shift; print $out "HTTP/1.1 200 OK\r\nContent-Type: $json\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n", keys_of('b') },
	half_json => sub { my $out = shift; reply($out, '200 OK', $json, substr(keys_of('b'), 0, 80)) },
	http09 => sub { my $out = shift; print $out keys_of('b') },
	redirect => sub { my $out = shift; reply($out, '302 Found', $json, keys_of('b'), "Location: /keys/moved") },
	moved => sub { my $out = shift; reply($out, '308 Permanent Redirect', $json, keys_of('b'), "Location: http://127.0.0.1:1/$MARK") },
	not_found => sub { my $out = shift; reply($out, '404 Not Found', $json, keys_of('b')) },
	broken => sub { my $out = shift; reply($out, '500 Oops', $json, keys_of('b')) },
	no_content => sub { my $out = shift; print $out "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n" },
	partial => sub { my $out = shift; reply($out, '206 Partial Content', $json, keys_of('b')) },
	unauthorized => sub { my $out = shift; reply($out, '401 Unauthorized', $json, keys_of('b'), qq(WWW-Authenticate: Basic realm="$MARK")) },
	no_keys => sub { my $out = shift; reply($out, '200 OK', $json, '{"keys":[]}') },
	object => sub { my $out = shift; reply($out, '200 OK', $json, qq({"error":"$MARK"})) },
	array => sub { my $out = shift; reply($out, '200 OK', $json, '[]') },
	scalar => sub { my $out = shift; reply($out, '200 OK', $json, '"keys"') },
	one_key => sub { my $out = shift; reply($out, '200 OK', $json, $KEY{b}) },
	many_keys => sub { my $out = shift; reply($out, '200 OK', $json, '{"keys":[' . join(',', ($KEY{b}) x 101) . ']}') },
	useless => sub { my $out = shift; reply($out, '200 OK', $json, qq({"keys":[{"kty":"EC","crv":"P-256","kid":"$MARK","x":"AA","y":"AA"}]})) },
	secret => sub { my $out = shift; reply($out, '200 OK', $json, '{"keys":[{"kty":"oct","kid":"h","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}]}') },
	# and good ones
	later => sub { my $out = shift; sleep(2); reply($out, '200 OK', $json, keys_of('b')) },
	mixed => sub { my $out = shift; reply($out, '200 OK', $json, qq({"keys":[$KEY{b},{"kty":"EC","crv":"P-256","kid":"$MARK","x":"AA","y":"AA"},{"kty":"$MARK","kid":"$MARK"}]})) },
	gzip => sub { my $out = shift; reply($out, '200 OK', $json, Compress::Zlib::memGzip(keys_of('b')), 'Content-Encoding: gzip') },
	suffix => sub { my $out = shift; reply($out, '200 OK', 'application/jwk-set+json; charset=utf-8', keys_of('b')) },
	capitals => sub { my $out = shift; reply($out, '200 OK', 'Application/JSON;charset=UTF-8', keys_of('b')) },
	cookie => sub { my ($out, $request) = @_; reply($out, '200 OK', $json, keys_of('b'), 'Set-Cookie: a=b; Path=/') },
	largest => sub { my $out = shift; my $keys = keys_of('b'); reply($out, '200 OK', $json, $keys . (' ' x (256 * 1024 - length $keys))) },
	hundred_keys => sub { my $out = shift; reply($out, '200 OK', $json, '{"keys":[' . join(',', map { my $k = $KEY{b}; $k =~ s/"kid":"b"/"kid":"b$_"/; $k } 1 .. 100) . ']}') });

# What began and ended when, of requests at the same time.
sub note_order
{
	my ($dir, $line) = @_;
	open(my $log, '>>', "$dir/order") or die $!;
	syswrite($log, "$line\n");
	close($log);
}

sub answers { return sort keys %ANSWERS }

sub answer
{
	my ($out, $dir) = @_;
	my $request = '';
	while (my $line = <$out>)
	{
		$request .= $line;
		last if $line =~ /^\r?\n/;
	}
	my ($path) = $request =~ m{^GET (\S+)} or return;
	open(my $log, '>>', "$dir/requests") or die $!;
	syswrite($log, $request =~ s/\r?\n/ | /gr . "\n");
	close($log);
	if ($path =~ m{^/answers/(\w+)(\?|$)} && $ANSWERS{$1})
	{
		my $answer = $ANSWERS{$1};
		note_order($dir, "begin $path");
		$answer->($out, $request);
		note_order($dir, "end $path");
	}
	else
	{
		# what the test put there, and changes
		my $file = "$dir/www" . ($path =~ s{[?].*}{}r);
		my $body;
		if (open(my $in, '<', $file))
		{
			local $/;
			$body = <$in>;
		}
		defined $body ? reply($out, '200 OK', $json, $body) : reply($out, '404 Not Found', $json, '{}');
	}
}

# new DIR, certificate => NAME (undef: plain HTTP), address => ..., port => ...
sub new
{
	my ($class, $dir, %options) = @_;
	my $listener = IO::Socket::INET->new(LocalAddr => $options{address} // '127.0.0.1', LocalPort => $options{port} // 0, Listen => 100, ReuseAddr => 1) or die "listen: $!";
	my $self = bless { port => $listener->sockport, dir => $dir }, $class;
	mkdir "$dir/www";
	my $pid = fork() // die $!;
	if ($pid == 0)
	{
		# nothing of the test's own: no END blocks, no server to stop
		setpgrp(0, 0);
		$SIG{$_} = 'DEFAULT' for qw(TERM INT HUP ALRM __DIE__);
		$SIG{CHLD} = 'IGNORE';
		$SIG{PIPE} = 'IGNORE';
		alarm 300;
		while (1)
		{
			my $client = $listener->accept or next;
			if ((fork() // 1) == 0)
			{
				alarm 90;
				$client = IO::Socket::SSL->start_SSL($client, SSL_server => 1, SSL_cert_file => "$dir/$options{certificate}.pem", SSL_key_file => "$dir/$options{certificate}.key") if $options{certificate};
				eval { $client->autoflush(1); answer($client, $dir) } if $client;
				$client->close if $client;
				POSIX::_exit(0);
			}
			$client->close;
		}
	}
	$self->{pid} = $pid;
	return $self;
}

sub port { return $_[0]{port} }

sub serve
{
	my ($self, $path, $body) = @_;
	my $file = "$self->{dir}/www/$path";
	my ($folder) = $file =~ m{^(.*)/};
	system('mkdir', '-p', $folder);
	open(my $out, '>', "$file.new") or die $!;
	print $out $body;
	close($out);
	rename("$file.new", $file) or die $!;
}

# The requests so far whose path matches.
sub requests
{
	my ($self, $pattern) = @_;
	open(my $in, '<', "$self->{dir}/requests") or return ();
	return grep { !defined $pattern || /$pattern/ } <$in>;
}

sub stop
{
	my $self = shift;
	kill('TERM', -$self->{pid}) if $self->{pid};
	waitpid($self->{pid}, 0) if $self->{pid};
	delete $self->{pid};
}

sub DESTROY { local ($?, $!, $@); $_[0]->stop }

1;
