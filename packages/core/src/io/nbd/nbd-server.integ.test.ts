import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BASE_FILE, OWN_FILE, ZERO_FILE } from '../../domain/layers.ts';
import { SEGMENT_BYTES } from '../../domain/units.ts';
import * as nbd from '../../formats/nbd.ts';
import { seededBytes } from '../../formats/recipe.fixture.ts';
import { createCommandRunner } from '../command/command-runner.ts';
import { openImageDisk } from '../files/image-disk.ts';
import type { ClosableDisk } from '../ports/exported-disk.ts';
import { RawClient } from './nbd-server.fixture.ts';
import { type NbdServer, type NbdTls, serveNbd } from './nbd-server.ts';

const runner = createCommandRunner();
const timeoutMs = 60_000;
const S = SEGMENT_BYTES;
/** 40 MiB: longer than one request may be, so that every client asks more than once. */
const SEGMENTS = 640;
/** Longer than any test: who is cut off sooner is cut off for what was said. */
const HANDSHAKE_MS = 600_000;
const sizeBytes = SEGMENTS * S - 512;
const content = new Uint8Array(sizeBytes);
const errors: unknown[] = [];
let directory: string;
let rawPath: string;
let disk: ClosableDisk;
let server: NbdServer;
let url: string;

const exports_ = {
  find: (name: string) => (name === 'web/disk 0' ? disk : undefined),
  names: () => ['web/disk 0'],
};
const onReadError = (_: string, error: unknown): void => void errors.push(error);

/** Two of three segments have data, in two files; the rest is zero. */
function fileOfSegment(segment: number): number {
  if (segment % 40 >= 30) return ZERO_FILE;
  return segment % 80 < 40 ? OWN_FILE : BASE_FILE;
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'vmdn-nbd-'));
  const own = seededBytes('own', sizeBytes);
  const base = seededBytes('base', sizeBytes);
  const column = new Uint8Array(SEGMENTS);
  for (let segment = 0; segment < SEGMENTS; segment += 1) {
    const file = fileOfSegment(segment);
    column[segment] = file;
    const [from, to] = [segment * S, (segment + 1) * S];
    if (file === OWN_FILE) content.set(own.subarray(from, to), from);
    if (file === BASE_FILE) content.set(base.subarray(from, to), from);
  }
  rawPath = join(directory, 'expected.raw');
  await writeFile(rawPath, content);
  await writeFile(join(directory, 'own'), own);
  await writeFile(join(directory, 'base'), base);
  const files = ['own', 'base'].map((name) => ({ path: join(directory, name), offsetBytes: 0 }));
  disk = await openImageDisk({ files, fileOfSegment: column }, sizeBytes);
  const socketPath = join(directory, 'served', 'nbd.sock');
  server = await serveNbd({ place: { socketPath }, exports: exports_, onReadError });
  url = `nbd+unix:///web/disk%200?socket=${socketPath}`;
});

afterAll(async () => {
  await server.close();
  await disk.close();
  await rm(directory, { recursive: true });
  expect(errors).toEqual([]);
});

const run = async (tool: string, ...args: string[]): Promise<string> =>
  (await runner.run(tool, args, { timeoutMs })).stdout;

const sha256 = async (path: string): Promise<string> =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex');

interface Extent {
  readonly offset: number;
  readonly length: number;
  readonly type: number;
}

