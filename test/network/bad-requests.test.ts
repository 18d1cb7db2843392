/**
 * Requests that are wrong, against a whole network: each is answered with the right status, a code and
 * words, and changes nothing.
 */

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  listImages,
  listTeleports,
  listVms,
} from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ask,
  beginTeleport,
  importImage,
  removeVm,
  teleportEnd,
  vmDescribed,
} from '../harness/requests.ts';
import { startTestNetwork, type TestNetwork } from '../harness/test-network.ts';
import { makeDisk, placeSeededVm, specification, writeSpecification } from '../harness/vms.ts';

const VM = 'small';
/** With more memory than any edge has. */
const LARGE = 'large';
const EDGE = 'edge-1';
const CRAMPED = 'edge-2';
const NOWHERE = '00000000-0000-4000-8000-000000000000';
const PARIS = { region: 'paris' };

let network: TestNetwork;

beforeAll(async () => {
  network = await startTestNetwork({
    edges: [
      { name: EDGE, region: 'eu-west' },
      { name: CRAMPED, region: 'ap-northeast', settings: { VMDN_STORE_QUOTA_BYTES: '1MiB' } },
    ],
    vms: async (vmsDir) => {
      await placeSeededVm(vmsDir, VM, { dataMiB: 4 });
      const disks = [{ file: `${VM}.raw`, format: 'raw' }];
      await writeSpecification(vmsDir, LARGE, {
        ...specification(LARGE, disks),
        memoryMiB: 1_048_576,
      });
    },
  });
  await vmDescribed(network, VM);
  await vmDescribed(network, LARGE);
});
afterAll(async () => network?.[Symbol.asyncDispose]());

/** All that a request could have changed. */
async function everything(): Promise<string> {
  const { client } = network;
  const parts = [listTeleports, listImages, listVms].map((operation) => client.call(operation, {}));
  return JSON.stringify(await Promise.all(parts));
}

type Row = readonly [
  what: string,
  method: string,
  path: string,
  body: unknown,
  status: number,
  code: string,
];

const ROWS: readonly Row[] = [
  ['an unknown VM', 'POST', '/v1/teleports', { vm: 'nobody', near: PARIS }, 404, 'not_found'],
  [
    'an unknown place',
    'POST',
    '/v1/teleports',
    { vm: VM, near: { region: 'atlantis' } },
    404,
    'not_found',
  ],
  [
    'a VM that is a path',
    'POST',
    '/v1/teleports',
    { vm: '../../etc', near: PARIS },
    400,
    'invalid_input',
  ],
  [
    'a VM that is an option',
    'POST',
    '/v1/teleports',
    { vm: '--help', near: PARIS },
    400,
    'invalid_input',
  ],
  [
    'a VM with a line end',
    'POST',
    '/v1/teleports',
    { vm: 'a\nb', near: PARIS },
    400,
    'invalid_input',
  ],
  ['a VM that is no text', 'POST', '/v1/teleports', { vm: 7, near: PARIS }, 400, 'invalid_input'],
  ['no place', 'POST', '/v1/teleports', { vm: VM }, 400, 'invalid_input'],
  [
    'a point off the Earth',
    'POST',
    '/v1/teleports',
    { vm: VM, near: { latitude: 91, longitude: 0 } },
    400,
    'invalid_input',
  ],
  [
    'a negative distance',
    'POST',
    '/v1/teleports',
    { vm: VM, near: PARIS, withinKm: -1 },
    400,
    'invalid_input',
  ],
  [
    'a VM for which no edge has room',
    'POST',
    '/v1/teleports',
    { vm: LARGE, near: PARIS },
    507,
    'no_room',
  ],
  [
    'a plan for an unknown VM',
    'POST',
    '/v1/plans',
    { vm: 'nobody', near: PARIS },
    404,
    'not_found',
  ],
  ['a teleport that is no id', 'GET', '/v1/teleports/1', undefined, 400, 'invalid_input'],
  ['an unknown teleport', 'GET', `/v1/teleports/${NOWHERE}`, undefined, 404, 'not_found'],
  [
    'events of an unknown teleport',
    'GET',
    `/v1/teleports/${NOWHERE}/events`,
    undefined,
    404,
    'not_found',
  ],
  [
    'cancelling an unknown teleport',
    'DELETE',
    `/v1/teleports/${NOWHERE}`,
    undefined,
    404,
    'not_found',
  ],
  [
    'a seed of an unknown image',
    'POST',
    '/v1/seeds',
    { image: 'nothing', edges: [EDGE] },
    404,
    'not_found',
  ],
  [
    'a seed for no edge',
    'POST',
    '/v1/seeds',
    { image: 'nothing', edges: [] },
    400,
    'invalid_input',
  ],
  ['an unknown seed', 'GET', `/v1/seeds/${NOWHERE}`, undefined, 404, 'not_found'],
  [
    'an import on an unknown edge',
    'POST',
    '/v1/imports',
    { edge: 'nowhere', name: 'a', file: '/a', format: 'raw' },
    404,
    'not_found',
  ],
  [
    'an import of an unknown format',
    'POST',
    '/v1/imports',
    { edge: EDGE, name: 'a', file: '/a', format: 'qed' },
    400,
    'invalid_input',
  ],
  ['the description of an unknown VM', 'GET', '/v1/vms/nobody', undefined, 404, 'not_found'],
  ['a page that is too long', 'GET', '/v1/teleports?limit=100000', undefined, 400, 'invalid_input'],
  [
    'a token for a stranger',
    'POST',
    '/v1/enrolment-tokens',
    { kind: 'king' },
    400,
    'invalid_input',
  ],
  ['a path that is not there', 'GET', '/v1/everything', undefined, 404, 'not_found'],
];

