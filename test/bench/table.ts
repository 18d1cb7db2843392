/** Room: test, bench. Figures as a table of text: first column to the left, the others to the right. */

/** Aligns rows of cells; the first row is the heading. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (row: readonly string[]): string =>
    widths
      .map((width, column) => {
        const cell = row[column] ?? '';
        return column === 0 ? cell.padEnd(width) : cell.padStart(width);
      })
      .join('  ')
      .trimEnd();
  const [heading, ...body] = rows;
  if (heading === undefined) return '';
  const rule = widths.map((width) => '-'.repeat(width)).join('  ');
  return [line(heading), rule, ...body.map(line)].join('\n');
}

/** Bytes with thousands separated, as `12,345,678`. */
export function formatBytes(bytes: number): string {
  return bytes.toLocaleString('en-US');
}

/** Megabytes (10^6) with one decimal, as `12.3 MB`. */
export function formatMegabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
