/**
 * Room: edge, services. What this process remembers of other holders across deliveries: a circuit breaker
 * for each neighbour (cockatiel), and what was wrong with whom, counted.
 *
 * I1: a neighbour that failed twice in a row is not asked before a pause is over, which doubles up to
 *     BREAKER_PAUSE_MAX_MS: what it costs to find out that it is dead is paid once, not in each delivery.
 *     Then one request finds out whether it is back.
 * I2: a neighbour that brought wrong bytes twice is set aside for LIAR_PAUSE_MS, whatever it answers.
 * I3: an origin is always asked, and so is a neighbour when no origin has the disk: the last hope is never
 *     set aside.
 * I4: counts only grow while the process lives, and there is a bound to how many there are.
 */

import { isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { HOLDER_FAULTS_MAX, type HolderFault } from '@vmdn/core/http/contracts/schemas.ts';
import {
  type CircuitBreakerPolicy,
  CircuitState,
  ConsecutiveBreaker,
  circuitBreaker,
  ExponentialBackoff,
  handleWhen,
  isBrokenCircuitError,
} from 'cockatiel';
import type { EdgeEvents } from '../events.ts';
import { BREAKER_PAUSE_MAX_MS, BREAKER_PAUSE_MIN_MS, LIAR_PAUSE_MS } from '../limits.ts';
import type { DiskHolder } from './remote-sources.ts';

/** The holders of one disk, as far as they may be asked. */
export interface GuardedHolders {
  /** Asks a holder. Throws `unavailable` at once while it is set aside, else what `ask` throws. */
  guard<T>(holder: DiskHolder, ask: () => Promise<T>): Promise<T>;
  /** It is set aside, or just comes back: not to be relied on. */
  isDoubtful(holder: DiskHolder): boolean;
  /** What no request said: its bytes were wrong, or come too slowly. */
  note(holder: DiskHolder, fault: 'corrupt' | 'slow'): void;
}

export interface HolderBreakers {
  among(holders: readonly DiskHolder[]): GuardedHolders;
  /** What was wrong with whom since the process started. */
  faults(): readonly HolderFault[];
}

const FAILURES_MAX = 2;
/** Failures of the holder; the others are ours, or say that it lives. */
const FAULTS = ['unavailable', 'timeout', 'corrupt', 'too_large'] as const;
type Fault = (typeof FAULTS)[number];

function faultOf(error: unknown): Fault | undefined {
  return FAULTS.find((code) => isVmdnError(error, code));
}

interface Known {
  readonly breaker: CircuitBreakerPolicy;
  wrongs: number;
  /** Ends the time for which a liar is set aside. */
  pardon: (() => void) | undefined;
  pardonAtMs: number;
}

interface Memory {
  readonly events: EdgeEvents;
  readonly now: () => number;
  readonly known: Map<Id, Known>;
  readonly counts: Map<string, HolderFault>;
}

export function createHolderBreakers(deps: {
  readonly events: EdgeEvents;
  readonly now?: () => number;
}): HolderBreakers {
  const { events, now = Date.now } = deps;
  const memory: Memory = { events, now, known: new Map(), counts: new Map() };
  return {
    among(holders) {
      const hasOrigin = holders.some(({ tier }) => tier === 'origin');
      const isSpare = ({ tier }: DiskHolder): boolean => tier === 'peer' && hasOrigin;
      return {
        guard: (holder, ask) => guard(memory, holder, isSpare(holder), ask),
        isDoubtful: (holder) =>
          isSpare(holder) && knownOf(memory, holder).breaker.state !== CircuitState.Closed,
        note: (holder, fault) => note(memory, holder, fault),
      };
    },
    faults: () => [...memory.counts.values()],
  };
}

function knownOf(memory: Memory, holder: DiskHolder): Known {
  let known = memory.known.get(holder.node);
  if (known === undefined) {
    known = { breaker: breakerOf(memory, holder), wrongs: 0, pardon: undefined, pardonAtMs: 0 };
    memory.known.set(holder.node, known);
  }
  if (known.pardon !== undefined && memory.now() >= known.pardonAtMs) {
    known.pardon();
    Object.assign(known, { wrongs: 0, pardon: undefined });
  }
  return known;
}

function breakerOf({ events }: Memory, { name }: DiskHolder): CircuitBreakerPolicy {
  const breaker = circuitBreaker(
    handleWhen((error) => faultOf(error) !== undefined),
    {
      breaker: new ConsecutiveBreaker(FAILURES_MAX),
      halfOpenAfter: new ExponentialBackoff({
        initialDelay: BREAKER_PAUSE_MIN_MS,
        maxDelay: BREAKER_PAUSE_MAX_MS,
      }),
    },
  );
  breaker.onBreak((reason) => {
    const code = 'error' in reason ? faultOf(reason.error) : undefined;
    events.holderSetAside(name, code ?? 'corrupt');
  });
  breaker.onReset(() => events.holderBack(name));
  return breaker;
}

async function guard<T>(
  memory: Memory,
  holder: DiskHolder,
  isSpare: boolean,
  ask: () => Promise<T>,
): Promise<T> {
  const counted = async (): Promise<T> => {
    try {
      return await ask();
    } catch (error) {
      const fault = faultOf(error);
      if (fault !== undefined) count(memory, holder, fault);
      throw error;
    }
  };
  if (!isSpare) return await counted();
  try {
    return await knownOf(memory, holder).breaker.execute(counted);
  } catch (error) {
    if (!isBrokenCircuitError(error)) throw error;
    throw new VmdnError('unavailable', `${holder.name} did not answer lately; it is passed over.`);
  }
}

function note(memory: Memory, holder: DiskHolder, fault: 'corrupt' | 'slow'): void {
  count(memory, holder, fault);
  if (fault !== 'corrupt' || holder.tier !== 'peer') return;
  const known = knownOf(memory, holder);
  known.wrongs += 1;
  if (known.wrongs < FAILURES_MAX || known.pardon !== undefined) return;
  known.pardonAtMs = memory.now() + LIAR_PAUSE_MS;
  known.pardon = known.breaker.isolate().dispose;
}

function count({ counts }: Memory, { name }: DiskHolder, code: HolderFault['code']): void {
  const key = `${code} ${name}`;
  const before = counts.get(key)?.count ?? 0;
  if (before === 0 && counts.size >= HOLDER_FAULTS_MAX) return;
  counts.set(key, { holder: name, code, count: before + 1 });
}