describe('tools that are not ours', () => {
  test('nbdinfo finds the export, what it can, and its sizes', async () => {
    const listed = JSON.parse(await run('nbdinfo', '--list', '--json', '--', url));
    expect(listed.exports).toMatchObject([
      {
        'export-name': 'web/disk 0',
        'export-size': sizeBytes,
        contexts: ['base:allocation'],
        is_read_only: true,
        can_df: true,
        can_cache: true,
        can_flush: true,
        can_multi_conn: true,
        can_trim: false,
        can_zero: false,
        block_size_minimum: 1,
        block_size_preferred: S,
        block_size_maximum: 32 * 2 ** 20,
      },
    ]);
    expect(listed).toMatchObject({ protocol: 'newstyle-fixed', structured: true, TLS: false });
  });

  test('nbdinfo --map shows the zeros', async () => {
    const map = JSON.parse(await run('nbdinfo', '--map', '--json', '--', url)) as Extent[];
    expect(map.slice(0, 2)).toMatchObject([
      { offset: 0, length: 30 * S, type: 0 },
      { offset: 30 * S, length: 10 * S, type: 3 },
    ]);
    expect(map).toHaveLength(32);
    expect(map.reduce((sum, { length }) => sum + length, 0)).toBe(sizeBytes);
  });

  test('nbdcopy, over several connections, copies the disk', async () => {
    const copy = join(directory, 'copy.raw');
    await run('nbdcopy', '--connections=4', '--', url, copy);
    expect(await sha256(copy)).toBe(await sha256(rawPath));
    // Every read by itself, as long as can be, without a look at the map.
    await run('nbdcopy', '--no-extents', '--request-size=33554432', '--', url, copy);
    expect(await sha256(copy)).toBe(await sha256(rawPath));
    await run('nbdcopy', '--request-size=4096', '--', url, copy);
    expect(await sha256(copy)).toBe(await sha256(rawPath));
  });

  test('qemu-img compares, converts and maps it', async () => {
    const options = ['-f', 'raw', '-F', 'raw'];
    expect(await run('qemu-img', 'compare', ...options, '--', rawPath, url)).toMatch(/identical/);
    const copy = join(directory, 'converted.raw');
    await run('qemu-img', 'convert', '-f', 'raw', '-O', 'raw', '-m', '8', '-W', '--', url, copy);
    expect(await sha256(copy)).toBe(await sha256(rawPath));
    const map = JSON.parse(await run('qemu-img', 'map', '--output=json', '-f', 'raw', '--', url));
    expect(map[1]).toMatchObject({ start: 30 * S, length: 10 * S, zero: true, data: false });
  });

  test('qemu-io reads at odd places and cannot write', async () => {
    const odd = sizeBytes - 70_001;
    const from = join(directory, 'odd');
    await writeFile(from, content.subarray(odd, odd + 70_001));
    const seen = await run('qemu-io', '-r', '-f', 'raw', '-c', `read -v ${odd} 32`, '--', url);
    const hex = Buffer.from(content.subarray(odd, odd + 16)).toString('hex');
    expect(seen.replaceAll(' ', '')).toContain(hex);
    const write = run('qemu-io', '-f', 'raw', '-c', 'write 0 512', '--', url);
    await expect(write).rejects.toMatchObject({ code: 'tool_failed' });
  });
});

