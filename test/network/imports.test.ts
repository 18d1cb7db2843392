/**
 * Imports that must not happen, from the `vmdn` tool to the edge's store: each ends with a code, an exit
 * code and words, and leaves nothing anywhere.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Name } from '@vmdn/core/domain/names.ts';
import {
  getImport,
  listImages,
  requestImport,
} from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { runTool } from '@vmdn/infra/lab/tools.ts';
import { waitFor } from '@vmdn/infra/lab/wait-for.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestNetwork, type TestNetwork } from '../harness/test-network.ts';
import { MIB, makeDisk } from '../harness/vms.ts';

const EDGE = 'edge-1';
const TOOL = { timeoutMs: 60_000 };
const CLI = new URL('../../apps/cli/src/main.ts', import.meta.url).pathname;

let network: TestNetwork;
/** A folder that the edge imports from, and one that it does not. */
let open: string;
let outside: string;

beforeAll(async () => {
  network = await startTestNetwork({ edges: [{ name: EDGE, region: 'eu-west' }] });
  // The edge imports from the network's own folder, and from nowhere near this one.
  open = network.folder;
  outside = await mkdtemp(join(tmpdir(), 'vmdn-outside-'));
  const create = (args: string[]) => runTool(['qemu-img', 'create', '-q', ...args], TOOL);
  const { path: secret } = await makeDisk(join(outside, 'secret.raw'), { seed: 's', dataMiB: 1 });
  const inOpen = (file: string): string => join(open, file);
  await symlink(secret, inOpen('leads-out.raw'));
  await symlink(outside, inOpen('folder-leads-out'));
  await create(['-f', 'qcow2', '-F', 'raw', '-b', secret, '--', inOpen('backing.qcow2')]);
  const data = `data_file=${outside}/data.raw,data_file_raw=on`;
  await create(['-f', 'qcow2', '-o', data, '--', inOpen('data.qcow2'), '1M']);
  await create(['-f', 'qcow2', '--', inOpen('plain.qcow2'), '1M']);
  await writeFile(inOpen('words.qcow2'), 'no disk at all'.padEnd(MIB, '.'));
  await mkdir(inOpen('folder.raw'));
});
afterAll(async () => {
  await network?.[Symbol.asyncDispose]();
  await rm(outside, { recursive: true, force: true });
});

/** Runs `vmdn image import` to its end. */
async function importByTool(file: string, format: string) {
  const options = ['--edge', EDGE, '--name', 'never', '--format', format, '--wait', '--json'];
  const args = [CLI, 'image', 'import', file, ...options, '--client-file', network.clientFilePath];
  const tool = spawn(process.execPath, args, { cwd: open, stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = once(tool, 'exit');
  const [out, words] = await Promise.all([text(tool.stdout), text(tool.stderr)]);
  const [exitCode] = await exited;
  const { error } = JSON.parse(out.trim().split('\n').at(-1) ?? '');
  return { exitCode, code: error?.code, message: String(error?.message), words };
}

/** What an import may have left: files in the making, images, an image on the list. */
async function leftovers() {
  const store = join(network.node(EDGE).stateDir, 'store');
  const { images } = await network.client.call(listImages, {});
  return {
    staging: await readdir(join(store, 'staging')),
    images: await readdir(join(store, 'images')),
    listed: images.map(({ name }) => name),
  };
}

const NOTHING = { staging: [], images: [], listed: [] };

type Row = readonly [
  what: string,
  file: () => string,
  format: string,
  code: string,
  exitCode: number,
  words: RegExp,
];

const ROWS: readonly Row[] = [
  ['of a file outside', () => join(outside, 'secret.raw'), 'raw', 'forbidden', 77, /folders/],
  ['of a file that is not there, outside', () => '/nowhere.raw', 'raw', 'forbidden', 77, /folders/],
  [
    'through dots',
    () => `${open}/../${basename(outside)}/secret.raw`,
    'raw',
    'forbidden',
    77,
    /folders/,
  ],
  ['through a link out', () => 'leads-out.raw', 'raw', 'forbidden', 77, /folders/],
  [
    'through a folder that is a link out',
    () => 'folder-leads-out/secret.raw',
    'raw',
    'forbidden',
    77,
    /folders/,
  ],
  ['of a file that is not there', () => 'nowhere.raw', 'raw', 'not_found', 66, /nowhere\.raw/],
  ['of a folder', () => 'folder.raw', 'raw', 'unsupported_format', 65, /folder\.raw/],
  [
    'of a backing file that nobody named',
    () => 'backing.qcow2',
    'qcow2',
    'hostile_format',
    65,
    /nobody named/,
  ],
  ['with a data file', () => 'data.qcow2', 'qcow2', 'hostile_format', 65, /another file/],
  ['that calls a qcow2 raw', () => 'plain.qcow2', 'raw', 'hostile_format', 65, /raw/],
  ['that calls words a qcow2', () => 'words.qcow2', 'qcow2', 'unsupported_format', 65, /qcow2/],
  ['in a format that nobody reads', () => 'plain.qcow2', 'qed', 'unsupported_format', 65, /qcow2/],
];

describe('an import that is refused', () => {
  it.each(ROWS)(
    '%s says why, and leaves nothing',
    async (_, file, format, code, exitCode, words) => {
      const result = await importByTool(file(), format);
      expect(result).toMatchObject({ exitCode, code, message: expect.stringMatching(words) });
      expect(await leftovers()).toEqual(NOTHING);
    },
  );

  it('for want of an absolute path says so, and leaves nothing', async () => {
    const body = { edge: EDGE as Name, name: 'never' as Name, file: 'plain.qcow2' };
    const order = await network.client.call(requestImport, { body: { ...body, format: 'qcow2' } });
    const over = async () => {
      const now = await network.client.call(getImport, { params: { import: order.import } });
      return now.state === 'failed' || now.state === 'done' ? now : undefined;
    };
    const result = await waitFor('the import is over', over, { timeoutMs: 60_000 });
    expect(result).toMatchObject({ state: 'failed', errorCode: 'invalid_input', digest: null });
    expect(result.message).toContain('absolute');
    expect(await leftovers()).toEqual(NOTHING);
  });
});
