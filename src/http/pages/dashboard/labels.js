// @ts-check
/** @param {string} service */
export const serviceName = (service) => `${service.charAt(0).toUpperCase()}${service.slice(1)}`;

/** @type {Record<string, { word: string, sign: string, look: string }>} */
export const STATES = {
  available: { word: 'available', sign: '●', look: 'good' },
  cooling_down: { word: 'cooling down', sign: '◐', look: 'wait' },
  exhausted: { word: 'needs action', sign: '✕', look: 'bad-text' },
};

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

/**
 * @param {string | null} until
 * @param {number} now by the server's clock
 */
export const timeLeft = (until, now) =>
  until === null ? null : Math.max(0, Date.parse(until) - now);

/**
 * In UTC, as in the log; with the date unless it is today's.
 *
 * @param {string} at
 * @param {string} now
 */
export function moment(at, now) {
  const time = `${at.slice(11, 19)} UTC`;
  return at.slice(0, 10) === now.slice(0, 10) ? time : `${at.slice(0, 10)} ${time}`;
}

/**
 * What happens at the end of a cooldown: a rule of ours only allows a probe then.
 *
 * @param {string | null} untilBy
 */
export const atTheEnd = (untilBy) => (untilBy === 'rule' ? 'probe' : 'available');

/** @param {string} text */
export const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
