// @ts-check
import { html, nothing, render } from '/playground/lib/lit-html/lit-html.js';
import { announce, count } from '/playground/page.js';
import { askWhole, Refusal } from './ask.js';

/**
 * How one request of a burst has ended.
 *
 * @typedef {object} Outcome
 * @property {number} number from 1
 * @property {number} ms
 * @property {boolean} isQueueIncluded whether they begin before the browser has sent the request
 * @property {string | null} key of the answer; null: refused, or not said
 * @property {number} attempts
 * @property {string | null} model
 * @property {string | null} refusal null: answered
 */
/** @typedef {{ at: string, size: number, ms: number | null, outcomes: Outcome[] }} Burst */

const SIZES = [6, 12, 24, 48];
const MAX_KEPT = 6;
/** Lasts as long as the tab. */
const STORED = 'understudy-bursts-2';
const place = /** @type {HTMLElement} */ (document.querySelector('#burst'));

/** The latest first. */
const bursts = readStored();
/** @type {AbortController | null} */
let running = null;
let size = 24;
/** The outcomes that the browser has not timed yet, by the fragments of their requests. @type {Map<string, Outcome>} */
const untimed = new Map();

new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) time(/** @type {PerformanceResourceTiming} */ (entry));
}).observe({ type: 'resource' });

export function showBurst() {
  render(
    html`
      <h2 id="burst-title">Burst</h2>
      <p class="small quiet">Many requests at once, so that keys reach their quota and others take over. The rate limit per address counts each one.</p>
      <div class="row">
        <label class="only-heard" for="size">Number of requests</label>
        <select id="size" @change=${chooseSize}>${SIZES.map((one) => html`<option value=${one} ?selected=${one === size}>${one} requests</option>`)}</select>
        ${
          running === null
            ? html`<button type="button" class="main" @click=${run}>Send ${size} requests</button>`
            : html`<button type="button" @click=${() => running?.abort()}>Stop</button>`
        }
      </div>
      ${bursts.map((burst, index) => burstView(burst, index === 0))}
    `,
    place,
  );
}

/** @param {Event} event */
function chooseSize({ target }) {
  size = Number(/** @type {HTMLSelectElement} */ (target).value);
  showBurst();
}

/**
 * @param {Burst} burst
 * @param {boolean} isLatest
 */
const burstView = (burst, isLatest) => html`<details class="past" ?open=${isLatest}>
  <summary><time datetime=${burst.at}>${localTime(burst.at)}</time> · ${headline(burst)}</summary>
  <ul class="result">${tallies(burst).map(([what, { number, look }]) => html`<li><strong class=${look}>${number}</strong> ${what}</li>`)}</ul>
  ${burst.outcomes.some(({ isQueueIncluded }) => isQueueIncluded) ? html`<p class="small quiet">Times include the wait for a connection of the browser.</p>` : nothing}
  <ol class="cells" aria-label="Each request">${burst.outcomes.toSorted((one, other) => one.number - other.number).map(cell)}</ol>
</details>`;

/** @param {Burst} burst */
function headline({ outcomes, size: all, ms }) {
  const refused = outcomes.filter(({ refusal }) => refusal !== null).length;
  const state =
    ms === null ? `${outcomes.length} of ${all} have ended` : `in ${(ms / 1000).toFixed(1)} s`;
  return `${outcomes.length - refused} answered, ${refused} refused, ${state}`;
}

/**
 * How often which key has answered, then the refusals.
 *
 * @param {Burst} burst
 */
function tallies({ outcomes }) {
  /** @type {Map<string, { number: number, look: string }>} */
  const found = new Map();
  for (const outcome of outcomes) {
    const { what, look } = inWords(outcome);
    found.set(what, { number: (found.get(what)?.number ?? 0) + 1, look });
  }
  return [...found].sort(
    ([, a], [, b]) => a.look.localeCompare(b.look) * -1 || b.number - a.number,
  );
}

