/**
 * Room: test, bench. Figures as horizontal bars in an SVG that needs nothing else: no script, no font, no
 * style sheet.
 */

export interface Bar {
  readonly label: string;
  readonly value: number;
  /** The value in words, written behind the bar. */
  readonly words: string;
  /** The bar that the plot is about. */
  readonly isOurs?: boolean;
  /** The end of the bar that is of another kind, drawn paler; the group's title says what it is. */
  readonly paleValue?: number;
}

export interface BarGroup {
  readonly title: string;
  /** A chart of its own, with its own scale: its unit is another. */
  readonly hasOwnScale?: boolean;
  readonly bars: readonly Bar[];
}

export interface BarPlot {
  readonly title: string;
  readonly groups: readonly BarGroup[];
}

/** A plot of one group: seconds, or bytes when `format` says how to write them; ours are named. */
export function simplePlot(
  title: string,
  values: Readonly<Record<string, number>>,
  ours: readonly string[],
  format = (value: number): string => `${value.toPrecision(3)} s`,
): BarPlot {
  const bars = Object.entries(values).map(([label, value]) => {
    return { label, value, words: format(value), isOurs: ours.includes(label) };
  });
  return { title, groups: [{ title: '', bars }] };
}

const WIDTH = 760;
const LABEL_WIDTH = 190;
const WORDS_WIDTH = 110;
const BAR_HEIGHT = 18;
const ROW_HEIGHT = 24;
const TITLE_HEIGHT = 34;
const GROUP_TITLE_HEIGHT = 30;
const MARGIN = 16;
const OURS = '#1b7f5c';
const OTHERS = '#9aa7b4';
/** Over the pale end of a bar. */
const PALE = 'fill="#ffffff" fill-opacity="0.6"';

/** The plot as an SVG document. Bars share one scale, but those of charts of their own; all begin at zero. */
export function renderPlot(plot: BarPlot): string {
  const shared = plot.groups.filter(({ hasOwnScale }) => hasOwnScale !== true);
  const lines: string[] = [];
  let y = MARGIN + TITLE_HEIGHT;
  for (const group of plot.groups) {
    lines.push(text(MARGIN, y + 18, group.title, 'font-weight="bold"'));
    y += GROUP_TITLE_HEIGHT;
    const largest = largestOf(group.hasOwnScale === true ? [group] : shared);
    for (const bar of group.bars) {
      const scale = (WIDTH - 2 * MARGIN - LABEL_WIDTH - WORDS_WIDTH) / largest;
      const width = scale * bar.value;
      const x = MARGIN + LABEL_WIDTH;
      lines.push(text(x - 8, y + 13, bar.label, 'text-anchor="end"'));
      lines.push(
        `<rect x="${x}" y="${y}" width="${width.toFixed(1)}" height="${BAR_HEIGHT}" ` +
          `fill="${bar.isOurs === true ? OURS : OTHERS}"/>`,
      );
      if (bar.paleValue !== undefined) {
        const pale = scale * bar.paleValue;
        const at = `x="${(x + width - pale).toFixed(1)}" y="${y}"`;
        lines.push(`<rect ${at} width="${pale.toFixed(1)}" height="${BAR_HEIGHT}" ${PALE}/>`);
      }
      lines.push(text(x + width + 6, y + 13, bar.words, ''));
      y += ROW_HEIGHT;
    }
  }
  const height = y + MARGIN;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" ` +
      `viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="13">`,
    `<title>${escaped(plot.title)}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    text(MARGIN, MARGIN + 14, plot.title, 'font-size="16" font-weight="bold"'),
    ...lines,
    '</svg>',
    '',
  ].join('\n');
}

function largestOf(groups: readonly BarGroup[]): number {
  const values = groups.flatMap(({ bars }) => bars.map(({ value }) => value));
  return Math.max(...values, Number.MIN_VALUE);
}

function text(x: number, y: number, words: string, attributes: string): string {
  const place = `x="${x.toFixed(1)}" y="${y}"`;
  return `<text ${place}${attributes === '' ? '' : ` ${attributes}`}>${escaped(words)}</text>`;
}

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
