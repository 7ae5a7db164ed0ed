import { jsonReply, type Reply } from '../reply.ts';
import { googleError } from './error.ts';
import type { GoogleRoute } from './route.ts';

export const listModels = (models: ReadonlySet<string>): Reply =>
  jsonReply(200, { models: [...models].map(describeModel) });

export const getModel = (model: string): Reply => jsonReply(200, describeModel(model));

export const unknownModel = ({ model, version, method }: GoogleRoute): Reply =>
  googleError(
    404,
    'NOT_FOUND',
    `models/${model} is not found for API version ${version}, or is not supported for ${method}. Call ListModels to see the list of available models and their supported methods.`,
  );

const describeModel = (model: string) => ({
  name: `models/${model}`,
  version: '001',
  displayName: model,
  description: 'A stand-in that repeats what it was told.',
  inputTokenLimit: 1_048_576,
  outputTokenLimit: 65_536,
  supportedGenerationMethods: ['generateContent', 'countTokens'],
});
