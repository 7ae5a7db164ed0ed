// @ts-check
import { repeat } from '/dashboard/lib/lit-html/directives/repeat.js';
import { html, svg } from '/dashboard/lib/lit-html/lit-html.js';
import { count, countdown } from '/dashboard/page.js';
import {
  atTheEnd,
  duration,
  hasKeys,
  number,
  plain,
  STATES,
  serviceName,
  stateOf,
  timeLeft,
} from './labels.js';

/** @import { KeyReport, KeysPage, Overview } from '../../../observability/reports.ts' */
/** @typedef {{ search: string, service: string, model: string, state: string }} Filter */
/**
 * By the server's clock: the time of the report, the present, the start; and the period of a bar.
 *
 * @typedef {{ now: number, liveNow: number, startedAt: number, barMs: number }} Times
 */
/**
 * @typedef {object} KeysOptions
 * @property {Filter} filter
 * @property {(changed: Partial<Filter>) => void} changeFilter
 * @property {boolean} isWide whether two tables stand side by side
 * @property {boolean} hasPrevious
 * @property {() => void} showNext
 * @property {() => void} showPrevious
 * @property {() => void} add
 * @property {() => void} importMany
 * @property {() => void} checkAll
 */

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** What a bar may show: the first that is not shorter than the time since the start. */
const BARS_MS = [5, 15, 30].map((minutes) => minutes * MINUTE_MS);

/** @param {number} runningMs */
export const barPeriod = (runningMs) => BARS_MS.find((ms) => ms >= runningMs) ?? HOUR_MS;

/**
 * The keys in trouble first; each row leads to its detail.
 *
 * @param {Overview} overview
 * @param {KeysPage} page
 * @param {Times} times
 * @param {KeysOptions} options
 */
export function keysView(overview, page, times, options) {
  const { keys, total, next } = page;
  const half = options.isWide && keys.length > 6 ? Math.ceil(keys.length / 2) : keys.length;
  return html`
    <section class="card" id="keys" aria-labelledby="keys-title">
      <div class="row head">
        <h2 id="keys-title">Keys <span class="quiet">${keys.length < total ? `${keys.length} of ` : ''}${number(total)}</span></h2>
        ${filters(overview, options)}
        <div class="row tools">
          <button type="button" class="main" @click=${options.add}>Add key</button>
          <button type="button" @click=${options.importMany}>Import</button>
          <a class="button" href="/api/keys/export?format=csv" download>Export</a>
          <button type="button" @click=${options.checkAll}>Check all</button>
        </div>
      </div>
      <div class="halves">
        ${[keys.slice(0, half), keys.slice(half)].map((rows) => (rows.length === 0 ? null : keysTable(rows, overview, times)))}
      </div>
      ${keys.length === 0 ? html`<p class="quiet">No key matches.</p>` : null}
      <div class="row foot">
        ${next === null && !options.hasPrevious ? null : pager(next !== null, options)}
        <p class="small quiet">${storageText(page)}</p>
        ${unreadableText(page)}
      </div>
    </section>
  `;
}

/** @param {KeysPage} page */
const unreadableText = ({ unreadable = [] }) =>
  unreadable.length === 0
    ? null
    : html`<p class="small wait">${count(unreadable.length, 'stored key')} cannot be read, because another MASTER_KEY or a newer version wrote ${unreadable.length === 1 ? 'it' : 'them'}: ${unreadable.slice(0, 10).join(', ')}.</p>`;

/** @param {KeysPage} page */
function storageText({ storage, lasts, missingSettings = [] }) {
  if (storage === undefined) return null;
  const where = { redis: 'in Redis', file: 'in DATA_DIR', memory: 'in memory' }[storage];
  if (lasts === true) return `Changes to keys are kept ${where} and outlive a restart.`;
  const missing = [
    ...missingSettings.filter((name) => name === 'MASTER_KEY'),
    ...(missingSettings.includes('DATA_DIR') ? ['REDIS_URL or DATA_DIR'] : []),
  ];
  const remedy = missing.length === 0 ? '' : ` To keep them, set ${missing.join(', and ')}.`;
  return `Changes to keys are kept ${where} until the restart.${remedy}`;
}

/**
 * @param {Overview} overview
 * @param {KeysOptions} options
 */
const filters = ({ services }, { filter, changeFilter }) => html`
  <div class="row filters" role="search" aria-label="Keys">
    <input type="search" placeholder="Search id, project, fingerprint" aria-label="Search keys" autocomplete="off" spellcheck="false" .value=${filter.search}
      @input=${(/** @type {Event} */ event) => changeFilter({ search: /** @type {HTMLInputElement} */ (event.target).value })} />
    ${choice({
      label: 'State',
      all: 'Every state',
      chosen: filter.state,
      options: Object.entries(STATES).map(([value, { word }]) => ({ value, text: word })),
      choose: (state) => changeFilter({ state }),
    })}
    ${choice({
      label: 'Service and model',
      all: 'Every service',
      chosen: `${filter.service} ${filter.model}`.trim(),
      options: services.flatMap(({ service, models }) =>
        models
          .filter(
            (one) => hasKeys(one) || (service === filter.service && one.model === filter.model),
          )
          .map(({ model }) => ({
            value: `${service} ${model}`,
            text: `${serviceName(service)} · ${model}`,
          })),
      ),
      choose(value) {
        const [service = '', model = ''] = value.split(' ');
        changeFilter({ service, model });
      },
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
  <select aria-label=${label} @change=${(/** @type {Event} */ event) => choose(/** @type {HTMLSelectElement} */ (event.target).value)}>
    <option value="" ?selected=${chosen === ''}>${all}</option>
    ${options.map(({ value, text }) => html`<option value=${value} ?selected=${value === chosen}>${text}</option>`)}
  </select>
`;

