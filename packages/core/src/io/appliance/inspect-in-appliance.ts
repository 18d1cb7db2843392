/**
 * Room: io, appliance. Inspects a guest of any kind in the appliance: whatever file systems and volume
 * managers its kernel knows, and RPM databases.
 *
 * I1: the guest is mounted for reading on a throw-away overlay of a read-only export; nothing of it is
 *     executed.
 * I2: what comes back is parsed as if the guest had written it.
 */

import { isVmdnError, VmdnError } from '../../domain/errors.ts';
import { entriesOf, parseFileIndex } from '../../formats/file-index.ts';
import { parseRpmList } from '../../formats/rpm-list.ts';
import { findBootFirmware } from '../inspect/boot-firmware.ts';
import { type GuestFiles, INSPECTED_PATHS } from '../inspect/guest-files.ts';
import { readGuest } from '../inspect/read-guest.ts';
import type { DiskInspector } from '../ports/guest-inspector.ts';
import { type Appliance, type ApplianceResult, JOB_FOLDER } from './appliance.ts';

/** The kernel, libguestfs' daemon and a copy of an RPM database in its page cache. */
const MEMORY_MIB = 1024;
/** Two starts of which one stands still (pulse.ts); a start takes up to a minute, and reading seconds. */
const TIMEOUT_MS = 15 * 60_000;
/** A dpkg status of 64 MB and small files. */
const RESULT_BYTES_MAX = 128 * 2 ** 20;
const REMARKS_MAX = 40;
const REMARK_CHARACTERS_MAX = 300;

/** An inspector that throws what Appliance.run throws. */
export function createApplianceInspector(appliance: Appliance): DiskInspector {
  return async (socketPaths, signal) => {
    const wanted = INSPECTED_PATHS.map(
      ({ depth, name, path }) => `${depth}\t${name ?? '*'}\t${path}\n`,
    );
    const result = await appliance.run({
      disks: socketPaths.map((socketPath, i) => ({
        label: diskLabel(i),
        at: { socketPath },
        format: 'raw',
        access: 'read',
      })),
      scripts: ['inspect.sh', 'mount-guest.sh'],
      args: [`${JOB_FOLDER}/wanted`, ...socketPaths.map((_, i) => diskLabel(i))],
      files: new Map([['wanted', Buffer.from(wanted.join(''))]]),
      ...{ memoryMiB: MEMORY_MIB, timeoutMs: TIMEOUT_MS, resultBytesMax: RESULT_BYTES_MAX, signal },
    });
    const remarks = remarksOf(result);
    const packages = parseRpmList(textOf(result.files.get('rpm')));
    const { hasRpmDatabase: _, ...guest } = await readGuest(filesOf(result), remarks, packages);
    const boots = await orNone(() => findBootFirmware(socketPaths, signal));
    return { ...guest, boots, remarks };
  };
}

/** The n-th disk of a guest in the appliance: `diska` for the first. */
export function diskLabel(index: number): string {
  return `disk${String.fromCharCode(97 + index)}`;
}

async function orNone<Value>(find: () => Promise<Value[]>): Promise<Value[]> {
  try {
    return await find();
  } catch (error) {
    if (isVmdnError(error, 'cancelled')) throw error;
    return [];
  }
}

function textOf(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString('utf8');
}

function remarksOf({ files, exitCode, log }: ApplianceResult): string[] {
  const lines = textOf(files.get('remarks')).split('\n').slice(0, REMARKS_MAX);
  if (exitCode !== 0) lines.push(`the inspection ended with ${exitCode}: ${log.slice(-200)}`);
  const plain = lines.map((line) =>
    line.replace(/[\p{Cc}\u2028\u2029]/gu, ' ').slice(0, REMARK_CHARACTERS_MAX),
  );
  return plain.filter((line) => line.trim() !== '');
}

/** The collected files as a tree. */
function filesOf({ files }: ApplianceResult): GuestFiles {
  const inodes = parseFileIndex(textOf(files.get('index')));
  return {
    stat: async (path) => inodes.get(path) ?? null,
    list: async (path) => entriesOf(inodes, path),
    async read(path, bytesMax) {
      const bytes = files.get(`root${path}`);
      if (bytes === undefined) {
        throw new VmdnError('not_found', `The guest has no regular file ${path} of a usual size.`);
      }
      if (bytes.length > bytesMax) {
        throw new VmdnError('too_large', `The guest's ${path} is larger than ${bytesMax} bytes.`);
      }
      return textOf(bytes);
    },
  };
}
