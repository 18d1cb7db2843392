/**
 * Room: http, contracts. The receipt of a teleport (docs/formats/receipt.md): what an edge delivered, from
 * where and when, in its own signed words.
 *
 * I1: what a receipt says never changes: the first one that the coordinator takes stays.
 */

import { z } from 'zod';
import { defineOperation } from './operation.ts';
import {
  byteCount,
  DISKS_MAX,
  digest,
  id,
  name,
  nothing,
  publicKey,
  seconds,
  tierBytes,
  timestamp,
} from './schemas.ts';

export const RECEIPT_SCHEMA = 'vmdn-receipt/1';

/** Segments of an earlier boot that were asked for ahead of the rest, and the bytes in them. */
export const traceUse = z.object({ segments: z.number().int().nonnegative(), bytes: byteCount });
export type TraceUse = z.infer<typeof traceUse>;

export const receipt = z.object({
  schema: z.literal(RECEIPT_SCHEMA),
  teleport: id,
  epoch: z.number().int().min(1),
  edge: id,
  vm: name,
  version: z.number().int().min(1),
  lazy: z.boolean(),
  skipFree: z.boolean(),
  /** In the order of the version's disks. */
  disks: z
    .array(
      z.object({
        digest,
        virtualSizeBytes: byteCount,
        /** Of the disk, by where they came from: they add up to its virtual size. */
        diskBytes: tierBytes,
        /** Received for it, recipe included. */
        wireBytes: tierBytes,
      }),
    )
    .min(1)
    .max(DISKS_MAX),
  /** Of a lazy VM: until it was ready, in which at least one of its reads waited. */
  stallSeconds: seconds.nullable(),
  trace: traceUse.nullable(),
  times: z.object({
    /** By the coordinator's clock; all the others are by the edge's. */
    requested: timestamp,
    /** All disks were complete and verified. */
    verified: timestamp,
    /** The guest answered its ready check. */
    running: timestamp,
    /** The VM read files of its edge alone. */
    independent: timestamp,
  }),
});
export type Receipt = z.infer<typeof receipt>;

/** Some 700 bytes for each of 24 disks, and a third for base64. */
export const signedReceipt = z
  .string()
  .min(16)
  .max(64 * 1024);

/** A receipt as the coordinator keeps it. */
const keptReceipt = z.object({
  receipt,
  /** The same as a compact JWS (RFC 7515, EdDSA) by the edge's key. */
  jws: signedReceipt,
  edge: z.object({ node: id, name, publicKey }),
  receivedAt: timestamp,
});
export type KeptReceipt = z.infer<typeof keptReceipt>;

export const getReceipt = defineOperation({
  id: 'getReceipt',
  method: 'get',
  path: '/v1/teleports/{teleport}/receipt',
  summary: "A teleport's receipt: what was delivered from where and when, signed by its edge.",
  caller: 'client',
  status: 200,
  params: z.object({ teleport: id }),
  query: nothing,
  body: nothing,
  reply: keptReceipt,
});
