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

/** Signs a receipt as the node `edge`. */
export async function signReceipt(key: NodeKey, edge: Id, receipt: Receipt): Promise<string> {
  return await signJson(RECEIPT, key, edge, receipt);
}

/** Verifies and reads a receipt. Throws `forbidden` (signature), `corrupt` (content). */
export async function verifyReceipt(token: string, edgeKey: PublicKey): Promise<Receipt> {
  return await verifyJson(RECEIPT, token, edgeKey);
}
