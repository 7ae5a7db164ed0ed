import type { Readable } from 'node:stream';
import type { AxiosResponse } from 'axios';
import type { ApiKey } from '../../shared/api-key.ts';
import { type Failure, type ProviderWords, UpstreamError } from '../../shared/failure.ts';
import { asText, isJsonObject, type JsonObject, parseJson } from '../../shared/json.ts';
import { type Redact, withoutLastWord } from '../../shared/redact.ts';
import type { PersonaOwner } from '../../shared/target.ts';
import { classifyNetworkError } from '../network-failure.ts';
import type { ClassifyContext, ProviderAnswer, Traced } from '../provider.ts';
import {
  classifyAnamSessionAnswer,
  classifyAnamTokenAnswer,
  isSlotsTaken,
} from './anam-failure.ts';

export interface AnamOptions extends ClassifyContext {
  /** Without a trailing slash. */
  readonly baseUrl: string;
}

/** What a session token is asked for. */
export interface TokenRequest {
  /** In Anam's form, with a `personaConfig`. */
  readonly body: JsonObject;
  /** Whose persona it is, and so whose fault a refusal of the body is. */
  readonly personaOf: PersonaOwner;
}

/** What a browser sends to start its session. */
export interface SessionRequest {
  readonly token: string;
  readonly body: Buffer;
}

/** Anam's API. Every call ends when its signal aborts. */
export interface Anam {
  /**
   * Mints a session token with one key: good for an hour and for one conversation.
   *
   * @throws UpstreamError with the classified failure, and with Anam's own words where the body is at fault
   */
  mintToken(
    key: ApiKey,
    request: TokenRequest,
    signal: AbortSignal,
    trace?: Traced,
  ): Promise<string>;
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
    trace?: Traced,
  ): Promise<ProviderWords>;
  /**
   * Checks a key by listing a persona of its account, which uses no minutes.
   *
   * @returns null for a key that works, else the classified failure
   */
  checkKey(key: ApiKey, signal: AbortSignal): Promise<Failure | null>;
  /**
   * Starts the session of a token that was minted elsewhere.
   *
   * @returns Anam's answer, whatever it is
   * @throws UpstreamError when there is none
   */
  passOn(request: SessionRequest, signal: AbortSignal): Promise<ProviderWords>;
  /** The same for the metrics of the browser's SDK: without a credential. */
  passMetrics(body: Buffer, signal: AbortSignal): Promise<ProviderWords>;
}

export function createAnam({ baseUrl, ...context }: AnamOptions): Anam {
  const { redact } = context;
  const call = createCall(baseUrl, redact);
  const start = ({ token, body }: SessionRequest, signal: AbortSignal, trace: Traced = {}) =>
    call({ url: '/v1/engine/session', credential: token, data: body, signal, ...trace });
  return {
    async mintToken(key, { body, personaOf }, signal, trace) {
      const answer = await call({
        url: '/v1/auth/session-token',
        credential: key.secret.reveal(),
        data: JSON.stringify(body),
        signal,
        ...trace,
      });
      if (isSuccess(answer.status)) return textIn(answer, 'sessionToken');
      const failure = classifyAnamTokenAnswer(answer, personaOf, context);
      const isCallersFault = failure.kind === 'request_fault';
      throw new UpstreamError(failure, isCallersFault ? toWords(answer, redact) : null);
    },

    async startSession(key, { personaOf, ...request }, signal, trace) {
      const answer = await start(request, signal, trace);
      const words = toWords(answer, redact);
      if (isSuccess(answer.status)) {
        textIn(answer, 'sessionId');
        return words;
      }
      const estimatedWaitSeconds = isSlotsTaken(answer)
        ? await estimateWait(call, key, signal)
        : undefined;
      const waiting = { ...context, estimatedWaitSeconds };
      throw new UpstreamError(classifyAnamSessionAnswer(answer, personaOf, waiting), words);
    },

    async checkKey(key, signal) {
      try {
        const answer = await call({
          method: 'GET',
          url: '/v1/personas?page=1&perPage=1',
          credential: key.secret.reveal(),
          signal,
        });
        return isSuccess(answer.status) && parseJson(answer.body) !== undefined
          ? null
          : classifyAnamTokenAnswer(answer, 'callers', context);
      } catch (error) {
        if (error instanceof UpstreamError) return error.failure;
        throw error;
      }
    },

    passOn: async (request, signal) => toWords(await start(request, signal), redact),

    passMetrics: async (data, signal) =>
      toWords(await call({ url: '/v1/metrics/client', credential: null, data, signal }), redact),
  };
}

