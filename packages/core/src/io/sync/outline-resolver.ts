/**
 * Room: io, sync. Resolves outlines in a worker thread of its own: plans may take seconds, and a recipe is
 * what the next plan waits for.
 *
 * I1: the event loop only moves buffers; matching, hashing and verifying happen in the thread.
 */

import type { OutlineResolver, ResolvedOutline } from '../ports/outline-resolver.ts';
import type { OutlineOrder, OutlineValue } from './outline-messages.ts';
import { buffersOf, createWorkerCalls } from './worker-calls.ts';

export function createOutlineResolver(): OutlineResolver {
  const script = new URL('./outline-worker.ts', import.meta.url);
  const calls = createWorkerCalls<OutlineOrder, OutlineValue>(script, 'completes recipes');
  return {
    async resolve({ signal, ...question }) {
      const order = { kind: 'resolve', ...question } as const;
      const transfer = buffersOf([question.outline]);
      return (await calls.call(order, { signal, transfer })) as ResolvedOutline;
    },
    async complete(resolved, rows, promised, signal) {
      const order = { kind: 'complete', resolved, rows, promised } as const;
      const { outline, runs, known } = resolved;
      const columns = [outline, runs, ...Object.values(known)];
      const transfer = buffersOf(rows === null ? columns : [...columns, rows]);
      return (await calls.call(order, { signal, transfer })) as Uint8Array;
    },
    [Symbol.asyncDispose]: () => calls.close(),
  };
}
