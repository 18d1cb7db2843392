import { readFile } from 'node:fs/promises';
import { lastWritten } from '@vmdn/core/io/hypervisor/boot-sector.fixture.ts';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  type CountingDomain,
  countingDomain,
  DOMAIN,
  mortal,
  soon,
  VM,
} from './running-disks.fixture.ts';

// It only ends a test that hangs: each wait in it has its own limit.
vi.setConfig({ testTimeout: 1_800_000, hookTimeout: 900_000 });
let domain: CountingDomain;
let definition: string;
const OWN = ['web-01.img'];

beforeAll(async () => {
  domain = await countingDomain();
  definition = await domain.definition();
});
afterAll(async () => await domain[Symbol.asyncDispose]());
afterEach(async () => {
  await domain.virsh('destroy', DOMAIN).catch(() => undefined);
});

/** The domain runs and starts on its own disk, and nothing of us is left. */
async function expectAsBefore(): Promise<void> {
  expect(await domain.files()).toEqual(OWN);
  expect(await domain.definition()).toBe(definition);
  expect(await domain.virsh('domblklist', DOMAIN)).toContain(domain.disk);
  expect((await domain.journal()).list()).toEqual([]);
}

describe('the disks of a VM that runs', () => {
  it('I1: stand still below overlays while the guest writes on, and have all of it afterwards', async () => {
    await domain.run();
    const origin = await domain.origin();
    expect(await origin.takeOverlays(domain.vm)).toEqual({ consistency: 'crash' });
    const still = await readFile(domain.disk);
    const [first, told] = [lastWritten(still), await domain.told()];
    await vi.waitFor(async () => expect(await domain.told()).toBeGreaterThan(told + 32), soon);
    expect(still.equals(await readFile(domain.disk))).toBe(true);
    await origin.merge(VM);
    await domain.virsh('suspend', DOMAIN);
    await expectAsBefore();
    expect(lastWritten(await readFile(domain.disk))).toBeGreaterThan(first + 32);
  });

  it('I4: are merged wherever the origin was killed, before or after any call to the world', async () => {
    await domain.run();
    const deaths: string[] = [];
    for (let call = 1; deaths.at(-1) !== 'lived'; call += 1) {
      for (const when of ['before', 'after'] as const) {
        const { wrap, died } = mortal(call, when);
        const origin = await domain.origin({
          virsh: wrap(domain.libvirt.virsh),
          qemuImg: wrap(domain.qemuImg),
          journal: wrap(await domain.journal()),
        });
        const life = origin.takeOverlays(domain.vm).then(() => origin.merge(VM));
        deaths.push(await Promise.race([life.then(() => 'lived'), died]));
        // It stands still, so that no later write hides one that is lost.
        await domain.virsh('suspend', DOMAIN);
        const told = await domain.told();
        await (await domain.origin()).merge(VM);
        await expectAsBefore();
        expect(lastWritten(await readFile(domain.disk))).toBeGreaterThanOrEqual(told);
        await domain.virsh('resume', DOMAIN);
        await vi.waitFor(async () => expect(await domain.told()).toBeGreaterThan(told), soon);
      }
    }
    expect(deaths).toEqual(expect.arrayContaining(['takeOverlays', 'commitTopLayer', 'remove']));
  });

  it('I1, I3: stay as they are where something about them is unusual, or there is no room', async () => {
    await domain.run();
    const document = (await domain.libvirt.virsh.dumpXml(DOMAIN))!;
    const refused = async (
      changes: Parameters<CountingDomain['origin']>[0],
      words: RegExp,
      vm = domain.vm,
    ): Promise<void> => {
      const takeOverlays = vi.fn();
      const virsh = { ...domain.libvirt.virsh, ...changes?.virsh, takeOverlays };
      const origin = await domain.origin({ ...changes, virsh });
      await expect(origin.takeOverlays(vm)).rejects.toThrow(words);
      expect(takeOverlays).not.toHaveBeenCalled();
      expect(origin.unmerged()).toEqual([]);
    };
    /** A libvirt that says something else of the domain. */
    const saying = (from: string, to: string) => ({
      virsh: { ...domain.libvirt.virsh, dumpXml: async () => document.replace(from, to) },
    });
    await refused(saying('<target dev', '<shareable/><target dev'), /vda is shared/);
    await refused(saying('<target dev', '<readonly/><target dev'), /vda is read-only/);
    const mirror = "<mirror type='file'><source file='/x'/></mirror><target dev";
    await refused(saying('<target dev', mirror), /copy or a commit of its disk vda/);
    await refused(saying("type='raw'", "type='qcow2'"), /not those of its definition/);
    await refused(saying("dev='vda'", "dev='/etc'"), /no usual name/);
    await refused(saying(" id='", " no='"), /ended meanwhile/);
    await refused({ domainOf: () => undefined }, /no libvirt knows it/);
    await refused(
      { freeBytes: async () => 2 ** 30 - 1 },
      /up to 1074\d{6} bytes on .* where 1073741823 are free/,
    );
    await refused({}, /not those of its definition/, { ...domain.vm, disks: [] });
    await expectAsBefore();
  });

  it('I4: are as a power cut leaves them when the agent answers and can freeze nothing', async () => {
    await domain.run();
    const thaw = vi.fn(domain.libvirt.virsh.thaw);
    const virsh = { ...domain.libvirt.virsh, agentAnswers: async () => true, thaw };
    const origin = await domain.origin({ virsh });
    // This guest has no agent: libvirt refuses to freeze it.
    expect(await origin.takeOverlays(domain.vm)).toEqual({ consistency: 'crash' });
    expect(thaw).toHaveBeenCalledWith(DOMAIN);
    await origin.merge(VM);
    await expectAsBefore();
  });
});
