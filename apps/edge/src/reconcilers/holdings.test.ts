import { expect, it } from 'vitest';
import { createHoldingsReconciler } from './holdings.ts';

type Body = { readonly images: readonly { readonly digest: string }[] };

it('I1: a report that is under way is over before the next one looks at what is held', async () => {
  const held = ['a'];
  const told: string[][] = [];
  const waiting = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const report = createHoldingsReconciler({
    store: { list: () => held.map((digest) => ({ digest, kind: 'snapshot' })) },
    engine: { making: () => [] },
    client: {
      async call(_: unknown, { body }: { body: Body }) {
        told.push(body.images.map(({ digest }) => digest));
        await waiting[told.length - 1]!.promise;
      },
    },
  } as unknown as Parameters<typeof createHoldingsReconciler>[0]);
  const { signal } = new AbortController();
  const first = report(signal);
  const second = report(signal);
  await expect.poll(() => told).toEqual([['a']]);
  held.push('b');
  // A report that fails keeps nobody from the next.
  waiting[0]!.reject(new Error('the coordinator is away'));
  await expect(first).rejects.toThrow('away');
  await expect.poll(() => told).toEqual([['a'], ['a', 'b']]);
  waiting[1]!.resolve();
  await second;
});
