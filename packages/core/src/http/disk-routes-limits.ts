/**
 * Room: http. Every maximum of the disk-serving routes, with its reason.
 */

export interface DiskRouteLimits {
  /** Requests under way for one grant. */
  readonly requestsPerGrantMax: number;
  /** Requests under way in all. */
  readonly requestsMax: number;
  /** Grants remembered at a time, each until it expires. */
  readonly grantsMax: number;
  /** Bytes of a disk that are read as one batch. */
  readonly batchBytesMax: number;
  /** Batches that are read ahead of the compressor. */
  readonly batchesAhead: number;
  /** Streams that are compressed only to see how long they are, at a time. */
  readonly measuredAtOnce: number;
  /** Level of zstd; blocks begin with it and may leave it (compression-pace.ts). One of 1, 3 and 6. */
  readonly compressionLevel: number;
  /** How long a request's body may take to arrive. */
  readonly bodyMs: number;
  /** How long a receiver may take nothing before its connection is cut. */
  readonly stallMs: number;
}

export const DISK_ROUTE_LIMITS: DiskRouteLimits = {
  // An edge keeps about eight requests in flight; twice that, for the moment when it resumes.
  requestsPerGrantMax: 16,
  // Each holds (batchesAhead + 1) batches, a compressor and its window: about 12 MiB, so 768 MiB.
  requestsMax: 64,
  // A grant is a hundred bytes here and lives for an hour: 10,000 edges' worth.
  grantsMax: 20_000,
  // 1 MiB: NBD requests of this size run at full speed, and a small run is never held up for long.
  batchBytesMax: 1024 * 1024,
  // One being compressed, two being read.
  batchesAhead: 2,
  // One: it is background work of some edge, and what is being sent comes first.
  measuredAtOnce: 1,
  // Measured on shared libraries: level 9 takes five times the time of level 3 for 8 % fewer bytes.
  compressionLevel: 3,
  // Half a mebibyte at most; nobody is known to us before all of it is here.
  bodyMs: 30_000,
  // TCP gives up by itself only after some 15 minutes.
  stallMs: 60_000,
};
