import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BASE_FILE, type ImageLayers, OWN_FILE, ZERO_FILE } from '../../domain/layers.ts';
import { SEGMENT_BYTES } from '../../domain/units.ts';
import { seededBytes } from '../../formats/recipe.fixture.ts';
import { CacheGuess, openImageDisk } from './image-disk.ts';

const SEGMENTS = 6;
const own = seededBytes('own', SEGMENTS * SEGMENT_BYTES);
/** Shorter than the disk: reads as zero behind its end. */
const base = seededBytes('base', 4 * SEGMENT_BYTES + 100);
const FILES = [OWN_FILE, BASE_FILE, ZERO_FILE, ZERO_FILE, BASE_FILE, OWN_FILE];
const OWN_OFFSET = 4096;
let directory: string;
let layers: ImageLayers;
let ownPath: string;
const expected = new Uint8Array(SEGMENTS * SEGMENT_BYTES);

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'vmdn-image-disk-'));
  ownPath = join(directory, 'own');
  await writeFile(ownPath, Buffer.concat([Buffer.alloc(OWN_OFFSET, 9), own]));
  await writeFile(join(directory, 'base'), base);
  const files = [
    { path: ownPath, offsetBytes: OWN_OFFSET },
    { path: join(directory, 'base'), offsetBytes: 0 },
  ];
  layers = { files, fileOfSegment: Uint8Array.from(FILES) };
  FILES.forEach((file, segment) => {
    const [from, to] = [segment * SEGMENT_BYTES, (segment + 1) * SEGMENT_BYTES];
    if (file === OWN_FILE) expected.set(own.subarray(from, to), from);
    if (file === BASE_FILE) expected.set(base.subarray(from, to), from);
  });
});

afterAll(async () => {
  await rm(directory, { recursive: true });
});

describe('an image as a disk to be served', () => {
  test('both ways of reading see through its layers', async () => {
    const disk = await openImageDisk(layers, expected.length);
    const never = new AbortController().signal;
    const places = [
      [0, 1],
      [SEGMENT_BYTES - 3, 7],
      [0, SEGMENT_BYTES],
      [SEGMENT_BYTES / 2, 3 * SEGMENT_BYTES],
      [4 * SEGMENT_BYTES + 50, 200],
      [0, expected.length],
    ];
    for (const [offset, length] of places as [number, number][]) {
      const target = new Uint8Array(length + 20).fill(0xaa);
      const later = new Uint8Array(length + 20).fill(0xaa);
      await disk.read(later, 10, length, offset, never);
      if (!disk.readNow(target, 10, length, offset)) target.set(later);
      const wanted = new Uint8Array(length + 20).fill(0xaa);
      wanted.set(expected.subarray(offset, offset + length), 10);
      expect(Buffer.compare(target, wanted)).toBe(0);
      expect(Buffer.compare(later, wanted)).toBe(0);
    }
    await disk.close();
  });

  test('extents are as long as zeros, or what is not known to be zero', async () => {
    const disk = await openImageDisk(layers, expected.length);
    const S = SEGMENT_BYTES;
    expect(disk.extent(10, 6 * S)).toEqual({ endBytes: 2 * S, isZero: false });
    expect(disk.extent(2 * S, 6 * S)).toEqual({ endBytes: 4 * S, isZero: true });
    expect(disk.extent(3 * S + 1, 3 * S + 2)).toEqual({ endBytes: 3 * S + 2, isZero: true });
    expect(disk.extent(4 * S, 6 * S)).toEqual({ endBytes: 6 * S, isZero: false });
    await disk.close();
    const raw = await openImageDisk({ ...layers, fileOfSegment: null }, expected.length);
    expect(raw.extent(0, 6 * S)).toEqual({ endBytes: 6 * S, isZero: false });
    const target = new Uint8Array(expected.length);
    await raw.read(target, 0, target.length, 0, new AbortController().signal);
    expect(Buffer.compare(target, own)).toBe(0);
    await raw.close();
  });

  test('I2: a file that ends before the disk does is an error, never zeros', async () => {
    await truncate(ownPath, OWN_OFFSET + 5 * SEGMENT_BYTES + 100);
    const disk = await openImageDisk(layers, expected.length);
    const target = new Uint8Array(512);
    const place = [target, 0, 512, 5 * SEGMENT_BYTES] as const;
    expect(() => disk.readNow(...place)).toThrow(/shorter/);
    await expect(disk.read(...place, new AbortController().signal)).rejects.toThrow(/shorter/);
    await disk.close();
  });
});

test('I1: after a read that took long, 64 go to the pool and then one is tried', () => {
  const cache = new CacheGuess();
  for (let i = 0; i < 1000; i += 1) {
    expect(cache.isWarm()).toBe(true);
    cache.took(0.02);
  }
  cache.took(5);
  const tries = Array.from({ length: 200 }, () => {
    const isWarm = cache.isWarm();
    if (isWarm) cache.took(5);
    return isWarm;
  });
  expect(tries.flatMap((isWarm, i) => (isWarm ? [i] : []))).toEqual([64, 129, 194]);
});
