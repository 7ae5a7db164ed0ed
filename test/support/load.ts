import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { vi } from 'vitest';

/** Chats without a pause until they are stopped. */
export interface Load {
  /** Resolves once this many more are answered, by each server of several. */
  goOn(answers: number): Promise<void>;
  /** Asks nothing more. @returns what went wrong, one sentence each, once all answers are here */
  stop(): Promise<readonly string[]>;
}

interface LoadOptions {
  readonly url: string;
  /** How many ask at the same time, each again as soon as it has its answer. */
  readonly callers: number;
  /** Whether each keeps its connection, or opens a fresh one every time. */
  readonly connections: 'kept' | 'fresh';
}

/** Through Node's own client, which sends nothing twice. */
export function startLoad({ url, callers, connections }: LoadOptions): Load {
  const agent = new Agent({ keepAlive: connections === 'kept', maxSockets: callers });
  const faults: string[] = [];
  let answered = 0;
  let isWanted = true;
  const call = async () => {
    while (isWanted) {
      const fault = await chat(url, agent);
      if (fault === null) answered += 1;
      else faults.push(fault);
    }
  };
  const calls = Array.from({ length: callers }, call);
  return {
    async goOn(answers) {
      const wanted = answered + answers;
      await vi.waitUntil(() => answered >= wanted, { timeout: 20_000, interval: 10 });
    },
    async stop() {
      isWanted = false;
      await Promise.all(calls);
      agent.destroy();
      return faults;
    },
  };
}

/** At each of several servers. */
export const startLoads = (servers: readonly { readonly url: string }[]): Load =>
  together(servers.map(({ url }) => startLoad({ url, callers: 3, connections: 'kept' })));

export const MIXED_CALLERS = { kept: 6, fresh: 3 };

/** At one address, over kept connections and over fresh ones. */
export const startMixedLoad = (url: string): Load =>
  together([
    startLoad({ url, callers: MIXED_CALLERS.kept, connections: 'kept' }),
    startLoad({ url, callers: MIXED_CALLERS.fresh, connections: 'fresh' }),
  ]);

const together = (loads: readonly Load[]): Load => ({
  goOn: async (answers) => void (await Promise.all(loads.map((load) => load.goOn(answers)))),
  stop: async () => (await Promise.all(loads.map((load) => load.stop()))).flat(),
});

/** @returns what went wrong; null when the whole answer came. By default over a connection of its own. */
async function chat(url: string, agent = new Agent()): Promise<string | null> {
  const headers = { 'content-type': 'application/json' };
  const asked = request(`${url}/api/chat`, { method: 'POST', headers, agent });
  asked.end('{"message":"Hi"}');
  try {
    const [response] = (await once(asked, 'response')) as [IncomingMessage];
    let text = '';
    for await (const chunk of response) text += chunk;
    return response.statusCode === 200 ? null : `${response.statusCode} ${text}`;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    // A refused request on a kept connection is another fault than one on a new connection.
    return `${code ?? message}${asked.reusedSocket ? ' on a kept connection' : ''}`;
  }
}
