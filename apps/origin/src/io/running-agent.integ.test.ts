import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { createQemuImg } from '@vmdn/core/io/command/qemu-img.ts';
import {
  type PrivateLibvirt,
  startPrivateLibvirt,
} from '@vmdn/core/io/hypervisor/private-libvirt.fixture.ts';
import { createLogger } from '@vmdn/core/process/logger.ts';
import { cacheDir } from '@vmdn/core/process/paths.ts';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { openOverlayJournal } from './overlay-journal.ts';
import { DOMAIN, VM } from './running-disks.fixture.ts';
import { createRunningDisks } from './running-disks.ts';

const runner = createCommandRunner();
const guest = join(cacheDir(process.env), 'guests', 'agent.raw');
/** Where the guest's file system begins, behind the usual gap of a tiny guest: sector 63. */
const VOLUME_AT_BYTES = 63 * 512;
const boot = { timeout: 400_000, interval: 500 };
// It only ends a test that hangs: each wait in it has its own limit.
vi.setConfig({ testTimeout: 1_200_000, hookTimeout: 1_200_000 });
let libvirt: PrivateLibvirt;
let dir: string;
let disk: string;

beforeAll(async () => {
  libvirt = await startPrivateLibvirt();
  dir = await mkdtemp(join(tmpdir(), 'vmdn-agent-'));
  await chmod(dir, 0o711);
  await mkdir(join(dir, 'pins'));
  disk = join(dir, 'agent.img');
  await copyFile(guest, disk);
  await libvirt.virsh.define(`<domain type='qemu'><name>${VM}</name><uuid>${DOMAIN}</uuid>
    <memory unit='MiB'>256</memory><vcpu>1</vcpu>
    <os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features><devices>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${disk}'/>
    <target dev='vda' bus='virtio'/></disk>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <serial type='file'><source path='${join(dir, 'serial.log')}'/></serial></devices></domain>`);
});
afterAll(async () => {
  await libvirt.virsh.destroy(DOMAIN);
  await libvirt[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

/** What e2fsprogs says of the volume, and the last line of the file that the guest appends to. */
async function volumeOf(bytes: Buffer): Promise<{ isClean: boolean; appended: number }> {
  const path = join(dir, 'volume');
  await rm(path, { force: true });
  await writeFile(path, bytes.subarray(VOLUME_AT_BYTES));
  const ask = async (question: string): Promise<string> =>
    (await runner.run('debugfs', ['-R', question, path], { timeoutMs: 60_000 })).stdout;
  const lines = (await ask('cat /srv/appended')).trim().split('\n');
  return {
    isClean: !(await ask('stats -h')).includes('needs_recovery'),
    appended: Number(lines.at(-1)),
  };
}

it("I4: a guest's agent freezes its file systems; without one they are as after a power cut", async () => {
  await libvirt.virsh.start(DOMAIN);
  await vi.waitFor(async () => expect(await libvirt.virsh.agentAnswers(DOMAIN)).toBe(true), boot);
  const config = {
    ...{ virsh: libvirt.virsh, qemuImg: createQemuImg(runner), domainOf: () => DOMAIN },
    ...{ journal: await openOverlayJournal(join(dir, 'journal')), pinsDir: join(dir, 'pins') },
    logger: createLogger('test', { level: 'silent' }),
  };
  const hardware = { vcpus: 1, memoryMiB: 256, firmware: 'bios', ports: [], ready: null } as const;
  const vm = { name: VM, hardware, disks: [{ layers: [{ path: disk, format: 'raw' } as const] }] };
  const look = async (origin: ReturnType<typeof createRunningDisks>) => {
    const { consistency } = await origin.takeOverlays(vm);
    const volume = await volumeOf(await readFile(disk));
    await origin.merge(VM);
    return { consistency, ...volume };
  };
  const frozen = await look(createRunningDisks(config));
  expect(frozen).toMatchObject({ consistency: 'agent', isClean: true });
  // It goes on: it was thawed.
  const noAgent = { ...libvirt.virsh, agentAnswers: async () => false };
  const cut = await look(createRunningDisks({ ...config, virsh: noAgent }));
  expect(cut).toMatchObject({ consistency: 'crash', isClean: false });
  await vi.waitFor(async () => {
    const later = await look(createRunningDisks(config));
    expect(later.appended).toBeGreaterThan(frozen.appended);
  }, boot);
});
