import type { ErrorRequestHandler, Request, RequestHandler } from 'express';
import { z } from 'zod';
import type { Chat } from '../services/chat.ts';
import type { Embed } from '../services/embeddings.ts';
import type { Relay } from '../services/relay.ts';
import { modelOf, type ServedModels, servedModels, type Target } from '../shared/target.ts';
import { refuseTokenInQuery } from './access.ts';
import {
  type AnthropicRoutesOptions,
  anthropicRoutes,
  sendAnthropicModels,
} from './anthropic-routes.ts';
import { START_PATH } from './avatar-routes.ts';
import { linked, readBytes, readJsonBody } from './body.ts';
import {
  type ClientAccessOptions,
  isAnthropicClient,
  isGoogleClient,
  requireClientToken,
} from './caller.ts';
import { answerChat, type ChatRoutesOptions } from './chat-route.ts';
import { ANTHROPIC_ERRORS } from './dialects/anthropic.ts';
import {
  GEMINI_ERRORS,
  METHOD_PATH,
  METHODS,
  MODEL_NAME,
  methodPath,
  readMethodCall,
  readModelsCall,
  relayRoute,
} from './dialects/gemini.ts';
import { OPENAI_ERRORS, openai } from './dialects/openai.ts';
import { answerEmbeddings } from './dialects/openai-embeddings.ts';
import { responses } from './dialects/responses.ts';
import { type ErrorForm, HttpError } from './errors.ts';
import { sendJson } from './reply.ts';
import { jsonAnswer, type RequestBody, type Route } from './route.ts';

export interface ProgramRoutesOptions
  extends Pick<ChatRoutesOptions, 'chatTargets' | 'clock' | 'maxBodyBytes'>,
    AnthropicRoutesOptions {
  /** Without our own system prompt, which is for the web chat. */
  readonly completions: Chat;
  readonly embed: Embed;
  readonly embeddingTargets: readonly Target[];
  /** Further names of the models. */
  readonly modelAliases: ReadonlyMap<string, string>;
  readonly relay: Relay;
}

/** The routes for programs, in OpenAI's, Anthropic's and Gemini's own protocols. */
export const programRoutes = (options: ProgramRoutesOptions): Route[] => [
  completionsRoute(options),
  methodsRoute(options),
  responsesRoute(options),
  ...anthropicRoutes(options),
  embeddingsRoute(options),
  embedContentRoute(options),
  batchEmbedContentsRoute(options),
  ...modelsRoutes(options),
];

const OPENAI = 'https://platform.openai.com/docs/api-reference';
const GOOGLE = 'https://ai.google.dev/api';

const completionsRoute = (options: ProgramRoutesOptions): Route => ({
  method: 'post',
  path: COMPLETIONS_PATH,
  id: 'createChatCompletion',
  tag: 'OpenAI',
  summary: 'Create a chat completion',
  description: COMPLETIONS,
  auth: 'client',
  usesKeys: true,
  body: {
    schema: linked('ChatCompletionRequest', `${OPENAI}/chat/create`),
    examples: completionExamples(options.chatTargets),
  },
  answer: {
    description: 'The completion; with `"stream": true` in pieces, then `data: [DONE]`.',
    content: {
      'application/json': linked('ChatCompletion', `${OPENAI}/chat/object`),
      'text/event-stream': z
        .string()
        .meta({ description: `[Reference](${OPENAI}/chat-streaming)` }),
    },
    saysWhoAnswered: true,
  },
  errors: ['model_unavailable', 'rate_limited'],
  errorForms: [OPENAI_ERRORS],
  handlers: [
    readJsonBody(options.maxBodyBytes),
    answerChat(options.completions, () => openai, options.clock),
  ],
});

