/**
 * Room: routes. `teleport`, `plan`, `status`, `cancel`, `teleports`: running VMs near a place.
 */

import { setTimeout } from 'node:timers/promises';
import { DATABASE_WAYS, type DatabaseWay } from '@vmdn/core/domain/databases.ts';
import { ERROR_CODES, type ErrorCode, VmdnError } from '@vmdn/core/domain/errors.ts';
import { type Id, parseId, parseName } from '@vmdn/core/domain/names.ts';
import { REQUESTED_METHODS, type RequestedMethod } from '@vmdn/core/domain/skip-free.ts';
import { isFinal, isStranded } from '@vmdn/core/domain/teleport.ts';
import {
  cancelTeleport,
  getTeleport,
  listTeleports,
  planTeleport,
  requestTeleport,
  type Teleport,
} from '@vmdn/core/http/contracts/coordinator-clients.ts';
import type { Command } from 'commander';
import { parseCount, parseKm, parsePlace, placeWords } from '../arguments.ts';
import { createProgressDisplay } from '../progress.ts';
import { consistencyLines } from '../text/consistency.ts';
import { moveLines } from '../text/moves.ts';
import { POWER_WORDS } from '../text/power.ts';
import { renderTable } from '../text/table.ts';
import {
  destinationTable,
  finishedLines,
  methodTable,
  routedLines,
  skippedLines,
  teleportRow,
} from '../text/teleports.ts';
import { type CommandContext, examples } from './command.ts';
import {
  type IdentityOptions,
  identityBody,
  type NetworkOptions,
  networksBody,
  withIdentity,
  withNetworks,
} from './identity-options.ts';
import { POLL_MS } from './orders.ts';

interface WishOptions extends NetworkOptions {
  readonly near: string;
  readonly within?: string;
  readonly skipFree?: boolean;
  readonly method?: string;
  readonly databases?: string;
}

const NEAR = ['--near <place>', 'a region, a city, or LATITUDE,LONGITUDE'] as const;
const WITHIN = ['--within <km>', 'how far from the place an edge may be (default: 1000)'] as const;

const SKIP_FREE = [
  '--skip-free',
  'leave free space behind: deleted files and swap stay home, every file is equal',
] as const;

const METHOD = [
  '--method <method>',
  'exact: bit for bit (default); functional: made anew of a similar image, packages and files; ' +
    'cheapest: whichever has it running soonest',
] as const;

const DATABASES = [
  '--databases <way>',
  'of a functional copy: files (default), or dump: dumped and restored by their own servers, and compared',
] as const;

const LAZY = [
  '--lazy',
  'start the VM at once: what it reads comes first, the rest follows (default of exact teleports)',
] as const;

const NO_LAZY = ['--no-lazy', 'start the VM when its disk is complete'] as const;

const MOVE = [
  '--move',
  'the source can not start any more once the VM may start there; without it the source is left alone',
] as const;

/** Throws `invalid_input`. */
function parseMethod(raw: string): RequestedMethod {
  const method = REQUESTED_METHODS.find((known) => known === raw);
  if (method !== undefined) return method;
  const known = REQUESTED_METHODS.join(', ');
  throw new VmdnError('invalid_input', `There is no method "${raw}"; there are: ${known}.`);
}

/** Throws `invalid_input`. */
function parseDatabases(raw: string): DatabaseWay {
  const way = DATABASE_WAYS.find((known) => known === raw);
  if (way !== undefined) return way;
  const known = DATABASE_WAYS.join(' and ');
  throw new VmdnError('invalid_input', `Databases don't come by "${raw}"; there are ${known}.`);
}

function wishBody(vm: string, options: WishOptions) {
  return {
    vm: parseName(vm, 'VM'),
    near: parsePlace(options.near),
    ...(options.within === undefined ? {} : { withinKm: parseKm(options.within) }),
    ...(options.skipFree === true ? { skipFree: true } : {}),
    ...(options.method === undefined ? {} : { method: parseMethod(options.method) }),
    ...(options.databases === undefined ? {} : { databases: parseDatabases(options.databases) }),
    ...networksBody(options),
  };
}

/** The error that a finished teleport stands for; undefined when it runs. */
function failureOf(teleport: Teleport): VmdnError | undefined {
  const isWell = teleport.state === 'running' && !isStranded(teleport);
  if (isWell || !isFinal(teleport.state)) return undefined;
  const known = ERROR_CODES.find((code) => code === teleport.errorCode);
  const code: ErrorCode = teleport.state === 'cancelled' ? 'cancelled' : (known ?? 'internal');
  const words = teleport.message ?? `The teleport of ${teleport.vm} is ${teleport.state}.`;
  return new VmdnError(code, words, { data: { teleport: teleport.teleport } });
}

