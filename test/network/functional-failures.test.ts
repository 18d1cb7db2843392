/**
 * Functional copies that cannot be made, with real guests: each fails clearly, names what else there is, and
 * leaves nothing.
 */

import { randomUUID } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OperatingSystem } from '@vmdn/core/domain/description.ts';
import type { DiskFormat, DiskLayer } from '@vmdn/core/domain/disk-format.ts';
import { packageDifference } from '@vmdn/core/domain/functional.ts';
import type { Appliance } from '@vmdn/core/io/appliance/appliance.ts';
import { runner, testAppliance } from '@vmdn/core/io/appliance/guest-disks.fixture.ts';
import { createQemuImg } from '@vmdn/core/io/command/qemu-img.ts';
import { openDiskExport } from '@vmdn/core/io/disk-export/disk-export.ts';
import { createFunctionalCopier } from '@vmdn/core/io/functional/functional-copier.ts';
import { inspectByTools } from '@vmdn/core/io/inspect/inspect-by-tools.ts';
import {
  type FakeMirror,
  makeDeb,
  makeKey,
  makeRpm,
  publishRpm,
  publishSuite,
  type SigningKey,
  startMirror,
  writeRepoFile,
} from '@vmdn/core/io/mirrors/package-mirrors.fixture.ts';
import { openPackageMirrors } from '@vmdn/core/io/mirrors/package-mirrors.ts';
import type { FunctionalImage } from '@vmdn/core/io/ports/functional-copy.ts';
import { createStoreLedger } from '@vmdn/core/io/store/store-space.ts';
import { findGuest } from '@vmdn/infra/lab/guests.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keptDebs } from '../harness/guest-debs.ts';

const stack = new AsyncDisposableStack();
const qemuImg = createQemuImg(runner);
let dir: string;
let appliance: Appliance;
let mirror: FakeMirror;
let key: SigningKey;
let source: FunctionalImage & { readonly socketPath: string; readonly os: OperatingSystem };
let base: FunctionalImage;

/** A guest of the cache, exported and inspected. */
async function readGuest(name: string): Promise<FunctionalImage & { socketPath: string }> {
  const { disk } = await findGuest(name);
  const layers: DiskLayer[] = [{ path: disk.path, format: disk.format as DiskFormat }];
  const exported = await openDiskExport({ layers, socketDir: join(dir, 's'), runner });
  stack.defer(() => exported.close());
  const { socketPath, virtualSizeBytes } = exported;
  const options = { socketPaths: [socketPath], workDir: join(dir, 'inspect'), runner };
  const { os, packages } = await inspectByTools(options);
  return { name, layers, virtualSizeBytes, os, packages, socketPath };
}

/** What web-01 has and the base image has not, and more, as a signed repository. */
async function publish(more: Readonly<Record<string, Uint8Array>> = {}): Promise<void> {
  const wanted = packageDifference(source.packages, base.packages).install;
  await publishSuite(mirror, { key, debs: { ...(await keptDebs(wanted)), ...more } });
}

async function copier(limits: { readonly packageSecondsMax?: number } = {}) {
  const repo = join(dir, `${randomUUID()}.repo`);
  await writeRepoFile(repo, mirror, key);
  const sources = join(dir, `${randomUUID()}.sources`);
  await writeFile(
    sources,
    `Types: deb\nURIs: ${mirror.url}/debian\nSuites: stable\nComponents: main
Signed-By: ${key.armouredPath}\n`,
  );
  const { mirrors } = await openPackageMirrors({
    ...{ choice: [sources, repo], runner, cacheDir: join(dir, randomUUID()) },
  });
  stack.use(mirrors);
  return createFunctionalCopier({
    ...{ appliance, runner, qemuImg, mirrors, workDir: join(dir, 'work') },
    store: createStoreLedger({ root: dir, quotaBytes: null, usedBytes: () => 0 }),
    ...limits,
  });
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-functional-'));
  await chmod(dir, 0o711);
  for (const name of ['jobs', 'out']) await mkdir(join(dir, name));
  appliance = testAppliance(join(dir, 'jobs'), process.env);
  mirror = stack.use(await startMirror());
  key = await makeKey(dir, 'archive');
  stack.defer(() => key.close());
  source = (await readGuest('web-01')) as typeof source;
  base = await readGuest('debian-12-base');
  await publish();
});
afterAll(async () => {
  await stack.disposeAsync();
  await rm(dir, { recursive: true, force: true });
});

