/**
 * Room: edge, reconcilers. Captures: VMs of this edge with all that they have written, as VMs of their own.
 *
 * I1: a capture is tried once: whatever stops it is said and its VM goes on. Only a process that was killed
 *     leaves one to be begun anew.
 * I2: the end is reported until the coordinator has heard it; meanwhile the VM goes on, unless it is to stay
 *     off.
 * I3: what is described is held: the coordinator hears of the images before it hears of the version.
 * I4: a VM that is cancelled after its capture was ordered is captured first: it is removed when the
 *     coordinator knows what of its disks the captured one has, or the capture failed.
 * I5: a capture that the coordinator names no more is broken off, whenever that is heard, and its VM goes on.
 * I6: what captures made that came to nothing is removed between captures (services/captured-images.ts).
 */

import { DESCRIPTION_SCHEMA, type Description } from '@vmdn/core/domain/description.ts';
import { describeError, isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { deliveredHardware } from '@vmdn/core/formats/delivered-hardware.ts';
import type { CoordinatorClient } from '@vmdn/core/http/clients/coordinator-client.ts';
import {
  type DesiredCapture,
  reportCapture,
} from '@vmdn/core/http/contracts/coordinator-delivered.ts';
import type { DesiredTeleport } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import type { CaptureVm } from '@vmdn/core/io/ports/capture-vm.ts';
import type { Hypervisor } from '@vmdn/core/io/ports/hypervisor.ts';
import pLimit from 'p-limit';
import type { EdgeEvents } from '../events.ts';
import { CAPTURES_MAX, MESSAGE_CHARACTERS_MAX, PROGRESS_INTERVAL_MS } from '../limits.ts';
import type { CapturedImages } from '../services/captured-images.ts';
import type { DesiredStates } from '../services/desired-states.ts';
import type { VerifiedVersions } from '../services/verified-versions.ts';
import type { VmHolds } from '../services/vm-holds.ts';

interface Deps {
  readonly client: Pick<CoordinatorClient, 'call'>;
  readonly hypervisor: Pick<Hypervisor, 'stop' | 'diskFiles'>;
  readonly captureVm: CaptureVm;
  readonly sign: (description: Description) => Promise<string>;
  readonly desired: DesiredStates;
  readonly versions: VerifiedVersions;
  readonly holds: VmHolds;
  readonly images: CapturedImages;
  readonly shutdownGraceMs: number;
  /** Tells the coordinator what this edge holds. */
  readonly reportHoldings: (signal: AbortSignal) => Promise<void>;
  /** A VM may go on. */
  readonly onEnd: () => void;
  readonly events: EdgeEvents;
}

interface Report {
  readonly state: 'running' | 'done' | 'failed';
  readonly message?: string;
  readonly errorCode?: string;
  readonly description?: string;
}

export function createCapturesReconciler(deps: Deps): (signal: AbortSignal) => Promise<void> {
  const limit = pLimit(CAPTURES_MAX);
  const pass: Pass = { ends: new Map(), underWay: new Map() };
  const { ends, underWay } = pass;
  deps.desired.onChange(() => {
    const named = namedBy(deps);
    for (const [capture, stop] of underWay) if (!named.has(capture)) stop.abort();
  });
  return async (signal) => {
    // I6: what can't be settled now keeps no capture waiting.
    const settled = deps.images.settle();
    await settled.catch(() => undefined);
    const captures = deps.desired.latest()?.captures ?? [];
    const named = namedBy(deps);
    for (const capture of ends.keys()) if (!named.has(capture)) ends.delete(capture);
    const results = await Promise.allSettled([
      settled,
      ...captures.map((order) => limit(() => workOff(deps, pass, order, signal))),
    ]);
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  };
}

/** What this process knows of captures. */
interface Pass {
  /** How captures ended that the coordinator has not heard of. */
  readonly ends: Map<Id, Report>;
  readonly underWay: Map<Id, AbortController>;
}

function namedBy({ desired }: Deps): ReadonlySet<Id> {
  return new Set(desired.latest()?.captures.map(({ capture }) => capture));
}

/** Throws when its end must be reported again. */
async function workOff(
  deps: Deps,
  { ends, underWay }: Pass,
  order: DesiredCapture,
  signal: AbortSignal,
): Promise<void> {
  const { capture } = order;
  let end = ends.get(capture);
  if (end === undefined) {
    const stop = new AbortController();
    underWay.set(capture, stop);
    try {
      const made = await captureInTurn(deps, order, signal, stop.signal);
      if (made === null) return;
      end = made;
    } finally {
      underWay.delete(capture);
    }
    ends.set(capture, end);
  }
  await tellEnd(deps, order, end, signal);
}

/** Null when its user ended it (I5). Throws only when this process ends. */
async function captureInTurn(
  deps: Deps,
  order: DesiredCapture,
  signal: AbortSignal,
  ended: AbortSignal,
): Promise<Report | null> {
  const { capture, keepStopped } = order;
  // It may have waited long for its turn.
  if (!namedBy(deps).has(capture)) return null;
  deps.holds.begin(order);
  const end = await captureOnce(deps, order, signal, ended);
  if (end === null) {
    letGo(deps, order);
    return null;
  }
  const staysOff = keepStopped || deliveredOf(deps, order)?.state !== 'running';
  if (end.state === 'done' && staysOff) deps.holds.pause(capture);
  else letGo(deps, order);
  return end;
}

/** The VM that is captured, as long as this edge should have it or is to remove it. */
function deliveredOf({ desired }: Deps, { teleport }: DesiredCapture): DesiredTeleport | undefined {
  return desired.latest()?.teleports.find((one) => one.teleport === teleport);
}

/**
 * The VM may go on; one that is to stay off, or to be removed, is held until the coordinator has heard of the
 * end.
 */
function letGo({ holds, onEnd }: Deps, { capture }: DesiredCapture): void {
  holds.end(capture);
  onEnd();
}

async function report(deps: Deps, { capture }: DesiredCapture, body: Report): Promise<void> {
  await deps.client.call(reportCapture, { params: { capture }, body });
}

/**
 * I2, I3. A description that the coordinator does not take is a capture that failed; one that its user ended
 * needs no end.
 */
async function tellEnd(
  deps: Deps,
  order: DesiredCapture,
  end: Report,
  signal: AbortSignal,
): Promise<void> {
  try {
    if (end.state === 'done') await deps.reportHoldings(signal);
    await report(deps, order, end);
    if (end.state === 'done') await deps.images.keep(order.capture);
  } catch (error) {
    if (signal.aborted) throw error;
    if (isVmdnError(error, 'cancelled')) return letGo(deps, order);
    if (end.state !== 'done' || !isRefused(error)) throw error;
    letGo(deps, order);
    await report(deps, order, failure(deps, order, error));
  }
}

function isRefused(error: unknown): boolean {
  const codes = ['conflict', 'forbidden', 'corrupt', 'invalid_input', 'too_large'] as const;
  return codes.some((code) => isVmdnError(error, code));
}

function failure({ events }: Deps, { teleport }: DesiredCapture, error: unknown): Report {
  events.captureFailed(teleport, error);
  const message = describeError(error).slice(0, MESSAGE_CHARACTERS_MAX);
  return { state: 'failed', message, errorCode: isVmdnError(error) ? error.code : 'internal' };
}

/** As `captureInTurn`. */
async function captureOnce(
  deps: Deps,
  order: DesiredCapture,
  signal: AbortSignal,
  ended: AbortSignal,
): Promise<Report | null> {
  try {
    const description = await describeVm(deps, order, AbortSignal.any([signal, ended]));
    return { state: 'done', description: await deps.sign(description) };
  } catch (error) {
    if (signal.aborted) throw error;
    return ended.aborted ? null : failure(deps, order, error);
  }
}

async function describeVm(
  deps: Deps,
  order: DesiredCapture,
  signal: AbortSignal,
): Promise<Description> {
  const { teleport, vm, version } = order;
  const delivered = deliveredOf(deps, order);
  if (delivered?.state !== 'running' && delivered?.state !== 'cancelled') {
    throw new VmdnError('not_found', 'The VM was removed from this edge before it was captured.');
  }
  const source = await deps.versions.verify(delivered.version, { isTakenOn: true });
  // Its own identity goes on with it, on the networks that its source had.
  const { identity } = delivered;
  const hardware = deliveredHardware(source.hardware, teleport, { identity, networks: {} });
  const startedMs = performance.now();
  const tell = mentions((message) => report(deps, order, { state: 'running', message }));
  tell('shutting the guest down');
  await deps.hypervisor.stop(teleport, {
    ...{ graceMs: deps.shutdownGraceMs, isForced: false, signal },
  });
  const stoppedMs = performance.now();
  const captured = await deps.captureVm({
    ...{ id: order.capture, signal, onProgress: tell },
    willMake: (digest) => deps.images.willMake(order.capture, digest),
    disks: await deps.hypervisor.diskFiles(teleport),
  });
  const { disks, guest, readBytes, ownBytes } = captured;
  const { remarks, ...facts } = guest;
  deps.events.vmCaptured(teleport, {
    ...{ vm, version, digests: disks.map(({ digest }) => digest), readBytes, ownBytes, remarks },
    shutdownSeconds: (stoppedMs - startedMs) / 1000,
    seconds: (performance.now() - stoppedMs) / 1000,
  });
  const describedAt = new Date().toISOString();
  return {
    ...{ schema: DESCRIPTION_SCHEMA, vm, version, describedAt, consistency: 'off' },
    ...{ ...facts, hardware, disks },
  };
}

/** Says something at most once a second; the next mention, or the end, says the same and more. */
function mentions(say: (words: string) => Promise<void>): (words: string) => void {
  let mentionedMs = Number.NEGATIVE_INFINITY;
  return (words) => {
    if (performance.now() - mentionedMs < PROGRESS_INTERVAL_MS) return;
    mentionedMs = performance.now();
    say(words).catch(() => undefined);
  };
}
