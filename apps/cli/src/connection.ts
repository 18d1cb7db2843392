/**
 * Room: services. Finds the coordinator and the token to speak to it with.
 *
 * I1: what is said explicitly wins: options, then variables, then a named file, then the files at
 *     their conventional places.
 * I2: a token is sent only to the URL that it was given with.
 */

import { isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';

export interface Connection {
  readonly url: string;
  readonly token: string;
}

export interface ConnectionOptions {
  readonly url?: string | undefined;
  readonly token?: string | undefined;
  readonly clientFile?: string | undefined;
  /** Where client files lie by convention, the most particular first. */
  readonly usualFiles: readonly string[];
  /** Reads one. Throws `not_found`, `forbidden`, `invalid_input`. */
  readonly read: (path: string) => Promise<Connection>;
}

/** Decides whom to ask and with which token. Throws `unauthenticated` when nothing was found. */
export async function findConnection(options: ConnectionOptions): Promise<Connection> {
  const { url, token } = options;
  if (url !== undefined && token !== undefined) return { url: checkedUrl(url), token };
  const fromFile = await findFile(options);
  if (url === undefined) return { ...fromFile, token: token ?? fromFile.token };
  if (sameOrigin(checkedUrl(url), fromFile.url)) return { url, token: fromFile.token };
  throw new VmdnError(
    'unauthenticated',
    `There is no token for ${url}: give one with --token or VMDN_TOKEN. ` +
      `The client file that was found is for ${fromFile.url}.`,
  );
}

async function findFile(options: ConnectionOptions): Promise<Connection> {
  if (options.clientFile !== undefined) return options.read(options.clientFile);
  const closed: string[] = [];
  for (const path of options.usualFiles) {
    try {
      return await options.read(path);
    } catch (error) {
      if (isVmdnError(error, 'not_found')) continue;
      // Somebody else's coordinator on this machine is no reason to stop looking.
      if (!isVmdnError(error, 'forbidden') || error.data.errno === undefined) throw error;
      closed.push(path);
    }
  }
  const tried = options.usualFiles.map((path) =>
    closed.includes(path) ? `${path} (not ours)` : path,
  );
  throw new VmdnError(
    'unauthenticated',
    `No coordinator is known here: there is no ${tried.join(', ')}. Start one with "vmdn coordinator" or ` +
      '"npm start -- --keep", or name one with --url and --token, VMDN_URL and VMDN_TOKEN, or --client-file.',
    { data: { tried } },
  );
}

function checkedUrl(raw: string): string {
  if (URL.canParse(raw) && /^https?:$/.test(new URL(raw).protocol)) return raw.replace(/\/+$/, '');
  throw new VmdnError('invalid_input', `${raw} is no URL; it looks like https://host:port.`);
}

function sameOrigin(left: string, right: string): boolean {
  return new URL(left).origin === new URL(right).origin;
}
