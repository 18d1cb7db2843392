/**
 * Teleports by a functional copy (SMART-MIGRATE): web-01 is made anew at an edge of the base image there,
 * packages of a mirror, and of the origin's disk what those do not have. On the way the edge is killed.
 */

import { chmod, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packageDifference } from '@vmdn/core/domain/functional.ts';
import { totalTierBytes } from '@vmdn/core/domain/tiers.ts';
import {
  cancelTeleport,
  listImages,
  planTeleport,
  type Teleport,
} from '@vmdn/core/http/contracts/coordinator-clients.ts';
import {
  makeKey,
  publishSuite,
  type SigningKey,
  startMirror,
} from '@vmdn/core/io/mirrors/package-mirrors.fixture.ts';
import type { DiskFile } from '@vmdn/infra/lab/disk-proof.ts';
import { findGuest, type Guest, placeVm } from '@vmdn/infra/lab/guests.ts';
import { proveSite } from '@vmdn/infra/lab/site-proof.ts';
import { waitFor } from '@vmdn/infra/lab/wait-for.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keptDebs, packagesOn, writeSources } from '../harness/guest-debs.ts';
import {
  beginTeleport,
  importImage,
  removeVm,
  teleportEnd,
  teleportUntil,
  vmDescribed,
} from '../harness/requests.ts';
import { startTestNetwork, type TestNetwork } from '../harness/test-network.ts';

const VM = 'web-01';
const BASE = 'debian-12-base';
const EDGE = 'edge-1';
const GONE_MS_MAX = 60_000;
const COPY_MS_MAX = 1_200_000;

const stack = new AsyncDisposableStack();
let dir: string;
let network: TestNetwork;
let guest: Guest;
let base: Guest;
let source: DiskFile;
let teleport: Teleport;
let change: ReturnType<typeof packageDifference>;

/** A mirror with what web-01 has and the base image has not. Returns the path of its sources file. */
async function startOwnMirror(): Promise<string> {
  const mirror = stack.use(await startMirror());
  const key: SigningKey = await makeKey(dir, 'archive');
  stack.defer(() => key.close());
  change = packageDifference(await packagesOn(guest.disk, dir), await packagesOn(base.disk, dir));
  await publishSuite(mirror, { key, debs: await keptDebs(change.install) });
  return await writeSources(join(dir, 'own.sources'), mirror, key);
}

const functional = () => beginTeleport(network, VM, 'london', { method: 'functional' });

/** Waits until the appliance reads the source. */
function untilRead({ teleport: id }: Teleport): Promise<Teleport> {
  return teleportUntil(network, id, 'the source is read', ({ state, disks }) => {
    const { local, origin } = disks[0]?.diskBytes ?? { local: 0, origin: 0 };
    return state === 'syncing' && local + origin > 0;
  });
}

/** Programs that have to do with a teleport's copy: the appliance. */
async function programsOf({ teleport: id }: Teleport): Promise<readonly string[]> {
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^[0-9]+$/.test(pid)) continue;
    const line = await readFile(join('/proc', pid, 'cmdline'), 'utf8').catch(() => '');
    if (line.includes(join('functional', id))) found.push(line.replaceAll('\0', ' '));
  }
  return found;
}

/** Waits until nothing of a copy is left at the edge, and nothing of what was read for it. */
async function untilNothingLeft(of: Teleport): Promise<void> {
  const { stateDir } = network.node(EDGE);
  const folders = ['functional', 'functional-jobs', 'appliance-jobs', join('store', 'staging')];
  const isClean = async (): Promise<boolean> => {
    const left = await Promise.all(
      folders.map((name) => readdir(join(stateDir, name)).catch(() => [])),
    );
    return left.flat().length === 0 && (await programsOf(of)).length === 0;
  };
  await waitFor('nothing of the copy is left', isClean, { timeoutMs: GONE_MS_MAX });
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-functional-'));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  await chmod(dir, 0o711);
  [guest, base] = [await findGuest(VM), await findGuest(BASE)];
  const mirrors = await startOwnMirror();
  network = await startTestNetwork({
    edges: [{ name: EDGE, region: 'eu-west', settings: { VMDN_MIRRORS: mirrors } }],
    vms: async (vmsDir) => {
      source = await placeVm(guest, vmsDir);
    },
  });
  await vmDescribed(network, VM);
});
afterAll(async () => {
  await network?.[Symbol.asyncDispose]();
  await stack.disposeAsync();
});

