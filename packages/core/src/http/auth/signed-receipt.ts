/**
 * Room: http, auth. Receipts of teleports as the edge signs them and anybody verifies them (signed-json.ts,
 * docs/formats/receipt.md).
 */

import type { Id } from '../../domain/names.ts';
import { type Receipt, receipt as schema } from '../contracts/receipts.ts';
import type { PublicKey } from '../contracts/schemas.ts';
import type { NodeKey } from './keys.ts';
import { type SignedType, signJson, verifyJson } from './signed-json.ts';

const RECEIPT: SignedType<Receipt> = { typ: 'vmdn-receipt+json', name: 'receipt', schema };

/** Signs a receipt as the node `edge`: one that says the same is the same text, in whatever order. */
export async function signReceipt(key: NodeKey, edge: Id, receipt: Receipt): Promise<string> {
  // Parsing puts fields in the schema's order: a record that was read from a file has them in another one.
  return await signJson(RECEIPT, key, edge, schema.parse(receipt));
}

/** Verifies and reads a receipt. Throws `forbidden` (signature), `corrupt` (content). */
export async function verifyReceipt(token: string, edgeKey: PublicKey): Promise<Receipt> {
  return await verifyJson(RECEIPT, token, edgeKey);
}
