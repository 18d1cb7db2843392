/**
 * Room: edge, composition root. Wires what makes packages of a distribution sources of blocks: mirrors,
 * the unpacker, their images and recipes.
 *
 * I1: without mirrors everything works as it does with them, but for the bytes that packages would spare.
 */

import { join } from 'node:path';
import { isDigest } from '@vmdn/core/domain/digest.ts';
import type { CoordinatorClient } from '@vmdn/core/http/clients/coordinator-client.ts';
import { installedPackage, operatingSystem } from '@vmdn/core/http/contracts/schemas.ts';
import type { CommandRunner } from '@vmdn/core/io/command/command-runner.ts';
import { createRecipeFiles } from '@vmdn/core/io/files/recipe-files.ts';
import { createGuestInspector } from '@vmdn/core/io/inspect/inspect-guest.ts';
import { clearInspections } from '@vmdn/core/io/inspect/volume-file.ts';
import { openPackageMirrors } from '@vmdn/core/io/mirrors/package-mirrors.ts';
import { createPackageUnpacker } from '@vmdn/core/io/packages/package-unpacker.ts';
import type { DiskInspector } from '@vmdn/core/io/ports/guest-inspector.ts';
import type { ImageStore } from '@vmdn/core/io/ports/image-store.ts';
import { openRecipeFolder, openRecords } from '@vmdn/core/io/store/records.ts';
import { z } from 'zod';
import type { EdgeEvents } from './events.ts';
import type { BackgroundBudget } from './services/background-budget.ts';
import type { ImageUses } from './services/image-uses.ts';
import { createKnownGuests, type KnownGuests } from './services/known-guests.ts';
import { createPackageImages } from './services/package-images.ts';
import { measurePackageRates } from './services/package-rates.ts';
import { createPackageRecipes } from './services/package-recipes.ts';
import { createPackageRoom } from './services/package-room.ts';
import { createPackages, type Packages } from './services/packages.ts';
import type { Planner } from './services/planner.ts';
import type { EdgeSettings } from './settings.ts';

const digest = z.string().refine(isDigest);
const imageRecord = z.object({ unpacker: z.number().int(), digest, keysRoot: digest });
const guestRecord = z.object({
  os: operatingSystem.nullable(),
  packages: z.array(installedPackage),
});

/** What packages need of this machine. */
export interface PackageMachine {
  readonly store: ImageStore;
  readonly runner: CommandRunner;
  readonly socketDir: string;
  readonly appliance: DiskInspector;
  readonly mirrors: Awaited<ReturnType<typeof openPackageMirrors>>['mirrors'];
  readonly unpacker: ReturnType<typeof createPackageUnpacker>;
  readonly records: Awaited<ReturnType<typeof openRecords<typeof imageRecord>>>;
  readonly guests: Awaited<ReturnType<typeof openRecords<typeof guestRecord>>>;
  readonly recipes: Awaited<ReturnType<typeof openRecipeFolder>>;
  readonly workDir: string;
}

/** Opens it below `<state>/packages`; `stack` closes it. */
export async function openPackageMachine(
  settings: EdgeSettings,
  means: Pick<PackageMachine, 'store' | 'runner' | 'socketDir' | 'appliance'> & {
    readonly events: EdgeEvents;
  },
  stack: AsyncDisposableStack,
): Promise<PackageMachine> {
  const at = (name: string): string => join(settings.stateDir, 'packages', name);
  const { events, ...machine } = means;
  await clearInspections(at('work'), machine.runner);
  const { mirrors, names, remarks } = await openPackageMirrors({
    choice: settings.mirrors,
    runner: machine.runner,
    cacheDir: at('indexes'),
    proxies: settings.mirrorProxies,
  });
  stack.use(mirrors);
  events.mirrorsOpened(names, remarks);
  return {
    ...machine,
    mirrors,
    unpacker: stack.use(createPackageUnpacker()),
    records: await openRecords(at('images'), imageRecord),
    guests: await openRecords(at('guests'), guestRecord),
    recipes: await openRecipeFolder(at('recipes')),
    workDir: at('work'),
  };
}

export function wirePackages(
  machine: PackageMachine,
  parts: {
    readonly client: Pick<CoordinatorClient, 'call'>;
    readonly planner: Planner;
    readonly uses: ImageUses;
    readonly budget: BackgroundBudget;
    readonly quotaBytes: number;
    readonly events: EdgeEvents;
  },
): { readonly packages: Packages; readonly guests: KnownGuests } {
  const { store, mirrors, unpacker, records } = machine;
  const { client, planner, uses, budget, quotaBytes, events } = parts;
  const recipes = createPackageRecipes({
    ...{ client, records, events },
    folder: machine.recipes,
    files: createRecipeFiles(),
  });
  const images = createPackageImages({
    ...{ store, mirrors, unpacker, records, recipes, uses, budget, events },
    room: createPackageRoom({ store, uses, quotaBytes, events }),
  });
  const inspect = createGuestInspector(machine);
  const guests = createKnownGuests({ store, inspect, records: machine.guests, events });
  const rates = measurePackageRates();
  const packages = createPackages({
    ...{ mirrors, images, guests, recipes, planner, uses, rates, budget, events },
  });
  return { packages, guests };
}
