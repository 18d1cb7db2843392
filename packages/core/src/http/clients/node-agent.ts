/**
 * Room: http, clients. What every node does with the coordinator besides its real work: it enrols
 * once and then says that it is alive.
 *
 * I1: enrolment happens at most once per identity: a stored one is used without a call, and the
 *     coordinator answers the same key with the same node, so a lost reply is simply asked again.
 * I2: a coordinator that is away is never an error of the node: enrolment and heartbeats wait, with
 *     doubling pauses and jitter, and everything else goes on.
 * I3: an outage is logged once when it begins and once when it ends, and so is being refused.
 * I4: a coordinator of another protocol is one that refuses this node, whichever of the two says so.
 */

import { setTimeout as sleepFor } from 'node:timers/promises';
import type { z } from 'zod';
import { describeError, isVmdnError, VmdnError } from '../../domain/errors.ts';
import type { Name } from '../../domain/names.ts';
import type { NodeIdentity, NodeIdentityStore } from '../../io/ports/node-identity-store.ts';
import type { Logger } from '../../process/logger.ts';
import { exportNodeKey, generateNodeKey, importNodeKey, type NodeKey } from '../auth/keys.ts';
import { enrolNode, heartbeat } from '../contracts/coordinator-nodes.ts';
import { PROTOCOL_VERSION } from '../contracts/schemas.ts';
import type { CoordinatorClient } from './coordinator-client.ts';

/** First pause after a failed call; doubled up to the longest. */
const RETRY_FIRST_MS = 1_000;
/** Half a minute: an administrator who restarts the coordinator sees the node soon after. */
const RETRY_LONGEST_MS = 30_000;
/** A coordinator must not be able to silence a node for good. */
const HEARTBEAT_SECONDS_MAX = 300;

/** Waits; rejects when `signal` aborts. Injected so that tests need no real time. */
export type Pause = (durationMs: number, signal: AbortSignal) => Promise<void>;

const realPause: Pause = (durationMs, signal) => sleepFor(durationMs, undefined, { signal });

/**
 * The node's key: the stored one, or a new one, stored before it is returned. Throws `corrupt` or
 * `invalid_input` for a stored one that can't be used: a new key would be another node.
 */
export async function loadOrCreateNodeKey(
  store: Pick<NodeIdentityStore, 'readKey' | 'writeKey'>,
): Promise<NodeKey> {
  const stored = await store.readKey();
  if (stored !== null) return await importNodeKey(stored);
  const key = await generateNodeKey();
  await store.writeKey(await exportNodeKey(key));
  return key;
}

export interface EnrolOptions {
  /** A client with credentials of kind `none`: a node that is not enrolled has none. */
  readonly client: Pick<CoordinatorClient, 'call'>;
  readonly store: Pick<NodeIdentityStore, 'read' | 'write'>;
  readonly key: Pick<NodeKey, 'publicKey'>;
  readonly kind: 'origin' | 'edge';
  readonly name: Name;
  readonly region?: Name | undefined;
  readonly location?: { readonly latitude: number; readonly longitude: number } | undefined;
  /** Where other nodes reach this one. */
  readonly url: string;
  readonly enrolmentToken?: string | undefined;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly pause?: Pause;
}

/**
 * The node's identity: the stored one, or a new one from the coordinator, stored before it is
 * returned. Throws `invalid_input` when there is neither an identity nor a token, the coordinator's
 * own code when it refuses, `cancelled` when `signal` aborts.
 */
export async function enrol(options: EnrolOptions): Promise<NodeIdentity> {
  const stored = await options.store.read();
  if (stored !== null) return stored;
  if (options.enrolmentToken === undefined) {
    throw new VmdnError(
      'invalid_input',
      'This node is not enrolled yet. Get a token with `vmdn enrolment-token`, set ' +
        'VMDN_ENROLMENT_TOKEN, and start again.',
      { data: { setting: 'VMDN_ENROLMENT_TOKEN' } },
    );
  }
  const reply = await callUntilAnswered(options, options.enrolmentToken);
  const identity: NodeIdentity = {
    node: reply.node,
    project: reply.project,
    coordinatorKey: reply.coordinatorKey,
  };
  await options.store.write(identity);
  options.logger.info({ event: 'enrolled', node: identity.node }, 'enrolled with the coordinator');
  return identity;
}

