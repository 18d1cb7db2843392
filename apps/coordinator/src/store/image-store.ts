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

/** A disk of which a description says something else than the nodes that hold or describe it. */
export interface DisputedDisk {
  readonly digest: Digest;
  readonly nodes: readonly Name[];
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

    /**
     * Makes known what a node describes. What it says is a function of the disk's bytes, so it must be what
     * others say: returns the first disk of which it is not, with those who hold or describe it.
     */
    async putDescribed(
      project: Id,
      describer: Id,
      disks: readonly ImageFacts[],
    ): Promise<DisputedDisk | null> {
      const rows = sql`jsonb_to_recordset(${JSON.stringify(disks)}::jsonb) as disk("digest" text,
        "keysRoot" text, "virtualSizeBytes" bigint, "nonZeroBytes" bigint)`;
      // Of the rows that are not inserted, too: nobody changes one meanwhile.
      await sql`insert into images (project_id, digest, keys_root, virtual_size_bytes, non_zero_bytes)
        select distinct on (digest) ${project}::uuid, digest, "keysRoot", "virtualSizeBytes", "nonZeroBytes"
        from ${rows} order by digest
        on conflict (project_id, digest) do update set digest = excluded.digest`.execute(db);
      const isOther = sql`images.project_id = ${project} and images.digest = disk.digest
        and (keys_root, virtual_size_bytes, non_zero_bytes)
          is distinct from ("keysRoot", "virtualSizeBytes", "nonZeroBytes")`;
      const disputed =
        await sql<DisputedDisk>`select disk.digest, array_agg(distinct nodes.name) as nodes
        from ${rows} join images on ${isOther}
        join lateral (
          select node_id from holdings where project_id = ${project} and digest = disk.digest
          union select vms.origin_id from wanted_disks wanted join vms on vms.id = wanted.vm_id
            where vms.project_id = ${project} and wanted.digest = disk.digest
        ) as witness(node) on witness.node <> ${describer}
        join nodes on nodes.id = witness.node
        group by disk.digest order by disk.digest limit 1`.execute(db);
      const [first] = disputed.rows;
      if (first !== undefined) return first;
      // What nobody else vouches for is its own to correct.
      await sql`update images set keys_root = "keysRoot", virtual_size_bytes = "virtualSizeBytes",
        non_zero_bytes = "nonZeroBytes" from ${rows} where ${isOther}`.execute(db);
      return null;
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