/**
 * @param {boolean} hasNext
 * @param {KeysOptions} options
 */
const pager = (hasNext, { hasPrevious, showPrevious, showNext }) => html`
  <div class="row">
    <button type="button" ?disabled=${!hasPrevious} @click=${showPrevious}>Previous keys</button>
    <button type="button" ?disabled=${!hasNext} @click=${showNext}>Next keys</button>
  </div>
`;

/**
 * @param {readonly KeyReport[]} keys
 * @param {Overview} overview
 * @param {Times} times
 */
const keysTable = (keys, overview, times) => html`
  <table class="dense keys">
    <thead>
      <tr>
        <th scope="col" class="name">Key</th>
        <th scope="col" class="state">State</th>
        <th scope="col" class="until">Returns</th>
        <th scope="col" class="wide bar" title=${BAR_COLOURS}>State, ${lastOf(times.barMs)}</th>
        <th scope="col" class="wide number few">Calls</th>
        <th scope="col" class="wide number few">Failed</th>
        <th scope="col" class="wide number speed">First words</th>
      </tr>
    </thead>
    <tbody>
      ${repeat(
        keys,
        ({ id, model }) => `${id} ${model}`,
        (key) => keyRow(key, overview, times),
      )}
    </tbody>
  </table>
`;

const BAR_COLOURS =
  'Green: available. Orange: cooling down or paused. Red: needs action. Grey: before the start.';

/** @param {number} ms */
const lastOf = (ms) => (ms === HOUR_MS ? 'last hour' : `last ${ms / MINUTE_MS} min`);

/**
 * @param {KeyReport} key
 * @param {Overview} overview
 * @param {Times} times
 */
function keyRow(key, overview, times) {
  const { word, sign, look } = stateOf(key, overview);
  const failed = Object.values(key.failures).reduce((sum, one) => sum + one, 0);
  return html`
    <tr class="opens" @click=${openRow}>
      <th scope="row">
        <a href="#key=${key.id}">${key.id}</a>
        ${key.project === key.id ? null : html`<span class="quiet project">${key.project}</span>`}
      </th>
      <td class="state" title=${key.explanation ?? ''}>
        <span class=${look}><span aria-hidden="true">${sign}</span> ${word}</span>
        ${key.cause === null || key.state === 'paused' ? null : html`<span class="quiet">${plain(key.cause)}</span>`}
      </td>
      <td class="until">${returnsIn(key, times.liveNow)}</td>
      <td class="wide bar">${keyBar(key, times)}</td>
      <td class="wide number">${key.calls === 0 ? html`<span class="quiet">0</span>` : number(key.calls)}</td>
      <td class="wide number">${failed === 0 ? html`<span class="quiet">0</span>` : number(failed)}</td>
      <td class="wide number">${key.latency === null ? html`<span class="quiet">–</span>` : duration(key.latency.p50Ms)}</td>
    </tr>
  `;
}

/** A click anywhere in a row follows its link. @param {MouseEvent} event */
function openRow(event) {
  const row = /** @type {Element} */ (event.currentTarget);
  const isLink = /** @type {Element} */ (event.target).closest('a, button') !== null;
  if (!isLink && getSelection()?.isCollapsed !== false) row.querySelector('a')?.click();
}

/**
 * `in 04:12`, `probe in 04:12`, `next request probes it`
 *
 * @param {KeyReport} key
 * @param {number} now
 */
export function returnsIn({ until, untilBy, state }, now) {
  const ms = timeLeft(until, now);
  if (ms === null) return null;
  if (ms === 0) return 'next request probes it';
  const isProbe = atTheEnd(untilBy) === 'probe' || state === 'exhausted';
  return html`${isProbe ? 'probe in' : 'in'} <span class="countdown">${countdown(ms)}</span>`;
}

/**
 * The states of a key over time, from left to right: available where nothing else is drawn, unknown
 * before the start.
 *
 * @param {KeyReport} key
 * @param {Times} times
 */
export function keyBar(key, { now, startedAt, barMs }) {
  const start = now - barMs;
  const place = (/** @type {number} */ at) => (Math.max(0, at - start) / barMs) * 100;
  const unknown = Math.min(100, place(startedAt));
  return html`
    <svg class="hour ${key.history.length === 0 ? 'calm' : ''}" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label=${barText(key, now)}>
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
