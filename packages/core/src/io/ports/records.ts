/**
 * Room: io, ports. Small things that a node must still know after a restart.
 */

import type { Digest } from '../../domain/digest.ts';

/** Values by key, each in a file of its own. Keys are Ids, digests or Names: nothing that makes a path. */
export interface Records<Value> {
  /** Null when there is none. Throws `corrupt` for a file that is not such a value. */
  read(key: string): Promise<Value | null>;
  /** Durable before it returns. */
  write(key: string, value: Value): Promise<void>;
  remove(key: string): Promise<void>;
  keys(): Promise<readonly string[]>;
}

/** Recipe files of disks that this node does not hold (yet), verified before they were put here. */
export interface RecipeFolder {
  path(digest: Digest): string;
  has(digest: Digest): Promise<boolean>;
  /** Durable before it returns. `bytes` must be verified. */
  put(digest: Digest, bytes: Uint8Array): Promise<void>;
  /** What is here. */
  digests(): Promise<readonly Digest[]>;
  /** Removes all but these. */
  keepOnly(digests: ReadonlySet<Digest>): Promise<void>;
}
