import type { RequestHandler } from 'express';
import { z } from 'zod';
import { modelThatAnswered } from '../../services/chat.ts';
import type { Embed, EmbeddingReply } from '../../services/embeddings.ts';
import { callerOf } from '../access.ts';
import { listOf, validate } from '../body.ts';
import { sendJson, setAnsweredBy } from '../reply.ts';
import { modelName, userText } from './dialect.ts';
import { OPENAI_ERRORS } from './openai.ts';
import { ignored, refuseTooManyParameters, unsupported } from './parameters.ts';

/**
 * Google takes no more in one call, and counts each as a request
 * (https://github.com/vercel/ai/issues/16101). Its own OpenAI-compatible route has the same limit. A request is not split
 * into several calls: if the last one failed, the quota of the others would be spent for nothing.
 */
const MAX_TEXTS = 100;
const MAX_DIMENSIONS = 100_000;

const TOKENS = 'Lists of tokens are not supported: send text.';
const isOfTokens = (value: unknown) =>
  Array.isArray(value) && value.some((entry) => typeof entry === 'number' || Array.isArray(entry));

const texts = listOf(userText, MAX_TEXTS).refine(({ length }) => length > 0, 'Must not be empty.');

const input = z
  .unknown()
  .refine((value) => !isOfTokens(value), { error: TOKENS, abort: true })
  .pipe(z.union([userText.transform((text) => [text]), texts]));

/** What is not supported is refused by name (https://platform.openai.com/docs/api-reference/embeddings/create). */
const embeddingBody = z
  .object({
    model: modelName,
    input,
    dimensions: z.int().min(1).max(MAX_DIMENSIONS).nullish(),
    encoding_format: z.enum(['float', 'base64']).nullish(),
    user: ignored,
  })
  .catchall(unsupported);

type Format = z.output<typeof embeddingBody>['encoding_format'];

/** Answers `POST /v1/embeddings` in OpenAI's protocol. */
export const answerEmbeddings = (embed: Embed): RequestHandler =>
  async function postEmbeddings(request, response) {
    response.locals.errorForm = OPENAI_ERRORS;
    const body = validate(embeddingBody, refuseTooManyParameters(request.body));
    const question = { texts: body.input, dimensions: body.dimensions ?? null };
    const reply = await embed(question, body.model, callerOf(response));
    setAnsweredBy(response, reply.answeredBy);
    sendJson(response, 200, toEmbeddingList(reply, body.encoding_format));
  };

function toEmbeddingList(reply: EmbeddingReply, format: Format) {
  const tokens = reply.usage?.inputTokens ?? reply.estimatedTokens;
  return {
    object: 'list',
    data: reply.vectors.map((vector, index) => ({
      object: 'embedding',
      index,
      embedding: format === 'base64' ? toBase64(vector) : vector,
    })),
    model: modelThatAnswered(reply.answeredBy),
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  };
}

/** 32-bit floats, little-endian on every machine. */
function toBase64(vector: readonly number[]): string {
  const bytes = Buffer.alloc(4 * vector.length);
  for (const [index, value] of vector.entries()) bytes.writeFloatLE(value, 4 * index);
  return bytes.toString('base64');
}
