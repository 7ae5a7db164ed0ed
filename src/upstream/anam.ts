import axios, { type AxiosResponse } from 'axios';
import type { ApiKey } from '../shared/api-key.ts';
import { UpstreamError } from '../shared/failure.ts';
import type { Persona } from '../shared/persona.ts';
import type { Redact } from '../shared/redact.ts';
import { classifyAnamTokenAnswer } from './anam-failure.ts';
import { classifyNetworkError } from './network-failure.ts';
import type { ClassifyContext, ProviderAnswer } from './provider-answer.ts';

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
    responseType: 'text',
    transformResponse: (body: string) => body,
    validateStatus: () => true,
    maxRedirects: 0,
    maxContentLength: MAX_ANSWER_BYTES,
  });
  return async (key, { persona, personaOf }, signal) => {
    const context = { redact, now: now() };
    const body = JSON.stringify({ personaConfig: 'config' in persona ? persona.config : persona });
    const headers = {
      authorization: `Bearer ${key.secret.reveal()}`,
      'content-type': 'application/json',
    };
    const answer = await client
      .post<string>('/v1/auth/session-token', body, { headers, signal })
      // What axios throws holds the request with its credentials: only the classified failure goes on.
      .catch((error: unknown) => {
        if (!axios.isAxiosError(error)) throw error;
        throw new UpstreamError(classifyNetworkError(error, redact));
      });
    return tokenIn(toProviderAnswer(answer), personaOf, context);
  };
}

const toProviderAnswer = ({ status, headers, data }: AxiosResponse<string>): ProviderAnswer => ({
  status,
  headers: { ...(headers as ProviderAnswer['headers']) },
  body: data,
});

function tokenIn(
  answer: ProviderAnswer,
  personaOf: TokenRequest['personaOf'],
  context: ClassifyContext,
): string {
  const isSuccess = answer.status >= 200 && answer.status < 300;
  const token = isSuccess ? readToken(answer.body) : null;
  if (token !== null) return token;
  throw new UpstreamError(classifyAnamTokenAnswer(answer, personaOf, context));
}

function readToken(body: string): string | null {
  try {
    const { sessionToken } = JSON.parse(body) as { sessionToken?: unknown };
    return typeof sessionToken === 'string' && sessionToken !== '' ? sessionToken : null;
  } catch {
    return null;
  }
}
