/**
 * Room: infra, lab. Proof that a booted guest serves its web site byte by byte: every file of the
 * manifest that the guest's builder wrote is fetched and hashed.
 *
 * I1: the manifest is the builder's, made before the disk was; nothing of it passed through VMDN.
 * I2: every file is fetched, each difference is named, and a manifest without files proves nothing.
 */

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';

export interface SiteFile {
  /** Relative to the site's root. */
  readonly path: string;
  readonly sha256: string;
}

export interface SiteProof {
  readonly files: number;
  readonly bytes: number;
  /** What differs, in words; empty when all is well. */
  readonly differences: readonly string[];
}

const IN_FLIGHT = 4;
/** A file of some MiB from a guest under emulation, with two more guests booting beside it. */
const FETCH_MS_MAX = 120_000;

/** Reads a manifest as `sha256sum` writes it. Throws on a line that is none. */
export function parseManifest(text: string): SiteFile[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const match = /^([0-9a-f]{64}) [ *](?:\.\/)?(.+)$/.exec(line);
      if (match === null) throw new Error(`This is no line of sha256sum: ${line.slice(0, 120)}`);
      return { sha256: match[1] ?? '', path: match[2] ?? '' };
    });
}

async function fetchFile(
  baseUrl: string,
  file: SiteFile,
): Promise<{ bytes: number; difference?: string }> {
  const path = file.path.split('/').map(encodeURIComponent).join('/');
  const url = new URL(path, baseUrl);
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(FETCH_MS_MAX) });
    const body = new Uint8Array(await response.arrayBuffer());
    if (!response.ok) return { bytes: 0, difference: `${url}: status ${response.status}` };
    const sha256 = createHash('sha256').update(body).digest('hex');
    if (sha256 === file.sha256) return { bytes: body.length };
    return {
      bytes: body.length,
      difference: `${url}: ${body.length} bytes with SHA-256 ${sha256}, not ${file.sha256}`,
    };
  } catch (error) {
    return {
      bytes: 0,
      difference: `${url}: ${error instanceof Error ? error.message : String(error)}`,
    };
  }
}

/** Fetches every file of the manifest from `baseUrl` and compares it. */
export async function proveSite(baseUrl: string, manifestPath: string): Promise<SiteProof> {
  const files = parseManifest(await readFile(manifestPath, 'utf8'));
  if (files.length === 0) throw new Error(`${manifestPath} names no file: it would prove nothing.`);
  const differences: string[] = [];
  let bytes = 0;
  const waiting = files.values();
  const work = async (): Promise<void> => {
    for (const file of waiting) {
      const fetched = await fetchFile(baseUrl, file);
      bytes += fetched.bytes;
      if (fetched.difference !== undefined) differences.push(fetched.difference);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, work));
  return { files: files.length, bytes, differences };
}
