/**
 * Room: io, mirrors. GET from mirrors: plain files of known or bounded size, through the proxies that the
 * machine is told to use.
 *
 * I1: at most REDIRECTS_MAX redirects, each to the same host or to https, and never from https to http.
 * I2: no more than `bytesMax` body bytes are read; silence or a trickle is `timeout`.
 * I3: 404 and 410 are `not_found`, 401, 403 and 407 `forbidden`, every other answer `unavailable`.
 */

import { Agent, type Dispatcher, errors, ProxyAgent, request } from 'undici';
import { VmdnError } from '../../domain/errors.ts';

const REDIRECTS_MAX = 5;
/** Connections to one mirror: more only share the same line. */
const CONNECTIONS_MAX = 8;

export interface MirrorTimeouts {
  readonly connectMs: number;
  readonly headersMs: number;
  /** Between two pieces of a body. */
  readonly silenceMs: number;
  /** In so much time spent waiting at least `trickleBytes` must come. */
  readonly trickleMs: number;
  readonly trickleBytes: number;
}

export const MIRROR_TIMEOUTS: MirrorTimeouts = {
  connectMs: 10_000,
  headersMs: 60_000,
  silenceMs: 30_000,
  trickleMs: 30_000,
  trickleBytes: 64 * 1024,
};

/** Proxies by scheme of the target; `byHost` goes before it, and null there means none. */
export interface MirrorProxies {
  readonly http?: string | undefined;
  readonly https?: string | undefined;
  readonly byHost?: ReadonlyMap<string, string | null>;
}

export interface MirrorGetOptions {
  readonly bytesMax: number;
  readonly signal?: AbortSignal | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly onWireBytes?: ((bytes: number) => void) | undefined;
}

export interface MirrorAnswer {
  /** True for 304: there is no body. */
  readonly isUnchanged: boolean;
  readonly etag: string | null;
  readonly lastModified: string | null;
  /** Content-Length; null when the server does not say. */
  readonly sizeBytes: number | null;
  readonly body: AsyncIterable<Uint8Array>;
  /** Ends the transfer, for who does not read to the end of `body`. */
  discard(): void;
}

export interface MirrorHttp extends AsyncDisposable {
  /** Throws as I3 says, `timeout`, `cancelled`; so does the body, and `too_large`. */
  get(url: string, options: MirrorGetOptions): Promise<MirrorAnswer>;
}

export function createMirrorHttp(
  options: { readonly proxies?: MirrorProxies; readonly timeouts?: Partial<MirrorTimeouts> } = {},
): MirrorHttp {
  const timeouts = { ...MIRROR_TIMEOUTS, ...options.timeouts };
  const agents = createAgents(options.proxies ?? {}, timeouts);
  return {
    async get(url, wanted) {
      let target = parseUrl(url);
      for (let redirects = 0; ; redirects += 1) {
        const answer = await send(target, agents.of(target), timeouts, wanted);
        const location = locationOf(answer);
        if (location === undefined) return accept(answer, target, timeouts, wanted);
        answer.body.destroy();
        if (redirects === REDIRECTS_MAX) throw unavailable(target, 'it redirects without an end');
        target = redirected(target, location);
      }
    },
    [Symbol.asyncDispose]: () => agents.destroy(),
  };
}

function createAgents(proxies: MirrorProxies, timeouts: MirrorTimeouts) {
  const agents = new Map<string, Dispatcher>();
  const shared = { connections: CONNECTIONS_MAX, connect: { timeout: timeouts.connectMs } };
  return {
    of(url: URL): Dispatcher {
      const byHost = proxies.byHost?.get(url.hostname);
      const byScheme = url.protocol === 'https:' ? proxies.https : proxies.http;
      const proxy = byHost === undefined ? byScheme : (byHost ?? undefined);
      const known = agents.get(proxy ?? '');
      if (known !== undefined) return known;
      const made =
        proxy === undefined ? new Agent(shared) : new ProxyAgent({ ...shared, uri: proxy });
      agents.set(proxy ?? '', made);
      return made;
    },
    async destroy(): Promise<void> {
      await Promise.all([...agents.values()].map((agent) => agent.destroy()));
    },
  };
}

function parseUrl(url: string): URL {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed?.protocol === 'http:' || parsed?.protocol === 'https:') return parsed;
  throw new VmdnError('invalid_input', 'A mirror is reached by http or https only.');
}

