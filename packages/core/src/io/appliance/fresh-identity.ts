/**
 * Room: io, appliance. Gives a guest an identity of its own (identity.sh) in a throw-away appliance.
 *
 * I1: programs of the guest run in an appliance without a network and nowhere else.
 * I2: what the appliance says is words of the guest's choosing: lines for people, without control characters.
 */

import { VmdnError } from '../../domain/errors.ts';
import { OTHER_IDENTITY } from '../../domain/identity.ts';
import type { FreshIdentity, FreshIdentityJob } from '../ports/fresh-identity.ts';
import { type Appliance, type ApplianceResult, JOB_FOLDER } from './appliance.ts';
import { diskLabel } from './inspect-in-appliance.ts';

/** The kernel, libguestfs' daemon, and one program of the guest that makes keys. */
const MEMORY_MIB = 768;
/** Under emulation on a busy machine it starts in a minute, and an RSA key takes seconds. */
const TIMEOUT_MS = 20 * 60_000;
const RESULT_BYTES_MAX = 2 ** 20;
const LINES_MAX = 100;
const LINE_CHARACTERS_MAX = 200;

export function createFreshIdentity(appliance: Appliance): FreshIdentity {
  return async (job) => {
    const labels = job.disks.map((_, index) => diskLabel(index));
    const result = await appliance.run({
      disks: job.disks.map(({ path, format }, index) => ({
        ...{ label: labels[index]!, at: { path }, access: 'write' },
        format: format === 'raw' ? 'raw' : 'qcow2',
      })),
      scripts: ['identity.sh', 'mount-guest.sh', 'rename-hosts.awk'],
      args: [JOB_FOLDER, ...labels],
      files: filesOf(job),
      ...{ memoryMiB: MEMORY_MIB, timeoutMs: TIMEOUT_MS, resultBytesMax: RESULT_BYTES_MAX },
      signal: job.signal,
    });
    requireDone(result);
    return plainLines(textOf(result, 'done'));
  };
}

function filesOf({ hostname, macs }: FreshIdentityJob): ReadonlyMap<string, Uint8Array> {
  const lines = macs.map(({ from, to }) => `${from} ${to}\n`);
  return new Map([
    ['hostname', Buffer.from(`${hostname}\n`)],
    ['macs', Buffer.from(lines.join(''))],
  ]);
}

/** What the exit codes of the script mean. */
const FAILURES: Readonly<Record<number, readonly ['unsupported_format' | 'tool_failed', string]>> =
  {
    10: ['unsupported_format', 'The guest cannot be given an identity of its own'],
    11: ['unsupported_format', 'The SSH host keys of the guest could not be made anew'],
    12: ['tool_failed', 'The identity of the guest could not be written'],
  };

function requireDone(result: ApplianceResult): void {
  const { exitCode, log } = result;
  if (exitCode === 0) return;
  const [code, words] = FAILURES[exitCode] ?? ['tool_failed', 'The guest got no new identity'];
  const [why = 'see the log'] = plainLines(textOf(result, 'failure'));
  throw new VmdnError(code, `${words}: ${why}; ${OTHER_IDENTITY}.`, {
    data: { exitCode, log: log.slice(-4000) },
  });
}

/** I2. */
function plainLines(text: string): string[] {
  const lines = text.split('\n').slice(0, LINES_MAX);
  return lines
    .map((line) =>
      line
        .replaceAll(/[\p{Cc}\u2028\u2029]/gu, ' ')
        .slice(0, LINE_CHARACTERS_MAX)
        .trim(),
    )
    .filter((line) => line !== '');
}

function textOf({ files }: ApplianceResult, name: string): string {
  return Buffer.from(files.get(name) ?? []).toString('utf8');
}
