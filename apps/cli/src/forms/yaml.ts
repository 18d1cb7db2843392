/**
 * Room: formats. YAML as Python's tools read it: YAML 1.1, by the library `yaml`.
 *
 * I1: a string stays a string in YAML 1.1 too (`no`, `1:30`, `2001-01-01`).
 */

import { Document, Scalar } from 'yaml';

/** A document below comment lines. */
export function yamlText(headLines: readonly string[], value: unknown): string {
  const document = new Document(value, { version: '1.1', aliasDuplicateObjects: false });
  return [...headLines, document.toString({ lineWidth: 0 })].join('\n');
}

/** A string with a tag of its reader's. */
export function tagged(tag: string, text: string): Scalar<string> {
  const scalar = new Scalar(text);
  scalar.tag = tag;
  scalar.type = Scalar.QUOTE_DOUBLE;
  return scalar;
}
