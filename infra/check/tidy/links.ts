/**
 * Room: infra, check. Links in the documentation: each relative one must lead to a file that exists.
 *
 * I1: code in fences and back-ticks is no link; addresses of the outside world are not followed.
 */

import { posix } from 'node:path';
import type { Finding, SourceFile } from './rules.ts';

const LINK = /\[[^\]]*\]\(([^)\s]+)(?:\s+"[^"]*")?\)/g;

/** Relative links of a page that lead nowhere. `exists` is asked with paths relative to the root. */
export function brokenLinks(
  { path, text }: SourceFile,
  exists: (path: string) => boolean,
): Finding[] {
  if (!path.endsWith('.md')) return [];
  const prose = text
    .replaceAll(/^```[\s\S]*?^```/gm, (fenced) => fenced.replaceAll(/[^\n]/g, ''))
    .replaceAll(/`[^`\n]*`/g, '');
  return prose.split('\n').flatMap((line, index) =>
    [...line.matchAll(LINK)].flatMap(([, target = '']) => {
      if (/^([a-z]+:|#)/.test(target)) return [];
      const file = posix.normalize(posix.join(posix.dirname(path), target.replace(/#.*$/, '')));
      if (exists(file)) return [];
      return [{ path, line: index + 1, message: `broken link: there is no ${file}.` }];
    }),
  );
}
