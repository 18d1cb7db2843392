/**
 * Room: formats. The header of a Linux swap area (swapon(8); Linux: include/linux/swap.h).
 *
 * I1: total: any bytes give an area, words that say why there is none, or null. A suspended system's image
 *     is no swap area: its signature is another one.
 * I2: only an area that fills its volume, as mkswap makes it, counts: a header that something else left
 *     standing seldom does.
 */

const SIGNATURE = 'SWAPSPACE2';
const PAGE_BYTES = [4096, 8192, 16_384, 32_768, 65_536] as const;
const VERSION_AT = 1024;
const LAST_PAGE_AT = 1028;
const BAD_PAGES_AT = 1032;

/** A swap area: everything between the page with its header and its end is nobody's when it is not in use. */
export interface SwapArea {
  /** The header, with UUID and label. */
  readonly pageBytes: number;
  readonly sizeBytes: number;
}

/** An area, or why there is none although there is a signature, in words. */
export type SwapAnswer = { readonly area: SwapArea } | { readonly why: string };

/** Reads a swap header from the first 64 KiB of a volume of this length; null when there is none. */
export function parseSwapHeader(head: Uint8Array, volumeBytes: number): SwapAnswer | null {
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  for (const pageBytes of PAGE_BYTES) {
    if (head.length < pageBytes) return null;
    const at = pageBytes - SIGNATURE.length;
    if (![...SIGNATURE].every((letter, i) => head[at + i] === letter.charCodeAt(0))) continue;
    const pages = view.getUint32(LAST_PAGE_AT, true) + 1;
    // mkswap lists bad pages only with -c; swapon reads the list from the header, which is kept.
    const isSound =
      view.getUint32(VERSION_AT, true) === 1 &&
      view.getUint32(BAD_PAGES_AT, true) === 0 &&
      pages === Math.floor(volumeBytes / pageBytes);
    if (!isSound)
      return { why: 'its swap header is not as mkswap makes it for a volume of this size' };
    return { area: { pageBytes, sizeBytes: pages * pageBytes } };
  }
  return null;
}
