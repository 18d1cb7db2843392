/**
 * Room: coordinator, testing. A coordinator on a free port, and nodes that speak to it with real keys
 * and proofs; they hold no disks and run no VMs.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Description, VersionState } from '@vmdn/core/domain/description.ts';
import { type Digest, parseDigest } from '@vmdn/core/domain/digest.ts';
import type { FunctionalCopy } from '@vmdn/core/domain/functional.ts';
import { type Id, type Name, parseName } from '@vmdn/core/domain/names.ts';
import { generateNodeKey, type NodeKey } from '@vmdn/core/http/auth/keys.ts';
import { signDescription } from '@vmdn/core/http/auth/signed-description.ts';
import {
  type CoordinatorClient,
  createCoordinatorClient,
} from '@vmdn/core/http/clients/coordinator-client.ts';
import * as client from '@vmdn/core/http/contracts/coordinator-clients.ts';
import * as node from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import * as reports from '@vmdn/core/http/contracts/coordinator-teleports.ts';
import { PROTOCOL_VERSION } from '@vmdn/core/http/contracts/schemas.ts';
import { type CoordinatorSettings, readSettings } from '../config.ts';
import { type Coordinator, type CoordinatorPace, createCoordinator } from '../coordinator.ts';
import { quiet } from './test-database.ts';

export interface TestCoordinator extends AsyncDisposable {
  readonly coordinator: Coordinator;
  readonly url: string;
  readonly user: CoordinatorClient;
  readonly stateDir: string;
  readonly pace: CoordinatorPace;
}

/**
 * Its polls look again by themselves only after a minute: what ends one long before was a wake. Changes of
 * the rows that no call makes are seen at the next pass. Its clock stands still where all grants would be
 * made anew (grants I1): what stays the same in a test does so at every time of day.
 */
function paceOf({ grantSeconds }: CoordinatorSettings): CoordinatorPace {
  const windowMs = (grantSeconds / 2) * 1000;
  const lastOfWindow = (Math.floor(Date.now() / windowMs) + 1) * windowMs - 1;
  const now = (): number => Math.min(Date.now(), lastOfWindow);
  return { reconcileMs: 1000, watchMs: 60_000, now };
}
/** Test nodes beat when a test says so: none may count as away because the machine was slow. */
const HEARTBEAT_SECONDS = '60';

/** Starts a coordinator on `databaseUrl`. */
export async function startTestCoordinator(
  databaseUrl: string,
  env: Readonly<Record<string, string>> = {},
): Promise<TestCoordinator> {
  const stateDir = await mkdtemp(join(tmpdir(), 'vmdn-test-coordinator-'));
  const settings = readSettings({
    DATABASE_URL: databaseUrl,
    VMDN_LISTEN: '127.0.0.1:0',
    VMDN_STATE_DIR: stateDir,
    VMDN_HEARTBEAT_SECONDS: HEARTBEAT_SECONDS,
    ...env,
  });
  const pace = paceOf(settings);
  const coordinator = await createCoordinator(settings, quiet, pace);
  const credentials = { kind: 'bearer', token: coordinator.clientToken } as const;
  const user = createCoordinatorClient({ url: coordinator.url, credentials });
  return {
    coordinator,
    url: coordinator.url,
    user,
    stateDir,
    pace,
    async [Symbol.asyncDispose]() {
      await user[Symbol.asyncDispose]();
      await coordinator[Symbol.asyncDispose]();
      await rm(stateDir, { recursive: true, force: true });
    },
  };
}

export interface TestNode {
  readonly id: Id;
  readonly name: Name;
  readonly key: NodeKey;
  readonly client: CoordinatorClient;
  readonly coordinatorKey: NodeKey['publicKey'];
  /** The same node, speaking to another coordinator. */
  at(url: string): CoordinatorClient;
}

export function name(raw: string): Name {
  return parseName(raw, 'test');
}

/** 64 times the same digit. */
export function digest(digit: string): Digest {
  return parseDigest(digit.repeat(64));
}

/** Enrols a node with a fresh key. */
export async function enrolTestNode(
  { url, user }: Pick<TestCoordinator, 'url' | 'user'>,
  wish: {
    readonly kind: 'origin' | 'edge';
    readonly name: string;
    readonly region?: string;
    readonly location?: { readonly latitude: number; readonly longitude: number };
  },
): Promise<TestNode> {
  const { enrolmentToken } = await user.call(client.createEnrolmentToken, {
    body: { kind: wish.kind },
  });
  const key = await generateNodeKey();
  await using anonymous = createCoordinatorClient({ url, credentials: { kind: 'none' } });
  const { node: id, coordinatorKey } = await anonymous.call(node.enrolNode, {
    body: {
      ...wish,
      enrolmentToken,
      url: 'http://127.0.0.1:1',
      publicKey: key.publicKey,
      protocol: PROTOCOL_VERSION,
    },
  });
  const at = (where: string): CoordinatorClient =>
    createCoordinatorClient({ url: where, credentials: { kind: 'node', node: id, key } });
  return { id, name: name(wish.name), key, client: at(url), coordinatorKey, at };
}

