/**
 * Room: test, bench. The command `pnpm bench`: runs one benchmark and prints its figures.
 *
 * I1: with `--json` the last line of standard output is one JSON object; progress goes to standard error.
 * I2: a figure is printed only when the whole benchmark came to its end.
 */

import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { describeError, VmdnError } from '@vmdn/core/domain/errors.ts';
import { createCommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { cacheDir } from '@vmdn/core/process/paths.ts';
import { bytes as parseBytes } from '@vmdn/core/process/settings.ts';
import type { BenchmarkOptions, BenchmarkReport } from './benchmark.ts';
import { renderPlot } from './plot.ts';

/** Flags that not all benchmarks understand. */
const OWN_FLAGS = ['pairs', 'methods', 'rate', 'image', 'vms', 'runs', 'full'] as const;

interface Entry {
  readonly words: string;
  /** The flags that it understands, beside those that all do. */
  readonly flags: readonly (typeof OWN_FLAGS)[number][];
  load(): Promise<{ run(options: BenchmarkOptions): Promise<BenchmarkReport> }>;
}

const BENCHMARKS: Readonly<Record<string, Entry>> = {
  bytes: {
    words: 'bytes between origin and edge: VMDN, rsync, casync, zstd, and the floor',
    flags: ['pairs', 'methods', 'rate'],
    load: () => import('./bytes.ts'),
  },
  score: {
    words: 'the best candidate of a library: recipes scanned, against rsync dry runs over the same',
    flags: [],
    load: () => import('./score.ts'),
  },
  describe: {
    words: 'recipe, digest and keysRoot of a disk against openssl and qemu-img on the same bytes',
    flags: ['image'],
    load: () => import('./describe.ts'),
  },
  recipes: {
    words: 'bytes of a recipe for an edge that has the base: plain, and as outline and rows',
    flags: [],
    load: () => import('./recipes.ts'),
  },
  share: {
    words: 'room and seconds of a disk that lies mostly in place: shared with its base, and copied',
    flags: [],
    load: () => import('./share.bench.ts'),
  },
  time: {
    words:
      'seconds from request to verified disk: VMDN, rsync, casync, zstd, nbdcopy, and the floor',
    flags: ['pairs', 'methods', 'rate'],
    load: () => import('./time.ts'),
  },
  link: {
    words: 'how much of a link is used: 1 Gbit/s, and 10 MB/s with a round trip of 100 ms',
    flags: [],
    load: () => import('./link.ts'),
  },
  memory: {
    words: 'the most memory that edge and origin take while an 11 GiB disk is delivered',
    flags: [],
    load: () => import('./memory.ts'),
  },
  assemble: {
    words: 'seconds to put a disk together from local blocks, against cp --sparse=always',
    flags: [],
    load: () => import('./assemble.bench.ts'),
  },
  nbd: {
    words: 'a complete disk read by NBD, end to end and here and there: VMDN, qemu-nbd, nbdkit',
    flags: [],
    load: () => import('./nbd.ts'),
  },
  boot: {
    words: 'seconds until the guest answers: lazy, whole, by a trace, and after a copy of the disk',
    flags: ['pairs', 'rate'],
    load: () => import('./boot.ts'),
  },
  pause: {
    words: 'the longest stall that a guest sees when its VM is switched to complete files',
    flags: ['rate'],
    load: () => import('./pause.ts'),
  },
  report: {
    words: "the 2015 report's experiment: plain copy, SMART-MIGRATE and exact, seconds and bytes",
    flags: ['vms', 'methods', 'rate', 'runs', 'full'],
    load: () => import('./experiment.ts'),
  },
};

const FLAGS = {
  json: { type: 'boolean' },
  plot: { type: 'string' },
  check: { type: 'boolean' },
  list: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  pairs: { type: 'string' },
  methods: { type: 'string' },
  rate: { type: 'string' },
  image: { type: 'string' },
  vms: { type: 'string' },
  runs: { type: 'string' },
  full: { type: 'boolean' },
} as const;

const DEFAULT_RATE = '10M';
const RUNS_MAX = 100;

const HELP = `Usage: pnpm bench NAME [flags]

  --json          the last line printed is one JSON object
  --plot FILE     writes a plot, as SVG, too
  --check         exit code 1 when a promised bound is missed
  --pairs A,B     only these guests
  --methods A,B   only these methods
  --rate BYTES    the link's bytes per second, as 10M; "none": no limit (default ${DEFAULT_RATE})
  --image FILE    measure with this disk image
  --vms A,B       only these VMs (report)
  --runs N        average of so many runs (report; default 3)
  --full          with 9 GiB of data in place of 1 (report)
  --list          the benchmarks there are
  --help          this text

Needs root (network namespaces) and the packages of: infra/setup.sh run guests bench
`;

async function main(args: readonly string[]): Promise<void> {
  const { values: flags, positionals } = parseFlags(args);
  if (flags.help === true) return print(HELP);
  if (flags.list === true) {
    for (const [name, entry] of Object.entries(BENCHMARKS))
      print(`${name.padEnd(10)} ${entry.words}\n`);
    return;
  }
  const [name] = positionals;
  const isKnown = positionals.length === 1 && Object.hasOwn(BENCHMARKS, name ?? '');
  const entry = isKnown ? BENCHMARKS[name ?? ''] : undefined;
  if (name === undefined || entry === undefined) {
    const known = Object.keys(BENCHMARKS).join(', ');
    throw new VmdnError('invalid_input', `Name one benchmark of: ${known}. See --help.`);
  }
  for (const flag of OWN_FLAGS) {
    if (flags[flag] === undefined || entry.flags.includes(flag)) continue;
    throw new VmdnError('invalid_input', `The benchmark ${name} has no --${flag}.`);
  }
  const benchmark = await entry.load();
  const report = await benchmark.run(optionsOf(flags));
  if (flags.plot !== undefined && report.plot !== undefined) {
    await writeFile(flags.plot, renderPlot(report.plot));
  }
  print(flags.json === true ? `${JSON.stringify(report.json)}\n` : `${report.table}\n`);
  if (flags.check === true && report.promised.some(({ holds }) => !holds)) process.exitCode = 1;
}

function parseFlags(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: FLAGS, allowPositionals: true });
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error);
    throw new VmdnError('invalid_input', `${words} See --help.`);
  }
}

