import type { HttpError } from '../errors.ts';
import type { ErrorBody } from './error-bodies.ts';
import type { Answer, Content } from './operation.ts';
import { REFUSALS, type RefusalName, type RefusalSample } from './refusal-samples.ts';

const SAMPLE_ID = '0b2c1d9e-5f1a-4c1e-9d8e-3c7f3a0f6a51';

/** The ways in which a route refuses, in each of the forms that it may speak. */
export const refusals = (bodies: readonly ErrorBody[], names: readonly RefusalName[]): Answer[] =>
  bodies.flatMap((body) => names.map((name) => refusal(body, name)));

function refusal(body: ErrorBody, name: RefusalName): Answer {
  const { error, when, headers = [] }: RefusalSample = REFUSALS[name];
  return {
    status: body.form.status?.(error) ?? error.status,
    description: `\`${error.code}\`: ${when}`,
    headers,
    content: [toContent(body, name, error)],
  };
}

function toContent({ name, form, schema }: ErrorBody, refused: string, error: HttpError): Content {
  const text = form.text(error, SAMPLE_ID);
  const [type = ''] = form.type.split(';', 1);
  const value: unknown = type === 'application/json' ? JSON.parse(text) : text;
  return { type, schema, examples: { [`${name}_${refused}`]: { value } } };
}
