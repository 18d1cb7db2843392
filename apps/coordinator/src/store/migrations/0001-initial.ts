/**
 * Room: store, migrations. The first schema.
 *
 * I1: every VM, image, holding, score, teleport, seed and import belongs to a project, from here on.
 * I2: times are the database's own (`now()`), never a node's or a coordinator's.
 * I3: counters are rows keyed so that writing them twice changes nothing (deliveries).
 */

import { type Kysely, sql } from 'kysely';
import type { Migration } from 'kysely/migration';

const STATEMENTS = [
  `create table projects (
    id uuid primary key default gen_random_uuid(),
    name text not null unique,
    created_at timestamptz not null default now()
  )`,
  `insert into projects (name) values ('default')`,

  `create table settings (
    key text primary key,
    value jsonb not null,
    created_at timestamptz not null default now()
  )`,

  `create table clients (
    id uuid primary key default gen_random_uuid(),
    project_id uuid not null references projects (id),
    name text not null,
    token_hash bytea not null unique,
    created_at timestamptz not null default now()
  )`,

  `create table nodes (
    id uuid primary key default gen_random_uuid(),
    project_id uuid not null references projects (id),
    name text not null,
    kind text not null check (kind in ('origin', 'edge')),
    region text,
    latitude double precision check (latitude between -90 and 90),
    longitude double precision check (longitude between -180 and 180),
    url text not null,
    public_key jsonb not null,
    thumbprint text not null unique,
    protocol integer not null,
    last_seen_at timestamptz,
    free_store_bytes bigint,
    free_memory_mib integer,
    free_vcpus integer,
    accelerator text check (accelerator in ('kvm', 'tcg')),
    uplink_bytes bigint,
    uplink_limit bigint,
    created_at timestamptz not null default now(),
    unique (project_id, name),
    check ((latitude is null) = (longitude is null))
  )`,

  `create table enrolment_tokens (
    id uuid primary key default gen_random_uuid(),
    project_id uuid not null references projects (id),
    token_hash bytea not null unique,
    kind text not null check (kind in ('origin', 'edge')),
    expires_at timestamptz not null,
    used_by uuid references nodes (id),
    created_at timestamptz not null default now()
  )`,

  `create table images (
    project_id uuid not null references projects (id),
    digest text not null check (digest ~ '^[0-9a-f]{64}$'),
    keys_root text not null,
    virtual_size_bytes bigint not null,
    non_zero_bytes bigint not null,
    created_at timestamptz not null default now(),
    primary key (project_id, digest)
  )`,

  `create table holdings (
    node_id uuid not null references nodes (id) on delete cascade,
    project_id uuid not null,
    digest text not null,
    name text,
    kind text not null check (kind in ('base', 'snapshot', 'package')),
    allocated_bytes bigint not null,
    primary key (node_id, digest),
    foreign key (project_id, digest) references images (project_id, digest)
  )`,
  `create index holdings_by_digest on holdings (project_id, digest)`,
  `create index holdings_by_name on holdings (project_id, name) where name is not null`,

  `create table vms (
    id uuid primary key default gen_random_uuid(),
    project_id uuid not null references projects (id),
    name text not null,
    origin_id uuid not null references nodes (id),
    created_at timestamptz not null default now(),
    unique (project_id, name)
  )`,

  `create table vm_versions (
    vm_id uuid not null references vms (id) on delete cascade,
    version integer not null check (version >= 1),
    state text not null check (state in ('live', 'pinned', 'withdrawn')),
    description jsonb not null,
    signed_description text not null,
    content_hash text not null,
    announced_at timestamptz not null default now(),
    primary key (vm_id, version)
  )`,

  `create table disks (
    vm_id uuid not null,
    version integer not null,
    position integer not null,
    digest text not null check (digest ~ '^[0-9a-f]{64}$'),
    virtual_size_bytes bigint not null,
    non_zero_bytes bigint not null,
    keys_root text not null,
    recipe_bytes bigint not null,
    primary key (vm_id, version, position),
    foreign key (vm_id, version) references vm_versions (vm_id, version) on delete cascade
  )`,
  `create index disks_by_digest on disks (digest)`,

  `create table scores (
    edge_id uuid not null references nodes (id) on delete cascade,
    vm_id uuid not null,
    version integer not null,
    project_id uuid not null references projects (id),
    disks jsonb not null,
    computed_at timestamptz not null,
    reported_at timestamptz not null default now(),
    primary key (vm_id, version, edge_id),
    foreign key (vm_id, version) references vm_versions (vm_id, version) on delete cascade
  )`,

  `create table teleports (
    id uuid primary key default gen_random_uuid(),
    project_id uuid not null references projects (id),
    request_id uuid,
    vm_id uuid not null references vms (id),
    version integer not null,
    near jsonb not null,
    within_km double precision,
    state text not null check (state in ('routed', 'syncing', 'waiting', 'verified', 'booting',
      'running', 'failed', 'cancelled')),
    epoch integer not null default 1 check (epoch >= 1),
    edge_id uuid not null references nodes (id),
    lease_expires_at timestamptz,
    released boolean not null default false,
    spilled boolean not null,
    chosen jsonb not null,
    others jsonb not null,
    endpoints jsonb not null default '[]',
    phases jsonb not null default '{}',
    accelerator text,
    message text,
    error_code text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    finished_at timestamptz,
    unique (project_id, request_id),
    foreign key (vm_id, version) references vm_versions (vm_id, version)
  )`,
  `create index teleports_newest on teleports (project_id, created_at desc)`,
  `create index teleports_of_edge on teleports (edge_id, state)`,
  `create index teleports_leased on teleports (lease_expires_at) where lease_expires_at is not null`,

  `create table delivered_disks (
    teleport_id uuid not null references teleports (id) on delete cascade,
    epoch integer not null,
    digest text not null,
    edge_id uuid not null references nodes (id),
    version integer not null,
    virtual_size_bytes bigint not null,
    verified_bytes bigint not null,
    primary key (teleport_id, epoch, digest)
  )`,

  `create table deliveries (
    teleport_id uuid not null,
    epoch integer not null,
    digest text not null,
    tier text not null check (tier in ('zero', 'local', 'package', 'peer', 'origin')),
    disk_bytes bigint not null,
    wire_bytes bigint not null,
    primary key (teleport_id, epoch, digest, tier),
    foreign key (teleport_id, epoch, digest)
      references delivered_disks (teleport_id, epoch, digest) on delete cascade
  )`,

  `create table seeds (
    id uuid primary key default gen_random_uuid(),
    project_id uuid not null references projects (id),
    image_name text not null,
    digest text not null,
    created_at timestamptz not null default now(),
    foreign key (project_id, digest) references images (project_id, digest)
  )`,

  `create table seed_edges (
    seed_id uuid not null references seeds (id) on delete cascade,
    edge_id uuid not null references nodes (id) on delete cascade,
    state text not null default 'pending'
      check (state in ('pending', 'syncing', 'waiting', 'done', 'failed')),
    message text,
    delivery jsonb,
    updated_at timestamptz not null default now(),
    primary key (seed_id, edge_id)
  )`,
  `create index seed_edges_open on seed_edges (edge_id) where state not in ('done', 'failed')`,

  `create table imports (
    id uuid primary key default gen_random_uuid(),
    project_id uuid not null references projects (id),
    edge_id uuid not null references nodes (id) on delete cascade,
    name text not null,
    file text not null,
    format text not null,
    state text not null default 'pending'
      check (state in ('pending', 'running', 'done', 'failed')),
    message text,
    digest text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
  )`,
  `create index imports_open on imports (edge_id) where state in ('pending', 'running')`,
] as const;

const TABLES = [
  'imports',
  'seed_edges',
  'seeds',
  'deliveries',
  'delivered_disks',
  'teleports',
  'scores',
  'disks',
  'vm_versions',
  'vms',
  'holdings',
  'images',
  'enrolment_tokens',
  'nodes',
  'clients',
  'settings',
  'projects',
] as const;

async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

async function down(db: Kysely<unknown>): Promise<void> {
  for (const table of TABLES) await sql`drop table ${sql.table(table)}`.execute(db);
}

export const initial: Migration = { up, down };
