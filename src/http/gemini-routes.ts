import { z } from 'zod';
import type { Relay } from '../services/relay.ts';
import type { Clock } from '../shared/clock.ts';
import { modelOf, servedModels, type Target } from '../shared/target.ts';
import { linked, readBytes } from './body.ts';
import {
  GEMINI_ERRORS,
  METHODS,
  methodPath,
  readMethodCall,
  relayRoute,
} from './dialects/gemini.ts';
import { jsonAnswer, type Route } from './route.ts';

export interface GeminiRoutesOptions {
  readonly chatTargets: readonly Target[];
  readonly embeddingTargets: readonly Target[];
  readonly clock: Clock;
  readonly maxBodyBytes: number;
  /** The name of the model, by its alias. */
  readonly modelAliases: ReadonlyMap<string, string>;
  readonly relay: Relay;
}

const REFERENCE = 'https://ai.google.dev/api';

/** The routes of Gemini's protocol, except the lists of models. */
export const geminiRoutes = (options: GeminiRoutesOptions): Route[] => [
  methodsRoute(options),
  embedContentRoute(options),
  batchEmbedContentsRoute(options),
];

const methodsRoute = (options: GeminiRoutesOptions): Route => ({
  ...ofMethod('{method}', options),
  pattern: methodPath(METHODS),
  id: 'callModel',
  summary: "Call a method of Gemini's API",
  description: `Body and answer are Google's own, byte for byte: [generate](${REFERENCE}/generate-content), [count](${REFERENCE}/tokens). A stream that is silent for ten seconds sends its status 200; a later failure is an error in the stream, and the connection breaks.`,
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
    schema: linked('GenerateContentRequest', `${REFERENCE}/generate-content#request-body`),
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

/** What all routes for a method of a model have in common. */
const ofMethod = (method: string, options: GeminiRoutesOptions) =>
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

const embedContentRoute = (options: GeminiRoutesOptions): Route => ({
  ...ofEmbedding('embedContent', options),
  id: 'embedContent',
  summary: 'Embed a content',
  body: {
    schema: linked('EmbedContentRequest', `${REFERENCE}/embeddings#method:-models.embedcontent`),
    examples: { hello: { value: { content: HELLO_CONTENT } } },
  },
});

const batchEmbedContentsRoute = (options: GeminiRoutesOptions): Route => ({
  ...ofEmbedding('batchEmbedContents', options),
  id: 'batchEmbedContents',
  summary: 'Embed several contents',
  body: {
    schema: linked(
      'BatchEmbedContentsRequest',
      `${REFERENCE}/embeddings#method:-models.batchembedcontents`,
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

const ofEmbedding = (method: string, options: GeminiRoutesOptions) => ({
  ...ofMethod(method, options),
  pattern: methodPath([method]),
  description: `Body and answer are [Google's own](${REFERENCE}/embeddings). Of the body only the name of a model changes, where an alias or a prefix stands for it.`,
  params: z.object({
    model: z.enum(namesOf(options.embeddingTargets, options)).meta({
      description: 'One of `GOOGLE_EMBEDDING_MODELS`, or of the `MODEL_ALIASES` for them.',
    }),
  }),
  answer: jsonAnswer("Google's answer.", z.looseObject({})),
});

const namesOf = (targets: readonly Target[], { modelAliases }: GeminiRoutesOptions) => [
  ...servedModels(targets, modelAliases).keys(),
];
