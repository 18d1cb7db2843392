/**
 * Room: domain. Whether a delivered VM is on: what is wanted, what its edge said last, what that comes to.
 */

export const POWERS = ['on', 'off'] as const;
export type Power = (typeof POWERS)[number];

export const POWER_STANDINGS = [...POWERS, 'starting', 'stopping'] as const;
export type PowerStanding = (typeof POWER_STANDINGS)[number];

/** What users are told. */
export function powerStanding(wanted: Power, actual: Power): PowerStanding {
  if (wanted === actual) return wanted;
  return wanted === 'on' ? 'starting' : 'stopping';
}
