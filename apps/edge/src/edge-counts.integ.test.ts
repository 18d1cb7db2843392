import { join } from 'node:path';
import { parseName } from '@vmdn/core/domain/names.ts';
import { totalTierBytes } from '@vmdn/core/domain/tiers.ts';
import { cacheStatistics, describeVm } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { bootSector } from '@vmdn/core/io/hypervisor/boot-sector.fixture.ts';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  edgeSettings,
  HANG_MS,
  startEdge,
  startNetwork,
  startOrigin,
  type TestNetwork,
  type TestOrigin,
  writeDisk,
} from './edge.fixture.ts';

const MEBIBYTE = 1024 * 1024;
const VMS = ['asked-late', 'asked-at-once', 'never-asked'] as const;

describe('both ends of a link', { timeout: 600_000 }, () => {
  let network: TestNetwork;
  let origin: TestOrigin;

  beforeAll(async () => {
    network = await startNetwork();
    origin = await startOrigin(network);
  }, 600_000);
  afterAll(() => network?.[Symbol.asyncDispose](), 600_000);

  const announce = async (vm: string): Promise<void> => {
    const file = join(network.dir, `${vm}.raw`);
    const sizes = { dataBytes: 4 * MEBIBYTE, sizeBytes: 16 * MEBIBYTE };
    await writeDisk(file, { firstSector: bootSector(), seed: vm, ...sizes });
    await origin.announce(vm, 1, file);
  };
  const scored = (vm: string) =>
    vi.waitFor(
      async () => {
        const params = { vm: parseName(vm, 'VM') };
        const { scores } = await network.client.call(describeVm, { params });
        expect(scores).toHaveLength(1);
      },
      { timeout: HANG_MS, interval: 100 },
    );
  const statistics = () => network.client.call(cacheStatistics, {});

  it('count the same bytes: what teleports took, and what was read before anybody asked', async () => {
    await announce(VMS[0]);
    await using _edge = await startEdge(await edgeSettings(network, 'edge-one'));
    await scored(VMS[0]);
    const before = await statistics();
    // The recipe was read for the score, and the score came after its bytes.
    expect(before.ahead.total.recipes.origin).toBe(origin.uplink.passedBytes);
    expect(before.ahead.total.recipes.origin).toBeGreaterThan(0);
    expect(totalTierBytes(before.total.wireBytes)).toBe(0);
    await announce(VMS[1]);
    await announce(VMS[2]);
    for (const vm of VMS.slice(0, 2)) {
      const teleport = await network.teleport(vm);
      await network.waitFor(teleport, ({ state }) => state === 'running');
      await network.remove(teleport);
    }
    for (const vm of VMS) await scored(vm);
    const { total, ahead } = await statistics();
    expect(total.wireBytes.origin).toBeGreaterThan(8 * MEBIBYTE);
    expect(total.wireBytes.origin + ahead.total.recipes.origin).toBe(origin.uplink.passedBytes);
    expect(ahead.byEdge).toEqual([{ edge: 'edge-one', ...ahead.total }]);
  });
});
