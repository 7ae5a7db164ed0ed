import { z } from 'zod';
import { GOOGLES } from './error-bodies.ts';
import type { Content } from './operation.ts';

/** What these hold is Google's to say: it comes as Google sends it. */
const googles = (title: string, page: string) =>
  z.looseObject({}).meta({ title, externalDocs: { url: `https://ai.google.dev/api/${page}` } });

export const googleRequest = googles('GenerateContentRequest', 'generate-content#request-body');

const generated = googles('GenerateContentResponse', 'generate-content#generatecontentresponse');
const counted = googles('CountTokensResponse', 'tokens#response-body');
const googleModel = googles('GoogleModel', 'models#Model');
const googleModels = googles('GoogleModels', 'models#response-body_1');

const PIECE = {
  candidates: [
    {
      content: { role: 'model', parts: [{ text: 'Hi! How can I help?' }] },
      finishReason: 'STOP',
      index: 0,
    },
  ],
  usageMetadata: { promptTokenCount: 3, candidatesTokenCount: 7, totalTokenCount: 10 },
  modelVersion: 'gemini-flash-latest',
};

const json = (schema: z.ZodType, value: unknown): Content => ({
  type: 'application/json',
  schema,
  examples: { google: { value } },
});

export const GENERATED = json(generated, PIECE);
export const GENERATED_PIECES = json(z.array(generated), [PIECE]);

export const GENERATED_EVENTS: Content = {
  type: 'text/event-stream',
  schema: z.string(),
  events: {
    message: z.union([generated, GOOGLES.schema]).meta({
      description: 'The next piece; an error in its place is the last.',
    }),
  },
  examples: { google: { value: `data: ${JSON.stringify(PIECE)}\n\n` } },
};

export const COUNT = json(counted, { totalTokens: 3 });

const MODEL = { name: 'models/gemini-flash-latest', displayName: 'Gemini Flash' };
export const GOOGLE_MODEL = json(googleModel, MODEL);
export const GOOGLE_MODELS = json(googleModels, { models: [MODEL] });
