import { copyFile, cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
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
/** With the overlay, as libvirt and the guest left it. */
let left: { readonly definition: string; readonly overlay: string; readonly bytes: Buffer };
const kept = (name: string): string => join(domain.dir, `kept.${name}`);

beforeAll(async () => {
  domain = await countingDomain();
  definition = await domain.definition();
});
afterAll(async () => await domain[Symbol.asyncDispose]());
afterEach(async () => {
  await domain.virsh('destroy', DOMAIN).catch(() => undefined);
});

/** Overlays are taken, the guest writes into them, and ends. */
async function takeAndEnd(): Promise<void> {
  await domain.run();
  await (await domain.origin()).takeOverlays(domain.vm);
  const told = await domain.told();
  await vi.waitFor(async () => expect(await domain.told()).toBeGreaterThan(told + 32), soon);
  await domain.virsh('destroy', DOMAIN);
  const [entry] = (await domain.journal()).list();
  const { overlay } = entry!.disks[0]!;
  await rm(kept('raw'), { force: true });
  const to = { path: kept('raw'), format: 'raw' } as const;
  await domain.qemuImg.convert({ from: { path: overlay, format: 'qcow2' }, to });
  left = { definition: await domain.definition(), overlay, bytes: await readFile(kept('raw')) };
}

async function expectMerged(): Promise<void> {
  expect(await domain.files()).toEqual(['web-01.img']);
  expect(await domain.definition()).toBe(definition);
  expect((await domain.journal()).list()).toEqual([]);
  expect(left.bytes.equals(await readFile(domain.disk))).toBe(true);
}

async function keep(): Promise<void> {
  await copyFile(domain.disk, kept('disk'));
  await copyFile(left.overlay, kept('overlay'));
  await rm(kept('journal'), { recursive: true, force: true });
  await cp(domain.journalDir, kept('journal'), { recursive: true });
}

/** All as it was when it was kept. */
async function putBack(): Promise<void> {
  await copyFile(kept('disk'), domain.disk);
  await copyFile(kept('overlay'), left.overlay);
  await rm(domain.journalDir, { recursive: true });
  await cp(kept('journal'), domain.journalDir, { recursive: true });
  await domain.libvirt.virsh.define(left.definition);
}

const merge = async (): Promise<void> => await (await domain.origin()).merge(VM);

describe('overlays of a VM that ended', () => {
  it('I3, I4: are merged without libvirt, wherever that was broken off, and nothing is missing', async () => {
    await takeAndEnd();
    await keep();
    expect(lastWritten(left.bytes)).toBeGreaterThan(32);
    const deaths: string[] = [];
    for (let call = 1; deaths.at(-1) !== 'lived'; call += 1) {
      for (const when of ['before', 'after'] as const) {
        const { wrap, died } = mortal(call, when);
        const origin = await domain.origin({
          virsh: wrap(domain.libvirt.virsh),
          qemuImg: wrap(domain.qemuImg),
          journal: wrap(await domain.journal()),
        });
        deaths.push(await Promise.race([origin.merge(VM).then(() => 'lived'), died]));
        await merge();
        await expectMerged();
        await putBack();
      }
    }
    expect(deaths).toEqual(expect.arrayContaining(['commit', 'redefineDisk', 'remove']));
    await merge();
  });

  it('are merged although libvirt was committing them when the guest ended', async () => {
    await domain.run();
    await (await domain.origin()).takeOverlays(domain.vm);
    await domain.virsh('blockcommit', DOMAIN, 'vda', '--active', '--shallow');
    const told = await domain.told();
    await vi.waitFor(async () => expect(await domain.told()).toBeGreaterThan(told + 32), soon);
    await domain.virsh('destroy', DOMAIN);
    const atLeast = await domain.told();
    await merge();
    expect(await domain.files()).toEqual(['web-01.img']);
    expect(await domain.definition()).toBe(definition);
    expect(lastWritten(await readFile(domain.disk))).toBeGreaterThanOrEqual(atLeast);
  });

  it('are merged when libvirt has forgotten the VM, into a disk that nobody wrote to', async () => {
    await takeAndEnd();
    await domain.virsh('undefine', DOMAIN);
    await merge();
    await domain.libvirt.virsh.define(definition);
    await expectMerged();
  });

  it('I2: are merged when somebody defined the VM anew meanwhile, if the disk is as it was', async () => {
    await takeAndEnd();
    await domain.libvirt.virsh.define(definition);
    await merge();
    await expectMerged();
  });

  it('I2: are left, and so is the disk, when somebody wrote to the disk meanwhile', async () => {
    await takeAndEnd();
    await domain.libvirt.virsh.define(definition);
    const changed = Buffer.from(await readFile(domain.disk));
    changed.write('written by another', 700_000);
    await writeFile(domain.disk, changed);
    await expect(merge()).rejects.toMatchObject({ code: 'conflict' });
    expect(changed.equals(await readFile(domain.disk))).toBe(true);
    expect(await domain.files()).toHaveLength(2);
    // The operator kept what was needed of it.
    await rm(left.overlay);
    await merge();
    expect((await domain.journal()).list()).toEqual([]);
  });

  it('I3: get their name back when they could not be merged, and the VM starts on them', async () => {
    await takeAndEnd();
    const commit = async (): Promise<never> => await Promise.reject(new Error('no room'));
    const origin = await domain.origin({ qemuImg: { ...domain.qemuImg, commit } });
    await expect(origin.merge(VM)).rejects.toThrow('no room');
    // What the run before has told of is gone: libvirt empties the file at each start.
    await domain.virsh('start', DOMAIN);
    await vi.waitFor(async () => expect(await domain.told()).toBeGreaterThan(32), soon);
    await merge();
    await domain.virsh('destroy', DOMAIN);
    const last = lastWritten(await readFile(domain.disk));
    expect(last).toBeGreaterThan(lastWritten(left.bytes));
    expect(await domain.definition()).toBe(definition);
  });
});

describe('overlays under a guest that runs', () => {
  const cut = async (): Promise<number> => {
    await domain.virsh('suspend', DOMAIN);
    return await domain.told();
  };

  it('are merged when a commit was left that nobody ends', async () => {
    await domain.run();
    await (await domain.origin()).takeOverlays(domain.vm);
    await domain.virsh('blockcommit', DOMAIN, 'vda', '--active', '--shallow');
    const told = await cut();
    await merge();
    expect(await domain.files()).toEqual(['web-01.img']);
    expect(lastWritten(await readFile(domain.disk))).toBeGreaterThanOrEqual(told);
  });

  it('are merged by a libvirt that was killed and started again', async () => {
    await domain.run();
    await (await domain.origin()).takeOverlays(domain.vm);
    await domain.libvirt.kill();
    await expect(merge()).rejects.toMatchObject({ code: 'unavailable' });
    await domain.libvirt.start();
    const told = await cut();
    await merge();
    expect(await domain.files()).toEqual(['web-01.img']);
    expect(await domain.definition()).toBe(definition);
    expect(lastWritten(await readFile(domain.disk))).toBeGreaterThanOrEqual(told);
  });

  it('wait for a guest whose memory was kept, which needs them to go on', async () => {
    await domain.run();
    await (await domain.origin()).takeOverlays(domain.vm);
    await domain.virsh('managedsave', DOMAIN);
    await expect(merge()).rejects.toMatchObject({ code: 'unavailable' });
    expect(await domain.files()).toHaveLength(2);
    await domain.virsh('start', DOMAIN);
    const told = await cut();
    await merge();
    expect(await domain.files()).toEqual(['web-01.img']);
    expect(lastWritten(await readFile(domain.disk))).toBeGreaterThanOrEqual(told);
  });
});
