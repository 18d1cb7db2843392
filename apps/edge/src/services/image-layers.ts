/**
 * Room: edge, services. The files of an image as tools take them.
 */

import type { DiskLayer } from '@vmdn/core/domain/disk-format.ts';
import type { StoredImage } from '@vmdn/core/io/ports/image-store.ts';

/** Its own file first. */
export function layersOf({ format, layers }: StoredImage): readonly DiskLayer[] {
  return layers.files.map(({ path }, depth) => ({ path, format: depth === 0 ? format : 'raw' }));
}
