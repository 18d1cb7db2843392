/**
 * Room: io, hypervisor. What becomes of a definition that is given to a driver.
 *
 * I1: the same definition changes nothing; one that names the same disks in other files takes the place of
 *     the old one; any other is `conflict`.
 */

import { isDeepStrictEqual } from 'node:util';
import { VmdnError } from '../../domain/errors.ts';
import type { VmDefinition } from '../ports/hypervisor.ts';
import { readDefinition, type VmPaths, writeDefinition } from './vm-files.ts';

/**
 * Stores a definition; `create` makes the VM when there is none yet. Throws `conflict`, what `create` throws.
 */
export async function takeDefinition(
  paths: VmPaths,
  definition: VmDefinition,
  create: () => Promise<void>,
): Promise<void> {
  const known = await readDefinition(paths);
  if (known === null) return await create();
  const asStored: unknown = JSON.parse(JSON.stringify(definition));
  if (isDeepStrictEqual(known, asStored)) return;
  // The same disks in other files: the store made them again, or on another base.
  if (isDeepStrictEqual(withoutFiles(known), withoutFiles(definition))) {
    return await writeDefinition(paths, definition);
  }
  throw new VmdnError('conflict', `The VM ${definition.vm} exists with another definition.`);
}

function withoutFiles(definition: VmDefinition): unknown {
  const disks = definition.disks.map(({ filling: _, ...disk }) => ({ ...disk, layers: [] }));
  return JSON.parse(JSON.stringify({ ...definition, disks }));
}
