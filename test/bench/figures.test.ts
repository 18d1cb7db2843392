import { expect, test } from 'vitest';
import { renderPlot } from './plot.ts';
import { formatBytes, formatMegabytes, formatTable } from './table.ts';

test('a table has its words on the left and its figures on the right', () => {
  const rows = [
    ['method', 'bytes'],
    ['zstd -3', formatBytes(12_345_678)],
    ['floor', formatBytes(9)],
  ];
  expect(formatTable(rows).split('\n')).toEqual([
    'method        bytes',
    '-------  ----------',
    'zstd -3  12,345,678',
    'floor             9',
  ]);
  expect(formatTable([])).toBe('');
  expect(formatMegabytes(12_345_678)).toBe('12.3 MB');
});

test('bars share one scale that begins at zero, and words can hold any character', () => {
  const bars = [
    { label: 'a < b', value: 50, words: '50 & more' },
    { label: 'ours', value: 100, words: '100', isOurs: true },
  ];
  const svg = renderPlot({ title: 'figures', groups: [{ title: 'one', bars }] });
  const widths = [...svg.matchAll(/<rect x="\d+" y="\d+" width="([\d.]+)"/g)].map((m) =>
    Number(m[1]),
  );
  expect(widths).toHaveLength(2);
  expect(widths[1]! / widths[0]!).toBeCloseTo(2);
  expect(svg).toContain('a &lt; b');
  expect(svg).toContain('50 &amp; more');
  expect(svg.match(/<text /g)).toHaveLength(6);
});
