import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isVmdnError } from '../domain/errors.ts';
import type { Recipe } from '../domain/recipe.ts';
import { rowCountOf } from '../domain/recipe-outline.ts';
import { PIECE_BYTES } from './column-pieces.ts';
import { encodeRecipe, recipeFileBytes, verifyRecipe } from './recipe.ts';
import {
  answerOf,
  askFor,
  changed,
  outlineOf,
  recipeOfSegments,
  rootsOf,
  withOtherTail,
} from './recipe-outline.fixture.ts';
import { decodeOutline, outlineLength, outlinePieces } from './recipe-outline.ts';
import {
  assembleRecipe,
  decodeRowRequest,
  encodeRowRequest,
  expectedRowsLength,
} from './recipe-rows.ts';

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (isVmdnError(error)) return error.code;
    throw error;
  }
  return 'no error';
}

/** What an edge makes of it: the recipe, verified, or an error. */
function receive(
  wanted: Recipe,
  library: readonly Recipe[],
  lies: { outline?: Uint8Array; answer?: (honest: Uint8Array) => Uint8Array } = {},
): Recipe {
  const asked = askFor(lies.outline ?? outlineOf(wanted), library);
  const honest = asked.runs.length === 0 ? null : answerOf(wanted, asked.runs);
  const answer = honest === null ? null : (lies.answer ?? ((bytes) => bytes))(honest);
  const { recipe } = assembleRecipe(asked, answer);
  verifyRecipe(recipe, rootsOf(wanted));
  return recipe;
}

const flip = (at: number) => (bytes: Uint8Array) => {
  const copy = bytes.slice();
  copy[at < 0 ? copy.length + at : at]! ^= 1;
  return copy;
};

const contents = fc.array(fc.integer({ min: 0, max: 60 }), { maxLength: 150 });
const base = recipeOfSegments([1, 2, 3, 0, 4, 5, 6, 7, 8, 9]);
const clone = recipeOfSegments([1, 2, 3, 0, 40, 5, 41, 42, 8, 9, 43]);

describe('outline and rows', () => {
  test('bring every recipe to every library, byte for byte', () => {
    fc.assert(
      fc.property(contents, fc.array(contents, { maxLength: 3 }), (want, library) => {
        const wanted = recipeOfSegments(want);
        const got = receive(wanted, library.map(recipeOfSegments));
        expect(Buffer.compare(encodeRecipe(got), encodeRecipe(wanted))).toBe(0);
      }),
      { numRuns: 60 },
    );
  });

  test('of a clone carry its own segments and nothing of the others', () => {
    const { runs } = askFor(outlineOf(clone), [base]);
    expect([...runs]).toEqual([3, 1, 5, 2, 9, 1]);
    expect(receive(clone, [base])).toEqual(clone);
  });

  test('bring rows that were asked for although they are known', () => {
    const asked = { ...askFor(outlineOf(clone), [base]), runs: Uint32Array.of(2, 6, 9, 1) };
    const { recipe } = assembleRecipe(asked, answerOf(clone, asked.runs));
    expect(recipe).toEqual(clone);
  });

  test('bring columns that lie at odd addresses', () => {
    const shifted = (bytes: Uint8Array): Uint8Array => {
      const moved = new Uint8Array(bytes.length + 1);
      moved.set(bytes, 1);
      return moved.subarray(1);
    };
    const outline = shifted(outlineOf(clone));
    expect(receive(clone, [base], { outline, answer: shifted })).toEqual(clone);
  });

  test('come in pieces of one size, however short their parts are', () => {
    const many = recipeOfSegments(Array.from({ length: 10_000 }, (_, i) => (i % 7) + 1));
    const pieces = [...outlinePieces(many)];
    expect(pieces.map(({ length }) => length)).toEqual([PIECE_BYTES, expect.any(Number)]);
    expect(Buffer.concat(pieces).length).toBe(outlineLength(many));
  });
});