describe('a functional copy that cannot be made', () => {
  const centos = {
    ...{ id: 'centos', versionId: '9', prettyName: 'CentOS 9', architecture: 'x86_64' },
  };
  const targetPath = () => join(dir, 'out', 'none.qcow2');
  const nothingLeft = async (): Promise<void> => {
    expect(await readdir(join(dir, 'out'))).toEqual([]);
    expect(await readdir(join(dir, 'work'))).toEqual([]);
  };
  const copy = async (
    packages: FunctionalImage['packages'],
    images = [base],
    disks: readonly ({ socketPath: string } | { path: string })[] = [base.layers[0]!],
  ) =>
    (await copier())({
      source: {
        ...{ ...source, virtualSizeBytes: base.virtualSizeBytes, packages, disks },
        ...{ firmware: 'bios', databases: [] },
      },
      ...{ databases: 'files', images, targetPath: targetPath() },
    });
  const extra = (name: string) => ({ name, version: '1.0', architecture: 'all' });

  /** A copy of the small RPM guest onto itself, with other words on its packages. */
  const copyRpm = async (
    packages: FunctionalImage['packages'],
    claimed = packages,
    limits: Parameters<typeof copier>[0] = {},
  ) => {
    const { disk } = await findGuest('rpm-base');
    const layers: DiskLayer[] = [{ path: disk.path, format: 'raw' }];
    const guest = { virtualSizeBytes: (await stat(disk.path)).size, os: centos };
    const image = { ...guest, name: 'rpm-base', layers, packages: claimed };
    return await (await copier(limits))({
      source: {
        ...{ ...guest, packages, disks: [{ path: disk.path }] },
        ...{ firmware: 'bios', databases: [] },
      },
      ...{ databases: 'files', images: [image], targetPath: targetPath() },
    });
  };

  it('for want of an image of the same release, and of a kernel to begin with, says so', async () => {
    const stranger = { ...base, os: { ...source.os, versionId: '11' } };
    const failed = copy([extra('dpkg')], [stranger]);
    await expect(failed).rejects.toMatchObject({ code: 'not_found' });
    await expect(failed).rejects.toThrow(/No image here is of Debian.*no kernel.*method exact/);
    await nothingLeft();
  });

  it('from scratch for want of packages names them', async () => {
    const failed = copy([...base.packages, extra('long-gone')], []);
    await expect(failed).rejects.toMatchObject({ code: 'not_found' });
    await expect(failed).rejects.toThrow(/No repository has .* any more.*method exact/);
    await nothingLeft();
  });

  it('since no repository has a package any more names the package', async () => {
    const failed = copy([...base.packages, extra('long-gone')]);
    await expect(failed).rejects.toMatchObject({ code: 'not_found' });
    await expect(failed).rejects.toThrow(/long-gone 1\.0 any more.*method exact/);
    await nothingLeft();
  });

  it('since a script of a package fails says which', async () => {
    const script = '#!/bin/sh\necho out of order >&2\nexit 3\n';
    const deb = await makeDeb(dir, 'ill', '1.0', { postinst: script });
    await publish({ 'ill_1.0_all': deb });
    const failed = copy([...base.packages, extra('ill')]);
    await expect(failed).rejects.toMatchObject({ code: 'tool_failed' });
    await expect(failed).rejects.toThrow(/could not be installed.*ill.*method exact/);
    await nothingLeft();
  });

  it('since a script of an RPM package fails says which, though rpm only warns of it', async () => {
    await publishRpm(mirror, key, await makeRpm(dir, 'ill', 'exit 3'));
    const ill = { name: 'ill', version: '1-2', architecture: 'x86_64' };
    const failed = copyRpm([ill], []);
    await expect(failed).rejects.toMatchObject({ code: 'tool_failed' });
    await expect(failed).rejects.toThrow(/could not be installed.*%post\(ill.*method exact/);
    await nothingLeft();
  });

  it('since a script of a package never ends says so when its time is up', async () => {
    await publishRpm(mirror, key, await makeRpm(dir, 'ill', 'while :; do :; done'));
    const ill = { name: 'ill', version: '1-2', architecture: 'x86_64' };
    const failed = copyRpm([ill], [], { packageSecondsMax: 20 });
    await expect(failed).rejects.toMatchObject({ code: 'tool_failed' });
    await expect(failed).rejects.toThrow(/did not come to an end within 20 s.*method exact/);
    await nothingLeft();
  });

  it('since a package database lied of what is there says what is not', async () => {
    const failed = copyRpm([{ name: 'ghost', version: '1-2', architecture: 'x86_64' }]);
    await expect(failed).rejects.toMatchObject({ code: 'tool_failed' });
    await expect(failed).rejects.toThrow(/are not there: ghost 1-2.*method exact/);
    await nothingLeft();
  });

  it('since its disk holds no system that can be read says so', async () => {
    const path = join(dir, 'broken.raw');
    await writeFile(path, Buffer.alloc(2 ** 20, 0xa5));
    const failed = copy(base.packages, [base], [{ path }]);
    await expect(failed).rejects.toMatchObject({ code: 'unsupported_format' });
    await expect(failed).rejects.toThrow(/no system of the source.*method exact/);
    await nothingLeft();
  });
});
