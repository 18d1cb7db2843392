import type { Id } from '@vmdn/core/domain/names.ts';
import { expect, it } from 'vitest';
import { bareRecord } from './teleport-record.ts';
import { type CoordinatorView, createTeleportReports } from './teleport-reports.ts';

const TELEPORT = '11111111-1111-4111-8111-111111111111' as Id;

it('I4: a mention of how far a disk is says nothing new of whether its VM is on', async () => {
  const told: { state: string; power?: string }[] = [];
  const view: CoordinatorView = { known: 'running', toldPower: null };
  const record = bareRecord({
    ...{ teleport: TELEPORT, epoch: 1 },
    version: { vm: 'web', version: 1 },
  } as never);
  using reports = createTeleportReports({
    client: {
      async call(_: unknown, { body }: { body: { state: string; power?: string } }) {
        told.push({ state: body.state, ...(body.power && { power: body.power }) });
        return { state: body.state, epoch: 1 };
      },
    } as never,
    ...{ teleport: TELEPORT, epoch: 1, view, isLazy: true },
    ...{ record: () => record, disks: () => [], isIndependent: () => false },
    ...{ onLost: () => undefined, signal: new AbortController().signal },
  });
  const mention = async (): Promise<void> => {
    const before = told.length;
    reports.mention('syncing');
    await expect.poll(() => told.length, { timeout: 10_000 }).toBe(before + 1);
  };
  await mention();
  await reports.tell('running', { power: 'off' });
  await mention();
  expect(told).toEqual([
    { state: 'running' },
    { state: 'running', power: 'off' },
    { state: 'running', power: 'off' },
  ]);
  expect(view.toldPower).toBe('off');
});
