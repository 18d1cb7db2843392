/**
 * Room: io, ports. A node that serves blocks of the wanted disk over the network: a peer or the origin.
 *
 * I1: what a source sends is never believed: the executor checks every segment against the recipe.
 * I2: blocks are handed over in the order of the runs; `bytes` is valid only during the call, however
 *     many calls one chunk of the network leads to. When a call returns a promise, no more is read from
 *     the network until it is fulfilled.
 * I3: failures are VmdnErrors. `unavailable`, `timeout`, `busy`: ask again later. `corrupt`: what came
 *     was not what was asked for. Any other: this source is of no use for this disk.
 */

export interface BlockRequest {
  /** [startBlock, blockCount] pairs, ascending, not overlapping. */
  readonly runs: Uint32Array;
  readonly signal: AbortSignal;
  /** Whole blocks; only the last block of the disk may be short. */
  readonly onBlocks: (
    startBlock: number,
    blockCount: number,
    bytes: Uint8Array,
  ) => void | Promise<void>;
  /** Body bytes as they arrive, so that they count even when the request fails. Never more than arrive. */
  readonly onWireBytes?: (bytes: number) => void;
}

export interface RemoteSource {
  readonly tier: 'peer' | 'origin';
  /** For people and counters; unique among the sources of one disk. */
  readonly name: string;
  /** Requests kept in flight; 2 unless said. */
  readonly requestsInFlight?: number;
  /** Bitmap of the segments that a partial holder has, as last heard; absent = all. */
  readonly presentSegments?: Uint8Array;
  /** Asks a partial holder what it has now; true when there is more than before. */
  refresh?(request: Pick<BlockRequest, 'signal' | 'onWireBytes'>): Promise<boolean>;
  /** Where on the disk a partial holder began (domain/territory.ts). */
  readonly place?: number;
  /** It failed lately, before this disk: others are asked while it is tried with little. */
  readonly isDoubtful?: boolean;
  /** Told what no request says: that its blocks were wrong, or come too slowly. */
  note?(fault: 'corrupt' | 'slow'): void;
  /** Resolves when every block was handed over. */
  readBlocks(request: BlockRequest): Promise<{
    /** Body bytes that crossed the network for this request, all told. */
    readonly wireBytes: number;
  }>;
}
