/**
 * Room: tests. A coordinator's API on a real socket with canned answers, built from the contracts,
 * so that the tool's own doings can be tested without a network of machines.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import { NO_TIER_BYTES } from '@vmdn/core/domain/tiers.ts';
import {
  cancelTeleport,
  createEnrolmentToken,
  describeVm,
  forgetVm,
  getExport,
  getReceipt,
  getSeed,
  getTeleport,
  listEdges,
  listImages,
  planTeleport,
  requestExport,
  requestImport,
  requestSeed,
  requestTeleport,
  type Seed,
  type Teleport,
} from '@vmdn/core/http/contracts/coordinator-clients.ts';
import {
  type Capture,
  cancelCapture,
  getCapture,
  requestCapture,
  setPower,
} from '@vmdn/core/http/contracts/coordinator-delivered.ts';
import { type App, createApp, mountOperation } from '@vmdn/core/http/mount.ts';
import { serve } from '@vmdn/core/http/serve.ts';
import { createLogger } from '@vmdn/core/process/logger.ts';
import { DEBIAN } from './forms/forms.fixture.ts';
import { runProgram } from './program.ts';

export const TOKEN = 'a-token-of-some-length';
export const TELEPORT = '0b8c1f0e-6a53-4d8f-9a3e-5d1c2b7a9e10' as Id;
const DIGEST = 'ab'.repeat(32) as Seed['image']['digest'];
const NOW = '2026-01-02T03:04:05.000Z';
const GIB = 2 ** 30;

const destination = (edge: string, distanceKm: number, reason: string) => ({
  edge: edge as Name,
  region: 'eu-west' as Name,
  distanceKm,
  plan: {
    diskBytes: { ...NO_TIER_BYTES, zero: GIB / 2, local: GIB / 4, origin: GIB / 4 },
    wireBytes: Math.floor(GIB / 10),
    estimatedSeconds: 11,
    candidates: [],
    copy: { wireBytes: Math.floor(GIB / 4), estimatedSeconds: 27 },
  },
  functional: {
    ...{ wireBytes: Math.floor(GIB / 20), estimatedSeconds: 250, image: DIGEST },
    ...{ installed: 22, removed: 1 },
  },
  method: 'exact' as const,
  estimatedSeconds: 51,
  eligible: edge === 'paris-1',
  reason,
});

/** Of a lazy VM that was independent 61 s after it was asked for; the text is not a signature. */
export const RECEIPT = {
  receipt: {
    ...{ schema: 'vmdn-receipt/1' as const, teleport: TELEPORT, epoch: 1, edge: TELEPORT },
    ...{ vm: 'web-01' as Name, version: 3, lazy: true, skipFree: false },
    disks: [
      {
        digest: DIGEST,
        virtualSizeBytes: GIB,
        diskBytes: { ...NO_TIER_BYTES, zero: GIB / 2, origin: GIB / 2 },
        wireBytes: { ...NO_TIER_BYTES, origin: 123_456_789 },
      },
    ],
    ...{ stallSeconds: 1.25, trace: { segments: 1200, bytes: 49_000_000 } },
    times: {
      requested: '2026-01-02T03:04:05.000Z',
      verified: '2026-01-02T03:05:05.000Z',
      running: '2026-01-02T03:04:35.000Z',
      independent: '2026-01-02T03:05:06.000Z',
    },
  },
  jws: 'eyJhbGciOiJFZERTQSJ9.e30.AAAA',
  edge: {
    ...{ node: TELEPORT, name: 'paris-1' as Name },
    publicKey: { kty: 'OKP' as const, crv: 'Ed25519' as const, x: 'A'.repeat(43) },
  },
  receivedAt: NOW,
};

