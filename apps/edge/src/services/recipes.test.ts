import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import { type ErrorCode, VmdnError } from '@vmdn/core/domain/errors.ts';
import { parseName } from '@vmdn/core/domain/names.ts';
import type { DiskClient } from '@vmdn/core/http/clients/disk-client.ts';
import {
  diskBytes,
  HOLDER,
  type MemoryDisk,
  memoryDisk,
  startTestNode,
  type TestNode,
} from '@vmdn/core/http/disk-routes.fixture.ts';
import type { OutlineResolver } from '@vmdn/core/io/ports/outline-resolver.ts';
import type { RecipeFolder } from '@vmdn/core/io/ports/records.ts';
import { openRecipeFolder } from '@vmdn/core/io/store/records.ts';
import { createOutlineResolver } from '@vmdn/core/io/sync/outline-resolver.ts';
import { createLogger } from '@vmdn/core/process/logger.ts';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createEdgeEvents } from '../events.ts';
import { HOLDER_STALL_MS, WHOLE_RECIPE_BYTES_MAX } from '../limits.ts';
import { createHolderBreakers } from './holder-breakers.ts';
import { createLightRecipes } from './light-recipes.ts';
import { createRecipes, type RecipeCost } from './recipes.ts';

// Megabytes are hashed block by block, on machines that have other things to do.
vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const MIB = 2 ** 20;
const base = memoryDisk(diskBytes(40 * MIB));
/** The base with 4 MiB written anew, in two places. */
const clone = memoryDisk(rewritten(base.bytes, [5 * MIB, 22 * MIB], 2 * MIB));
const small = memoryDisk(rewritten(base.bytes.slice(0, 2 * MIB), [MIB], 65_536));

function rewritten(bytes: Uint8Array, places: readonly number[], length: number): Uint8Array {
  const copy = bytes.slice();
  for (const at of places) copy.set(diskBytes(length, at), at);
  return copy;
}

type LightClient = Pick<DiskClient, 'readRecipe' | 'readOutline' | 'readRows'>;

let node: TestNode;
let resolver: OutlineResolver;
let dir: string;
let folder: RecipeFolder;
beforeAll(async () => {
  node = await startTestNode([base, clone, small]);
  resolver = createOutlineResolver();
});
afterAll(async () => {
  await resolver?.[Symbol.asyncDispose]();
  await node?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-recipes-'));
  folder = await openRecipeFolder(join(dir, 'kept'));
});
afterEach(async () => await rm(dir, { recursive: true, force: true }));

/** An edge's recipes: it holds the base image, and has whatever was kept in the folder. */
async function edge(change: Partial<LightClient> = {}, held: readonly MemoryDisk[] = [base]) {
  const grant = await node.grant();
  const asked: string[] = [];
  const images: { digest: Digest; recipePath: string }[] = [];
  for (const disk of held) {
    const recipePath = join(dir, disk.digest);
    await writeFile(recipePath, disk.recipeFile);
    images.push({ digest: disk.digest, recipePath });
  }
  const real: LightClient = { ...node.client, ...change };
  const client: LightClient = {
    readRecipe: (wanted) => {
      asked.push('recipe');
      return real.readRecipe(wanted);
    },
    readOutline: (wanted) => {
      asked.push('outline');
      return real.readOutline(wanted);
    },
    readRows: (wanted) => {
      asked.push('rows');
      return real.readRows(wanted);
    },
  };
  const events = createEdgeEvents(createLogger('test', { level: 'silent' }));
  const fellBack = vi.spyOn(events, 'recipeFellBack');
  const fetched = vi.spyOn(events, 'recipeFetched');
  const store = { list: () => images, find: () => undefined } as never;
  const partialImages = async () => [];
  const light = createLightRecipes({ store, folder, partialImages, client, resolver, events });
  const breakers = createHolderBreakers({ events });
  const recipes = createRecipes({ store, folder, client, light, breakers, events });
  const find = async (disk: MemoryDisk, names: readonly string[] = ['home']) => {
    let cost: RecipeCost | null = null;
    const path = await recipes.find({
      digest: disk.digest,
      keysRoot: disk.keysRoot as Digest,
      recipeBytes: disk.recipeFile.length,
      holders: names.map((name) => ({
        node: HOLDER,
        name: parseName(name, 'name'),
        url: node.url,
        tier: 'origin' as const,
        isPartial: false,
      })),
      grant: () => grant,
      signal: AbortSignal.timeout(300_000),
      onRead: async (read) => {
        cost = read;
      },
    });
    return { fetched: cost as RecipeCost | null, bytes: await readFile(path) };
  };
  return { find, asked, fellBack, fetched };
}

