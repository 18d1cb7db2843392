/**
 * Room: io, files. The client file: where a coordinator answers and the token of its first user,
 * written by the coordinator and found by the CLI.
 *
 * I1: a file that anybody but its owner can read or write holds no secret: it is refused, never used.
 * I2: what is checked is what is read: one open file, no symbolic link in its last step.
 */

import { constants, open } from 'node:fs/promises';
import { z } from 'zod';
import { VmdnError } from '../../domain/errors.ts';
import { durableWrite } from './durable-write.ts';
import { fileError } from './files.ts';

/** Its name, in a coordinator's state folder or a user's configuration folder. */
export const CLIENT_FILE_NAME = 'client.json';
/** A URL of 512 bytes and a token of 1 KiB fit many times. */
const CLIENT_FILE_BYTES_MAX = 64 * 1024;

const clientFile = z.object({
  url: z.url({ protocol: /^https?$/ }).max(512),
  token: z.string().min(16).max(1024),
});

export type ClientFile = Readonly<z.infer<typeof clientFile>>;

/**
 * Reads a client file. Throws `not_found`, `forbidden` (others can read it, or it is not ours),
 * `invalid_input` (not a client file).
 */
export async function readClientFile(path: string): Promise<ClientFile> {
  const text = await readPrivate(path);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw notAClientFile(path, cause);
  }
  const parsed = clientFile.safeParse(value);
  if (!parsed.success) throw notAClientFile(path, parsed.error);
  return Object.freeze(parsed.data);
}

/** Writes a client file, 0600 and durable. Throws `forbidden`, `disk_full`, `not_found`. */
export async function writeClientFile(path: string, content: ClientFile): Promise<void> {
  const text = `${JSON.stringify(clientFile.parse(content), null, 2)}\n`;
  await durableWrite(path, Buffer.from(text), { mode: 0o600 });
}

async function readPrivate(path: string): Promise<string> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      const { mode, uid, size } = await file.stat();
      const me = process.getuid?.() ?? uid;
      if (uid !== me && me !== 0) {
        throw new VmdnError('forbidden', `${path} belongs to another user; it is not used.`, {
          data: { path, uid },
        });
      }
      if ((mode & 0o077) !== 0) {
        throw new VmdnError(
          'forbidden',
          `${path} can be read by others, so its token may be known to them. Run "chmod 600 ${path}", ` +
            'and ask for a new token if other people use this machine.',
          { data: { path, mode: (mode & 0o777).toString(8) } },
        );
      }
      if (size > CLIENT_FILE_BYTES_MAX) throw notAClientFile(path);
      const content = Buffer.alloc(CLIENT_FILE_BYTES_MAX);
      const { bytesRead } = await file.read(content, 0, content.length, 0);
      return content.toString('utf8', 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw fileError(error, path);
  }
}

function notAClientFile(path: string, cause?: unknown): VmdnError {
  return new VmdnError(
    'invalid_input',
    `${path} is not a client file: it should hold {"url": "https://…", "token": "…"}.`,
    { data: { path }, cause },
  );
}
