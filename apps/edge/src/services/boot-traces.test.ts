import type { BootTrace } from '@vmdn/core/domain/boot-trace.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import type { Id } from '@vmdn/core/domain/names.ts';
import { encodeBootTrace } from '@vmdn/core/formats/boot-trace.ts';
import { describe, expect, it } from 'vitest';
import { knownTraces, shareTrace } from './boot-traces.ts';

const TRACE: BootTrace = {
  disks: Uint8Array.of(0),
  blocks: Uint32Array.of(7),
  keys: Uint32Array.of(1, 2),
};
const TEXT = Buffer.from(encodeBootTrace(TRACE)).toString('base64');
const held = {
  teleport: '11111111-1111-4111-8111-111111111111' as Id,
  epoch: 3,
  signal: new AbortController().signal,
};

function coordinator(answer: () => unknown) {
  const told: string[] = [];
  const asked: unknown[] = [];
  const client = {
    async call(_: unknown, input: unknown) {
      asked.push(input);
      return answer();
    },
  } as never;
  const events = {
    bootTracesAway: () => void told.push('away'),
    bootTraceRefused: () => void told.push('refused'),
  };
  return { deps: { client, events }, told, asked };
}

describe('boot traces at an edge', () => {
  it('I1: go on without the wrong ones', async () => {
    const { deps, told } = coordinator(() => ({
      traces: [
        { kinship: 'vm', trace: TEXT.replace('V', 'X') },
        { kinship: 'relative', trace: TEXT },
      ],
    }));
    expect(await knownTraces(deps, held)).toEqual([{ kinship: 'relative', trace: TRACE }]);
    expect(told).toEqual(['refused']);
  });

  it('I1: go on without a coordinator, both ways', async () => {
    const { deps, told } = coordinator(() => {
      throw new VmdnError('unavailable', 'away');
    });
    expect(await knownTraces(deps, held)).toEqual([]);
    expect(await shareTrace(deps, held, TRACE)).toBe(false);
    expect(told).toEqual(['away', 'away']);
  });

  it('are shared under the teleport and its epoch', async () => {
    const { deps, asked } = coordinator(() => ({ accepted: true }));
    expect(await shareTrace(deps, held, TRACE)).toBe(true);
    expect(asked).toMatchObject([
      { params: { teleport: held.teleport }, body: { epoch: 3, trace: TEXT } },
    ]);
  });
});
