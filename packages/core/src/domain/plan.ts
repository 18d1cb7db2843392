/**
 * Room: domain. The plan of a disk: where every block comes from, as data, and what that adds up to.
 *
 * I1: pure: a plan follows from the wanted recipe and the places that matching found; how long it takes
 *     is another question (plan-estimate.ts).
 * I2: every non-zero block has exactly one source: a place in a local image, itself earlier on this disk
 *     (a duplicate travels once), or a remote node. Zero blocks have none.
 * I3: bytes by tier add up to the virtual size, the short last block counted truly. A duplicate counts
 *     for the tier that its first copy comes from; zero blocks of any segment count as zero.
 * I4: long runs in one image win over scattered places: a run is followed as long as it lasts, and where
 *     one begins the place with the longest run is taken.
 */

import { shared } from './columns.ts';
import type { Digest } from './digest.ts';
import type { ImageLayers } from './layers.ts';
import type { Places } from './match.ts';
import type { Name } from './names.ts';
import type { Recipe } from './recipe.ts';
import { buildRecipeIndex, popcount32, type RecipeIndex } from './recipe-index.ts';
import { bestCandidates, type Candidate } from './score.ts';
import type { Share } from './share.ts';
import { BLOCK_BYTES, blockLengthBytes } from './units.ts';

/** Source of a block: fetched from a peer or the origin. */
export const REMOTE = 0xffffffff;
/** Source of a block: the first block of this disk with the same key (`firstBlockOf`). */
export const SELF = 0xfffffffe;

/** Places are compared by how far they run on, up to this many blocks. */
const LOOK_AHEAD_BLOCKS = 128;
/** A run goes on in its image after a gap of other sources of at most this many blocks. */
const RUN_GAP_BLOCKS = 64;

/** An image on this edge. */
export interface LocalImage {
  readonly digest: Digest;
  readonly name: Name | null;
  /** Where the image's guest-visible bytes lie. */
  readonly layers: ImageLayers;
  readonly recipePath: string;
  readonly virtualSizeBytes: number;
  /** `package` for an unpacked package; local unless said. */
  readonly tier?: 'local' | 'package';
  /** Bitmap of the segments that the file holds; absent = all. */
  readonly presentSegments?: Uint8Array;
  /** The store holds it whole in one raw file: other disks may share its storage. */
  readonly canBeShared?: boolean;
}

/** Bytes of a disk by where they come from. */
export interface PlanCounts {
  readonly zeroBytes: number;
  readonly localBytes: number;
  readonly packageBytes: number;
  /** Of the disk; more than travels, because duplicates travel once. */
  readonly remoteBytes: number;
  readonly travellingBytes: number;
  /** What would travel if nothing of it were here: each different block once. */
  readonly distinctBytes: number;
}

export interface DiskPlan {
  readonly digest: Digest;
  readonly wanted: Recipe;
  readonly images: readonly LocalImage[];
  readonly counts: PlanCounts;
  /** The images that cover most, best first. */
  readonly candidates: readonly Candidate[];
  /** For each wanted key: REMOTE, SELF, or the number of a place in the columns below. */
  readonly source: Uint32Array;
  /** For each wanted key the first block of this disk that has it. */
  readonly firstBlockOf: Uint32Array;
  readonly placeImage: Uint16Array;
  readonly placeBlock: Uint32Array;
  /** 1 where the places of another key begin: the places between two ones are alternatives. */
  readonly placeBegins: Uint8Array;
  /** The image that the disk shares storage with; null: it is written whole. */
  readonly share: Share | null;
}

export interface PlanInput {
  readonly digest: Digest;
  readonly wanted: Recipe;
  readonly images: readonly LocalImage[];
  readonly places: Places;
  /** Bytes that each image covers, in the order of images. */
  readonly coveredBytes: readonly number[];
  readonly share?: Share | null;
}

/** The plan for one disk. The columns lie in shared memory, so that workers read them in place. */
export function buildPlan(input: PlanInput): DiskPlan {
  const { wanted, places, images } = input;
  const { blocks, firstOf, image: placeImage, block: placeBlock } = places;
  const source = shared(Uint32Array, blocks.length);
  chooseSources(places, source);
  const counts = countSources(wanted, images, places, source);
  const firstBlockOf = shared(Uint32Array, blocks.length);
  for (let k = 0; k < blocks.length; k += 1) firstBlockOf[k] = blocks[firstOf[k]!]!;
  const placeBegins = shared(Uint8Array, placeBlock.length + 1);
  for (const begin of places.start) placeBegins[begin] = 1;
  return {
    digest: input.digest,
    wanted,
    images,
    counts,
    candidates: bestCandidates(images, input.coveredBytes),
    source,
    firstBlockOf,
    placeImage,
    placeBlock,
    placeBegins,
    share: input.share ?? null,
  };
}

