import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { compressBody, decompressBody } from './disk-zstd.ts';

const MIB = 2 ** 20;
const LEVEL = 3;

function noise(sizeBytes: number): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  for (let at = 0; at < sizeBytes; at += 65_536) {
    crypto.getRandomValues(bytes.subarray(at, Math.min(sizeBytes, at + 65_536)));
  }
  return bytes;
}

const words = new TextEncoder().encode('desired state and reconcilers, '.repeat(40_000));
const text = words.subarray(0, MIB);
const small = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);

async function* bodyOf(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
}

async function gather(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(piece);
  return Buffer.concat(pieces);
}

describe('a body', () => {
  it.each([
    ['of random bytes', [small, noise(MIB), noise(70_001), small]],
    ['that is random at first', [small, noise(MIB), text, noise(MIB), text, small]],
    ['that is random later', [small, text, noise(2 * MIB), small]],
    ['random with a little tail that is not', [noise(MIB), text.subarray(0, 5000), small]],
    ['whose tail is less than a header', [noise(MIB), text.subarray(0, 65)]],
    ['of small pieces', [small, small]],
    ['of nothing', []],
  ])('%s is one frame that every decoder takes', async (_, pieces) => {
    const plain = Buffer.concat(pieces);
    const coded = await gather(compressBody(bodyOf(pieces), LEVEL));
    expect(zstdDecompressSync(coded).equals(plain)).toBe(true);
    // Cut anywhere, as a network does.
    const cut = Array.from({ length: Math.ceil(coded.length / 1000) }, (__, i) =>
      coded.subarray(i * 1000, (i + 1) * 1000),
    );
    expect((await gather(decompressBody(bodyOf(cut)))).equals(plain)).toBe(true);
  });

  it('I4: random bytes leave as they are, three bytes more for each 128 KiB', async () => {
    const pieces = [noise(MIB), noise(MIB)];
    const frameBytes = 6 + 3;
    const coded = await gather(compressBody(bodyOf(pieces), LEVEL));
    expect(coded.length).toBe(2 * MIB + 16 * 3 + frameBytes);
  });

  it('I4: what compresses is compressed, behind random bytes too', async () => {
    const alone = zstdCompressSync(text).length;
    const coded = await gather(compressBody(bodyOf([noise(MIB), text, text]), LEVEL));
    expect(coded.length).toBeLessThan(MIB + 2 * alone + 1000);
  });

  it('I2: a source that fails while random bytes are stored fails the body', async () => {
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield noise(MIB);
      throw new Error('the disk is gone');
    }
    await expect(gather(compressBody(failing(), LEVEL))).rejects.toThrow('the disk is gone');
  });

  it('I2: a reader that stops while random bytes are stored stops the source', async () => {
    let hasStopped = false;
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield noise(MIB);
      } finally {
        hasStopped = true;
      }
    }
    for await (const piece of compressBody(endless(), LEVEL)) if (piece.length > 100) break;
    expect(hasStopped).toBe(true);
  });
});
