import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isVmdnError } from '../domain/errors.ts';
import {
  EMPTY_LEAF,
  HASH_BYTES,
  leafHash,
  merkleProofCount,
  merkleRangeProof,
  merkleRoot,
  merkleRootFromRange,
  merkleTree,
  treeRoot,
} from './merkle.ts';
import { referenceRoot, seededBytes, sha256 } from './recipe.fixture.ts';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function leavesOf(data: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(data.map((leaf) => leafHash(leaf))));
}

/** Leaves with runs of equal ones, as sparse disks have them. */
const leafData = fc.array(fc.constantFrom('', 'a', 'b', 'c'), { maxLength: 70 });

describe('merkle trees', () => {
  test('I1: the test vectors that RFC 6962 implementations share', () => {
    // Certificate Transparency's own reference inputs (merkle_tree_test.cc in its repository).
    const inputs = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657'];
    inputs.push('606162636465666768696a6b6c6d6e6f');
    const roots = [
      '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
      'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
      'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
      'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
      '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
      '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
      'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
      '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
    ];
    expect(hex(merkleRoot(new Uint8Array(0)))).toBe(hex(sha256('')));
    roots.forEach((root, i) => {
      const data = inputs.slice(0, i + 1).map((text) => Buffer.from(text, 'hex'));
      expect(hex(merkleRoot(leavesOf(data)))).toBe(root);
    });
    expect(hex(EMPTY_LEAF)).toBe(roots[0]);
  });

  test('I2: the level-by-level root is the recursive root of RFC 6962, and leaves stay as they are', () => {
    fc.assert(
      fc.property(leafData, (texts) => {
        const data = texts.map((text) => Buffer.from(text));
        const leaves = leavesOf(data);
        const before = hex(leaves);
        expect(hex(merkleRoot(leaves))).toBe(hex(referenceRoot(data)));
        expect(hex(treeRoot(merkleTree(leaves)))).toBe(hex(referenceRoot(data)));
        expect(hex(leaves)).toBe(before);
      }),
    );
  });

  test('I3: every range of every small tree proves itself', () => {
    for (let count = 1; count <= 20; count += 1) {
      const leaves = seededBytes('leaves', count * HASH_BYTES);
      const tree = merkleTree(leaves);
      const root = hex(treeRoot(tree));
      for (let from = 0; from < count; from += 1) {
        for (let to = from + 1; to <= count; to += 1) {
          const proof = merkleRangeProof(tree, from, to);
          expect(proof.length).toBe(merkleProofCount(count, from, to) * HASH_BYTES);
          const leafHashes = leaves.subarray(from * HASH_BYTES, to * HASH_BYTES);
          const found = merkleRootFromRange({ leafCount: count, from, to, leafHashes, proof });
          expect(hex(found)).toBe(root);
        }
      }
    }
  });

  test('I3: a proof is logarithmic', () => {
    expect(merkleProofCount(2 ** 24, 12_345, 12_346)).toBe(24);
    expect(merkleProofCount(2 ** 24, 0, 2 ** 24)).toBe(0);
  });

  test('I4: any changed byte, moved range or wrong length leads to another root or to corrupt', () => {
    const count = 21;
    const leaves = seededBytes('leaves', count * HASH_BYTES);
    const tree = merkleTree(leaves);
    const root = hex(treeRoot(tree));
    const change = fc.record({
      from: fc.integer({ min: 0, max: count - 1 }),
      length: fc.integer({ min: 1, max: count }),
      kind: fc.constantFrom('leaf', 'proof', 'shift', 'cut', 'extend'),
      at: fc.nat(),
      xor: fc.integer({ min: 1, max: 255 }),
    });
    fc.assert(
      fc.property(change, ({ from, length, kind, at, xor }) => {
        const to = Math.min(count, from + length);
        const leafHashes = leaves.slice(from * HASH_BYTES, to * HASH_BYTES);
        let proof = merkleRangeProof(tree, from, to);
        fc.pre(proof.length > 0 || (kind !== 'proof' && kind !== 'cut'));
        const range = { leafCount: count, from, to };
        if (kind === 'leaf') leafHashes[at % leafHashes.length]! ^= xor;
        if (kind === 'proof') proof[at % proof.length]! ^= xor;
        if (kind === 'shift') [range.from, range.to] = [from + 1 + (at % 3), to + 1 + (at % 3)];
        if (kind === 'cut') proof = proof.subarray(0, -(1 + (at % 40)));
        if (kind === 'extend') proof = new Uint8Array([...proof, ...new Uint8Array(1 + (at % 40))]);
        try {
          expect(hex(merkleRootFromRange({ ...range, leafHashes, proof }))).not.toBe(root);
        } catch (error) {
          expect(isVmdnError(error, 'corrupt')).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('I4: senseless numbers are corrupt, not a crash or a loop', () => {
    const numbers = fc.oneof(fc.integer(), fc.double(), fc.constantFrom(-1, 2 ** 31, 2 ** 53, NaN));
    fc.assert(
      fc.property(numbers, numbers, numbers, (leafCount, from, to) => {
        const bytes = new Uint8Array(64);
        try {
          merkleRootFromRange({ leafCount, from, to, leafHashes: bytes, proof: bytes });
        } catch (error) {
          expect(isVmdnError(error, 'corrupt')).toBe(true);
        }
      }),
    );
  });
});
