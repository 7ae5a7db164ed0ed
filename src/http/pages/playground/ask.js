// @ts-check
import { createParser } from '/playground/lib/eventsource-parser/index.js';

/** @import { Message, StreamEvent } from './message.js' */

/**
 * Who has answered, as far as the headers say so.
 *
 * @typedef {object} AnsweredBy
 * @property {number} attempts 0 when the head came before the answer
 * @property {string | null} key null for everybody but the admin
 * @property {string} requestId
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
 * One step of a chat in the AI SDK's dialect, which carries everything that a model can answer with.
 *
 * @param {readonly Message[]} messages
 * @param {AbortSignal} signal
 * @param {(answeredBy: AnsweredBy) => void} onBegin
 * @param {(event: StreamEvent) => void} onEvent
 * @throws {Refusal}
 */
export async function ask(messages, signal, onBegin, onEvent) {
  const response = await post({ trigger: 'submit-message', messages }, signal);
  onBegin(answeredBy(response));
  /** @type {{ failure: Refusal | null, isDone: boolean }} */
  const outcome = { failure: null, isDone: false };
  const parser = createParser({
    onEvent({ data }) {
      if (data === '[DONE]') return;
      const event = JSON.parse(data);
      if (event.type === 'error') outcome.failure = new Refusal(event.errorText, null);
      if (event.type === 'finish') outcome.isDone = true;
      onEvent(event);
    },
  });
  for await (const text of textOf(response)) parser.feed(text);
  if (outcome.failure !== null) throw outcome.failure;
  if (!outcome.isDone) throw new Refusal('The answer was interrupted.', null);
}

/**
 * One chat turn in our own dialect, without a stream.
 *
 * @param {string} message
 * @param {AbortSignal} signal
 * @param {string} fragment of the address: it is not sent, and the browser's timing names it
 * @returns {Promise<AnsweredBy & { model: string }>}
 * @throws {Refusal}
 */
export async function askWhole(message, signal, fragment) {
  const response = await post({ message }, signal, fragment);
  const { model } = await response.json();
  return { ...answeredBy(response), model };
}

/**
 * @param {object} body
 * @param {AbortSignal} signal
 * @param {string} [fragment]
 */
async function post(body, signal, fragment = '') {
  const response = await fetch(`/api/chat${fragment}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal,
  });
  if (response.ok) return response;
  const seconds = response.headers.get('retry-after');
  throw new Refusal(sentenceOf(await response.text()), seconds === null ? null : Number(seconds));
}

/**
 * The two forms of an error: a sentence, or our own object.
 *
 * @param {string} text
 */
function sentenceOf(text) {
  try {
    return String(JSON.parse(text).error.message);
  } catch {
    return text;
  }
}

/** @param {Response} response */
const answeredBy = ({ headers }) => ({
  attempts: Number(headers.get('understudy-attempts')),
  key: headers.get('understudy-key'),
  requestId: headers.get('x-request-id') ?? '',
});

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
