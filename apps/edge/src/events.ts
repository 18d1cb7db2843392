/**
 * Room: edge. The business events of an edge, one helper each: the same words in every log line.
 */

import type { Digest } from '@vmdn/core/domain/digest.ts';
import { describeError, isVmdnError } from '@vmdn/core/domain/errors.ts';
import type { DiskDelivery } from '@vmdn/core/http/contracts/coordinator-teleports.ts';
import type { ResolvedPackage } from '@vmdn/core/io/ports/package-mirrors.ts';
import type { Logger } from '@vmdn/core/process/logger.ts';

/** Facts about an error for a log line. */
export function errorFacts(error: unknown): { readonly code: string; readonly cause: string } {
  return { code: isVmdnError(error) ? error.code : 'internal', cause: describeError(error) };
}

/** What was decided about the packages of one disk. */
interface PackageChoiceFacts {
  /** In an index of a mirror; the others are unknown. */
  readonly found: number;
  readonly unknown: number;
  /** Of those that were found: here already. */
  readonly here: number;
  readonly chosen: number;
  /** Of the disk, known or expected. */
  readonly gainBytes: number;
  readonly remarks: readonly string[];
}

function packageFacts({ name, version, architecture, sizeBytes, mirror }: ResolvedPackage) {
  return { package: name, version, architecture, sizeBytes, mirror };
}

export type EdgeEvents = ReturnType<typeof createEdgeEvents>;

export function createEdgeEvents(logger: Logger) {
  return {
    ...packageEvents(logger),
    ...teleportEvents(logger),
    /** `recipeBytes` is the length of the file; `wireBytes` is all that it cost to have it. */
    recipeFetched: (digest: Digest, source: string, wireBytes: number, recipeBytes: number) =>
      logger.info(
        { event: 'recipe_fetched', digest, source, wireBytes, recipeBytes },
        'recipe fetched',
      ),
    recipeOutlined: (digest: Digest, source: string, rows: number, missingRows: number) =>
      logger.info(
        { event: 'recipe_outlined', digest, source, rows, missingRows },
        'recipe looked up in those that are here',
      ),
    /** `times` counts since the start of the process. */
    recipeFellBack: (digest: Digest, source: string, times: number, error: unknown) =>
      logger.warn(
        { event: 'recipe_fell_back', digest, source, times, ...errorFacts(error) },
        'a recipe could not be completed from those that are here; it is fetched whole',
      ),
    wireMeasured: (digest: Digest, ratios: object) =>
      logger.info({ event: 'wire_measured', digest, ...ratios }, 'compressed sizes measured'),
    wireNotMeasured: (digest: Digest, error: unknown) =>
      logger.warn(
        { event: 'wire_not_measured', digest, ...errorFacts(error) },
        'no holder told how well its blocks compress',
      ),
    holderSetAside: (holder: string, code: string) =>
      logger.warn(
        { event: 'holder_set_aside', holder, code },
        'a holder is not asked for a while; others are',
      ),
    holderBack: (holder: string) =>
      logger.info({ event: 'holder_back', holder }, 'a holder is asked again'),
    diskDelivered: (delivery: DiskDelivery, seconds: number, mismatches: number) =>
      logger.info({ event: 'disk_delivered', ...delivery, seconds, mismatches }, 'disk delivered'),
    imageImported: (digest: Digest, name: string, seconds: number) =>
      logger.info({ event: 'image_imported', digest, name, seconds }, 'image imported'),
    vmExported: (teleport: string, folder: string, seconds: number) =>
      logger.info({ event: 'vm_exported', teleport, folder, seconds }, 'VM exported'),
    imageNotInspected: (digest: Digest, cause: string) =>
      logger.warn({ event: 'image_not_inspected', digest, cause }, 'image not inspected'),
    imageQuarantined: (digest: string, reason: string) =>
      logger.error({ event: 'image_quarantined', digest, reason }, 'image moved to quarantine'),
    descriptionRefused: (vm: string, version: number, error: unknown) =>
      logger.warn(
        { event: 'description_refused', vm, version, ...errorFacts(error) },
        'description refused',
      ),
    scored: (vm: string, version: number, seconds: number) =>
      logger.info({ event: 'scored', vm, version, seconds }, 'scores computed'),
    accelerator: (accelerator: string, reason: string) =>
      logger.info({ event: 'accelerator', accelerator, reason }, 'accelerator chosen'),
    hypervisor: (uri: string, versions: readonly string[]) =>
      logger.info({ event: 'hypervisor', uri, versions }, 'VMs are run by libvirt'),
    reconcilerFailed: (name: string, error: unknown) =>
      logger.warn({ event: 'reconciler_failed', name, ...errorFacts(error) }, 'will try again'),
  };
}

