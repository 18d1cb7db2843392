/**
 * Room: io, hypervisor. The switch of a running domain from a disk's export to its complete files: a new
 * overlay on the files, to which libvirt copies what the guest has written and where it goes on.
 *
 * I1: a switch that was broken off is begun anew, unless libvirt already made it; the guest goes on with its
 *     export until then.
 * I2: of two overlays the old one is removed only when the domain neither runs on it nor starts from it.
 */

import { chmod, chown, rm } from 'node:fs/promises';
import { virtioDisk } from '../../formats/libvirt-domain.ts';
import { copyTarget, type LibvirtDomainState } from '../../formats/libvirt-guest.ts';
import { inspectLayers } from '../disk-export/inspect-layers.ts';
import type { VmDefinition } from '../ports/hypervisor.ts';
import { type LibvirtDriverConfig, libvirtUser } from './libvirt-start.ts';
import type { VmPaths } from './vm-files.ts';

/** Puts what runs on the files of `definition`. Throws `hostile_format`, `tool_failed`, `disk_full`. */
export async function settleLibvirtVm(
  config: LibvirtDriverConfig,
  paths: VmPaths,
  {
    known,
    definition,
    domain,
  }: {
    readonly known: VmDefinition;
    readonly definition: VmDefinition;
    readonly domain: LibvirtDomainState | null;
  },
): Promise<void> {
  for (const [index, { layers }] of definition.disks.entries()) {
    await inspectLayers(layers);
    if (known.disks[index]?.filling === undefined || domain?.isRunning !== true) continue;
    const disk = domain.disks.get(virtioDisk(index));
    if (disk?.file === paths.settledOverlay(index)) continue;
    if (disk?.isCopied) await config.virsh.abortCopy(definition.vm, virtioDisk(index));
    await moveOver(config, paths, definition, index);
  }
}

async function moveOver(
  { virsh, qemuImg, ...config }: LibvirtDriverConfig,
  paths: VmPaths,
  { vm, disks }: VmDefinition,
  index: number,
): Promise<void> {
  const { layers, virtualSizeBytes } = disks[index]!;
  const overlay = paths.settledOverlay(index);
  await rm(overlay, { force: true });
  await qemuImg.createOverlay({ path: overlay, backing: layers[0]!, virtualSizeBytes });
  const user = await libvirtUser(config, vm);
  if (user !== null) await chown(overlay, user.uid, user.gid);
  await chmod(overlay, 0o600);
  await virsh.copyTopLayer(vm, virtioDisk(index), copyTarget(index, { overlay, layers }));
}
