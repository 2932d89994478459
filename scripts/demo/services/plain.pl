# The demo's service without any XML: answers every request with "healthy". It must not be touched by the fix.
use strict;
use warnings;
use IO::Socket::INET;

$| = 1;

# The kernel ignores a signal's default action for process 1, so it has to be said.
$SIG{TERM} = sub { exit 0 };
$SIG{PIPE} = 'IGNORE';
my $server = IO::Socket::INET->new(LocalPort => 8080, Listen => 16, ReuseAddr => 1) or die "plain: $@";
print "plain: listening on port 8080\n";
while (1) {
  my $connection = $server->accept or next;
  while (defined(my $line = <$connection>)) { last if $line =~ /^\r?\n$/ }
  my $body = "{\"healthy\": true}\n";
  print $connection "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ", length $body,
    "\r\nConnection: close\r\n\r\n", $body;
  close $connection;
}
