/**
 * Room: domain (tests only). Recipes made of named blocks, without bytes behind them.
 */

import { setBit } from './bitmap.ts';
import type { Recipe } from './recipe.ts';

/** A recipe with one key per named block (0 = zero block); keys differ in either word. */
export function recipeOfKeys(contents: readonly number[], lastBytes = 4096): Recipe {
  const segments = Math.ceil(contents.length / 16);
  const bitmap = new Uint8Array(Math.ceil(segments / 64) * 8);
  const masks: number[] = [];
  const keys: number[] = [];
  for (let segment = 0; segment < segments; segment += 1) {
    let mask = 0;
    contents.slice(segment * 16, segment * 16 + 16).forEach((content, bit) => {
      if (content === 0) return;
      mask |= 1 << bit;
      keys.push(content & 3, content >>> 2);
    });
    if (mask === 0) continue;
    setBit(bitmap, segment);
    masks.push(mask);
  }
  return {
    virtualSizeBytes: Math.max(0, contents.length * 4096 - (4096 - lastBytes)),
    segmentBitmap: bitmap,
    segmentHashes: new Uint8Array(masks.length * 32),
    blockMasks: Uint16Array.from(masks),
    keys: Uint32Array.from(keys),
  };
}
