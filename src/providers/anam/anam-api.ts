import type { Readable } from 'node:stream';
import axios, { AxiosError, type AxiosResponse } from 'axios';
import type { ApiKey, Persona } from '../../shared/api-key.ts';
import { type ProviderWords, UpstreamError } from '../../shared/failure.ts';
import { asText, isJsonObject, parseJson } from '../../shared/json.ts';
import { type Redact, withoutLastWord } from '../../shared/redact.ts';
import { classifyNetworkError } from '../network-failure.ts';
import type { ProviderAnswer } from '../provider.ts';
import {
  classifyAnamSessionAnswer,
  classifyAnamTokenAnswer,
  isSlotsTaken,
} from './anam-failure.ts';

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

/** What a browser sends to start its session. */
export interface SessionRequest {
  readonly token: string;
  /** As it came. */
  readonly body: Buffer;
}

/** Anam's API. Every call ends when its signal aborts. */
export interface Anam {
  /**
   * Mints a session token with one key: good for an hour and for one conversation.
   *
   * @throws UpstreamError with the classified failure
   */
  mintToken(key: ApiKey, request: TokenRequest, signal: AbortSignal): Promise<string>;
  /**
   * Starts the session of a token that this key has minted.
   *
   * @returns Anam's answer, with the session in it
   * @throws UpstreamError with the classified failure and Anam's own words
   */
  startSession(
    key: ApiKey,
    request: SessionRequest & Pick<TokenRequest, 'personaOf'>,
    signal: AbortSignal,
  ): Promise<ProviderWords>;
  /**
   * Starts the session of a token that nobody here has minted.
   *
   * @returns Anam's answer, whatever it is
   * @throws UpstreamError when there is none
   */
  passOn(request: SessionRequest, signal: AbortSignal): Promise<ProviderWords>;
  /** The same for what the browser's SDK measures: without any credential. */
  passMetrics(body: Buffer, signal: AbortSignal): Promise<ProviderWords>;
}

export function createAnam({ baseUrl, redact, now }: AnamOptions): Anam {
  const call = createAnamClient(baseUrl, redact);
  return {
    async mintToken(key, { persona, personaOf }, signal) {
      const context = { redact, now: now() };
      const body = JSON.stringify({
        personaConfig: 'config' in persona ? persona.config : persona,
      });
      const answer = await call(post(MINT, key.secret.reveal(), body), signal);
      if (isSuccess(answer)) return tokenIn(answer);
      throw new UpstreamError(classifyAnamTokenAnswer(answer, personaOf, context));
    },

    async startSession(key, { token, body, personaOf }, signal) {
      const context = { redact, now: now() };
      const answer = await call(post(START, token, body), signal);
      const words = toWords(answer, redact);
      if (isSuccess(answer)) return sessionIn(answer, words);
      const estimatedWaitSeconds = isSlotsTaken(answer)
        ? await estimateWait(call, key, signal)
        : undefined;
      const failure = classifyAnamSessionAnswer(answer, personaOf, {
        ...context,
        estimatedWaitSeconds,
      });
      throw new UpstreamError(failure, words);
    },

    passOn: async ({ token, body }, signal) =>
      toWords(await call(post(START, token, body), signal), redact),

    passMetrics: async (body, signal) =>
      toWords(await call(post(METRICS, null, body), signal), redact),
  };
}

const MINT = '/v1/auth/session-token';
const START = '/v1/engine/session';
const METRICS = '/v1/metrics/client';
const CONCURRENCY = '/v1/sessions/concurrency';
/** The estimate is worth this long a wait, and no longer: without it the slot gets its minute. */
const ESTIMATE_LIMIT_MS = 1500;

const post = (path: string, credential: string | null, body: string | Buffer): AnamCall => ({
  method: 'POST',
  path,
  credential,
  body,
});

function tokenIn({ status, body }: ProviderAnswer): string {
  const json = parseJson(body);
  const token = isJsonObject(json) ? asText(json.sessionToken) : '';
  if (token !== '') return token;
  // Without its text, which may hold a part of a token.
  const message = 'an answer without a session token';
  throw new UpstreamError({ kind: 'upstream_down', timedOut: false, message, status });
}

function sessionIn({ status, body }: ProviderAnswer, words: ProviderWords): ProviderWords {
  const json = parseJson(body);
  if (isJsonObject(json) && asText(json.sessionId) !== '') return words;
  const message = 'an answer without a session';
  throw new UpstreamError({ kind: 'upstream_down', timedOut: false, message, status });
}

/** @returns seconds; undefined when Anam does not say */
async function estimateWait(
  call: (of: AnamCall, signal: AbortSignal) => Promise<ProviderAnswer>,
  key: ApiKey,
  signal: AbortSignal,
): Promise<number | undefined> {
  const asked: AnamCall = {
    method: 'GET',
    path: CONCURRENCY,
    credential: key.secret.reveal(),
    limitMs: ESTIMATE_LIMIT_MS,
  };
  try {
    const json = parseJson((await call(asked, signal)).body);
    const seconds = isJsonObject(json) ? json.estimatedWaitSeconds : undefined;
    return typeof seconds === 'number' ? seconds : undefined;
  } catch (error) {
    if (error instanceof UpstreamError) return undefined;
    throw error;
  }
}

const toWords = ({ status, headers, body }: ProviderAnswer, redact: Redact): ProviderWords => ({
  status,
  type: redact(String(headers['content-type'] ?? 'application/json; charset=utf-8')),
  body: redact(body),
});

const isSuccess = ({ status }: ProviderAnswer) => status >= 200 && status < 300;

interface AnamCall {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** An API key, or to start a session its token; null for what everybody may say. */
  readonly credential: string | null;
  /** JSON. */
  readonly body?: string | Buffer;
  /** In milliseconds of real time; default: until the signal aborts. */
  readonly limitMs?: number;
}

/**
 * One call to Anam, whatever its answer.
 *
 * @throws UpstreamError when there is none
 */
type CallAnam = (call: AnamCall, signal: AbortSignal) => Promise<ProviderAnswer>;

/** A refusal is a few hundred bytes, a token about a thousand. */
const MAX_ANSWER_BYTES = 262_144;

function createAnamClient(baseUrl: string, redact: Redact): CallAnam {
  const client = axios.create({
    baseURL: baseUrl,
    responseType: 'stream',
    validateStatus: () => true,
    maxRedirects: 0,
    // As for Gemini: the address in our settings is the one that is called, whatever HTTP_PROXY says.
    proxy: false,
  });
  return ({ method, path: url, credential, body: data, limitMs: timeout = 0 }, signal) => {
    const type = data === undefined ? {} : { 'content-type': 'application/json' };
    const bearer = credential === null ? {} : { authorization: `Bearer ${credential}` };
    const headers = { ...bearer, ...type };
    return (
      client
        .request<Readable>({ method, url, data, headers, timeout, signal })
        .then(toProviderAnswer)
        // What axios throws holds the request with its credentials: only the classified failure goes on.
        .catch((error: unknown) => {
          if (!axios.isAxiosError(error)) throw error;
          throw new UpstreamError(classifyNetworkError(error, redact));
        })
    );
  };
}

async function toProviderAnswer(response: AxiosResponse<Readable>): Promise<ProviderAnswer> {
  const { status, headers, data } = response;
  const { body, isCut, breakOff } = await readText(data);
  // What has come of a refusal says more than that its end is missing.
  if (breakOff !== null && status >= 200 && status < 300) throw AxiosError.from(breakOff);
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
