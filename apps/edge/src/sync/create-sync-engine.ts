/**
 * Room: edge, sync. Wires the sync engine: planner, workers, staging areas. The composition root calls
 * it once; everybody else sees `SyncEngine`.
 *
 * I1: two syncs never fill one staging directory: the second is a `conflict`.
 */

import { resolve } from 'node:path';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { DiskPlan } from '@vmdn/core/domain/plan.ts';
import { createAssemblerPool } from '@vmdn/core/io/sync/assembler-pool.ts';
import type { Coverage } from '@vmdn/core/io/sync/plan-messages.ts';
import {
  type CoverageRequest,
  createPlanner,
  type PlanRequest,
} from '@vmdn/core/io/sync/planner.ts';
import { createStagingAreas, stagingInUse } from '@vmdn/core/io/sync/staging.ts';
import type { MakingDisk } from './making-disk.ts';
import { type SyncRequest, type SyncResult, syncDisk } from './sync-disk.ts';

export type { Coverage } from '@vmdn/core/io/sync/plan-messages.ts';

export interface SyncEngine extends AsyncDisposable {
  /** Plans in a worker thread; requests queue up. */
  plan(request: PlanRequest): Promise<DiskPlan>;
  /** What images that are not here would add; in the same thread. */
  coverage(request: CoverageRequest): Promise<Coverage>;
  /** See syncDisk. Several may run; they share the workers. */
  sync(request: SyncRequest): Promise<SyncResult>;
  /** The disks that are being made and may be read meanwhile. */
  making(): readonly MakingDisk[];
  /** Told when these are others. Returns what ends that. */
  onMaking(listener: () => void): () => void;
}

export interface SyncEngineOptions {
  /** One per core unless said. */
  readonly assembleWorkers?: number;
  /** Memory for blocks on their way, per disk being synced. */
  readonly bufferBytes?: number;
  readonly stallMs?: number;
}

export function createSyncEngine(options: SyncEngineOptions = {}): SyncEngine {
  const planner = createPlanner();
  const assembler = createAssemblerPool(options.assembleWorkers);
  const stagingAreas = createStagingAreas();
  const stopping = new AbortController();
  const running = new Map<string, Promise<unknown>>();
  const making = new Set<MakingDisk>();
  const listeners = new Set<() => void>();
  const told = (): void => {
    for (const listener of listeners) listener();
  };
  const onMaking = (disk: MakingDisk): (() => void) => {
    making.add(disk);
    told();
    return () => {
      making.delete(disk);
      told();
    };
  };
  const { bufferBytes, stallMs } = options;
  return {
    plan: (request) => planner.plan(request),
    coverage: (request) => planner.coverage(request),
    sync: (request) => {
      const dir = resolve(request.stagingDir);
      if (running.has(dir)) return Promise.reject(stagingInUse(dir));
      if (stopping.signal.aborted) return Promise.reject(stopped());
      const signal = AbortSignal.any([request.signal, stopping.signal]);
      const means = { assembler, stagingAreas, bufferBytes, stallMs, onMaking };
      const sync = syncDisk(means, { ...request, signal }).finally(() => running.delete(dir));
      running.set(dir, sync);
      return sync;
    },
    making: () => [...making],
    onMaking: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await Promise.allSettled(running.values());
      await planner.close();
      await assembler.close();
    },
  };
}

function stopped(): VmdnError {
  return new VmdnError('cancelled', 'The sync engine was stopped.');
}
