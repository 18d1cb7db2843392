/**
 * Room: edge, sync. The words for a disk that nobody has any more.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { RunSource } from './sync-run.ts';

/** Why a run ends whose sources are all set aside. */
export function noSourceError(
  all: readonly RunSource[],
  missing: { readonly rows: number; readonly blocks: number },
): VmdnError {
  const sources = all.map(({ source, health }) => ({
    name: source.name,
    code: health.asideCode ?? null,
  }));
  const codes = all.map(({ health }) => health.asideCode);
  const data = { sources, missingSegments: missing.rows, missingBlocks: missing.blocks };
  const cause = all.find(({ health }) => health.isAside)?.lastError;
  if (codes.includes('withdrawn')) {
    const words = 'The source changed, and no other holder has the missing blocks.';
    return new VmdnError('withdrawn', `${words} Start over with its newest version.`, {
      data,
      cause,
    });
  }
  if (codes.includes('corrupt')) {
    const words = 'The only sources left sent wrong bytes. Check them, or their recipe;';
    return new VmdnError('corrupt', `${words} what is verified is kept.`, { data, cause });
  }
  const code = codes.find((known) => known !== undefined) ?? 'unavailable';
  const words = 'No source that is left has the missing blocks; what is verified is kept.';
  return new VmdnError(code, words, { data, cause });
}
