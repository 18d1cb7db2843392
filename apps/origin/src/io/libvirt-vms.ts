/**
 * Room: origin, io. VMs that libvirt has: its persistent domains, as their XML says they would start.
 *
 * I1: every file that a domain names lies within one of the storage roots, symbolic links followed; every
 *     layer is named by libvirt, and its header agrees before it is read (disk-export).
 * I2: a domain that is wrong is reported by its id, and the others go on. What an edge runs is none.
 * I3: one that runs is found all the same, so that it is known what becomes of it: its disks cannot be
 *     locked, as those of any VM that runs (source-locks.ts).
 * I4: a disk that has an overlay of this origin's own is the disk below it (running-disks.ts).
 */

import { realpath } from 'node:fs/promises';
import { dirname } from 'node:path';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { DiskSource, VmSpecification } from '@vmdn/core/domain/vm-specification.ts';
import { isEdgeDomain, readSourceDomain } from '@vmdn/core/formats/libvirt-source.ts';
import type { Virsh } from '@vmdn/core/io/command/virsh.ts';
import { fileError } from '@vmdn/core/io/files/files.ts';
import type { FencedAs } from '../fence-ports.ts';
import { VMS_MAX } from '../limits.ts';
import type { Discovery, VmDiscovery } from '../ports.ts';
import { requireInside } from './inside.ts';
import { watchFolders } from './watch-folders.ts';

const WATCHED_MAX = 64;

export interface LibvirtVms extends VmDiscovery {
  /** The domain that a VM is, by the last look. */
  domainOf(vm: Name): Id | undefined;
}

interface LibvirtVmsConfig {
  readonly virsh: Pick<Virsh, 'persistent' | 'dumpXml'>;
  readonly uri: string;
  readonly roots: readonly string[];
  /** The layers below an overlay of ours; undefined: the file is none. */
  readonly below?: (file: string) => DiskSource['layers'] | undefined;
  /** Knows the domains that were moved away. */
  readonly fencedAs: FencedAs;
}

/** The domains of one libvirt whose disks lie in `roots`, absolute paths. */
export function createLibvirtVms(config: LibvirtVmsConfig): LibvirtVms {
  let folders: readonly string[] = [];
  let domains: ReadonlyMap<string, Id> = new Map();
  return {
    domainOf: (vm) => domains.get(vm),
    async find() {
      const found = await findDomains(config);
      domains = found.domains;
      const layers = found.vms.flatMap((vm) => vm.disks).flatMap((disk) => disk.layers);
      folders = [...new Set(layers.map(({ path }) => dirname(path)))];
      return found;
    },
    watch: (onSign) => watchFolders(() => folders.slice(0, WATCHED_MAX), onSign),
  };
}

async function findDomains(
  config: LibvirtVmsConfig,
): Promise<Discovery & { readonly domains: ReadonlyMap<string, Id> }> {
  const { virsh, uri, roots } = config;
  const vms = new Map<string, VmSpecification>();
  const ids = new Map<string, Id>();
  const problems: { where: string; error: unknown }[] = [];
  try {
    const real = await Promise.all(roots.map(realRoot));
    const domains = await virsh.persistent();
    if (domains.length > VMS_MAX) {
      throw new VmdnError('too_large', `${uri} has more than ${VMS_MAX} domains.`);
    }
    for (const domain of domains) {
      try {
        const vm = await readDomain(config, domain, real);
        if (vm === null) continue;
        vms.set(vm.name, vm);
        ids.set(vm.name, domain);
      } catch (error) {
        problems.push({ where: domain, error });
      }
    }
  } catch (error) {
    problems.push({ where: uri, error });
  }
  return { vms: [...vms.values()], problems, domains: ids };
}

async function realRoot(root: string): Promise<string> {
  try {
    return await realpath(root);
  } catch (error) {
    throw fileError(error, root);
  }
}

/** The VM that a domain is; null: it is gone, or an edge's. */
async function readDomain(
  { virsh, below, fencedAs }: LibvirtVmsConfig,
  domain: Id,
  roots: readonly string[],
): Promise<VmSpecification | null> {
  const document = await virsh.dumpXml(domain, { inactive: true });
  if (document === null || isEdgeDomain(document)) return null;
  const specification = readSourceDomain(document);
  const fenced = fencedAs(specification.name);
  if (fenced !== undefined) return fenced;
  const disks = [];
  for (const disk of specification.disks) {
    const layers = [];
    for (const layer of below?.(disk.layers[0]!.path) ?? disk.layers) {
      layers.push({ ...layer, path: await requireInside(roots, layer.path) });
    }
    disks.push({ layers });
  }
  return { ...specification, disks };
}
