import { spawn } from 'node:child_process';
import { hash } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { createQemuImg } from '@vmdn/core/io/command/qemu-img.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { REQUESTS_IN_FLIGHT, WIRE_UNNOTED_BYTES_MAX } from './limits.ts';
import { blockOf, type DiskFile, DiskRoom, diskOf, imageOf, range } from './sync.fixture.ts';
import type { ChildEvent, ChildTask } from './sync-child.fixture.ts';

/** What the child's source hands over at once. */
const PIECE_BYTES = 16 * 4096;
/**
 * What a kill may lose is what lies in memory: eight segments, and one more in the hands of each request, are
 * below 5 % of the disk below, however late the workers get their turn.
 */
const BUFFER_BYTES = 8 * 65_536;

let room: DiskRoom;

beforeAll(async () => {
  room = await DiskRoom.open();
});

afterAll(() => room?.close());

const qemuImg = createQemuImg(createCommandRunner());
const fileHash = async (path: string): Promise<string> => hash('sha256', await readFile(path));

type Task = Omit<ChildTask, 'killAfterBlocks'>;

describe('a process that is killed', () => {
  /** Runs the child; after `killAfterBlocks` it kills itself. Resolves when it is gone. */
  async function runChild(task: Task, killAfterBlocks = 0, wrapper: readonly string[] = []) {
    const taskPath = room.path('task.json');
    const whole: ChildTask = { ...task, killAfterBlocks };
    await writeFile(taskPath, JSON.stringify(whole));
    const script = new URL('./sync-child.fixture.ts', import.meta.url).pathname;
    const [command, ...args] = [...wrapper, process.execPath, script, taskPath];
    const child = spawn(command!, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const exited = once(child, 'exit');
    let sentBlocks = 0;
    const events: (ChildEvent & { readonly sentUntilThen: number })[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      const event = JSON.parse(line) as ChildEvent;
      if (event.event === 'sent') sentBlocks += event.blocks;
      else events.push({ ...event, sentUntilThen: sentBlocks });
    }
    await exited;
    return { sentBlocks, events, last: events.at(-1), wasKilled: child.signalCode === 'SIGKILL' };
  }

  const taskFor = (wanted: DiskFile, images: readonly DiskFile[], pause: number): Task => ({
    digest: wanted.digest,
    recipePath: wanted.recipePath,
    diskPath: wanted.path,
    virtualSizeBytes: wanted.virtualSizeBytes,
    images: images.map((image) => imageOf(image)),
    stagingDir: room.path('staging'),
    bufferBytes: null,
    pauseEveryBlocks: pause,
  });

  it('goes on after kill -9 at any moment, with at most 5 % more bytes for each', async () => {
    const remote = 6000;
    const base = await room.store(diskOf(range(50_000, 1000)));
    const contents = [...range(50_000, 500), ...range(1, remote), ...range(50_500, 500)];
    const wanted = await room.store(diskOf(contents));
    const task = { ...taskFor(wanted, [base], 16), bufferBytes: BUFFER_BYTES };
    let [kills, sent] = [0, 0];
    for (const blocks of [1, 1500, 900, 1300]) {
      const { sentBlocks, wasKilled } = await runChild(task, blocks);
      sent += sentBlocks;
      if (wasKilled) kills += 1;
    }
    const { sentBlocks, last } = await runChild(task);
    expect(kills).toBe(4);
    expect(Buffer.compare(await readFile(join(task.stagingDir, 'disk.raw')), wanted.bytes)).toBe(0);
    expect(sent + sentBlocks).toBeLessThanOrEqual(remote * (1 + 0.05 * kills));
    const diskBytes = { local: 1000 * 4096, origin: remote * 4096 };
    if (last?.event !== 'done') throw new Error(JSON.stringify(last));
    expect(last.delivery.diskBytes).toMatchObject(diskBytes);
    // What was printed as sent was received, but for the piece that each lane had in hand at the kill.
    const sentBytes = (sent + sentBlocks) * 4096;
    const { origin } = last.delivery.wireBytes;
    const inHandBytes = REQUESTS_IN_FLIGHT * PIECE_BYTES;
    expect(origin).toBeLessThanOrEqual(sentBytes);
    expect(sentBytes - origin).toBeLessThanOrEqual(kills * (WIRE_UNNOTED_BYTES_MAX + inHandBytes));
  }, 600_000);

  it('goes on with what it shares, too, and ends with the disk that QEMU reads', async () => {
    const [inPlace, remote] = [1300, 94 * 16];
    const bytes = new Uint8Array(65_536);
    const bytesOf = (segment: number) => {
      bytes.set(blockOf(segment + 1));
      return segment < inPlace ? bytes : undefined;
    };
    const base = await room.storeSparse((inPlace + 200) * 65_536, bytesOf);
    const fresh = diskOf(range(1_000_000, remote));
    // Its own segments lie among the base's, and there are zeros where the base has none.
    const wanted = await room.storeSparse((inPlace + 200) * 65_536, (segment) => {
      const own = Math.floor(segment / 10);
      if (segment % 100 === 7) return undefined;
      if (segment % 10 !== 3 || own * 16 >= remote) return bytesOf(segment);
      return fresh.subarray(own * 65_536, (own + 1) * 65_536);
    });
    await symlink(dirname(base.path), join(room.dir, base.digest));
    const task = taskFor(wanted, [], 16);
    const images = [{ ...imageOf(base), canBeShared: true }];
    const sharing = { ...task, bufferBytes: BUFFER_BYTES, images };
    let [kills, sent] = [0, 0];
    for (const blocks of [1, 300, 400]) {
      const { sentBlocks, wasKilled } = await runChild(sharing, blocks);
      sent += sentBlocks;
      if (wasKilled) kills += 1;
    }
    const { sentBlocks, last } = await runChild(sharing);
    expect(kills).toBe(3);
    const path = join(task.stagingDir, 'disk.qcow2');
    const copy = { path: room.path('copy.raw'), format: 'raw' } as const;
    await qemuImg.convert({ from: { path, format: 'qcow2' }, to: copy });
    expect(await fileHash(copy.path)).toBe(await fileHash(wanted.path));
    if (last?.event !== 'done') throw new Error(JSON.stringify(last));
    const { origin } = last.delivery.diskBytes;
    expect(sent + sentBlocks).toBeLessThanOrEqual((origin / 4096) * (1 + 0.05 * kills) + 16 * 64);
    expect((await stat(path)).blocks * 512).toBeLessThan(origin * 1.2 + 8 * 65_536);
  }, 600_000);

  it('with a full disk says disk_full, keeps what it has, and ends when there is room', async () => {
    const wanted = await room.store(diskOf(range(1, 1000)));
    const task = { ...taskFor(wanted, [], 0), stagingDir: room.path('small') };
    await mkdir(task.stagingDir);
    // A file system of 2 MiB in a mount namespace of its own, which then gets larger.
    const script = `mount -t tmpfs -o size=2m,mode=700 none "$0" || exit; "$@"
      mount -o remount,size=64m none "$0"; "$@"; cmp "$0/disk.raw" "${wanted.path}" && echo '{}'`;
    const wrapper = ['unshare', '-rm', 'sh', '-c', script, task.stagingDir];
    const { events } = await runChild(task, 0, wrapper);
    expect(events).toMatchObject([{ event: 'failed', code: 'disk_full' }, { event: 'done' }, {}]);
    // Some 490 of the 1,000 blocks fit; they are not sent again.
    expect(events[1]!.sentUntilThen - events[0]!.sentUntilThen).toBeLessThan(1000 - 400);
  }, 600_000);

  it('needs no more memory for a 2 GiB disk than for a small one', async () => {
    const bytes = new Uint8Array(65_536);
    const wanted = await room.storeSparse(2 ** 31, (segment) => {
      if (segment % 64 > 2) return undefined;
      bytes.fill(segment);
      for (let block = 0; block < 16; block += 1) {
        bytes.set([segment & 255, segment >> 8, block], block * 4096);
      }
      return bytes;
    });
    const { last } = await runChild(taskFor(wanted, [], 0));
    if (last?.event !== 'done') throw new Error(JSON.stringify(last));
    expect(last.delivery.verifiedBytes).toBe(2 ** 31);
    expect(last.peakBytes).toBeLessThan(400e6);
  }, 600_000);
});
