/**
 * Room: io, mirrors; tests only. Tiny real repositories, signed by throw-away keys, served on loopback.
 */

import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { createCommandRunner } from '../command/command-runner.ts';

export const runner = createCommandRunner();
const timeoutMs = 60_000;

/** What is served: bytes by path, changed at will; requests are written down. */
export interface FakeMirror extends AsyncDisposable {
  readonly url: string;
  readonly files: Map<string, Uint8Array>;
  /** `status path`, since the last time it was emptied. */
  readonly log: string[];
}

export async function startMirror(): Promise<FakeMirror> {
  const files = new Map<string, Uint8Array>();
  const log: string[] = [];
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url!);
    const bytes = files.get(path);
    const etag = bytes && `"${sha256(bytes)}"`;
    const isKnown = etag !== undefined && request.headers['if-none-match'] === etag;
    const status = bytes === undefined ? 404 : isKnown ? 304 : 200;
    log.push(`${status} ${path}`);
    response.writeHead(status, etag === undefined ? {} : { etag });
    response.end(status === 200 ? bytes : undefined);
  }).listen(0, '127.0.0.1');
  await new Promise((done) => server.once('listening', done));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    files,
    log,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** A key of GnuPG in a home folder of its own. */
export interface SigningKey {
  /** The public key: armoured, and binary. */
  readonly armouredPath: string;
  readonly binaryPath: string;
  readonly fingerprint: string;
  clearsign(text: string): Promise<Uint8Array>;
  detach(bytes: Uint8Array): Promise<Uint8Array>;
  /** Ends GnuPG's agent. */
  close(): Promise<void>;
}

export async function makeKey(dir: string, name: string): Promise<SigningKey> {
  // A short path: GnuPG's agent has its socket there.
  const home = await mkdtemp(join(tmpdir(), 'vmdn-gpg-'));
  const run = (tool: string, ...args: string[]) =>
    runner.run(tool, args, { timeoutMs, env: { GNUPGHOME: home } });
  const gpg = (...args: string[]) =>
    run(
      'gpg',
      '--batch',
      '--quiet',
      '--yes',
      '--pinentry-mode',
      'loopback',
      '--passphrase',
      '',
      ...args,
    );
  await gpg('--quick-generate-key', `${name} <${name}@example.test>`, 'ed25519', 'sign', 'never');
  const [armouredPath, binaryPath] = [join(dir, `${name}.asc`), join(dir, `${name}.gpg`)];
  await gpg('--armor', '--output', armouredPath, '--export');
  await gpg('--output', binaryPath, '--export');
  const list = (await gpg('--with-colons', '--list-keys')).stdout;
  const sign = async (bytes: Uint8Array | string, ...how: string[]): Promise<Uint8Array> => {
    const [input, output] = [join(home, 'in'), join(home, 'out')];
    await writeFile(input, bytes);
    await gpg('--armor', '--output', output, ...how, input);
    return await readFile(output);
  };
  return {
    armouredPath,
    binaryPath,
    fingerprint: /^fpr:+([0-9A-F]+):/m.exec(list)![1]!,
    clearsign: (text) => sign(text, '--clearsign'),
    detach: (bytes) => sign(bytes, '--detach-sign'),
    async close() {
      await run('gpgconf', '--kill', 'gpg-agent');
      await rm(home, { recursive: true, force: true });
    },
  };
}

/** A real .deb with one file, and maintainer scripts by their names. */
export async function makeDeb(
  dir: string,
  name: string,
  version: string,
  scripts: Readonly<Record<string, string>> = {},
): Promise<Uint8Array> {
  const root = join(dir, `${name}-${version}`);
  const control = `Package: ${name}\nVersion: ${version}\nArchitecture: all
Maintainer: A <a@example.test>\nDescription: a test\nInstalled-Size: 7\n`;
  for (const [path, text] of [
    ['DEBIAN/control', control],
    [`usr/share/${name}/file`, `${name} ${version}\n`.repeat(1000)],
  ] as const) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  for (const [script, text] of Object.entries(scripts)) {
    await writeFile(join(root, 'DEBIAN', script), text, { mode: 0o755 });
  }
  const path = `${root}.deb`;
  const env = { SOURCE_DATE_EPOCH: '0' };
  await runner.run('dpkg-deb', ['--root-owner-group', '--build', root, path], { timeoutMs, env });
  return await readFile(path);
}

export interface SuiteOptions {
  readonly key: SigningKey;
  readonly debs: Readonly<Record<string, Uint8Array>>;
  /** Lines of the Release file before its table. */
  readonly head?: string;
  /** Signs apart, as old repositories do. */
  readonly isDetached?: boolean;
  /** Which variant of Packages is made. */
  readonly variant?: '' | '.gz' | '.xz';
  /** Makes the index other than it was signed. */
  readonly swap?: (index: Uint8Array) => Uint8Array;
  readonly filename?: (file: string) => string;
  /** Of each package. */
  readonly installedKiB?: number;
}

