// @ts-check
import { repeat } from '/dashboard/lib/lit-html/directives/repeat.js';
import { html, svg } from '/dashboard/lib/lit-html/lit-html.js';
import { count, countdown } from '/dashboard/page.js';
import { atTheEnd, moment, plain, STATES, sentence, serviceName, timeLeft } from './labels.js';

/** @import { KeyReport, KeysPage, Overview } from '../../../observability/reports.ts' */
/** @typedef {{ service: string, model: string, state: string }} Filter */
/**
 * By the server's clock: the time of the report, the present, the start; and the period of a bar.
 *
 * @typedef {{ now: number, liveNow: number, startedAt: number, barMs: number }} Times
 */
/**
 * @typedef {object} KeysActions
 * @property {(key: KeyReport, action: 'release' | 'park') => void} choose
 * @property {() => void} showNext
 * @property {() => void} showPrevious
 */

/**
 * @param {Overview} overview
 * @param {Filter} filter
 * @param {(changed: Partial<Filter>) => void} change
 */
export const filtersView = ({ services }, filter, change) => html`
  <div class="filters">
    ${choice({
      label: 'Service and model',
      all: 'all, for the first model of each',
      chosen: `${filter.service} ${filter.model}`.trim(),
      options: services.flatMap(({ service, models }) =>
        models.map(({ model }) => ({
          value: `${service} ${model}`,
          text: `${serviceName(service)} · ${model}`,
        })),
      ),
      choose(value) {
        const [service = '', model = ''] = value.split(' ');
        change({ service, model });
      },
    })}
    ${choice({
      label: 'State',
      all: 'all',
      chosen: filter.state,
      options: Object.entries(STATES).map(([value, { word }]) => ({ value, text: word })),
      choose: (state) => change({ state }),
    })}
  </div>
`;

/**
 * @typedef {object} Choice
 * @property {string} label
 * @property {string} all the option that chooses nothing
 * @property {string} chosen
 * @property {readonly { value: string, text: string }[]} options
 * @property {(value: string) => void} choose
 */

/** @param {Choice} choice */
const choice = ({ label, all, chosen, options, choose }) => html`
  <label class="small">${label}
    <select @change=${(/** @type {Event} */ event) => choose(/** @type {HTMLSelectElement} */ (event.target).value)}>
      <option value="" ?selected=${chosen === ''}>${all}</option>
      ${options.map(({ value, text }) => html`<option value=${value} ?selected=${value === chosen}>${text}</option>`)}
    </select>
  </label>
`;

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
  ${keys.length === 0 ? html`<p class="card">No key matches.</p>` : null}
  ${next === null && !options.hasPrevious ? null : pager(next !== null, options)}
`;

/**
 * @param {boolean} hasNext
 * @param {{ hasPrevious: boolean } & KeysActions} options
 */
const pager = (hasNext, { hasPrevious, showPrevious, showNext }) => html`
  <div class="row">
    <button type="button" ?disabled=${!hasPrevious} @click=${showPrevious}>Previous keys</button>
    <button type="button" ?disabled=${!hasNext} @click=${showNext}>Next keys</button>
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
      ${cooldownOf(key, times.liveNow)}
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
function cooldownOf(key, now) {
  const ms = timeLeft(key.until, now);
  if (ms === null) return null;
  if (ms === 0) return html`<span class="small">the next request is the probe</span>`;
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
      : [`first chunk after ${latency.p50Ms} ms (p95 ${latency.p95Ms} ms, last 5 minutes)`]),
  ].join(' · ');
}

/**
 * The states of a key over time, from left to right: available where nothing else is drawn, unknown
 * before the start.
 *
 * @param {KeyReport} key
 * @param {Times} times
 */
function keyBar(key, { now, startedAt, barMs }) {
  const start = now - barMs;
  const place = (/** @type {number} */ at) => (Math.max(0, at - start) / barMs) * 100;
  const unknown = Math.min(100, place(startedAt));
  return html`
    <svg class="hour" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label=${barText(key, now)}>
      <rect class="fill-good" x="0" y="0" width="100" height="10"></rect>
      <rect class="fill-unknown" x="0" y="0" width=${unknown} height="10"></rect>
      ${key.history.map(({ from, to, state }) => {
        const [x, end] = [place(Date.parse(from)), place(Date.parse(to))];
        const look = state === 'exhausted' ? 'fill-bad' : 'fill-wait';
        const width = end <= 0 ? 0 : Math.max(0.4, end - x);
        return svg`<rect class=${look} x=${x} y="0" width=${width} height="10"></rect>`;
      })}
    </svg>
  `;
}

/**
 * @param {KeyReport} key
 * @param {number} now
 */
function barText({ history }, now) {
  if (history.length === 0) return 'The last hour: always available.';
  const stretches = history.slice(-3).map(({ from, to, state, cause }) => {
    const minutes = Math.max(1, Math.round((Date.parse(to) - Date.parse(from)) / 60_000));
    const ago = Math.round((now - Date.parse(from)) / 60_000);
    return `${STATES[state]?.word} for ${count(minutes, 'minute')} (${plain(cause)}), from ${count(ago, 'minute')} ago`;
  });
  const more = history.length > 3 ? `${history.length - 3} earlier; ` : '';
  return `The last hour: ${more}${stretches.join('; ')}.`;
}

/**
 * @param {KeyReport} key
 * @param {string} now
 */
const keyDetails = (key, now) => html`
  <dl class="small">
    ${fact('Service, model', `${key.service}, ${key.model}`)}
    ${fact('Project', key.project)}
    <div><dt>Fingerprint</dt><dd class="mono">${key.fingerprint}</dd></div>
    ${key.since === null ? null : fact('Since', `${moment(key.since, now)}, source: ${key.source}`)}
    ${lastError(key, now)} ${lastAction(key, now)}
    ${key.scopes.map(({ scope, model, explanation }) =>
      fact(`${SCOPES[scope] ?? scope}${model === null ? '' : `, ${model}`}`, sentence(explanation)),
    )}
  </dl>
`;

/** @type {Record<string, string>} */
const SCOPES = {
  key: 'The key',
  project: 'The project',
  operator: 'Parked by an operator',
  project_model: 'Quota',
  key_model: 'Access to the model',
  rest: 'Ejected',
};

/**
 * @param {string} term
 * @param {string} text
 */
const fact = (term, text) => html`<div><dt>${term}</dt><dd>${text}</dd></div>`;

/**
 * @param {KeyReport} key
 * @param {string} now
 */
function lastError({ lastError: error }, now) {
  if (error === null) return null;
  const { at, model, kind, status, message } = error;
  const what = `${plain(kind)}${status === null ? '' : ` (${status})`}`;
  return fact('Last error', `${moment(at, now)}, ${model}: ${what}. ${message}`);
}

/**
 * @param {KeyReport} key
 * @param {string} now
 */
function lastAction({ lastAction: last }, now) {
  if (last === null) return null;
  const { at, action, who, why } = last;
  const by = `${action}, by ${who ?? 'the admin token'}${why === null ? '' : `: ${why}`}`;
  return fact('Last operator action', `${moment(at, now)}: ${by}`);
}
