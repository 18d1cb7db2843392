/** Room: store. VMs and their versions with disks. */

import type {
  Consistency,
  Description,
  SkipFreeDisk,
  VersionState,
} from '@vmdn/core/domain/description.ts';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import { sql } from 'kysely';
import type { Db } from './database.ts';
import { forgottenVms } from './forgotten-vms.ts';
import { vmScores } from './vm-scores.ts';

export interface Vm {
  readonly id: Id;
  readonly name: Name;
  readonly originId: Id;
}

export interface VersionFacts {
  readonly version: number;
  readonly state: VersionState;
  readonly contentHash: string;
}

export interface NewVersion {
  readonly vm: Id;
  readonly version: number;
  readonly state: VersionState;
  readonly description: Description;
  readonly signedDescription: string;
  readonly descriptionDigest: Digest;
  readonly contentHash: string;
}

/** A version without its long texts. */
export interface VersionRow {
  readonly vmId: Id;
  readonly vm: Name;
  readonly version: number;
  readonly state: VersionState;
  readonly contentHash: string;
  readonly descriptionDigest: Digest;
  readonly originId: Id;
}

export interface DiskRow {
  readonly vmId: Id;
  readonly version: number;
  readonly digest: Digest;
  readonly virtualSizeBytes: number;
  readonly nonZeroBytes: number;
  readonly recipeBytes: number;
  /** Whether it is the disk without its free space. */
  readonly skipFree: boolean;
}

/** What a version's description says of the free space of its disks. */
export interface FreeSpaceRow {
  readonly vmId: Id;
  readonly version: number;
  readonly nonZeroBytes: number;
  readonly skipFree: SkipFreeDisk | null;
}

export interface ListedVm {
  readonly vm: Name;
  readonly version: number;
  readonly state: VersionState;
  readonly movedBy: Id | null;
  readonly origin: Name;
  readonly os: string | null;
  readonly packages: number;
  readonly virtualSizeBytes: number;
  readonly nonZeroBytes: number;
  readonly describedAt: string;
  readonly consistency: Consistency;
}

export interface ConsistencyRow {
  readonly vmId: Id;
  readonly version: number;
  readonly consistency: Consistency;
}

/** Absent from descriptions of what was off, of origins that knew nothing else. */
const consistency = sql<Consistency>`coalesce(description->>'consistency', 'off')`;

const AVAILABLE = ['live', 'pinned'] as const;

function versionRows(db: Db) {
  return db
    .selectFrom('vm_versions')
    .innerJoin('vms', 'vms.id', 'vm_versions.vm_id')
    .select([
      'vms.id as vmId',
      'vms.name as vm',
      'vm_versions.version',
      'vm_versions.state',
      'vm_versions.content_hash as contentHash',
      'vm_versions.description_digest as descriptionDigest',
      'vms.origin_id as originId',
    ]);
}

function vmReads(db: Db) {
  return {
    find: (project: Id, name: Name): Promise<Vm | undefined> =>
      db
        .selectFrom('vms')
        .select(['id', 'name', 'origin_id as originId'])
        .where('project_id', '=', project)
        .where('name', '=', name)
        .where('forgotten_at', 'is', null)
        .executeTakeFirst(),

    /** The VM of this name, made for `origin` if there is none, locked until the transaction ends. */
    async lockOrAdd(project: Id, name: Name, origin: Id): Promise<Vm> {
      await db
        .insertInto('vms')
        .values({ project_id: project, name, origin_id: origin })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
      return await db
        .selectFrom('vms')
        .select(['id', 'name', 'origin_id as originId'])
        .where('project_id', '=', project)
        .where('name', '=', name)
        .where('forgotten_at', 'is', null)
        .forUpdate()
        .executeTakeFirstOrThrow();
    },

    async lock(vm: Id): Promise<void> {
      await db.selectFrom('vms').select('id').where('id', '=', vm).forUpdate().execute();
    },

    version: (vm: Id, version: number): Promise<VersionFacts | undefined> =>
      db
        .selectFrom('vm_versions')
        .select(['version', 'state', 'content_hash as contentHash'])
        .where('vm_id', '=', vm)
        .where('version', '=', version)
        .executeTakeFirst(),

    newest: (vm: Id): Promise<VersionFacts | undefined> =>
      db
        .selectFrom('vm_versions')
        .select(['version', 'state', 'content_hash as contentHash'])
        .where('vm_id', '=', vm)
        .orderBy('version', 'desc')
        .executeTakeFirst(),

    newestAvailable: (vm: Id): Promise<VersionFacts | undefined> =>
      db
        .selectFrom('vm_versions')
        .select(['version', 'state', 'content_hash as contentHash'])
        .where('vm_id', '=', vm)
        .where('state', 'in', AVAILABLE)
        .orderBy('version', 'desc')
        .executeTakeFirst(),
  };
}

