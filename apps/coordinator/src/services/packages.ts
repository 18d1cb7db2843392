/**
 * Room: coordinator, services. Recipes of package images: one edge unpacks, all edges match.
 *
 * I1: a recipe is kept only when it has the roots that it is said to have.
 * I2: the first one stays. Another digest or keys root for the same package is refused and told: an
 *     unpacker is not deterministic, or an edge is wrong.
 * I3: what is kept is bounded in rows and in bytes, but for the additions between two evictions; the
 *     least recently used go first.
 * I4: an answer has at most so many bytes of recipes, and one recipe at least: asking on ends.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { PACKAGE_RECIPES_ANSWER_BYTES_MAX } from '@vmdn/core/domain/limits.ts';
import { nonZeroBytesOf } from '@vmdn/core/domain/recipe.ts';
import { unpackPackageRecipe } from '@vmdn/core/formats/package-recipe.ts';
import {
  PACKAGE_RECIPES_ANSWERS_MAX,
  PACKAGE_RECIPES_BYTES_MAX,
  PACKAGE_RECIPES_MAX,
  PACKAGE_RECIPES_PER_EVICTION,
} from '../limits.ts';
import type { PackageBounds, PackageRow } from '../ports.ts';
import type { Context, NodeIdentity } from './context.ts';

interface Question {
  readonly unpacker: number;
  readonly sha256s: readonly Digest[];
}

interface PackageKey {
  readonly unpacker: number;
  readonly sha256: Digest;
}

interface Reported {
  readonly digest: Digest;
  readonly keysRoot: Digest;
  /** Compressed, in base64. */
  readonly recipe: string;
}

export interface SentRecipe extends Reported {
  readonly sha256: Digest;
}

export interface PackageRecipes {
  /** Throws `busy`. */
  read(question: Question): Promise<{
    readonly recipes: readonly SentRecipe[];
    readonly left: readonly Digest[];
  }>;
  /** Throws `corrupt`, `too_large`, `conflict`. */
  put(
    identity: NodeIdentity,
    key: PackageKey,
    reported: Reported,
  ): Promise<{ readonly accepted: true }>;
}

const BOUNDS: PackageBounds = { rowsMax: PACKAGE_RECIPES_MAX, bytesMax: PACKAGE_RECIPES_BYTES_MAX };

/** Keep one per process: it counts additions, to evict now and then. */
export function createPackageRecipes(
  context: Pick<Context, 'store' | 'events'>,
  options: {
    readonly bounds?: PackageBounds;
    readonly additionsPerEviction?: number;
    readonly answerBytesMax?: number;
  } = {},
): PackageRecipes {
  const { store, events } = context;
  const answerBytesMax = options.answerBytesMax ?? PACKAGE_RECIPES_ANSWER_BYTES_MAX;
  let answers = 0;
  const evict = createEviction(context, options);
  return {
    async read(question) {
      if (answers >= PACKAGE_RECIPES_ANSWERS_MAX) {
        throw new VmdnError('busy', 'Many edges read package recipes now; ask again in a moment.');
      }
      answers += 1;
      try {
        return await readRecipes(context, question, answerBytesMax);
      } finally {
        answers -= 1;
      }
    },

    async put({ node }, key, { digest, keysRoot, recipe: text }) {
      const packed = Buffer.from(text, 'base64');
      const { file, recipe } = await unpackPackageRecipe(packed, { digest, keysRoot });
      const facts = { ...key, digest, node: node.id };
      const { isNew, present } = await store.transaction(async (tables) => {
        const added = await tables.packages.add({
          ...{ ...key, digest, keysRoot, recipe: packed, reportedBy: node.id },
          virtualSizeBytes: recipe.virtualSizeBytes,
          nonZeroBytes: nonZeroBytesOf(recipe),
          recipeBytes: file.length,
          packedBytes: packed.length,
        });
        const [row] = await tables.packages.find(key.unpacker, [key.sha256]);
        return { isNew: added, present: row };
      });
      if (isNew) {
        events('package_recipe_added', facts);
        await evict();
      } else if (present?.digest !== digest || present.keysRoot !== keysRoot) {
        events('package_recipe_conflict', { ...facts, known: present?.digest });
        throw otherRecipe(key, present?.digest);
      }
      return { accepted: true };
    },
  };
}

/** Evicts at the first addition and after so many more, not at each: it looks at every row. */
function createEviction(
  { store, events }: Pick<Context, 'store' | 'events'>,
  options: { readonly bounds?: PackageBounds; readonly additionsPerEviction?: number },
): () => Promise<void> {
  const { bounds = BOUNDS, additionsPerEviction = PACKAGE_RECIPES_PER_EVICTION } = options;
  let additions = 0;
  return async () => {
    const isDue = additions % additionsPerEviction === 0;
    additions += 1;
    if (!isDue) return;
    const removed = await store.transaction((tables) => tables.packages.evict(bounds));
    if (removed > 0) events('package_recipes_evicted', { removed });
  };
}

async function readRecipes(
  { store }: Pick<Context, 'store'>,
  { unpacker, sha256s }: Question,
  bytesMax: number,
) {
  return await store.read(async (tables) => {
    const known = await tables.packages.find(unpacker, sha256s);
    const taken: PackageRow[] = [];
    let bytes = 0;
    for (const row of known) {
      bytes += row.packedBytes;
      if (taken.length > 0 && bytes > bytesMax) break;
      taken.push(row);
    }
    const names = taken.map((row) => row.sha256);
    const packed = await tables.packages.recipes(unpacker, names);
    await tables.packages.touch(unpacker, names);
    const recipes = taken.flatMap(({ sha256, digest, keysRoot }) => {
      const recipe = packed.get(sha256);
      // Evicted between the two looks: as if it had never been known.
      if (recipe === undefined) return [];
      return [{ sha256, digest, keysRoot, recipe: Buffer.from(recipe).toString('base64') }];
    });
    return { recipes, left: known.slice(taken.length).map((row) => row.sha256) };
  });
}

function otherRecipe({ unpacker, sha256 }: PackageKey, known: Digest | undefined): VmdnError {
  return new VmdnError(
    'conflict',
    'Another edge unpacked this package to other content; compare both edges’ versions.',
    { data: { unpacker, sha256, known: known ?? null } },
  );
}
