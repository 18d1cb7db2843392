/**
 * Room: origin, io (tests only). A real libvirt with one domain whose guest counts onto its disk, the running
 * disks of an origin beside it, and origins that are killed in the middle.
 *
 * I1: whoever is killed does nothing more: the call that it died at never returns to it.
 */

import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { VmSpecification } from '@vmdn/core/domain/vm-specification.ts';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { createQemuImg } from '@vmdn/core/io/command/qemu-img.ts';
import { WRITES_FOR_A_DOT, writingDisk } from '@vmdn/core/io/hypervisor/boot-sector.fixture.ts';
import {
  type PrivateLibvirt,
  startPrivateLibvirt,
} from '@vmdn/core/io/hypervisor/private-libvirt.fixture.ts';
import { createLogger } from '@vmdn/core/process/logger.ts';
import { vi } from 'vitest';
import type { RunningDisks } from '../ports.ts';
import { type OverlayJournal, openOverlayJournal } from './overlay-journal.ts';
import { createRunningDisks, type RunningDisksConfig } from './running-disks.ts';

const runner = createCommandRunner();
export const DOMAIN = '4d9c8d3f-5a51-4b3f-9d26-6c1f0fd4e444' as Id;
export const VM = 'web-01' as Name;
const DISK_BYTES = 2 ** 20;
export const soon = { timeout: 180_000, interval: 50 };

export interface CountingDomain extends AsyncDisposable {
  readonly libvirt: PrivateLibvirt;
  readonly dir: string;
  /** The disk's file. */
  readonly disk: string;
  readonly journalDir: string;
  readonly vm: VmSpecification;
  virsh(...args: readonly string[]): Promise<string>;
  qemuImg: ReturnType<typeof createQemuImg>;
  /** What of the guest's writes it has told of. */
  told(): Promise<number>;
  /** Starts the guest and waits until it writes. */
  run(): Promise<void>;
  /** Names of the disk's files: itself, and overlays. */
  files(): Promise<readonly string[]>;
  definition(): Promise<string>;
  journal(): Promise<OverlayJournal>;
  /** An origin that has just been started. */
  origin(changes?: Partial<RunningDisksConfig>): Promise<RunningDisks>;
}

/** `devices`: more of the domain's XML. */
export async function countingDomain(devices = '', ofDisk = ''): Promise<CountingDomain> {
  const libvirt = await startPrivateLibvirt();
  const dir = await mkdtemp(join(tmpdir(), 'vmdn-running-'));
  await chmod(dir, 0o711);
  const [disk, serial, journalDir] = ['web-01.img', 'serial.log', 'journal'].map((name) =>
    join(dir, name),
  ) as [string, string, string];
  await mkdir(join(dir, 'pins'));
  await writeFile(disk, writingDisk(DISK_BYTES));
  const virsh = async (...args: readonly string[]): Promise<string> =>
    (await runner.run('virsh', ['-q', '-c', libvirt.uri, ...args], { timeoutMs: 60_000 })).stdout;
  await libvirt.virsh.define(`<domain type='qemu'><name>${VM}</name><uuid>${DOMAIN}</uuid>
    <memory unit='MiB'>64</memory><vcpu>1</vcpu>
    <os><type arch='x86_64' machine='q35'>hvm</type></os><devices>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${disk}'/>
    <target dev='vda' bus='virtio'/>${ofDisk}</disk>
    <serial type='file'><source path='${serial}'/></serial>${devices}</devices></domain>`);
  const told = async (): Promise<number> =>
    (await readFile(serial, 'latin1').catch(() => '')).length * WRITES_FOR_A_DOT;
  const qemuImg = createQemuImg(runner);
  const hardware = { vcpus: 1, memoryMiB: 64, firmware: 'bios', ports: [], ready: null } as const;
  return {
    ...{ libvirt, dir, disk, journalDir, virsh, told, qemuImg },
    vm: { name: VM, hardware, disks: [{ layers: [{ path: disk, format: 'raw' }] }] },
    async run() {
      await virsh('start', DOMAIN);
      const wrote = async (): Promise<void> => {
        if ((await told()) === 0) throw new Error('the guest has not written yet');
      };
      await vi.waitFor(wrote, soon);
    },
    files: async () => (await readdir(dir)).filter((name) => name.startsWith('web-01.img')),
    definition: async () => (await libvirt.virsh.dumpXml(DOMAIN, { inactive: true })) ?? '',
    journal: () => openOverlayJournal(journalDir),
    async origin(changes = {}) {
      return createRunningDisks({
        ...{ virsh: libvirt.virsh, qemuImg, journal: await openOverlayJournal(journalDir) },
        ...{ domainOf: () => DOMAIN, pinsDir: join(dir, 'pins') },
        logger: createLogger('test', { level: 'silent' }),
        ...changes,
      });
    },
    async [Symbol.asyncDispose]() {
      await virsh('destroy', DOMAIN).catch(() => undefined);
      await libvirt[Symbol.asyncDispose]();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

export interface Mortal {
  /** The same, until the call at which whoever uses it is killed. */
  wrap<Target extends object>(target: Target): Target;
  /** Settles with the name of the call at which it died. */
  readonly died: Promise<string>;
}

/** Somebody who is killed at a call to the world, before it was made or right after it. */
export function mortal(call: number, when: 'before' | 'after'): Mortal {
  const { promise, resolve } = Promise.withResolvers<string>();
  const never = new Promise<never>(() => undefined);
  let calls = 0;
  return {
    died: promise,
    wrap: (target) =>
      new Proxy(target, {
        get(of, name, receiver) {
          const value: unknown = Reflect.get(of, name, receiver);
          // What is only looked up in memory is no call to the world.
          if (typeof value !== 'function' || name === 'list') return value;
          return async (...args: readonly unknown[]) => {
            calls += 1;
            const isLast = calls === call;
            if (calls > call || (isLast && when === 'before')) resolve(String(name));
            if (calls > call || (isLast && when === 'before')) return await never;
            const result: unknown = await value.apply(of, args);
            if (!isLast) return result;
            resolve(String(name));
            return await never;
          };
        },
      }),
  };
}
