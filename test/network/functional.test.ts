/**
 * SMART-MIGRATE with real guests: web-01 is made anew of web-02 or the base image, packages and rsync, in
 * appliances, and then booted; and what happens when it cannot be.
 */

import { randomUUID } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OperatingSystem } from '@vmdn/core/domain/description.ts';
import { parseDigest } from '@vmdn/core/domain/digest.ts';
import type { DiskFormat, DiskLayer } from '@vmdn/core/domain/disk-format.ts';
import { packageDifference } from '@vmdn/core/domain/functional.ts';
import { parseId, parseName } from '@vmdn/core/domain/names.ts';
import { parseRsyncStats } from '@vmdn/core/formats/rsync-stats.ts';
import { type Appliance, JOB_FOLDER } from '@vmdn/core/io/appliance/appliance.ts';
import { runner, testAppliance } from '@vmdn/core/io/appliance/guest-disks.fixture.ts';
import { createQemuImg } from '@vmdn/core/io/command/qemu-img.ts';
import { openDiskExport } from '@vmdn/core/io/disk-export/disk-export.ts';
import { createFunctionalCopier } from '@vmdn/core/io/functional/functional-copier.ts';
import { createQemuHypervisor } from '@vmdn/core/io/hypervisor/qemu-hypervisor.ts';
import { inspectByTools } from '@vmdn/core/io/inspect/inspect-by-tools.ts';
import {
  type FakeMirror,
  makeDeb,
  makeKey,
  publishSuite,
  type SigningKey,
  startMirror,
} from '@vmdn/core/io/mirrors/package-mirrors.fixture.ts';
import { openPackageMirrors } from '@vmdn/core/io/mirrors/package-mirrors.ts';
import type { FunctionalCopyResult, FunctionalImage } from '@vmdn/core/io/ports/functional-copy.ts';
import { findGuest, type Guest, guestsDir } from '@vmdn/infra/lab/guests.ts';
import { proveSite } from '@vmdn/infra/lab/site-proof.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const BOOT_MS_MAX = 540_000;
const stack = new AsyncDisposableStack();
const qemuImg = createQemuImg(runner);
let dir: string;
let appliance: Appliance;
let mirror: FakeMirror;
let key: SigningKey;
let guest: Guest;
let source: FunctionalImage & { readonly socketPath: string; readonly os: OperatingSystem };
let base: FunctionalImage;
let other: FunctionalImage;
let result: FunctionalCopyResult;

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

/** The package files that the guests' builder kept, as a signed repository. */
async function publish(more: Readonly<Record<string, Uint8Array>> = {}): Promise<void> {
  const folder = join(guestsDir(process.env), 'debs');
  const wanted = [base, other].flatMap(
    (image) => packageDifference(source.packages, image.packages).install,
  );
  const debs: Record<string, Uint8Array> = { ...more };
  const files = await readdir(folder);
  for (const { name, version, architecture } of wanted) {
    const plain = version.replace(/^[0-9]+:/, '');
    const file = files.find(
      (each) => each.startsWith(`${name}_`) && each.endsWith(`${plain}_${architecture}.deb`),
    );
    if (file === undefined) throw new Error(`${folder} lacks ${name} ${version}; build the guests`);
    debs[`${name}_${version}_${architecture}`] = await readFile(join(folder, file));
  }
  await publishSuite(mirror, { key, debs });
}

async function copier() {
  const sources = join(dir, `${randomUUID()}.sources`);
  await writeFile(
    sources,
    `Types: deb\nURIs: ${mirror.url}/debian\nSuites: stable\nComponents: main
Signed-By: ${key.armouredPath}\n`,
  );
  const { mirrors } = await openPackageMirrors({
    ...{ choice: [sources], runner, cacheDir: join(dir, randomUUID()) },
  });
  stack.use(mirrors);
  return createFunctionalCopier({
    ...{ appliance, runner, qemuImg, mirrors, workDir: join(dir, 'work') },
  });
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-functional-'));
  await chmod(dir, 0o711);
  for (const name of ['jobs', 'out', 'vms']) await mkdir(join(dir, name));
  await mkdir(join(dir, 'run'), { mode: 0o711 });
  appliance = testAppliance(join(dir, 'jobs'), process.env);
  mirror = stack.use(await startMirror());
  key = await makeKey(dir, 'archive');
  stack.defer(() => key.close());
  guest = await findGuest('web-01');
  source = (await readGuest('web-01')) as typeof source;
  base = await readGuest('debian-12-base');
  other = await readGuest('web-02');
  await publish();
});
afterAll(async () => {
  await stack.disposeAsync();
  await rm(dir, { recursive: true, force: true });
});