const responsesRoute = (options: ProgramRoutesOptions): Route => ({
  method: 'post',
  path: RESPONSES_PATH,
  id: 'createResponse',
  tag: 'OpenAI',
  summary: 'Create a response',
  description: RESPONSES,
  auth: 'client',
  usesKeys: true,
  body: {
    schema: linked('ResponseRequest', `${OPENAI}/responses/create`),
    examples: responseExamples(options.chatTargets),
  },
  answer: {
    description: 'The response; with `"stream": true` as events.',
    content: {
      'application/json': linked('Response', `${OPENAI}/responses/object`),
      'text/event-stream': z
        .string()
        .meta({ description: `[Reference](${OPENAI}/responses-streaming)` }),
    },
    saysWhoAnswered: true,
  },
  errors: ['model_unavailable', 'rate_limited'],
  errorForms: [OPENAI_ERRORS],
  handlers: [
    readJsonBody(options.maxBodyBytes),
    answerChat(options.completions, () => responses, options.clock),
  ],
});

const RESPONSES =
  'No response is kept: a `previous_response_id` is refused. A parameter that would change the answer and is not supported is refused by name.';

const responseExamples = (targets: readonly Target[]): RequestBody['examples'] => {
  const [model] = targets.map(modelOf);
  return {
    hello: { value: { model, input: 'Hello!' } },
    stream: { summary: 'As events', value: { model, input: HELLO, stream: true } },
  };
};

const COMPLETIONS =
  'Also at `/v1beta/openai/chat/completions`, as at Google. A parameter that would change the answer and is not supported is refused by name. A stream without its first piece after ten seconds sends its status 200; a later failure is an event with `error`.';

const HELLO = [{ role: 'user', content: 'Hello!' }];

const completionExamples = (targets: readonly Target[]): RequestBody['examples'] => {
  const [model] = targets.map(modelOf);
  return {
    hello: { value: { model, messages: HELLO } },
    stream: {
      summary: 'In pieces, with the tokens',
      value: { model, messages: HELLO, stream: true, stream_options: { include_usage: true } },
    },
    tools: {
      summary: 'With a function that may be called',
      value: {
        model,
        messages: HELLO,
        tools: [
          { type: 'function', function: { name: 'weather', parameters: { type: 'object' } } },
        ],
      },
    },
  };
};

const embeddingsRoute = (options: ProgramRoutesOptions): Route => ({
  method: 'post',
  path: EMBEDDINGS_PATH,
  id: 'createEmbeddings',
  tag: 'OpenAI',
  summary: 'Create embeddings',
  description: EMBEDDINGS,
  auth: 'client',
  usesKeys: true,
  body: {
    schema: linked('EmbeddingRequest', `${OPENAI}/embeddings/create`),
    examples: embeddingExamples(options.embeddingTargets),
  },
  answer: {
    description: 'An embedding for each text, in the order of the texts.',
    content: { 'application/json': linked('EmbeddingList', `${OPENAI}/embeddings/object`) },
    saysWhoAnswered: true,
  },
  errors: ['model_unavailable', 'rate_limited'],
  errorForms: [OPENAI_ERRORS],
  handlers: [readJsonBody(options.maxBodyBytes), answerEmbeddings(options.embed)],
});

const EMBEDDINGS =
  'Also at `/v1beta/openai/embeddings`, as at Google. `input` is a text or a list of at most 100 texts: Google takes no more in one call, and counts each as a request. Lists of tokens are refused. Where Google counts no tokens, `usage` is an estimate.';

const embeddingExamples = (targets: readonly Target[]): RequestBody['examples'] => {
  const [model] = targets.map(modelOf);
  return {
    text: { value: { model, input: 'Hello!' } },
    texts: {
      summary: 'Several texts, 768 numbers each, in base64',
      value: { model, input: ['Hello!', 'Bye!'], dimensions: 768, encoding_format: 'base64' },
    },
  };
};