/** Memory that a plan takes, in bytes: its columns and its recipe's. */
export function planBytes(plan: DiskPlan): number {
  const { segmentBitmap, segmentHashes, blockMasks, keys } = plan.wanted;
  const { source, firstBlockOf, placeImage, placeBlock, placeBegins } = plan;
  const ofRecipe = [segmentBitmap, segmentHashes, blockMasks, keys];
  const columns = [...ofRecipe, source, firstBlockOf, placeImage, placeBlock, placeBegins];
  return columns.reduce((sum, column) => sum + column.byteLength, 0);
}

/** For each row of the recipe, which of its blocks the plan fetches, and which repeat an earlier one. */
export function planMasks(plan: DiskPlan): { remote: Uint16Array; self: Uint16Array } {
  const masks = plan.wanted.blockMasks;
  const remote = new Uint16Array(masks.length);
  const self = new Uint16Array(masks.length);
  let key = 0;
  for (let row = 0; row < masks.length; row += 1) {
    for (let mask = masks[row]!; mask !== 0; mask &= mask - 1) {
      const source = plan.source[key]!;
      if (source === REMOTE) remote[row]! |= mask & -mask;
      else if (source === SELF) self[row]! |= mask & -mask;
      key += 1;
    }
  }
  return { remote, self };
}

/** The recipe's index, with what plans ask of it. */
export function indexOf(plan: DiskPlan): RecipeIndex {
  return buildRecipeIndex(plan.wanted);
}

/** Index of the key of block `bit` (0 to 15) of a row that is not zero there. */
export function keyOf(index: RecipeIndex, mask: number, row: number, bit: number): number {
  return index.firstKeyOf(row) + popcount32(mask & ((1 << bit) - 1));
}

function chooseSources(places: Places, source: Uint32Array): void {
  const { blocks } = places;
  let [lastImage, lastBlock, lastWanted] = [-1, 0, 0];
  for (let k = 0; k < blocks.length; k += 1) {
    const first = places.firstOf[k]!;
    const begin = places.start[first]!;
    const end = places.start[first + 1]!;
    if (begin === end) {
      source[k] = first === k ? REMOTE : SELF;
      continue;
    }
    const step = blocks[k]! - lastWanted;
    let chosen = -1;
    if (lastImage >= 0 && step <= RUN_GAP_BLOCKS) {
      chosen = findPlace(places, first, lastImage, lastBlock + step);
    }
    if (chosen < 0) chosen = longestRun(places, k, begin, end);
    source[k] = chosen;
    lastImage = places.image[chosen]!;
    lastBlock = places.block[chosen]!;
    lastWanted = blocks[k]!;
  }
}

/** Of the places [begin, end) of key k the one that runs on longest; in place, then first, on a tie. */
function longestRun(places: Places, k: number, begin: number, end: number): number {
  if (end - begin === 1) return begin;
  let [best, bestLength] = [begin, -1];
  for (let place = begin; place < end; place += 1) {
    let length = 2 * runLength(places, k, place);
    if (places.block[place] === places.blocks[k]) length += 1;
    if (length > bestLength) [best, bestLength] = [place, length];
  }
  return best;
}

/** How many of the keys after k lie in the place's image at the same distance as on the wanted disk. */
function runLength(places: Places, k: number, place: number): number {
  const { blocks } = places;
  const image = places.image[place]!;
  const shift = places.block[place]! - blocks[k]!;
  const last = Math.min(blocks.length, k + 1 + LOOK_AHEAD_BLOCKS);
  let next = k + 1;
  while (
    next < last &&
    findPlace(places, places.firstOf[next]!, image, blocks[next]! + shift) >= 0
  ) {
    next += 1;
  }
  return next - k - 1;
}

function findPlace(places: Places, first: number, image: number, block: number): number {
  const end = places.start[first + 1]!;
  for (let place = places.start[first]!; place < end; place += 1) {
    if (places.block[place] === block && places.image[place] === image) return place;
  }
  return -1;
}

function countSources(
  { virtualSizeBytes }: Recipe,
  images: readonly LocalImage[],
  { blocks, firstOf, image: placeImage }: Places,
  source: Uint32Array,
): PlanCounts {
  const isPackage = Uint8Array.from(images, (image) => (image.tier === 'package' ? 1 : 0));
  let [local, packages, remote, travelling, distinct] = [0, 0, 0, 0, 0];
  for (let k = 0; k < source.length; k += 1) {
    const last = k === source.length - 1;
    const length = last ? blockLengthBytes(virtualSizeBytes, blocks[k]!) : BLOCK_BYTES;
    const from = source[k]!;
    if (firstOf[k] === k) distinct += length;
    if (from === REMOTE || from === SELF) {
      remote += length;
      if (from === REMOTE) travelling += length;
    } else if (isPackage[placeImage[from]!] === 1) {
      packages += length;
    } else {
      local += length;
    }
  }
  return {
    zeroBytes: virtualSizeBytes - local - packages - remote,
    localBytes: local,
    packageBytes: packages,
    remoteBytes: remote,
    travellingBytes: travelling,
    distinctBytes: distinct,
  };
}
