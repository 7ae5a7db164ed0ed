import {
  GoogleGenerativeAI,
  GoogleGenerativeAIError,
  GoogleGenerativeAIFetchError,
} from '@google/generative-ai';
import type { ApiKey } from '../../shared/api-key.ts';
import type { Failure } from '../../shared/failure.ts';
import { classifyNetworkError } from '../network-failure.ts';
import type { ClassifyContext } from '../provider.ts';
import { classifyGeminiAnswer } from './gemini-failure.ts';

export interface KeyCheckOptions extends ClassifyContext {
  readonly baseUrl: string;
  readonly model: string;
}

/**
 * Checks a key by counting the tokens of one word, which uses no quota of the model.
 *
 * @param signal ends the check
 * @returns null for a key that works, else the classified failure; a model that is missing is no fault of the key
 */
export async function checkGeminiKey(
  { secret }: Pick<ApiKey, 'secret'>,
  { baseUrl, model, ...context }: KeyCheckOptions,
  signal: AbortSignal,
): Promise<Failure | null> {
  const client = new GoogleGenerativeAI(secret.reveal());
  try {
    await client.getGenerativeModel({ model }, { baseUrl }).countTokens('Hi', { signal });
    return null;
  } catch (error) {
    if (error instanceof GoogleGenerativeAIFetchError) {
      const failure = classifyRefusal(error, context);
      return failure.kind === 'model_unavailable' ? { ...failure, whose: null } : failure;
    }
    if (error instanceof GoogleGenerativeAIError) {
      error.message = error.message.replace(UNREACHED, `${baseUrl} does not answer: `);
      error.cause = await causeOfSilence(baseUrl, signal);
      return classifyNetworkError(error, context.redact);
    }
    throw error;
  }
}

/** The SDK drops why `fetch` failed: a refused connection, a name that is not found. A second call, without the key, tells. */
async function causeOfSilence(baseUrl: string, signal: AbortSignal): Promise<unknown> {
  try {
    await fetch(baseUrl, { method: 'HEAD', redirect: 'manual', signal });
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.cause : undefined;
  }
}

/** The SDK drops Google's status and headers, and puts an address and the details around the message. */
function classifyRefusal(
  { status = 0, message, errorDetails: details = [] }: GoogleGenerativeAIFetchError,
  context: ClassifyContext,
): Failure {
  const suffix = details.length === 0 ? '' : ` ${JSON.stringify(details)}`;
  const own = message.slice(0, message.length - suffix.length).replace(PREFIX, '');
  const body = JSON.stringify({ error: { code: status, message: own, details } });
  return classifyGeminiAnswer({ status, headers: {}, body }, context);
}

const PREFIX = /^\[GoogleGenerativeAI Error\]: Error fetching from \S+ \[\d+ [^\]]*\] /;
const UNREACHED = /^\[GoogleGenerativeAI Error\]: Error fetching from \S+: /;
