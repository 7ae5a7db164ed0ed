/**
 * Types and helpers for pages: the metadata of an answer, and refusals. Import or copy this file; it has no dependency.
 */

/** `message.metadata` of an answer, as in `useChat<UIMessage<UnderstudyMetadata>>()`. */
export interface UnderstudyMetadata {
  /** The model that answered, as the provider names it. */
  readonly model: string;
  /** Also in the server's log lines about the request. */
  readonly requestId: string;
  /** Present once the answer is complete. */
  readonly usage?: {
    readonly inputTokens: number;
    readonly outputTokens: number;
    readonly totalTokens: number;
    /** The part of the input that the provider had cached. */
    readonly cachedInputTokens: number;
    /** The part of the output that is thoughts. */
    readonly reasoningTokens: number;
  };
}

/** A refusal by the server. Its message is a sentence for people. */
export class UnderstudyError extends Error {
  override readonly name = 'UnderstudyError';
  readonly status: number;
  /** Such as `all_keys_exhausted`; null on `/api/chat` with `useChat`, where the body is the sentence alone. */
  readonly code: string | null;
  readonly requestId: string | null;
  /** Null where the server does not know when trying again makes sense. */
  readonly retryAfterSeconds: number | null;
  /** The same time, by this device's clock. */
  readonly retryAt: Date | null;

  constructor(message: string, response: Response, code: string | null) {
    super(message);
    const seconds = Number(response.headers.get('retry-after') ?? 0);
    this.status = response.status;
    this.code = code;
    this.requestId = response.headers.get('x-request-id');
    this.retryAfterSeconds = seconds > 0 ? seconds : null;
    this.retryAt = seconds > 0 ? new Date(Date.now() + seconds * 1000) : null;
  }
}

/**
 * A `fetch` for `new DefaultChatTransport({ fetch: understudyFetch })` and for calls of your own.
 * Without it, `useChat` keeps only the sentence of a refusal, and not the time to try again.
 *
 * @throws UnderstudyError for every status that is not a success
 */
export const understudyFetch: typeof fetch = async (input, init) => {
  const response = await fetch(input, init);
  if (response.ok) return response;
  const { message, code } = readRefusal(response, await response.text());
  throw new UnderstudyError(message, response, code);
};

/** @returns such as "Try again after 2:05:12 PM.", or nothing where the time is not known */
export function retrySentence(error: unknown): string {
  if (!(error instanceof UnderstudyError) || error.retryAt === null) return '';
  return `Try again after ${error.retryAt.toLocaleTimeString()}.`;
}

function readRefusal(
  { status, headers }: Response,
  text: string,
): { message: string; code: string | null } {
  const type = headers.get('content-type') ?? '';
  if (type.startsWith('text/plain') && text !== '') return { message: text, code: null };
  try {
    const { message, code } = JSON.parse(text).error;
    if (typeof message === 'string') {
      return { message, code: typeof code === 'string' ? code : null };
    }
  } catch {
    // Not our JSON: a proxy answered with its own page.
  }
  return { message: `The server answered with status ${status}.`, code: null };
}
