import { asObjects, isJsonObject, type JsonObject, parseJson } from '../../src/shared/json.ts';
import { jsonReply, type Reply } from '../reply.ts';
import { isSpoiled } from './answer.ts';
import type { GoogleCall } from './generate.ts';
import { EMBEDDING_QUOTAS, type Quotas } from './quota.ts';
import { googleError, OVERLOADED, quotaError } from './refusals.ts';
import { tokensOf } from './request.ts';
import { isBroken } from './wire.ts';

/** Google's own limit (https://github.com/vercel/ai/issues/16101). */
const MAX_REQUESTS = 100;
/** A real model returns more by default. Few numbers keep tests readable. */
const DIMENSIONS = 8;
const FIELDS: ReadonlySet<string> = new Set(
  'model content taskType task_type title outputDimensionality output_dimensionality'.split(' '),
);

/**
 * Checks the body, then the quota of (project, model), and answers with numbers that depend on the text alone. Each
 * text counts as a request.
 */
export function createEmbed(quotas: Quotas): (call: GoogleCall, isBatch: boolean) => Reply {
  return (call, isBatch) => {
    const requests = isBatch ? readBatch(call.text) : [parseJson(call.text)];
    const refusal = refusalOf(call, requests, isBatch);
    if (refusal !== null) return refusal;
    const texts = asObjects(requests).map(textOf);
    const tokens = texts.reduce((sum, text) => sum + tokensOf(text.length), 0);
    const { project, shape } = call.holder;
    const limits = shape.modelLimits?.[call.model] ?? shape.limits ?? {};
    const exceeded = quotas.of(project, call.model).spend(limits, tokens, call.now, texts.length);
    if (exceeded !== null) return quotaError(exceeded, call, { quotas: EMBEDDING_QUOTAS });
    const embeddings = asObjects(requests).map(embeddingOf);
    const usageMetadata = { promptTokenCount: tokens };
    const [embedding] = embeddings;
    return jsonReply(200, isBatch ? { embeddings, usageMetadata } : { embedding, usageMetadata });
  };
}

/** The faults that spoil or break a stream have no other form here. */
function refusalOf({ fault, model }: GoogleCall, requests: readonly unknown[], isBatch: boolean) {
  if (fault !== null && (isSpoiled(fault) || isBroken(fault))) return OVERLOADED;
  const complaint = complaintAbout(requests, isBatch, `models/${model}`);
  return complaint === null ? null : googleError(400, complaint);
}

function readBatch(text: string): readonly unknown[] {
  const body = parseJson(text);
  const requests = isJsonObject(body) ? body.requests : undefined;
  return Array.isArray(requests) ? requests : [];
}

function complaintAbout(
  requests: readonly unknown[],
  isBatch: boolean,
  model: string,
): string | null {
  if (requests.length === 0) return '* BatchEmbedContentsRequest.requests: requests is empty\n';
  if (requests.length > MAX_REQUESTS) {
    return `* BatchEmbedContentsRequest.requests: at most ${MAX_REQUESTS} requests can be in one batch\n`;
  }
  const complaints = requests.map((request) => complaintAboutOne(request, isBatch, model));
  return complaints.find((complaint) => complaint !== null) ?? null;
}

function complaintAboutOne(request: unknown, isBatch: boolean, model: string): string | null {
  if (!isJsonObject(request)) return 'Invalid JSON payload received.';
  const unknown = Object.keys(request).find((name) => !FIELDS.has(name));
  if (unknown !== undefined) return `Unknown name "${unknown}": Cannot find field.`;
  if (textOf(request) === '') return '* EmbedContentRequest.content: content is empty\n';
  const isWrong = request.model === undefined ? isBatch : request.model !== model;
  return isWrong ? 'The model in the request does not match the model of the path.' : null;
}

function textOf({ content }: JsonObject): string {
  const parts = isJsonObject(content) ? asObjects(content.parts) : [];
  return parts.map(({ text }) => String(text ?? '')).join('');
}

function dimensionsOf(request: JsonObject): number {
  const wanted = request.outputDimensionality ?? request.output_dimensionality;
  return typeof wanted === 'number' ? wanted : DIMENSIONS;
}

const embeddingOf = (request: JsonObject) => ({
  values: valuesFor(textOf(request), dimensionsOf(request)),
});

/** Fractions that four bytes hold exactly. */
function valuesFor(text: string, dimensions: number): number[] {
  const sum = [...text].reduce((total, letter) => total + (letter.codePointAt(0) ?? 0), 0);
  return Array.from({ length: dimensions }, (_, index) => ((sum + index) % 64) / 64 - 0.5);
}