const methodsRoute = (options: ProgramRoutesOptions): Route => ({
  ...ofMethod('{method}', options),
  pattern: methodPath(METHODS),
  id: 'callModel',
  summary: "Call a method of Gemini's API",
  description: `Body and answer are Google's own, byte for byte: [generate](${GOOGLE}/generate-content), [count](${GOOGLE}/tokens). A stream that is silent for ten seconds sends its status 200; a later failure is an error in the stream, and the connection breaks.`,
  params: z.object({
    model: z
      .enum(namesOf(options.chatTargets, options))
      .meta({ description: 'One of `GOOGLE_MODELS`, or of the `MODEL_ALIASES` for them.' }),
    method: z.enum(METHODS),
  }),
  query: z.object({
    alt: z.enum(['sse', 'json']).optional().meta({
      description: 'With `sse` the pieces of a stream come as events, otherwise as one JSON list.',
    }),
  }),
  body: {
    schema: linked('GenerateContentRequest', `${GOOGLE}/generate-content#request-body`),
    examples: { hello: { value: { contents: [{ role: 'user', parts: [{ text: 'Hello!' }] }] } } },
  },
  answer: {
    description: "Google's answer.",
    content: {
      'application/json': z.union([z.looseObject({}), z.array(z.looseObject({}))]),
      'text/event-stream': z.string(),
    },
  },
});

/** What the routes for methods of a model have in common. */
const ofMethod = (method: string, options: ProgramRoutesOptions) =>
  ({
    method: 'post',
    path: `/v1beta/models/{model}:${method}`,
    aliases: [`/v1/models/{model}:${method}`, `/v1alpha/models/{model}:${method}`],
    tag: 'Gemini',
    auth: 'client',
    usesKeys: true,
    passesOn: 'Google',
    errors: ['model_unavailable'],
    errorForms: [GEMINI_ERRORS],
    // Compressed bodies go on to Google as they are.
    handlers: [
      readBytes(options.maxBodyBytes, { inflates: false, isJson: true }),
      relayRoute(options.relay, readMethodCall, options.clock),
    ],
  }) as const;

const embedContentRoute = (options: ProgramRoutesOptions): Route => ({
  ...ofEmbedding('embedContent', options),
  id: 'embedContent',
  summary: 'Embed a content',
  body: {
    schema: linked('EmbedContentRequest', `${GOOGLE}/embeddings#method:-models.embedcontent`),
    examples: { hello: { value: { content: HELLO_CONTENT } } },
  },
});

const batchEmbedContentsRoute = (options: ProgramRoutesOptions): Route => ({
  ...ofEmbedding('batchEmbedContents', options),
  id: 'batchEmbedContents',
  summary: 'Embed several contents',
  body: {
    schema: linked(
      'BatchEmbedContentsRequest',
      `${GOOGLE}/embeddings#method:-models.batchembedcontents`,
    ),
    examples: {
      hello: {
        value: {
          requests: options.embeddingTargets
            .slice(0, 1)
            .map((target) => ({ model: `models/${modelOf(target)}`, content: HELLO_CONTENT })),
        },
      },
    },
  },
});

const HELLO_CONTENT = { parts: [{ text: 'Hello!' }] };

const ofEmbedding = (method: string, options: ProgramRoutesOptions) => ({
  ...ofMethod(method, options),
  pattern: methodPath([method]),
  description: `Body and answer are [Google's own](${GOOGLE}/embeddings). Of the body only the name of a model changes, where an alias or a prefix stands for it.`,
  params: z.object({
    model: z.enum(namesOf(options.embeddingTargets, options)).meta({
      description: 'One of `GOOGLE_EMBEDDING_MODELS`, or of the `MODEL_ALIASES` for them.',
    }),
  }),
  answer: jsonAnswer("Google's answer.", z.looseObject({})),
});

const namesOf = (targets: readonly Target[], { modelAliases }: ProgramRoutesOptions) => [
  ...servedModels(targets, modelAliases).keys(),
];

