import { once } from 'node:events';
import type { Worker } from 'node:worker_threads';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createWorkerPool } from './worker-pool.ts';

/** Answers each message with the same, and dies at the word. */
const ECHO = `
  import { parentPort } from 'node:worker_threads';
  parentPort.on('message', (words) => {
    if (words === 'die') throw new Error('as was asked');
    parentPort.postMessage(words);
  });
`;

function testPool(workerCount: number) {
  const script = new URL(`data:text/javascript,${encodeURIComponent(ECHO)}`);
  const pool = createWorkerPool(script, { workerCount });
  onTestFinished(() => pool.close());
  return pool;
}

async function echo(worker: Worker, words: string): Promise<unknown> {
  const answer = once(worker, 'message');
  worker.postMessage(words);
  return (await answer)[0];
}

describe('a pool of threads', () => {
  it('I1, I2: gives a thread out again after a job that ended well', async () => {
    const pool = testPool(1);
    const [worker] = pool.take(1);
    expect(await echo(worker!, 'one')).toBe('one');
    await pool.give([worker!], 'good');
    expect(pool.take(1)).toEqual([worker]);
    expect(await echo(worker!, 'two')).toBe('two');
    await pool.give([worker!], 'bad');
  });

  it('I4: never gives out a thread that ended while it was idle', async () => {
    const pool = testPool(2);
    const [first, second] = pool.take(2) as [Worker, Worker];
    await pool.give([first, second], 'good');
    // Not once(): that rejects with the thread's error.
    const ended = Promise.withResolvers();
    first.on('exit', ended.resolve);
    first.postMessage('die');
    await ended.promise;
    const taken = pool.take(2);
    expect(taken[0]).toBe(second);
    expect(taken[1]).not.toBe(first);
    for (const worker of taken) expect(await echo(worker, 'there')).toBe('there');
    await pool.give(taken, 'bad');
  });
});
