// @ts-check

import { ask, isLoggedIn } from '/playground/frame.js';
import { html, nothing, render } from '/playground/lib/lit-html/lit-html.js';
import { money } from '/playground/page.js';

/** @import { RequestReport } from '../../../observability/reports.ts' */
/** @import { AnsweredBy } from './ask.js' */

let isAdmin = false;
void isLoggedIn.then((found) => {
  isAdmin = found;
});

/**
 * What was tried for an answer, for the admin alone. It is asked for when it is opened.
 *
 * @param {AnsweredBy} answeredBy
 */
export function attemptsView({ requestId }) {
  if (!isAdmin || requestId === '') return nothing;
  return html`<details class="attempts" @toggle=${(/** @type {Event} */ event) => void load(/** @type {HTMLDetailsElement} */ (event.target), requestId)}>
    <summary>Attempts</summary>
    <div></div>
  </details>`;
}

/**
 * What an answer that has ended costs, for the admin alone. Null: unknown.
 *
 * @param {AnsweredBy} answeredBy
 */
export async function costOf({ requestId }) {
  const request = isAdmin && requestId !== '' ? await reportOf(requestId) : null;
  return request === null || request.cost === null ? null : money(request.cost, request.currency);
}

/**
 * @param {HTMLDetailsElement} details
 * @param {string} requestId
 */
async function load(details, requestId) {
  const place = details.querySelector('div');
  if (!details.open || place === null) return;
  render(html`<p>Loading…</p>`, place);
  render(await traceOf(requestId), place);
}

/** @param {string} requestId */
async function traceOf(requestId) {
  const request = await reportOf(requestId);
  return request === null
    ? html`<p>The server no longer knows this request.</p>`
    : traceView(request);
}

/**
 * @param {string} requestId
 * @returns {Promise<RequestReport | null>} null where the server no longer knows it
 */
async function reportOf(requestId) {
  const found = await ask(`/api/requests/${encodeURIComponent(requestId)}`);
  return found?.request ?? null;
}

/** @param {RequestReport} request */
const traceView = ({ attempts, requestId, currency }) => html`
  <ol>${attempts.map(
    (attempt) => html`<li>
    <strong>${attempt.key}</strong> ${attempt.model}
    <strong class=${attempt.outcome === 'success' ? 'good' : 'bad-text'}>${attempt.outcome.replaceAll('_', ' ')}</strong>
    after ${attempt.ms} ms${attempt.isHedge ? ', a hedge' : nothing}${attempt.isTrial ? ', a probe' : nothing}${attempt.cost === null ? nothing : `, ${money(attempt.cost, currency)}`}
    ${attempt.message === null ? nothing : html`<br />${attempt.message}`}
  </li>`,
  )}</ol>
  <p>Request <a class="mono" href="/dashboard#request=${encodeURIComponent(requestId)}">${requestId}</a></p>
`;
