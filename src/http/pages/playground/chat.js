// @ts-check
import { html, nothing, render } from '/playground/lib/lit-html/lit-html.js';
import { announce, count, countdown } from '/playground/page.js';
import { ask, Refusal } from './ask.js';
import { attemptsView, costOf } from './attempts.js';
import { apply, isTool, openCalls, textIn } from './message.js';
import { fileView, partsView } from './parts.js';

/** @import { AnsweredBy } from './ask.js' */
/** @import { FilePart, Message, Part, StreamEvent, ToolPart, Usage } from './message.js' */
/**
 * One request and its answer. An answer that calls tools has several.
 *
 * @typedef {object} Step
 * @property {number} from the index of its first part
 * @property {AnsweredBy | null} answeredBy
 * @property {string | null} model
 * @property {Usage | null} usage
 * @property {string | null} cost of an answer, for the admin alone
 * @property {string | null} finishReason
 * @property {number | null} firstMs
 * @property {number | null} ms
 */
/**
 * @typedef {object} Exchange
 * @property {Message} question
 * @property {Message} answer
 * @property {Step[]} steps
 * @property {string | null} fault
 * @property {string} wait the countdown to a retry
 */

/** How much of the conversation is sent again. */
const MAX_EXCHANGES = 20;
const place = /** @type {HTMLElement} */ (document.querySelector('#chat'));

/** @type {Exchange[]} */
let exchanges = [];
/** The number of questions, for their ids. */
let sent = 0;
/** Files of the next message. */
/** @type {FilePart[]} */
let files = [];
/** @type {AbortController | null} */
let asking = null;
let isScheduled = false;
/** Whether the newest message stays in view. */
let isFollowing = false;
/** Ends the countdown under the last refusal. */
let stopWait = () => {};

export function showChat() {
  render(
    html`
      <div class="row head">
        <h2 id="chat-title">Chat</h2>
        ${exchanges.length === 0 ? nothing : html`<button type="button" class="small-button" ?disabled=${asking !== null} @click=${clear}>Clear</button>`}
      </div>
      ${exchanges.length === 0 ? html`<p class="quiet">Send a message; the answer is streamed, with reasoning, tools, images and sources where the settings allow them.</p>` : html`<ol class="talk" aria-label="Conversation">${exchanges.map(exchangeView)}</ol>`}
      <form class="say" @submit=${submit} @paste=${paste}>
        ${files.length === 0 ? nothing : html`<ul class="attached">${files.map(attachedView)}</ul>`}
        <label class="only-heard" for="message">Message</label>
        <textarea id="message" name="message" rows="2" placeholder="Message" @keydown=${sendOnEnter}></textarea>
        <div class="buttons">
          <label class="button attach">Add a file<input class="only-heard" type="file" multiple accept="image/*,application/pdf,audio/*,video/*" @change=${choose} /></label>
          <button class=${asking === null ? 'main' : ''} type="submit">${asking === null ? 'Send' : 'Stop'}</button>
        </div>
      </form>
    `,
    place,
  );
}

/** At most once a frame. */
function showSoon() {
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(() => {
    isScheduled = false;
    showChat();
  });
}

/** Keeps the newest message in view, also when an image in it is loaded, until the reader scrolls up. */
export function followNewest() {
  let lastY = scrollY;
  addEventListener('scroll', () => {
    isFollowing = hiddenBelow() <= 1 || (isFollowing && scrollY >= lastY);
    lastY = scrollY;
  });
  new ResizeObserver(() => {
    if (isFollowing) scrollToEnd();
  }).observe(place);
}

const hiddenBelow = () => place.getBoundingClientRect().bottom - innerHeight;

function scrollToEnd() {
  if (hiddenBelow() > 0) place.scrollIntoView({ block: 'end' });
}

/**
 * @param {Exchange} exchange
 * @param {number} index
 */
const exchangeView = ({ question, answer, steps, fault, wait }, index) => html`
  ${partsView('user', question.parts, ASKED)}
  ${steps.map((step, number) => stepView(step, answer.parts.slice(step.from, steps[number + 1]?.from), index < exchanges.length - 1))}
  ${
    fault === null
      ? nothing
      : html`<li class="notice bad">${fault}${wait === '' ? nothing : html` <span class="quiet">Retry in <span class="mono">${wait}</span>.</span>`}</li>`
  }
`;

const ASKED = { isComplete: true, isPast: true, actions: null };

/**
 * @param {Step} step
 * @param {readonly Part[]} parts
 * @param {boolean} isPast
 */
const stepView = (step, parts, isPast) => html`
  ${partsView('assistant', parts, {
    isComplete: step.ms !== null,
    isPast,
    actions: asking === null && !isPast ? { decide, provide } : null,
  })}
  ${
    step.answeredBy === null || step.model === null || step.ms === null
      ? nothing
      : html`<li class="small quiet">${factsOf(step).join(' · ')}${attemptsView(step.answeredBy)}</li>`
  }
`;

/** @param {Step} step */
const factsOf = ({ answeredBy, model, usage, cost, finishReason, firstMs }) => [
  ...(answeredBy === null ? [] : [`answered ${byWhichKey(answeredBy)}`]),
  ...(model === null ? [] : [model]),
  ...(firstMs === null ? [] : [`first words after ${firstMs} ms`]),
  ...(usage === null ? [] : [tokensOf(usage)]),
  ...(cost === null ? [] : [cost]),
  ...(finishReason === null || finishReason === 'stop' ? [] : [ENDS[finishReason] ?? finishReason]),
];

/** @type {Record<string, string>} */
const ENDS = {
  length: 'cut off at the token limit',
  'tool-calls': 'calls a tool',
  'content-filter': 'blocked by a content filter',
  other: 'ended for another reason',
};

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