/** `/v1` belongs to all protocols; the headers tell them apart. */
function modelsRoutes(options: ProgramRoutesOptions): Route[] {
  const { chatTargets, embeddingTargets, modelAliases, relay, clock } = options;
  const served = servedModels([...chatTargets, ...embeddingTargets], modelAliases);
  const listModels = sendOpenaiModels(served, clock.now());
  const relayModels = relayRoute(relay, readModelsCall, clock);
  const senders: Record<Protocol, RequestHandler> = {
    openai: listModels,
    anthropic: sendAnthropicModels(servedModels(chatTargets, modelAliases), clock.now()),
    gemini: relayModels,
  };
  const sendAny: RequestHandler = (request, response, next) =>
    senders[response.locals.protocol ?? 'openai'](request, response, next);
  const examples = chatTargets.slice(0, 1).map(modelOf);
  const common = {
    method: 'get',
    auth: 'client',
    usesKeys: true,
    passesOn: 'Google',
    answer: jsonAnswer("In OpenAI's, Anthropic's or Google's form.", z.looseObject({})),
    errors: ['model_unavailable'],
  } as const;
  const ofAll = {
    ...common,
    tag: 'OpenAI',
    description: `With the token as bearer in [OpenAI's form](${OPENAI}/models), with the header \`anthropic-version\` in Anthropic's, as \`x-goog-api-key\` or \`?key=\` in Google's. Under \`/v1beta/openai/models\` always in OpenAI's form.`,
    errorForms: [OPENAI_ERRORS, ANTHROPIC_ERRORS, GEMINI_ERRORS],
    handlers: [sendAny],
  } as const;
  const ofGoogle = {
    ...common,
    tag: 'Gemini',
    description: `[Google's own list](${GOOGLE}/models), which is longer than what is served.`,
    errorForms: [GEMINI_ERRORS],
    handlers: [relayModels],
  } as const;
  const list = (...versions: Versions) => pathsAt('/models', versions);
  const one = (...versions: Versions) => ({
    ...pathsAt('/models/{model}', versions),
    params: z.object({ model: z.string().max(100).meta({ examples }) }),
  });
  return [
    { ...ofAll, ...list('v1'), id: 'listModels', summary: 'List the models' },
    { ...ofAll, ...one('v1'), id: 'getModel', summary: 'See whether a model is served' },
    { ...ofGoogle, ...list(...BETAS), id: 'listGoogleModels', summary: "List Google's models" },
    { ...ofGoogle, ...one(...BETAS), id: 'getGoogleModel', summary: 'Describe a Google model' },
  ];
}

type Versions = readonly [string, ...string[]];
const BETAS: Versions = ['v1beta', 'v1alpha'];

const pathsAt = (path: string, [version, ...others]: Versions) => ({
  path: `/${version}${path}`,
  aliases: others.map((other) => `/${other}${path}`),
  pattern: new RegExp(
    `^/(?:${[version, ...others].join('|')})${path.replace('{model}', MODEL_NAME)}$`,
  ),
});

const COMPLETIONS_PATH = '/v1/chat/completions';
const RESPONSES_PATH = '/v1/responses';
const EMBEDDINGS_PATH = '/v1/embeddings';

/**
 * Stands before the routes: rewrites the address of a program's request to the form that they have, sets
 * `response.locals.protocol`, and requires a token. An address that does not lead to `/v1`, `/v1alpha` or `/v1beta` stays
 * as it is, so that no other route gets a second spelling. The start of an avatar session brings a token of its own.
 */
export function admitPrograms(options: ClientAccessOptions): RequestHandler {
  const requireToken = requireClientToken(options);
  return function admitProgram(request, response, next) {
    const path = MAY_BE_PROGRAM.test(request.url) ? tidied(request.path) : '';
    if (!PROGRAM.test(path)) return refuseTokenInQuery(request, response, next);
    const address = path.replace(GOOGLES_OPENAI, '/v1/$1');
    if (address !== request.path) {
      // In place: a proxy may send `http://host` before the path, and the router counts its characters.
      request.url = request.url.replace(request.path, () => address);
    }
    if (address === START_PATH) return refuseTokenInQuery(request, response, next);
    const protocol = protocolOf(path, request);
    response.locals.protocol = protocol;
    // Where Anthropic's clients look for it.
    if (protocol === 'anthropic')
      response.locals.head += `request-id: ${response.locals.requestId}\r\n`;
    return requireToken(request, response, next);
  };
}

