import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Clock } from '../src/shared/clock.ts';
import { createAnam } from './anam/anam.ts';
import { logCall, StandinCall } from './call-log.ts';
import type { Fault } from './fault.ts';
import { createGoogle } from './google/google.ts';
import type { RequestHead, Visit } from './provider.ts';
import { createQuotaWindows } from './quota-window.ts';
import { NOT_FOUND_PAGE, type Reply, sendReply } from './reply.ts';
import type { Answers, StandinKey } from './standin-key.ts';

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
  /** The models for embeddings that exist. Default: Google's two. */
  readonly embeddingModels?: readonly string[];
  /** How answers look, unless a key says otherwise. */
  readonly answer?: Answers;
  /** In characters: a longer body of a call is forgotten. Default: 64 KB. */
  readonly longestBodyKept?: number;
}

/** Stand-in Gemini and Anam servers under one address. */
export interface Standin {
  /** `http://127.0.0.1:PORT`, for both providers. */
  readonly url: string;
  /** Newest last and live: at least the last 10,000, at most 11,000. */
  readonly calls: readonly StandinCall[];
  /** Since the start; of a key that the stand-in does not know, among `calls` only. */
  callsOf(key: string): number;
  /** @throws TypeError for a key that it does not know, or a fault that its provider cannot have. */
  setFault(key: string, fault: Fault | null): void;
  /** Requests being answered right now. */
  openRequests(): number;
  /** Ends everything, hanging answers included. */
  close(): Promise<void>;
}

const MODELS = ['gemini-flash-latest', 'gemini-flash-lite-latest', 'gemini-pro-latest'];
const EMBEDDING_MODELS = ['gemini-embedding-2', 'gemini-embedding-001'];

export async function startStandin(options: StandinOptions): Promise<Standin> {
  const { clock, keys, port = 0, speed = 1, models = MODELS, answer } = options;
  const { embeddingModels = EMBEDDING_MODELS } = options;
  const windows = createQuotaWindows(speed);
  const google = createGoogle({ clock, keys, windows, models, embeddingModels, answer });
  const anam = createAnam({ clock, keys, windows });
  const calls: StandinCall[] = [];
  let open = 0;
  const receive = (request: IncomingMessage, response: ServerResponse) => {
    const head = headOf(request);
    const isPreflight = head.method === 'OPTIONS';
    const visit = isPreflight ? null : (google.receive(head) ?? anam.receive(head));
    if (visit !== null) return serve(visit, head, request, response);
    request.resume();
    sendReply(isPreflight ? PREFLIGHT : NOT_FOUND_PAGE, response, clock, null);
  };
  const serve = (
    visit: Visit,
    { path }: RequestHead,
    request: IncomingMessage,
    response: ServerResponse,
  ) => {
    const { key, service, model, holder } = visit;
    const traceparent = request.headers.traceparent?.toString();
    const call = new StandinCall({ key, service, path, model, at: clock.now(), traceparent });
    if (holder !== null) holder.calls += 1;
    logCall(calls, call);
    open += 1;
    response.once('close', () => {
      open -= 1;
      call.aborted = !response.writableFinished && !call.isCut;
    });
    readBody(request, (text) => {
      call.keepBody(text, options.longestBodyKept);
      sendReply(visit.answer(text), response, clock, call);
    });
  };
  const server = createServer(SERVER_OPTIONS, receive);
  const keysWith = (key: string) =>
    [google.keys, anam.keys].find((known) => known.find(key) !== null);
  return {
    url: await listen(server, port),
    calls,
    callsOf: (key) =>
      keysWith(key)?.find(key)?.calls ?? calls.filter((call) => call.key === key).length,
    setFault(key, fault) {
      const known = keysWith(key);
      if (known === undefined) throw new TypeError('The stand-in does not know this key');
      known.setFault(key, fault);
    },
    openRequests: () => open,
    close: () => close(server),
  };
}

/** A client may keep its connection between two calls for as long as a proxy would. */
const SERVER_OPTIONS = { keepAliveTimeout: 120_000, requestTimeout: 0 };
/** Thousands of streams may arrive at once. */
const BACKLOG = 8_192;

/** Allows a browser every call. */
const PREFLIGHT: Reply = {
  status: 204,
  headers: {
    'access-control-allow-methods': 'GET, POST, OPTIONS',
    'access-control-allow-headers': '*, authorization',
    'access-control-max-age': '86400',
  },
  body: [],
};

function headOf({ method = '', url = '', headers }: IncomingMessage): RequestHead {
  const mark = url.indexOf('?');
  if (mark === -1) return { method, path: url, query: '', headers };
  return { method, path: url.slice(0, mark), query: url.slice(mark + 1), headers };
}

/** Passes the body on once it is whole; never when the client leaves before. */
function readBody(request: IncomingMessage, then: (text: string) => void): void {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.once('end', () => then(Buffer.concat(chunks).toString()));
}

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
