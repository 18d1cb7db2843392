/**
 * Room: io, sync. The thread that plans: reads recipes by path, matches, builds plans. Plans come one
 * after another; a library is scanned from files, so memory holds one image's recipe at a time.
 *
 * I1: a wanted recipe counts only when its segment column has the wanted digest.
 * I2: an image whose recipe cannot be read or decoded covers nothing; it never fails the plan.
 * I3: columns are given back as soon as they were needed, not by a collection: orders come one behind the
 *     other, and what one was obeyed with must not lie beside what the next one needs
 *     (docs/adr/0013-memory-of-large-disks.md says what a plan takes).
 */

import { randomInt } from 'node:crypto';
import { giveBack } from '../../domain/columns.ts';
import { VmdnError } from '../../domain/errors.ts';
import {
  createMatcher,
  MAX_IMAGES_PER_PLAN,
  type Places,
  placesPerKeyFor,
} from '../../domain/match.ts';
import { buildPlan, type DiskPlan, type LocalImage } from '../../domain/plan.ts';
import type { Recipe } from '../../domain/recipe.ts';
import { chooseShare, rowsInPlace, type Share } from '../../domain/share.ts';
import { digestOfRecipe } from '../../formats/disk-digest.ts';
import type { Coverage, CoverageOrder, PlanOrder } from './plan-messages.ts';
import { createRecipeReader, readRecipe } from './read-recipe.ts';
import { answerCalls } from './worker-calls.ts';

function plan(order: PlanOrder): DiskPlan {
  const { digest, images } = order;
  if (images.length > MAX_IMAGES_PER_PLAN) {
    throw new VmdnError('too_large', `A plan takes at most ${MAX_IMAGES_PER_PLAN} images.`);
  }
  const wanted = wantedRecipe(order, readRecipe);
  const { places, coveredBytes, inPlace } = match(wanted, images);
  const share = chooseShare(wanted, inPlace);
  const built = buildPlan({ digest, wanted, images, places, coveredBytes, share });
  for (const column of [places.blocks, places.firstOf, places.start]) giveBack(column);
  return built;
}

interface Matched {
  readonly places: Places;
  readonly coveredBytes: readonly number[];
  readonly inPlace: readonly Share[];
}

function match(wanted: Recipe, images: readonly LocalImage[]): Matched {
  using matcher = createMatcher(wanted, {
    placesPerKey: Math.min(placesPerKeyFor(wanted), images.length),
    seed: randomInt(2 ** 32),
  });
  const inPlace: Share[] = [];
  const coveredBytes = scan(images, (recipe, image, number) => {
    if (image.canBeShared === true) inPlace.push({ image: number, ...rowsInPlace(wanted, recipe) });
    return matcher.scan(recipe, image.presentSegments);
  });
  return { places: matcher.places(), coveredBytes, inPlace };
}

function coverage(order: CoverageOrder): Coverage {
  using reader = createRecipeReader();
  const wanted = wantedRecipe(order, reader.read);
  using matcher = createMatcher(wanted, { placesPerKey: 0, seed: randomInt(2 ** 32) });
  scan(order.images, (recipe, { presentSegments }) => matcher.scan(recipe, presentSegments));
  const missingBytes = matcher.missingBytes();
  let before = matcher.coveredBytes();
  const offered = order.offered.map((recipePath) => ({ recipePath }));
  const coveredBytes = scan(offered, (recipe) => {
    matcher.scan(recipe);
    const gained = matcher.coveredBytes() - before;
    before += gained;
    return gained;
  });
  return { missingBytes, coveredBytes };
}

/** Looks at the recipes of images, one after another; what they are read into is given back at the end. */
function scan<Image extends { readonly recipePath: string }>(
  images: readonly Image[],
  look: (recipe: Recipe, image: Image, number: number) => number,
): number[] {
  using library = createRecipeReader();
  return images.map((image, number) => {
    return look(library.readIfAny(image.recipePath) ?? NOTHING, image, number);
  });
}

function wantedRecipe(
  { digest, recipePath }: PlanOrder | CoverageOrder,
  read: (path: string) => Recipe,
): Recipe {
  const wanted = read(recipePath);
  if (digestOfRecipe(wanted) === digest) return wanted;
  throw new VmdnError('corrupt', 'The recipe of the wanted disk is damaged; fetch it again.', {
    data: { digest, path: recipePath },
  });
}

/** The recipe of an empty disk: what an image without a readable recipe counts as. */
const NOTHING: Recipe = {
  virtualSizeBytes: 0,
  segmentBitmap: new Uint8Array(),
  segmentHashes: new Uint8Array(),
  blockMasks: new Uint16Array(),
  keys: new Uint32Array(),
};

answerCalls((order: PlanOrder | CoverageOrder) =>
  order.kind === 'plan' ? plan(order) : coverage(order),
);
