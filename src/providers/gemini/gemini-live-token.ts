import { UpstreamError } from '../../shared/failure.ts';
import { asText, isJsonObject, parseJson } from '../../shared/json.ts';
import { classifyNetworkError } from '../network-failure.ts';
import type { AnswerEnd, Client, ProviderAnswer } from '../provider.ts';
import { classifyGeminiAnswer } from './gemini-failure.ts';
import { type GeminiOptions, requestsTo } from './gemini-request.ts';
import { Exchange } from './transport.ts';

/** What a Live session is bound to by its token. */
export interface LiveSetup {
  readonly model: string;
  readonly systemPrompt: string | null;
}

/** With it a browser opens one Live session of its own. Times are milliseconds since the epoch. */
export interface LiveToken {
  readonly token: string;
  /** The session must have begun by then. */
  readonly newSessionExpiresAt: number;
  readonly expiresAt: number;
}

interface LiveTokenEnd extends AnswerEnd {
  readonly value: LiveToken;
}

/** Google's own defaults. We state them, because its answer does not. */
const START_MS = 60_000;
const LIFETIME_MS = 30 * 60_000;

/**
 * What the session's own setup cannot change, whether we set it or leave it out. The browser chooses the rest, such as
 * the voice. Without a mask it could choose nothing, and not resume its session
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
      const request = requestTo('/v1alpha/auth_tokens', key, {
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
      });
      const answer = new TokenAnswer(times, dispatcher, request, handler, context);
      dispatcher.dispatch(request, answer);
      return answer;
    },
  };
}

type Times = Omit<LiveToken, 'token'>;

/** A token has some hundred characters. */
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

  /** A failure does not quote the answer, which may hold a part of a token. */
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

  /** All of the request is ours. */
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
