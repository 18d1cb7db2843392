/**
 * Room: io, hypervisor. The QEMU process of a VM, found again by its pid file.
 *
 * I1: a pid is believed only when the process that has it now runs QEMU with the VM's own id on its
 *     command line: pids are reused, and nobody else's process is ever signalled.
 */

import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Id } from '../../domain/names.ts';
import type { Accelerator } from '../ports/hypervisor.ts';

/** How often a process that was asked to end is looked at. */
const POLL_MS = 50;

export interface QemuProcess {
  readonly pid: number;
  readonly accelerator: Accelerator;
}

/** The running QEMU of a VM, or null. */
export async function findQemuProcess(vm: Id, pidFile: string): Promise<QemuProcess | null> {
  const pid = Number((await readOrNull(pidFile))?.trim());
  if (!Number.isSafeInteger(pid) || pid <= 1) return null;
  return inspectProcess(vm, pid);
}

/** The process `pid`, when it is the QEMU of `vm`. */
export async function inspectProcess(vm: Id, pid: number): Promise<QemuProcess | null> {
  const commandLine = await readOrNull(`/proc/${pid}/cmdline`);
  const args = commandLine?.split('\0') ?? [];
  const named = args[args.indexOf('-uuid') + 1] === vm && args[0]?.includes('qemu-system') === true;
  if (!named) return null;
  const accelerator = args[args.indexOf('-accel') + 1]?.startsWith('kvm') ? 'kvm' : 'tcg';
  return { pid, accelerator };
}

/** Waits until the VM's process is gone, at most `timeoutMs`, or the signal. True when it is. */
export async function waitProcessGone(
  vm: Id,
  pid: number,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while ((await inspectProcess(vm, pid)) !== null) {
    if (performance.now() >= deadline || signal?.aborted) return false;
    await delay(POLL_MS);
  }
  return true;
}

/** Signals the VM's process, if it still is the VM's. */
export async function signalProcess(vm: Id, pid: number, signal: NodeJS.Signals): Promise<void> {
  if ((await inspectProcess(vm, pid)) === null) return;
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function readOrNull(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return null;
    throw error;
  }
}
