/**
 * Room: infra. Two network namespaces joined by one cable, for benchmarks: `origin` (the coordinator runs
 * there too) and `edge`. What crosses the cable is metered, and its rate can be limited.
 *
 * I1: nothing outlives the lab: leaving it ends every process in its namespaces, however deep, and removes
 *     them; a lab whose process was killed is swept away when the next one opens.
 * I2: the meter counts frames as a wire would carry them. Segmentation offload is off: with it a virtual
 *     cable carries frames of 64 KiB and an interface misses 40 of each 41 headers (measured: 10.01 MB in
 *     place of 10.46 MB for 10 MB of payload). Where it is wanted, the meter is the limiter's own counter,
 *     which knows the segments of each frame and charges every one with its headers.
 * I3: names carry the process and its start time, so that labs of different processes never meet, and a
 *     process id that is used again protects no leftover.
 * I4: TCP fills the cable as it fills a real one: the lab's routes name the congestion control, whatever this
 *     machine's own is. With BBR, which paces each frame by a timer and takes a busy core for a slow link, a
 *     bare connection got 0.2 of 125 MB/s and sent 1.4 % of its frames twice; with cubic 1.0, and none.
 *
 * Needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN) and iproute2.
 */

import { readFile } from 'node:fs/promises';
import { describeError, VmdnError } from '@vmdn/core/domain/errors.ts';
import type {
  CommandResult,
  CommandRunner,
  RunningCommand,
  RunOptions,
  StartOptions,
} from '@vmdn/core/io/command/command-runner.ts';
import { identify, signalProcess } from '../lab/processes.ts';
import { waitFor } from '../lab/wait-for.ts';
import {
  type Metered,
  readInterface,
  readLimiter,
  readSegments,
  type Segments,
} from './counters.ts';
import { startDelayedCable } from './delayed-cable.ts';

export type { Metered, Segments };

export type Side = 'origin' | 'edge';

export interface NetlabOptions {
  readonly runner: CommandRunner;
  /**
   * Bytes per second, frame headers included, in each direction. Without it the cable is as fast as it gets:
   * some frames are then lost and sent again (2 % measured), which the meter counts.
   */
  readonly rateBytesPerSecond?: number | undefined;
  /**
   * How long a packet is under way, in each direction. The meter then counts packets, without the 14 bytes
   * of a frame's header.
   */
  readonly delayMs?: number | undefined;
  /**
   * Segments pass the stack 64 KiB at once, as with a network card that cuts and joins them; without it each
   * costs an interrupt, and at 125 MB/s two cores have little left for anything else (measured: 12 ms of
   * processor time for each megabyte of bare TCP, and 3 with it). Only with a rate and without a delay.
   */
  readonly offload?: boolean | undefined;
  /** When it fires, every process in the lab ends; removing the lab stays the holder's duty. */
  readonly signal?: AbortSignal | undefined;
}

export interface Netlab {
  /** IPv4 address of a side, which the other side reaches. */
  readonly addresses: Readonly<Record<Side, string>>;
  meter(): Promise<Metered>;
  segments(side: Side): Promise<Segments>;
  /** Runs a tool on a side to its end. Errors as in `CommandRunner.run`. */
  run(
    side: Side,
    tool: string,
    args: readonly string[],
    options: RunOptions,
  ): Promise<CommandResult>;
  /** Starts a tool on a side; it ends with the lab at the latest. */
  start(
    side: Side,
    tool: string,
    args: readonly string[],
    options?: Omit<StartOptions, 'lifetime'>,
  ): RunningCommand;
  /** Waits until `process`, or another on its side, listens on `port`. Throws `unavailable`, `timeout`. */
  waitForListener(command: RunningCommand, port: number, timeoutMs?: number): Promise<void>;
  /** Ends all processes and removes the namespaces. Idempotent. */
  [Symbol.asyncDispose](): Promise<void>;
}

const ADDRESSES: Readonly<Record<Side, string>> = { origin: '10.231.0.1', edge: '10.231.0.2' };
const PREFIX_LENGTH = 30;
const NETWORK = '10.231.0.0/30';
const INTERFACE = 'cable';
/** Linux's own default, and Debian's. */
const CONGESTION_CONTROL = 'cubic';
const NAME_PREFIX = 'vmdn-lab';
const SIDES: readonly Side[] = ['origin', 'edge'];

