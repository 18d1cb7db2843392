/**
 * Room: io, functional. A Debian package whose files are no longer compressed by xz: an appliance whose
 * processor is emulated takes more than ten times as long for that as this machine does.
 *
 * I1: all before data.tar is the package's own, byte for byte, and data.tar is what its xz held. Every dpkg
 *     since 1.10.24 takes that (deb(5)). A package with another compression stays as it is.
 * I2: bounded in time, memory and bytes, as unpacking a package is. On an error the package is as it was.
 */

import { constants } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { PACKAGE_UNPACK_MS_MAX, XZ_MEMORY_MIB_MAX } from '../../domain/limits.ts';
import { AR_HEADER_BYTES, AR_MAGIC, type ArMember, parseArHeader } from '../../formats/ar.ts';
import { corruptPackage } from '../../formats/archive.ts';
import { latin1 } from '../../formats/image-bytes.ts';
import type { CommandRunner } from '../command/command-runner.ts';
import { TEMP_SUFFIX } from '../files/files.ts';
import { UnpackBudget } from '../packages/decompress.ts';

const SLOW = 'data.tar.xz';
const PLAIN = 'data.tar';
/** Before data.tar there are two members (deb(5)), and those of other makers. */
const MEMBERS_MAX = 16;
/** Where the header of a member has its name and its size (ar.ts). */
const NAME_CHARACTERS = 16;
const SIZE_OFFSET = 48;
const SIZE_CHARACTERS = 10;

interface Means {
  readonly runner: Pick<CommandRunner, 'filter'>;
  readonly signal: AbortSignal | undefined;
}

/**
 * Rewrites the package at `path`. Throws `corrupt`, `too_large`, `tool_missing`, `tool_failed`, `timeout`,
 * `cancelled`.
 */
export async function storePlain(path: string, means: Means): Promise<void> {
  const plainPath = `${path}${TEMP_SUFFIX}`;
  await using input = await open(path, 'r');
  const found = await findSlow(input);
  if (found === undefined) return;
  try {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    await using output = await open(plainPath, flags, 0o600);
    await writePlain(input, output, found, means);
    await rename(plainPath, path);
  } finally {
    await rm(plainPath, { force: true });
  }
}

/** A member and where its header begins. */
interface PlacedMember extends ArMember {
  readonly at: number;
}

/** The member with the files, where xz has compressed it. */
async function findSlow(input: FileHandle): Promise<PlacedMember | undefined> {
  if (latin1(await read(input, 0, AR_MAGIC.length)) !== AR_MAGIC) {
    throw corruptPackage('it is no Debian package');
  }
  let at = AR_MAGIC.length;
  for (let count = 0; count < MEMBERS_MAX; count += 1) {
    const member = parseArHeader(await read(input, at, AR_HEADER_BYTES));
    if (member.name === SLOW) return { ...member, at };
    if (member.name.startsWith(PLAIN)) return undefined;
    at += AR_HEADER_BYTES + member.sizeBytes + (member.sizeBytes % 2);
  }
  throw corruptPackage(`${PLAIN} is missing`);
}

async function writePlain(
  input: FileHandle,
  output: FileHandle,
  { at, sizeBytes }: PlacedMember,
  { runner, signal }: Means,
): Promise<void> {
  const contentAt = at + AR_HEADER_BYTES;
  const head = await read(input, 0, contentAt);
  await output.write(head);
  const budget = new UnpackBudget((await input.stat()).size);
  const end = contentAt + sizeBytes - 1;
  const content = input.createReadStream({ start: contentAt, end, autoClose: false });
  // By the tool, not by liblzma in this thread: a whole system is some hundred packages.
  const args = ['-d', '-c', '-T1', `--memlimit-decompress=${XZ_MEMORY_MIB_MAX}MiB`];
  const maxOutputBytes = budget.limitBytes;
  const limits = { timeoutMs: PACKAGE_UNPACK_MS_MAX, maxOutputBytes, signal };
  let plainBytes = 0;
  for await (const piece of runner.filter('xz', args, content, limits)) {
    await output.write(piece);
    plainBytes += piece.length;
  }
  if (plainBytes % 2 === 1) await output.write('\n');
  const size = String(plainBytes);
  if (size.length > SIZE_CHARACTERS) throw corruptPackage(`${PLAIN} is too large for its header`);
  await output.write(PLAIN.padEnd(NAME_CHARACTERS), at, 'latin1');
  await output.write(size.padEnd(SIZE_CHARACTERS), at + SIZE_OFFSET, 'latin1');
}

/** Exactly `length` bytes of a file. Throws `corrupt`. */
async function read(file: FileHandle, at: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  const { bytesRead } = await file.read(bytes, 0, length, at);
  if (bytesRead !== length) throw corruptPackage('it ends too early');
  return bytes;
}
