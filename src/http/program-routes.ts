import type { ErrorRequestHandler, Request, RequestHandler, Response } from 'express';
import { z } from 'zod';
import type { ClientRoute } from '../services/clients.ts';
import { modelOf, servedModels, type Target } from '../shared/target.ts';
import { refuseTokenInQuery } from './access.ts';
import { type AnthropicRoutesOptions, anthropicRoutes } from './anthropic-routes.ts';
import { START_PATH, TOKEN_PATH } from './avatar-routes.ts';
import { type ClientAccess, isAnthropicClient, isGoogleClient } from './caller.ts';
import { ANTHROPIC_ERRORS } from './dialects/anthropic.ts';
import {
  GEMINI_ERRORS,
  METHOD_PATH,
  MODEL_NAME,
  readModelsCall,
  relayRoute,
} from './dialects/gemini.ts';
import { OPENAI_ERRORS } from './dialects/openai.ts';
import { type ErrorForm, HttpError } from './errors.ts';
import { type GeminiRoutesOptions, geminiRoutes } from './gemini-routes.ts';
import { type OpenaiRoutesOptions, openaiRoutes } from './openai-routes.ts';
import { sendJson } from './reply.ts';
import { jsonAnswer, type Route } from './route.ts';

export interface ProgramRoutesOptions
  extends OpenaiRoutesOptions,
    AnthropicRoutesOptions,
    GeminiRoutesOptions {}

/** The routes for programs, in OpenAI's, Anthropic's and Gemini's own protocols. */
export const programRoutes = (options: ProgramRoutesOptions): Route[] => [
  ...openaiRoutes(options),
  ...anthropicRoutes(options),
  ...geminiRoutes(options),
  ...modelsRoutes(options),
];

