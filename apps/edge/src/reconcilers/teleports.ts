/**
 * Room: edge, reconcilers. Teleports: one job for each that the coordinator wants here.
 *
 * I1: at most one job works on a teleport; a job whose epoch, version or purpose changed is stopped and
 *     ended before the next one begins.
 * I2: a VM that the coordinator does not list is removed only when the coordinator says, asked about
 *     exactly this teleport and epoch, that it is over or somebody else's. A coordinator that has never
 *     heard of it (an empty or older database) costs no VM.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { isVmdnError, type VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { Power } from '@vmdn/core/domain/power.ts';
import type { DesiredTeleport } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { reportProgress } from '@vmdn/core/http/contracts/coordinator-teleports.ts';
import { HopelessError, meaningOf, pauseMs } from '../decisions/failure.ts';
import { RESTART_PAUSE_MAX_MS, RETRY_MAX_MS, RETRY_MIN_MS, START_ATTEMPTS_MAX } from '../limits.ts';
import type { DesiredStates } from '../services/desired-states.ts';
import type { PursuitDeps, PursuitJob, PursuitMemory } from '../services/teleport-pass.ts';
import { pursueTeleport, removeVm, reportTrouble } from '../services/teleport-pursuit.ts';

interface Job {
  /** Epoch, version and purpose: another one needs another job. */
  readonly key: string;
  desired: DesiredTeleport;
  /** Resolves at the next look at what is wanted. */
  stirred: PromiseWithResolvers<void>;
  readonly controller: AbortController;
  finished: Promise<void>;
}

interface Memory extends PursuitMemory {
  readonly key: string;
  /** Failed tries in a row. */
  failures: number;
  /** Not before this time (performance.now) is it tried again by itself. */
  notBeforeMs: number;
  /** What was wished of the VM then. */
  power: Power;
}

export interface TeleportsReconciler {
  run(signal: AbortSignal): Promise<void>;
  /** Stops every job; VMs run on. */
  stop(): Promise<void>;
  /** Jobs that still move bytes or boot. */
  readonly busy: number;
}

interface Context {
  readonly deps: PursuitDeps;
  readonly desired: DesiredStates;
  readonly jobs: Map<Id, Job>;
  readonly memories: Map<Id, Memory>;
  /** VMs that nobody lists, told once. */
  readonly forgotten: Set<Id>;
}

export function createTeleportsReconciler(
  deps: PursuitDeps,
  desired: DesiredStates,
): TeleportsReconciler {
  const context: Context = {
    deps,
    desired,
    jobs: new Map(),
    memories: new Map(),
    forgotten: new Set(),
  };
  const { jobs } = context;
  return {
    get busy() {
      return jobs.size;
    },
    async run() {
      const latest = desired.latest();
      if (latest === null) return;
      const wanted = new Map(latest.teleports.map((teleport) => [teleport.teleport, teleport]));
      for (const [teleport, job] of jobs) {
        if (wanted.get(teleport) === undefined) await stopJob(context, teleport, job);
      }
      for (const teleport of wanted.values()) await place(context, teleport);
      await settleForgotten(context, new Set(wanted.keys()));
    },
    async stop() {
      await Promise.all([...jobs].map(([teleport, job]) => stopJob(context, teleport, job)));
    },
  };
}

/** Makes sure that the right job works on a teleport, if there is anything to do. */
async function place(context: Context, desired: DesiredTeleport): Promise<void> {
  const { teleport, epoch, version } = desired;
  const isOver = desired.state === 'cancelled' || desired.state === 'failed';
  const key = `${epoch} ${version.version} ${version.state === 'withdrawn'} ${isOver}`;
  const running = context.jobs.get(teleport);
  if (running !== undefined) {
    running.desired = desired;
    running.stirred.resolve();
    running.stirred = Promise.withResolvers();
    if (running.key === key) return;
    await stopJob(context, teleport, running);
  }
  const memory = memoryOf(context, desired, `${epoch} ${version.version} ${isOver}`);
  const isSame = memory.power === desired.power;
  memory.power = desired.power;
  if (memory.released || (isSame && performance.now() < memory.notBeforeMs)) return;
  const controller = new AbortController();
  const stirred = Promise.withResolvers<void>();
  const job: Job = { key, desired, stirred, controller, finished: Promise.resolve() };
  context.jobs.set(teleport, job);
  job.finished = work(context, job, memory).finally(() => {
    if (context.jobs.get(teleport) === job) context.jobs.delete(teleport);
  });
}

function memoryOf(context: Context, desired: DesiredTeleport, key: string): Memory {
  const known = context.memories.get(desired.teleport);
  if (known?.key === key) return known;
  const memory: Memory = {
    ...{ key, known: desired.state, confirmed: false, ready: false, released: false },
    ...{ independent: false, unsettled: false, toldPower: null },
    ...{ failures: 0, notBeforeMs: 0, power: desired.power },
  };
  context.memories.set(desired.teleport, memory);
  return memory;
}