/** One call of `ip` or `tc`; they answer in milliseconds. */
const TOOL_TIMEOUT_MS = 20_000;
const LISTEN_TIMEOUT_MS = 30_000;
const POLL_MS = 20;
/** Between SIGTERM and SIGKILL for whatever is left in a namespace. */
const GRACE_MS = 5000;

/** Bytes that may pass at once: 10 ms of the rate, and never fewer than a few frames. */
const BURST_SECONDS = 0.01;
const BURST_BYTES_MIN = 16 * 1024;
/**
 * How long a frame may queue for the cable before it is dropped: a modest router's buffer. Where the round
 * trip is longer it is that: by the old rule for routers a buffer holds rate × round trip, so that a
 * connection that has lost a frame and sends half as much still fills the link.
 */
const QUEUE_MS = 50;
/** What a TUN device holds for the process that reads it: others may keep that from a core for long. */
const TUN_QUEUE_PACKETS = 5000;

let labsOpened = 0;

/**
 * Opens a lab: two fresh namespaces, counters at zero. Throws `forbidden` without the rights for it,
 * `tool_missing` without iproute2, `tool_failed`.
 */
export async function openNetlab(options: NetlabOptions): Promise<Netlab> {
  if (process.getuid?.() !== 0) {
    throw new VmdnError(
      'forbidden',
      'Network namespaces need root: run this as root, or with sudo.',
    );
  }
  const { runner, rateBytesPerSecond, delayMs, offload } = options;
  if (offload === true && (rateBytesPerSecond === undefined || delayMs !== undefined)) {
    throw new VmdnError('invalid_input', 'Offload needs a rate, and a cable without a delay.');
  }
  await sweepNetlabs(runner);
  labsOpened += 1;
  const owner = `${NAME_PREFIX}-${process.pid}-${(await identify(process.pid))?.startTicks}`;
  const names = {
    origin: `${owner}-${labsOpened}-origin`,
    edge: `${owner}-${labsOpened}-edge`,
  } as const;
  let relay: RunningCommand | undefined;
  try {
    relay = await connect(runner, names, options);
  } catch (error) {
    await Promise.allSettled(SIDES.map((side) => removeNamespace(runner, names[side])));
    throw error;
  }
  return createLab(runner, names, options, relay);
}

/** Removes what the labs of processes that are gone left behind, with the processes in there. */
export async function sweepNetlabs(runner: CommandRunner): Promise<void> {
  for (const name of await namespaces(runner)) {
    const [, pid, startTicks] = /^vmdn-lab-(\d+)-(\d+)-\d+-(?:origin|edge)$/.exec(name) ?? [];
    if (pid === undefined) continue;
    if ((await identify(Number(pid)))?.startTicks === Number(startTicks)) continue;
    // What can't be removed keeps nobody from opening a lab beside it.
    await removeNamespace(runner, name).catch(() => {});
  }
}

