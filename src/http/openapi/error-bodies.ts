import { z } from 'zod';
import { ANAM_ERRORS } from '../avatar-routes.ts';
import { GEMINI_ERRORS } from '../dialects/gemini.ts';
import { OPENAI_ERRORS } from '../dialects/openai.ts';
import { ERROR_CODES, type ErrorForm, OUR_ERRORS, PLAIN_ERRORS } from '../errors.ts';

/** How a form's text looks, and what it is called where several stand side by side. */
export interface ErrorBody {
  readonly name: string;
  readonly form: ErrorForm;
  readonly schema: z.ZodType;
}

const fault = z.strictObject({
  path: z.string().meta({ description: '`history.3.content`; empty for the body as a whole.' }),
  message: z.string(),
});

export const OURS: ErrorBody = {
  name: 'ours',
  form: OUR_ERRORS,
  schema: z
    .strictObject({
      error: z.strictObject({
        code: z.enum(ERROR_CODES),
        message: z.string().meta({ description: 'A sentence that may be shown to a person.' }),
        requestId: z.string(),
        retryAfterSeconds: z.int().min(1).optional(),
        details: z.array(fault).optional().meta({ description: 'Each faulty field.' }),
      }),
    })
    .meta({ title: 'Error' }),
};

export const SENTENCE: ErrorBody = {
  name: 'sentence',
  form: PLAIN_ERRORS,
  schema: z.string().min(1).meta({ title: 'ErrorSentence', description: 'The sentence alone.' }),
};

export const OPENAIS: ErrorBody = {
  name: 'openai',
  form: OPENAI_ERRORS,
  schema: z
    .strictObject({
      error: z.strictObject({
        message: z.string(),
        type: z.enum(['invalid_request_error', 'rate_limit_error', 'server_error']),
        param: z.string().nullable(),
        code: z.string(),
      }),
    })
    .meta({ title: 'OpenaiError' }),
};

export const GOOGLES: ErrorBody = {
  name: 'google',
  form: GEMINI_ERRORS,
  schema: z
    .looseObject({
      error: z.looseObject({
        code: z.int(),
        message: z.string(),
        status: z.string(),
        details: z.array(z.looseObject({ '@type': z.string() })).optional(),
      }),
    })
    .meta({
      title: 'GoogleError',
      externalDocs: { url: 'https://cloud.google.com/apis/design/errors' },
    }),
};

export const ANAMS: ErrorBody = {
  name: 'anam',
  form: ANAM_ERRORS,
  schema: z
    .looseObject({ error: z.string(), message: z.string().optional() })
    .meta({ title: 'AnamError' }),
};
