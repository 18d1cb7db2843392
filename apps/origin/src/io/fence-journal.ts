/**
 * Room: origin, io. What is known of moved VMs' fences, one JSON file for each VM:
 * `<state>/fences/NAME.json`.
 *
 * I1: durable before a file gets another name, and until it has its own again.
 * I2: a file that can't be read stops the origin: a source could be left without its name, or be started.
 */

import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DISK_FORMATS } from '@vmdn/core/domain/disk-format.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { hardware, id, name, timestamp } from '@vmdn/core/http/contracts/schemas.ts';
import { durableWrite } from '@vmdn/core/io/files/durable-write.ts';
import {
  ensurePrivateDir,
  fsyncDir,
  readBoundedFile,
  sweepTemps,
} from '@vmdn/core/io/files/files.ts';
import { z } from 'zod';
import type { FenceJournal, FenceRecord } from '../fence-ports.ts';
import { FENCE_BYTES_MAX } from '../limits.ts';

const SUFFIX = '.json';

const layer = z.object({ path: z.string(), format: z.enum(DISK_FORMATS) });

const recordSchema = z.object({
  vm: name,
  teleport: id,
  epoch: z.number().int().min(1),
  version: z.number().int().min(1),
  state: z.enum(['fencing', 'fenced', 'releasing', 'forcing', 'forced']),
  files: z.array(z.object({ from: z.string(), to: z.string() })).min(1),
  specification: z.object({
    name,
    disks: z.array(z.object({ layers: z.array(layer).min(1) })).min(1),
    hardware,
  }),
  since: timestamp,
  settled: z.boolean(),
});

/** The journal in `dir`, which is made when it is missing. */
export async function openFenceJournal(dir: string): Promise<FenceJournal> {
  await ensurePrivateDir(dir);
  await sweepTemps(dir);
  const pathOf = (vm: string): string => join(dir, `${vm}${SUFFIX}`);
  return {
    async load() {
      const names = (await readdir(dir)).filter((file) => file.endsWith(SUFFIX)).sort();
      return await Promise.all(names.map((file) => readRecord(join(dir, file))));
    },
    async save(record) {
      const text = `${JSON.stringify(record)}\n`;
      await durableWrite(pathOf(record.vm), new TextEncoder().encode(text));
    },
    async remove(vm) {
      await rm(pathOf(vm), { force: true });
      await fsyncDir(dir);
    },
  };
}

async function readRecord(path: string): Promise<FenceRecord> {
  const bytes = await readBoundedFile(path, FENCE_BYTES_MAX);
  try {
    return recordSchema.parse(JSON.parse(new TextDecoder().decode(bytes)));
  } catch (cause) {
    const words =
      `${path} can't be read: it says which files of a moved VM have other names. Restore it from a ` +
      'backup; or give the files (NAME.moved-TELEPORT) their names again, if the VM may start here, ' +
      'and remove it.';
    throw new VmdnError('corrupt', words, { data: { path }, cause });
  }
}
