import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Clock } from '../src/shared/clock.ts';
import { createAnam } from './anam/anam.ts';
import { CallLog, type StandinCall } from './call-log.ts';
import type { Fault } from './fault.ts';
import { FrontDesk } from './front-desk.ts';
import { createGoogle } from './google/google.ts';
import type { Provider } from './provider.ts';
import { createQuotaWindows } from './quota-window.ts';
import type { AnswerShape, StandinKey } from './standin-key.ts';

export type { StandinCall } from './call-log.ts';
export type { Fault } from './fault.ts';
export type { AnamAccountShape, AnswerShape, Limits, StandinKey } from './standin-key.ts';

export interface StandinOptions {
  /** The only time there is: for the windows and for every delay. */
  readonly clock: Clock;
  readonly keys: readonly StandinKey[];
  /** Default 0: any free port. Always on 127.0.0.1. */
  readonly port?: number;
  /**
   * Default 1. At 60 a minute lasts a second: every quota window shrinks, the day's too, and so
   * do the delays that answers name and the sessions. Answer times and tokens' lives do not.
   */
  readonly speed?: number;
  /** The models that exist. Default: Google's three lasting aliases. */
  readonly models?: readonly string[];
  /** How answers look, unless a key says otherwise. */
  readonly answer?: AnswerShape;
}

/** Stand-in Gemini and Anam servers under one address. */
export interface Standin {
  /** `http://127.0.0.1:PORT`, for both services. */
  readonly url: string;
  /** Newest last and live: at least the last 10,000, at most 11,000. */
  readonly calls: readonly StandinCall[];
  /** Since the start; of a key that the stand-in does not know, among `calls` only. */
  callsOf(key: string): number;
  /** @throws TypeError for a key that it does not know, or a fault that its service cannot have. */
  setFault(key: string, fault: Fault | null): void;
  /** Requests being answered right now. */
  openRequests(): number;
  /** Ends everything, hanging answers included. */
  close(): Promise<void>;
}

const MODELS = ['gemini-flash-latest', 'gemini-flash-lite-latest', 'gemini-pro-latest'];

export async function startStandin(options: StandinOptions): Promise<Standin> {
  const { clock, keys, port = 0, speed = 1, models = MODELS, answer } = options;
  const windows = createQuotaWindows(speed);
  const providers = [
    createGoogle({ clock, keys, windows, models, answer }),
    createAnam({ clock, keys, windows }),
  ];
  const log = new CallLog();
  const desk = new FrontDesk(clock, providers, log);
  const server = createServer(SERVER_OPTIONS, (request, response) =>
    desk.receive(request, response),
  );
  return {
    url: await listen(server, port),
    calls: log.calls,
    callsOf: (key) => callsOf(key, providers, log),
    setFault: (key, fault) => ringOf(key, providers).setFault(key, fault),
    openRequests: () => desk.open,
    close: () => close(server),
  };
}

/** A client may keep its connection between two calls for as long as a proxy would. */
const SERVER_OPTIONS = { keepAliveTimeout: 120_000, requestTimeout: 0 };
/** Thousands of streams may arrive at once. */
const BACKLOG = 8_192;

function listen(server: Server, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host: '127.0.0.1', backlog: BACKLOG }, () => {
      server.off('error', reject);
      resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

function callsOf(key: string, providers: readonly Provider[], log: CallLog): number {
  for (const { ring } of providers) {
    const held = ring.find(key);
    if (held !== null) return held.calls;
  }
  return log.calls.filter((call) => call.key === key).length;
}

function ringOf(key: string, providers: readonly Provider[]) {
  const provider = providers.find(({ ring }) => ring.find(key) !== null);
  if (provider === undefined) throw new TypeError('The stand-in does not know this key');
  return provider.ring;
}
