import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Digest } from './digest.ts';
import { rawLayers } from './layers.ts';
import { recipeOfKeys } from './match.fixture.ts';
import { createMatcher, nonZeroBlocks } from './match.ts';
import type { Name } from './names.ts';
import { buildPlan, type DiskPlan, type LocalImage, planMasks, REMOTE, SELF } from './plan.ts';
import { DEFAULT_RATES, estimatePlan } from './plan-estimate.ts';
import { CANDIDATES_MAX } from './score.ts';
import { totalTierBytes } from './tiers.ts';

interface Image {
  readonly contents: readonly number[];
  readonly tier: 'local' | 'package';
}

function planFor(want: readonly number[], images: readonly Image[], last = 4096): DiskPlan {
  const wanted = recipeOfKeys(want, last);
  const matcher = createMatcher(wanted, { placesPerKey: 3, seed: 5 });
  const coveredBytes = images.map(({ contents }) => matcher.scan(recipeOfKeys(contents)));
  return buildPlan({
    digest: 'd'.repeat(64) as Digest,
    wanted,
    images: images.map(
      ({ tier }, i): LocalImage => ({
        digest: i.toString(16).padStart(64, '0') as Digest,
        name: `image-${i}` as Name,
        layers: rawLayers(`/images/${i}`),
        recipePath: `/recipes/${i}`,
        virtualSizeBytes: 0,
        tier,
      }),
    ),
    places: matcher.places(),
    coveredBytes,
  });
}

const tiersOf = (plan: DiskPlan) => estimatePlan(plan, DEFAULT_RATES).diskBytes;
const local = (...contents: number[]): Image => ({ contents, tier: 'local' });
const contents = fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 100 });
const image = fc.record({ contents, tier: fc.constantFrom('local' as const, 'package' as const) });

describe('a plan', () => {
  it('I2, I3: gives every block one right source, and its tiers add up to the virtual size', () => {
    fc.assert(
      fc.property(
        contents,
        fc.array(image, { maxLength: 4 }),
        fc.constantFrom(512, 4096),
        (want, images, last) => {
          const plan = planFor(want, images, last);
          const held = new Set(images.flatMap((one) => one.contents));
          const seen = new Set<number>();
          let travelling = 0;
          nonZeroBlocks(plan.wanted).forEach((block, key) => {
            const content = want[block]!;
            const source = plan.source[key]!;
            const length = block === want.length - 1 ? last : 4096;
            expect(want[plan.firstBlockOf[key]!]).toBe(content);
            if (held.has(content)) {
              const place = images[plan.placeImage[source]!]!.contents[plan.placeBlock[source]!];
              expect(place).toBe(content);
            } else {
              expect(source).toBe(seen.has(content) ? SELF : REMOTE);
              if (source === REMOTE) travelling += length;
            }
            seen.add(content);
          });
          expect(plan.counts.travellingBytes).toBe(travelling);
          expect(totalTierBytes(tiersOf(plan))).toBe(plan.wanted.virtualSizeBytes);
        },
      ),
    );
  });

  it('I3: counts the short last block and a segment’s zero blocks truly', () => {
    const plan = planFor([1, 0, 2, 2, 3], [local(1)], 512);
    expect(tiersOf(plan)).toEqual({
      zero: 4096,
      local: 4096,
      package: 0,
      peer: 0,
      origin: 8704,
    });
    expect(plan.counts.travellingBytes).toBe(4096 + 512);
    expect(plan.counts.distinctBytes).toBe(2 * 4096 + 512);
  });

  it('I4: follows a run in one image instead of hopping between images', () => {
    const { placeImage, source } = planFor(
      [1, 2, 3, 4, 5, 6],
      [local(1, 9, 2, 9, 3), local(9, 4, 3, 6), local(9, 1, 2, 3, 4, 5, 6)],
    );
    expect([...source].map((place) => placeImage[place])).toEqual([2, 2, 2, 2, 2, 2]);
  });

  it('I4: comes back to the run after a block that changed', () => {
    const { placeImage, source } = planFor([1, 2, 99, 4, 5], [local(4, 1), local(1, 2, 3, 4, 5)]);
    expect(source[2]).toBe(REMOTE);
    const places = [0, 1, 3, 4].map((key) => placeImage[source[key]!]);
    expect(places).toEqual([1, 1, 1, 1]);
  });

  it('keeps alternatives together', () => {
    const plan = planFor([7, 8], [local(7, 8), local(7), local(8, 7)]);
    expect([...plan.placeBegins]).toEqual([1, 0, 0, 1, 0, 1]);
    expect([...plan.placeImage]).toEqual([0, 1, 2, 0, 2]);
  });

  it('names what is fetched and what repeats, row by row', () => {
    const { remote, self } = planMasks(
      planFor([1, 2, 1, 3, ...Array<number>(12).fill(0), 2, 4], [local(3)]),
    );
    expect([...remote]).toEqual([0b0011, 0b10]);
    expect([...self]).toEqual([0b0100, 0b01]);
  });

  it('lists candidates best first, at most 64, none that covers nothing', () => {
    const many = Array.from({ length: 80 }, (_, i) => local(...[1, 2, 3].slice(0, i % 4)));
    const { candidates } = planFor([1, 2, 3], many);
    expect(candidates).toHaveLength(60);
    expect(candidates.length).toBeLessThanOrEqual(CANDIDATES_MAX);
    expect(candidates[0]).toMatchObject({ name: 'image-3', coveredBytes: 3 * 4096 });
    const all = Array.from({ length: 80 }, () => local(1));
    expect(planFor([1], all).candidates).toHaveLength(CANDIDATES_MAX);
  });
});
