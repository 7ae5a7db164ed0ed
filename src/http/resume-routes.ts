import type { RequestHandler, Response } from 'express';
import { z } from 'zod';
import { ServiceError } from '../failover/service-error.ts';
import type { Clock, Timer } from '../shared/clock.ts';
import type { AnswerStore, ReadPart } from '../shared/shared-store.ts';
import { toUiMessageStream } from './dialects/ai-sdk.ts';
import type { Frames } from './dialects/dialect.ts';
import { ERROR_CODES, HttpError, OUR_ERRORS, PLAIN_ERRORS } from './errors.ts';
import { KeepAlive, PacedWriter } from './reply.ts';
import type { Route } from './route.ts';
import { chatNameOf, type RunningAnswers } from './running-answers.ts';

export interface ResumeRoutesOptions {
  /** Null where no answer can be resumed. */
  readonly runningAnswers: RunningAnswers | null;
  /** Holds the answers of other instances; null without a shared store. */
  readonly answerStore: AnswerStore | null;
  readonly clock: Clock;
  readonly limit: readonly RequestHandler[];
}

/** `useChat` requests the first at each load of its page. An app stops an answer with the second. */
export function resumeRoutes(options: ResumeRoutesOptions): Route[] {
  const { runningAnswers: answers, limit } = options;
  const shared = {
    path: PATH,
    tag: 'Chat',
    params: z.object({ id: z.string().meta({ examples: ['3kTm8Qw2ZrV5xYbN'] }) }),
    limit: answers === null || limit.length === 0 ? [] : [setPlainErrors, ...limit],
    errorForms: [OUR_ERRORS, PLAIN_ERRORS],
    isPolled: true,
    isUncached: true,
  } as const;
  return [
    {
      ...shared,
      method: 'get',
      id: 'resumeChat',
      summary: 'Resume a running answer',
      description: answers === null ? OFF : ON,
      answer: NOTHING,
      ...(answers === null
        ? {}
        : {
            otherAnswer: {
              description: 'The whole answer from its beginning. A failure is an `error` part.',
              content: { 'text/event-stream': z.string() },
            },
          }),
      handlers: [answers === null ? sendNothing : resume(answers, options)],
    },
    {
      ...shared,
      method: 'delete',
      id: 'stopChat',
      summary: 'Stop a running answer',
      description:
        'Ends the call to the provider and the answer for all its readers. The answer cannot be resumed afterwards.',
      answer: { status: 204, description: 'No answer of this chat is running.' },
      handlers: [answers === null ? sendNothing : stop(answers)],
    },
  ];
}

/** `useChat` shows the body of an error to the user. */
const setPlainErrors: RequestHandler = (_request, { locals }, next) => {
  locals.errorForm = PLAIN_ERRORS;
  next();
};

const PATH = '/api/chat/{id}/stream';

const OFF = `\`useChat({resume: true})\` sends this request at each load of its page. Without \`CHAT_RESUME\` an answer ends with
its connection, so none can be resumed.`;

const ON = `\`useChat({resume: true})\` sends this request at each load of its page. An answer goes on for a minute without a
reader, and is kept for a minute after its end if no reader has received it in full. \`{id}\` is the \`id\` in the body of
\`POST /api/chat\`. No answer is kept under an id of less than 16 characters.`;

const NOTHING = { status: 204, description: 'There is no answer to resume.' } as const;

const sendNothing: RequestHandler = (_request, response) => void response.writeHead(204).end();

function stop(answers: RunningAnswers): RequestHandler {
  return async function stopChat(request, response) {
    const name = chatNameOf(request.params.id);
    if (name !== null) await answers.stop(name);
    response.writeHead(204).end();
  };
}

function resume(answers: RunningAnswers, options: ResumeRoutesOptions): RequestHandler {
  return async function resumeChat(request, response, next) {
    const name = chatNameOf(request.params.id);
    const read = name === null ? null : await findAnswer(name, answers, response, options);
    if (read === null) sendNothing(request, response, next);
    else if (request.method === 'HEAD') response.writeHead(200, formOf(response).headers).end();
    else await read();
  };
}

