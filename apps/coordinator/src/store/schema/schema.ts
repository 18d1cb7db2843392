/** Room: store, schema. All tables, for kysely. */

import type { BootTracesTable } from './boot-traces.ts';
import type { CapturesTable } from './captures.ts';
import type { ClientsTable } from './clients.ts';
import type { DeliveredDisksTable, DeliveriesTable } from './deliveries.ts';
import type { DisksTable, WantedDisksView } from './disks.ts';
import type { EnrolmentTokensTable } from './enrolment-tokens.ts';
import type { ExportsTable } from './exports.ts';
import type { HoldingsTable } from './holdings.ts';
import type { ImagesTable } from './images.ts';
import type { ImportsTable } from './imports.ts';
import type { MovesTable } from './moves.ts';
import type { NodesTable } from './nodes.ts';
import type { PackageRecipesTable } from './package-recipes.ts';
import type { PartialHoldingsTable } from './partial-holdings.ts';
import type { ProjectsTable } from './projects.ts';
import type { ReceiptsTable } from './receipts.ts';
import type { RecipeReadsTable } from './recipe-reads.ts';
import type { ScoresTable } from './scores.ts';
import type { SeedEdgesTable, SeedsTable } from './seeds.ts';
import type { SettingsTable } from './settings.ts';
import type { TeleportsTable } from './teleports.ts';
import type { VmVersionsTable } from './vm-versions.ts';
import type { VmsTable } from './vms.ts';

export interface Schema {
  projects: ProjectsTable;
  settings: SettingsTable;
  clients: ClientsTable;
  nodes: NodesTable;
  enrolment_tokens: EnrolmentTokensTable;
  images: ImagesTable;
  holdings: HoldingsTable;
  partial_holdings: PartialHoldingsTable;
  vms: VmsTable;
  vm_versions: VmVersionsTable;
  disks: DisksTable;
  wanted_disks: WantedDisksView;
  scores: ScoresTable;
  teleports: TeleportsTable;
  moves: MovesTable;
  delivered_disks: DeliveredDisksTable;
  deliveries: DeliveriesTable;
  recipe_reads: RecipeReadsTable;
  seeds: SeedsTable;
  seed_edges: SeedEdgesTable;
  imports: ImportsTable;
  exports: ExportsTable;
  captures: CapturesTable;
  package_recipes: PackageRecipesTable;
  boot_traces: BootTracesTable;
  receipts: ReceiptsTable;
}
