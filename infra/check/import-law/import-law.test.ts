/** Tests of the import law: it catches what it should, and a law without teeth is noticed. */

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { flawsOfTheLaw, judgeImports } from './cruise.ts';
import { LAW } from './rules.ts';

let rootDir = '';

beforeEach(async () => {
  rootDir = await mkdtemp(join(tmpdir(), 'vmdn-law-test-'));
  for (const room of ['packages', 'apps', 'infra', 'test']) await mkdir(join(rootDir, room));
});
afterEach(async () => rm(rootDir, { recursive: true, force: true }));

describe('the import law', () => {
  it('catches every planted violation and lets every lawful file pass', async () => {
    expect(await flawsOfTheLaw()).toEqual([]);
  });

  it('says so, rule by rule, when it has lost its teeth', async () => {
    const toothless = LAW.map((rule) => ({ ...rule, from: { path: '^nowhere/' } }));
    const flaws = await flawsOfTheLaw(toothless);
    for (const { name } of LAW) {
      expect(flaws).toContainEqual(expect.stringContaining(`${name} does not report`));
    }
  });

  it('says so when a rule has no planted violation', async () => {
    const law = [...LAW, { ...LAW[0]!, name: 'new-rule' }];
    expect(await flawsOfTheLaw(law)).toContain('new-rule has no planted violation');
  });

  it('says so when a rule is so strict that it reports a lawful file', async () => {
    const law = LAW.map((rule) => (rule.name === 'world-in-io' ? { ...rule, from: {} } : rule));
    expect(await flawsOfTheLaw(law)).toContainEqual(expect.stringContaining('reports the lawful'));
  });

  it('fails when there is nothing to check', async () => {
    await expect(judgeImports(rootDir)).rejects.toThrow(/checked nothing/);
  });

  it('fails when the modules import nothing', async () => {
    await writeFile(join(rootDir, 'infra', 'alone.ts'), 'export const alone = 1;\n');
    await expect(judgeImports(rootDir)).rejects.toThrow(/checked nothing/);
  });
});
