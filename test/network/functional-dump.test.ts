/**
 * A teleport whose databases come by dump and restore, over a whole network: the image at the edge has the
 * same packages and nothing of the data, so what the delivered VM answers was restored.
 */

import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import type { DiskFile } from '@vmdn/infra/lab/disk-proof.ts';
import { findGuest, placeVm } from '@vmdn/infra/lab/guests.ts';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { changeGuest, removeFiles } from '../harness/changed-guests.ts';
import {
  beginTeleport,
  importImage,
  removeVm,
  teleportUntil,
  vmDescribed,
} from '../harness/requests.ts';
import { startTestNetwork, type TestNetwork } from '../harness/test-network.ts';
import { MIB } from '../harness/vms.ts';

const VM = 'db-01';
const EDGE = 'edge-1';
const IMAGE = 'db-image';
const COPY_MS_MAX = 1_500_000;

let network: TestNetwork;
let source: DiskFile;

const md5 = (text: string): string => createHash('md5').update(text).digest('hex');
/** Texts that the guest's recipe filled its tables with: the hashes of the numbers from 1 on. */
const hashes = (count: number): string =>
  md5(Array.from({ length: count }, (_, i) => md5(String(i + 1))).join(','));

beforeAll(async () => {
  const guest = await findGuest(VM);
  network = await startTestNetwork({
    edges: [{ name: EDGE, region: 'eu-west' }],
    vms: async (vmsDir) => {
      // Whoever asks starts both servers.
      source = await placeVm(guest, vmsDir, VM, [], {
        ports: [{ name: 'http', guest: 80 }],
        ready: { kind: 'http', port: 'http', path: '/', timeoutSeconds: 900 },
      });
    },
  });
  await vmDescribed(network, VM);
  const image = join(network.folder, `${IMAGE}.raw`);
  await changeGuest(guest, image);
  for (const folder of ['/var/lib/mysql', '/var/lib/postgresql']) {
    expect(await removeFiles(image, folder)).toBeGreaterThan(MIB);
  }
  await importImage(network, EDGE, IMAGE, { path: image, format: 'raw' });
});
afterAll(() => network?.[Symbol.asyncDispose]());

it(
  'a teleport with its databases by dump delivers a VM that answers from what was restored',
  async () => {
    const before = await stat(source.path);
    const how = { method: 'functional', databases: 'dump' } as const;
    const begun = await beginTeleport(network, VM, 'london', how);
    const isOver = ({ state }: Teleport): boolean => state === 'running';
    const teleport = await teleportUntil(network, begun.teleport, 'it runs', isOver, COPY_MS_MAX);
    expect(teleport.functional).toMatchObject({
      ...{ image: { name: IMAGE }, installed: 0, removed: 0 },
      databases: [
        { engine: 'mariadb', how: 'dump', tables: 4, rows: 20_503 },
        { engine: 'postgresql', how: 'dump', tables: 2, rows: 20_002 },
      ],
    });
    const [endpoint] = teleport.endpoints;
    const answer = await fetch(`http://${endpoint!.host}:${endpoint!.hostPort}/`);
    // Rows, users with their passwords, a role with its grants.
    expect(await answer.text()).toBe(
      [
        'mariadb purchases: 20000',
        `mariadb products: ${hashes(500)}`,
        'mariadb products for clerk: 500',
        `postgresql purchases for shop: ${hashes(20_000)}`,
        '',
      ].join('\n'),
    );
    // The servers read their data where it is; everything else was near.
    const [{ wireBytes } = { wireBytes: undefined }] = teleport.disks;
    expect(wireBytes?.origin).toBeGreaterThan(MIB);
    expect((await stat(source.path)).mtimeMs).toBe(before.mtimeMs);
    await removeVm(network, teleport);
  },
  COPY_MS_MAX,
);
