// @ts-check
import { createParser } from '/playground/lib/eventsource-parser/index.js';

/** @typedef {{ role: 'user' | 'assistant', content: string }} Turn */
/** @typedef {{ attempts: number, key: string | null }} AnsweredBy `attempts` is 0 when the head came before the answer. */
/**
 * @typedef {object} Finish
 * @property {string} model
 * @property {string} finishReason
 * @property {{ totalTokens: number }} usage
 */
/**
 * @typedef {object} Listener
 * @property {(answeredBy: AnsweredBy) => void} onBegin
 * @property {(text: string) => void} onText
 * @property {(finish: Finish) => void} onFinish
 */

/** The server's error: its message, and when to retry. */
export class Refusal extends Error {
  /**
   * @param {string} message
   * @param {number | null} retryAfterSeconds
   */
  constructor(message, retryAfterSeconds) {
    super(message);
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/**
 * One chat turn as a stream.
 *
 * @param {string} message
 * @param {readonly Turn[]} history
 * @param {AbortSignal} signal
 * @param {Listener} listener
 * @throws {Refusal}
 */
export async function ask(message, history, signal, listener) {
  const response = await post({ message, history, stream: true }, signal);
  listener.onBegin(answeredBy(response));
  /** @type {{ failure: Refusal | null, isDone: boolean }} */
  const outcome = { failure: null, isDone: false };
  const parser = createParser({
    onEvent({ event, data }) {
      const content = JSON.parse(data);
      if (event === 'delta') listener.onText(content.text);
      if (event === 'error') outcome.failure = refusalOf(content);
      if (event !== 'done') return;
      outcome.isDone = true;
      listener.onFinish(content);
    },
  });
  for await (const text of textOf(response)) parser.feed(text);
  if (outcome.failure !== null) throw outcome.failure;
  if (!outcome.isDone) throw new Refusal('The answer was interrupted.', null);
}

/**
 * One chat turn without a stream.
 *
 * @param {string} message
 * @returns {Promise<AnsweredBy>}
 * @throws {Refusal}
 */
export async function askWhole(message) {
  const response = await post({ message });
  await response.json();
  return answeredBy(response);
}

/**
 * @param {object} body
 * @param {AbortSignal} [signal]
 */
async function post(body, signal) {
  const response = await fetch('/api/chat', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });
  if (response.ok) return response;
  const { error } = await response.json();
  throw refusalOf(error);
}

/** @param {{ message: string, retryAfterSeconds?: number }} error */
const refusalOf = (error) => new Refusal(error.message, error.retryAfterSeconds ?? null);

/**
 * @param {Response} response
 * @returns {AnsweredBy}
 */
function answeredBy({ headers }) {
  const key = headers.get('understudy-key');
  // Sent only to an admin.
  if (key !== null) document.querySelector('#log-in-hint')?.remove();
  return { attempts: Number(headers.get('understudy-attempts')), key };
}

/** @param {Response} response */
async function* textOf({ body }) {
  if (body === null) return;
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    yield value;
  }
}
