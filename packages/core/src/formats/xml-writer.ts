/**
 * Room: formats. XML 1.0 from values: elements, attributes, text.
 *
 * I1: whatever the strings hold, the text is well-formed and reads back as them; what XML 1.0 cannot hold at
 *     all (control characters, lone surrogates) stands as U+FFFD.
 */

export interface XmlElement {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string | number>>;
  readonly children: readonly (XmlElement | string)[];
}

/** An element; names are ours, never from outside. */
export function xml(
  name: string,
  attributes: XmlElement['attributes'] = {},
  ...children: XmlElement['children']
): XmlElement {
  return { name, attributes, children };
}

const ESCAPES: Readonly<Record<string, string>> = {
  ...{ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' },
  // As numbers, or a reader makes blanks of them.
  ...{ '\t': '&#9;', '\n': '&#10;', '\r': '&#13;' },
};

function escaped(text: string): string {
  return text
    .toWellFormed()
    .replaceAll(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd')
    .replaceAll(/[&<>"\t\n\r]/g, (character) => ESCAPES[character]!);
}

/** A document, two blanks for each level. */
export function xmlDocument(root: XmlElement): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n${lines(root, '').join('\n')}\n`;
}

function lines({ name, attributes, children }: XmlElement, indent: string): string[] {
  const words = Object.entries(attributes).map(
    ([key, value]) => ` ${key}="${escaped(String(value))}"`,
  );
  const head = `${indent}<${name}${words.join('')}`;
  if (children.length === 0) return [`${head}/>`];
  const [only] = children;
  if (typeof only === 'string')
    return [`${head}>${children.map((text) => escaped(String(text))).join('')}</${name}>`];
  const inner = children.flatMap((child) => lines(child as XmlElement, `${indent}  `));
  return [`${head}>`, ...inner, `${indent}</${name}>`];
}