function versionWrites(db: Db) {
  return {
    async addVersion(version: NewVersion): Promise<void> {
      await db
        .insertInto('vm_versions')
        .values({
          vm_id: version.vm,
          version: version.version,
          state: version.state,
          description: JSON.stringify(version.description),
          signed_description: version.signedDescription,
          description_digest: version.descriptionDigest,
          content_hash: version.contentHash,
        })
        .execute();
      const disks = version.description.disks.map((disk, position) => ({
        vm_id: version.vm,
        version: version.version,
        position,
        digest: disk.digest,
        virtual_size_bytes: disk.virtualSizeBytes,
        non_zero_bytes: disk.nonZeroBytes,
        keys_root: disk.keysRoot,
        recipe_bytes: disk.recipeBytes,
        skip_free: disk.skipFree === undefined ? null : JSON.stringify(disk.skipFree),
      }));
      await db.insertInto('disks').values(disks).execute();
    },

    async setState(vm: Id, version: number, state: VersionState): Promise<void> {
      await db
        .updateTable('vm_versions')
        .set({ state })
        .where('vm_id', '=', vm)
        .where('version', '=', version)
        .execute();
    },

    /** The source is one: a new version means that older live ones are live no more. */
    async withdrawLiveBefore(vm: Id, version: number): Promise<void> {
      await db
        .updateTable('vm_versions')
        .set({ state: 'withdrawn' })
        .where('vm_id', '=', vm)
        .where('version', '<', version)
        .where('state', '=', 'live')
        .execute();
    },
  };
}

type VersionKey = Pick<VersionRow, 'vmId' | 'version'>;

function isOneOf(versions: readonly VersionKey[]) {
  return sql<boolean>`(vm_id, version) in (select * from unnest(
    ${versions.map((row) => row.vmId)}::uuid[], ${versions.map((row) => row.version)}::int[]))`;
}

function diskRows(db: Db) {
  return db
    .selectFrom('wanted_disks')
    .select(['vm_id as vmId', 'version', 'digest', 'virtual_size_bytes as virtualSizeBytes'])
    .select(['non_zero_bytes as nonZeroBytes', 'recipe_bytes as recipeBytes'])
    .select('skip_free as skipFree');
}

