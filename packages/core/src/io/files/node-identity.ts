/**
 * Room: io, files. A node's own folder: its key and what the coordinator told it at enrolment.
 *
 * I1: the folder is 0700 and the files are 0600; both are written durably.
 * I2: a file that can't be read as what it is stops the node: a new key would be another node.
 */

import { join } from 'node:path';
import { z } from 'zod';
import { isVmdnError, VmdnError } from '../../domain/errors.ts';
import { ID_PATTERN, type Id } from '../../domain/names.ts';
import type { NodeIdentityStore } from '../ports/node-identity-store.ts';
import { durableWrite } from './durable-write.ts';
import { ensurePrivateDir, readBoundedFile } from './files.ts';

/** Each holds a few short fields. */
const FILE_BYTES_MAX = 4096;

const id = z
  .string()
  .regex(ID_PATTERN)
  .transform((raw) => raw as Id);
const identitySchema = z.object({
  node: id,
  project: id,
  coordinatorKey: z.object({
    kty: z.literal('OKP'),
    crv: z.literal('Ed25519'),
    x: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  }),
});

/** The key and identity files in `dir`, which is made (0700) when it is missing. */
export async function openNodeIdentityStore(dir: string): Promise<NodeIdentityStore> {
  await ensurePrivateDir(dir);
  const identityPath = join(dir, 'node.json');
  const keyPath = join(dir, 'key.json');
  return {
    async read() {
      const value = await readJson(identityPath);
      if (value === null) return null;
      const parsed = identitySchema.safeParse(value);
      if (!parsed.success) throw unreadable(identityPath, parsed.error);
      return parsed.data;
    },
    write: (identity) => writeJson(identityPath, identity),
    readKey: () => readJson(keyPath),
    writeKey: (jwk) => writeJson(keyPath, jwk),
  };
}

async function writeJson(path: string, value: object): Promise<void> {
  const text = `${JSON.stringify(value, null, 2)}\n`;
  await durableWrite(path, new TextEncoder().encode(text), { mode: 0o600 });
}

/** Null when there is no such file. */
async function readJson(path: string): Promise<unknown> {
  let bytes: Uint8Array;
  try {
    bytes = await readBoundedFile(path, FILE_BYTES_MAX);
  } catch (error) {
    if (isVmdnError(error, 'not_found')) return null;
    throw error;
  }
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

function unreadable(path: string, cause: unknown): VmdnError {
  return new VmdnError(
    'corrupt',
    `${path} can't be read. Restore it, or remove its folder and enrol this node anew.`,
    { data: { path }, cause },
  );
}
