/**
 * Room: origin, services. Follows what the coordinator wants of this origin's sources, and says what is true.
 *
 * I1: while the coordinator is away nothing is fenced and nothing let go.
 * I2: what could not be done is tried again until the wish changes; why is said once for each reason.
 * I3: a fence that the coordinator does not mention stays: it may have lost its memory, the moved VM has not.
 */

import { describeError, isVmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { FenceWishValue } from '@vmdn/core/http/contracts/coordinator-moves.ts';
import type { Logger } from '@vmdn/core/process/logger.ts';
import type { FenceWishes } from '../fence-ports.ts';
import { FENCE_MESSAGE_CHARACTERS_MAX, FENCE_RETRY_MS, FENCE_WAIT_SECONDS } from '../limits.ts';
import type { FenceKeeper } from './keep-fences.ts';

export interface FenceFollower extends AsyncDisposable {
  /** Something is to be said: ask at once. */
  wake(): void;
}

interface Follow {
  readonly wishes: FenceWishes;
  readonly keeper: FenceKeeper;
  readonly logger: Logger;
  /** Before that nothing is known of the sources. */
  readonly firstLook: Promise<void>;
}

/** Follows the wishes until it is disposed of. */
export function followFences(options: Follow): FenceFollower {
  const stop = new AbortController();
  let round = new AbortController();
  let revision: string | undefined;
  const complaints = new Map<Id, string>();

  const loop = async (): Promise<void> => {
    await options.firstLook;
    let isSettled = false;
    while (!stop.signal.aborted) {
      round = new AbortController();
      const signal = AbortSignal.any([stop.signal, round.signal]);
      try {
        const waitSeconds = isSettled ? FENCE_WAIT_SECONDS : FENCE_RETRY_MS / 1000;
        const reply = await options.wishes.read(revision, waitSeconds, signal);
        revision = reply.revision;
        isSettled = await settle(options, reply.fences, complaints, stop.signal);
      } catch (error) {
        if (signal.aborted) continue;
        options.logger.debug({ event: 'fences_away', err: error }, 'the coordinator is away');
        await pause(FENCE_RETRY_MS, signal);
      }
    }
  };
  const finished = loop();
  return {
    wake() {
      revision = undefined;
      round.abort();
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await finished;
    },
  };
}

/** Returns whether everything is as it should be. Throws when the coordinator is away. */
async function settle(
  options: Follow,
  wishes: readonly FenceWishValue[],
  complaints: Map<Id, string>,
  signal: AbortSignal,
): Promise<boolean> {
  let isSettled = true;
  for (const wish of wishes) {
    if (signal.aborted) return false;
    isSettled = (await fulfil(options, wish, complaints)) && isSettled;
  }
  const wished = new Set(wishes.map(({ teleport }) => teleport));
  for (const teleport of complaints.keys()) if (!wished.has(teleport)) complaints.delete(teleport);
  for (const record of options.keeper.fences()) {
    if (record.state !== 'forced') continue;
    await say(options, record, 'forced');
    if (wished.has(record.teleport)) isSettled = false;
    else await options.keeper.forget(record.vm);
  }
  return isSettled;
}

async function fulfil(
  options: Follow,
  wish: FenceWishValue,
  complaints: Map<Id, string>,
): Promise<boolean> {
  const done = await options.keeper.fulfil(wish).catch((error: unknown) => ({ error }));
  if (typeof done === 'object') {
    await complain(options, wish, complaints, done.error);
    return false;
  }
  complaints.delete(wish.teleport);
  if (!wish.confirmed || done !== 'fenced') await say(options, wish, done);
  return true;
}

async function complain(
  options: Follow,
  wish: FenceWishValue,
  complaints: Map<Id, string>,
  error: unknown,
): Promise<void> {
  const words = describeError(error).slice(0, FENCE_MESSAGE_CHARACTERS_MAX);
  const { vm, teleport, epoch, want } = wish;
  const key = `${epoch} ${want} ${words}`;
  if (complaints.get(teleport) === key) return;
  const facts = { event: 'fence_refused', vm, teleport, epoch, want, err: error };
  options.logger.warn(facts, `can't do what is wanted of the source of ${vm}: ${words}`);
  await say(options, wish, 'refused', words);
  complaints.set(teleport, key);
}

/** What is stale by now is asked for anew. Throws when the coordinator is away. */
async function say(
  { wishes }: Follow,
  move: Parameters<FenceWishes['say']>[0],
  ...words: [state: Parameters<FenceWishes['say']>[1], message?: string]
): Promise<void> {
  try {
    await wishes.say(move, ...words);
  } catch (error) {
    if (!isVmdnError(error, 'stale_epoch') && !isVmdnError(error, 'not_found')) throw error;
  }
}

async function pause(durationMs: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, durationMs);
  signal.addEventListener('abort', () => resolve(), { once: true });
  await promise;
  clearTimeout(timer);
}
