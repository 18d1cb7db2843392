/**
 * Room: http, contracts. What nodes say to the coordinator and ask of it: enrolment, heartbeat,
 * an origin's versions, an edge's desired state, scores and holdings.
 *
 * I1: every report is absolute (the state as it is), never a difference: twice changes nothing.
 * I2: what is said again at each change is short: a description is named by its digest, not repeated.
 */

import { z } from 'zod';
import { desiredCapture, power, reportCapture } from './coordinator-delivered.ts';
import { desiredExport, desiredImport, reportExport, reportImport } from './coordinator-files.ts';
import { diskDelivery } from './coordinator-teleports.ts';
import { edgeNetworks, identityView } from './identity.ts';
import { defineOperation } from './operation.ts';
import {
  byteCount,
  databaseWay,
  digest,
  diskHolder,
  functionalCost,
  HOLDER_FAULTS_MAX,
  holder,
  holderFault,
  id,
  jws,
  location,
  name,
  nodeKind,
  nodeUrl,
  nothing,
  planSummary,
  publicKey,
  signedDescription,
  teleportMethod,
  teleportState,
  timestamp,
  versionState,
} from './schemas.ts';

/** Images one node reports: an edge's library; 100,000 images of 1 GiB are 100 TiB. */
export const HOLDINGS_MAX = 100_000;
/** Disks that one node makes at a time: an edge makes four. */
export const MAKING_MAX = 64;

export const enrolNode = defineOperation({
  id: 'enrolNode',
  method: 'post',
  path: '/v1/nodes',
  summary: 'Enrol a node with a one-time enrolment token; the same key again gives the same node.',
  caller: 'enrolment',
  status: 201,
  params: nothing,
  query: nothing,
  body: z.object({
    enrolmentToken: z.string().min(16).max(256),
    kind: nodeKind,
    name,
    /** Region by name, or coordinates, or both (coordinates win). */
    region: name.optional(),
    location: location.optional(),
    url: nodeUrl,
    publicKey,
    protocol: z.number().int(),
  }),
  reply: z.object({
    node: id,
    project: id,
    /** The key that verifies grants. */
    coordinatorKey: publicKey,
    protocol: z.number().int(),
  }),
});

export const heartbeat = defineOperation({
  id: 'heartbeat',
  method: 'put',
  path: '/v1/nodes/self',
  summary: 'Say that the node is alive, where it listens, and what room it has.',
  caller: 'node',
  status: 200,
  params: nothing,
  query: nothing,
  body: z.object({
    protocol: z.number().int(),
    url: nodeUrl,
    capacity: z
      .object({
        freeStoreBytes: byteCount,
        freeMemoryMiB: z.number().int().nonnegative(),
        freeVcpus: z.number().int().nonnegative(),
        accelerator: z.enum(['kvm', 'tcg']),
      })
      .optional(),
    /** Origin: body bytes that its uplink limiter let through since the process started. */
    uplink: z.object({ bytes: byteCount, limitBytesPerSecond: byteCount.nullable() }).optional(),
    /** Edge: networks that its guests may be on. */
    networks: edgeNetworks.optional(),
    /** Edge: the holders that it had trouble with, and why. */
    holderFaults: z.array(holderFault).max(HOLDER_FAULTS_MAX).optional(),
  }),
  reply: z.object({ protocol: z.number().int(), heartbeatSeconds: z.number().int().positive() }),
});

export const announceVersion = defineOperation({
  id: 'announceVersion',
  method: 'put',
  path: '/v1/vms/{vm}/versions/{version}',
  summary: 'Announce a described version of a VM; the description must be signed by this origin.',
  caller: 'origin',
  status: 200,
  params: z.object({ vm: name, version: z.coerce.number().int().min(1) }),
  query: nothing,
  body: z.object({ description: signedDescription, state: versionState }),
  reply: z.object({ accepted: z.literal(true) }),
});

export const setVersionState = defineOperation({
  id: 'setVersionState',
  method: 'put',
  path: '/v1/vms/{vm}/versions/{version}/state',
  summary: 'Say that a version is live, pinned or withdrawn.',
  caller: 'origin',
  status: 200,
  params: z.object({ vm: name, version: z.coerce.number().int().min(1) }),
  query: nothing,
  body: z.object({ state: versionState }),
  reply: z.object({ accepted: z.literal(true) }),
});

export const readDescription = defineOperation({
  id: 'readDescription',
  method: 'get',
  path: '/v1/vms/{vm}/versions/{version}/description',
  summary: 'The signed description of a version; it never changes, so an edge asks once for each.',
  caller: 'edge',
  status: 200,
  params: z.object({ vm: name, version: z.coerce.number().int().min(1) }),
  query: nothing,
  body: nothing,
  reply: z.object({ description: signedDescription }),
});

/** A version of a VM as an edge must know it. */
export const knownVersion = z.object({
  vm: name,
  version: z.number().int(),
  state: versionState,
  origin: holder.extend({ publicKey }),
  /** SHA-256 of the signed description's text (`readDescription`), which is long and never changes. */
  descriptionDigest: digest,
  /** Other nodes that hold the disks, nearest to this edge first. */
  holders: z.array(diskHolder.extend({ digest })).max(64),
  /** Lets this edge read the recipes of the version's disks. */
  recipeGrant: jws,
});
export type KnownVersion = z.infer<typeof knownVersion>;

