/**
 * Room: io, command. gpgv(1): whether a file is signed by one of the given keys, and what was signed.
 *
 * I1: no keys but the given ones: the home folder is an empty one of its own.
 * I2: as apt judges: at least one good signature by a key that is not expired or revoked, and no bad one;
 *     signatures by unknown keys beside it don't count. SHA-1 and RIPEMD-160 sign nothing.
 * I3: of a clear-signed message only the text that gpgv itself hands out as signed is returned.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { VmdnError } from '../../domain/errors.ts';
import { isOneClearsignedMessage, RELEASE_BYTES_MAX } from '../../formats/apt-release.ts';
import type { CommandRunner } from './command-runner.ts';

const TIMEOUT_MS = 30_000;

export interface SignedBytes {
  /** A clear-signed message, or, with `signature`, plain bytes. */
  readonly bytes: Uint8Array;
  readonly signature: Uint8Array | null;
}

export interface TrustedKeys {
  /** A binary keyring. */
  readonly keyring: Uint8Array;
  /** When given, only primary keys with these fingerprints count (upper case hexadecimal). */
  readonly fingerprints: readonly string[] | null;
}

export interface Gpgv {
  /**
   * The signed bytes. Throws `corrupt` when no trusted key signed them or they were changed,
   * `tool_missing`, `timeout`, `cancelled`.
   */
  verify(signed: SignedBytes, trusted: TrustedKeys, signal?: AbortSignal): Promise<Uint8Array>;
}

/** `workDir`: a folder of ours for short-lived files. */
export function createGpgv(runner: CommandRunner, workDir: string): Gpgv {
  return {
    async verify(signed, trusted, signal) {
      if (signed.signature === null && !isOneClearsignedMessage(signed.bytes)) {
        throw refused('it is not one clear-signed message');
      }
      const dir = await mkdtemp(join(workDir, 'gpgv-'));
      try {
        await writeFile(join(dir, 'keyring.gpg'), trusted.keyring);
        await writeFile(join(dir, 'data'), signed.bytes);
        if (signed.signature !== null) await writeFile(join(dir, 'signature'), signed.signature);
        const { stdout, stderr } = await runner.run('gpgv', argumentsFor(dir, signed), {
          timeoutMs: TIMEOUT_MS,
          signal,
          // 1 and 2 also mean that one of several signatures is by a key that we don't have.
          okExitCodes: [0, 1, 2],
          maxOutputBytes: RELEASE_BYTES_MAX,
        });
        judge(stderr, trusted.fingerprints);
        return signed.signature === null ? Buffer.from(stdout, 'utf8') : signed.bytes;
      } finally {
        await rm(dir, { recursive: true, force: true });
      }
    },
  };
}

function argumentsFor(dir: string, signed: SignedBytes): string[] {
  const options = ['--homedir', dir, '--ignore-time-conflict', '--status-fd', '2'];
  for (const algorithm of ['SHA1', 'RIPEMD160']) options.push('--weak-digest', algorithm);
  options.push('--keyring', join(dir, 'keyring.gpg'));
  const data = join(dir, 'data');
  return signed.signature === null
    ? [...options, '--output', '-', '--', data]
    : [...options, '--', join(dir, 'signature'), data];
}

/** Reads the status lines (doc/DETAILS of GnuPG). */
function judge(stderr: string, fingerprints: readonly string[] | null): void {
  let [isGood, goodCount] = [false, 0];
  const facts: string[] = [];
  for (const line of stderr.split('\n')) {
    const [mark, word, ...rest] = line.split(' ');
    if (mark !== '[GNUPG:]') continue;
    if (word === 'NEWSIG') isGood = false;
    else if (word === 'GOODSIG') isGood = true;
    else if (word === 'VALIDSIG' && isGood) {
      const primary = rest[9] ?? rest[0] ?? '';
      if (fingerprints?.some((wanted) => primary.endsWith(wanted)) ?? true) goodCount += 1;
      isGood = false;
    } else if (word === 'BADSIG') throw refused('its signature is wrong');
    if (/^(NO_PUBKEY|EXPKEYSIG|REVKEYSIG|EXPSIG|ERRSIG|NODATA)$/.test(word ?? '')) {
      facts.push([word, rest[0]].join(' '));
    }
  }
  if (goodCount > 0) return;
  const why = facts.length === 0 ? '' : ` (${facts.slice(0, 4).join(', ')})`;
  throw refused(`none of its signatures is good and by a trusted key${why}`);
}

function refused(what: string): VmdnError {
  return new VmdnError('corrupt', `A signed index is refused: ${what}.`, { data: { what } });
}
