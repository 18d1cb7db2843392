import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createWorkerCalls, type WorkerCalls } from './worker-calls.ts';

let dir: string;
let calls: WorkerCalls<string, string>;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-calls-'));
  const script = join(dir, 'worker.mjs');
  const lib = new URL('./worker-calls.ts', import.meta.url).href;
  const errors = new URL('../../domain/errors.ts', import.meta.url).href;
  await writeFile(
    script,
    `import { answerCalls } from ${JSON.stringify(lib)};
     import { VmdnError } from ${JSON.stringify(errors)};
     import { existsSync, writeFileSync } from 'node:fs';
     const marker = ${JSON.stringify(join(dir, 'started'))};
     if (!existsSync(marker)) {
       writeFileSync(marker, '');
       throw new Error('The first thread dies.');
     }
     answerCalls((order) => {
       if (order === 'refuse') throw new VmdnError('corrupt', 'no', { data: { why: 'not' } });
       if (order === 'errno') throw Object.assign(new Error('gone'), { code: 'ENOENT' });
       return order.toUpperCase();
     });`,
  );
  calls = createWorkerCalls(pathToFileURL(script), 'shouts');
});
afterAll(async () => {
  await calls.close();
  await rm(dir, { recursive: true, force: true });
});

describe('calls to a worker', () => {
  it('I1: fail when the thread dies, and the next one is answered by another', async () => {
    const asked = await Promise.allSettled(['a', 'b'].map((word) => calls.call(word)));
    for (const result of asked) expect(result).toMatchObject({ reason: { code: 'internal' } });
    expect(await calls.call('c')).toBe('C');
  });

  it('I1: are each answered, with the value that belongs to them', async () => {
    const asked = ['a', 'b', 'c'].map((word) => calls.call(word));
    expect(await Promise.all(asked)).toEqual(['A', 'B', 'C']);
  });

  it('I3: throw what the thread threw', async () => {
    const refused = { code: 'corrupt', message: 'no', data: { why: 'not' } };
    await expect(calls.call('refuse')).rejects.toMatchObject(refused);
    await expect(calls.call('errno')).rejects.toMatchObject({ code: 'ENOENT', message: 'gone' });
  });

  it('I1: are cancelled when they are given up or the thread is closed', async () => {
    const given = calls.call('a', { signal: AbortSignal.abort() });
    await expect(given).rejects.toMatchObject({ code: 'cancelled' });
    const last = calls.call('a');
    await Promise.all([expect(last).rejects.toMatchObject({ code: 'cancelled' }), calls.close()]);
    await expect(calls.call('a')).rejects.toMatchObject({ code: 'cancelled' });
  });
});
