import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { FreshIdentityJob } from '@vmdn/core/io/ports/fresh-identity.ts';
import { describe, expect, it } from 'vitest';
import { freshOverlays, inTurns } from './fresh-identity.ts';
import type { Pass } from './teleport-pass.ts';

const TELEPORT = '0b6f5a4e-0d6c-4c61-8a43-111111111111' as Id;
const plain = { vcpus: 1, memoryMiB: 64, firmware: 'bios', ports: [], ready: null } as const;
const lan = 'lan' as Name;
const overlays = [{ path: '/vms/1/disk-0.qcow2', format: 'qcow2' }] as const;

function passOf(wish: object, freshIdentity: (job: FreshIdentityJob) => Promise<string[]>) {
  const cards = (...macs: (string | undefined)[]) =>
    macs.map((mac) => ({ network: lan, ...(mac !== undefined && { mac }) }));
  const written: { phases: Record<string, number> }[] = [];
  const told: unknown[] = [];
  const pass = {
    deps: {
      freshIdentity,
      events: { identityMade: (...words: unknown[]) => told.push(words) },
      records: { write: async (_: string, record: never) => void written.push(record) },
    },
    job: { desired: () => ({ identity: 'fresh', hostname: null, ...wish }) },
    teleport: TELEPORT,
    description: { vm: 'web-01', hardware: { ...plain, interfaces: cards('new-1', 'new-2') } },
    sourceHardware: { ...plain, interfaces: cards('old-1', undefined) },
    record: { phases: {} },
    saved: Promise.resolve(),
    signal: new AbortController().signal,
  } as unknown as Pass;
  return { pass, written, told };
}

describe('the overlays of a new VM', () => {
  it('are left as they are for the identity of the source', () => {
    const { pass } = passOf({ identity: 'same' }, async () => Promise.reject(new Error('asked')));
    expect(freshOverlays(pass)).toBeUndefined();
  });

  it.each([
    [null, 'web-01-0b6f5a4e'],
    ['web-02', 'web-02'],
  ])(
    'get an identity with the host name that is wished (%s) and the addresses that are new',
    async (wished, hostname) => {
      const jobs: FreshIdentityJob[] = [];
      const { pass, written, told } = passOf({ hostname: wished }, async (job) => {
        jobs.push(job);
        return ['machine-id'];
      });
      await freshOverlays(pass)!(overlays);
      expect(jobs).toEqual([
        { disks: overlays, hostname, macs: [{ from: 'old-1', to: 'new-1' }], signal: pass.signal },
      ]);
      expect(told).toEqual([[TELEPORT, hostname, ['machine-id']]]);
      expect(written.at(-1)?.phases.identity).toBeGreaterThanOrEqual(0);
    },
  );

  it('I1: fail with what went wrong, and nothing is said to be done', async () => {
    const { pass, written, told } = passOf({}, async () => Promise.reject(new Error('no system')));
    await expect(freshOverlays(pass)!(overlays)).rejects.toThrow('no system');
    expect([written, told]).toEqual([[], []]);
  });
});

describe('identities that are written', () => {
  it('I3: come one after the other, and one that was called off meanwhile never begins', async () => {
    const begun: string[] = [];
    const first = Promise.withResolvers<string[]>();
    const fresh = inTurns(async ({ hostname }) => {
      begun.push(hostname);
      return hostname === 'a' ? await first.promise : [];
    });
    const off = new AbortController();
    const job = (hostname: string, signal = new AbortController().signal) => {
      return fresh({ disks: overlays, hostname, macs: [], signal });
    };
    const all = [job('a'), job('b', off.signal), job('c')];
    await expect.poll(() => begun).toEqual(['a']);
    off.abort(new Error('called off'));
    first.resolve([]);
    const ended = await Promise.allSettled(all);
    expect(ended.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(begun).toEqual(['a', 'c']);
  });
});
