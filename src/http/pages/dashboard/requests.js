// @ts-check
import { repeat } from '/dashboard/lib/lit-html/directives/repeat.js';
import { html, svg } from '/dashboard/lib/lit-html/lit-html.js';
import { count } from '/dashboard/page.js';
import { ENDS, moment, plain } from './labels.js';

/** @import { Overview, RequestReport } from '../../../observability/reports.ts' */
/** @typedef {Overview['minutes'][number]} Minute */
/** @typedef {RequestReport['attempts'][number]} AttemptReport */

const HEIGHT = 100;
const WIDTH = 600;
/** One refusal among thousands stays visible. */
const MIN_HEIGHT = 2;

/**
 * How the requests of the last hour ended: a bar for each minute.
 *
 * @param {readonly Minute[]} minutes
 */
export function minutesChart(minutes) {
  const max = Math.max(4, ...minutes.map(({ requests }) => requests));
  return html`
    <section class="card" aria-labelledby="minutes-title">
      <h2 id="minutes-title">The last hour</h2>
      <p>${hourText(minutes)}</p>
      <div class="chart">
        <span class="most small quiet" aria-hidden="true">${max}</span>
        <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" aria-hidden="true">
          ${minutes.map((minute, index) => bar(minute, index * (WIDTH / minutes.length), HEIGHT / max))}
        </svg>
        <span class="row small quiet ends" aria-hidden="true"><span>an hour ago</span><span>now</span></span>
      </div>
      <ul class="legend small" aria-hidden="true">
        <li><span class="swatch swatch-good"></span>answered by the first key</li>
        <li><span class="swatch swatch-wait"></span>answered after failover</li>
        <li><span class="swatch swatch-bad"></span>refused or interrupted</li>
        <li><span class="swatch swatch-unknown"></span>bad request, or client disconnected</li>
      </ul>
      ${table(minutes)}
    </section>
  `;
}

/**
 * @param {Minute} minute
 * @param {number} x
 * @param {number} scale
 */
function bar(minute, x, scale) {
  const { answered, fallbacks } = minute;
  const failed = minute.refused + minute.brokenOff;
  let top = HEIGHT;
  const parts = [
    { number: answered - fallbacks, look: 'fill-good' },
    { number: fallbacks, look: 'fill-wait' },
    { number: minute.requests - answered - failed, look: 'fill-unknown' },
    { number: failed, look: 'fill-bad' },
  ];
  return parts.map(({ number, look }) => {
    const height = number === 0 ? 0 : Math.max(MIN_HEIGHT, number * scale);
    top -= height;
    return svg`<rect class=${look} x=${x + 1} y=${top} width="8" height=${height}></rect>`;
  });
}

/** @param {readonly Minute[]} minutes */
function hourText(minutes) {
  const sum = (/** @type {(minute: Minute) => number} */ number) =>
    minutes.reduce((total, minute) => total + number(minute), 0);
  const requests = count(
    sum((minute) => minute.requests),
    'request',
  );
  const failed = sum(({ refused, brokenOff }) => refused + brokenOff);
  return `${requests}: ${sum(({ fallbacks }) => fallbacks)} answered after failover, ${failed} refused or interrupted.`;
}

/** @param {readonly Minute[]} minutes */
function table(minutes) {
  const busy = minutes.filter(({ requests }) => requests > 0).reverse();
  if (busy.length === 0) return null;
  return html`
    <details>
      <summary class="small">As a table</summary>
      <div class="scrolls" tabindex="0" role="region" aria-label="The last hour by minutes">
        <table class="small">
          <thead><tr><th scope="col">Minute (UTC)</th><th scope="col">Requests</th><th scope="col">Failovers</th><th scope="col">Refused</th><th scope="col">Interrupted</th></tr></thead>
          <tbody>
            ${busy.map(
              (minute) =>
                html`<tr><th scope="row">${minute.at.slice(11, 16)}</th><td>${minute.requests}</td><td>${minute.fallbacks}</td><td>${minute.refused}</td><td>${minute.brokenOff}</td></tr>`,
            )}
          </tbody>
        </table>
      </div>
    </details>
  `;
}

