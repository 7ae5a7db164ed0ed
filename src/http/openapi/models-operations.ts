import { z } from 'zod';
import type { DescribedServer } from './described-server.ts';
import { GOOGLES, OPENAIS } from './error-bodies.ts';
import { GOOGLE_MODEL, GOOGLE_MODELS } from './gemini-answers.ts';
import { GOOGLES_OWN, suffixOf } from './gemini-operations.ts';
import { OPENAI_MODEL, OPENAI_MODELS } from './openai-answers.ts';
import type { Answer, Content, Operation, Parameter, TagName } from './operation.ts';
import { refusals } from './refusals.ts';

/** `/v1` belongs to both protocols; the place of the token tells them apart. */
export const modelsOperations = (server: DescribedServer): Operation[] => [
  {
    ...askFor('/v1/models', 'listModels', 'OpenAI'),
    summary: 'List the models',
    description: PLACE_OF_TOKEN,
    answers: [
      told([OPENAI_MODELS, GOOGLE_MODELS]),
      ...refusals([OPENAIS], REFUSED),
      ...refusalsOfGoogles(),
    ],
  },
  {
    ...askFor('/v1/models/{model}', 'getModel', 'OpenAI'),
    summary: 'See whether a model is served',
    description: PLACE_OF_TOKEN,
    parameters: [anyModel(server)],
    answers: [
      told([OPENAI_MODEL, GOOGLE_MODEL]),
      ...refusals([OPENAIS], [...REFUSED, 'model_unavailable']),
      ...refusals([GOOGLES], ['model_unavailable']),
      ...refusalsOfGoogles(),
    ],
  },
  ...['v1beta', 'v1alpha'].flatMap((version) => googleModels(version, server)),
];

const googleModels = (version: string, server: DescribedServer): Operation[] => [
  {
    ...askFor(`/${version}/models`, `listGoogleModels${suffixOf(version)}`, 'Gemini'),
    summary: "List Google's models",
    description: "Google's own list, which is longer than what is served.",
    answers: [told([GOOGLE_MODELS]), ...refusalsOfGoogles()],
  },
  {
    ...askFor(`/${version}/models/{model}`, `getGoogleModel${suffixOf(version)}`, 'Gemini'),
    summary: 'Read what Google says of one of its models',
    parameters: [anyModel(server)],
    answers: [
      told([GOOGLE_MODEL]),
      ...refusals([GOOGLES], ['model_unavailable']),
      ...refusalsOfGoogles(),
    ],
  },
];

const PLACE_OF_TOKEN =
  "With the token as bearer in OpenAI's form, as `x-goog-api-key` or `?key=` in Google's. Under `/v1beta/openai/models` always in OpenAI's form.";

const askFor = (path: string, id: string, tag: TagName) => ({
  method: 'get' as const,
  path,
  id,
  tag,
  security: ['clientToken', 'googleKey', 'keyInQuery'] as const,
});

const anyModel = ({ models: [model = ''] }: DescribedServer): Parameter => ({
  name: 'model',
  in: 'path',
  description: 'Its name.',
  schema: z.string().max(100),
  example: model,
});

const told = (content: readonly Content[]): Answer => ({
  status: 200,
  description: 'What was asked for.',
  content,
});

const REFUSED = ['unauthorized', 'method_not_allowed', 'internal_error'] as const;

const refusalsOfGoogles = (): Answer[] => [
  ...refusals(
    [GOOGLES],
    [
      ...REFUSED,
      'upstream_failed',
      'all_google_keys_exhausted',
      'no_google_keys_configured',
      'upstream_timeout',
    ],
  ),
  GOOGLES_OWN,
];
