/**
 * Room: formats. File names in a mirror's index, which are only as good as the mirror's key: each must
 * stay below the repository's own URL.
 *
 * I1: no scheme, no host, no `..` or empty step, no query, backslash, control or non-ASCII character, at
 *     most 1,024 characters; the same after percent-decoding.
 * I2: the URL that is made has the base's origin, and a path below the base's path.
 */

const PATH_CHARACTERS_MAX = 1024;
const PLAIN = /^[!-~]+$/;

/** Whether a file name of an index stays below its base; `./` at the front is allowed. */
export function isSafeMirrorPath(path: string): boolean {
  if (path.length > PATH_CHARACTERS_MAX || !PLAIN.test(path)) return false;
  if (/^[A-Za-z][A-Za-z0-9+.-]*:/.test(path) || /[\\?#]/.test(path)) return false;
  const decoded = path.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  const clean = PLAIN.test(decoded) && !decoded.includes('\\');
  return clean && stepsAreFine(path) && stepsAreFine(decoded);
}

function stepsAreFine(path: string): boolean {
  const steps = path.replace(/^\.\//, '').split('/');
  return steps.every((step) => step !== '' && step !== '.' && step !== '..');
}

/**
 * The URL of a file below `base` (an http or https URL that ends in `/`); undefined for a path that is
 * not safe. `deb` names are plain and quoted as apt does; `rpm` locations may hold escapes already.
 */
export function urlBelow(base: string, path: string, format: 'deb' | 'rpm'): string | undefined {
  if (!isSafeMirrorPath(path)) return undefined;
  const steps = path.replace(/^\.\//, '').split('/');
  const quoted = steps.map((step) =>
    format === 'rpm'
      ? step.replace(/%(?![0-9A-Fa-f]{2})|[^%]+/g, (part) => encodeURIComponent(part))
      : encodeURIComponent(step),
  );
  const root = new URL(base);
  const url = new URL(quoted.join('/'), root);
  const isBelow = url.origin === root.origin && url.pathname.startsWith(root.pathname);
  return isBelow && root.pathname.endsWith('/') ? url.href : undefined;
}
