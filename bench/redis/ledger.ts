import type { Redis } from 'ioredis';

/** What a Redis has done since it was started. */
export interface Ledger {
  /** Sent by clients; those within scripts are part of one. */
  readonly commands: number;
  /** Microseconds in them, without reading and writing the sockets. */
  readonly commandUs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Of the whole process, in microseconds. */
  readonly cpuUs: number;
  readonly memory: number;
}

export async function ledgerOf(client: Redis): Promise<Ledger> {
  const text = await client.info('all');
  const numberOf = (name: string) => Number(new RegExp(`^${name}:(.+)$`, 'm').exec(text)?.[1]);
  const sent = [...text.matchAll(COMMAND)].filter(([, name = '']) => SENT.has(name));
  const sum = (group: number) => sent.reduce((all, match) => all + Number(match[group]), 0);
  return {
    commands: sum(2),
    commandUs: sum(3),
    bytesIn: numberOf('total_net_input_bytes'),
    bytesOut: numberOf('total_net_output_bytes'),
    cpuUs: (numberOf('used_cpu_user') + numberOf('used_cpu_sys')) * 1e6,
    memory: numberOf('used_memory'),
  };
}

const COMMAND = /^cmdstat_(\S+):calls=(\d+),usec=(\d+)/gm;
/** What instances send themselves; everything else happens within scripts, or is ours. */
const SENT: ReadonlySet<string> = new Set(['evalsha', 'eval', 'mget', 'zrange', 'subscribe']);

export function since(before: Ledger, after: Ledger): Ledger {
  return {
    commands: after.commands - before.commands,
    commandUs: after.commandUs - before.commandUs,
    bytesIn: after.bytesIn - before.bytesIn,
    bytesOut: after.bytesOut - before.bytesOut,
    cpuUs: after.cpuUs - before.cpuUs,
    memory: after.memory - before.memory,
  };
}