/** A teleport that this edge should make true. */
export const desiredTeleport = z.object({
  teleport: id,
  epoch: z.number().int().min(1),
  state: teleportState,
  version: knownVersion,
  /** Without free space; started before they are complete; made how: not from an old coordinator. */
  skipFree: z.boolean().default(false),
  lazy: z.boolean().default(false),
  /** When the user asked; not from an old coordinator. */
  requestedAt: timestamp.optional(),
  method: teleportMethod.default('exact'),
  databases: databaseWay.default('files'),
  ...identityView,
  /** Once it is cancelled its disks go too, unless somebody else needs them; not from an old coordinator. */
  dropSnapshot: z.boolean().default(false),
  /** Whether the VM, once it was delivered, should be on; not from an old coordinator. */
  power: power.default('on'),
  /** Lets this edge read recipes and blocks of just those disks; renewed at half-life. */
  grant: jws,
});
export type DesiredTeleport = z.infer<typeof desiredTeleport>;

/** A base image that this edge should hold. */
export const desiredSeed = z.object({
  seed: id,
  image: z.object({ digest, name, virtualSizeBytes: byteCount, keysRoot: digest }),
  holders: z.array(diskHolder).max(64),
  grant: jws,
});
export type DesiredSeed = z.infer<typeof desiredSeed>;

export const desiredState = defineOperation({
  id: 'desiredState',
  method: 'get',
  path: '/v1/edges/self/desired',
  summary:
    'All that this edge should have; waits until it differs from `revision`, or the time is up.',
  caller: 'edge',
  status: 200,
  params: nothing,
  query: z.object({
    revision: z.string().max(128).optional(),
    waitSeconds: z.coerce.number().int().min(0).max(60).optional(),
  }),
  body: nothing,
  reply: z.object({
    revision: z.string().max(128),
    versions: z.array(knownVersion),
    teleports: z.array(desiredTeleport),
    seeds: z.array(desiredSeed),
    imports: z.array(desiredImport),
    /** None from an old coordinator. */
    exports: z.array(desiredExport).default([]),
    captures: z.array(desiredCapture).default([]),
    /** Disks that this edge captured and nobody may ask for any more: they go once nothing needs them. */
    dropSnapshots: z.array(digest).default([]),
  }),
});
export type DesiredState = z.infer<(typeof desiredState)['reply']>;

export const reportHoldings = defineOperation({
  id: 'reportHoldings',
  method: 'put',
  path: '/v1/nodes/self/holdings',
  summary: 'All images that this node holds, and the disks that it is making.',
  caller: 'node',
  status: 200,
  params: nothing,
  query: nothing,
  body: z.object({
    images: z
      .array(
        z.object({
          digest,
          keysRoot: digest,
          /** Name of a base image; null for snapshots. */
          name: name.nullable(),
          kind: z.enum(['base', 'snapshot', 'package']),
          virtualSizeBytes: byteCount,
          nonZeroBytes: byteCount,
          allocatedBytes: byteCount,
        }),
      )
      .max(HOLDINGS_MAX),
    making: z
      .array(z.object({ digest, verifiedBytes: byteCount }))
      .max(MAKING_MAX)
      .optional(),
  }),
  reply: z.object({ accepted: z.literal(true) }),
});

export const reportScores = defineOperation({
  id: 'reportScores',
  method: 'put',
  path: '/v1/edges/self/scores/{vm}/{version}',
  summary: "This edge's plan for a version, in numbers.",
  caller: 'edge',
  status: 200,
  params: z.object({ vm: name, version: z.coerce.number().int().min(1) }),
  query: nothing,
  body: z.object({
    /** One for each disk of the version, in its order. */
    disks: z
      .array(z.object({ digest, plan: planSummary }))
      .min(1)
      .max(24),
    /** What a functional copy would cost; null where the edge can make none. */
    functional: functionalCost.nullable().default(null),
    computedAt: timestamp,
  }),
  reply: z.object({ accepted: z.literal(true) }),
});

/** Readings in one report; an edge that has more sends several. */
export const READS_AHEAD_MAX = 1000;

/**
 * What an edge read ahead of any request, also what came in part or was wrong: a recipe from an origin or a
 * peer, a package (by the SHA-256 of its file) from a mirror.
 */
export const readAhead = z.object({
  /** The edge's own number for this reading: reported again it counts once. */
  read: id,
  digest,
  tier: z.enum(['package', 'peer', 'origin']),
  wireBytes: byteCount,
});
export type ReadAhead = z.infer<typeof readAhead>;

export const reportReadsAhead = defineOperation({
  id: 'reportReadsAhead',
  method: 'put',
  path: '/v1/edges/self/reads-ahead',
  summary: 'Recipes and packages that this edge read ahead of any request; each counts once.',
  caller: 'edge',
  status: 200,
  params: nothing,
  query: nothing,
  body: z.object({ reads: z.array(readAhead).max(READS_AHEAD_MAX) }),
  reply: z.object({ accepted: z.literal(true) }),
});

export const reportSeed = defineOperation({
  id: 'reportSeed',
  method: 'put',
  path: '/v1/seeds/{seed}/edges/self',
  summary: 'How far this edge is with a seeding order.',
  caller: 'edge',
  status: 200,
  params: z.object({ seed: id }),
  query: nothing,
  body: z.object({
    state: z.enum(['syncing', 'waiting', 'done', 'failed']),
    message: z.string().max(2000).optional(),
    delivery: diskDelivery.optional(),
  }),
  reply: z.object({ accepted: z.literal(true) }),
});

export const NODE_OPERATIONS = [
  enrolNode,
  heartbeat,
  announceVersion,
  setVersionState,
  readDescription,
  desiredState,
  reportHoldings,
  reportScores,
  reportReadsAhead,
  reportSeed,
  reportImport,
  reportExport,
  reportCapture,
] as const;