function createLab(
  runner: CommandRunner,
  names: Readonly<Record<Side, string>>,
  { signal, offload }: Pick<NetlabOptions, 'signal' | 'offload'>,
  relay: RunningCommand | undefined,
): Netlab {
  const started = new Set<RunningCommand>(relay === undefined ? [] : [relay]);
  let closing: Promise<void> | undefined;
  const inside = (side: Side, tool: string, args: readonly string[]): string[] => [
    ...['netns', 'exec', names[side], tool],
    ...args,
  ];
  const close = async (): Promise<void> => {
    await Promise.allSettled([...started].map((command) => command.stop()));
    const removals = SIDES.map((side) => removeNamespace(runner, names[side]));
    const failed = (await Promise.allSettled(removals)).find((one) => one.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  };
  return {
    addresses: ADDRESSES,
    meter: () => readMeter(runner, names, offload === true),
    segments: (side) => readSegments(runner, names[side]),
    run: (side, tool, args, options) =>
      runner.run('ip', inside(side, tool, args), { signal, ...options }),
    start: (side, tool, args, options = {}) => {
      const lifetime = 'with-parent';
      const command = runner.start('ip', inside(side, tool, args), {
        signal,
        ...options,
        lifetime,
      });
      started.add(command);
      const forget = (): boolean => started.delete(command);
      command.exited.then(forget, forget);
      return command;
    },
    waitForListener,
    [Symbol.asyncDispose]: () => {
      closing ??= close();
      return closing;
    },
  };
}

/** Makes both namespaces, the cable and its limits. Returns the process that is the cable, if one is. */
async function connect(
  runner: CommandRunner,
  names: Readonly<Record<Side, string>>,
  { rateBytesPerSecond, delayMs, offload }: NetlabOptions,
): Promise<RunningCommand | undefined> {
  const ip = (...args: string[]): Promise<CommandResult> =>
    runner.run('ip', args, { timeoutMs: TOOL_TIMEOUT_MS });
  for (const side of SIDES) await ip('netns', 'add', names[side]);
  let relay: RunningCommand | undefined;
  if (delayMs === undefined) {
    const peer = ['peer', 'name', INTERFACE, 'netns', names.edge];
    await ip('link', 'add', INTERFACE, 'netns', names.origin, 'type', 'veth', ...peer);
  } else {
    const namespaces = [names.origin, names.edge] as const;
    relay = startDelayedCable(runner, { namespaces, device: INTERFACE, delayMs });
    for (const side of SIDES) {
      await waitForCable(runner, names[side]);
      const queue = ['txqueuelen', String(TUN_QUEUE_PACKETS)];
      await ip('-n', names[side], 'link', 'set', 'dev', INTERFACE, ...queue);
    }
  }
  for (const side of SIDES) {
    const at = ['-n', names[side]];
    // No IPv6 address: a real link's chatter (router solicitations, group reports) is not what is measured.
    await ip(...at, 'link', 'set', 'dev', INTERFACE, 'addrgenmode', 'none');
    if (offload !== true) await ip(...at, 'link', 'set', 'dev', INTERFACE, 'gso_max_segs', '1');
    await ip(...at, 'address', 'add', `${ADDRESSES[side]}/${PREFIX_LENGTH}`, 'dev', INTERFACE);
    await ip(...at, 'link', 'set', 'dev', 'lo', 'up');
    await ip(...at, 'link', 'set', 'dev', INTERFACE, 'up');
    const route = [
      NETWORK,
      'dev',
      INTERFACE,
      'proto',
      'kernel',
      'scope',
      'link',
      'src',
      ADDRESSES[side],
    ];
    await ip(...at, 'route', 'replace', ...route, 'congctl', CONGESTION_CONTROL);
    if (rateBytesPerSecond === undefined) continue;
    const args = ['-n', names[side], 'qdisc', 'add', 'dev', INTERFACE, 'root', 'tbf'];
    await runner.run('tc', [...args, ...tokenBucket(rateBytesPerSecond, 2 * (delayMs ?? 0))], {
      timeoutMs: TOOL_TIMEOUT_MS,
    });
  }
  return relay;
}

async function waitForCable(runner: CommandRunner, namespace: string): Promise<void> {
  const isThere = async (): Promise<boolean> => {
    const args = ['-n', namespace, '-j', 'link', 'show'];
    const { stdout } = await runner.run('ip', args, { timeoutMs: TOOL_TIMEOUT_MS });
    return (JSON.parse(stdout) as { ifname: string }[]).some(({ ifname }) => ifname === INTERFACE);
  };
  const timing = { timeoutMs: TOOL_TIMEOUT_MS, intervalMs: POLL_MS };
  await waitFor(`the cable of ${namespace} is there`, isThere, timing);
}

/** The arguments of tc's token bucket filter for a rate. Throws `invalid_input` for a rate that is none. */
export function tokenBucket(rateBytesPerSecond: number, roundTripMs = 0): string[] {
  if (!Number.isSafeInteger(rateBytesPerSecond) || rateBytesPerSecond < 1000) {
    throw new VmdnError(
      'invalid_input',
      'A rate is a whole number of bytes per second, from 1000.',
      {
        data: { rateBytesPerSecond },
      },
    );
  }
  const burstBytes = Math.max(BURST_BYTES_MIN, Math.ceil(rateBytesPerSecond * BURST_SECONDS));
  const rate = ['rate', `${rateBytesPerSecond * 8}bit`];
  return [...rate, 'burst', String(burstBytes), 'latency', `${Math.max(QUEUE_MS, roundTripMs)}ms`];
}

/** I2. */
async function readMeter(
  runner: CommandRunner,
  names: Readonly<Record<Side, string>>,
  offload: boolean,
): Promise<Metered> {
  if (!offload) return readInterface(runner, names.edge, INTERFACE);
  const reading = SIDES.map((side) => readLimiter(runner, names[side], INTERFACE));
  const [receivedBytes, sentBytes] = (await Promise.all(reading)) as [number, number];
  return { receivedBytes, sentBytes, totalBytes: receivedBytes + sentBytes };
}

/** The kernel's table of TCP sockets, as the process sees it: its namespace's. */
const LISTENING = '0A';

async function waitForListener(
  command: RunningCommand,
  port: number,
  timeoutMs = LISTEN_TIMEOUT_MS,
): Promise<void> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  let lastWords: string | undefined;
  const noteEnd = async (): Promise<void> => {
    lastWords = (await command.exited).stderrTail;
  };
  noteEnd().catch((error) => {
    lastWords = describeError(error);
  });
  const listens = async (): Promise<boolean> => {
    // The process enters the namespace a moment after it starts: the host's own table must not count.
    if (!(await isInLab(command.pid))) return false;
    const table = await readFile(`/proc/${command.pid}/net/tcp`, 'latin1');
    return table.split('\n').some((line) => {
      const [, local, , state] = line.trim().split(/\s+/);
      return local?.endsWith(suffix) === true && state === LISTENING;
    });
  };
  const watch = (): void => {
    if (lastWords === undefined) return;
    throw new VmdnError('unavailable', `A server ended before it listened: ${lastWords}`);
  };
  await waitFor(`something listens on port ${port}`, listens, {
    timeoutMs,
    intervalMs: POLL_MS,
    watch,
  });
}

