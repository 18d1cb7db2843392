/**
 * Room: io, appliance. Whether an appliance is alive: while its kernel runs programs, job.sh writes to a disk
 * of its own every 5 s. Emulated ones were seen to do nothing more, seldom.
 *
 * I1: one whose job waits for its disks, even for hours, goes on beating.
 * I2: time in which this process does not run is nobody's silence.
 */

import { readFile, stat } from 'node:fs/promises';

/** Of the disk: the number of the beat in a line, then the end of the job's log. */
export const PULSE_BYTES = 4096;

export interface PulseLimits {
  /** To the first beat. Starting takes up to a minute under emulation on a busy machine. */
  readonly startMs: number;
  /** From one beat to the next: a copy of hours is not given up for a machine that is short of processors. */
  readonly silenceMs: number;
}

export const PULSE_LIMITS: PulseLimits = { startMs: 240_000, silenceMs: 180_000 };

export interface Pulse extends Disposable {
  /** Set when it is silent for too long. */
  readonly isStill: boolean;
}

/** What the pulse of an appliance that has ended says. */
export interface LastBeat {
  /** Whether the job was begun, so that its disks may have been written to. */
  readonly hasBegun: boolean;
  /** The last of its log, in one line; empty when it said nothing. */
  readonly words: string;
}

const LOOK_MS = 1000;
const WORDS_CHARACTERS_MAX = 300;

/** Calls `onStill` once when the pulse in `path` is silent for longer than it may. */
export function watchPulse(path: string, limits: PulseLimits, onStill: () => void): Pulse {
  let written: number | undefined;
  let silentMs = 0;
  let lookedMs = performance.now();
  let hasBegun = false;
  const pulse = { isStill: false };
  const look = async (): Promise<void> => {
    const { mtimeMs } = await stat(path);
    const nowMs = performance.now();
    silentMs += Math.min(nowMs - lookedMs, 2 * LOOK_MS);
    lookedMs = nowMs;
    if (written !== undefined && written !== mtimeMs) {
      hasBegun = true;
      silentMs = 0;
    }
    written = mtimeMs;
    if (silentMs <= (hasBegun ? limits.silenceMs : limits.startMs) || pulse.isStill) return;
    pulse.isStill = true;
    onStill();
  };
  const timer = setInterval(() => void look().catch(() => undefined), LOOK_MS);
  return Object.assign(pulse, { [Symbol.dispose]: () => clearInterval(timer) });
}

export async function readLastBeat(path: string): Promise<LastBeat> {
  const text = (await readFile(path, 'utf8')).slice(0, PULSE_BYTES);
  const words = text
    .slice(text.indexOf('\n') + 1)
    .replace(/[\p{Cc}\u2028\u2029]+/gu, ' ')
    .trim();
  return { hasBegun: /^[0-9]/.test(text), words: words.slice(-WORDS_CHARACTERS_MAX) };
}
