/**
 * Room: formats. The table that QEMU's `info usernet` prints: the TCP connections of a guest behind
 * user networking (libslirp `slirp_connection_info`).
 *
 * A forwarded connection stands in the table with the forward's own address and port as its source,
 * so it tells whether the *guest* completed the handshake: libslirp itself accepts on the host at
 * once, before the guest has a network card.
 */

/** One row of the table; UDP and ICMP rows are left out. */
export interface UsernetConnection {
  /** As libslirp spells it: HOST_FORWARD, SYN_SENT, ESTABLISHED, … */
  readonly state: string;
  readonly sourceAddress: string;
  readonly sourcePort: number;
  readonly guestPort: number;
}

// "  TCP[HOST_FORWARD]  14       127.0.0.1 42817       10.0.2.15    80     0     0"
const ROW = /^\s*TCP\[([A-Z0-9_]+)\]\s+-?\d+\s+(\S+)\s+(\d+)\s+(\S+)\s+(\d+)\s+\d+\s+\d+\s*$/;

/** The TCP rows of `info usernet`; lines that are none are skipped. */
export function parseUsernetConnections(text: string): readonly UsernetConnection[] {
  const rows: UsernetConnection[] = [];
  for (const line of text.split(/\r?\n/)) {
    const match = ROW.exec(line);
    if (match === null) continue;
    rows.push({
      state: match[1]!,
      sourceAddress: match[2]!,
      sourcePort: Number(match[3]),
      guestPort: Number(match[5]),
    });
  }
  return rows;
}

/** Host ports by guest port, from the rows that listen. */
export function forwardedPorts(rows: readonly UsernetConnection[]): ReadonlyMap<number, number> {
  const listening = rows.filter((row) => row.state === 'HOST_FORWARD');
  return new Map(listening.map((row) => [row.guestPort, row.sourcePort]));
}

/** Whether the guest completed a handshake on a connection that came in through `hostPort`. */
export function hasEstablished(rows: readonly UsernetConnection[], hostPort: number): boolean {
  return rows.some((row) => row.state === 'ESTABLISHED' && row.sourcePort === hostPort);
}
