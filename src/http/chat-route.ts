import type { IncomingMessage } from 'node:http';
import type { ErrorRequestHandler, Request, RequestHandler, Response } from 'express';
import { z } from 'zod';
import type { AnsweredBy } from '../failover/failover.ts';
import { type Chat, type ChatWriter, modelThatAnswered } from '../services/chat.ts';
import type { ChatChunk, ChatFinish } from '../shared/chat.ts';
import { atMost, type Clock } from '../shared/clock.ts';
import { modelOf, type Target } from '../shared/target.ts';
import { callerOf } from './access.ts';
import { readJsonBody } from './body.ts';
import { type AiSdkOptions, aiSdkBody, createAiSdk, isAiSdk } from './dialects/ai-sdk.ts';
import { anamBody, anamLlm } from './dialects/anam-llm.ts';
import type { Dialect, Frames } from './dialects/dialect.ts';
import { chatBody, chatReply, simple } from './dialects/simple.ts';
import { OUR_ERRORS, PLAIN_ERRORS } from './errors.ts';
import { JSON_TYPE, KeepAlive, PacedWriter, sendText, setAnsweredBy } from './reply.ts';
import { errorsOfClients, type RequestBody, type Route } from './route.ts';
import type { RunningAnswer, RunningAnswers } from './running-answers.ts';

export interface ChatRoutesOptions extends AiSdkOptions {
  readonly chat: Chat;
  readonly clock: Clock;
  /** The targets that chats may name. */
  readonly chatTargets: readonly Target[];
  /** In bytes. */
  readonly maxBodyBytes: number;
  readonly limit: readonly RequestHandler[];
  /** Recognises a client by its token. */
  readonly recogniseClient: readonly RequestHandler[];
  /** Sets `response.locals.admin` if the cookie shows an admin; null without an admin token. */
  readonly recognise: Recognise | null;
  /** Null where no answer can be resumed. */
  readonly runningAnswers: RunningAnswers | null;
}

type Recognise = (request: Request, response: Response) => Promise<void>;

export const chatRoutes = (options: ChatRoutesOptions): Route[] => [
  {
    method: 'post',
    path: '/api/chat',
    id: 'chat',
    tag: 'Chat',
    summary: 'Send a message and get its answer',
    description: CHAT,
    usesKeys: true,
    limit: options.limit,
    query: z.object({
      protocol: z.enum(['text']).optional().meta({
        description: "For the AI SDK's `TextStreamChatTransport`: the text alone.",
      }),
    }),
    body: {
      schema: z.union([chatBody, aiSdkBody, anamBody]),
      examples: examplesFor(options.chatTargets),
    },
    answer: {
      description: 'The answer, whole or as a stream.',
      content: {
        'application/json': chatReply,
        'text/event-stream': z.string().meta({ examples: [EVENTS] }),
        'text/plain': z.string(),
      },
      saysWhoAnswered: true,
    },
    errors: ['model_unavailable', 'rate_limited', ...errorsOfClients(options.recogniseClient)],
    errorForms: [OUR_ERRORS, PLAIN_ERRORS],
    handlers: [
      ...options.recogniseClient,
      readJsonBody(options.maxBodyBytes, 'go'),
      answerChat(
        options.chat,
        chatDialectOf(createAiSdk(options)),
        options.clock,
        options.recognise,
        options.runningAnswers,
      ),
    ],
  },
];

const CHAT = `Three dialects, told apart by the shape of the body alone: our own, that of the AI SDK's \`useChat\`, and that of
Anam's example for a custom language model.

With \`"stream": true\`, or without it and with \`Accept: text/event-stream\`, our own dialect answers in events: \`delta\`
\`{text}\` for each piece, then one \`done\` \`{model, finishReason, usage, requestId}\`, or one \`error\`
\`{code, message, requestId, retryAfterSeconds?}\`. The AI SDK gets its [UI message stream](https://ai-sdk.dev/docs/ai-sdk-ui/stream-protocol),
Anam's example gets plain text; an error is a sentence as \`text/plain\` for both. With \`CHAT_TOOLS\` the AI SDK's stream carries
calls of tools that the page runs; an approved call comes back to the page at once, without a call to the provider.

A stream without its first piece after ten seconds sends its status 200 and its headers, then a comment every 15 s. Until
then a failure is an ordinary error with its status, afterwards it is the error of the stream.

A body of the AI SDK may be five times as long as \`MAX_BODY_MB\`: the oldest images of its history are left out, and the
prompt says so.`;

const EVENTS = [
  'event: delta\ndata: {"text":"Hi! How can I help?"}\n\n',
  'event: done\ndata: {"model":"gemini-flash-latest","finishReason":"stop",',
  '"usage":{"inputTokens":3,"outputTokens":7,"totalTokens":10},"requestId":"0b2c1d9e"}\n\n',
].join('');

const PIXEL =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

const toUiMessages = (...parts: readonly object[]) => [{ id: 'm1', role: 'user', parts }];

