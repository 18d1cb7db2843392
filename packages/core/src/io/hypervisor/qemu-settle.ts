/**
 * Room: io, hypervisor. The switch of a running QEMU from a disk's export to its complete files.
 *
 * I1: the files are those that QEMU was given when it started, told by device and inode: others would
 *     need a right that it has not.
 * I2: every step is looked for before it is taken, so that a switch that was broken off is finished.
 */

import { stat } from 'node:fs/promises';
import type { DiskLayer } from '../../domain/disk-format.ts';
import { VmdnError } from '../../domain/errors.ts';
import type { Id } from '../../domain/names.ts';
import {
  exportNodeName,
  fileNodeName,
  formatNodes,
  imageNodeName,
  overlayNode,
} from '../../formats/qemu-command-line.ts';
import { parseBlockNodes, parseDescriptorSets } from '../../formats/qmp-blocks.ts';
import { fileIdentity } from './qemu-start.ts';
import type { VmMonitors } from './vm-monitors.ts';

/**
 * Puts the overlay of disk `index` on the image in `layers`, whose bytes are those of the export, and closes
 * QEMU's connection to the export. Throws `conflict` when QEMU has other files.
 */
export async function readFromFiles(
  monitors: Pick<VmMonitors, 'execute'>,
  vm: Id,
  index: number,
  layers: readonly DiskLayer[],
): Promise<void> {
  const nodes = parseBlockNodes(await monitors.execute(vm, 'query-named-block-nodes'));
  if (!nodes.has(exportNodeName(index))) return;
  const sets = parseDescriptorSets(await monitors.execute(vm, 'query-fdsets'));
  const image = imageNodeName(index);
  for (const [depth, { path }] of layers.entries()) {
    const set = sets.get(fileIdentity(await stat(path, { bigint: true })));
    if (nodes.get(fileNodeName(image, depth)) === `/dev/fdset/${set}`) continue;
    const message = `The VM runs on another file than ${path}; it uses that from its next start on.`;
    throw new VmdnError('conflict', message, { data: { vm, path } });
  }
  for (const node of formatNodes(layers, image)) {
    const { 'node-name': name } = node as { 'node-name': string };
    if (!nodes.has(name)) await monitors.execute(vm, 'blockdev-add', { ...node });
  }
  await monitors.execute(vm, 'blockdev-reopen', { options: [overlayNode(index, image)] });
  await monitors.execute(vm, 'blockdev-del', { 'node-name': exportNodeName(index) });
}
