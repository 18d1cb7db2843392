/**
 * Room: edge, services. A package as one word.
 */

import type { InstalledPackage } from '@vmdn/core/domain/description.ts';

/** Name, version and architecture: what tells packages of one distribution apart. */
export function packageKey({ name, version, architecture }: InstalledPackage): string {
  return `${name} ${version} ${architecture}`;
}
