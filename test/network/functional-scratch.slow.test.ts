/**
 * A functional teleport of a Debian guest to an edge that has no image of its release: the system is made
 * from scratch, of nothing but verified packages of a mirror; of the origin's disk comes what those lack.
 */

import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { InstalledPackage } from '@vmdn/core/domain/description.ts';
import { isBootPackage } from '@vmdn/core/domain/functional.ts';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import {
  makeKey,
  publishSuite,
  startMirror,
} from '@vmdn/core/io/mirrors/package-mirrors.fixture.ts';
import { findGuest, type Guest, placeVm } from '@vmdn/infra/lab/guests.ts';
import { proveSite } from '@vmdn/infra/lab/site-proof.ts';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { keptDebs, packagesOn, writeSources } from '../harness/guest-debs.ts';
import { beginTeleport, removeVm, teleportUntil, vmDescribed } from '../harness/requests.ts';
import { startTestNetwork, type TestNetwork } from '../harness/test-network.ts';

const VM = 'web-01';
const EDGE = 'edge-1';
/** Some twenty minutes were seen where half a processor was left for it. */
const COPY_MS_MAX = 2_400_000;

const stack = new AsyncDisposableStack();
let network: TestNetwork;
let guest: Guest;
let packages: readonly InstalledPackage[];

beforeAll(async () => {
  const dir = await mkdtemp(join(tmpdir(), 'vmdn-scratch-'));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  await chmod(dir, 0o711);
  guest = await findGuest(VM);
  const mirror = stack.use(await startMirror());
  const key = await makeKey(dir, 'archive');
  stack.defer(() => key.close());
  packages = await packagesOn(guest.disk, dir);
  await publishSuite(mirror, { key, debs: await keptDebs(packages) });
  const mirrors = await writeSources(join(dir, 'own.sources'), mirror, key);
  network = await startTestNetwork({
    edges: [{ name: EDGE, region: 'eu-west', settings: { VMDN_MIRRORS: mirrors } }],
    vms: async (vmsDir) => void (await placeVm(guest, vmsDir)),
  });
  await vmDescribed(network, VM);
});
afterAll(async () => {
  await network?.[Symbol.asyncDispose]();
  await stack.disposeAsync();
});

it(
  'a Debian guest is made from scratch where no image of its release is, and serves its site',
  async () => {
    const begun = await beginTeleport(network, VM, 'london', { method: 'functional' });
    const isOver = ({ state }: Teleport): boolean => state === 'running';
    const teleport = await teleportUntil(network, begun.teleport, 'it runs', isOver, COPY_MS_MAX);
    const made = teleport.functional!;
    expect(made).toMatchObject({ image: null, removed: 0 });
    const kernels = packages.filter(({ name }) => name.startsWith('linux-image'));
    const others = packages.filter(({ name }) => !isBootPackage(name));
    expect(made.installed).toBe(others.length + kernels.length);
    const [disk] = teleport.disks;
    expect(disk!.wireBytes.package).toBe(made.packageBytes);
    const [endpoint] = teleport.endpoints;
    const url = `http://${endpoint!.host}:${endpoint!.hostPort}/`;
    const proof = await proveSite(url, guest.siteManifestPath!);
    expect(proof.differences).toEqual([]);
    expect(proof.files).toBeGreaterThan(0);
    await removeVm(network, teleport);
  },
  COPY_MS_MAX,
);
