import type { QuotaLimits } from '../../shared/failure.ts';
import { embeddingTarget, liveTarget, modelTarget, unmeteredTarget } from '../../shared/target.ts';
import type { Provider } from '../provider.ts';
import { createGeminiEmbeddings } from './gemini-embeddings.ts';
import { createGemini } from './gemini-request.ts';

export interface GoogleSettings {
  /** The first is the default; the others are its fallbacks, in this order. */
  readonly googleModels: readonly [string, ...string[]];
  readonly googleEmbeddingModels: readonly string[];
  /** The model of Live sessions; null without them. */
  readonly googleLiveModel: string | null;
  readonly googleBaseUrl: string;
  /** By model: the limits of every project. */
  readonly googleLimits: ReadonlyMap<string, QuotaLimits>;
}

/** Chats and embeddings by Google's Gemini (https://ai.google.dev/api). */
export const google: Provider<GoogleSettings> = {
  name: 'google',
  prefix: 'GOOGLE',
  mistakenPrefixes: ['GEMINI'],
  hasBillingAccounts: true,
  looksLike: (text) => /^(?:AIza|AQ\.)/.test(text),
  // https://ai.google.dev/gemini-api/docs/api-key
  retiredKeys: {
    isOne: ({ secret }) => secret.reveal().startsWith('AIza'),
    cause:
      'Google rejects standard keys (AIza…) by now: make new keys (AQ.…) in AI Studio. It is neither theft nor quota',
  },
  keysPage: 'https://aistudio.google.com/apikey',
  statusPage: 'https://aistudio.google.com/status',
  metricName: 'gcp.gemini',
  exhaustedMessage: "I'm experiencing high demand right now. Please try again in a few minutes.",
  withoutKeys: 'no key, so every chat is refused. Set GOOGLE_API_KEY.',
  createTargets: ({ googleModels: [first, ...others], googleEmbeddingModels, googleLiveModel }) => [
    modelTarget('google', first),
    ...others.map((model) => modelTarget('google', model)),
    ...googleEmbeddingModels.map((model) => embeddingTarget('google', model)),
    unmeteredTarget('google'),
    ...(googleLiveModel === null ? [] : [liveTarget('google', googleLiveModel)]),
  ],
  statedLimits: ({ googleLimits }, { model, metered }) =>
    (metered ? googleLimits.get(model ?? '') : undefined) ?? {},
  hasOtherAddress: ({ googleBaseUrl }) => !new URL(googleBaseUrl).host.endsWith('.googleapis.com'),
  describeUse: ({ googleModels: [first, ...others], googleEmbeddingModels, googleLiveModel }) =>
    [
      `answers with ${first}`,
      ...others.map((model) => `then ${model}`),
      ...(googleEmbeddingModels.length === 0
        ? []
        : [`embeds with ${googleEmbeddingModels.join(' or ')}`]),
      ...(googleLiveModel === null
        ? []
        : [`mints tokens for Live sessions with ${googleLiveModel}`]),
    ].join(', '),
  warningsFor: ({ googleModels }) =>
    googleModels
      .filter((model) => OF_OTHER_VENDORS.test(model))
      .map(
        (model) =>
          `GOOGLE_MODELS names ${model}, which is no model of Gemini; a name that programs ask for belongs in MODEL_ALIASES.`,
      ),
  createChat: ({ googleBaseUrl: baseUrl }, context) => createGemini({ ...context, baseUrl }),
  createEmbeddings: ({ googleBaseUrl: baseUrl }, context) =>
    createGeminiEmbeddings({ ...context, baseUrl }),
  createKeyCheck:
    ({ googleBaseUrl: baseUrl, googleModels: [model] }, context) =>
    async (key, signal) => {
      // At the first check: most servers never check a key.
      const { checkGeminiKey } = await import('./key-check.ts');
      return checkGeminiKey(key, { ...context, baseUrl, model }, signal);
    },
};

/** Gemini's API serves other families of Google's models too, so only names of other providers' models are listed. */
const OF_OTHER_VENDORS =
  /^(?:(?:chat)?gpt-|o\d(?:-|$)|claude-|grok-|mistral-|mixtral-|llama-|deepseek-|qwen)/i;
