// @ts-check
import { countdown } from '/dashboard/countdown.js';
import { repeat } from '/dashboard/lib/lit-html/directives/repeat.js';
import { html } from '/dashboard/lib/lit-html/lit-html.js';
import { keyBar } from './key-bar.js';
import { keyDetails } from './key-details.js';
import { atTheEnd, count, plain, STATES, sentence, timeLeft } from './words.js';

/** @import { KeyReport } from '../../../observability/reports.ts' */
/** @import { KeysPage } from '../../../observability/reports.ts' */
/** @import { Times } from './key-bar.js' */
/**
 * @typedef {object} KeysActions
 * @property {(key: KeyReport, action: 'release' | 'park') => void} choose
 * @property {() => void} showNext
 * @property {() => void} showPrevious
 */

/**
 * @param {KeysPage} page
 * @param {Times} times
 * @param {{ hasPrevious: boolean } & KeysActions} options
 */
export const keysView = ({ keys, total, next }, times, options) => html`
  <p class="small quiet">
    ${keys.length < total ? `${keys.length} of ` : ''}${count(total, 'key')}. The bars show the last
    ${count(Math.round(times.barMs / 60_000), 'minute')}; grey is before the server started.
  </p>
  <ul class="keys">
    ${repeat(
      keys,
      ({ id, model }) => `${id} ${model}`,
      (key) => html`<li class="card key">${keyCard(key, times, options)}</li>`,
    )}
  </ul>
  ${keys.length === 0 ? html`<p class="card">No key is like that.</p>` : null}
  ${next === null && !options.hasPrevious ? null : pager(next !== null, options)}
`;

/**
 * @param {boolean} hasNext
 * @param {{ hasPrevious: boolean } & KeysActions} options
 */
const pager = (hasNext, { hasPrevious, showPrevious, showNext }) => html`
  <div class="row">
    <button type="button" ?disabled=${!hasPrevious} @click=${showPrevious}>Earlier keys</button>
    <button type="button" ?disabled=${!hasNext} @click=${showNext}>Further keys</button>
  </div>
`;

/**
 * @param {KeyReport} key
 * @param {Times} times
 * @param {KeysActions} actions
 */
function keyCard(key, times, { choose }) {
  const { word, sign, look } = STATES[key.state] ?? { word: key.state, sign: '', look: '' };
  return html`
    <div class="who">
      <h3>${key.id}</h3>
      <span class="chip ${look}"><span aria-hidden="true">${sign}</span> ${word}</span>
      ${left(key, times.liveNow)}
    </div>
    <div class="hour-box">${keyBar(key, times)}</div>
    <div class="actions row">
      <button type="button" aria-label="Release ${key.id}" @click=${() => choose(key, 'release')}>Release</button>
      <button type="button" aria-label="Park ${key.id}" @click=${() => choose(key, 'park')}>Park</button>
    </div>
    ${key.explanation === null ? null : html`<p class="why">${sentence(key.explanation)}</p>`}
    <p class="small quiet numbers">${numbers(key)}</p>
    <details>
      <summary class="small">Details of ${key.id}</summary>
      ${keyDetails(key, new Date(times.now).toISOString())}
    </details>
  `;
}

/**
 * @param {KeyReport} key
 * @param {number} now
 */
function left(key, now) {
  const ms = timeLeft(key.until, now);
  if (ms === null) return null;
  if (ms === 0) return html`<span class="small">tried by the next request</span>`;
  return html`<span class="small">${atTheEnd(key.untilBy)} in <span class="mono countdown">${countdown(ms)}</span></span>`;
}

/** @param {KeyReport} key */
function numbers({ calls, successes, inFlight, failures, latency }) {
  const failed = Object.entries(failures).map(([kind, number]) => `${number} × ${plain(kind)}`);
  return [
    count(calls, 'call'),
    `${successes} answered`,
    ...failed,
    ...(inFlight > 0 ? [`${inFlight} in flight`] : []),
    ...(latency === null
      ? []
      : [`first words after ${latency.p50Ms} ms (p95 ${latency.p95Ms} ms, last 5 minutes)`]),
  ].join(' · ');
}
