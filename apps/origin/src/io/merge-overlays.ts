/**
 * Room: origin, io. The overlays of one domain merged back into its disks, from wherever it was left: taken
 * or not, half merged, by a libvirt that was restarted, under a guest that ended or was started meanwhile.
 *
 * I1: an overlay is removed only when nothing of it is missing in the disk: libvirt went over to the disk in
 *     the run that the overlay was taken in, we committed it to the end, or it says nothing that the disk
 *     does not say; and when no process has it open.
 * I2: an overlay that libvirt does not name is committed only into a disk that nobody has written to since it
 *     was taken; where that can't be proved both are left as they are, and the operator is told.
 * I3: while a domain that is off is merged it can't start on its overlay: the file has another name. A merge
 *     that fails gives the name back.
 * I4: the entry leaves the journal last. Every step can be broken off and done again.
 */

import { open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import {
  type DomainDisk,
  type DomainDisks,
  readDomainDisks,
} from '@vmdn/core/formats/libvirt-running.ts';
import type { QemuImg } from '@vmdn/core/io/command/qemu-img.ts';
import type { Virsh } from '@vmdn/core/io/command/virsh.ts';
import { inspectLayers } from '@vmdn/core/io/disk-export/inspect-layers.ts';
import { fsyncDir } from '@vmdn/core/io/files/files.ts';
import { MERGE_ROUNDS_MAX } from '../limits.ts';
import type { JournalDisk, JournalEntry, OverlayJournal } from './overlay-journal.ts';

export interface MergeDeps {
  readonly virsh: Virsh;
  readonly qemuImg: QemuImg;
  readonly journal: OverlayJournal;
}

/** Both names that an overlay can have: its own, and the one while it is merged without libvirt (I3). */
function overlayNames({ overlay }: Pick<JournalDisk, 'overlay'>): [string, string] {
  return [overlay, `${overlay}.merging`];
}

/** The layers that an overlay of ours lies on; undefined: the file is none. */
export function layersBelow(
  journal: OverlayJournal,
  file: string,
): JournalDisk['layers'] | undefined {
  const disks = journal.list().flatMap((entry) => entry.disks);
  return disks.find((disk) => overlayNames(disk).includes(file))?.layers;
}

/**
 * How a disk's file looks to whom asks whether it was written to; its owner and mode are libvirt's to change.
 */
export async function lookOf(path: string): Promise<string> {
  const { ino, size, mtimeNs } = await stat(path, { bigint: true });
  return `${ino} ${size} ${mtimeNs}`;
}

/** Merges what an entry names, and removes the entry. Throws `conflict`, `unavailable`, `tool_failed`, … */
export async function mergeOverlays(deps: MergeDeps, entry: JournalEntry): Promise<void> {
  await new Merge(deps, entry).run();
}

class Merge {
  readonly #deps: MergeDeps;
  #entry: JournalEntry;

  constructor(deps: MergeDeps, entry: JournalEntry) {
    this.#deps = deps;
    this.#entry = entry;
  }

  async run(): Promise<void> {
    const { domain, quiesced, looks, vm } = this.#entry;
    // Its origin was killed before libvirt said that it is thawed; a guest that is not frozen stays as it is.
    if (quiesced && looks === null) await this.#deps.virsh.thaw(domain).catch(() => undefined);
    for (let round = 1; !(await this.#mergeOnce()); round += 1) {
      if (round < MERGE_ROUNDS_MAX) continue;
      const message = 'The VM was started or stopped while its overlays were merged; try again.';
      throw new VmdnError('unavailable', message, { data: { vm } });
    }
    for (const disk of this.#entry.disks) await this.#remove(disk);
    await this.#deps.journal.remove(this.#entry);
  }

  /** Returns whether the domain, if it is there, runs and would start on its own disks. */
  async #mergeOnce(): Promise<boolean> {
    const now = await this.#look();
    if (now === null || now.run === null) await this.#mergeOff(now);
    else await this.#mergeRunning(now);
    const after = await this.#look();
    if (after === null) return true;
    if (now !== null && after.run !== now.run) return false;
    const defined = await this.#look({ inactive: true });
    return [after, defined].every((found) => found === null || this.#isOnItsDisks(found));
  }

  async #look(options?: { readonly inactive: boolean }): Promise<DomainDisks | null> {
    const document = await this.#deps.virsh.dumpXml(this.#entry.domain, options);
    return document === null ? null : readDomainDisks(document);
  }

  #isOnItsDisks(found: DomainDisks): boolean {
    return this.#entry.disks.every((disk) => {
      const device = deviceOf(found, disk);
      return !isOverlaid(device, disk) && (device?.mirror ?? null) === null;
    });
  }

  async #mark(disk: JournalDisk): Promise<void> {
    const disks = this.#entry.disks.map((each) =>
      each.target === disk.target ? { ...each, isMerged: true } : each,
    );
    this.#entry = { ...this.#entry, disks };
    await this.#deps.journal.save(this.#entry);
  }

  /** By libvirt, under the guest. */
  async #mergeRunning(now: DomainDisks): Promise<void> {
    const { virsh } = this.#deps;
    const { domain, run, disks } = this.#entry;
    for (const disk of disks) {
      const device = deviceOf(now, disk);
      if (device === undefined || !isOverlaid(device, disk)) continue;
      await giveNameBack(disk);
      if (device.mirror !== null && device.mirror !== disk.file) throw changedMeanwhile(disk);
      // A commit that nobody waits for any more never ends by itself.
      if (device.mirror !== null) await virsh.abortCopy(domain, disk.target);
      await virsh.commitTopLayer(domain, disk.target);
      await this.#mark(disk);
    }
    // It waits for what libvirt may still be doing with the domain: a snapshot that was asked for is there
    // now.
    await this.#restoreDefinition();
    const after = await this.#look();
    if (after?.run !== run) return;
    for (const disk of this.#entry.disks) {
      const device = deviceOf(after, disk);
      if (disk.isMerged || device?.file !== disk.file || device.mirror !== null) continue;
      await this.#requireClosed(disk);
      await this.#mark(disk);
    }
  }

  /** Without libvirt, which can't: the domain is off, or gone (null). */
  async #mergeOff(now: DomainDisks | null): Promise<void> {
    const { virsh } = this.#deps;
    if (now !== null && (await virsh.saved()).includes(this.#entry.domain)) {
      const message =
        'The VM is off with its memory kept, and needs its overlays to go on: start it, or drop its memory ' +
        '(virsh managedsave-remove).';
      throw new VmdnError('unavailable', message, { data: { vm: this.#entry.vm } });
    }
    for (const [i, disk] of this.#entry.disks.entries()) {
      if (!disk.isMerged && (await this.#mustCommit(now, disk, i))) await this.#commit(disk);
    }
    if (now !== null) await this.#restoreDefinition();
  }

  /** Marks what is merged already. Throws `conflict` (I2). */
  async #mustCommit(now: DomainDisks | null, disk: JournalDisk, index: number): Promise<boolean> {
    const device = now === null ? undefined : deviceOf(now, disk);
    const path = await presentName(disk);
    if (isOverlaid(device, disk)) {
      if (path !== null) return true;
      const message = `The VM needs ${disk.overlay}, which is gone; restore it.`;
      throw new VmdnError('conflict', message, { data: { vm: this.#entry.vm } });
    }
    if (now !== null && device?.file !== disk.file) throw changedMeanwhile(disk);
    if (path === null) return false;
    const { path: base } = disk.layers[0]!;
    if (this.#entry.looks?.[index] === (await lookOf(base))) return true;
    await inspectLayers([{ path, format: 'qcow2' }, ...disk.layers]);
    const same = await this.#deps.qemuImg.compare({ path, format: 'qcow2' }, disk.layers[0]!);
    if (!same) throw notProved(disk, path);
    await this.#mark(disk);
    return false;
  }

  /** I3. */
  async #commit(disk: JournalDisk): Promise<void> {
    const [own, merging] = overlayNames(disk);
    if ((await presentName(disk)) === own) await rename(own, merging);
    try {
      const now = await this.#look();
      if (now !== null && now.run !== null) throw startedMeanwhile();
      await inspectLayers([{ path: merging, format: 'qcow2' }, ...disk.layers]);
      await this.#deps.qemuImg.commit({ path: merging });
      await syncFile(disk.layers[0]!.path);
      await this.#mark(disk);
    } catch (error) {
      await giveNameBack(disk);
      throw error;
    }
  }

  /** The domain's next start is of its own disks. Waits for what libvirt is doing with the domain. */
  async #restoreDefinition(): Promise<void> {
    const { virsh } = this.#deps;
    const defined = await this.#look({ inactive: true });
    if (defined === null) return;
    for (const disk of this.#entry.disks) {
      const device = deviceOf(defined, disk);
      if (device === undefined) continue;
      const document = isOverlaid(device, disk) ? disk.document : device.document;
      await virsh.redefineDisk(this.#entry.domain, document);
    }
  }

  /** I1. */
  async #remove(disk: JournalDisk): Promise<void> {
    for (let path = await presentName(disk); path !== null; path = await presentName(disk)) {
      if (!disk.isMerged) throw notProved(disk, path);
      await this.#requireClosed(disk);
      await rm(path);
      await fsyncDir(dirname(path));
    }
  }

  /** Throws when a process has the overlay open for writing: QEMU holds its locks as long as it does. */
  async #requireClosed(disk: JournalDisk): Promise<void> {
    const path = await presentName(disk);
    if (path !== null) await this.#deps.qemuImg.info({ path, format: 'qcow2' });
  }
}

async function syncFile(path: string): Promise<void> {
  await using file = await open(path, 'r+');
  await file.sync();
}

function deviceOf(found: DomainDisks, { target }: JournalDisk): DomainDisk | undefined {
  return found.disks.find((device) => device.target === target);
}

function isOverlaid(device: DomainDisk | undefined, disk: JournalDisk): boolean {
  return device !== undefined && overlayNames(disk).includes(device.file);
}

/** The name under which the overlay is there; null: it is not. */
async function presentName(disk: JournalDisk): Promise<string | null> {
  for (const path of overlayNames(disk)) {
    const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
    if (found !== null) return path;
  }
  return null;
}

async function giveNameBack(disk: JournalDisk): Promise<void> {
  const [own, merging] = overlayNames(disk);
  if ((await presentName(disk)) === merging) await rename(merging, own);
}

function startedMeanwhile(): VmdnError {
  return new VmdnError(
    'unavailable',
    'The VM was started while its overlays were merged; try again.',
  );
}

function changedMeanwhile({ target, file, overlay }: JournalDisk): VmdnError {
  const message =
    `Somebody changed the VM's disk ${target} while the guest wrote into ${overlay}. Bring it back to ` +
    `that file or, once its content is in ${file}, to that one; it goes on by itself.`;
  return new VmdnError('conflict', message, { data: { target, file, overlay } });
}

function notProved({ target, file }: JournalDisk, path: string): VmdnError {
  const message =
    `${path} may hold what the guest wrote last to its disk ${target}, and ${file} was written to since. ` +
    'Nothing is changed. Merge or keep what you need of it, and remove it; it goes on by itself.';
  return new VmdnError('conflict', message, { data: { target, file, overlay: path } });
}
