/**
 * Functional teleports of an RPM guest: from scratch at an edge without an image of its release, then from
 * one. Packages come from a signed mirror with the repository that the guest's own builder made.
 */

import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import {
  makeKey,
  signRpm,
  startMirror,
  writeRepoFile,
} from '@vmdn/core/io/mirrors/package-mirrors.fixture.ts';
import type { DiskFile } from '@vmdn/infra/lab/disk-proof.ts';
import { findGuest, type Guest, placeVm } from '@vmdn/infra/lab/guests.ts';
import { proveSite } from '@vmdn/infra/lab/site-proof.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { guestRepository } from '../harness/guest-rpms.ts';
import {
  beginTeleport,
  INSPECT_MS_MAX,
  importImage,
  removeVm,
  teleportUntil,
  vmDescribed,
} from '../harness/requests.ts';
import { startTestNetwork, type TestNetwork } from '../harness/test-network.ts';

const VM = 'rpm-site';
/** The same guest as a machine that UEFI starts. */
const UEFI_VM = 'rpm-uefi';
const BASE = 'rpm-base';
const EDGE = 'edge-1';
const COPY_MS_MAX = 1_200_000;
/** An appliance may have to be made, and looks at one guest after the other. */
const BEGIN_MS_MAX = 2 * INSPECT_MS_MAX + 300_000;

const stack = new AsyncDisposableStack();
let network: TestNetwork;
let guest: Guest;
let source: DiskFile;
let uefiSource: DiskFile;

/** Copies it functionally and waits until it runs and is ready. */
async function copy(vm = VM, how: { readonly move?: boolean } = {}): Promise<Teleport> {
  const { teleport } = await beginTeleport(network, vm, 'london', { method: 'functional', ...how });
  const isOver = ({ state }: Teleport): boolean => state === 'running';
  return await teleportUntil(network, teleport, 'it runs', isOver, COPY_MS_MAX);
}

function siteOf({ endpoints: [endpoint] }: Teleport): string {
  return `http://${endpoint!.host}:${endpoint!.hostPort}/`;
}

async function proveIt(teleport: Teleport): Promise<void> {
  const proof = await proveSite(siteOf(teleport), guest.siteManifestPath!);
  expect(proof.differences).toEqual([]);
  expect(proof.files).toBeGreaterThan(0);
  expect(teleport.functional?.checkedBy).toHaveLength(2);
}

/** What the guest answers for a file that came with its packages. */
async function asked(teleport: Teleport, path: string): Promise<string> {
  const answer = await fetch(`${siteOf(teleport)}${path}`);
  return answer.ok ? (await answer.text()).trim() : String(answer.status);
}

beforeAll(async () => {
  const dir = await mkdtemp(join(tmpdir(), 'vmdn-rpm-'));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  await chmod(dir, 0o711);
  guest = await findGuest(VM);
  const mirror = stack.use(await startMirror());
  const key = await makeKey(dir, 'archive');
  stack.defer(() => key.close());
  for (const [path, bytes] of await guestRepository(dir)) mirror.files.set(`/rpm/${path}`, bytes);
  await signRpm(mirror, key);
  const mirrors = join(dir, 'own.repo');
  await writeRepoFile(mirrors, mirror, key);
  network = await startTestNetwork({
    edges: [{ name: EDGE, region: 'eu-west', settings: { VMDN_MIRRORS: mirrors } }],
    vms: async (vmsDir) => {
      source = await placeVm(guest, vmsDir);
      uefiSource = await placeVm(guest, vmsDir, UEFI_VM, [], { firmware: 'uefi' });
    },
  });
  for (const vm of [VM, UEFI_VM]) await vmDescribed(network, vm, 1, INSPECT_MS_MAX);
}, BEGIN_MS_MAX);
afterAll(async () => {
  await network?.[Symbol.asyncDispose]();
  await stack.disposeAsync();
});

describe('a functional teleport of an RPM guest', () => {
  it(
    'makes it from scratch where no image of the release is',
    async () => {
      const teleport = await copy();
      const made = teleport.functional!;
      expect(made).toMatchObject({ image: null, removed: 0 });
      expect(made.installed).toBeGreaterThan(10);
      const [disk] = teleport.disks;
      expect(disk!.wireBytes.package).toBe(made.packageBytes);
      // The system came with packages: of the source's disk little more than its site was read.
      expect(disk!.wireBytes.origin).toBeLessThan(made.packageBytes);
      await proveIt(teleport);
      // Its script found nothing before it.
      expect(await asked(teleport, 'about/version')).toBe('1.1');
      expect(await asked(teleport, 'about/installed')).toBe('1');
      await removeVm(network, teleport);
      expect(await readdir(join(network.node(EDGE).stateDir, 'functional'))).toEqual([]);
    },
    COPY_MS_MAX,
  );

  it(
    'lays the new disk out for UEFI where that starts the source; moved, the source can’t start any more',
    async () => {
      const teleport = await copy(UEFI_VM, { move: true });
      expect(teleport.move).toMatchObject({ fence: 'held' });
      expect(existsSync(uefiSource.path)).toBe(false);
      expect(teleport.functional).toMatchObject({ image: null, removed: 0 });
      await proveIt(teleport);
      // Its firmware knows no boot sectors.
      const files = await readdir(join(network.node(EDGE).stateDir, 'vms', teleport.teleport));
      expect(files).toContain('uefi-variables.fd');
      await removeVm(network, teleport, 'discard');
      await expect.poll(() => existsSync(uefiSource.path), { timeout: 60_000 }).toBe(true);
    },
    COPY_MS_MAX,
  );

  it(
    'installs, upgrades and removes packages of a clone by rpm, with their scripts',
    async () => {
      await importImage(network, EDGE, BASE, (await findGuest(BASE)).disk);
      const before = await stat(source.path);
      const teleport = await copy();
      const made = teleport.functional!;
      // less, its library, a web server and a newer version of web-tools; ed goes.
      expect(made).toMatchObject({ image: { name: BASE }, installed: 4, removed: 1 });
      await proveIt(teleport);
      expect(await asked(teleport, 'about/version')).toBe('1.1');
      expect(await asked(teleport, 'about/installed')).toBe('2');
      expect(await asked(teleport, 'bin/ed')).toBe('404');
      expect((await stat(source.path)).mtimeMs).toBe(before.mtimeMs);
      await removeVm(network, teleport);
    },
    COPY_MS_MAX,
  );
});
