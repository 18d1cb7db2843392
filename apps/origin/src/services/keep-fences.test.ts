import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseDigest } from '@vmdn/core/domain/digest.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { DiskSource, VmSpecification } from '@vmdn/core/domain/vm-specification.ts';
import type { FenceWishValue } from '@vmdn/core/http/contracts/coordinator-moves.ts';
import { createLogger } from '@vmdn/core/process/logger.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FenceFiles } from '../fence-ports.ts';
import { createFenceFiles } from '../io/fence-files.ts';
import { openFenceJournal } from '../io/fence-journal.ts';
import type { LockedDisk, SourceLocks, SourcePrint, VmRecord } from '../ports.ts';
import { type FenceKeeper, openFences } from './keep-fences.ts';
import { openVersionBook, type VersionBook } from './version-book.ts';

const VM = 'web' as Name;
const TELEPORT = '0b8c1f0e-6a53-4d8f-9a3e-5d1c2b7a9e10' as Id;
const DISKS = ['one.raw', 'two.qcow2'] as const;
const WISH: FenceWishValue = {
  ...{ teleport: TELEPORT, vm: VM, version: 1, epoch: 1, want: 'fenced' },
  ...{ confirmed: false, settled: false },
};
const RELEASE: FenceWishValue = { ...WISH, want: 'released' };

let dir: string;
let ledger: VmRecord[];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-fences-'));
  await mkdir(join(dir, 'vms'));
  for (const disk of DISKS) await writeFile(pathOf(disk), `the bytes of ${disk}`);
  ledger = [];
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const pathOf = (disk: string): string => join(dir, 'vms', disk);
const names = (): Promise<string[]> => readdir(join(dir, 'vms'));
const fenced = DISKS.map((disk) => `${disk}.moved-${TELEPORT}`);

async function printOf(disk: DiskSource): Promise<SourcePrint> {
  const { ino, size, mtimeNs, ctimeNs } = await stat(disk.layers[0]!.path, { bigint: true });
  return [disk.layers[0]!.path, ino, size, mtimeNs, ctimeNs].join() as SourcePrint;
}

/** An origin's process: all that it remembers is on disk. `files` may die in the middle of something. */
async function process(files: FenceFiles = createFenceFiles()): Promise<{
  keeper: FenceKeeper;
  book: VersionBook;
  locked: string[];
}> {
  const locked: string[] = [];
  const locks: SourceLocks = {
    print: printOf,
    async lock(disk) {
      const print = await printOf(disk);
      locked.push(disk.layers[0]!.path);
      return { print, release: () => void locked.pop() } as unknown as LockedDisk;
    },
    letGo: async () => undefined,
    keepAway: async () => new DisposableStack(),
    isLocked: () => locked.length > 0,
    [Symbol.asyncDispose]: async () => undefined,
  };
  const book = await openVersionBook({
    ledger: {
      load: async () => ledger,
      save: async (record) => {
        ledger = [record];
      },
    },
    pins: { list: () => new Map() },
    policy: 'never',
    now: Date.now,
  });
  const keeper = await openFences({
    ...{ book, locks, files, now: Date.now },
    journal: await openFenceJournal(join(dir, 'fences')),
    cache: { contentOf: async () => undefined, putContent: async () => undefined },
    logger: createLogger('test', { level: 'silent' }),
  });
  return { keeper, book, locked };
}

/** The watcher's part: looks at the VM as it is offered, and describes it. */
async function look({ keeper, book }: Awaited<ReturnType<typeof process>>): Promise<void> {
  const own: VmSpecification = {
    name: VM,
    hardware: { vcpus: 1, memoryMiB: 64, firmware: 'bios', ports: [], ready: null },
    disks: DISKS.map((disk) => ({
      layers: [{ path: pathOf(disk), format: disk.endsWith('raw') ? 'raw' : 'qcow2' }],
    })),
  };
  const vm = keeper.fencedAs(VM) ?? own;
  const digests = ['a', 'b'].map((digit) => parseDigest(digit.repeat(64)));
  const disks = await Promise.all(
    vm.disks.map(async (disk, i) => ({
      ...{ digest: digests[i]!, keysRoot: digests[i]!, virtualSizeBytes: 4096 },
      ...{ nonZeroBytes: 4096, recipeBytes: 1, print: await printOf(disk) },
    })),
  );
  const guest = { os: null, packages: [], services: [], remarks: [] };
  await book.record(vm, { disks, guest, consistency: 'off' } as never);
}

/**
 * Files that stop being renamed, for ever, when `isNow` says so: as for a process that was killed; `died`
 * resolves then.
 */
function dyingFiles(isNow: (what: 'hide' | 'restore', times: number) => boolean): {
  readonly files: FenceFiles;
  readonly died: Promise<void>;
} {
  const real = createFenceFiles();
  const { promise: died, resolve } = Promise.withResolvers<void>();
  let times = 0;
  const die = async (what: 'hide' | 'restore'): Promise<void> => {
    times += 1;
    if (!isNow(what, times)) return;
    resolve();
    await new Promise(() => undefined);
  };
  const files: FenceFiles = {
    ...real,
    async hide(file) {
      await die('hide');
      await real.hide(file);
    },
    async restore(file) {
      await die('restore');
      await real.restore(file);
    },
  };
  return { files, died };
}

