import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseName } from '@vmdn/core/domain/names.ts';
import {
  cancelTeleport,
  listVms,
  requestTeleport,
} from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { bootSector } from '@vmdn/core/io/hypervisor/boot-sector.fixture.ts';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  edgeSettings,
  sha256OfFile,
  startEdge,
  startNetwork,
  startOrigin,
  type TestNetwork,
  type TestOrigin,
  writeDisk,
} from './edge.fixture.ts';

const DATA_BYTES = 8 * 1024 * 1024;
const SIZE_BYTES = 64 * 1024 * 1024;
const near = { region: parseName('eu-west', 'region') };

describe('an edge', { timeout: 180_000 }, () => {
  let network: TestNetwork;
  let origin: TestOrigin;

  beforeAll(async () => {
    network = await startNetwork();
    origin = await startOrigin(network);
  }, 120_000);
  afterAll(() => network[Symbol.asyncDispose](), 60_000);

  it('rebuilds a disk bit for bit, boots it, keeps the VM over its own restart, and removes it when told', async () => {
    const file = join(network.dir, 'web.raw');
    await writeDisk(file, {
      ...{ firstSector: bootSector(), seed: 'web', dataBytes: DATA_BYTES, sizeBytes: SIZE_BYTES },
    });
    const { digest, description } = await origin.announce('web', 1, file);
    const settings = await edgeSettings(network, 'edge-one');
    let edge = await startEdge(settings);
    try {
      const vm = parseName('web', 'VM');
      await vi.waitFor(() => network.client.call(listVms, {}), { timeout: 10_000 });
      const { teleport } = await vi.waitFor(
        () => network.client.call(requestTeleport, { body: { vm, near } }),
        { timeout: 30_000, interval: 200 },
      );
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

      await edge[Symbol.asyncDispose]();
      edge = await startEdge(settings);
      const again = await network.waitFor(teleport, ({ state }) => state === 'running');
      expect(again.endpoints).toEqual(running.endpoints);

      await network.client.call(cancelTeleport, { params: { teleport } });
      await vi.waitFor(
        async () => expect(await readdir(join(settings.stateDir, 'vms'))).toEqual([]),
        { timeout: 30_000, interval: 200 },
      );
      expect(await sha256OfFile(image)).toBe(await sha256OfFile(file));
    } finally {
      await edge[Symbol.asyncDispose]();
    }
  });
});
