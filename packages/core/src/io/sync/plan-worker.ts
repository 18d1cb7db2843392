/**
 * Room: io, sync. The thread that plans: reads recipes by path, matches, builds plans. Plans come one
 * after another; a library is scanned from files, so memory holds one image's recipe at a time.
 *
 * I1: a wanted recipe counts only when its segment column has the wanted digest.
 * I2: an image whose recipe cannot be read or decoded covers nothing; it never fails the plan.
 */

import { randomInt } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { isVmdnError, VmdnError } from '../../domain/errors.ts';
import { MAX_RECIPE_BYTES } from '../../domain/limits.ts';
import { createMatcher, MAX_IMAGES_PER_PLAN, placesPerKeyFor } from '../../domain/match.ts';
import { buildPlan, type DiskPlan, shareRecipe } from '../../domain/plan.ts';
import type { Recipe } from '../../domain/recipe.ts';
import { chooseShare, rowsInPlace, type Share } from '../../domain/share.ts';
import { digestOfRecipe } from '../../formats/disk-digest.ts';
import { decodeRecipe } from '../../formats/recipe.ts';
import type { PlanAnswer, PlanOrder } from './plan-messages.ts';

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
  const inPlace: Share[] = [];
  const coveredBytes = images.map((image, number) => {
    const recipe = recipeOf(image.recipePath) ?? NOTHING;
    if (image.canBeShared === true) inPlace.push({ image: number, ...rowsInPlace(wanted, recipe) });
    return matcher.scan(recipe, image.presentSegments);
  });
  const share = chooseShare(wanted, inPlace);
  return buildPlan({
    digest,
    wanted,
    images,
    places: matcher.places(),
    coveredBytes,
    rates,
    share,
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

function recipeOf(path: string): Recipe | undefined {
  try {
    return readRecipe(path);
  } catch {
    return undefined;
  }
}

function readRecipe(path: string): Recipe {
  if (statSync(path).size > MAX_RECIPE_BYTES) {
    throw new VmdnError('too_large', `${path} is larger than a recipe can be.`, { data: { path } });
  }
  return decodeRecipe(readFileSync(path));
}

parentPort?.on('message', (order: PlanOrder) => {
  let answer: PlanAnswer;
  try {
    answer = { kind: 'planned', number: order.number, plan: plan(order) };
  } catch (error) {
    const errno = error instanceof Error && 'code' in error ? String(error.code) : '';
    const { data } = isVmdnError(error) ? error : { data: {} };
    const message = error instanceof Error ? error.message : String(error);
    answer = { kind: 'failed', number: order.number, code: errno, message, data };
  }
  parentPort?.postMessage(answer);
});
