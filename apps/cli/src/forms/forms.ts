/**
 * Room: domain. The forms in which a description can be had: each for a tool that makes machines.
 */

import type { Description } from '@vmdn/core/domain/description.ts';
import { VmdnError } from '@vmdn/core/domain/errors.ts';
import { ansiblePlaybook } from './ansible.ts';
import { cloudConfig } from './cloud-init.ts';
import { dockerfile } from './dockerfile.ts';
import { type FormGuest, type FormOptions, formGuest } from './guest.ts';
import { puppetManifest } from './puppet.ts';
import { vagrantfile } from './vagrantfile.ts';

const WRITERS = {
  ansible: ansiblePlaybook,
  puppet: puppetManifest,
  dockerfile,
  vagrantfile,
  'cloud-init': cloudConfig,
} as const satisfies Record<string, (guest: FormGuest, options: FormOptions) => string>;

export type Form = keyof typeof WRITERS;
export const FORMS = Object.keys(WRITERS) as readonly Form[];

/** Parses the name of a form. Throws `invalid_input`. */
export function parseForm(raw: string): Form {
  if (Object.hasOwn(WRITERS, raw)) return raw as Form;
  throw new VmdnError('invalid_input', `A description can be had as ${FORMS.join(', ')}.`, {
    data: { given: raw.slice(0, 80) },
  });
}

/** Names of container images and boxes, by which nothing else can be said. Throws `invalid_input`. */
export function parseBase(raw: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}$/.test(raw)) return raw;
  throw new VmdnError(
    'invalid_input',
    'A base is the name of a container image or a Vagrant box.',
    {
      data: { given: raw.slice(0, 80) },
    },
  );
}

/** Writes a description in a form. Throws `unsupported_format` where the guest's system is not known. */
export function writeForm(form: Form, description: Description, options: FormOptions): string {
  return WRITERS[form](formGuest(description), options);
}