function optionsOf(flags: ReturnType<typeof parseFlags>['values']): BenchmarkOptions {
  const names = (list: string): string[] => list.split(',').filter((name) => name !== '');
  return {
    json: flags.json === true,
    ...(flags.pairs === undefined ? {} : { pairs: names(flags.pairs) }),
    ...(flags.methods === undefined ? {} : { methods: names(flags.methods) }),
    ...(flags.image === undefined ? {} : { image: flags.image }),
    ...(flags.vms === undefined ? {} : { vms: names(flags.vms) }),
    ...(flags.runs === undefined ? {} : { runs: runsOf(flags.runs) }),
    full: flags.full === true,
    rateBytesPerSecond: rateOf(flags.rate ?? DEFAULT_RATE),
    signal: stopSignal(),
    runner: createCommandRunner({ env: { HOME: process.env.HOME ?? '/' } }),
    cacheDir: cacheDir(process.env),
    progress: (words) => process.stderr.write(`bench: ${words}\n`),
  };
}

function runsOf(raw: string): number {
  const runs = Number(raw);
  if (Number.isInteger(runs) && runs >= 1 && runs <= RUNS_MAX) return runs;
  throw new VmdnError('invalid_input', `--runs takes a number from 1 to ${RUNS_MAX}.`);
}

function rateOf(raw: string): number | null {
  if (raw === 'none') return null;
  const parsed = parseBytes().safeParse(raw);
  if (parsed.success) return parsed.data;
  throw new VmdnError('invalid_input', `--rate takes bytes per second such as 10M, or none.`);
}

/**
 * Fires at Ctrl-C and at SIGTERM. The listeners stay: were they gone after the first signal, execa's own
 * would end the process at once, and the lab and the work folder would be left.
 */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => controller.abort(new VmdnError('cancelled', `Stopped by ${name}.`)));
  }
  return controller.signal;
}

function print(words: string): void {
  process.stdout.write(words);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`bench: ${describeError(error)}\n`);
  process.exitCode = 2;
}
