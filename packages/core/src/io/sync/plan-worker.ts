/**
 * Room: io, sync. The thread that plans: reads recipes by path, matches, builds plans. Plans come one
 * after another; a library is scanned from files, so memory holds one image's recipe at a time.
 *
 * I1: a wanted recipe counts only when its segment column has the wanted digest.
 * I2: an image whose recipe cannot be read or decoded covers nothing; it never fails the plan.
 */

import { randomInt } from 'node:crypto';
import { VmdnError } from '../../domain/errors.ts';
import { createMatcher, MAX_IMAGES_PER_PLAN, placesPerKeyFor } from '../../domain/match.ts';
import { buildPlan, type DiskPlan, shareRecipe } from '../../domain/plan.ts';
import type { Recipe } from '../../domain/recipe.ts';
import { digestOfRecipe } from '../../formats/disk-digest.ts';
import type { PlanOrder } from './plan-messages.ts';
import { readRecipe, readRecipeIfAny } from './read-recipe.ts';
import { answerCalls } from './worker-calls.ts';

function plan(order: PlanOrder): DiskPlan {
  const { digest, images, rates } = order;
  if (images.length > MAX_IMAGES_PER_PLAN) {
    throw new VmdnError('too_large', `A plan takes at most ${MAX_IMAGES_PER_PLAN} images.`);
  }
  const wanted = shareRecipe(readRecipe(order.recipePath));
  if (digestOfRecipe(wanted) !== digest) {
    throw new VmdnError('corrupt', 'The recipe of the wanted disk is damaged; fetch it again.', {
      data: { digest, path: order.recipePath },
    });
  }
  const matcher = createMatcher(wanted, {
    placesPerKey: placesPerKeyFor(wanted),
    seed: randomInt(2 ** 32),
  });
  const coveredBytes = images.map((image) => {
    const recipe = readRecipeIfAny(image.recipePath);
    return matcher.scan(recipe ?? NOTHING, image.presentSegments);
  });
  return buildPlan({ digest, wanted, images, places: matcher.places(), coveredBytes, rates });
}

/** The recipe of an empty disk: what an image without a readable recipe counts as. */
const NOTHING: Recipe = {
  virtualSizeBytes: 0,
  segmentBitmap: new Uint8Array(),
  segmentHashes: new Uint8Array(),
  blockMasks: new Uint16Array(),
  keys: new Uint32Array(),
};

answerCalls(plan);
