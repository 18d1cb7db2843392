/**
 * Room: edge, sync (tests only). A process that syncs one disk and can be killed at any moment. Its one
 * argument is a JSON file (ChildTask); it prints `{"event":"started"}` and, at the end, the outcome.
 *
 * The source reads the disk's file, sends at a limited rate, and writes down every block that it sends
 * before it hands it over, so that bytes are counted whatever happens to the process.
 */

import { appendFileSync, closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { isVmdnError } from '@vmdn/core/domain/errors.ts';
import { DEFAULT_RATES, type LocalImage } from '@vmdn/core/domain/plan.ts';
import type { BlockRequest, RemoteSource } from '@vmdn/core/io/ports/remote-source.ts';
import { createSyncEngine } from './create-sync-engine.ts';

export interface ChildTask {
  readonly digest: string;
  readonly recipePath: string;
  readonly diskPath: string;
  readonly virtualSizeBytes: number;
  readonly images: readonly LocalImage[];
  readonly stagingDir: string;
  /** Gets one line per sent run: start and count. */
  readonly sentLog: string;
  /** A pause after so many blocks; 0 = none. */
  readonly pauseEveryBlocks: number;
}

const PIECE_BLOCKS = 16;

function fileSource(task: ChildTask): RemoteSource {
  const readBlocks = async (request: BlockRequest): Promise<{ wireBytes: number }> => {
    const fd = openSync(task.diskPath, 'r');
    const piece = Buffer.alloc(PIECE_BLOCKS * 4096);
    let [wireBytes, sinceNap] = [0, 0];
    try {
      for (let i = 0; i < request.runs.length; i += 2) {
        const end = request.runs[i]! + request.runs[i + 1]!;
        for (let block = request.runs[i]!; block < end; block += PIECE_BLOCKS) {
          request.signal.throwIfAborted();
          const count = Math.min(PIECE_BLOCKS, end - block);
          const length = Math.min(count * 4096, task.virtualSizeBytes - block * 4096);
          readSync(fd, piece, 0, length, block * 4096);
          appendFileSync(task.sentLog, `${block} ${count}\n`);
          wireBytes += length;
          request.onWireBytes?.(length);
          await request.onBlocks(block, count, piece.subarray(0, length));
          sinceNap += count;
          if (task.pauseEveryBlocks > 0 && sinceNap >= task.pauseEveryBlocks) {
            sinceNap = 0;
            await new Promise((resolve) => setTimeout(resolve, 1));
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
const say = (value: object): void => {
  process.stdout.write(`${JSON.stringify(value)}\n`);
};
await using engine = createSyncEngine({ assembleWorkers: 2 });
try {
  const plan = await engine.plan({
    digest: task.digest as LocalImage['digest'],
    recipePath: task.recipePath,
    images: task.images,
    rates: DEFAULT_RATES,
  });
  say({ event: 'started' });
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
