/**
 * Room: io, files. The one way in which a file becomes durable (DESIGN section 7).
 *
 * I1: order: temp file in the same directory (exclusive, no symbolic link followed) → write → length and
 *     digest check → fsync → rename → fsync of the directory. At `path` there is the old content or the
 *     new one, never a part; after the promise resolves the new one survives a power cut.
 * I2: on any error the temp file is removed and `path` is as it was.
 * I3: temp names end in `.vmdn-tmp`, which no name of ours does; `sweepTemps` removes what a crash left.
 */

import { createHash, randomBytes } from 'node:crypto';
import { constants, type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { VmdnError } from '../../domain/errors.ts';
import { fileError, fsyncDir, TEMP_SUFFIX } from './files.ts';

export interface DurableWriteOptions {
  /** What the content must measure; a difference is `corrupt`. */
  readonly sizeBytes?: number;
  /** SHA-256 in hexadecimal that the content must have; a difference is `corrupt`. */
  readonly sha256?: string;
  /** More than this is `too_large`: for content that comes from outside. */
  readonly maxBytes?: number;
  /** Permissions; 0600 unless told otherwise. */
  readonly mode?: number;
}

export interface DurableWriteResult {
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** All at once, or piece by piece. */
type Content = Uint8Array | AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/**
 * Writes `content` to `path`, durably and atomically, replacing what is there. Throws `corrupt`,
 * `too_large`, `disk_full`, `not_found` (no such directory), `forbidden`, or what the content throws.
 */
export async function durableWrite(
  path: string,
  content: Content,
  options: DurableWriteOptions = {},
): Promise<DurableWriteResult> {
  const directory = dirname(path);
  const tempPath = join(directory, `.${randomBytes(12).toString('hex')}${TEMP_SUFFIX}`);
  try {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const file = await open(tempPath, flags, options.mode ?? 0o600);
    let result: DurableWriteResult;
    try {
      result = await writeAll(file, content, options.maxBytes ?? Number.MAX_SAFE_INTEGER);
      checkResult(result, options);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(tempPath, path);
    await fsyncDir(directory);
    return result;
  } catch (error) {
    await rm(tempPath, { force: true }).catch(() => {});
    throw fileError(error, path);
  }
}

async function writeAll(
  file: FileHandle,
  content: Content,
  maxBytes: number,
): Promise<DurableWriteResult> {
  const digest = createHash('sha256');
  let sizeBytes = 0;
  const take = async (chunk: Uint8Array): Promise<void> => {
    if (sizeBytes + chunk.length > maxBytes) {
      throw new VmdnError('too_large', `The content is larger than ${maxBytes} bytes.`, {
        data: { maxBytes },
      });
    }
    digest.update(chunk);
    let written = 0;
    while (written < chunk.length) {
      const position = sizeBytes + written;
      const { bytesWritten } = await file.write(chunk, written, chunk.length - written, position);
      written += bytesWritten;
    }
    sizeBytes += chunk.length;
  };
  if (content instanceof Uint8Array) await take(content);
  else for await (const chunk of content) await take(chunk);
  return { sizeBytes, sha256: digest.digest('hex') };
}

function checkResult(found: DurableWriteResult, wanted: DurableWriteOptions): void {
  const isSizeRight = wanted.sizeBytes === undefined || wanted.sizeBytes === found.sizeBytes;
  const isHashRight = wanted.sha256 === undefined || wanted.sha256 === found.sha256;
  if (isSizeRight && isHashRight) return;
  throw new VmdnError('corrupt', 'The content is not what was promised; fetch it again.', {
    data: { wanted: { sizeBytes: wanted.sizeBytes, sha256: wanted.sha256 }, found },
  });
}