/** Puts a suite `stable` with packages `NAME_VERSION` or `NAME_VERSION_ARCHITECTURE` below `/debian/`. */
export async function publishSuite(
  { files }: FakeMirror,
  { key, debs, head = '', variant = '.gz', ...options }: SuiteOptions,
): Promise<void> {
  for (const path of files.keys()) if (path.startsWith('/debian/')) files.delete(path);
  const stanzas = Object.entries(debs).map(([id, deb]) => {
    const [name = '', version = '', architecture = 'all'] = id.split('_');
    const file = `pool/${name[0]}/${name}_${version}_${architecture}.deb`;
    files.set(`/debian/${file}`, deb);
    const { installedKiB = 7 } = options;
    return `Package: ${name}\nVersion: ${version}\nArchitecture: ${architecture}
Installed-Size: ${installedKiB}\nFilename: ${options.filename?.(file) ?? file}
Size: ${deb.length}\nSHA256: ${sha256(deb)}\n`;
  });
  const packages = Buffer.from(stanzas.join('\n'));
  const index = await compress(packages, variant);
  const path = `main/binary-amd64/Packages`;
  files.set(`/debian/dists/stable/${path}${variant}`, options.swap?.(index) ?? index);
  const release = `Origin: Debian\nCodename: bookworm\nVersion: 12.9
Date: Sat, 11 Jul 2026 10:00:00 UTC\n${head}SHA256:
 ${sha256(packages)} ${packages.length} ${path}
 ${sha256(index)} ${index.length} ${path}${variant}\n`;
  if (options.isDetached) {
    files.set('/debian/dists/stable/Release', Buffer.from(release));
    files.set('/debian/dists/stable/Release.gpg', await key.detach(Buffer.from(release)));
  } else files.set('/debian/dists/stable/InRelease', await key.clearsign(release));
}

async function compress(bytes: Uint8Array, variant: string): Promise<Uint8Array> {
  if (variant === '.gz') return gzipSync(bytes);
  if (variant === '') return bytes;
  const path = join(await mkdtemp(join(tmpdir(), 'vmdn-xz-')), 'Packages');
  await writeFile(path, bytes);
  await runner.run('xz', ['--', path], { timeoutMs });
  const compressed = await readFile(`${path}.xz`);
  await rm(dirname(path), { recursive: true });
  return compressed;
}

/** A package of an rpm-md repository. */
export interface FakeRpm {
  readonly name: string;
  readonly version: string;
  readonly bytes: Uint8Array;
}

const NANO: FakeRpm = {
  ...{ name: 'nano', version: '1' },
  bytes: Buffer.from('not a real rpm, but nobody unpacks it here'),
};

/** Puts an rpm-md repository with packages `NAME-VERSION-2.x86_64` below `/rpm/`. */
export async function publishRpm(
  mirror: FakeMirror,
  key: SigningKey | null,
  { name, version, bytes }: FakeRpm = NANO,
): Promise<void> {
  const { files } = mirror;
  const file = `Packages/${name}-${version}-2.x86_64.rpm`;
  const primary = gzipSync(`<metadata packages="1"><package type="rpm"><name>${name}</name>
<arch>x86_64</arch><version epoch="0" ver="${version}" rel="2"/>
<checksum type="sha256" pkgid="YES">${sha256(bytes)}</checksum>
<size package="${bytes.length}" installed="90"/><location href="${file}"/>
</package></metadata>`);
  const repomd = Buffer.from(`<repomd><data type="primary">
<checksum type="sha256">${sha256(primary)}</checksum><location href="repodata/primary.xml.gz"/>
<size>${primary.length}</size></data></repomd>`);
  files.set(`/rpm/${file}`, bytes);
  files.set('/rpm/repodata/primary.xml.gz', primary);
  files.set('/rpm/repodata/repomd.xml', repomd);
  await signRpm(mirror, key);
}

/** Signs what lies below `/rpm/`, or takes its signature away. */
export async function signRpm({ files }: FakeMirror, key: SigningKey | null): Promise<void> {
  const signature = '/rpm/repodata/repomd.xml.asc';
  if (key === null) files.delete(signature);
  else files.set(signature, await key.detach(files.get('/rpm/repodata/repomd.xml')!));
}

/** Writes a `.repo` file for it. */
export async function writeRepoFile(
  path: string,
  { url }: FakeMirror,
  { armouredPath }: SigningKey,
): Promise<void> {
  await writeFile(path, `[own]\nname=own\nbaseurl=${url}/rpm\ngpgkey=file://${armouredPath}\n`);
}

/** A real .rpm, `NAME-VERSION-2.x86_64`, with one file and a script that runs after it was installed. */
export async function makeRpm(dir: string, name: string, post: string): Promise<FakeRpm> {
  const top = await mkdtemp(join(dir, 'rpmbuild-'));
  const spec = join(top, `${name}.spec`);
  await writeFile(
    spec,
    `Name: ${name}\nVersion: 1\nRelease: 2\nSummary: a test\nLicense: none\nAutoReqProv: no
%description\nA test.\n%install\nmkdir -p %{buildroot}/opt\necho ${name} >%{buildroot}/opt/${name}
%post\n${post}\n%files\n/opt/${name}\n`,
  );
  const args = ['-bb', '--quiet', '--target', 'x86_64', '--define', `_topdir ${top}`, spec];
  await runner.run('rpmbuild', args, { timeoutMs, env: { HOME: top } });
  const bytes = await readFile(join(top, 'RPMS/x86_64', `${name}-1-2.x86_64.rpm`));
  return { name, version: '1', bytes };
}
