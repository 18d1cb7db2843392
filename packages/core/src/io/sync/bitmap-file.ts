/**
 * Room: io, sync. The bitmap file of a staging directory, opened (formats/staging-bitmap.ts has its bytes).
 *
 * I1: a header or page goes to the slot that does not hold its newest good copy.
 * I2: pages that cannot be read claim nothing; a header that cannot be read makes the whole file nothing.
 * I3: the wire note is written at any time and never waited for: a kill leaves it as it is, a power cut may
 *     take it away, and then the header's wire bytes count.
 */

import { constants, type FileHandle, open, rm } from 'node:fs/promises';
import { isCompleteRecord, TIER_RECORD_WORDS } from '../../domain/bitmap.ts';
import { isVmdnError } from '../../domain/errors.ts';
import type { DiskPlan } from '../../domain/plan.ts';
import { TIERS } from '../../domain/tiers.ts';
import { BLOCKS_PER_SEGMENT, blockCount, segmentCount } from '../../domain/units.ts';
import {
  BITMAP_SLOT_BYTES,
  type BitmapHeader,
  bitmapFileBytes,
  decodeBitmapHeader,
  decodeBitmapPage,
  decodeWireNote,
  encodeBitmapHeader,
  encodeBitmapPage,
  encodeWireNote,
  headerSlotOffset,
  pageCount,
  pageSlotOffset,
  ROWS_PER_PAGE,
  wireNoteOffset,
} from '../../formats/staging-bitmap.ts';
import { fileError } from '../files/files.ts';

/** Pages read at once: 1 MiB. */
const PAGES_PER_READ = 128;

export class BitmapFile {
  readonly #file: FileHandle;
  #header: BitmapHeader;
  /** What is committed: two words per row. */
  readonly #records: Uint32Array;
  readonly #pageSequences: Float64Array;

  private constructor(
    file: FileHandle,
    header: BitmapHeader,
    records: Uint32Array,
    pageSequences: Float64Array,
  ) {
    this.#file = file;
    this.#header = header;
    this.#records = records;
    this.#pageSequences = pageSequences;
  }

  get isClean(): boolean {
    return this.#header.isClean;
  }

  get mtimeNs(): bigint {
    return this.#header.mtimeNs;
  }

  get wireBytes(): readonly number[] {
    return this.#header.wireBytes;
  }

  /** A new bitmap file that claims nothing. */
  static async create(path: string, plan: DiskPlan, generation: string): Promise<BitmapFile> {
    await rm(path, { force: true });
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const file = await open(path, flags, 0o600);
    const rowCount = plan.wanted.blockMasks.length;
    const header: BitmapHeader = {
      digest: plan.digest,
      generation,
      virtualSizeBytes: plan.wanted.virtualSizeBytes,
      rowCount,
      sequence: 0,
      isClean: false,
      mtimeNs: 0n,
      wireBytes: TIERS.map(() => 0),
    };
    const bitmap = new BitmapFile(
      file,
      header,
      new Uint32Array(rowCount * TIER_RECORD_WORDS),
      new Float64Array(pageCount(rowCount)),
    );
    await file.truncate(bitmapFileBytes(rowCount));
    await bitmap.#writeHeader({});
    await file.sync();
    return bitmap;
  }

  /**
   * Opens a bitmap file and copies what it claims into `records`. Undefined when it is absent, or no
   * header of this digest and generation can be read.
   */
  static async open(
    path: string,
    plan: DiskPlan,
    generation: string,
    records: Uint32Array,
  ): Promise<BitmapFile | undefined> {
    let file: FileHandle;
    try {
      file = await open(path, constants.O_RDWR | constants.O_NOFOLLOW);
    } catch (error) {
      if (isVmdnError(fileError(error, path), 'not_found')) return undefined;
      throw error;
    }
    const header = await readHeader(file);
    const rowCount = plan.wanted.blockMasks.length;
    if (
      header === undefined ||
      header.digest !== plan.digest ||
      header.generation !== generation ||
      header.virtualSizeBytes !== plan.wanted.virtualSizeBytes ||
      header.rowCount !== rowCount
    ) {
      await file.close();
      return undefined;
    }
    const sequences = new Float64Array(pageCount(rowCount));
    const arePagesWhole = await readPages(file, generation, records, sequences);
    dropIncomplete(records, plan);
    const isClean = header.isClean && arePagesWhole;
    const noted = await readWireNote(file, header);
    const wireBytes = header.wireBytes.map((bytes, tier) => Math.max(bytes, noted?.[tier] ?? 0));
    return new BitmapFile(file, { ...header, isClean, wireBytes }, records.slice(), sequences);
  }

