/**
 * Room: routes. `receipt`: what an edge delivered, in its own signed words.
 */

import { parseId } from '@vmdn/core/domain/names.ts';
import { getReceipt } from '@vmdn/core/http/contracts/coordinator-clients.ts';
import type { Command } from 'commander';
import { receiptLines } from '../text/receipt.ts';
import { type CommandContext, examples } from './command.ts';

async function runReceipt(
  context: CommandContext,
  raw: string,
  options: { readonly jws?: boolean },
): Promise<void> {
  const params = { teleport: parseId(raw, 'teleport') };
  const client = await context.client();
  const reply = await client.call(getReceipt, { params, signal: context.signal });
  const { output } = context;
  output.document(reply);
  for (const line of options.jws === true ? [reply.jws] : receiptLines(reply)) output.line(line);
}

export function addReceiptCommand(program: Command, context: () => CommandContext): void {
  program
    .command('receipt <teleport>')
    .description("a teleport's receipt: what came from where and when, signed by its edge")
    .option('--jws', 'the signed receipt itself, to be kept and verified elsewhere')
    .addHelpText(
      'after',
      examples(
        'vmdn receipt 0b8c1f0e-6a53-4d8f-9a3e-5d1c2b7a9e10',
        'vmdn receipt 0b8c1f0e-6a53-4d8f-9a3e-5d1c2b7a9e10 --jws > web-01.jws',
        'vmdn receipt 0b8c1f0e-6a53-4d8f-9a3e-5d1c2b7a9e10 --json | jq .receipt.disks',
      ),
    )
    .action((teleport: string, options) => runReceipt(context(), teleport, options));
}
