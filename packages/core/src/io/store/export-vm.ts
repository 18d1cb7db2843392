/**
 * Room: io, store. Exports a delivered VM: image → locked export → file of another format → proof →
 * definition.
 *
 * I1: everything is made in a folder with a temporary name, is durable, and then gets its name by one rename.
 * I2: a disk counts when its digest, computed from the new file, is the image's, and qemu-img finds no fault.
 * I3: nothing but the finished folder is left, whatever happens; what a crash left goes with the next try.
 */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { lstat, mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { VmdnError } from '../../domain/errors.ts';
import { type ExportedDisk, type ExportedVm, exportedDiskFile } from '../../domain/vm-export.ts';
import { libvirtDomain } from '../../formats/libvirt-domain.ts';
import { ovfEnvelope, ovfManifest } from '../../formats/ovf.ts';
import type { CommandRunner } from '../command/command-runner.ts';
import { createQemuImg, type QemuImg } from '../command/qemu-img.ts';
import { type DiskExport, openDiskExport } from '../disk-export/disk-export.ts';
import { durableWrite } from '../files/durable-write.ts';
import {
  ensurePrivateDir,
  fileError,
  fsyncDir,
  readBoundedFile,
  TEMP_SUFFIX,
} from '../files/files.ts';
import { describeDisk } from '../hashing/describe-disk.ts';
import type { HashPool } from '../hashing/hash-pool.ts';
import type { ExportVm, VmExportOrder } from '../ports/export-vm.ts';
import type { ImageStore, StoredImage } from '../ports/image-store.ts';

/** Says which order made a folder, and what each disk is. */
const RECORD_FILE = 'export.json';
const RECORD_BYTES_MAX = 64 * 1024;
/** Tables and padding of a qcow2 or VMDK: 0.2 % and some; a few MiB for the smallest. */
const OVERHEAD_SHARE = 0.01;
const OVERHEAD_BYTES = 4 * 2 ** 20;

interface Deps {
  readonly store: Pick<ImageStore, 'intact' | 'find' | 'reserve' | 'release'>;
  readonly runner: CommandRunner;
  /** Where folders go: on the store's file system, made 0700. */
  readonly dir: string;
  /** Where export sockets go; private, short. */
  readonly socketDir: string;
  /** Hashing threads; whoever made it closes it. */
  readonly pool: HashPool;
}

export function createExportVm(deps: Deps): ExportVm {
  const qemuImg = createQemuImg(deps.runner);
  return async (order) => {
    const folder = join(deps.dir, order.name);
    await ensurePrivateDir(deps.dir);
    if (await isMadeBy(folder, order)) return { folder };
    const temp = join(deps.dir, `.${order.id}${TEMP_SUFFIX}`);
    await rm(temp, { recursive: true, force: true });
    try {
      await mkdir(temp, { mode: 0o700 });
      await makeFiles(deps, qemuImg, order, temp);
      await fsyncDir(temp);
      await giveName(temp, folder, order);
      await fsyncDir(deps.dir);
    } catch (error) {
      await rm(temp, { recursive: true, force: true });
      throw fileError(error, temp);
    } finally {
      deps.store.release(keyOf(order));
    }
    return { folder };
  };
}

const keyOf = (order: VmExportOrder): string => `export-${order.id}`;

/** Whether this order made the folder. Throws `conflict` when something else did. */
async function isMadeBy(folder: string, order: VmExportOrder): Promise<boolean> {
  if ((await lstat(folder).catch(() => null)) === null) return false;
  try {
    const bytes = await readBoundedFile(join(folder, RECORD_FILE), RECORD_BYTES_MAX);
    const record: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if ((record as { export?: unknown } | null)?.export === order.id) return true;
  } catch {
    // Not a folder of ours, or not a whole one: in no case this order's.
  }
  throw new VmdnError('conflict', `There is an export ${order.name} already; give another name.`, {
    data: { folder },
  });
}

/** A folder that somebody made meanwhile is not replaced: rename(2) takes an empty one away at most. */
async function giveName(temp: string, folder: string, order: VmExportOrder): Promise<void> {
  await isMadeBy(folder, order);
  await rename(temp, folder);
}

async function makeFiles(
  deps: Deps,
  qemuImg: QemuImg,
  order: VmExportOrder,
  temp: string,
): Promise<void> {
  const { name, format, hardware } = order;
  const images: StoredImage[] = [];
  for (const digest of order.digests) images.push(await deps.store.intact(digest));
  const paths = images.map((_, index) => join(temp, exportedDiskFile(name, index, format)));
  const content = images.reduce((sum, image) => sum + image.nonZeroBytes, 0);
  const bytes = Math.ceil(content * (1 + OVERHEAD_SHARE)) + OVERHEAD_BYTES * images.length;
  await deps.store.reserve({ key: keyOf(order), bytes, paths });
  const disks: ExportedDisk[] = [];
  for (const [index, image] of images.entries()) {
    const path = paths[index]!;
    const which = `disk ${index + 1} of ${images.length}`;
    order.onProgress(`${which}: copying`);
    await copyDisk(deps, qemuImg, order, image, path);
    await proveDisk(deps, qemuImg, order, image, path, which);
    await using file = await open(path, 'r+');
    await file.sync();
    const { digest, virtualSizeBytes } = image;
    const fileBytes = (await file.stat()).size;
    disks.push({
      file: exportedDiskFile(name, index, format),
      digest,
      virtualSizeBytes,
      fileBytes,
    });
  }
  const vm = { name, hardware, format, disks };
  await writeDefinition(order, vm, temp, join(deps.dir, name));
  const record = { export: order.id, hypervisor: order.hypervisor, ...vm };
  await durableWrite(join(temp, RECORD_FILE), Buffer.from(`${JSON.stringify(record, null, 2)}\n`));
}

/** The image's guest-visible bytes in a file of the wished format. */
async function copyDisk(
  deps: Deps,
  qemuImg: QemuImg,
  { format, hypervisor, signal }: VmExportOrder,
  image: StoredImage,
  path: string,
): Promise<void> {
  const base = image.base === null ? undefined : deps.store.find(image.base);
  if (image.base !== null && base === undefined) {
    throw new VmdnError('not_found', 'The image that this one shares storage with is gone.');
  }
  const below = base === undefined ? [] : [{ path: base.path, format: base.format }];
  const layers = [{ path: image.path, format: image.format }, ...below];
  await withExport(deps, layers, signal, async ({ socketPath }) => {
    const isStream = hypervisor === 'vmware';
    const to = { path, format };
    await qemuImg.convert({ from: { socketPath }, to, isStream, signal });
  });
}

/** I2. Throws `corrupt`. */
async function proveDisk(
  deps: Deps,
  qemuImg: QemuImg,
  { format, signal, onProgress }: VmExportOrder,
  image: StoredImage,
  path: string,
  which: string,
): Promise<void> {
  const { pool } = deps;
  const isClean = format === 'raw' || (await qemuImg.check({ path, format })) === 'clean';
  const found = await withExport(deps, [{ path, format }], signal, async (source) => {
    const { socketPath, virtualSizeBytes } = source;
    return await describeDisk({
      ...{ socketPath, virtualSizeBytes, signal, pool },
      onProgress: (doneBytes) =>
        onProgress(`${which}: ${Math.floor((100 * doneBytes) / virtualSizeBytes)} % verified`),
    });
  });
  if (isClean && found.digest === image.digest) return;
  throw new VmdnError('corrupt', `The exported ${which} is not the disk that was delivered.`, {
    data: { wanted: image.digest, found: found.digest, isClean },
  });
}

async function withExport<Result>(
  { runner, socketDir }: Deps,
  layers: Parameters<typeof openDiskExport>[0]['layers'],
  signal: AbortSignal,
  work: (source: DiskExport) => Promise<Result>,
): Promise<Result> {
  const source = await openDiskExport({ layers, socketDir, runner, signal });
  try {
    return await work(source);
  } finally {
    await source.close();
  }
}

/** The definition names the files where they will lie. */
async function writeDefinition(
  { hypervisor, name }: VmExportOrder,
  vm: ExportedVm,
  temp: string,
  folder: string,
): Promise<void> {
  if (hypervisor !== 'vmware') {
    const text = libvirtDomain(vm, hypervisor, folder);
    await durableWrite(join(temp, `${name}.xml`), Buffer.from(text));
    return;
  }
  const envelope = `${name}.ovf`;
  const { sha256 } = await durableWrite(join(temp, envelope), Buffer.from(ovfEnvelope(vm)));
  const files = [{ file: envelope, sha256 }];
  for (const { file } of vm.disks) {
    files.push({ file, sha256: await sha256OfFile(join(temp, file)) });
  }
  await durableWrite(join(temp, `${name}.mf`), Buffer.from(ovfManifest(files)));
}

async function sha256OfFile(path: string): Promise<string> {
  const digest = createHash('sha256');
  for await (const chunk of createReadStream(path)) digest.update(chunk as Uint8Array);
  return digest.digest('hex');
}
