import { createHash } from 'node:crypto';
import { zstdCompressSync } from 'node:zlib';
import type { Digest } from '@vmdn/core/domain/digest.ts';
import { nonZeroBytesOf } from '@vmdn/core/domain/recipe.ts';
import {
  diskOf,
  referenceDigest,
  referenceKeysRoot,
  referenceRecipe,
} from '@vmdn/core/formats/recipe.fixture.ts';
import { encodeRecipe } from '@vmdn/core/formats/recipe.ts';
import {
  fetchPackageRecipes,
  type PackageRecipe,
  sharePackageRecipe,
} from '@vmdn/core/http/clients/package-recipes.ts';
import * as ops from '@vmdn/core/http/contracts/coordinator-packages.ts';
import { beforeEach, describe, expect, it } from 'vitest';
import type { PackageBounds } from '../ports.ts';
import { openDatabase } from '../store/database.ts';
import { createStore } from '../store/store.ts';
import { coordinatorPerTest } from '../testing/coordinator-per-test.ts';
import { query, quiet } from '../testing/test-database.ts';
import { enrolTestNode, type TestNode } from '../testing/test-network.ts';
import type { NodeIdentity } from './context.ts';
import { createPackageRecipes } from './packages.ts';

const network = coordinatorPerTest();
let edge: TestNode;
let other: TestNode;

beforeEach(async () => {
  edge = await enrolTestNode(network, { kind: 'edge', name: 'dublin', region: 'eu-west' });
  other = await enrolTestNode(network, { kind: 'edge', name: 'tokyo', region: 'tokyo' });
});

/** What an unpacker makes of the n-th package: 1 MiB of image with 20 kB of files. */
function unpacked(n: number, seed = n) {
  const disk = diskOf(2048, [{ at: 8, length: 40, seed }]);
  return {
    unpacker: 1,
    sha256: createHash('sha256').update(`package ${n}`).digest('hex') as Digest,
    digest: referenceDigest(disk) as Digest,
    keysRoot: referenceKeysRoot(disk) as Digest,
    file: encodeRecipe(referenceRecipe(disk)),
  };
}

function fetchAll(
  { client }: Pick<TestNode, 'client'>,
  sha256s: readonly Digest[],
  unpacker = 1,
): Promise<PackageRecipe[]> {
  return Array.fromAsync(fetchPackageRecipes(client, { unpacker, sha256s }));
}

/** The use cases over the same database, without HTTP, and what they told. */
async function packagesWith(options: Parameters<typeof createPackageRecipes>[1]) {
  const db = openDatabase(network.databaseUrl, quiet);
  const told: string[] = [];
  const events = (name: string) => void told.push(name);
  const packages = createPackageRecipes({ store: createStore(db), events }, options);
  const identity = { kind: 'edge', node: { id: edge.id } } as NodeIdentity;
  return {
    packages,
    told,
    async put(n: number) {
      const { unpacker, sha256, digest, keysRoot, file } = unpacked(n);
      const recipe = zstdCompressSync(file).toString('base64');
      await packages.put(identity, { unpacker, sha256 }, { digest, keysRoot, recipe });
    },
    async known(...numbers: number[]) {
      const sha256s = numbers.map((n) => unpacked(n).sha256);
      const { recipes } = await packages.read({ unpacker: 1, sha256s });
      const names = new Set(recipes.map((one) => one.sha256));
      return numbers.filter((n) => names.has(unpacked(n).sha256));
    },
    [Symbol.asyncDispose]: () => db.destroy(),
  };
}
const NO_BOUNDS: PackageBounds = { rowsMax: 1e6, bytesMax: 1e12 };

