import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { z } from 'zod';
import { VmdnError } from '../../domain/errors.ts';
import type { Id, Name } from '../../domain/names.ts';
import { openNodeIdentityStore } from '../../io/files/node-identity.ts';
import type { NodeIdentityStore } from '../../io/ports/node-identity-store.ts';
import { createLogger } from '../../process/logger.ts';
import { createProofVerifier } from '../auth/proof.ts';
import { enrolNode, heartbeat } from '../contracts/coordinator-nodes.ts';
import { PROOF_HEADER } from '../contracts/disks.ts';
import { PROTOCOL_VERSION, type PublicKey } from '../contracts/schemas.ts';
import { createApp, mountOperation } from '../mount.ts';
import { type RunningServer, serve } from '../serve.ts';
import { createCoordinatorClient } from './coordinator-client.ts';
import { type EnrolOptions, enrol, loadOrCreateNodeKey, startHeartbeat } from './node-agent.ts';

const NODE = '00000000-0000-4000-8000-000000000001' as Id;
const PROJECT = '00000000-0000-4000-8000-000000000002' as Id;
const COORDINATOR_KEY: PublicKey = { kty: 'OKP', crv: 'Ed25519', x: 'a'.repeat(43) };
const TOKEN = 'a-good-enrolment-token';
/** Of its own: nobody else gets the coordinator's port there between its end and its next start. */
const HOST = '127.0.0.77';
const logger = createLogger('test', { level: 'silent' });
const wait = { timeout: 45_000 };
vi.setConfig({ testTimeout: 60_000 });

/** A coordinator that enrols by the real contracts and verifies real proofs. */
function createCoordinator() {
  const state = {
    enrolments: [] as PublicKey[],
    beats: [] as z.output<typeof heartbeat.body>[],
    protocol: PROTOCOL_VERSION,
  };
  const proofs = createProofVerifier({ audience: 'coordinator' });
  const app = createApp({ logger });
  mountOperation(
    app,
    enrolNode,
    async () => null,
    async ({ body }) => {
      if (body.enrolmentToken !== TOKEN) throw new VmdnError('forbidden', 'wrong token');
      state.enrolments.push(body.publicKey);
      return {
        node: NODE,
        project: PROJECT,
        coordinatorKey: COORDINATOR_KEY,
        protocol: PROTOCOL_VERSION,
      };
    },
  );
  mountOperation(
    app,
    heartbeat,
    async (context, body) => {
      const path = new URL(context.req.url).pathname;
      const request = { method: 'PUT', path, body };
      await proofs.verify(context.req.header(PROOF_HEADER), request, async () =>
        state.enrolments.at(0),
      );
    },
    async ({ body }) => {
      state.beats.push(body);
      return { protocol: state.protocol, heartbeatSeconds: 7 };
    },
  );
  let server: RunningServer | undefined;
  return {
    state,
    async start(port = 0): Promise<string> {
      server = await serve({ fetch: app.fetch as never, listen: { host: HOST, port } });
      return server.url;
    },
    stop: async () => await server?.close(0),
  };
}

let dir: string;
let store: NodeIdentityStore;
const coordinator = createCoordinator();
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-node-agent-'));
  store = await openNodeIdentityStore(join(dir, 'identity'));
  coordinator.state.enrolments.length = 0;
  coordinator.state.beats.length = 0;
  coordinator.state.protocol = PROTOCOL_VERSION;
});
afterEach(async () => {
  await coordinator.stop();
  await rm(dir, { recursive: true, force: true });
});

async function enrolOptions(url: string, options: Partial<EnrolOptions> = {}) {
  return {
    client: createCoordinatorClient({ url, credentials: { kind: 'none' } }),
    store,
    key: await loadOrCreateNodeKey(store),
    kind: 'origin' as const,
    name: 'origin-1' as Name,
    url: 'http://127.0.0.1:1',
    enrolmentToken: TOKEN,
    logger,
    signal: new AbortController().signal,
    ...options,
  };
}

