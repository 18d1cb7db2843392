/**
 * Room: http. Entity tags, preconditions and content codings of RFC 9110 (sections 8.8.3, 12.5.3, 13.1)
 * as pure decisions.
 *
 * I1: an answer whose content is named by a digest never changes, so its tag is strong; the zstd
 *     coding of it is another representation and has another tag (section 8.8.3.3).
 */

/** Tags in one If-None-Match; a client of ours sends one or two. */
const TAGS_MAX = 32;
const TAG = /^(?:W\/)?"([\x21\x23-\x7e\x80-\xff]*)"$/;

/** Whether If-None-Match names one of `tags` (opaque parts, without quotes): then answer 304. */
export function matchesAnyTag(header: string | undefined, tags: readonly string[]): boolean {
  if (header === undefined) return false;
  if (header.trim() === '*') return true;
  return header
    .split(',', TAGS_MAX)
    .map((part) => TAG.exec(part.trim())?.[1])
    .some((tag) => tag !== undefined && tags.includes(tag));
}

/**
 * Whether a Range counts under this If-Range: there is none, or it is the strong tag of what would
 * be sent. A date never counts: a representation named by its digest has no date.
 */
export function rangeStands(ifRange: string | undefined, tag: string): boolean {
  return ifRange === undefined || ifRange.trim() === `"${tag}"`;
}

/** Whether Accept-Encoding lets us send `coding`: named (or `*`) with a weight that is not zero. */
export function acceptsCoding(header: string | undefined, coding: string): boolean {
  if (header === undefined) return false;
  let star = false;
  for (const part of header.toLowerCase().split(',', TAGS_MAX)) {
    const [name, ...parameters] = part.split(';').map((word) => word.trim());
    const weight = parameters.find((parameter) => parameter.startsWith('q='));
    const refused = weight !== undefined && !(Number(weight.slice(2)) > 0);
    if (name === coding) return !refused;
    if (name === '*') star = !refused;
  }
  return star;
}