async function send(
  url: URL,
  dispatcher: Dispatcher,
  timeouts: MirrorTimeouts,
  wanted: MirrorGetOptions,
): Promise<Dispatcher.ResponseData> {
  try {
    const answer = await request(url, {
      headers: { 'user-agent': 'vmdn', 'accept-encoding': 'identity', ...wanted.headers },
      dispatcher,
      headersTimeout: timeouts.headersMs,
      bodyTimeout: timeouts.silenceMs,
      signal: wanted.signal ?? null,
    });
    // Destroying a body makes it emit an error, which is nobody's business any more.
    answer.body.on('error', () => undefined);
    return answer;
  } catch (cause) {
    throw translate(cause, url, wanted.signal);
  }
}

function header(answer: Dispatcher.ResponseData, name: string): string | null {
  const value = answer.headers[name];
  return (Array.isArray(value) ? value[0] : value) ?? null;
}

function locationOf(answer: Dispatcher.ResponseData): string | undefined {
  if (![301, 302, 303, 307, 308].includes(answer.statusCode)) return undefined;
  return header(answer, 'location') ?? undefined;
}

/** Where a redirect leads (I1). */
function redirected(from: URL, location: string): URL {
  const to = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  const isSame = to?.protocol === from.protocol && to.host === from.host;
  if (to !== undefined && (isSame || to.protocol === 'https:')) return to;
  throw unavailable(from, 'it redirects to a place that is not trusted');
}

function accept(
  answer: Dispatcher.ResponseData,
  url: URL,
  timeouts: MirrorTimeouts,
  wanted: MirrorGetOptions,
): MirrorAnswer {
  const status = answer.statusCode;
  if (status !== 200 && status !== 304) {
    answer.body.destroy();
    if (status === 404 || status === 410) {
      throw new VmdnError('not_found', `The mirror ${url.host} has no ${url.pathname}.`);
    }
    if (status === 401 || status === 403 || status === 407) {
      throw new VmdnError(
        'forbidden',
        `The mirror ${url.host} refuses ${url.pathname} (${status}).`,
      );
    }
    throw unavailable(url, `it answered ${status}`);
  }
  const length = header(answer, 'content-length');
  return {
    isUnchanged: status === 304,
    etag: header(answer, 'etag'),
    lastModified: header(answer, 'last-modified'),
    sizeBytes: length !== null && /^[0-9]{1,15}$/.test(length) ? Number(length) : null,
    body: watched(answer, url, timeouts, wanted),
    discard: () => void answer.body.destroy(),
  };
}

async function* watched(
  answer: Dispatcher.ResponseData,
  url: URL,
  timeouts: MirrorTimeouts,
  wanted: MirrorGetOptions,
): AsyncGenerator<Uint8Array> {
  let [total, waitedMs, received] = [0, 0, 0];
  const take = (piece: Uint8Array, waited: number): void => {
    wanted.onWireBytes?.(piece.length);
    [total, received, waitedMs] = [
      total + piece.length,
      received + piece.length,
      waitedMs + waited,
    ];
    if (total > wanted.bytesMax) {
      throw new VmdnError('too_large', `The mirror ${url.host} sends more than it should.`);
    }
    if (waitedMs < timeouts.trickleMs) return;
    if (received < timeouts.trickleBytes) {
      throw new VmdnError('timeout', `The mirror ${url.host} sends too slowly to be of use.`);
    }
    [waitedMs, received] = [0, 0];
  };
  const pieces = answer.body[Symbol.asyncIterator]();
  try {
    for (;;) {
      // Only time spent waiting for the server counts: what is done with the bytes may be slow as well.
      const askedAt = performance.now();
      const next = await pieces.next().catch((cause: unknown) => {
        throw translate(cause, url, wanted.signal);
      });
      if (next.done === true) return;
      take(next.value, performance.now() - askedAt);
      yield next.value;
    }
  } finally {
    answer.body.destroy();
  }
}

function translate(cause: unknown, url: URL, signal: AbortSignal | undefined): VmdnError {
  if (signal?.aborted) {
    return new VmdnError('cancelled', 'The request to a mirror was cancelled.', { cause });
  }
  const isSlow =
    cause instanceof errors.HeadersTimeoutError ||
    cause instanceof errors.BodyTimeoutError ||
    cause instanceof errors.ConnectTimeoutError;
  if (isSlow) return new VmdnError('timeout', `The mirror ${url.host} does not answer.`, { cause });
  return unavailable(url, 'it could not be reached, or cut the connection', cause);
}

function unavailable(url: URL, what: string, cause?: unknown): VmdnError {
  return new VmdnError('unavailable', `The mirror ${url.host} is of no use now: ${what}.`, {
    data: { url: `${url.origin}${url.pathname}`.slice(0, 500) },
    cause,
  });
}
