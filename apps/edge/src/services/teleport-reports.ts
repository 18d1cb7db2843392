/**
 * Room: edge, services. Reports about one teleport to the coordinator.
 *
 * I1: every report is absolute and names the epoch; each state on the way is reported, so that the
 *     coordinator's table of moves takes it.
 * I2: while the coordinator is away a report that only informs is dropped (the next one says the same
 *     and more); one that asks for leave fails and is asked again.
 * I3: a report that was not taken because something must come first changes nothing here either.
 * I4: whether the VM is on is said by who knows; every other report repeats what was said last.
 */

import { isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { Power } from '@vmdn/core/domain/power.ts';
import type { TeleportState } from '@vmdn/core/domain/teleport.ts';
import type { CoordinatorClient } from '@vmdn/core/http/clients/coordinator-client.ts';
import {
  type DiskDelivery,
  reportProgress,
} from '@vmdn/core/http/contracts/coordinator-teleports.ts';
import { reportPath } from '../decisions/teleport-step.ts';
import { MESSAGE_CHARACTERS_MAX, PROGRESS_INTERVAL_MS } from '../limits.ts';
import type { TeleportRecord } from './teleport-record.ts';

export interface ReportWords {
  readonly message?: string;
  readonly errorCode?: string;
  /** Of a running teleport's VM. */
  readonly power?: Power;
}

/** The state that the coordinator has, as far as this edge knows. */
export interface CoordinatorView {
  known: TeleportState;
  /** What it was told last of whether the VM is on; null: not known. */
  toldPower: Power | null;
}

export interface TeleportReports extends Disposable {
  /**
   * Reports a state and waits for the answer: what must come first, in words, or null. Throws `stale_epoch`,
   * `cancelled`, `unavailable`, …
   */
  tell(state: TeleportState, words?: ReportWords): Promise<string | null>;
  /** Reports soon, at most once a second; nobody waits. `onLost` hears when the epoch is stale. */
  mention(state: TeleportState, words?: ReportWords): void;
}

export function createTeleportReports(deps: {
  readonly client: Pick<CoordinatorClient, 'call'>;
  readonly teleport: Id;
  readonly epoch: number;
  readonly isLazy: boolean;
  readonly view: CoordinatorView;
  readonly record: () => TeleportRecord;
  /** Numbers of the disks, those under way included, in the version's order. */
  readonly disks: () => readonly DiskDelivery[];
  /** Whether the VM's disks are complete and it reads them from here. */
  readonly isIndependent: () => boolean;
  /** Nothing of the VM is left here. */
  readonly isGone?: boolean;
  readonly onLost: (error: VmdnError) => void;
  readonly signal: AbortSignal;
}): TeleportReports {
  const { view } = deps;
  let queue: Promise<unknown> = Promise.resolve();
  let timer: NodeJS.Timeout | undefined;
  let pending: { readonly state: TeleportState; readonly words: ReportWords } | undefined;

  const send = async (state: TeleportState, words: ReportWords): Promise<string | null> => {
    const { endpoints, phases, accelerator, boot, functional } = deps.record();
    for (const step of reportPath(view.known, state, deps.isLazy)) {
      const power = step === 'running' ? (words.power ?? view.toldPower) : null;
      const reply = await deps.client.call(reportProgress, {
        params: { teleport: deps.teleport },
        body: {
          epoch: deps.epoch,
          state: step,
          disks: [...deps.disks()],
          endpoints: step === 'running' ? endpoints : [],
          phases,
          ...(step === 'running' && deps.isIndependent() ? { independent: true } : {}),
          ...(accelerator === null ? {} : { accelerator }),
          ...(boot === null ? {} : { stallSeconds: boot.stallSeconds }),
          ...(boot?.trace ? { trace: boot.trace } : {}),
          ...(functional?.copy == null ? {} : { functional: functional.copy.report }),
          ...(step === state ? bounded(words) : {}),
          ...(power === null ? {} : { power }),
          ...(deps.isGone === true ? { gone: true } : {}),
        },
        signal: deps.signal,
      });
      view.known = reply.state;
      if (reply.epoch !== deps.epoch) throw lost(deps.teleport, deps.epoch);
      if (reply.awaits !== undefined) return reply.awaits;
      if (reply.state !== step) throw overruled(step, reply.state);
      view.toldPower = power ?? view.toldPower;
    }
    return null;
  };
  const inTurn = (state: TeleportState, words: ReportWords): Promise<string | null> => {
    const turn = queue.then(() => send(state, words));
    queue = turn.catch(() => undefined);
    return turn;
  };
  const flush = (): void => {
    timer = undefined;
    const next = pending;
    pending = undefined;
    if (next === undefined) return;
    const state = deps.isLazy ? upTo(view.known, next.state) : next.state;
    inTurn(state, next.words).catch((error) => {
      const isLost = isVmdnError(error, 'stale_epoch') || isVmdnError(error, 'cancelled');
      if (isLost && !deps.signal.aborted) deps.onLost(error);
    });
  };
  return {
    async tell(state, words = {}) {
      pending = undefined;
      return await inTurn(state, words);
    },
    mention(state, words = {}) {
      pending = { state, words };
      timer ??= setTimeout(flush, PROGRESS_INTERVAL_MS);
    },
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}

/** What a lazy VM's disk is doing is the teleport's state only as long as the VM is doing nothing itself. */
function upTo(known: TeleportState, mentioned: TeleportState): TeleportState {
  const isOfDisk = mentioned === 'syncing' || mentioned === 'waiting';
  return isOfDisk && (known === 'booting' || known === 'running') ? known : mentioned;
}

function bounded(words: ReportWords): ReportWords {
  if (words.message === undefined) return words;
  return { ...words, message: words.message.slice(0, MESSAGE_CHARACTERS_MAX) };
}

function lost(teleport: Id, epoch: number): VmdnError {
  return new VmdnError('stale_epoch', 'Another epoch of the teleport has begun.', {
    data: { teleport, epoch },
  });
}

/** The coordinator keeps to another state: the user cancelled, or it gave the teleport up. */
function overruled(told: TeleportState, kept: TeleportState): VmdnError {
  return new VmdnError('cancelled', `The coordinator has the teleport as ${kept}, not ${told}.`, {
    data: { told, kept },
  });
}
