// @ts-check
import { ask, home } from '/home/frame.js';

/** @typedef {Record<'total' | 'available' | 'cooling_down' | 'exhausted', number>} Counts */

const NO_KEYS = 'No API keys are set. Set GOOGLE_API_KEY, and ANAM_API_KEY for the avatar.';

const command = document.querySelector('#command');
if (command !== null) {
  command.textContent = (command.textContent ?? '').replace(/http:\/\/[^/]+/, location.origin);
}

const found = await home;
if (found !== null && found.dashboard === undefined) {
  document.querySelector('#without-admin')?.removeAttribute('hidden');
}

const keys = document.querySelector('#keys');
if (keys !== null) keys.textContent = await keysSentence();

async function keysSentence() {
  const status = await ask('/api/keys/status');
  if (status === null) return 'The server does not answer.';
  /** @type {[string, Counts][]} */
  const services = Object.entries(status.api_keys);
  const set = services.filter(([, { total }]) => total > 0);
  return set.length === 0 ? NO_KEYS : `Usable now: ${set.map(inWords).join(', ')}.`;
}

/** @param {[string, Counts]} service */
function inWords([name, { total, available }]) {
  return `${available} of ${total} ${total === 1 ? 'key' : 'keys'} of ${name}`;
}