async function isInLab(pid: number): Promise<boolean> {
  const names = await readFile(`/proc/${pid}/net/dev`, 'latin1').catch(() => '');
  return names.includes(`${INTERFACE}:`);
}

async function namespaces(runner: CommandRunner): Promise<string[]> {
  const { stdout } = await runner.run('ip', ['netns', 'list'], { timeoutMs: TOOL_TIMEOUT_MS });
  return stdout.split('\n').flatMap((line) => line.split(' ')[0] || []);
}

/**
 * Ends the processes in a namespace and removes it. One that does not exist is removed already; somebody else
 * may remove it at the same moment, and what counts is that it is gone.
 */
async function removeNamespace(runner: CommandRunner, name: string): Promise<void> {
  const isGone = async (): Promise<boolean> => !(await namespaces(runner)).includes(name);
  const killFrom = performance.now() + GRACE_MS;
  const isEmpty = async (): Promise<boolean> => {
    if (await isGone()) return true;
    const pids = await pidsIn(runner, name);
    const signal = performance.now() > killFrom ? 'SIGKILL' : 'SIGTERM';
    for (const pid of pids) {
      const found = await identify(pid);
      if (found !== undefined) await signalProcess(found, signal);
    }
    return pids.length === 0;
  };
  const timing = { timeoutMs: 2 * GRACE_MS, intervalMs: POLL_MS };
  await waitFor(`the processes in the namespace ${name} have ended`, isEmpty, timing);
  try {
    await runner.run('ip', ['netns', 'delete', name], { timeoutMs: TOOL_TIMEOUT_MS });
  } catch (error) {
    await waitFor(`the namespace ${name} is gone`, isGone, timing).catch(() => {
      throw error;
    });
  }
}

async function pidsIn(runner: CommandRunner, name: string): Promise<number[]> {
  const { stdout } = await runner.run('ip', ['netns', 'pids', name], {
    timeoutMs: TOOL_TIMEOUT_MS,
  });
  return stdout.split('\n').filter(Boolean).map(Number);
}