/** What the journal says of the fence. */
async function journalled(): Promise<string> {
  return JSON.parse(await readFile(join(dir, 'fences', 'web.json'), 'utf8')).state;
}

describe('the fence of a moved VM', () => {
  it('gives all disks other names under their locks, and is the same version (I2, I3)', async () => {
    let lockedThen = 0;
    const real = createFenceFiles();
    const files: FenceFiles = {
      ...real,
      async hide(file) {
        lockedThen = origin.locked.length;
        await real.hide(file);
      },
    };
    const origin = await process(files);
    await look(origin);
    expect(await origin.keeper.fulfil(WISH)).toBe('fenced');
    expect(lockedThen).toBe(DISKS.length);
    expect(origin.locked).toEqual([]);
    expect(await names()).toEqual(fenced);
    expect(origin.book.isMatching(VM)).toBe(true);
    await look(origin);
    expect(origin.book.newest(VM)?.version).toBe(1);
    expect(await origin.keeper.fulfil(RELEASE)).toBe('released');
    expect(await names()).toEqual([...DISKS]);
    expect(origin.book.isMatching(VM)).toBe(true);
    expect(await readFile(pathOf('one.raw'), 'utf8')).toBe('the bytes of one.raw');
  });

  it('is undone at the next start when the origin died before a disk or between two (I1)', async () => {
    for (const dead of [1, 2]) {
      const { files, died } = dyingFiles((what, times) => what === 'hide' && times === dead);
      const dying = await process(files);
      await look(dying);
      void dying.keeper.fulfil(WISH);
      await died;
      expect(await journalled()).toBe('fencing');
      expect(await names()).toContain(dead === 1 ? DISKS[0] : fenced[0]!);
      const next = await process();
      expect(await names()).toEqual([...DISKS]);
      expect(next.keeper.fences()).toEqual([]);
      await look(next);
      expect(await next.keeper.fulfil(WISH)).toBe('fenced');
      expect(await next.keeper.fulfil(RELEASE)).toBe('released');
    }
  });

  it('that stands stands after the next start (I1)', async () => {
    const origin = await process();
    await look(origin);
    await origin.keeper.fulfil(WISH);
    const next = await process();
    expect(await names()).toEqual(fenced);
    expect(next.keeper.fences()).toMatchObject([{ teleport: TELEPORT, epoch: 1, state: 'fenced' }]);
    await look(next);
    expect(await next.keeper.fulfil(WISH)).toBe('fenced');
  });

  it('is released at the next start when the origin died between two disks (I1)', async () => {
    const { files, died } = dyingFiles((what, times) => what === 'restore' && times === 4);
    const dying = await process(files);
    await look(dying);
    await dying.keeper.fulfil(WISH);
    void dying.keeper.fulfil(RELEASE);
    await died;
    expect(await journalled()).toBe('releasing');
    expect(await names()).toContain(DISKS[0]);
    expect(await names()).toContain(fenced[1]);
    const next = await process();
    expect(await names()).toEqual([...DISKS]);
    expect(await next.keeper.fulfil(RELEASE)).toBe('released');
  });

  it('is not said to stand when somebody gave a file its name again', async () => {
    const origin = await process();
    await look(origin);
    await origin.keeper.fulfil(WISH);
    await rename(pathOf(fenced[0]!), pathOf(DISKS[0]));
    for (const epoch of [1, 2]) {
      const again = origin.keeper.fulfil({ ...WISH, epoch });
      await expect(again).rejects.toMatchObject({ code: 'conflict' });
    }
  });

  it('leaves all as it was when one of the disks can’t be fenced', async () => {
    const real = createFenceFiles();
    const files: FenceFiles = {
      ...real,
      async hide(file) {
        if (file.from === pathOf(DISKS[1])) throw new Error('no');
        await real.hide(file);
      },
    };
    const origin = await process(files);
    await look(origin);
    await expect(origin.keeper.fulfil(WISH)).rejects.toThrow('no');
    expect(await names()).toEqual([...DISKS]);
    expect(origin.keeper.fences()).toEqual([]);
    expect(origin.locked).toEqual([]);
  });

  it('that can’t be undone yet stays known, and is undone when it can be (I1)', async () => {
    const real = createFenceFiles();
    const files: FenceFiles = {
      ...real,
      async hide(file) {
        if (file.from === pathOf(DISKS[1])) {
          await writeFile(pathOf(DISKS[0]), 'of somebody else');
          throw new Error('no');
        }
        await real.hide(file);
      },
    };
    const origin = await process(files);
    await look(origin);
    for (const wish of [WISH, WISH, RELEASE])
      await expect(origin.keeper.fulfil(wish)).rejects.toMatchObject({ code: 'conflict' });
    await rm(pathOf(DISKS[0]));
    expect(await origin.keeper.fulfil(RELEASE)).toBe('released');
    expect(await names()).toEqual([...DISKS]);
    expect(await readFile(pathOf('one.raw'), 'utf8')).toBe('the bytes of one.raw');
  });

  it('is not set up for a source that was not looked at, or has changed (I2)', async () => {
    const origin = await process();
    await expect(origin.keeper.fulfil(WISH)).rejects.toMatchObject({ code: 'unavailable' });
    await look(origin);
    await writeFile(pathOf('two.qcow2'), 'other bytes');
    await expect(origin.keeper.fulfil(WISH)).rejects.toMatchObject({ code: 'source_changed' });
    expect(await names()).toEqual([...DISKS]);
  });

  it('is set up, kept and released before the source is described anew after a start (I2, I3)', async () => {
    await look(await process());
    const first = await process();
    expect(await first.keeper.fulfil(WISH)).toBe('fenced');
    expect(await names()).toEqual(fenced);
    const second = await process();
    expect(await second.keeper.fulfil(WISH)).toBe('fenced');
    const third = await process();
    expect(await third.keeper.fulfil(RELEASE)).toBe('released');
    expect(await names()).toEqual([...DISKS]);
    // It lies where it did, and nothing was said of it.
    const { disks, prints } = third.book.source(VM)!;
    expect(prints).toEqual(await Promise.all(disks.map(printOf)));
    expect(disks.map(({ layers }) => layers[0]!.path)).toEqual(DISKS.map(pathOf));
    for (const { book } of [first, second, third]) expect(book.isLookedAt(VM)).toBe(false);
  });

  it('is neither set up nor said to stand before that for one that has changed (I2)', async () => {
    await look(await process());
    const origin = await process();
    await origin.keeper.fulfil(WISH);
    await writeFile(pathOf(fenced[1]!), 'other bytes');
    const next = await process();
    await expect(next.keeper.fulfil(WISH)).rejects.toMatchObject({ code: 'source_changed' });
    expect(await next.keeper.fulfil(RELEASE)).toBe('released');
    expect(next.book.isMatching(VM)).toBe(false);
    await look(next);
    await writeFile(pathOf(DISKS[0]), 'yet others');
    const last = await process();
    const refused = last.keeper.fulfil({ ...WISH, version: 2 });
    await expect(refused).rejects.toMatchObject({ code: 'source_changed' });
    expect(last.locked).toEqual([]);
    expect(await names()).toEqual([...DISKS]);
  });

  it('taken back by force stays so after a start, until the coordinator knows (I4)', async () => {
    const origin = await process();
    await look(origin);
    await origin.keeper.fulfil(WISH);
    await origin.keeper.takeBack(VM);
    expect(await names()).toEqual([...DISKS]);
    const next = await process();
    await look(next);
    await expect(next.keeper.fulfil(WISH)).rejects.toMatchObject({ code: 'conflict' });
    await next.keeper.forget(VM);
    expect(await next.keeper.fulfil(WISH)).toBe('fenced');
  });

  it('that was being taken back when the origin died is, at the next start (I1)', async () => {
    const { files, died } = dyingFiles((what, times) => what === 'restore' && times === 4);
    const dying = await process(files);
    await look(dying);
    await dying.keeper.fulfil(WISH);
    void dying.keeper.takeBack(VM);
    await died;
    expect(await journalled()).toBe('forcing');
    expect(await names()).toContain(DISKS[0]);
    expect(await names()).toContain(fenced[1]);
    const next = await process();
    expect(await names()).toEqual([...DISKS]);
    expect(next.keeper.fences()).toMatchObject([{ state: 'forced' }]);
    await look(next);
    await expect(next.keeper.fulfil(WISH)).rejects.toMatchObject({ code: 'conflict' });
  });

  it('that can’t be taken back yet stays known over a start, and can be once more (I1, I4)', async () => {
    const origin = await process();
    await look(origin);
    await origin.keeper.fulfil(WISH);
    await writeFile(pathOf(DISKS[1]), 'of somebody else');
    await expect(origin.keeper.takeBack(VM)).rejects.toMatchObject({ code: 'conflict' });
    expect(await names()).toEqual([DISKS[0], DISKS[1], fenced[1]!].sort());
    const next = await process();
    // Nobody is told that it is taken back, and nobody forgets the names.
    expect(next.keeper.fences()).toMatchObject([{ state: 'forcing', teleport: TELEPORT }]);
    for (const wish of [WISH, { ...WISH, epoch: 2 }, RELEASE])
      await expect(next.keeper.fulfil(wish)).rejects.toMatchObject({ code: 'conflict' });
    await expect(next.keeper.takeBack(VM)).rejects.toMatchObject({ code: 'conflict' });
    await rm(pathOf(DISKS[1]));
    expect(await next.keeper.takeBack(VM)).toMatchObject({ state: 'forced' });
    expect(await names()).toEqual([...DISKS]);
    expect(await readFile(pathOf(DISKS[1]), 'utf8')).toBe(`the bytes of ${DISKS[1]}`);
    await look(next);
    await expect(next.keeper.fulfil(WISH)).rejects.toMatchObject({ code: 'conflict' });
    expect(await next.keeper.fulfil(RELEASE)).toBe('released');
  });
});