/** Shows a teleport until it is settled; throws what it failed with. */
async function follow(context: CommandContext, first: Teleport): Promise<void> {
  const { output, signal } = context;
  const client = await context.client();
  const display = createProgressDisplay(output, Date.parse(first.createdAt));
  let last = first;
  try {
    display.show(first, Date.now());
    for await (const teleport of client.followTeleport(first.teleport, { signal })) {
      last = teleport;
      display.show(teleport, Date.now());
    }
  } catch (error) {
    if (!signal.aborted) throw error;
    const { teleport } = first;
    output.hint(`The teleport goes on without you: vmdn status ${teleport} --follow`);
    output.hint(`To stop it: vmdn cancel ${teleport}`);
    throw error;
  } finally {
    display.end();
  }
  for (const line of finishedLines(last)) output.line(line);
  const failure = failureOf(last);
  if (failure !== undefined) throw failure;
}

async function runTeleport(
  context: CommandContext,
  vm: string,
  options: WishOptions &
    IdentityOptions & {
      readonly detach?: boolean;
      readonly lazy?: boolean;
      readonly move?: boolean;
    },
): Promise<void> {
  const { lazy, move } = options;
  const body = {
    ...wishBody(vm, options),
    ...identityBody(options),
    ...(lazy === undefined ? {} : { lazy }),
    ...(move === true ? { move } : {}),
  };
  const client = await context.client();
  const { signal } = context;
  const teleport = await client.call(requestTeleport, { body, signal }).catch((error: unknown) => {
    if (signal.aborted)
      context.output.hint('The request may have reached the coordinator: vmdn teleports shows it');
    throw error;
  });
  for (const line of [...routedLines(teleport), ...moveLines(teleport)]) context.output.line(line);
  if (options.detach !== true) return follow(context, teleport);
  context.output.event(teleport);
  context.output.line(`To follow it: vmdn status ${teleport.teleport} --follow`);
}

async function runPlan(context: CommandContext, vm: string, options: WishOptions): Promise<void> {
  const body = wishBody(vm, options);
  const client = await context.client();
  const plan = await client.call(planTeleport, { body, signal: context.signal });
  const { output } = context;
  output.document(plan);
  const spilled = plan.spilled ? ' (spilled: no nearer edge has room)' : '';
  const near = placeWords(body.near);
  output.line(
    `${plan.vm} version ${plan.version} near ${near} would go to ${plan.chosen.edge}${spilled}`,
  );
  for (const line of consistencyLines(plan.consistency)) output.line(line);
  for (const line of skippedLines(plan.skipFree)) output.line(line);
  output.line('');
  output.line(methodTable(plan.chosen));
  output.line('');
  output.line(destinationTable(plan.chosen, plan.others));
}

async function runStatus(
  context: CommandContext,
  raw: string,
  options: { readonly follow?: boolean },
): Promise<void> {
  const id: Id = parseId(raw, 'teleport');
  const client = await context.client();
  const teleport = await client.call(getTeleport, {
    params: { teleport: id },
    signal: context.signal,
  });
  for (const line of routedLines(teleport)) context.output.line(line);
  if (options.follow === true) {
    for (const line of moveLines(teleport)) context.output.line(line);
    return follow(context, teleport);
  }
  context.output.document(teleport);
  context.output.line('');
  const { state, power, message } = teleport;
  const isOn = power === 'on' ? '' : `, its VM is ${POWER_WORDS[power]}`;
  context.output.line(`state: ${state}${isOn}${message ? ` (${message})` : ''}`);
  for (const line of finishedLines(teleport)) context.output.line(line);
}

interface CancelOptions {
  readonly dropSnapshot?: boolean;
  readonly discardWrites?: boolean;
  readonly wait?: boolean;
}

async function runCancel(
  context: CommandContext,
  raw: string,
  options: CancelOptions,
): Promise<void> {
  const params = { teleport: parseId(raw, 'teleport') };
  const client = await context.client();
  const query = {
    ...(options.dropSnapshot === true ? { snapshot: 'drop' as const } : {}),
    ...(options.discardWrites === true ? { writes: 'discard' as const } : {}),
  };
  const { signal } = context;
  let teleport = await client.call(cancelTeleport, { params, query, signal });
  if (teleport.state !== 'cancelled') {
    context.output.document(teleport);
    context.output.line(
      `${teleport.vm} on ${teleport.edge} ${teleport.state} before; nothing runs.`,
    );
    return;
  }
  const rest = options.dropSnapshot === true ? ', with its disks unless others need them' : '';
  context.output.line(`${teleport.vm} on ${teleport.edge} is being stopped and removed${rest}.`);
  for (const line of moveLines(teleport)) context.output.line(line);
  while (options.wait === true && !teleport.released) {
    await setTimeout(POLL_MS, undefined, { signal });
    teleport = await client.call(getTeleport, { params, signal });
  }
  context.output.document(teleport);
  if (teleport.released) context.output.line(`${teleport.vm} is gone from ${teleport.edge}.`);
}

