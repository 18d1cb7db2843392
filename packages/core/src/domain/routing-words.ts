/**
 * Room: domain. Numbers as people read them in the reasons of a route.
 */

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'] as const;

/** 154700000 as `154.7 MB` (powers of 1,000). */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.95 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`;
}

/** 7.25 as `7.3 s`, 200 as `3 min 20 s`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 60) return `${Math.round(seconds * 10) / 10} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** 464.2 as `464 km`. */
export function formatKm(km: number): string {
  return `${Math.round(km)} km`;
}
