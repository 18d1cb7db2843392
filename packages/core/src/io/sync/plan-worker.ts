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
import { readRecipe, readRecipeIfAny } from './read-recipe.ts';
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
  const inPlace: Share[] = [];
  const coveredBytes = images.map((image, number) => {
    const recipe = readRecipeIfAny(image.recipePath) ?? NOTHING;
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
    share,
  });
}

function coverage(order: CoverageOrder): Coverage {
  const matcher = createMatcher(wantedRecipe(order), { placesPerKey: 0, seed: randomInt(2 ** 32) });
  scanAll(matcher, order.images);
  const missingBytes = matcher.missingBytes();
  let before = matcher.coveredBytes();
  const coveredBytes = order.offered.map((path) => {
    matcher.scan(readRecipeIfAny(path) ?? NOTHING);
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

/** Scans the images in order; the bytes that each covers. */
function scanAll(matcher: Matcher, images: readonly LocalImage[]): number[] {
  return images.map((image) => {
    return matcher.scan(readRecipeIfAny(image.recipePath) ?? NOTHING, image.presentSegments);
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
