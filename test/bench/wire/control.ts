/**
 * Room: test, bench. Runs on the origin's side, where the coordinator is: what a user would type. Its talk
 * with the coordinator does not cross the cable. Prints one JSON object.
 *
 *     node control.ts CLIENT_FILE healthy NODE...             waits until these nodes are
 *     node control.ts CLIENT_FILE token origin|edge           an enrolment token
 *     node control.ts CLIENT_FILE import EDGE NAME FILE       a raw file as base image; waits for it
 *     node control.ts CLIENT_FILE scored VM                   waits until an edge has a plan for the VM
 *     node control.ts CLIENT_FILE planned VM                  waits for a score that has packages in it
 *     node control.ts CLIENT_FILE teleport VM REGION exact|functional
 *                                                             waits until every disk is verified; says when
 *     node control.ts CLIENT_FILE running TELEPORT            waits until its guest answers
 *     node control.ts CLIENT_FILE boot VM REGION lazy|whole   waits until the guest answers; says when
 *     node control.ts CLIENT_FILE independent TELEPORT        waits until a lazy VM needs nobody
 *     node control.ts CLIENT_FILE cold VMS_DIR GUEST VM REGION
 *                                                             gives the origin a VM and asks for it as soon
 *                                                             as it is described
 *     node control.ts CLIENT_FILE cancel TELEPORT             removes a delivered VM
 */

import { type Id, parseId } from '@vmdn/core/domain/names.ts';
import type { TeleportMethod } from '@vmdn/core/domain/skip-free.ts';
import { isFinal, type TeleportState } from '@vmdn/core/domain/teleport.ts';
import type { TierBytes } from '@vmdn/core/domain/tiers.ts';
import type { CoordinatorClient } from '@vmdn/core/http/clients/coordinator-client.ts';
import { createCoordinatorClient } from '@vmdn/core/http/clients/coordinator-client.ts';
import * as api from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { readClientFile } from '@vmdn/core/io/files/client-file.ts';
import { type Guest, placeVm } from '@vmdn/infra/lab/guests.ts';
import { waitFor } from '@vmdn/infra/lab/wait-for.ts';

/** The disk of a large guest over a slow link; describing it on a busy machine. */
const PATIENCE_MS = 3_000_000;
const START_MS = 60_000;
/** Often: what the edge does before it is asked is to be little. */
const COLD_POLL_MS = 50;

type Command = (client: CoordinatorClient, args: readonly string[]) => Promise<unknown>;

/** Waits until an edge has scored the VM, with a plan such as is wanted. */
function scored(
  client: CoordinatorClient,
  vm: string,
  isWanted: (diskBytes: TierBytes) => boolean,
): Promise<unknown> {
  return waitFor(
    'the edge has a score for the VM',
    async () => {
      const { description, scores } = await client.call(api.describeVm, { params: { vm } });
      const isScored = scores.some(({ disks }) => disks.some((disk) => isWanted(disk.diskBytes)));
      return isScored ? { description, scores } : undefined;
    },
    { timeoutMs: PATIENCE_MS },
  );
}

/** All disks of a teleport are verified in these states, if it is not lazy. */
const VERIFIED: readonly TeleportState[] = ['verified', 'booting', 'running'];

/** Asks for the VM near a region; how long that took until the teleport was in one of `states`. */
async function teleport(
  client: CoordinatorClient,
  vm: string,
  region: string,
  how: {
    readonly lazy?: boolean;
    readonly method?: TeleportMethod;
    readonly states?: readonly TeleportState[];
  } = {},
) {
  const { lazy = false, method = 'exact', states = VERIFIED } = how;
  const startMs = Date.now();
  const body = { vm, near: { region }, lazy, method };
  const { teleport } = await client.call(api.requestTeleport, { body });
  const reached = await untilState(client, teleport, states);
  return { ...reached, startMs };
}

