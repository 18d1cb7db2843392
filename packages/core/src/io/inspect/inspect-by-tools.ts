/**
 * Room: io, inspect. What a powered-off guest is, read with e2fsprogs through a locked export, nothing
 * mounted, nothing of the guest executed. Quick, and for guests whose system lies on ext2, ext3 or ext4
 * without a volume manager.
 *
 * I1: an unknown, damaged or hostile guest is described as far as it can be; it never makes the inspection
 *     fail. What was not found, and why, stands in `remarks`.
 * I2: bounded: volumes, files, sizes and time; the first volume with an os-release file is the root.
 * I3: the source is read through the export only; temporary files are gone when the promise settles.
 * I4: `unread` is empty only where everything that an inspection looks at was within reach.
 */

import type { GuestMount } from '../../domain/description.ts';
import { describeError, isVmdnError, VmdnError } from '../../domain/errors.ts';
import type { CommandRunner } from '../command/command-runner.ts';
import { createDebugfs } from '../command/debugfs.ts';
import { ensurePrivateDir } from '../files/files.ts';
import type { GuestInspection } from '../ports/guest-inspector.ts';
import { findBootFirmware } from './boot-firmware.ts';
import {
  type GuestFiles,
  isInspected,
  type MountedFiles,
  mountedFiles,
  pathsBelow,
} from './guest-files.ts';
import { isRoot, readGuest, readMounts } from './read-guest.ts';
import { type ExtPlace, type Survey, surveyDisks } from './survey.ts';
import { openVolumeFile } from './volume-file.ts';

export interface InspectByToolsOptions {
  /** Sockets of the locked exports of the VM's disks, in its order. */
  readonly socketPaths: readonly string[];
  /** A private folder for temporary files. */
  readonly workDir: string;
  readonly runner: CommandRunner;
  readonly signal?: AbortSignal | undefined;
  /** Whether to try FUSE; default true. */
  readonly fuse?: boolean;
}

/** What was found, and what of the guest is out of reach of these tools, in words. */
export interface InspectionByTools extends GuestInspection {
  readonly unread: readonly string[];
}

const ROOT = { path: '/', depth: 0 };
/** Volumes below the root that are opened as well. */
const MOUNTS_MAX = 16;
/** What may hold a system that these tools can't read. An encrypted one nobody can. */
const READABLE_ELSEWHERE = ['XFS', 'Btrfs', 'LVM', 'MD RAID'];

/** Inspects a guest. Throws only `cancelled`. */
export async function inspectByTools(options: InspectByToolsOptions): Promise<InspectionByTools> {
  const remarks: string[] = [];
  const { socketPaths, signal } = options;
  const survey = await surveyDisks(socketPaths, remarks, signal);
  const boots = await tried(remarks, [], () => findBootFirmware(socketPaths, signal));
  await ensurePrivateDir(options.workDir);
  await using opened = new AsyncDisposableStack();
  const failed = new Set<ExtPlace>();
  const tree = await openTree(options, survey, { remarks, failed }, opened);
  if (tree === null) {
    const others = READABLE_ELSEWHERE.filter((name) => survey.others.has(name));
    remarks.push('no operating system was found on an ext2, ext3 or ext4 volume');
    if (survey.others.has('LUKS')) remarks.push('a volume is encrypted (LUKS)');
    const nothing = { os: null, packages: [], services: [], databases: [], mounts: [] };
    // Whoever mounts a file system replays its journal first, and may read what debugfs could not.
    const places = failed.size > 0 ? [...others, 'a damaged ext volume'] : others;
    const unread = places.length > 0 ? [`the system may lie on ${places.join(' or ')}`] : [];
    return { ...nothing, boots, remarks, unread };
  }
  const { hasRpmDatabase, ...guest } = await readGuest(tree.files, remarks);
  const rpm = hasRpmDatabase && guest.packages.length === 0;
  const unread = [...tree.unread, ...(rpm ? ['its packages are in an RPM database'] : [])];
  return { ...guest, boots, remarks, unread };
}

interface Tree {
  readonly files: GuestFiles;
  readonly unread: readonly string[];
}

/** The guest's files with the volumes that it mounts; null when no volume is a root. */
async function openTree(
  options: InspectByToolsOptions,
  survey: Survey,
  notes: { readonly remarks: string[]; readonly failed: Set<ExtPlace> },
  opened: AsyncDisposableStack,
): Promise<Tree | null> {
  for (const place of survey.ext) {
    notes.failed.add(place);
    const tree = await tried(notes.remarks, null, async () => {
      await using own = new AsyncDisposableStack();
      const root = await openPlace(options, place, '/', own);
      // debugfs says nothing of a file system that it could not open.
      if ((await root.stat('/'))?.type !== 'directory') {
        throw new VmdnError('corrupt', 'its root folder cannot be read');
      }
      const isSystem = await isRoot(root);
      notes.failed.delete(place);
      if (!isSystem) return null;
      const found = await mountOthers(options, root, survey, own);
      opened.use(own.move());
      return found;
    });
    if (tree !== null) return tree;
  }
  return null;
}

async function mountOthers(
  options: InspectByToolsOptions,
  root: GuestFiles,
  survey: Survey,
  opened: AsyncDisposableStack,
): Promise<Tree> {
  const lines = (await readMounts(root)).filter(
    ({ target }) => target !== '/' && target.startsWith('/') && isInspected(target),
  );
  const mounts: MountedFiles[] = [];
  const unread: string[] = [];
  for (const line of lines) {
    const place = mounts.length < MOUNTS_MAX ? findPlace(line, survey) : undefined;
    if (place === undefined) unread.push(`${line.target} lies on ${line.source} (${line.type})`);
    else
      mounts.push({
        target: line.target,
        files: await openPlace(options, place, line.target, opened),
      });
  }
  return { files: mountedFiles(root, mounts), unread };
}

/** The volume that a line of fstab means, where it names one by what its superblock says. */
function findPlace({ source }: GuestMount, { ext }: Survey): ExtPlace | undefined {
  const name = source.replaceAll('"', '');
  const found = ext.filter(
    ({ superblock: { uuid, label } }) =>
      name.toLowerCase() === `uuid=${uuid}` || (label !== '' && name === `LABEL=${label}`),
  );
  return found.length === 1 ? found[0] : undefined;
}

/** A volume that is mounted at `target`, with all that an inspection asks of it looked up. */
async function openPlace(
  options: InspectByToolsOptions,
  { socketPath, volume }: ExtPlace,
  target: string,
  opened: AsyncDisposableStack,
): Promise<GuestFiles> {
  const file = await openVolumeFile({ ...options, socketPath, volume });
  opened.defer(() => file.close());
  const offsetBytes = file.offsetOf(volume);
  const files = createDebugfs(options.runner, { ...file, offsetBytes }, options.signal);
  await files.lookUp([ROOT, ...pathsBelow(target)]);
  return files;
}

async function tried<Value>(
  remarks: string[],
  otherwise: Value,
  find: () => Promise<Value>,
): Promise<Value> {
  try {
    return await find();
  } catch (error) {
    if (isVmdnError(error, 'cancelled')) throw error;
    remarks.push(`a volume was not inspected: ${describeError(error)}`);
    return otherwise;
  }
}
