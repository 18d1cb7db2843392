import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Digest } from '../../domain/digest.ts';
import { TEMP_SUFFIX } from '../files/files.ts';
import { openRecipeFolder } from './records.ts';

const [wanted, other] = ['a', 'b'].map((letter) => letter.repeat(64)) as [Digest, Digest];
let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-recipe-folder-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

describe('the folder of recipes', () => {
  it('keeps what is asked for and what is being written, and nothing else', async () => {
    const folder = await openRecipeFolder(dir);
    for (const digest of [wanted, other]) await folder.put(digest, Uint8Array.of(1));
    const unfinished = `.0123${TEMP_SUFFIX}`;
    for (const name of [unfinished, 'stray']) await writeFile(join(dir, name), 'half');
    await folder.keepOnly(new Set([wanted]));
    expect((await readdir(dir)).sort()).toEqual([unfinished, wanted]);
    expect(await folder.digests()).toEqual([wanted]);
  });

  it('is swept of what a crash left when it is opened', async () => {
    await writeFile(join(dir, `.0123${TEMP_SUFFIX}`), 'half');
    await openRecipeFolder(dir);
    expect(await readdir(dir)).toEqual([]);
  });
});
