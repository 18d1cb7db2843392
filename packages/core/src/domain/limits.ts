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

/** A string of the NBD protocol, an export's name among them: the specification's own limit. */
export const NBD_STRING_BYTES_MAX = 4096;

/** Data of one option that our NBD server looks at: names and queries; the longest known are a few KiB. */
export const NBD_OPTION_BYTES_MAX = 64 * 2 ** 10;

/** Options of one NBD handshake; a client that lists everything first sends some ten. */
export const NBD_OPTIONS_MAX = 64;

/** What is read to be thrown away, of an option that is too long or of a write (QEMU's are up to this). */
export const NBD_DRAIN_BYTES_MAX = 32 * 2 ** 20;

/** From connecting to the first request; on a unix socket it takes milliseconds. */
export const NBD_HANDSHAKE_MS_MAX = 10_000;

/** Clients of one NBD server at once: nbdcopy has 4 connections, QEMU one. */
export const NBD_CONNECTIONS_MAX = 32;

/** Reads that one client of our NBD server has waiting; nbdcopy has 64 in flight, QEMU 16. */
export const NBD_SERVED_IN_FLIGHT = 64;

/**
 * Bytes of replies in memory for one client, read or not: 32 requests of nbdcopy. One request is always
 * let in, so it is NBD_MAX_REQUEST_BYTES more at worst. Beyond that the socket is not read.
 */
export const NBD_SERVED_BYTES_MAX = 8 * 2 ** 20;

/** Extents in one answer of our NBD server: 32 KiB; the client asks again from where they end. */
export const NBD_SERVED_EXTENTS = 4096;

/** Bytes of an image file that its inspector may read in all: headers, descriptors, tables. */
export const MAX_IMAGE_HEADER_BYTES = 4 * 2 ** 20;

/** A unix socket's path (sun_path) has at most 107 bytes and a NUL. */
export const SOCKET_PATH_BYTES_MAX = 107;

/** Output of a tool that is kept in memory; what a tool prints beyond that is an error. */
export const MAX_TOOL_OUTPUT_BYTES = 16 * 2 ** 20;

/** Lines of a failed tool's standard error that go into the error. */
export const TOOL_ERROR_LINES = 8;

/** Worker threads of one pool: more only wait for the disk or the export that they read. */
export const MAX_POOL_WORKERS = 64;

/**
 * Bytes that one distribution package may unpack to: 8 GiB, many times what a kernel takes. A package
 * beyond that is no source of blocks; its files come from a peer or the origin.
 */
export const PACKAGE_UNPACKED_BYTES_MAX = 8 * 2 ** 30;

/**
 * Bytes out for each byte of the package: zeros alone reach 1,030 with gzip, 6,850 with xz and 32,490 with
 * zstd; real packages reach tens.
 */
export const PACKAGE_RATIO_MAX = 2000;

/** Members of one package, links and directories too: each costs a block of the image at most. */
export const PACKAGE_MEMBERS_MAX = 1_000_000;

/** A path in a package, in bytes: PATH_MAX of Linux. */
export const PACKAGE_PATH_BYTES_MAX = 4096;

/** All paths of a package together: dpkg's file list is one of the files of a package image. */
export const PACKAGE_LIST_BYTES_MAX = 64 * 2 ** 20;

/** A pax header: a path, a link's target, some attributes. */
export const PAX_HEADER_BYTES_MAX = 32 * 2 ** 10;

/** What an archive parser may ask for at once: the longest header that is looked at as a whole. */
export const ARCHIVE_TAKE_BYTES_MAX = 64 * 2 ** 10;

/** The header of an .rpm is held in memory; rpm itself stops at 256 MiB. */
export const RPM_HEADER_BYTES_MAX = 64 * 2 ** 20;

/** Tags of an .rpm's header: rpm's own limit. */
export const RPM_TAGS_MAX = 65_535;

/** zstd's window, as a power of two: 128 MiB, what the zstd tool accepts unless told otherwise. */
export const ZSTD_WINDOW_LOG_MAX = 27;

/** Memory of one xz decoder, in MiB: a dictionary of 128 MiB; xz -9, the largest preset, has 64. */
export const XZ_MEMORY_MIB_MAX = 144;

/** Unpacking one package: 8 GiB at the 20 MB/s of a slow link or processor take 7 minutes. */
export const PACKAGE_UNPACK_MS_MAX = 60 * 60 * 1000;

/** The recipe file of a package image: 8 MiB describe some 3 GiB of files; the largest packages have one. */
export const PACKAGE_RECIPE_BYTES_MAX = 8 * 2 ** 20;

/** The virtual size of a package image: the roots of a larger, nearly empty disk take long to compute. */
export const PACKAGE_IMAGE_BYTES_MAX = 8 * 2 ** 30;

/** Packages in one question to the coordinator; a Debian guest has 100 to 500, a full desktop some 3,000. */
export const PACKAGES_PER_REQUEST_MAX = 2000;

/** Compressed recipes in one answer; those of a guest with 500 packages are some 3 MB. */
export const PACKAGE_RECIPES_ANSWER_BYTES_MAX = 8 * 2 ** 20;

/** Free ranges of a disk: 64 MiB of memory; the free space of a well-used 1 TiB has some 100,000 pieces. */
export const FREE_RANGES_MAX = 2 ** 22;

/** Block groups of an ext volume: 32 TiB with blocks of 4 KiB, 2 TiB with blocks of 1 KiB. */
export const EXT_GROUPS_MAX = 2 ** 18;

/** What a description may say of the parts of a disk that were kept whole: lines, characters of each. */
export const KEPT_REMARKS_MAX = 32;
export const KEPT_REMARK_CHARACTERS_MAX = 200;

/** Blocks of one boot trace: 256 MiB that a guest read until it was ready; a plain Debian reads 40 MB. */
export const TRACE_BLOCKS_MAX = 65_536;
/** Disks of one VM, and so of its trace. */
export const TRACE_DISKS_MAX = 24;
/** A boot trace as bytes: a header, and a run and a key for each block. */
export const TRACE_BYTES_MAX = 16 + TRACE_BLOCKS_MAX * 16;

function assertRelations(): void {
  const relations: readonly boolean[] = [
    MAX_DISK_BYTES / BLOCK_BYTES < 2 ** 32 - 1,
    MAX_DISK_BYTES % SEGMENT_BYTES === 0,
    SEGMENTS_PER_PAGE * SEGMENT_BYTES === 4 * 2 ** 20,
    // All that may be unpacked fits on a disk, even if each member took a block of its own.
    PACKAGE_UNPACKED_BYTES_MAX + PACKAGE_MEMBERS_MAX * BLOCK_BYTES <= MAX_DISK_BYTES,
    Math.max(PACKAGE_PATH_BYTES_MAX + 1, PAX_HEADER_BYTES_MAX) <= ARCHIVE_TAKE_BYTES_MAX,
    PACKAGE_MEMBERS_MAX < 2 ** 24,
    MAX_RANGE_SEGMENTS * SEGMENT_BYTES === MAX_RANGE_PAGES * SEGMENTS_PER_PAGE * SEGMENT_BYTES,
  ];
  if (relations.includes(false)) throw new Error('limits.ts: two limits contradict each other');
}

assertRelations();
