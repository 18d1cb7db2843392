/**
 * Room: domain. What a form says of itself in its comments: where it comes from, and what it can't hold.
 *
 * I1: nothing of a guest ends a comment or begins something else: what could is replaced.
 */

import type { FormGuest } from './guest.ts';

const WIDTH = 100;
/** Names of one kind in a comment; the rest is counted. */
const NAMES_MAX = 40;

/** Text of a guest as one harmless line. */
export function harmless(text: string): string {
  return text.replace(/[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu, '?');
}

function wrapped(text: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of harmless(text).split(' ')) {
    if (line !== '' && line.length + word.length + 1 > WIDTH) {
      lines.push(line);
      line = '   ';
    }
    line += line === '' ? word : ` ${word}`;
  }
  return [...lines, line];
}

function named(names: readonly string[]): string {
  const rest = names.length - NAMES_MAX;
  const some = names.slice(0, NAMES_MAX).join(', ');
  return rest > 0 ? `${some} and ${rest} more` : some;
}

/** The comment lines that head every form, each to be put after the form's own comment sign. */
export function headLines(guest: FormGuest, pinned: boolean): string[] {
  const { description, os } = guest;
  const { vm, version, describedAt } = description;
  const facts = [
    `By vmdn describe, from version ${version} of ${describedAt}.`,
    `A machine like ${vm}: ${os.prettyName}, ${os.architecture}.`,
    `${guest.packages.length} packages, all that are installed: which of them somebody asked for, and` +
      ' which came along with another, is not known.',
    pinned
      ? "Versions are the guest's own. Repositories drop old ones: what is gone fails."
      : "Versions are the newest that the repositories have. vmdn describe --pin writes the guest's own.",
    'Only the repositories of the system itself are known here; files, users and settings are not in here.',
    `For a machine that is equal: vmdn teleport ${vm} --near PLACE`,
    ...leftOut(guest),
  ];
  return facts.flatMap(wrapped);
}

function leftOut({ bootPackages, volumes, description, impossible }: FormGuest): string[] {
  const lines: string[] = [];
  if (bootPackages.length > 0) {
    lines.push(
      `Left out, since a machine has its own kernel and boot loader: ${named(bootPackages)}.`,
    );
  }
  if (volumes.length > 0) {
    const words = volumes.map(({ source, target, type }) => `${target} (${type}, ${source})`);
    lines.push(`Left out, since they are volumes of the guest's own disks: ${named(words)}.`);
  }
  for (const { engine, version, dataDirectory } of description.databases ?? []) {
    const where = dataDirectory === null ? '' : `, of ${dataDirectory}`;
    lines.push(`Left out: the data of ${engine} ${version ?? '(version unknown)'}${where}.`);
  }
  if (impossible > 0) {
    lines.push(`Left out: ${impossible} packages, services or mounts whose names none can have.`);
  }
  return lines;
}
