import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { describe, expect, test } from 'vitest';
import { identify } from '../lab/processes.ts';
import { startScript } from '../lab/script.fixture.ts';
import { type Netlab, openNetlab, sweepNetlabs, tokenBucket } from './netlab.ts';

const runner = createCommandRunner();
const node = process.execPath;
const PORT = 7000;
const isRoot = process.getuid?.() === 0;

/** Sends `bytes` to whoever connects, then closes. */
const SENDER = `
  const [address, port, bytes] = process.argv.slice(1);
  require('node:net')
    .createServer((socket) => socket.end(Buffer.alloc(Number(bytes), 1)))
    .listen(Number(port), address);`;

/** Prints how many bytes came and how long that took. */
const RECEIVER = `
  const [address, port] = process.argv.slice(1);
  const socket = require('node:net').connect(Number(port), address);
  const start = performance.now();
  let bytes = 0;
  socket.on('data', (chunk) => { bytes += chunk.length; });
  socket.on('end', () => {
    const seconds = (performance.now() - start) / 1000;
    process.stdout.write(JSON.stringify({ bytes, seconds }));
  });`;

/** Moves `bytes` from one side to the other; what the receiver saw. */
async function move(lab: Netlab, bytes: number): Promise<{ bytes: number; seconds: number }> {
  const address = lab.addresses.origin;
  const sender = lab.start('origin', node, ['-e', SENDER, address, String(PORT), String(bytes)]);
  await lab.waitForListener(sender, PORT);
  const args = ['-e', RECEIVER, address, String(PORT)];
  const { stdout } = await lab.run('edge', node, args, { timeoutMs: 20_000 });
  await sender.stop();
  return JSON.parse(stdout);
}

function labNames(): string[] {
  return execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' }).match(/vmdn-lab-\S+/g) ?? [];
}

test('a rate that is none is refused', () => {
  expect(() => tokenBucket(0)).toThrow(expect.objectContaining({ code: 'invalid_input' }));
  expect(() => tokenBucket(1e6 + 0.5)).toThrow(expect.objectContaining({ code: 'invalid_input' }));
  expect(tokenBucket(10_000_000)).toEqual([
    ...['rate', '80000000bit', 'burst', '100000', 'latency', '50ms'],
  ]);
});

test('a longer round trip has a longer queue', () => {
  expect(tokenBucket(10_000_000, 20).at(-1)).toBe('50ms');
  expect(tokenBucket(10_000_000, 100).at(-1)).toBe('100ms');
});

