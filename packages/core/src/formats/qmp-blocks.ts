/**
 * Room: formats. What QEMU's monitor says of its block graph, of the descriptors that it was given, and of
 * whether the guest runs (qapi: query-named-block-nodes, query-fdsets, query-status).
 *
 * I1: any answer ends in a value or in `corrupt`.
 */

import { VmdnError } from '../domain/errors.ts';

/** What each node is opened on, by the node's name. Throws `corrupt`. */
export function parseBlockNodes(answer: unknown): ReadonlyMap<string, string> {
  return new Map(listOf(answer).map((node) => [textOf(node['node-name']), textOf(node.file)]));
}

/** The set of descriptors that holds a file, by what was said of the file (`opaque`). Throws `corrupt`. */
export function parseDescriptorSets(answer: unknown): ReadonlyMap<string, number> {
  const sets = new Map<string, number>();
  for (const { 'fdset-id': id, fds } of listOf(answer)) {
    if (typeof id !== 'number' || !Number.isSafeInteger(id) || id < 0) throw nonsense();
    for (const { opaque } of listOf(fds)) if (opaque !== undefined) sets.set(textOf(opaque), id);
  }
  return sets;
}

/** `running`, or why the guest does not run: `io-error`, … (RunState). Throws `corrupt`. */
export function parseRunState(answer: unknown): string {
  return textOf(objectOf(answer).status);
}

function listOf(value: unknown): readonly Record<string, unknown>[] {
  if (!Array.isArray(value)) throw nonsense();
  return value.map(objectOf);
}

function objectOf(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) throw nonsense();
  return value as Record<string, unknown>;
}

function textOf(value: unknown): string {
  if (typeof value !== 'string') throw nonsense();
  return value;
}

function nonsense(): VmdnError {
  return new VmdnError('corrupt', "The hypervisor's monitor says nonsense of its guest.");
}
