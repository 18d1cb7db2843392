/**
 * Room: formats. What debugfs(8) of e2fsprogs prints, and the arguments that make it print it.
 *
 * I1: total: output that is not understood gives null or an empty list; the guest's own names appear in
 *     it, so no line is believed beyond its form.
 */

export interface DebugfsInode {
  readonly type: 'regular' | 'directory' | 'symlink' | 'other';
  readonly sizeBytes: number;
  /** Where a short symbolic link points; null for anything else. */
  readonly linkTarget: string | null;
}

/** Entries taken from one folder: more is a guest that wants to waste our time. */
const ENTRIES_MAX = 20_000;
/** A path of ours or a checked name: needs no quoting, can't be an option or a second command. */
const SAFE_PATH = /^\/[A-Za-z0-9:_.@/-]{0,400}$/;

/** Whether a guest path can stand in a debugfs request as it is. */
export function isSafeGuestPath(path: string): boolean {
  return SAFE_PATH.test(path);
}

/** The output of `stat PATH`; null when there is no such file. */
export function parseDebugfsStat(text: string): DebugfsInode | null {
  const type = /^Inode: \d+ +Type: (\S+)/m.exec(text)?.[1];
  const size = /^User:.*\bSize: (\d{1,15})$/m.exec(text)?.[1];
  if (type === undefined || size === undefined) return null;
  const known = (['regular', 'directory', 'symlink'] as const).find((name) => name === type);
  const linkTarget = /^Fast link dest: "([^"\n]{1,4096})"/m.exec(text)?.[1] ?? null;
  return {
    type: known ?? 'other',
    sizeBytes: Number(size),
    linkTarget: known === 'symlink' ? linkTarget : null,
  };
}

export interface DebugfsEntry {
  readonly name: string;
  readonly isDirectory: boolean;
}

/** The output of `ls -p PATH`: one `/inode/mode/uid/gid/name/size/` a line; . and .. left out. */
export function parseDebugfsList(text: string): DebugfsEntry[] {
  const entries: DebugfsEntry[] = [];
  for (const line of text.split('\n')) {
    const match = /^\/\d+\/(\d{6})\/\d+\/\d+\/([^/]+)\/\d*\/$/.exec(line);
    if (match === null || match[2] === '.' || match[2] === '..') continue;
    if (entries.length === ENTRIES_MAX) break;
    entries.push({ name: match[2]!, isDirectory: match[1]!.startsWith('04') });
  }
  return entries;
}

/** Resolves a symbolic link's target against the folder it lies in; null when it leaves the root. */
export function resolveGuestLink(linkPath: string, target: string): string | null {
  const start = target.startsWith('/') ? [] : linkPath.split('/').slice(1, -1);
  for (const part of target.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') start.push(part);
    else if (start.pop() === undefined) return null;
  }
  const path = `/${start.join('/')}`;
  return isSafeGuestPath(path) ? path : null;
}
