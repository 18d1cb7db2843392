/**
 * Room: formats. Strings as literals of the languages that forms are written in.
 *
 * I1: a literal read back by its language is the string, whatever the string holds but control characters,
 *     which `FormGuest` has none of.
 */

/** A word of a POSIX shell (XCU 2.2.2: between single quotes every character stands for itself). */
export function shellWord(text: string): string {
  if (/^[A-Za-z0-9_.,:=@/+-]+$/.test(text)) return text;
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** A Ruby string between single quotes: only \\ and \' are escapes (Ruby, doc/syntax/literals). */
export function rubyString(text: string): string {
  return `'${text.replaceAll(/[\\']/g, '\\$&')}'`;
}

/**
 * A Puppet string between single quotes: only \\ and \' are escapes, nothing is interpolated (Puppet language
 * specification, lexical structure).
 */
export function puppetString(text: string): string {
  return `'${text.replaceAll(/[\\']/g, '\\$&')}'`;
}
