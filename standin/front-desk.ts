import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Clock } from '../src/shared/clock.ts';
import { readBody } from './body.ts';
import { type CallLog, LoggedCall } from './call-log.ts';
import { notFoundPage } from './google/other-refusals.ts';
import type { Provider, RequestHead, Visit } from './provider.ts';
import type { Reply } from './reply.ts';
import { type Sending, sendReply } from './send-reply.ts';

/** Receives every request, finds the service that it is for, and keeps the books. */
export class FrontDesk {
  readonly #clock: Clock;
  readonly #providers: readonly Provider[];
  readonly #log: CallLog;
  /** Requests being answered right now. */
  open = 0;

  constructor(clock: Clock, providers: readonly Provider[], log: CallLog) {
    this.#clock = clock;
    this.#providers = providers;
    this.#log = log;
  }

  receive(request: IncomingMessage, response: ServerResponse): void {
    const head = headOf(request);
    for (const provider of this.#providers) {
      const visit = head.method === 'OPTIONS' ? null : provider.receive(head);
      if (visit === null) continue;
      this.#serve(visit, this.#book(provider, visit, head), request, response);
      return;
    }
    const reply = head.method === 'OPTIONS' ? PREFLIGHT : notFoundPage();
    sendUnlogged(reply, this.#clock, request, response);
  }

  #book({ service }: Provider, { key, holder, model }: Visit, { path }: RequestHead): LoggedCall {
    const call = new LoggedCall({ key, service, path, model, at: this.#clock.now() });
    if (holder !== null) holder.calls += 1;
    this.#log.add(call);
    return call;
  }

  #serve(visit: Visit, call: LoggedCall, request: IncomingMessage, response: ServerResponse): void {
    let cutByUs = false;
    this.open += 1;
    response.once('close', () => {
      this.open -= 1;
      call.aborted = !response.writableFinished && !cutByUs;
    });
    const sending: Sending = {
      clock: this.#clock,
      onHead: (status) => {
        call.status = status;
      },
      onCut: () => {
        cutByUs = true;
      },
    };
    readBody(request, (text) => {
      call.keepBody(text);
      sendReply(visit.answer(text), response, sending);
    });
  }
}

function headOf({ method = '', url = '', headers }: IncomingMessage): RequestHead {
  const mark = url.indexOf('?');
  if (mark === -1) return { method, path: url, query: '', headers };
  return { method, path: url.slice(0, mark), query: url.slice(mark + 1), headers };
}

/** What a browser is told that asks whether it may call: yes. */
const PREFLIGHT: Reply = {
  status: 204,
  headers: {
    'access-control-allow-methods': 'GET, POST, OPTIONS',
    'access-control-allow-headers': '*, authorization',
    'access-control-max-age': '86400',
  },
  body: [],
};

/** Of no service, so nobody's call. */
function sendUnlogged(
  reply: Reply,
  clock: Clock,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  request.resume();
  sendReply(reply, response, { clock, onHead: () => {}, onCut: () => {} });
}
