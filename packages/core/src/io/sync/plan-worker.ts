/**
 * Room: io, sync. The thread that plans: reads recipes by path, matches, builds plans. Plans come one
 * after another; a library is scanned from files, so memory holds one image's recipe at a time.
 *
 * I1: a wanted recipe counts only when its segment column has the wanted digest.
 * I2: an image whose recipe cannot be read or decoded covers nothing; it never fails the plan.
 */

import { randomInt } from 'node:crypto';
import { VmdnError } from '../../domain/errors.ts';
import {
  createMatcher,
  MAX_IMAGES_PER_PLAN,
  type Matcher,
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
  const wanted = wantedRecipe(order);
  const matcher = createMatcher(wanted, {
    placesPerKey: Math.min(placesPerKeyFor(wanted), images.length),
    seed: randomInt(2 ** 32),
  });
  const { coveredBytes, inPlace } = scan(images, wanted, matcher);
  const share = chooseShare(wanted, inPlace);
  return buildPlan({
    digest,
    wanted,
    images,
    places: matcher.places(),
    coveredBytes,
    share,
  });
}

/** Feeds the images to the matcher. What they were read into is given back before the plan is built. */
function scan(images: readonly LocalImage[], wanted: Recipe, matcher: Matcher) {
  const inPlace: Share[] = [];
  using library = createRecipeReader();
  const coveredBytes = images.map((image, number) => {
    const recipe = library.readIfAny(image.recipePath) ?? NOTHING;
    if (image.canBeShared === true) inPlace.push({ image: number, ...rowsInPlace(wanted, recipe) });
    return matcher.scan(recipe, image.presentSegments);
  });
  return { coveredBytes, inPlace };
}

function coverage(order: CoverageOrder): Coverage {
  const matcher = createMatcher(wantedRecipe(order), { placesPerKey: 0, seed: randomInt(2 ** 32) });
  using library = createRecipeReader();
  for (const { recipePath, presentSegments } of order.images) {
    matcher.scan(library.readIfAny(recipePath) ?? NOTHING, presentSegments);
  }
  const missingBytes = matcher.missingBytes();
  let before = matcher.coveredBytes();
  const coveredBytes = order.offered.map((path) => {
    matcher.scan(library.readIfAny(path) ?? NOTHING);
    const gained = matcher.coveredBytes() - before;
    before += gained;
    return gained;
  });
  return { missingBytes, coveredBytes };
}

function wantedRecipe({ digest, recipePath }: PlanOrder | CoverageOrder): Recipe {
  const wanted = readRecipe(recipePath);
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
