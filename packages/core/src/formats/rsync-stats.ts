/**
 * Room: formats. What rsync(1) prints with --stats.
 *
 * I1: total: a number that is not there is null.
 */

export interface RsyncStats {
  /** Files that were, or in a dry run would be, written. */
  readonly files: number | null;
  /** Their sizes together. */
  readonly bytes: number | null;
}

export function parseRsyncStats(text: string): RsyncStats {
  const number = (pattern: RegExp): number | null => {
    const found = pattern.exec(text)?.[1]?.replaceAll(',', '');
    return found === undefined || found.length > 15 ? null : Number(found);
  };
  return {
    files: number(/^Number of regular files transferred: ([0-9,]{1,20})$/m),
    bytes: number(/^Total transferred file size: ([0-9,]{1,20}) bytes$/m),
  };
}
