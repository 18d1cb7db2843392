/**
 * Room: origin, io. Overlays on the disks of running libvirt domains: taken here, merged by
 * merge-overlays.ts.
 *
 * I1: a domain is touched only when everything about its disks is as expected: each is a file of the VM's own
 *     that libvirt and its specification agree about, and nothing else is being done with it.
 * I2: the journal knows of an overlay before libvirt does.
 * I3: nobody is frozen or given an overlay where there is no room for what follows.
 * I4: the guest's agent freezes its file systems where it answers; where that fails, or nobody answers, the
 *     disks are what a power cut would leave, and that is what is said of them. A guest that was asked to
 *     freeze is thawed by libvirt, and once more here when libvirt did not come to it.
 */

import { randomBytes } from 'node:crypto';
import { realpath, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { VmSpecification } from '@vmdn/core/domain/vm-specification.ts';
import {
  type DomainDisk,
  type DomainDisks,
  overlaySnapshot,
  readDomainDisks,
} from '@vmdn/core/formats/libvirt-running.ts';
import type { QemuImg } from '@vmdn/core/io/command/qemu-img.ts';
import type { Virsh } from '@vmdn/core/io/command/virsh.ts';
import { allocatedBytes } from '@vmdn/core/io/store/image-record.ts';
import type { Logger } from '@vmdn/core/process/logger.ts';
import { OVERLAY_ROOM_BYTES } from '../limits.ts';
import type { RunningDisks } from '../ports.ts';
import { lookOf, mergeOverlays } from './merge-overlays.ts';
import type { JournalDisk, JournalEntry, OverlayJournal } from './overlay-journal.ts';

export interface RunningDisksConfig {
  readonly virsh: Virsh;
  readonly qemuImg: QemuImg;
  readonly journal: OverlayJournal;
  /** The domain that a VM is, by the last look at libvirt. */
  readonly domainOf: (vm: Name) => Id | undefined;
  /** Where copies of the disks will go. */
  readonly pinsDir: string;
  readonly logger: Logger;
  /** Bytes that may be written below a folder; the file system's own answer without it. */
  readonly freeBytes?: (dir: string) => Promise<number>;
}

const TARGET_PATTERN = /^[a-z][a-z0-9]{0,15}$/;

/** Overlays on domains of one libvirt. */
export function createRunningDisks(config: RunningDisksConfig): RunningDisks {
  const { journal } = config;
  const entryOf = (vm: Name) => journal.list().find((entry) => entry.vm === vm);
  return {
    unmerged: () => journal.list().map(({ vm, disks }) => ({ name: vm, disks })),
    async takeOverlays(vm) {
      const domain = config.domainOf(vm.name);
      if (domain === undefined) throw notPossible('no libvirt knows it');
      if (entryOf(vm.name) !== undefined) throw notPossible('its overlays are not merged yet');
      const { disks, others, run } = await disksToTake(config, domain, vm);
      await requireRoom(config, vm);
      const quiesced = await config.virsh.agentAnswers(domain);
      const { name } = vm;
      const begun = { domain, vm: name, run, disks, quiesced, looks: null };
      await journal.save(begun);
      const consistency = await take(config, begun, others);
      const looks = await Promise.all(disks.map(({ layers }) => lookOf(layers[0]!.path)));
      await journal.save({ ...begun, looks });
      return { consistency };
    },
    async merge(vm) {
      const entry = entryOf(vm);
      if (entry !== undefined) await mergeOverlays(config, entry);
    },
  };
}

/** I4. */
async function take(
  { virsh, logger }: RunningDisksConfig,
  { domain, vm, disks, quiesced }: JournalEntry,
  others: readonly string[],
): Promise<'agent' | 'crash'> {
  const snapshot = overlaySnapshot(disks, others);
  if (quiesced) {
    try {
      await virsh.takeOverlays(domain, snapshot, { quiesce: true });
      return 'agent';
    } catch (error) {
      await virsh.thaw(domain).catch(() => undefined);
      if (!isVmdnError(error, 'tool_failed')) throw error;
      const now = readDomainDisks((await virsh.dumpXml(domain)) ?? '<domain/>');
      // It was the thaw that failed, and the overlays are there.
      if (disks.every(({ overlay }) => now.disks.some(({ file }) => file === overlay)))
        return 'agent';
      logger.warn({ vm, err: error }, 'the guest could not freeze its file systems');
    }
  }
  await virsh.takeOverlays(domain, snapshot, { quiesce: false });
  return 'crash';
}

/** I1. */
async function disksToTake(
  { virsh }: RunningDisksConfig,
  domain: Id,
  vm: VmSpecification,
): Promise<{
  readonly disks: JournalDisk[];
  readonly others: readonly string[];
  readonly run: string;
}> {
  const [now, defined] = [
    await virsh.dumpXml(domain),
    await virsh.dumpXml(domain, { inactive: true }),
  ];
  const running = now === null ? undefined : readDomainDisks(now);
  if (running === undefined || running.run === null || defined === null) {
    throw new VmdnError('source_changed', 'The VM ended meanwhile; it is looked at again.');
  }
  const definition = readDomainDisks(defined);
  requireSame(running, definition, vm);
  const disks: JournalDisk[] = [];
  for (const [i, { layers }] of vm.disks.entries()) {
    const disk = running.disks[i]!;
    requireOrdinary(disk);
    const path = layers[0]!.path;
    if ((await realpath(disk.file).catch(() => '')) !== path) throw otherDisks();
    const { document } = definition.disks[i]!;
    const overlay = `${path}.vmdn-${randomBytes(4).toString('hex')}.qcow2`;
    disks.push({
      target: disk.target,
      file: disk.file,
      layers,
      document,
      overlay,
      isMerged: false,
    });
  }
  return { disks, others: running.others, run: running.run };
}

function requireSame(running: DomainDisks, definition: DomainDisks, vm: VmSpecification): void {
  const isSame =
    running.disks.length === vm.disks.length &&
    definition.disks.length === vm.disks.length &&
    running.disks.every(({ target, file, format }, i) => {
      const defined = definition.disks[i]!;
      return (
        target === defined.target &&
        file === defined.file &&
        format === defined.format &&
        format === vm.disks[i]!.layers[0]!.format
      );
    });
  if (!isSame) throw otherDisks();
}

function requireOrdinary({ target, mirror, isShareable, isReadOnly }: DomainDisk): void {
  if (isShareable) throw notPossible(`its disk ${target} is shared with other VMs`);
  if (isReadOnly) throw notPossible(`its disk ${target} is read-only and takes no overlay`);
  if (mirror !== null) throw notPossible(`a copy or a commit of its disk ${target} is under way`);
  if (!TARGET_PATTERN.test(target)) throw notPossible('a disk of it has no usual name');
}

/** I3: for the copies where they will lie, and for what the guest writes where the disks lie. */
async function requireRoom(config: RunningDisksConfig, vm: VmSpecification): Promise<void> {
  const needed = new Map<number, { dir: string; bytes: number }>();
  const need = async (dir: string, bytes: number): Promise<void> => {
    const { dev } = await stat(dir);
    needed.set(dev, { dir, bytes: bytes + (needed.get(dev)?.bytes ?? 0) });
  };
  for (const { layers } of vm.disks) {
    const sizes = await Promise.all(layers.map(({ path }) => allocatedBytes(path)));
    await need(
      config.pinsDir,
      sizes.reduce((sum, bytes) => sum + bytes, 0),
    );
    await need(dirname(layers[0]!.path), OVERLAY_ROOM_BYTES);
  }
  for (const { dir, bytes } of needed.values()) {
    const freeBytes = await (config.freeBytes ?? freeBytesOf)(dir);
    if (freeBytes >= bytes) continue;
    const message =
      `To describe it while it runs takes up to ${bytes} bytes on the file system of ${dir}, ` +
      `where ${freeBytes} are free; make room there, or shut it off.`;
    throw new VmdnError('disk_full', message, { data: { dir, neededBytes: bytes, freeBytes } });
  }
}

async function freeBytesOf(dir: string): Promise<number> {
  const { bavail, bsize } = await statfs(dir);
  return bavail * bsize;
}

function otherDisks(): VmdnError {
  return notPossible('its disks are not those of its definition');
}

function notPossible(reason: string): VmdnError {
  const message = `The VM runs, and can't be described while it does: ${reason}; shut it off for that.`;
  return new VmdnError('source_running', message, { data: { reason } });
}
