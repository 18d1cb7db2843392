/**
 * Room: io, command. guestfish(1) of libguestfs: a small Linux of its own, started on given disks for one
 * command and gone after it. io/appliance decides what for.
 *
 * I1: disks are named with their format and access; a disk for reading is seen through a throw-away overlay
 *     and opened read-only. Nothing is probed on the host.
 * I2: the appliance has no network card; its QEMU is sandboxed, and neither guestfish nor QEMU has
 *     capabilities or a way to get some.
 * I3: bounded in memory and time. guestfish is killed with this process, and its QEMU with guestfish
 *     (libguestfs' recovery process watches for that).
 */

import { VmdnError } from '../../domain/errors.ts';
import { QEMU_SANDBOX } from '../../formats/qemu-command-line.ts';
import type { CommandRunner } from './command-runner.ts';
import { missingToolMessage } from './tool-packages.ts';

/** A disk of the appliance. `label` is its name in /dev/disk/guestfs there: letters only, 20 at most. */
export interface ApplianceDisk {
  readonly label: string;
  readonly at: { readonly socketPath: string } | { readonly path: string };
  readonly format: 'raw' | 'qcow2';
  readonly access: 'read' | 'write';
}

export interface GuestfishRun {
  readonly disks: readonly ApplianceDisk[];
  /** A line for the appliance's own shell: ours, never anybody's words. */
  readonly command: string;
  readonly memoryMiB: number;
  readonly timeoutMs: number;
  /** Where QEMU's own words and libguestfs' sockets go: private and short. */
  readonly runDir: string;
  /** A folder with a fixed appliance: kernel, initrd, root, README.fixed. */
  readonly applianceDir: string;
  readonly accelerator: 'kvm' | 'tcg';
  readonly signal?: AbortSignal | undefined;
}

const PLAIN_PATH = /^\/[A-Za-z0-9._+@/=-]{1,400}$/;
/** rsync is three programs, and unpacking a package two. */
const PROCESSORS = 2;
const LABEL = /^[a-z]{1,20}$/;

/** Runs one command in an appliance. Throws `tool_missing`, `tool_failed`, `timeout`, `cancelled`. */
export async function runGuestfish(runner: CommandRunner, run: GuestfishRun): Promise<void> {
  const { timeoutMs, signal } = run;
  const confined = ['--no-new-privs', '--inh-caps=-all', '--bounding-set=-all'];
  const own = process.getuid?.() === 0 ? confined : ['--no-new-privs'];
  const args = ['--pdeathsig', 'KILL', ...own, '--', 'guestfish'];
  try {
    const input = guestfishScript(run);
    await runner.run('setpriv', args, { timeoutMs, signal, input, env: environmentOf(run) });
  } catch (error) {
    throw isMissing(error)
      ? new VmdnError('tool_missing', missingToolMessage('guestfish'), { cause: error })
      : error;
  }
}

function environmentOf(run: GuestfishRun): Record<string, string> {
  return {
    HOME: run.runDir,
    TMPDIR: run.runDir,
    XDG_RUNTIME_DIR: run.runDir,
    LIBGUESTFS_BACKEND: 'direct',
    LIBGUESTFS_CACHEDIR: run.runDir,
    LIBGUESTFS_PATH: run.applianceDir,
    ...(run.accelerator === 'tcg' ? { LIBGUESTFS_BACKEND_SETTINGS: 'force_tcg' } : {}),
  };
}

/** What guestfish reads from its standard input. Throws `invalid_input` for a path that needs quoting. */
export function guestfishScript({ disks, command, memoryMiB }: GuestfishRun): string {
  return [
    `set-memsize ${memoryMiB}`,
    `set-smp ${PROCESSORS}`,
    'set-network false',
    `config -sandbox ${QEMU_SANDBOX}`,
    ...disks.map(addLine),
    'run',
    `debug sh "${command}"`,
    '',
  ].join('\n');
}

function addLine({ label, at, format, access }: ApplianceDisk): string {
  const path = 'socketPath' in at ? at.socketPath : at.path;
  if (!PLAIN_PATH.test(path) || !LABEL.test(label)) {
    throw new VmdnError('invalid_input', `${path} cannot be named to an appliance.`, {
      data: { path, label },
    });
  }
  const isRead = access === 'read';
  const where = 'socketPath' in at ? `"" protocol:nbd server:unix:${path}` : path;
  // What is written is made durable by whoever takes the disk, after the appliance has ended.
  const how = isRead ? 'readonly:true' : 'cachemode:unsafe discard:besteffort';
  return `add ${where} format:${format} label:${label} ${how}`;
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && /setpriv: failed to execute guestfish/.test(error.message);
}