describe('a wrong request', () => {
  it.each(ROWS)(
    'with %s is refused and changes nothing',
    async (_, method, path, body, status, code) => {
      const before = await everything();
      const reply = await ask(network, method, path, { body });
      expect(reply).toMatchObject({
        status,
        body: { error: { code, message: expect.stringMatching(/\w+.*\w/) } },
      });
      expect(await everything()).toBe(before);
    },
  );

  it('that is no JSON is refused', async () => {
    const reply = await ask(network, 'POST', '/v1/teleports', { raw: '{"vm":' });
    expect(reply).toMatchObject({ status: 400, body: { error: { code: 'invalid_input' } } });
  });

  it('that is too large is refused before it is read', async () => {
    const raw = new Uint8Array(8 * 2 ** 20).fill(0x20);
    const reply = await ask(network, 'POST', '/v1/teleports', { raw });
    expect(reply).toMatchObject({ status: 413, body: { error: { code: 'too_large' } } });
  });

  it.each([
    ['no token', null],
    ['a wrong token', 'vmdn-client-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'],
    ['an empty token', ''],
  ])('with %s is refused on every route', async (_, token) => {
    for (const [, method, path, body] of ROWS.slice(0, -1)) {
      const reply = await ask(network, method, path, { body, token });
      expect({ path, status: reply.status }).toEqual({ path, status: 401 });
    }
  });

  it('is answered in the words of people, not of the machine', async () => {
    const { body } = await ask(network, 'POST', '/v1/teleports', {
      body: { vm: 'smal', near: PARIS },
    });
    expect(JSON.stringify(body)).not.toMatch(/at .*\.ts:|node_modules|select |syntax error/i);
  });
});

describe('an edge near the place without room', () => {
  it('is passed over for the next nearest, and the answer says so', async () => {
    const { teleport, spilled, chosen, others } = await beginTeleport(network, VM, 'osaka');
    expect({ spilled, edge: chosen.edge }).toEqual({ spilled: true, edge: EDGE });
    const [passedOver] = others;
    expect(passedOver).toMatchObject({ edge: CRAMPED, eligible: false });
    expect(passedOver?.reason).toMatch(/room/i);
    const end = await teleportEnd(network, teleport);
    expect(end).toMatchObject({ state: 'running', message: null, edge: EDGE });
    await removeVm(network, end);
  });
});

describe('an import', () => {
  it('of a file outside the import folders is refused by the edge', async () => {
    const outside = { path: '/etc/passwd', format: 'raw' };
    await expect(importImage(network, EDGE, 'stolen', outside)).rejects.toThrow(/import/i);
    const { images } = await network.client.call(listImages, {});
    expect(images.filter(({ name }) => name === 'stolen')).toEqual([]);
  });

  it('of a file that is not what it claims to be is refused, and the edge goes on', async () => {
    const path = join(network.folder, 'words.qcow2');
    await writeFile(path, 'this is no disk');
    await expect(importImage(network, EDGE, 'words', { path, format: 'qcow2' })).rejects.toThrow(
      /qcow2/,
    );
    const disk = await makeDisk(join(network.folder, 'good.raw'), { seed: 'good', dataMiB: 2 });
    const before = await readFile(disk.path);
    await importImage(network, EDGE, 'good', disk);
    expect((await readFile(disk.path)).equals(before)).toBe(true);
  });
});
