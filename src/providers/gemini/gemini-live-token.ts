import { UpstreamError } from '../../shared/failure.ts';
import { asText, isJsonObject, parseJson } from '../../shared/json.ts';
import { classifyNetworkError } from '../network-failure.ts';
import type { AnswerEnd, Client, ProviderAnswer } from '../provider.ts';
import { classifyGeminiAnswer } from './gemini-failure.ts';
import { type GeminiOptions, requestsTo } from './gemini-request.ts';
import { Exchange } from './transport.ts';

/** The settings of a Live session that its token locks. */
export interface LiveSetup {
  readonly model: string;
  readonly systemPrompt: string | null;
}

/** A browser opens one Live session with it. Times are milliseconds since the epoch. */
export interface LiveToken {
  readonly token: string;
  /** The session must begin before. */
  readonly newSessionExpiresAt: number;
  readonly expiresAt: number;
}

interface LiveTokenEnd extends AnswerEnd {
  readonly value: LiveToken;
}

/** Google's own defaults. The request states them, because the answer does not. */
const START_MS = 60_000;
const LIFETIME_MS = 30 * 60_000;

/**
 * The browser cannot change these fields, whether the token sets them or not. It chooses the rest, such as the voice.
 * Without a mask it could choose nothing, and could not resume its session
 * (https://googleapis.github.io/js-genai/release_docs/classes/tokens.Tokens.html).
 */
const LOCKED = 'model,systemInstruction,tools';

/** Mints ephemeral tokens of the Live API (https://ai.google.dev/gemini-api/docs/ephemeral-tokens). */
export function createLiveTokenClient({
  baseUrl,
  dispatcher,
  ...context
}: GeminiOptions): Client<LiveSetup, never, LiveTokenEnd> {
  const requestTo = requestsTo(baseUrl);
  return {
    call({ model, systemPrompt }, key, _target, handler) {
      const now = context.now();
      const times = { newSessionExpiresAt: now + START_MS, expiresAt: now + LIFETIME_MS };
      const request = requestTo(
        '/v1alpha/auth_tokens',
        key,
        {
          uses: 1,
          newSessionExpireTime: new Date(times.newSessionExpiresAt).toISOString(),
          expireTime: new Date(times.expiresAt).toISOString(),
          bidiGenerateContentSetup: {
            model: `models/${model}`,
            ...(systemPrompt === null
              ? {}
              : { systemInstruction: { parts: [{ text: systemPrompt }] } }),
          },
          fieldMask: LOCKED,
        },
        handler,
      );
      const answer = new TokenAnswer(times, dispatcher, request, handler, context);
      dispatcher.dispatch(request, answer);
      return answer;
    },
  };
}

type Times = Omit<LiveToken, 'token'>;

/** A token has a few hundred characters. */
const MAX_ANSWER_BYTES = 65_536;

class TokenAnswer extends Exchange<never, LiveTokenEnd> {
  protected readonly isInflated = true;
  readonly #times: Times;
  readonly #parts: Buffer[] = [];
  #size = 0;

  constructor(
    times: Times,
    ...exchange: ConstructorParameters<typeof Exchange<never, LiveTokenEnd>>
  ) {
    super(...exchange);
    this.#times = times;
  }

  protected received(bytes: Buffer): void {
    if (this.#size < MAX_ANSWER_BYTES) this.#parts.push(bytes);
    this.#size += bytes.length;
  }

  /** The failure does not quote the answer, which may hold part of a token. */
  protected ended(): void {
    const json = parseJson(Buffer.concat(this.#parts).toString());
    const token = isJsonObject(json) ? asText(json.name) : '';
    if (token !== '') {
      this.handler.onEnd({ usage: null, value: { token, ...this.#times } });
      return;
    }
    const message = 'an answer without a token';
    this.handler.onFailure(
      new UpstreamError({
        kind: 'upstream_down',
        timedOut: false,
        message,
        status: this.head.status,
      }),
    );
  }

  /** The caller shapes nothing in the request, so a faulty request is our fault. */
  protected refused(answer: ProviderAnswer): void {
    const failure = classifyGeminiAnswer(answer, this.context);
    const { message, status = answer.status } = failure;
    const isOurs = failure.kind === 'request_fault';
    this.handler.onFailure(
      new UpstreamError(isOurs ? { kind: 'misconfigured', message, status } : failure),
    );
  }

  protected broken(error: Error): void {
    this.handler.onFailure(new UpstreamError(classifyNetworkError(error, this.context.redact)));
  }
}