async function callUntilAnswered(
  options: EnrolOptions,
  enrolmentToken: string,
): Promise<z.infer<(typeof enrolNode)['reply']>> {
  const pause = options.pause ?? realPause;
  let pauseMs = RETRY_FIRST_MS;
  for (;;) {
    try {
      return await options.client.call(enrolNode, {
        body: {
          enrolmentToken,
          kind: options.kind,
          name: options.name,
          region: options.region,
          location: options.location,
          url: options.url,
          publicKey: options.key.publicKey,
          protocol: PROTOCOL_VERSION,
        },
        signal: options.signal,
      });
    } catch (error) {
      if (options.signal.aborted) throw cancelled(error);
      if (!isAway(error)) throw error;
      options.logger.warn(
        { event: 'enrolment_waits', cause: describeError(error) },
        'the coordinator does not answer; trying again',
      );
    }
    await wait(pause, pauseMs, options.signal);
    pauseMs = Math.min(pauseMs * 2, RETRY_LONGEST_MS);
  }
}

/** What a node says of itself; the protocol version is added. */
export type HeartbeatReport = Omit<z.input<(typeof heartbeat)['body']>, 'protocol'>;

export interface HeartbeatOptions {
  /** A client with the node's own credentials. */
  readonly client: Pick<CoordinatorClient, 'call'>;
  /** Asked before every beat. */
  readonly report: () => HeartbeatReport | Promise<HeartbeatReport>;
  readonly logger: Logger;
  readonly pause?: Pause;
  /** Called at the first beat that is answered and at the first one after every outage. */
  readonly onConnected?: () => void;
}

export interface Heartbeat extends AsyncDisposable {
  /** True when the last beat was not answered. */
  readonly coordinatorAway: boolean;
  /** Settles when the first beat was answered; never rejects. */
  readonly firstBeat: Promise<void>;
  /** Beats at once instead of at the next turn, for instance because the report changed. */
  beatNow(): void;
}

/** Starts beating. Disposing it stops the loop and waits for a beat under way. */
export function startHeartbeat(options: HeartbeatOptions): Heartbeat {
  const pause = options.pause ?? realPause;
  const stop = new AbortController();
  const first = Promise.withResolvers<void>();
  const state = { answered: false, away: false, failures: 0, said: '' };
  let wake = new AbortController();

  const beat = async (): Promise<number> => {
    try {
      const reply = await options.client.call(heartbeat, {
        body: { ...(await options.report()), protocol: PROTOCOL_VERSION },
        signal: stop.signal,
      });
      requireProtocol(reply.protocol);
      const connected = !state.answered || state.away;
      if (state.away) options.logger.info({ event: 'coordinator_back' }, 'the coordinator answers');
      Object.assign(state, { answered: true, away: false, failures: 0, said: '' });
      first.resolve();
      if (connected) options.onConnected?.();
      return Math.min(reply.heartbeatSeconds, HEARTBEAT_SECONDS_MAX) * 1_000;
    } catch (error) {
      const words = isAway(error)
        ? 'the coordinator does not answer; this node goes on and keeps trying'
        : 'the coordinator refuses this node; this node goes on and keeps trying';
      if (!stop.signal.aborted && state.said !== words) {
        options.logger.warn({ event: 'coordinator_away', cause: describeError(error) }, words);
      }
      Object.assign(state, { away: true, said: words });
      state.failures += 1;
      return Math.min(RETRY_FIRST_MS * 2 ** Math.min(state.failures - 1, 10), RETRY_LONGEST_MS);
    }
  };

  const loop = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      wake = new AbortController();
      const wakeSignal = wake.signal;
      const pauseMs = await beat();
      const either = AbortSignal.any([stop.signal, wakeSignal]);
      await wait(pause, pauseMs, either).catch(() => undefined);
    }
  };
  const finished = loop();

  return {
    get coordinatorAway() {
      return state.away;
    },
    firstBeat: first.promise,
    beatNow: () => wake.abort(),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await finished;
    },
  };
}

/** I4. Throws `incompatible_protocol`. */
function requireProtocol(coordinator: number): void {
  if (coordinator === PROTOCOL_VERSION) return;
  const words =
    `The coordinator speaks protocol ${coordinator}, this node ${PROTOCOL_VERSION}: install the same VMDN ` +
    'on both, on the coordinator first.';
  throw new VmdnError('incompatible_protocol', words, { data: { coordinator } });
}

/** True for failures that say nothing about the request: the other side is away or overloaded. */
function isAway(error: unknown): boolean {
  return (
    isVmdnError(error, 'unavailable') || isVmdnError(error, 'timeout') || isVmdnError(error, 'busy')
  );
}

/** Waits between 75 % and 100 % of `durationMs`, so that nodes that lost one coordinator spread out. */
async function wait(pause: Pause, durationMs: number, signal: AbortSignal): Promise<void> {
  try {
    await pause(durationMs * (0.75 + Math.random() / 4), signal);
  } catch (error) {
    throw cancelled(error);
  }
}

function cancelled(cause: unknown): VmdnError {
  return new VmdnError('cancelled', 'Stopped while waiting for the coordinator.', { cause });
}
