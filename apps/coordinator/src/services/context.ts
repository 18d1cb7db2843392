/**
 * Room: coordinator, services. What every use case works with; the composition root fills it.
 */

import type { Description } from '@vmdn/core/domain/description.ts';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import type { Events, NodeFacts, PublicKeyValue, ReceiptValue, Store, Wakes } from '../ports.ts';
import type { Hearing } from './hearing.ts';

/** Times by which nodes are judged. */
export interface Timing {
  readonly heartbeatSeconds: number;
  /** Silence after which a node counts as away. */
  readonly silenceSeconds: number;
  /** How long an edge keeps a teleport without being heard of. */
  readonly leaseSeconds: number;
  /** How long a grant lives at most. */
  readonly grantSeconds: number;
  /** A poll or stream looks again after this time even when nothing woke it. */
  readonly watchMs: number;
}

/** What a grant says (http/auth/grant.ts signs it). */
export interface GrantValue {
  readonly grant: Id;
  readonly project: Id;
  readonly edge: Id;
  readonly edgeKey: PublicKeyValue;
  readonly purpose: 'teleport' | 'seed' | 'background';
  readonly teleport?: Id;
  readonly epoch?: number;
  readonly disks: Digest[];
  readonly scopes: ('recipe' | 'blocks')[];
  readonly bytesMax: number;
  readonly expiresAt: number;
}

/** The keys, as far as use cases need them. */
export interface Keys {
  readonly coordinatorKey: PublicKeyValue;
  signGrant(grant: GrantValue): Promise<string>;
  /** Throws `forbidden`, `corrupt`. */
  verifyDescription(token: string, originKey: PublicKeyValue): Promise<Description>;
  /** Throws `forbidden`, `corrupt`. */
  verifyReceipt(token: string, edgeKey: PublicKeyValue): Promise<ReceiptValue>;
  descriptionDigestOf(token: string): Digest;
  thumbprintOf(key: PublicKeyValue): Promise<string>;
}

export interface Context {
  readonly store: Store;
  readonly wakes: Wakes;
  readonly keys: Keys;
  readonly events: Events;
  readonly timing: Timing;
  readonly hearing: Hearing;
  /** The protocol that this coordinator speaks. */
  readonly protocol: number;
  /** Aborted when the coordinator stops: whoever waits must return. */
  readonly closing: AbortSignal;
  /** The wall clock, for expiries that other machines check; decisions use the database's. */
  now(): number;
}

/** A user, by token. */
export interface ClientIdentity {
  readonly kind: 'client';
  readonly project: Id;
  readonly client: Id;
}

/** A node, by proof of its key. */
export interface NodeIdentity {
  readonly kind: 'origin' | 'edge';
  readonly project: Id;
  readonly node: NodeFacts;
}
