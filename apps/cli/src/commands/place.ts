/**
 * Room: routes. `seed`, `image import` and `enrolment-token`: placing images, adding nodes.
 */

import { resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { parseDiskFormat } from '@vmdn/core/domain/disk-format.ts';
import { ERROR_CODES, VmdnError } from '@vmdn/core/domain/errors.ts';
import { parseName } from '@vmdn/core/domain/names.ts';
import {
  createEnrolmentToken,
  getImport,
  getSeed,
  requestImport,
  requestSeed,
  type Seed,
} from '@vmdn/core/http/contracts/coordinator-clients.ts';
import type { Command } from 'commander';
import { parseCount, parseEdges, parseImage, parseNodeKind } from '../arguments.ts';
import { formatBytesOrDash, formatTiers } from '../text/sizes.ts';
import { renderTable } from '../text/table.ts';
import { type CommandContext, examples } from './command.ts';
import { createChangeTeller, POLL_MS } from './orders.ts';

function isSeedDone({ edges }: Seed): boolean {
  return edges.every(({ state }) => state === 'done' || state === 'failed');
}

function seedTable({ edges }: Seed): string {
  const rows = edges.map(({ edge, state, message, delivery }) => [
    edge,
    state,
    delivery === null ? '' : formatTiers(delivery.diskBytes),
    delivery === null ? '' : formatBytesOrDash(delivery.wireBytes.peer + delivery.wireBytes.origin),
    message ?? '',
  ]);
  return renderTable(
    [
      { title: 'edge' },
      { title: 'state' },
      { title: 'of the virtual disk' },
      { title: 'transferred', align: 'right' },
      { title: '' },
    ],
    rows,
    '',
  );
}

async function runSeed(
  context: CommandContext,
  rawImage: string,
  options: { readonly edges: string; readonly wait?: boolean },
): Promise<void> {
  const body = { image: parseImage(rawImage), edges: parseEdges(options.edges) };
  const client = await context.client();
  const { signal } = context;
  const tell = createChangeTeller(context);
  let seed = await client.call(requestSeed, { body, signal });
  const words = (): string =>
    seed.edges
      .map(({ edge, state, message }) => `${edge} ${state}${message ? ` (${message})` : ''}`)
      .join(', ');
  context.output.line(
    `seeding ${seed.image.name} (${seed.image.digest.slice(0, 12)}), order ${seed.seed}`,
  );
  tell(seed, words());
  while (options.wait === true && !isSeedDone(seed)) {
    await setTimeout(POLL_MS, undefined, { signal });
    seed = await client.call(getSeed, { params: { seed: seed.seed }, signal });
    tell(seed, words());
  }
  context.output.line(seedTable(seed));
  const bad = seed.edges.find(({ state }) => state === 'failed');
  if (bad === undefined) return;
  throw new VmdnError(
    'unavailable',
    `Seeding ${bad.edge} failed: ${bad.message ?? 'no reason was given'}`,
  );
}

interface ImportOptions {
  readonly edge: string;
  readonly name: string;
  readonly format: string;
  readonly wait?: boolean;
}

async function runImport(
  context: CommandContext,
  file: string,
  options: ImportOptions,
): Promise<void> {
  const body = {
    edge: parseName(options.edge, 'edge'),
    name: parseName(options.name, 'image'),
    file: resolve(file),
    format: parseDiskFormat(options.format),
  };
  const client = await context.client();
  const { signal } = context;
  const tell = createChangeTeller(context);
  let order = await client.call(requestImport, { body, signal });
  const words = (): string => `import of ${order.file} on ${order.edge}: ${order.state}`;
  tell(order, words());
  while (options.wait === true && order.state !== 'done' && order.state !== 'failed') {
    await setTimeout(POLL_MS, undefined, { signal });
    order = await client.call(getImport, { params: { import: order.import }, signal });
    tell(order, words());
  }
  if (order.state === 'failed') {
    throw new VmdnError(
      ERROR_CODES.find((code) => code === order.errorCode) ?? 'unavailable',
      `The import failed: ${order.message ?? 'no reason was given'}`,
    );
  }
  if (order.digest !== null) context.output.line(`${order.name} is ${order.digest}`);
}

async function runEnrolmentToken(
  context: CommandContext,
  options: { readonly kind: string; readonly validSeconds?: string },
): Promise<void> {
  const { kind: rawKind, validSeconds } = options;
  const body = {
    kind: parseNodeKind(rawKind),
    ...(validSeconds === undefined ? {} : { validSeconds: parseCount(validSeconds) }),
  };
  const client = await context.client();
  const reply = await client.call(createEnrolmentToken, { body, signal: context.signal });
  context.output.document(reply);
  context.output.line(reply.enrolmentToken);
  context.output.hint(
    `For one ${reply.kind}, once, until ${reply.expiresAt}: set VMDN_ENROLMENT_TOKEN when it first starts.`,
  );
}

export function addPlaceCommands(program: Command, context: () => CommandContext): void {
  program
    .command('seed <image>')
    .description('place a base image on edges before anybody asks')
    .requiredOption('--edges <edges>', 'names of edges, separated by commas')
    .option('--wait', 'return when every edge has it, or failed')
    .addHelpText('after', examples('vmdn seed debian-12-base --edges paris-1,tokyo-1 --wait'))
    .action((image: string, options) => runSeed(context(), image, options));
  const image = program.command('image').description('work with base images');
  image
    .command('import <file>')
    .description("make a disk file that lies in an edge's import folder a base image of that edge")
    .requiredOption('--edge <edge>', 'the edge on whose machine the file lies')
    .requiredOption('--name <name>', 'what the image will be called')
    .requiredOption('--format <format>', 'raw, qcow2, vmdk, vdi or vhdx')
    .option('--wait', 'return when it is imported, or failed')
    .addHelpText(
      'after',
      examples(
        'vmdn image import /srv/images/debian-12.qcow2 --edge paris-1 --name debian-12 --format qcow2 --wait',
      ),
    )
    .action((file: string, options) => runImport(context(), file, options));
  program
    .command('enrolment-token')
    .description('a token that enrols one node, once')
    .requiredOption('--kind <kind>', 'origin or edge')
    .option('--valid-seconds <seconds>', 'how long it may be used')
    .addHelpText(
      'after',
      examples('vmdn enrolment-token --kind edge', 'vmdn enrolment-token --kind origin --json'),
    )
    .action((options) => runEnrolmentToken(context(), options));
}
