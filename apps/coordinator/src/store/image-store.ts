/** Room: store. Images and who holds them. */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import { sql } from 'kysely';
import type { Db } from './database.ts';
import { holderStore } from './holder-store.ts';

export interface HeldImage {
  readonly digest: Digest;
  readonly keysRoot: Digest;
  readonly name: Name | null;
  readonly kind: 'base' | 'snapshot' | 'package';
  readonly virtualSizeBytes: number;
  readonly nonZeroBytes: number;
  readonly allocatedBytes: number;
}

export interface ImageFacts {
  readonly digest: Digest;
  readonly keysRoot: Digest;
  readonly virtualSizeBytes: number;
  readonly nonZeroBytes: number;
}

export interface ListedImage {
  readonly digest: Digest;
  readonly name: Name | null;
  readonly kind: 'base' | 'snapshot' | 'package';
  readonly virtualSizeBytes: number;
  readonly nonZeroBytes: number;
  readonly holders: readonly { readonly node: Name; readonly allocatedBytes: number }[];
}

const IMAGE_FACTS = [
  'digest',
  'keys_root as keysRoot',
  'virtual_size_bytes as virtualSizeBytes',
  'non_zero_bytes as nonZeroBytes',
] as const;

/** One parameter for any number of images: PostgreSQL takes no more than 65,535. */
function rowsOf(images: readonly HeldImage[]) {
  return sql`jsonb_to_recordset(${JSON.stringify(images)}::jsonb) as image(
    "digest" text, "keysRoot" text, "name" text, "kind" text,
    "virtualSizeBytes" bigint, "nonZeroBytes" bigint, "allocatedBytes" bigint)`;
}

function imageReads(db: Db) {
  return {
    find: (project: Id, digest: Digest): Promise<ImageFacts | undefined> =>
      db
        .selectFrom('images')
        .select(IMAGE_FACTS)
        .where('project_id', '=', project)
        .where('digest', '=', digest)
        .executeTakeFirst(),

    /** Digests of the images that some node holds under this name. */
    async findByName(project: Id, name: Name): Promise<Digest[]> {
      const rows = await db
        .selectFrom('holdings')
        .select('digest')
        .distinct()
        .where('project_id', '=', project)
        .where('name', '=', name)
        .orderBy('digest')
        .execute();
      return rows.map((row) => row.digest);
    },

    /** The name under which an image is held, if any. */
    async nameOf(project: Id, digest: Digest): Promise<Name | null> {
      const row = await db
        .selectFrom('holdings')
        .select('name')
        .where('project_id', '=', project)
        .where('digest', '=', digest)
        .where('name', 'is not', null)
        .orderBy('name')
        .executeTakeFirst();
      return row?.name ?? null;
    },
  };
}

function imageWrites(db: Db) {
  return {
    /** Sets what a node holds; true when it differs from what was known. */
    async replaceHoldings(node: Id, project: Id, images: readonly HeldImage[]): Promise<boolean> {
      const rows = rowsOf(images);
      // Facts of an image are its first reporter's: the digest binds the size, and a later
      // reporter must not change what others were told.
      await sql`insert into images (project_id, digest, keys_root, virtual_size_bytes, non_zero_bytes)
        select distinct on (digest) ${project}::uuid, digest, "keysRoot", "virtualSizeBytes", "nonZeroBytes"
        from ${rows} order by digest on conflict do nothing`.execute(db);
      const gone = await sql`delete from holdings where node_id = ${node}
        and digest not in (select digest from ${rows})`.execute(db);
      const put =
        await sql`insert into holdings (node_id, project_id, digest, name, kind, allocated_bytes)
        select distinct on (digest) ${node}::uuid, ${project}::uuid, digest, name, kind, "allocatedBytes"
        from ${rows} order by digest
        on conflict (node_id, digest) do update
        set name = excluded.name, kind = excluded.kind, allocated_bytes = excluded.allocated_bytes
        where (holdings.name, holdings.kind, holdings.allocated_bytes)
          is distinct from (excluded.name, excluded.kind, excluded.allocated_bytes)`.execute(db);
      return (gone.numAffectedRows ?? 0n) + (put.numAffectedRows ?? 0n) > 0n;
    },

    /** Makes the disks of a signed description known; a signature outranks a holder's word. */
    async putDescribed(project: Id, disks: readonly ImageFacts[]): Promise<void> {
      const unique = [...new Map(disks.map((disk) => [disk.digest, disk])).values()];
      await db
        .insertInto('images')
        .values(
          unique.map((disk) => ({
            project_id: project,
            digest: disk.digest,
            keys_root: disk.keysRoot,
            virtual_size_bytes: disk.virtualSizeBytes,
            non_zero_bytes: disk.nonZeroBytes,
          })),
        )
        .onConflict((conflict) =>
          conflict.columns(['project_id', 'digest']).doUpdateSet({
            keys_root: (eb) => eb.ref('excluded.keys_root'),
            virtual_size_bytes: (eb) => eb.ref('excluded.virtual_size_bytes'),
            non_zero_bytes: (eb) => eb.ref('excluded.non_zero_bytes'),
          }),
        )
        .execute();
    },
  };
}

function holdingReads(db: Db) {
  return {
    /** Which of these disks each edge holds. */
    heldBy: (project: Id, digests: readonly Digest[]): Promise<{ node: Id; digest: Digest }[]> =>
      db
        .selectFrom('holdings')
        .select(['node_id as node', 'digest'])
        .where('project_id', '=', project)
        .where(sql<boolean>`digest = any(${digests as Digest[]})`)
        .execute(),

    async countByNode(project: Id): Promise<ReadonlyMap<Id, number>> {
      const rows = await db
        .selectFrom('holdings')
        .select(['node_id', db.fn.countAll<number>().as('images')])
        .where('project_id', '=', project)
        .groupBy('node_id')
        .execute();
      return new Map(rows.map((row) => [row.node_id, row.images]));
    },

    async list(project: Id): Promise<ListedImage[]> {
      const { rows } = await sql<ListedImage>`
        select images.digest, min(holdings.name) as name,
          (array_agg(holdings.kind order by holdings.kind))[1] as kind,
          images.virtual_size_bytes as "virtualSizeBytes", images.non_zero_bytes as "nonZeroBytes",
          jsonb_agg(jsonb_build_object('node', nodes.name, 'allocatedBytes', holdings.allocated_bytes)
            order by nodes.name) as holders
        from images join holdings using (project_id, digest) join nodes on nodes.id = holdings.node_id
        where images.project_id = ${project}
        group by images.project_id, images.digest
        order by min(holdings.name) nulls last, images.digest`.execute(db);
      return rows;
    },
  };
}

/** Images and holdings over a connection or a transaction. */
export function imageStore(db: Db) {
  return { ...imageReads(db), ...imageWrites(db), ...holdingReads(db), ...holderStore(db) };
}
