/**
 * Room: coordinator, services. Seeding orders and imports: what edges should hold before anybody asks.
 *
 * I1: an order is done or failed for good; a report for a finished one changes nothing.
 */

import { type Digest, isDigest } from '@vmdn/core/domain/digest.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { type Id, type Name, parseName } from '@vmdn/core/domain/names.ts';
import type { DiskFormat } from '@vmdn/core/domain/vm-specification.ts';
import type { DeliveryValue, NodeFacts, Tables } from '../ports.ts';
import type { ClientIdentity, Context, NodeIdentity } from './context.ts';

interface SeedImage {
  readonly name: Name;
  readonly digest: Digest;
}

/** Characters of a digest that name an image nobody has named. */
const SHORT_DIGEST_CHARACTERS = 16;

async function findImage(tables: Tables, project: Id, wanted: string): Promise<SeedImage> {
  if (isDigest(wanted)) {
    const image = await tables.images.find(project, wanted);
    if (image === undefined) throw unknownImage(wanted);
    const name = await tables.images.nameOf(project, wanted);
    const spare = parseName(wanted.slice(0, SHORT_DIGEST_CHARACTERS), 'image');
    return { name: name ?? spare, digest: wanted };
  }
  const name = parseName(wanted, 'image');
  const digests = await tables.images.findByName(project, name);
  if (digests.length === 0) throw unknownImage(wanted);
  if (digests.length === 1) return { name, digest: digests[0]! };
  throw new VmdnError(
    'conflict',
    `Nodes hold ${digests.length} images named "${name}"; give a digest.`,
    {
      data: { image: name, digests },
    },
  );
}

function unknownImage(image: string): VmdnError {
  return new VmdnError(
    'not_found',
    `No node holds an image "${image}"; GET /v1/images lists what there is, POST /v1/imports brings one in.`,
    { data: { image } },
  );
}

/** The edges of these names. Throws `not_found` naming the first that is none. */
async function findEdges(
  tables: Tables,
  project: Id,
  names: readonly Name[],
): Promise<NodeFacts[]> {
  const wanted = [...new Set(names)];
  const edges = await tables.nodes.listNames(project, 'edge', wanted);
  const missing = wanted.find((name) => !edges.some((edge) => edge.name === name));
  if (missing === undefined) return edges;
  throw new VmdnError('not_found', `There is no edge "${missing}"; GET /v1/edges lists them.`, {
    data: { edge: missing },
  });
}

async function viewSeed(tables: Tables, project: Id, id: Id) {
  const seed = await tables.orders.findSeed(project, id);
  if (seed === undefined) {
    throw new VmdnError('not_found', 'There is no such seeding order.', { data: { seed: id } });
  }
  return {
    seed: seed.id,
    image: { name: seed.imageName, digest: seed.digest },
    createdAt: seed.createdAt.toISOString(),
    edges: await tables.orders.seedEdges(id),
  };
}

/** Orders an image onto edges. Throws `not_found`, `conflict`. */
export async function requestSeed(
  context: Context,
  { project }: ClientIdentity,
  wish: { readonly image: string; readonly edges: readonly Name[] },
) {
  const view = await context.store.transaction(async (tables) => {
    const image = await findImage(tables, project, wish.image);
    const edges = await findEdges(tables, project, wish.edges);
    const ids = edges.map((edge) => edge.id);
    const id = await tables.orders.addSeed(project, image, ids);
    await tables.notify(...ids.map((edge) => `edge:${edge}` as const));
    return await viewSeed(tables, project, id);
  });
  context.events('seed_requested', { seed: view.seed, image: view.image.name });
  return view;
}

/** How far a seeding order is. Throws `not_found`. */
export async function getSeed(context: Context, { project }: ClientIdentity, seed: Id) {
  return await context.store.read((tables) => viewSeed(tables, project, seed));
}

/** Takes an edge's word on its part of a seeding order. Throws `not_found`, `invalid_input`. */
export async function reportSeed(
  context: Context,
  { node }: NodeIdentity,
  seed: Id,
  report: {
    readonly state: 'syncing' | 'waiting' | 'done' | 'failed';
    readonly message?: string | undefined;
    readonly delivery?: DeliveryValue | undefined;
  },
) {
  const isNews = await context.store.transaction(async (tables) => {
    const part = await tables.orders.lockSeedEdge(seed, node.id);
    if (part === undefined) {
      throw new VmdnError('not_found', 'There is no such seeding order for this edge.');
    }
    if (report.delivery !== undefined && report.delivery.digest !== part.digest) {
      throw new VmdnError('invalid_input', 'The report speaks of another image than the order.');
    }
    if (part.state === 'done' || part.state === 'failed') return false;
    await tables.orders.putSeedEdge(seed, node.id, {
      state: report.state,
      message: report.message ?? null,
      delivery: report.delivery ?? null,
    });
    if (report.state === 'done' || report.state === 'failed')
      await tables.notify(`edge:${node.id}`);
    return report.state !== part.state;
  });
  if (isNews) context.events('seed_state', { seed, edge: node.name, state: report.state });
  return { accepted: true as const };
}

/** Orders the import of a file on an edge. Throws `not_found`. */
export async function requestImport(
  context: Context,
  { project }: ClientIdentity,
  wish: {
    readonly edge: Name;
    readonly name: Name;
    readonly file: string;
    readonly format: DiskFormat;
  },
) {
  const view = await context.store.transaction(async (tables) => {
    const [edge] = await findEdges(tables, project, [wish.edge]);
    const { name, file, format } = wish;
    const id = await tables.orders.addImport({ project, edge: edge!.id, name, file, format });
    await tables.notify(`edge:${edge!.id}`);
    return await viewImport(tables, project, id);
  });
  context.events('import_requested', { import: view.import, edge: view.edge });
  return view;
}

async function viewImport(tables: Tables, project: Id, id: Id) {
  const order = await tables.orders.findImport(project, id);
  if (order !== undefined) {
    const { id: _, ...rest } = order;
    return { import: id, ...rest };
  }
  throw new VmdnError('not_found', 'There is no such import.', { data: { import: id } });
}

/** How far an import is. Throws `not_found`. */
export async function getImport(context: Context, { project }: ClientIdentity, id: Id) {
  return await context.store.read((tables) => viewImport(tables, project, id));
}

/** Takes an edge's word on its import. Throws `not_found`, `invalid_input`. */
export async function reportImport(
  context: Context,
  { node }: NodeIdentity,
  id: Id,
  report: {
    readonly state: 'running' | 'done' | 'failed';
    readonly message?: string | undefined;
    readonly errorCode?: string | undefined;
    readonly digest?: Digest | undefined;
  },
) {
  if (report.state === 'done' && report.digest === undefined) {
    throw new VmdnError('invalid_input', 'An import that is done names the digest of its image.');
  }
  const isNews = await context.store.transaction(async (tables) => {
    const state = await tables.orders.lockImport(node.id, id);
    if (state === undefined) {
      throw new VmdnError('not_found', 'There is no such import for this edge.');
    }
    if (state === 'done' || state === 'failed') return false;
    await tables.orders.putImport(id, {
      state: report.state,
      message: report.message ?? null,
      errorCode: report.errorCode ?? null,
      digest: report.digest ?? null,
    });
    if (report.state !== 'running') await tables.notify(`edge:${node.id}`);
    return state !== report.state;
  });
  if (isNews) context.events('import_state', { import: id, edge: node.name, state: report.state });
  return { accepted: true as const };
}
