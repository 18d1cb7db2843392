/**
 * Room: routes. `stop`, `start`, `capture`: what is done with a VM that was delivered.
 */

import { setTimeout } from 'node:timers/promises';
import { ERROR_CODES, VmdnError } from '@vmdn/core/domain/errors.ts';
import { parseId, parseName } from '@vmdn/core/domain/names.ts';
import type { Power } from '@vmdn/core/domain/power.ts';
import {
  type Capture,
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
}

function captureWords({ vm, version, edge, state, message }: Capture): string {
  return `capture as ${vm} version ${version} on ${edge}: ${message ?? state}`;
}

async function runCapture(
  context: CommandContext,
  rawTeleport: string,
  options: CaptureOptions,
): Promise<void> {
  const body = {
    teleport: parseId(rawTeleport, 'teleport'),
    ...(options.as === undefined ? {} : { vm: parseName(options.as, 'name') }),
    ...(options.keepStopped === true ? { keepStopped: true } : {}),
  };
  const client = await context.client();
  const { signal } = context;
  const tell = createChangeTeller(context);
  let order = await client.call(requestCapture, { body, signal });
  tell(order, captureWords(order));
  while (options.wait === true && order.state !== 'done' && order.state !== 'failed') {
    await setTimeout(POLL_MS, undefined, { signal });
    order = await client.call(getCapture, { params: { capture: order.capture }, signal });
    if (order.state !== 'failed') tell(order, captureWords(order));
  }
  if (order.state === 'failed') {
    throw new VmdnError(
      ERROR_CODES.find((code) => code === order.errorCode) ?? 'unavailable',
      `The capture failed: ${order.message ?? 'no reason was given'}`,
    );
  }
  if (order.state === 'done')
    context.output.hint(`Teleport it on: vmdn teleport ${order.vm} --near PLACE`);
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
    .addHelpText(
      'after',
      examples(
        'vmdn capture TELEPORT --wait',
        'vmdn capture TELEPORT --as web-01-tuned --keep-stopped',
      ),
    )
    .action((teleport: string, options: CaptureOptions) =>
      runCapture(context(), teleport, options),
    );
}
