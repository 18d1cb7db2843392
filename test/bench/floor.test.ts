import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { computeFloor } from './floor.ts';

const BLOCK = 4096;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vmdn-floor-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

async function diskOf(name: string, ...parts: readonly Uint8Array[]): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, Buffer.concat(parts));
  return path;
}

test('counts each block once: zero, given, repeated or missing, wherever it lies', async () => {
  const zero = Buffer.alloc(BLOCK);
  const [shared, own, other, tail] = [BLOCK, BLOCK, BLOCK, 512].map((size) => randomBytes(size));
  const given = await diskOf('given', zero, own!, shared!);
  const wanted = await diskOf('wanted', shared!, other!, zero, shared!, other!, zero, tail!);
  const floor = await computeFloor(wanted, [given]);
  const bytes = Buffer.concat([shared!, other!, zero, shared!, other!, zero, tail!]);
  expect(floor).toEqual({
    floor: expect.any(Number),
    nonZero: 4 * BLOCK + 512,
    given: 2 * BLOCK,
    repeated: BLOCK,
    missing: BLOCK + 512,
    sha256: createHash('sha256').update(bytes).digest('hex'),
  });
  // Random bytes do not shrink; what is added is the stream's own header.
  expect(floor.floor - floor.missing).toBeGreaterThan(0);
  expect(floor.floor - floor.missing).toBeLessThan(64);
});

test('the missing blocks are one stream in disk order, at level 3', async () => {
  const words = Buffer.from('the quick brown fox jumps over the lazy dog ');
  const text = Buffer.alloc(300 * BLOCK);
  for (let at = 0, turn = 0; at < text.length; at += words.length, turn += 7919) {
    words.copy(text, at);
    text.writeUInt32LE(turn % 65_521, Math.min(at, text.length - 4));
  }
  const { floor, missing } = await computeFloor(await diskOf('text', text), []);
  expect(missing).toBe(text.length);
  expect(Math.abs(floor - zstdCompressSync(text).length) / floor).toBeLessThan(0.02);
});

test('without blocks that differ nothing is missing', async () => {
  const path = await diskOf('same', randomBytes(10 * BLOCK));
  expect((await computeFloor(path, [path])).missing).toBe(0);
});
