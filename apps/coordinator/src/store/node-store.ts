/** Room: store. Nodes: origins and edges. Health is decided by the database's clock. */

import type { Id, Name } from '@vmdn/core/domain/names.ts';
import { sql } from 'kysely';
import type { Db } from './database.ts';
import type { HolderFaultValue, PublicKeyValue } from './schema/values.ts';

export interface NodeFacts {
  readonly id: Id;
  readonly project: Id;
  readonly name: Name;
  readonly kind: 'origin' | 'edge';
  readonly url: string;
  readonly publicKey: PublicKeyValue;
  readonly protocol: number;
  readonly latitude: number | null;
  readonly longitude: number | null;
}

export interface NodeHealth extends NodeFacts {
  readonly region: Name | null;
  readonly healthy: boolean;
  readonly lastSeenAt: Date | null;
  readonly freeStoreBytes: number | null;
  readonly freeMemoryMiB: number | null;
  readonly freeVcpus: number | null;
  readonly accelerator: 'kvm' | 'tcg' | null;
  readonly uplinkBytes: number | null;
  readonly uplinkLimit: number | null;
  /** Null: it has not said. */
  readonly networks: readonly Name[] | null;
  readonly holderFaults: readonly HolderFaultValue[];
  readonly refusedReceipts: number;
}

export interface NewNode {
  readonly project: Id;
  readonly name: Name;
  readonly kind: 'origin' | 'edge';
  readonly region: Name | null;
  readonly latitude: number | null;
  readonly longitude: number | null;
  readonly url: string;
  readonly publicKey: PublicKeyValue;
  readonly thumbprint: string;
  readonly protocol: number;
}

export interface Beat {
  readonly url: string;
  readonly protocol: number;
  readonly capacity?:
    | {
        readonly freeStoreBytes: number;
        readonly freeMemoryMiB: number;
        readonly freeVcpus: number;
        readonly accelerator: 'kvm' | 'tcg';
      }
    | undefined;
  readonly uplink?:
    | { readonly bytes: number; readonly limitBytesPerSecond: number | null }
    | undefined;
  readonly networks?: readonly Name[] | undefined;
  readonly holderFaults?: readonly HolderFaultValue[] | undefined;
}

const FACTS = [
  'id',
  'project_id as project',
  'name',
  'kind',
  'url',
  'public_key as publicKey',
  'protocol',
  'latitude',
  'longitude',
] as const;

const HEALTH = [
  'region',
  'last_seen_at as lastSeenAt',
  'free_store_bytes as freeStoreBytes',
  'free_memory_mib as freeMemoryMiB',
  'free_vcpus as freeVcpus',
  'accelerator',
  'uplink_bytes as uplinkBytes',
  'uplink_limit as uplinkLimit',
  'networks',
  'holder_faults as holderFaults',
  'refused_receipts as refusedReceipts',
] as const;

/** True while a node was heard of within `silenceSeconds`. */
export function isHealthy(silenceSeconds: number) {
  return sql<boolean>`coalesce(nodes.last_seen_at > now() - make_interval(secs => ${silenceSeconds}), false)`;
}

export function nodeStore(db: Db) {
  const facts = () => db.selectFrom('nodes').select(FACTS);
  return {
    find: (id: Id): Promise<NodeFacts | undefined> =>
      facts().where('id', '=', id).executeTakeFirst(),

    findByThumbprint: (thumbprint: string): Promise<NodeFacts | undefined> =>
      facts().where('thumbprint', '=', thumbprint).executeTakeFirst(),

    findByName: (project: Id, name: Name): Promise<NodeFacts | undefined> =>
      facts().where('project_id', '=', project).where('name', '=', name).executeTakeFirst(),

    listNames: (
      project: Id,
      kind: 'origin' | 'edge',
      names: readonly Name[],
    ): Promise<NodeFacts[]> =>
      facts()
        .where('project_id', '=', project)
        .where('kind', '=', kind)
        .where('name', 'in', names)
        .execute(),

    /** All nodes of a project with their health, by name. */
    list: (project: Id, silenceSeconds: number): Promise<NodeHealth[]> =>
      facts()
        .select(HEALTH)
        .select(isHealthy(silenceSeconds).as('healthy'))
        .where('project_id', '=', project)
        .orderBy('name')
        .execute(),

    /** Seconds since 1970: the time, and when any node was heard of last. */
    async clock(): Promise<{ nowSeconds: number; heardSeconds: number | null }> {
      const { rows } = await sql<{ nowSeconds: number; heardSeconds: number | null }>`
        select extract(epoch from now())::float8 as "nowSeconds",
          extract(epoch from max(last_seen_at))::float8 as "heardSeconds" from nodes`.execute(db);
      return rows[0]!;
    },

    async add(node: NewNode): Promise<Id> {
      const row = await db
        .insertInto('nodes')
        .values(columnsOf(node))
        .returning('id')
        .executeTakeFirstOrThrow();
      return row.id;
    },

    /** The node with this key says where it is now. */
    async update(id: Id, node: NewNode): Promise<void> {
      await db.updateTable('nodes').set(columnsOf(node)).where('id', '=', id).execute();
    },

    async countRefusedReceipt(id: Id): Promise<void> {
      await db
        .updateTable('nodes')
        .set((eb) => ({ refused_receipts: eb('refused_receipts', '+', 1) }))
        .where('id', '=', id)
        .execute();
    },

    /** What a node speaks. */
    async noteProtocol(id: Id, protocol: number): Promise<void> {
      await db.updateTable('nodes').set({ protocol }).where('id', '=', id).execute();
    },

    /** Takes a heartbeat; true when something changed that other nodes must know. */
    beat: (id: Id, beat: Beat, silenceSeconds: number): Promise<boolean> =>
      takeBeat(db, id, beat, silenceSeconds),
  };
}

async function takeBeat(db: Db, id: Id, beat: Beat, silenceSeconds: number): Promise<boolean> {
  const before = await db
    .selectFrom('nodes')
    .select(['url', 'protocol', isHealthy(silenceSeconds).as('healthy')])
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirstOrThrow();
  const { capacity, uplink, holderFaults, networks } = beat;
  await db
    .updateTable('nodes')
    .set({ url: beat.url, protocol: beat.protocol, last_seen_at: sql<Date>`now()` })
    .$if(capacity !== undefined, (query) =>
      query.set({
        free_store_bytes: capacity!.freeStoreBytes,
        free_memory_mib: capacity!.freeMemoryMiB,
        free_vcpus: capacity!.freeVcpus,
        accelerator: capacity!.accelerator,
      }),
    )
    .$if(uplink !== undefined, (query) =>
      query.set({ uplink_bytes: uplink!.bytes, uplink_limit: uplink!.limitBytesPerSecond }),
    )
    .$if(networks !== undefined, (query) => query.set({ networks: JSON.stringify(networks) }))
    .$if(holderFaults !== undefined, (query) =>
      query.set({ holder_faults: JSON.stringify(holderFaults) }),
    )
    .where('id', '=', id)
    .execute();
  return before.url !== beat.url || before.protocol !== beat.protocol || !before.healthy;
}

function columnsOf(node: NewNode) {
  return {
    project_id: node.project,
    name: node.name,
    kind: node.kind,
    region: node.region,
    latitude: node.latitude,
    longitude: node.longitude,
    url: node.url,
    public_key: JSON.stringify(node.publicKey),
    thumbprint: node.thumbprint,
    protocol: node.protocol,
  };
}