export function teleportIn(state: Teleport['state'], change: Partial<Teleport> = {}): Teleport {
  const delivered = state === 'routed' ? 0 : GIB / 4;
  return {
    teleport: TELEPORT,
    vm: 'web-01' as Name,
    version: 3,
    consistency: 'off',
    near: { region: 'paris' as Name },
    method: 'exact',
    skipFree: null,
    ...{ lazy: false, identity: 'same', hostname: null, networks: {} },
    ...{ move: null, movedBy: null },
    power: 'on',
    functional: null,
    state,
    epoch: 1,
    edge: 'paris-1' as Name,
    spilled: false,
    chosen: destination('paris-1', 12, 'least estimated time'),
    others: [destination('tokyo-1', 9712, 'farther than 1,000 km')],
    disks: [
      {
        digest: DIGEST,
        virtualSizeBytes: GIB,
        verifiedBytes: state === 'running' ? GIB : GIB / 2,
        diskBytes: { ...NO_TIER_BYTES, zero: GIB / 2, local: delivered, origin: delivered },
        wireBytes: { ...NO_TIER_BYTES, origin: delivered / 2 },
      },
    ],
    endpoints:
      state === 'running' ? [{ port: 'http' as Name, host: '127.0.0.1', hostPort: 8080 }] : [],
    message: null,
    errorCode: null,
    phases: { sync: 4.2, boot: 38 },
    accelerator: 'tcg',
    stallSeconds: null,
    trace: null,
    createdAt: NOW,
    updatedAt: NOW,
    finishedAt: null,
    independentAt: state === 'running' ? NOW : null,
    released: false,
    ...change,
  };
}

function skipped(wish: { readonly skipFree?: boolean | undefined }): Partial<Teleport> {
  return wish.skipFree === true ? { skipFree: { skippedBytes: GIB / 4, kept: [] } } : {};
}

function seedIn(state: Seed['edges'][number]['state'], message: string | null = null): Seed {
  const edge = { edge: 'tokyo-1' as Name, state, message, delivery: null };
  return {
    seed: TELEPORT,
    image: { name: 'base' as Name, digest: DIGEST },
    createdAt: NOW,
    edges: [edge],
  };
}

/** What the stand-in was asked, and what it will say of the teleport after the first answer. */
export interface Script {
  readonly events: readonly Teleport[];
  readonly seeds?: readonly Seed['edges'][number]['state'][];
  readonly seedMessage?: string;
  /** Called when a teleport is asked for, before that is answered. */
  readonly onRequest?: () => void;
  /** Called when a teleport is followed: whoever asked for it has had the answer. */
  readonly onFollow?: () => void;
  /** The answer to a cancellation. */
  readonly cancelled?: Teleport;
}

export interface StandIn extends AsyncDisposable {
  readonly url: string;
  readonly asked: unknown[];
}

type Guard = (context: { req: { header(name: string): string | undefined } }) => Promise<'user'>;

/** An export that takes three answers to be done. */
function mountExports(app: App, guard: Guard, asked: unknown[]): void {
  const exportIn = (state: 'pending' | 'running' | 'done', message: string | null) => ({
    ...{ export: TELEPORT, teleport: TELEPORT, edge: 'paris-1' as Name, name: 'web-01-3' as Name },
    ...{ format: 'vmdk' as const, hypervisor: 'vmware' as const, state, message },
    ...{ errorCode: null, createdAt: NOW },
    folder: state === 'done' ? '/srv/exports/web-01-3' : null,
  });
  const answers = [exportIn('running', 'disk 1 of 1: 40 % verified'), exportIn('done', null)];
  mountOperation(app, requestExport, guard, async ({ body }) => {
    asked.push(body);
    return exportIn('pending', null);
  });
  mountOperation(app, getExport, guard, async () => answers.shift() ?? exportIn('done', null));
}

/** A capture that takes three answers to be over and fails by its name; a VM that is being stopped. */
function mountDelivered(app: App, guard: Guard, asked: unknown[]): void {
  const captureIn = (state: Capture['state'], message: string | null) => ({
    ...{ capture: TELEPORT, teleport: TELEPORT, edge: 'paris-1' as Name, vm: 'used' as Name },
    ...{ version: 2, keepStopped: false, state, message, createdAt: NOW },
    errorCode: state === 'failed' ? 'timeout' : state === 'cancelled' ? 'cancelled' : null,
  });
  const answers = [captureIn('running', 'disk 1 of 1: 40 % read')];
  mountOperation(app, requestCapture, guard, async ({ body }) => {
    asked.push(body);
    const end = {
      stubborn: captureIn('failed', 'It did not stop.'),
      unwanted: captureIn('cancelled', "Ended at the user's wish."),
    }[String(body.vm)];
    answers.push(end ?? captureIn('done', null));
    return captureIn('pending', null);
  });
  mountOperation(app, getCapture, guard, async () => answers.shift()!);
  mountOperation(app, cancelCapture, guard, async ({ params }) => {
    asked.push(params);
    return captureIn('cancelled', "Ended at the user's wish.");
  });
  mountOperation(app, forgetVm, guard, async ({ params: { vm } }) => {
    asked.push({ forget: vm });
    return { vm, edge: 'paris-1' as Name };
  });
  mountOperation(app, setPower, guard, async ({ params, body }) => {
    asked.push(body);
    const power = body.power === 'on' ? ('on' as const) : ('stopping' as const);
    return { ...params, vm: 'web-01' as Name, edge: 'paris-1' as Name, power };
  });
}