async function runList(
  context: CommandContext,
  options: { readonly limit?: string },
): Promise<void> {
  const limit = options.limit === undefined ? 20 : parseCount(options.limit);
  const client = await context.client();
  const reply = await client.call(listTeleports, { query: { limit }, signal: context.signal });
  context.output.document(reply);
  context.output.line(
    renderTable(
      [
        { title: 'teleport' },
        { title: 'VM' },
        { title: 'version', align: 'right' },
        { title: 'edge' },
        { title: 'state' },
        { title: 'method' },
        { title: 'virtual', align: 'right' },
        { title: 'from near', align: 'right' },
        { title: 'transferred', align: 'right' },
        { title: '' },
      ],
      reply.teleports.map(teleportRow),
      'Nothing was teleported yet: vmdn teleport VM --near PLACE',
    ),
  );
}

function addCancelCommand(program: Command, context: () => CommandContext): void {
  program
    .command('cancel <teleport>')
    .description('cancel a teleport, or stop and remove the VM it delivered')
    .option('--drop-snapshot', 'do not keep its disks as a source for further teleports')
    .option(
      '--discard-writes',
      'of a moved VM: give up what it wrote; its source comes back as it was. Of one being captured: give ' +
        'that up',
    )
    .option(
      '--wait',
      'return when the VM is gone from its edge; an edge that is away is waited for',
    )
    .addHelpText(
      'after',
      examples(
        'vmdn cancel 0b8c1f0e-6a53-4d8f-9a3e-5d1c2b7a9e10 --wait',
        'vmdn cancel 0b8c1f0e-6a53-4d8f-9a3e-5d1c2b7a9e10 --drop-snapshot',
      ),
    )
    .action((teleport: string, options) => runCancel(context(), teleport, options));
}

export function addTeleportCommands(program: Command, context: () => CommandContext): void {
  const teleport = program
    .command('teleport <vm>')
    .description('run a VM near a place, and watch it get there')
    .requiredOption(...NEAR)
    .option(...WITHIN)
    .option(...METHOD)
    .option(...DATABASES)
    .option(...SKIP_FREE)
    .option(...LAZY)
    .option(...NO_LAZY)
    .option(...MOVE);
  withIdentity(withNetworks(teleport))
    .option('--detach', 'return as soon as an edge is chosen')
    .addHelpText(
      'after',
      examples(
        'vmdn teleport web-01 --near paris',
        'vmdn teleport web-01 --near 48.85,2.35 --within 500',
        'vmdn teleport web-01 --near paris --skip-free',
        'vmdn teleport web-01 --near paris --no-lazy',
        'vmdn teleport web-01 --near paris --move',
        'vmdn teleport web-01 --near paris --method functional',
        'vmdn teleport shop-01 --near paris --method functional --databases dump',
        'vmdn teleport web-01 --near paris --identity fresh --hostname web-02',
        'vmdn teleport web-01 --near paris --network default=lan',
        'vmdn teleport web-01 --near eu-west-1 --json | jq .state',
      ),
    )
    .action((vm: string, options) => runTeleport(context(), vm, options));
  const plan = program
    .command('plan <vm>')
    .description('what a teleport would move from where, without moving it')
    .requiredOption(...NEAR)
    .option(...WITHIN)
    .option(...METHOD)
    .option(...SKIP_FREE);
  withNetworks(plan)
    .addHelpText('after', examples('vmdn plan web-01 --near tokyo'))
    .action((vm: string, options) => runPlan(context(), vm, options));
  program
    .command('status <teleport>')
    .description('a teleport as it is now')
    .option('--follow', 'watch it until nothing more happens to it')
    .addHelpText('after', examples('vmdn status 0b8c1f0e-6a53-4d8f-9a3e-5d1c2b7a9e10 --follow'))
    .action((teleport: string, options) => runStatus(context(), teleport, options));
  addCancelCommand(program, context);
  program
    .command('teleports')
    .description('teleports, newest first')
    .option('--limit <count>', 'how many (default: 20)')
    .addHelpText('after', examples('vmdn teleports --limit 5', 'vmdn teleports --json'))
    .action((options) => runList(context(), options));
}