describe.skipIf(!isRoot)('as root, who alone may make namespaces', () => {
  test('TCP sees the delay of a cable, and the meter counts its packets', async () => {
    const delayMs = 40;
    await using lab = await openNetlab({ runner, rateBytesPerSecond: 10_000_000, delayMs });
    const payloadBytes = 2_000_000;
    const { bytes, seconds } = await move(lab, payloadBytes);
    expect(bytes).toBe(payloadBytes);
    // A round trip for the connection, and slow start: never as fast as without a delay.
    expect(seconds).toBeGreaterThan((4 * delayMs) / 1000 + payloadBytes / 10_000_000);
    expect((await lab.meter()).receivedBytes).toBeGreaterThan(payloadBytes);
  });

  test('I2: the meter counts each byte once, with the headers of frames of 1500 bytes', async () => {
    await using lab = await openNetlab({ runner, rateBytesPerSecond: 50_000_000 });
    expect((await lab.meter()).totalBytes).toBe(0);
    const payloadBytes = 20_000_000;
    expect((await move(lab, payloadBytes)).bytes).toBe(payloadBytes);
    const { receivedBytes, sentBytes, totalBytes } = await lab.meter();
    // 1448 bytes of payload in 1514 bytes of frame.
    const frames = payloadBytes / 1448;
    // On a busy machine TCP sends some frames again; they cross the cable, so the meter counts them.
    const sentFrames = frames + (await lab.segments('origin')).sentAgain;
    expect(receivedBytes / (frames * 1514)).toBeGreaterThan(0.999);
    expect(receivedBytes / (sentFrames * 1514)).toBeLessThan(1.01);
    // What goes back is acknowledgements, at most one of 94 bytes (with selective ones) for each frame.
    expect(sentBytes).toBeGreaterThan(0);
    expect(sentBytes).toBeLessThan(sentFrames * 94);
    expect(totalBytes).toBe(receivedBytes + sentBytes);
  });

  test('I2: with offload the meter counts the headers of every segment too', async () => {
    await using lab = await openNetlab({ runner, rateBytesPerSecond: 50_000_000, offload: true });
    expect((await lab.meter()).totalBytes).toBe(0);
    const payloadBytes = 20_000_000;
    expect((await move(lab, payloadBytes)).bytes).toBe(payloadBytes);
    const { receivedBytes, sentBytes } = await lab.meter();
    const frames = payloadBytes / 1448;
    const sentFrames = frames + (await lab.segments('origin')).sentAgain;
    expect(receivedBytes / (frames * 1514)).toBeGreaterThan(0.999);
    expect(receivedBytes / (sentFrames * 1514)).toBeLessThan(1.01);
    expect(sentBytes).toBeGreaterThan(0);
    expect(sentBytes).toBeLessThan(sentFrames * 94);
  });

  test('offload without a rate has no meter, and is refused', async () => {
    const opening = openNetlab({ runner, offload: true });
    await expect(opening).rejects.toMatchObject({ code: 'invalid_input' });
  });

  test('a limited cable carries no more than its rate', async () => {
    const rateBytesPerSecond = 10_000_000;
    await using lab = await openNetlab({ runner, rateBytesPerSecond });
    const { bytes, seconds } = await move(lab, 20_000_000);
    expect(bytes).toBe(20_000_000);
    const { receivedBytes } = await lab.meter();
    // The burst of 10 ms comes on top of the rate. How much less it carries says only how busy we are.
    expect(receivedBytes / seconds / rateBytesPerSecond).toBeLessThan(1.02);
  });

  test('I4: each side sends with the congestion control that the lab names', async () => {
    await using lab = await openNetlab({ runner });
    for (const side of ['origin', 'edge'] as const) {
      const { stdout } = await lab.run(side, 'ip', ['route'], { timeoutMs: 20_000 });
      expect(stdout).toContain('congctl cubic');
    }
  });

  test('the sides reach each other and nothing else', async () => {
    await using lab = await openNetlab({ runner });
    const { stdout } = await lab.run('edge', 'ip', ['route'], { timeoutMs: 20_000 });
    expect(stdout.trim().split('\n')).toEqual([
      expect.stringMatching(/^10\.231\.0\.0\/30 dev cable/),
    ]);
    const links = await lab.run('edge', 'ip', ['-br', 'link'], { timeoutMs: 20_000 });
    expect(links.stdout.trim().split('\n')).toHaveLength(2);
  });

  test('I1: leaving a lab ends children of children and removes both namespaces', async () => {
    const lab = await openNetlab({ runner });
    const script =
      'require("node:child_process").spawn("sleep", ["600"], {detached: true, stdio: "ignore"}).unref()';
    await lab.run('edge', node, ['-e', script], { timeoutMs: 20_000 });
    const mine = labNames().filter((name) => name.startsWith(`vmdn-lab-${process.pid}-`));
    expect(mine).toHaveLength(2);
    const edge = mine.find((name) => name.endsWith('-edge'))!;
    const pids = execFileSync('ip', ['netns', 'pids', edge], { encoding: 'utf8' }).trim();
    expect(pids).toMatch(/^\d+$/);
    await lab[Symbol.asyncDispose]();
    await lab[Symbol.asyncDispose]();
    expect(labNames().filter((name) => mine.includes(name))).toEqual([]);
    expect(await identify(Number(pids))).toBeUndefined();
  });

  test('I1, I3: a lab whose process was killed is swept, one whose process lives is not', async () => {
    await using lab = await openNetlab({ runner });
    const url = JSON.stringify(new URL('./netlab.ts', import.meta.url).href);
    const core = JSON.stringify(import.meta.resolve('@vmdn/core/io/command/command-runner.ts'));
    const script = `
      const { openNetlab } = await import(${url});
      const { createCommandRunner } = await import(${core});
      await openNetlab({ runner: createCommandRunner() });
      process.stdout.write('open');
      process.stdin.resume();`;
    const owner = await startScript(script);
    const ofOwner = () => labNames().filter((name) => name.startsWith(`vmdn-lab-${owner.pid}-`));
    expect(ofOwner()).toHaveLength(2);
    await sweepNetlabs(runner);
    expect(ofOwner()).toHaveLength(2);
    // From here on any other test that opens a lab may sweep, too.
    const ended = once(owner, 'exit');
    owner.kill('SIGKILL');
    await ended;
    await sweepNetlabs(runner);
    expect(ofOwner()).toEqual([]);
    expect((await lab.meter()).totalBytes).toBeGreaterThanOrEqual(0);
  });

  test('a server that ends before it listens is an error with its last words', async () => {
    await using lab = await openNetlab({ runner });
    const script = 'process.stderr.write("no such disk"); process.exitCode = 3';
    const server = lab.start('origin', node, ['-e', script]);
    await expect(lab.waitForListener(server, PORT)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('no such disk'),
    });
  });
});
