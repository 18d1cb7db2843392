import { chmod, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeBootDisk } from '@vmdn/core/io/hypervisor/boot-sector.fixture.ts';
import {
  type PrivateLibvirt,
  startPrivateLibvirt,
} from '@vmdn/core/io/hypervisor/private-libvirt.fixture.ts';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { makeOrigin, runner, type TestOrigin } from './origin.fixture.ts';

const DISK_BYTES = 1024 * 1024;
const soon = { timeout: 180_000, interval: 100 };
// It only ends a test that hangs: each wait in it has its own limit.
vi.setConfig({ testTimeout: 900_000, hookTimeout: 900_000 });
const id = '4d9c8d3f-5a51-4b3f-9d26-6c1f0fd4e222';
let libvirt: PrivateLibvirt;
let origin: TestOrigin;

beforeAll(async () => {
  libvirt = await startPrivateLibvirt();
  origin = await makeOrigin({ rescanMs: 300, retryMs: 300 });
  // The machine's libvirt runs guests as a user of its own, who must be able to pass.
  for (const dir of [origin.dir, origin.vmsDir]) await chmod(dir, 0o711);
});
afterAll(async () => {
  await origin[Symbol.asyncDispose]();
  await libvirt[Symbol.asyncDispose]();
});

const virsh = (...args: readonly string[]) =>
  runner.run('virsh', ['-q', '-c', libvirt.uri, ...args], { timeoutMs: 60_000 });

/** A domain as `virt-install` would leave it. */
function domainXml(disk: string): string {
  return `<domain type='qemu'><name>web-01</name><uuid>${id}</uuid>
    <memory unit='MiB'>64</memory><vcpu>1</vcpu>
    <os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${disk}'/>
    <target dev='vda' bus='virtio'/></disk></devices></domain>`;
}

it('an origin describes a domain that is shut off, and again when it was run', async () => {
  const disk = join(origin.vmsDir, 'web-01.img');
  await writeBootDisk(disk, DISK_BYTES);
  await libvirt.virsh.define(domainXml(disk));
  const source =
    '<source><port name="web" guest="80"/><ready kind="http" port="web" path="/"/></source>';
  const key = ['--uri', 'urn:vmdn:source:1', '--key', 'vmdn'];
  await virsh('metadata', id, '--config', ...key, '--set', source);
  await origin.start({ libvirt: { uri: libvirt.uri, env: {}, roots: [origin.vmsDir] } });
  const { told } = origin.coordinator;
  await vi.waitFor(() => expect(told.get('web-01/1')?.state).toBe('live'), soon);
  const { description } = told.get('web-01/1')!;
  expect(description.hardware).toEqual({
    ...{ vcpus: 1, memoryMiB: 64, firmware: 'bios', uuid: id },
    ports: [{ name: 'web', guest: 80 }],
    ready: { kind: 'http', port: 'web', path: '/', timeoutSeconds: 300 },
  });
  const bytes = await readFile(disk);
  expect(Buffer.from(await origin.readDisk(description)).equals(bytes)).toBe(true);

  // The guest writes that it has run: what was described is withdrawn, and it is not read while it runs.
  await vi.waitFor(() => virsh('start', id), soon);
  await vi.waitFor(() => expect(told.get('web-01/1')?.state).toBe('withdrawn'), soon);
  await vi.waitFor(async () => expect(bytes.equals(await readFile(disk))).toBe(false), soon);
  expect(told.has('web-01/2')).toBe(false);
  await virsh('destroy', id);
  await vi.waitFor(() => expect(told.get('web-01/2')?.state).toBe('live'), soon);
  const second = told.get('web-01/2')!.description;
  // libvirt gives the file back to its owner when QEMU has ended; an origin that was quicker looks once more.
  const read = await vi.waitFor(() => origin.readDisk(second), soon);
  expect(Buffer.from(read).equals(await readFile(disk))).toBe(true);
});
