/**
 * Room: store. What was delivered, by tier: absolute counters under a key that makes repeating a
 * report harmless, and the sums over them.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import type { Id, Name } from '@vmdn/core/domain/names.ts';
import { NO_TIER_BYTES, TIERS, type Tier, type TierBytes } from '@vmdn/core/domain/tiers.ts';
import { sql } from 'kysely';
import type { Db } from './database.ts';
import type { DeliveryValue } from './schema/values.ts';

/** Bytes of one tier that an edge got for a VM. */
export interface TierSum {
  readonly edge: Name;
  readonly vm: Name;
  readonly tier: Tier;
  readonly diskBytes: number;
  readonly wireBytes: number;
}

/** Complete deliveries of a VM to an edge, by what they took: enough to tell their outcome. */
export interface DeliveryCount {
  readonly edge: Name;
  readonly vm: Name;
  readonly fromOrigin: boolean;
  readonly fromNear: boolean;
  readonly requests: number;
}

interface Row {
  readonly teleport_id: Id;
  readonly digest: Digest;
  readonly virtual_size_bytes: number;
  readonly verified_bytes: number;
  readonly planned: NonNullable<DeliveryValue['planned']> | null;
  readonly seconds: number | null;
  readonly tier: Tier;
  readonly disk_bytes: number;
  readonly wire_bytes: number;
}

