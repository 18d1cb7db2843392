/**
 * Room: origin (tests only). A coordinator that speaks the real contracts and believes nothing.
 */

import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import type { Description, VersionState } from '@vmdn/core/domain/description.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { generateNodeKey, type NodeKey } from '@vmdn/core/http/auth/keys.ts';
import { createProofVerifier } from '@vmdn/core/http/auth/proof.ts';
import { verifyDescription } from '@vmdn/core/http/auth/signed-description.ts';
import {
  desiredFences,
  type FenceWishValue,
  reportFence,
} from '@vmdn/core/http/contracts/coordinator-moves.ts';
import * as contracts from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import { PROOF_HEADER } from '@vmdn/core/http/contracts/disks.ts';
import type { PublicKey } from '@vmdn/core/http/contracts/schemas.ts';
import { PROTOCOL_VERSION } from '@vmdn/core/http/contracts/schemas.ts';
import {
  type App,
  type AppContext,
  type AppEnv,
  createApp,
  mountOperation,
} from '@vmdn/core/http/mount.ts';
import { type RunningServer, serve } from '@vmdn/core/http/serve.ts';
import { createLogger } from '@vmdn/core/process/logger.ts';
import { expect, vi } from 'vitest';

export const PROJECT = '00000000-0000-4000-8000-0000000000aa' as Id;
export const TOKEN = 'a-good-enrolment-token';
const MIB = 2 ** 20;
const logger = createLogger('coordinator-test', { level: 'silent' });

export interface Told {
  readonly vm: string;
  readonly version: number;
  state: VersionState;
  readonly description: Description;
}

export interface TestCoordinator {
  readonly key: NodeKey;
  /** What it was told of each version, under `VM/VERSION`. */
  readonly told: Map<string, Told>;
  /** Every state that it was told, in order. */
  readonly history: string[];
  readonly enrolments: number;
  /** What it wants of the sources, and what it was told of that: `STATE EPOCH`. */
  wishes: FenceWishValue[];
  readonly words: string[];
  /** Why it was refused. */
  readonly problems: string[];
  /** Whether the origin has done what it could about the wishes as they are now: it waits for others. */
  isHeard(): boolean;
  readonly url: string;
  readonly originId: Id;
  /** From now on every connection ends at once. Its port stays its own: nobody else may take it meanwhile. */
  leave(): void;
  comeBack(): void;
  stop(): Promise<void>;
}

/** Starts a coordinator on a free port. */
export async function startCoordinator(): Promise<TestCoordinator> {
  const key = await generateNodeKey();
  const proofs = createProofVerifier({ audience: 'coordinator' });
  const told = new Map<string, Told>();
  const history: string[] = [];
  const state = {
    ...{ enrolments: 0, url: '', originId: crypto.randomUUID() as Id },
    wishes: [] as FenceWishValue[],
    words: [] as string[],
    problems: [] as string[],
    heard: undefined as string | undefined,
  };
  let originKey: PublicKey | undefined;
  const app = createApp({ logger });
  const guard = async (context: AppContext, body: Uint8Array): Promise<void> => {
    const { pathname, search } = new URL(context.req.url);
    const request = { method: context.req.method, path: `${pathname}${search}`, body };
    await proofs.verify(context.req.header(PROOF_HEADER), request, async (keyId) =>
      keyId === state.originId ? originKey : undefined,
    );
  };
  mountOperation(
    app,
    contracts.enrolNode,
    async () => null,
    async ({ body }) => {
      if (body.enrolmentToken !== TOKEN) throw new VmdnError('forbidden', 'wrong token');
      state.enrolments += 1;
      originKey = body.publicKey;
      const node = state.originId;
      return { node, project: PROJECT, coordinatorKey: key.publicKey, protocol: PROTOCOL_VERSION };
    },
  );
  mountOperation(app, contracts.heartbeat, guard, async () => ({
    protocol: PROTOCOL_VERSION,
    heartbeatSeconds: 1,
  }));
  mountOperation(
    app,
    contracts.announceVersion,
    guard,
    async ({ params, body }) => {
      const description = await verifyDescription(body.description, originKey!);
      if (description.vm !== params.vm || description.version !== params.version) {
        throw new VmdnError('invalid_input', 'The description speaks of something else.');
      }
      requireNewest(told, description);
      told.set(`${params.vm}/${params.version}`, { ...params, state: body.state, description });
      history.push(`${params.vm}/${params.version} ${body.state}`);
      return { accepted: true as const };
    },
    { bodyBytesMax: 16 * MIB },
  );
  mountOperation(app, contracts.setVersionState, guard, async ({ params, body }) => {
    const known = told.get(`${params.vm}/${params.version}`);
    if (known === undefined) throw new VmdnError('not_found', 'No such version.');
    known.state = body.state;
    history.push(`${params.vm}/${params.version} ${body.state}`);
    return { accepted: true as const };
  });
  mountFences(app, guard, state);
  const { server, ...presence } = await listen(app);
  state.url = server.url;
  return Object.assign(state, {
    ...{ key, told, history, ...presence },
    isHeard: () => state.heard === revisionOf(state.wishes),
    stop: async () => await server.close(0),
  });
}

async function listen(
  app: App,
): Promise<{ readonly server: RunningServer } & Pick<TestCoordinator, 'leave' | 'comeBack'>> {
  const sockets = new Set<Socket>();
  let isAway = false;
  const fetch = async (request: Request, env: AppEnv['Bindings']): Promise<Response> => {
    const { socket } = env.incoming;
    sockets.add(socket);
    if (!isAway) return await app.fetch(request, env);
    socket.destroy();
    return new Response(null, { status: 503 });
  };
  return {
    server: await serve({ fetch: fetch as never, listen: { host: '127.0.0.1', port: 0 } }),
    leave() {
      isAway = true;
      for (const socket of sockets) socket.destroy();
    },
    comeBack() {
      isAway = false;
    },
  };
}

function revisionOf(wishes: readonly FenceWishValue[]): string {
  return createHash('sha256').update(JSON.stringify(wishes)).digest('hex');
}

/** Answers at once when the wishes are others than those known, else when the time is up. */
function mountFences(
  app: App,
  guard: (context: AppContext, body: Uint8Array) => Promise<void>,
  state: Pick<TestCoordinator, 'wishes' | 'words' | 'problems'> & { heard: string | undefined },
): void {
  mountOperation(app, desiredFences, guard, async ({ query }) => {
    state.heard = query.revision;
    const revision = (): string => revisionOf(state.wishes);
    const timeout = (query.waitSeconds ?? 0) * 1000;
    const isOther = () => expect(revision()).not.toBe(query.revision);
    await vi.waitFor(isOther, { timeout, interval: 20 }).catch(() => undefined);
    return { revision: revision(), fences: state.wishes };
  });
  mountOperation(app, reportFence, guard, async ({ body }) => {
    state.words.push(`${body.state} ${body.epoch}`);
    if (body.message !== undefined) state.problems.push(body.message);
    return { accepted: true as const };
  });
}

/** An older version, or a known one with other content, is refused as by the real coordinator. */
function requireNewest(told: ReadonlyMap<string, Told>, description: Description): void {
  const mine = [...told.values()].filter((each) => each.vm === description.vm);
  const known = Math.max(0, ...mine.map((each) => each.version));
  const { vm, version } = description;
  const present = told.get(`${vm}/${version}`)?.description;
  const content = (of: Description): string => JSON.stringify({ ...of, describedAt: '' });
  if (present !== undefined ? content(present) === content(description) : version > known) return;
  throw new VmdnError('conflict', 'This version is known otherwise.', {
    data: { vm, version, known },
  });
}
