import { chmod, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Name } from '@vmdn/core/domain/names.ts';
import { callOriginControl } from '@vmdn/core/http/clients/origin-control-client.ts';
import { CONTROL_SOCKET_NAME, describeRunning } from '@vmdn/core/http/contracts/origin-control.ts';
import {
  lastWritten,
  WRITES_FOR_A_DOT,
  writingDisk,
} from '@vmdn/core/io/hypervisor/boot-sector.fixture.ts';
import {
  type PrivateLibvirt,
  startPrivateLibvirt,
} from '@vmdn/core/io/hypervisor/private-libvirt.fixture.ts';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { makeOrigin, runner, type TestOrigin } from './origin.fixture.ts';

const DISK_BYTES = 2 * 2 ** 20;
// What could not be described is tried again after a minute.
const soon = { timeout: 300_000, interval: 100 };
// It only ends a test that hangs: each wait in it has its own limit.
vi.setConfig({ testTimeout: 1_800_000, hookTimeout: 900_000 });
const id = '4d9c8d3f-5a51-4b3f-9d26-6c1f0fd4e333';
let libvirt: PrivateLibvirt;
let origin: TestOrigin;
let disk: string;
let serial: string;

beforeAll(async () => {
  libvirt = await startPrivateLibvirt();
});
afterAll(async () => await libvirt[Symbol.asyncDispose]());
beforeEach(async () => {
  origin = await makeOrigin({ rescanMs: 300, retryMs: 300 });
  // The machine's libvirt runs guests as a user of its own, who must be able to pass.
  for (const dir of [origin.dir, origin.vmsDir]) await chmod(dir, 0o711);
  disk = join(origin.vmsDir, 'web-01.img');
  serial = join(origin.dir, 'serial.log');
  await writeFile(disk, writingDisk(DISK_BYTES));
  await libvirt.virsh.define(`<domain type='qemu'><name>web-01</name><uuid>${id}</uuid>
    <memory unit='MiB'>64</memory><vcpu>1</vcpu>
    <os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${disk}'/>
    <target dev='vda' bus='virtio'/></disk>
    <serial type='file'><source path='${serial}'/></serial></devices></domain>`);
});
afterEach(async () => {
  await origin[Symbol.asyncDispose]();
  await virsh('destroy', id).catch(() => undefined);
  await virsh('undefine', id);
});

const virsh = (...args: readonly string[]) =>
  runner.run('virsh', ['-q', '-c', libvirt.uri, ...args], { timeoutMs: 60_000 });
const saidToBeWritten = async (): Promise<number> =>
  (await readFile(serial, 'latin1').catch(() => '')).length * WRITES_FOR_A_DOT;
/** Described while it runs only when that is asked for: a version stays until the next one is wanted. */
const start = () =>
  origin.start({
    libvirt: { uri: libvirt.uri, env: {}, roots: [origin.vmsDir] },
    running: { everyMs: null },
  });
/** Has the guest described when it has written more; that is refused until the origin has seen it. */
async function ask(): Promise<void> {
  const said = await saidToBeWritten();
  await vi.waitFor(async () => expect(await saidToBeWritten()).toBeGreaterThan(said), soon);
  const control = join(origin.settings.runtimeDir, CONTROL_SOCKET_NAME);
  const asking = () => callOriginControl(control, describeRunning, { vm: 'web-01' as Name });
  await vi.waitFor(asking, soon);
}
const told = (version: number) => origin.coordinator.told.get(`web-01/${version}`);
const filesThere = async (): Promise<string[]> =>
  (await readdir(origin.vmsDir)).filter((name) => name.startsWith('web-01.img'));

it('a VM is described while it runs, goes on writing, and loses nothing', async () => {
  await virsh('start', id);
  const before = await libvirt.virsh.dumpXml(id as never, { inactive: true });
  await start();
  await ask();
  await vi.waitFor(() => expect(told(1)?.state).toBe('pinned'), soon);
  const { description } = told(1)!;
  expect(description.consistency).toBe('crash');
  const first = lastWritten(await origin.readDisk(description));
  expect(first).toBeGreaterThan(0);

  // It goes on, and its next version is a later one; the older one is gone with it.
  await ask();
  await vi.waitFor(() => expect(told(2)?.state).toBe('pinned'), soon);
  expect(lastWritten(await origin.readDisk(told(2)!.description))).toBeGreaterThan(first);
  await vi.waitFor(() => expect(told(1)?.state).toBe('withdrawn'), soon);

  // Stopped while an overlay is there or was just now, it has its own disk again, with every write in it.
  await ask();
  const isUnderWay = async () => (await filesThere()).length === 2 || told(3) !== undefined;
  await vi.waitFor(async () => expect(await isUnderWay()).toBe(true), { ...soon, interval: 5 });
  await origin.stop();
  const said = await saidToBeWritten();
  await virsh('destroy', id);
  expect(await filesThere()).toEqual(['web-01.img']);
  expect(await libvirt.virsh.dumpXml(id as never, { inactive: true })).toBe(before);
  expect(lastWritten(await readFile(disk))).toBeGreaterThanOrEqual(said);

  // What is off is described as what is off.
  await start();
  const newest = () => [...origin.coordinator.told.values()].at(-1)!;
  await vi.waitFor(() => expect(newest()).toMatchObject({ state: 'live' }), soon);
  expect(newest().description.consistency).toBe('off');
  const bytes = Buffer.from(await origin.readDisk(newest().description));
  expect(bytes.equals(await readFile(disk))).toBe(true);
});
