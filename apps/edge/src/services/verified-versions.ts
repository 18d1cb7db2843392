/**
 * Room: edge, services. Descriptions that were verified, and the newest version known of each VM.
 *
 * I1: nothing of a description is used that its origin's key did not sign, and it must be about the VM
 *     and version it was given for, and have the digest that it was named by.
 * I2: an older version than the newest one accepted from the same origin is refused, also after a
 *     restart: nobody can hand this edge a disk that its origin has replaced. A teleport that this edge
 *     took on before the newer version came goes on.
 * I3: a description is fetched once while it is kept; those that were not used for longest are dropped
 *     first and fetched again.
 */

import type { Description } from '@vmdn/core/domain/description.ts';
import { isVmdnError, VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Name } from '@vmdn/core/domain/names.ts';
import { createTurns } from '@vmdn/core/domain/turns.ts';
import { descriptionDigestOf, verifyDescription } from '@vmdn/core/http/auth/signed-description.ts';
import type { CoordinatorClient } from '@vmdn/core/http/clients/coordinator-client.ts';
import { type KnownVersion, readDescription } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import type { Records } from '@vmdn/core/io/ports/records.ts';
import { DESCRIPTIONS_BYTES_MAX } from '../limits.ts';

/** Newest version by origin (node id), one record for each VM name. */
export type NewestVersions = Readonly<Record<string, number>>;

export interface VerifiedVersions {
  /**
   * The description, fetched if it is not kept. Throws `forbidden` (signature, older version), `corrupt`,
   * and what asking the coordinator throws (`unavailable`, `timeout`, …), which says nothing of the version.
   */
  verify(known: KnownVersion, options: { readonly isTakenOn: boolean }): Promise<Description>;
}

/** Whether the version itself was refused: asking again would not help. */
export function isRefusal(error: unknown): boolean {
  return isVmdnError(error, 'forbidden') || isVmdnError(error, 'corrupt');
}

interface Kept {
  readonly description: Description;
  /** Length of the signed text. */
  readonly bytes: number;
}

export function createVerifiedVersions(deps: {
  readonly records: Records<NewestVersions>;
  readonly client: Pick<CoordinatorClient, 'call'>;
  readonly bytesMax?: number;
}): VerifiedVersions {
  const { records, client, bytesMax = DESCRIPTIONS_BYTES_MAX } = deps;
  /** In the order of their last use. */
  const kept = new Map<string, Kept>();
  let keptBytes = 0;
  const turns = createTurns<string>();
  const keep = (key: string, value: Kept): void => {
    kept.set(key, value);
    keptBytes += value.bytes;
    for (const [oldest, { bytes }] of kept) {
      if (keptBytes <= bytesMax) break;
      kept.delete(oldest);
      keptBytes -= bytes;
    }
  };
  const take = async (key: string, known: KnownVersion): Promise<Description> => {
    const present = kept.get(key);
    if (present !== undefined) {
      kept.delete(key);
      kept.set(key, present);
      return present.description;
    }
    const { vm, version, origin } = known;
    const reply = await client.call(readDescription, { params: { vm, version } });
    if (descriptionDigestOf(reply.description) !== known.descriptionDigest) {
      throw new VmdnError('corrupt', 'The description is not the one that was named.', {
        data: { vm, version },
      });
    }
    const description = await verifyDescription(reply.description, origin.publicKey);
    keep(key, { description, bytes: reply.description.length });
    return description;
  };
  const read = async (known: KnownVersion): Promise<Description> => {
    // The digest alone does not make a description: it counts under the key that signed it.
    const key = `${known.descriptionDigest} ${known.origin.publicKey.x}`;
    const description = await turns.inTurn(key, () => take(key, known));
    if (description.vm === known.vm && description.version === known.version) return description;
    throw new VmdnError('forbidden', 'The description is about another VM or version.', {
      data: { vm: known.vm, version: known.version },
    });
  };
  const accept = async (known: KnownVersion, isTakenOn: boolean): Promise<void> => {
    const newest = (await records.read(known.vm)) ?? {};
    const floor = newest[known.origin.node] ?? 0;
    if (known.version > floor) {
      await records.write(known.vm, { ...newest, [known.origin.node]: known.version });
    } else if (known.version < floor && !isTakenOn) {
      throw older(known.vm, known.version, floor);
    }
  };
  return {
    async verify(known, { isTakenOn }) {
      const description = await read(known);
      await turns.inTurn(known.vm, () => accept(known, isTakenOn));
      return description;
    },
  };
}

function older(vm: Name, version: number, newest: number): VmdnError {
  return new VmdnError(
    'forbidden',
    `Version ${version} of ${vm} was replaced by version ${newest}; waiting for the coordinator to use that.`,
    { data: { vm, version, newest } },
  );
}
