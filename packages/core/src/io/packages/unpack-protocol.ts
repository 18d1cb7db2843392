/**
 * Room: io, packages. What the unpacker and its threads say to each other.
 *
 * I1: after a job come its chunks and then `end` or `abort`; each job is answered by one `done` or `failed`.
 * I2: at most UNPACK_BYTES_AHEAD bytes are on their way and not yet `consumed`.
 */

import type { ErrorCode, ErrorData } from '../../domain/errors.ts';
import type { UnpackedPackage, UnpackOrder } from '../ports/package-unpacker.ts';

/** Enough that neither side waits for the other's turn of its event loop. */
export const UNPACK_BYTES_AHEAD = 2 ** 20;

export type UnpackJob = Omit<UnpackOrder, 'bytes' | 'signal' | 'onBusy'>;

export type UnpackMessage =
  | { readonly kind: 'job'; readonly job: UnpackJob }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  | { readonly kind: 'end' }
  | { readonly kind: 'abort' };

export type UnpackAnswer =
  | { readonly kind: 'consumed'; readonly bytes: number }
  | { readonly kind: 'done'; readonly unpacked: UnpackedPackage }
  | {
      readonly kind: 'failed';
      readonly code: ErrorCode;
      readonly message: string;
      readonly data: ErrorData;
    };
