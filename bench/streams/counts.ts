import type { Child } from '../support/child.ts';
import type { Held } from '../support/report-held.ts';

/** What a server holds. */
export interface Counts extends Held {
  readonly sockets: number;
  /** Of the sockets: connections to clients. */
  readonly clients: number;
  /** Of the sockets: connections to the stand-in; idle ones are kept for the next call. */
  readonly upstream: number;
}

/** @param server one that says on request what it holds */
export async function countsOf(server: Child, standin: Child): Promise<Counts> {
  // First, since to report stops the server for a while.
  const sockets = server.sockets();
  const [ours, theirs] = [portOf(server), portOf(standin)];
  const clients = sockets.filter((it) => it.localPort === ours && it.remotePort !== null);
  const upstream = sockets.filter(({ remotePort }) => remotePort === theirs);
  const { held } = (await server.report()) as { readonly held: Held };
  return {
    ...held,
    sockets: sockets.length,
    clients: clients.length,
    upstream: upstream.length,
  };
}

const portOf = ({ url }: Child) => Number(new URL(url).port);
