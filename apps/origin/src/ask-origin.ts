/**
 * Room: origin. Questions to an origin that runs on this machine, by its control socket.
 */

import { join } from 'node:path';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { parseName } from '@vmdn/core/domain/names.ts';
import { callOriginControl } from '@vmdn/core/http/clients/origin-control-client.ts';
import {
  CONTROL_SOCKET_NAME,
  describeRunning,
  originStatus,
  releaseDisks,
  takeBackVm,
} from '@vmdn/core/http/contracts/origin-control.ts';
import { runtimeDirOf } from './settings.ts';

/**
 * `status`, `release [VM [SECONDS]]`, `describe VM`, or `unfence VM [--force]`. Throws `invalid_input`,
 * `unavailable`, the origin's own errors.
 */
export async function askOrigin(
  words: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<unknown> {
  const socketPath = join(runtimeDirOf(env), CONTROL_SOCKET_NAME);
  const [word, vm, seconds, ...more] = words;
  if (word === 'status' && vm === undefined) {
    return await callOriginControl(socketPath, originStatus);
  }
  const isNumber = seconds === undefined || /^\d{1,5}$/.test(seconds);
  if (word === 'release' && isNumber && more.length === 0) {
    return await callOriginControl(socketPath, releaseDisks, {
      vm: vm === undefined ? undefined : parseName(vm, 'VM'),
      seconds: seconds === undefined ? undefined : Number(seconds),
    });
  }
  if (word === 'describe' && vm !== undefined && seconds === undefined) {
    return await callOriginControl(socketPath, describeRunning, { vm: parseName(vm, 'VM') });
  }
  // After `unfence VM` there is the force, or nothing.
  const isForce = seconds === undefined || seconds === '--force';
  if (word === 'unfence' && vm !== undefined && isForce && more.length === 0) {
    const body = { vm: parseName(vm, 'VM'), force: seconds !== undefined };
    return await callOriginControl(socketPath, takeBackVm, body);
  }
  const known = 'Say `status`, `release [VM [SECONDS]]`, `describe VM` or `unfence VM --force`.';
  throw new VmdnError('invalid_input', known);
}
