/** Room: test, bench. The guests to measure with: as infra/guests builds them, built now if need be. */

import { buildGuests, findGuest, type Guest } from '@vmdn/infra/lab/guests.ts';
import type { BenchmarkOptions } from './benchmark.ts';

/**
 * The guests of these names, in this order; missing and outdated ones are built first, in minutes.
 * `dataMiB`: random data of those that have any; the builder's own default without it.
 */
export async function ensureGuests(
  names: readonly string[],
  options: BenchmarkOptions,
  dataMiB?: number,
): Promise<Guest[]> {
  await buildGuests(names, { signal: options.signal, onLine: options.progress, dataMiB });
  return Promise.all(names.map((name) => findGuest(name)));
}
