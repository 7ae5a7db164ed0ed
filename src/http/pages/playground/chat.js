// @ts-check
import { html, nothing, render } from '/playground/lib/lit-html/lit-html.js';
import { announce, count, countdown } from '/playground/page.js';
import { ask, Refusal } from './ask.js';

/** @import { AnsweredBy, Finish } from './ask.js' */
/**
 * @typedef {object} Exchange
 * @property {string} question
 * @property {string} answer
 * @property {AnsweredBy | null} answeredBy
 * @property {Finish | null} finish
 * @property {number | null} firstMs
 * @property {string | null} fault
 * @property {string} wait the countdown to a retry
 */

const MAX_TURNS = 40;
const MAX_CHARACTERS = 300_000;
const place = /** @type {HTMLElement} */ (document.querySelector('#chat'));

/** @type {Exchange[]} */
const exchanges = [];
/** @type {AbortController | null} */
let asking = null;
let isScheduled = false;
/** Ends the countdown under the last refusal. */
let stopWait = () => {};

export function showChat() {
  render(
    html`
      <h2 id="chat-title">Chat</h2>
      <ol class="talk" aria-label="Conversation">${exchanges.map(row)}</ol>
      ${exchanges.length === 0 ? html`<p class="quiet">Send a message; the answer is streamed.</p>` : nothing}
      <form class="say" @submit=${submit}>
        <label class="only-heard" for="message">Message</label>
        <textarea id="message" name="message" rows="2" required placeholder="Message" @keydown=${sendOnEnter}></textarea>
        <button class=${asking === null ? 'main' : ''} type="submit" ?formnovalidate=${asking !== null}>${asking === null ? 'Send' : 'Stop'}</button>
      </form>
    `,
    place,
  );
}

/** At most once a frame. Scrolls only if the end was visible before. */
function showSoon() {
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(() => {
    isScheduled = false;
    const wasAtEnd = isEndInView();
    showChat();
    if (wasAtEnd) scrollToEnd();
  });
}

function isEndInView() {
  const end = place.querySelector('.say')?.getBoundingClientRect().top ?? 0;
  return end <= innerHeight;
}

const scrollToEnd = () => place.querySelector('.say')?.scrollIntoView({ block: 'nearest' });

/** @param {Exchange} exchange */
const row = ({ question, answer, answeredBy, finish, firstMs, fault, wait }) => html`
  <li class="mine"><span class="only-heard">You: </span>${question}</li>
  ${answer === '' ? nothing : html`<li class="theirs"><span class="only-heard">Answer: </span>${answer}</li>`}
  ${
    fault === null
      ? nothing
      : html`<li class="notice bad">${fault}${wait !== '' ? html` <span class="quiet">Retry in <span class="mono">${wait}</span>.</span>` : nothing}</li>`
  }
  ${answeredBy === null || (answer === '' && finish === null) ? nothing : html`<li class="small quiet">${facts(answeredBy, finish, firstMs)}</li>`}
`;

/**
 * @param {AnsweredBy} answeredBy
 * @param {Finish | null} finish
 * @param {number | null} firstMs
 */
const facts = (answeredBy, finish, firstMs) =>
  [
    `answered ${byWhichKey(answeredBy)}`,
    ...(finish === null ? [] : [finish.model]),
    ...(firstMs === null ? [] : [`first text after ${firstMs} ms`]),
    ...(finish === null ? [] : [count(finish.usage.totalTokens, 'token'), finish.finishReason]),
  ].join(' · ');

/**
 * The server sends the key's id to the admin only.
 *
 * @param {AnsweredBy} answeredBy
 */
function byWhichKey({ attempts, key }) {
  if (attempts === 0) return 'late';
  const which = attempts === 1 ? 'at the first attempt' : `after ${attempts} attempts`;
  return key === null ? which : `by ${key} ${which}`;
}

/** @param {SubmitEvent} event */
function submit(event) {
  event.preventDefault();
  if (asking !== null) {
    asking.abort();
    return;
  }
  const form = /** @type {HTMLFormElement} */ (event.target);
  const message = String(new FormData(form).get('message') ?? '').trim();
  if (message === '') return;
  form.reset();
  void exchange(message);
}

/** @param {KeyboardEvent} event */
function sendOnEnter(event) {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (asking !== null) return;
  /** @type {HTMLTextAreaElement} */ (event.target).form?.requestSubmit();
}

/** @param {string} question */
async function exchange(question) {
  const history = historyOf(exchanges);
  /** @type {Exchange} */
  const current = {
    question,
    answer: '',
    answeredBy: null,
    finish: null,
    firstMs: null,
    fault: null,
    wait: '',
  };
  exchanges.push(current);
  asking = new AbortController();
  const startedAt = performance.now();
  stopWait();
  showChat();
  scrollToEnd();
  try {
    await ask(question, history, asking.signal, {
      onBegin(answeredBy) {
        current.answeredBy = answeredBy;
      },
      onText(text) {
        current.firstMs ??= Math.round(performance.now() - startedAt);
        current.answer += text;
        showSoon();
      },
      onFinish(finish) {
        current.finish = finish;
      },
    });
    announce(`Answer: ${current.answer}`);
  } catch (error) {
    fail(current, error);
  }
  asking = null;
  showSoon();
}

/**
 * @param {Exchange} current
 * @param {unknown} error
 */
function fail(current, error) {
  if (error instanceof DOMException && error.name === 'AbortError') current.fault = 'Stopped.';
  else if (!(error instanceof Refusal)) current.fault = 'The server does not answer.';
  else {
    current.fault = error.message;
    if (error.retryAfterSeconds !== null) {
      stopWait = startCountdown(error.retryAfterSeconds, (left) => {
        current.wait = left;
        showChat();
      });
    }
  }
  announce(current.fault);
}

/**
 * @param {number} seconds
 * @param {(left: string) => void} show called with `04:12`, at the end with an empty text
 * @returns {() => void} stops the countdown
 */
function startCountdown(seconds, show) {
  const until = performance.now() + seconds * 1000;
  const tick = () => {
    const leftMs = until - performance.now();
    show(leftMs <= 0 ? '' : countdown(leftMs));
    if (leftMs <= 0) stop();
  };
  const timer = setInterval(tick, 1000);
  const stop = () => clearInterval(timer);
  tick();
  return stop;
}

/**
 * The answered turns.
 *
 * @param {readonly Exchange[]} earlier
 */
function historyOf(earlier) {
  const turns = earlier
    .filter(({ answer }) => answer !== '')
    .flatMap(({ question, answer }) => [
      { role: /** @type {const} */ ('user'), content: question },
      { role: /** @type {const} */ ('assistant'), content: answer },
    ])
    .slice(-MAX_TURNS);
  while (JSON.stringify(turns).length > MAX_CHARACTERS) turns.splice(0, 2);
  return turns;
}
