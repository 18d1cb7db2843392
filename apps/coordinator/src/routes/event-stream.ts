/**
 * Room: coordinator, routes. A teleport as server-sent events (WHATWG HTML §9.2).
 *
 * I1: the reader sets the pace: the next state is read when the last was taken, and what happened in
 *     between is skipped.
 * I2: the number of open streams is bounded; each ends with the teleport, its client, or the
 *     coordinator.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { AppContext } from '@vmdn/core/http/mount.ts';
import { EVENT_STREAMS_MAX } from '../limits.ts';
import type { ClientIdentity, Context } from '../services/context.ts';
import { followTeleport, getTeleport } from '../services/teleports.ts';

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  // A proxy that collects events before it passes them on defeats their purpose.
  'x-accel-buffering': 'no',
};

/** The handler of `followTeleport`. */
export function createEventStreams(context: Context) {
  let open = 0;
  return async (
    { params }: { readonly params: { readonly teleport: Id } },
    client: ClientIdentity,
    call: AppContext,
  ): Promise<Response> => {
    if (open >= EVENT_STREAMS_MAX) {
      throw new VmdnError('busy', 'Too many are following here; ask for the state instead.');
    }
    // An unknown teleport is an ordinary error, not a stream that breaks.
    await getTeleport(context, client, params.teleport);
    const stop = new AbortController();
    const signal = AbortSignal.any([call.req.raw.signal, stop.signal]);
    const views = followTeleport(context, client, params.teleport, signal);
    open += 1;
    const end = (): void => {
      if (stop.signal.aborted) return;
      open -= 1;
      stop.abort();
    };
    return new Response(streamOf(views, end), { headers: HEADERS });
  };
}

function streamOf(
  views: AsyncGenerator<object | null>,
  end: () => void,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const textOf = (view: object | null): string =>
    view === null ? ': still here\n\n' : `event: teleport\ndata: ${JSON.stringify(view)}\n\n`;
  return new ReadableStream(
    {
      async pull(controller) {
        try {
          const next = await views.next();
          if (!next.done) return controller.enqueue(encoder.encode(textOf(next.value)));
          end();
          controller.close();
        } catch (error) {
          end();
          controller.error(error);
        }
      },
      async cancel() {
        end();
        await views.return(undefined);
      },
    },
    { highWaterMark: 0 },
  );
}