/** @throws UpstreamError without the answer's text, which may hold a part of a token */
function textIn({ status, body }: ProviderAnswer, field: 'sessionToken' | 'sessionId'): string {
  const json = parseJson(body);
  const text = isJsonObject(json) ? asText(json[field]) : '';
  if (text !== '') return text;
  const message = `an answer without a ${field}`;
  throw new UpstreamError({ kind: 'upstream_down', timedOut: false, message, status });
}

/** The estimate is worth a wait of this length: without it the slot is parked for a minute. */
const ESTIMATE_LIMIT_MS = 1500;

/** @returns seconds; undefined when Anam does not say */
async function estimateWait(
  call: CallAnam,
  key: ApiKey,
  signal: AbortSignal,
): Promise<number | undefined> {
  try {
    const answer = await call({
      method: 'GET',
      url: '/v1/sessions/concurrency',
      credential: key.secret.reveal(),
      timeout: ESTIMATE_LIMIT_MS,
      signal,
    });
    const json = parseJson(answer.body);
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

const isSuccess = (status: number) => status >= 200 && status < 300;

interface AnamCall extends Traced {
  /** Default: POST. */
  readonly method?: 'GET';
  readonly url: string;
  /** An API key, or the session token that starts a session; null for none. */
  readonly credential: string | null;
  /** JSON. */
  readonly data?: string | Buffer;
  /** In milliseconds of real time; default: until the signal aborts. */
  readonly timeout?: number;
  readonly signal: AbortSignal;
}

/**
 * One call to Anam.
 *
 * @returns its answer, a refusal too
 * @throws UpstreamError when there is no answer
 */
type CallAnam = (call: AnamCall) => Promise<ProviderAnswer>;

function createCall(baseUrl: string, redact: Redact): CallAnam {
  const defaults = {
    baseURL: baseUrl,
    method: 'POST',
    responseType: 'stream',
    validateStatus: () => true,
    maxRedirects: 0,
    // As for Gemini: the address in the settings is the one that is called, whatever HTTP_PROXY says.
    proxy: false,
  } as const;
  return async ({ credential, traceparent, ...request }) => {
    const headers = {
      ...(credential === null ? {} : { authorization: `Bearer ${credential}` }),
      ...(request.data === undefined ? {} : { 'content-type': 'application/json' }),
      // axios leaves out what is undefined.
      traceparent,
    };
    const { default: axios } = await loadAxios();
    try {
      const call = { ...defaults, ...request, headers };
      return await toProviderAnswer(await axios.request<Readable>(call));
    } catch (error) {
      // axios's error holds the request with its credentials: only the classified failure goes on.
      if (!axios.isAxiosError(error)) throw error;
      throw new UpstreamError(classifyNetworkError(error, redact));
    }
  };
}

/** At the first call: it would take a good part of the whole start. */
const loadAxios = () => import('axios');

/** A refusal is a few hundred bytes, a token about a thousand. */
const MAX_ANSWER_BYTES = 262_144;

async function toProviderAnswer(response: AxiosResponse<Readable>): Promise<ProviderAnswer> {
  const { status, headers, data } = response;
  const parts: Buffer[] = [];
  let bytes = 0;
  let isBrokenOff = false;
  try {
    for await (const part of data) {
      parts.push(part);
      bytes += part.length;
      if (bytes > MAX_ANSWER_BYTES) break;
    }
  } catch (error) {
    // A refusal that breaks off is still a refusal.
    if (isSuccess(status)) throw (await loadAxios()).AxiosError.from(error as Error);
    isBrokenOff = true;
  }
  const text = Buffer.concat(parts).toString();
  const isTooLong = bytes > MAX_ANSWER_BYTES;
  return {
    status,
    headers: { ...(headers as ProviderAnswer['headers']) },
    body: isTooLong ? withoutLastWord(text) : text,
    isCut: isTooLong || isBrokenOff,
  };
}
