/**
 * Room: test, harness. Small VMs for tests that need no operating system: disks of bytes from a seed,
 * on machines whose only duty is to be switched on.
 */

import { createCipheriv, createHash } from 'node:crypto';
import { open, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DiskFile } from '@vmdn/infra/lab/disk-proof.ts';

export const MIB = 2 ** 20;

/** Incompressible bytes that a seed always gives: AES-256 in counter mode. */
export function seededBytes(seed: string, sizeBytes: number): Buffer {
  const key = createHash('sha256').update(seed).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(sizeBytes));
}

/** Writes a raw disk: `dataMiB` MiB from the seed, zeros up to `sizeMiB`. */
export async function makeDisk(
  path: string,
  options: { readonly seed: string; readonly dataMiB: number; readonly sizeMiB?: number },
): Promise<DiskFile> {
  const file = await open(path, 'w', 0o600);
  try {
    for (let mib = 0; mib < options.dataMiB; mib += 1) {
      await file.write(seededBytes(`${options.seed}/${mib}`, MIB));
    }
    await file.truncate((options.sizeMiB ?? options.dataMiB) * MIB);
  } finally {
    await file.close();
  }
  return { path, format: 'raw' };
}

/** A specification as an owner writes it: a machine that is ready as soon as it is on. */
export function specification(vm: string, disks: readonly unknown[]): Record<string, unknown> {
  return { name: vm, disks, vcpus: 1, memoryMiB: 64, ports: [], ready: null };
}

/** Writes a specification at once, so that nobody finds half of it. */
export async function writeSpecification(
  vmsDir: string,
  vm: string,
  content: unknown,
): Promise<void> {
  const path = join(vmsDir, `${vm}.vm.json`);
  await writeFile(`${path}.new`, typeof content === 'string' ? content : JSON.stringify(content));
  await rename(`${path}.new`, path);
}

/** A VM with one seeded raw disk. */
export async function placeSeededVm(
  vmsDir: string,
  vm: string,
  options: { readonly seed?: string; readonly dataMiB: number; readonly sizeMiB?: number },
): Promise<DiskFile> {
  const disk = await makeDisk(join(vmsDir, `${vm}.raw`), { seed: vm, ...options });
  await writeSpecification(vmsDir, vm, specification(vm, [{ file: `${vm}.raw`, format: 'raw' }]));
  return disk;
}
