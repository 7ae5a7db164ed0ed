// @ts-check
import { html, svg } from '/dashboard/lib/lit-html/lit-html.js';
import { countdown, money } from '/dashboard/page.js';
import {
  atTheEnd,
  compact,
  duration,
  failsWholly,
  hasKeys,
  number,
  serviceName,
  timeLeft,
} from './labels.js';

/** @import { Overview } from '../../../observability/reports.ts' */
/** @typedef {Overview['services'][number]} ServiceReport */
/** @typedef {ServiceReport['models'][number]} ModelReport */
/** @typedef {(filter: { service: string, model: string, state: string }) => void} ShowKeys */

/**
 * The numbers of the last hour, and for each service and model that has keys how many are available.
 *
 * @param {Overview} overview
 * @param {{ liveNow: number, showKeys: ShowKeys }} options
 */
export const totalsView = (overview, { liveNow, showKeys }) => html`
  <section class="totals" aria-label="Totals">
    <dl class="tiles">${numberTiles(overview)}</dl>
    <ul class="tiles services">
      ${overview.services.flatMap((service) =>
        service.models
          .filter(hasKeys)
          .map(
            (model) =>
              html`<li>${modelTile(service, model, { isProven: !failsWholly(service.service, overview), liveNow, showKeys })}</li>`,
          ),
      )}
    </ul>
  </section>
`;

/** @param {Overview} overview */
function numberTiles({ totals }) {
  if (totals === undefined) return null;
  const { requests, answered, successPercent, p95FirstMs, minutes } = totals;
  const { tokensToday, costToday, currency } = totals;
  const period = minutes === 60 ? 'last hour' : `last ${minutes} min`;
  return [
    tile('Requests', number(requests), period),
    tile(
      'Answered',
      successPercent === null ? '–' : `${successPercent}%`,
      `${number(answered)} of ${number(requests)}`,
    ),
    tile('First words', duration(p95FirstMs), 'p95, last hour'),
    tokensToday === null
      ? tile('Tokens', '–', 'today, UTC', UNREAD)
      : tile('Tokens', compact(tokensToday), 'today, UTC'),
    costToday === null ? null : tile('Cost', money(costToday, currency), 'today, UTC'),
  ];
}

const UNREAD = 'Unknown: the store of the usage could not be read.';

/**
 * @param {string} name
 * @param {unknown} value
 * @param {string} note
 * @param {string} [reason] why there is no value
 */
const tile = (name, value, note, reason = '') =>
  html`<div title=${reason}><dt>${name}</dt><dd><strong>${value}</strong> <span class="note">${note}</span></dd></div>`;

/**
 * @param {ServiceReport} service
 * @param {ModelReport} model
 * @param {{ isProven: boolean, liveNow: number, showKeys: ShowKeys }} options
 */
function modelTile({ service, inFlight }, model, { isProven, liveNow, showKeys }) {
  const { total, available, cooling_down: cooling, exhausted } = model;
  const show = (/** @type {string} */ state) => () =>
    showKeys({ service, model: model.model, state });
  return html`
    <h3>${serviceName(service)} <span class="quiet model" title=${model.model}>${model.model}</span></h3>
    <p class="figures">
      <button type="button" class="link" @click=${show('available')}><strong class=${available === 0 ? 'bad-text' : ''}>${number(available)}</strong> of ${number(total)} available${isProven ? null : ', unproven'}</button>
      ${cooling === 0 ? null : html`<button type="button" class="link" @click=${show('cooling_down')}><span class="wait">◐ ${number(cooling)}</span> cooling</button>`}
      ${exhausted === 0 ? null : html`<button type="button" class="link" @click=${show('exhausted')}><span class="bad-text">✕ ${number(exhausted)}</span> to fix</button>`}
    </p>
    ${shares(model, isProven)}
    <p class="note">${returnOf(model, liveNow)}${inFlight} in flight</p>
  `;
}

/**
 * @param {ModelReport} model
 * @param {number} now
 */
function returnOf({ nextReturnAt, nextReturnBy }, now) {
  const left = timeLeft(nextReturnAt, now);
  if (left === null) return null;
  const end = atTheEnd(nextReturnBy);
  return left === 0
    ? `${end === 'probe' ? 'next request probes a key' : 'next available now'} · `
    : html`next ${end} in <span class="countdown">${countdown(left)}</span> · `;
}

/**
 * @param {ModelReport} model
 * @param {boolean} isProven
 */
function shares({ total, available, cooling_down: cooling, exhausted }, isProven) {
  const parts = [
    { keys: available, look: isProven ? 'fill-good' : 'fill-unknown' },
    { keys: cooling, look: 'fill-wait' },
    { keys: exhausted, look: 'fill-bad' },
  ];
  let from = 0;
  return html`
    <svg class="shares" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
      ${parts.map(({ keys, look }) => {
        const [x, width] = [from, (keys / total) * 100];
        from += width;
        return svg`<rect class=${look} x=${x} y="0" width=${width} height="6"></rect>`;
      })}
    </svg>
  `;
}
