import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isVmdnError } from '../domain/errors.ts';
import { createQmpDecoder, encodeQmpCommand, QMP_LINE_BYTES_MAX } from './qmp.ts';
import { forwardedPorts, hasEstablished, parseUsernetConnections } from './qmp-usernet.ts';

const LINES = [
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}',
  '{"return": {"status": "running", "running": true}, "id": 7}',
  '{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "SHUTDOWN", "data": {"guest": true}}',
  '{"id": 8, "error": {"class": "CommandNotFound", "desc": "The command x has not been found"}}',
];
const MESSAGES = [
  { kind: 'greeting' },
  { kind: 'return', id: 7, value: { status: 'running', running: true } },
  { kind: 'event', event: 'SHUTDOWN', data: { guest: true } },
  {
    kind: 'error',
    id: 8,
    errorClass: 'CommandNotFound',
    description: 'The command x has not been found',
  },
];

describe('the QMP decoder', () => {
  it('gives the same messages however the bytes are cut', () => {
    const bytes = Buffer.from(`${LINES.join('\r\n')}\r\n`);
    fc.assert(
      fc.property(fc.array(fc.nat(bytes.length), { maxLength: 20 }), (cuts) => {
        const decoder = createQmpDecoder();
        const ends = [...cuts, bytes.length].sort((a, b) => a - b);
        const got = ends.flatMap((end, index) =>
          decoder.push(bytes.subarray(ends[index - 1] ?? 0, end)),
        );
        expect(got).toEqual(MESSAGES);
      }),
    );
  });

  it.each(['null', '[]', '3', '{}', '{"return": {}}', 'not json', '{"id": 1}'])(
    'I1: refuses the line %s as corrupt',
    (line) => {
      expect(() => createQmpDecoder().push(Buffer.from(`${line}\n`))).toThrow(
        expect.objectContaining({ code: 'corrupt' }),
      );
    },
  );

  it('I1: refuses a line that never ends', () => {
    const decoder = createQmpDecoder();
    const chunk = Buffer.alloc(64 * 1024, 0x20);
    const push = (): void => {
      for (let sent = 0; sent <= QMP_LINE_BYTES_MAX; sent += chunk.length) decoder.push(chunk);
    };
    expect(push).toThrow(expect.objectContaining({ code: 'corrupt' }));
  });

  it('I1: never throws anything but corrupt, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 })), (chunks) => {
        const decoder = createQmpDecoder();
        try {
          for (const chunk of chunks) decoder.push(chunk);
        } catch (error) {
          expect(isVmdnError(error, 'corrupt')).toBe(true);
        }
      }),
    );
  });

  it('is the inverse of nothing but its own framing: a command is one line', () => {
    const line = encodeQmpCommand(3, 'ringbuf-read', { device: 'a\nb' });
    expect(line.endsWith('\n')).toBe(true);
    expect(line.trimEnd()).not.toContain('\n');
    expect(JSON.parse(line)).toEqual({
      execute: 'ringbuf-read',
      arguments: { device: 'a\nb' },
      id: 3,
    });
  });
});

describe('the table of `info usernet`', () => {
  // Printed by QEMU 7.2 for a guest that boots; the third row is the same guest once it listens.
  const table = [
    'Hub -1 (n0):',
    '  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ',
    '  TCP[SYN_SENT]      20       127.0.0.1 42817       10.0.2.15    80     0     0',
    '  TCP[ESTABLISHED]   21       127.0.0.1 42818       10.0.2.15    22     0     0',
    '  TCP[HOST_FORWARD]  14       127.0.0.1 42817       10.0.2.15    80     0     0',
    '  TCP[HOST_FORWARD]  15       127.0.0.1 42818       10.0.2.15    22     0     0',
    '  UDP[236 sec]       16       10.0.2.15    68       10.0.2.2     67     0     0',
  ].join('\r\n');
  const rows = parseUsernetConnections(table);

  it('tells the host port of every forward', () => {
    expect([...forwardedPorts(rows)]).toEqual([
      [80, 42_817],
      [22, 42_818],
    ]);
  });

  it('tells a handshake that the guest completed from one that it did not', () => {
    expect(hasEstablished(rows, 42_818)).toBe(true);
    expect(hasEstablished(rows, 42_817)).toBe(false);
  });
});