async function stopJob(context: Context, teleport: Id, job: Job): Promise<void> {
  job.controller.abort();
  await job.finished;
  if (context.jobs.get(teleport) === job) context.jobs.delete(teleport);
}

/** Tries until it is done, cannot be done, or is no longer ours. Never rejects. */
async function work(context: Context, job: Job, memory: Memory): Promise<void> {
  const { deps } = context;
  const { signal } = job.controller;
  const pursuit: PursuitJob = {
    desired: () => job.desired,
    memory,
    signal,
    stirred: () => job.stirred.promise,
    lose: () => {
      context.desired.refresh();
      job.controller.abort();
    },
  };
  while (!signal.aborted) {
    try {
      await pursueTeleport(deps, pursuit);
      memory.failures = 0;
      return;
    } catch (error) {
      if (signal.aborted) return;
      memory.failures += 1;
      const goesOn = await handleFailure(context, pursuit, memory, error);
      if (!goesOn) return;
      const waitMs = pauseMs(memory.failures, RETRY_MIN_MS, RETRY_MAX_MS);
      await delay(waitMs, undefined, { signal }).catch(() => undefined);
    }
  }
}

/** Says what a failure means. True when the same job should try again. */
async function handleFailure(
  context: Context,
  job: PursuitJob,
  memory: Memory,
  error: unknown,
): Promise<boolean> {
  const { deps } = context;
  const { teleport, state } = job.desired();
  const meaning = meaningOf(error);
  // What the coordinator has may not be what we thought: the next answer tells.
  if (isVmdnError(error, 'conflict') || isVmdnError(error, 'unauthenticated')) {
    memory.known = state;
    context.desired.refresh();
  }
  if (meaning === 'lost' || meaning === 'stop') {
    context.desired.refresh();
    return false;
  }
  deps.events.teleportWaits(teleport, error);
  const isFinal = state === 'running' || state === 'cancelled' || state === 'failed';
  if (isFinal) {
    // It ran once: it is started again, less and less often, for as long as it should run.
    const waitMs = pauseMs(memory.failures, RETRY_MIN_MS, RESTART_PAUSE_MAX_MS);
    memory.notBeforeMs = performance.now() + waitMs;
    return false;
  }
  const isHopeless = error instanceof HopelessError;
  const isTransient = (isVmdnError(error, 'tool_failed') && !isHopeless) || !isVmdnError(error);
  if (meaning === 'fail' && (!isTransient || memory.failures >= START_ATTEMPTS_MAX)) {
    return await giveUp(deps, job, error as VmdnError);
  }
  await reportTrouble(deps, job, 'waiting', error).catch(() => undefined);
  return true;
}

/** Reports the failure and removes what there is. True when the coordinator could not be told. */
async function giveUp(deps: PursuitDeps, job: PursuitJob, error: unknown): Promise<boolean> {
  const { teleport } = job.desired();
  deps.events.teleportFailed(teleport, error);
  try {
    await reportTrouble(deps, job, 'failed', error);
  } catch (reportError) {
    if (meaningOf(reportError) === 'wait') return true;
  }
  await removeVm(deps, teleport);
  job.memory.released = true;
  return false;
}

/** VMs and records that the coordinator does not list. */
async function settleForgotten(context: Context, wanted: ReadonlySet<Id>): Promise<void> {
  const { deps, memories } = context;
  for (const teleport of memories.keys()) if (!wanted.has(teleport)) memories.delete(teleport);
  const here = new Set([...(await deps.hypervisor.list()), ...(await deps.records.keys())] as Id[]);
  for (const teleport of here) {
    if (wanted.has(teleport) || context.jobs.has(teleport)) continue;
    const record = await deps.records.read(teleport);
    if (record !== null && (await isOver(deps, teleport, record.epoch))) {
      await removeVm(deps, teleport);
    } else if (!context.forgotten.has(teleport)) {
      context.forgotten.add(teleport);
      deps.events.vmForgotten(teleport);
    }
  }
}

/** Whether the coordinator says that this epoch is over. Throws when it can't be asked. */
async function isOver(deps: PursuitDeps, teleport: Id, epoch: number): Promise<boolean> {
  try {
    const reply = await deps.client.call(reportProgress, {
      params: { teleport },
      body: { epoch, state: 'cancelled', disks: [], endpoints: [] },
    });
    return reply.state === 'cancelled' || reply.state === 'failed';
  } catch (error) {
    if (isVmdnError(error, 'stale_epoch')) return true;
    if (isVmdnError(error, 'not_found')) return false;
    // A teleport that failed can't be cancelled; one that should run can't either, and is not touched.
    if (isVmdnError(error, 'conflict')) return error.data.from === 'failed';
    throw error;
  }
}
