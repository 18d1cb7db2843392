/**
 * Room: formats. fstab(5): which file systems a guest mounts, and where.
 *
 * I1: total: any text gives a list; a line that is not of the form, or names what no mount point can be
 *     called, is left out.
 * I2: bounded: at most MOUNTS_MAX lines count, fields have at most FIELD_CHARACTERS_MAX characters and no
 *     control characters.
 */

import type { GuestMount } from '../domain/description.ts';

/** Real ones have some 1,000 bytes. */
export const FSTAB_BYTES_MAX = 256 * 1024;
/** A server with every folder on a volume of its own has some 20. */
export const MOUNTS_MAX = 200;
const FIELD_CHARACTERS_MAX = 512;
const PLAIN = /^[^\p{Cc}\u2028\u2029]+$/u;

/** The lines of an fstab in their order, comments left out. */
export function parseFstab(text: string): GuestMount[] {
  const mounts: GuestMount[] = [];
  for (const line of text.slice(0, FSTAB_BYTES_MAX).split('\n')) {
    if (mounts.length === MOUNTS_MAX) break;
    const fields = line.trim().split(/[ \t]+/);
    const [source = '', target = '', type = '', options = 'defaults'] = fields.map(unescapeField);
    if (source === '' || source.startsWith('#') || target === '' || type === '') continue;
    const all = [source, target, type, options];
    if (!all.every((field) => field.length <= FIELD_CHARACTERS_MAX && PLAIN.test(field))) continue;
    if (!target.startsWith('/') && target !== 'none' && target !== 'swap') continue;
    mounts.push({ source, target: withoutTrailingSlashes(target), type, options });
  }
  return mounts;
}

/** A blank in a field stands as \040, a tab as \011, a backslash as \134 (fstab(5), getmntent(3)). */
function unescapeField(field: string): string {
  return field.replace(/\\(0[0-7]{2}|1[0-7]{2})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

function withoutTrailingSlashes(path: string): string {
  let end = path.length;
  while (end > 1 && path[end - 1] === '/') end -= 1;
  return path.slice(0, end);
}
