import { parseDigest } from '@vmdn/core/domain/digest.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Name } from '@vmdn/core/domain/names.ts';
import type { DiskSource, VmSpecification } from '@vmdn/core/domain/vm-specification.ts';
import { createLogger } from '@vmdn/core/process/logger.ts';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { LockedDisk, SourcePrint, VmRecord } from '../ports.ts';
import { openVersionBook } from './version-book.ts';
import { startVmWatcher, type VmWatcherOptions } from './watch-vms.ts';

const VM = 'web' as Name;
const HARDWARE = { vcpus: 1, memoryMiB: 64, firmware: 'bios', ports: [], ready: null } as const;
const DIGEST = parseDigest('a'.repeat(64));

function vmAt(path: string): VmSpecification {
  return { name: VM, hardware: HARDWARE, disks: [{ layers: [{ path, format: 'raw' }] }] };
}

const printAt = (path: string): SourcePrint => `print of ${path}` as SourcePrint;
const pathOf = (disk: DiskSource): string => disk.layers[0]!.path;

/** What an earlier process wrote down of the VM. */
function recordAt(path: string): VmRecord {
  const description = { hardware: HARDWARE } as never;
  const digests = { digests: [DIGEST], skipFreeDigests: [DIGEST] };
  const version = { version: 1, ...digests, consistency: 'off', description } as const;
  const source = { disks: vmAt(path).disks, prints: [printAt(path)] };
  return { vm: VM, versions: [version], source };
}

/**
 * A watcher of one VM whose disk is the file at `world.path`, which is also the one that is offered unless
 * another one is; it is described without being read.
 */
async function startTestWatcher(
  world: { path: string; offered?: string; beforeFind?: Promise<void>; beforeLock?: Promise<void> },
  changes: Partial<VmWatcherOptions> = {},
) {
  const book = await openVersionBook({
    ledger: { load: async () => [recordAt(world.path)], save: async () => undefined },
    ...{ pins: { list: () => new Map() }, policy: 'never', now: Date.now },
  });
  const said: string[] = [];
  const locking: string[] = [];
  const print = async (disk: DiskSource): Promise<SourcePrint> => {
    if (pathOf(disk) === world.path) return printAt(world.path);
    throw new VmdnError('not_found', `${pathOf(disk)} does not exist.`);
  };
  const watcher = startVmWatcher({
    ...{ book, now: Date.now, running: undefined },
    logger: createLogger('test', { level: 'silent' }),
    discovery: {
      async find() {
        await world.beforeFind;
        return { vms: [vmAt(world.offered ?? world.path)], problems: [] };
      },
      watch: () => new DisposableStack(),
    },
    locks: {
      print,
      async lock(disk: DiskSource) {
        locking.push(pathOf(disk));
        await world.beforeLock;
        return { print: await print(disk), release: () => undefined } as LockedDisk;
      },
    },
    cache: {
      contentOf: async (of: SourcePrint) => ({ print: of, digest: DIGEST }),
      recipe: async () => undefined,
      guestOf: async () => ({ os: null, packages: [], services: [], remarks: [] }),
      sweep: async () => undefined,
    },
    announcer: {
      push: async () => void said.push(...book.standings().map(({ state }) => state)),
    },
    pinKeeper: { settle: async () => undefined },
    ...changes,
  } as unknown as VmWatcherOptions);
  onTestFinished(() => watcher[Symbol.asyncDispose]());
  return { watcher, book, said, locking };
}

describe('the watcher of VMs', () => {
  it('I5: a source whose files get other names while it is described is never withdrawn', async () => {
    const lock = Promise.withResolvers<void>();
    const world = { path: '/vms/web.raw.moved', beforeLock: lock.promise };
    const { watcher, book, said, locking } = await startTestWatcher(world);
    await watcher.firstLook;
    await expect.poll(() => locking).toEqual(['/vms/web.raw.moved']);
    await book.relocate(VM, async () => {
      world.path = '/vms/web.raw';
      return recordAt(world.path).source;
    });
    lock.resolve();
    // Long before it would be looked at for another reason.
    await expect.poll(() => book.isMatching(VM), { timeout: 10_000 }).toBe(true);
    expect(locking).toEqual(['/vms/web.raw.moved', '/vms/web.raw']);
    expect(new Set(said)).toEqual(new Set(['live']));
    expect(watcher.problems().size).toBe(0);
  });

  it('I5: nor is one whose files got other names between the look and its turn', async () => {
    const push = Promise.withResolvers<void>();
    const world = { path: '/vms/web.raw' };
    const announcer = { push: () => push.promise } as VmWatcherOptions['announcer'];
    const { watcher, book } = await startTestWatcher(world, { announcer });
    await watcher.firstLook;
    await book.relocate(VM, async () => {
      world.path = '/vms/web.raw.moved';
      return recordAt(world.path).source;
    });
    const states: string[] = [];
    push.resolve();
    await expect
      .poll(() => states.push(...book.standings().map(({ state }) => state)), { timeout: 10_000 })
      .toBeGreaterThan(0);
    expect(new Set(states)).toEqual(new Set(['live']));
  });

  it('describes one again at once whose file has another name than the one that was missing', async () => {
    const world = { path: '/vms/web.raw', offered: '/vms/lost.raw' };
    const { watcher, book } = await startTestWatcher(world);
    await expect.poll(() => watcher.problems().get(VM)).toContain('does not exist');
    world.offered = world.path;
    watcher.wake();
    await expect.poll(() => book.isMatching(VM), { timeout: 10_000 }).toBe(true);
  });

  it('says that it has no such VM only when it has looked', async () => {
    const find = Promise.withResolvers<void>();
    const asked: Name[] = [];
    const running = {
      settle: async () => new Map(),
      ask: (vm: Name) => void asked.push(vm),
      forget: () => undefined,
    } as unknown as VmWatcherOptions['running'];
    const world = { path: '/vms/web.raw', beforeFind: find.promise };
    const { watcher } = await startTestWatcher(world, { running });
    const there = watcher.describeRunning(VM);
    const notThere = watcher.describeRunning('other' as Name);
    find.resolve();
    await there;
    expect(asked).toEqual([VM]);
    await expect(notThere).rejects.toMatchObject({ code: 'not_found' });
  });
});
