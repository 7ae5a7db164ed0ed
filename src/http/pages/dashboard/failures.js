// @ts-check
import { repeat } from '/dashboard/lib/lit-html/directives/repeat.js';
import { html } from '/dashboard/lib/lit-html/lit-html.js';
import { duration, ENDS, moment, number, plain } from './labels.js';

/** @import { TemplateResult } from 'lit-html' */
/** @import { FailureGroup, Overview, RequestReport } from '../../../observability/reports.ts' */

/**
 * What went wrong in the last hour, grouped; each group leads to the traces of its latest requests.
 *
 * @param {Overview} overview
 */
export const failuresView = ({ failures, minutes, now }) =>
  failures === undefined
    ? null
    : html`
        <section class="card failures" id="failures" aria-labelledby="failures-title">
          <h2 id="failures-title">Failures <span class="quiet">last hour</span></h2>
          ${list([
            ...failures.map((group) => ({ count: group.count, view: groupView(group, now) })),
            ...limitsOf(minutes).map((limit) => ({ count: limit.count, view: limitView(limit) })),
          ])}
        </section>
      `;

/** The most frequent first. @param {{ count: number, view: TemplateResult }[]} groups */
const list = (groups) =>
  groups.length === 0
    ? html`<p class="quiet">None.</p>`
    : html`<ul>${groups.sort((one, other) => other.count - one.count).map(({ view }) => html`<li>${view}</li>`)}</ul>`;

/** @typedef {{ count: number, words: string, sentence: string }} Limit */

/**
 * What our own limits refused.
 *
 * @param {Overview['minutes']} minutes
 * @returns {Limit[]}
 */
const limitsOf = (minutes) =>
  [
    {
      count: minutes.reduce((sum, { turnedAway }) => sum + turnedAway, 0),
      words: 'rate limited by address',
      sentence: 'RATE_LIMIT_CHAT or RATE_LIMIT_SESSIONS refused them before any key was asked.',
    },
    {
      count: minutes.reduce((sum, { overBudget }) => sum + overBudget, 0),
      words: 'over the limit of a client',
      sentence: 'A client had used up its budget or its share.',
    },
  ].filter(({ count }) => count > 0);

/** @param {Limit} limit */
const limitView = ({ count, words, sentence }) => html`
  <p><strong class="times">${number(count)} ×</strong> <strong>${words}</strong> in the last hour</p>
  <p class="small">${sentence}</p>
`;

/**
 * @param {FailureGroup} group
 * @param {string} now
 */
const groupView = (group, now) => html`
  <p>
    <strong class="times">${number(group.count)} ×</strong>
    <strong>${plain(group.code ?? group.kind ?? '')}</strong>
    since ${moment(group.since, now)}${group.count > 1 ? html`, last ${moment(group.last, now)}` : null}
  </p>
  <p class="small">${group.sentence}</p>
  <p class="small quiet">
    ${[group.model ?? group.service, ...group.clients].join(' · ')} ·
    ${group.requestIds.map((id) => html`<a class="mono" href="#request=${id}">${id.slice(0, 8)}</a> `)}
  </p>
`;

const SHOWN = 12;

/**
 * The latest requests, each with a link to its trace.
 *
 * @param {Overview} overview
 */
export const requestsView = ({ latest, now }) => html`
  <section class="card" id="requests" aria-labelledby="requests-title">
    <h2 id="requests-title">Latest requests</h2>
    ${latest.length === 0 ? html`<p class="quiet">None since the start.</p>` : table(latest.slice(0, SHOWN), now)}
    ${
      latest.length <= SHOWN
        ? null
        : html`<details><summary class="small">${latest.length - SHOWN} earlier</summary>${table(latest.slice(SHOWN), now)}</details>`
    }
  </section>
`;

/**
 * @param {readonly RequestReport[]} requests
 * @param {string} now
 */
const table = (requests, now) => html`
  <table class="dense requests">
    <thead><tr><th scope="col">Ended</th><th scope="col">Result</th><th scope="col">Key and model</th><th scope="col" class="wide">Client</th><th scope="col" class="wide number">Attempts</th><th scope="col" class="number">Duration</th></tr></thead>
    <tbody>
      ${repeat(
        requests,
        ({ requestId, at }) => `${requestId} ${at}`,
        (request) => requestRow(request, now),
      )}
    </tbody>
  </table>
`;

/**
 * @param {RequestReport} request
 * @param {string} now
 */
function requestRow(request, now) {
  const { word, look } = ENDS[request.end] ?? { word: request.end, look: '' };
  const { attemptsInAll, attempts, client = null } = request;
  const last = attempts.at(-1);
  return html`<tr>
    <td><a href="#request=${request.requestId}">${moment(request.at, now)}</a></td>
    <td><span class=${look}>${word}</span>${request.code === null ? null : html` <span class="wide">${plain(request.code)}</span>`}</td>
    <td class="fills">${last === undefined ? html`<span class="quiet" title="No key was asked.">–</span>` : html`${last.key} <span class="quiet">${last.model}</span>`}</td>
    <td class="wide quiet">${client ?? 'web'}</td>
    <td class="wide number ${attemptsInAll > 1 ? 'wait' : 'quiet'}">${attemptsInAll}</td>
    <td class="number">${duration(request.ms)}</td>
  </tr>`;
}
