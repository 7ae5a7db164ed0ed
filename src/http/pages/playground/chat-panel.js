// @ts-check
import { html, nothing, render } from '/playground/lib/lit-html/lit-html.js';
import { ask, Refusal } from './ask.js';
import { startWait } from './wait.js';
import { announce, count, whoAnswered } from './words.js';

/** @import { AnsweredBy, Finish } from './ask.js' */
/**
 * @typedef {object} Exchange
 * @property {string} question
 * @property {string} answer
 * @property {AnsweredBy | null} answeredBy
 * @property {Finish | null} finish
 * @property {number | null} firstMs
 * @property {string | null} fault
 * @property {string} wait until it makes sense to ask again
 */

const MOST_TURNS = 40;
/** A third of what the server reads, for those of three bytes. */
const MOST_CHARACTERS = 300_000;
const place = /** @type {HTMLElement} */ (document.querySelector('#chat'));

/** @type {Exchange[]} */
const exchanges = [];
/** @type {AbortController | null} */
let asking = null;
let isToBeShown = false;
/** Ends the countdown under the last refusal. */
let stopWait = () => {};

export function showChat() {
  render(
    html`
      <h2 id="chat-title">Chat</h2>
      <ol class="talk" aria-label="Conversation">${exchanges.map(row)}</ol>
      ${exchanges.length === 0 ? html`<p class="quiet">Say something; the answer comes as it is written.</p>` : nothing}
      <form class="say" @submit=${submit}>
        <label class="only-heard" for="message">Message</label>
        <textarea id="message" name="message" rows="2" required placeholder="Message" @keydown=${sendOnEnter}></textarea>
        <button class=${asking === null ? 'main' : ''} type="submit" ?formnovalidate=${asking !== null}>${asking === null ? 'Send' : 'Stop'}</button>
      </form>
    `,
    place,
  );
}

/** Once a frame, however many pieces come; to its end only for whoever is there already. */
function showSoon() {
  if (isToBeShown) return;
  isToBeShown = true;
  requestAnimationFrame(() => {
    isToBeShown = false;
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
      : html`<li class="notice bad">${fault}${wait !== '' ? html` <span class="quiet">Ask again in <span class="mono">${wait}</span>.</span>` : nothing}</li>`
  }
  ${answeredBy === null ? nothing : html`<li class="small quiet">${facts(answeredBy, finish, firstMs)}</li>`}
`;

/**
 * @param {AnsweredBy} answeredBy
 * @param {Finish | null} finish
 * @param {number | null} firstMs
 */
const facts = (answeredBy, finish, firstMs) =>
  [
    `answered ${whoAnswered(answeredBy)}`,
    ...(finish === null ? [] : [finish.model]),
    ...(firstMs === null ? [] : [`first words after ${firstMs} ms`]),
    ...(finish === null ? [] : [count(finish.usage.totalTokens, 'token'), finish.finishReason]),
  ].join(' · ');

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
      stopWait = startWait(error.retryAfterSeconds, (left) => {
        current.wait = left;
        showChat();
      });
    }
  }
  announce(current.fault);
}

/**
 * What was said before, as far as it was answered.
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
    .slice(-MOST_TURNS);
  while (JSON.stringify(turns).length > MOST_CHARACTERS) turns.splice(0, 2);
  return turns;
}
