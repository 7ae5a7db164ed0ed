import type { Readable } from 'node:stream';
import axios, { AxiosError, type AxiosResponse } from 'axios';
import { UpstreamError } from '../../shared/failure.ts';
import type { Redact } from '../../shared/redact.ts';
import { classifyNetworkError } from '../network-failure.ts';
import type { ProviderAnswer } from '../provider.ts';
import { withoutLastWord } from '../whole-words.ts';

export interface AnamCall {
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
export type CallAnam = (call: AnamCall, signal: AbortSignal) => Promise<ProviderAnswer>;

/** A refusal is a few hundred bytes, a token about a thousand. */
const MAX_ANSWER_BYTES = 262_144;

export function createAnamClient(baseUrl: string, redact: Redact): CallAnam {
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
