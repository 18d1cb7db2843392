/**
 * Room: edge, reconcilers. Exports: VMs that were delivered here, as files for other hypervisors.
 *
 * I1: an export that was done is reported again until the coordinator has heard it; making it again finds it.
 * I2: what is exported is of the teleport's signed description, never of an order.
 */

import { describeError, isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';
import { wantedDisks } from '@vmdn/core/domain/skip-free.ts';
import type { CoordinatorClient } from '@vmdn/core/http/clients/coordinator-client.ts';
import { type DesiredExport, reportExport } from '@vmdn/core/http/contracts/coordinator-files.ts';
import type { ExportVm } from '@vmdn/core/io/ports/export-vm.ts';
import pLimit from 'p-limit';
import { meaningOf } from '../decisions/failure.ts';
import type { EdgeEvents } from '../events.ts';
import { EXPORTS_MAX, MESSAGE_CHARACTERS_MAX, PROGRESS_INTERVAL_MS } from '../limits.ts';
import type { DesiredStates } from '../services/desired-states.ts';
import type { VerifiedVersions } from '../services/verified-versions.ts';

interface Deps {
  readonly client: Pick<CoordinatorClient, 'call'>;
  readonly exportVm: ExportVm;
  readonly desired: DesiredStates;
  readonly versions: VerifiedVersions;
  readonly events: EdgeEvents;
}

export function createExportsReconciler(deps: Deps): (signal: AbortSignal) => Promise<void> {
  const limit = pLimit(EXPORTS_MAX);
  return async (signal) => {
    const exports = deps.desired.latest()?.exports ?? [];
    const results = await Promise.allSettled(
      exports.map((order) => limit(() => workOff(deps, order, signal))),
    );
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  };
}

interface Report {
  readonly state: 'running' | 'done' | 'failed';
  readonly message?: string;
  readonly errorCode?: string;
  readonly folder?: string;
}

/** Throws when the export should be tried again. */
async function workOff(deps: Deps, order: DesiredExport, signal: AbortSignal): Promise<void> {
  const report = async (body: Report): Promise<void> => {
    await deps.client.call(reportExport, { params: { export: order.export }, body });
  };
  const startedMs = performance.now();
  let folder: string;
  try {
    await report({ state: 'running' });
    folder = await makeExport(deps, order, signal, report);
  } catch (error) {
    if (signal.aborted) throw error;
    const message = describeError(error).slice(0, MESSAGE_CHARACTERS_MAX);
    if (meaningOf(error) === 'fail' || isWrongOrder(error)) {
      const errorCode = isVmdnError(error) ? error.code : 'internal';
      return await report({ state: 'failed', message, errorCode });
    }
    await report({ state: 'running', message }).catch(() => undefined);
    throw error;
  }
  deps.events.vmExported(order.teleport, folder, (performance.now() - startedMs) / 1000);
  await report({ state: 'done', folder });
}

/** The folder that was made. */
async function makeExport(
  { desired, versions, exportVm }: Deps,
  order: DesiredExport,
  signal: AbortSignal,
  report: (body: Report) => Promise<void>,
): Promise<string> {
  const teleport = desired.latest()?.teleports.find((one) => one.teleport === order.teleport);
  if (teleport === undefined) {
    throw new VmdnError('not_found', 'The VM was removed from this edge before it was exported.');
  }
  const { disks, hardware } = await versions.verify(teleport.version, { isTakenOn: true });
  let mentionedMs = 0;
  const { folder } = await exportVm({
    ...{ id: order.export, name: order.name, format: order.format, hypervisor: order.hypervisor },
    ...{ hardware, signal },
    digests: wantedDisks(disks, teleport.skipFree).map(({ digest }) => digest),
    onProgress: (message) => {
      if (performance.now() - mentionedMs < PROGRESS_INTERVAL_MS) return;
      mentionedMs = performance.now();
      // The next mention, or the end, says the same and more.
      report({ state: 'running', message }).catch(() => undefined);
    },
  });
  return folder;
}

/** A name that is taken and a disk that is gone stay so until somebody orders anew. */
function isWrongOrder(error: unknown): boolean {
  return isVmdnError(error, 'conflict') || isVmdnError(error, 'not_found');
}
