/**
 * Room: io, sync. What the assembler pool and its worker threads say to each other.
 *
 * I1: every order has exactly one answer with its number; large columns lie in shared memory and are
 *     named once, when a session opens.
 */

import type { AssembleResult, AssemblyJob, CheckResult } from '../ports/disk-assembly.ts';

export type AssembleOrder =
  | { readonly kind: 'open'; readonly session: number; readonly job: AssemblyJob }
  | { readonly kind: 'close'; readonly session: number }
  | { readonly kind: 'assemble'; readonly session: number; readonly rows: Uint32Array }
  | { readonly kind: 'stage'; readonly session: number; readonly rows: Uint32Array }
  | {
      readonly kind: 'check';
      readonly session: number;
      readonly from: number;
      readonly to: number;
    };

export type AssembleAnswer =
  | { readonly kind: 'done' }
  | ({ readonly kind: 'assembled' } & AssembleResult)
  | ({ readonly kind: 'checked' } & CheckResult)
  | { readonly kind: 'failed'; readonly errno: string; readonly message: string };

export interface NumberedOrder {
  readonly number: number;
  readonly order: AssembleOrder;
}

export interface NumberedAnswer {
  readonly number: number;
  readonly answer: AssembleAnswer;
}
