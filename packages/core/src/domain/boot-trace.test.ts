import { describe, expect, it } from 'vitest';
import { type BootTrace, chooseTrace, type TraceKinship, traceDisk } from './boot-trace.ts';
import { recipeOfKeys } from './match.fixture.ts';
import { buildRecipeIndex } from './recipe-index.ts';

const SEED = 0x5eed;

/** A trace of [disk, block, content] as `recipeOfKeys` names contents. */
function traceOf(reads: readonly (readonly [number, number, number])[]): BootTrace {
  return {
    disks: Uint8Array.from(reads, ([disk]) => disk),
    blocks: Uint32Array.from(reads, ([, block]) => block),
    keys: Uint32Array.from(reads.flatMap(([, , content]) => [content & 3, content >>> 2])),
  };
}

function look(trace: BootTrace, contents: readonly number[], kinship: TraceKinship, disk = 0) {
  const recipe = recipeOfKeys(contents);
  const index = buildRecipeIndex(recipe);
  return traceDisk({ kinship, trace }, { disk, recipe, index }, SEED);
}

/** Blocks 0 to 63 with contents 1 to 64. */
const DISK = Array.from({ length: 64 }, (_, block) => block + 1);

describe('what a trace says of a disk', () => {
  it('I3: names the segments in the order of their first reads, each once', () => {
    const trace = traceOf([
      [0, 40, 41],
      [0, 3, 4],
      [0, 41, 42],
      [0, 20, 21],
      [0, 4, 5],
    ]);
    expect(look(trace, DISK, 'version')).toEqual({
      ...{ segments: [2, 0, 1], bytes: 48 * 4096 },
      ...{ tracedBlocks: 5, foundBlocks: 5 },
    });
  });

  it('I1: finds what moved by its content, and what did not at its place', () => {
    const moved = [...new Array(16).fill(0), ...DISK];
    // Content 41 stands at its old place too: that place counts.
    moved[40] = 41;
    const trace = traceOf([
      [0, 40, 41],
      [0, 3, 4],
      [0, 63, 999],
    ]);
    const found = look(trace, moved, 'vm');
    expect(found).toMatchObject({ segments: [2, 1], tracedBlocks: 3, foundBlocks: 2 });
  });

  it('I1: follows a run to where it went on, not to where a block of it lies first', () => {
    const common = 500;
    const contents = [common, ...new Array(31).fill(0), 77, common, 78];
    const trace = traceOf([
      [0, 100, 77],
      [0, 101, common],
      [0, 102, 78],
    ]);
    expect(look(trace, contents, 'relative')).toMatchObject({ segments: [2], foundBlocks: 3 });
  });

  it('a trace of the same version is not searched for elsewhere', () => {
    const trace = traceOf([[0, 200, 5]]);
    expect(look(trace, DISK, 'version')).toMatchObject({ segments: [], foundBlocks: 0 });
    expect(look(trace, DISK, 'vm')).toMatchObject({ segments: [0], foundBlocks: 1 });
  });

  it('counts the blocks of one disk only, zeros not at all', () => {
    const trace = traceOf([
      [0, 0, 1],
      [1, 16, 17],
      [1, 17, 18],
    ]);
    expect(look(trace, DISK, 'relative', 1)).toMatchObject({ segments: [1], tracedBlocks: 2 });
    const sparse = [0, 0, 3, ...new Array(13).fill(0)];
    expect(look(traceOf([[0, 2, 3]]), sparse, 'version')).toMatchObject({ bytes: 4096 });
    expect(look(traceOf([[0, 0, 1]]), sparse, 'version')).toMatchObject({ segments: [] });
  });

  it('I2: takes places far beyond the disk, and a disk of zeros', () => {
    const trace = traceOf([[0, 2 ** 31 - 1, 1]]);
    expect(look(trace, DISK, 'version').segments).toEqual([]);
    expect(look(trace, DISK, 'relative').segments).toEqual([0]);
    expect(look(trace, new Array(32).fill(0), 'relative').segments).toEqual([]);
  });
});

describe('which trace to go by', () => {
  const one = (kinship: TraceKinship, foundBlocks: number, tracedBlocks = 100) => {
    return { kinship, tracedBlocks, foundBlocks };
  };

  it("takes the version's own, however much a relative's fits", () => {
    expect(chooseTrace([one('relative', 100), one('version', 3)])).toBe(1);
  });

  it('takes that of another version while the guest is the same', () => {
    expect(chooseTrace([one('relative', 90), one('vm', 50)])).toBe(1);
    expect(chooseTrace([one('relative', 90), one('vm', 49)])).toBe(0);
  });

  it('else takes the one of which most is there, the first of equals', () => {
    expect(chooseTrace([one('relative', 10), one('relative', 30), one('relative', 30)])).toBe(1);
  });

  it('takes none of which nothing is there', () => {
    expect(chooseTrace([])).toBe(-1);
    expect(chooseTrace([one('version', 0), one('vm', 0, 0), one('relative', 0)])).toBe(-1);
  });
});