describe('over the network, TLS', () => {
  let tls: NbdTls;
  let network: NbdServer;
  let certificates: string;

  beforeAll(async () => {
    certificates = join(directory, 'pki');
    await mkdir(certificates);
    await makeAuthority('ca');
    await makeCertificate('server', 'ca');
    await makeCertificate('client', 'ca');
    const pem = (name: string): Promise<string> => readFile(join(certificates, name), 'utf8');
    tls = {
      key: await pem('server-key.pem'),
      cert: await pem('server-cert.pem'),
      ca: await pem('ca-cert.pem'),
    };
    network = await serveTls(HANDSHAKE_MS);
  });

  afterAll(() => network.close());

  const serveTls = (handshakeMs: number): Promise<NbdServer> => {
    const place = { host: '127.0.0.1', port: 0, tls };
    return serveNbd({ place, exports: exports_, onReadError, handshakeMs });
  };

  const at = (name: string): string => join(certificates, name);
  const openssl = (...args: string[]): Promise<string> => run('openssl', ...args);
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

  async function makeAuthority(name: string): Promise<void> {
    const out = ['-keyout', at(`${name}-key.pem`), '-out', at(`${name}-cert.pem`)];
    const subject = ['-days', '2', '-subj', `/CN=${name}`];
    await openssl('req', '-x509', ...newKey, ...out, ...subject);
  }

  async function makeCertificate(name: string, authority: string): Promise<void> {
    const [request, cert] = [at(`${name}.csr`), at(`${name}-cert.pem`)];
    const names = ['-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'];
    const subject = ['-subj', `/CN=${name}`, ...names];
    await openssl(
      'req',
      '-new',
      ...newKey,
      '-keyout',
      at(`${name}-key.pem`),
      ...subject,
      '-out',
      request,
    );
    const signer = ['-CA', at(`${authority}-cert.pem`), '-CAkey', at(`${authority}-key.pem`)];
    const out = ['-days', '2', '-copy_extensions', 'copy', '-out', cert];
    await openssl('x509', '-req', '-in', request, ...signer, ...out);
  }

  const secureUrl = (): string =>
    `nbds://localhost:${network.port}/web/disk%200?tls-certificates=${certificates}`;

  test('nbdinfo and nbdcopy speak it', async () => {
    const found = JSON.parse(await run('nbdinfo', '--json', '--', secureUrl()));
    expect(found).toMatchObject({ TLS: true, structured: true });
    const copy = join(directory, 'secure.raw');
    await run('nbdcopy', '--connections=2', '--', secureUrl(), copy);
    expect(await sha256(copy)).toBe(await sha256(rawPath));
  });

  test('qemu-img speaks it', async () => {
    const object = `tls-creds-x509,id=t,endpoint=client,dir=${certificates}`;
    const image = [
      'driver=raw,file.driver=nbd,file.server.type=inet,file.server.host=localhost',
      `file.server.port=${network.port},file.export=web/disk 0,file.tls-creds=t`,
    ].join(',');
    const args = ['--object', object, '--image-opts', '--output=json', '--', image];
    expect(JSON.parse(await run('qemu-img', 'info', ...args))['virtual-size']).toBe(sizeBytes);
  });

  test('I2: without TLS, or without a certificate of worth, there is nothing', async () => {
    const plain = run('nbdinfo', '--', `nbd://localhost:${network.port}/web/disk%200`);
    await expect(plain).rejects.toMatchObject({ code: 'tool_failed' });
    await makeAuthority('other');
    await makeCertificate('client', 'other');
    await expect(run('nbdinfo', '--', secureUrl())).rejects.toMatchObject({ code: 'tool_failed' });
    await makeCertificate('client', 'ca');
    await run('nbdinfo', '--', secureUrl());
  });

  const greeted = async (at: NbdServer = network): Promise<RawClient> => {
    const client = new RawClient({ host: '127.0.0.1', port: at.port });
    await client.greet();
    return client;
  };

  test('I2: in the clear only STARTTLS and ABORT are granted', async () => {
    const client = await greeted();
    for (const option of [3, 6, 7, 8, 9, 10, 99]) {
      expect(await client.answerTo(option)).toEqual([nbd.REP_ERR_TLS_REQD]);
    }
    client.send(nbd.encodeOption(nbd.OPT_EXPORT_NAME, Buffer.from('web/disk 0')));
    expect(await client.read(1)).toHaveLength(0);
    await client.closed;
  });

  test('I2: what is said after STARTTLS in the clear ends the connection', async () => {
    await expect.poll(() => network.connections).toBe(0);
    const client = await greeted();
    const more = nbd.encodeOption(nbd.OPT_STRUCTURED_REPLY);
    client.send(nbd.encodeOption(nbd.OPT_STARTTLS), more);
    expect((await client.optionReply()).type).toBe(nbd.REP_ACK);
    await client.closed;
    await expect.poll(() => network.connections).toBe(0);
  });

  test('nonsense instead of TLS ends the connection', async () => {
    const client = await greeted();
    await client.answerTo(nbd.OPT_STARTTLS);
    client.send(Buffer.alloc(100, 7));
    await client.closed;
    await expect.poll(() => network.connections).toBe(0);
  });

  test('silence instead of TLS ends the connection when the time for the handshake is up', async () => {
    const impatient = await serveTls(2000);
    try {
      const client = await greeted(impatient);
      await client.answerTo(nbd.OPT_STARTTLS);
      await client.closed;
      await expect.poll(() => impatient.connections).toBe(0);
    } finally {
      await impatient.close();
    }
  });

  test('a second STARTTLS inside TLS is wrong', async () => {
    const client = await greeted();
    await client.answerTo(nbd.OPT_STARTTLS);
    client.socket.removeAllListeners('data');
    const [key, cert, ca] = await Promise.all(
      ['client-key.pem', 'client-cert.pem', 'ca-cert.pem'].map((name) => readFile(at(name))),
    );
    const secure = connectTls({ socket: client.socket, key: key!, cert: cert!, ca: ca! });
    const answer = new Promise<Buffer>((resolve) => secure.once('data', resolve));
    secure.write(nbd.encodeOption(nbd.OPT_STARTTLS));
    expect(nbd.parseOptionReply(await answer).type).toBe(nbd.REP_ERR_INVALID);
    secure.destroy();
  });
});