/** @returns what sends the answer; null where there is none */
async function findAnswer(
  name: string,
  answers: RunningAnswers,
  response: Response,
  { answerStore: store, clock }: ResumeRoutesOptions,
): Promise<(() => Promise<void>) | null> {
  const here = answers.find(name);
  if (here !== null) return () => here.read(response);
  if (store === null) return null;
  // While the store fails, only the answers of this instance can be read.
  const part = await store.read(name, null, 0).catch(() => null);
  return part === null ? null : () => new RemoteReader(response, clock, store, name).read(part);
}

const formOf = ({ locals }: Response): Frames =>
  toUiMessageStream({ requestId: locals.requestId, now: locals.startedAt });

/** How often the copy of another instance's answer is read. */
const POLL_MS = 200;
/** The owner writes every three seconds, even while the model is silent. */
const DEAD_MS = 10_000;

/** Sends an answer that another instance writes. */
class RemoteReader {
  readonly #response: Response;
  readonly #clock: Clock;
  readonly #store: AnswerStore;
  readonly #name: string;
  readonly #form: Frames;
  readonly #output: PacedWriter;
  readonly #keepAlive: KeepAlive;
  /** In bytes. */
  #position = 0;
  #timer: Timer | null = null;
  #goOn: () => void = () => {};

  constructor(response: Response, clock: Clock, store: AnswerStore, name: string) {
    this.#response = response;
    this.#clock = clock;
    this.#store = store;
    this.#name = name;
    this.#form = formOf(response);
    this.#output = new PacedWriter(response, clock);
    this.#keepAlive = new KeepAlive(response, clock, this.#form);
    response.locals.failInStream = this.#form.fail;
    response.on('close', () => {
      this.#keepAlive.stop();
      this.#timer?.cancel();
      this.#goOn();
    });
  }

  /** @throws HttpError or ServiceError when the answer has failed or its instance has died */
  async read(first: ReadPart): Promise<void> {
    const { id } = first;
    let part: ReadPart | null = first;
    let heardAt = this.#clock.now();
    try {
      while (!this.#response.destroyed) {
        if (part !== null) heardAt = this.#clock.now() - part.ageMs;
        if (part !== null && (await this.#send(part))) return;
        if (this.#clock.now() - heardAt > DEAD_MS) throw this.#interrupted();
        await this.#pause();
        part = await this.#next(id);
      }
    } finally {
      this.#keepAlive.stop();
    }
  }

  /** @returns null while the store does not respond */
  async #next(id: string): Promise<ReadPart | null> {
    const read = this.#store.read(this.#name, id, this.#position);
    const part = await read.catch(() => 'unknown' as const);
    if (part === null) throw this.#interrupted();
    return part === 'unknown' ? null : part;
  }

  /** @returns whether the answer is over */
  async #send({ id, text, state }: ReadPart): Promise<boolean> {
    this.#position += Buffer.byteLength(text);
    if (text !== '' || state.kind !== 'running') this.#begin();
    if (!this.#output.write(text)) await this.#room();
    switch (state.kind) {
      case 'running':
        return false;
      case 'ended':
        this.#output.end();
        await this.#closed();
        if (this.#response.writableFinished) await this.#markAsTaken(id);
        return true;
      case 'stopped':
        this.#output.end(this.#form.stop?.());
        return true;
      case 'failed': {
        const code = ERROR_CODES.find((known) => known === state.code) ?? 'upstream_failed';
        const { message, retryAfterSeconds } = state;
        await this.#markAsTaken(id);
        throw new HttpError(code, message, { retryAfterSeconds });
      }
      case 'lost':
        throw this.#interrupted();
      default:
        state satisfies never;
        return true;
    }
  }

  #begin(): void {
    this.#keepAlive.begin();
    if (!this.#response.headersSent) this.#response.writeHead(200, this.#form.headers);
  }

  #interrupted(): ServiceError {
    this.#begin();
    return new ServiceError('upstream_failed', 'The answer broke off. Please try again.');
  }

  /** From now on the answer cannot be resumed. */
  #markAsTaken(id: string): Promise<void> {
    return this.#store.end(this.#name, id, 'taken').catch(() => {});
  }

  #room(): Promise<void> {
    return new Promise((resolve) => {
      this.#output.onRoom = resolve;
    });
  }

  #closed(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#response.closed) resolve();
      else this.#goOn = resolve;
    });
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      this.#goOn = resolve;
      this.#timer = this.#clock.after(POLL_MS, resolve);
    });
  }
}
