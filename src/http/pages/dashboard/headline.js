// @ts-check
import { count } from '/dashboard/page.js';
import { serviceName } from './labels.js';

/** @import { Overview, RequestReport } from '../../../observability/reports.ts' */
/** @typedef {Overview['services'][number]} ServiceReport */
/** @typedef {{ look: 'wait' | 'bad', sentence: string }} Trouble */

/** How long a request counts as recent. */
const RECENT_MS = 300_000;
const MINUTE_MS = 60_000;
const REFUSALS_MINUTES = 15;
const MAX_NAMED_KEYS = 3;

/**
 * The state of the whole server in a few sentences, and how serious it is. Without a countdown: screen
 * readers read it at each change.
 *
 * @param {Overview} overview
 * @returns {{ look: 'good' | 'wait' | 'bad', sentence: string }}
 */
export function headline(overview) {
  const { services, latest, now } = overview;
  const recent = latest.filter(({ at }) => Date.parse(at) > Date.parse(now) - RECENT_MS);
  if (services.every((service) => keysOf(service) === 0)) {
    return { look: 'bad', sentence: 'No API key is configured: all requests are refused.' };
  }
  const troubles = services.flatMap((service) => [
    ...troubleOfRequests(
      service,
      recent.filter((request) => request.service === service.service),
    ),
    ...troubleOfKeys(service),
  ]);
  const isBad = troubles.some(({ look }) => look === 'bad');
  troubles.push(...warnings(overview, isBad).map(amber));
  if (troubles.length === 0) return { look: 'good', sentence: withoutTrouble(services) };
  return {
    look: isBad ? 'bad' : 'wait',
    sentence: troubles.map(({ sentence }) => sentence).join(' '),
  };
}

/** @param {ServiceReport} service */
const keysOf = ({ models: [first] }) => first?.total ?? 0;

/** @param {readonly ServiceReport[]} services */
const withoutTrouble = (services) =>
  services.some(({ models }) => models.some((model) => model.cooling_down > 0))
    ? 'Some keys are cooling down; others are available.'
    : 'All keys are available.';

/**
 * What needs attention although keys are available.
 *
 * @param {Overview} overview
 * @param {boolean} isBad whether a sentence already says that requests are refused
 */
function warnings({ unprovenKeys, minutes, redis, now }, isBad) {
  const since = Date.parse(now) - (REFUSALS_MINUTES + 1) * MINUTE_MS;
  const late = minutes.filter(({ at }) => Date.parse(at) > since);
  const refused = late.reduce((sum, minute) => sum + minute.refused + minute.brokenOff, 0);
  const turnedAway = late.reduce((sum, minute) => sum + minute.turnedAway, 0);
  const period = `in the last ${REFUSALS_MINUTES} minutes`;
  return [
    unprovenKeys.length > 0 && `${released(unprovenKeys)} not answered yet.`,
    refused > 0 && !isBad && `${requestsWere(refused)} refused or interrupted ${period}.`,
    turnedAway > 0 &&
      `${requestsWere(turnedAway)} rejected by the rate limit per address ${period}. If all callers seem to share one address, check TRUST_PROXY.`,
    redis === 'unreachable' && `Redis is unreachable: ${NOT_SHARED}`,
    redis === 'refusing' && `Redis refuses commands: ${NOT_SHARED}`,
  ].filter((sentence) => sentence !== false);
}

const NOT_SHARED = 'this instance does not share what it learns about keys.';

/**
 * @param {string} sentence
 * @returns {Trouble}
 */
const amber = (sentence) => ({ look: 'wait', sentence });

/** @param {readonly string[]} ids */
function released(ids) {
  const more = ids.length - MAX_NAMED_KEYS;
  const names = [...ids.slice(0, MAX_NAMED_KEYS), ...(more > 0 ? [`${more} more`] : [])];
  const list = new Intl.ListFormat('en').format(names);
  return ids.length === 1 ? `${list} was released and has` : `${list} were released and have`;
}

