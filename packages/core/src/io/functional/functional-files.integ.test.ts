import { createHash, randomUUID } from 'node:crypto';
import { appendFile, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Id } from '../../domain/names.ts';
import { createCommandRunner } from '../command/command-runner.ts';
import { createQemuImg } from '../command/qemu-img.ts';
import { openDiskExport } from '../disk-export/disk-export.ts';
import { describeDisk } from '../hashing/describe-disk.ts';
import { createHashPool, type HashPool } from '../hashing/hash-pool.ts';
import type { FunctionalFiles } from '../ports/functional-copy.ts';
import { imageRights } from '../store/image-rights.ts';
import { createFunctionalFiles } from './functional-files.ts';

const runner = createCommandRunner();
const qemuImg = createQemuImg(runner);
const never = new AbortController().signal;
const MIB = 2 ** 20;
let dir: string;
let pool: HashPool;
let files: FunctionalFiles;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-copies-'));
  pool = createHashPool();
  files = createFunctionalFiles({
    rights: imageRights(false),
    ...{ dir: join(dir, 'copies'), socketDir: join(dir, 's'), runner, pool },
  });
});
afterAll(async () => {
  await pool.close();
  await rm(dir, { recursive: true, force: true });
});

/** A copy over an image of noise, as the copier leaves one. */
async function makeCopy() {
  const vm = randomUUID() as Id;
  const image = join(dir, `${vm}.raw`);
  const noise = Array.from({ length: MIB / 32 }, (_, i) =>
    createHash('sha256').update(`${i}`).digest(),
  );
  await writeFile(image, Buffer.concat(noise));
  await files.prepare(vm);
  const path = files.path(vm);
  const backing = { path: image, format: 'raw' as const };
  await qemuImg.createOverlay({ path, backing, virtualSizeBytes: 2 * MIB });
  return { vm, layers: [{ path, format: 'qcow2' as const }, backing] };
}

describe('the disk of a functional copy', () => {
  it('I1: is known by its content and its file, and not when a byte of the file is another', async () => {
    const { vm, layers } = await makeCopy();
    const { digest, seal } = await files.seal(layers, never);
    await using stack = new AsyncDisposableStack();
    const exported = await openDiskExport({ layers, socketDir: join(dir, 's'), runner });
    stack.defer(() => exported.close());
    const { socketPath, virtualSizeBytes } = exported;
    expect(virtualSizeBytes).toBe(2 * MIB);
    expect(digest).toBe((await describeDisk({ socketPath, virtualSizeBytes })).digest);
    expect(await files.isSealed(vm, seal)).toBe(true);
    // As it is read from the record of a teleport.
    expect(await files.isSealed(vm, JSON.parse(JSON.stringify(seal)))).toBe(true);
    await appendFile(layers[0]!.path, 'x');
    expect(await files.isSealed(vm, seal)).toBe(false);
    expect(await files.isSealed(randomUUID() as Id, seal)).toBe(false);
  });

  it('begins in an empty folder, whatever was left there, and leaves none', async () => {
    const { vm } = await makeCopy();
    await writeFile(join(dir, 'copies', vm, 'half.vmdn-tmp'), 'x');
    await files.prepare(vm);
    expect(await readdir(join(dir, 'copies', vm))).toEqual([]);
    await files.remove(vm);
    await files.remove(vm);
    expect(await readdir(join(dir, 'copies'))).not.toContain(vm);
  });
});
