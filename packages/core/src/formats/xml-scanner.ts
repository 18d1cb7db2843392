/**
 * Room: formats. The part of XML 1.0 that rpm-md files and libvirt use, piece by piece: elements,
 * attributes, text.
 *
 * I1: total and bounded: a tag, comment or run of text of more than TOKEN_CHARACTERS_MAX, more than
 *     DEPTH_MAX open elements, or tags that do not nest is `hostile_format`.
 * I2: no document type: `<!DOCTYPE` is `hostile_format`, so there are no entities but XML's own five and
 *     numbers, and nothing expands.
 * I3: an element that is still open at the end is `hostile_format`: a file that was cut short is not whole.
 */

import { VmdnError } from '../domain/errors.ts';

/** The longest text of Fedora's metadata is a description of some 50 KB. */
const TOKEN_CHARACTERS_MAX = 2 ** 20;
const DEPTH_MAX = 64;

export interface XmlHandler {
  /** Names as written, prefix included. Called for `<a/>` too, followed by close. */
  open(name: string, attributes: ReadonlyMap<string, string>): void;
  close(name: string): void;
  /** Text between two tags, entities resolved; blank text too. */
  text(text: string): void;
}

export interface XmlScanner {
  /** Bytes of UTF-8. Throws `hostile_format`, and what the handler throws. */
  push(chunk: Uint8Array): void;
  end(): void;
}

const TAG =
  /^<(\/?)([A-Za-z_][\w:.-]{0,127})((?:\s+[A-Za-z_][\w:.-]*\s*=\s*(?:"[^"]*"|'[^']*'))*)\s*(\/?)>$/;
const ATTRIBUTE = /([A-Za-z_][\w:.-]*)\s*=\s*(?:"([^"]*)"|'([^']*)')/g;
const NAMED: Readonly<Record<string, string>> = {
  amp: '&',
  apos: "'",
  gt: '>',
  lt: '<',
  quot: '"',
};

export function createXmlScanner(handler: XmlHandler): XmlScanner {
  const decoder = new TextDecoder('utf-8');
  const stack: string[] = [];
  let rest = '';
  const tag = (token: string): void => {
    const match = TAG.exec(token);
    if (match === null) throw hostile('a tag is malformed');
    const [, isClosing, name, attributes, isEmpty] = match as unknown as [
      string,
      string,
      string,
      string,
      string,
    ];
    if (isClosing !== '') {
      if (stack.pop() !== name) throw hostile('tags do not nest');
      handler.close(name);
      return;
    }
    handler.open(name, attributesOf(attributes));
    if (isEmpty !== '') handler.close(name);
    else if (stack.push(name) > DEPTH_MAX) throw hostile('elements nest too deep');
  };
  const drain = (isLast: boolean): void => {
    let at = 0;
    for (;;) {
      const opening = rest.indexOf('<', at);
      if (opening > at) {
        handler.text(unescapeXml(rest.slice(at, opening)));
        at = opening;
      }
      const end = opening < 0 ? 0 : endOfToken(rest, at);
      if (end <= 0) break;
      const token = rest.slice(at, end);
      if (token.startsWith('<![CDATA[')) handler.text(token.slice(9, -3));
      else if (!token.startsWith('<?') && !token.startsWith('<!--')) tag(token);
      at = end;
    }
    rest = rest.slice(at);
    if (rest.length > TOKEN_CHARACTERS_MAX) throw hostile('a tag or text is far too long');
    if (isLast && (rest.trim() !== '' || stack.length > 0)) throw hostile('it ends too early');
  };
  return {
    push(chunk) {
      rest += decoder.decode(chunk, { stream: true });
      drain(false);
    },
    end() {
      rest += decoder.decode();
      drain(true);
    },
  };
}

/** Where the token that begins at `start` with `<` ends; 0 when that has not come yet. */
function endOfToken(text: string, start: number): number {
  const closing = (mark: string, from: number): number => {
    const at = text.indexOf(mark, from);
    return at < 0 ? 0 : at + mark.length;
  };
  if (text[start + 1] !== '!')
    return text[start + 1] === '?' ? closing('?>', start) : tagEnd(text, start);
  const head = text.slice(start, start + 9);
  if (head.startsWith('<!--')) return closing('-->', start + 4);
  if (head === '<![CDATA[') return closing(']]>', start + 9);
  if ('<!--'.startsWith(head) || '<![CDATA['.startsWith(head)) return 0;
  throw hostile('it declares a document type');
}

/** A `>` may stand in a quoted attribute. */
function tagEnd(text: string, start: number): number {
  let at = start;
  for (;;) {
    const closing = text.indexOf('>', at);
    if (closing < 0) return 0;
    const quote = /["']/g;
    quote.lastIndex = at;
    const found = quote.exec(text);
    if (found === null || found.index > closing) return closing + 1;
    const end = text.indexOf(found[0], found.index + 1);
    if (end < 0) return 0;
    at = end + 1;
  }
}

function attributesOf(text: string): Map<string, string> {
  const attributes = new Map<string, string>();
  for (const match of text.matchAll(ATTRIBUTE)) {
    attributes.set(match[1]!, unescapeXml(match[2] ?? match[3] ?? ''));
  }
  return attributes;
}

/** Resolves entities; one that XML does not have stays as it is. */
function unescapeXml(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&(#x?)?(\w{1,8});/g, (whole, number: string | undefined, name: string) => {
    if (number === undefined) return NAMED[name] ?? whole;
    const code = Number.parseInt(name, number === '#x' ? 16 : 10);
    return code > 0 && code <= 0x10_ff_ff ? String.fromCodePoint(code) : whole;
  });
}

function hostile(what: string): VmdnError {
  return new VmdnError('hostile_format', `The XML is refused: ${what}.`, {
    data: { what },
  });
}
