import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Recipe } from '../../domain/recipe.ts';
import { encodeRecipe } from '../../formats/recipe.ts';
import {
  answerOf,
  outlineOf,
  recipeOfSegments,
  rootsOf,
  withOtherTail,
} from '../../formats/recipe-outline.fixture.ts';
import { createOutlineResolver } from './outline-resolver.ts';

const { signal } = new AbortController();
const base = recipeOfSegments([1, 2, 3, 0, 4, 5]);
const clone = recipeOfSegments([1, 2, 30, 0, 4, 5, 31]);
const file = encodeRecipe(clone);

let dir: string;
let resolver: ReturnType<typeof createOutlineResolver>;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vmdn-outlines-'));
  resolver = createOutlineResolver();
  await writeFile(join(dir, 'base'), encodeRecipe(base));
  await writeFile(join(dir, 'clone'), file);
  await writeFile(join(dir, 'damaged'), encodeRecipe(base).subarray(0, -8));
  await writeFile(join(dir, 'colliding'), encodeRecipe(withOtherTail(base, 0)));
});
afterAll(async () => {
  await resolver[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

const resolve = (names: readonly string[], recipeBytes: number | undefined = file.length) =>
  resolver.resolve({
    outline: outlineOf(clone),
    recipePaths: names.map((name) => join(dir, name)),
    recipeBytes,
    signal,
  });

async function receive(names: readonly string[], sent: Recipe = clone): Promise<Uint8Array> {
  const resolved = await resolve(names);
  const rows = resolved.runs.length === 0 ? null : answerOf(sent, resolved.runs);
  return await resolver.complete(resolved, rows, rootsOf(clone), signal);
}

describe('the outline resolver', () => {
  it('asks only for what no recipe here knows, and completes the very file', async () => {
    expect(await resolve(['base'])).toMatchObject({ rows: 6, missingRows: 2 });
    expect(Buffer.compare(await receive(['base']), file)).toBe(0);
    expect(Buffer.compare(await receive([]), file)).toBe(0);
  });

  it('asks for nothing when all rows are known', async () => {
    const resolved = await resolve(['base', 'clone']);
    expect(resolved).toMatchObject({ missingRows: 0 });
    expect(Buffer.compare(await receive(['base', 'clone']), file)).toBe(0);
  });

  it('takes a recipe that is damaged or gone for one that knows nothing', async () => {
    expect(await resolve(['damaged', 'gone', 'base'])).toMatchObject({ missingRows: 2 });
    expect(await resolve(['damaged', 'gone'])).toMatchObject({ missingRows: 6 });
  });

  it('I1: hands out nothing but the promised recipe', async () => {
    await expect(receive(['colliding'])).rejects.toMatchObject({ code: 'corrupt' });
    const other = recipeOfSegments([1, 2, 99, 0, 4, 5, 31]);
    await expect(receive(['base'], other)).rejects.toMatchObject({ code: 'corrupt' });
    const resolved = await resolve(['base']);
    const rows = answerOf(clone, resolved.runs);
    const promised = { ...rootsOf(clone), keysRoot: rootsOf(base).keysRoot };
    const completing = resolver.complete(resolved, rows, promised, signal);
    await expect(completing).rejects.toMatchObject({ code: 'corrupt' });
  });

  it('refuses an outline of a recipe of another length before anything is asked for', async () => {
    await expect(resolve(['base'], file.length + 8)).rejects.toThrow(/promised recipe/);
    const nonsense = { outline: new Uint8Array(100), recipePaths: [], signal };
    await expect(resolver.resolve(nonsense)).rejects.toMatchObject({ code: 'corrupt' });
  });

  it('stops waiting when it is told to, and goes on with the next question', async () => {
    const stop = new AbortController();
    const question = { outline: outlineOf(clone), recipePaths: [], signal: stop.signal };
    const asked = resolver.resolve(question);
    stop.abort();
    await expect(asked).rejects.toMatchObject({ code: 'cancelled' });
    expect(await resolve(['base'])).toMatchObject({ missingRows: 2 });
  });

  it('that was closed is cancelled', async () => {
    const closed = createOutlineResolver();
    await closed[Symbol.asyncDispose]();
    const question = { outline: outlineOf(clone), recipePaths: [], signal };
    await expect(closed.resolve(question)).rejects.toMatchObject({ code: 'cancelled' });
  });
});
