/**
 * Room: test, bench. Bytes that cross between origin and edge, both directions, to deliver a disk to an edge
 * that has the base image: by VMDN, by what people would use instead, and the floor under them all.
 *
 * I1: one meter for all methods: the edge's interface, frame headers included (netlab's I2). The floor is
 *     payload alone, which no method can reach.
 * I2: a method's figure stands only beside a verified result.
 */

import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { BenchmarkOptions, BenchmarkReport, Promised } from './benchmark.ts';
import { chosen } from './chosen.ts';
import type { Floor } from './floor.ts';
import { ensureGuests } from './guests.ts';
import { casync } from './methods/casync.ts';
import { type Cost, type Method, measure, STEP_TIMEOUT_MS, type Task } from './methods/method.ts';
import { rsyncImage } from './methods/rsync-image.ts';
import { rsyncTree } from './methods/rsync-tree.ts';
import { vmdn, vmdnPackages, vmdnPeer } from './methods/vmdn.ts';
import { zstdCopy } from './methods/zstd-copy.ts';
import { packagesTree } from './packages-tree.ts';
import type { BarGroup } from './plot.ts';
import { formatBytes, formatMegabytes, formatTable } from './table.ts';
import { openWorkbench } from './workbench.ts';

const BASE = 'debian-12-base';
const WANTED = ['web-01', 'web-02', 'shop-01'] as const;
const METHODS: readonly Method[] = [
  ...[vmdn, vmdnPackages, vmdnPeer],
  ...[zstdCopy, rsyncImage, casync, rsyncTree],
];
const OURS: ReadonlySet<string> = new Set([vmdn.key, vmdnPackages.key, vmdnPeer.key]);

/** What VMDN may cost: this much of the floor, and this much of the non-zero bytes for the recipe. */
const FLOOR_RATIO_MAX = 1.1;
const NON_ZERO_RATIO_MAX = 0.004;
/** What still crosses when a neighbour holds the disk, of its non-zero bytes. */
const PEER_RATIO_MAX = 0.005;
/** With the mirror near, what VMDN may cost of the others, for guests that are mostly packages. */
const LARGE: ReadonlySet<string> = new Set(['shop-01']);
const ZSTD_RATIO_MAX = 0.12;
const CASYNC_RATIO_MAX = 0.17;

/** Of one pair: the floors, and what each method cost with each setting, the cheapest first. */
export interface PairFigures {
  readonly floor: Floor;
  /** With the blocks of the wanted guest's packages given too; undefined when nobody asked. */
  readonly packagesFloor: Floor | undefined;
  readonly costs: ReadonlyMap<string, readonly Cost[]>;
}

export async function run(options: BenchmarkOptions): Promise<BenchmarkReport> {
  const names = chosen('pair', options.pairs, WANTED);
  const keys = chosen(
    'method',
    options.methods,
    METHODS.map((method) => method.key),
  );
  const methods = METHODS.filter((method) => keys.includes(method.key));
  await using bench = await openWorkbench(options);
  const [base, ...wanteds] = await ensureGuests([BASE, ...names], options);
  const baseDisk = await bench.disk(base!);
  const pairs = new Map<string, PairFigures>();
  for (const guest of wanteds) {
    const wanted = await bench.disk(guest);
    pairs.set(guest.name, await measurePair(methods, { base: baseDisk, wanted, bench, options }));
  }
  return report(pairs, methods);
}

/** The floor of a pair, and the cost of each method. */
export async function measurePair(methods: readonly Method[], task: Task): Promise<PairFigures> {
  const floor = await floorOf(task, []);
  const needsPackages = methods.some(({ key }) => key === vmdnPackages.key);
  const packagesFloor = needsPackages
    ? await floorOf(task, [await packagesTree(task.options, task.wanted)])
    : undefined;
  const costs = new Map<string, readonly Cost[]>();
  for (const method of methods) costs.set(method.key, await measure(method, task));
  return { floor, packagesFloor, costs };
}

/** The floor, computed by a program that shares nothing with the product. */
async function floorOf(task: Task, trees: readonly string[]): Promise<Floor> {
  const { base, wanted, options } = task;
  options.progress(
    `${wanted.name}: the floor${trees.length > 0 ? ' with its packages given' : ''}`,
  );
  const script = new URL('./floor.ts', import.meta.url).pathname;
  const args = [script, '--wanted', wanted.rawPath, '--given', base.rawPath];
  for (const tree of trees) args.push('--tree', tree);
  const { runner, signal } = options;
  const { stdout } = await runner.run(process.execPath, args, {
    timeoutMs: STEP_TIMEOUT_MS,
    signal,
  });
  const floor = JSON.parse(stdout) as Floor;
  if (floor.sha256 !== wanted.sha256) {
    throw new VmdnError('corrupt', `The floor of ${wanted.name} is of another disk.`);
  }
  return floor;
}

function boundOf({ floor, nonZero }: Floor): number {
  return Math.floor(FLOOR_RATIO_MAX * floor + NON_ZERO_RATIO_MAX * nonZero);
}

