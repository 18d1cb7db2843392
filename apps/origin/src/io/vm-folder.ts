/**
 * Room: origin, io. VMs as a folder of specifications (`NAME.vm.json`, docs/formats) and disks.
 *
 * I1: every file that a specification names lies within the folder, symbolic links followed; nothing
 *     outside is ever opened.
 * I2: a specification that is wrong is reported by its file's name, and the others go on.
 */

import { readdir, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { VmSpecification } from '@vmdn/core/domain/vm-specification.ts';
import {
  parseVmSpecification,
  VM_SPECIFICATION_BYTES_MAX,
} from '@vmdn/core/formats/vm-specification.ts';
import { fileError, readBoundedFile } from '@vmdn/core/io/files/files.ts';
import type { FencedAs } from '../fence-ports.ts';
import { VMS_MAX } from '../limits.ts';
import type { Discovery, VmDiscovery } from '../ports.ts';
import { requireInside } from './inside.ts';
import { watchFolders } from './watch-folders.ts';

const SUFFIX = '.vm.json';
/** Folders watched: that of the specifications and those of their disks. */
const WATCHED_MAX = 64;

/**
 * The VMs in `folder`, an absolute path that need not exist yet; `fencedAs` knows those that were moved away.
 */
export function createVmFolder(folder: string, fencedAs: FencedAs): VmDiscovery {
  let folders: readonly string[] = [folder];
  return {
    async find() {
      const found = await findVms(folder, fencedAs);
      const disks = found.vms.flatMap((vm) => vm.disks).flatMap((disk) => disk.layers);
      folders = [...new Set([folder, ...disks.map((layer) => dirname(layer.path))])];
      return found;
    },
    watch: (onSign) => watchFolders(() => folders.slice(0, WATCHED_MAX), onSign),
  };
}

async function findVms(folder: string, fencedAs: FencedAs): Promise<Discovery> {
  const vms = new Map<string, VmSpecification>();
  const problems: { where: string; error: unknown }[] = [];
  try {
    const root = await realpath(folder);
    const names = (await readdir(root)).filter((name) => name.endsWith(SUFFIX)).sort();
    if (names.length > VMS_MAX) {
      throw new VmdnError('too_large', `${folder} holds more than ${VMS_MAX} VM specifications.`);
    }
    for (const name of names) {
      try {
        const vm = await readSpecification(root, join(root, name), fencedAs);
        if (vms.has(vm.name)) {
          const message = `Another specification in this folder names a VM "${vm.name}" already.`;
          throw new VmdnError('conflict', message, { data: { vm: vm.name } });
        }
        vms.set(vm.name, vm);
      } catch (error) {
        problems.push({ where: name, error });
      }
    }
  } catch (error) {
    problems.push({ where: basename(folder), error: fileError(error, folder) });
  }
  return { vms: [...vms.values()], problems };
}

async function readSpecification(
  root: string,
  path: string,
  fencedAs: FencedAs,
): Promise<VmSpecification> {
  const inside = await requireInside([root], path);
  const bytes = await readBoundedFile(inside, VM_SPECIFICATION_BYTES_MAX);
  const specification = parseVmSpecification(new TextDecoder().decode(bytes));
  const fenced = fencedAs(specification.name);
  if (fenced !== undefined) return fenced;
  const disks = [];
  for (const disk of specification.disks) {
    const layers = [];
    for (const layer of disk.layers) {
      layers.push({
        ...layer,
        path: await requireInside([root], resolve(dirname(inside), layer.path)),
      });
    }
    disks.push({ layers });
  }
  return { ...specification, disks };
}
