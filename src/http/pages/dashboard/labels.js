// @ts-check
import { html } from '/dashboard/lib/lit-html/lit-html.js';

/** @import { KeyReport, Overview, Situation } from '../../../observability/reports.ts' */

/** @param {string} service */
export const serviceName = (service) => `${service.charAt(0).toUpperCase()}${service.slice(1)}`;

/** @type {Record<string, { word: string, sign: string, look: string }>} */
export const STATES = {
  available: { word: 'available', sign: '●', look: 'good' },
  cooling_down: { word: 'cooling down', sign: '◐', look: 'wait' },
  exhausted: { word: 'needs action', sign: '✕', look: 'bad-text' },
  paused: { word: 'paused', sign: '‖', look: 'quiet' },
  retired: { word: 'retired', sign: '–', look: 'quiet' },
};

/** @param {Overview['services'][number]['models'][number]} model */
export const hasKeys = ({ total }) => total > 0;

/** Kinds of situations in which no call to the service succeeds. @type {ReadonlySet<Situation['kind']>} */
const ALL_CALLS_FAIL = new Set([
  'network',
  'provider_down',
  'provider_slow',
  'wrong_base_url',
  'wrong_persona',
  'region',
  'misconfigured',
]);

/**
 * Whether nothing proves that the available keys of the service work.
 *
 * @param {string} service
 * @param {Overview} overview
 */
export const failsWholly = (service, { verdict }) =>
  verdict?.situations.some((one) => one.service === service && ALL_CALLS_FAIL.has(one.kind)) ??
  false;

/**
 * @param {Pick<KeyReport, 'service' | 'state'>} key
 * @param {Overview} overview
 */
export const stateOf = ({ service, state }, overview) =>
  state === 'available' && failsWholly(service, overview)
    ? { word: 'unproven', sign: '○', look: 'quiet' }
    : (STATES[state] ?? { word: state, sign: '', look: '' });

/** @type {Record<string, { word: string, look: string }>} */
export const ENDS = {
  answered: { word: 'answered', look: 'good' },
  at_fault: { word: 'bad request', look: 'quiet' },
  broken_off: { word: 'interrupted', look: 'bad-text' },
  client_gone: { word: 'client disconnected', look: 'quiet' },
  refused: { word: 'refused', look: 'bad-text' },
  bug: { word: 'internal error', look: 'bad-text' },
};

/** @param {string} name `quota_exhausted` */
export const plain = (name) => name.replaceAll('_', ' ');

export const number = new Intl.NumberFormat('en').format;
/** `1.2M` */
export const compact = new Intl.NumberFormat('en', {
  notation: 'compact',
  maximumFractionDigits: 1,
}).format;

/**
 * `820 ms`, `1.4 s`
 *
 * @param {number | null} ms
 */
export function duration(ms) {
  if (ms === null) return '–';
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/**
 * `45 s`, `12 min`, `3 h`, `2 d`
 *
 * @param {number} ms
 */
export function roughly(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 129_600
    ? `${Math.round(seconds / 3600)} h`
    : `${Math.round(seconds / 86_400)} d`;
}

/**
 * @param {string | null} until
 * @param {number} now by the server's clock
 */
export const timeLeft = (until, now) =>
  until === null ? null : Math.max(0, Date.parse(until) - now);

const IS_UTC = new Date().getTimezoneOffset() === 0;
const TIME = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });
const SHORT_TIME = new Intl.DateTimeFormat('en-GB', { timeStyle: 'short' });
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });

/**
 * In local time, with the date unless it is today's.
 *
 * @param {string} at
 * @param {string} now
 */
export function localTime(at, now) {
  const [date, today] = [new Date(at), new Date(now)];
  const time = `${TIME.format(date)}${IS_UTC ? ' UTC' : ''}`;
  return DAY.format(date) === DAY.format(today) ? time : `${DAY.format(date)} ${time}`;
}

/** `14:05`, in local time. @param {number} at */
export const hourAndMinute = (at) => SHORT_TIME.format(new Date(at));

/** In local time. @param {number} at */
export const dayOf = (at) => DAY.format(new Date(at));

/** Null where it is the local time. @param {string} at */
export const utcTime = (at) => (IS_UTC ? null : `${at.slice(11, 19)} UTC`);

/**
 * The local time, with UTC in a tooltip.
 *
 * @param {string} at
 * @param {string} now
 */
export const moment = (at, now) =>
  html`<time datetime=${at} title="${at.slice(0, 19).replace('T', ' ')} UTC">${localTime(at, now)}</time>`;

/**
 * The local time, and UTC beside it.
 *
 * @param {string} at
 * @param {string} now
 */
export const bothTimes = (at, now) =>
  html`${moment(at, now)}${IS_UTC ? null : html` <span class="quiet">· ${utcTime(at)}</span>`}`;

/**
 * From one time to another, local and in UTC; without an end to a word instead.
 *
 * @param {string} from
 * @param {string | null} to
 * @param {string} now
 * @param {unknown} open
 */
export const span = (from, to, now, open) =>
  html`${moment(from, now)} – ${
    to === null ? open : moment(to, now)
  }${IS_UTC ? null : html` <span class="quiet">· ${utcTime(from)?.slice(0, 8)}${to === null ? '' : ` – ${utcTime(to)?.slice(0, 8)}`} UTC</span>`}`;

/**
 * What happens at the end of a cooldown: a rule of ours only allows a probe then.
 *
 * @param {string | null} untilBy
 */
export const atTheEnd = (untilBy) => (untilBy === 'rule' ? 'probe' : 'available');

/** @param {string} text */
export const sentence = (text) =>
  `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;

/**
 * @param {string} term
 * @param {unknown} text
 */
export const fact = (term, text) => html`<div><dt>${term}</dt><dd>${text}</dd></div>`;