describe('what a liar, a collision or a damaged recipe makes of them', () => {
  const refused = (
    lies: Parameters<typeof receive>[2],
    library: readonly Recipe[] = [base],
  ): void => {
    expect(codeOf(() => receive(clone, library, lies))).toBe('corrupt');
  };

  test('I4: a local recipe with another segment of the same prefix is found out', () => {
    refused({}, [withOtherTail(base, 1)]);
  });

  test('I4: local keys or masks that are not those of the segment are found out', () => {
    refused({}, [changed(base, ({ keys }) => keys.fill(1, 0, 2))]);
    const swapped = changed(base, ({ blockMasks }) => {
      // As many blocks, in other places.
      blockMasks[0] = ((blockMasks[0]! << 1) | (blockMasks[0]! >>> 15)) & 0xffff;
    });
    expect(swapped.blockMasks[0]).not.toBe(base.blockMasks[0]);
    refused({}, [swapped]);
  });

  test('I4: a wrong prefix of a row that is fetched is found out', () => {
    const outline = outlineOf(clone);
    const prefixesAt = outline.length - clone.blockMasks.length * 8;
    refused({ outline: flip(prefixesAt + 3 * 8)(outline) });
  });

  test('I4: a wrong prefix of a row that is known makes it travel, and is found out', () => {
    const outline = outlineOf(clone);
    const prefixesAt = outline.length - clone.blockMasks.length * 8;
    const asked = askFor(flip(prefixesAt)(outline), [base]);
    expect(rowCountOf(asked.runs)).toBe(rowCountOf(askFor(outline, [base]).runs) + 1);
    refused({ outline: flip(prefixesAt)(outline) });
  });

  test('I4: another size, another bitmap or another number of keys is found out', () => {
    refused({ outline: outlineOf({ ...clone, virtualSizeBytes: clone.virtualSizeBytes - 512 }) });
    // Segment 3 for segment 2: as many rows.
    const moved = changed(clone, ({ segmentBitmap }) => segmentBitmap.set([0b1111_1011]));
    refused({ outline: outlineOf(moved) });
    const outline = outlineOf(clone);
    new DataView(outline.buffer).setUint32(20, clone.keys.length / 2 + 1, true);
    refused({ outline });
  });

  test('I3: rows that are missing, too many, cut or oversized are found out by length alone', () => {
    const { runs } = askFor(outlineOf(clone), [base]);
    const fewer = answerOf(clone, runs.slice(0, -2));
    const more = answerOf(clone, Uint32Array.of(2, 2, 5, 2, 9, 1));
    refused({ answer: () => fewer });
    refused({ answer: () => more });
    refused({ answer: (honest) => honest.subarray(0, -1) });
    refused({ answer: (honest) => Uint8Array.of(...honest, 0) });
    refused({ answer: () => new Uint8Array() });
    const asked = askFor(outlineOf(clone), [base]);
    for (const answer of [fewer, more]) {
      expect(() => assembleRecipe(asked, answer)).toThrow(/wrong length/);
    }
  });

  test('I4: no flipped bit of the rows passes, of their padding neither', () => {
    // Four rows need none, five need six bytes.
    for (const library of [base, recipeOfSegments([1, 2, 3, 4, 5, 40])]) {
      const { runs } = askFor(outlineOf(clone), [library]);
      const { length } = answerOf(clone, runs);
      for (let at = 0; at < length; at += 1) refused({ answer: flip(at) }, [library]);
    }
  });

  test('I4: the right number of other rows is found out', () => {
    const lying = changed(clone, ({ segmentHashes }) => segmentHashes.copyWithin(96, 160, 192));
    refused({ answer: () => answerOf(lying, askFor(outlineOf(clone), [base]).runs) });
  });
});

