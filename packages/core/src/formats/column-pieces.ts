/**
 * Room: formats. Columns of a recipe as a stream: parts of any size in, pieces of one size out.
 *
 * I1: a piece has its own memory and PIECE_BYTES, the last one fewer: so that a stream costs its receiver a
 *     bounded number of steps, however short the parts are.
 */

export const PIECE_BYTES = 64 * 1024;

/** The parts' bytes in pieces. A part may be overwritten when the next one is asked for. */
export function* inPieces(parts: Iterable<Uint8Array>): Generator<Uint8Array> {
  let piece = new Uint8Array(PIECE_BYTES);
  let filled = 0;
  for (const part of parts) {
    for (let from = 0; from < part.length; ) {
      const taken = Math.min(part.length - from, PIECE_BYTES - filled);
      piece.set(part.subarray(from, from + taken), filled);
      filled += taken;
      from += taken;
      if (filled < PIECE_BYTES) continue;
      yield piece;
      piece = new Uint8Array(PIECE_BYTES);
      filled = 0;
    }
  }
  if (filled > 0) yield piece.subarray(0, filled);
}

/**
 * Bytes [from, to) of each of `rows` rows of `rowBytes` bytes, from row `firstRow` on, end to end. One array
 * for all parts: a part is overwritten when the next one is asked for.
 */
export function* cutRows(
  column: Uint8Array,
  rowBytes: number,
  rows: { readonly first: number; readonly count: number },
  cut: { readonly from: number; readonly to: number },
): Generator<Uint8Array> {
  const width = cut.to - cut.from;
  const part = new Uint8Array(Math.min(rows.count, Math.floor(PIECE_BYTES / width)) * width);
  const end = rows.first + rows.count;
  let filled = 0;
  for (let row = rows.first; row < end; row += 1) {
    const at = row * rowBytes + cut.from;
    for (let i = 0; i < width; i += 1) part[filled + i] = column[at + i]!;
    filled += width;
    if (filled < part.length && row + 1 < end) continue;
    yield part.subarray(0, filled);
    filled = 0;
  }
}
