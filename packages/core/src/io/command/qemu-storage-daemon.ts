/**
 * Room: io, command. qemu-storage-daemon: argument building and start. io/disk-export decides when and on
 * what.
 *
 * I1: the block graph is explicit, node by node: driver, file, backing named or null; nothing is probed and
 *     no file is opened because a header names it. (qemu-nbd cannot do that: given a backing file below a
 *     `blkdebug` node it insists on the name in the header. The server code is the same, and as fast.)
 * I2: below each format driver stands a `blkdebug` node that does not share the permissions to write and
 *     resize. A plain read-only export shares them for raw disks: a VM starts on the disk while it is read
 *     (measured with QEMU 7.2). So QEMU's own file locks keep writers out, for every format.
 * I3: every node is read-only, and the file node insists on working locks.
 */

import type { DiskLayer } from '../../domain/disk-format.ts';
import type { CommandRunner, RunningCommand } from './command-runner.ts';

/** A blockdev node as QEMU takes it in JSON. */
type BlockNode = Readonly<Record<string, string | boolean | null | readonly string[]>>;

/** Formats whose driver knows the option `backing`, which then must not be left to the header. */
const HAS_BACKING = new Set(['qcow2', 'vmdk']);

const formatNode = (index: number): string => `format${index}`;

/**
 * glibc's allocator, mallopt(3): each read has a buffer of its own, up to 1 MiB, which by default is mapped,
 * touched page by page and unmapped again, for longer than the reading takes (measured: 6.4 ms of processor
 * time for a megabyte, and 0.6 with buffers that are kept). So much at most stays with an export.
 */
const ALLOCATOR = {
  MALLOC_MMAP_THRESHOLD_: String(8 * 2 ** 20),
  MALLOC_TRIM_THRESHOLD_: String(32 * 2 ** 20),
};

/** The nodes of `layers` (top first), in the order in which they must be made: base first. */
export function blockNodes(layers: readonly DiskLayer[]): BlockNode[] {
  const nodes: BlockNode[] = [];
  for (let i = layers.length - 1; i >= 0; i -= 1) {
    const { path, format } = layers[i]!;
    const common = { 'read-only': true };
    const file = { driver: 'file', 'node-name': `file${i}`, filename: path, locking: 'on' };
    const perms = { 'unshare-child-perms': ['write', 'resize'] };
    const lock = { driver: 'blkdebug', 'node-name': `lock${i}`, image: `file${i}`, ...perms };
    const backing = i + 1 < layers.length ? formatNode(i + 1) : null;
    const top = { driver: format, 'node-name': formatNode(i), file: `lock${i}` };
    nodes.push(
      { ...file, ...common },
      { ...lock, ...common },
      { ...top, ...common, ...(HAS_BACKING.has(format) ? { backing } : {}) },
    );
  }
  return nodes;
}

/** The arguments of a read-only export of `layers` on a unix socket, under the empty export name. */
export function exportArguments(
  layers: readonly DiskLayer[],
  socketPath: string,
  connectionsMax: number,
): string[] {
  const address = { type: 'unix', path: socketPath };
  const server = { addr: address, 'max-connections': connectionsMax };
  const node = { 'node-name': formatNode(0), writable: false, 'allocation-depth': true };
  const given = { type: 'nbd', id: 'disk', name: '', ...node };
  return [
    ...blockNodes(layers).flatMap((node) => ['--blockdev', JSON.stringify(node)]),
    ...['--nbd-server', JSON.stringify(server)],
    ...['--export', JSON.stringify(given)],
  ];
}

/** Starts an export; it ends with this process. The socket answers when it is ready. */
export function startStorageDaemon(
  runner: CommandRunner,
  layers: readonly DiskLayer[],
  socketPath: string,
  connectionsMax: number,
): RunningCommand {
  const args = exportArguments(layers, socketPath, connectionsMax);
  return runner.start('qemu-storage-daemon', args, { lifetime: 'with-parent', env: ALLOCATOR });
}