describe('enrolment', () => {
  it('I1: happens once: the second start uses what the first one stored', async () => {
    const url = await coordinator.start();
    const first = await enrol(await enrolOptions(url));
    await coordinator.stop();
    const second = await enrol(await enrolOptions(url));
    expect(first).toEqual({ node: NODE, project: PROJECT, coordinatorKey: COORDINATOR_KEY });
    expect(second).toEqual(first);
    expect(coordinator.state.enrolments).toHaveLength(1);
  });

  it('keeps key and identity in files that nobody else can read', async () => {
    await enrol(await enrolOptions(await coordinator.start()));
    expect((await stat(join(dir, 'identity'))).mode & 0o777).toBe(0o700);
    for (const file of ['key.json', 'node.json']) {
      expect((await stat(join(dir, 'identity', file))).mode & 0o777).toBe(0o600);
    }
    const key = JSON.parse(await readFile(join(dir, 'identity', 'key.json'), 'utf8'));
    expect(coordinator.state.enrolments[0]!.x).toBe(key.x);
  });

  it('I2: waits for a coordinator that is away, with pauses that grow to half a minute', async () => {
    const url = await coordinator.start();
    await coordinator.stop();
    const pauses: number[] = [];
    const identity = await enrol(
      await enrolOptions(url, {
        pause: async (durationMs) => {
          pauses.push(durationMs);
          if (pauses.length === 8) await coordinator.start(Number(new URL(url).port));
        },
      }),
    );
    expect(identity.node).toBe(NODE);
    expect(pauses[0]).toBeGreaterThanOrEqual(750);
    expect(pauses[0]).toBeLessThanOrEqual(1_000);
    expect(pauses[7]).toBeGreaterThanOrEqual(22_500);
    expect(Math.max(...pauses)).toBeLessThanOrEqual(30_000);
  });

  it('ends at once when the token is refused, and stores nothing', async () => {
    const url = await coordinator.start();
    const options = await enrolOptions(url, { enrolmentToken: 'a-token-long-enough-but-wrong' });
    await expect(enrol(options)).rejects.toMatchObject({ code: 'forbidden' });
    expect(await store.read()).toBeNull();
  });

  it('without a token says which setting to set', async () => {
    const url = await coordinator.start();
    const options = { ...(await enrolOptions(url)), enrolmentToken: undefined };
    await expect(enrol(options)).rejects.toThrow(/VMDN_ENROLMENT_TOKEN/);
  });

  it('can be stopped while it waits', async () => {
    const url = await coordinator.start();
    await coordinator.stop();
    const abort = new AbortController();
    const options = await enrolOptions(url, {
      signal: abort.signal,
      pause: async (_durationMs, signal) => {
        abort.abort();
        signal.throwIfAborted();
      },
    });
    await expect(enrol(options)).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('I2: stops the node when its files are damaged, instead of becoming another node', async () => {
    await loadOrCreateNodeKey(store);
    await writeFile(join(dir, 'identity', 'key.json'), '{"kty":');
    await expect(loadOrCreateNodeKey(store)).rejects.toMatchObject({ code: 'corrupt' });
    await writeFile(join(dir, 'identity', 'key.json'), '{"kty":"RSA"}');
    await expect(loadOrCreateNodeKey(store)).rejects.toMatchObject({ code: 'invalid_input' });
    await writeFile(join(dir, 'identity', 'node.json'), '{"node":"me"}');
    await expect(store.read()).rejects.toMatchObject({ code: 'corrupt' });
  });
});

describe('heartbeats', () => {
  it('keep the coordinator’s pace, and go on through an outage', async () => {
    const url = await coordinator.start();
    await enrol(await enrolOptions(url));
    const key = await loadOrCreateNodeKey(store);
    await using client = createCoordinatorClient({
      url,
      credentials: { kind: 'node', node: NODE, key },
    });
    const pauses: number[] = [];
    let turn = Promise.withResolvers<void>();
    let connected = 0;
    await using beats = startHeartbeat({
      client,
      report: () => ({ url: 'http://127.0.0.1:1', uplink: { bytes: 5, limitBytesPerSecond: 9 } }),
      logger,
      pause: async (durationMs, signal) => {
        pauses.push(durationMs);
        signal.addEventListener('abort', () => turn.resolve(), { once: true });
        await turn.promise;
        turn = Promise.withResolvers();
      },
      onConnected: () => {
        connected += 1;
      },
    });
    const beat = async (count: number): Promise<void> => {
      turn.resolve();
      await vi.waitFor(() => expect(pauses).toHaveLength(count), wait);
    };
    await beats.firstBeat;
    expect(coordinator.state.beats[0]).toMatchObject({
      protocol: PROTOCOL_VERSION,
      uplink: { bytes: 5 },
    });
    await vi.waitFor(() => expect(pauses).toHaveLength(1), wait);
    expect(pauses[0]).toBeGreaterThan(5_200);
    expect(pauses[0]).toBeLessThanOrEqual(7_000);
    expect([connected, beats.coordinatorAway]).toEqual([1, false]);

    await coordinator.stop();
    await beat(2);
    expect(beats.coordinatorAway).toBe(true);
    expect(pauses[1]).toBeLessThanOrEqual(1_000);

    await coordinator.start(Number(new URL(url).port));
    beats.beatNow();
    await vi.waitFor(() => expect(connected).toBe(2), wait);
    expect(beats.coordinatorAway).toBe(false);
  });

  it('I3, I4: say that the coordinator speaks another protocol, after an outage too, once', async () => {
    const url = await coordinator.start();
    await enrol(await enrolOptions(url));
    await coordinator.stop();
    coordinator.state.protocol = PROTOCOL_VERSION - 1;
    const key = await loadOrCreateNodeKey(store);
    await using client = createCoordinatorClient({
      url,
      credentials: { kind: 'node', node: NODE, key },
    });
    const said: string[] = [];
    const warn = ({ cause }: { cause: string }): void => void said.push(cause);
    let turns = 0;
    await using beats = startHeartbeat({
      client,
      report: () => ({ url: 'http://127.0.0.1:1' }),
      logger: { warn, info: () => undefined } as never,
      async pause() {
        turns += 1;
        if (turns === 2) await coordinator.start(Number(new URL(url).port));
        if (turns === 5) coordinator.state.protocol = PROTOCOL_VERSION;
      },
    });
    await beats.firstBeat;
    expect(said).toHaveLength(2);
    expect(said[1]).toMatch(/speaks protocol 1, this node 2: install the same VMDN on both/);
  });
});
