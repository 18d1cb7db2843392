/**
 * The golden files in golden/disk/: one disk of 4,456,960 bytes (69 segments, the last one short; 2 key
 * pages) and what this and every later version must make of it. docs/formats/ walks through their bytes.
 * VMDN_UPDATE_GOLDEN=1 writes them again, which is right only together with a new format version.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Digest, MerkleRoot } from '../domain/digest.ts';
import { encodeBlockRequest, runBytes } from './block-request.ts';
import {
  createBlockStreamDecoder,
  encodeBlockStreamEnd,
  encodeBlockStreamHeader,
  encodeRunHeader,
} from './block-stream.ts';
import { diskOf, referenceDigest, referenceKeysRoot, referenceRecipe } from './recipe.fixture.ts';
import { decodeRecipe, encodeRecipe, verifyRecipe } from './recipe.ts';
import { answerOf, askFor, outlineOf } from './recipe-outline.fixture.ts';
import { decodeOutline } from './recipe-outline.ts';
import { decodeKeyRange, decodeSegmentRange, encodeRecipeRange } from './recipe-range.ts';
import { assembleRecipe, encodeRowRequest } from './recipe-rows.ts';

const DIR = new URL('./golden/disk/', import.meta.url);

/** Sectors 8-15 and 200, and the last 5, of which one is all of the last segment. */
const disk = diskOf(8705, [
  { at: 8, length: 8, seed: 1 },
  { at: 200, length: 1, seed: 2 },
  { at: 8700, length: 5, seed: 3 },
]);
const virtualSizeBytes = disk.length;
const runs = Uint32Array.of(1, 1, 1086, 3);

interface Roots {
  readonly digest: Digest;
  readonly keysRoot: MerkleRoot;
}

function golden(name: string, made: () => Uint8Array | string): Buffer {
  const path = new URL(name, DIR);
  if (process.env.VMDN_UPDATE_GOLDEN !== undefined) writeFileSync(path, made());
  return readFileSync(path);
}

const streamBytes = (): Buffer => {
  const parts: Uint8Array[] = [encodeBlockStreamHeader()];
  for (let i = 0; i < runs.length; i += 2) {
    const [start, count] = [runs[i]!, runs[i + 1]!];
    const at = start * 4096;
    parts.push(encodeRunHeader(start, count));
    parts.push(disk.subarray(at, at + runBytes(virtualSizeBytes, start, count)));
  }
  return Buffer.concat([...parts, encodeBlockStreamEnd('complete')]);
};

const recipe = referenceRecipe(disk);
const roots = JSON.parse(
  golden('roots.json', () => {
    const made = { digest: referenceDigest(disk), keysRoot: referenceKeysRoot(disk) };
    return `${JSON.stringify(made, null, 2)}\n`;
  }).toString(),
) as Roots;

describe('golden files', () => {
  test('the recipe of the golden disk is the golden file, and verifies', () => {
    const file = golden('disk.recipe', () => encodeRecipe(recipe));
    expect(file.equals(encodeRecipe(recipe))).toBe(true);
    const decoded = decodeRecipe(file);
    expect(decoded).toEqual(recipe);
    verifyRecipe(decoded, roots);
    expect(decoded.blockMasks.length).toBe(4);
    expect(decoded.keys.length).toBe(8);
  });

  test('the golden ranges decode, verify, and are what is encoded today', () => {
    const segments = golden('segments-60-69.range', () =>
      encodeRecipeRange(recipe, 'segments', 60, 69),
    );
    const keys = golden('pages-0-1.range', () => encodeRecipeRange(recipe, 'keys', 0, 1));
    expect(segments.equals(encodeRecipeRange(recipe, 'segments', 60, 69))).toBe(true);
    expect(keys.equals(encodeRecipeRange(recipe, 'keys', 0, 1))).toBe(true);
    const { digest, keysRoot } = roots;
    const found = decodeSegmentRange(segments, { digest, virtualSizeBytes, from: 60, to: 69 });
    expect(Buffer.from(found.hashes).equals(recipe.segmentHashes.subarray(64))).toBe(true);
    const pages = decodeKeyRange(keys, { keysRoot, virtualSizeBytes, from: 0, to: 1 });
    expect(pages.keys).toEqual(recipe.keys.subarray(0, 4));
  });

  test('the golden outline, row request and rows are what is encoded today, and make the recipe', () => {
    const outline = golden('disk.outline', () => outlineOf(recipe));
    const rowRuns = Uint32Array.of(1, 2);
    const request = golden('rows.request', () => encodeRowRequest(rowRuns));
    const rows = golden('rows.rows', () => answerOf(recipe, rowRuns));
    expect(outline.equals(outlineOf(recipe))).toBe(true);
    expect(request.equals(encodeRowRequest(rowRuns))).toBe(true);
    expect(rows.equals(answerOf(recipe, rowRuns))).toBe(true);
    // A library that has all but the third and fourth write: rows 0 and 3 are known by it.
    const library = referenceRecipe(
      diskOf(200, [
        { at: 8, length: 8, seed: 1 },
        { at: 128, length: 5, seed: 3 },
      ]),
    );
    const { known } = askFor(outline, [library]);
    const asked = { outline: decodeOutline(outline), known, runs: Uint32Array.of(1, 3) };
    const { recipe: whole } = assembleRecipe(asked, answerOf(recipe, asked.runs));
    verifyRecipe(whole, roots);
    expect(whole).toEqual(recipe);
  });

  test('the golden request and stream are what is encoded today, and bring the blocks', () => {
    const request = golden('blocks.request', () => encodeBlockRequest(runs, virtualSizeBytes));
    expect(request.equals(encodeBlockRequest(runs, virtualSizeBytes))).toBe(true);
    const stream = golden('blocks.stream', streamBytes);
    expect(stream.equals(streamBytes())).toBe(true);
    const found = Buffer.alloc(disk.length);
    const onBlocks = (start: number, _count: number, bytes: Uint8Array): void => {
      found.set(bytes, start * 4096);
    };
    const decoder = createBlockStreamDecoder({ virtualSizeBytes, runs, onBlocks });
    decoder.push(stream);
    expect(decoder.end()).toBe('complete');
    expect(found.subarray(4096, 8192).equals(disk.subarray(4096, 8192))).toBe(true);
    expect(found.subarray(1086 * 4096).equals(disk.subarray(1086 * 4096))).toBe(true);
  });
});
