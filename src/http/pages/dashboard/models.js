// @ts-check
import { html, svg } from '/dashboard/lib/lit-html/lit-html.js';
import { count, countdown } from '/dashboard/page.js';
import { atTheEnd, serviceName, timeLeft } from './labels.js';

/** @import { Overview } from '../../../observability/reports.ts' */
/** @typedef {Overview['services'][number]} ServiceReport */
/** @typedef {ServiceReport['models'][number]} ModelReport */

/**
 * A card for each service and model: how many keys are available, and when the next one returns.
 *
 * @param {Overview} overview
 * @param {number} now by the server's clock
 */
export const modelsView = ({ services }, now) => html`
  <section aria-labelledby="models-title">
    <h2 class="only-heard" id="models-title">Services and models</h2>
    <ul class="models">
      ${services.flatMap((service) =>
        service.models.map(
          (model) => html`<li class="card">${modelCard(service, model, now)}</li>`,
        ),
      )}
    </ul>
  </section>
`;

/**
 * For each service without an available key: when the first one returns.
 *
 * @param {Overview} overview
 * @param {number} now
 */
export const firstReturns = ({ services }, now) =>
  services.map(({ service, models: all }) => {
    const models = all.filter(({ embeds }) => !embeds);
    const isOut = models.every(({ available }) => available === 0);
    const [first] = models.filter(({ nextReturnAt }) => nextReturnAt !== null).sort(bySooner);
    if (!isOut || first === undefined) return null;
    return html`<p>First ${serviceName(service)} key: ${returnOf(first, now)}.</p>`;
  });

/**
 * @param {ModelReport} one
 * @param {ModelReport} other
 */
const bySooner = (one, other) =>
  Date.parse(one.nextReturnAt ?? '') - Date.parse(other.nextReturnAt ?? '');

/**
 * @param {ServiceReport} service
 * @param {ModelReport} model
 * @param {number} now
 */
function modelCard({ service, inFlight }, model, now) {
  const { total, available, cooling_down: cooling, exhausted } = model;
  const title = html`<h3>${serviceName(service)} <span class="quiet">${model.model}</span></h3>`;
  if (total === 0) return html`${title}<p class="quiet">No key is configured.</p>`;
  const look = available === 0 ? 'bad-text' : exhausted > 0 ? 'wait' : 'good';
  return html`
    ${title}
    <p class="figure"><strong class=${look}>${available} of ${total}</strong> keys available</p>
    ${shares(model)}
    <ul class="facts small">
      ${model.nextReturnAt === null ? null : html`<li>◐ ${cooling} cooling down, next ${returnOf(model, now)}</li>`}
      ${exhausted === 0 ? null : html`<li class="bad-text">✕ ${count(exhausted, 'key')} ${exhausted === 1 ? 'needs' : 'need'} action</li>`}
      <li class="quiet">${count(inFlight, 'call')} to ${serviceName(service)} in flight</li>
    </ul>
  `;
}

/**
 * @param {ModelReport} model
 * @param {number} now
 */
function returnOf({ nextReturnAt, nextReturnBy }, now) {
  const left = timeLeft(nextReturnAt, now) ?? 0;
  const end = atTheEnd(nextReturnBy);
  if (left === 0) return `${end} any moment`;
  return html`${end} in <span class="mono countdown">${countdown(left)}</span>`;
}

/** @param {ModelReport} model */
function shares({ total, available, cooling_down: cooling, exhausted }) {
  const parts = [
    { keys: available, look: 'fill-good' },
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
