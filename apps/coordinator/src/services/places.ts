/** Room: coordinator, services. Places that have a name: the built-in ones and the edges' own regions. */

import type { Name } from '@vmdn/core/domain/names.ts';
import { findRegion, REGIONS } from '@vmdn/core/domain/regions.ts';
import type { ClientIdentity, Context } from './context.ts';

interface ListedRegion {
  readonly region: Name;
  readonly title: string;
  readonly kind: string;
  readonly latitude: number;
  readonly longitude: number;
}

/** All places that a request can name, the network's own regions first. */
export async function listRegions(
  context: Context,
  { project }: ClientIdentity,
): Promise<ListedRegion[]> {
  const nodes = await context.store.read((tables) =>
    tables.nodes.list(project, context.timing.silenceSeconds),
  );
  const own = new Map<string, ListedRegion>();
  for (const { region, latitude, longitude } of nodes) {
    if (region === null || latitude === null || longitude === null) continue;
    if (findRegion(region) !== undefined || own.has(region.toLowerCase())) continue;
    own.set(region.toLowerCase(), { region, title: region, kind: 'own', latitude, longitude });
  }
  return [...own.values(), ...REGIONS];
}
