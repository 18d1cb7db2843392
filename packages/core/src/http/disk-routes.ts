/**
 * Room: http. The routes that serve disks, mounted alike by origins and edges (docs/formats).
 *
 * I1: order: bound the body, check grant and proof and take a slot, parse, open the disk, read.
 * I2: whatever happens, a disk that was opened is released and a slot that was taken is given back.
 */

import pLimit from 'p-limit';
import type { z } from 'zod';
import type { Digest } from '../domain/digest.ts';
import { VmdnError } from '../domain/errors.ts';
import { decodeBlockRequest, MAX_BLOCK_REQUEST_BYTES } from '../formats/block-request.ts';
import { MAX_ROW_REQUEST_BYTES } from '../formats/recipe-rows.ts';
import type { DiskLibrary, ServedDisk } from '../io/ports/disk-library.ts';
import type { RecipeFiles } from '../io/ports/recipe-files.ts';
import type { UplinkLimiter } from '../io/ports/uplink-limiter.ts';
import type { Logger } from '../process/logger.ts';
import type { GrantClaims } from './auth/grant.ts';
import { CompressionPace } from './compression-pace.ts';
import {
  BLOCK_STREAM_MEDIA_TYPE,
  health,
  measureBlocks,
  readBlocks,
  readRecipe,
  readRecipeOutline,
  readRecipeRange,
  readRecipeRows,
  readSegments,
} from './contracts/disks.ts';
import type { Operation } from './contracts/operation.ts';
import type { PublicKey } from './contracts/schemas.ts';
import { blockStreamBytes, openBlockStream } from './disk-routes-blocks.ts';
import { type AdmittedRequest, createGrantDesk } from './disk-routes-grants.ts';
import { DISK_ROUTE_LIMITS, type DiskRouteLimits } from './disk-routes-limits.ts';
import {
  answerOutline,
  answerRecipe,
  recipeRangeBody,
  recipeRowsBody,
} from './disk-routes-recipe.ts';
import { requirePresent, segmentsBody } from './disk-routes-segments.ts';
import { createSender, type Sender } from './disk-routes-send.ts';
import { type App, type AppContext, mountOperation, readBoundedBody } from './mount.ts';

export interface DiskRoutesOptions {
  readonly library: DiskLibrary;
  readonly recipeFiles: RecipeFiles;
  /** This node's id: proofs must be made for it. */
  readonly nodeId: string;
  /** The key that verifies grants. */
  readonly coordinatorKey: () => PublicKey;
  readonly uplink: UplinkLimiter;
  readonly logger: Logger;
  readonly limits?: Partial<DiskRouteLimits>;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** Told of every admitted request, before its disk is opened. */
  readonly onAdmitted?: (claims: GrantClaims, digest: Digest) => void;
}

/** The largest body of any request. */
const REQUEST_BYTES_MAX = Math.max(MAX_BLOCK_REQUEST_BYTES, MAX_ROW_REQUEST_BYTES);

interface Serving {
  readonly context: AppContext;
  readonly disk: ServedDisk;
  readonly request: AdmittedRequest;
  readonly sender: Sender;
  readonly body: Uint8Array;
}

/** Mounts the routes of disks and of health. Needs the node server's own response object. */
export function mountDiskRoutes(app: App, options: DiskRoutesOptions): void {
  const limits = { ...DISK_ROUTE_LIMITS, ...options.limits };
  const pace = new CompressionPace(limits.compressionLevel);
  const desk = createGrantDesk({ ...options, limits, now: options.now ?? Date.now });
  const mount = <Params extends z.ZodType<{ digest: Digest }>>(
    operation: Operation<Params>,
    scope: 'recipe' | 'blocks',
    serveDisk: (serving: Serving, params: z.output<Params>) => Promise<Response>,
  ): void => {
    const path = operation.path.replace(/\{(\w+)\}/g, ':$1');
    app.on(operation.method.toUpperCase(), path, async (context) => {
      const body = await readBodyInTime(context, limits.bodyMs);
      const params = parsePart(operation.params, context.req.param(), 'path');
      const request = await desk.admit(context, { digest: params.digest, scope, body });
      using sender = createSender(context, { ...options, stallMs: limits.stallMs });
      try {
        options.onAdmitted?.(request.claims, params.digest);
        const disk = await options.library.open(params.digest);
        try {
          return await serveDisk({ context, disk, request, sender, body }, params);
        } finally {
          await disk.release();
        }
      } finally {
        request.end();
      }
    });
  };

  mount(readRecipe, 'recipe', async (serving) => {
    const file = await options.recipeFiles.open(serving.disk.recipePath);
    try {
      const { context, disk, request } = serving;
      const answer = answerRecipe(context, disk.digest, file, limits.compressionLevel);
      if ('body' in answer) return await serving.sender.send(answer.body, request);
      return context.body(null, answer.status, { ...answer.headers });
    } finally {
      await file.close();
    }
  });
  mount(readRecipeRange, 'recipe', async ({ context, disk, request, sender }, params) => {
    const { from, to } = parsePart(readRecipeRange.query, context.req.query(), 'query');
    return await sender.send(recipeRangeBody(disk.recipe, params.column, from, to), request);
  });
  mount(readRecipeOutline, 'recipe', async ({ context, disk, request, sender }) => {
    const answer = answerOutline(context, disk, limits.compressionLevel);
    if ('body' in answer) return await sender.send(answer.body, request);
    return context.body(null, answer.status, { ...answer.headers });
  });
  mount(readRecipeRows, 'recipe', async ({ context, disk, request, sender, body }) => {
    const rows = recipeRowsBody(context, disk.recipe, body, limits.compressionLevel);
    return await sender.send(rows, request);
  });
  mount(readSegments, 'blocks', async ({ context, disk, request, sender }) => {
    return await sender.send(segmentsBody(context, disk, limits.compressionLevel), request);
  });
  mount(readBlocks, 'blocks', async ({ disk, request, sender, body }) => {
    const runs = decodeBlockRequest(body, disk.virtualSizeBytes);
    requirePresent(disk, runs);
    const pieces = await openBlockStream(disk, runs, { limits, logger: options.logger, pace });
    const headers = { 'content-type': BLOCK_STREAM_MEDIA_TYPE, 'cache-control': 'no-store' };
    return await sender.send({ status: 200, headers, pieces }, request);
  });
  const measuring = pLimit(limits.measuredAtOnce);
  mount(measureBlocks, 'recipe', async ({ context, disk, sender, body }) => {
    const runs = decodeBlockRequest(body, disk.virtualSizeBytes);
    requirePresent(disk, runs);
    const stream = { limits, logger: options.logger };
    const wireBytes = await measuring(() => blockStreamBytes(disk, runs, stream, sender.signal));
    return context.json({ wireBytes });
  });
  mountOperation(
    app,
    health,
    async () => null,
    async () => ({ status: 'ok' as const }),
  );
}

/** The request's body. One that trickles in is cut off: whoever sends it is not known yet. */
async function readBodyInTime(context: AppContext, bodyMs: number): Promise<Uint8Array> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    context.env.incoming.destroy();
    reject(new VmdnError('timeout', 'The body of the request did not arrive in time.'));
  }, bodyMs);
  try {
    return await Promise.race([readBoundedBody(context, REQUEST_BYTES_MAX), promise]);
  } finally {
    clearTimeout(timer);
  }
}

function parsePart<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  where: string,
): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(
    (issue) => `${[where, ...issue.path].join('.')}: ${issue.message}`,
  );
  throw new VmdnError('invalid_input', `The request is wrong: ${problems.join('; ')}.`, {
    data: { problems },
  });
}