const SHOWN = 12;

/**
 * The latest requests: how each ended, and its failed attempts.
 *
 * @param {Overview} overview
 */
export const requestsView = ({ latest: requests, now }) => html`
  <section class="card" aria-labelledby="requests-title">
    <h2 id="requests-title">Latest requests</h2>
    ${requests.length === 0 ? html`<p class="quiet">None since the start.</p>` : null}
    ${list(requests.slice(0, SHOWN), now)}
    ${
      requests.length <= SHOWN
        ? null
        : html`<details><summary class="small">${requests.length - SHOWN} earlier requests</summary>${list(requests.slice(SHOWN), now)}</details>`
    }
  </section>
`;

/**
 * @param {readonly RequestReport[]} requests
 * @param {string} now
 */
const list = (requests, now) => html`
  <ol class="requests">
    ${repeat(
      requests,
      ({ requestId, at }) => `${requestId} ${at}`,
      (request) => html`<li>${requestRow(request, now)}</li>`,
    )}
  </ol>
`;

/**
 * @param {RequestReport} request
 * @param {string} now
 */
function requestRow(request, now) {
  const { word, look } = ENDS[request.end] ?? { word: request.end, look: '' };
  const { attempts, attemptsInAll } = request;
  const last = attempts.at(-1);
  const hasAnswer = request.end === 'answered' || request.end === 'broken_off';
  const earlier = hasAnswer ? attempts.slice(0, -1) : attempts;
  const unlisted = attemptsInAll - attempts.length;
  return html`
    <div class="row">
      <time class="mono small quiet" datetime=${request.at}>${moment(request.at, now)}</time>
      <strong class=${look}>${word}${request.code === null ? '' : `: ${plain(request.code)}`}</strong>
      ${hasAnswer && last !== undefined ? html`<span>by ${last.key}</span>` : null}
      <span class="small quiet">${facts(request, last)}</span>
    </div>
    ${
      earlier.length === 0
        ? null
        : html`<ol class="attempts small quiet" aria-label="Failed attempts">
            ${unlisted === 0 ? null : html`<li>${count(unlisted, 'earlier attempt')}</li>`}
            ${earlier.map((attempt) => html`<li>${attemptRow(attempt, now)}</li>`)}
          </ol>`
    }
  `;
}

/**
 * @param {RequestReport} request
 * @param {AttemptReport | undefined} last
 */
const facts = ({ operation, ms, waitedMs }, last) =>
  [
    plain(operation),
    ...(last === undefined ? [] : [models(last)]),
    `${ms} ms`,
    ...(waitedMs > 0 ? [`${waitedMs} ms in the wait queue`] : []),
    ...(typeof last?.tokens === 'number' ? [count(last.tokens, 'token')] : []),
  ].join(' · ');

/**
 * The model that was asked for, and the one that answered if it is another.
 *
 * @param {AttemptReport} attempt
 */
const models = ({ model, responseModel }) =>
  responseModel === null ? model : `${model} (answered by ${responseModel})`;

/**
 * @param {AttemptReport} attempt
 * @param {string} now
 */
const attemptRow = (attempt, now) => {
  const { key, outcome, message, ms, parkedUntil, parkedFeatures, isTrial, isHedge } = attempt;
  const parked = parkedFeatures.length === 0 ? 'parked' : `${parkedFeatures.join(' and ')} parked`;
  return html`
  ${key}${isTrial ? ' (probe)' : ''}${isHedge ? ' (hedge)' : ''}, ${models(attempt)}: ${plain(outcome)} after ${ms} ms${parkedUntil === null ? '' : `, ${parked} until ${moment(parkedUntil, now)}`}
  ${message === null ? null : html`<span class="message">${message}</span>`}
`;
};
