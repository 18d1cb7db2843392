/**
 * Room: routes. `export`: a delivered VM as files for another hypervisor, on the machine of its edge.
 */

import { setTimeout } from 'node:timers/promises';
import { ERROR_CODES, VmdnError } from '@vmdn/core/domain/errors.ts';
import { parseId, parseName } from '@vmdn/core/domain/names.ts';
import { EXPORT_FORMATS, exportFormat, HYPERVISORS } from '@vmdn/core/domain/vm-export.ts';
import { getExport, requestExport } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import type { Command } from 'commander';
import { parseOneOf } from '../arguments.ts';
import { type CommandContext, examples } from './command.ts';
import { createChangeTeller, POLL_MS } from './orders.ts';

interface ExportOptions {
  readonly hypervisor: string;
  readonly format?: string;
  readonly name?: string;
  readonly wait?: boolean;
}

async function runExport(
  context: CommandContext,
  rawTeleport: string,
  options: ExportOptions,
): Promise<void> {
  const hypervisor = parseOneOf(options.hypervisor, HYPERVISORS, 'hypervisor');
  const wished =
    options.format === undefined ? null : parseOneOf(options.format, EXPORT_FORMATS, 'format');
  const body = {
    teleport: parseId(rawTeleport, 'teleport'),
    hypervisor,
    format: exportFormat(hypervisor, wished),
    ...(options.name === undefined ? {} : { name: parseName(options.name, 'name') }),
  };
  const client = await context.client();
  const { signal } = context;
  const tell = createChangeTeller(context);
  let order = await client.call(requestExport, { body, signal });
  const words = (): string =>
    `export ${order.name} on ${order.edge}: ${order.message ?? order.state}`;
  tell(order, words());
  while (options.wait === true && order.state !== 'done' && order.state !== 'failed') {
    await setTimeout(POLL_MS, undefined, { signal });
    order = await client.call(getExport, { params: { export: order.export }, signal });
    if (order.state !== 'failed') tell(order, words());
  }
  if (order.state === 'failed') {
    throw new VmdnError(
      ERROR_CODES.find((code) => code === order.errorCode) ?? 'unavailable',
      `The export failed: ${order.message ?? 'no reason was given'}`,
    );
  }
  if (order.folder !== null) context.output.line(`${order.edge}:${order.folder}`);
}

export function addExportCommand(program: Command, context: () => CommandContext): void {
  program
    .command('export <teleport>')
    .description('the disks of a delivered VM, with a definition, as files for another hypervisor')
    .requiredOption('--hypervisor <name>', `${HYPERVISORS.join(', ')}: whose definition is written`)
    .option('--format <format>', `${EXPORT_FORMATS.join(', ')}; the hypervisor's usual one`)
    .option('--name <name>', "what folder and VM are called; the VM's name and version")
    .option('--wait', 'return when it is there, or failed')
    .addHelpText(
      'after',
      examples(
        'vmdn export TELEPORT --hypervisor vmware --wait',
        'vmdn export TELEPORT --hypervisor kvm --format raw --name web-01-copy',
      ),
    )
    .action((teleport: string, options: ExportOptions) => runExport(context(), teleport, options));
}