function versionContents(db: Db) {
  return {
    /** The disks as they are, or those without free space, in order. */
    disks: (vm: Id, version: number, skipFree: boolean): Promise<DiskRow[]> =>
      diskRows(db)
        .where('vm_id', '=', vm)
        .where('version', '=', version)
        .where('skip_free', '=', skipFree)
        .orderBy('position')
        .execute(),

    /** Disks of many versions at once, as they are and without free space, each in order. */
    disksOf: (versions: readonly VersionKey[]): Promise<DiskRow[]> =>
      diskRows(db)
        .where(isOneOf(versions))
        .orderBy('vm_id')
        .orderBy('version')
        .orderBy('position')
        .execute(),

    /** The free space of the disks of many versions at once, in order. */
    freeSpaceOf: (versions: readonly VersionKey[]): Promise<FreeSpaceRow[]> =>
      db
        .selectFrom('disks')
        .select(['vm_id as vmId', 'version', 'non_zero_bytes as nonZeroBytes'])
        .select('skip_free as skipFree')
        .where(isOneOf(versions))
        .orderBy('position')
        .execute(),

    /** What of the VM each version's disks hold. */
    consistencyOf: (versions: readonly VersionKey[]): Promise<ConsistencyRow[]> =>
      db
        .selectFrom('vm_versions')
        .select(['vm_id as vmId', 'version', consistency.as('consistency')])
        .where(isOneOf(versions))
        .execute(),

    async description(vm: Id, version: number): Promise<Description> {
      const row = await db
        .selectFrom('vm_versions')
        .select('description')
        .where('vm_id', '=', vm)
        .where('version', '=', version)
        .executeTakeFirstOrThrow();
      return row.description;
    },

    /** Of several that had the name, the one that has it now, then that which had it last. */
    async signedDescription(project: Id, vm: Name, version: number): Promise<string | undefined> {
      const row = await db
        .selectFrom('vm_versions')
        .innerJoin('vms', 'vms.id', 'vm_versions.vm_id')
        .select('vm_versions.signed_description as text')
        .where('vms.project_id', '=', project)
        .where('vms.name', '=', vm)
        .where('vm_versions.version', '=', version)
        .orderBy('vms.forgotten_at', (order) => order.desc().nullsFirst())
        .executeTakeFirst();
      return row?.text;
    },
  };
}

function versionLists(db: Db) {
  return {
    /** The newest live or pinned version of each VM of the project. */
    newestAvailableOfAll: (project: Id): Promise<VersionRow[]> =>
      versionRows(db)
        .distinctOn('vms.id')
        .where('vms.project_id', '=', project)
        .where('vms.forgotten_at', 'is', null)
        .where('vm_versions.state', 'in', AVAILABLE)
        .orderBy('vms.id')
        .orderBy('vm_versions.version', 'desc')
        .execute(),

    /** The versions that an edge's unfinished and kept teleports need, whatever their state. */
    neededBy: (edge: Id): Promise<VersionRow[]> =>
      versionRows(db)
        .distinct()
        .innerJoin('teleports', (join) =>
          join
            .onRef('teleports.vm_id', '=', 'vm_versions.vm_id')
            .onRef('teleports.version', '=', 'vm_versions.version'),
        )
        .leftJoin('moves', 'moves.teleport_id', 'teleports.id')
        .where('teleports.edge_id', '=', edge)
        .where(sql<boolean>`(teleports.state <> 'failed' or moves.teleport_id is not null)`)
        .where('teleports.released', '=', false)
        .execute(),

    async list(project: Id): Promise<ListedVm[]> {
      const { rows } = await sql<ListedVm>`
        select distinct on (vms.name) vms.name as vm, v.version, v.state, nodes.name as origin,
          v.description->'os'->>'prettyName' as os,
          jsonb_array_length(v.description->'packages') as packages,
          (select sum(virtual_size_bytes)::bigint from disks
            where disks.vm_id = v.vm_id and disks.version = v.version) as "virtualSizeBytes",
          (select sum(non_zero_bytes)::bigint from disks
            where disks.vm_id = v.vm_id and disks.version = v.version) as "nonZeroBytes",
          v.description->>'describedAt' as "describedAt",
          coalesce(v.description->>'consistency', 'off') as consistency,
          (select teleport_id from moves where moves.vm_id = vms.id
            and moves.fence not in ('over', 'forced')) as "movedBy"
        from vms join vm_versions v on v.vm_id = vms.id join nodes on nodes.id = vms.origin_id
        where vms.project_id = ${project} and vms.forgotten_at is null
        order by vms.name, v.version desc`.execute(db);
      return rows;
    },
  };
}

/** VMs, versions and scores over a connection or a transaction. */
export function vmStore(db: Db) {
  return {
    ...vmReads(db),
    ...versionWrites(db),
    ...versionContents(db),
    ...versionLists(db),
    ...vmScores(db),
    ...forgottenVms(db),
  };
}
