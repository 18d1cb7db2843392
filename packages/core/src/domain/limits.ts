/**
 * Room: domain. Every maximum of the core, with its reason. Relations between them are asserted below.
 *
 * I1: nothing that comes from outside is believed beyond these limits; over a limit is an error
 *     (`too_large`, `corrupt`), never a truncation.
 */

import { BLOCK_BYTES, SEGMENT_BYTES } from './units.ts';

/**
 * The largest virtual size of a disk: 8 TiB. Block numbers then stay below 2^31, so they fit in the
 * u32 fields of a block stream and in small integers, and byte offsets stay exact in a double.
 */
export const MAX_DISK_BYTES = 8 * 2 ** 40;

/** A recipe file is read into memory at once. 2 GiB describe 1 TiB of non-zero bytes (about 0.2 %). */
export const MAX_RECIPE_BYTES = 2 * 2 ** 30;

/** Segments in one key page: 64 segments = 4 MiB of disk, at most 8,320 bytes of page. */
export const SEGMENTS_PER_PAGE = 64;

/** Runs in one blocks request: 512 KiB of request body, more than a plan ever needs at once. */
export const MAX_RUNS_PER_REQUEST = 65_536;

/** Blocks in one blocks request: 256 MiB, so that one response stays a bounded piece of work. */
export const MAX_BLOCKS_PER_REQUEST = 65_536;

/** Segments in one range of a recipe's segment column: 2 MiB of hashes, 4 GiB of disk. */
export const MAX_RANGE_SEGMENTS = 65_536;

/** Pages in one range of a recipe's key column: at most 8.5 MB of keys, 4 GiB of disk. */
export const MAX_RANGE_PAGES = 1024;

/** Runs in one request for rows of a recipe: 512 KiB of body; where more rows are missing, runs join. */
export const MAX_ROW_RUNS_PER_REQUEST = 65_536;

/** Layers of one backing chain. libvirt's own advice is to stay below; deeper ones are flattened first. */
export const MAX_BACKING_LAYERS = 16;

/** The NBD specification lets a client expect no more than 32 MiB in one request. */
export const NBD_MAX_REQUEST_BYTES = 32 * 2 ** 20;

/** Bytes of one NBD option reply or structured chunk that is not read data: names, errors, extents. */
export const NBD_MAX_CONTROL_BYTES = 4 * 2 ** 20;

/** Extents taken from one block status reply (8 bytes each); QEMU sends at most 131,072. */
export const NBD_MAX_EXTENTS = 262_144;

/** Requests that one NBD connection keeps in flight; QEMU serves 16 at a time. */
export const NBD_MAX_IN_FLIGHT = 16;

/** Bytes of an image file that its inspector may read in all: headers, descriptors, tables. */
export const MAX_IMAGE_HEADER_BYTES = 4 * 2 ** 20;

/** A unix socket's path (sun_path) has at most 107 bytes and a NUL. */
export const SOCKET_PATH_BYTES_MAX = 107;

/** Output of a tool that is kept in memory; what a tool prints beyond that is an error. */
export const MAX_TOOL_OUTPUT_BYTES = 16 * 2 ** 20;

/** Lines of a failed tool's standard error that go into the error. */
export const TOOL_ERROR_LINES = 8;

/** Worker threads that hash: more only wait for the export, which is one thread. */
export const MAX_HASH_WORKERS = 64;

function assertRelations(): void {
  const relations: readonly boolean[] = [
    MAX_DISK_BYTES / BLOCK_BYTES < 2 ** 32 - 1,
    MAX_DISK_BYTES % SEGMENT_BYTES === 0,
    SEGMENTS_PER_PAGE * SEGMENT_BYTES === 4 * 2 ** 20,
    MAX_RANGE_SEGMENTS * SEGMENT_BYTES === MAX_RANGE_PAGES * SEGMENTS_PER_PAGE * SEGMENT_BYTES,
  ];
  if (relations.includes(false)) throw new Error('limits.ts: two limits contradict each other');
}

assertRelations();
