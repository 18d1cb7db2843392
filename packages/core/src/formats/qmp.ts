/**
 * Room: formats. The QEMU Machine Protocol: JSON objects, one per line
 * (QEMU docs/interop/qmp-spec.txt, version 1.0).
 *
 * I1: the decoder takes any bytes: a line that is too long, not JSON or not a QMP message is
 *     `corrupt`, never a crash or an endless buffer.
 */

import { VmdnError } from '../domain/errors.ts';

/** Answers are small, but for a full console buffer in base64 (256 KiB). */
export const QMP_LINE_BYTES_MAX = 1024 * 1024;

export type QmpMessage =
  | { readonly kind: 'greeting' }
  | { readonly kind: 'return'; readonly id: number; readonly value: unknown }
  | {
      readonly kind: 'error';
      readonly id: number | undefined;
      readonly errorClass: string;
      readonly description: string;
    }
  | { readonly kind: 'event'; readonly event: string; readonly data: unknown };

/** One command line. */
export function encodeQmpCommand(
  id: number,
  execute: string,
  parameters: Readonly<Record<string, unknown>> = {},
): string {
  return `${JSON.stringify({ execute, arguments: parameters, id })}\n`;
}

/** Collects chunks and gives back the messages that they complete. */
export interface QmpDecoder {
  /** Throws `corrupt`; nothing after that can be trusted. */
  push(chunk: Uint8Array): QmpMessage[];
}

export function createQmpDecoder(): QmpDecoder {
  let pending = Buffer.alloc(0);
  return {
    push(chunk) {
      pending = Buffer.concat([pending, chunk]);
      const messages: QmpMessage[] = [];
      for (let end = pending.indexOf(10); end >= 0; end = pending.indexOf(10)) {
        const line = pending.subarray(0, end).toString('utf8').trim();
        pending = pending.subarray(end + 1);
        if (line !== '') messages.push(parseLine(line));
      }
      if (pending.length > QMP_LINE_BYTES_MAX) throw corrupt('a line is too long');
      return messages;
    },
  };
}

function parseLine(line: string): QmpMessage {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw corrupt('a line is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw corrupt('a line is not an object');
  }
  const message = value as Record<string, unknown>;
  if ('QMP' in message) return { kind: 'greeting' };
  if (typeof message.event === 'string') {
    return { kind: 'event', event: message.event, data: message.data };
  }
  const id = typeof message.id === 'number' ? message.id : undefined;
  if ('error' in message) return errorMessage(id, message.error);
  if ('return' in message && id !== undefined) return { kind: 'return', id, value: message.return };
  throw corrupt('a line is neither greeting, answer nor event');
}

function errorMessage(id: number | undefined, raw: unknown): QmpMessage {
  const error = (typeof raw === 'object' && raw !== null ? raw : {}) as Record<string, unknown>;
  return {
    kind: 'error',
    id,
    errorClass: String(error.class ?? 'GenericError').slice(0, 80),
    description: String(error.desc ?? '').slice(0, 1000),
  };
}

function corrupt(what: string): VmdnError {
  return new VmdnError('corrupt', `The hypervisor's monitor answered nonsense: ${what}.`);
}