/** @param {Outcome} outcome */
function inWords({ refusal, key, attempts }) {
  if (refusal !== null) return { what: `refused: ${refusal}`, look: 'bad-text' };
  if (key !== null) return { what: `answered by ${key}`, look: 'good' };
  const which = attempts === 1 ? 'at the first attempt' : `after ${attempts} attempts`;
  return { what: `answered ${which}`, look: 'good' };
}

/** @param {Outcome} outcome */
const cell = (
  outcome,
) => html`<li class=${outcome.refusal === null ? 'answered' : 'refused'} title=${outcome.refusal ?? outcome.model ?? ''}>
  <span class="quiet">${outcome.number}</span>
  <strong>${outcome.refusal === null ? (outcome.key ?? 'answered') : 'refused'}</strong>
  <span class="quiet">${outcome.attempts > 1 ? `${count(outcome.attempts, 'attempt')}, ` : nothing}${outcome.ms} ms</span>
</li>`;

/** @param {string} at */
const localTime = (at) => new Date(at).toLocaleTimeString('en-GB');

async function run() {
  /** @type {Burst} */
  const burst = { at: new Date().toISOString(), size, ms: null, outcomes: [] };
  bursts.unshift(burst);
  bursts.splice(MAX_KEPT);
  running = new AbortController();
  const { signal } = running;
  const startedAt = performance.now();
  showBurst();
  await Promise.all(Array.from({ length: size }, (_, index) => askOne(burst, index + 1, signal)));
  burst.ms = Math.round(performance.now() - startedAt);
  running = null;
  announce(headline(burst));
  keep();
  showBurst();
}

/**
 * @param {Burst} burst
 * @param {number} number
 * @param {AbortSignal} signal
 */
async function askOne(burst, number, signal) {
  const startedAt = performance.now();
  const fragment = `#${burst.at}-${number}`;
  /** @type {Outcome} */
  const outcome = { ...UNKNOWN, number, ms: 0, isQueueIncluded: true };
  untimed.set(fragment, outcome);
  Object.assign(outcome, await outcomeOf(`Request ${number} of ${burst.size}`, signal, fragment));
  if (outcome.isQueueIncluded) outcome.ms = Math.round(performance.now() - startedAt);
  burst.outcomes.push(outcome);
  showBurst();
}

/**
 * A browser opens few connections to a host: most requests of a burst wait for one before they are sent.
 *
 * @param {PerformanceResourceTiming} entry
 */
function time({ name, requestStart, responseEnd }) {
  const { hash } = new URL(name);
  const outcome = untimed.get(hash);
  if (outcome === undefined || requestStart === 0) return;
  untimed.delete(hash);
  Object.assign(outcome, { ms: Math.round(responseEnd - requestStart), isQueueIncluded: false });
  keep();
  showBurst();
}

const UNKNOWN = { key: null, attempts: 0, model: null, refusal: null };

/**
 * @param {string} message
 * @param {AbortSignal} signal
 * @param {string} fragment
 */
async function outcomeOf(message, signal, fragment) {
  try {
    const { key, attempts, model } = await askWhole(message, signal, fragment);
    return { key, attempts, model };
  } catch (error) {
    return { refusal: faultOf(error, signal) };
  }
}

/**
 * @param {unknown} error
 * @param {AbortSignal} signal
 */
function faultOf(error, { aborted }) {
  if (error instanceof Refusal) return error.message;
  return aborted ? 'Stopped.' : 'The server does not answer.';
}

/** A browser may forbid the storage: the bursts then last until a reload. */
function keep() {
  try {
    sessionStorage.setItem(STORED, JSON.stringify(bursts));
  } catch {}
}

/** @returns {Burst[]} */
function readStored() {
  try {
    return JSON.parse(sessionStorage.getItem(STORED) ?? '[]');
  } catch {
    return [];
  }
}
