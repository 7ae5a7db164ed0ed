// @ts-check
import { html } from '/dashboard/lib/lit-html/lit-html.js';
import { keyBar, returnsIn } from './keys.js';
import { bothTimes, duration, fact, moment, number, plain, sentence, stateOf } from './labels.js';

/** @import { KeyReport, Overview } from '../../../observability/reports.ts' */
/** @typedef {NonNullable<KeyReport['lastCheck']>} Check */
/** @import { Times } from './keys.js' */
/** @typedef {'check' | 'release' | 'park' | 'pause' | 'resume' | 'labels' | 'replace' | 'retire'} KeyAction */

/** @param {KeyReport} key */
const isNotRetired = ({ state }) => state !== 'retired';
/** @param {KeyReport} key */
const isUsed = ({ state }) => state !== 'paused' && state !== 'retired';

/** @type {readonly { action: KeyAction, text: string, isFor?: (key: KeyReport) => boolean }[]} */
const ACTIONS = [
  { action: 'check', text: 'Check' },
  { action: 'release', text: 'Release', isFor: ({ scopes }) => scopes.length > 0 },
  { action: 'park', text: 'Park…', isFor: isUsed },
  { action: 'pause', text: 'Pause…', isFor: isUsed },
  { action: 'resume', text: 'Resume', isFor: (key) => !isUsed(key) },
  { action: 'labels', text: 'Labels…', isFor: isNotRetired },
  { action: 'replace', text: 'Replace…', isFor: isNotRetired },
  { action: 'retire', text: 'Retire…', isFor: isNotRetired },
];

/**
 * All that is known of a key, and what can be done with it.
 *
 * @param {KeyReport} key
 * @param {Overview} overview
 * @param {{ times: Times, lasts: boolean, act: (key: KeyReport, action: KeyAction) => void }} options whether changes outlive the restart
 */
export function keyDetail(key, overview, { times, lasts, act }) {
  const now = new Date(times.now).toISOString();
  const { word, sign, look } = stateOf(key, overview);
  return html`
    <p class="row">
      <span class="chip ${look}"><span aria-hidden="true">${sign}</span> ${word}</span>
      ${key.until === null ? null : html`<span class="quiet">Returns: ${returnsIn(key, times.liveNow)}</span>`}
    </p>
    ${key.explanation === null ? null : html`<p>${sentence(key.explanation)}</p>`}
    <div class="row actions">
      ${ACTIONS.filter(({ isFor }) => isFor?.(key) ?? true).map(
        ({ action, text }) =>
          html`<button type="button" @click=${() => act(key, action)}>${text}</button>`,
      )}
    </div>
    ${keyBar(key, times)}
    <dl class="facts">
      ${identity(key, lasts)} ${stretch(key, now)}
      ${fact('Calls', numbers(key))}
      ${key.latency === null ? null : fact('First words', `${duration(key.latency.p50Ms)}, p95 ${duration(key.latency.p95Ms)}, last 5 minutes`)}
      ${lastCheck(key.lastCheck ?? null, now)} ${lastError(key, now)} ${lastAction(key, now)}
    </dl>
    ${findings(key, now)}
  `;
}

/**
 * @param {KeyReport} key
 * @param {boolean} lasts
 */
const identity = (key, lasts) => [
  fact('Service, model', `${key.service}, ${key.model}`),
  fact('Project', key.project),
  typeof key.billing === 'string' ? fact('Billing account', key.billing) : null,
  typeof key.personaId === 'string' ? fact('Persona', key.personaId) : null,
  fact('Fingerprint', html`<span class="mono">${key.fingerprint}</span>`),
  key.origin === undefined
    ? null
    : fact(
        'Comes from',
        `${ORIGINS[key.origin]}${lasts ? '' : ': a change to it holds until the restart'}`,
      ),
];

/**
 * @param {KeyReport} key
 * @param {string} now
 */
const stretch = ({ since, until, source }, now) => [
  since === null
    ? null
    : fact(
        'Since',
        html`${bothTimes(since, now)} <span class="quiet">by ${SOURCES[source ?? ''] ?? source}</span>`,
      ),
  until === null ? null : fact('Until', bothTimes(until, now)),
];

/**
 * @param {KeyReport} key
 * @param {string} now
 */
const findings = ({ scopes }, now) =>
  scopes.length === 0
    ? null
    : html`<h3>Findings</h3>
        <ul class="findings small">${scopes.map(
          ({ scope, model, explanation, until }) =>
            html`<li><strong>${SCOPES[scope] ?? plain(scope)}</strong>${model === null ? null : html` <span class="quiet">${model}</span>`}<br />${sentence(explanation)} <span class="quiet">Until ${moment(until, now)}.</span></li>`,
        )}</ul>`;

/** @type {Record<'environment' | 'file' | 'added', string>} */
const ORIGINS = {
  environment: 'The environment',
  file: 'A file',
  added: 'Added at run time',
};

/** @type {Record<string, string>} */
const SOURCES = {
  provider: "the provider's answer",
  rule: 'a rule of this server',
  operator: 'an operator',
};

/** @type {Record<string, string>} */
const SCOPES = {
  key: 'The key',
  project: 'The project',
  billing: 'The billing account',
  operator: 'Parked by an operator',
  project_model: 'Quota',
  quota: 'Quota, as counted here',
  feature: 'Requests with a feature',
  key_model: 'Access to the model',
  rest: 'Ejected',
};

/** @param {KeyReport} key */
function numbers({ calls, successes, inFlight, failures }) {
  const failed = Object.entries(failures).map(([kind, many]) => `${number(many)} × ${plain(kind)}`);
  return [
    number(calls),
    `${number(successes)} answered`,
    ...failed,
    ...(inFlight > 0 ? [`${inFlight} in flight`] : []),
  ].join(' · ');
}

/** @type {Record<Check['verdict'], { word: string, look: string }>} */
export const CHECKS = {
  works: { word: 'works', look: 'good' },
  rejected: { word: 'rejected', look: 'bad-text' },
  no_quota: { word: 'no quota', look: 'wait' },
  no_credit: { word: 'no credit', look: 'bad-text' },
  unreachable: { word: 'provider unreachable', look: 'wait' },
  unknown: { word: 'unknown', look: 'quiet' },
};

/**
 * @param {Check | null} check
 * @param {string} now
 */
const lastCheck = (check, now) =>
  check === null
    ? null
    : fact(
        'Last check',
        html`<strong class=${CHECKS[check.verdict].look}>${CHECKS[check.verdict].word}</strong> ${check.sentence} <span class="quiet">${moment(check.at, now)}, ${duration(check.ms)}</span>`,
      );

/**
 * @param {KeyReport} key
 * @param {string} now
 */
function lastError({ lastError: error }, now) {
  if (error === null) return null;
  const { at, model, kind, status, message } = error;
  const what = `${plain(kind)}${status === null ? '' : ` (${status})`}`;
  return fact(
    'Last error',
    html`${what}, ${model}: ${message} <span class="quiet">${moment(at, now)}</span>`,
  );
}

/**
 * @param {KeyReport} key
 * @param {string} now
 */
function lastAction({ lastAction: last }, now) {
  if (last === null) return null;
  const { at, action, who, why } = last;
  const by = `${action}, by ${who ?? 'the admin token'}${why === null ? '' : `: ${why}`}`;
  return fact('Last action', html`${by} <span class="quiet">${moment(at, now)}</span>`);
}
