import { describe, expect, test } from 'vitest';
import { assembleReport } from './assemble-report.ts';
import { bootReport } from './boot-report.ts';
import { type Average, experimentReport } from './experiment-report.ts';
import { linkFigures, linkReport } from './link-report.ts';
import { nbdReport } from './nbd-report.ts';
import { pauseReport } from './pause-report.ts';
import { renderPlot } from './plot.ts';
import { type Timed, timeReport } from './time-report.ts';

const timed = (seconds: number): Timed => ({ words: 'w', setting: '', seconds, bytes: 1000 });

test('time: VMDN is held against the best peer and the floor, and its own variant is no peer', () => {
  const methods = new Map([
    ['vmdn', timed(3)],
    ['vmdnCold', timed(4)],
    ['casync', timed(10)],
    ['zstdCopy', timed(12)],
  ]);
  const report = timeReport('base', new Map([['web', { methods, floorSeconds: 2 }]]));
  expect(report.json).toEqual({
    pairs: { web: { vmdn: 3, vmdnCold: 4, casync: 10, zstdCopy: 12, floorSeconds: 2 } },
  });
  expect(report.promised).toEqual([
    { words: 'web: 3.00 s ≤ 3.50 s (0.35 × casync)', holds: true },
    { words: 'web: 3.00 s ≤ 2.50 s (1.25 × floor)', holds: false },
  ]);
  expect(report.plot?.groups[0]?.bars).toHaveLength(5);
});

test('time: without VMDN nothing is promised', () => {
  const methods = new Map([['casync', timed(10)]]);
  const report = timeReport('base', new Map([['web', { methods, floorSeconds: undefined }]]));
  expect(report.json).toEqual({ pairs: { web: { casync: 10 } } });
  expect(report.promised).toEqual([]);
});

test('assemble: the bound holds up to 1.3 × cp', () => {
  const figures = (vmdn: number) =>
    assembleReport({ guest: 'g', nonZeroBytes: 1e9, seconds: { vmdn, cp: 1, shared: 0.5 } });
  expect(figures(1.3).promised[0]?.holds).toBe(true);
  expect(figures(1.31).promised[0]?.holds).toBe(false);
  expect(figures(1.3).json).toEqual({ vmdn: 1.3, cp: 1, shared: 0.5 });
});

test('link: the window is from the request to the last block, not to the last word', () => {
  const link = { key: 'slow', bytesPerSecond: 1000, diskBytes: 9000 };
  const samples = [
    { atMs: 0, receivedBytes: 500 },
    { atMs: 1000, receivedBytes: 1000 },
    { atMs: 6000, receivedBytes: 6000 },
    { atMs: 11_000, receivedBytes: 10_990 },
    { atMs: 20_000, receivedBytes: 11_000 },
  ];
  const segments = { sent: 200, sentAgain: 1 };
  const vmdn = linkFigures(link, samples, segments, { startMs: 1000, endMs: 12_000 });
  expect(vmdn).toMatchObject({ bytesPerSecond: 999, ofLink: 0.999, seconds: 11, sentAgain: 0.005 });
  expect(vmdn.diskBytesPerSecond).toBeCloseTo(899.1, 5);
  expect(() => linkFigures(link, [], segments, { startMs: 0, endMs: 1 })).toThrow(RangeError);
});

test('link: bare TCP stands beside VMDN, and promises nothing', () => {
  const link = { key: 'slow', bytesPerSecond: 1000, diskBytes: 9000 };
  const rest = { link, bytesPerSecond: 1, diskBytesPerSecond: 1, seconds: 1, sentAgain: 0.005 };
  const [vmdn, bareTcp] = [
    { ...rest, ofLink: 0.9 },
    { ...rest, ofLink: 0.5 },
  ];
  const report = linkReport([{ vmdn, bareTcp }]);
  expect(report.promised).toEqual([{ words: 'slow: 0.900 of the link ≥ 0.9', holds: true }]);
  expect(report.json).toMatchObject({ slow: { ofLink: 0.9, bareTcp: { ofLink: 0.5 } } });
  expect(report.table).toMatch(/^bare TCP .* 0\.500 .* 0\.50 %$/m);
  expect(report.plot?.groups[0]?.bars.map(({ isOurs }) => isOurs)).toEqual([true, false]);
});

test('nbd: both ratios are against qemu-nbd, whatever nbdkit does', () => {
  const report = nbdReport({
    sequential: { vmdn: 6e8, qemuNbd: 1e9, nbdkit: 9e9 },
    random: { vmdn: 59_000, qemuNbd: 100_000, nbdkit: 1 },
  });
  expect(report.json).toEqual({
    sequential: { vmdn: 600, qemuNbd: 1000, nbdkit: 9000, ratio: 0.6 },
    random: { vmdn: 59_000, qemuNbd: 100_000, nbdkit: 1, ratio: 0.59 },
  });
  expect(report.promised.map(({ holds }) => holds)).toEqual([true, false]);
  expect(report.table).toMatch(/^VMDN +600 MB\/s +59000$/m);
});

