import { mkdir, mkdtemp, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { CommandRunner } from '../command/command-runner.ts';
import { prepareAppliance } from './appliance.ts';

it('an appliance that is described anew while it is made is made again', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'vmdn-appliance-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const [described, kernel] = [join(dir, 'supermin.d'), join(dir, 'fixed', 'kernel')];
  const supermin = {
    async run() {
      await mkdir(join(dir, 'fixed'), { recursive: true });
      await writeFile(kernel, '');
      const changed = new Date(Date.now() + 1);
      await utimes(described, changed, changed);
      await expect.poll(() => Date.now() > changed.getTime()).toBe(true);
    },
  } as unknown as CommandRunner;
  await prepareAppliance(supermin, dir);
  // supermin makes what is older than the folder of its description.
  expect((await stat(kernel)).mtimeMs).toBeLessThan((await stat(described)).mtimeMs);
});

it('an appliance that several want at once is made by one of them at a time', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'vmdn-appliance-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const kernel = join(dir, 'fixed', 'kernel');
  const seen: string[] = [];
  const supermin = {
    async run() {
      seen.push('begins');
      await mkdir(join(dir, 'fixed'), { recursive: true });
      // supermin keeps the time of the machine's kernel, which is older than any description.
      const isMade = (await stat(kernel).catch(() => null))?.mtimeMs ?? 0;
      if (isMade < (await stat(join(dir, 'supermin.d'))).mtimeMs) {
        seen.push('makes');
        await writeFile(kernel, '');
        await utimes(kernel, new Date(0), new Date(0));
      }
      seen.push('ends');
    },
  } as unknown as CommandRunner;
  await Promise.all([prepareAppliance(supermin, dir), prepareAppliance(supermin, dir)]);
  expect(seen).toEqual(['begins', 'makes', 'ends', 'begins', 'ends']);
});

it('an appliance with other packages is described anew by a file that was not there', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'vmdn-appliance-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const described = join(dir, 'supermin.d');
  const supermin = {
    async run() {
      await mkdir(join(dir, 'fixed'), { recursive: true });
      await writeFile(join(dir, 'fixed', 'kernel'), '');
    },
  } as unknown as CommandRunner;
  await prepareAppliance(supermin, dir);
  const old = new Date(0);
  await utimes(described, old, old);
  await prepareAppliance(supermin, dir);
  expect((await stat(described)).mtimeMs).toBe(0);
  await writeFile(join(described, 'packages-vmdn'), 'rsync\n');
  await utimes(described, old, old);
  await prepareAppliance(supermin, dir);
  expect((await stat(described)).mtimeMs).toBeGreaterThan(0);
});