describe('the recipe of a clone', () => {
  it('costs at most 40 % of the plain one, and is it byte for byte', async () => {
    const before = node.uplink.passedBytes;
    const { find, asked, fetched } = await edge();
    const { bytes, fetched: cost } = await find(clone);
    expect(bytes.equals(clone.recipeFile)).toBe(true);
    expect(asked).toEqual(['outline', 'rows']);
    // All that left the holder is all that is reported.
    expect(cost).toEqual({ tier: 'origin', wireBytes: node.uplink.passedBytes - before });
    expect(cost!.wireBytes).toBeLessThanOrEqual(0.4 * clone.recipeFile.length);
    const { length } = clone.recipeFile;
    expect(fetched).toHaveBeenCalledWith(clone.digest, 'home', cost!.wireBytes, length);
  });

  it('is completed from recipes that were kept without their disk as well', async () => {
    await folder.put(base.digest, base.recipeFile);
    const { find, asked } = await edge({}, []);
    const { bytes, fetched } = await find(clone);
    expect(bytes.equals(clone.recipeFile)).toBe(true);
    expect(asked).toEqual(['outline', 'rows']);
    expect(fetched!.wireBytes).toBeLessThanOrEqual(0.4 * clone.recipeFile.length);
  });

  it('is fetched once', async () => {
    const { find, asked } = await edge();
    await find(clone);
    expect((await find(clone)).fetched).toBeNull();
    expect(asked).toEqual(['outline', 'rows']);
  });
});

describe('a recipe comes whole at once', () => {
  it('I2: when no recipe is here', async () => {
    const { find, asked } = await edge({}, []);
    expect((await find(clone)).bytes.equals(clone.recipeFile)).toBe(true);
    expect(asked).toEqual(['recipe']);
  });

  it('I2: when it is small', async () => {
    expect(small.recipeFile.length).toBeLessThanOrEqual(WHOLE_RECIPE_BYTES_MAX);
    const { find, asked } = await edge();
    expect((await find(small)).bytes.equals(small.recipeFile)).toBe(true);
    expect(asked).toEqual(['recipe']);
  });
});

describe('a light recipe that goes wrong', () => {
  const spoilt = (what: 'readOutline' | 'readRows', at: number): Partial<LightClient> => ({
    async [what](wanted: never) {
      const answer = await node.client[what](wanted);
      answer.bytes[at < 0 ? answer.bytes.length + at : at]! ^= 1;
      return answer;
    },
  });
  const gone = (code: ErrorCode) => async (): Promise<never> => {
    throw new VmdnError(code, 'no');
  };

  it.each([
    ['an outline that is none', spoilt('readOutline', 0)],
    ['a wrong prefix', spoilt('readOutline', -1)],
    ['a wrong segment hash', spoilt('readRows', 16 + 200)],
    ['a wrong match key', spoilt('readRows', -1)],
    ['rows of another length', { readRows: gone('corrupt') }],
    ['a holder that has no such route', { readOutline: gone('not_found') }],
  ])('I1: by %s is fetched whole from the same holder, and logged', async (_, change) => {
    const before = node.uplink.passedBytes;
    const { find, asked, fellBack } = await edge(change);
    const { bytes, fetched } = await find(clone);
    expect(bytes.equals(clone.recipeFile)).toBe(true);
    expect(asked.at(-1)).toBe('recipe');
    expect(fellBack).toHaveBeenCalledOnce();
    expect(fellBack).toHaveBeenCalledWith(clone.digest, 'home', 1, expect.any(VmdnError));
    // What the attempt cost is not forgotten.
    expect(fetched!.wireBytes).toBe(node.uplink.passedBytes - before);
  });

  it('I1: by a damaged image here is fetched whole as well', async () => {
    const { find, asked, fellBack } = await edge();
    const damaged = base.recipeFile.slice();
    damaged[64 + base.recipe.segmentBitmap.length + 20]! ^= 1;
    await writeFile(join(dir, base.digest), damaged);
    expect((await find(clone)).bytes.equals(clone.recipeFile)).toBe(true);
    expect(asked).toEqual(['outline', 'rows', 'recipe']);
    expect(fellBack).toHaveBeenCalledOnce();
  });

  it('I3: by a holder that stands still is asked of the next one', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      let isFirst = true;
      const { find, asked } = await edge({
        readOutline: (wanted) => {
          if (!isFirst) return node.client.readOutline(wanted);
          isFirst = false;
          return new Promise((_, reject) => {
            const abort = () => reject(new VmdnError('cancelled', 'no'));
            wanted.signal?.addEventListener('abort', abort);
          });
        },
      });
      const found = find(clone, ['still', 'home']);
      const another = async (): Promise<void> => {
        await vi.advanceTimersByTimeAsync(HOLDER_STALL_MS);
        expect(asked.length).toBeGreaterThan(1);
      };
      await vi.waitFor(another, { timeout: 60_000 });
      expect((await found).bytes.equals(clone.recipeFile)).toBe(true);
    } finally {
      vi.useRealTimers();
    }
  });

  it.each(['unavailable', 'timeout', 'forbidden', 'quota_exceeded'] as const)(
    'I3: because its holder is %s is asked of the next one, and not twice of this one',
    async (code) => {
      const readOutline = vi.fn(node.client.readOutline).mockImplementationOnce(gone(code));
      const { find, asked, fellBack } = await edge({ readOutline });
      const { bytes } = await find(clone, ['near', 'home']);
      expect(bytes.equals(clone.recipeFile)).toBe(true);
      expect(asked).toEqual(['outline', 'outline', 'rows']);
      expect(fellBack).not.toHaveBeenCalled();
    },
  );

  it('because it was cancelled ends there', async () => {
    const { find, asked, fellBack } = await edge({ readOutline: gone('cancelled') });
    await expect(find(clone, ['near', 'home'])).rejects.toMatchObject({ code: 'cancelled' });
    expect(asked).toEqual(['outline']);
    expect(fellBack).not.toHaveBeenCalled();
  });
});
