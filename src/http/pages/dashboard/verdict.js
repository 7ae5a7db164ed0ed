// @ts-check
import { count, serviceName } from './words.js';

/** @import { Overview } from '../../../observability/reports.ts' */
/** @typedef {Overview['services'][number]} ServiceReport */
/** @typedef {Overview['latest'][number]} RequestReport */
/** @typedef {{ look: 'wait' | 'bad', sentence: string }} Trouble */

/** So old a request still says how things are. */
const RECENT_MS = 300_000;
const MINUTE_MS = 60_000;
const REFUSALS_MINUTES = 15;
const MAX_NAMED_KEYS = 3;

/**
 * How everything stands, in a sentence or a few, and how grave it is. Without any countdown, so that it
 * is only read out when it changes.
 *
 * @param {Overview} overview
 * @returns {{ look: 'good' | 'wait' | 'bad', sentence: string }}
 */
export function verdict(overview) {
  const { services, latest, now } = overview;
  const recent = latest.filter(({ at }) => Date.parse(at) > Date.parse(now) - RECENT_MS);
  if (services.every((service) => keysOf(service) === 0)) {
    return { look: 'bad', sentence: 'No key is set: nothing can be answered.' };
  }
  const troubles = services.flatMap((service) => [
    ...troubleOfRequests(
      service,
      recent.filter((request) => request.service === service.service),
    ),
    ...troubleOfKeys(service),
  ]);
  const isGrave = troubles.some(({ look }) => look === 'bad');
  troubles.push(...amberSentences(overview, isGrave).map(amber));
  if (troubles.length === 0) return { look: 'good', sentence: withoutTrouble(services) };
  return {
    look: isGrave ? 'bad' : 'wait',
    sentence: troubles.map(({ sentence }) => sentence).join(' '),
  };
}

/** @param {ServiceReport} service */
const keysOf = ({ models: [first] }) => first?.total ?? 0;

/** @param {readonly ServiceReport[]} services */
const withoutTrouble = (services) =>
  services.some(({ models }) => models.some((model) => model.cooling_down > 0))
    ? 'Some keys cool down; others are left.'
    : 'All is well: every key can be used.';

/**
 * What keeps the page from green although every key can be used.
 *
 * @param {Overview} overview
 * @param {boolean} isGrave whether the line already says that requests are refused
 */
function amberSentences({ unprovenKeys, minutes, redis, now }, isGrave) {
  const since = Date.parse(now) - (REFUSALS_MINUTES + 1) * MINUTE_MS;
  const late = minutes.filter(({ at }) => Date.parse(at) > since);
  const refused = late.reduce((sum, minute) => sum + minute.refused + minute.brokenOff, 0);
  const turnedAway = late.reduce((sum, minute) => sum + minute.turnedAway, 0);
  const period = `in the last ${REFUSALS_MINUTES} minutes`;
  return [
    unprovenKeys.length > 0 && `${released(unprovenKeys)} not answered yet.`,
    refused > 0 && !isGrave && `${requestsWere(refused)} refused or broken off ${period}.`,
    turnedAway > 0 &&
      `${requestsWere(turnedAway)} turned away by the limit for one address ${period}. If all callers seem to share one address, check TRUST_PROXY.`,
    redis === 'unreachable' && `Redis cannot be reached: ${NOT_SHARED}`,
    redis === 'refusing' && `Redis refuses commands: ${NOT_SHARED}`,
  ].filter((sentence) => sentence !== false);
}

const NOT_SHARED = 'what this instance learns of keys is not shared.';

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
 * Exact up to ten, then one digit and zeros: the line is read out whenever it changes.
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
 * What is wrong although there are keys: most of the latest requests fail for another reason.
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
    ? 'a setting of this server is at fault; its log says which'
    : 'the provider or the network is in trouble, not the keys';
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
  const attention = Math.max(...models.map(({ exhausted }) => exhausted));
  return [
    ...troubleOfModels(name, models),
    ...(attention === 0
      ? []
      : [
          amber(
            `${count(attention, `${name} key`)} ${attention === 1 ? 'needs' : 'need'} somebody to act.`,
          ),
        ]),
  ];
}

/** @type {Trouble} */
const NO_CHAT = { look: 'bad', sentence: 'Google has no key: every chat is refused.' };

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
  return [{ look: 'wait', sentence: `No ${name} key is left for ${names}; other models are.` }];
}

/**
 * @param {string} name
 * @param {ServiceReport['models']} models
 */
function whyNone(name, models) {
  const causes = new Set(models.flatMap(({ causes }) => Object.keys(causes)));
  const isAllOf = (/** @type {string[]} */ ...some) =>
    [...causes].every((one) => some.includes(one));
  if (isAllOf('rate_limited', 'quota_exhausted')) return `The quota of every ${name} key is spent.`;
  if (isAllOf('operator')) return `Every ${name} key was taken out of use by hand.`;
  if (isAllOf('model_unavailable')) return WRONG_NAMES[name] ?? '';
  return `No ${name} key can be used.`;
}

/** @type {Record<string, string>} */
const WRONG_NAMES = {
  Google: 'No Google key may use what GOOGLE_MODELS names: a wrong name, or a model that is gone.',
  Anam: 'No Anam key has the persona that the settings name.',
};
