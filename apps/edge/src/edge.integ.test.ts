import { copyFile, open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Id, parseName } from '@vmdn/core/domain/names.ts';
import {
  getExport,
  getImport,
  getSeed,
  requestExport,
  requestImport,
  requestSeed,
} from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { createQemuImg } from '@vmdn/core/io/command/qemu-img.ts';
import { bootSector } from '@vmdn/core/io/hypervisor/boot-sector.fixture.ts';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  edgeSettings,
  HANG_MS,
  sha256OfFile,
  startEdge,
  startNetwork,
  startOrigin,
  type TestNetwork,
  type TestOrigin,
  writeDisk,
} from './edge.fixture.ts';

const MEBIBYTE = 1024 * 1024;
const DATA_BYTES = 8 * MEBIBYTE;
const SIZE_BYTES = 64 * MEBIBYTE;
const qemuImg = createQemuImg(createCommandRunner());

describe('an edge', { timeout: 600_000 }, () => {
  let network: TestNetwork;
  let origin: TestOrigin;

  beforeAll(async () => {
    network = await startNetwork();
    origin = await startOrigin(network);
  }, 600_000);
  afterAll(() => network?.[Symbol.asyncDispose](), 600_000);

  it('rebuilds a disk bit for bit, boots it, keeps it over a restart, removes it on request', async () => {
    const file = join(network.dir, 'web.raw');
    await writeDisk(file, {
      ...{ firstSector: bootSector(), seed: 'web', dataBytes: DATA_BYTES, sizeBytes: SIZE_BYTES },
    });
    const { digest, description } = await origin.announce('web', 1, file);
    const settings = await edgeSettings(network, 'edge-one');
    let edge = await startEdge(settings);
    try {
      const teleport = await network.teleport('web');
      const running = await network.waitFor(teleport, ({ state }) => state === 'running');
      expect(running.endpoints).toHaveLength(1);
      expect(running.accelerator).toBe('tcg');
      expect(Object.keys(running.phases).sort()).toEqual(
        ['boot', 'define', 'plan', 'recipe', 'sync'].sort(),
      );
      const [delivered] = running.disks;
      const { nonZeroBytes } = description.disks[0]!;
      expect(delivered!.diskBytes).toMatchObject({ origin: nonZeroBytes, local: 0 });
      const image = join(settings.stateDir, 'store', 'images', digest, 'disk.raw');
      expect(await sha256OfFile(image)).toBe(await sha256OfFile(file));
      await exportsAs(teleport, file);

      await edge[Symbol.asyncDispose]();
      edge = await startEdge(settings);
      const again = await network.waitFor(teleport, ({ state }) => state === 'running');
      expect(again.endpoints).toEqual(running.endpoints);

      await network.remove(teleport);
      expect(await readdir(join(settings.stateDir, 'vms'))).toEqual([]);
      expect(await sha256OfFile(image)).toBe(await sha256OfFile(file));
    } finally {
      await edge[Symbol.asyncDispose]();
    }
  });

  /** The VM that runs, exported for VMware: read back by QEMU it is the source's disk. */
  async function exportsAs(teleport: Id, file: string): Promise<void> {
    const body = { teleport, hypervisor: 'vmware' as const };
    const order = await network.client.call(requestExport, { body });
    const over = async () => {
      const params = { export: order.export };
      const now = await network.client.call(getExport, { params });
      expect(now.state, now.message ?? '').toBe('done');
      return now;
    };
    const { folder } = await vi.waitFor(over, { timeout: HANG_MS, interval: 200 });
    const from = { path: join(folder!, 'web-1-disk1.vmdk'), format: 'vmdk' } as const;
    const to = { path: join(network.dir, 'exported.raw'), format: 'raw' } as const;
    await qemuImg.convert({ from, to });
    expect(await sha256OfFile(to.path)).toBe(await sha256OfFile(file));
    expect((await readdir(folder!)).sort()).toEqual(
      ['export.json', 'web-1-disk1.vmdk', 'web-1.mf', 'web-1.ovf'].sort(),
    );
  }

  it('imports a base image, seeds a neighbour with it, and boots a VM from it there', async () => {
    const file = join(network.dir, 'base.raw');
    const sizes = { dataBytes: DATA_BYTES, sizeBytes: SIZE_BYTES };
    await writeDisk(file, { firstSector: bootSector(), seed: 'base', ...sizes });
    const { digest, description } = await origin.announce('based', 1, file);
    const { nonZeroBytes } = description.disks[0]!;
    const first = await startEdge(await edgeSettings(network, 'edge-one'));
    const away = { VMDN_REGION: 'ap-northeast' };
    const second = await startEdge(await edgeSettings(network, 'edge-two', away));
    try {
      const name = parseName('base', 'image');
      const order = { edge: parseName('edge-one', 'edge'), name, file, format: 'raw' } as const;
      const imported = await network.client.call(requestImport, { body: order });
      const done = await vi.waitFor(
        async () => {
          const params = { import: imported.import };
          const now = await network.client.call(getImport, { params });
          expect(now.state, now.message ?? '').toBe('done');
          return now;
        },
        { timeout: HANG_MS, interval: 200 },
      );
      expect(done.digest).toBe(digest);
      const before = origin.uplink.passedBytes;
      const body = { image: name, edges: [parseName('edge-two', 'edge')] };
      const { seed } = await network.client.call(requestSeed, { body });
      const seeded = await vi.waitFor(
        async () => {
          const now = await network.client.call(getSeed, { params: { seed } });
          expect(now.edges[0]!.state, now.edges[0]!.message ?? '').toBe('done');
          return now.edges[0]!.delivery!;
        },
        { timeout: HANG_MS, interval: 200 },
      );
      expect(seeded.diskBytes).toMatchObject({ peer: nonZeroBytes, origin: 0 });
      expect(seeded.wireBytes.peer).toBeGreaterThan(nonZeroBytes / 2);
      const teleport = await network.teleport('based', 'ap-northeast');
      const running = await network.waitFor(teleport, ({ state }) => state === 'running');
      expect(running.edge).toBe('edge-two');
      expect(running.disks[0]!.diskBytes).toMatchObject({ local: nonZeroBytes, origin: 0 });
      expect(running.disks[0]!.wireBytes.origin).toBe(0);
      // Recipes may have come from the origin ahead of time; blocks did not.
      expect(origin.uplink.passedBytes - before).toBeLessThan(nonZeroBytes / 10);
      await network.remove(teleport);
    } finally {
      await first[Symbol.asyncDispose]();
      await second[Symbol.asyncDispose]();
    }
  });

  it('shares the storage of a base with most of a disk, boots it, serves it to a neighbour', async () => {
    const [base, file] = [join(network.dir, 'below.raw'), join(network.dir, 'above.raw')];
    const sizes = { dataBytes: 80 * MEBIBYTE, sizeBytes: 96 * MEBIBYTE };
    await writeDisk(base, { firstSector: bootSector(), seed: 'below', ...sizes });
    await copyFile(base, file);
    await using disk = await open(file, 'r+');
    await disk.write(Buffer.alloc(3 * MEBIBYTE, 'own'), 0, 3 * MEBIBYTE, 10 * MEBIBYTE + 512);
    await disk.write(Buffer.alloc(4 * MEBIBYTE), 0, 4 * MEBIBYTE, 40 * MEBIBYTE);
    const { digest } = await origin.announce('above', 1, file);
    const settings = await edgeSettings(network, 'edge-one');
    const away = { VMDN_REGION: 'ap-northeast', VMDN_SHARE_IN_PLACE: 'off' };
    const edge = await startEdge(settings);
    const neighbour = await startEdge(await edgeSettings(network, 'edge-two', away));
    try {
      const name = parseName('below', 'image');
      const order = {
        edge: parseName('edge-one', 'edge'),
        name,
        file: base,
        format: 'raw',
      } as const;
      const imported = await network.client.call(requestImport, { body: order });
      const over = async () => {
        const now = await network.client.call(getImport, { params: { import: imported.import } });
        expect(now.state, now.message ?? '').toBe('done');
      };
      await vi.waitFor(over, { timeout: HANG_MS, interval: 200 });
      const teleport = await network.teleport('above');
      const running = await network.waitFor(teleport, ({ state }) => state === 'running');
      expect(running.disks[0]!.diskBytes.origin).toBeLessThan(4 * MEBIBYTE);
      const image = join(settings.stateDir, 'store', 'images', digest, 'disk.qcow2');
      expect((await stat(image)).blocks * 512).toBeLessThan(5 * MEBIBYTE);
      const copy = { path: join(network.dir, 'copy.raw'), format: 'raw' } as const;
      await qemuImg.convert({ from: { path: image, format: 'qcow2' }, to: copy });
      expect(await sha256OfFile(copy.path)).toBe(await sha256OfFile(file));
      // The neighbour holds no more than a boot sector of it: it comes by the first edge's layers.
      const before = origin.uplink.passedBytes;
      const far = await network.teleport('above', 'ap-northeast');
      const there = await network.waitFor(far, ({ state }) => state === 'running');
      expect(there.edge).toBe('edge-two');
      expect(there.disks[0]!.diskBytes.local).toBeLessThan(MEBIBYTE);
      expect(there.disks[0]!.diskBytes.peer).toBeGreaterThan(40 * MEBIBYTE);
      expect(origin.uplink.passedBytes - before).toBeLessThan(60 * MEBIBYTE);
      await network.remove(far);
      await network.remove(teleport);
    } finally {
      await edge[Symbol.asyncDispose]();
      await neighbour[Symbol.asyncDispose]();
    }
  });
});
