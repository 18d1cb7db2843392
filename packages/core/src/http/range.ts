/**
 * Room: http. Byte ranges of RFC 9110 (section 14) as pure decisions: header in, status and headers
 * out. Whoever serves a file attaches the bytes.
 *
 * I1: only one range is honoured; a list of ranges, another unit or anything malformed is as if no
 *     Range had been sent (section 14.2: a server may ignore the field).
 * I2: a range that starts past the end is 416 with the length in Content-Range (section 15.5.17).
 */

/** The bytes [from, to) of a representation. */
export interface ByteRange {
  readonly fromByte: number;
  readonly toByte: number;
}

export type RangeDecision =
  | { readonly status: 200 }
  | { readonly status: 206; readonly range: ByteRange; readonly contentRange: string }
  | { readonly status: 416; readonly contentRange: string };

/** First-byte and last-byte positions, or a suffix length; positions of 16 digits stay exact. */
const SINGLE_RANGE = /^bytes=[ \t]*(?:(\d{1,15})-(\d{1,15})?|-(\d{1,15}))[ \t]*$/i;

/**
 * What to answer to a request with this Range header for a representation of `sizeBytes`.
 * `rangeHeader` is undefined when there is none or when If-Range has voided it.
 */
export function decideRange(rangeHeader: string | undefined, sizeBytes: number): RangeDecision {
  const match = rangeHeader === undefined ? null : SINGLE_RANGE.exec(rangeHeader);
  if (match === null) return { status: 200 };
  const [, first, last, suffix] = match;
  if (suffix !== undefined) {
    if (Number(suffix) === 0 || sizeBytes === 0) return unsatisfiable(sizeBytes);
    return partial(Math.max(0, sizeBytes - Number(suffix)), sizeBytes, sizeBytes);
  }
  const fromByte = Number(first);
  // Last before first is malformed (section 14.1.1), and malformed is ignored.
  if (last !== undefined && Number(last) < fromByte) return { status: 200 };
  if (fromByte >= sizeBytes) return unsatisfiable(sizeBytes);
  const toByte = last === undefined ? sizeBytes : Math.min(Number(last) + 1, sizeBytes);
  return partial(fromByte, toByte, sizeBytes);
}

function partial(fromByte: number, toByte: number, sizeBytes: number): RangeDecision {
  return {
    status: 206,
    range: { fromByte, toByte },
    contentRange: `bytes ${fromByte}-${toByte - 1}/${sizeBytes}`,
  };
}

function unsatisfiable(sizeBytes: number): RangeDecision {
  return { status: 416, contentRange: `bytes */${sizeBytes}` };
}
