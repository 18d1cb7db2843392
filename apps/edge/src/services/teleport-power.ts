/**
 * Room: edge, services. A delivered VM on and off: what is wished, and what the coordinator is told of it.
 *
 * I1: who waits for disks of a VM that was delivered hears another wish at once; the disks go on coming.
 * I2: while they come, whether the VM is on is told as soon as the coordinator can be; that it is away stops
 *     no byte.
 * I3: what was delivered is signed before anybody hears that the VM needs nobody any more, on or off.
 */

import { isVmdnError } from '@vmdn/core/domain/errors.ts';
import type { RunningVm } from '@vmdn/core/io/ports/hypervisor.ts';
import { receiptOf } from '../decisions/receipts.ts';
import type { TeleportWish, VmActual } from '../decisions/teleport-step.ts';
import { shareTrace } from './boot-traces.ts';
import { withChecks } from './teleport-copy.ts';
import { recordHits } from './teleport-disks.ts';
import { type Pass, save, stamp } from './teleport-pass.ts';

/** What the coordinator wants; a VM that it was told runs should run, until it says otherwise. */
export function wishOf({ deps, job, teleport }: Pass): TeleportWish {
  const { state, lazy, power } = job.desired();
  const isHeld = deps.holds.isHeld(teleport);
  return {
    lazy,
    state: job.memory.known === 'running' ? 'running' : state,
    power: isHeld ? 'held' : power,
  };
}

/**
 * Waits for work on a VM's disks, or until something else is wished of the VM (I1); the work goes on then.
 * Whether it is over. Throws what the work throws, and what the coordinator answers (`stale_epoch`, …).
 */
export async function unlessWished(
  pass: Pass,
  vm: VmActual,
  work: Promise<void>,
): Promise<boolean> {
  const { state, power } = wishOf(pass);
  let isOver = false;
  const over = work.finally(() => {
    isOver = true;
  });
  // It is heard below, as soon as the coordinator has answered.
  over.catch(() => undefined);
  for (;;) {
    const stirred = pass.job.stirred();
    if (state === 'running') await mentionPower(pass, vm, power);
    await Promise.race([over, stirred]);
    if (isOver || wishOf(pass).power !== power) return isOver;
  }
}

/** I2. One that is about to be started, or captured, is not called off. */
async function mentionPower(
  pass: Pass,
  vm: VmActual,
  wished: TeleportWish['power'],
): Promise<void> {
  const power = vm === 'running' ? 'on' : 'off';
  if (pass.job.memory.toldPower === power || (power === 'off' && wished !== 'off')) return;
  try {
    await (power === 'on' ? tellOn : tellOff)(pass);
  } catch (error) {
    if (!isVmdnError(error, 'unavailable') && !isVmdnError(error, 'timeout')) throw error;
  }
}

export async function stopGuest({ deps, teleport, job }: Pass): Promise<void> {
  const { signal } = job;
  await deps.hypervisor.stop(teleport, { graceMs: deps.shutdownGraceMs, signal });
  deps.events.vmStopped(teleport);
}

/** A VM that is off is reachable nowhere. */
export async function tellOff(pass: Pass): Promise<void> {
  const { memory, desired } = pass.job;
  await save(pass, { ...pass.record, endpoints: [] });
  if (desired().lazy && pass.isIndependent) {
    await recordHits(pass);
    await writeReceipt(pass);
  }
  await pass.reports.tell('running', { power: 'off' });
  memory.independent = pass.isIndependent;
}

export async function tellOn(pass: Pass): Promise<void> {
  const status = await pass.deps.hypervisor.status(pass.teleport);
  if (status.state !== 'running') return;
  await saveEndpoints(pass, status);
  await pass.reports.tell('running', { power: 'on' });
}

export async function saveEndpoints(pass: Pass, vm: RunningVm): Promise<void> {
  const { endpoints, accelerator } = vm;
  await save(pass, { ...pass.record, endpoints: [...endpoints], accelerator });
}

/** Says where the VM is reachable, and whether it needs nobody any more. */
export async function announce(pass: Pass): Promise<void> {
  const status = await pass.deps.hypervisor.status(pass.teleport);
  if (status.state !== 'running') return;
  const { endpoints, accelerator } = status;
  await recordHits(pass);
  const record = withChecks(pass.record, pass.description.hardware.ready);
  await save(pass, { ...record, endpoints: [...endpoints], accelerator });
  // Of one that ran before this edge kept times nobody knows since when.
  if (pass.job.desired().state !== 'running') await stamp(pass, 'running');
  if (pass.isIndependent) await writeReceipt(pass);
  await pass.reports.tell('running', { power: 'on' });
  pass.job.memory.independent = pass.isIndependent;
  await tellTrace(pass);
}

/** I3. */
async function writeReceipt(pass: Pass): Promise<void> {
  await stamp(pass, 'verified');
  await stamp(pass, 'independent');
  const receipt = receiptOf(pass.record, pass.description, pass.job.desired());
  if (receipt !== null) await pass.deps.receipts.write(receipt);
}

async function tellTrace(pass: Pass): Promise<void> {
  const { memory } = pass.job;
  if (memory.trace === undefined) return;
  if (await shareTrace(pass.deps, pass, memory.trace)) memory.trace = undefined;
}
