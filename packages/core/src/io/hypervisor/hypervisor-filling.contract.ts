/**
 * Room: io, hypervisor (tests). What every driver of the hypervisor port must do with a disk that is still
 * being filled: part of the contract suite (hypervisor.contract.ts).
 */

import { randomUUID } from 'node:crypto';
import { chmod, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parseDigest } from '../../domain/digest.ts';
import { type Id, parseId, parseName } from '../../domain/names.ts';
import { nbdExports } from '../nbd/export-server.ts';
import type { Hypervisor, VmDefinition } from '../ports/hypervisor.ts';
import { READ_FAILED, READ_PASS, readingDisk } from './boot-sector.fixture.ts';
import { failingDisk, startExport } from './exports.fixture.ts';
import type { OpenHypervisor } from './hypervisor.contract.ts';

const DISK_BYTES = 1024 * 1024;
const WAIT = { timeout: 100_000, interval: 100 };
const OPEN_TIMEOUT_MS = 360_000;

/** What drivers may differ in. */
interface DriverTraits {
  /** Whether a VM that runs can be given other files of its image than those it was started with. */
  readonly takesOtherFiles: boolean;
}

export function describeFilling(
  driver: string,
  openHypervisor: OpenHypervisor,
  traits: DriverTraits,
): void {
  describe(`a disk that is still being filled, driver ${driver}`, { timeout: 300_000 }, () => {
    let dir: string;
    let hypervisor: Hypervisor & AsyncDisposable;

    beforeAll(async () => {
      dir = await mkdtemp(join(tmpdir(), 'vmdn-filling-'));
      hypervisor = await openHypervisor(dir);
    }, OPEN_TIMEOUT_MS);
    afterEach(async () => {
      for (const vm of await hypervisor.list()) await hypervisor.destroy(vm);
    });
    afterAll(async () => {
      await hypervisor[Symbol.asyncDispose]();
      await rm(dir, { recursive: true, force: true });
    });

    /** A VM that reads its disk for ever: `filling` from an export, `settled` from the file at `place`. */
    async function fillingDisk() {
      const folder = await mkdtemp(join(dir, 'disk-'));
      await chmod(folder, 0o711);
      const bytes = readingDisk(DISK_BYTES);
      const server = await startExport(folder, bytes);
      const [making, place] = [join(folder, 'making.raw'), join(folder, 'disk.raw')];
      await writeFile(making, Buffer.alloc(DISK_BYTES));
      const disk = {
        digest: parseDigest('0'.repeat(64)),
        layers: [{ path: place, format: 'raw' }] as const,
        virtualSizeBytes: DISK_BYTES,
      };
      const vm = parseId(randomUUID(), 'VM');
      const settled: VmDefinition = {
        vm,
        name: parseName('boot-sector', 'VM'),
        hardware: { vcpus: 1, memoryMiB: 64, firmware: 'bios', ports: [], ready: null },
        disks: [disk],
      };
      const export_ = { paths: [making], socket: server.socket, exportName: 'disk' };
      const filling: VmDefinition = { ...settled, disks: [{ ...disk, filling: export_ }] };
      const user = await hypervisor.exportUser(vm);
      return {
        ...{ vm, server, filling, settled, making, place, bytes, user },
        [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
      };
    }
    const passesOf = async (vm: Id): Promise<number> =>
      (await hypervisor.consoleLog(vm)).split(READ_PASS).length - 1;
    const goesOn = async (vm: Id): Promise<void> => {
      const before = await passesOf(vm);
      await expect.poll(() => passesOf(vm), WAIT).toBeGreaterThan(before + 1);
    };

    it('I5: reads from an export that comes and goes, and from its files when complete', async () => {
      await using disk = await fillingDisk();
      const { vm, server, settled, making, place: path, user, bytes } = disk;
      const passes = (): Promise<number> => passesOf(vm);
      const readsOn = (): Promise<void> => goesOn(vm);

      await server.up(user);
      await hypervisor.define(disk.filling);
      await hypervisor.start(vm);
      await readsOn();
      await server.down();
      const held = await passes();
      await server.up(user);
      await readsOn();
      expect(await passes()).toBeGreaterThan(held);

      // I3: whoever was there when it was started may be gone by now.
      await hypervisor[Symbol.asyncDispose]();
      hypervisor = await openHypervisor(dir);
      if (!traits.takesOtherFiles) {
        // QEMU has no other file than the one it was given, whatever lies at its place.
        await writeFile(path, bytes);
        await expect(hypervisor.settle(settled)).rejects.toMatchObject({ code: 'conflict' });
        await readsOn();
      }
      await writeFile(making, bytes);
      await rename(making, path);
      await hypervisor.settle(settled);
      await server.down();
      await readsOn();
      await hypervisor.settle(settled);
      expect(await hypervisor.status(vm)).toMatchObject({ definition: settled });
      expect(await hypervisor.consoleLog(vm)).not.toContain(READ_FAILED);

      await hypervisor.stop(vm, { graceMs: 0 });
      await hypervisor.start(vm);
      await readsOn();
    });

    it('I5: a read that fails is made again, and the guest knows nothing of it', async () => {
      await using disk = await fillingDisk();
      const { vm, bytes, user, filling } = disk;
      const { socket } = filling.disks[0]!.filling!;
      const failures = { left: 2, seen: 0 };
      const server = await nbdExports(() => {
        failures.seen += 1;
      })({
        socketPath: socket,
        user,
        disks: new Map([['disk', failingDisk(bytes, failures)]]),
      });
      try {
        await hypervisor.define(filling);
        await hypervisor.start(vm);
        await expect.poll(() => passesOf(vm), WAIT).toBeGreaterThan(0);
        expect(failures).toEqual({ left: 0, seen: 2 });
        expect(await hypervisor.consoleLog(vm)).not.toContain(READ_FAILED);
      } finally {
        await hypervisor.destroy(vm);
        await server.close();
      }
    });

    it('I5: is stopped while its reads wait, and starts again from what is there then', async () => {
      await using disk = await fillingDisk();
      const { vm, server, user, bytes } = disk;
      await server.up(user);
      await hypervisor.define(disk.filling);
      await hypervisor.start(vm);
      await goesOn(vm);
      await server.down();
      await hypervisor.stop(vm, { graceMs: 500 });
      expect(await hypervisor.status(vm)).toMatchObject({ state: 'defined' });
      await expect(hypervisor.diskFiles(vm)).rejects.toMatchObject({ code: 'conflict' });

      await server.up(user);
      await hypervisor.start(vm);
      await goesOn(vm);
      await hypervisor.stop(vm, { graceMs: 0 });
      await server.down();
      await writeFile(disk.making, bytes);
      await rename(disk.making, disk.place);
      await hypervisor.settle(disk.settled);
      expect(await hypervisor.diskFiles(vm)).toHaveLength(1);
      await hypervisor.start(vm);
      await goesOn(vm);
      expect(await hypervisor.status(vm)).toMatchObject({ definition: disk.settled });
      expect(await hypervisor.consoleLog(vm)).not.toContain(READ_FAILED);
    });
  });
}