async function untilState(
  client: CoordinatorClient,
  teleport: Id,
  states: readonly TeleportState[],
) {
  for await (const now of client.followTeleport(teleport)) {
    const endMs = Date.now();
    if (states.includes(now.state)) return { ...now, endMs };
    if (isFinal(now.state)) throw new Error(`the teleport ${now.state}: ${now.message}`);
  }
  throw new Error('the teleport was not followed to its end');
}

const COMMANDS: Readonly<Record<string, Command>> = {
  healthy: (client, names) =>
    waitFor(
      'every node is healthy',
      async () => {
        const { nodes } = await client.call(api.listEdges, {});
        return names.every((name) => nodes.some((node) => node.name === name && node.healthy));
      },
      { timeoutMs: START_MS },
    ),

  token: (client, [kind]) =>
    client.call(api.createEnrolmentToken, { body: { kind: kind === 'edge' ? 'edge' : 'origin' } }),

  async import(client, [edge = '', name = '', file = '']) {
    const body = { edge, name, file, format: 'raw' as const };
    const order = await client.call(api.requestImport, { body });
    const ended = await waitFor(
      'the image is imported',
      async () => {
        const now = await client.call(api.getImport, { params: { import: order.import } });
        return now.state === 'done' || now.state === 'failed' ? now : undefined;
      },
      { timeoutMs: PATIENCE_MS },
    );
    if (ended.state === 'failed') throw new Error(`the import failed: ${ended.message}`);
    await waitFor(
      'the coordinator knows the image',
      async () => {
        const { images } = await client.call(api.listImages, {});
        return images.some((image) => image.digest === ended.digest && image.holders.length > 0);
      },
      { timeoutMs: START_MS },
    );
    return ended;
  },

  scored: (client, [vm = '']) => scored(client, vm, () => true),

  planned: (client, [vm = '']) => scored(client, vm, (diskBytes) => diskBytes.package > 0),

  teleport: (client, [vm = '', region = '', method]) =>
    teleport(client, vm, region, { method: method === 'functional' ? 'functional' : 'exact' }),

  running: (client, [teleport = '']) =>
    untilState(client, parseId(teleport, 'teleport'), ['running']),

  boot: (client, [vm = '', region = '', way]) =>
    teleport(client, vm, region, { lazy: way === 'lazy', states: ['running'] }),

  async cold(client, [vmsDir = '', guest = '', vm = '', region = '']) {
    await placeVm(JSON.parse(guest) as Guest, vmsDir, vm);
    const described = await waitFor(
      'the VM is described',
      async () => {
        const { description, scores } = await client.call(api.describeVm, { params: { vm } });
        return { description, scored: scores.length };
      },
      { timeoutMs: PATIENCE_MS, intervalMs: COLD_POLL_MS },
    );
    return { ...described, ...(await teleport(client, vm, region)) };
  },

  independent: (client, [teleport = '']) =>
    waitFor(
      'the VM needs nobody',
      async () => {
        const now = await client.call(api.getTeleport, { params: { teleport } });
        return now.independentAt === null ? undefined : now;
      },
      { timeoutMs: PATIENCE_MS },
    ),

  async cancel(client, [teleport = '']) {
    await client.call(api.cancelTeleport, { params: { teleport } });
    return waitFor(
      'the VM is removed',
      async () => {
        const now = await client.call(api.getTeleport, { params: { teleport } });
        return isFinal(now.state) ? now : undefined;
      },
      { timeoutMs: START_MS },
    );
  },
};

const [clientFile, word, ...args] = process.argv.slice(2);
const command = Object.hasOwn(COMMANDS, word ?? '') ? COMMANDS[word ?? ''] : undefined;
if (clientFile === undefined || command === undefined) {
  throw new TypeError(`control.ts CLIENT_FILE ${Object.keys(COMMANDS).join('|')} ...`);
}
const { url, token } = await readClientFile(clientFile);
await using client = createCoordinatorClient({ url, credentials: { kind: 'bearer', token } });
process.stdout.write(`${JSON.stringify(await command(client, args))}\n`);
