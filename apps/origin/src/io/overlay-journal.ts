/**
 * Room: origin, io. Which running domains have overlays of ours, one JSON file for each:
 * `<state>/running/DOMAIN.json`.
 *
 * I1: an entry is durable before the first overlay can exist, and is removed after the last one was.
 * I2: a file that can't be read stops the origin: what it names may hold what a guest has written.
 */

import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DISK_FORMATS } from '@vmdn/core/domain/disk-format.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { DiskSource } from '@vmdn/core/domain/vm-specification.ts';
import { id, name } from '@vmdn/core/http/contracts/schemas.ts';
import { durableWrite } from '@vmdn/core/io/files/durable-write.ts';
import {
  ensurePrivateDir,
  fsyncDir,
  readBoundedFile,
  sweepTemps,
} from '@vmdn/core/io/files/files.ts';
import { z } from 'zod';
import { JOURNAL_BYTES_MAX } from '../limits.ts';

/** A disk of a domain that has an overlay, or is about to get one. */
export interface JournalDisk {
  /** Its name in the domain: `vda`. */
  readonly target: string;
  /** What it was: its file by libvirt's name, and the layers by their real ones. */
  readonly file: string;
  readonly layers: DiskSource['layers'];
  /** Its definition, as libvirt takes it back. */
  readonly document: string;
  readonly overlay: string;
  /** All that the overlay holds is durable in the disk. */
  readonly isMerged: boolean;
}

/** A domain with overlays of ours. */
export interface JournalEntry {
  readonly domain: Id;
  readonly vm: Name;
  readonly disks: readonly JournalDisk[];
  /** Whether the guest's agent was asked to freeze its file systems. */
  readonly quiesced: boolean;
  /** What libvirt counts the run by in which they are taken. */
  readonly run: string;
  /** How each disk's file looked when the overlays were there; null: libvirt was only about to be asked. */
  readonly looks: readonly string[] | null;
}

export interface OverlayJournal {
  list(): readonly JournalEntry[];
  /** Durable when it resolves; replaces the domain's entry. */
  save(entry: JournalEntry): Promise<void>;
  remove(entry: JournalEntry): Promise<void>;
}

const SUFFIX = '.json';

const entrySchema = z.object({
  domain: id,
  vm: name,
  disks: z.array(
    z.object({
      target: z.string(),
      file: z.string(),
      layers: z.array(z.object({ path: z.string(), format: z.enum(DISK_FORMATS) })).min(1),
      document: z.string(),
      overlay: z.string(),
      isMerged: z.boolean(),
    }),
  ),
  quiesced: z.boolean(),
  run: z.string(),
  looks: z.array(z.string()).nullable(),
});

/** The journal in `dir`, which is made when it is missing. Throws `corrupt` (I2). */
export async function openOverlayJournal(dir: string): Promise<OverlayJournal> {
  await ensurePrivateDir(dir);
  await sweepTemps(dir);
  const entries = new Map<Id, JournalEntry>();
  for (const file of await readdir(dir)) {
    if (!file.endsWith(SUFFIX)) continue;
    const entry = await readEntry(join(dir, file));
    entries.set(entry.domain, entry);
  }
  const pathOf = ({ domain }: JournalEntry): string => join(dir, `${domain}${SUFFIX}`);
  return {
    list: () => [...entries.values()],
    async save(entry) {
      const text = `${JSON.stringify(entry)}\n`;
      await durableWrite(pathOf(entry), new TextEncoder().encode(text));
      entries.set(entry.domain, entry);
    },
    async remove(entry) {
      await rm(pathOf(entry), { force: true });
      await fsyncDir(dir);
      entries.delete(entry.domain);
    },
  };
}

async function readEntry(path: string): Promise<JournalEntry> {
  const bytes = await readBoundedFile(path, JOURNAL_BYTES_MAX);
  try {
    return entrySchema.parse(JSON.parse(new TextDecoder().decode(bytes)));
  } catch (cause) {
    const message =
      `${path} can't be read. It names overlays that running VMs write into: restore it from a backup, ` +
      'or merge them (virsh domblklist, virsh blockcommit --active --pivot) and remove it.';
    throw new VmdnError('corrupt', message, { data: { path }, cause });
  }
}
