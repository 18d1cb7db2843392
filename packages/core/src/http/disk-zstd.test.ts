import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { BusyClock } from '../domain/busy-clock.ts';
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

/** One frame by zstd itself, made as a stream: it doesn't know its length beforehand. */
async function frameOf(plain: Uint8Array, windowLog: number): Promise<Buffer> {
  const coder = createZstdCompress({ params: { [constants.ZSTD_c_windowLog]: windowLog } });
  const coded = gather(coder);
  await pipeline([plain], coder);
  return await coded;
}

/** Cut into pieces of these lengths by turns, as a network does. */
function* cutInto(bytes: Uint8Array, lengths: readonly number[]): Generator<Uint8Array> {
  for (let [at, i] = [0, 0]; at < bytes.length; at += lengths[i % lengths.length]!, i += 1) {
    yield bytes.subarray(at, at + lengths[i % lengths.length]!);
  }
}

describe('a body of which zstd stored the beginning', () => {
  const random = noise(700_000);
  // What follows the random bytes is those bytes again: its blocks refer to the stored ones.
  const plain = Buffer.concat([random, random, text, noise(200_000), random.subarray(1000)]);

  it.each([10, 17, 18, 20, 23])('comes out whole, with a window of 2^%i', async (windowLog) => {
    const coded = await frameOf(plain, windowLog);
    if (windowLog >= 20) expect(coded.length).toBeLessThan(plain.length - random.length);
    for (const lengths of [[1000], [1, 2, 3, 65_536], [131_075, 7], [coded.length]]) {
      const body = decompressBody(bodyOf([...cutInto(coded, lengths)]));
      expect((await gather(body)).equals(plain)).toBe(true);
    }
  });

  it('I5: is handed on as it came, as long as it is stored', async () => {
    const coded = await gather(compressBody(bodyOf([random, text]), LEVEL));
    const views: Uint8Array[] = [];
    for await (const piece of decompressBody(bodyOf([coded]))) views.push(piece);
    const same = views.filter((view) => view.buffer === coded.buffer);
    expect(same.reduce((sum, view) => sum + view.length, 0)).toBe(random.length);
    expect(Buffer.concat(views).equals(Buffer.concat([random, text]))).toBe(true);
  });

  it('is refused when it is cut short, or has bytes behind its end', async () => {
    const coded = await gather(compressBody(bodyOf([random]), LEVEL));
    for (const wrong of [coded.subarray(0, -1), coded.subarray(0, 200_000), coded.subarray(0, 5)]) {
      await expect(gather(decompressBody(bodyOf([wrong])))).rejects.toThrow('truncated');
    }
    const more = decompressBody(bodyOf([coded, Uint8Array.of(1)]));
    await expect(gather(more)).rejects.toThrow('behind the end');
  });
});

describe('the time that compressing takes', () => {
  it('I6: runs while a reader waits for the compressor, not while that waits itself', async () => {
    const clock = new BusyClock();
    const wanted = Promise.withResolvers<void>();
    async function* source(): AsyncGenerator<Uint8Array> {
      yield text;
      yield text;
      await wanted.promise;
      yield text;
    }
    const body = compressBody(source(), LEVEL, clock);
    const first = body.next();
    expect(clock.isBusy).toBe(false);
    await first;
    // Its output is not taken: nobody waits for it, whatever the thread does.
    expect(clock.isBusy).toBe(false);
    const afterFirst = clock.seconds(performance.now());
    expect(afterFirst).toBeGreaterThan(0);
    const rest = gather(body);
    // The source has nothing: all is compressed, somebody waits, and the clock stands.
    await expect.poll(() => clock.isBusy).toBe(false);
    wanted.resolve();
    await rest;
    expect(clock.isBusy).toBe(false);
    expect(clock.seconds(performance.now())).toBeGreaterThan(afterFirst);
  });

  it('I6: ends with a reader that stops, and with a source that fails', async () => {
    const clock = new BusyClock();
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield text;
      throw new Error('the disk is gone');
    }
    await expect(gather(compressBody(failing(), LEVEL, clock))).rejects.toThrow('the disk is gone');
    expect(clock.isBusy).toBe(false);
    for await (const _ of compressBody(bodyOf([text, text, text]), LEVEL, clock)) break;
    expect(clock.isBusy).toBe(false);
  });
});
