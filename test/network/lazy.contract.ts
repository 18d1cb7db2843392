/**
 * A guest that runs before its disks are there: what it reads comes first over a slow link, the rest follows.
 * Its edge is killed under it, it is stopped and started meanwhile; in the end it needs nobody. Whatever runs
 * the guests of the edge.
 */

import { join } from 'node:path';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { setPower } from '@vmdn/core/http/contracts/coordinator-delivered.ts';
import type { DiskFile } from '@vmdn/infra/lab/disk-proof.ts';
import { findGuest, type Guest, placeVm } from '@vmdn/infra/lab/guests.ts';
import { proveSite } from '@vmdn/infra/lab/site-proof.ts';
import { waitFor } from '@vmdn/infra/lab/wait-for.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { digestsOf, type Gate, startGate } from '../harness/gate.ts';
import {
  beginTeleport,
  compareDelivered,
  removeVm,
  teleportUntil,
  verifiedBytes,
  vmDescribed,
  vmPlanned,
} from '../harness/requests.ts';
import { ORIGIN, startTestNetwork, type TestNetwork } from '../harness/test-network.ts';
import { MIB, makeDisk } from '../harness/vms.ts';

const VM = 'tiny';
const EDGE = 'edge-1';
/** A second disk, which the guest does not read: it is what is left when the guest is up. */
const DATA_MIB = 96;
/** What may come of it while the guest boots, beside what that reads, however long it takes; and then. */
const FIRST_BYTES = (DATA_MIB / 4) * MIB;
const MORE_BYTES = FIRST_BYTES + 16 * MIB;
const UPLINK_BYTES_PER_SECOND = 1_000_000;
/** What a guest whose reads wait is given to shut down. */
const PATIENCE = { VMDN_SHUTDOWN_SECONDS: '30' };
/** Of a guest under emulation that reads over such a link, with others beside it. */
const BOOT_MS_MAX = 240_000;
/** Of one request to a guest: one that is never answered must not keep it from being asked again. */
const ANSWER_MS_MAX = 10_000;

/** `edgeSettings`: asked for once, before the network starts. */
export function describeLazyTeleport(
  driver: string,
  edgeSettings: () => Promise<Readonly<Record<string, string>>>,
): void {
  describe(`a lazy teleport, by ${driver}`, () => {
    let gate: Gate;
    let network: TestNetwork;
    let dataDigest: string;
    let guest: Guest;
    let sources: readonly DiskFile[];
    let teleport: Teleport;

    beforeAll(async () => {
      guest = await findGuest(VM);
      gate = await startGate([ORIGIN]);
      network = await startTestNetwork({
        edges: [
          { name: EDGE, region: 'eu-west', settings: { ...(await edgeSettings()), ...PATIENCE } },
        ],
        origin: {
          uplinkBytesPerSecond: UPLINK_BYTES_PER_SECOND,
          settings: gate.settings(ORIGIN),
        },
        vms: async (vmsDir) => {
          const data = await makeDisk(join(vmsDir, 'data.raw'), {
            seed: 'data',
            dataMiB: DATA_MIB,
          });
          sources = [await placeVm(guest, vmsDir, VM, [data]), data];
        },
      });
      gate.leadTo(network);
      await vmDescribed(network, VM);
      await vmPlanned(network, VM, EDGE);
      const digests = await digestsOf(network, VM);
      dataDigest = digests[1]!;
    });
    afterAll(async () => {
      await network?.[Symbol.asyncDispose]();
      await gate?.[Symbol.asyncDispose]();
    });

    function siteUrl(): string {
      const [endpoint] = teleport.endpoints;
      if (endpoint === undefined) throw new Error('there is no site');
      return `http://${endpoint.host}:${endpoint.hostPort}/`;
    }

    async function expectSite(): Promise<void> {
      if (guest.siteManifestPath === null) throw new Error('there is no site');
      const proof = await proveSite(siteUrl(), guest.siteManifestPath);
      expect(proof.differences).toEqual([]);
      expect(proof.files).toBeGreaterThan(0);
    }

    it('runs the guest long before its disks are there', async () => {
      gate.allow(dataDigest, FIRST_BYTES);
      const begun = await beginTeleport(network, VM, 'london', { lazy: true });
      const isUp = ({ state }: Teleport): boolean => state === 'running';
      teleport = await teleportUntil(network, begun.teleport, 'it runs', isUp);
      const [, data] = teleport.disks;
      expect(teleport.independentAt).toBeNull();
      expect(data!.verifiedBytes).toBeLessThan((DATA_MIB / 2) * MIB);
      await expectSite();
    });

    it('goes on, guest and all, when its edge is killed', async () => {
      const before = verifiedBytes(teleport);
      await network.node(EDGE).service.kill();
      await network.node(EDGE).restart();
      gate.allow(dataDigest, MORE_BYTES);
      const isMore = (now: Teleport): boolean => verifiedBytes(now) > before + 4 * MIB;
      await teleportUntil(network, teleport.teleport, 'more is there', isMore);
      await expectSite();
    });

    it('is stopped and started while nobody has the rest of its disks, its edge killed between', async () => {
      const params = { teleport: teleport.teleport };
      const wish = async (power: 'on' | 'off'): Promise<Teleport> => {
        await network.client.call(setPower, { params, body: { power } });
        const isSo = (now: Teleport): boolean => now.power === power;
        return await teleportUntil(network, teleport.teleport, `it is ${power}`, isSo);
      };
      await network.node(ORIGIN).service.kill();
      expect(await wish('off')).toMatchObject({ independentAt: null, endpoints: [] });
      await network.node(EDGE).service.kill();
      await network.node(EDGE).restart();
      teleport = await wish('on');
      expect(teleport.independentAt).toBeNull();
      gate.open(dataDigest);
      await network.node(ORIGIN).restart();
      const isUp = async (): Promise<boolean> => {
        const signal = AbortSignal.timeout(ANSWER_MS_MAX);
        return (await fetch(siteUrl(), { signal })).ok;
      };
      await waitFor('the guest is up again', isUp, { timeoutMs: BOOT_MS_MAX });
    });

    it('ends with whole disks, byte for byte, and a guest that needs nobody', async () => {
      const isDone = ({ independentAt }: Teleport): boolean => independentAt !== null;
      teleport = await teleportUntil(network, teleport.teleport, 'it needs nobody', isDone);
      for (const [index, source] of sources.entries()) {
        const comparison = await compareDelivered(network, teleport, source, index);
        expect(comparison).toMatchObject({ isEqual: true });
      }
      await network.node(ORIGIN).service.kill();
      await network.node(EDGE).service.kill();
      await expectSite();
      await network.node(EDGE).restart();
      await removeVm(network, teleport);
    });
  });
}
