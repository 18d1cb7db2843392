/**
 * Room: io, store. Imports base images: locked export → recipe → sparse copy → proof → store.
 *
 * I1: symbolic links are resolved before the folders are compared, and what is opened is the resolved
 *     path: a link cannot lead out.
 * I2: nothing is left in staging, whatever happens.
 */

import { realpath } from 'node:fs/promises';
import { isAbsolute, sep } from 'node:path';
import { VmdnError } from '../../domain/errors.ts';
import type { CommandRunner } from '../command/command-runner.ts';
import { openDiskExport } from '../disk-export/disk-export.ts';
import { sameFingerprint, sourceFingerprint } from '../disk-export/source-fingerprint.ts';
import { fileError } from '../files/files.ts';
import { describeDisk } from '../hashing/describe-disk.ts';
import type { HashPool } from '../hashing/hash-pool.ts';
import type { ImageStore } from '../ports/image-store.ts';
import type { ImportImage } from '../ports/import-image.ts';
import { stageExport } from './stage-export.ts';

interface Deps {
  readonly store: ImageStore;
  readonly runner: CommandRunner;
  /** Folders that files may be imported from. */
  readonly importDirs: readonly string[];
  /** Where export sockets go; private, short. */
  readonly socketDir: string;
  /** Hashing threads that stay from one import to the next; whoever made it closes it. */
  readonly pool: HashPool;
}

export function createImportImage(deps: Deps): ImportImage {
  return async (order) => {
    const path = await permittedPath(order.file, deps.importDirs);
    const { runner, socketDir, pool } = deps;
    const { format, signal } = order;
    const layers = [{ path, format }];
    const source = await openDiskExport({ layers, socketDir, runner, signal });
    try {
      const { socketPath, virtualSizeBytes } = source;
      const { digest, keysRoot, recipe } = await describeDisk({
        socketPath,
        virtualSizeBytes,
        signal,
        pool,
      });
      const key = `import-${order.id}` as const;
      if (deps.store.find(digest) === undefined) {
        await stageExport(deps.store, { key, socketPath, recipe, base: null, signal });
      }
      await requireUnchanged(path, source.fingerprints[0]);
      const { name } = order;
      const stagingDir = deps.store.stagingDir(key);
      await deps.store.adopt({
        stagingDir,
        digest,
        keysRoot: keysRoot as never,
        name,
        kind: 'base',
      });
      return { digest };
    } finally {
      await source.close();
      deps.store.release(`import-${order.id}`);
      await deps.store.removeStaging(`import-${order.id}`);
    }
  };
}

/** The real path of a file in one of the folders. Throws `forbidden`, `not_found`, `invalid_input`. */
async function permittedPath(file: string, importDirs: readonly string[]): Promise<string> {
  if (!isAbsolute(file) || file.includes('\0')) {
    throw new VmdnError('invalid_input', 'Give the file to import as an absolute path.');
  }
  const outside = new VmdnError(
    'forbidden',
    'The file lies in none of the folders that this edge imports from; see VMDN_IMPORT_DIRS.',
    { data: { file, importDirs } },
  );
  let path: string;
  try {
    path = await realpath(file);
  } catch (error) {
    // Whether a file exists elsewhere on the machine is nobody's business.
    if (importDirs.some((dir) => file.startsWith(`${dir}${sep}`))) throw fileError(error, file);
    throw outside;
  }
  for (const dir of importDirs) {
    const real = await realpath(dir).catch(() => null);
    if (real !== null && path.startsWith(`${real}${sep}`)) return path;
  }
  throw outside;
}

async function requireUnchanged(
  path: string,
  before: Parameters<typeof sameFingerprint>[0] | undefined,
): Promise<void> {
  if (before !== undefined && sameFingerprint(before, await sourceFingerprint(path))) return;
  throw new VmdnError('source_changed', 'The file changed while it was imported; try again.', {
    data: { path },
  });
}
