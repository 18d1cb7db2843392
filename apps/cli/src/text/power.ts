/** Room: formats. Whether a VM is on, in words. */

import type { PowerStanding } from '@vmdn/core/domain/power.ts';

/** What follows "is". */
export const POWER_WORDS: Readonly<Record<PowerStanding, string>> = {
  on: 'on',
  off: 'off',
  starting: 'being started',
  stopping: 'being stopped',
};
