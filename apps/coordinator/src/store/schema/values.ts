/** Room: store, schema. Values that stand in JSON columns; the contracts' shapes in domain terms. */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { FunctionalCopy } from '@vmdn/core/domain/functional.ts';
import type { FunctionalCost } from '@vmdn/core/domain/functional-estimate.ts';
import type { Location } from '@vmdn/core/domain/geography.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { PlanNumbers } from '@vmdn/core/domain/routing-estimate.ts';
import type { TeleportMethod } from '@vmdn/core/domain/skip-free.ts';
import type { TierBytes } from '@vmdn/core/domain/tiers.ts';

/** An Ed25519 public key as a JWK (RFC 8037). */
export interface PublicKeyValue {
  readonly kty: 'OKP';
  readonly crv: 'Ed25519';
  readonly x: string;
}

/** Where a running VM's port is reachable. */
export interface EndpointValue {
  readonly port: Name;
  readonly host: string;
  readonly hostPort: number;
}

/** Where a VM should run. */
export type PlaceValue = { readonly region: Name } | Location;

/** An edge as a destination, chosen or not, and why. */
export interface DestinationValue {
  readonly edge: Name;
  readonly region: Name | null;
  readonly distanceKm: number;
  readonly plan: PlanNumbers | null;
  readonly functional: FunctionalCost | null;
  readonly method: TeleportMethod;
  readonly estimatedSeconds: number;
  readonly eligible: boolean;
  readonly reason: string;
}

/** How an edge made a functional copy. */
export type FunctionalCopyValue = FunctionalCopy;

/** What was wrong with a holder of disks, as the node that met it counts. */
export interface HolderFaultValue {
  readonly holder: string;
  readonly code: 'unavailable' | 'timeout' | 'corrupt' | 'too_large' | 'slow';
  readonly count: number;
}

/** What was delivered of one disk. */
export interface DeliveryValue {
  readonly digest: Digest;
  readonly virtualSizeBytes: number;
  readonly verifiedBytes: number;
  readonly diskBytes: TierBytes;
  readonly wireBytes: TierBytes;
  /** What the plan said before the first block. */
  readonly planned?: Omit<PlanNumbers, 'candidates'> | undefined;
  /** Until all was verified. */
  readonly seconds?: number | undefined;
}

/** Segments of an earlier boot that were asked for ahead, and the bytes in them. */
export interface TraceUseValue {
  readonly segments: number;
  readonly bytes: number;
}

/** A teleport's receipt as its edge signed it (docs/formats/receipt.md). */
export interface ReceiptValue {
  readonly schema: 'vmdn-receipt/1';
  readonly teleport: Id;
  readonly epoch: number;
  readonly edge: Id;
  readonly vm: Name;
  readonly version: number;
  readonly lazy: boolean;
  readonly skipFree: boolean;
  readonly disks: {
    digest: Digest;
    virtualSizeBytes: number;
    diskBytes: TierBytes;
    wireBytes: TierBytes;
  }[];
  readonly stallSeconds: number | null;
  readonly trace: TraceUseValue | null;
  readonly times: {
    readonly requested: string;
    readonly verified: string;
    readonly running: string;
    readonly independent: string;
  };
}
