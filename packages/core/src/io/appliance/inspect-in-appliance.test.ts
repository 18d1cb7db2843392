import { expect, it } from 'vitest';
import { VmdnError } from '../../domain/errors.ts';
import type { ApplianceResult } from './appliance.ts';
import { createApplianceInspector } from './inspect-in-appliance.ts';

const EMPTY: ApplianceResult = { exitCode: 0, log: '', files: new Map() };
const signal = new AbortController().signal;

/** An inspector whose appliance hangs so many times, and how often it was started. */
function inspectorThatHangs(times: number) {
  const starts = { count: 0 };
  const inspect = createApplianceInspector({
    async run() {
      starts.count += 1;
      if (starts.count <= times) throw new VmdnError('timeout', 'It took too long.');
      return EMPTY;
    },
  });
  return { inspect, starts };
}

it('I3: an appliance that hangs is started once more', async () => {
  const { inspect, starts } = inspectorThatHangs(1);
  expect(await inspect([], signal)).toMatchObject({ os: null, packages: [] });
  expect(starts.count).toBe(2);
});

it('I3: one that hangs again has timed out', async () => {
  const { inspect, starts } = inspectorThatHangs(2);
  await expect(inspect([], signal)).rejects.toMatchObject({ code: 'timeout' });
  expect(starts.count).toBe(2);
});
