/**
 * Room: edge, sync (tests only). A process that syncs one disk and kills itself in the middle if asked to: a
 * parent that waits for its turn would kill it late, or not at all. Its one argument is a JSON file
 * (ChildTask). The source reads the disk's file piece by piece and prints how many blocks it sends before it
 * hands them over, so that they count whatever happens to the process.
 */

import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { isVmdnError } from '@vmdn/core/domain/errors.ts';
import type { LocalImage } from '@vmdn/core/domain/plan.ts';
import type { BlockRequest, RemoteSource } from '@vmdn/core/io/ports/remote-source.ts';
import { createSyncEngine } from './create-sync-engine.ts';
import type { DiskDelivery } from './delivery-ledger.ts';

/** What the process prints, one JSON value per line. */
export type ChildEvent =
  | { readonly event: 'sent'; readonly blocks: number }
  | { readonly event: 'done'; readonly delivery: DiskDelivery; readonly peakBytes: number }
  | { readonly event: 'failed'; readonly code: string; readonly message: string };

export interface ChildTask {
  readonly digest: string;
  readonly recipePath: string;
  readonly diskPath: string;
  readonly virtualSizeBytes: number;
  readonly images: readonly LocalImage[];
  readonly stagingDir: string;
  /** After so many blocks the process is gone, as by `kill -9`; 0 = never. */
  readonly killAfterBlocks: number;
  /** Memory for blocks on their way; null = as in production. */
  readonly bufferBytes: number | null;
  /** A turn of the event loop and the thread pool after so many blocks; 0 = none. */
  readonly pauseEveryBlocks: number;
}

const PIECE_BLOCKS = 16;

/** Prints at once: what was printed before a kill can still be read. */
function say(event: ChildEvent): void {
  const line = Buffer.from(`${JSON.stringify(event)}\n`);
  for (let at = 0; at < line.length; ) {
    try {
      at += writeSync(1, line, at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      // The pipe is full: give the reader a millisecond.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

function fileSource(task: ChildTask): RemoteSource {
  let sentBlocks = 0;
  const readBlocks = async (request: BlockRequest): Promise<{ wireBytes: number }> => {
    const fd = openSync(task.diskPath, 'r');
    const piece = Buffer.alloc(PIECE_BLOCKS * 4096);
    let [wireBytes, sinceTurn] = [0, 0];
    try {
      for (let i = 0; i < request.runs.length; i += 2) {
        const end = request.runs[i]! + request.runs[i + 1]!;
        for (let block = request.runs[i]!; block < end; block += PIECE_BLOCKS) {
          request.signal.throwIfAborted();
          const count = Math.min(PIECE_BLOCKS, end - block);
          const length = Math.min(count * 4096, task.virtualSizeBytes - block * 4096);
          readSync(fd, piece, 0, length, block * 4096);
          say({ event: 'sent', blocks: count });
          sentBlocks += count;
          if (task.killAfterBlocks > 0 && sentBlocks >= task.killAfterBlocks) {
            process.kill(process.pid, 'SIGKILL');
          }
          wireBytes += length;
          request.onWireBytes?.(length);
          await request.onBlocks(block, count, piece.subarray(0, length));
          sinceTurn += count;
          if (task.pauseEveryBlocks > 0 && sinceTurn >= task.pauseEveryBlocks) {
            sinceTurn = 0;
            await readFile('/proc/self/stat');
          }
        }
      }
      return { wireBytes };
    } finally {
      closeSync(fd);
    }
  };
  return { tier: 'origin', name: 'origin', readBlocks };
}

/** The most memory that this process ever held; `resourceUsage` would count its parent's. */
function peakMemory(): number {
  const [, kib] = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))!;
  return Number(kib) * 1024;
}

const task = JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as ChildTask;
const bufferBytes = task.bufferBytes === null ? {} : { bufferBytes: task.bufferBytes };
await using engine = createSyncEngine({ assembleWorkers: 2, ...bufferBytes });
try {
  const plan = await engine.plan({
    digest: task.digest as LocalImage['digest'],
    recipePath: task.recipePath,
    images: task.images,
  });
  const { delivery } = await engine.sync({
    plan,
    stagingDir: task.stagingDir,
    sources: [fileSource(task)],
    signal: new AbortController().signal,
  });
  say({ event: 'done', delivery, peakBytes: peakMemory() });
} catch (error) {
  const code = isVmdnError(error) ? error.code : 'unknown';
  say({ event: 'failed', code, message: String(error) });
}
