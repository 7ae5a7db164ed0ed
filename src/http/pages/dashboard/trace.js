// @ts-check
import { html, svg } from '/dashboard/lib/lit-html/lit-html.js';
import { count, money } from '/dashboard/page.js';
import { bothTimes, duration, ENDS, fact, moment, number, plain } from './labels.js';

/** @import { RequestReport } from '../../../observability/reports.ts' */
/** @typedef {RequestReport['attempts'][number]} AttemptReport */

/**
 * A request's whole trace: how it ended, and each attempt.
 *
 * @param {RequestReport} request
 * @param {string} now
 */
export function traceView(request, now) {
  const { word, look } = ENDS[request.end] ?? { word: request.end, look: '' };
  const { attempts, attemptsInAll } = request;
  const longest = Math.max(1, ...attempts.map(({ ms }) => ms));
  return html`
    <dl class="facts">
      ${fact('End', html`<strong class=${look}>${word}</strong>${request.code === null ? null : ` ${plain(request.code)}`}`)}
      ${fact('Ended at', bothTimes(request.at, now))}
      ${fact('Duration', `${duration(request.ms)}${request.waitedMs > 0 ? `, ${duration(request.waitedMs)} of it in the wait queue` : ''}`)}
      ${fact('Operation', `${plain(request.operation)}, ${request.service}`)}
      ${request.client === undefined ? null : fact('Client', request.client ?? 'without a token')}
      ${fact('Request id', html`<span class="mono">${request.requestId}</span>`)}
    </dl>
    <h3>${count(attemptsInAll, 'attempt')}</h3>
    ${attempts.length < attemptsInAll ? html`<p class="small quiet">The last ${attempts.length} are kept.</p>` : null}
    <ol class="attempts">
      ${attempts.map((attempt) => html`<li>${attemptView(attempt, request.currency, longest, now)}</li>`)}
    </ol>
  `;
}

/**
 * @param {AttemptReport} attempt
 * @param {string | null} currency
 * @param {number} longest
 * @param {string} now
 */
const attemptView = (attempt, currency, longest, now) => html`
  <p>
    <a href="#key=${attempt.key}">${attempt.key}</a>
    <span class="quiet">${models(attempt)}</span>
    <strong class=${attempt.outcome === 'success' ? 'good' : 'bad-text'}>${plain(attempt.outcome)}</strong>
    ${attempt.isTrial ? html`<span class="mode">probe</span>` : null}
    ${attempt.isHedge ? html`<span class="mode">hedge</span>` : null}
  </p>
  ${bar(attempt, longest)}
  <p class="small quiet">${factsOf(attempt, currency)}</p>
  ${attempt.message === null ? null : html`<p class="small">${attempt.message}</p>`}
  ${attempt.parkedUntil === null ? null : html`<p class="small wait">${parkedWhat(attempt)} parked until ${moment(attempt.parkedUntil, now)}</p>`}
`;

/** @param {AttemptReport} attempt */
const models = ({ model, responseModel }) =>
  responseModel === null ? model : `${model} (answered by ${responseModel})`;

/** @param {AttemptReport} attempt */
const parkedWhat = ({ parkedFeatures }) =>
  parkedFeatures.length === 0 ? '' : parkedFeatures.join(' and ');

/**
 * @param {AttemptReport} attempt
 * @param {string | null} currency
 */
const factsOf = ({ ms, firstMs, tokens, cost }, currency) =>
  [
    duration(ms),
    ...(firstMs === null ? [] : [`first words after ${duration(firstMs)}`]),
    ...(tokens === null ? [] : [`${number(tokens)} tokens`]),
    ...(cost === null ? [] : [money(cost, currency)]),
  ].join(' · ');

/**
 * The time to the first words pale, the rest in full colour.
 *
 * @param {AttemptReport} attempt
 * @param {number} longest
 */
function bar({ ms, firstMs, outcome }, longest) {
  const first = ((firstMs ?? ms) / longest) * 100;
  const look = outcome === 'success' ? 'fill-good' : 'fill-bad';
  return html`<svg class="span" viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
    ${svg`<rect class="fill-unknown" width="100" height="4"></rect>
      <rect class="${look}" width=${(ms / longest) * 100} height="4"></rect>
      <rect class="pale" width=${firstMs === null ? 0 : first} height="4"></rect>`}
  </svg>`;
}
