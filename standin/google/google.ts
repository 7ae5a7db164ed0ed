import type { Clock } from '../../src/shared/clock.ts';
import { isJsonObject, parseJson } from '../../src/shared/json.ts';
import { answerDespite, isOfConnection } from '../fault.ts';
import { KnownKeys, type Provider } from '../provider.ts';
import type { QuotaWindows } from '../quota-window.ts';
import { jsonReply, NOT_FOUND_PAGE, type Reply } from '../reply.ts';
import type { Answers, StandinKey } from '../standin-key.ts';
import { isSpoiled } from './answer.ts';
import { createEmbed } from './embed.ts';
import { createGenerate, type GoogleCall } from './generate.ts';
import { liveModelIn, mintLiveToken } from './live-token.ts';
import { Quotas } from './quota.ts';
import { googleError, isGoogleRefusal, MISSING_KEY, refuse, UNKNOWN_KEY } from './refusals.ts';
import { createRequestReader, type RequestReader } from './request.ts';
import { isBroken } from './wire.ts';

export interface GoogleOptions {
  readonly clock: Clock;
  readonly keys: readonly StandinKey[];
  readonly windows: QuotaWindows;
  readonly models: readonly string[];
  readonly embeddingModels: readonly string[];
  readonly answer: Answers | undefined;
}

/** The Gemini API. Only generating and embedding count against quotas; listing, counting tokens and minting them for Live sessions are free. */
export function createGoogle(options: GoogleOptions): Provider {
  const { clock, windows } = options;
  const keys = new KnownKeys(
    'google',
    options.keys,
    (fault) =>
      isOfConnection(fault) || isGoogleRefusal(fault) || isSpoiled(fault) || isBroken(fault),
  );
  const perform = createMethods(keys, options);
  return {
    keys,
    receive({ method: verb, path, query, headers }) {
      const route = routeOf(path);
      if (route === null) return null;
      const key = String(headers['x-goog-api-key'] ?? '');
      const holder = keys.find(key);
      const answer = (text: string) => {
        if (verb !== verbOf(route.method)) return NOT_FOUND_PAGE;
        if (holder === null) return key === '' ? MISSING_KEY : UNKNOWN_KEY;
        const fault = holder.nextFault();
        const model = modelIn(route, text);
        const call = {
          ...route,
          model,
          key,
          now: clock.now(),
          windows,
          holder,
          query,
          text,
          fault,
        };
        return answerDespite(fault, null, () =>
          fault !== null && isGoogleRefusal(fault) ? refuse(fault, call) : perform(call),
        );
      };
      return { service: 'google', key, holder, model: route.model, answer };
    },
  };
}

const MODELS_PATH = /^\/(v1|v1alpha|v1beta)\/models(?:\/([^/:]+)(?::(\w+))?)?$/;

/** @returns null for a path that Google does not have. */
function routeOf(path: string) {
  if (path === AUTH_TOKENS_PATH) return MINT;
  const match = MODELS_PATH.exec(path);
  if (match === null) return null;
  const [, version = '', model = '', method] = match;
  return { version, model, method: method ?? (model === '' ? 'listModels' : 'getModel') };
}

/** Google has it in this version only. */
const AUTH_TOKENS_PATH = '/v1alpha/auth_tokens';
const MINT = { version: 'v1alpha', model: '', method: 'createToken' };

const modelIn = (route: typeof MINT, text: string) =>
  route === MINT ? liveModelIn(text).replace('models/', '') : route.model;

const verbOf = (method: string) =>
  method === 'listModels' || method === 'getModel' ? 'GET' : 'POST';

type Perform = (call: GoogleCall) => Reply;

/** Every method of a model: reading, counting, generating. */
function createMethods(keys: KnownKeys, options: GoogleOptions): Perform {
  const { models, embeddingModels, answer } = options;
  const quotas = new Quotas(options.windows);
  const read = createRequestReader(keys.all);
  const generate = createGenerate(read, answer, quotas);
  const embed = createEmbed(quotas);
  const methods: Readonly<Record<string, Perform>> = {
    listModels: () =>
      jsonReply(200, {
        models: [...models.map(describeModel), ...embeddingModels.map(describeEmbeddingModel)],
      }),
    getModel: ({ model }) =>
      jsonReply(
        200,
        embeddingModels.includes(model) ? describeEmbeddingModel(model) : describeModel(model),
      ),
    countTokens: (call) => countTokens(call, read),
    generateContent: (call) => generate(call, 'unary'),
    embedContent: (call) => embed(call, false),
    batchEmbedContents: (call) => embed(call, true),
    streamGenerateContent: (call) => generate(call, ALT_SSE.test(call.query) ? 'sse' : 'array'),
  };
  return (call) => {
    if (call.method === MINT.method) return mintLiveToken(call);
    const perform = methods[call.method];
    if (perform === undefined) return NOT_FOUND_PAGE;
    const isKnown =
      (models.includes(call.model) && !EMBEDS.has(call.method)) ||
      (embeddingModels.includes(call.model) && !GENERATES.has(call.method));
    return call.model === '' || isKnown ? perform(call) : unknownModel(call);
  };
}

const GENERATES: ReadonlySet<string> = new Set(['generateContent', 'streamGenerateContent']);
const EMBEDS: ReadonlySet<string> = new Set(['embedContent', 'batchEmbedContents']);

const ALT_SSE = /(?:^|&)alt=sse(?:&|$)/;

/** Takes the contents alone, or a whole request in `generateContentRequest`. */
function countTokens({ text, holder }: GoogleCall, read: RequestReader): Reply {
  const body = parseJson(text);
  const inner = isJsonObject(body) ? (body.generateContentRequest ?? body) : body;
  const request = read(inner, holder);
  return 'status' in request ? request : jsonReply(200, { totalTokens: request.inputTokens });
}

const unknownModel = ({ model, version, method }: GoogleCall): Reply =>
  googleError(
    404,
    `models/${model} is not found for API version ${version}, or is not supported for ${method}. Call ListModels to see the list of available models and their supported methods.`,
  );

const describeModel = (model: string) => ({
  name: `models/${model}`,
  version: '001',
  displayName: model,
  description: 'A stand-in that repeats the last message.',
  inputTokenLimit: 1_048_576,
  outputTokenLimit: 65_536,
  supportedGenerationMethods: ['generateContent', 'countTokens'],
});

const describeEmbeddingModel = (model: string) => ({
  ...describeModel(model),
  description: 'A stand-in that makes numbers of a text.',
  inputTokenLimit: 8192,
  outputTokenLimit: 1,
  supportedGenerationMethods: ['embedContent', 'countTokens'],
});
