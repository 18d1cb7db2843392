/**
 * Room: test, bench. What every way of delivering a disk has in common: servers on the origin's side, a
 * fetch on the edge's side, a check of the result; and the one meter for all of them.
 *
 * I1: only what happens between serving and the end of the fetch is metered; what a method may compute
 *     beforehand, it computed in `prepare`.
 * I2: a figure counts only if the result is right: `verify` throws otherwise, and the benchmark fails.
 * I3: each transfer has a lab of its own, with counters at zero.
 * I4: what preparing wrote is on the disk before the clock starts, so that nobody waits for it.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { type DiskFile, guestVisibleSha256 } from '@vmdn/infra/lab/disk-proof.ts';
import { type Netlab, openNetlab } from '@vmdn/infra/netlab/netlab.ts';
import type { BenchmarkOptions } from '../benchmark.ts';
import { type Disk, sha256OfFile, type Workbench } from '../workbench.ts';

/** One delivery: the edge has `base`, and wants `wanted`. */
export interface Task {
  readonly base: Disk;
  readonly wanted: Disk;
  readonly bench: Workbench;
  readonly options: BenchmarkOptions;
}

/** A delivery by one method with one setting, ready to go. */
export interface Transfer {
  /** The setting, for people; empty when the method has only one. */
  readonly setting: string;
  /** Starts the origin's servers. */
  serve(lab: Netlab): Promise<void>;
  /** Gets the disk to the edge, durably. */
  fetch(lab: Netlab): Promise<void>;
  /** Ends what was started outside the lab; called whatever happened. */
  close?(): Promise<void>;
  /** After the fetch: which part of the bytes was for what, where the method can tell. */
  parts?(): Parts;
  /** After the fetch: the most memory that each process had, in bytes of RSS. */
  peaks?(): Peaks;
  /** After the fetch: what counts as its time, where that is not all of it. */
  critical?(): Critical;
  /** Throws `corrupt` unless the edge has what the origin has. Removes the result. */
  verify(): Promise<void>;
}

export interface Method {
  /** The key in the JSON. */
  readonly key: string;
  /** For the table. */
  readonly words: string;
  /** One transfer per setting worth trying; the one with the fewest bytes counts. */
  prepare(task: Task): Promise<Transfer[]>;
}

/** From the request until the disk is there, without what was known before it. */
export interface Critical {
  readonly startMs: number;
  /** Both as Date.now() has it, which all processes share. */
  readonly endMs: number;
  /** What crossed meanwhile, both directions. */
  readonly bytes: number;
  /** What crossed before the request, to prepare for it; none when absent. */
  readonly beforeBytes?: number;
  /** Of the time: in appliances, which emulation makes longer than the link does; none when absent. */
  readonly applianceSeconds?: number;
}

/** Bytes of a cost by purpose, in words for people. */
export type Parts = Readonly<Record<string, number>>;

/** Most resident memory of a process (VmHWM of proc(5)), in bytes, by the process's name. */
export type Peaks = Readonly<Record<string, number>>;

/** What one transfer cost. */
export interface Cost {
  readonly setting: string;
  /** Both directions. */
  readonly bytes: number;
  readonly toEdgeBytes: number;
  readonly toOriginBytes: number;
  readonly seconds: number;
  readonly critical: Critical;
  readonly parts: Parts;
  readonly peaks: Peaks;
}

/** Watches a lab during a fetch. */
export interface Observer {
  readonly delayMs?: number;
  readonly offload?: boolean;
  watch(lab: Netlab): AsyncDisposable;
}

/** Delivers by a method and checks the result. Returns the cost of each setting, the cheapest first. */
export async function measure(method: Method, task: Task, observer?: Observer): Promise<Cost[]> {
  const costs: Cost[] = [];
  for (const transfer of await method.prepare(task)) {
    const setting = transfer.setting === '' ? '' : ` (${transfer.setting})`;
    task.options.progress(`${task.wanted.name}: ${method.words}${setting}`);
    costs.push(await measureTransfer(transfer, task, observer));
    await transfer.verify();
  }
  return costs.sort((a, b) => a.bytes - b.bytes);
}

async function measureTransfer(
  transfer: Transfer,
  { options, bench }: Task,
  observer: Observer | undefined,
): Promise<Cost> {
  const { runner, signal } = options;
  const rateBytesPerSecond = options.rateBytesPerSecond ?? undefined;
  const { delayMs, offload } = observer ?? {};
  await using _ended = { [Symbol.asyncDispose]: async () => void (await transfer.close?.()) };
  await using lab = await openNetlab({ runner, signal, rateBytesPerSecond, delayMs, offload });
  await transfer.serve(lab);
  // I4.
  await runner.run('sync', ['-f', '--', bench.folder], { timeoutMs: STEP_TIMEOUT_MS, signal });
  const before = await lab.meter();
  const startMs = Date.now();
  const start = performance.now();
  await using _watched = observer?.watch(lab);
  await transfer.fetch(lab);
  const seconds = (performance.now() - start) / 1000;
  const after = await lab.meter();
  const bytes = after.totalBytes - before.totalBytes;
  const whole = { startMs, endMs: startMs + seconds * 1000, bytes };
  return {
    setting: transfer.setting,
    bytes,
    toEdgeBytes: after.receivedBytes - before.receivedBytes,
    toOriginBytes: after.sentBytes - before.sentBytes,
    seconds,
    critical: transfer.critical?.() ?? whole,
    parts: transfer.parts?.() ?? {},
    peaks: transfer.peaks?.() ?? {},
  };
}

/** I2: throws `corrupt` unless the disk's guest-visible bytes are the wanted disk's. */
export async function checkDisk(disk: string | DiskFile, task: Task): Promise<void> {
  const { path, format } = typeof disk === 'string' ? { path: disk, format: 'raw' } : disk;
  const sha256 =
    format === 'raw'
      ? await sha256OfFile(path, task.options.signal)
      : await guestVisibleSha256({ path, format });
  if (sha256 === task.wanted.sha256) return;
  throw new VmdnError('corrupt', `The disk that arrived is not ${task.wanted.name}'s.`, {
    data: { path, expected: task.wanted.sha256, actual: sha256 },
  });
}

/** Ports of the origin's side; each lab is alone, so they never collide. */
export const PORTS = { stream: 7001, rsync: 7002, http: 7003, nbd: 7004 } as const;

/** The longest that one step of one method may take: an 11 GiB disk over 10 MB/s, and computing. */
export const STEP_TIMEOUT_MS = 3_600_000;

/** Where a script that runs inside the lab lies. */
export function wireScript(name: string): string {
  return new URL(`../wire/${name}`, import.meta.url).pathname;
}