export function deliveryStore(db: Db) {
  return {
    /** Sets what an edge delivered of a teleport's disks under an epoch. */
    async put(
      key: {
        readonly teleport: Id;
        readonly epoch: number;
        readonly edge: Id;
        readonly version: number;
      },
      disks: readonly DeliveryValue[],
    ): Promise<void> {
      const unique = [...new Map(disks.map((disk) => [disk.digest, disk])).values()];
      if (unique.length === 0) return;
      const ids = { teleport_id: key.teleport, epoch: key.epoch };
      await db
        .insertInto('delivered_disks')
        .values(
          unique.map((disk) => ({
            ...ids,
            digest: disk.digest,
            edge_id: key.edge,
            version: key.version,
            virtual_size_bytes: disk.virtualSizeBytes,
            verified_bytes: disk.verifiedBytes,
            planned: disk.planned === undefined ? null : JSON.stringify(disk.planned),
            seconds: disk.seconds ?? null,
          })),
        )
        .onConflict((conflict) =>
          conflict.columns(['teleport_id', 'epoch', 'digest']).doUpdateSet({
            verified_bytes: (eb) => eb.ref('excluded.verified_bytes'),
            planned: (eb) => eb.ref('excluded.planned'),
            seconds: (eb) => eb.ref('excluded.seconds'),
          }),
        )
        .execute();
      const rows = unique.flatMap((disk) =>
        TIERS.map((tier) => ({
          ...ids,
          digest: disk.digest,
          tier,
          disk_bytes: disk.diskBytes[tier],
          wire_bytes: disk.wireBytes[tier],
        })),
      );
      await db
        .insertInto('deliveries')
        .values(rows)
        .onConflict((conflict) =>
          conflict.columns(['teleport_id', 'epoch', 'digest', 'tier']).doUpdateSet({
            disk_bytes: (eb) => eb.ref('excluded.disk_bytes'),
            wire_bytes: (eb) => eb.ref('excluded.wire_bytes'),
          }),
        )
        .execute();
    },

    /** What was delivered of these teleports under their present epochs. */
    async present(teleports: readonly Id[]): Promise<ReadonlyMap<Id, DeliveryValue[]>> {
      if (teleports.length === 0) return new Map();
      const { rows } = await sql<Row>`
        select d.teleport_id, d.digest, d.virtual_size_bytes, d.verified_bytes, d.planned, d.seconds,
          deliveries.tier, deliveries.disk_bytes, deliveries.wire_bytes
        from delivered_disks d
        join teleports on teleports.id = d.teleport_id and teleports.epoch = d.epoch
        join deliveries on deliveries.teleport_id = d.teleport_id
          and deliveries.epoch = d.epoch and deliveries.digest = d.digest
        left join wanted_disks disks on disks.vm_id = teleports.vm_id and disks.version = d.version
          and disks.skip_free = teleports.skip_free and disks.digest = d.digest
        where d.teleport_id = any(${teleports as Id[]})
        order by d.teleport_id, disks.position, d.digest`.execute(db);
      return groupDeliveries(rows);
    },

    sums: async (project: Id): Promise<TierSum[]> => {
      const { rows } = await sql<TierSum>`
        select nodes.name as edge, vms.name as vm, deliveries.tier,
          sum(deliveries.disk_bytes)::bigint as "diskBytes",
          sum(deliveries.wire_bytes)::bigint as "wireBytes"
        from deliveries
        join delivered_disks d using (teleport_id, epoch, digest)
        join teleports on teleports.id = d.teleport_id
        join vms on vms.id = teleports.vm_id
        join nodes on nodes.id = d.edge_id
        where teleports.project_id = ${project}
        group by nodes.name, vms.name, deliveries.tier`.execute(db);
      return rows;
    },

    /**
     * Each teleport once: by its newest epoch under which every disk was verified to the end, or a functional
     * copy was made of what was read of them.
     */
    counts: async (project: Id): Promise<DeliveryCount[]> => {
      const { rows } = await sql<DeliveryCount>`
        with complete as (
          select distinct on (d.teleport_id) d.teleport_id, d.epoch, d.edge_id, teleports.vm_id
          from delivered_disks d join teleports on teleports.id = d.teleport_id
          where teleports.project_id = ${project}
          group by d.teleport_id, d.epoch, d.edge_id, d.version, teleports.vm_id, teleports.skip_free,
            teleports.epoch = d.epoch and teleports.functional is not null
          having (bool_and(d.verified_bytes = d.virtual_size_bytes)
            or (teleports.epoch = d.epoch and teleports.functional is not null)) and count(*) =
            (select count(distinct disks.digest) from wanted_disks disks
              where disks.vm_id = teleports.vm_id and disks.version = d.version
                and disks.skip_free = teleports.skip_free)
          order by d.teleport_id, d.epoch desc
        ), requests as (
          select complete.edge_id, complete.vm_id,
            bool_or(tier = 'origin' and disk_bytes > 0) as from_origin,
            bool_or(tier in ('local', 'package', 'peer') and disk_bytes > 0) as from_near
          from complete join deliveries using (teleport_id, epoch)
          group by complete.teleport_id, complete.edge_id, complete.vm_id
        )
        select nodes.name as edge, vms.name as vm, from_origin as "fromOrigin",
          from_near as "fromNear", count(*) as requests
        from requests join nodes on nodes.id = requests.edge_id join vms on vms.id = requests.vm_id
        group by nodes.name, vms.name, from_origin, from_near`.execute(db);
      return rows;
    },
  };
}

function groupDeliveries(rows: readonly Row[]): ReadonlyMap<Id, DeliveryValue[]> {
  const grouped = new Map<Id, DeliveryValue[]>();
  for (const row of rows) {
    const disks = grouped.get(row.teleport_id) ?? [];
    grouped.set(row.teleport_id, disks);
    const last = disks.at(-1);
    const bytes = (base: TierBytes, value: number): TierBytes => ({ ...base, [row.tier]: value });
    if (last?.digest === row.digest) {
      disks[disks.length - 1] = {
        ...last,
        diskBytes: bytes(last.diskBytes, row.disk_bytes),
        wireBytes: bytes(last.wireBytes, row.wire_bytes),
      };
    } else {
      disks.push({
        digest: row.digest,
        virtualSizeBytes: row.virtual_size_bytes,
        verifiedBytes: row.verified_bytes,
        ...(row.planned === null ? {} : { planned: row.planned }),
        ...(row.seconds === null ? {} : { seconds: row.seconds }),
        diskBytes: bytes(NO_TIER_BYTES, row.disk_bytes),
        wireBytes: bytes(NO_TIER_BYTES, row.wire_bytes),
      });
    }
  }
  return grouped;
}
