/**
 * Room: routes. `edges`, `images`, `vms`, `describe`, `regions`, `stats`: looking at what there is.
 */

import type { Description } from '@vmdn/core/domain/description.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
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
import { FORMS, type Form, parseBase, parseForm, writeForm } from '../forms/forms.ts';
import type { FormOptions } from '../forms/guest.ts';
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

interface DescribeOptions {
  readonly packages?: true;
  readonly as?: string;
  readonly pin?: true;
  readonly base?: string;
  readonly output?: string;
}

async function describe(
  context: CommandContext,
  raw: string,
  options: DescribeOptions,
): Promise<void> {
  const params = { vm: parseName(raw, 'VM') };
  const form = formOf(options);
  const client = await context.client();
  const reply = await client.call(describeVm, { params, signal: context.signal });
  if (form !== null) return await writeAs(context, reply.description, form, options.output);
  context.output.document(reply);
  for (const line of descriptionLines(reply, options.packages === true)) context.output.line(line);
}

interface WantedForm extends FormOptions {
  readonly form: Form;
}

/** Null without `--as`. Throws `invalid_input`. */
function formOf({ as, pin, base, output, packages }: DescribeOptions): WantedForm | null {
  if (as !== undefined && packages === undefined) {
    const form = parseForm(as);
    return { form, pinned: pin === true, base: base === undefined ? null : parseBase(base) };
  }
  if (as === undefined && [pin, base, output].every((option) => option === undefined)) return null;
  throw new VmdnError(
    'invalid_input',
    '--pin, --base and --output go with --as FORM; --packages goes without it.',
  );
}

/** To a file or to stdout; with `--json` as one string of a document. */
async function writeAs(
  context: CommandContext,
  description: Description,
  wanted: WantedForm,
  file: string | undefined,
): Promise<void> {
  const text = writeForm(wanted.form, description, wanted);
  if (file !== undefined) await context.writeFile(file, text);
  const content = file === undefined ? { text } : { file };
  context.output.document({ vm: description.vm, version: description.version, ...content });
  context.output.line(file === undefined ? text.trimEnd() : `Written: ${file}`);
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
    .description('the VMs that origins describe and edges captured')
    .action(() => show(context(), listVms, ({ vms }) => vmTable(vms)));
  program
    .command('describe <vm>')
    .description("a VM's newest description, and what each edge would have to fetch for it")
    .option('--packages', 'list the installed packages too')
    .option('--as <form>', `write it for another tool: ${FORMS.join(', ')}`)
    .option('--pin', "with --as: the guest's own versions of its packages, not the newest")
    .option('--base <name>', 'with --as: another container image or Vagrant box to start from')
    .option('-o, --output <file>', 'with --as: into a file')
    .addHelpText(
      'after',
      examples(
        'vmdn describe web-01 --packages',
        'vmdn describe web-01 --as ansible -o web-01.yml',
        'vmdn describe web-01 --as dockerfile --base debian:12-slim > Dockerfile',
      ),
    )
    .action((vm: string, options: DescribeOptions) => describe(context(), vm, options));
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
