/**
 * Room: routes. `stop`, `start`, `capture`, `forget`: what is done with a VM that was delivered, and with
 * what became of it.
 */

import { setTimeout } from 'node:timers/promises';
import { isCaptureOver } from '@vmdn/core/domain/capture.ts';
import { ERROR_CODES, VmdnError } from '@vmdn/core/domain/errors.ts';
import { type Id, parseId, parseName } from '@vmdn/core/domain/names.ts';
import type { Power } from '@vmdn/core/domain/power.ts';
import { forgetVm } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import {
  type Capture,
  cancelCapture,
  getCapture,
  requestCapture,
  setPower,
} from '@vmdn/core/http/contracts/coordinator-delivered.ts';
import type { Command } from 'commander';
import { POWER_WORDS } from '../text/power.ts';
import { type CommandContext, examples } from './command.ts';
import { createChangeTeller, POLL_MS } from './orders.ts';

async function runPower(context: CommandContext, raw: string, power: Power): Promise<void> {
  const params = { teleport: parseId(raw, 'teleport') };
  const client = await context.client();
  const reply = await client.call(setPower, { params, body: { power }, signal: context.signal });
  context.output.document(reply);
  context.output.line(`${reply.vm} on ${reply.edge} is ${POWER_WORDS[reply.power]}.`);
}

interface CaptureOptions {
  readonly as?: string;
  readonly keepStopped?: boolean;
  readonly wait?: boolean;
  readonly cancel?: boolean;
}

function captureWords({ vm, version, edge, state, message }: Capture): string {
  return `capture as ${vm} version ${version} on ${edge}: ${message ?? state}`;
}

/** What became of a capture that came to nothing; null for another. */
function endWordOf({ state }: Capture): string | null {
  if (state === 'failed') return 'failed';
  return state === 'cancelled' ? 'was ended' : null;
}

async function runCapture(
  context: CommandContext,
  rawTeleport: string,
  options: CaptureOptions,
): Promise<void> {
  const teleport = parseId(rawTeleport, 'teleport');
  if (options.cancel === true) return await endCapture(context, teleport, options);
  const body = {
    teleport,
    ...(options.as === undefined ? {} : { vm: parseName(options.as, 'name') }),
    ...(options.keepStopped === true ? { keepStopped: true } : {}),
  };
  const client = await context.client();
  const { signal } = context;
  const tell = createChangeTeller(context);
  let order = await client.call(requestCapture, { body, signal });
  tell(order, captureWords(order));
  while (options.wait === true && !isCaptureOver(order.state)) {
    await setTimeout(POLL_MS, undefined, { signal });
    order = await client.call(getCapture, { params: { capture: order.capture }, signal });
    if (endWordOf(order) === null) tell(order, captureWords(order));
  }
  const end = endWordOf(order);
  if (end !== null) {
    throw new VmdnError(
      ERROR_CODES.find((code) => code === order.errorCode) ?? 'unavailable',
      `The capture ${end}: ${order.message ?? 'no reason was given'}`,
    );
  }
  if (order.state === 'done')
    context.output.hint(`Teleport it on: vmdn teleport ${order.vm} --near PLACE`);
}

/** Throws `invalid_input`, and `not_found` where none is under way. */
async function endCapture(
  context: CommandContext,
  teleport: Id,
  { as, keepStopped, wait }: CaptureOptions,
): Promise<void> {
  if (as !== undefined || keepStopped === true || wait === true) {
    throw new VmdnError('invalid_input', '--cancel ends the capture under way, and goes alone.');
  }
  const client = await context.client();
  const params = { teleport };
  const order = await client.call(cancelCapture, { params, signal: context.signal });
  context.output.document(order);
  const { vm, version, edge } = order;
  context.output.line(
    `The capture as ${vm} version ${version} is ended; its VM on ${edge} goes on.`,
  );
}

async function runForget(context: CommandContext, raw: string): Promise<void> {
  const params = { vm: parseName(raw, 'VM') };
  const client = await context.client();
  const { vm, edge } = await client.call(forgetVm, { params, signal: context.signal });
  context.output.document({ vm, edge });
  context.output.line(
    `${vm} is forgotten; ${edge} removes its disks once nothing there needs them.`,
  );
}

export function addDeliveredCommands(program: Command, context: () => CommandContext): void {
  program
    .command('stop <teleport>')
    .description('shut down a delivered VM; it keeps its disks and its room')
    .action((teleport: string) => runPower(context(), teleport, 'off'));
  program
    .command('start <teleport>')
    .description('start a delivered VM that was stopped')
    .action((teleport: string) => runPower(context(), teleport, 'on'));
  program
    .command('capture <teleport>')
    .description('make a VM of its own of a delivered VM, with all that it has written')
    .option(
      '--as <name>',
      "what it is called; the VM's name and the beginning of the teleport's id",
    )
    .option('--keep-stopped', 'leave the delivered VM off; without it, it goes on')
    .option('--wait', 'return when it can be teleported, or failed')
    .option('--cancel', 'end the capture of this VM that is under way, or waits for its edge')
    .addHelpText(
      'after',
      examples(
        'vmdn capture TELEPORT --wait',
        'vmdn capture TELEPORT --as web-01-tuned --keep-stopped',
        'vmdn capture TELEPORT --cancel',
      ),
    )
    .action((teleport: string, options: CaptureOptions) =>
      runCapture(context(), teleport, options),
    );
  program
    .command('forget <vm>')
    .description(
      'forget a captured VM; its edge removes its disks, VMs that were delivered of it go on',
    )
    .addHelpText('after', examples('vmdn forget web-01-tuned'))
    .action((vm: string) => runForget(context(), vm));
}
