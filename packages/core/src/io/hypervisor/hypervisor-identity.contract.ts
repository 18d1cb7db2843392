/**
 * Room: io, hypervisor (tests). What every driver of the hypervisor port must do about who a guest is, and
 * about the networks that it is on: part of the contract suite (hypervisor.contract.ts).
 */

import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parseDigest } from '../../domain/digest.ts';
import type { DiskLayer } from '../../domain/disk-format.ts';
import { type Name, parseId, parseName } from '../../domain/names.ts';
import type { VmHardware } from '../../domain/vm-specification.ts';
import type { UserNetwork } from '../../formats/guest-nics.ts';
import type { Hypervisor, VmDefinition } from '../ports/hypervisor.ts';
import type { OpenHypervisor } from './hypervisor.contract.ts';
import { identityDisk, saidIdentity } from './identity-sector.fixture.ts';

const DISK_BYTES = 1024 * 1024;
const WAIT = { timeout: 100_000, interval: 100 };
const OPEN_TIMEOUT_MS = 360_000;
const network = (name: string): Name => parseName(name, 'network');
/** Networks that a driver under test is opened with. */
export const USER_NETWORKS: ReadonlyMap<Name, UserNetwork> = new Map(
  ['user', 'lan', 'dmz'].map((name) => [network(name), { kind: 'user' }]),
);

export function describeIdentity(driver: string, openHypervisor: OpenHypervisor): void {
  describe(`the identity of a guest, driver ${driver}`, { timeout: 300_000 }, () => {
    let dir: string;
    let hypervisor: Hypervisor & AsyncDisposable;

    beforeAll(async () => {
      dir = await mkdtemp(join(tmpdir(), 'vmdn-identity-'));
      await writeFile(join(dir, 'image.raw'), identityDisk(DISK_BYTES));
      hypervisor = await openHypervisor(dir);
    }, OPEN_TIMEOUT_MS);
    afterEach(async () => {
      for (const vm of await hypervisor.list()) await hypervisor.destroy(vm);
    });
    afterAll(async () => {
      await hypervisor[Symbol.asyncDispose]();
      await rm(dir, { recursive: true, force: true });
    });

    const definitionOf = (hardware: Partial<VmHardware>): VmDefinition => ({
      vm: parseId(randomUUID(), 'VM'),
      name: parseName('who', 'VM'),
      hardware: {
        ...{ vcpus: 1, memoryMiB: 64, firmware: 'bios', ready: null },
        ports: [{ name: parseName('web', 'port'), guest: 80 }],
        ...hardware,
      },
      disks: [
        {
          digest: parseDigest('0'.repeat(64)),
          layers: [{ path: join(dir, 'image.raw'), format: 'raw' }],
          virtualSizeBytes: DISK_BYTES,
        },
      ],
    });
    const said = async (definition: VmDefinition, cards: number) => {
      const look = async () => saidIdentity(await hypervisor.consoleLog(definition.vm), cards);
      await expect.poll(look, WAIT).not.toBeNull();
      return (await look())!;
    };

    it('is what its hardware says, and stays so over a restart', async () => {
      const uuid = parseId(randomUUID(), 'UUID');
      const macs = ['52:54:00:12:34:56', '02:00:5e:00:00:01'];
      const interfaces = macs.map((mac, at) => ({ network: network(['lan', 'dmz'][at]!), mac }));
      const definition = definitionOf({ uuid, interfaces });
      await hypervisor.define(definition);
      const running = await hypervisor.start(definition.vm);
      expect(await said(definition, 2)).toEqual({ uuid, macs });
      expect(running.endpoints).toMatchObject([{ port: 'web' }]);
      expect(running.definition).toEqual(definition);
      expect(await hypervisor.list()).toEqual([definition.vm]);
      await hypervisor.stop(definition.vm, { graceMs: 0 });
      await hypervisor.start(definition.vm);
      expect(await said(definition, 2)).toEqual({ uuid, macs });
    });

    it("is the VM's own where nothing is said, with one network card", async () => {
      const definition = definitionOf({});
      await hypervisor.define(definition);
      await hypervisor.start(definition.vm);
      const { uuid, macs } = await said(definition, 1);
      expect(uuid).toBe(definition.vm);
      expect(macs).toEqual([expect.stringMatching(/^52:54:00:/)]);
    });

    it('I6: exists with its overlays prepared, once, or not at all', async () => {
      const definition = definitionOf({});
      const asked: (readonly DiskLayer[])[] = [];
      const broken = hypervisor.define(definition, async (overlays) => {
        await writeFile(overlays[0]!.path, 'half done');
        throw new Error('broken off');
      });
      await expect(broken).rejects.toThrow('broken off');
      expect(await hypervisor.status(definition.vm)).toEqual({ state: 'absent' });
      expect(await hypervisor.list()).toEqual([]);
      const prepare = async (overlays: readonly DiskLayer[]): Promise<void> => {
        asked.push(overlays);
        // A qcow2 file made anew: nothing of the first try is left.
        const magic = await readFile(overlays[0]!.path);
        expect(magic.subarray(0, 4).toString('latin1')).toBe('QFI\xfb');
        expect(await hypervisor.list()).toEqual([definition.vm]);
      };
      await hypervisor.define(definition, prepare);
      await hypervisor.define(definition, prepare);
      await hypervisor.start(definition.vm);
      await hypervisor.define(definition, prepare);
      expect(asked).toEqual([[{ path: expect.stringMatching(/disk-0\.qcow2$/), format: 'qcow2' }]]);
    });

    it('I4: does not start on a network that this node lacks, and says which it has', async () => {
      const definition = definitionOf({ interfaces: [{ network: network('elsewhere') }] });
      await hypervisor.define(definition);
      const refused = hypervisor.start(definition.vm);
      await expect(refused).rejects.toMatchObject({ code: 'unsupported_format' });
      await expect(refused).rejects.toThrow(/no network "elsewhere" \(it has user, lan, dmz\)/);
      expect(await hypervisor.status(definition.vm)).toMatchObject({ state: 'defined' });
    });
  });
}
