/**
 * Room: io, hypervisor (tests). A libvirtd and a virtlogd of a test's own, with all that they keep in one
 * folder.
 *
 * I1: neither reads or writes anything of the machine's own libvirt; both are ended by their pids.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, openSync, readFileSync } from 'node:fs';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { vi } from 'vitest';
import { createCommandRunner } from '../command/command-runner.ts';
import { createVirsh, type Virsh } from '../command/virsh.ts';

/** libvirtd asks each emulator of the machine what it can do before it answers: 15 s, or a multiple. */
const START_TIMEOUT_MS = 300_000;
const END_TIMEOUT_MS = 30_000;
const SCRIPT = fileURLToPath(new URL('private-libvirt.fixture.sh', import.meta.url));

export interface PrivateLibvirt extends AsyncDisposable {
  readonly uri: string;
  readonly virsh: Virsh;
  /** Kills libvirtd; domains run on. */
  kill(): Promise<void>;
  start(): Promise<void>;
}

export async function startPrivateLibvirt(): Promise<PrivateLibvirt> {
  // Short: sockets of domains lie below it.
  const dir = await mkdtemp(join(tmpdir(), 'vlv-'));
  await chmod(dir, 0o711);
  const isRoot = process.getuid?.() === 0;
  const socket = isRoot ? join(dir, 'libvirt-sock') : join(dir, 'libvirt', 'libvirt-sock');
  const uri = `qemu+unix:///${isRoot ? 'system' : 'session'}?socket=${socket}`;
  const virsh = createVirsh(createCommandRunner(), { uri, env: isRoot ? {} : homeIn(dir) });
  let daemon: ChildProcess | undefined;
  let gone: Promise<unknown> | undefined;
  const kill = async (signal: NodeJS.Signals = 'SIGKILL'): Promise<void> => {
    daemon?.kill(signal);
    await gone;
    daemon = undefined;
  };
  const libvirt: PrivateLibvirt = {
    ...{ uri, virsh },
    kill: () => kill(),
    async start() {
      const log = openSync(join(dir, 'libvirtd.log'), 'a', 0o600);
      const stdio = ['ignore', log, log] as const;
      daemon = isRoot
        ? spawn('unshare', ['--mount', '--propagation', 'slave', '--', SCRIPT, dir], {
            stdio: [...stdio],
          })
        : spawn('libvirtd', [], { stdio: [...stdio], env: homeIn(dir) });
      gone = once(daemon, 'exit');
      await vi.waitFor(() => virsh.version(), { timeout: START_TIMEOUT_MS, interval: 200 });
    },
    async [Symbol.asyncDispose]() {
      await kill('SIGTERM');
      await endByPidFile(join(dir, isRoot ? '' : 'libvirt', 'virtlogd.pid'));
      await rm(dir, { recursive: true, force: true });
    },
  };
  await libvirt.start();
  return libvirt;
}

/** Where an ordinary user's libvirt keeps all of its things. */
function homeIn(dir: string): Record<string, string> {
  const homes = ['XDG_RUNTIME_DIR', 'XDG_CONFIG_HOME', 'XDG_CACHE_HOME', 'XDG_DATA_HOME', 'HOME'];
  const path = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };
  return { ...path, ...Object.fromEntries(homes.map((name) => [name, dir])) };
}

async function endByPidFile(path: string): Promise<void> {
  // An ordinary user's is started by libvirtd when the first guest is.
  const pid = existsSync(path) ? Number((await readFile(path, 'utf8')).trim()) : 0;
  if (!Number.isSafeInteger(pid) || pid <= 1 || !isThere(pid)) return;
  process.kill(pid, 'SIGTERM');
  const isGone = (): void => {
    if (isThere(pid)) throw new Error(`virtlogd (${pid}) does not end`);
  };
  await vi.waitFor(isGone, { timeout: END_TIMEOUT_MS, interval: 100 });
}

/** A process that ended and that nobody has asked about yet has no command line. */
function isThere(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`).length > 0;
  } catch {
    return false;
  }
}
