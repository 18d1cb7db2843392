/**
 * Room: io, command. Adapter of virsh, libvirt's own tool: domains by their UUID.
 *
 * I1: a domain is named by an Id and a disk by a name of ours: nothing else of an argument comes from
 *     outside.
 * I2: a domain that is not there is an answer (null, or nothing done), not a failure; libvirt that cannot be
 *     reached is `unavailable`.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isVmdnError, VmdnError } from '../../domain/errors.ts';
import { ID_PATTERN, type Id } from '../../domain/names.ts';
import type { CommandRunner } from './command-runner.ts';

/** libvirtd begins by asking every emulator what it can do: 15 s where that was never asked. */
const QUICK_MS = 60_000;
/** A snapshot with frozen file systems: an agent has 30 s to freeze, to thaw, and to be found. */
const SNAPSHOT_MS = 180_000;
/** How long a guest's agent may take to answer at all, and to do what it is asked. */
const AGENT_PING_SECONDS = 5;
const AGENT_SECONDS = 30;
/** What a guest has written since its start may be all of a terabyte. */
const COPY_MS = 6 * 3_600_000;

const NOT_THERE = /Domain not found|failed to get domain/;
const NOT_RUNNING = /domain is not running|Domain not found|failed to get domain/;
const ALREADY_RUNNING = /domain is already running|already active/;
/** It has none, it is not started, or it does not answer. */
const NO_AGENT = /guest agent|agent command|agent is not|domain is not running|agent unavailable/i;
const UNREACHABLE = /failed to connect to the hypervisor|Failed to connect socket/;

export interface Virsh {
  /** libvirt's and QEMU's versions, for the log. */
  version(): Promise<string>;
  /** Whether domains of that kind can be run with this emulator. Throws `tool_failed`. */
  requireCapable(kind: 'kvm' | 'qemu', emulator: string): Promise<void>;
  /** The domain's definition: as it runs, or as it would start; null when there is none. */
  dumpXml(domain: Id, options?: { readonly inactive: boolean }): Promise<string | null>;
  /** Why it is in its state: `paused (I/O error)`; null when there is no such domain. */
  stateReason(domain: Id): Promise<string | null>;
  define(definition: string): Promise<void>;
  /** Forgets a domain; files stay. */
  undefine(domain: Id): Promise<void>;
  start(domain: Id): Promise<void>;
  shutDown(domain: Id): Promise<void>;
  /** Ends it: SIGTERM, then SIGKILL. */
  destroy(domain: Id): Promise<void>;
  resume(domain: Id): Promise<void>;
  paused(): Promise<readonly Id[]>;
  /** Domains that have a definition, running or not. */
  persistent(): Promise<readonly Id[]>;
  /**
   * Copies what lies in a disk's top layer to the file that `target` describes, and goes on with that one.
   */
  copyTopLayer(domain: Id, disk: string, target: string): Promise<void>;
  /**
   * Puts overlays on a running domain's disks, all at one moment, and keeps no record of that: from then on
   * the guest writes into them. `quiesce`: its agent freezes its file systems before and thaws them after.
   */
  takeOverlays(domain: Id, snapshot: string, options: { readonly quiesce: boolean }): Promise<void>;
  /** Writes what lies in a running domain's top layer into the one below it, and goes on with that one. */
  commitTopLayer(domain: Id, disk: string): Promise<void>;
  /** Replaces the disk of that name in the definition; what runs stays as it is. Waits for its turn. */
  redefineDisk(domain: Id, document: string): Promise<void>;
  /** Whether the guest's agent answers within seconds; what it is asked later it has 30 s for. */
  agentAnswers(domain: Id): Promise<boolean>;
  /** Has the agent thaw the guest's file systems; one that is not frozen stays as it is. */
  thaw(domain: Id): Promise<void>;
  /** Domains that are off with their memory kept: they go on as they were when they are started. */
  saved(): Promise<readonly Id[]>;
  /** Ends a copy or a commit under way; the domain goes on with what it had. */
  abortCopy(domain: Id, disk: string): Promise<void>;
  /** What QEMU says of the guest's connections: a question that changes nothing. */
  userNetwork(domain: Id): Promise<string>;
}

