import type { RequestHandler } from 'express';
import { z } from 'zod';
import { modelNotServed } from '../failover/service-error.ts';
import { modelOf, servedModels, type Target } from '../shared/target.ts';
import { type AnthropicRoutesOptions, anthropicRoutes } from './anthropic-routes.ts';
import { ANTHROPIC_ERRORS } from './dialects/anthropic.ts';
import { GEMINI_ERRORS, MODEL_NAME, readModelsCall, relayRoute } from './dialects/gemini.ts';
import { OPENAI_ERRORS } from './dialects/openai.ts';
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
  const senders: Record<NonNullable<Express.Locals['protocol']>, RequestHandler> = {
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
      throw modelNotServed(
        String(params.model),
        usable.map(({ id }) => id),
      );
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
