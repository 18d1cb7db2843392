import { expect, test } from 'vitest';
import { createTurns } from './turns.ts';

test('I1: steps of one key follow each other, those of another do not wait', async () => {
  const { inTurn, isTaken, idle } = createTurns<string>();
  const gate = Promise.withResolvers<void>();
  const seen: string[] = [];
  const step = (name: string, until?: Promise<void>) => async () => {
    seen.push(`${name} begins`);
    await until;
    seen.push(`${name} ends`);
  };
  const all = [inTurn('a', step('first', gate.promise)), inTurn('a', step('second'))];
  await inTurn('b', step('other'));
  expect(seen).toEqual(['first begins', 'other begins', 'other ends']);
  expect([isTaken('a'), isTaken('c')]).toEqual([true, false]);
  gate.resolve();
  await idle();
  expect(seen.slice(3)).toEqual(['first ends', 'second begins', 'second ends']);
  expect(isTaken('a')).toBe(false);
  await Promise.all(all);
});

test('I2: a step that fails tells who asked for it, and does not stop the next', async () => {
  const { inTurn } = createTurns<string>();
  const failed = inTurn('a', async () => {
    throw new Error('no');
  });
  const next = inTurn('a', async () => 'done');
  await expect(failed).rejects.toThrow('no');
  expect(await next).toBe('done');
});
