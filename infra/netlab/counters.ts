/**
 * Room: infra. The kernel's counters of a lab: bytes of an interface or of the limiter in front of it, and
 * TCP segments.
 *
 * I1: figures are the kernel's own; a tool that prints none is an error, never a zero.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { CommandRunner } from '@vmdn/core/io/command/command-runner.ts';

/** Bytes that crossed the cable since the lab opened, as the edge's interface counts them. */
export interface Metered {
  readonly receivedBytes: number;
  readonly sentBytes: number;
  /** Both directions. */
  readonly totalBytes: number;
}

/** TCP segments of one side, by its kernel's own counters (RFC 4022, tcpOutSegs and tcpRetransSegs). */
export interface Segments {
  /** Without those that were sent again. */
  readonly sent: number;
  readonly sentAgain: number;
}

/** One call of `ip` or `tc`; they answer in milliseconds. */
const TOOL_TIMEOUT_MS = 20_000;

/** What the interface of one side counts. Throws `tool_failed`. */
export async function readInterface(
  runner: CommandRunner,
  namespace: string,
  device: string,
): Promise<Metered> {
  const args = ['-n', namespace, '-j', '-s', 'link', 'show', 'dev', device];
  const { stdout } = await runner.run('ip', args, { timeoutMs: TOOL_TIMEOUT_MS });
  const [link] = JSON.parse(stdout) as {
    stats64?: { rx?: { bytes?: unknown }; tx?: { bytes?: unknown } };
  }[];
  const receivedBytes = link?.stats64?.rx?.bytes;
  const sentBytes = link?.stats64?.tx?.bytes;
  if (typeof receivedBytes !== 'number' || typeof sentBytes !== 'number') {
    throw new VmdnError('tool_failed', 'ip printed no counters for the lab’s interface.', {
      data: { stdout: stdout.slice(0, 500) },
    });
  }
  return { receivedBytes, sentBytes, totalBytes: receivedBytes + sentBytes };
}

/** Bytes that the limiter in front of an interface let pass. Throws `tool_failed`. */
export async function readLimiter(
  runner: CommandRunner,
  namespace: string,
  device: string,
): Promise<number> {
  const args = ['-n', namespace, '-j', '-s', 'qdisc', 'show', 'dev', device];
  const { stdout } = await runner.run('tc', args, { timeoutMs: TOOL_TIMEOUT_MS });
  const [limiter] = JSON.parse(stdout) as { bytes?: unknown }[];
  if (typeof limiter?.bytes === 'number') return limiter.bytes;
  throw new VmdnError('tool_failed', 'tc printed no counters for the lab’s limiter.', {
    data: { stdout: stdout.slice(0, 500) },
  });
}

export async function readSegments(runner: CommandRunner, namespace: string): Promise<Segments> {
  const args = ['netns', 'exec', namespace, 'cat', '/proc/net/snmp'];
  const { stdout } = await runner.run('ip', args, { timeoutMs: TOOL_TIMEOUT_MS });
  const [names = [], values = []] = stdout
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.split(' '));
  const counter = (name: string): number => Number(values[names.indexOf(name)]);
  return { sent: counter('OutSegs'), sentAgain: counter('RetransSegs') };
}
