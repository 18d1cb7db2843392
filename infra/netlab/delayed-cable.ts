/**
 * Room: infra. Joins two network namespaces by TUN devices and a process that hands packets from one to the
 * other after a delay.
 *
 * I1: the devices live as long as the process: nothing is left when it ends.
 *
 * Perl opens the devices, which takes an ioctl: it is on every Debian system (perl-base is essential).
 */

import type { CommandRunner, RunningCommand } from '@vmdn/core/io/command/command-runner.ts';

/**
 * Opens the TUN device named first and runs the rest, with the file's number as the last argument. Reads
 * of it never block (O_RDWR | O_NONBLOCK).
 */
const OPEN_TUN = `
  $^F = 1000;
  my $name = shift;
  sysopen(my $tun, '/dev/net/tun', 02 | 04000) or die "/dev/net/tun: $!";
  # TUNSETIFF with IFF_TUN | IFF_NO_PI (linux/if_tun.h)
  ioctl($tun, 0x400454ca, pack('a16 s x22', $name, 0x1001)) or die "TUNSETIFF: $!";
  exec(@ARGV, fileno($tun)) or die "exec: $!";`;

/** Starts the cable; its devices, named `device` in both namespaces, appear a moment later. */
export function startDelayedCable(
  runner: CommandRunner,
  cable: {
    readonly namespaces: readonly [string, string];
    readonly device: string;
    readonly delayMs: number;
  },
): RunningCommand {
  const inside = (namespace: string): string[] => [
    ...['netns', 'exec', namespace],
    ...['perl', '-e', OPEN_TUN, cable.device],
  ];
  const [one, other] = cable.namespaces;
  const relay = new URL('./delay-relay.ts', import.meta.url).pathname;
  const last = [process.execPath, relay, String(cable.delayMs)];
  const args = [...inside(one), 'ip', ...inside(other), ...last];
  return runner.start('ip', args, { lifetime: 'with-parent' });
}
