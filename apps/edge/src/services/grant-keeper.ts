/**
 * Room: edge, services. The grant of one teleport, renewed at half of its life.
 *
 * I1: a transfer never waits for a renewal: the old grant serves until it ends, and a coordinator that
 *     is away at half-life is asked again until then.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { isVmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { verifyGrant } from '@vmdn/core/http/auth/grant.ts';
import type { CoordinatorClient } from '@vmdn/core/http/clients/coordinator-client.ts';
import { renewGrant } from '@vmdn/core/http/contracts/coordinator-teleports.ts';
import type { PublicKey } from '@vmdn/core/http/contracts/schemas.ts';
import { GRANT_RENEW_MIN_MS, GRANT_RETRY_MS } from '../limits.ts';

export interface GrantKeeper extends Disposable {
  current(): string;
  /** Asks for another one at once, because this one is used up. False when none could be had. */
  renew(): Promise<boolean>;
}

export function keepGrant(options: {
  readonly teleport: Id;
  readonly epoch: number;
  readonly grant: string;
  readonly client: Pick<CoordinatorClient, 'call'>;
  readonly coordinatorKey: PublicKey;
  readonly now?: () => number;
}): GrantKeeper {
  const now = options.now ?? Date.now;
  const stop = new AbortController();
  const { signal } = stop;
  let grant = options.grant;
  const renew = async (): Promise<boolean> => {
    const { teleport, epoch } = options;
    try {
      const reply = await options.client.call(renewGrant, {
        params: { teleport },
        body: { epoch },
        signal,
      });
      grant = reply.grant;
      return true;
    } catch (error) {
      // Somebody else holds the teleport now: its next report says so, and this grant just ends.
      return isVmdnError(error, 'stale_epoch') || isVmdnError(error, 'not_found');
    }
  };
  const loop = async (): Promise<void> => {
    while (!signal.aborted) {
      const lifeMs = await remainingMs(grant, options.coordinatorKey, now());
      await delay(Math.max(lifeMs / 2, GRANT_RENEW_MIN_MS), undefined, { signal });
      while (!(await renew())) await delay(retryMs(lifeMs), undefined, { signal });
    }
  };
  // Only its own disposal ends the loop.
  loop().catch(() => undefined);
  return {
    current: () => grant,
    renew,
    [Symbol.dispose]: () => stop.abort(),
  };
}

/** Tries that go on until a grant ends must fit into what is left of it. */
function retryMs(lifeMs: number): number {
  return Math.max(Math.min(lifeMs / 8, GRANT_RETRY_MS), GRANT_RENEW_MIN_MS);
}

/** How long a grant is still good; 0 for one that is not. */
async function remainingMs(grant: string, key: PublicKey, nowMs: number): Promise<number> {
  try {
    return (await verifyGrant(grant, key, nowMs)).expiresAt * 1000 - nowMs;
  } catch {
    return 0;
  }
}