describe('an outline', () => {
  test('is never longer than its recipe', () => {
    for (const recipe of [recipeOfSegments([]), recipeOfSegments([0]), base, clone]) {
      expect(outlineLength(recipe)).toBe(outlineOf(recipe).length);
      expect(outlineLength(recipe)).toBeLessThan(recipeFileBytes(recipe));
    }
  });

  test('I2: cut, extended or random is refused with a code', () => {
    const outline = outlineOf(clone);
    for (let length = 0; length < outline.length; length += 1) {
      expect(codeOf(() => decodeOutline(outline.subarray(0, length)))).toBe('corrupt');
    }
    expect(codeOf(() => decodeOutline(Uint8Array.of(...outline, 0)))).toBe('corrupt');
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (tail) => {
        const bytes = Uint8Array.of(...outline.subarray(0, 12), ...tail);
        expect(['corrupt', 'too_large']).toContain(codeOf(() => decodeOutline(bytes)));
      }),
    );
  });

  test('I1: has no other encoding: no reserved byte, no bit that has no row, none past the end', () => {
    const outline = outlineOf(clone);
    const prefixesAt = outline.length - clone.blockMasks.length * 8;
    for (let at = 24; at < prefixesAt; at += 1) {
      expect(codeOf(() => decodeOutline(flip(at)(outline)))).toBe('corrupt');
    }
    // Eleven segments: the last bit moved past the end.
    const moved = outline.slice();
    moved[33]! ^= 0b1100;
    expect(codeOf(() => decodeOutline(moved))).toBe('corrupt');
  });

  test('I2: counts that promise more than the bytes are refused before anything is allocated', () => {
    const outline = outlineOf(clone);
    const view = new DataView(outline.buffer);
    view.setUint32(16, 0xffff_fff0, true);
    view.setUint32(20, 0xffff_ffff, true);
    expect(codeOf(() => decodeOutline(outline))).toBe('too_large');
    view.setBigUint64(8, 2n ** 63n, true);
    expect(codeOf(() => decodeOutline(outline))).toBe('too_large');
  });

  test('whose keys cannot be those of its rows is refused', () => {
    for (const keys of [9, 161]) {
      const outline = outlineOf(clone);
      new DataView(outline.buffer).setUint32(20, keys, true);
      expect(codeOf(() => decodeOutline(outline))).toBe('corrupt');
    }
    // Possible by itself, and impossible with what is known of its rows.
    const outline = outlineOf(clone);
    new DataView(outline.buffer).setUint32(20, 11, true);
    expect(codeOf(() => expectedRowsLength(askFor(outline, [base])))).toBe('corrupt');
  });
});

describe('a request for rows', () => {
  test('I1: comes back as it went out', () => {
    const runs = Uint32Array.of(0, 2, 5, 1, 7, 3);
    expect(decodeRowRequest(encodeRowRequest(runs), 10)).toEqual(runs);
  });

  test.each([
    ['none', [], 'invalid_input'],
    ['an empty run', [1, 0], 'invalid_input'],
    ['runs that overlap', [0, 3, 2, 1], 'invalid_input'],
    ['runs out of order', [5, 1, 2, 1], 'invalid_input'],
    ['a row past the end', [8, 3], 'invalid_input'],
    ['a huge run', [1, 0xffff_ffff], 'invalid_input'],
    ['too many runs', Array.from({ length: 2 * 65_537 }, (_, i) => i & 1 || i), 'too_large'],
  ])('I2: for %s is refused', (_, runs, code) => {
    const bytes = encodeRowRequest(Uint32Array.from(runs));
    expect(codeOf(() => decodeRowRequest(bytes, 10))).toBe(code);
  });

  test('I2: of other bytes is refused', () => {
    const bytes = encodeRowRequest(Uint32Array.of(0, 2));
    for (let length = 0; length < bytes.length; length += 1) {
      expect(codeOf(() => decodeRowRequest(bytes.subarray(0, length), 10))).toBe('invalid_input');
    }
    for (const at of [0, 8, 12]) {
      const other = bytes.slice();
      other[at]! ^= 2;
      expect(codeOf(() => decodeRowRequest(other, 10))).toBe('invalid_input');
    }
  });
});