test('pause: the worst switch counts, above the noise of its own round', () => {
  const round = (switchMs: number, noiseMs: number) => ({
    ...{ switchMs, noiseMs, noiseMaxMs: noiseMs + 50, windows: 20 },
  });
  const report = pauseReport([round(100, 20), round(150, 49), round(90, 30)]);
  expect(report.json).toMatchObject({ aboveNoiseMs: 101 });
  expect(report.promised[0]?.holds).toBe(false);
  expect(pauseReport([round(120, 20)]).promised[0]?.holds).toBe(true);
});

test('boot: stalls are held against two seconds, the trace over the link, and a smaller VM', () => {
  const figures = {
    ...{ local: 30, lazy: 31, lazyStall: 2, complete: 35, copy: 60, rsync: 50 },
    ...{ traceOnly: 40, traceOnlyStall: 4.4, traceBytes: 20e6 },
  };
  const all = new Map([
    ['shop-01', figures],
    ['shop-01-data', { ...figures, lazyStall: 4.1 }],
  ]);
  const { promised, json } = bootReport(all, 10e6);
  expect(json).toEqual(Object.fromEntries(all));
  expect(promised.map(({ holds }) => holds)).toEqual([true, true, false, true, false]);
  expect(bootReport(all, null).promised).toHaveLength(3);
});

describe('report', () => {
  const average = (s: number, bytes: number, applianceS = 0): Average => ({
    ...{ words: 'w', s, applianceS, bytes, beforeBytes: 0 },
  });
  const missing = {
    incompressible: 1e9,
    byUse: new Map([['initrd', { blocks: 2, zstdBytes: 8000 }]] as const),
  };
  const reportOf = (name: string, exact: Average, functional: Average) => {
    const averages = new Map([
      ['copy', average(30, 300)],
      ['functional', functional],
      ['exact', exact],
    ]);
    const setting = { base: 'base', runs: 3, rate: 10e6 };
    return experimentReport(setting, new Map([[name, { averages, missing }]]));
  };

  test('the small VM is held against the time of the functional copy', () => {
    const report = reportOf('shop-01', average(50, 60), average(100, 50, 90));
    expect(report.json).toEqual({
      vms: {
        'shop-01': {
          copy: { s: 30, bytes: 300 },
          functional: { s: 100, applianceS: 90, bytes: 50 },
          exact: { s: 50, bytes: 60 },
          missing: { incompressible: 1e9, byUse: { initrd: { blocks: 2, zstdBytes: 8000 } } },
        },
      },
    });
    expect(report.promised.map(({ holds }) => holds)).toEqual([true]);
    expect(reportOf('shop-01', average(51, 60), average(100, 50)).promised[0]?.holds).toBe(false);
  });

  test('the large VM is held against the link and the bytes of the functional copy', () => {
    const held = (s: number, bytes: number): boolean[] =>
      reportOf('shop-01-data', average(s, bytes), average(900, 1000)).promised.map(
        ({ holds }) => holds,
      );
    expect(held(115, 1020)).toEqual([true, true]);
    expect(held(116, 1021)).toEqual([false, false]);
  });

  test('draws two charts for each VM, each with its own scale; time in appliances is paler', () => {
    const { plot } = reportOf('shop-01', average(50, 60e6), average(100, 50e6, 90));
    expect(plot?.title).toMatch(/average of 3, 10\.0 MB\/s$/);
    expect(plot?.groups.map(({ title }) => title)).toEqual([
      'shop-01: time (pale: in appliances, which emulation makes longer)',
      'shop-01: bytes between hypervisors',
    ]);
    const rectangles = [
      ...renderPlot(plot!).matchAll(/width="([\d.]+)" height="18" fill="(.+?)"/g),
    ];
    const [pale, ...others] = rectangles.filter(([, , fill]) => fill === '#ffffff');
    expect(others).toEqual([]);
    const bars = rectangles.flatMap(([, width, fill]) => (fill === '#ffffff' ? [] : [width]));
    expect(Number(pale![1])).toBeCloseTo(0.9 * Number(bars[1]), 0);
    expect(bars).toHaveLength(6);
    // The longest of each chart fills it.
    expect(bars[1]).toBe(bars[5]);
    expect(Number(bars[1])).toBeGreaterThan(Number(bars[0]));
  });
});