/** The lists of models. All three protocols have one under `/v1`. */
function modelsRoutes(options: ProgramRoutesOptions): Route[] {
  const { chatTargets, embeddingTargets, modelAliases, relay, clock } = options;
  const served = servedModels([...chatTargets, ...embeddingTargets], modelAliases);
  const ofChats = servedModels(chatTargets, modelAliases);
  const startedAt = clock.now();
  const relayAll = relayRoute(relay, readModelsCall, clock);
  const sendOwn = sendModels([...served].map(toGeminiModel), (models) => ({ models }));
  // Google's own list has no end of models that a confined client may not use.
  const relayModels: RequestHandler = (request, response, next) =>
    (response.locals.client?.isConfined === true ? sendOwn : relayAll)(request, response, next);
  const senders: Record<Protocol, RequestHandler> = {
    openai: sendModels(
      [...served].map((one) => toOpenaiModel(one, startedAt)),
      (data) => ({ object: 'list', data }),
    ),
    anthropic: sendModels(
      [...ofChats].map((one) => toAnthropicModel(one, startedAt)),
      (data) => ({ data, has_more: false, first_id: data[0]?.id, last_id: data.at(-1)?.id }),
    ),
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
    description: `With the token as bearer in [OpenAI's form](https://platform.openai.com/docs/api-reference/models), with the header \`anthropic-version\` in Anthropic's, as \`x-goog-api-key\` or \`?key=\` in Google's. Under \`/v1beta/openai/models\` always in OpenAI's form.`,
    errorForms: [OPENAI_ERRORS, ANTHROPIC_ERRORS, GEMINI_ERRORS],
    handlers: [sendAny],
  } as const;
  const ofGoogle = {
    ...common,
    tag: 'Gemini',
    description: `[Google's own list](https://ai.google.dev/api/models), which is longer than what is served.`,
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

interface ListedModel<Shown> {
  readonly id: string;
  /** Its own name, where `id` is an alias. */
  readonly model: string | null;
  readonly shown: Shown;
}

/** Sends the list of the served models that the client may use, or one of them. Clients look for an alias here too. */
const sendModels = <Shown>(
  models: readonly ListedModel<Shown>[],
  toList: (models: readonly Shown[]) => object,
): RequestHandler =>
  function sendServedModels({ params }, response) {
    const { client } = response.locals;
    const usable = models.filter(({ model }) => client?.mayUseModel(model) !== false);
    const found = usable.find(({ id }) => id === params.model);
    if (params.model !== undefined && found === undefined) {
      throw new HttpError('model_unavailable', 'This model is not served.');
    }
    sendJson(response, 200, found?.shown ?? toList(usable.map(({ shown }) => shown)));
  };

type Served = readonly [id: string, targets: readonly [Target, ...Target[]]];

const toOpenaiModel = ([id, [{ provider, model }]]: Served, startedAt: number) => ({
  id,
  model,
  shown: {
    id,
    object: 'model',
    created: Math.floor(startedAt / 1000),
    owned_by: provider,
  },
});

const toAnthropicModel = ([id, [{ model }]]: Served, startedAt: number) => ({
  id,
  model,
  shown: {
    type: 'model',
    id,
    display_name: id,
    created_at: new Date(startedAt).toISOString(),
  } as const,
});

const toGeminiModel = ([id, [{ model, use }]]: Served) => ({
  id,
  model,
  shown: {
    name: `models/${id}`,
    displayName: id,
    supportedGenerationMethods:
      use === 'chat' ? ['generateContent', 'countTokens'] : ['embedContent'],
  },
});

/**
 * Runs before the routes: rewrites the address of a program's request to the form that the routes have, sets
 * `response.locals.protocol`, and requires a token. An address outside `/v1`, `/v1alpha` and `/v1beta` stays as it is, so
 * that no other route gets a second spelling. The start of an avatar session has a session token instead.
 */
export function admitPrograms(access: ClientAccess): RequestHandler {
  const requireToken = access.require(routeOf);
  return function admitProgram(request, response, next) {
    const path = MAY_BE_PROGRAM.test(request.url) ? tidied(request.path) : '';
    if (!PROGRAM.test(path)) return refuseTokenInQuery(request, response, next);
    const address = path.replace(GOOGLES_OPENAI, '/v1/$1');
    if (address !== request.path) {
      // Only the path is replaced: a proxy may send `http://host` before it, and the router counts its characters.
      request.url = request.url.replace(request.path, () => address);
    }
    if (address === START_PATH) return refuseTokenInQuery(request, response, next);
    const protocol = protocolOf(path, request);
    response.locals.protocol = protocol;
    // Anthropic's clients read the request's id from this header.
    if (protocol === 'anthropic')
      response.locals.head += `request-id: ${response.locals.requestId}\r\n`;
    return requireToken(request, response, next);
  };
}

function routeOf({ path }: Request, { locals }: Response): ClientRoute | null {
  if (MODELS_PATH.test(path)) return null;
  if (path === TOKEN_PATH) return 'avatar';
  return EMBEDDINGS_PATH.test(path) ? 'embeddings' : (locals.protocol ?? 'openai');
}

/** The lists of models. */
const MODELS_PATH = /^\/v1(?:alpha|beta)?\/models(?:\/[^:]*)?$/;
const EMBEDDINGS_PATH = /^\/v1\/embeddings$|:(?:batchEmbedContents|embedContent)$/;

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

/** All protocols share `/v1`. Where the path does not decide, the headers do. */
function protocolOf(path: string, request: Request): Protocol {
  if (OPENAI_PATH.test(path)) return 'openai';
  if (ANTHROPIC_PATH.test(path)) return 'anthropic';
  if (GEMINI_PATH.test(path) || isGoogleClient(request)) return 'gemini';
  return isAnthropicClient(request) ? 'anthropic' : 'openai';
}

/** Cheap: most other requests differ in their first characters. */
const MAY_BE_PROGRAM = /^(?:\/v1|\/\/|[^/])/i;
const PROGRAM = /^\/v1(?:alpha|beta)?(?:\/|$)/i;
const OPENAI_METHODS = 'chat/completions|responses|embeddings';
const OPENAI_PATH = new RegExp(
  `^/v1/(?:${OPENAI_METHODS})$|^/v1(?:alpha|beta)?/openai(?:/|$)`,
  'i',
);
const ANTHROPIC_PATH = /^\/v1\/messages(?:\/|$)/i;
const GEMINI_PATH = new RegExp(`^/v1(?:alpha|beta)|${METHOD_PATH.source}`, 'i');
/** Google serves OpenAI's protocol under these addresses. */
const GOOGLES_OPENAI = new RegExp(
  `^/v1(?:alpha|beta)?/openai/(${OPENAI_METHODS}|models(?:/[^:]*)?)$`,
  'i',
);

/**
 * Decodes `%3A`, removes doubled and trailing slashes and a doubled version, and removes `models/` and `google/` (or their
 * encoded forms) before a model's name.
 */
function tidied(path: string): string {
  if (!UNTIDY.test(path)) return path;
  return path
    .replace(/%3a/gi, ':')
    .replace(/(?<=(?:\/|%2f)(?:models|google))%2f/gi, '/')
    .replace(/\/{2,}/g, '/')
    .replace(/(?<=.)\/$/, '')
    .replace(DOUBLED_VERSION, '$1')
    .replace(/^(\/\w+(?:\/openai)?\/models\/)(?:(?:models|google)\/)+/i, '$1');
}

const UNTIDY = /%|\/\/|\/$|\/models\/(?:models|google)\/|.\/v1\//i;
/** The path of a request whose base URL has the version that the client adds too. */
const DOUBLED_VERSION = /^(\/v1(?:alpha|beta)?(?:\/openai)?)\/v1(?=\/)/i;