/** @param {Usage} usage */
function tokensOf({ inputTokens, outputTokens, totalTokens, cachedInputTokens, reasoningTokens }) {
  const parts = [
    `${inputTokens} in`,
    `${outputTokens} out`,
    ...(reasoningTokens ? [`${reasoningTokens} of reasoning`] : []),
    ...(cachedInputTokens ? [`${cachedInputTokens} cached`] : []),
  ];
  return `${count(totalTokens, 'token')} (${parts.join(', ')})`;
}

/** @param {FilePart} file */
const attachedView = (file) =>
  html`<li>${fileView(file, 'Attached')}<button type="button" class="small-button" aria-label="Remove ${file.filename ?? 'the file'}" @click=${() => {
    files = files.filter((other) => other !== file);
    showChat();
  }}>×</button></li>`;

/** @param {Event} event */
function choose({ target }) {
  const input = /** @type {HTMLInputElement} */ (target);
  void attach([...(input.files ?? [])]);
  input.value = '';
}

/** @param {ClipboardEvent} event */
function paste(event) {
  const pasted = [...(event.clipboardData?.files ?? [])];
  if (pasted.length === 0) return;
  event.preventDefault();
  void attach(pasted);
}

/** @param {readonly File[]} chosen */
async function attach(chosen) {
  files = [...files, ...(await Promise.all(chosen.map(toPart)))];
  showChat();
}

/**
 * @param {File} file
 * @returns {Promise<FilePart>}
 */
async function toPart(file) {
  const reader = new FileReader();
  const read = new Promise((resolve, reject) => {
    reader.onload = resolve;
    reader.onerror = () => reject(reader.error);
  });
  reader.readAsDataURL(file);
  await read;
  return { type: 'file', mediaType: file.type, url: String(reader.result), filename: file.name };
}

function clear() {
  exchanges = [];
  stopWait();
  showChat();
}

/** @param {SubmitEvent} event */
function submit(event) {
  event.preventDefault();
  if (asking !== null) {
    asking.abort();
    return;
  }
  const form = /** @type {HTMLFormElement} */ (event.target);
  const text = String(new FormData(form).get('message') ?? '').trim();
  if (text === '' && files.length === 0) return;
  form.reset();
  const said = text === '' ? [] : [{ type: /** @type {const} */ ('text'), text }];
  sent += 1;
  exchanges.push({
    question: { id: `question-${sent}`, role: 'user', parts: [...files, ...said] },
    answer: { id: `answer-${sent}`, role: 'assistant', parts: [] },
    steps: [],
    fault: null,
    wait: '',
  });
  files = [];
  void goOn();
}

/** @param {KeyboardEvent} event */
function sendOnEnter(event) {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (asking !== null) return;
  /** @type {HTMLTextAreaElement} */ (event.target).form?.requestSubmit();
}

/**
 * @param {ToolPart} part
 * @param {boolean} approved
 */
function decide(part, approved) {
  part.state = 'approval-responded';
  part.approval = { id: part.approval?.id ?? '', approved };
  goOnWhenDecided();
}

/**
 * @param {ToolPart} part
 * @param {unknown} output
 */
function provide(part, output) {
  part.state = 'output-available';
  part.output = output;
  goOnWhenDecided();
}

/** An approved call comes back from the server at once; only then it waits for its result. */
function goOnWhenDecided() {
  const { answer } = /** @type {Exchange} */ (exchanges.at(-1));
  const open = openCalls(answer);
  const isApproved = answer.parts.some(
    (part) =>
      isTool(part) && part.state === 'approval-responded' && part.approval?.approved === true,
  );
  const needsDecision = open.some(({ state }) => state === 'approval-requested');
  if (!needsDecision && (isApproved || open.length === 0)) void goOn();
  else showChat();
}

/** One request for the last exchange. */
async function goOn() {
  const current = /** @type {Exchange} */ (exchanges.at(-1));
  /** @type {Step} */
  const step = {
    from: current.answer.parts.length,
    answeredBy: null,
    model: null,
    usage: null,
    cost: null,
    finishReason: null,
    firstMs: null,
    ms: null,
  };
  current.steps.push(step);
  current.fault = null;
  asking = new AbortController();
  const startedAt = performance.now();
  const elapsed = () => Math.round(performance.now() - startedAt);
  stopWait();
  isFollowing = true;
  showChat();
  scrollToEnd();
  try {
    await ask(
      sentMessages(),
      asking.signal,
      (answeredBy) => {
        step.answeredBy = answeredBy;
      },
      (event) => {
        if (event.type.endsWith('-delta')) step.firstMs ??= elapsed();
        note(step, event);
        apply(current.answer, event);
        showSoon();
      },
    );
    announce(`Answer: ${textIn(current.answer)}`);
  } catch (error) {
    fail(current, error);
  }
  step.ms = elapsed();
  asking = null;
  showSoon();
  if (step.answeredBy === null || step.usage === null) return;
  step.cost = await costOf(step.answeredBy);
  showSoon();
}

/**
 * @param {Step} step
 * @param {StreamEvent} event
 */
function note(step, { messageMetadata: { model, usage } = {}, finishReason }) {
  if (model !== undefined) step.model = model;
  if (usage !== undefined) step.usage = usage;
  if (finishReason !== undefined) step.finishReason = finishReason;
}

/** What was answered, and the last question with the answer so far: calls of tools with their results. */
function sentMessages() {
  const last = exchanges.at(-1);
  return exchanges
    .filter((exchange) => exchange === last || hasContent(exchange.answer))
    .slice(-MAX_EXCHANGES)
    .flatMap(({ question, answer }) => (hasContent(answer) ? [question, answer] : [question]));
}

/** @param {Message} message */
const hasContent = ({ parts }) => parts.some(({ type }) => type !== 'step-start');

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
