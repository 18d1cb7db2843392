/**
 * Room: text (pure). Numbers as people read them. A size never stands alone: the column or the words
 * beside it say whether it is virtual, non-zero, allocated or transferred.
 */

import type { TierBytes } from '@vmdn/core/domain/tiers.ts';

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const;
/** What stands for "nothing" or "not known" in a table. */
export const DASH = '–';

/** Bytes in powers of ten with three significant digits: `0 B`, `512 B`, `1.05 MB`, `403 MB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

/** Bytes, or a dash for null and zero. */
export function formatBytesOrDash(bytes: number | null): string {
  return bytes === null || bytes === 0 ? DASH : formatBytes(bytes);
}

/** Seconds: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 3 min`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.round((whole % 3600) / 60)} min`;
}

/** A part of a whole in per cent; a whole of zero is complete. */
export function formatShare(part: number, whole: number): string {
  return whole === 0 ? '100 %' : `${((100 * part) / whole).toFixed(1)} %`;
}

/** Tiers that gave something, cheapest first: `zero 108 MB, local 260 MB, origin 35.2 MB`. */
export function formatTiers(bytes: TierBytes): string {
  const parts = Object.entries(bytes).filter(([, count]) => count > 0);
  return parts.map(([tier, count]) => `${tier} ${formatBytes(count)}`).join(', ') || 'nothing';
}

/** A point in time of the wire as local `YYYY-MM-DD HH:MM:SS` in UTC. */
export function formatTime(timestamp: string | null): string {
  if (timestamp === null) return DASH;
  return new Date(timestamp).toISOString().replace('T', ' ').slice(0, 19);
}
