/**
 * Room: io, ports. Recipe files as bytes, for whoever serves them (a recipe can be 2 GiB).
 */

/** An open recipe file. It never changes. */
export interface RecipeFile {
  readonly sizeBytes: number;
  /** The bytes [fromByte, toByte), in pieces that are the receiver's to keep. */
  read(fromByte: number, toByte: number): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

export interface RecipeFiles {
  /** Throws `not_found`. */
  open(path: string): Promise<RecipeFile>;
}
