/**
 * What only the driver for libvirt does: domains of others, guests that somebody paused, switches that were
 * broken off.
 */

import { randomUUID } from 'node:crypto';
import { chmod, chown, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { parseDigest } from '../../domain/digest.ts';
import { parseId, parseName } from '../../domain/names.ts';
import { readDomainState } from '../../formats/libvirt-guest.ts';
import { createCommandRunner } from '../command/command-runner.ts';
import { createQemuImg } from '../command/qemu-img.ts';
import type { Hypervisor, VmDefinition } from '../ports/hypervisor.ts';
import { READ_FAILED, READ_PASS, readingDisk } from './boot-sector.fixture.ts';
import { startExport } from './exports.fixture.ts';
import { createLibvirtHypervisor } from './libvirt-hypervisor.ts';
import { type PrivateLibvirt, startPrivateLibvirt } from './private-libvirt.fixture.ts';

const DISK_BYTES = 1024 * 1024;
const WAIT = { timeout: 100_000, interval: 200 };
const qemuImg = createQemuImg(createCommandRunner());
let libvirt: PrivateLibvirt;
let dir: string;
let hypervisor: Hypervisor & AsyncDisposable;

const open = (vms = join(dir, 'vms')) =>
  createLibvirtHypervisor({
    dirs: { vms, sockets: join(dir, 'run') },
    bindAddress: '127.0.0.1',
    accelerator: 'tcg',
    guestUid: null,
    kvmGroup: null,
    qemuImg,
    virsh: libvirt.virsh,
    networks: new Map(),
  });

beforeAll(async () => {
  libvirt = await startPrivateLibvirt();
  dir = await mkdtemp(join(tmpdir(), 'vmdn-libvirt-'));
  for (const name of ['vms', 'other', 'run', '.']) {
    await mkdir(join(dir, name), { recursive: true });
    await chmod(join(dir, name), 0o711);
  }
  hypervisor = open();
}, 360_000);
afterEach(async () => {
  for (const vm of await hypervisor.list()) await hypervisor.destroy(vm);
});
afterAll(async () => {
  await hypervisor[Symbol.asyncDispose]();
  await libvirt[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

/** A VM whose guest reads its disk for ever; at first from an export. */
async function readingVm() {
  const place = await mkdtemp(join(dir, 'place-'));
  const bytes = readingDisk(DISK_BYTES);
  const server = await startExport(place, bytes);
  const path = join(place, 'disk.raw');
  await writeFile(path, bytes);
  const disk = {
    digest: parseDigest('0'.repeat(64)),
    layers: [{ path, format: 'raw' }] as const,
    virtualSizeBytes: DISK_BYTES,
  };
  const settled: VmDefinition = {
    vm: parseId(randomUUID(), 'VM'),
    name: parseName('reading', 'VM'),
    hardware: { vcpus: 1, memoryMiB: 64, firmware: 'bios', ports: [], ready: null },
    disks: [disk],
  };
  const filling = { paths: [path], socket: server.socket, exportName: 'disk' };
  const lazy: VmDefinition = { ...settled, disks: [{ ...disk, filling }] };
  await server.up(await hypervisor.exportUser(settled.vm));
  return { server, settled, lazy, vm: settled.vm };
}

async function passes(vm: VmDefinition['vm']): Promise<number> {
  return (await hypervisor.consoleLog(vm)).split(READ_PASS).length - 1;
}

async function readsOn(vm: VmDefinition['vm']): Promise<void> {
  const before = await passes(vm);
  await expect.poll(() => passes(vm), WAIT).toBeGreaterThan(before + 1);
}

describe('the driver for libvirt', { timeout: 300_000 }, () => {
  it("I2: leaves a domain alone that is another edge's, whatever it is told", async () => {
    const { server, settled, vm } = await readingVm();
    await using _ = server;
    await hypervisor.define(settled);
    await hypervisor.start(vm);
    await using other = open(join(dir, 'other'));
    await expect(other.define(settled)).rejects.toMatchObject({ code: 'conflict' });
    await expect(other.stop(vm, { graceMs: 0 })).rejects.toMatchObject({ code: 'conflict' });
    await expect(other.destroy(vm)).rejects.toMatchObject({ code: 'conflict' });
    expect(await other.list()).toEqual([]);
    expect(await hypervisor.status(vm)).toMatchObject({ state: 'running' });
  });

  it('I4: lets a guest stand that somebody paused', async () => {
    const { server, lazy, vm } = await readingVm();
    await using _ = server;
    await hypervisor.define(lazy);
    await hypervisor.start(vm);
    await readsOn(vm);
    const runner = createCommandRunner();
    const args = ['-c', libvirt.uri, 'suspend', '--domain', vm];
    await runner.run('virsh', args, { timeoutMs: 30_000 });
    // Another guest that waits for its export goes on meanwhile: the driver has looked.
    const second = await readingVm();
    await using __ = second.server;
    await hypervisor.define(second.lazy);
    await hypervisor.start(second.vm);
    await readsOn(second.vm);
    // What was on its way to the first one's console is there: virtlogd took it before the second one's.
    const standing = await passes(vm);
    await second.server.down();
    await expect.poll(() => libvirt.virsh.stateReason(second.vm), WAIT).toBe('paused (I/O error)');
    await second.server.up(await hypervisor.exportUser(second.vm));
    await readsOn(second.vm);
    expect(await passes(vm)).toBe(standing);
    expect(await libvirt.virsh.stateReason(vm)).toBe('paused (user)');
  });

  it('I1: finishes a switch that libvirt made and nobody wrote down, over a stop too', async () => {
    const { server, lazy, settled, vm } = await readingVm();
    await using _ = server;
    await hypervisor.define(lazy);
    await hypervisor.start(vm);
    await readsOn(vm);
    const isDisk = async (): Promise<string> =>
      readDomainState((await libvirt.virsh.dumpXml(vm)) ?? '').disks.get('vda')?.file ?? '';
    const before = await isDisk();
    await hypervisor.settle(settled);
    const after = await isDisk();
    expect(after).not.toBe(before);
    await expect(stat(before)).rejects.toMatchObject({ code: 'ENOENT' });
    // As a kill between libvirt's switch and our record leaves it: both overlays, the old definition.
    await writeFile(before, 'left behind');
    const record = join(dir, 'vms', vm, 'definition.json');
    await writeFile(record, JSON.stringify(lazy));
    await server.down();
    await hypervisor.settle(settled);
    await expect(stat(before)).rejects.toMatchObject({ code: 'ENOENT' });
    await readsOn(vm);
    // And when the guest ended in between: the next start is from where libvirt went.
    await writeFile(before, 'left behind');
    await hypervisor.stop(vm, { graceMs: 0 });
    await hypervisor.start(vm);
    await readsOn(vm);
    expect(await isDisk()).toBe(after);
    expect(await hypervisor.consoleLog(vm)).not.toContain(READ_FAILED);
  });

  it('I1: begins a switch anew that a killed node left half made', async () => {
    const { server, lazy, settled, vm } = await readingVm();
    await using _ = server;
    await hypervisor.define(lazy);
    await hypervisor.start(vm);
    await readsOn(vm);
    // libvirt goes on with a copy that nobody waits for any more.
    const half = join(dirname(lazy.disks[0]!.layers[0]!.path), 'half.qcow2');
    await qemuImg.create({ path: half, format: 'qcow2', virtualSizeBytes: DISK_BYTES });
    const user = await hypervisor.exportUser(vm);
    if (user !== null) await chown(half, user.uid, user.gid);
    const how = ['--dest', half, '--format', 'qcow2', '--reuse-external', '--transient-job'];
    const args = ['-c', libvirt.uri, 'blockcopy', '--domain', vm, '--path', 'vda', ...how];
    await createCommandRunner().run('virsh', args, { timeoutMs: 30_000 });
    const disk = async () =>
      readDomainState((await libvirt.virsh.dumpXml(vm)) ?? '').disks.get('vda');
    expect(await disk()).toMatchObject({ isCopied: true });
    await hypervisor.settle(settled);
    expect(await disk()).toMatchObject({ isCopied: false });
    await server.down();
    await readsOn(vm);
    expect(await hypervisor.consoleLog(vm)).not.toContain(READ_FAILED);
  });

  it('starts a guest by UEFI, with variables of its own', async () => {
    const { server, settled, vm } = await readingVm();
    await using _ = server;
    const hardware = { ...settled.hardware, memoryMiB: 256, firmware: 'uefi' } as const;
    await hypervisor.define({ ...settled, hardware });
    await hypervisor.start(vm);
    // The disk has no EFI system partition: the firmware says that it looked there.
    await expect.poll(() => hypervisor.consoleLog(vm), WAIT).toContain('BdsDxe');
  });

  it('I3: a guest runs on when libvirtd is killed, and is found again', async () => {
    const { server, settled, vm } = await readingVm();
    await using _ = server;
    await hypervisor.define(settled);
    const before = await hypervisor.start(vm);
    await libvirt.kill();
    await expect(hypervisor.status(vm)).rejects.toMatchObject({ code: 'unavailable' });
    await libvirt.start();
    expect(await hypervisor.status(vm)).toEqual(before);
    await readsOn(vm);
  });
});