const examplesFor = (targets: readonly Target[]): RequestBody['examples'] => {
  const [model] = targets.map(modelOf);
  return {
    message: { value: { message: 'Hello!' } },
    history: {
      summary: 'With what was said before',
      value: {
        message: 'And in winter?',
        history: [
          { role: 'user', content: 'Is Lisbon warm in summer?' },
          { role: 'assistant', content: 'Yes, very.' },
        ],
      },
    },
    stream: { summary: 'Answered in events', value: { message: 'Hello!', model, stream: true } },
    aiSdk: {
      summary: 'From `useChat` of the AI SDK',
      value: { messages: toUiMessages({ type: 'text', text: 'Hello!' }) },
    },
    aiSdkImage: {
      summary: 'From `useChat`, with an image',
      value: {
        messages: toUiMessages(
          { type: 'text', text: 'What is this?' },
          { type: 'file', mediaType: 'image/png', url: PIXEL },
        ),
      },
    },
    anam: {
      summary: "From Anam's example for a custom language model",
      value: {
        messages: [
          { role: 'user', content: 'Hi' },
          { role: 'persona', content: 'Hello! I am Ada.' },
          { role: 'user', content: 'What can you do?' },
        ],
      },
    },
  };
};

const chatDialectOf =
  (aiSdk: Dialect) =>
  (request: Request): Dialect => {
    if (!Array.isArray(request.body?.messages)) return simple;
    return isAiSdk(request) ? aiSdk : anamLlm;
  };

/** One chat turn: read in the dialect of its caller, answered, and written as the caller expects it. */
export function answerChat(
  chat: Chat,
  dialectOf: (request: Request) => Dialect,
  clock: Clock,
  recognise: Recognise | null = null,
  runningAnswers: RunningAnswers | null = null,
): RequestHandler {
  return async function postChat(request, response) {
    const dialect = dialectOf(request);
    response.locals.errorForm = dialect.errors;
    const reading = dialect.read(request);
    if (!('request' in reading)) {
      response.writeHead(200, reading.answer.headers).end(reading.answer.text);
      return;
    }
    const { request: asked, answer } = reading;
    if (request.headers.cookie !== undefined) await recognise?.(request, response);
    const caller = callerOf(response);
    const facts = { requestId: caller.requestId, now: clock.now() };
    if (answer.kind === 'whole') {
      const reply = await chat.reply(asked, caller);
      setAnsweredBy(response, reply.answeredBy);
      sendText(response, 200, JSON_TYPE, JSON.stringify(answer.body(reply, facts)));
      return;
    }
    const framesWith = (messageId: string) => answer.frames({ ...facts, messageId });
    const running = runningAnswers?.begin(answer.chatId, caller, framesWith) ?? null;
    if (running !== null) {
      void chat.stream(asked, caller, running).catch((error) => running.fail(error));
      await sendResumable(running, response);
      return;
    }
    const writer = new StreamWriter(response, answer.frames(facts), clock);
    try {
      await chat.stream(asked, caller, writer);
    } finally {
      writer.stop();
    }
  };
}

async function sendResumable(running: RunningAnswer, response: Response): Promise<void> {
  response.locals.running = running;
  await running.read(response);
  if (response.writableFinished) return;
  // The client has left. The answer goes on, and its end is logged.
  await running.over;
  response.locals.reportEnd?.();
}

/** Writes an answer as it comes. The provider is not read while the client does not read. */
class StreamWriter implements ChatWriter {
  readonly #response: Response;
  readonly #frames: Frames;
  readonly #output: PacedWriter;
  readonly #keepAlive: KeepAlive;
  /** Written with the first piece. */
  #ahead = '';

  constructor(response: Response, frames: Frames, clock: Clock) {
    this.#response = response;
    this.#frames = frames;
    this.#output = new PacedWriter(response, clock);
    this.#keepAlive = new KeepAlive(response, clock, frames);
    response.locals.failInStream = frames.fail;
  }

  begin(answeredBy: AnsweredBy, resume: () => void): void {
    this.#ahead = this.#frames.begin(modelThatAnswered(answeredBy));
    this.#output.onRoom = resume;
    this.#keepAlive.begin();
    if (this.#response.headersSent) return;
    setAnsweredBy(this.#response, answeredBy);
    this.#response.writeHead(200, this.#frames.headers);
  }

  write(chunk: ChatChunk): boolean {
    const text = this.#ahead + this.#frames.piece(chunk);
    this.#ahead = '';
    return this.#output.write(text);
  }

  end(finish: ChatFinish): void {
    this.#output.end(this.#frames.end(finish));
  }

  /** Nothing is sent any more. */
  stop(): void {
    this.#keepAlive.stop();
  }
}

/** A body that was not parsed has no shape, but its beginning may show the dialect for the error. */
export const guessErrorForm = (clock: Clock): ErrorRequestHandler =>
  async function setGuessedErrorForm(error, request, response, next) {
    const { body } = request;
    if (body === undefined || Buffer.isBuffer(body)) {
      const beginning: Buffer | null = body ?? (await firstChunkOf(request, clock));
      if (LISTS_MESSAGES.test(beginning?.toString('latin1', 0, 65_536) ?? '')) {
        response.locals.errorForm = PLAIN_ERRORS;
      }
    }
    next(error);
  };

/** In the JSON itself; within a text its quotes would be escaped. */
const LISTS_MESSAGES = /(?<!\\)"messages"\s*:\s*\[/;
/** How long a refusal waits for the beginning of a body. */
const MAX_WAIT_MS = 100;

async function firstChunkOf(request: IncomingMessage, clock: Clock): Promise<Buffer | null> {
  if (request.complete || request.destroyed) return null;
  const beginning = new Promise<Buffer | null>((resolve) => {
    request.once('data', resolve);
    request.once('end', () => resolve(null));
    request.once('close', () => resolve(null));
  });
  const first = await atMost(MAX_WAIT_MS, clock, beginning, null);
  // The rest is read and dropped.
  request.resume();
  return first;
}