/** `env`: where an ordinary user's libvirt is found (HOME, XDG_RUNTIME_DIR, …). */
export function createVirsh(
  runner: Pick<CommandRunner, 'run'>,
  config: { readonly uri: string; readonly env?: Readonly<Record<string, string>> },
): Virsh {
  const call: Call = async (args, more = {}) => {
    const { timeoutMs = QUICK_MS, unless } = more;
    const result = await runner.run('virsh', ['-q', '-c', config.uri, ...args], {
      timeoutMs,
      okExitCodes: [0, 1],
      ...(config.env === undefined ? {} : { env: config.env }),
    });
    if (result.exitCode === 0) return result.stdout;
    const words = result.stderr.trim();
    if (unless?.test(words)) return null;
    const isAway = UNREACHABLE.test(words);
    const message = isAway
      ? `libvirt can't be reached at ${config.uri}; start libvirtd. It says: ${words}`
      : `virsh ${args[0]} failed: ${words}`;
    throw new VmdnError(isAway ? 'unavailable' : 'tool_failed', message);
  };
  const list = async (...which: readonly string[]): Promise<readonly Id[]> => {
    const lines = (await call(['list', ...which, '--uuid']))!.split('\n');
    return lines.map((line) => line.trim()).filter((line) => ID_PATTERN.test(line)) as Id[];
  };
  return {
    ...overlayCommands(call),
    saved: () => list('--all', '--with-managed-save'),
    version: async () => (await call(['version']))!.trim(),
    async requireCapable(kind, emulator) {
      const machine = ['--arch', 'x86_64', '--machine', 'q35', '--emulatorbin', emulator];
      await call(['domcapabilities', '--virttype', kind, ...machine]);
    },
    dumpXml: (domain, { inactive } = { inactive: false }) =>
      call(on(domain, 'dumpxml', ...(inactive ? ['--inactive'] : [])), { unless: NOT_THERE }),
    async stateReason(domain) {
      const state = await call(on(domain, 'domstate', '--reason'), { unless: NOT_THERE });
      return state?.trim() ?? null;
    },
    async define(definition) {
      await withFile(definition, (path) => call(['define', '--validate', '--file', path]));
    },
    async undefine(domain) {
      await call(on(domain, 'undefine', '--keep-nvram'), { unless: NOT_THERE });
    },
    async start(domain) {
      await call(on(domain, 'start'), { unless: ALREADY_RUNNING });
    },
    async shutDown(domain) {
      await call(on(domain, 'shutdown', '--mode', 'acpi'), { unless: NOT_RUNNING });
    },
    async destroy(domain) {
      await call(on(domain, 'destroy'), { unless: NOT_RUNNING });
    },
    async resume(domain) {
      await call(on(domain, 'resume'), { unless: NOT_RUNNING });
    },
    paused: () => list('--state-paused'),
    persistent: () => list('--all', '--persistent'),
    async copyTopLayer(domain, disk, target) {
      const how = ['--shallow', '--reuse-external', '--transient-job', '--wait', '--pivot'];
      const copy = (path: string) => on(domain, 'blockcopy', '--path', disk, '--xml', path, ...how);
      await withFile(target, (path) => call(copy(path), { timeoutMs: COPY_MS }));
    },
    async abortCopy(domain, disk) {
      await call(on(domain, 'blockjob', '--path', disk, '--abort'), { unless: NOT_RUNNING });
    },
    async userNetwork(domain) {
      const args = on(domain, 'qemu-monitor-command', '--hmp', '--cmd', 'info usernet');
      const said = await call(args, { unless: NOT_RUNNING });
      if (said === null) throw new VmdnError('unavailable', 'The VM ended.');
      return said;
    },
  };
}

type OverlayCommands = Pick<
  Virsh,
  'takeOverlays' | 'commitTopLayer' | 'redefineDisk' | 'agentAnswers' | 'thaw'
>;

/** What is done with a running domain's disks and the agent in its guest. */
function overlayCommands(call: Call): OverlayCommands {
  return {
    async takeOverlays(domain, snapshot, { quiesce }) {
      const how = ['--disk-only', '--atomic', '--no-metadata', ...(quiesce ? ['--quiesce'] : [])];
      await withFile(snapshot, (path) =>
        call(on(domain, 'snapshot-create', '--xmlfile', path, ...how), { timeoutMs: SNAPSHOT_MS }),
      );
    },
    async commitTopLayer(domain, disk) {
      const how = ['--active', '--shallow', '--pivot', '--wait'];
      await call(on(domain, 'blockcommit', '--path', disk, ...how), { timeoutMs: COPY_MS });
    },
    async redefineDisk(domain, document) {
      await withFile(document, (path) =>
        call(on(domain, 'update-device', '--file', path, '--config')),
      );
    },
    async agentAnswers(domain) {
      const ping = ['--timeout', String(AGENT_PING_SECONDS), '--cmd', '{"execute":"guest-ping"}'];
      const answer = await call(on(domain, 'qemu-agent-command', ...ping), { unless: NO_AGENT });
      if (answer === null) return false;
      // Without a limit libvirt waits for an agent that hangs, and the domain with it.
      await call(on(domain, 'guest-agent-timeout', '--timeout', String(AGENT_SECONDS)));
      return true;
    },
    async thaw(domain) {
      await call(on(domain, 'domfsthaw'), { unless: NOT_RUNNING });
    },
  };
}

function on(domain: Id, command: string, ...args: readonly string[]): string[] {
  return [command, '--domain', domain, ...args];
}

/** virsh opens what it reads by a name, which an open socket has not. */
async function withFile<Value>(
  text: string,
  use: (path: string) => Promise<Value>,
): Promise<Value> {
  const dir = await mkdtemp(join(tmpdir(), 'vmdn-virsh-'));
  try {
    const path = join(dir, 'document.xml');
    await writeFile(path, text, { mode: 0o600, flag: 'wx' });
    return await use(path);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Runs virsh; null: it said one of the things that the caller takes for an answer. */
type Call = (args: readonly string[], more?: CallOptions) => Promise<string | null>;

interface CallOptions {
  readonly timeoutMs?: number;
  /** What it may say instead of succeeding. */
  readonly unless?: RegExp;
}

/** Says what is missing, when a VM can't be run by libvirt here. Throws `tool_missing`, `unavailable`, … */
export async function requireLibvirt(
  virsh: Pick<Virsh, 'version' | 'requireCapable'>,
  options: { readonly accelerator: 'kvm' | 'tcg'; readonly emulator: string },
): Promise<string> {
  const version = await virsh.version();
  try {
    await virsh.requireCapable(options.accelerator === 'kvm' ? 'kvm' : 'qemu', options.emulator);
  } catch (cause) {
    if (!isVmdnError(cause, 'tool_failed')) throw cause;
    const message =
      `libvirt can't run VMs here (${cause.message}); it needs the packages ` +
      'libvirt-daemon-driver-qemu and qemu-system-x86.';
    throw new VmdnError('tool_missing', message, { cause });
  }
  return version;
}
