import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { CoordinatorClient } from '@vmdn/core/http/clients/coordinator-client.ts';
import { type ReadAhead, readAhead } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { openRecords } from '@vmdn/core/io/store/records.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createReadsAhead } from './reads-ahead.ts';

const DIGEST = 'ab'.repeat(32) as Digest;
const { signal } = new AbortController();
let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-reads-'));
});
afterEach(() => rm(dir, { recursive: true }));

/** The edge's readings after a restart, and what its coordinator hears; `isAway` makes calls fail. */
async function restarted(isAway: boolean) {
  const heard: ReadAhead[][] = [];
  const call = async (_: unknown, { body }: { body: { reads: ReadAhead[] } }) => {
    heard.push(body.reads);
    if (isAway) throw new VmdnError('unavailable', 'away');
    return { accepted: true };
  };
  const client = { call } as unknown as Pick<CoordinatorClient, 'call'>;
  return {
    heard,
    reads: createReadsAhead({ client, records: await openRecords(dir, readAhead) }),
  };
}

describe('readings of recipes ahead of time', () => {
  it('I1, I2: are reported until the coordinator took them, each under one number', async () => {
    const first = await restarted(true);
    await first.reads.note(DIGEST, { tier: 'origin', wireBytes: 100 });
    await first.reads.note(DIGEST, { tier: 'peer', wireBytes: 7 });
    await expect(first.reads.report(signal)).rejects.toMatchObject({ code: 'unavailable' });
    const second = await restarted(false);
    await second.reads.report(signal);
    await second.reads.report(signal);
    expect(second.heard).toEqual(first.heard);
    const told = second.heard.flat().map(({ tier, wireBytes }) => [tier, wireBytes]);
    expect(told.sort()).toEqual([
      ['origin', 100],
      ['peer', 7],
    ]);
  });
});
