/**
 * Room: origin, io. The versions of each VM, one JSON file for each: `<state>/vms/NAME.json`.
 *
 * I1: durable before anybody hears of a version: a number is never given twice to different contents.
 * I2: a file that can't be read stops the origin: to guess a number could give it twice.
 */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CONSISTENCIES } from '@vmdn/core/domain/description.ts';
import { DISK_FORMATS } from '@vmdn/core/domain/disk-format.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { NAME_PATTERN, type Name } from '@vmdn/core/domain/names.ts';
import { description, digest, name } from '@vmdn/core/http/contracts/schemas.ts';
import { durableWrite } from '@vmdn/core/io/files/durable-write.ts';
import { ensurePrivateDir, readBoundedFile, sweepTemps } from '@vmdn/core/io/files/files.ts';
import { z } from 'zod';
import { LEDGER_BYTES_MAX } from '../limits.ts';
import type { Ledger, SourcePrint, VmRecord } from '../ports.ts';

const SUFFIX = '.json';

const recordSchema = z.object({
  vm: name,
  versions: z
    .array(
      z.object({
        version: z.number().int().min(1),
        digests: z.array(digest).min(1),
        skipFreeDigests: z.array(digest).default([]),
        consistency: z.enum(CONSISTENCIES).default('off'),
        description: description.nullable(),
      }),
    )
    .min(1),
  source: z.object({
    disks: z.array(
      z.object({ layers: z.array(z.object({ path: z.string(), format: z.enum(DISK_FORMATS) })) }),
    ),
    prints: z.array(z.string().transform((raw) => raw as SourcePrint)),
  }),
});

/** The ledger in `dir`, which is made when it is missing. */
export async function openLedger(dir: string): Promise<Ledger> {
  await ensurePrivateDir(dir);
  await sweepTemps(dir);
  return {
    async load() {
      const names = (await readdir(dir)).filter((file) => file.endsWith(SUFFIX)).sort();
      return await Promise.all(names.map((file) => readRecord(join(dir, file))));
    },
    async save(record) {
      const text = `${JSON.stringify(record)}\n`;
      await durableWrite(pathOf(dir, record.vm), new TextEncoder().encode(text));
    },
  };
}

function pathOf(dir: string, vm: Name): string {
  // A Name is safe as a file name (domain/names.ts, I1); this is the last place to notice if it were not.
  if (!NAME_PATTERN.test(vm)) throw new VmdnError('internal', 'A VM has an impossible name.');
  return join(dir, `${vm}${SUFFIX}`);
}

async function readRecord(path: string): Promise<VmRecord> {
  const bytes = await readBoundedFile(path, LEDGER_BYTES_MAX);
  try {
    return recordSchema.parse(JSON.parse(new TextDecoder().decode(bytes))) as VmRecord;
  } catch (cause) {
    throw new VmdnError(
      'corrupt',
      `${path} can't be read. Restore it from a backup, or remove it: then the VM is described anew.`,
      { data: { path }, cause },
    );
  }
}
