/**
 * Room: edge, sync. Every maximum of the sync executor, with its reason.
 */

/** Memory for segments that wait for blocks or for a worker, per disk. The hard bound is twice this. */
export const BUFFER_BYTES = 32 * 2 ** 20;

/** Blocks in one request: 16 MiB, eight times the window of zstd -3, so that context is seldom lost. */
export const REQUEST_BLOCKS_MAX = 4096;

/** Blocks that a request has at least while several sources share the rest of a disk: 1 MiB. */
export const REQUEST_BLOCKS_MIN = 256;

/** Requests in flight per source unless it says otherwise: one streams while the next one starts. */
export const REQUESTS_IN_FLIGHT = 2;

/** Sources of one disk; the contracts name at most 64 holders. */
export const SOURCES_MAX = 255;

/** Rows handed to a worker at once: one batch of 2 MiB. */
export const LOCAL_ROWS = 32;

/** What is verified becomes durable after so many bytes, or so long. */
export const COMMIT_BYTES = 64 * 2 ** 20;
export const COMMIT_MS = 2000;

/** Wire bytes are noted after so many: at 100 MB/s 200 times a second, at some 65 µs of processor time. */
export const WIRE_NOTE_BYTES = 512 * 2 ** 10;

/** Requests wait while so many are not noted: what a kill may take from the count. */
export const WIRE_UNNOTED_BYTES_MAX = 2 ** 20;

/** Segments checked per order when a staging file is in doubt: 32 MiB. */
export const CHECK_SEGMENTS = 512;

/** A request without a byte for so long has failed; back-pressure of our own does not count. */
export const STALL_MS = 30_000;

/** The same for a peer while another source could send: standing still is no reason to wait so long. */
export const PEER_STALL_MS = 5000;

/** A peer that brings less of the disk, after so long, is slow: origins help. A quarter of 10 Mbit/s. */
export const SLOW_BYTES_PER_SECOND = 256 * 2 ** 10;
export const SLOW_AFTER_MS = 3000;
/** How long a pace remembers: a pause of a second, as busy machines make them, is not yet slow. */
export const PACE_MS = 5000;

/** A partial holder is asked for what it has so often: 4 small requests a second. */
export const PRESENCE_MS = 250;
/** What is known of a partial holder is as good as what it has now for so long. */
export const SEEN_MS_MAX = 2 * PRESENCE_MS;
/** Holders that came since are looked for so often; looking costs nothing. */
export const SOURCES_MS = 250;
/** A partial holder without news for so long is no reason to hope any more. */
export const NEWS_MS_MAX = 10_000;

/** What an edge asks of an origin at once while others might want the same: what takes so long to come. */
export const TRADE_SECONDS = 0.25;
export const ALONE_SECONDS = 1;
/** Before anything is known of an origin, by an edge alone: 4 MiB, some 0.2 s at 10 MB/s. */
export const FIRST_BLOCKS = 1024;
/** The last blocks, 4 MiB, are left to those who have asked for them while they have news so often. */
export const LAST_BLOCKS = 1024;
export const LAST_NEWS_MS_MAX = 2000;

/** Progress is reported at most four times a second. */
export const PROGRESS_MS = 250;

/** Time constant of the rates that people see. */
export const RATE_SECONDS = 3;

/** Entries in a result's list of mismatches (one per source and reason). */
export const MISMATCHES_MAX = 1000;

/**
 * While somebody reads a disk in the making, a request is for what a source brings in so long: who reads
 * waits for what is on its way at worst. At least 256 KiB, so that a round trip is worth it.
 */
export const LAZY_SECONDS = 0.1;
export const LAZY_BLOCKS_MIN = 64;

/** Requests that each source has for such reads alone, beside the others, so that none waits for its turn. */
export const LAZY_REQUESTS = 2;

/** Segments fetched ahead of a reader that goes on: 128 KiB first, 4 MiB at most. */
export const AHEAD_SEGMENTS_MIN = 2;
export const AHEAD_SEGMENTS_MAX = 64;
/** Places at which a guest reads on at once, as far as we follow them. */
export const AHEAD_STREAMS = 8;
