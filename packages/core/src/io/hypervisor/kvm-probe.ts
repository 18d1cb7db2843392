/**
 * Room: io, hypervisor. Whether KVM works here: decided by running a kernel, not by looking for a device.
 *
 * Measured: on some virtual machines /dev/kvm exists, QEMU starts with it and the firmware runs, and
 * no ordinary kernel ever prints a line. So a kernel must print its version and come to its (expected)
 * panic for want of a root file system.
 *
 * I1: the probe runs confined exactly as guests will: what only root may do does not count.
 * I2: the answer holds for one boot of the machine, one kernel file and one user; anything else is
 *     asked anew.
 */

import { access, constants, readdir, readFile, stat } from 'node:fs/promises';
import { z } from 'zod';
import { describeError, VmdnError } from '../../domain/errors.ts';
import { parseId } from '../../domain/names.ts';
import { QEMU_SANDBOX } from '../../formats/qemu-command-line.ts';
import type { CommandRunner } from '../command/command-runner.ts';
import { confinedCommand } from '../command/qemu-system.ts';
import { durableWrite } from '../files/durable-write.ts';
import { readBoundedFile } from '../files/files.ts';
import type { Accelerator } from '../ports/hypervisor.ts';
import { guestUser } from './guest-user.ts';

/** A kernel under working KVM prints its version within a second and panics within three. */
const PROBE_TIMEOUT_MS = 20_000;
const OUTPUT_BYTES_MAX = 1024 * 1024;
/** Names the probe's user; no VM has it. */
const PROBE_VM = parseId('00000000-0000-4000-8000-000000000000', 'VM');

const answerSchema = z.object({
  bootId: z.string(),
  kernel: z.string(),
  user: z.number().int(),
  works: z.boolean(),
  reason: z.string(),
});
type Answer = z.infer<typeof answerSchema>;

export interface AcceleratorChoice {
  readonly accelerator: Accelerator;
  /** In words, for the log. */
  readonly reason: string;
  /** Group that guests need to open /dev/kvm; null: none. */
  readonly kvmGroup: number | null;
}

export interface ProbeOptions {
  readonly wanted: 'auto' | Accelerator;
  readonly runner: CommandRunner;
  /** Kernels to try, the first that is there. */
  readonly kernels: readonly string[];
  /** File that keeps the answer. */
  readonly cachePath: string;
  readonly guestUid: number | null;
  readonly device?: string;
}

/** Chooses what guests run on. Throws `tool_failed` when KVM was demanded and does not work. */
export async function chooseAccelerator(options: ProbeOptions): Promise<AcceleratorChoice> {
  if (options.wanted === 'tcg') {
    return { accelerator: 'tcg', reason: 'chosen by VMDN_ACCELERATOR', kvmGroup: null };
  }
  const device = options.device ?? '/dev/kvm';
  const kvmGroup = await groupOf(device);
  const { works, reason } = await askOnce(options, device, kvmGroup);
  if (works) return { accelerator: 'kvm', reason, kvmGroup };
  if (options.wanted === 'kvm') {
    throw new VmdnError('tool_failed', `KVM was demanded and does not work here: ${reason}`);
  }
  return { accelerator: 'tcg', reason, kvmGroup: null };
}

/** The group that may open the device, unless that is everybody's or root's. */
async function groupOf(device: string): Promise<number | null> {
  try {
    const { gid, mode } = await stat(device);
    return gid !== 0 && (mode & 0o060) === 0o060 ? gid : null;
  } catch {
    return null;
  }
}

async function askOnce(
  options: ProbeOptions,
  device: string,
  kvmGroup: number | null,
): Promise<Pick<Answer, 'works' | 'reason'>> {
  try {
    await access(device, constants.F_OK);
  } catch {
    return { works: false, reason: `${device} does not exist` };
  }
  const kernel = await firstReadable(options.kernels);
  if (kernel === null) {
    return { works: false, reason: 'there is no kernel to probe KVM with; see VMDN_PROBE_KERNEL' };
  }
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  const groups = kvmGroup === null ? [] : [kvmGroup];
  const user = await guestUser(PROBE_VM, { fixedUid: options.guestUid, groups });
  const question = { bootId, kernel, user: user?.uid ?? process.getuid?.() ?? -1 };
  const known = await readAnswer(options.cachePath);
  if (
    known?.bootId === question.bootId &&
    known.kernel === question.kernel &&
    known.user === question.user
  ) {
    return known;
  }
  const found = await probeKvm({ runner: options.runner, kernel, user });
  const answer: Answer = { ...question, ...found };
  await durableWrite(options.cachePath, Buffer.from(JSON.stringify(answer)));
  return answer;
}

/** Boots `kernel` without a root file system under KVM and reads its serial console. */
export async function probeKvm(options: {
  readonly runner: CommandRunner;
  readonly kernel: string;
  readonly user: Awaited<ReturnType<typeof guestUser>>;
  readonly timeoutMs?: number;
}): Promise<{ readonly works: boolean; readonly reason: string }> {
  const { file, args } = confinedCommand(options.user, [
    ...['-nodefaults', '-no-user-config', '-nographic', '-no-reboot', '-sandbox', QEMU_SANDBOX],
    ...['-machine', 'q35', '-accel', 'kvm', '-cpu', 'host', '-m', '256'],
    ...['-kernel', options.kernel, '-append', 'console=ttyS0 panic=-1'],
    ...['-chardev', 'stdio,id=console0,signal=off', '-serial', 'chardev:console0'],
  ]);
  try {
    const { stdout } = await options.runner.run(file, args, {
      timeoutMs: options.timeoutMs ?? PROBE_TIMEOUT_MS,
      maxOutputBytes: OUTPUT_BYTES_MAX,
    });
    const version = /Linux version \S+/.exec(stdout)?.[0];
    const reachedEnd = stdout.includes('Kernel panic');
    if (version !== undefined && reachedEnd) {
      return { works: true, reason: `${version} ran under KVM` };
    }
    return { works: false, reason: 'the kernel ended under KVM without a word' };
  } catch (error) {
    return { works: false, reason: `no kernel runs under KVM: ${describeError(error)}` };
  }
}

async function firstReadable(paths: readonly string[]): Promise<string | null> {
  for (const path of paths) {
    const isReadable = await access(path, constants.R_OK).then(
      () => true,
      () => false,
    );
    if (isReadable) return path;
  }
  return null;
}

async function readAnswer(path: string): Promise<Answer | null> {
  try {
    const bytes = await readBoundedFile(path, 64 * 1024);
    return answerSchema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
  } catch {
    // A cache that can't be read is asked anew.
    return null;
  }
}

/** Kernels of the machine itself, newest name first. */
export async function installedKernels(bootDir = '/boot'): Promise<readonly string[]> {
  const names = await readdir(bootDir).catch(() => []);
  const kernels = names.filter((name) => name.startsWith('vmlinuz-')).sort();
  return kernels.reverse().map((name) => `${bootDir}/${name}`);
}

/**
 * Whether KVM works here, with the machine's own kernels and asked when it is called: for programs that run
 * no guests and need an appliance now and then. Throws what chooseAccelerator throws.
 */
export function probeAccelerator(
  runner: CommandRunner,
  cachePath: string,
): () => Promise<Accelerator> {
  return async () => {
    const kernels = await installedKernels();
    const options = { wanted: 'auto', runner, kernels, cachePath, guestUid: null } as const;
    return (await chooseAccelerator(options)).accelerator;
  };
}