describe('a functional copy of a real guest', () => {
  it('is made of the nearest image, its packages and the files that it lacks', async () => {
    const before = await Promise.all([base, other].map(({ layers }) => stat(layers[0]!.path)));
    result = await (await copier())({
      source: { ...source, disks: [{ socketPath: source.socketPath }] },
      images: [base, other],
      targetPath: join(dir, 'out', 'disk.qcow2'),
    });
    const { install, remove } = packageDifference(
      source.packages,
      (result.image === other.name ? other : base).packages,
    );
    expect(result).toMatchObject({ installed: install.length, removed: remove.length });
    expect(install.length).toBeGreaterThan(0);
    expect(result.virtualSizeBytes).toBe(source.virtualSizeBytes);
    // The site's 64 MiB, and not the system.
    expect(result.fileBytes).toBeGreaterThan(60 * 2 ** 20);
    expect(result.fileBytes).toBeLessThan(150 * 2 ** 20);
    const after = await Promise.all([base, other].map(({ layers }) => stat(layers[0]!.path)));
    expect(after.map(({ mtimeMs }) => mtimeMs)).toEqual(before.map(({ mtimeMs }) => mtimeMs));
    expect(await readdir(join(dir, 'work'))).toEqual([]);
    const jobs = await readdir(join(dir, 'jobs'));
    expect(jobs.filter((name) => name.startsWith('job-'))).toEqual([]);
  });

  it('has the packages of the source, and every file that the runs do not leave out', async () => {
    const exported = await openDiskExport({
      ...{ layers: result.layers, socketDir: join(dir, 's'), runner },
    });
    stack.defer(() => exported.close());
    const options = { socketPaths: [exported.socketPath], workDir: join(dir, 'inspect'), runner };
    const { packages, os } = await inspectByTools(options);
    expect(packages).toEqual(source.packages);
    expect(os).toEqual(source.os);
    const lists = ['/dev', '/tmp', '/proc', '/sys', '/var/tmp', '/run', '/mnt', '/media', '/usr'];
    const first = [...lists, '/lost+found', '/lib', '/lib32', '/lib64', '/boot', '/etc/fstab'];
    const second = first.filter((path) => !/^\/(usr|lib.*|etc\/fstab)$/.test(path));
    const links = ['/vmlinuz*', '/initrd.img*'];
    const found = await appliance.run({
      disks: [
        { label: 'diska', at: source, format: 'raw', access: 'read' },
        { label: 'candidatea', at: exported, format: 'raw', access: 'read' },
      ],
      scripts: ['estimate.sh', 'mount-guest.sh'],
      args: [JOB_FOLDER, 'candidatea', '--', 'diska'],
      files: new Map([
        ['first', Buffer.from([...first, ...links].join('\n'))],
        ['second', Buffer.from([...second, ...links].join('\n'))],
      ]),
      ...{ memoryMiB: 1024, timeoutMs: 600_000, resultBytesMax: 2 ** 20 },
    });
    expect(found).toMatchObject({ exitCode: 0 });
    for (const name of ['first', 'second']) {
      const text = Buffer.from(found.files.get(`${name}-candidatea`) ?? []).toString();
      expect(parseRsyncStats(text), text).toEqual({ files: 0, bytes: 0 });
    }
  });

  it('boots and serves the same site', async () => {
    const hypervisor = stack.use(
      createQemuHypervisor({
        dirs: { vms: join(dir, 'vms'), sockets: join(dir, 'run') },
        ...{
          bindAddress: '127.0.0.1',
          accelerator: 'tcg',
          guestUid: null,
          kvmGroup: null,
          qemuImg,
        },
      }),
    );
    const vm = parseId(randomUUID(), 'VM');
    const http = parseName('http', 'port');
    const ready = { kind: 'http', port: http, path: '/index.html', timeoutSeconds: 500 } as const;
    await hypervisor.define({
      ...{ vm, name: parseName('web-01', 'VM') },
      hardware: {
        ...{ vcpus: 2, memoryMiB: 512, firmware: 'bios' },
        ...{ ports: [{ name: http, guest: 80 }], ready },
      },
      disks: [
        {
          digest: parseDigest('0'.repeat(64)),
          ...{ layers: result.layers, virtualSizeBytes: result.virtualSizeBytes },
        },
      ],
    });
    stack.defer(() => hypervisor.destroy(vm));
    const { endpoints } = await hypervisor.start(vm);
    await hypervisor.waitReady(vm, ready, { signal: AbortSignal.timeout(BOOT_MS_MAX) });
    const url = `http://127.0.0.1:${endpoints[0]!.hostPort}/`;
    const proof = await proveSite(url, guest.siteManifestPath!);
    expect(proof.differences).toEqual([]);
    await hypervisor.destroy(vm);
  });
});

describe('a functional copy that cannot be made', () => {
  const targetPath = () => join(dir, 'out', 'none.qcow2');
  const nothingLeft = async (): Promise<void> => {
    const others = (await readdir(join(dir, 'out'))).filter((name) => name !== 'disk.qcow2');
    expect(others).toEqual([]);
    expect(await readdir(join(dir, 'work'))).toEqual([]);
  };
  const copy = async (
    packages: FunctionalImage['packages'],
    images = [base],
    disks: readonly ({ socketPath: string } | { path: string })[] = [base.layers[0]!],
  ) =>
    (await copier())({
      source: { ...source, virtualSizeBytes: base.virtualSizeBytes, packages, disks },
      ...{ images, targetPath: targetPath() },
    });
  const extra = (name: string) => ({ name, version: '1.0', architecture: 'all' });

  it('for want of an image of the same release says so', async () => {
    const stranger = { ...base, os: { ...source.os, versionId: '11' } };
    const failed = copy(base.packages, [stranger]);
    await expect(failed).rejects.toMatchObject({ code: 'not_found' });
    await expect(failed).rejects.toThrow(/No image here is of Debian.*method exact/);
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

  it('since its disk holds no system that can be read says so', async () => {
    const path = join(dir, 'broken.raw');
    await writeFile(path, Buffer.alloc(2 ** 20, 0xa5));
    const failed = copy(base.packages, [base], [{ path }]);
    await expect(failed).rejects.toMatchObject({ code: 'unsupported_format' });
    await expect(failed).rejects.toThrow(/no system of the source.*method exact/);
    await nothingLeft();
  });
});
