/**
 * Room: formats. A listing of files as find(1) prints it with `-printf '%y %s %p\0%l\0'`: type, size, path,
 * and where a symbolic link points.
 *
 * I1: total: records that are not of the form are left out. Names are the guest's own, so nothing of them is
 *     believed.
 */

import type { DebugfsEntry, DebugfsInode } from './debugfs-output.ts';

const RECORDS_MAX = 100_000;
const TYPES: Readonly<Record<string, DebugfsInode['type']>> = {
  f: 'regular',
  d: 'directory',
  l: 'symlink',
};

/** Inodes by absolute path. Paths in the listing begin with `./`. */
export function parseFileIndex(text: string): Map<string, DebugfsInode> {
  const inodes = new Map<string, DebugfsInode>();
  const fields = text.split('\0');
  for (let i = 0; i + 1 < fields.length && inodes.size < RECORDS_MAX; i += 2) {
    const match = /^([a-zA-Z?]) ([0-9]{1,15}) \.(\/.{1,4096})$/s.exec(fields[i]!);
    if (match === null) continue;
    const type = TYPES[match[1]!] ?? 'other';
    const linkTarget = type === 'symlink' ? fields[i + 1]! : null;
    inodes.set(match[3]!, { type, sizeBytes: Number(match[2]), linkTarget });
  }
  return inodes;
}

/** Entries of the folder at `path`, by name. */
export function entriesOf(inodes: ReadonlyMap<string, DebugfsInode>, path: string): DebugfsEntry[] {
  const start = `${path}/`;
  const entries: DebugfsEntry[] = [];
  for (const [each, { type }] of inodes) {
    if (!each.startsWith(start) || each.indexOf('/', start.length) !== -1) continue;
    entries.push({ name: each.slice(start.length), isDirectory: type === 'directory' });
  }
  return entries;
}
