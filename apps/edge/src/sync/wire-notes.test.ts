import { describe, expect, it } from 'vitest';
import { WIRE_NOTE_BYTES, WIRE_UNNOTED_BYTES_MAX } from './limits.ts';
import { WireNotes } from './wire-notes.ts';

/** Notes that are written when `written()` says so. */
function slowNotes() {
  let counted = 0;
  const noted: number[] = [];
  const pending: (() => void)[] = [];
  const errors: unknown[] = [];
  const notes = new WireNotes({
    staging: {
      note: ([bytes]) => {
        noted.push(bytes!);
        return new Promise((resolve) => pending.push(resolve));
      },
    },
    wireBytes: () => [counted],
    onError: (error) => errors.push(error),
  });
  const crossed = (bytes: number): void => {
    counted += bytes;
    notes.counted(bytes);
  };
  const written = async (): Promise<void> => {
    pending.shift()!();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { notes, noted, crossed, written, pending };
}

describe('wire notes', () => {
  it('I3: are written one at a time, each with all that was counted by then', async () => {
    const { noted, crossed, written, pending } = slowNotes();
    crossed(WIRE_NOTE_BYTES - 1);
    expect(noted).toEqual([]);
    crossed(1);
    crossed(WIRE_NOTE_BYTES);
    crossed(5);
    expect([noted, pending.length]).toEqual([[WIRE_NOTE_BYTES], 1]);
    await written();
    expect(noted).toEqual([WIRE_NOTE_BYTES, 2 * WIRE_NOTE_BYTES + 5]);
    await written();
    expect(noted).toHaveLength(2);
  });

  it('I2: make whoever receives more wait until a note is written', async () => {
    const { notes, crossed, written } = slowNotes();
    crossed(WIRE_UNNOTED_BYTES_MAX - 1);
    expect(notes.room()).toBeUndefined();
    crossed(1);
    const room = notes.room();
    expect(room).toBeInstanceOf(Promise);
    await written();
    await room;
    expect(notes.room()).toBeUndefined();
  });

  it('end with stop, after the one that is being written', async () => {
    const { notes, noted, crossed, written } = slowNotes();
    crossed(2 * WIRE_NOTE_BYTES);
    crossed(2 * WIRE_NOTE_BYTES);
    const stopped = notes.stop();
    await written();
    await stopped;
    expect(noted).toEqual([2 * WIRE_NOTE_BYTES]);
  });
});
