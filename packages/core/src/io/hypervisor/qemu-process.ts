/**
 * Room: io, hypervisor. The QEMU process of a VM, found again by its pid file.
 *
 * I1: a pid is believed only when the process that has it now runs QEMU with the VM's own id on its
 *     command line: pids are reused, and nobody else's process is ever signalled.
 * I2: one that ends is gone when it has let go of its disks and its ports, not before (process-mark.ts I2).
 */

import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Id } from '../../domain/names.ts';
import { hasEnded, markProcess, type ProcessMark } from '../command/process-mark.ts';
import type { Accelerator } from '../ports/hypervisor.ts';

/** How often a process that was asked to end is looked at. */
const POLL_MS = 50;

export interface QemuProcess extends ProcessMark {
  readonly accelerator: Accelerator;
}

/** The running QEMU of a VM, or null. */
export async function findQemuProcess(vm: Id, pidFile: string): Promise<QemuProcess | null> {
  const pid = await readPid(pidFile);
  return pid === null ? null : await inspectProcess(vm, pid);
}

/**
 * Waits until a QEMU that ends is gone, at most `timeoutMs`: its memory goes first, and its command line with
 * that. False when it is still there.
 */
export async function waitEndingQemu(pidFile: string, timeoutMs: number): Promise<boolean> {
  const pid = await readPid(pidFile);
  const mark = pid === null ? null : await markProcess(pid);
  if (mark === null || !mark.name.startsWith('qemu-system')) return true;
  if ((await readOrNull(`/proc/${mark.pid}/cmdline`)) !== '') return true;
  return await waitProcessGone(mark, timeoutMs);
}

/** The process `pid`, when it is the QEMU of `vm`. */
export async function inspectProcess(vm: Id, pid: number): Promise<QemuProcess | null> {
  const mark = await markProcess(pid);
  const commandLine = await readOrNull(`/proc/${pid}/cmdline`);
  const args = commandLine?.split('\0') ?? [];
  const named = args[args.indexOf('-uuid') + 1] === vm && args[0]?.includes('qemu-system') === true;
  if (!named || mark === null) return null;
  const accelerator = args[args.indexOf('-accel') + 1]?.startsWith('kvm') ? 'kvm' : 'tcg';
  return { ...mark, accelerator };
}

/** Waits until a VM's process is gone, at most `timeoutMs`, or the signal. True when it is. */
export async function waitProcessGone(
  mark: ProcessMark,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (!(await hasEnded(mark))) {
    if (performance.now() >= deadline || signal?.aborted) return false;
    await delay(POLL_MS);
  }
  return true;
}

/** Signals a VM's process, if it is still there. */
export async function signalProcess(mark: ProcessMark, signal: NodeJS.Signals): Promise<void> {
  if (await hasEnded(mark)) return;
  try {
    process.kill(mark.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function readPid(pidFile: string): Promise<number | null> {
  const pid = Number((await readOrNull(pidFile))?.trim());
  return Number.isSafeInteger(pid) && pid > 1 ? pid : null;
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
