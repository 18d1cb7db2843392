/**
 * Room: test, bench. What every way of delivering a disk has in common: servers on the origin's side, a
 * fetch on the edge's side, a check of the result; and the one meter for all of them.
 *
 * I1: only what happens between serving and the end of the fetch is metered; what a method may compute
 *     beforehand, it computed in `prepare`.
 * I2: a figure counts only if the result is right: `verify` throws otherwise, and the benchmark fails.
 * I3: each transfer has a lab of its own, with counters at zero.
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

/** Bytes of a cost by purpose, in words for people. */
export type Parts = Readonly<Record<string, number>>;

/** What one transfer cost. */
export interface Cost {
  readonly setting: string;
  /** Both directions. */
  readonly bytes: number;
  readonly toEdgeBytes: number;
  readonly toOriginBytes: number;
  readonly seconds: number;
  readonly parts: Parts;
}

/** Delivers by a method and checks the result. Returns the cost of each setting, the cheapest first. */
export async function measure(method: Method, task: Task): Promise<Cost[]> {
  const costs: Cost[] = [];
  for (const transfer of await method.prepare(task)) {
    const setting = transfer.setting === '' ? '' : ` (${transfer.setting})`;
    task.options.progress(`${task.wanted.name}: ${method.words}${setting}`);
    try {
      costs.push(await measureTransfer(transfer, task.options));
    } finally {
      await transfer.close?.();
    }
    await transfer.verify();
  }
  return costs.sort((a, b) => a.bytes - b.bytes);
}

async function measureTransfer(transfer: Transfer, options: BenchmarkOptions): Promise<Cost> {
  const { runner, signal } = options;
  const rateBytesPerSecond = options.rateBytesPerSecond ?? undefined;
  await using lab = await openNetlab({ runner, signal, rateBytesPerSecond });
  await transfer.serve(lab);
  const before = await lab.meter();
  const start = performance.now();
  await transfer.fetch(lab);
  const seconds = (performance.now() - start) / 1000;
  const after = await lab.meter();
  return {
    setting: transfer.setting,
    bytes: after.totalBytes - before.totalBytes,
    toEdgeBytes: after.receivedBytes - before.receivedBytes,
    toOriginBytes: after.sentBytes - before.sentBytes,
    seconds,
    parts: transfer.parts?.() ?? {},
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
export const PORTS = { stream: 7001, rsync: 7002, http: 7003 } as const;

/** The longest that one step of one method may take: an 11 GiB disk over 10 MB/s, and computing. */
export const STEP_TIMEOUT_MS = 3_600_000;

/** Where a script that runs inside the lab lies. */
export function wireScript(name: string): string {
  return new URL(`../wire/${name}`, import.meta.url).pathname;
}
