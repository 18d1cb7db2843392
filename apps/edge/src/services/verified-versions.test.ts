import type { Description } from '@vmdn/core/domain/description.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { type Id, parseName } from '@vmdn/core/domain/names.ts';
import { generateNodeKey } from '@vmdn/core/http/auth/keys.ts';
import { descriptionDigestOf, signDescription } from '@vmdn/core/http/auth/signed-description.ts';
import type { KnownVersion } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { describe, expect, it } from 'vitest';
import { createLeftoversReconciler } from '../reconcilers/leftovers.ts';
import { createScoresReconciler } from '../reconcilers/scores.ts';
import { createVerifiedVersions, type NewestVersions } from './verified-versions.ts';

const ORIGIN = '11111111-1111-4111-8111-111111111111' as Id;
const DISK = 'ab'.repeat(32);
const key = await generateNodeKey();
const stranger = await generateNodeKey();

function describeVm(version: number): Description {
  return {
    ...{ schema: 'vmdn-description/1', vm: parseName('web-01', 'VM'), version },
    ...{ describedAt: '2026-01-02T03:04:05Z', os: null, packages: [], services: [] },
    hardware: { vcpus: 1, memoryMiB: 64, firmware: 'bios', ports: [], ready: null },
    disks: [
      { digest: DISK, virtualSizeBytes: 4096, nonZeroBytes: 4096, keysRoot: DISK, recipeBytes: 1 },
    ],
  } as unknown as Description;
}

async function signed(version: number, by = key) {
  const text = await signDescription(by, ORIGIN, describeVm(version));
  const known = {
    ...{ vm: parseName('web-01', 'VM'), version, state: 'live', holders: [] },
    origin: { node: ORIGIN, publicKey: key.publicKey },
    descriptionDigest: descriptionDigestOf(text),
  } as unknown as KnownVersion;
  return { text, known };
}

/** Versions over a coordinator that hands out `texts` by version, and how often it was asked. */
function versionsOver(texts: Record<number, string | VmdnError>, bytesMax?: number) {
  const asked: number[] = [];
  const newest = new Map<string, NewestVersions>();
  const call = async (_: unknown, { params }: { params: { version: number } }) => {
    asked.push(params.version);
    const text = texts[params.version];
    if (typeof text === 'string') return { description: text };
    throw text ?? new VmdnError('not_found', 'no such version');
  };
  const records = {
    read: async (vm: string) => newest.get(vm) ?? null,
    write: async (vm: string, value: NewestVersions) => void newest.set(vm, value),
  };
  const versions = createVerifiedVersions({
    ...{ records: records as never, client: { call: call as never } },
    ...(bytesMax === undefined ? {} : { bytesMax }),
  });
  return { versions, asked };
}
const FRESH = { isTakenOn: false };
const TAKEN_ON = { isTakenOn: true };

describe('a description', () => {
  it('I3: is fetched once, however many ask', async () => {
    const { text, known } = await signed(1);
    const { versions, asked } = versionsOver({ 1: text });
    const all = [versions.verify(known, FRESH), versions.verify(known, FRESH)];
    for (const one of await Promise.all(all)) expect(one.disks[0]?.digest).toBe(DISK);
    await versions.verify(known, FRESH);
    expect(asked).toEqual([1]);
  });

  it('I3: is dropped when there is no room for it, the least used first, and fetched again', async () => {
    const made = [await signed(1), await signed(2), await signed(3)] as const;
    const texts = { 1: made[0].text, 2: made[1].text, 3: made[2].text };
    const { versions, asked } = versionsOver(texts, made[0].text.length * 2 + 8);
    for (const index of [0, 1, 0, 2, 0, 1] as const) {
      await versions.verify(made[index].known, TAKEN_ON);
    }
    expect(asked).toEqual([1, 2, 3, 2]);
  });

  it('I1: is refused with another digest, another key, another version', async () => {
    const mine = await signed(1);
    const other = await signed(2);
    const forged = await signed(1, stranger);
    const swapped = versionsOver({ 1: other.text }).versions;
    await expect(swapped.verify(mine.known, FRESH)).rejects.toMatchObject({ code: 'corrupt' });
    const { versions } = versionsOver({ 1: forged.text, 2: other.text });
    await expect(versions.verify(forged.known, FRESH)).rejects.toMatchObject({ code: 'forbidden' });
    await versions.verify(other.known, FRESH);
    // Kept and right, but named for a version that it does not speak of.
    const misnamed = versions.verify({ ...other.known, version: 3 }, FRESH);
    await expect(misnamed).rejects.toMatchObject({ code: 'forbidden' });
  });

  it('I2: of an older version than the newest is refused, unless it was taken on before', async () => {
    const [old, fresh] = [await signed(1), await signed(2)];
    const { versions } = versionsOver({ 1: old.text, 2: fresh.text });
    await versions.verify(fresh.known, FRESH);
    await expect(versions.verify(old.known, FRESH)).rejects.toMatchObject({ code: 'forbidden' });
    await versions.verify(old.known, TAKEN_ON);
  });
});

describe('a description that can’t be had now', () => {
  const away = new VmdnError('unavailable', 'the coordinator is away');

  it('is asked for again: its version is not taken for refused', async () => {
    const { known, text } = await signed(1);
    const texts: Record<number, string | VmdnError> = { 1: away };
    const { versions, asked } = versionsOver(texts);
    const refused: unknown[] = [];
    const run = createScoresReconciler({
      versions,
      planner: { revision: 1 },
      costs: { revision: 0 },
      desired: { latest: () => ({ versions: [known] }) },
      deliveries: { active: 0 },
      packages: { active: 0 },
      reads: { report: async () => undefined },
      events: { descriptionRefused: (...facts: unknown[]) => refused.push(facts) },
      recipes: { find: async () => Promise.reject(new VmdnError('timeout', 'far enough')) },
      budget: { spend: async () => undefined },
      sources: {},
    } as never);
    const { signal } = new AbortController();
    await expect(run(signal)).rejects.toBe(away);
    texts[1] = text;
    await expect(run(signal)).rejects.toMatchObject({ code: 'timeout' });
    expect(asked).toEqual([1, 1]);
    expect(refused).toEqual([]);
  });

  it('costs no disk in the making and no recipe (leftovers I2)', async () => {
    const { known, text } = await signed(1);
    const texts: Record<number, string | VmdnError> = { 1: away };
    const removed: string[] = [];
    const run = createLeftoversReconciler({
      versions: versionsOver(texts).versions,
      desired: { latest: () => ({ versions: [known], teleports: [], seeds: [] }) },
      deliveries: { active: 0 },
      store: {
        stagings: async () => [DISK, 'cd'.repeat(32)],
        removeStaging: async (digest: string) => void removed.push(digest),
      },
      folder: { keepOnly: async () => undefined },
    } as never);
    await expect(run()).rejects.toBe(away);
    expect(removed).toEqual([]);
    texts[1] = text;
    await run();
    expect(removed).toEqual(['cd'.repeat(32)]);
  });
});