describe('a package recipe', () => {
  it('that one edge shares is known to all, whatever their project, as it was made', async () => {
    const made = [unpacked(1), unpacked(2)];
    for (const one of made) await sharePackageRecipe(edge.client, one);
    await query(network.databaseUrl, "insert into projects (name) values ('another')");
    const move = "update nodes set project_id = (select id from projects where name = 'another')";
    await query(network.databaseUrl, `${move} where name = 'tokyo'`);
    const sha256s = [...made, unpacked(3)].map((one) => one.sha256);
    const fetched = await fetchAll(other, sha256s);
    expect(fetched.map((one) => one.sha256)).toEqual(made.map((one) => one.sha256).sort());
    expect(fetched[0]!.recipe.virtualSizeBytes).toBe(1_048_576);
    expect(nonZeroBytesOf(fetched[0]!.recipe)).toBe(20_480);
    for (const one of made) {
      const got = fetched.find(({ sha256 }) => sha256 === one.sha256);
      expect(got).toMatchObject({ digest: one.digest, keysRoot: one.keysRoot });
      expect(Buffer.from(got!.file)).toEqual(Buffer.from(one.file));
    }
    // Another unpacker makes other images.
    expect(await fetchAll(other, sha256s, 2)).toEqual([]);
  });

  it('I1: that has other roots than it is said to have is refused, and nothing is kept', async () => {
    const [good, wrong] = [unpacked(1), unpacked(2)];
    const { digest, keysRoot } = wrong;
    for (const lie of [{ digest }, { keysRoot }]) {
      const share = sharePackageRecipe(edge.client, { ...good, ...lie });
      await expect(share).rejects.toMatchObject({ code: 'corrupt' });
    }
    const params = { unpacker: 1, sha256: good.sha256 };
    const body = { digest, keysRoot, recipe: Buffer.from('no zstd').toString('base64') };
    const noZstd = edge.client.call(ops.putPackageRecipe, { params, body });
    await expect(noZstd).rejects.toMatchObject({ code: 'corrupt' });
    expect(await query(network.databaseUrl, 'select 1 from package_recipes')).toEqual([]);
  });

  it('I2: stays as it came first; the same again is fine, another is a conflict', async () => {
    const first = unpacked(1);
    await sharePackageRecipe(edge.client, first);
    await sharePackageRecipe(other.client, first);
    const { digest, keysRoot, file } = unpacked(1, 99);
    const changed = sharePackageRecipe(other.client, { ...first, digest, keysRoot, file });
    await expect(changed).rejects.toMatchObject({
      code: 'conflict',
      data: { sha256: first.sha256, known: first.digest },
    });
    expect(await fetchAll(edge, [first.sha256])).toMatchObject([{ digest: first.digest }]);
  });

  it('is neither told to nor taken from anybody but edges', async () => {
    const origin = await enrolTestNode(network, { kind: 'origin', name: 'origin-1' });
    const { sha256 } = unpacked(1);
    const forbidden = { code: 'forbidden' };
    for (const client of [origin.client, network.user]) {
      await expect(fetchAll({ client }, [sha256])).rejects.toMatchObject(forbidden);
      await expect(sharePackageRecipe(client, unpacked(1))).rejects.toMatchObject(forbidden);
    }
  });

  it('is asked for with 4,999 others, in questions of 2,000', async () => {
    await sharePackageRecipe(edge.client, unpacked(1));
    const many = Array.from(
      { length: 4_999 },
      (_, n) => n.toString(16).padStart(64, '0') as Digest,
    );
    const sha256s = [...many, unpacked(1).sha256];
    const known = await fetchAll(edge, sha256s);
    expect(known.map((one) => one.sha256)).toEqual([unpacked(1).sha256]);
    const body = { unpacker: 1, sha256s };
    await expect(edge.client.call(ops.readPackageRecipes, { body })).rejects.toMatchObject({
      code: 'invalid_input',
    });
  });
});

describe('what is kept', () => {
  it('I3: is bounded in rows, and the least recently used goes first', async () => {
    const bounds = { ...NO_BOUNDS, rowsMax: 3 };
    await using all = await packagesWith({ bounds, additionsPerEviction: 1 });
    for (const n of [1, 2, 3]) await all.put(n);
    const longAgo = "update package_recipes set used_at = now() - interval '2 hours'";
    await query(network.databaseUrl, longAgo);
    // Reading one is a use.
    expect(await all.known(1)).toEqual([1]);
    await all.put(4);
    expect(all.told.at(-1)).toBe('package_recipes_evicted');
    await all.put(5);
    expect(await all.known(1, 2, 3, 4, 5)).toEqual([1, 4, 5]);
  });

  it('I3: is bounded in bytes', async () => {
    await using free = await packagesWith({ bounds: NO_BOUNDS });
    for (const n of [1, 2, 3]) await free.put(n);
    const [row] = await query<{ bytes: number }>(
      network.databaseUrl,
      'select max(packed_bytes)::int as bytes from package_recipes',
    );
    const bounds = { ...NO_BOUNDS, bytesMax: row!.bytes * 2 };
    await using tight = await packagesWith({ bounds, additionsPerEviction: 1 });
    await tight.put(4);
    expect((await tight.known(1, 2, 3, 4)).length).toBe(2);
    expect(await tight.known(4)).toEqual([4]);
  });

  it('I4: comes in answers of bounded size, at least one recipe in each', async () => {
    await using all = await packagesWith({ bounds: NO_BOUNDS, answerBytesMax: 1 });
    for (const n of [1, 2, 3]) await all.put(n);
    const sha256s = [1, 2, 3, 4].map((n) => unpacked(n).sha256);
    const call = async (_: unknown, { body }: { body: Parameters<typeof all.packages.read>[0] }) =>
      await all.packages.read(body);
    const found: PackageRecipe[] = [];
    const refused: Digest[] = [];
    const question = { unpacker: 1, sha256s, onRefused: (one: Digest) => void refused.push(one) };
    for await (const one of fetchPackageRecipes({ call: call as never }, question)) found.push(one);
    expect(found).toHaveLength(3);
    const first = await all.packages.read({ unpacker: 1, sha256s });
    expect([first.recipes.length, first.left.length]).toEqual([1, 2]);
    // What a coordinator changed on the way is left out and told.
    const lying = async () => ({
      recipes: [{ ...first.recipes[0]!, digest: unpacked(4).digest }],
      left: [],
    });
    const lied = fetchPackageRecipes({ call: lying as never }, question);
    for await (const _ of lied) throw new Error('a recipe that does not verify');
    expect(refused).toEqual([first.recipes[0]!.sha256]);
  });
});
