import type { Digest } from '@vmdn/core/domain/digest.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { recipeOfKeys } from '@vmdn/core/domain/match.fixture.ts';
import { createMatcher } from '@vmdn/core/domain/match.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { buildPlan, type DiskPlan } from '@vmdn/core/domain/plan.ts';
import { DEFAULT_RATES } from '@vmdn/core/domain/plan-estimate.ts';
import { createLogger } from '@vmdn/core/process/logger.ts';
import { describe, expect, it } from 'vitest';
import { createEdgeEvents } from '../events.ts';
import type { DiskHolder } from './remote-sources.ts';
import { createWireRatios } from './wire-ratios.ts';

const DISK = 'd'.repeat(64) as Digest;
const events = createEdgeEvents(createLogger('test', { level: 'silent' }));
const holder = (name: string): DiskHolder => ({
  ...{ tier: 'origin', node: name as Id, name, url: `http://${name}`, isPartial: false },
});

/** A disk of a hundred different blocks, of which the first so many are here. */
function planWith(here: number): DiskPlan {
  const wanted = recipeOfKeys(Array.from({ length: 100 }, (_, i) => i + 1));
  const matcher = createMatcher(wanted, { placesPerKey: 1, seed: 1 });
  matcher.scan(recipeOfKeys(Array.from({ length: here }, (_, i) => i + 1)));
  const image = { digest: 'e'.repeat(64) as Digest, name: null, recipePath: '' };
  const images = [{ ...image, layers: { files: [] } as never, virtualSizeBytes: 0 }];
  const places = matcher.places();
  return buildPlan({ digest: DISK, wanted, images, places, coveredBytes: [0] });
}

/** A holder by which each block compresses to a quarter. */
function ratios(fails: readonly string[] = []) {
  const asked: { url: string; blocks: number }[] = [];
  const client = {
    measureBlocks: async ({ url, runs }: { url: string; runs: Uint32Array }) => {
      const blocks = runs.reduce((sum, value, i) => sum + (i % 2 === 1 ? value : 0), 0);
      asked.push({ url, blocks });
      if (fails.includes(url)) throw new VmdnError('unavailable', 'away');
      return { wireBytes: blocks * 1024 };
    },
  };
  return { asked, ratios: createWireRatios({ client, events }) };
}

const question = (...names: string[]) => ({
  holders: names.map(holder),
  grant: () => 'grant',
  signal: new AbortController().signal,
});

describe('how well blocks compress', () => {
  it('I1: is asked of what travels and of the whole disk, once while that stays', async () => {
    const { asked, ratios: known } = ratios();
    await known.measure(planWith(60), question('origin'));
    expect(asked.map(({ blocks }) => blocks)).toEqual([100, 40]);
    await known.measure(planWith(60), question('origin'));
    expect(asked).toHaveLength(2);
    await known.measure(planWith(80), question('origin'));
    expect(asked.slice(2).map(({ blocks }) => blocks)).toEqual([20]);
    expect(known.applied(DISK, DEFAULT_RATES)).toMatchObject({
      compressedRatio: 0.25,
      diskCompressedRatio: 0.25,
    });
  });

  it('is asked of the next holder when one does not tell', async () => {
    const { asked, ratios: known } = ratios(['http://away']);
    await known.measure(planWith(60), question('away', 'origin'));
    expect(asked.map(({ url }) => url)).toEqual([
      ...['http://away', 'http://origin', 'http://away', 'http://origin'],
    ]);
    expect(known.applied(DISK, DEFAULT_RATES).compressedRatio).toBe(0.25);
  });

  it('I2: is what was learned from deliveries when nobody tells', async () => {
    const { ratios: known } = ratios(['http://away']);
    await known.measure(planWith(60), question('away'));
    expect(known.applied(DISK, DEFAULT_RATES)).toBe(DEFAULT_RATES);
  });

  it('I2: is no question, and no failure, where this edge alone has the disk', async () => {
    let failures = 0;
    const wireNotMeasured = (): void => {
      failures += 1;
    };
    const client = { measureBlocks: async () => Promise.reject(new Error('nobody is asked')) };
    const alone = createWireRatios({ client, events: { ...events, wireNotMeasured } });
    await alone.measure(planWith(60), question());
    expect(failures).toBe(0);
    await alone.measure(planWith(60), question('origin'));
    expect(failures).toBe(1);
  });

  it('asks nothing about a disk of which nothing travels, but how its copy would', async () => {
    const { asked, ratios: known } = ratios();
    await known.measure(planWith(100), question('origin'));
    expect(asked.map(({ blocks }) => blocks)).toEqual([100]);
    expect(known.applied(DISK, DEFAULT_RATES).compressedRatio).toBe(DEFAULT_RATES.compressedRatio);
  });
});