describe('a functional teleport', () => {
  it('ends at once where neither an image of the release nor its packages are to be had', async () => {
    const { teleport: id } = await functional();
    const failed = await teleportEnd(network, id);
    expect(failed).toMatchObject({ state: 'failed', errorCode: 'not_found', functional: null });
    expect(failed.message).toMatch(/No repository has .* any more.*method exact/);
    await untilNothingLeft(failed);
  });

  it('is foretold beside an exact one, and is not what is cheapest for a guest of this size', async () => {
    await importImage(network, EDGE, BASE, base.disk);
    const body = { vm: VM, near: { region: 'london' }, method: 'cheapest' } as const;
    const plan = await waitFor(
      'its cost is known',
      async () => {
        const { chosen } = await network.client.call(planTeleport, { body });
        // Until the edge has taken the image up it would be made from scratch.
        return chosen.functional?.image == null ? undefined : chosen;
      },
      { timeoutMs: 60_000 },
    );
    const installed = change.install.length;
    expect(plan.functional).toMatchObject({ installed, removed: change.remove.length });
    expect(plan.functional!.wireBytes).toBe(plan.plan!.wireBytes);
    expect(plan.functional!.estimatedSeconds).toBeGreaterThan(plan.estimatedSeconds);
    expect(plan).toMatchObject({ method: 'exact' });
  });

  it('leaves nothing when it is cancelled while its appliance works', async () => {
    const begun = await functional();
    await untilRead(begun);
    await network.client.call(cancelTeleport, { params: { teleport: begun.teleport } });
    await untilNothingLeft(begun);
  });

  it('begins anew when its edge is killed, and the appliance does not outlive the edge', async () => {
    const begun = await functional();
    await untilRead(begun);
    await network.node(EDGE).service.kill();
    const isEnded = async (): Promise<boolean> => (await programsOf(begun)).length === 0;
    await waitFor('the appliance has ended', isEnded, { timeoutMs: GONE_MS_MAX });
    await network.node(EDGE).restart();
    const isOver = ({ state }: Teleport): boolean => state === 'running';
    teleport = await teleportUntil(network, begun.teleport, 'it runs', isOver, COPY_MS_MAX);
  }, 1_500_000);

  it('has the packages and files of its source, most of them from near', async () => {
    const { functional: copy, disks, chosen } = teleport;
    const { images } = await network.client.call(listImages, {});
    const cloned = images.find(({ name }) => name === BASE)!;
    expect(copy).toMatchObject({
      image: { name: BASE, digest: cloned.digest },
      ...{ installed: change.install.length, removed: change.remove.length },
    });
    // The site's 64 MiB, and not the system.
    expect(copy!.fileBytes).toBeGreaterThan(60 * 2 ** 20);
    expect(copy!.fileBytes).toBeLessThan(250 * 2 ** 20);
    const [disk] = disks;
    expect(disk!.wireBytes.package).toBe(copy!.packageBytes);
    expect(disk!.verifiedBytes).toBeLessThan(disk!.virtualSizeBytes);
    // Of what is not here already less crosses than in a plain copy: only what was read.
    expect(totalTierBytes(disk!.wireBytes)).toBeLessThan(chosen.plan?.copy.wireBytes ?? 0);
    expect(copy!.digest).not.toBe(disk!.digest);
  });

  it('serves the same site, and says by what it was checked', async () => {
    const [endpoint] = teleport.endpoints;
    const url = `http://${endpoint!.host}:${endpoint!.hostPort}/`;
    const proof = await proveSite(url, guest.siteManifestPath!);
    expect(proof.differences).toEqual([]);
    expect(proof.files).toBeGreaterThan(0);
    expect(teleport.functional?.checkedBy).toEqual([
      'it boots',
      expect.stringMatching(/^http answers at /),
    ]);
  });

  it('I1: leaves source and image as they were, and nothing when its VM is removed', async () => {
    const before = await stat(source.path);
    await network.node(EDGE).service.kill();
    await network.node(EDGE).restart();
    await removeVm(network, teleport);
    await untilNothingLeft(teleport);
    const { images } = await network.client.call(listImages, {});
    expect(images.some(({ name }) => name === BASE)).toBe(true);
    expect((await stat(source.path)).mtimeMs).toBe(before.mtimeMs);
  });
});
