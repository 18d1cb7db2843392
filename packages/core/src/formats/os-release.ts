/**
 * Room: formats. os-release(5): which operating system a guest holds.
 *
 * I1: total: any text gives fields or null. Guest data is not trusted: fields are bounded and hold no
 *     control characters; a field that breaks this is as if it were not there.
 */

import type { OperatingSystem } from '../domain/description.ts';

/** os-release files have some 500 bytes. */
export const OS_RELEASE_BYTES_MAX = 64 * 1024;

const ASSIGNMENT = /^([A-Z][A-Z0-9_]*)=(.*)$/;
const PLAIN = /^[^\p{Cc}\u2028\u2029]+$/u;

/** The operating system named in an os-release file, without its architecture; null when it names none. */
export function parseOsRelease(text: string): Omit<OperatingSystem, 'architecture'> | null {
  const values = new Map<string, string>();
  for (const line of text.slice(0, OS_RELEASE_BYTES_MAX).split('\n')) {
    const match = ASSIGNMENT.exec(line.trim());
    if (match !== null) values.set(match[1]!, unquote(match[2]!));
  }
  const field = (name: string, charactersMax: number): string | undefined => {
    const value = values.get(name);
    const isFine = value !== undefined && value.length <= charactersMax && PLAIN.test(value);
    return isFine ? value : undefined;
  };
  const id = field('ID', 64);
  const name = field('NAME', 256);
  if (id === undefined && name === undefined) return null;
  return {
    // The manual page names these defaults.
    id: id ?? 'linux',
    versionId: field('VERSION_ID', 64) ?? '',
    prettyName: field('PRETTY_NAME', 256) ?? name ?? id ?? 'Linux',
  };
}

/** Takes off shell quotes: in double quotes a backslash stands before $, `, ", \ and line ends. */
function unquote(raw: string): string {
  const quote = raw[0];
  if (raw.length >= 2 && quote === raw.at(-1) && (quote === '"' || quote === "'")) {
    const inner = raw.slice(1, -1);
    return quote === '"' ? inner.replace(/\\([$`"\\])/g, '$1') : inner;
  }
  return raw;
}
