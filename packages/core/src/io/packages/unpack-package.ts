/**
 * Room: io, packages. From the bytes of a package to a package image in a staging directory: what the
 * unpacking thread does for one job.
 *
 * I1: the result comes after the package's length and SHA-256 were found right, and after image and recipe
 *     are on the disk, in this order.
 * I2: on any failure neither image nor recipe is left.
 */

import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { VmdnError } from '../../domain/errors.ts';
import { MAX_RECIPE_BYTES } from '../../domain/limits.ts';
import { nonZeroBytesOf } from '../../domain/recipe.ts';
import { rootsOfPages } from '../../formats/page-roots.ts';
import { recipePieces } from '../../formats/recipe.ts';
import { buildRecipe } from '../../formats/recipe-builder.ts';
import type { CommandRunner } from '../command/command-runner.ts';
import { durableWrite } from '../files/durable-write.ts';
import { ensurePrivateDir, fileError } from '../files/files.ts';
import { DISK_FILE } from '../files/shared-file.ts';
import type { UnpackedPackage, UnpackOrder } from '../ports/package-unpacker.ts';
import { RECIPE_FILE } from '../store/image-record.ts';
import { ByteSource } from './byte-source.ts';
import { decompress, UnpackBudget } from './decompress.ts';
import { PackageFiles } from './file-sink.ts';
import { ImageWriter } from './image-writer.ts';
import { type OpenStream, unpackDeb } from './unpack-deb.ts';
import { unpackRpm } from './unpack-rpm.ts';

/** Unpacks one package; blocks its thread now and then. Throws as PackageUnpacker.unpack does. */
export async function unpackPackage(
  order: UnpackOrder,
  runner: CommandRunner,
): Promise<UnpackedPackage> {
  const path = join(order.stagingDir, DISK_FILE.raw);
  try {
    await ensurePrivateDir(order.stagingDir);
    await removeImage(order.stagingDir);
    return await unpackTo(path, order, runner);
  } catch (error) {
    await removeImage(order.stagingDir).catch(() => {});
    throw fileError(error, path);
  }
}

/** Removes what an unfinished job may have left in its staging directory. */
export async function removeImage(stagingDir: string): Promise<void> {
  for (const name of [RECIPE_FILE, DISK_FILE.raw])
    await rm(join(stagingDir, name), { force: true });
}

async function unpackTo(
  path: string,
  order: UnpackOrder,
  runner: CommandRunner,
): Promise<UnpackedPackage> {
  const { expected, signal } = order;
  const budget = new UnpackBudget(expected.sizeBytes);
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  await using file = await open(path, flags, 0o600);
  const image = new ImageWriter(file.fd, budget.limitBytes);
  const files = new PackageFiles(image);
  const source = new ByteSource(provenBytes(order));
  const openStream: OpenStream = (compression, input) =>
    decompress(compression, input, { runner, budget, signal });
  await (order.format === 'deb' ? unpackDeb : unpackRpm)(source, openStream, files);
  await source.skip(Number.POSITIVE_INFINITY);
  const { virtualSizeBytes, pages } = image.finish();
  await file.sync();
  const recipe = buildRecipe(virtualSizeBytes, pages);
  const recipePath = join(order.stagingDir, RECIPE_FILE);
  await durableWrite(recipePath, recipePieces(recipe), { maxBytes: MAX_RECIPE_BYTES });
  if (signal.aborted) throw cancelled(order.name);
  const roots = rootsOfPages(virtualSizeBytes, pages);
  return { ...roots, virtualSizeBytes, nonZeroBytes: nonZeroBytesOf(recipe), files: files.count };
}

/** The package's bytes; after the last one, `corrupt` when they are not the expected ones. */
async function* provenBytes(order: UnpackOrder): AsyncGenerator<Uint8Array, void, undefined> {
  const { name, bytes, expected, signal } = order;
  const digest = createHash('sha256');
  let sizeBytes = 0;
  const check = (isRight: boolean, sha256?: string): void => {
    if (isRight) return;
    const message = `The package ${name} is not the one that was expected; fetch it again.`;
    throw new VmdnError('corrupt', message, { data: { expected, found: { sizeBytes, sha256 } } });
  };
  for await (const chunk of bytes) {
    if (signal.aborted) throw cancelled(name);
    sizeBytes += chunk.length;
    check(sizeBytes <= expected.sizeBytes);
    digest.update(chunk);
    yield chunk;
  }
  const sha256 = digest.digest('hex');
  check(sizeBytes === expected.sizeBytes && sha256 === expected.sha256, sha256);
}

function cancelled(name: string): VmdnError {
  return new VmdnError('cancelled', `Unpacking the package ${name} was cancelled.`);
}
