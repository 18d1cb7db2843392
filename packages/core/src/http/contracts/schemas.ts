/**
 * Room: http, contracts. The shapes shared by several operations: names, digests, places, disks,
 * descriptions, bytes by tier, errors. Each bound has its reason in domain/limits.ts or beside it.
 */

import { z } from 'zod';
import { DATABASE_WAYS } from '../../domain/databases.ts';
import {
  BOOT_FIRMWARES,
  CONSISTENCIES,
  DATABASE_ENGINES,
  DESCRIPTION_SCHEMA,
  VERSION_STATES,
} from '../../domain/description.ts';
import { type Digest, isDigest } from '../../domain/digest.ts';
import { DISK_FORMATS } from '../../domain/disk-format.ts';
import { ERROR_CODES } from '../../domain/errors.ts';
import { KEPT_REMARK_CHARACTERS_MAX, KEPT_REMARKS_MAX } from '../../domain/limits.ts';
import { ID_PATTERN, type Id, NAME_PATTERN, type Name } from '../../domain/names.ts';
import { REQUESTED_METHODS, TELEPORT_METHODS } from '../../domain/skip-free.ts';
import { TELEPORT_STATES } from '../../domain/teleport.ts';
import { INTERFACES_MAX, MAC_PATTERN } from '../../domain/vm-specification.ts';

/**
 * The protocol spoken between nodes and coordinator; raised when an older node would do other than what was
 * asked. 2: moves, identities, networks, power and captures, of which nodes of 1 know nothing.
 */
export const PROTOCOL_VERSION = 2;

export const nothing = z.undefined();

export const name = z
  .string()
  .regex(NAME_PATTERN, "1 to 63 letters, digits, '.', '_' or '-', starting with a letter or digit")
  .transform((raw) => raw as Name);
export const id = z
  .string()
  .regex(ID_PATTERN, 'a lower-case UUID')
  .transform((raw) => raw as Id);
export const digest = z
  .string()
  .refine((raw): raw is Digest => isDigest(raw), '64 lower-case hexadecimal digits');
export const byteCount = z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER);
export const seconds = z.number().nonnegative();
export const timestamp = z.iso.datetime({ offset: true });
export const port = z.number().int().min(1).max(65_535);
export const nodeUrl = z.url({ protocol: /^https?$/ }).max(512);

/** Disks per VM and ports per VM: what one QEMU machine type takes without bridges. */
export const DISKS_MAX = 24;
export const PORTS_MAX = 32;
/** Packages per guest: a full desktop has some 3,000. */
export const PACKAGES_MAX = 50_000;

export const location = z.object({
  latitude: z.number().min(-90).max(90),
  longitude: z.number().min(-180).max(180),
});
/** Where a VM should run: a region or city by name, or a point. */
export const place = z.union([z.object({ region: name }), location]);

export const diskFormat = z.enum(DISK_FORMATS);
export const readyCheck = z.object({
  kind: z.enum(['http', 'tcp']),
  port: name,
  path: z
    .string()
    .regex(/^\/[\x21-\x7e]*$/)
    .max(1024)
    .optional(),
  timeoutSeconds: z.number().int().min(1).max(3600),
});
export const hardware = z.object({
  vcpus: z.number().int().min(1).max(256),
  memoryMiB: z.number().int().min(64).max(1_048_576),
  firmware: z.enum(['bios', 'uefi']),
  ports: z.array(z.object({ name, guest: port })).max(PORTS_MAX),
  ready: readyCheck.nullable(),
  uuid: id.optional(),
  interfaces: z
    .array(z.object({ network: name, mac: z.string().regex(MAC_PATTERN).optional() }))
    .min(1)
    .max(INTERFACES_MAX)
    .optional(),
});
export const operatingSystem = z.object({
  id: z.string().max(64),
  versionId: z.string().max(64),
  prettyName: z.string().max(256),
  architecture: z.string().max(32),
});
export const installedPackage = z.object({
  name: z.string().min(1).max(256),
  version: z.string().min(1).max(256),
  architecture: z.string().max(32),
});
/** Lines of an fstab and database servers of one guest: many times what real ones have. */
const MOUNTS_MAX = 200;
const DATABASES_MAX = 64;
const guestDatabase = z.object({
  engine: z.enum(DATABASE_ENGINES),
  version: z.string().max(64).nullable(),
  dataDirectory: z.string().max(256).nullable(),
});
const guestMount = z.object({
  source: z.string().max(512),
  target: z.string().max(512),
  type: z.string().max(512),
  options: z.string().max(512),
});
/** What a guest is, read from its disks. */
export const guestFacts = z.object({
  os: operatingSystem.nullable(),
  packages: z.array(installedPackage).max(PACKAGES_MAX),
  services: z.array(z.string().max(256)).max(10_000),
  databases: z.array(guestDatabase).max(DATABASES_MAX),
  mounts: z.array(guestMount).max(MOUNTS_MAX),
  boots: z.array(z.enum(BOOT_FIRMWARES)).max(BOOT_FIRMWARES.length),
});
export const describedDisk = z.object({
  digest,
  virtualSizeBytes: byteCount.multipleOf(512),
  nonZeroBytes: byteCount,
  keysRoot: digest,
  recipeBytes: byteCount,
  /** The disk with its free space as zero; absent from origins that do not look for it. */
  skipFree: z
    .object({
      digest,
      nonZeroBytes: byteCount,
      keysRoot: digest,
      recipeBytes: byteCount,
      kept: z.array(z.string().max(KEPT_REMARK_CHARACTERS_MAX)).max(KEPT_REMARKS_MAX),
    })
    .optional(),
});
/** What of a VM a version's disks hold: whether it was off, or what was there of it while it ran. */
export const consistency = z.enum(CONSISTENCIES);
export const description = z.object({
  schema: z.literal(DESCRIPTION_SCHEMA),
  vm: name,
  version: z.number().int().min(1),
  describedAt: timestamp,
  consistency: consistency.optional(),
  ...guestFacts.shape,
  databases: guestFacts.shape.databases.optional(),
  mounts: guestFacts.shape.mounts.optional(),
  boots: guestFacts.shape.boots.optional(),
  hardware,
  disks: z.array(describedDisk).min(1).max(DISKS_MAX),
});
/** A description as a compact JWS (RFC 7515, EdDSA) by the origin's key. */
export const signedDescription = z
  .string()
  .min(16)
  .max(16 * 1024 * 1024);
