/**
 * Sources that can't be trusted or are in use: hostile disks, specifications that point outside, a VM
 * that runs, a VM that changes while a teleport reads it. None of them stops the others.
 */

import { mkdir, open, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DiskFormat } from '@vmdn/core/domain/disk-format.ts';
import { listVms, type Teleport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import { createCommandRunner, type RunningCommand } from '@vmdn/core/io/command/command-runner.ts';
import { startDiskOwner } from '@vmdn/core/io/disk-export/disk-owner.fixture.ts';
import type { DiskFile } from '@vmdn/infra/lab/disk-proof.ts';
import { runTool } from '@vmdn/infra/lab/tools.ts';
import { waitFor } from '@vmdn/infra/lab/wait-for.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { digestsOf, type Gate, startGate } from '../harness/gate.ts';
import {
  beginTeleport,
  compareDelivered,
  originSentBytes,
  removeVm,
  teleportEnd,
  teleportUntil,
  verifiedBytes,
  vmDescribed,
  vmPlanned,
} from '../harness/requests.ts';
import { ORIGIN, startTestNetwork, type TestNetwork } from '../harness/test-network.ts';
import {
  MIB,
  placeSeededVm,
  seededBytes,
  specification,
  writeSpecification,
} from '../harness/vms.ts';

const EDGE = 'edge-1';
const SECRET = 'this-is-a-secret-of-the-host';
const TOOL = { timeoutMs: 60_000 };
const CHANGING_MIB = 40;
/** More than this, and no more than the rest of one request, comes of that disk before it changes. */
const UNCHANGED_BYTES = 10 * MIB;

let gate: Gate;
let network: TestNetwork;
const disks = new Map<string, DiskFile>();
const runner = createCommandRunner();
const owners: RunningCommand[] = [];
let busyOwner: RunningCommand;

/** Tries to hold a disk, as a running VM does, until QEMU's lock lets it. */
async function holdSoon(disk: DiskFile, socket: string): Promise<RunningCommand> {
  const held = { path: disk.path, format: disk.format as DiskFormat };
  const attempt = () => startDiskOwner(runner, held, socket);
  const owner = await waitFor('the owner may write', attempt, { timeoutMs: 60_000 });
  owners.push(owner);
  return owner;
}

/** Specifications and disks of which none may ever become a VM on offer. */
async function placeHostileVms(vmsDir: string): Promise<void> {
  const secret = join(vmsDir, '..', 'secret.raw');
  await writeFile(secret, SECRET.padEnd(MIB, '.'));
  const inVms = (file: string): string => join(vmsDir, file);
  const create = (args: string[]) => runTool(['qemu-img', 'create', '-q', ...args], TOOL);
  await create(['-f', 'qcow2', '-F', 'raw', '-b', secret, '--', inVms('backing.qcow2')]);
  await create([
    '-f',
    'qcow2',
    '-o',
    `data_file=${secret}.data,data_file_raw=on`,
    '--',
    inVms('data.qcow2'),
    '1M',
  ]);
  await create(['-f', 'qcow2', '--', inVms('plain.qcow2'), '1M']);
  await create(['-f', 'qed', '--', inVms('old.qed'), '1M']);
  await writeFile(
    inVms('words.vmdk'),
    `# Disk DescriptorFile\nversion=1\nRW 2048 FLAT "${secret}" 0\n`,
  );
  await writeFile(inVms('words.qcow2'), 'no disk at all');
  await symlink(secret, inVms('linked.raw'));
  await mkdir(inVms('folder.raw'));
  const one = (file: string, format: string) => [{ file, format }];
  const specifications: Record<string, unknown> = {
    'hostile-backing': specification('hostile-backing', one('backing.qcow2', 'qcow2')),
    'hostile-data-file': specification('hostile-data-file', one('data.qcow2', 'qcow2')),
    'hostile-vmdk': specification('hostile-vmdk', one('words.vmdk', 'vmdk')),
    'hostile-raw': specification('hostile-raw', one('plain.qcow2', 'raw')),
    'hostile-outside': specification('hostile-outside', one('../secret.raw', 'raw')),
    'hostile-absolute': specification('hostile-absolute', one('/etc/passwd', 'raw')),
    'hostile-link': specification('hostile-link', one('linked.raw', 'raw')),
    'hostile-folder': specification('hostile-folder', one('folder.raw', 'raw')),
    'hostile-words': specification('hostile-words', one('words.qcow2', 'qcow2')),
    'hostile-format': specification('hostile-format', one('old.qed', 'qed')),
    'hostile-missing': specification('hostile-missing', one('nowhere.raw', 'raw')),
    'hostile-field': {
      ...specification('hostile-field', one('plain.qcow2', 'qcow2')),
      commandline: '-S',
    },
    'hostile-name': specification('../hostile-name', one('plain.qcow2', 'qcow2')),
    'hostile-json': '{"name": "hostile-json", ',
  };
  for (const [vm, content] of Object.entries(specifications))
    await writeSpecification(vmsDir, vm, content);
}

beforeAll(async () => {
  gate = await startGate([ORIGIN]);
  network = await startTestNetwork({
    edges: [{ name: EDGE, region: 'eu-west' }],
    origin: { uplinkBytesPerSecond: 6_000_000, settings: gate.settings(ORIGIN) },
    vms: async (vmsDir) => {
      await placeHostileVms(vmsDir);
      disks.set('good', await placeSeededVm(vmsDir, 'good', { dataMiB: 4 }));
      disks.set('changing', await placeSeededVm(vmsDir, 'changing', { dataMiB: CHANGING_MIB }));
      const busy = await placeSeededVm(vmsDir, 'busy', { dataMiB: 4 });
      disks.set('busy', busy);
      busyOwner = await holdSoon(busy, join(vmsDir, '..', 'busy.sock'));
    },
  });
  gate.leadTo(network);
  await vmDescribed(network, 'good');
});
afterAll(async () => {
  for (const owner of owners) await owner.stop();
  await network?.[Symbol.asyncDispose]();
  await gate?.[Symbol.asyncDispose]();
});

function diskOf(vm: string): DiskFile {
  const disk = disks.get(vm);
  if (disk === undefined) throw new Error(`${vm} has no disk`);
  return disk;
}

async function deliver(vm: string): Promise<Teleport> {
  const { teleport } = await beginTeleport(network, vm, 'dublin');
  const end = await teleportEnd(network, teleport);
  expect({ state: end.state, message: end.message }).toEqual({ state: 'running', message: null });
  expect(await compareDelivered(network, end, diskOf(vm))).toMatchObject({ isEqual: true });
  return end;
}

const HOSTILE = [
  'hostile-backing',
  'hostile-data-file',
  'hostile-vmdk',
  'hostile-raw',
  'hostile-outside',
  'hostile-absolute',
  'hostile-link',
  'hostile-folder',
  'hostile-words',
  'hostile-format',
  'hostile-missing',
  'hostile-field',
  'hostile-name',
  'hostile-json',
] as const;

describe('an origin', () => {
  it('offers the good VM and none of the hostile ones', async () => {
    const { vms } = await network.client.call(listVms, {});
    expect(vms.map(({ vm }) => vm).filter((vm) => vm.includes('hostile'))).toEqual([]);
    expect(vms.map(({ vm }) => vm)).toContain('good');
  });

  it.each(HOSTILE)('says in its log what is wrong with %s', async (vm) => {
    const complaint = async (): Promise<string | undefined> => {
      const lines = (await network.logOf(ORIGIN)).split('\n').filter((line) => line.includes(vm));
      return lines.find((line) => Number(JSON.parse(line).level) >= 40);
    };
    const line = await waitFor(`${vm} is complained about`, complaint, { timeoutMs: 60_000 });
    expect(line).not.toContain(SECRET);
    expect(JSON.parse(line).msg).toMatch(/\w{3,} \w/);
  });

  it('serves the good one all the same, and never changes it', async () => {
    const before = await readFile(diskOf('good').path);
    await removeVm(network, await deliver('good'));
    expect((await readFile(diskOf('good').path)).equals(before)).toBe(true);
  });
});

describe('a VM that runs at its origin', () => {
  it('is not on offer, and is soon after it was switched off', async () => {
    const { vms } = await network.client.call(listVms, {});
    expect(vms.map(({ vm }) => vm)).not.toContain('busy');
    await busyOwner.stop();
    await vmDescribed(network, 'busy');
    await removeVm(network, await deliver('busy'));
  });

  it('holds up a teleport, which says so and goes on when it is switched off', async () => {
    const disk = await placeSeededVm(network.vmsDir, 'sleeper', { dataMiB: 4 });
    disks.set('sleeper', disk);
    await vmDescribed(network, 'sleeper');
    await vmPlanned(network, 'sleeper', EDGE);
    const owner = await holdSoon(disk, join(network.folder, 'sleeper.sock'));
    const { teleport } = await beginTeleport(network, 'sleeper', 'dublin');
    await teleportUntil(
      network,
      teleport,
      'it waits, and says that the VM runs',
      ({ state, message }) => state === 'waiting' && /runs|in use/.test(message ?? ''),
    );
    await owner.stop();
    const end = await teleportEnd(network, teleport);
    expect(await compareDelivered(network, end, disk)).toMatchObject({ isEqual: true });
    await removeVm(network, end);
  });
});

describe('a VM that changes while a teleport reads it', () => {
  it('is delivered in its new version, never mixed, and what recurs is not fetched again', async () => {
    const vm = 'changing';
    const disk = diskOf(vm);
    await vmDescribed(network, vm);
    await vmPlanned(network, vm, EDGE);
    const before = await originSentBytes(network);
    const [digest] = await digestsOf(network, vm);
    gate.allow(digest!, UNCHANGED_BYTES + 1);
    const { teleport } = await beginTeleport(network, vm, 'dublin');
    const isHalfWay = (now: Teleport): boolean => verifiedBytes(now) > UNCHANGED_BYTES;
    const change = seededBytes('change', MIB);
    await teleportUntil(network, teleport, 'a part of the disk is there', isHalfWay);
    // Somebody writes who asks no lock: one MiB in the middle, one at the end. At once: it is one change.
    const file = await open(disk.path, 'r+');
    const places = [CHANGING_MIB / 2, CHANGING_MIB - 1];
    await Promise.all(places.map((mib) => file.write(change, 0, MIB, mib * MIB)));
    await file.close();
    expect(gate.passedBytes(digest!)).toBeLessThan(CHANGING_MIB * MIB);
    gate.open(digest!);
    const end = await teleportEnd(network, teleport);
    expect({ state: end.state, version: end.version }).toEqual({ state: 'running', version: 2 });
    expect(await compareDelivered(network, end, disk)).toMatchObject({ isEqual: true });
    // The disk, a recipe for each version, and what was under way when the first one went.
    const sent = (await originSentBytes(network)) - before;
    expect(sent).toBeLessThan((CHANGING_MIB + 8) * MIB);
    await removeVm(network, end);
  });
});
