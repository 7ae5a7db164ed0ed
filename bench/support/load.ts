import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { script } from './script.ts';

/** So many callers, each asking again as soon as it has its answer. */
export interface Load {
  /** On loopback; the callers are spread over them. */
  readonly urls: readonly string[];
  /** What each caller sends, head and body: see `post`. */
  readonly request: string;
  readonly callers: number;
  /** In how many events the provider streams an answer. Default: one. */
  readonly chunks?: number;
  /** Before anything is measured: for so long, and until so many answers have come. */
  readonly settle?: { readonly ms: number; readonly answers: number; readonly atMostMs?: number };
  readonly seconds: number;
  /** Whose CPU time is counted. */
  readonly pid?: number;
}

export interface LoadReport {
  /** Why the first request failed that did. */
  readonly failure: string | null;
  readonly total: number;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  /** Microseconds of CPU for a request, of the process `pid`. */
  readonly serverUs: number;
  /** How much of one core it used. */
  readonly serverCore: number;
  /** How much of one core provider and callers used. */
  readonly loadCore: number;
}

export interface LoadGenerator {
  /** Where the provider is that it plays. */
  readonly upstreamUrl: string;
  /** @throws when a request was not answered with 200 */
  run(load: Load): Promise<LoadReport>;
  stop(): void;
}

export async function startLoadGenerator(): Promise<LoadGenerator> {
  const child = spawn(process.execPath, script('support/load-process.ts'), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const ended = once(child, 'exit').then(() => {
    throw new Error('the load generator has ended');
  });
  const nextMessage = () => Promise.race([once(child, 'message'), ended]);
  const [upstreamUrl] = (await nextMessage()) as [string];
  return {
    upstreamUrl,
    async run(load) {
      child.send(load);
      const [report] = (await nextMessage()) as [LoadReport];
      if (report.failure !== null)
        throw new Error(`not every request was answered: ${report.failure}`);
      return report;
    },
    stop() {
      ended.catch(() => {});
      child.disconnect();
    },
  };
}

/** @returns a request as it travels, to be sent on a connection that stays open */
export function post(
  path: string,
  json: object,
  headers: Readonly<Record<string, string>> = {},
): string {
  const body = JSON.stringify(json);
  const all = {
    host: '127.0.0.1',
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n${body}`;
}
