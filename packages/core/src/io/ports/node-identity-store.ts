/**
 * Room: io, ports. Where a node keeps what the coordinator told it at enrolment.
 *
 * I1: `write` is durable before it returns; a node that crashed right after enrolment is the same
 *     node when it starts again.
 */

import type { Id } from '../../domain/names.ts';

/** What a node knows about itself once it is enrolled. */
export interface NodeIdentity {
  readonly node: Id;
  readonly project: Id;
  /** The coordinator's Ed25519 key as a JWK: verifies grants. */
  readonly coordinatorKey: { readonly kty: 'OKP'; readonly crv: 'Ed25519'; readonly x: string };
}

/** Reads and writes one node's key and identity. Nobody but the node's own user can read either. */
export interface NodeIdentityStore {
  /** Null before the first enrolment. Throws `corrupt` when the file is not an identity. */
  read(): Promise<NodeIdentity | null>;
  write(identity: NodeIdentity): Promise<void>;
  /** The private key as a JWK, unparsed; null before there is one. Throws `corrupt` when it is not JSON. */
  readKey(): Promise<unknown>;
  writeKey(jwk: object): Promise<void>;
}
