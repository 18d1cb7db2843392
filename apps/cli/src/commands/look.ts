/**
 * Room: routes. `edges`, `images`, `vms`, `describe`, `regions`, `stats`: looking at what there is.
 */

import { parseName } from '@vmdn/core/domain/names.ts';
import {
  cacheStatistics,
  describeVm,
  listEdges,
  listImages,
  listRegions,
  listVms,
} from '@vmdn/core/http/contracts/coordinator-clients.ts';
import type { Operation, ReplyOf } from '@vmdn/core/http/contracts/operation.ts';
import type { Command } from 'commander';
import {
  descriptionLines,
  edgeTable,
  imageTable,
  regionTable,
  statisticsLines,
  vmTable,
} from '../text/lists.ts';
import { type CommandContext, examples } from './command.ts';

/** Asks for a list, and shows it as JSON or in words. */
async function show<Op extends Operation>(
  context: CommandContext,
  operation: Op,
  words: (reply: ReplyOf<Op>) => string,
): Promise<void> {
  const client = await context.client();
  const reply = await client.call(operation, { signal: context.signal });
  context.output.document(reply);
  context.output.line(words(reply));
}

async function describe(context: CommandContext, raw: string, packages: boolean): Promise<void> {
  const params = { vm: parseName(raw, 'VM') };
  const client = await context.client();
  const reply = await client.call(describeVm, { params, signal: context.signal });
  context.output.document(reply);
  for (const line of descriptionLines(reply, packages)) context.output.line(line);
}

export function addLookCommands(program: Command, context: () => CommandContext): void {
  program
    .command('edges')
    .description('edges and origins, their health and room')
    .addHelpText('after', examples('vmdn edges', "vmdn edges --json | jq '.nodes[].name'"))
    .action(() => show(context(), listEdges, ({ nodes }) => edgeTable(nodes)));
  program
    .command('images')
    .description('the images that edges hold')
    .action(() => show(context(), listImages, ({ images }) => imageTable(images)));
  program
    .command('vms')
    .description('the VMs that origins describe')
    .action(() => show(context(), listVms, ({ vms }) => vmTable(vms)));
  program
    .command('describe <vm>')
    .description("a VM's newest description, and what each edge would have to fetch for it")
    .option('--packages', 'list the installed packages too')
    .addHelpText('after', examples('vmdn describe web-01', 'vmdn describe web-01 --packages'))
    .action((vm: string, options) => describe(context(), vm, options.packages === true));
  program
    .command('regions [text]')
    .description('places that have a name; only those that contain the text')
    .addHelpText('after', examples('vmdn regions', 'vmdn regions frankfurt'))
    .action((text: string | undefined) =>
      show(context(), listRegions, ({ regions }) => regionTable(regions, text ?? '')),
    );
  program
    .command('stats')
    .description('requests by outcome, bytes by tier, and what crossed before anybody asked')
    .action(() => show(context(), cacheStatistics, (reply) => statisticsLines(reply).join('\n')));
}
