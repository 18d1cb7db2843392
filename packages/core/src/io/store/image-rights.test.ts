import { chmod, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { stageDisk, testDisk } from './image-store.fixture.ts';
import { openImageStore } from './image-store.ts';

let root: string;
const quarantined: string[] = [];
const open = (guestsRead: boolean) =>
  openImageStore({
    ...{ root, quotaBytes: null, guestsRead },
    onQuarantine: (digest) => void quarantined.push(digest),
  });
const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;

beforeEach(async () => {
  root = join(await mkdtemp(join(tmpdir(), 'vmdn-rights-')), 'store');
  quarantined.length = 0;
});
afterEach(async () => await rm(join(root, '..'), { recursive: true, force: true }));

describe('a store whose images guests read', () => {
  it("I1, I2: gives what is adopted, and what was here, to guests' users to read", async () => {
    if (process.getuid?.() !== 0) {
      // Guests of an ordinary user run as that user: there is nobody else to give anything to.
      await expect(open(true)).rejects.toMatchObject({ code: 'forbidden' });
      return;
    }
    const paths: string[] = [];
    {
      await using store = await open(false);
      const adoption = await stageDisk(store, testDisk('before'));
      await chmod(join(adoption.stagingDir, 'disk.raw'), 0o600);
      const { path } = await store.adopt(adoption);
      expect(await modeOf(path)).toBe(0o600);
      paths.push(path);
    }
    await using store = await open(true);
    const adoption = await stageDisk(store, testDisk('after'));
    await chmod(join(adoption.stagingDir, 'disk.raw'), 0o600);
    paths.push((await store.adopt(adoption)).path);
    for (const path of paths) {
      expect(await modeOf(path)).toBe(0o644);
      expect(await modeOf(join(path, '..'))).toBe(0o711);
    }
    expect([await modeOf(root), await modeOf(join(root, 'images'))]).toEqual([0o711, 0o711]);
    expect(await modeOf(join(root, 'staging'))).toBe(0o700);
    const before = await stat(paths[0]!, { bigint: true });
    for (const { digest } of store.list()) await store.intact(digest);
    expect(quarantined).toEqual([]);
    expect((await stat(paths[0]!, { bigint: true })).ctimeNs).toBe(before.ctimeNs);
  });
});
