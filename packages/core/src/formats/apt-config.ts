/**
 * Room: formats. What apt-config(8) prints: `dump` (`Name "value";`) and `shell` (`NAME='value'`).
 *
 * I1: total: lines of another shape are left out.
 */

/** Values of `apt-config dump` by their full name in lower case. */
export function parseAptConfigDump(text: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^([^\s"]+) "(.*)";$/.exec(line.trimEnd());
    if (match !== null) values.set(match[1]!.toLowerCase(), match[2]!);
  }
  return values;
}

/** Values of `apt-config shell` by variable. */
export function parseAptConfigShell(text: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^([A-Z_]+)='(.*)'$/.exec(line.trimEnd());
    if (match !== null) values.set(match[1]!, match[2]!.replaceAll("'\\''", "'"));
  }
  return values;
}

export interface ProxyWords {
  readonly http: string | undefined;
  readonly https: string | undefined;
  /** Null: no proxy for this host. */
  readonly byHost: ReadonlyMap<string, string | null>;
}

/** Proxies of an `apt-config dump Acquire` (apt-transport-http(1)); https has http's unless it has one. */
export function aptProxies(values: ReadonlyMap<string, string>): ProxyWords {
  const proxyOf = (name: string): string | null | undefined => {
    const value = values.get(name);
    if (value === undefined || value === '') return undefined;
    return value === 'DIRECT' || value === 'false' ? null : value;
  };
  const byHost = new Map<string, string | null>();
  for (const name of values.keys()) {
    const host = /^acquire::https?::proxy::([^:]+)$/.exec(name)?.[1];
    const proxy = host === undefined ? undefined : proxyOf(name);
    if (host !== undefined && proxy !== undefined) byHost.set(host, proxy);
  }
  const http = proxyOf('acquire::http::proxy');
  const https = proxyOf('acquire::https::proxy');
  return {
    http: http ?? undefined,
    https: (https === undefined ? http : https) ?? undefined,
    byHost,
  };
}
