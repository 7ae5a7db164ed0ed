import type { Readable } from 'node:stream';
import axios, { AxiosError, type AxiosResponse } from 'axios';
import type { ApiKey } from '../shared/api-key.ts';
import { UpstreamError } from '../shared/failure.ts';
import type { Persona } from '../shared/persona.ts';
import type { Redact } from '../shared/redact.ts';
import { classifyAnamTokenAnswer } from './anam-failure.ts';
import { asText, isJsonObject, parseJson } from './json-fields.ts';
import { classifyNetworkError } from './network-failure.ts';
import type { ClassifyContext, ProviderAnswer } from './provider-answer.ts';
import { withoutLastWord } from './whole-words.ts';

export interface AnamOptions {
  /** Without a trailing slash. */
  readonly baseUrl: string;
  readonly redact: Redact;
  readonly now: () => number;
}

/** What a session token is asked for. */
export interface TokenRequest {
  readonly persona: Persona;
  /** Whose persona it is decides whose fault a refusal of it is. */
  readonly personaOf: 'ours' | 'callers';
}

/**
 * Mints a session token with one key: good for an hour and for one conversation.
 *
 * @param signal Ends the call and frees its connection.
 * @throws UpstreamError with the classified failure
 */
export type MintAnamToken = (
  key: ApiKey,
  request: TokenRequest,
  signal: AbortSignal,
) => Promise<string>;

/** A refusal is a few hundred bytes, a token about a thousand. */
const MAX_ANSWER_BYTES = 262_144;

export function createAnam({ baseUrl, redact, now }: AnamOptions): MintAnamToken {
  const client = axios.create({
    baseURL: baseUrl,
    responseType: 'stream',
    validateStatus: () => true,
    maxRedirects: 0,
    // As for Gemini: the address in our settings is the one that is called, whatever HTTP_PROXY says.
    proxy: false,
  });
  return async (key, { persona, personaOf }, signal) => {
    const context = { redact, now: now() };
    const body = JSON.stringify({ personaConfig: 'config' in persona ? persona.config : persona });
    const headers = {
      authorization: `Bearer ${key.secret.reveal()}`,
      'content-type': 'application/json',
    };
    const answer = await client
      .post<Readable>('/v1/auth/session-token', body, { headers, signal })
      .then(toProviderAnswer)
      // What axios throws holds the request with its credentials: only the classified failure goes on.
      .catch((error: unknown) => {
        if (!axios.isAxiosError(error)) throw error;
        throw new UpstreamError(classifyNetworkError(error, redact));
      });
    return tokenIn(answer, personaOf, context);
  };
}

async function toProviderAnswer(response: AxiosResponse<Readable>): Promise<ProviderAnswer> {
  const { status, headers, data } = response;
  const { body, isCut, breakOff } = await readText(data);
  // What has come of a refusal says more than that its end is missing.
  if (breakOff !== null && isSuccess(status)) throw AxiosError.from(breakOff);
  return { status, headers: { ...(headers as ProviderAnswer['headers']) }, body, isCut };
}

/** As much as we want to know of a body, and why there is no more of it. */
async function readText(stream: Readable) {
  const parts: Buffer[] = [];
  let bytes = 0;
  let breakOff: Error | null = null;
  try {
    for await (const part of stream) {
      parts.push(part);
      bytes += part.length;
      if (bytes > MAX_ANSWER_BYTES) break;
    }
  } catch (error) {
    breakOff = error as Error;
  }
  const text = Buffer.concat(parts).toString();
  const isTooLong = bytes > MAX_ANSWER_BYTES;
  const body = isTooLong ? withoutLastWord(text) : text;
  return { body, isCut: isTooLong || breakOff !== null, breakOff };
}

function tokenIn(
  answer: ProviderAnswer,
  personaOf: TokenRequest['personaOf'],
  context: ClassifyContext,
): string {
  if (!isSuccess(answer.status)) {
    throw new UpstreamError(classifyAnamTokenAnswer(answer, personaOf, context));
  }
  const token = readToken(answer.body);
  if (token !== null) return token;
  // Without its text, which may hold a part of a token.
  const message = 'an answer without a session token';
  const { status } = answer;
  throw new UpstreamError({ kind: 'upstream_down', timedOut: false, message, status });
}

function readToken(body: string): string | null {
  const json = parseJson(body);
  const token = isJsonObject(json) ? asText(json.sessionToken) : '';
  return token === '' ? null : token;
}

const isSuccess = (status: number) => status >= 200 && status < 300;
