/**
 * Room: formats. Which services systemd starts in a guest, from the names in /etc/systemd/system
 * (systemctl(1), "enable": an enabled unit has a link in a target's .wants or .requires folder).
 *
 * I1: total and bounded: names that systemd itself would refuse are left out.
 */

/** systemd.unit(5): at most 255 characters of this set. */
const UNIT_NAME = /^[A-Za-z0-9:_.\\@-]{1,247}\.service$/;
const WANTS_FOLDER = /^[A-Za-z0-9:_.@-]{1,200}\.(wants|requires)$/;
const SERVICES_MAX = 10_000;

/** Whether a folder in /etc/systemd/system holds links to enabled units. Such a name needs no quoting. */
export function isWantsFolder(name: string): boolean {
  return WANTS_FOLDER.test(name);
}

/** The services among the names in such folders, once each, sorted. */
export function enabledServices(names: Iterable<string>): string[] {
  const services = new Set<string>();
  for (const name of names) {
    if (services.size < SERVICES_MAX && UNIT_NAME.test(name)) services.add(name);
  }
  return [...services].sort();
}