function report(
  pairs: ReadonlyMap<string, PairFigures>,
  methods: readonly Method[],
): BenchmarkReport {
  const entries = [...pairs];
  return {
    json: { pairs: Object.fromEntries(entries.map(([name, pair]) => [name, jsonOf(pair)])) },
    table: entries.map(([name, pair]) => tableOf(name, pair, methods)).join('\n\n'),
    plot: {
      title: 'Bytes between origin and edge, both directions',
      groups: entries.map(([name, pair]) => barsOf(name, pair, methods)),
    },
    promised: entries.flatMap(([name, pair]) => promisedOf(name, pair)),
  };
}

function jsonOf({ floor, packagesFloor, costs }: PairFigures): Record<string, number> {
  const bytes = [...costs].map(([key, [best]]) => [key, best!.bytes] as const);
  return {
    ...Object.fromEntries(bytes),
    floor: floor.floor,
    ...(packagesFloor === undefined ? {} : { floorPackages: packagesFloor.floor }),
    nonZero: floor.nonZero,
  };
}

function tableOf(name: string, pair: PairFigures, methods: readonly Method[]): string {
  const { floor, costs } = pair;
  const ratio = (bytes: number): string => (bytes / floor.floor).toFixed(2);
  const rows = methods.flatMap((method) => {
    const [best, ...others] = costs.get(method.key) ?? [];
    if (best === undefined) return [];
    const rowOf = (words: string, cost: Cost): string[] => {
      const setting = cost.setting === '' ? '' : ` (${cost.setting})`;
      const figures = [cost.bytes, cost.toEdgeBytes, cost.toOriginBytes].map(formatBytes);
      return [`${words}${setting}`, ...figures, ratio(cost.bytes)];
    };
    const parts = Object.entries(best.parts).map(([purpose, bytes]) => [
      `  of it ${purpose}`,
      formatBytes(bytes),
    ]);
    return [rowOf(method.words, best), ...parts, ...others.map((cost) => rowOf('  else', cost))];
  });
  const table = formatTable([
    [`${BASE} → ${name}`, 'bytes', 'to edge', 'to origin', '× floor'],
    ...rows,
    ['floor: zstd -3 of the blocks in no given disk', formatBytes(floor.floor), '', '', '1.00'],
    ...(pair.packagesFloor === undefined ? [] : [packagesFloorRow(pair.packagesFloor, ratio)]),
    ['non-zero bytes of the disk', formatBytes(floor.nonZero), '', '', ratio(floor.nonZero)],
  ]);
  const promised = promisedOf(name, pair).map(
    ({ words, holds }) => `${words}: ${holds ? 'yes' : 'NO'}`,
  );
  return [table, ...promised].join('\n');
}

function packagesFloorRow(floor: Floor, ratio: (bytes: number) => string): string[] {
  const words = 'floor with the packages’ blocks given as well';
  return [words, formatBytes(floor.floor), '', '', ratio(floor.floor)];
}

function promisedOf(name: string, { floor, packagesFloor, costs }: PairFigures): Promised[] {
  const bytesOf = (key: string): number | undefined => costs.get(key)?.[0]?.bytes;
  const promised: Promised[] = [];
  const promise = (key: string, bound: number, rule: string): void => {
    const bytes = bytesOf(key);
    if (bytes === undefined) return;
    const words = `${name}, ${key}: ${formatBytes(bytes)} ≤ ${formatBytes(bound)} (${rule})`;
    promised.push({ words, holds: bytes <= bound });
  };
  const share = `${NON_ZERO_RATIO_MAX * 100} % of non-zero`;
  promise(vmdn.key, boundOf(floor), `${FLOOR_RATIO_MAX} × floor + ${share}`);
  if (packagesFloor !== undefined) {
    const rule = `${FLOOR_RATIO_MAX} × floor with packages + ${share}`;
    promise(vmdnPackages.key, boundOf(packagesFloor), rule);
  }
  const ofNeighbour = Math.floor(PEER_RATIO_MAX * floor.nonZero);
  promise(vmdnPeer.key, ofNeighbour, `${PEER_RATIO_MAX * 100} % of non-zero`);
  if (!LARGE.has(name)) return promised;
  for (const [peer, most] of [
    [zstdCopy, ZSTD_RATIO_MAX],
    [casync, CASYNC_RATIO_MAX],
  ] as const) {
    const bytes = bytesOf(peer.key);
    if (bytes !== undefined) promise(vmdnPackages.key, most * bytes, `${most} × ${peer.key}`);
  }
  return promised;
}

function barsOf(name: string, { floor, costs }: PairFigures, methods: readonly Method[]): BarGroup {
  const bars = methods.flatMap((method) => {
    const value = costs.get(method.key)?.[0]?.bytes;
    if (value === undefined) return [];
    const isOurs = OURS.has(method.key);
    return [{ label: method.key, value, words: formatMegabytes(value), isOurs }];
  });
  const last = { label: 'floor', value: floor.floor, words: formatMegabytes(floor.floor) };
  return { title: `${BASE} → ${name}`, bars: [...bars, last] };
}
