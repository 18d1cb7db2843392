/** Room: store. Seeding orders and imports: desired state that edges work off. */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import type { DiskFormat } from '@vmdn/core/domain/vm-specification.ts';
import { sql } from 'kysely';
import type { Db } from './database.ts';
import type { ImportState } from './schema/imports.ts';
import type { SeedState } from './schema/seeds.ts';
import type { DeliveryValue } from './schema/values.ts';

export interface SeedRow {
  readonly id: Id;
  readonly imageName: Name;
  readonly digest: Digest;
  readonly createdAt: Date;
}

export interface SeedEdgeRow {
  readonly edge: Name;
  readonly state: SeedState;
  readonly message: string | null;
  readonly delivery: DeliveryValue | null;
}

/** A seed that an edge has yet to work off, with what it needs to know of the image. */
export interface OpenSeedRow {
  readonly id: Id;
  readonly name: Name;
  readonly digest: Digest;
  readonly virtualSizeBytes: number;
  readonly nonZeroBytes: number;
  readonly keysRoot: Digest;
}

export interface ImportRow {
  readonly id: Id;
  readonly edge: Name;
  readonly name: Name;
  readonly file: string;
  readonly format: DiskFormat;
  readonly state: ImportState;
  readonly message: string | null;
  readonly errorCode: string | null;
  readonly digest: Digest | null;
}

function imports(db: Db) {
  return db
    .selectFrom('imports')
    .innerJoin('nodes', 'nodes.id', 'imports.edge_id')
    .select(['imports.id', 'nodes.name as edge', 'imports.name', 'imports.file'])
    .select(['imports.format', 'imports.state', 'imports.message', 'imports.digest'])
    .select('imports.error_code as errorCode');
}

function seedParts(db: Db) {
  return {
    async addSeed(
      project: Id,
      image: { readonly name: Name; readonly digest: Digest },
      edges: readonly Id[],
    ): Promise<Id> {
      const seed = await db
        .insertInto('seeds')
        .values({ project_id: project, image_name: image.name, digest: image.digest })
        .returning('id')
        .executeTakeFirstOrThrow();
      await db
        .insertInto('seed_edges')
        .values(edges.map((edge) => ({ seed_id: seed.id, edge_id: edge })))
        .execute();
      return seed.id;
    },

    findSeed: (project: Id, id: Id): Promise<SeedRow | undefined> =>
      db
        .selectFrom('seeds')
        .select(['id', 'image_name as imageName', 'digest', 'created_at as createdAt'])
        .where('project_id', '=', project)
        .where('id', '=', id)
        .executeTakeFirst(),

    seedEdges: (seed: Id): Promise<SeedEdgeRow[]> =>
      db
        .selectFrom('seed_edges')
        .innerJoin('nodes', 'nodes.id', 'seed_edges.edge_id')
        .select(['nodes.name as edge', 'seed_edges.state', 'seed_edges.message'])
        .select('seed_edges.delivery')
        .where('seed_edges.seed_id', '=', seed)
        .orderBy('nodes.name')
        .execute(),

    openSeeds: (edge: Id): Promise<OpenSeedRow[]> =>
      db
        .selectFrom('seed_edges')
        .innerJoin('seeds', 'seeds.id', 'seed_edges.seed_id')
        .innerJoin('images', (join) =>
          join
            .onRef('images.project_id', '=', 'seeds.project_id')
            .onRef('images.digest', '=', 'seeds.digest'),
        )
        .select(['seeds.id', 'seeds.image_name as name', 'seeds.digest'])
        .select(['images.virtual_size_bytes as virtualSizeBytes', 'images.keys_root as keysRoot'])
        .select('images.non_zero_bytes as nonZeroBytes')
        .where('seed_edges.edge_id', '=', edge)
        .where('seed_edges.state', 'not in', ['done', 'failed'])
        .orderBy('seeds.created_at')
        .orderBy('seeds.id')
        .execute(),
  };
}

function seedReports(db: Db) {
  return {
    /** The state of one edge's part, locked until the transaction ends. */
    async lockSeedEdge(
      seed: Id,
      edge: Id,
    ): Promise<{ readonly state: SeedState; readonly digest: Digest } | undefined> {
      return await db
        .selectFrom('seed_edges')
        .innerJoin('seeds', 'seeds.id', 'seed_edges.seed_id')
        .select(['seed_edges.state', 'seeds.digest'])
        .where('seed_edges.seed_id', '=', seed)
        .where('seed_edges.edge_id', '=', edge)
        .forUpdate('seed_edges')
        .executeTakeFirst();
    },

    async putSeedEdge(
      seed: Id,
      edge: Id,
      report: {
        readonly state: SeedState;
        readonly message: string | null;
        readonly delivery: DeliveryValue | null;
      },
    ): Promise<void> {
      const delivery = report.delivery === null ? null : JSON.stringify(report.delivery);
      await db
        .updateTable('seed_edges')
        .set({ state: report.state, message: report.message, updated_at: sql<Date>`now()` })
        .$if(delivery !== null, (query) => query.set({ delivery }))
        .where('seed_id', '=', seed)
        .where('edge_id', '=', edge)
        .execute();
    },
  };
}

function importParts(db: Db) {
  return {
    async addImport(order: {
      readonly project: Id;
      readonly edge: Id;
      readonly name: Name;
      readonly file: string;
      readonly format: DiskFormat;
    }): Promise<Id> {
      const row = await db
        .insertInto('imports')
        .values({
          project_id: order.project,
          edge_id: order.edge,
          name: order.name,
          file: order.file,
          format: order.format,
        })
        .returning('id')
        .executeTakeFirstOrThrow();
      return row.id;
    },

    findImport: (project: Id, id: Id): Promise<ImportRow | undefined> =>
      imports(db)
        .where('imports.project_id', '=', project)
        .where('imports.id', '=', id)
        .executeTakeFirst(),

    openImports: (edge: Id): Promise<ImportRow[]> =>
      imports(db)
        .where('imports.edge_id', '=', edge)
        .where('imports.state', 'in', ['pending', 'running'])
        .orderBy('imports.created_at')
        .orderBy('imports.id')
        .execute(),

    /** The state of an edge's import, locked until the transaction ends. */
    async lockImport(edge: Id, id: Id): Promise<ImportState | undefined> {
      const row = await db
        .selectFrom('imports')
        .select('state')
        .where('edge_id', '=', edge)
        .where('id', '=', id)
        .forUpdate()
        .executeTakeFirst();
      return row?.state;
    },

    async putImport(
      id: Id,
      report: {
        readonly state: ImportState;
        readonly message: string | null;
        readonly errorCode: string | null;
        readonly digest: Digest | null;
      },
    ): Promise<void> {
      const { errorCode, ...columns } = report;
      await db
        .updateTable('imports')
        .set({ ...columns, error_code: errorCode, updated_at: sql<Date>`now()` })
        .where('id', '=', id)
        .execute();
    },
  };
}

/** Orders over a connection or a transaction. */
export function orderStore(db: Db) {
  return { ...seedParts(db), ...seedReports(db), ...importParts(db) };
}
