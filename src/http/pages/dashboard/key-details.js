// @ts-check
import { html } from '/dashboard/lib/lit-html/lit-html.js';
import { moment, plain, sentence } from './words.js';

/** @import { KeyReport } from '../../../observability/reports.ts' */

/**
 * What else is known of a key.
 *
 * @param {KeyReport} key
 * @param {string} now
 */
export const keyDetails = (key, now) => html`
  <dl class="small">
    <div><dt>Service, model</dt><dd>${key.service}, ${key.model}</dd></div>
    <div><dt>Project</dt><dd>${key.project}</dd></div>
    <div><dt>Fingerprint</dt><dd class="mono">${key.fingerprint}</dd></div>
    ${since(key, now)} ${lastError(key, now)} ${lastAction(key, now)}
    ${key.scopes.map((scope) => html`<div><dt>${plain(scope.scope)}${scope.model === null ? '' : `, ${scope.model}`}</dt><dd>${sentence(scope.explanation)}</dd></div>`)}
  </dl>
`;

/**
 * @param {KeyReport} key
 * @param {string} now
 */
function since({ since: at, source }, now) {
  if (at === null) return null;
  return html`<div><dt>Since</dt><dd>${moment(at, now)}, says the ${source ?? 'rule'}</dd></div>`;
}

/**
 * @param {KeyReport} key
 * @param {string} now
 */
function lastError({ lastError: error }, now) {
  if (error === null) return null;
  const { at, model, kind, status, message } = error;
  const what = `${plain(kind)}${status === null ? '' : ` (${status})`}`;
  return html`<div><dt>Last error</dt><dd>${moment(at, now)}, ${model}: ${what}. ${message}</dd></div>`;
}

/**
 * @param {KeyReport} key
 * @param {string} now
 */
function lastAction({ lastAction: last }, now) {
  if (last === null) return null;
  const { at, action, who, why } = last;
  const by = `${action}, by ${who ?? 'somebody with the token'}${why === null ? '' : `: ${why}`}`;
  return html`<div><dt>Last done by hand</dt><dd>${moment(at, now)}: ${by}</dd></div>`;
}
