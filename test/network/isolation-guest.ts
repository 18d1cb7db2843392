/**
 * Room: test, network. A guest that tries to reach the machine it runs on.
 *
 * A real Debian guest whose first process is a script: it brings the network up as QEMU's user
 * networking has it, tries all targets at once and speaks their protocols, prints what it found to the
 * console and serves it on port 80. The script goes into the disk by debugfs: nothing is mounted.
 */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runTool } from '@vmdn/infra/lab/tools.ts';

export interface IsolationTarget {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** What to say to it: an HTTP request, or PostgreSQL's SSLRequest (any answer is one byte). */
  readonly protocol: 'http' | 'postgres';
}

const PARTITION_OFFSET_BYTES = 1_048_576;
const TOOL_TIMEOUT_MS = 60_000;
/** A service that answers at all does so at once; this machine may be busy, and the guest is emulated. */
const ANSWER_SECONDS = 40;
const GRUB = '/boot/grub/grub.cfg';

/** The guest's first process. Perl is all that a minimal Debian needs for it. */
function script(targets: readonly IsolationTarget[]): string {
  const rows = targets.map(
    ({ name, host, port, protocol }) => `['${name}','${host}',${port},'${protocol}']`,
  );
  return `#!/usr/bin/perl
use Socket;
$| = 1;
sub ifreq { pack('a16 a16 x8', $_[0], $_[1]) }
sub address { pack('S n a4 x8', AF_INET, 0, inet_aton($_[0])) }
system('/sbin/modprobe', '-a', 'virtio_pci', 'virtio_net');
my $card;
for (1 .. 100) {
  ($card) = grep { $_ ne 'lo' } map { (split m{/})[-1] } glob('/sys/class/net/*');
  last if defined $card;
  select(undef, undef, undef, 0.2);
}
socket(my $control, AF_INET, SOCK_DGRAM, 0);
ioctl($control, 0x8916, ifreq($card, address('10.0.2.15'))) or print "address: $!\\n";
ioctl($control, 0x891c, ifreq($card, address('255.255.255.0'))) or print "mask: $!\\n";
ioctl($control, 0x8914, pack('a16 s x22', $card, 0x41)) or print "up: $!\\n";
my @route = (0, address('0.0.0.0'), address('10.0.2.2'), address('0.0.0.0'), 3);
ioctl($control, 0x890b, pack('Q a16 a16 a16 S x62', @route)) or print "route: $!\\n";
sub attempt {
  my ($name, $host, $port, $protocol) = @_;
  my $answer = '';
  eval {
    local $SIG{ALRM} = sub { die "timeout\\n" };
    alarm ${ANSWER_SECONDS};
    socket(my $peer, AF_INET, SOCK_STREAM, 0) or die "$!\\n";
    connect($peer, sockaddr_in($port, inet_aton($host))) or die "$!\\n";
    my $hello = $protocol eq 'http' ? "GET / HTTP/1.0\\r\\n\\r\\n" : pack('NN', 8, 80877103);
    syswrite($peer, $hello) or die "$!\\n";
    sysread($peer, $answer, 64) or die "closed\\n";
    alarm 0;
  };
  alarm 0;
  my $why = $@;
  chomp $why;
  return "$name: " . ($answer eq '' ? "blocked ($why)" : 'ANSWERED ' . unpack('H16', $answer)) . "\\n";
}
# Side by side, each in a process of its own: a target that is blocked takes its whole time.
my @lines;
for my $target (${rows.join(', ')}) {
  pipe(my $line, my $said);
  if (fork == 0) {
    syswrite($said, attempt(@$target));
    exit;
  }
  close $said;
  push @lines, $line;
}
my $report = join('', map { <$_> } @lines);
print "vmdn-isolation $_\n" for split(/\n/, $report);
socket(my $server, AF_INET, SOCK_STREAM, 0);
setsockopt($server, SOL_SOCKET, SO_REUSEADDR, 1);
bind($server, sockaddr_in(80, INADDR_ANY)) or print "bind: $!\\n";
listen($server, 8);
print "vmdn-isolation end\\n";
while (1) {
  next unless accept(my $client, $server);
  sysread($client, my $request, 4096);
  syswrite($client, "HTTP/1.0 200 OK\\r\\nContent-Type: text/plain\\r\\n\\r\\n$report");
  close $client;
}
`;
}

/** Puts the script into the disk at `path` (raw, one ext4 partition) as its first process. */
export async function makeIsolationGuest(
  path: string,
  targets: readonly IsolationTarget[],
): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'vmdn-isolation-'));
  const disk = `${path}?offset=${PARTITION_OFFSET_BYTES}`;
  const debugfs = async (commands: readonly string[]): Promise<void> => {
    const file = join(dir, 'commands');
    await writeFile(file, `${commands.join('\n')}\n`);
    await runTool(['debugfs', '-w', '-f', file, disk], { timeoutMs: TOOL_TIMEOUT_MS });
  };
  try {
    const [program, grub] = [join(dir, 'program'), join(dir, 'grub.cfg')];
    await writeFile(program, script(targets));
    await debugfs([`dump ${GRUB} ${grub}`]);
    const menu = await readFile(grub, 'utf8');
    await writeFile(grub, menu.replace(/^linux .*$/m, '$& init=/usr/sbin/vmdn-isolation'));
    await debugfs([
      'cd /usr/sbin',
      `write ${program} vmdn-isolation`,
      'sif vmdn-isolation mode 0100755',
      `rm ${GRUB}`,
      'cd /boot/grub',
      `write ${grub} grub.cfg`,
    ]);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
