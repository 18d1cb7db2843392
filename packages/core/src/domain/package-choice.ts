/**
 * Room: domain. Which packages are worth fetching for a wanted disk: those whose blocks come sooner from
 * the mirror than from the nodes that hold the disk.
 *
 * I1: a package pays when fetching and unpacking it takes less time than fetching what it covers from
 *     the remote holders would, at the rates given. What it covers is known from its recipe, or expected.
 *     Time before anybody waits counts for less (`costWeight`).
 * I2: what is expected of packages that nobody has unpacked never exceeds what is still missing, all
 *     together: none is fetched for blocks that another one brings.
 * I3: the order is by what is spared for each second, so that whoever stops early has the best of it.
 */

/** A package that a mirror has, as a source of blocks for one wanted disk. */
export interface PackageOffer {
  /** SHA-256 of the package file, hexadecimal. */
  readonly sha256: string;
  /** Of the package file: what travels. */
  readonly sizeBytes: number;
  /** As its distribution's index says; a bound for what it can cover. */
  readonly installedBytes: number;
  /** Bytes of the disk that it covers and nothing on this edge does; null: nobody has unpacked it yet. */
  readonly coveredBytes: number | null;
}

export interface PackageRates {
  /** From the mirror, on the wire. */
  readonly mirrorBytesPerSecond: number;
  /** Unpacking, hashing and writing, in unpacked bytes. */
  readonly unpackBytesPerSecond: number;
  /** From the holders of the disk, on the wire. */
  readonly remoteBytesPerSecond: number;
  /** Bytes on the wire for one byte of disk, from the holders. */
  readonly compressedRatio: number;
}

/**
 * What a second of fetching ahead of a request is worth, in seconds of the request: nobody waits for it, but
 * mirror, link and processor do other work too.
 */
export const AHEAD_COST_WEIGHT = 0.1;

/** An offer that pays for itself. */
export interface WorthwhilePackage {
  readonly offer: PackageOffer;
  /** Of the disk, known or expected. */
  readonly gainBytes: number;
  /** Seconds of the remote link that it spares, less what it costs. */
  readonly sparedSeconds: number;
}

/** What each package costs beside its bytes: a request, a directory, a recipe. Measured with small ones. */
export const PACKAGE_SECONDS = 0.02;

/**
 * The offers that pay for themselves, the best first. `missingBytes` of the disk are on this edge in no
 * image, and would travel from the holders.
 */
export function worthwhilePackages(
  offers: readonly PackageOffer[],
  missingBytes: number,
  rates: PackageRates,
  costWeight = 1,
): WorthwhilePackage[] {
  const expected = expectation(offers, missingBytes);
  return offers
    .map((offer) => weigh(offer, expected(offer), rates, costWeight))
    .filter(({ sparedSeconds }) => sparedSeconds > 0)
    .sort(
      (a, b) => b.sparedSeconds - a.sparedSeconds || (a.offer.sha256 < b.offer.sha256 ? -1 : 1),
    );
}

/** I2: what is missing and covered by no known recipe is shared out by installed size. */
function expectation(
  offers: readonly PackageOffer[],
  missingBytes: number,
): (offer: PackageOffer) => number {
  let known = 0;
  let installed = 0;
  for (const { coveredBytes, installedBytes } of offers) {
    if (coveredBytes === null) installed += installedBytes;
    else known += coveredBytes;
  }
  const left = Math.max(0, missingBytes - known);
  const share = installed === 0 ? 0 : Math.min(1, left / installed);
  return ({ coveredBytes, installedBytes }) => coveredBytes ?? installedBytes * share;
}

function weigh(
  offer: PackageOffer,
  gainBytes: number,
  rates: PackageRates,
  costWeight: number,
): WorthwhilePackage {
  // Fetching and unpacking overlap: the slower of the two is what it takes.
  const costSeconds =
    PACKAGE_SECONDS +
    Math.max(
      offer.sizeBytes / rates.mirrorBytesPerSecond,
      offer.installedBytes / rates.unpackBytesPerSecond,
    );
  const remoteSeconds = (gainBytes * rates.compressedRatio) / rates.remoteBytesPerSecond;
  return { offer, gainBytes, sparedSeconds: remoteSeconds - costWeight * costSeconds };
}
