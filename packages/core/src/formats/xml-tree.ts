/**
 * Room: formats. A small XML document as a tree: for what other tools say of one thing, a domain or a disk.
 *
 * I1: total and bounded: a document of more than DOCUMENT_CHARACTERS_MAX is `hostile_format`, and so is all
 *     that the scanner refuses (xml-scanner.ts).
 */

import { VmdnError } from '../domain/errors.ts';
import { createXmlScanner } from './xml-scanner.ts';

/** A domain with a hundred devices has some 60 KB. */
const DOCUMENT_CHARACTERS_MAX = 4 * 2 ** 20;

export interface XmlNode {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: readonly XmlNode[];
  /** All text directly in it. */
  readonly text: string;
}

interface OpenNode {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: OpenNode[];
  text: string;
}

/** The root of a document. Throws `hostile_format`. */
export function readXml(document: string): XmlNode {
  if (document.length > DOCUMENT_CHARACTERS_MAX) throw refused('it is far too long');
  const top: OpenNode = { name: '', attributes: new Map(), children: [], text: '' };
  const open = [top];
  const scanner = createXmlScanner({
    open(name, attributes) {
      const node = { name, attributes: new Map(attributes), children: [], text: '' };
      open.at(-1)!.children.push(node);
      open.push(node);
    },
    close: () => void open.pop(),
    text(more) {
      open.at(-1)!.text += more;
    },
  });
  scanner.push(Buffer.from(document));
  scanner.end();
  const [root, ...others] = top.children;
  if (root === undefined || others.length > 0) throw refused('it has not one root');
  return root;
}

/** The children of that name, in order. */
export function childrenOf(node: XmlNode | undefined, name: string): readonly XmlNode[] {
  return node?.children.filter((child) => child.name === name) ?? [];
}

/** The first element at a path of names below a node, or undefined. */
export function elementAt(node: XmlNode | undefined, ...path: readonly string[]) {
  let at = node;
  for (const name of path) at = childrenOf(at, name)[0];
  return at;
}

/** Text of the first element at a path, without blanks around it; empty when there is none. */
export function textAt(node: XmlNode | undefined, ...path: readonly string[]): string {
  return elementAt(node, ...path)?.text.trim() ?? '';
}

function refused(what: string): VmdnError {
  return new VmdnError('hostile_format', `The XML is refused: ${what}.`, { data: { what } });
}
