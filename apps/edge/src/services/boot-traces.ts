/**
 * Room: edge, services. Boot traces, shared through the coordinator: what guests read until they were ready.
 *
 * I1: best effort both ways: a coordinator that is away, or a trace that is wrong, stops nothing.
 * I2: nothing of a trace is believed beyond its form: it only decides what is asked for first.
 */

import type { BootTrace, KnownTrace } from '@vmdn/core/domain/boot-trace.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { decodeBootTrace, encodeBootTrace } from '@vmdn/core/formats/boot-trace.ts';
import type { CoordinatorClient } from '@vmdn/core/http/clients/coordinator-client.ts';
import { putBootTrace, readBootTraces } from '@vmdn/core/http/contracts/coordinator-teleports.ts';
import type { EdgeEvents } from '../events.ts';
import { TRACES_WAIT_MS } from '../limits.ts';

/** A teleport as this edge holds it. */
export interface HeldTeleport {
  readonly teleport: Id;
  readonly epoch: number;
  readonly signal: AbortSignal;
}

interface Deps {
  readonly client: Pick<CoordinatorClient, 'call'>;
  readonly events: Pick<EdgeEvents, 'bootTracesAway' | 'bootTraceRefused'>;
}

/** What is known of boots like this teleport's, the likest first. Never rejects. */
export async function knownTraces(
  { client, events }: Deps,
  { teleport, epoch, signal }: HeldTeleport,
): Promise<readonly KnownTrace[]> {
  try {
    const { traces } = await client.call(readBootTraces, {
      ...{ params: { teleport }, query: { epoch }, signal },
      timeoutMs: TRACES_WAIT_MS,
    });
    return traces.flatMap(({ kinship, trace }) => {
      try {
        return [{ kinship, trace: decodeBootTrace(Buffer.from(trace, 'base64')) }];
      } catch (error) {
        events.bootTraceRefused(teleport, error);
        return [];
      }
    });
  } catch (error) {
    if (!signal.aborted) events.bootTracesAway(error);
    return [];
  }
}

/** Tells others what this teleport's guest read. Never rejects; false: it may be tried again. */
export async function shareTrace(
  { client, events }: Deps,
  { teleport, epoch, signal }: HeldTeleport,
  trace: BootTrace,
): Promise<boolean> {
  try {
    const body = { epoch, trace: Buffer.from(encodeBootTrace(trace)).toString('base64') };
    await client.call(putBootTrace, { params: { teleport }, body, signal });
    return true;
  } catch (error) {
    if (!signal.aborted) events.bootTracesAway(error);
    return false;
  }
}