  /**
   * Takes a copy of the records of `rows` and of the wire bytes now; the returned function writes them,
   * durably.
   */
  prepare(
    rows: readonly number[],
    records: Uint32Array,
    wireBytes: readonly number[],
  ): () => Promise<void> {
    const pages = new Set<number>();
    for (const row of rows) {
      this.#records[2 * row] = records[2 * row]!;
      this.#records[2 * row + 1] = records[2 * row + 1]!;
      pages.add(Math.floor(row / ROWS_PER_PAGE));
    }
    const { generation } = this.#header;
    const slots = [...pages].map((page) => {
      const sequence = this.#pageSequences[page]! + 1;
      this.#pageSequences[page] = sequence;
      return {
        offset: pageSlotOffset(page, sequence),
        bytes: encodeBitmapPage(page, sequence, generation, this.#records),
      };
    });
    const wire = [...wireBytes];
    return async () => {
      for (const { offset, bytes } of slots) await writeAll(this.#file, bytes, offset);
      await this.#writeHeader({ wireBytes: wire });
      await this.#file.datasync();
    };
  }

  /** Writes the wire note. Never two at once. */
  async note(wireBytes: readonly number[]): Promise<void> {
    const { generation, rowCount } = this.#header;
    await writeAll(this.#file, encodeWireNote(generation, wireBytes), wireNoteOffset(rowCount));
  }

  async markUnclean(): Promise<void> {
    await this.#writeHeader({ isClean: false, mtimeNs: 0n });
    await this.#file.datasync();
  }

  async markClean(mtimeNs: bigint): Promise<void> {
    await this.#writeHeader({ isClean: true, mtimeNs });
    await this.#file.datasync();
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async #writeHeader(change: Partial<BitmapHeader>): Promise<void> {
    this.#header = { ...this.#header, ...change, sequence: this.#header.sequence + 1 };
    const offset = headerSlotOffset(this.#header.sequence);
    await writeAll(this.#file, encodeBitmapHeader(this.#header), offset);
  }
}

async function readHeader(file: FileHandle): Promise<BitmapHeader | undefined> {
  const slots = await readAt(file, 0, 2 * BITMAP_SLOT_BYTES);
  const first = decodeBitmapHeader(slots.subarray(0, BITMAP_SLOT_BYTES));
  const second = decodeBitmapHeader(slots.subarray(BITMAP_SLOT_BYTES));
  if (first === undefined || second === undefined) return first ?? second;
  return first.sequence > second.sequence ? first : second;
}

async function readWireNote(
  file: FileHandle,
  { generation, rowCount }: BitmapHeader,
): Promise<number[] | undefined> {
  const bytes = await readAt(file, wireNoteOffset(rowCount), BITMAP_SLOT_BYTES);
  return decodeWireNote(bytes, generation);
}

/** Reads the newest good copy of every page. False when a page that was written has none. */
async function readPages(
  file: FileHandle,
  generation: string,
  records: Uint32Array,
  sequences: Float64Array,
): Promise<boolean> {
  let areWhole = true;
  for (let first = 0; first < sequences.length; first += PAGES_PER_READ) {
    const count = Math.min(PAGES_PER_READ, sequences.length - first);
    const slots = await readAt(file, pageSlotOffset(first, 0), 2 * count * BITMAP_SLOT_BYTES);
    for (let i = 0; i < 2 * count; i += 1) {
      const page = first + (i >>> 1);
      const bytes = slots.subarray(i * BITMAP_SLOT_BYTES, (i + 1) * BITMAP_SLOT_BYTES);
      const found = decodeBitmapPage(bytes, page, generation);
      if (found === undefined) {
        // A slot that was never written is all zero; anything else was torn.
        if (bytes.length < BITMAP_SLOT_BYTES || bytes.some((byte) => byte !== 0)) areWhole = false;
      } else if (found.sequence > sequences[page]!) {
        sequences[page] = found.sequence;
        found.copyInto(records);
      }
    }
  }
  return areWhole;
}

/** Clears records that do not give every block of their segment a tier: they claim nothing. */
function dropIncomplete(records: Uint32Array, plan: DiskPlan): void {
  const { virtualSizeBytes, segmentBitmap } = plan.wanted;
  const last = segmentCount(virtualSizeBytes) - 1;
  const lastRow = plan.wanted.blockMasks.length - 1;
  const isLastNonZero = ((segmentBitmap[last >>> 3] ?? 0) & (1 << (last & 7))) !== 0;
  for (let row = 0; row <= lastRow; row += 1) {
    const isLast = row === lastRow && isLastNonZero;
    const blocks = isLast
      ? blockCount(virtualSizeBytes) - last * BLOCKS_PER_SEGMENT
      : BLOCKS_PER_SEGMENT;
    if (!isCompleteRecord(records, row, blocks)) {
      records[2 * row] = 0;
      records[2 * row + 1] = 0;
    }
  }
}

async function readAt(file: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let at = 0;
  while (at < length) {
    const { bytesRead } = await file.read(bytes, at, length - at, offset + at);
    if (bytesRead === 0) break;
    at += bytesRead;
  }
  return bytes.subarray(0, at);
}

async function writeAll(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, at, bytes.length - at, offset + at);
    at += bytesWritten;
  }
}