/** Serves the API on a free port. */
export async function startStandIn(script: Script): Promise<StandIn> {
  const logger = createLogger('stand-in', { level: 'silent' });
  const app = createApp({ logger });
  const asked: unknown[] = [];
  const guard: Guard = async (context) => {
    if (context.req.header('authorization') === `Bearer ${TOKEN}`) return 'user';
    throw new VmdnError('unauthenticated', 'This token is not known.');
  };
  const seeds = [...(script.seeds ?? [])];
  const nextSeed = () => seedIn(seeds.shift() ?? 'done', script.seedMessage ?? null);
  mountOperation(app, requestTeleport, guard, async ({ body }) => {
    asked.push(body);
    script.onRequest?.();
    if (body.vm === 'nobody')
      throw new VmdnError('not_found', 'There is no VM nobody. See: vmdn vms');
    return teleportIn('routed', skipped(body));
  });
  mountOperation(app, getTeleport, guard, async () => script.events.at(-1) ?? teleportIn('routed'));
  mountOperation(app, getReceipt, guard, async () => RECEIPT);
  mountOperation(app, cancelTeleport, guard, async ({ query }) => {
    if (Object.keys(query).length > 0) asked.push(query);
    return script.cancelled ?? teleportIn('cancelled');
  });
  mountOperation(app, planTeleport, guard, async ({ body }) => {
    asked.push(body);
    const routed = teleportIn('routed', skipped(body));
    const { chosen, others, vm, version, consistency, method, skipFree } = routed;
    return { vm, version, consistency, method, skipFree, spilled: false, chosen, others };
  });
  mountOperation(app, describeVm, guard, async () => ({
    state: 'live' as const,
    origin: 'origin-1' as Name,
    description: DEBIAN,
    scores: [],
  }));
  mountOperation(app, listEdges, guard, async () => ({ nodes: [] }));
  mountOperation(app, listImages, guard, async () => ({
    images: [
      {
        digest: DIGEST,
        name: 'base' as Name,
        kind: 'base' as const,
        virtualSizeBytes: GIB,
        nonZeroBytes: Math.floor(GIB / 3),
        holders: [{ node: 'paris-1' as Name, allocatedBytes: GIB / 2 }],
      },
    ],
  }));
  mountOperation(app, requestSeed, guard, async ({ body }) => {
    asked.push(body);
    return nextSeed();
  });
  mountOperation(app, getSeed, guard, async () => nextSeed());
  mountOperation(app, requestImport, guard, async ({ body }) => {
    asked.push(body);
    const { edge, name, file, format } = body;
    return {
      import: TELEPORT,
      edge,
      name,
      file,
      format,
      state: 'pending' as const,
      message: null,
      errorCode: null,
      digest: null,
    };
  });
  mountExports(app, guard, asked);
  mountDelivered(app, guard, asked);
  mountOperation(app, createEnrolmentToken, guard, async ({ body }) => ({
    enrolmentToken: 'enrol-me-once-please',
    kind: body.kind,
    expiresAt: NOW,
  }));
  app.get('/v1/teleports/:teleport/events', (context) => {
    script.onFollow?.();
    return context.body(
      script.events.map((event) => `event: teleport\ndata: ${JSON.stringify(event)}\n\n`).join(''),
      200,
      { 'content-type': 'text/event-stream' },
    );
  });
  const server = await serve({ fetch: app.fetch, listen: { host: '127.0.0.1', port: 0 } });
  return { url: server.url, asked, [Symbol.asyncDispose]: () => server.close() };
}

export interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the tool with text streams. */
export async function runTool(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  options: { readonly isTTY?: boolean; readonly signal?: AbortSignal } = {},
): Promise<Outcome> {
  let stdout = '';
  let stderr = '';
  const exitCode = await runProgram({
    args,
    env: { HOME: '/nonexistent', XDG_STATE_HOME: '/nonexistent', ...env },
    streams: {
      stdout: {
        write: (text) => {
          stdout += text;
        },
        isTTY: options.isTTY ?? false,
        columns: 100,
      },
      stderr: {
        write: (text) => {
          stderr += text;
        },
      },
    },
    signal: options.signal ?? new AbortController().signal,
  });
  return { exitCode, stdout, stderr };
}
