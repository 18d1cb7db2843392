/**
 * Room: io, sync. The thread that assembles: one SegmentAssembler per open session, orders one by one.
 *
 * I1: an order that throws is answered with its errno; the thread lives on.
 */

import { parentPort } from 'node:worker_threads';
import { ROW_WORDS, type RowWork, unpackRow } from '../ports/disk-assembly.ts';
import type { AssembleAnswer, AssembleOrder, NumberedOrder } from './assemble-messages.ts';
import { garbageCollector } from './collect-garbage.ts';
import { SegmentAssembler } from './segment-assembler.ts';

const collectGarbage = garbageCollector();
const assemblers = new Map<number, SegmentAssembler>();

function obey(order: AssembleOrder): AssembleAnswer {
  if (order.kind === 'open') {
    assemblers.set(order.session, new SegmentAssembler(order.job));
    return { kind: 'done' };
  }
  const assembler = assemblers.get(order.session);
  if (order.kind === 'close') {
    assemblers.delete(order.session);
    assembler?.close();
    // Its columns and buffers lie in shared memory, which V8 does not count.
    setImmediate(collectGarbage);
    return { kind: 'done' };
  }
  if (assembler === undefined) throw new Error('an order for a session that is not open');
  if (order.kind === 'check') return { kind: 'checked', ...assembler.check(order.from, order.to) };
  const rows: RowWork[] = [];
  for (let at = 0; at < order.rows.length; at += ROW_WORDS) rows.push(unpackRow(order.rows, at));
  if (order.kind === 'assemble') return { kind: 'assembled', ...assembler.assemble(rows) };
  for (const row of rows) assembler.stage(row);
  return { kind: 'done' };
}

function failure(error: unknown): AssembleAnswer {
  const errno = error instanceof Error && 'code' in error ? String(error.code) : '';
  return { kind: 'failed', errno, message: error instanceof Error ? error.message : String(error) };
}

parentPort?.on('message', ({ number, order }: NumberedOrder) => {
  let answer: AssembleAnswer;
  try {
    answer = obey(order);
  } catch (error) {
    answer = failure(error);
  }
  parentPort?.postMessage({ number, answer });
});
