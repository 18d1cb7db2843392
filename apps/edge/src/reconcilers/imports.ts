/**
 * Room: edge, reconcilers. Imports: files on this machine that should become base images.
 *
 * I1: an import that was done is reported again until the coordinator has heard it; it is not done again.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import { describeError, isVmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { CoordinatorClient } from '@vmdn/core/http/clients/coordinator-client.ts';
import { type DesiredImport, reportImport } from '@vmdn/core/http/contracts/coordinator-files.ts';
import type { ImportImage } from '@vmdn/core/io/ports/import-image.ts';
import pLimit from 'p-limit';
import { meaningOf } from '../decisions/failure.ts';
import type { EdgeEvents } from '../events.ts';
import { IMPORTS_MAX, MESSAGE_CHARACTERS_MAX } from '../limits.ts';
import type { DesiredStates } from '../services/desired-states.ts';

interface Deps {
  readonly client: Pick<CoordinatorClient, 'call'>;
  readonly importImage: ImportImage;
  readonly desired: DesiredStates;
  readonly events: EdgeEvents;
}

export function createImportsReconciler(deps: Deps): (signal: AbortSignal) => Promise<void> {
  const limit = pLimit(IMPORTS_MAX);
  const done = new Map<Id, Digest>();
  return async (signal) => {
    const imports = deps.desired.latest()?.imports ?? [];
    const wanted = new Set(imports.map((order) => order.import));
    for (const id of done.keys()) if (!wanted.has(id)) done.delete(id);
    const results = await Promise.allSettled(
      imports.map((order) => limit(() => workOff(deps, done, order, signal))),
    );
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  };
}

/** Throws when the import should be tried again. */
async function workOff(
  deps: Deps,
  done: Map<Id, Digest>,
  order: DesiredImport,
  signal: AbortSignal,
): Promise<void> {
  const report = async (body: {
    readonly state: 'running' | 'done' | 'failed';
    readonly message?: string;
    readonly errorCode?: string;
    readonly digest?: Digest;
  }): Promise<void> => {
    await deps.client.call(reportImport, { params: { import: order.import }, body });
  };
  let digest = done.get(order.import);
  if (digest === undefined) {
    try {
      await report({ state: 'running' });
      const startedMs = performance.now();
      ({ digest } = await deps.importImage({ ...order, id: order.import, signal }));
      const seconds = (performance.now() - startedMs) / 1000;
      deps.events.imageImported(digest, order.name, seconds);
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
    done.set(order.import, digest);
  }
  await report({ state: 'done', digest });
}

/** A file that is not there or may not be read stays so until somebody orders it anew. */
function isWrongOrder(error: unknown): boolean {
  const { code } = error as { code?: string };
  return code === 'not_found' || code === 'forbidden';
}