/**
 * Exact up to ten, then one digit and zeros, so that the sentence changes rarely.
 *
 * @param {number} number
 */
function requestsWere(number) {
  const unit = number <= 10 ? 1 : 10 ** (String(number).length - 1);
  const rounded = number - (number % unit);
  const requests = count(rounded, 'request');
  return `${rounded < number ? 'More than ' : ''}${requests} ${number === 1 ? 'was' : 'were'}`;
}

/**
 * Most of the recent requests fail, and not for lack of keys.
 *
 * @param {ServiceReport} service
 * @param {readonly RequestReport[]} recent
 * @returns {Trouble[]}
 */
function troubleOfRequests({ service }, recent) {
  const failed = recent.filter(isProvidersFailure);
  const answered = recent.filter(({ end }) => end === 'answered').length;
  if (failed.length === 0 || failed.length < answered) return [];
  const name = serviceName(service);
  const isOurs = failed.every(({ attempts }) => attempts.at(-1)?.outcome === 'misconfigured');
  const why = isOurs
    ? 'a setting of this server is wrong, see its log'
    : 'the provider or the network has a fault, not the keys';
  return [{ look: 'bad', sentence: `Requests to ${name} fail: ${why}.` }];
}

/** @param {RequestReport} request */
const isProvidersFailure = ({ end, code }) =>
  end === 'broken_off' || code === 'upstream_failed' || code === 'upstream_timeout';

/**
 * @param {ServiceReport} report
 * @returns {Trouble[]}
 */
function troubleOfKeys(report) {
  const { service, models } = report;
  const name = serviceName(service);
  if (keysOf(report) === 0) return service === 'google' ? [NO_CHAT] : [];
  const number = Math.max(...models.map(({ exhausted }) => exhausted));
  const needs = `${count(number, `${name} key`)} ${number === 1 ? 'needs' : 'need'} action.`;
  return [
    ...troubleOfModels(
      name,
      models.filter(({ embeds }) => !embeds),
    ),
    ...troubleOfEmbeddings(
      name,
      models.filter(({ embeds }) => embeds),
    ),
    ...(number === 0 ? [] : [amber(needs)]),
  ];
}

/** @type {Trouble} */
const NO_CHAT = { look: 'bad', sentence: 'No Google key is configured: every chat is refused.' };

/**
 * @param {string} name
 * @param {ServiceReport['models']} models
 * @returns {Trouble[]}
 */
function troubleOfModels(name, models) {
  const out = models.filter(({ available }) => available === 0);
  if (out.length === 0) return [];
  if (out.length === models.length) return [{ look: 'bad', sentence: whyNone(name, models) }];
  const names = out.map(({ model }) => model).join(', ');
  return [amber(`No ${name} key is available for ${names}; other models are available.`)];
}

/**
 * @param {string} name
 * @param {ServiceReport['models']} models
 * @returns {Trouble[]}
 */
const troubleOfEmbeddings = (name, models) =>
  models
    .filter(({ available }) => available === 0)
    .map(({ model }) => amber(`No ${name} key is available for embeddings by ${model}.`));

/**
 * @param {string} name
 * @param {ServiceReport['models']} models
 */
function whyNone(name, models) {
  const causes = new Set(models.flatMap(({ causes }) => Object.keys(causes)));
  const isAllOf = (/** @type {string[]} */ ...some) =>
    [...causes].every((one) => some.includes(one));
  if (isAllOf('rate_limited', 'quota_exhausted', 'quota_unexplained'))
    return `Every ${name} key has used up its quota.`;
  if (isAllOf('operator')) return `Every ${name} key is parked by an operator.`;
  if (isAllOf('model_unavailable')) return WRONG_NAMES[name] ?? '';
  return `No ${name} key is available.`;
}

/** @type {Record<string, string>} */
const WRONG_NAMES = {
  Google:
    'No Google key may use the models in GOOGLE_MODELS: the names are wrong, or the models are gone.',
  Anam: 'No Anam key has the persona in the settings.',
};
