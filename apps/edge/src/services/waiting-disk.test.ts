import type { ExportedDisk } from '@vmdn/core/io/ports/exported-disk.ts';
import { describe, expect, it } from 'vitest';
import { WaitingDisk } from './waiting-disk.ts';

const SIZE = 8192;
const forever = new AbortController().signal;

/** Answers with its own byte; not at once, and not at all when it fails. */
function reader(byte: number, failure?: Error): ExportedDisk {
  return {
    sizeBytes: SIZE,
    readNow: () => false,
    read: async (target, at, lengthBytes) => {
      if (failure !== undefined) throw failure;
      target.fill(byte, at, at + lengthBytes);
    },
    extent: (_, endBytes) => ({ endBytes, isZero: true }),
  };
}

async function firstByte(disk: WaitingDisk, signal = forever): Promise<number> {
  const target = new Uint8Array(16);
  await disk.read(target, 0, 16, 4096, signal);
  return target[0]!;
}

describe('a disk that a guest reads before it is there', () => {
  it('I1: answers as soon as somebody has it, and as the newest of them does', async () => {
    const disk = new WaitingDisk(SIZE);
    const early = firstByte(disk);
    expect(disk.readNow(new Uint8Array(16), 0, 16, 0)).toBe(false);
    disk.attach(reader(1));
    expect(await early).toBe(1);
    disk.attach(reader(2));
    expect(await firstByte(disk)).toBe(2);
  });

  it('I1: asks the next one what the one before could not do any more', async () => {
    const disk = new WaitingDisk(SIZE);
    const ends: { now?: () => void } = {};
    const gone = new Error('the sync was stopped');
    const stopped: ExportedDisk = {
      ...reader(1),
      read: async () => {
        ends.now?.();
        throw gone;
      },
    };
    ends.now = disk.attach(stopped);
    const read = firstByte(disk);
    await expect.poll(() => disk.extent(0, SIZE).isZero).toBe(false);
    disk.attach(reader(3));
    expect(await read).toBe(3);
  });

  it('I2: an error of whoever has it is an error', async () => {
    const disk = new WaitingDisk(SIZE);
    disk.attach(reader(1, new Error('I/O error')));
    await expect(firstByte(disk)).rejects.toThrow('I/O error');
  });

  it('stops waiting when the client goes away', async () => {
    const disk = new WaitingDisk(SIZE);
    const client = new AbortController();
    const read = firstByte(disk, client.signal);
    client.abort(new Error('the client went away'));
    await expect(read).rejects.toThrow('went away');
  });

  it('calls nothing zero that nobody knows', () => {
    const disk = new WaitingDisk(SIZE);
    expect(disk.extent(0, SIZE)).toEqual({ endBytes: SIZE, isZero: false });
    const end = disk.attach(reader(1));
    expect(disk.extent(0, SIZE).isZero).toBe(true);
    end();
    expect(disk.extent(0, SIZE).isZero).toBe(false);
  });
});
