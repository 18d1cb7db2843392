/**
 * Room: edge, services. Descriptions that were verified, and the newest version known of each VM.
 *
 * I1: nothing of a description is used that its origin's key did not sign, and it must be about the VM
 *     and version it was given for.
 * I2: an older version than the newest one accepted from the same origin is refused, also after a
 *     restart: nobody can hand this edge a disk that its origin has replaced. A teleport that this edge
 *     took on before the newer version came goes on.
 */

import type { Description } from '@vmdn/core/domain/description.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Name } from '@vmdn/core/domain/names.ts';
import { verifyDescription } from '@vmdn/core/http/auth/signed-description.ts';
import type { KnownVersion } from '@vmdn/core/http/contracts/coordinator-nodes.ts';
import type { Records } from '@vmdn/core/io/ports/records.ts';
import { VERSIONS_KNOWN_MAX } from '../limits.ts';
import { createTurns } from './turns.ts';

/** Newest version by origin (node id), one record for each VM name. */
export type NewestVersions = Readonly<Record<string, number>>;

export interface VerifiedVersions {
  /** Throws `forbidden` (signature, older version), `corrupt`. */
  verify(known: KnownVersion, options: { readonly isTakenOn: boolean }): Promise<Description>;
}

export function createVerifiedVersions(records: Records<NewestVersions>): VerifiedVersions {
  const verified = new Map<string, Description>();
  const turns = createTurns();
  const read = async (known: KnownVersion): Promise<Description> => {
    const cached = verified.get(known.description);
    if (cached !== undefined) return cached;
    const description = await verifyDescription(known.description, known.origin.publicKey);
    if (description.vm !== known.vm || description.version !== known.version) {
      throw new VmdnError('forbidden', 'The description is about another VM or version.', {
        data: { vm: known.vm, version: known.version },
      });
    }
    if (verified.size >= VERSIONS_KNOWN_MAX) verified.delete(verified.keys().next().value!);
    verified.set(known.description, description);
    return description;
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
      // The key alone does not make a description: another origin's key would verify its own.
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