function teleportEvents(logger: Logger) {
  return {
    teleportStep: (teleport: string, step: string) =>
      logger.info({ event: 'teleport_step', teleport, step }, 'teleport step'),
    teleportWaits: (teleport: string, error: unknown) =>
      logger.warn({ event: 'teleport_waits', teleport, ...errorFacts(error) }, 'teleport waits'),
    teleportAwaits: (teleport: string, awaits: string) =>
      logger.info({ event: 'teleport_awaits', teleport, awaits }, 'teleport awaits its source'),
    teleportFailed: (teleport: string, error: unknown) =>
      logger.error({ event: 'teleport_failed', teleport, ...errorFacts(error) }, 'teleport failed'),
    vmStarted: (teleport: string, accelerator: string) =>
      logger.info({ event: 'vm_started', teleport, accelerator }, 'VM started'),
    identityMade: (teleport: string, hostname: string, done: readonly string[]) =>
      logger.info({ event: 'identity_made', teleport, hostname, done }, 'VM has its own identity'),
    vmStopped: (teleport: string) => logger.info({ event: 'vm_stopped', teleport }, 'VM stopped'),
    vmCaptured: (teleport: string, capture: object) =>
      logger.info({ event: 'vm_captured', teleport, ...capture }, 'VM captured'),
    captureFailed: (teleport: string, error: unknown) =>
      logger.warn(
        { event: 'capture_failed', teleport, ...errorFacts(error) },
        'a VM is not captured; it goes on',
      ),
    functionalCopied: (teleport: string, copy: object) =>
      logger.info({ event: 'functional_copied', teleport, ...copy }, 'functional copy made'),
    snapshotKept: (digest: string, why: string) =>
      logger.info({ event: 'snapshot_kept', digest, why }, 'a snapshot that was to go is kept'),
    snapshotDropped: (digest: string) =>
      logger.info({ event: 'snapshot_dropped', digest }, 'a snapshot that nothing needs is gone'),
    vmUnsettled: (teleport: string, error: unknown) =>
      logger.warn(
        { event: 'vm_unsettled', teleport, ...errorFacts(error) },
        'the VM goes on with its export until its next start',
      ),
    lazyDiskFailed: (digest: string, error: unknown) =>
      logger.error(
        { event: 'lazy_disk_failed', digest, ...errorFacts(error) },
        'a disk that a VM reads can not be opened; its reads wait',
      ),
    bootTracesAway: (error: unknown) =>
      logger.warn({ event: 'boot_traces_away', ...errorFacts(error) }, 'going on without'),
    bootTraceRefused: (teleport: string, error: unknown) =>
      logger.warn(
        { event: 'boot_trace_refused', teleport, ...errorFacts(error) },
        'a boot trace is not used',
      ),
    receiptRefused: (teleport: string, error: unknown) =>
      logger.error(
        { event: 'receipt_refused', teleport, ...errorFacts(error) },
        'the coordinator does not take a receipt; it is dropped',
      ),
    vmRemoved: (teleport: string) => logger.info({ event: 'vm_removed', teleport }, 'VM removed'),
    vmForgotten: (teleport: string) =>
      logger.warn(
        { event: 'vm_forgotten', teleport },
        'the coordinator does not list this VM; it is left as it is',
      ),
  };
}

function packageEvents(logger: Logger) {
  return {
    mirrorsOpened: (mirrors: readonly string[], remarks: readonly string[]) =>
      logger.info({ event: 'mirrors_opened', mirrors, remarks }, 'package mirrors'),
    packagesChosen: (digest: Digest, choice: PackageChoiceFacts) =>
      logger.info({ event: 'packages_chosen', digest, ...choice }, 'packages chosen'),
    packageUnpacked: (resolved: ResolvedPackage, digest: Digest, unpackedBytes: number) =>
      logger.debug(
        { event: 'package_unpacked', ...packageFacts(resolved), digest, unpackedBytes },
        'package unpacked',
      ),
    packageEvicted: (digest: Digest, bytes: number) =>
      logger.info({ event: 'package_evicted', digest, bytes }, 'package made room for another'),
    packageSkipped: (resolved: ResolvedPackage, error: unknown) =>
      logger.warn(
        { event: 'package_skipped', ...packageFacts(resolved), ...errorFacts(error) },
        'package skipped; its blocks come from elsewhere',
      ),
    packagesBrought: (digest: Digest, brought: object) =>
      logger.info({ event: 'packages_brought', digest, ...brought }, 'packages brought'),
    packagesFailed: (digest: Digest, error: unknown) =>
      logger.warn({ event: 'packages_failed', digest, ...errorFacts(error) }, 'going on without'),
    packageRecipesAway: (error: unknown) =>
      logger.warn({ event: 'package_recipes_away', ...errorFacts(error) }, 'going on without'),
    packageRecipeRefused: (sha256: Digest, error: unknown) =>
      logger.warn(
        { event: 'package_recipe_refused', sha256, ...errorFacts(error) },
        'a shared recipe is not what it says',
      ),
  };
}