/** A compact JWS: a grant. */
export const jws = z
  .string()
  .min(16)
  .max(16 * 1024);
/** An Ed25519 public key as a JWK (RFC 8037). */
export const publicKey = z.object({
  kty: z.literal('OKP'),
  crv: z.literal('Ed25519'),
  x: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
});
export type PublicKey = z.infer<typeof publicKey>;

export const versionState = z.enum(VERSION_STATES);
export const teleportState = z.enum(TELEPORT_STATES);
/**
 * `exact`: the delivered disks are bit-identical with the version's, or with those without free space.
 * `functional`: made anew of a similar image, packages and the files that differ; it does the same.
 */
export const teleportMethod = z.enum(TELEPORT_METHODS);
/** `cheapest`: the one of them that has the VM running soonest, as far as the request allows. */
export const requestedMethod = z.enum(REQUESTED_METHODS);
/** How databases of a functional copy come: by their files, or by dump and restore of their own servers. */
export const databaseWay = z.enum(DATABASE_WAYS);
/** How a functional copy was made; it is not bit-identical with its source. */
export const functionalCopy = z.object({
  /** The image that was cloned; null: none was of the release, and the copy was made from scratch. */
  image: z.object({ digest, name: name.nullable() }).nullable(),
  /** Of the copy's own content. */
  digest,
  virtualSizeBytes: byteCount,
  /** Packages. */
  installed: z.number().int().nonnegative(),
  removed: z.number().int().nonnegative(),
  /** Package files, from mirrors. */
  packageBytes: byteCount,
  /** Written by the two runs of smartSync, and their sizes. */
  files: z.number().int().nonnegative(),
  fileBytes: byteCount,
  /** How each database came; rows and tables of those that were restored, and compared with the source's. */
  databases: z
    .array(
      guestDatabase.extend({
        how: databaseWay,
        tables: z.number().int().nonnegative().nullable(),
        rows: z.number().int().nonnegative().nullable(),
      }),
    )
    .max(64)
    .readonly()
    .default([]),
  /** Fetching packages, and in appliances, dry runs of candidates among them. */
  seconds: z.object({ packages: seconds, appliance: seconds }),
  /** What was seen to work, in words. */
  checkedBy: z.array(z.string().max(512)).max(16).readonly(),
});

/** What a teleport that skips free space skips, and what it kept whole and why; null: it skips none. */
export const skippedFree = z
  .object({ skippedBytes: byteCount, kept: z.array(z.string()) })
  .nullable();

export const tierBytes = z.object({
  zero: byteCount,
  local: byteCount,
  package: byteCount,
  peer: byteCount,
  origin: byteCount,
});

/** What a node can be. An origin serves VMs; an edge stores images and runs VMs. */
export const nodeKind = z.enum(['origin', 'edge']);

/** A node that holds a disk, where it serves it, and its public key. */
export const holder = z.object({
  node: id,
  name,
  kind: nodeKind,
  url: nodeUrl,
});

/** A node that serves a disk: all of it, or because it is making it what it has of it so far. */
export const diskHolder = holder.extend({ partial: z.boolean() });
export type HolderOfDisk = z.infer<typeof diskHolder>;

/** Faults of other holders that one node tells: 50 holders with all that can be wrong with them. */
export const HOLDER_FAULTS_MAX = 250;

/** What was wrong with a holder of disks, since the process that tells it started. */
export const holderFault = z.object({
  /** Kind and name: `edge edge-2`. */
  holder: z.string().max(80),
  code: z.enum(['unavailable', 'timeout', 'corrupt', 'too_large', 'slow']),
  count: z.number().int().positive(),
});
export type HolderFault = z.infer<typeof holderFault>;

/** A local image as a source for a wanted disk. */
export const candidate = z.object({
  digest,
  name: name.nullable(),
  coveredBytes: byteCount,
});

/** What one way of bringing a disk costs: bytes from other nodes, compressed, and seconds. */
export const methodCost = z.object({ wireBytes: byteCount, estimatedSeconds: seconds });

/** What a functional copy of a VM's disk would cost on an edge, and from which of its images. */
export const functionalCost = methodCost.extend({
  /** Null: made from scratch. */
  image: digest.nullable(),
  /** Packages. */
  installed: z.number().int().nonnegative(),
  removed: z.number().int().nonnegative(),
});

/** A plan in numbers: what would come from where, and how long it would take. */
export const planSummary = z.object({
  ...methodCost.shape,
  diskBytes: tierBytes,
  /** A plain copy of the disk, for comparison. */
  copy: methodCost,
  candidates: z.array(candidate).max(64),
});

export const errorReply = z.object({
  error: z.object({
    code: z.enum(ERROR_CODES),
    message: z.string(),
    requestId: z.string().optional(),
    data: z.record(z.string(), z.unknown()).optional(),
  }),
});