/** Sets the form of an error in a program's request, also of one that was refused before it was admitted. */
export const setProgramErrorForm: ErrorRequestHandler = (error, request, { locals }, next) => {
  const path = tidied(request.path);
  const protocol = locals.protocol ?? (PROGRAM.test(path) ? protocolOf(path, request) : null);
  if (protocol !== null) locals.errorForm ??= ERROR_FORMS[protocol];
  next(error);
};

type Protocol = NonNullable<Express.Locals['protocol']>;

const ERROR_FORMS: Record<Protocol, ErrorForm> = {
  openai: OPENAI_ERRORS,
  anthropic: ANTHROPIC_ERRORS,
  gemini: GEMINI_ERRORS,
};

/** `/v1` belongs to all; where the path does not decide, the headers do. */
function protocolOf(path: string, request: Request): Protocol {
  if (OPENAI_PATH.test(path)) return 'openai';
  if (ANTHROPIC_PATH.test(path)) return 'anthropic';
  if (GEMINI_PATH.test(path) || isGoogleClient(request)) return 'gemini';
  return isAnthropicClient(request) ? 'anthropic' : 'openai';
}

/** Most requests are told apart by their first letters. */
const MAY_BE_PROGRAM = /^(?:\/v1|\/\/|[^/])/i;
const PROGRAM = /^\/v1(?:alpha|beta)?(?:\/|$)/i;
const OPENAI_PATH = new RegExp(
  `^(?:${COMPLETIONS_PATH}|${RESPONSES_PATH}|${EMBEDDINGS_PATH})$|^/v1(?:alpha|beta)?/openai(?:/|$)`,
  'i',
);
const ANTHROPIC_PATH = /^\/v1\/messages(?:\/|$)/i;
const GEMINI_PATH = new RegExp(`^/v1(?:alpha|beta)|${METHOD_PATH.source}`, 'i');
/** Where Google has OpenAI's protocol. */
const GOOGLES_OPENAI =
  /^\/v1(?:alpha|beta)?\/openai\/(chat\/completions|responses|embeddings|models(?:\/[^:]*)?)$/i;

/**
 * Decodes `%3A`, removes doubled and trailing slashes, and removes `models/` and `google/` (or their
 * encoded forms) before a model's name.
 */
function tidied(path: string): string {
  if (!UNTIDY.test(path)) return path;
  return path
    .replace(/%3a/gi, ':')
    .replace(/(?<=(?:\/|%2f)(?:models|google))%2f/gi, '/')
    .replace(/\/{2,}/g, '/')
    .replace(/(?<=.)\/$/, '')
    .replace(/^(\/\w+(?:\/openai)?\/models\/)(?:(?:models|google)\/)+/i, '$1');
}

const UNTIDY = /%|\/\/|\/$|\/models\/(?:models|google)\//i;

/** The models that are served, or one of them, in OpenAI's form. Clients look for an alias here too. */
function sendOpenaiModels(served: ServedModels, startedAt: number): RequestHandler {
  const described = [...served].map(([id, [{ provider }]]) => ({
    id,
    object: 'model',
    created: Math.floor(startedAt / 1000),
    owned_by: provider,
  }));
  return function sendModels({ params }, response) {
    const { model } = params;
    if (model === undefined) {
      sendJson(response, 200, { object: 'list', data: described });
      return;
    }
    const found = described.find(({ id }) => id === model);
    if (found === undefined) throw notServed();
    sendJson(response, 200, found);
  };
}

const notServed = () => new HttpError('model_unavailable', 'This model is not served.');
