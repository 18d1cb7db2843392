/** Room: test, bench. What a flag like --pairs asks for. */

import { VmdnError } from '@vmdn/core/domain/errors.ts';

/** The names asked for, checked against those there are; all of them when none is asked for. */
export function chosen(
  what: string,
  asked: readonly string[] | undefined,
  known: readonly string[],
): readonly string[] {
  const unknown = asked?.find((name) => !known.includes(name));
  if (unknown === undefined) return asked ?? known;
  const message = `There is no ${what} "${unknown}"; choose among ${known.join(', ')}.`;
  throw new VmdnError('invalid_input', message);
}