/** Lots of room, unless told otherwise. */
export async function beat(
  edge: Pick<TestNode, 'client'>,
  room: { readonly freeStoreBytes?: number; readonly freeMemoryMiB?: number } = {},
  facts: { readonly networks?: Name[] } = {},
): Promise<void> {
  await edge.client.call(node.heartbeat, {
    body: {
      protocol: PROTOCOL_VERSION,
      url: 'http://127.0.0.1:1',
      capacity: {
        freeStoreBytes: 1e12,
        freeMemoryMiB: 65_536,
        freeVcpus: 64,
        accelerator: 'tcg',
        ...room,
      },
      ...facts,
    },
  });
}

/** A description with one disk of 1 MiB that is not zero. */
export function describeTestVm(
  vm: string,
  version: number,
  disk: Digest,
  changes: Partial<Description> = {},
): Description {
  return {
    schema: 'vmdn-description/1',
    vm: name(vm),
    version,
    describedAt: '2026-01-02T03:04:05Z',
    os: null,
    packages: [{ name: 'nginx', version: '1.22', architecture: 'amd64' }],
    services: [],
    hardware: { vcpus: 1, memoryMiB: 512, firmware: 'bios', ports: [], ready: null },
    disks: [
      {
        digest: disk,
        virtualSizeBytes: 4_194_304,
        nonZeroBytes: 1_048_576,
        keysRoot: digest('e'),
        recipeBytes: 4096,
      },
    ],
    ...changes,
  };
}

/** Signs and announces a version. */
export async function announce(
  origin: TestNode,
  description: Description,
  state: VersionState = 'live',
): Promise<void> {
  await origin.client.call(node.announceVersion, {
    params: { vm: description.vm, version: description.version },
    body: { description: await signDescription(origin.key, origin.id, description), state },
  });
}

/** What an edge delivered of the test VM's disk. */
export function delivery(
  disk: Digest,
  bytes: { readonly zero?: number; readonly local?: number; readonly origin?: number },
): reports.DiskDelivery {
  const { zero = 0, local = 0, origin = 0 } = bytes;
  return {
    digest: disk,
    virtualSizeBytes: 4_194_304,
    verifiedBytes: zero + local + origin,
    diskBytes: { zero, local, package: 0, peer: 0, origin },
    wireBytes: { zero: 0, local: 0, package: 0, peer: 0, origin: Math.ceil(origin / 2) },
  };
}

/** Reports a state of a teleport. */
export async function report(
  edge: Pick<TestNode, 'client'>,
  teleport: string,
  body: Partial<Parameters<typeof reportBody>[0]>,
): Promise<{ state: string; epoch: number; awaits?: string | undefined }> {
  return await edge.client.call(reports.reportProgress, {
    params: { teleport },
    body: reportBody(body),
  });
}

function reportBody(given: {
  epoch?: number;
  state?: client.Teleport['state'];
  disks?: reports.DiskDelivery[];
  endpoints?: { port: string; host: string; hostPort: number }[];
  message?: string;
  errorCode?: string;
  independent?: boolean;
  functional?: FunctionalCopy;
  power?: 'on' | 'off';
  gone?: boolean;
}) {
  return { epoch: 1, state: 'syncing' as const, disks: [], endpoints: [], ...given };
}

/** An origin with one VM and an edge beside it. */
export async function startTestVm(
  coordinator: Pick<TestCoordinator, 'url' | 'user'>,
  edges: readonly (readonly [name: string, region: string])[] = [['dublin', 'eu-west']],
): Promise<{ origin: TestNode; edges: TestNode[] }> {
  const origin = await enrolTestNode(coordinator, { kind: 'origin', name: 'origin-1' });
  await beat(origin);
  await announce(origin, describeTestVm('web-01', 1, digest('a')));
  const enrolled: TestNode[] = [];
  for (const [edge, region] of edges) {
    const fresh = await enrolTestNode(coordinator, { kind: 'edge', name: edge, region });
    await beat(fresh);
    enrolled.push(fresh);
  }
  return { origin, edges: enrolled };
}
