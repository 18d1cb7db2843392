/**
 * Room: io, hypervisor. Waiting until a guest is ready, for every driver.
 *
 * I1: a guest that ended is told at once; one that does not get ready in its time is told with the end of its
 *     console. Time in which its reads wait is not its own (ready-time.ts).
 */

import { setTimeout as delay } from 'node:timers/promises';
import { isVmdnError, VmdnError } from '../../domain/errors.ts';
import type { Id } from '../../domain/names.ts';
import type { ReadyCheck } from '../../domain/vm-specification.ts';
import { hasEstablished, type UsernetConnection } from '../../formats/qmp-usernet.ts';
import type { RunningVm, VmStatus } from '../ports/hypervisor.ts';
import { acceptsTcp, answersHttp, HTTP_ATTEMPT_MS } from './ready-check.ts';
import { readyTime } from './ready-time.ts';

const READY_RETRY_MS = 250;
/** The end of the console that goes into an error. */
const CONSOLE_TAIL_CHARACTERS = 2000;

export interface Waiting {
  readonly vm: Id;
  readonly check: ReadyCheck;
  readonly signal: AbortSignal;
  readonly heldUpSeconds: (() => number) | undefined;
  look(): Promise<VmStatus>;
  /** The guest's TCP connections and forwards; rejects when that cannot be told now. */
  connections(): Promise<readonly UsernetConnection[]>;
  consoleLog(): Promise<string>;
}

/** Resolves when the check succeeds; see the port. */
export async function waitReady(waiting: Waiting): Promise<void> {
  const { vm, check, signal } = waiting;
  const leftMs = readyTime(check.timeoutSeconds, waiting.heldUpSeconds);
  for (;;) {
    if (signal.aborted) throw new VmdnError('cancelled', 'Waiting for the guest was cancelled.');
    const now = await waiting.look().catch(endedMeanwhile);
    if (now?.state === 'running' && (await isReady(waiting, now, leftMs()))) return;
    if (now?.state !== 'running' || leftMs() <= 0) {
      throw notReady(vm, check, now?.state === 'running', await waiting.consoleLog());
    }
    await delay(READY_RETRY_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** A VM that ends while it is looked at is not running. */
function endedMeanwhile(error: unknown): null {
  if (isVmdnError(error, 'unavailable')) return null;
  throw error;
}

async function isReady(
  { check, connections }: Waiting,
  vm: RunningVm,
  leftMs: number,
): Promise<boolean> {
  const endpoint = vm.endpoints.find(({ port }) => port === check.port);
  if (endpoint === undefined) {
    throw new VmdnError('invalid_input', `The ready check names no port of the VM: ${check.port}.`);
  }
  const isEstablished = async (): Promise<boolean> => {
    return hasEstablished(await connections().catch(() => []), endpoint.hostPort);
  };
  if (check.kind === 'tcp') return await acceptsTcp(endpoint, isEstablished);
  const timeoutMs = Math.max(1, Math.min(HTTP_ATTEMPT_MS, Math.ceil(leftMs)));
  return await answersHttp(endpoint, isEstablished, check.path ?? '/', timeoutMs);
}

function notReady(vm: Id, check: ReadyCheck, isRunning: boolean, log: string): VmdnError {
  const what = check.kind === 'http' ? `answer ${check.path ?? '/'} with 2xx` : 'accept TCP';
  const message = isRunning
    ? `The guest did not ${what} on its port ${check.port} within ${check.timeoutSeconds} s.`
    : 'The guest ended before it was ready.';
  return new VmdnError('guest_not_ready', message, {
    data: { vm, console: log.slice(-CONSOLE_TAIL_CHARACTERS) },
  });
}
