/**
 * Room: formats. deb822(5): paragraphs of `Field: value` lines, as in Release and .sources files.
 *
 * I1: total: any text gives paragraphs; lines that are no field and continue none are left out. Field
 *     names are compared without case, as apt does; of a repeated field the first counts.
 * I2: bounded by its input: who reads a file bounds that.
 */

/** One paragraph: values by field name in lower case, lines of a longer value joined by a line end. */
export type Deb822Paragraph = ReadonlyMap<string, string>;

const FIELD = /^([!-9;-~]+)[ \t]*:[ \t]*(.*)$/;

/** The paragraphs that have at least one field. */
export function parseDeb822(text: string): Deb822Paragraph[] {
  const paragraphs: Deb822Paragraph[] = [];
  let lines = new Map<string, string[]>();
  let current: string[] | undefined;
  const finish = (): void => {
    if (lines.size > 0) {
      paragraphs.push(new Map([...lines].map(([name, parts]) => [name, parts.join('\n')])));
    }
    lines = new Map();
    current = undefined;
  };
  for (const raw of text.split('\n')) {
    const line = raw.trimEnd();
    if (line.startsWith('#')) continue;
    if (line === '') finish();
    else if (line.startsWith(' ') || line.startsWith('\t')) current?.push(line.slice(1));
    else {
      const match = FIELD.exec(line);
      current = [match?.[2] ?? ''];
      const name = match?.[1]?.toLowerCase();
      if (name !== undefined && !lines.has(name)) lines.set(name, current);
    }
  }
  finish();
  return paragraphs;
}

/** The words of a field; none when it is not there. */
export function wordsOf(paragraph: Deb822Paragraph, field: string): string[] {
  return (paragraph.get(field) ?? '').split(/\s+/).filter((word) => word !== '');
}
