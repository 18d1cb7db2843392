import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  compareDisks,
  guestVisibleSha256,
  virtualSizeBytes,
  wholeCopyBytes,
} from './disk-proof.ts';
import { parseManifest, proveSite } from './site-proof.ts';
import { runTool } from './tools.ts';

const OPTIONS = { timeoutMs: 60_000 };
let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vmdn-proofs-'));
});
afterAll(async () => rm(folder, { recursive: true, force: true }));

/** A raw disk with some bytes at its start and end. */
async function rawDisk(name: string, text: string, sizeBytes = 3 * 2 ** 20) {
  const path = join(folder, name);
  await writeFile(path, text);
  await truncate(path, sizeBytes);
  return { path, format: 'raw' };
}

async function asQcow2(disk: { path: string }) {
  const path = `${disk.path}.qcow2`;
  await runTool(
    ['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', '--', disk.path, path],
    OPTIONS,
  );
  return { path, format: 'qcow2' };
}

describe('the proof of a disk', () => {
  it('holds for one disk in two formats', async () => {
    const source = await rawDisk('a', 'guest bytes');
    const comparison = await compareDisks(source, await asQcow2(source));
    expect(comparison.isEqual).toBe(true);
    expect(comparison.virtualSizeBytes).toEqual({ source: 3 * 2 ** 20, delivered: 3 * 2 ** 20 });
    const expected = createHash('sha256')
      .update('guest bytes')
      .update(Buffer.alloc(3 * 2 ** 20 - 11));
    expect(comparison.sha256.source).toBe(expected.digest('hex'));
  });

  it('fails on one byte', async () => {
    const comparison = await compareDisks(
      await rawDisk('b', 'guest bytes'),
      await rawDisk('c', 'guest bytez'),
    );
    expect(comparison.isEqual).toBe(false);
    expect(comparison.compare).toContain('Content mismatch');
  });

  it('fails on a longer disk, although qemu-img compare calls it identical', async () => {
    const source = await rawDisk('d', 'x');
    const longer = await rawDisk('e', 'x', 4 * 2 ** 20);
    const comparison = await compareDisks(source, longer);
    expect(comparison.compare).toContain('identical');
    expect(comparison.isEqual).toBe(false);
  });

  it('is told what a whole copy costs, and the size that the guest sees', async () => {
    const disk = await asQcow2(await rawDisk('f', 'x'.repeat(100_000)));
    expect(await virtualSizeBytes(disk)).toBe(3 * 2 ** 20);
    const bytes = await wholeCopyBytes(disk);
    expect(bytes).toBeGreaterThan(10);
    expect(bytes).toBeLessThan(10_000);
  });

  it('fails when a tool does', async () => {
    const missing = { path: join(folder, 'nowhere'), format: 'raw' };
    await expect(guestVisibleSha256(missing)).rejects.toMatchObject({ code: 'tool_failed' });
  });
});

describe('the proof of a web site', () => {
  const pages: Record<string, string> = { '/index.html': 'home', '/a%20b/c.txt': 'spaced' };
  let server: Server;
  let baseUrl = '';

  beforeAll(async () => {
    server = createServer((request, response) => {
      const page = pages[request.url ?? ''];
      response.statusCode = page === undefined ? 404 : 200;
      response.end(page);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  });
  afterAll(() => server.close());

  async function manifest(files: Record<string, string>): Promise<string> {
    const path = join(folder, 'site.sha256');
    const line = ([name, text]: [string, string]) =>
      `${createHash('sha256').update(text).digest('hex')}  ${name}\n`;
    await writeFile(path, Object.entries(files).map(line).join(''));
    return path;
  }

  it('holds when every file is as the builder made it', async () => {
    const path = await manifest({ 'index.html': 'home', './a b/c.txt': 'spaced' });
    expect(await proveSite(baseUrl, path)).toEqual({ files: 2, bytes: 10, differences: [] });
  });

  it('names what is missing and what differs', async () => {
    const path = await manifest({ 'index.html': 'house', 'gone.txt': 'x' });
    const { differences } = await proveSite(baseUrl, path);
    expect(differences).toHaveLength(2);
    expect(differences.join()).toContain('gone.txt: status 404');
    expect(differences.join()).toContain('index.html: 4 bytes with SHA-256');
  });

  it('is not given by a site without files, or by a manifest that is none', async () => {
    await expect(proveSite(baseUrl, await manifest({}))).rejects.toThrow(/prove nothing/);
    expect(() => parseManifest('words\n')).toThrow(/no line of sha256sum/);
  });
});
