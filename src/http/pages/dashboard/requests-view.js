// @ts-check
import { repeat } from '/dashboard/lib/lit-html/directives/repeat.js';
import { html } from '/dashboard/lib/lit-html/lit-html.js';
import { count, ENDS, moment, plain } from './words.js';

/** @import { Overview } from '../../../observability/reports.ts' */
/** @typedef {Overview['latest'][number]} RequestReport */
/** @typedef {RequestReport['attempts'][number]} AttemptReport */

const SHOWN = 12;

/**
 * The latest requests: what became of each, and apart from that what it took on the way.
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
        : html`<details><summary class="small">${requests.length - SHOWN} earlier ones</summary>${list(requests.slice(SHOWN), now)}</details>`
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
  const unseen = attemptsInAll - attempts.length;
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
        : html`<ol class="attempts small quiet" aria-label="Attempts before">
            ${unseen === 0 ? null : html`<li>${count(unseen, 'earlier attempt')}</li>`}
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
    ...(last === undefined ? [] : [last.model]),
    `${ms} ms`,
    ...(waitedMs > 0 ? [`${waitedMs} ms in line`] : []),
    ...(typeof last?.tokens === 'number' ? [count(last.tokens, 'token')] : []),
  ].join(' · ');

/**
 * @param {AttemptReport} attempt
 * @param {string} now
 */
const attemptRow = ({ key, model, outcome, message, ms, parkedUntil, isTrial }, now) => html`
  ${key}${isTrial ? ' (on trial)' : ''}, ${model}: ${plain(outcome)} after ${ms} ms${parkedUntil === null ? '' : `, parked until ${moment(parkedUntil, now)}`}
  ${message === null ? null : html`<span class="message">${message}</span>`}
`;
